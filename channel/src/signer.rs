//! The only place that sees a private key of a channel. BOLT 3 § Keys.
//!
//! Everything the machine wants signed goes through [`Signer`], and the signer has a will of its own: it
//! never signs a commitment of ours whose secret it gave away, never gives away the secret of one it
//! signed, and never signs an older commitment of the peer's than it did before. Bugs above it may
//! stop a channel; these they cannot turn into lost money.
//!
//! Not here: the node's own key, the wallet's keys.

mod derive;
#[cfg(test)]
mod tests;
mod tower;

pub use tower::{HtlcSigner, RevocationSigner};

use std::sync::atomic::{AtomicU64, Ordering};

use bitcoin::Transaction;
use bitcoin::hashes::Hash;
use bitcoin::sighash::{EcdsaSighashType, SighashCache};
use secp256k1::{Message, PublicKey, SECP256K1};
use thiserror::Error;
use wire::id::{NodeId, Signature};
use wire::message::ChannelAnnouncement;

use crate::clock::Side;
use crate::keys::ChannelBasepoints;
use crate::shachain::{self, COMMITMENT_NUMBER_MAX};
use crate::tx::spend::{Recipe, Spend};
use crate::tx::{ClosingTx, Commitment, SignatureFault, Workers, script};
use derive::ChannelSecrets;

/// Why the signer does not sign. Every one is a bug above it, except a broken seed.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum SignRefusal {
    /// Its secret is out: broadcasting it would give the peer everything.
    #[error("our commitment {number} is revoked: secrets below {revealed} are out")]
    Revoked {
        /// The commitment to sign.
        number: u64,
        /// How many secrets are out.
        revealed: u64,
    },
    /// It may be on the chain: revealing its secret would give the peer everything.
    #[error("our commitment {number} may be on the chain")]
    Broadcast {
        /// The commitment whose secret was wanted.
        number: u64,
    },
    /// The peer's commitments only go forward.
    #[error("their commitment {number} is older than {last}, which was signed")]
    Backwards {
        /// The commitment to sign.
        number: u64,
        /// The newest one signed.
        last: u64,
    },
    /// A commitment of the wrong side, or of another channel.
    #[error("not a transaction of this channel, or not of this side")]
    Foreign,
    /// A channel has 2^48 commitments.
    #[error("commitment number {0} does not fit 48 bits")]
    Number(u64),
    /// The transaction does not spend the output.
    #[error("the transaction does not spend the output that is to be signed for")]
    NotSpent,
    /// A signature of the peer's that goes into the witness is not one.
    #[error("the peer's stored signature is none: {0}")]
    TheirSignature(#[from] SignatureFault),
    /// The seed, the channel index or a point leads to no key. Nobody can bring this about by chance.
    #[error("no such key")]
    NoKey,
}

/// What `commitment_signed` carries.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CommitmentSignatures {
    /// Signs the commitment.
    pub signature: Signature,
    /// One for each HTLC output, in output order.
    pub htlcs: Vec<Signature>,
}

/// Signs for one channel.
///
/// A step may ask and be thrown away: asking for the same thing again is always answered again.
pub trait Signer: Send + Sync {
    /// Our public keys in this channel.
    fn basepoints(&self) -> &ChannelBasepoints;

    /// Our `per_commitment_point` for commitment `number`, 0 for the first.
    fn point(&self, number: u64) -> Result<PublicKey, SignRefusal>;

    /// The secret behind the point of our commitment `number`. From now on it is revoked, with all
    /// before it.
    fn reveal(&self, number: u64) -> Result<[u8; 32], SignRefusal>;

    /// Whether `claim` is the secret of our commitment `number`, as a peer that says we are behind has
    /// to prove. Reveals nothing. BOLT 2 § Message Retransmission.
    fn is_our_secret(&self, number: u64, claim: &[u8; 32]) -> bool;

    /// Signs the peer's commitment and its HTLC transactions.
    fn sign_theirs(
        &self,
        commitment: &Commitment,
        workers: &dyn Workers,
    ) -> Result<CommitmentSignatures, SignRefusal>;

