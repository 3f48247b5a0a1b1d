//! Every bound at its edge, and quotes that are kept.

use proptest::prelude::*;

use super::*;
use crate::world::{ALICE, BOB, Setup, World, msat};

/// Sums as a test wants them, for a channel of a million satoshi.
fn totals() -> Totals {
    let world = World::open(&Setup::default());
    let state = world.nodes[ALICE].channel().state().unwrap();
    Totals::measure(&state.ledger, &state.terms).unwrap()
}

fn terms(who: usize) -> Terms {
    World::open(&Setup::default()).nodes[who].channel().terms().unwrap().clone()
}

fn policy() -> Policy {
    Policy::default()
}

#[test]
fn a_funder_keeps_reserve_anchors_and_twice_the_fee_of_one_more_htlc() {
    let (terms, policy) = (terms(ALICE), policy());
    let room = Room { totals: totals(), terms: &terms, policy: &policy };
    // 600,000 less 10,000 reserve, 660 anchors, and 2 * 1,000 * (1,124 + 2 * 172) / 1,000 fee.
    let most = msat(1_000 * (600_000 - 10_000 - 660 - 2_936));
    assert_eq!(room.sendable(), Sendable { min: msat(1), max: most });
    assert_eq!(room.check(most), Ok(()));
    let above = msat(most.to_u64() + 1);
    assert_eq!(
        room.check(above),
        Err(Refusal::InsufficientBalance { amount: above, available: most })
    );
    assert_eq!(
        room.check(msat(0)),
        Err(Refusal::BelowMinimum { amount: msat(0), minimum: msat(1) })
    );
}

#[test]
fn a_fundee_keeps_its_reserve_and_the_funders_fee() {
    let (terms, policy) = (terms(BOB), policy());
    let world = World::open(&Setup::default());
    let state = world.nodes[BOB].channel().state().unwrap();
    let mut totals = Totals::measure(&state.ledger, &terms).unwrap();
    let room = Room { totals, terms: &terms, policy: &policy };
    assert_eq!(room.sendable().max, msat(390_000_000));
    // 10,000 reserve, 660 anchors, 1,296 fee with one output.
    totals.ours.other_balance = msat(11_956_000);
    assert_eq!(Room { totals, ..room }.check(msat(1_000_000)), Ok(()));
    totals.ours.other_balance = msat(11_955_999);
    let room = Room { totals, ..room };
    assert_eq!(room.check(msat(1_000_000)), Err(Refusal::PeerCannotPayFee));
    assert_eq!(room.check(msat(100_000)), Ok(()), "dust needs no output");
    assert_eq!(room.sendable().max, msat(353_999));
}

#[test]
fn counts_and_values_in_flight_stop_at_the_peers_limits() {
    let (mut terms, policy) = (terms(ALICE), policy());
    terms.them.accepted_htlcs_max = 2;
    terms.them.in_flight_max_msat = 5_000_000;
    let mut totals = totals();
    (totals.ours.count, totals.ours.value_msat) = (1, 4_000_000);
    let room = Room { totals, terms: &terms, policy: &policy };
    assert_eq!(room.sendable().max, msat(1_000_000));
    assert_eq!(
        room.check(msat(1_000_001)),
        Err(Refusal::TooMuchInFlight { limit_msat: 5_000_000 })
    );
    totals.ours.count = 2;
    let room = Room { totals, ..room };
    assert_eq!(room.check(msat(1_000)), Err(Refusal::TooManyHtlcs { limit: 2 }));
    assert_eq!(room.sendable(), Sendable::NOTHING);
}

#[test]
fn dust_that_a_close_would_burn_is_bounded_on_both_commitments() {
    let (terms, mut policy) = (terms(ALICE), policy());
    policy.dust_exposure_max = msat(1_000_000);
    let mut totals = totals();
    totals.on_theirs.dust_msat = 600_000;
    let room = Room { totals, terms: &terms, policy: &policy };
    // 354 is dust to Bob alone, whose limit is 546.
    assert_eq!(room.check(msat(400_000)), Ok(()));
    assert_eq!(room.check(msat(400_001)), Err(Refusal::DustExposure { limit_msat: 1_000_000 }));
    assert_eq!(room.check(msat(546_000)), Ok(()));
    assert_eq!(room.sendable().min, msat(546_000), "the range has no hole");
    totals.on_ours.dust_msat = 900_000;
    totals.on_theirs.dust_msat = 0;
    let room = Room { totals, ..room };
    assert_eq!(room.check(msat(100_000)), Ok(()));
    assert_eq!(room.check(msat(100_001)), Err(Refusal::DustExposure { limit_msat: 1_000_000 }));
    assert_eq!(room.check(msat(400_000)), Ok(()), "no dust to us");
    assert_eq!(room.sendable().min, msat(354_000));
}

