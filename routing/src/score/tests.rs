//! What was learnt bounds what is believed, fades, and survives as bytes.

use super::*;
use crate::world::{msat, scid};
use proptest::prelude::*;

const WAY: Direction = Direction::FromLesser;

fn bounds(scorer: &Scorer, now: u64) -> (u64, Option<u64>) {
    let (least, below) = scorer.bounds(scid(1), WAY, now).unwrap();
    (least.to_u64(), below.map(Msat::to_u64))
}

#[test]
fn an_htlc_that_passed_and_one_that_stuck_enclose_the_balance() {
    let mut scorer = Scorer::default();
    scorer.passed(scid(1), WAY, msat(1_000), 100);
    scorer.stuck(scid(1), WAY, msat(5_000), 100);
    assert_eq!(bounds(&scorer, 100), (1_000, Some(5_000)));
    // A word that contradicts an older one replaces it.
    scorer.passed(scid(1), WAY, msat(6_000), 101);
    assert_eq!(bounds(&scorer, 101), (6_000, None));
    scorer.stuck(scid(1), WAY, msat(2_000), 102);
    assert_eq!(bounds(&scorer, 102), (1_999, Some(2_000)));
}

#[test]
fn hope_forgets_old_failures_and_nothing_else() {
    let mut scorer = Scorer::default();
    scorer.stuck(scid(1), WAY, msat(5_000), 100);
    scorer.passed(scid(1), WAY, msat(1_000), 105);
    assert_eq!(scorer.hopeful(100).map(|hopeful| hopeful.len()), None);
    let hopeful = scorer.hopeful(101).unwrap();
    assert_eq!(bounds(&hopeful, 105), (1_000, None));
    assert_eq!(bounds(&scorer, 105).1.map(|below| below >= 5_000), Some(true));
    assert!(Scorer::default().hopeful(101).is_none());
}

#[test]
fn a_settled_payment_moves_the_balance_to_the_other_side() {
    let mut scorer = Scorer::default();
    scorer.stuck(scid(1), WAY, msat(5_000), 100);
    scorer.settled(scid(1), WAY, msat(3_000), 100);
    assert_eq!(bounds(&scorer, 100), (0, Some(2_000)));
    let back = scorer.bounds(scid(1), WAY.reverse(), 100).unwrap();
    assert_eq!(back, (msat(3_000), None));
}

#[test]
fn knowledge_fades() {
    let mut scorer = Scorer::default();
    scorer.passed(scid(1), WAY, msat(1_000), 100);
    scorer.stuck(scid(1), WAY, msat(5_000), 100);
    let half = scorer.config().half_life_secs;
    assert_eq!(bounds(&scorer, 100 + half), (500, Some(10_000)));
    assert_eq!(bounds(&scorer, 100 + 20 * half), (0, None));
}

#[test]
fn more_than_is_remembered_pushes_out_the_oldest() {
    let mut scorer = Scorer::default();
    for number in 0..=u64::try_from(BELIEFS_MAX).unwrap() {
        scorer.passed(scid(number), WAY, msat(1), 1 + number);
    }
    assert!(scorer.len() <= BELIEFS_MAX);
    assert!(scorer.bounds(scid(0), WAY, 1).is_none());
    assert!(scorer.bounds(scid(65_536), WAY, 1).is_some());
    scorer.forget(scid(65_536));
    assert!(scorer.bounds(scid(65_536), WAY, 1).is_none());
    assert!(scorer.bounds(scid(65_535), WAY, 1).is_some());
}

#[test]
fn bytes_hold_what_was_learnt_and_merging_keeps_the_newer() {
    let mut scorer = Scorer::default();
    scorer.passed(scid(1), WAY, msat(1_000), 100);
    scorer.stuck(scid(2), WAY.reverse(), msat(7), 200);
    let bytes = scorer.encode();
    let again = Scorer::decode(&bytes, ScoreConfig::default()).unwrap();
    assert_eq!(again.encode(), bytes);
    for place in 0..bytes.len() {
        assert!(Scorer::decode(&bytes[..place], ScoreConfig::default()).is_err());
    }
    let mut newer = Scorer::default();
    newer.passed(scid(1), WAY, msat(50), 150);
    newer.merge(&again);
    assert_eq!(bounds(&newer, 150).0, 50);
    assert_eq!(newer.bounds(scid(2), WAY.reverse(), 200).unwrap().1, Some(msat(7)));
}

proptest! {
    #[test]
    fn a_greater_amount_is_never_likelier(
        share in 0.0..1.0_f64, capacity in 1_u64..1 << 40, a: u64, b: u64,
        least: u64, below: u64,
    ) {
        let prior = Prior::Bimodal(share);
        let (a, b) = (a % capacity, b % capacity);
        let (less, more) = (real(a.min(b)), real(a.max(b)));
        let fresh = |amount| doubt_fresh(prior, amount, real(capacity)).unwrap();
        prop_assert!(fresh(less) <= fresh(more) * 1.02 + 1e-9);
        let (least, below) = (least % capacity, below % capacity + 1);
        let bounds = Bounds {
            least: real(least.min(below - 1)), below: real(below), capacity: real(capacity),
        };
        let known = |amount| bounds.doubt(prior, amount).unwrap_or(f64::INFINITY);
        prop_assert!(known(less) <= known(more) + 1e-9);
    }
}
