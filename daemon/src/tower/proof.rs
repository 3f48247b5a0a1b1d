//! Files that convict a tower. Of a theft: its receipt, the record made again, the breach and the theft, and the
//! blocks between them. Of less: what was found out when it was audited (`audit`), and receipts that
//! contradict.
//!
//! Not here: the file's bytes and its judge (`watchtower::proof::fraud`), who looks for thefts (`theft`).

use std::io;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use bitcoin::hashes::Hash as _;
use bitcoin::{BlockHash, OutPoint, Transaction, Txid};
use chain_backend::backend::{BackendError, ChainBackend};
use secp256k1::{PublicKey, SECP256K1};
use tokio::sync::oneshot;
use watchtower::hint::Hint;
use watchtower::kit::claim::ClaimKind;
use watchtower::kit::sealed;
use watchtower::kit::template::Template;
use watchtower::message::{KIT_SEALED, Sealed};
use watchtower::proof::fraud::{Exhibit, FraudProof, Headers, Mined, Rejection, Verdict};
use watchtower::proof::mmr::{self, Path};
use watchtower::proof::receipt::Receipt;
use wire::codec::Decode as _;
use wire::id::NodeId;

use super::book::Kept;
use super::remake::{NoRemake, remake};
use super::sealed::HTLCS_MAX;
use super::task::Towers;
use super::upload::{Shared, session_key};
use crate::channels::task::Ask;
use crate::fact::ChannelIndex;
use crate::payments::Reply;
use crate::rpc::refusal::{Noun, Refusal};

/// The most records whose leaves are held at once: 128 MiB.
const LEAVES_MAX: u32 = 1 << 22;