#[test]
fn expiries_are_heights_ahead_and_not_too_far() {
    let at = |expiry| check_expiry(BlockHeight(expiry), BlockHeight(500), &policy()).is_ok();
    assert!(!at(0) && !at(500) && at(501) && at(2_516) && !at(2_517) && !at(CLTV_TIME));
    let late = BlockHeight(CLTV_TIME - 100);
    assert!(check_expiry(BlockHeight(CLTV_TIME - 1), late, &policy()).is_ok());
    assert!(check_expiry(BlockHeight(CLTV_TIME), late, &policy()).is_err());
}

#[test]
fn a_peers_offer_is_held_against_what_it_had_to_know() {
    let (mut terms, mut policy) = (terms(BOB), policy());
    let world = World::open(&Setup::default());
    let state = world.nodes[BOB].channel().state().unwrap();
    let totals = Totals::measure(&state.ledger, &terms).unwrap();
    let check = |totals: &Totals, terms: &Terms, policy: &Policy, amount, expiry| {
        check_their_offer(totals, terms, policy, msat(amount), BlockHeight(expiry))
    };
    // Alice funds: 600,000 less 10,000 reserve, 660 anchors, 1,296 fee.
    let most = 1_000 * (600_000 - 10_000 - 660 - 1_296);
    assert_eq!(check(&totals, &terms, &policy, most, 700), Ok(false));
    let fault = Err(PeerFault::CannotAffordHtlc);
    assert_eq!(check(&totals, &terms, &policy, most + 1, 700), fault);
    assert_eq!(check(&totals, &terms, &policy, 600_000_001, 700), fault);
    assert_eq!(check(&totals, &terms, &policy, 0, 700), Err(PeerFault::HtlcTooSmall));
    let fault = Err(PeerFault::CltvIsATime);
    assert_eq!(check(&totals, &terms, &policy, 1_000, 499_999_999), Ok(false));
    assert_eq!(check(&totals, &terms, &policy, 1_000, 500_000_000), fault);
    terms.us.htlc_minimum = msat(2_000);
    assert_eq!(check(&totals, &terms, &policy, 2_000, 700), Ok(false));
    assert_eq!(check(&totals, &terms, &policy, 1_999, 700), Err(PeerFault::HtlcTooSmall));
    terms.us.in_flight_max_msat = 3_000;
    assert_eq!(check(&totals, &terms, &policy, 3_000, 700), Ok(false));
    assert_eq!(check(&totals, &terms, &policy, 3_001, 700), Err(PeerFault::TooMuchInFlight));
    terms.us.accepted_htlcs_max = 1;
    let more = totals.with_theirs(msat(500)).unwrap();
    assert_eq!(check(&more, &terms, &policy, 2_000, 700), Err(PeerFault::TooManyHtlcs));
    policy.dust_exposure_max = msat(2_499);
    assert_eq!(check(&totals, &terms, &policy, 2_499, 700), Ok(false));
    assert_eq!(check(&totals, &terms, &policy, 2_500, 700), Ok(true), "to be failed, not refused");
}

