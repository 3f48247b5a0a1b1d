//! Weights, fees, dust, and which outputs are too small to make. BOLT 3 § Fees, § Trimmed Outputs,
//! § Dust Limits.
//!
//! Not here: what a feerate should be (the chain backend), whether it is acceptable (limits).

use bitcoin::Script;
use wire::units::{FeeratePerKw, Msat, Sat};

/// A commitment without HTLCs.
pub const COMMITMENT_WEIGHT: u64 = 1_124;

/// One HTLC output.
pub const HTLC_OUTPUT_WEIGHT: u64 = 172;

/// An HTLC-timeout transaction, alone.
pub const HTLC_TIMEOUT_WEIGHT: u64 = 666;

/// An HTLC-success transaction, alone. It is really 705; the number is older than the count.
pub const HTLC_SUCCESS_WEIGHT: u64 = 706;

/// What an anchor output holds: the dust limit of its own script.
pub const ANCHOR: Sat = Sat::from_sat(330);

/// Both anchors. The funder pays for them even if only one or none of them exists.
pub const ANCHORS: Sat = Sat::from_sat(660);

/// Whether an HTLC of `amount` gets no output on the commitment of the side with `owner_dust_limit`.
///
/// The only place that decides it. With anchors, HTLC transactions pay no fee, so neither the feerate nor
/// the direction of the HTLC matters.
pub fn trimmed(amount: Msat, owner_dust_limit: Sat) -> bool {
    // BOLT 3: "if the HTLC amount minus the HTLC-timeout fee would be less than"
    amount.floor_sat() < owner_dust_limit
}

/// The base fee of a commitment with this many untrimmed HTLCs, rounded down.
pub fn commitment_fee(feerate: FeeratePerKw, untrimmed_htlcs: usize) -> Sat {
    let htlcs = u64::try_from(untrimmed_htlcs).unwrap_or(u64::MAX);
    let weight = COMMITMENT_WEIGHT.saturating_add(HTLC_OUTPUT_WEIGHT.saturating_mul(htlcs));
    feerate.fee_floor(weight)
}

/// What the funder is charged on a commitment with this many untrimmed HTLCs: base fee and anchors.
pub fn funder_cost(feerate: FeeratePerKw, untrimmed_htlcs: usize) -> Sat {
    let fee = commitment_fee(feerate, untrimmed_htlcs);
    Sat::from_sat(fee.to_sat().saturating_add(ANCHORS.to_sat()))
}

/// The least value with which Bitcoin Core relays an output to `script`.
pub fn dust_threshold(script: &Script) -> Sat {
    Sat::from_sat(if script.is_op_return() {
        0
    } else if script.is_p2wpkh() {
        294
    } else if script.is_p2wsh() {
        330
    } else if script.is_witness_program() {
        // BOLT 3 gives pay-to-anchor 240, but nobody is paid to one.
        354
    } else if script.is_p2sh() {
        540
    } else {
        546
    })
}
