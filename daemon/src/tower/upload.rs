//! One channel's session with one tower: opens it, sends what is missing, waits for more, for ever.
//!
//! What was acknowledged is a fact at most once a second; whatever was sent since then is made again after
//! a restart, and the tower recognises it. If the tower has more than we can make, it was told of states
//! that our journal does not have: then the journal is an older copy.
//!
//! Not here: how records are made (`sealed`, `replica`), which towers a channel has (`task`).

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bitcoin::hashes::{Hash as _, HashEngine as _, Hmac, HmacEngine, sha256};
use chain_backend::backend::ChainBackend;
use channel::seal::{Flushed, Journal as _};
use channel::signer::{InMemorySigner, Memory};
use secp256k1::{Keypair, PublicKey, SECP256K1, SecretKey};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use watchtower::client::{ClientError, Link};
use watchtower::message::{Code, KIT_REPLICA};
use watchtower::proof::check::Evidence;
use wire::codec::DecodeError;
use wire::id::NodeId;
use wire::units::BlockHeight;

use super::keep::Found;
use super::lease::Lease;
use super::rows::{Cursor, NoRows};
use crate::archive::Archives;
use crate::channels::directory::{Directory, Glance};
use crate::edge::Forward;
use crate::fact::{ChannelIndex, Fact, TowerAt, TowerKept, TowerSession, record};
use crate::journal::Writer;
use crate::layer1::{self, Feerates};
use crate::seed::Secret32;

/// How long a connection without work is kept.
const LINGER: Duration = Duration::from_secs(20);

/// How long states gather before they are sent together: a receipt for each of them alone, signed there,
/// checked and written down here, would cost payments more than the records do.
const GATHER: Duration = Duration::from_millis(25);

/// How long after a failure a tower is called again, in milliseconds: doubling from one second.
const FIRST_MS: u64 = 1_000;
const LAST_MS: u64 = 300_000;

/// What all sessions of a node have in common.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) directory: Directory,
    pub(super) archives: Archives,
    pub(super) chain: [u8; 32],
    pub(super) height: watch::Receiver<BlockHeight>,
    pub(super) feerates: watch::Receiver<Feerates>,
    pub(super) disk: watch::Receiver<Flushed>,
    /// Session keys follow from it.
    pub(super) keys: Secret32,
    /// Keys of channels follow from it.
    pub(super) seed: Arc<Secret32>,
    pub(super) news: mpsc::Sender<News>,
    /// Revoked states that one session reads per second at most when it has to catch up.
    pub(super) states_per_second: u32,
    /// Records that are made at the same time, over all sessions.
    pub(super) makers: Semaphore,
    pub(super) backend: Arc<dyn ChainBackend>,
    pub(super) wallet: Forward<layer1::Ask>,
    /// Where proofs against towers are written.
    pub(super) proofs: PathBuf,
    /// Whose records are made again: one at a time.
    pub(super) audits: Semaphore,
}

/// What a session tells.
#[derive(Debug)]
pub(super) struct News {
    pub(super) tower: NodeId,
    pub(super) channel: ChannelIndex,
    pub(super) what: What,
}

/// What happened to it.
#[derive(Debug)]
pub(super) enum What {
    /// It is opened, in the journal.
    Opened(TowerSession),
    /// The tower answers; how many rows it has, and how many there are.
    Reached { rows: u64, of: u64, at: Option<Box<TowerAt>>, uncovered_sat: u64 },
    /// The tower does not answer.
    Down(String),
    /// The tower refuses.
    Refused(Code),
    /// The tower broke its word.
    Faulted { evidence: Option<Box<Evidence>>, why: String },
    /// The tower knows more than our journal.
    Stale { tower_has: u32, ours: u32 },
    /// So many rows are lost for ever.
    Lost(u64),
    /// The channel is over.
    Over,
    /// The tower has forgotten a channel that is over.
    Deleted,
    /// The tower had a checkpoint when it was asked first.
    Found(Box<Found>),
    /// The tower has the checkpoint of this version.
    Kept { version: u64 },
    /// An audit needs the line: a tower takes one connection of a session at a time.
    Pause(oneshot::Sender<()>),
    /// It has been.
    Resume,
    /// These are in the journal.
    Facts(Vec<Fact>),
}

/// Why a connection ended.
#[derive(Debug)]
pub(super) enum End {
    /// Nothing to do for a while.
    Idle,
    /// The network, or the tower's machine.
    Failed(ClientError),
    /// The tower said no.
    Refused(Code),
    /// The tower is not to be trusted any more.
    Faulted(Option<Box<Evidence>>, String),
    /// The channel is over.
    Over,
    /// Told; nothing more is to be done before a restart.
    Stale,
    /// This session can take no more: another one goes on with this row.
    Another(u64),
}

impl From<ClientError> for End {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Refused(code) => Self::Refused(code),
            other @ (ClientError::Broken(_)
            | ClientError::Handshake(_)
            | ClientError::Slow
            | ClientError::Frame(_)
            | ClientError::Message(_)
            | ClientError::Chain
            | ClientError::Protocol
            | ClientError::Unexpected(_)
            | ClientError::Random) => Self::Failed(other),
        }
    }
}

