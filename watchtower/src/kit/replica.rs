//! The kit for a tower one trusts: keys instead of a record per state.
//!
//! The tower gets what a penalty is signed with once, and then each secret that the peer gives up (32 bytes,
//! folded into at most 49) and each HTLC that any state may show (24 bytes). So it stores nothing per
//! state, it covers what the cheater makes of an HTLC, and it pays what fee it likes.
//!
//! A tower that has this and works together with the peer can take HTLCs that are in flight: it is for a
//! tower of one's own.
//!
//! Not here: where it is kept, encrypted (`store`).

mod template;
mod valid;

pub use template::{ReplicaTemplate, Secret};

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::{OutPoint, ScriptBuf, Transaction, Txid};
use channel::clock::Side;
use channel::past::PastHtlc;
use channel::shachain::{RevealedSecrets, ShachainError};
use channel::signer::{RevocationSigner, SignRefusal};
use channel::tx::penalty::Revoked;
use channel::tx::{Recipe, RevokedSecret, Spend};
use secp256k1::{PublicKey, SECP256K1, SecretKey};
use thiserror::Error;
use wire::units::BlockHeight;

use super::claim::{Claim, ClaimKind, Deadline, Keyed, Right, Way};
use crate::kit;
use crate::message::{HtlcAdd, ReplicaNow};

