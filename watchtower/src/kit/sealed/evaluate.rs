//! Claims from a record and the commitment that opened it. The tower's half: every signature is checked
//! before anything is built on it, and no input makes it panic.

use std::collections::BTreeMap;

use bitcoin::absolute::LockTime;
use bitcoin::hashes::Hash as _;
use bitcoin::sighash::{EcdsaSighashType, SighashCache};
use bitcoin::{OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Witness};
use channel::keys::CommitmentKeys;
use channel::tx::{Show, script};
use secp256k1::{Message, PublicKey, SECP256K1, ecdsa};
use thiserror::Error;
use wire::id::Signature;
use wire::units::{FeeratePerKw, Sat};

use super::{HTLCS_MAX, HtlcRecord, Record};
use crate::kit;
use crate::kit::claim::{Claim, ClaimKind, Deadline, Pair, Rung, Way, single_weight};
use crate::kit::template::{Covers, Step, Template};

/// Why a record that opened leads to no claim.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum EvaluateError {
    /// Points that lead to no key.
    #[error("the keys of the commitment cannot be derived")]
    Keys,
    /// The transaction has none of the outputs.
    #[error("the transaction has no output that the record is for")]
    NoOutput,
    /// Not one signature in it is good.
    #[error("no signature of the record is good")]
    Signatures,
    /// As many signatures as no client makes for an output of this value.
    #[error("the record has {got} signatures for to_local, its output has {expected} prices")]
    Ladder {
        /// What the template makes of the output.
        expected: usize,
        /// What came.
        got: usize,
    },
}

/// The outputs of a commitment by their scripts. Several HTLCs of one payment can have the same.
type Outputs<'a> = BTreeMap<&'a ScriptBuf, Vec<(OutPoint, &'a TxOut)>>;

/// How many signatures are looked at for one record: as many as a commitment has HTLCs, and some more for
/// outputs with the same script.
const TRIES: usize = 4 * HTLCS_MAX;

/// An output on its way to a claim: the place, and what an input shows.
struct Target<'a> {
    outpoint: OutPoint,
    txout: &'a TxOut,
    witness_script: ScriptBuf,
    show: Show,
    revocation: PublicKey,
}

/// What can be taken from `commitment` with `record`. Everything pays the template's script, and every
/// witness is good.
///
/// A bad part of a record does not spoil the others. Some 50 µs for each output.
///
/// # Errors
/// [`EvaluateError`] if nothing at all can be claimed.
pub fn evaluate(
    template: &Template,
    record: &Record,
    commitment: &Transaction,
) -> Result<Vec<Claim>, EvaluateError> {
    let keys = kit::keys(
        (&template.revocation_basepoint, &template.our_htlc_basepoint),
        (&template.delayed_basepoint, &template.their_htlc_basepoint),
        &record.point,
    )
    .map_err(|_| EvaluateError::Keys)?;
    let txid = commitment.compute_txid();
    let mut outputs = Outputs::new();
    for (vout, txout) in (0..).zip(&commitment.output) {
        let outpoint = OutPoint { txid, vout };
        outputs.entry(&txout.script_pubkey).or_default().push((outpoint, txout));
    }
    let mut claims = Vec::with_capacity(record.htlcs.len().saturating_add(1));
    let (mut fault, mut found) = (None, false);
    if !record.to_local.is_empty() {
        let delayed =
            script::delayed(&keys.revocation, template.to_self_delay, &keys.owner_delayed);
        let place = outputs.get(&delayed.to_p2wsh()).and_then(|alike| alike.first().copied());
        if let Some((outpoint, txout)) = place {
            found = true;
            let (show, revocation) = (Show::Delayed, keys.revocation);
            let target = Target { outpoint, txout, witness_script: delayed, show, revocation };
            match to_local(template, &record.to_local, &target) {
                Ok(claim) => claims.push(claim),
                Err(error) => fault = Some(error),
            }
        }
    }
    let mut tries = TRIES;
    for htlc in &record.htlcs {
        let witness_script = htlc_script(&keys, htlc);
        let Some(alike) = outputs.get_mut(&witness_script.to_p2wsh()) else { continue };
        found |= !alike.is_empty();
        claims.extend(claim_one(template, htlc, &keys, &witness_script, alike, &mut tries));
    }
    match (claims.is_empty(), fault, found) {
        (false, ..) => Ok(claims),
        (true, Some(fault), _) => Err(fault),
        (true, None, true) => Err(EvaluateError::Signatures),
        (true, None, false) => Err(EvaluateError::NoOutput),
    }
}

/// The one of the outputs with this script that the signature is for. It is not there for the next one.
fn claim_one(
    template: &Template,
    htlc: &HtlcRecord,
    keys: &CommitmentKeys,
    witness_script: &ScriptBuf,
    alike: &mut Vec<(OutPoint, &TxOut)>,
    tries: &mut usize,
) -> Option<Claim> {
    let (place, claim) = alike.iter().enumerate().find_map(|(place, (outpoint, txout))| {
        *tries = tries.checked_sub(1)?;
        let target = Target {
            outpoint: *outpoint,
            txout,
            witness_script: witness_script.clone(),
            show: Show::Htlc(keys.revocation),
            revocation: keys.revocation,
        };
        pair(template, htlc, &target).map(|claim| (place, claim))
    })?;
    alike.remove(place);
    Some(claim)
}

