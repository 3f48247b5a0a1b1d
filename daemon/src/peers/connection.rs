//! One connection that stands: what is read goes to whom it concerns, what is said is written.
//!
//! Not here: how it came about (`peers::handshake`), calling again (`peers`).

use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use wire::id::{ChannelId, NodeId};
use wire::message::{Error, Message, PeerStorage, PeerStorageRetrieval, Ping, Warning};

use crate::backup::{self, Ahead};
use crate::channels::directory::{Directory, Heard};
use crate::channels::registry;
use crate::edge::{Back, Forward, Inbox};
use crate::gossip;
use crate::peers::budget::Budget;
use crate::peers::handshake::{ConnectionFault, FrameReader, FrameWriter};
use crate::peers::link::{Link, Out, Waiting};

#[cfg(test)]
mod tests;

/// A peer that said nothing for so long is asked whether it lives.
const QUIET: Duration = Duration::from_secs(55);

/// A peer that does not answer a ping by then is gone.
const PONG: Duration = Duration::from_secs(30);

/// How much is encrypted before it is written, in bytes.
const WRITE_BYTES: usize = 256 << 10;

/// A peer that does not take what is written for so long is gone.
const WRITE_PATIENCE: Duration = Duration::from_secs(60);

/// How long gossip waits for room before it is dropped; what the peer says of channels waits behind it.
const GOSSIP_WAIT: Duration = Duration::from_millis(20);

/// How much more than what a peer says costs what it makes us say: that waits in our memory until the
/// peer reads it.
const ANSWER_WEIGHT: usize = 16;

/// What an `error` or a `warning` costs at least, in bytes: each may leave lines in the log.
const WORDS_COST: usize = 8 << 10;

/// How much of the text of an `error` or a `warning` is read, in bytes.
const WORDS_MAX: usize = 200;

/// Where what is read goes.
#[derive(Clone, Debug)]
pub struct Readers {
    /// Who runs which channel.
    pub directory: Directory,
    /// Who makes channels.
    pub registry: Forward<registry::Order>,
    /// Who keeps blobs, ours and theirs.
    pub backup: Forward<backup::Ask>,
    /// Whether somebody holds a newer backup than our journal knows of.
    pub ahead: watch::Receiver<Option<Ahead>>,
    /// Whether this start could not be sure that the journal is the newest.
    pub is_doubtful: bool,
    /// Who believes gossip.
    pub gossip: Forward<gossip::Heard>,
    /// The same, of connections that come and go.
    pub gossip_peers: Back<gossip::FromPeers>,
}

/// Reads until the connection ends and says why.
pub async fn read(
    mut reader: FrameReader,
    link: Link,
    to: Readers,
    broken: CancellationToken,
) -> ConnectionFault {
    let work = async {
        let mut budget = Budget::default();
        loop {
            let frame = next(&mut reader, &link).await?;
            let spent = frame.len();
            let Some(message) = Message::decode_frame(frame)? else {
                budget.spend(spent, millis())?;
                continue;
            };
            tracing::debug!(node = %link.node, message = message.kind(), "heard");
            let cost = cost(&message, spent);
            let asked_for = is_gossip(&message) && link.was_expected(spent);
            if !pass_on(message, &link, &to).await? && !asked_for {
                budget.spend(cost, millis())?;
            }
        }
    };
    let ended: Result<std::convert::Infallible, ConnectionFault> = tokio::select! {
        biased;
        () = broken.cancelled() => Err(ConnectionFault::Closed),
        ended = work => ended,
    };
    match ended {
        Ok(never) => match never {},
        Err(fault) => fault,
    }
}

/// What a message of `spent` bytes costs its sender if it counts.
fn cost(message: &Message, spent: usize) -> usize {
    let least = if is_words(message) { WORDS_COST } else { 0 };
    spent.max(least).max(answer_len(message).saturating_mul(ANSWER_WEIGHT))
}

/// How long the answer is that a message asks for, as far as the sender chooses it. BOLT 1 § The `ping`
/// and `pong` Messages.
fn answer_len(message: &Message) -> usize {
    if let Message::Ping(ping) = message { usize::from(ping.num_pong_bytes) } else { 0 }
}

/// Whether the gossip task hears it. BOLT 7.
const fn is_gossip(message: &Message) -> bool {
    matches!(
        message,
        Message::ChannelAnnouncement(_)
            | Message::ChannelUpdate(_)
            | Message::NodeAnnouncement(_)
            | Message::QueryShortChannelIds(_)
            | Message::ReplyShortChannelIdsEnd(_)
            | Message::QueryChannelRange(_)
            | Message::ReplyChannelRange(_)
            | Message::GossipTimestampFilter(_)
    )
}

const fn is_words(message: &Message) -> bool {
    matches!(message, Message::Error(_) | Message::Warning(_))
}

/// Cuts words short, for they are kept and printed.
fn shorten(message: &mut Message) {
    if let Message::Error(Error { data, .. }) | Message::Warning(Warning { data, .. }) = message {
        data.truncate(WORDS_MAX);
    }
}

