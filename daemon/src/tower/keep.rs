//! Carries checkpoints to one tower and back, in a session that is for nothing else.
//!
//! The session's key and terms follow from the seed and the tower's key alone, so whoever has the words and
//! knows the tower finds it. The first thing that is asked is what the tower has: a journal that is an
//! older copy must not put its own in the place of what proves that.
//!
//! Not here: what a checkpoint says (`checkpoint`), when one is made and what follows from one (`guardian`).

use std::sync::Arc;
use std::time::Duration;

use bitcoin::hashes::{Hash as _, HashEngine as _, Hmac, HmacEngine, sha256};
use bitcoin::{CompressedPublicKey, ScriptBuf};
use channel::seal::Lsn;
use secp256k1::{PublicKey, SECP256K1, SecretKey};
use tokio::sync::{Semaphore, oneshot, watch};
use tokio_util::sync::CancellationToken;
use watchtower::client::{ClientError, Link};
use watchtower::hint::Hint;
use watchtower::kit::template::{CHANNEL_ANCHORS, Covers, Step, Template};
use watchtower::message::{
    CheckpointGet, CheckpointPut, Code, KIT_SEALED, Message, Records, Renew, Sealed, SessionOpen,
};
use wire::codec::Encode as _;
use wire::units::FeeratePerKw;

use super::checkpoint::{self, Checkpoint};
use super::upload::{News, Shared, What};
use crate::fact::{ChannelIndex, TowerKept};
use crate::seed::Secret32;

/// How long after a failure a tower is called again: doubling, up to five minutes.
const FIRST: Duration = Duration::from_secs(1);
const LAST: Duration = Duration::from_secs(300);

/// A session that ends within so many blocks is renewed: a month.
pub(super) const RENEW_BLOCKS: u32 = 4_320;

/// As much as the tower gives.
const WANT: u32 = u32::MAX;

/// The place of this session where channels have their indices: none has such a one.
pub(super) const PLACE: ChannelIndex = ChannelIndex(u64::MAX);

/// A checkpoint, ready to go out when the journal has it.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) version: u64,
    /// Its version is a fact from here on.
    pub(super) lsn: Lsn,
    pub(super) checkpoint: Checkpoint,
}

/// What was found at a tower, and who waits until that was acted upon.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) version: u64,
    pub(super) checkpoint: Checkpoint,
    pub(super) done: oneshot::Sender<()>,
}

/// The task of one tower.
pub(super) struct Keep {
    pub(super) shared: Arc<Shared>,
    pub(super) tower: TowerKept,
    pub(super) key: PublicKey,
    /// The newest checkpoint.
    pub(super) newest: watch::Receiver<Option<Arc<Made>>>,
    pub(super) connections: Arc<Semaphore>,
    pub(super) stop: CancellationToken,
}

impl Keep {
    /// Runs until it is stopped.
    pub(super) async fn run(mut self) {
        let stop = self.stop.clone();
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = self.work() => {}
        }
    }

    async fn work(&mut self) {
        let mut wait = FIRST;
        let mut looked = false;
        let mut kept = 0;
        loop {
            let done = if looked { self.carry(&mut kept).await } else { self.look().await };
            match done {
                Ok(true) => (looked, wait) = (true, FIRST),
                // A newer one is there: it is looked at before anything else.
                Ok(false) => {
                    looked = false;
                    tokio::time::sleep(wait).await;
                    wait = wait.saturating_mul(2).min(LAST);
                }
                Err(error) => {
                    tracing::debug!(tower = %self.tower.tower, %error, "no checkpoint there");
                    tokio::time::sleep(wait).await;
                    wait = wait.saturating_mul(2).min(LAST);
                }
            }
        }
    }

    /// Tells what the tower has, and waits until that was acted upon.
    async fn look(&self) -> Result<bool, ClientError> {
        let connections = Arc::clone(&self.connections);
        let Ok(_turn) = connections.acquire().await else { return Ok(false) };
        let (keys, chain) = (&self.shared.keys, self.shared.chain);
        let found = fetch(&self.tower, &self.key, keys, chain).await?;
        let Some((version, checkpoint)) = found else { return Ok(true) };
        let (done, acted) = oneshot::channel();
        self.tell(What::Found(Box::new(Found { version, checkpoint, done }))).await;
        Ok(acted.await.is_ok())
    }

    /// Waits for a checkpoint that the tower does not have, and gives it to it. `false` if it has a newer.
    async fn carry(&mut self, kept: &mut u64) -> Result<bool, ClientError> {
        let last = *kept;
        let next =
            self.newest.wait_for(|newest| newest.as_ref().is_some_and(|made| made.version > last));
        let Some(made) = next.await.ok().and_then(|newest| newest.clone()) else {
            // Nobody makes any more: the node stops.
            std::future::pending::<()>().await;
            return Ok(true);
        };
        let mut disk = self.shared.disk.clone();
        if disk.wait_for(|flushed| flushed.upto() >= made.lsn).await.is_err() {
            std::future::pending::<()>().await;
        }
        let sealed =
            checkpoint::seal(&self.shared.keys, &self.tower.tower, made.version, &made.checkpoint);
        let ciphertext = match sealed {
            Ok(ciphertext) => ciphertext,
            Err(error) => {
                tracing::error!(%error, "a checkpoint cannot be sealed");
                *kept = made.version;
                return Ok(true);
            }
        };
        let connections = Arc::clone(&self.connections);
        let Ok(_turn) = connections.acquire().await else { return Ok(true) };
        let code = self.put(made.version, ciphertext).await?;
        match code {
            Code::OK => {
                *kept = made.version;
                self.tell(What::Kept { version: made.version }).await;
                Ok(true)
            }
            Code::STALE_VERSION => Ok(false),
            other => Err(ClientError::Refused(other)),
        }
    }

    async fn put(&self, version: u64, ciphertext: Vec<u8>) -> Result<Code, ClientError> {
        let secret = secret(&self.shared.keys, &self.key, b"key").ok_or(ClientError::Random)?;
        let mut link =
            Link::call(&self.tower.address.0, &self.key, secret, self.shared.chain).await?;
        let template = template(&self.shared.keys, &self.key).ok_or(ClientError::Random)?;
        let open = SessionOpen {
            kit: KIT_SEALED,
            template: template.encoded(),
            want_blocks: WANT,
            want_bytes: WANT,
        };
        let ack = link.open(open).await?;
        if ack.next_seq == 0 {
            // A session without records is one that nobody needs, and is soon forgotten.
            let records = vec![filler(&self.shared.keys, &self.key)];
            link.say(&Records { first_seq: 0, records }.into()).await?;
            hear(&mut link, |message| {
                if let Message::RecordsAck(ack) = message { Some(ack.code) } else { None }
            })
            .await?;
        }
        let height = self.shared.height.borrow().0;
        if ack.expiry.0 < height.saturating_add(RENEW_BLOCKS) {
            link.say(&Renew { want_blocks: WANT, want_bytes: WANT }.into()).await?;
            hear(&mut link, |message| {
                if let Message::Renewed(renewed) = message { Some(renewed.code) } else { None }
            })
            .await?;
        }
        link.say(&CheckpointPut { version, ciphertext }.into()).await?;
        hear(&mut link, |message| {
            if let Message::CheckpointAck(ack) = message { Some(ack.code) } else { None }
        })
        .await
    }

    async fn tell(&self, what: What) {
        let news = News { tower: self.tower.tower, channel: PLACE, what };
        let _stopped = self.shared.news.send(news).await;
    }
}

