//! A record from a state that was just revoked. The client's half.

use bitcoin::hashes::{Hash as _, ripemd160};
use bitcoin::sighash::EcdsaSighashType;
use channel::signer::{SignRefusal, Signer};
use channel::tx::{Commitment, Direction, OutputKind, Recipe, RevokedSecret, Spend};
use wire::id::Signature;
use wire::units::Sat;

use super::evaluate::single;
use super::{HtlcRecord, Record};
use crate::kit::claim::single_weight;
use crate::kit::template::{Covers, Template};

/// A record, and what it is worth.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Built {
    /// The record.
    pub record: Record,
    /// What its outputs hold.
    pub covered: Sat,
    /// What lies in outputs of the cheater's that are too small to be covered.
    pub uncovered: Sat,
}

/// What it takes to punish whoever shows `commitment`, the peer's, whose `secret` it gave up.
///
/// # Errors
/// Those of the signer: keys that do not fit together.
pub fn build(
    template: &Template,
    commitment: &Commitment,
    secret: RevokedSecret,
    signer: &dyn Signer,
) -> Result<Built, SignRefusal> {
    let revocation = commitment.keys().revocation;
    let delayed = commitment.delayed_script();
    let mut record = Record {
        point: commitment.keys().per_commitment_point,
        to_local: Vec::new(),
        htlcs: Vec::new(),
    };
    let (mut covered, mut uncovered) = (0_u64, 0_u64);
    for (outpoint, kind, txout) in commitment.outputs() {
        let before = record.to_local.len().saturating_add(record.htlcs.len());
        match kind {
            OutputKind::ToOwner => {
                let recipe = Recipe::PenaltyDelayed { secret };
                let witness_script = delayed.clone();
                let spend = Spend { outpoint, value: txout.value, witness_script, recipe };
                record.to_local = ladder(template, &spend, signer)?;
            }
            OutputKind::Htlc(place) => {
                let Some(htlc) = commitment.htlcs().get(place) else { continue };
                let witness_script = htlc.witness_script.clone();
                let recipe = Recipe::PenaltyHtlc { secret, revocation };
                let spend = Spend { outpoint, value: txout.value, witness_script, recipe };
                if let Some(signature) = pair(template, &spend, signer)? {
                    let hash = ripemd160::Hash::hash(&htlc.htlc.payment_hash.0).to_byte_array();
                    let received = match htlc.htlc.direction {
                        Direction::Offered => None,
                        Direction::Received => Some(htlc.htlc.cltv_expiry),
                    };
                    record.htlcs.push(HtlcRecord { hash, received, signature });
                }
            }
            // Ours without a tower, and 330 sat.
            OutputKind::ToOther | OutputKind::Anchor(_) => continue,
        }
        let value = txout.value.to_sat();
        if record.to_local.len().saturating_add(record.htlcs.len()) > before {
            covered = covered.saturating_add(value);
        } else {
            uncovered = uncovered.saturating_add(value);
        }
    }
    Ok(Built { record, covered: Sat::from_sat(covered), uncovered: Sat::from_sat(uncovered) })
}

fn ladder(
    template: &Template,
    spend: &Spend,
    signer: &dyn Signer,
) -> Result<Vec<Signature>, SignRefusal> {
    let weight = single_weight(spend.input_weight(), &template.sweep_script);
    (template.rungs(spend.value, weight).into_iter())
        .map(|(step, left)| {
            let tx = single(template, spend.outpoint, left);
            let sighash = match step.covers {
                Covers::All => EcdsaSighashType::All,
                Covers::Pair => EcdsaSighashType::SinglePlusAnyoneCanPay,
            };
            signer.sign_penalty(&tx, 0, spend, sighash)
        })
        .collect()
}

fn pair(
    template: &Template,
    spend: &Spend,
    signer: &dyn Signer,
) -> Result<Option<Signature>, SignRefusal> {
    let weight = single_weight(spend.input_weight(), &template.sweep_script);
    let Some(left) = template.htlc_output(spend.value, weight) else { return Ok(None) };
    let tx = single(template, spend.outpoint, left);
    let sighash = EcdsaSighashType::SinglePlusAnyoneCanPay;
    signer.sign_penalty(&tx, 0, spend, sighash).map(Some)
}
