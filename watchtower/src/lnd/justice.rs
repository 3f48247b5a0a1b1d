//! The one transaction that a blob is good for, rebuilt to the byte: its signatures are over all of it.
//!
//! Inputs are `to_local` and, if the kit has it, `to_remote`, in the order of BIP 69; the one output is
//! what is left after a fee that follows from the session's feerate and from LND's estimate of the
//! weight. That estimate is a byte too low for `to_local` of legacy channels, in LND on purpose and
//! therefore here.
//!
//! Not here: HTLCs, for which the blob has nothing.

use bitcoin::absolute::LockTime;
use bitcoin::hashes::Hash as _;
use bitcoin::sighash::{EcdsaSighashType, Prevouts, SighashCache, TapSighashType};
use bitcoin::taproot::{LeafVersion, TapLeafHash};
use bitcoin::transaction::Version;
use bitcoin::{
    Amount, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, WPubkeyHash, Witness,
};
use secp256k1::{Message, PublicKey, SECP256K1, XOnlyPublicKey, ecdsa, schnorr};
use thiserror::Error;
use wire::units::FeeratePerKw;

use super::blob::{BlobType, Kit, ToLocal};
use super::script::{self, Lock, Opening};
use crate::kit::claim::{Claim, ClaimKind, Deadline, Rung, Way};

/// Why a kit that opened takes nothing.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum JusticeError {
    /// Neither a P2WPKH nor a script of 34 bytes.
    #[error("the sweep script is no witness program of 22 or 34 bytes")]
    SweepScript,
    /// The breach has no such output.
    #[error("the breach has no output for {0:?}")]
    NoOutput(ClaimKind),
    /// The fee takes everything, or all but dust.
    #[error("nothing worth having is left after the fee")]
    Dust,
    /// The victim's signature does not sign this transaction.
    #[error("the signature for {0:?} does not sign the justice transaction")]
    Signature(ClaimKind),
}

/// An output that is taken.
struct Taken {
    kind: ClaimKind,
    outpoint: OutPoint,
    txout: TxOut,
    lock: Lock,
    sequence: Sequence,
    signature: [u8; 64],
    signer: Signer,
}

enum Signer {
    Ecdsa(PublicKey),
    Schnorr(XOnlyPublicKey),
}

/// What LND thinks that the witness for `to_local` weighs.
const fn to_local_witness(kind: BlobType) -> u64 {
    match kind {
        BlobType::Legacy => 156,
        BlobType::Anchor => 157,
        BlobType::Taproot | BlobType::TaprootFinal => 202,
    }
}

/// What LND thinks that the witness for `to_remote` weighs.
const fn to_remote_witness(kind: BlobType) -> u64 {
    match kind {
        BlobType::Legacy => 109,
        BlobType::Anchor => 113,
        BlobType::Taproot => 139,
        BlobType::TaprootFinal => 138,
    }
}

/// LND's estimate: a transaction with `to_local`, maybe `to_remote`, and one output of 22 or 34 bytes.
///
/// # Errors
/// [`JusticeError::SweepScript`] for a script of any other length.
pub fn estimated_weight(
    kind: BlobType,
    sweep_script_len: usize,
    with_to_remote: bool,
) -> Result<u64, JusticeError> {
    let output: u64 = match sweep_script_len {
        22 => 31,
        34 => 43,
        _ => return Err(JusticeError::SweepScript),
    };
    let inputs: u64 = if with_to_remote { 2 } else { 1 };
    // Version, lock time and both counts: 10 bytes.
    let stripped = inputs.saturating_mul(41).saturating_add(10).saturating_add(output);
    let remote = if with_to_remote { to_remote_witness(kind) } else { 0 };
    let witness = to_local_witness(kind).saturating_add(remote).saturating_add(2);
    Ok(stripped.saturating_mul(4).saturating_add(witness))
}

/// The justice transaction without signatures, and what it spends: what a client signs.
///
/// # Errors
/// [`JusticeError`].
pub fn unsigned(
    kind: BlobType,
    sat_per_kw: u64,
    kit: &Kit,
    breach: &Transaction,
) -> Result<(Transaction, Vec<TxOut>), JusticeError> {
    let (tx, taken) = assemble(kind, sat_per_kw, kit, breach)?;
    Ok((tx, taken.into_iter().map(|taken| taken.txout).collect()))
}