impl From<DecodeError> for End {
    fn from(error: DecodeError) -> Self {
        Self::Failed(ClientError::Message(error))
    }
}

/// A session's task.
pub(super) struct Upload {
    pub(super) shared: Arc<Shared>,
    pub(super) tower: TowerKept,
    pub(super) key: PublicKey,
    pub(super) channel: ChannelIndex,
    pub(super) writer: Writer,
    pub(super) session: Option<TowerSession>,
    pub(super) at: Option<TowerAt>,
    /// The number that a new session gets, and the row that it begins with.
    pub(super) next_number: u32,
    pub(super) next_row: u64,
    /// Earlier sessions for this channel, which hold older states.
    pub(super) past: Vec<TowerSession>,
    /// When sessions are to be renewed.
    pub(super) lease: Lease,
    /// Revoked states that were looked at.
    pub(super) seen: u64,
    /// What was in flight then, for a tower of one's own.
    pub(super) seen_now: (u64, usize),
    /// Connections to this tower at one time.
    pub(super) connections: Arc<Semaphore>,
    pub(super) stop: CancellationToken,
    pub(super) rng: u64,
}

impl Upload {
    /// Runs until it is stopped, the channel is over, or the tower broke its word.
    pub(super) async fn run(mut self) {
        let stop = self.stop.clone();
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = self.work() => {}
        }
    }

    async fn work(&mut self) {
        let mut wait_ms = FIRST_MS;
        // The first connection shows whether the tower still has everything, also without new states.
        let mut first = true;
        let mut replaced = false;
        loop {
            if !first && !self.wait_for_work_or_renewal().await {
                return self.tell(What::Over).await;
            }
            first = false;
            let end = self.connection().await;
            match end {
                End::Idle => {
                    (wait_ms, replaced) = (FIRST_MS, false);
                    continue;
                }
                End::Over => return self.tell(What::Over).await,
                End::Stale => return,
                End::Another(row) => {
                    self.begin_another(row);
                    first = true;
                    continue;
                }
                End::Faulted(evidence, why) => {
                    return self.tell(What::Faulted { evidence, why }).await;
                }
                End::Failed(error) => self.tell(What::Down(error.to_string())).await,
                End::Refused(code) => {
                    // A session that is full or over goes on in another one at once, if it took anything at all.
                    let ended = matches!(code, Code::QUOTA | Code::EXPIRED);
                    if let Some(row) = self.at.as_ref().filter(|_| ended).map(|at| at.row)
                        && row > self.session.as_ref().map_or(0, |session| session.row)
                    {
                        self.begin_another(row);
                        first = true;
                        continue;
                    }
                    // One whose time was over before it took anything is of no use to anybody. A tower that says
                    // so of its successor too is asked as rarely as any that refuses.
                    if code == Code::EXPIRED && self.session.is_some() {
                        let row = self.at.as_ref().map(|at| at.row);
                        let opened = self.session.as_ref().map_or(0, |session| session.row);
                        self.begin_another(row.unwrap_or(opened));
                        if !std::mem::replace(&mut replaced, true) {
                            first = true;
                            continue;
                        }
                    }
                    self.tell(What::Refused(code)).await;
                    // Full, expired, unknown: others take over, and this one is asked again rarely.
                    if code != Code::RATE && code != Code::TEMPORARY {
                        wait_ms = LAST_MS;
                    }
                }
            }
            tokio::time::sleep(Duration::from_millis(self.spread(wait_ms))).await;
            wait_ms = wait_ms.saturating_mul(2).min(LAST_MS);
            first = true;
        }
    }

    /// A wait spread by up to a quarter, so that a thousand sessions do not call in the same moment.
    fn spread(&mut self, wait_ms: u64) -> u64 {
        // SplitMix64; nothing secret hangs on it.
        self.rng = self.rng.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.rng ^ (self.rng >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let quarter = (wait_ms / 4).saturating_add(1);
        wait_ms.saturating_add((mixed >> 32).checked_rem(quarter).unwrap_or(0))
    }

    /// Leaves a session to itself: its records stay where they are until it expires.
    fn begin_another(&mut self, row: u64) {
        if let Some(session) = self.session.take() {
            self.next_number = session.number.saturating_add(1);
            if row > session.row {
                self.past.push(session);
            }
        }
        self.at = None;
        self.next_row = row;
    }

    /// Until the peer has revoked more than was looked at; `false` if the channel is over.
    async fn wait_for_work(&self) -> bool {
        let Some(door) = self.shared.directory.doors().get(self.channel).cloned() else {
            return false;
        };
        let mut glance = door.glance;
        let (seen, seen_now) = (self.seen, self.seen_now);
        let keys = self.tower.kit == KIT_REPLICA;
        let more =
            |glance: &Glance| glance.revoked > seen || (keys && glance.in_flight != seen_now);
        if glance.wait_for(more).await.is_ok() {
            return true;
        }
        // The channel's task ended: the channel is over, or the node stops.
        tokio::time::sleep(Duration::from_secs(1)).await;
        self.shared.directory.doors().get(self.channel).is_some()
    }

    /// The same, or until a session should be renewed.
    async fn wait_for_work_or_renewal(&self) -> bool {
        let (lease, mut height) = (self.lease, self.shared.height.clone());
        tokio::select! {
            more = self.wait_for_work() => more,
            Ok(_) = height.wait_for(|height| lease.is_due(*height)) => true,
        }
    }

    async fn connection(&mut self) -> End {
        let connections = Arc::clone(&self.connections);
        let Ok(_turn) = connections.acquire().await else { return End::Idle };
        if self.lease.is_due(*self.shared.height.borrow())
            && let Err(end) = self.renew().await
        {
            return end;
        }
        let mut cursor = self.cursor();
        match cursor.ask().await {
            Ok(told) => {
                (self.seen, self.seen_now) = (told.revoked(), told.mark);
                if told.closed {
                    return End::Idle;
                }
            }
            Err(NoRows::Lost) => {}
            Err(NoRows::Over) => return End::Over,
        }
        let done = if self.tower.kit == KIT_REPLICA {
            self.replicate(cursor).await
        } else {
            self.send_records(cursor).await
        };
        done.err().unwrap_or(End::Idle)
    }

    /// At the first row that the tower does not have.
    pub(super) fn cursor(&self) -> Cursor {
        let opened = self.session.as_ref().map_or(self.next_row, |session| session.row);
        let from = self.at.as_ref().map_or(opened, |at| at.row);
        let (directory, archives) = (self.shared.directory.clone(), self.shared.archives.clone());
        Cursor::new(self.channel, directory, archives, from)
    }

    pub(super) async fn call(&self, session: &TowerSession) -> Result<Link, End> {
        let key = session_key(&self.shared.keys, &self.key, self.channel, session.number);
        let key = key.ok_or(ClientError::Random)?;
        Ok(Link::call(&self.tower.address.0, &self.key, key, self.shared.chain).await?)
    }

    /// The public half of the session's key, and the whole.
    pub(super) fn session_keys(&self, session: &TowerSession) -> Option<(PublicKey, Keypair)> {
        let key = session_key(&self.shared.keys, &self.key, self.channel, session.number)?;
        Some((key.public_key(SECP256K1), key.keypair(SECP256K1)))
    }

    /// Signs for the channel, penalties only.
    pub(super) fn signer(&self) -> Option<InMemorySigner> {
        let index = u32::try_from(self.channel.0).ok()?;
        InMemorySigner::new(self.shared.seed.expose(), index, Memory::default()).ok()
    }

    /// Makes a session a fact before the tower hears of it: its template must never change.
    pub(super) async fn keep(&mut self, session: TowerSession) -> Result<(), End> {
        let lsn = self.writer.append(record(&[Fact::TowerSession(session.clone())]));
        let mut disk = self.shared.disk.clone();
        let durable = disk.wait_for(|flushed| flushed.upto() >= lsn).await.is_ok();
        if !durable {
            return Err(End::Idle);
        }
        self.tell(What::Opened(session.clone())).await;
        (self.session, self.at) = (Some(session), None);
        Ok(())
    }

    pub(super) async fn tell(&self, what: What) {
        let news = News { tower: self.tower.tower, channel: self.channel, what };
        let _stopped = self.shared.news.send(news).await;
    }

    /// Waits for new states as long as a connection without work is kept, and for those right behind them;
    /// `false` if none came, or it is time to renew sessions.
    pub(super) async fn linger(&self) -> bool {
        let (lease, mut height) = (self.lease, self.shared.height.clone());
        let come = tokio::select! {
            come = tokio::time::timeout(LINGER, self.wait_for_work()) => come.unwrap_or(false),
            Ok(_) = height.wait_for(|height| lease.is_due(*height)) => false,
        };
        if come {
            tokio::time::sleep(GATHER).await;
        }
        come
    }

    /// A pause after a full batch, so that catching up leaves the machine to payments.
    pub(super) async fn pace(&self, states: usize) {
        let states = u64::try_from(states).unwrap_or(0).saturating_mul(1_000_000);
        let rate = u64::from(self.shared.states_per_second.max(1));
        let pause = states.checked_div(rate).unwrap_or(0);
        tokio::time::sleep(Duration::from_micros(pause)).await;
    }
}

/// The static key of a session: another one for every tower, channel and number.
pub(super) fn session_key(
    secret: &Secret32,
    tower: &PublicKey,
    channel: ChannelIndex,
    number: u32,
) -> Option<SecretKey> {
    let mut engine = HmacEngine::<sha256::Hash>::new(secret.expose());
    engine.input(b"viaduct tower session");
    engine.input(&tower.serialize());
    engine.input(&channel.0.to_be_bytes());
    engine.input(&number.to_be_bytes());
    SecretKey::from_slice(&Hmac::from_engine(engine).to_byte_array()).ok()
}