#[test]
fn feerates_are_the_funders_and_inside_the_policy() {
    let (terms, policy) = (terms(ALICE), policy());
    let mut totals = totals();
    let room = Room { totals, terms: &terms, policy: &policy };
    assert_eq!(check_fee(&room, FeeratePerKw(253)), Ok(()));
    for feerate in [FeeratePerKw(252), FeeratePerKw(100_001)] {
        assert_eq!(check_fee(&room, feerate), Err(Refusal::BadFeerate { feerate }));
        let fault = Err(PeerFault::FeeFromNonFunder);
        assert_eq!(check_their_fee(&totals, &policy, feerate), fault);
    }
    // 10,000 reserve, 660 anchors, 1,296 fee with one output.
    totals.ours.balance = msat(11_956_000);
    assert_eq!(check_fee(&Room { totals, ..room }, FeeratePerKw(1_000)), Ok(()));
    totals.ours.balance = msat(11_955_999);
    let feerate = FeeratePerKw(1_000);
    let refused = Err(Refusal::CannotAffordFee { feerate });
    assert_eq!(check_fee(&Room { totals, ..room }, feerate), refused);
    totals.funder = Side::Them;
    assert_eq!(check_fee(&Room { totals, ..room }, feerate), Err(Refusal::NotFunder));
    let fault = Err(PeerFault::FeeOutOfBounds);
    assert_eq!(check_their_fee(&totals, &policy, FeeratePerKw(252)), fault);
    assert_eq!(check_their_fee(&totals, &policy, FeeratePerKw(100_001)), fault);
    totals.theirs.balance = msat(1_784_000);
    assert_eq!(check_their_fee(&totals, &policy, feerate), Ok(()));
    totals.theirs.balance = msat(1_783_999);
    assert_eq!(check_their_fee(&totals, &policy, feerate), Err(PeerFault::CannotAffordFee));
}

#[test]
fn what_is_being_removed_counts_on_the_commitment_that_still_shows_it() {
    let mut world = World::open(&Setup::default());
    world.nodes[ALICE].offer(20_000_000, 1);
    world.nodes[ALICE].offer(100_000, 2);
    world.settle();
    let shown = |world: &World| {
        let totals = world.nodes[ALICE].channel().totals().unwrap();
        [totals.on_ours, totals.on_theirs].map(|shown| (shown.untrimmed, shown.dust_msat))
    };
    assert_eq!(shown(&world), [(1, 100_000); 2]);
    for htlc in 0..2 {
        let bob = &mut world.nodes[BOB];
        let command = bob.command_id();
        let fail = crate::Command::FailHtlc { command, htlc, reason: vec![], attribution: None };
        bob.step(crate::Event::Command(fail));
    }
    world.settle_wire();
    assert_eq!(shown(&world), [(0, 0), (1, 100_000)], "Bob's commitment needs our signature");
}

proptest! {
    /// Catalogue of real bugs, 19: what is quoted is accepted, and nothing above it is.
    #[test]
    fn what_is_quoted_is_accepted(
        balance in 0_u64..2_000_000,
        other in 0_u64..2_000_000,
        untrimmed in 0_usize..30,
        dust in 0_u64..2_000_000,
        count in 0_usize..5,
        value in 0_u64..3_000_000,
        limits in (0_u64..2_000_000, 0_u16..6, 0_u64..4_000_000, 1_u64..700_000),
        us in any::<bool>(),
        pick in 0_u64..1_000_000,
    ) {
        TERMS.with(|(terms, totals)| {
            let (mut terms, mut totals, mut policy) = (terms.clone(), *totals, policy());
            totals.funder = if us { Side::Us } else { Side::Them };
            (totals.ours.balance, totals.ours.other_balance) = (msat(balance), msat(other));
            totals.ours.balance = msat(balance * 20);
            (totals.ours.count, totals.ours.value_msat) = (count, value);
            (totals.on_ours.untrimmed, totals.on_theirs.untrimmed) = (untrimmed, untrimmed / 2);
            (totals.on_ours.dust_msat, totals.on_theirs.dust_msat) = (dust, dust / 3);
            policy.dust_exposure_max = msat(limits.0);
            terms.them.accepted_htlcs_max = limits.1;
            terms.them.in_flight_max_msat = limits.2;
            terms.them.htlc_minimum = msat(limits.3);
            let room = Room { totals, terms: &terms, policy: &policy };
            let Sendable { min, max } = room.sendable();
            if min <= max {
                let inside = min.to_u64() + pick % (max.to_u64() - min.to_u64() + 1);
                for amount in [min.to_u64(), inside, max.to_u64()] {
                    assert_eq!(room.check(msat(amount)), Ok(()), "{amount} of {min}..{max}");
                }
                assert!(room.check(msat(max.to_u64() + 1)).is_err());
            } else {
                assert!(room.check(msat(pick.max(1))).is_err());
            }
        });
    }
}

thread_local! {
    static TERMS: (Terms, Totals) = (terms(ALICE), totals());
}
