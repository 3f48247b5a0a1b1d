//! Money is conserved: checked on the finished transaction, before every signature.
//! BOLT 3 § Commitment Transaction Construction.
//!
//! It shares nothing with the code that builds commitments except the spec and the result, so a mistake
//! has to be made twice to be signed.

use thiserror::Error;
use wire::units::Sat;

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
    let untrimmed =
        (spec.htlcs.iter()).filter(|htlc| htlc.amount.floor_sat() >= terms.dust_limit).count();
    let cost = fee::funder_cost(spec.feerate, untrimmed);
    let mut left_msat = expected_msat;
    let mut htlcs = 0_usize;
    for (_, kind, txout) in commitment.outputs() {
        let most = match kind {
            OutputKind::ToOwner => {
                owed(spec.to_owner.floor_sat(), Party::Owner, terms.funder, cost)
            }
            OutputKind::ToOther => {
                owed(spec.to_other.floor_sat(), Party::Other, terms.funder, cost)
            }
            OutputKind::Anchor(_) => fee::ANCHOR,
            OutputKind::Htlc(place) => {
                htlcs = htlcs.saturating_add(1);
                (commitment.htlcs().get(place))
                    .map_or(Sat::ZERO, |output| output.htlc.amount.floor_sat())
            }
        };
        let value_msat = txout.value.to_sat().saturating_mul(1_000);
        let exact = txout.value == most;
        left_msat = match left_msat.checked_sub(value_msat) {
            Some(left) if exact => left,
            Some(_) | None => return Err(unbalanced(expected_msat.saturating_add(value_msat))),
        };
    }
    if htlcs == untrimmed && left_msat == commitment.fee().to_sat().saturating_mul(1_000) {
        Ok(())
    } else {
        Err(unbalanced(expected_msat.saturating_sub(left_msat)))
    }
}

/// What an output holds at most: the balance, less what the funder pays for everybody.
fn owed(balance: Sat, party: Party, funder: Party, cost: Sat) -> Sat {
    if party == funder { balance.checked_sub(cost).unwrap_or(Sat::ZERO) } else { balance }
}
