//! Which claims share a transaction.
//!
//! What nobody else can take never waits for what is contested, and what a peer can spend at any time (it
//! could pin it, or push the others out with it) never shares a transaction with what only we can spend
//! before a deadline. Small amounts do not hold up large ones. HTLC transactions go together if the peer
//! signed the same lock time. BOLT 5 § Penalty Transactions Weight Calculation.

use std::collections::BTreeMap;

use bitcoin::Amount;
use channel::onchain::Claim;
use channel::onchain::sweep::SECURITY_DELAY;
use channel::tx::{HtlcKey, Recipe};
use wire::units::BlockHeight;

use super::Wanted;

/// What the inputs and outputs of one transaction weigh at most: the rest up to the 400 000 that are
/// relayed is for coins of the wallet and their change.
const WEIGHT_MAX: u64 = 380_000;

/// How many claims go together at most: not much is lost if one of them is taken by somebody else.
const COUNT_MAX: usize = 100;

/// Blocks that the deadlines of one transaction may lie apart.
const APART: u32 = 36;

/// Claims below this many sat are small.
const SMALL: Amount = Amount::from_sat(5_000);

/// Who else can spend it, and how it is spent.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Class {
    /// The cheater only after its delay.
    Penalty,
    /// The cheater with a preimage or after the expiry, at once.
    PinnablePenalty,
    /// The peer's HTLC, with its preimage: the peer only after its expiry.
    Success,
    /// Our HTLC, after its expiry: the peer with its preimage.
    Timeout,
    /// The same by transactions that the peer signed, with coins of the wallet.
    Second,
    /// Nobody.
    Calm,
}

fn class(claim: &Claim) -> Class {
    match &claim.spend.recipe {
        Recipe::PenaltyDelayed { .. } => Class::Penalty,
        Recipe::PenaltyHtlc { .. } if !claim.contested => Class::Penalty,
        Recipe::PenaltyHtlc { .. } => Class::PinnablePenalty,
        Recipe::HtlcDirect { key: HtlcKey::Preimage(_), .. } => Class::Success,
        Recipe::HtlcDirect { key: HtlcKey::Expiry(_), .. } => Class::Timeout,
        Recipe::HtlcTransaction { .. } => Class::Second,
        Recipe::ToRemote | Recipe::Delayed { .. } | Recipe::Anchor => Class::Calm,
    }
}

/// Whether a claim goes alone: near its deadline nobody else's spend may push it out.
pub(super) fn goes_alone(wanted: &Wanted, since: BlockHeight, tip: BlockHeight) -> bool {
    let claim = &wanted.claim;
    let near = |deadline: BlockHeight| deadline <= tip.saturating_add(SECURITY_DELAY);
    // BOLT 5: if it is not confirmed by `security_delay`, every output by a transaction of its own.
    let late = since.saturating_add(SECURITY_DELAY) <= tip;
    claim.deadline.is_some_and(near) || (claim.contested && late)
}

/// Divides claims into transactions, the most urgent and then the most valuable first. `alone` says which
/// of them share with nobody.
pub(super) fn groups(
    claims: Vec<Wanted>,
    mut alone: impl FnMut(&Wanted) -> bool,
) -> Vec<Vec<Wanted>> {
    let mut kinds: BTreeMap<(Class, u32, bool), Vec<Wanted>> = BTreeMap::new();
    let mut groups: Vec<Vec<Wanted>> = Vec::new();
    for wanted in claims {
        if alone(&wanted) {
            groups.push(vec![wanted]);
            continue;
        }
        let spend = &wanted.claim.spend;
        let class = class(&wanted.claim);
        let lock_time = spend.lock_time().to_consensus_u32();
        let small = wanted.claim.contested && wanted.claim.worth() < SMALL;
        kinds.entry((class, lock_time, small)).or_default().push(wanted);
    }
    for mut kind in kinds.into_values() {
        kind.sort_by_key(|wanted| (deadline(wanted), wanted.claim.spend.outpoint));
        let mut group: Vec<Wanted> = Vec::new();
        let mut weight = 0_u64;
        for wanted in kind {
            let more = weight_of(&wanted);
            let apart = group
                .first()
                .is_some_and(|first| deadline(first).saturating_add(APART) < deadline(&wanted));
            let full = weight.saturating_add(more) > WEIGHT_MAX || group.len() >= COUNT_MAX;
            if !group.is_empty() && (apart || full) {
                groups.push(std::mem::take(&mut group));
                weight = 0;
            }
            weight = weight.saturating_add(more);
            group.push(wanted);
        }
        groups.push(group);
    }
    groups.retain(|group| !group.is_empty());
    groups.sort_by_cached_key(|group| {
        let first = group.iter().map(deadline).min();
        let worth = super::total(group.iter().map(|wanted| wanted.claim.worth()));
        (first, std::cmp::Reverse(worth))
    });
    groups
}

fn deadline(wanted: &Wanted) -> BlockHeight {
    wanted.claim.deadline.unwrap_or(BlockHeight(u32::MAX))
}

/// What a claim adds to a transaction: its input, and the output that the peer demands.
pub(super) fn weight_of(wanted: &Wanted) -> u64 {
    let spend = &wanted.claim.spend;
    let output = spend.paired_output().map_or(0, |output| output.weight().to_wu());
    spend.input_weight().saturating_add(output)
}