    /// Completes our commitment with the peer's signature, ready to broadcast. Its secret stays here
    /// from now on.
    fn sign_ours(
        &self,
        commitment: &Commitment,
        their_signature: &Signature,
    ) -> Result<Transaction, SignRefusal>;

    /// Signs a close.
    fn sign_close(&self, close: &ClosingTx) -> Result<Signature, SignRefusal>;

    /// Signs that a channel of ours may be shown to the world, with its funding key. BOLT 7 § The
    /// `announcement_signatures` Message.
    fn sign_announcement(
        &self,
        announcement: &ChannelAnnouncement,
    ) -> Result<Signature, SignRefusal>;

    /// A signature for input `input` of `tx`, which takes `spend` from a cheater, over as much of the
    /// transaction as `sighash` says: for a tower that signs nothing itself. Only penalties are signed so.
    fn sign_penalty(
        &self,
        tx: &Transaction,
        input: usize,
        spend: &Spend,
        sighash: EcdsaSighashType,
    ) -> Result<Signature, SignRefusal>;

    /// Puts our witness on every input of `tx` that spends one of `spends`; other inputs stay as they
    /// are. Inputs and outputs must be final: each signature covers all of them.
    fn sign_spends(&self, tx: &mut Transaction, spends: &[&Spend]) -> Result<(), SignRefusal>;
}

/// What a signer must remember of its past when it is made again, from the channel's record.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Memory {
    /// How many secrets of ours are out: the number of our oldest commitment that is not revoked.
    pub revealed: u64,
    /// The newest commitment of the peer's that was signed, 0 for none.
    pub signed_theirs: u64,
    /// Our oldest commitment that was signed for broadcast, if any was.
    pub broadcast: Option<u64>,
}

/// A signer whose keys lie in this process, all from the node's seed and the channel's index.
pub struct InMemorySigner {
    secrets: ChannelSecrets,
    basepoints: ChannelBasepoints,
    revealed: AtomicU64,
    signed_theirs: AtomicU64,
    /// `u64::MAX` as long as nothing was broadcast.
    broadcast: AtomicU64,
}

impl std::fmt::Debug for InMemorySigner {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("InMemorySigner")
            .field("basepoints", &self.basepoints)
            .field("revealed", &self.revealed)
            .field("signed_theirs", &self.signed_theirs)
            .finish_non_exhaustive()
    }
}

impl InMemorySigner {
    /// The signer of channel `channel_index` (below 2^31) of the node with this seed (16 to 64 bytes).
    ///
    /// Every index gives unrelated keys, and the same index gives the same keys for ever: an index must
    /// never be used for two channels.
    pub fn new(seed: &[u8], channel_index: u32, memory: Memory) -> Result<Self, SignRefusal> {
        let secrets = ChannelSecrets::derive(seed, channel_index).ok_or(SignRefusal::NoKey)?;
        Ok(Self::of(secrets, memory))
    }

    fn of(secrets: ChannelSecrets, memory: Memory) -> Self {
        Self {
            basepoints: secrets.basepoints(),
            secrets,
            revealed: memory.revealed.into(),
            signed_theirs: memory.signed_theirs.into(),
            broadcast: memory.broadcast.unwrap_or(u64::MAX).into(),
        }
    }

    fn secret(&self, number: u64) -> Result<[u8; 32], SignRefusal> {
        shachain::secret(self.secrets.shachain_seed(), number).ok_or(SignRefusal::Number(number))
    }

    /// Whether the commitment is one of `owner` in this channel.
    fn check_ours(&self, commitment: &Commitment, owner: Side) -> Result<(), SignRefusal> {
        let terms = commitment.terms();
        let ours = match owner {
            Side::Us => terms.owner_funding,
            Side::Them => terms.other_funding,
        };
        if terms.owner == owner && ours == self.basepoints.funding {
            Ok(())
        } else {
            Err(SignRefusal::Foreign)
        }
    }