/// The next message that `of` takes; events in between are no answer.
pub(super) async fn hear<T>(
    link: &mut Link,
    of: impl Fn(&Message) -> Option<T>,
) -> Result<T, ClientError> {
    loop {
        let message = link.hear().await?;
        match of(&message) {
            Some(answer) => return Ok(answer),
            None if matches!(message, Message::Event(_)) => {}
            None => return Err(ClientError::Unexpected(message.kind())),
        }
    }
}

/// What a tower keeps for us: its version, and what it says. A checkpoint that cannot be read is none.
///
/// # Errors
/// [`ClientError`].
pub(super) async fn fetch(
    tower: &TowerKept,
    key: &PublicKey,
    keys: &Secret32,
    chain: [u8; 32],
) -> Result<Option<(u64, Checkpoint)>, ClientError> {
    let secret = secret(keys, key, b"key").ok_or(ClientError::Random)?;
    let mut link = Link::call(&tower.address.0, key, secret, chain).await?;
    link.say(&CheckpointGet {}.into()).await?;
    let value = hear(&mut link, |message| {
        if let Message::CheckpointValue(value) = message { Some(value.clone()) } else { None }
    })
    .await?;
    if value.version == 0 {
        return Ok(None);
    }
    match checkpoint::open(keys, &tower.tower, value.version, &value.ciphertext) {
        Ok(checkpoint) => Ok(Some((value.version, checkpoint))),
        Err(error) => {
            tracing::error!(tower = %tower.tower, %error, "what a tower keeps for us cannot be read");
            Ok(None)
        }
    }
}

/// A secret of this session's: `what` tells them apart.
fn secret(keys: &Secret32, tower: &PublicKey, what: &[u8]) -> Option<SecretKey> {
    SecretKey::from_slice(&bytes(keys, tower, what)).ok()
}

fn bytes(keys: &Secret32, tower: &PublicKey, what: &[u8]) -> [u8; 32] {
    let mut engine = HmacEngine::<sha256::Hash>::new(keys.expose());
    engine.input(b"viaduct tower checkpoint session");
    engine.input(&tower.serialize());
    engine.input(what);
    Hmac::from_engine(engine).to_byte_array()
}

/// Terms as every session has them. Nothing is ever claimed with them.
fn template(keys: &Secret32, tower: &PublicKey) -> Option<Template> {
    let point = |what: &[u8]| secret(keys, tower, what).map(|key| key.public_key(SECP256K1));
    let step = |feerate| Step { feerate: FeeratePerKw(feerate), covers: Covers::All };
    Some(Template {
        channel_type: CHANNEL_ANCHORS,
        revocation_basepoint: point(b"revocation")?,
        delayed_basepoint: point(b"delayed")?,
        our_htlc_basepoint: point(b"our htlc")?,
        their_htlc_basepoint: point(b"their htlc")?,
        to_self_delay: 144,
        tx_version: 2,
        ladder: vec![step(1_500), step(15_000)],
        sweep_script: ScriptBuf::new_p2wpkh(&CompressedPublicKey(point(b"sweep")?).wpubkey_hash()),
    })
}

/// A record that looks like any other and that nothing opens.
fn filler(keys: &Secret32, tower: &PublicKey) -> Sealed {
    let mut hint = [0; 16];
    hint.copy_from_slice(bytes(keys, tower, b"hint").first_chunk::<16>().unwrap_or(&[0; 16]));
    let parts = (0_u8..6).flat_map(|part| bytes(keys, tower, &[b'r', part]));
    // What a state without HTLCs takes with two prices.
    Sealed { hint: Hint(hint), ciphertext: parts.take(178).collect() }
}
