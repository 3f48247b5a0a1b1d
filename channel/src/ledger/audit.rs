//! Money is conserved: checked on the finished transaction, before every signature.
//! BOLT 3 § Commitment Transaction Construction.
//!
//! It shares nothing with the code that builds commitments except the spec and the result, so a mistake
//! has to be made twice to be signed.

use std::collections::BTreeMap;

use thiserror::Error;
use wire::units::{Msat, Sat};

use crate::tx::{Commitment, CommitmentSpec, OutputKind, Party, fee};

/// The parts of a commitment are not what the channel holds.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("the commitment adds up to {found_msat} msat, the channel holds {expected_msat} msat")]
pub struct Unbalanced {
    /// What the parts add up to.
    pub found_msat: u64,
    /// What the channel holds.
    pub expected_msat: u64,
}

/// Checks that balances, HTLCs, fee, anchors and everything trimmed are exactly the channel's value.
pub fn audit(spec: &CommitmentSpec, commitment: &Commitment) -> Result<(), Unbalanced> {
    let terms = commitment.terms();
    let expected_msat = terms.funding.amount.to_sat().saturating_mul(1_000);
    let unbalanced = |found_msat| Unbalanced { found_msat, expected_msat };
    let divided = (spec.htlcs.iter().map(|htlc| htlc.amount.to_u64()))
        .chain([spec.to_owner.to_u64(), spec.to_other.to_u64()])
        .try_fold(0_u64, u64::checked_add)
        .ok_or_else(|| unbalanced(u64::MAX))?;
    if divided != expected_msat {
        return Err(unbalanced(divided));
    }
    let untrimmed: BTreeMap<_, _> = (spec.htlcs.iter())
        .filter(|htlc| htlc.amount.floor_sat() >= terms.dust_limit)
        .map(|htlc| ((htlc.direction, htlc.id), htlc))
        .collect();
    let cost = fee::funder_cost(spec.feerate, untrimmed.len());
    let due = |party, balance: Msat| {
        let owed = owed(balance.floor_sat(), party, terms.funder, cost);
        (owed >= terms.dust_limit).then_some(owed)
    };
    let (to_owner, to_other) = (due(Party::Owner, spec.to_owner), due(Party::Other, spec.to_other));
    let (mut left_msat, mut balances, mut htlcs) = (expected_msat, 0_usize, 0_usize);
    for (_, kind, txout) in commitment.outputs() {
        let value = match kind {
            OutputKind::ToOwner => to_owner,
            OutputKind::ToOther => to_other,
            OutputKind::Anchor(_) => Some(fee::ANCHOR),
            OutputKind::Htlc(place) => {
                let shown = commitment.htlcs().get(place).map(|output| &output.htlc);
                (shown.and_then(|htlc| untrimmed.get(&(htlc.direction, htlc.id))))
                    .filter(|htlc| shown == Some(**htlc))
                    .map(|htlc| htlc.amount.floor_sat())
            }
        };
        match kind {
            OutputKind::ToOwner | OutputKind::ToOther => balances = balances.saturating_add(1),
            OutputKind::Htlc(_) => htlcs = htlcs.saturating_add(1),
            OutputKind::Anchor(_) => {}
        }
        let value_msat = txout.value.to_sat().saturating_mul(1_000);
        left_msat = match left_msat.checked_sub(value_msat) {
            Some(left) if value == Some(txout.value) => left,
            Some(_) | None => return Err(unbalanced(expected_msat.saturating_add(value_msat))),
        };
    }
    // Whoever has an output's worth has the output; the rest is the fee, and nothing else is.
    let owed = usize::from(to_owner.is_some()).saturating_add(usize::from(to_other.is_some()));
    let all = balances == owed && htlcs == untrimmed.len();
    if all && left_msat == commitment.fee().to_sat().saturating_mul(1_000) {
        Ok(())
    } else {
        Err(unbalanced(expected_msat.saturating_sub(left_msat)))
    }
}

/// What an output holds: the balance, less what the funder pays for everybody.
fn owed(balance: Sat, party: Party, funder: Party, cost: Sat) -> Sat {
    if party == funder { balance.checked_sub(cost).unwrap_or(Sat::ZERO) } else { balance }
}