/// The next frame; asks a quiet peer whether it lives.
async fn next<'a>(reader: &'a mut FrameReader, link: &Link) -> Result<&'a [u8], ConnectionFault> {
    let begun = now();
    let mut asked = false;
    // A frame once begun must be read to its end, so the same future is polled across both waits.
    let read = reader.read();
    tokio::pin!(read);
    loop {
        let patience = if asked { QUIET.saturating_add(PONG) } else { QUIET };
        let deadline = begun.checked_add(patience).unwrap_or(begun);
        match timeout_at(deadline, &mut read).await {
            Ok(frame) => return frame,
            Err(_) if asked => return Err(ConnectionFault::Slow),
            Err(_) => {
                link.say(&Ping { num_pong_bytes: 4, ignored: Vec::new() }.into());
                asked = true;
            }
        }
    }
}

/// Gives a message to whom it concerns. `false`: it counts against the budget, because it concerned nobody
/// or is one that a peer may say as often as it likes.
async fn pass_on(mut message: Message, link: &Link, to: &Readers) -> Result<bool, ConnectionFault> {
    let node = link.node;
    shorten(&mut message);
    if let Some(id) = message.channel_id()
        && id != ChannelId::ALL
    {
        if matches!(message, Message::OpenChannel(_)) {
            let order = registry::Order::Inbound { link: link.clone(), open: Box::new(message) };
            to.registry.send(order).await.map_err(|_| ConnectionFault::Closed)?;
            return Ok(false);
        }
        return to_channel(node, id, message, link, to).await;
    }
    #[expect(clippy::wildcard_enum_match_arm, reason = "what concerns nobody is ignored")]
    match message {
        Message::Ping(ping) => {
            if let Some(pong) = ping.pong() {
                link.say(&pong.into());
            }
            Ok(false)
        }
        // BOLT 1: "if `channel_id` is all zero: MUST fail all channels with the sending node."
        Message::Error(_) | Message::Warning(_) => {
            let doors = to.directory.doors();
            for door in doors.of(node) {
                let heard = Heard { generation: link.generation, message: message.clone() };
                let _ended = door.messages.send(heard).await;
            }
            Ok(false)
        }
        Message::PeerStorage(PeerStorage { blob }) => {
            let _stopping = to.backup.send(backup::Ask::Keep { node, blob }).await;
            Ok(false)
        }
        // Looked at before what comes next is heard: that may be about a channel we have forgotten.
        Message::PeerStorageRetrieval(PeerStorageRetrieval { blob }) => {
            let (done, looked) = oneshot::channel();
            let _stopping = to.backup.send(backup::Ask::Back { node, blob, done }).await;
            let _stopping = looked.await;
            Ok(false)
        }
        message if is_gossip(&message) => {
            // Gossip must not keep a channel's words waiting for long: what is too much is dropped, and asked for again.
            let heard = gossip::Heard { link: link.clone(), message };
            let sent = tokio::time::timeout(GOSSIP_WAIT, to.gossip.send(heard)).await;
            if sent.is_err() {
                tracing::debug!(node = %link.node, "too much gossip");
                link.lose();
            }
            Ok(false)
        }
        // Nothing else concerns us: it is read and dropped.
        _ => Ok(false),
    }
}

async fn to_channel(
    node: NodeId,
    id: ChannelId,
    message: Message,
    link: &Link,
    to: &Readers,
) -> Result<bool, ConnectionFault> {
    let doors = to.directory.doors();
    let Some(door) = doors.heard_by(node, id) else {
        // BOLT 2: "MUST ... send an `error`" for a channel we know nothing of: the peer then gets its
        // money without us. But where a backup says that it is we who forgot, or it may still say so, we do
        // not know nothing.
        let forgot = to.is_doubtful || to.ahead.borrow().is_some();
        if matches!(message, Message::ChannelReestablish(_)) && !forgot {
            link.say_error(id, "unknown channel");
        }
        return Ok(false);
    };
    let counts = is_words(&message);
    let heard = Heard { generation: link.generation, message };
    // Waiting here is how TCP slows a peer down that says more than we can do.
    let _ended = door.messages.send(heard).await;
    Ok(!counts)
}

/// Writes until the connection ends.
pub async fn write(
    mut writer: FrameWriter,
    mut out: Inbox<Out>,
    waiting: Waiting,
    broken: CancellationToken,
) -> Result<(), ConnectionFault> {
    let work = async {
        while let Some(first) = out.recv().await {
            let mut next = Some(first);
            let mut close = false;
            while let Some(item) = next {
                match item {
                    Out::Frame(frame) => {
                        writer.push(&frame)?;
                        waiting.taken(frame.len());
                    }
                    Out::Close => close = true,
                }
                next = if close || writer.waiting() >= WRITE_BYTES {
                    None
                } else {
                    out.try_recv().ok()
                };
            }
            tokio::time::timeout(WRITE_PATIENCE, writer.flush())
                .await
                .unwrap_or(Err(ConnectionFault::Slow))?;
            if close {
                return Err(ConnectionFault::Closed);
            }
        }
        Ok(())
    };
    tokio::select! {
        biased;
        () = broken.cancelled() => Ok(()),
        ended = work => ended,
    }
}

fn now() -> Instant {
    Instant::now()
}

fn millis() -> u64 {
    crate::clock::now_ms()
}