/// Why there is nothing to convict a tower with.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NoProof {
    /// The channel is not with the tower, or it never signed for anything.
    #[error("the tower never signed for a record of this channel")]
    NothingSigned,
    /// It has keys instead of records.
    #[error("the tower has keys instead of records, and promises nothing about these")]
    Trusted,
    /// The channel is not closed, as far as blocks know.
    #[error("no block has a close of this channel")]
    NotClosed,
    /// The close is no state that the tower was told of.
    #[error("the close is no old state that the tower had signed for")]
    NotCovered,
    /// Nobody has taken the output in question in a block.
    #[error("nobody has taken the output in question yet")]
    NotTaken,
    /// The records cannot be made again.
    #[error("the record cannot be made again: {0}")]
    Remake(#[from] NoRemake),
    /// They are others than those that were signed for.
    #[error("our own old states make other records than the tower signed for")]
    OtherRecords,
    /// The chain.
    #[error("the chain cannot be asked: {0}")]
    Chain(#[from] BackendError),
    /// Everything is there, and the tower is not to blame.
    #[error("the tower is not to blame: {0}")]
    Innocent(Rejection),
}

impl NoProof {
    /// Whether the next block may change it.
    pub(super) const fn may_change(&self) -> bool {
        matches!(self, Self::NotClosed | Self::NotTaken | Self::Chain(_))
    }
}

/// What a tower promised about one record, and the breach that calls it in.
#[derive(Clone, Debug)]
pub(super) struct Promise {
    pub(super) tower: PublicKey,
    pub(super) template: Vec<u8>,
    pub(super) receipt: Receipt,
    pub(super) record: Sealed,
    pub(super) path: Path,
    pub(super) breach: Txid,
    /// The cheater's own output of that.
    pub(super) target: OutPoint,
}

impl Promise {
    /// What convicts the tower, if the output was taken by the cheater.
    ///
    /// # Errors
    /// [`NoProof`].
    pub(super) async fn broken(
        &self,
        chain: &dyn ChainBackend,
        genesis: [u8; 32],
    ) -> Result<FraudProof, NoProof> {
        let breach = mined(chain, self.breach).await?.ok_or(NoProof::NotClosed)?;
        let spend = chain.spender(self.target, breach.height).await?.ok_or(NoProof::NotTaken)?;
        let theft = mined(chain, spend.tx.compute_txid()).await?.ok_or(NoProof::NotTaken)?;
        let first_height = self.receipt.ack.height;
        let mut headers = Vec::new();
        for height in first_height..=theft.height {
            headers.push(chain.header_at(height).await?.header);
        }
        let proof = FraudProof {
            chain: BlockHash::from_byte_array(genesis),
            tower: self.tower,
            template: self.template.clone(),
            receipt: self.receipt,
            record: self.record.clone(),
            path: self.path.clone(),
            headers: Headers { first_height, headers },
            breach,
            theft,
            tombstones: Vec::new(),
        };
        // Nobody is accused of what our own judge would not believe.
        match proof.verify(&[]) {
            Verdict::Guilty(_) => Ok(proof),
            Verdict::Rejected(why) => Err(NoProof::Innocent(why)),
        }
    }
}

/// A transaction with its place in a block; `None` if it is in none.
async fn mined(chain: &dyn ChainBackend, txid: Txid) -> Result<Option<Mined>, BackendError> {
    let Some((at, index)) = chain.tx(txid).await?.and_then(|found| found.confirmed) else {
        return Ok(None);
    };
    let block = chain.block(at.hash).await?;
    Ok(Mined::new(&block, at.height, index))
}

/// What a tower promised about the close of a channel, in whichever of its sessions it did.
///
/// # Errors
/// [`NoProof`]: of those the first that the next block may change, or that of the first session.
pub(super) async fn promised(
    shared: &Shared,
    tower: PublicKey,
    sessions: &[Kept],
) -> Result<Promise, NoProof> {
    let mut whys = Vec::new();
    for session in sessions {
        match promised_in(shared, tower, session).await {
            Ok(promise) => return Ok(promise),
            Err(why) => whys.push(why),
        }
    }
    let place = whys.iter().position(NoProof::may_change).unwrap_or(0);
    Err(whys.into_iter().nth(place).unwrap_or(NoProof::NothingSigned))
}

async fn promised_in(
    shared: &Shared,
    tower: PublicKey,
    session: &Kept,
) -> Result<Promise, NoProof> {
    let opened = &session.opened;
    if opened.kit != KIT_SEALED {
        return Err(NoProof::Trusted);
    }
    let receipt = session.at.as_ref().and_then(|at| Receipt::decode_exact(&at.receipt).ok());
    let receipt = receipt.ok_or(NoProof::NothingSigned)?;
    let channel = ChannelIndex(opened.channel);
    let breach = close_of(shared, channel, opened.row).await?;
    let txid = breach.compute_txid();
    let hint = Hint::of(&txid);
    let signed = receipt.ack.durable_seq;
    if signed > LEAVES_MAX {
        return Err(NoProof::OtherRecords);
    }
    let (mut leaves, mut found) = (Vec::new(), None);
    let look = |seq: u32, record: &Sealed, leaf| {
        leaves.push(leaf);
        if found.is_none() && record.hint == hint {
            found = Some((seq, record.clone()));
        }
    };
    let range = remake(shared, &tower, opened, (signed, HTLCS_MAX), look).await?;
    if range.root() != receipt.ack.root {
        return Err(NoProof::OtherRecords);
    }
    let (seq, record) = found.ok_or(NoProof::NotCovered)?;
    let path = mmr::path(seq, leaves).map_err(|_| NoProof::OtherRecords)?;
    let secret = session_key(&shared.keys, &tower, channel, opened.number);
    let public = secret.ok_or(NoProof::NothingSigned)?.public_key(SECP256K1);
    let template = Template::from_bytes(&opened.template).map_err(|_| NoProof::NotCovered)?;
    let plain = sealed::open(&record.ciphertext, &txid, &public, seq);
    let plain = plain.map_err(|_| NoProof::OtherRecords)?;
    let claims = sealed::evaluate(&template, &plain, &breach).map_err(|_| NoProof::NotCovered)?;
    let target = claims.iter().find(|claim| claim.kind == ClaimKind::ToLocal);
    let target = target.ok_or(NoProof::NotCovered)?.outpoint;
    let template = opened.template.clone();
    Ok(Promise { tower, template, receipt, record, path, breach: txid, target })
}

/// The transaction that closed a channel, if it shows a state that the peer had revoked.
async fn close_of(
    shared: &Shared,
    channel: ChannelIndex,
    row: u64,
) -> Result<Transaction, NoProof> {
    let over = NoProof::Remake(NoRemake::Over);
    let door = shared.directory.doors().get(channel).cloned().ok_or_else(|| over.clone())?;
    let (reply, answer) = oneshot::channel();
    let ask = Ask::Revoked { from: row, reply };
    door.asks.send(ask).await.map_err(|_| over.clone())?;
    let told = answer.await.ok().flatten().ok_or(over)?;
    let txid = told.spent.ok_or(NoProof::NotClosed)?;
    let close = shared.backend.tx(txid).await?.ok_or(NoProof::NotClosed)?;
    let number = told.terms.obscuring.reveal(&close.tx);
    match number {
        Some(number) if number < told.revoked() => Ok(Transaction::clone(&close.tx)),
        _ => Err(NoProof::NotCovered),
    }
}

/// Writes a file into the directory for them, durably. Its path if there is one, and words about it.
pub(super) async fn put(dir: &FilePath, exhibit: Exhibit) -> (Option<PathBuf>, String) {
    let dir = dir.to_owned();
    match tokio::task::spawn_blocking(move || write(&dir, &exhibit)).await {
        Ok(Ok(path)) => (Some(path.clone()), format!("the proof is {}", path.display())),
        Ok(Err(error)) => (None, format!("the proof cannot be written: {error}")),
        Err(_) => (None, "the proof could not be written".to_owned()),
    }
}

fn write(dir: &FilePath, exhibit: &Exhibit) -> io::Result<PathBuf> {
    std::fs::create_dir_all(dir)?;
    let short = |key: &PublicKey| -> String { key.to_string().chars().take(16).collect() };
    let (tower, of) = match exhibit {
        Exhibit::Theft(proof) => (&proof.tower, proof.breach.tx.compute_txid().to_string()),
        Exhibit::Lost(lost) => (&lost.tower, format!("lost-{}", short(&lost.receipt.session.key))),
        Exhibit::Receipts(evidence) => {
            (&evidence.tower, format!("receipts-{}", short(&evidence.receipt.session.key)))
        }
    };
    let path = dir.join(format!("{}-{of}.proof", short(tower)));
    let aside = path.with_extension("new");
    std::fs::write(&aside, exhibit.to_bytes())?;
    std::fs::File::open(&aside)?.sync_all()?;
    std::fs::rename(&aside, &path)?;
    std::fs::File::open(dir)?.sync_all()?;
    Ok(path)
}

impl Towers {
    /// Answers with what convicts a tower of letting a channel be robbed.
    pub(super) fn prove(
        &self,
        tower: NodeId,
        channel: ChannelIndex,
        reply: Reply<Result<Vec<u8>, NoProof>>,
    ) {
        let Some(key) =
            PublicKey::from_slice(&tower.0).ok().filter(|_| self.book.towers.contains_key(&tower))
        else {
            let refusal = Refusal::NotFound { kind: Noun::Tower, id: tower.to_string() };
            let _gone = reply.send(Err(refusal));
            return;
        };
        // A session without a signature says why there is no proof, too.
        let mut sessions = self.book.signed(tower, channel.0);
        if sessions.is_empty() {
            sessions.extend(self.book.sessions.get(&(tower, channel.0)).cloned());
        }
        let shared = Arc::clone(&self.shared);
        let stop = self.tasks.token();
        self.tasks.detach("tower proof", async move {
            let work = async {
                let promise = promised(&shared, key, &sessions).await?;
                promise.broken(shared.backend.as_ref(), shared.chain).await
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                made = work => {
                    let _gone = reply.send(Ok(made.map(|proof| proof.to_bytes())));
                }
            }
        });
    }
}