/// Why a spend of the funding output leads to no claim.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum ReplicaError {
    /// It is a mutual close or a splice.
    #[error("not a commitment")]
    NotACommitment,
    /// It is the newest commitment, or one that is not revoked as far as we heard.
    #[error("commitment {number} is not revoked: secrets below {revealed} are known")]
    NotRevoked {
        /// Its number.
        number: u64,
        /// How many secrets there are.
        revealed: u64,
    },
    /// A commitment of the client's own, or of another channel: no output fits.
    #[error("the commitment has no output that a penalty opens")]
    NoOutput,
    /// Secrets or points that lead to no key.
    #[error("the keys of the commitment cannot be derived")]
    Keys,
    /// Secrets that do not follow from one seed.
    #[error(transparent)]
    Secrets(#[from] ShachainError),
    /// Fewer secrets than before, or others.
    #[error("these secrets do not continue those that are known")]
    Backwards,
    /// A claim of another kit, or one that is not spent by the transaction.
    #[error("cannot be signed: {0}")]
    Sign(#[from] SignRefusal),
}

/// A session with a replica kit, and all that it was told so far but the HTLCs.
#[derive(Clone, Debug)]
pub struct Replica {
    template: ReplicaTemplate,
    secrets: RevealedSecrets,
    now: Option<ReplicaNow>,
}

impl Replica {
    /// A session with these secrets, which may be none yet.
    pub const fn new(template: ReplicaTemplate, secrets: RevealedSecrets) -> Self {
        Self { template, secrets, now: None }
    }

    /// What was said when it was opened.
    pub const fn template(&self) -> &ReplicaTemplate {
        &self.template
    }

    /// The secrets so far, for the disk: [`RevealedSecrets::to_bytes`], at most 2 kB.
    pub const fn secrets(&self) -> &RevealedSecrets {
        &self.secrets
    }

    /// Takes secrets in a row, the first of commitment `first`. Those that are known already may be among
    /// them, if they are the same. Refused, nothing changes.
    pub fn reveal(&mut self, first: u64, secrets: &[[u8; 32]]) -> Result<(), ReplicaError> {
        let mut next = self.secrets.clone();
        for (number, secret) in (first..).zip(secrets) {
            match next.secret(number) {
                Some(known) if known == *secret => {}
                Some(_) => return Err(ReplicaError::Backwards),
                None => next.insert(number, *secret)?,
            }
        }
        self.secrets = next;
        Ok(())
    }

    /// Takes all secrets at once ([`RevealedSecrets::to_bytes`]). Fewer than are known change nothing.
    pub fn reveal_all(&mut self, bytes: &[u8]) -> Result<(), ReplicaError> {
        let next = RevealedSecrets::from_bytes(bytes)?;
        let (known, said) = (self.secrets.count(), next.count());
        let last = known.min(said).saturating_sub(1);
        if self.secrets.secret(last) != next.secret(last) && known.min(said) > 0 {
            return Err(ReplicaError::Backwards);
        }
        if said > known {
            self.secrets = next;
        }
        Ok(())
    }

    /// The number of a spend of the funding output, if it is a commitment that was revoked.
    pub fn revoked(&self, tx: &Transaction) -> Result<u64, ReplicaError> {
        let number = self.number(tx)?;
        let revealed = self.secrets.count();
        if number < revealed {
            Ok(number)
        } else {
            Err(ReplicaError::NotRevoked { number, revealed })
        }
    }

    fn number(&self, tx: &Transaction) -> Result<u64, ReplicaError> {
        let spends =
            (tx.input.iter()).any(|input| self.template.fundings.contains(&input.previous_output));
        (self.template.obscuring().reveal(tx).filter(|_| spends))
            .ok_or(ReplicaError::NotACommitment)
    }

    /// What can be taken from `commitment`, which spends a funding output of the session.
    ///
    /// `htlcs` are all that were ever told, in any order; they are looked through once, about a microsecond
    /// each.
    pub fn evaluate(
        &self,
        commitment: &Transaction,
        htlcs: impl IntoIterator<Item = HtlcAdd>,
    ) -> Result<Vec<Claim>, ReplicaError> {
        let number = self.revoked(commitment)?;
        let opened = self.open(number)?;
        let scripts: BTreeSet<&ScriptBuf> =
            commitment.output.iter().map(|txout| &txout.script_pubkey).collect();
        let mut known: BTreeMap<ScriptBuf, (ScriptBuf, HtlcAdd)> = BTreeMap::new();
        for htlc in htlcs {
            let witness_script = past(&htlc).witness_script(&opened.keys);
            let script_pubkey = witness_script.to_p2wsh();
            if scripts.contains(&script_pubkey) {
                known.insert(script_pubkey, (witness_script, htlc));
            }
        }
        let txid = commitment.compute_txid();
        let delayed = opened.revoked.delayed_script();
        let delayed_pubkey = delayed.to_p2wsh();
        let mut claims = Vec::new();
        for (vout, txout) in (0..).zip(&commitment.output) {
            let outpoint = OutPoint { txid, vout };
            let (witness_script, kind, deadline) = if txout.script_pubkey == delayed_pubkey {
                let deadline = Deadline::After(self.template.to_self_delay);
                (delayed.clone(), ClaimKind::ToLocal, deadline)
            } else if let Some((witness_script, htlc)) = known.get(&txout.script_pubkey) {
                let (kind, deadline) = match htlc.offered {
                    true => (ClaimKind::OfferedHtlc, Deadline::At(htlc.cltv_expiry)),
                    false => (ClaimKind::ReceivedHtlc, Deadline::Race),
                };
                (witness_script.clone(), kind, deadline)
            } else {
                continue;
            };
            let spend = opened.spend(outpoint, txout.value, witness_script, kind);
            let script_pubkey = txout.script_pubkey.clone();
            claims.push(self.claim(number, &spend, script_pubkey, kind, deadline));
        }
        if claims.is_empty() { Err(ReplicaError::NoOutput) } else { Ok(claims) }
    }

    /// What the cheater made of its HTLC output `spent`, of revoked commitment `number`, in transaction
    /// `tx`; `None` if it went to nobody but us, or out of reach.
    pub fn second_stage(&self, number: u64, tx: &Transaction, spent: OutPoint) -> Option<Claim> {
        let opened = self.open(number).ok()?;
        let spend = opened.revoked.second_stage(tx, tx.compute_txid(), spent)?;
        let script_pubkey = spend.witness_script.to_p2wsh();
        let deadline = Deadline::After(self.template.to_self_delay);
        Some(self.claim(number, &spend, script_pubkey, ClaimKind::SecondStage, deadline))
    }

    /// Signs each input of `tx` that takes one of `claims`; other inputs stay as they are. Inputs and
    /// outputs must be final: each signature covers all of them.
    pub fn sign(&self, tx: &mut Transaction, claims: &[&Claim]) -> Result<(), ReplicaError> {
        let signer = RevocationSigner::new(self.template.revocation_key.expose())?;
        for claim in claims {
            let Way::Keyed(keyed) = &claim.way else {
                return Err(ReplicaError::Sign(SignRefusal::Foreign));
            };
            if keyed.right != Right::Revoked {
                self.sign_valid(tx, claim, keyed)?;
                continue;
            }
            let opened = self.open(keyed.number)?;
            let script = keyed.witness_script.clone();
            let spend = opened.spend(claim.outpoint, claim.value, script, claim.kind);
            signer.sign_spends(tx, &[&spend])?;
        }
        Ok(())
    }

    fn open(&self, number: u64) -> Result<Opened, ReplicaError> {
        let revealed = self.secrets.count();
        let secret =
            self.secrets.secret(number).ok_or(ReplicaError::NotRevoked { number, revealed })?;
        let point = SecretKey::from_slice(&secret)
            .map(|key| PublicKey::from_secret_key(SECP256K1, &key))
            .map_err(|_| ReplicaError::Keys)?;
        let signer = RevocationSigner::new(self.template.revocation_key.expose())?;
        let template = &self.template;
        let keys = kit::keys(
            (signer.basepoint(), &template.our_htlc_basepoint),
            (&template.delayed_basepoint, &template.their_htlc_basepoint),
            &point,
        )
        .map_err(|_| ReplicaError::Keys)?;
        let secret = RevokedSecret(secret);
        let revoked = Revoked::with_delay(template.to_self_delay, &keys, secret);
        Ok(Opened { keys, revoked, secret })
    }

    fn claim(
        &self,
        number: u64,
        spend: &Spend,
        script_pubkey: ScriptBuf,
        kind: ClaimKind,
        deadline: Deadline,
    ) -> Claim {
        Claim {
            outpoint: spend.outpoint,
            value: spend.value,
            script_pubkey,
            kind,
            deadline,
            csv: spend.csv(),
            way: Way::Keyed(Keyed {
                number,
                right: Right::Revoked,
                witness_script: spend.witness_script.clone(),
                input_weight: spend.input_weight(),
                sweep_script: self.template.sweep_script.clone(),
            }),
        }
    }

    /// Whether `txid` is one of the funding transactions that are watched.
    pub fn funds(&self, txid: &Txid) -> bool {
        self.template.fundings.iter().any(|outpoint| outpoint.txid == *txid)
    }
}

/// A revoked commitment with all that opens it.
struct Opened {
    keys: channel::keys::CommitmentKeys,
    revoked: Revoked,
    secret: RevokedSecret,
}

impl Opened {
    fn spend(
        &self,
        outpoint: OutPoint,
        value: wire::units::Sat,
        witness_script: ScriptBuf,
        kind: ClaimKind,
    ) -> Spend {
        let (secret, revocation) = (self.secret, self.keys.revocation);
        let recipe = match kind {
            ClaimKind::OfferedHtlc | ClaimKind::ReceivedHtlc => {
                Recipe::PenaltyHtlc { secret, revocation }
            }
            ClaimKind::ToLocal | ClaimKind::SecondStage | ClaimKind::ToRemote => {
                Recipe::PenaltyDelayed { secret }
            }
        };
        Spend { outpoint, value, witness_script, recipe }
    }
}

/// The same HTLC in the client's eyes, to whom the cheater is the other side.
fn past(htlc: &HtlcAdd) -> PastHtlc {
    let by = if htlc.offered { Side::Them } else { Side::Us };
    PastHtlc { by, hash: htlc.hash, cltv_expiry: BlockHeight(htlc.cltv_expiry.0) }
}
