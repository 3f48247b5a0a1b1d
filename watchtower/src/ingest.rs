//! The listener: clients of ours and of LND's on one port, everything bounded.
//!
//! One task owns the door: who is connected from where, and under which key. Each connection is a task of its
//! own with a handful of frames in memory; what it stores waits in the keeper's queue, so a slow disk slows
//! the client and never fills memory.
//!
//! Not here: what is stored (`store`), what the messages are (`message`, `lnd`).

mod frames;
mod gate;
mod greet;
mod history;
mod lnd;
mod talk;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use secp256k1::{Keypair, SECP256K1, SecretKey};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::message::{Caps, Offer};
use crate::store::segment::SEALED_MAX;
use crate::store::{DiskKey, Keeper};
use crate::watch::View;

pub use gate::Bounds;

use frames::{FrameReader, FrameWriter, LineFault};
use gate::{Bucket, Gate};
use talk::Talk;

/// Frames of a connection that wait to be heard: 64 KiB each at most.
const FRAMES: usize = 4;
/// Words to the door that wait, beside two of each connection.
const DOOR: usize = 64;

/// What sessions are offered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Offered {
    /// Bytes of a session that asks for nothing else.
    pub bytes: u32,
    /// Bytes of a session at most.
    pub bytes_max: u64,
    /// Blocks for which a session takes records that asks for nothing else.
    pub blocks: u32,
    /// Blocks at most.
    pub blocks_max: u32,
    /// Blocks behind that for which it is still watched.
    pub grace_blocks: u32,
}

impl Default for Offered {
    fn default() -> Self {
        Self {
            bytes: 64 << 20,
            bytes_max: 1 << 30,
            blocks: 52_560,
            blocks_max: 52_560,
            grace_blocks: 2_016,
        }
    }
}

/// What a listener needs.
#[derive(Clone, Debug)]
pub struct Reception {
    /// The tower's key: who it is on the wire, and what it signs with.
    pub key: SecretKey,
    /// The hash of the chain's first block, as it lies in memory.
    pub chain_hash: [u8; 32],
    /// Where records go.
    pub keeper: Keeper,
    /// What happens.
    pub view: View,
    /// What sessions are offered.
    pub offered: Offered,
    /// Who may come, and how often.
    pub bounds: Bounds,
    /// Milliseconds since any moment.
    pub clock: fn() -> u64,
}

/// How many are connected.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Guests {
    /// Connections that stand.
    pub connections: usize,
    /// Calls that were turned away since the start.
    pub turned_away: u64,
    /// Connections that ended with a fault of the caller's.
    pub faults: u64,
}

/// A word to the door.
enum Word {
    Speaks { key: [u8; 33], from: IpAddr, answer: oneshot::Sender<Option<bool>> },
    HangsUp { key: [u8; 33] },
    Leaves { from: IpAddr, fault: bool },
}

/// Takes calls until it is told to stop.
pub async fn serve(
    reception: Reception,
    listener: TcpListener,
    guests: watch::Sender<Guests>,
    stop: CancellationToken,
) {
    let bounds = reception.bounds.clone();
    let (door, mut words) =
        mpsc::channel(bounds.connections.saturating_mul(2).saturating_add(DOOR));
    let connections = Arc::new(Semaphore::new(bounds.connections));
    let half_open = Arc::new(Semaphore::new(bounds.half_open));
    let mut gate = Gate::new(bounds);
    let tracker = TaskTracker::new();
    let reception = Arc::new(reception);
    loop {
        let room = connections.available_permits() > 0 && half_open.available_permits() > 0;
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(word) = words.recv() => open_door(&mut gate, word, &guests),
            // Without room calls wait in the system's queue.
            call = listener.accept(), if room => {
                let Ok((socket, address)) = call else {
                    // No file left, most likely.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                };
                let from = address.ip();
                let stands = Arc::clone(&connections).try_acquire_owned();
                let opens = Arc::clone(&half_open).try_acquire_owned();
                let (Ok(stands), Ok(opens)) = (stands, opens) else { continue };
                if !gate.comes(from, (reception.clock)()) {
                    guests.send_modify(|g| g.turned_away = g.turned_away.saturating_add(1));
                    continue;
                }
                guests.send_modify(|g| g.connections = g.connections.saturating_add(1));
                let visit = Visit {
                    reception: Arc::clone(&reception),
                    from,
                    door: door.clone(),
                    stop: stop.clone(),
                };
                tracker.spawn(visit.run(socket, stands, opens));
            }
        }
    }
    tracker.close();
    drop(door);
    loop {
        tokio::select! {
            () = tracker.wait() => break,
            Some(word) = words.recv() => open_door(&mut gate, word, &guests),
        }
    }
}

fn open_door(gate: &mut Gate, word: Word, guests: &watch::Sender<Guests>) {
    match word {
        Word::Speaks { key, from, answer } => {
            let may = gate.speaks(key).then(|| gate.trusts(&key, from));
            let held = may.is_some();
            if answer.send(may).is_err() && held {
                gate.hangs_up(&key);
            }
        }
        Word::HangsUp { key } => gate.hangs_up(&key),
        Word::Leaves { from, fault } => {
            gate.leaves(from);
            guests.send_modify(|g| {
                g.connections = g.connections.saturating_sub(1);
                g.faults = g.faults.saturating_add(u64::from(fault));
            });
        }
    }
}