    fn sign_spend(
        &self,
        cache: &mut SighashCache<&mut Transaction>,
        input: usize,
        spend: &Spend,
    ) -> Result<(), SignRefusal> {
        let key = self.spend_key(spend)?;
        let digest = cache
            .p2wsh_signature_hash(input, &spend.witness_script, spend.value, EcdsaSighashType::All)
            .map_err(|_| SignRefusal::NotSpent)?;
        let witness = spend.witness(&sign(&key, &digest.to_byte_array()))?;
        *cache.witness_mut(input).ok_or(SignRefusal::NotSpent)? = witness;
        Ok(())
    }

    fn spend_key(&self, spend: &Spend) -> Result<derive::Key, SignRefusal> {
        let (secrets, basepoints) = (&self.secrets, &self.basepoints);
        match &spend.recipe {
            Recipe::ToRemote => Some(secrets.payment()),
            // The funding key signs for nothing here but our own anchor.
            Recipe::Anchor if spend.witness_script == script::anchor(&basepoints.funding) => {
                Some(secrets.funding())
            }
            Recipe::Anchor => return Err(SignRefusal::Foreign),
            Recipe::Delayed { point, .. } => {
                secrets.delayed_payment().tweaked(&basepoints.delayed_payment, point)
            }
            Recipe::HtlcTransaction { point, .. } | Recipe::HtlcDirect { point, .. } => {
                secrets.htlc().tweaked(&basepoints.htlc, point)
            }
            Recipe::PenaltyDelayed { secret } | Recipe::PenaltyHtlc { secret, .. } => {
                secrets.revocation().with_revoked(&basepoints.revocation, &secret.0)
            }
        }
        .ok_or(SignRefusal::NoKey)
    }
}

impl Signer for InMemorySigner {
    fn basepoints(&self) -> &ChannelBasepoints {
        &self.basepoints
    }

    fn point(&self, number: u64) -> Result<PublicKey, SignRefusal> {
        let secret = derive::Key::new(&self.secret(number)?).ok_or(SignRefusal::NoKey)?;
        Ok(secret.public())
    }

    fn reveal(&self, number: u64) -> Result<[u8; 32], SignRefusal> {
        let secret = self.secret(number)?;
        // BOLT 5: "MUST NOT broadcast a commitment transaction for which *it* has exposed the"
        if number >= self.broadcast.load(Ordering::SeqCst) {
            return Err(SignRefusal::Broadcast { number });
        }
        self.revealed.fetch_max(number.saturating_add(1), Ordering::SeqCst);
        Ok(secret)
    }

    fn is_our_secret(&self, number: u64, claim: &[u8; 32]) -> bool {
        self.secret(number).is_ok_and(|secret| {
            // No early end: a peer could guess byte by byte.
            secret.iter().zip(claim).fold(0, |seen, (one, two)| seen | (one ^ two)) == 0
        })
    }

    fn sign_theirs(
        &self,
        commitment: &Commitment,
        workers: &dyn Workers,
    ) -> Result<CommitmentSignatures, SignRefusal> {
        self.check_ours(commitment, Side::Them)?;
        let number = commitment.number();
        let last = self.signed_theirs.fetch_max(number, Ordering::SeqCst);
        if number < last {
            return Err(SignRefusal::Backwards { number, last });
        }
        let signature = sign(&self.secrets.funding(), &commitment.digest());
        let htlc_key = (self.secrets.htlc())
            .tweaked(&self.basepoints.htlc, &commitment.keys().per_commitment_point)
            .ok_or(SignRefusal::NoKey)?;
        let digests = commitment.htlc_digests();
        let htlcs = workers.sign(commitment.htlcs().len(), &|place| {
            // Workers only ask for places that exist; there is nothing else to sign for the rest.
            sign(&htlc_key, &digests.digest(place).unwrap_or_default())
        });
        Ok(CommitmentSignatures { signature, htlcs })
    }