fn htlc_script(keys: &CommitmentKeys, htlc: &HtlcRecord) -> ScriptBuf {
    match htlc.received {
        None => script::offered_htlc_hashed(keys, htlc.hash),
        Some(expiry) => script::received_htlc_hashed(keys, htlc.hash, expiry),
    }
}

fn to_local(
    template: &Template,
    signatures: &[Signature],
    target: &Target<'_>,
) -> Result<Claim, EvaluateError> {
    let value = target.txout.value;
    let input_weight = target.show.input_weight(&target.witness_script);
    let prices = template.rungs(value, single_weight(input_weight, &template.sweep_script));
    if prices.len() != signatures.len() {
        return Err(EvaluateError::Ladder { expected: prices.len(), got: signatures.len() });
    }
    let rungs: Vec<Rung> = (prices.into_iter().zip(signatures))
        .filter_map(|((step, left), signature)| rung(template, target, step, left, signature))
        .collect();
    if rungs.is_empty() {
        return Err(EvaluateError::Signatures);
    }
    let deadline = Deadline::After(template.to_self_delay);
    Ok(target.claim(ClaimKind::ToLocal, deadline, Way::Ladder(rungs)))
}

fn rung(
    template: &Template,
    target: &Target<'_>,
    step: Step,
    left: Sat,
    signature: &Signature,
) -> Option<Rung> {
    let tx = target.signed(template, left, step.covers, signature)?;
    let fee = target.txout.value.checked_sub(left)?;
    let feerate = per_kw(fee, tx.weight().to_wu());
    Some(Rung { feerate, fee, open: step.covers == Covers::Pair, tx })
}

fn pair(template: &Template, htlc: &HtlcRecord, target: &Target<'_>) -> Option<Claim> {
    let value = target.txout.value;
    let input_weight = target.show.input_weight(&target.witness_script);
    let weight = single_weight(input_weight, &template.sweep_script);
    let left = template.htlc_output(value, weight)?;
    let tx = target.signed(template, left, Covers::Pair, &htlc.signature)?;
    let (input, output) = (tx.input.into_iter().next()?, tx.output.into_iter().next()?);
    let feerate = per_kw(value.checked_sub(left)?, weight);
    let (weight, tx_version) = (weight.saturating_sub(AROUND), template.tx_version);
    let way = Way::Pair(Box::new(Pair { input, output, feerate, weight, tx_version }));
    Some(match htlc.received {
        // The expiry of what the cheater offered is not in its script, so nobody told it here.
        None => target.claim(ClaimKind::OfferedHtlc, Deadline::Race, way),
        Some(_) => target.claim(ClaimKind::ReceivedHtlc, Deadline::Race, way),
    })
}

/// The weight of a transaction without its inputs and outputs.
const AROUND: u64 = 42;

fn per_kw(fee: Sat, weight: u64) -> FeeratePerKw {
    let rate = fee.to_sat().saturating_mul(1_000).checked_div(weight).unwrap_or(0);
    FeeratePerKw(u32::try_from(rate).unwrap_or(u32::MAX))
}

/// A justice transaction with one input and one output, before it is signed.
pub(super) fn single(template: &Template, outpoint: OutPoint, left: Sat) -> Transaction {
    Transaction {
        version: template.version(),
        lock_time: LockTime::ZERO,
        input: vec![TxIn {
            previous_output: outpoint,
            script_sig: ScriptBuf::new(),
            sequence: Sequence::ENABLE_RBF_NO_LOCKTIME,
            witness: Witness::new(),
        }],
        output: vec![TxOut { value: left, script_pubkey: template.sweep_script.clone() }],
    }
}

impl Target<'_> {
    /// The transaction that takes it alone, if the signature is good.
    fn signed(
        &self,
        template: &Template,
        left: Sat,
        covers: Covers,
        signature: &Signature,
    ) -> Option<Transaction> {
        let mut tx = single(template, self.outpoint, left);
        let sighash = match covers {
            Covers::All => EcdsaSighashType::All,
            Covers::Pair => EcdsaSighashType::SinglePlusAnyoneCanPay,
        };
        let digest = SighashCache::new(&tx)
            .p2wsh_signature_hash(0, &self.witness_script, self.txout.value, sighash)
            .ok()?;
        let claimed = ecdsa::Signature::from_compact(&signature.0).ok()?;
        // `verify_ecdsa` takes low S only, and so do relays.
        let message = Message::from_digest(digest.to_byte_array());
        SECP256K1.verify_ecdsa(&message, &claimed, &self.revocation).ok()?;
        let witness = self.show.witness(signature, covers.sighash(), &self.witness_script).ok()?;
        tx.input.first_mut()?.witness = witness;
        Some(tx)
    }

    fn claim(&self, kind: ClaimKind, deadline: Deadline, way: Way) -> Claim {
        Claim {
            outpoint: self.outpoint,
            value: self.txout.value,
            script_pubkey: self.txout.script_pubkey.clone(),
            kind,
            deadline,
            csv: 0,
            way,
        }
    }
}