/// One connection.
struct Visit {
    reception: Arc<Reception>,
    from: IpAddr,
    door: mpsc::Sender<Word>,
    stop: CancellationToken,
}

impl Visit {
    async fn run(
        self,
        socket: TcpStream,
        stands: OwnedSemaphorePermit,
        opens: OwnedSemaphorePermit,
    ) {
        let ended = tokio::select! {
            () = self.stop.cancelled() => Ok(()),
            ended = self.visit(socket, opens) => ended,
        };
        if let Err(error) = &ended {
            tracing::debug!(from = %self.from, %error, "a connection ended");
        }
        // There is room again before the door hears of it and looks.
        drop(stands);
        let word = Word::Leaves { from: self.from, fault: ended.is_err() };
        let _stopping = self.door.send(word).await;
    }

    async fn visit(&self, socket: TcpStream, opens: OwnedSemaphorePermit) -> Result<(), LineFault> {
        let reception = &self.reception;
        let patience = reception.bounds.patience;
        let greeting = async {
            let (key, mut reader, mut writer) =
                frames::answer(socket, reception.key, patience).await?;
            let offer = (caps(), offer(&reception.offered));
            let chain_hash = reception.chain_hash;
            let ours = greet::greet(&mut reader, &mut writer, chain_hash, offer).await?;
            Ok::<_, LineFault>((key, reader, writer, ours))
        };
        let (key, reader, writer, ours) =
            timeout(patience, greeting).await.map_err(|_| LineFault::Slow)??;
        drop(opens);
        let bytes = key.serialize();
        let (answer, hear) = oneshot::channel();
        let word = Word::Speaks { key: bytes, from: self.from, answer };
        self.door.send(word).await.map_err(|_| LineFault::Stopped)?;
        let may = hear.await.map_err(|_| LineFault::Stopped)?;
        let Some(is_trusted) = may else { return Err(LineFault::Limit("this key")) };
        let _held = Held { key: bytes, door: self.door.clone() };
        let keypair = Keypair::from_secret_key(SECP256K1, &reception.key);
        let rate = u64::from(reception.bounds.records_per_second).saturating_mul(1_000);
        let room = reception.bounds.records_per_second.saturating_mul(4);
        let talk = Talk {
            key,
            keeper: reception.keeper.clone(),
            tower: keypair,
            disk_key: DiskKey::of(&reception.key),
            view: reception.view.clone(),
            offered: reception.offered,
            is_trusted,
            records: Bucket::new(room, rate, (reception.clock)()),
            clock: reception.clock,
            session: None,
        };
        converse(talk, ours, reader, writer).await
    }
}

/// The key may speak again when this is gone, however the connection ended.
struct Held {
    key: [u8; 33],
    door: mpsc::Sender<Word>,
}

impl Drop for Held {
    fn drop(&mut self) {
        // The queue has room for every connection there can be.
        let _stopping = self.door.try_send(Word::HangsUp { key: self.key });
    }
}

async fn converse(
    talk: Talk,
    ours: bool,
    mut reader: FrameReader,
    writer: FrameWriter,
) -> Result<(), LineFault> {
    let first = reader.read().await?;
    let (queue, frames) = mpsc::channel(FRAMES);
    let reading = async {
        loop {
            let frame = match reader.read().await {
                Ok(frame) => frame,
                Err(error) => {
                    drop(queue);
                    return error;
                }
            };
            if queue.send(frame).await.is_err() {
                return LineFault::Stopped;
            }
        }
    };
    let talking = async {
        if crate::lnd::wire::Message::is_one(&first) {
            let (keeper, key) = (talk.keeper.clone(), talk.key.serialize());
            let blocks = talk.offered.blocks;
            lnd::run(&keeper, key, blocks, first, frames, writer).await
        } else if ours {
            talk.run(first, frames, writer).await
        } else {
            Err(LineFault::Message("a message of the other kind".to_owned()))
        }
    };
    tokio::pin!(reading, talking);
    tokio::select! {
        biased;
        talked = &mut talking => talked,
        broken = &mut reading => {
            // What was read is still heard.
            talking.await?;
            let hung_up = matches!(
                &broken,
                LineFault::Broken(error) if error.kind() == std::io::ErrorKind::UnexpectedEof
            );
            if hung_up { Ok(()) } else { Err(broken) }
        }
    }
}

fn caps() -> Caps {
    Caps { flags: 1, max_batch: 1_024, max_record: u32::try_from(SEALED_MAX).unwrap_or(u32::MAX) }
}

const fn offer(offered: &Offered) -> Offer {
    Offer {
        bytes_quota: offered.bytes,
        max_blocks: offered.blocks_max,
        grace_blocks: offered.grace_blocks,
    }
}

#[cfg(test)]
mod tests;
