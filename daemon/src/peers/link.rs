//! A live connection as the rest of the node sees it: somebody to say things to.
//!
//! Not here: what is read from it (`peers::connection`).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio_util::sync::CancellationToken;
use wire::feature::Features;
use wire::id::{ChannelId, NodeId};
use wire::message::{Error, Message, Warning};

use crate::edge::{Back, EdgeError};

/// What waits to be written. The protocol bounds it: two commitments' worth of HTLC updates of each
/// channel, and answers to pings.
pub const OUTBOUND: usize = 16_384;

/// Bytes that may wait when one more answer is put behind them. Answers are what any stranger can make us
/// say.
const ANSWERS_BYTES: usize = 4 << 20;

/// Bytes that may wait when a channel says one more thing. Each of a peer's channels may have to repeat
/// 0.7 MB of HTLCs at once after a reconnection.
const OUTBOUND_BYTES: usize = 32 << 20;

/// One thing for the writer.
#[derive(Debug)]
pub enum Out {
    /// A message: type and body.
    Frame(Vec<u8>),
    /// Hang up once everything before is written.
    Close,
}

/// A connection on which `init` was exchanged.
#[derive(Clone, Debug)]
pub struct Link {
    /// With whom.
    pub node: NodeId,
    /// Rises with every connection: messages of an older one are not heard any more.
    pub generation: u64,
    /// What both sides can.
    pub features: Features,
    out: Back<Out>,
    waiting: Waiting,
    /// Bytes of answers that we asked for.
    expected: Arc<AtomicUsize>,
    /// Whether gossip of it was dropped.
    lost: Arc<AtomicBool>,
    broken: CancellationToken,
}

/// How many bytes of messages wait to be written on one connection.
#[derive(Clone, Debug, Default)]
pub struct Waiting(Arc<AtomicUsize>);

impl Waiting {
    /// `bytes` of them wait no more.
    pub fn taken(&self, bytes: usize) {
        self.0.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Adds `bytes` and says how many wait then.
    fn add(&self, bytes: usize) -> usize {
        self.0.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes)
    }
}

impl Link {
    /// A link whose writer reads the other end of `out`; `broken` ends reader and writer.
    pub fn new(
        node: NodeId,
        generation: u64,
        features: Features,
        out: Back<Out>,
        broken: CancellationToken,
    ) -> Self {
        let (waiting, expected, lost) = (Waiting::default(), Arc::default(), Arc::default());
        Self { node, generation, features, out, waiting, expected, lost, broken }
    }

    /// What the writer tells of everything that it takes.
    pub fn waiting(&self) -> Waiting {
        self.waiting.clone()
    }

    /// Says something. A peer that does not read until too much waits is dropped.
    pub fn say(&self, message: &Message) {
        if self.broken.is_cancelled() {
            return;
        }
        tracing::debug!(node = %self.node, message = message.kind(), "said");
        let frame = message.encode_frame();
        if self.waiting.add(frame.len()) > bytes_max(message) {
            return self.drop_deaf();
        }
        self.put(Out::Frame(frame));
    }

    /// Says a message of somebody else's, number and body as they came.
    pub fn say_frame(&self, frame: Vec<u8>) {
        if self.broken.is_cancelled() {
            return;
        }
        if self.waiting.add(frame.len()) > OUTBOUND_BYTES {
            return self.drop_deaf();
        }
        self.put(Out::Frame(frame));
    }

    /// How many bytes wait to be written.
    pub fn waiting_bytes(&self) -> usize {
        self.waiting.0.load(Ordering::Relaxed)
    }

    /// The peer may say so many bytes more without anything counting: we asked for them.
    pub fn expect(&self, bytes: usize) {
        let most = bytes.saturating_mul(2);
        let _old = self.expected.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| {
            Some(now.saturating_add(bytes).min(most))
        });
    }

    /// Takes `bytes` from what was asked for; `false` if that is used up.
    pub fn was_expected(&self, bytes: usize) -> bool {
        let taken = self
            .expected
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| now.checked_sub(bytes));
        taken.is_ok()
    }

    /// Gossip of this peer's was dropped because too much of it waited.
    pub fn lose(&self) {
        self.lost.store(true, Ordering::Relaxed);
    }

    /// Whether gossip was dropped since this was asked last.
    pub fn has_lost(&self) -> bool {
        self.lost.swap(false, Ordering::Relaxed)
    }

    /// Says what is wrong and hangs up; channels live on.
    pub fn warn_and_close(&self, channel_id: ChannelId, text: &str) {
        self.say(&Warning { channel_id, data: text.as_bytes().to_vec() }.into());
        self.close();
    }

    /// Tells the peer that we know nothing of a channel, so that it can get its money.
    pub fn say_error(&self, channel_id: ChannelId, text: &str) {
        self.say(&Error { channel_id, data: text.as_bytes().to_vec() }.into());
    }

    /// Hangs up once everything said before is written.
    pub fn close(&self) {
        self.put(Out::Close);
    }

    /// Hangs up at once.
    pub fn cut(&self) {
        self.broken.cancel();
    }

    fn put(&self, out: Out) {
        match self.out.send(out) {
            Ok(()) | Err(EdgeError::Closed) => {}
            Err(EdgeError::Full) => self.drop_deaf(),
        }
    }

    fn drop_deaf(&self) {
        tracing::warn!(node = %self.node, "does not read; connection dropped");
        self.broken.cancel();
    }
}

/// How many bytes may wait together with `message`.
const fn bytes_max(message: &Message) -> usize {
    if matches!(message, Message::Pong(_) | Message::Error(_) | Message::Warning(_)) {
        ANSWERS_BYTES
    } else {
        OUTBOUND_BYTES
    }
}

#[cfg(test)]
mod tests {
    use wire::message::{Pong, Shutdown};

    use super::*;
    use crate::edge::{Inbox, back};

    fn link() -> (Link, Inbox<Out>) {
        let (out, outbox) = back(OUTBOUND);
        let broken = CancellationToken::new();
        (Link::new(NodeId([2; 33]), 1, Features::empty(), out, broken), outbox)
    }

    /// How many messages a peer that reads nothing can make wait before it is dropped.
    fn said_to_the_deaf(link: &Link, message: &Message) -> usize {
        (0..OUTBOUND).take_while(|_| (link.say(message), !link.broken.is_cancelled()).1).count()
    }

    #[test]
    fn a_peer_that_reads_no_pong_is_dropped_at_four_megabytes() {
        let (link, _outbox) = link();
        let pong = Message::from(Pong { ignored: vec![0; 65_531] });
        assert_eq!(said_to_the_deaf(&link, &pong), (4 << 20) / pong.encode_frame().len());
    }

    #[test]
    fn channels_may_say_more_than_answers_may_and_not_without_end() {
        let (link, _outbox) = link();
        let channel_id = ChannelId([7; 32]);
        let shutdown = Message::from(Shutdown { channel_id, scriptpubkey: vec![0; 60_000].into() });
        assert_eq!(said_to_the_deaf(&link, &shutdown), (32 << 20) / shutdown.encode_frame().len());
    }

    #[test]
    fn a_peer_that_reads_may_be_answered_for_ever() {
        let (link, mut outbox) = link();
        let waiting = link.waiting();
        for _ in 0..200 {
            link.say(&Pong { ignored: vec![0; 65_531] }.into());
            let Ok(Out::Frame(frame)) = outbox.try_recv() else { panic!("nothing was said") };
            waiting.taken(frame.len());
        }
        assert!(!link.broken.is_cancelled());
    }
}