/// What the kit takes from `breach`, for the responder: the same signed transaction for each output.
///
/// Every signature is checked, so the transaction is one that a miner can take.
///
/// # Errors
/// [`JusticeError`]; anybody may have made the kit.
pub fn claims(
    kind: BlobType,
    sat_per_kw: u64,
    kit: &Kit,
    breach: &Transaction,
) -> Result<Vec<Claim>, JusticeError> {
    let (mut tx, taken) = assemble(kind, sat_per_kw, kit, breach)?;
    let prevouts: Vec<TxOut> = taken.iter().map(|taken| taken.txout.clone()).collect();
    let witnesses = (0..)
        .zip(&taken)
        .map(|(place, taken)| taken.witness(&tx, place, &prevouts))
        .collect::<Option<Vec<Witness>>>();
    let Some(witnesses) = witnesses else {
        return Err(bad_signature(&tx, &taken, &prevouts));
    };
    for (input, witness) in tx.input.iter_mut().zip(witnesses) {
        input.witness = witness;
    }
    let swept = tx.output.iter().map(|output| output.value).sum::<Amount>();
    let total = prevouts.iter().map(|output| output.value).sum::<Amount>();
    let fee = total.checked_sub(swept).unwrap_or(Amount::ZERO);
    let per_kw = fee.to_sat().saturating_mul(1_000).checked_div(tx.weight().to_wu()).unwrap_or(0);
    let feerate = FeeratePerKw(u32::try_from(per_kw).unwrap_or(u32::MAX));
    // LND has every channel but a legacy one wait a block before `to_remote` is spent, and both inputs are
    // in one transaction.
    let csv = taken.iter().map(|taken| u16::from(taken.sequence != Sequence::ZERO)).max();
    let rung = Rung { feerate, fee, open: false, tx };
    let claim = |taken: Taken| Claim {
        outpoint: taken.outpoint,
        value: taken.txout.value,
        script_pubkey: taken.txout.script_pubkey,
        kind: taken.kind,
        deadline: deadline(taken.kind, &kit.to_local),
        csv: csv.unwrap_or(0),
        way: Way::Ladder(vec![rung.clone()]),
    };
    Ok(taken.into_iter().map(claim).collect())
}

/// When the cheater can take its own output. For taproot the blob does not say: as soon as possible.
fn deadline(kind: ClaimKind, to_local: &ToLocal) -> Deadline {
    match (kind, to_local) {
        (ClaimKind::ToRemote, _) => Deadline::Never,
        (_, ToLocal::Segwit { csv, .. }) => Deadline::After(*csv),
        (_, ToLocal::Taproot { .. }) => Deadline::Race,
    }
}

fn bad_signature(tx: &Transaction, taken: &[Taken], prevouts: &[TxOut]) -> JusticeError {
    let bad = (0..).zip(taken).find(|(place, taken)| taken.witness(tx, *place, prevouts).is_none());
    JusticeError::Signature(bad.map_or(ClaimKind::ToLocal, |(_, taken)| taken.kind))
}

/// The transaction without witnesses, and what it takes in the order of its inputs.
fn assemble(
    kind: BlobType,
    sat_per_kw: u64,
    kit: &Kit,
    breach: &Transaction,
) -> Result<(Transaction, Vec<Taken>), JusticeError> {
    let script = &kit.sweep_script;
    if !(script.is_p2wpkh() || script.is_p2wsh() || script.is_p2tr()) {
        return Err(JusticeError::SweepScript);
    }
    let weight = estimated_weight(kind, script.len(), kit.to_remote.is_some())?;
    let mut taken = take(kind, kit, breach)?;
    // BIP 69: by the breach's id, which is the same for both, then by place.
    taken.sort_by_key(|taken| taken.outpoint.vout);
    let total = taken
        .iter()
        .try_fold(Amount::ZERO, |sum, taken| sum.checked_add(taken.txout.value))
        .ok_or(JusticeError::Dust)?;
    let fee = sat_per_kw.checked_mul(weight).map_or(u64::MAX, |fee| fee / 1_000);
    let value = total
        .checked_sub(Amount::from_sat(fee))
        .filter(|left| *left >= script.minimal_non_dust())
        .ok_or(JusticeError::Dust)?;
    let input = taken.iter().map(|taken| TxIn {
        previous_output: taken.outpoint,
        script_sig: ScriptBuf::new(),
        sequence: taken.sequence,
        witness: Witness::new(),
    });
    let tx = Transaction {
        version: Version::TWO,
        lock_time: LockTime::ZERO,
        input: input.collect(),
        output: vec![TxOut { value, script_pubkey: script.clone() }],
    };
    Ok((tx, taken))
}