    fn sign_ours(
        &self,
        commitment: &Commitment,
        their_signature: &Signature,
    ) -> Result<Transaction, SignRefusal> {
        self.check_ours(commitment, Side::Us)?;
        let number = commitment.number();
        if number > COMMITMENT_NUMBER_MAX {
            return Err(SignRefusal::Number(number));
        }
        let revealed = self.revealed.load(Ordering::SeqCst);
        if number < revealed {
            return Err(SignRefusal::Revoked { number, revealed });
        }
        self.broadcast.fetch_min(number, Ordering::SeqCst);
        let terms = commitment.terms();
        let signature = sign(&self.secrets.funding(), &commitment.digest());
        let ours = (&terms.owner_funding, &signature);
        let witness = terms.funding.witness(ours, (&terms.other_funding, their_signature))?;
        let mut tx = commitment.tx().clone();
        tx.input.first_mut().ok_or(SignRefusal::NotSpent)?.witness = witness;
        Ok(tx)
    }

    fn sign_close(&self, close: &ClosingTx) -> Result<Signature, SignRefusal> {
        let script = close.funding().witness_script.as_bytes();
        let ours = self.basepoints.funding.serialize();
        if !script.windows(ours.len()).any(|window| window == ours) {
            return Err(SignRefusal::Foreign);
        }
        Ok(sign(&self.secrets.funding(), &close.digest()))
    }

    fn sign_announcement(
        &self,
        announcement: &ChannelAnnouncement,
    ) -> Result<Signature, SignRefusal> {
        let ours = NodeId::from(self.basepoints.funding);
        // The digest is the hash of a message that names the key; no transaction's looks like it.
        if ![announcement.bitcoin_key_1, announcement.bitcoin_key_2].contains(&ours) {
            return Err(SignRefusal::Foreign);
        }
        Ok(sign(&self.secrets.funding(), &announcement.digest()))
    }

    fn sign_penalty(
        &self,
        tx: &Transaction,
        input: usize,
        spend: &Spend,
        sighash: EcdsaSighashType,
    ) -> Result<Signature, SignRefusal> {
        if !matches!(spend.recipe, Recipe::PenaltyDelayed { .. } | Recipe::PenaltyHtlc { .. }) {
            return Err(SignRefusal::Foreign);
        }
        let key = self.spend_key(spend)?;
        sign_input(&key, tx, input, spend, sighash)
    }

    fn sign_spends(&self, tx: &mut Transaction, spends: &[&Spend]) -> Result<(), SignRefusal> {
        let places: Vec<_> = (spends.iter())
            .map(|spend| {
                (tx.input.iter())
                    .position(|input| input.previous_output == spend.outpoint)
                    .ok_or(SignRefusal::NotSpent)
            })
            .collect::<Result<_, _>>()?;
        let mut cache = SighashCache::new(tx);
        for (input, spend) in places.into_iter().zip(spends) {
            self.sign_spend(&mut cache, input, spend)?;
        }
        Ok(())
    }
}

/// The `per_commitment_point` of a secret that the peer revealed, to compare with what it had promised;
/// `None` if it is no secret at all.
pub fn revealed_point(secret: &[u8; 32]) -> Option<PublicKey> {
    derive::Key::new(secret).map(|key| key.public())
}

/// A signature of `key` for one input that spends `spend`.
fn sign_input(
    key: &derive::Key,
    tx: &Transaction,
    input: usize,
    spend: &Spend,
    sighash: EcdsaSighashType,
) -> Result<Signature, SignRefusal> {
    let spends = tx.input.get(input).is_some_and(|it| it.previous_output == spend.outpoint);
    if !spends {
        return Err(SignRefusal::NotSpent);
    }
    let digest = SighashCache::new(tx)
        .p2wsh_signature_hash(input, &spend.witness_script, spend.value, sighash)
        .map_err(|_| SignRefusal::NotSpent)?;
    Ok(sign(key, &digest.to_byte_array()))
}

/// Signs with RFC 6979 nonces. Not again and again until R is low: nobody asks for that, and it costs as
/// much as the signature.
fn sign(key: &derive::Key, digest: &[u8; 32]) -> Signature {
    SECP256K1.sign_ecdsa(&Message::from_digest(*digest), key.as_secret()).into()
}