/// The outputs of the breach that the kit is for.
fn take(kind: BlobType, kit: &Kit, breach: &Transaction) -> Result<Vec<Taken>, JusticeError> {
    let find = |kind: ClaimKind, lock: Option<Lock>| {
        let missing = JusticeError::NoOutput(kind);
        let lock = lock.ok_or(missing)?;
        let mut outputs = (0_u32..).zip(&breach.output);
        let found = outputs.find(|(_, output)| output.script_pubkey == lock.script_pubkey);
        let (vout, txout) = found.ok_or(missing)?;
        let outpoint = OutPoint { txid: breach.compute_txid(), vout };
        Ok((outpoint, txout.clone(), lock))
    };
    let (outpoint, txout, lock) = find(ClaimKind::ToLocal, script::to_local(&kit.to_local))?;
    let signer = match &kit.to_local {
        ToLocal::Segwit { revocation, .. } => Signer::Ecdsa(*revocation),
        ToLocal::Taproot { revocation, .. } => Signer::Schnorr(*revocation),
    };
    let mut taken = vec![Taken {
        kind: ClaimKind::ToLocal,
        outpoint,
        txout,
        lock,
        sequence: Sequence::ZERO,
        signature: kit.to_local_signature,
        signer,
    }];
    if let Some(to_remote) = &kit.to_remote {
        let lock = script::to_remote(kind, &to_remote.key);
        let (outpoint, txout, lock) = find(ClaimKind::ToRemote, lock)?;
        let signer = if kind.is_taproot() {
            Signer::Schnorr(to_remote.key.x_only_public_key().0)
        } else {
            Signer::Ecdsa(to_remote.key)
        };
        taken.push(Taken {
            kind: ClaimKind::ToRemote,
            outpoint,
            txout,
            lock,
            sequence: match kind {
                BlobType::Legacy => Sequence::ZERO,
                BlobType::Anchor | BlobType::Taproot | BlobType::TaprootFinal => {
                    Sequence::from_consensus(1)
                }
            },
            signature: to_remote.signature,
            signer,
        });
    }
    Ok(taken)
}

impl Taken {
    /// The witness for this input, if the signature is one for it.
    fn witness(&self, tx: &Transaction, place: usize, prevouts: &[TxOut]) -> Option<Witness> {
        let digest = Message::from_digest(digest(&self.lock, &self.txout, tx, place, prevouts)?);
        let signature = match self.signer {
            Signer::Ecdsa(key) => {
                let mut signature = ecdsa::Signature::from_compact(&self.signature).ok()?;
                // LND writes signatures with a low S, whatever came.
                signature.normalize_s();
                SECP256K1.verify_ecdsa(&digest, &signature, &key).ok()?;
                let all = u8::try_from(EcdsaSighashType::All.to_u32()).ok()?;
                [signature.serialize_der().as_ref(), &[all]].concat()
            }
            Signer::Schnorr(key) => {
                let signature = schnorr::Signature::from_slice(&self.signature).ok()?;
                SECP256K1.verify_schnorr(&signature, &digest, &key).ok()?;
                self.signature.to_vec()
            }
        };
        Some(match &self.lock.opening {
            Opening::Revoke(script) => {
                Witness::from_slice(&[signature.as_slice(), &[1], script.as_bytes()])
            }
            Opening::Script(script) => {
                Witness::from_slice(&[signature.as_slice(), script.as_bytes()])
            }
            Opening::Key(key) => Witness::from_slice(&[signature.as_slice(), &key.serialize()]),
            Opening::Leaf { script, control } => {
                Witness::from_slice(&[signature.as_slice(), script.as_bytes(), control])
            }
        })
    }
}

/// What the signature at `place` is over: everything.
pub fn digest(
    lock: &Lock,
    spent: &TxOut,
    tx: &Transaction,
    place: usize,
    prevouts: &[TxOut],
) -> Option<[u8; 32]> {
    let mut cache = SighashCache::new(tx);
    let all = EcdsaSighashType::All;
    match &lock.opening {
        Opening::Revoke(script) | Opening::Script(script) => {
            let digest = cache.p2wsh_signature_hash(place, script, spent.value, all).ok()?;
            Some(digest.to_byte_array())
        }
        Opening::Key(key) => {
            let hash = WPubkeyHash::hash(&key.serialize());
            let script = ScriptBuf::new_p2wpkh(&hash);
            let digest = cache.p2wpkh_signature_hash(place, &script, spent.value, all).ok()?;
            Some(digest.to_byte_array())
        }
        Opening::Leaf { script, .. } => {
            let leaf = TapLeafHash::from_script(script, LeafVersion::TapScript);
            let prevouts = Prevouts::All(prevouts);
            let kind = TapSighashType::Default;
            let digest = cache.taproot_script_spend_signature_hash(place, &prevouts, leaf, kind);
            Some(digest.ok()?.to_byte_array())
        }
    }
}
