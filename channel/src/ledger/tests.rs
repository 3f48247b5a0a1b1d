//! Views, settling and forgetting, HTLC by HTLC.

use wire::id::PaymentHash;
use wire::message::OnionPacket;
use wire::units::{BlockHeight, Sat};

use super::*;
use crate::clock::Turn;

const WALK: [Turn; 4] = [
    Turn::Signed(Side::Us),
    Turn::Revoked(Side::Them),
    Turn::Signed(Side::Them),
    Turn::Revoked(Side::Us),
];

fn msat(amount: u64) -> Msat {
    Msat::new(amount).unwrap()
}

fn ledger() -> Ledger {
    Ledger::new(msat(60_000), msat(40_000), Side::Us, FeeratePerKw(1_000))
}

fn add(id: u64, amount: u64) -> Add {
    Add {
        id,
        amount_msat: msat(amount),
        payment_hash: PaymentHash([1; 32]),
        cltv_expiry: BlockHeight(700),
        onion: OnionPacket::from([0; 1366]),
        path_key: None,
        accountable: false,
    }
}

fn ours(id: u64, amount: u64) -> Htlc {
    let origin = Origin::Payment { payment_id: [2; 32], part: 0 };
    Htlc::ours(AddOut { add: add(id, amount), origin })
}

fn theirs(id: u64, amount: u64) -> Htlc {
    Htlc::theirs(AddIn { add: add(id, amount), overexposed: false })
}

/// Our part, their part and what is in flight on `owner`'s commitment.
fn divided(ledger: &Ledger, owner: Side) -> (u64, u64, u64) {
    let spec = ledger.spec(owner, None).unwrap();
    let flying = spec.htlcs.iter().map(|htlc| htlc.amount.to_u64()).sum();
    let (owner_part, other_part) = (spec.to_owner.to_u64(), spec.to_other.to_u64());
    match owner {
        Side::Us => (owner_part, other_part, flying),
        Side::Them => (other_part, owner_part, flying),
    }
}

fn walk(ledger: &mut Ledger, turns: &[Turn]) -> Vec<Ticked> {
    turns.iter().map(|turn| ledger.tick(*turn)).collect()
}

#[test]
fn an_offer_shows_on_the_peers_commitment_first() {
    let mut ledger = ledger();
    ledger.propose(ours(0, 10_000));
    assert_eq!(ledger.next_id(Side::Us), 1);
    let mut seen = vec![(divided(&ledger, Side::Us), divided(&ledger, Side::Them))];
    for turn in WALK {
        ledger.tick(turn);
        seen.push((divided(&ledger, Side::Us), divided(&ledger, Side::Them)));
    }
    let (without, with) = ((60_000, 40_000, 0), (50_000, 40_000, 10_000));
    assert_eq!(
        seen,
        [(without, without), (without, with), (without, with), (with, with), (with, with)]
    );
}

#[test]
fn a_fulfilled_htlc_moves_the_money_when_its_removal_is_final() {
    let mut ledger = ledger();
    ledger.propose(ours(0, 10_000));
    walk(&mut ledger, &WALK);
    let preimage = Preimage([3; 32]);
    ledger.see_preimage(0, preimage, None);
    ledger.propose_removal(Side::Them, 0, How::Theirs(TheirRemoval::Fulfilled));
    let back = [
        Turn::Signed(Side::Them),
        Turn::Revoked(Side::Us),
        Turn::Signed(Side::Us),
        Turn::Revoked(Side::Them),
    ];
    for (turn, settled) in back.into_iter().zip([60_000, 60_000, 60_000, 50_000]) {
        let ticked = ledger.tick(turn);
        assert!(ticked.failed.is_empty());
        assert_eq!(ledger.settled(Side::Us), msat(settled));
    }
    assert!(ledger.is_clean());
    let resolved: Vec<_> = ledger.resolved().collect();
    assert!(matches!(resolved[..], [(0, _, Outcome::Fulfilled { .. })]));
    ledger.forget(0);
    assert_eq!(ledger.resolved().count(), 0);
}

#[test]
fn a_failed_htlc_comes_back_when_its_removal_is_final() {
    let mut ledger = ledger();
    ledger.propose(ours(0, 10_000));
    walk(&mut ledger, &WALK);
    let failed = TheirRemoval::Failed { reason: vec![7], attribution: None };
    ledger.propose_removal(Side::Them, 0, How::Theirs(failed));
    let back = [
        Turn::Signed(Side::Them),
        Turn::Revoked(Side::Us),
        Turn::Signed(Side::Us),
        Turn::Revoked(Side::Them),
    ];
    let told: Vec<_> = walk(&mut ledger, &back).iter().map(|ticked| ticked.failed.len()).collect();
    assert_eq!(told, [0, 0, 0, 1]);
    assert_eq!(divided(&ledger, Side::Us), (60_000, 40_000, 0));
}

#[test]
fn a_preimage_decides_even_if_the_peer_fails_the_htlc_later() {
    let mut ledger = ledger();
    ledger.propose(ours(0, 10_000));
    walk(&mut ledger, &WALK);
    ledger.see_preimage(0, Preimage([3; 32]), None);
    let failed = TheirRemoval::Failed { reason: vec![7], attribution: None };
    ledger.propose_removal(Side::Them, 0, How::Theirs(failed));
    let back = [
        Turn::Signed(Side::Them),
        Turn::Revoked(Side::Us),
        Turn::Signed(Side::Us),
        Turn::Revoked(Side::Them),
    ];
    let told = walk(&mut ledger, &back);
    assert!(told.iter().all(|ticked| ticked.failed.is_empty()));
    assert!(matches!(ledger.resolved().next(), Some((0, _, Outcome::Fulfilled { .. }))));
    assert_eq!(divided(&ledger, Side::Us), (60_000, 40_000, 0), "the coins came back all the same");
}

#[test]
fn an_outcome_that_is_recorded_elsewhere_leaves_no_tombstone() {
    let mut ledger = ledger();
    ledger.propose(ours(0, 10_000));
    walk(&mut ledger, &WALK);
    ledger.see_preimage(0, Preimage([3; 32]), None);
    ledger.forget(0);
    ledger.propose_removal(Side::Them, 0, How::Theirs(TheirRemoval::Fulfilled));
    let back = [
        Turn::Signed(Side::Them),
        Turn::Revoked(Side::Us),
        Turn::Signed(Side::Us),
        Turn::Revoked(Side::Them),
    ];
    walk(&mut ledger, &back);
    assert!(ledger.tombstones.is_empty() && ledger.is_clean());
}

#[test]
fn what_an_htlc_spends_may_be_what_another_one_brought() {
    let mut ledger = Ledger::new(msat(0), msat(100_000), Side::Them, FeeratePerKw(1_000));
    ledger.propose(theirs(0, 50_000));
    let in_walk = [
        Turn::Signed(Side::Them),
        Turn::Revoked(Side::Us),
        Turn::Signed(Side::Us),
        Turn::Revoked(Side::Them),
    ];
    let told = walk(&mut ledger, &in_walk);
    assert_eq!(told.last().unwrap().incoming, [0]);
    let fulfil = Removal::Fulfill { preimage: Preimage([3; 32]), attribution: None };
    ledger.propose_removal(Side::Us, 0, How::Ours(fulfil));
    ledger.propose(ours(0, 50_000));
    let spec = ledger.spec(Side::Them, Some(Turn::Signed(Side::Us))).unwrap();
    assert_eq!((spec.to_other, spec.to_owner), (msat(0), msat(50_000)));
}

#[test]
fn whoever_offers_is_the_one_who_offers_on_both_commitments() {
    let mut ledger = ledger();
    ledger.propose(ours(0, 1_000));
    walk(&mut ledger, &WALK);
    let direction = |owner| ledger.spec(owner, None).unwrap().htlcs[0].direction;
    assert_eq!(direction(Side::Us), Direction::Offered);
    assert_eq!(direction(Side::Them), Direction::Received);
}

#[test]
fn the_first_word_on_how_an_htlc_ends_stands() {
    let mut ledger = ledger();
    ledger.propose(ours(0, 1_000));
    walk(&mut ledger, &WALK);
    let failed = TheirRemoval::Failed { reason: vec![7], attribution: None };
    ledger.propose_removal(Side::Them, 0, How::Theirs(TheirRemoval::Fulfilled));
    ledger.propose_removal(Side::Them, 0, How::Theirs(failed));
    let going = ledger.htlc(Side::Us, 0).unwrap().removal.as_ref().unwrap();
    assert!(going.how.fulfils());
}

#[test]
fn nobody_can_own_less_than_nothing() {
    let mut ledger = ledger();
    ledger.propose(ours(0, 60_001));
    assert_eq!(ledger.spec(Side::Them, Some(Turn::Signed(Side::Us))), None);
}

#[test]
fn a_lost_connection_forgets_what_was_only_said() {
    let mut ledger = ledger();
    ledger.propose(ours(0, 1_000));
    ledger.propose(theirs(0, 2_000));
    walk(&mut ledger, &[Turn::Signed(Side::Us)]);
    ledger.propose(ours(1, 3_000));
    ledger.propose(ours(2, 4_000));
    ledger.propose_fee(FeeratePerKw(2_000));
    assert!(ledger.has_proposals(Side::Us) && ledger.has_proposals(Side::Them));
    let unsent: Vec<_> = ledger.forget_proposals().iter().map(|htlc| htlc.add.id).collect();
    assert_eq!(unsent, [1, 2]);
    assert_eq!((ledger.next_id(Side::Us), ledger.next_id(Side::Them)), (1, 0));
    assert!(!ledger.has_proposals(Side::Us) && !ledger.has_proposals(Side::Them));
    assert_eq!(ledger.feerate_newest(), FeeratePerKw(1_000));
    assert!(ledger.htlc(Side::Us, 0).is_some(), "what was signed stays");
}

#[test]
fn a_removal_of_theirs_is_forgotten_and_one_of_ours_is_kept() {
    let mut ledger = ledger();
    ledger.propose(ours(0, 1_000));
    ledger.propose(theirs(0, 2_000));
    let all = [
        WALK,
        [
            Turn::Signed(Side::Them),
            Turn::Revoked(Side::Us),
            Turn::Signed(Side::Us),
            Turn::Revoked(Side::Them),
        ],
    ];
    all.iter().for_each(|turns| drop(walk(&mut ledger, turns)));
    ledger.propose_removal(Side::Them, 0, How::Theirs(TheirRemoval::Fulfilled));
    let fail = Removal::Fail { reason: vec![], attribution: None };
    ledger.propose_removal(Side::Us, 0, How::Ours(fail));
    ledger.forget_proposals();
    assert!(ledger.htlc(Side::Us, 0).unwrap().removal.is_none());
    assert!(ledger.htlc(Side::Them, 0).unwrap().removal.is_some());
}

#[test]
fn feerates_replace_one_another_and_settle_in_order() {
    let mut ledger = ledger();
    ledger.propose_fee(FeeratePerKw(2_000));
    ledger.propose_fee(FeeratePerKw(3_000));
    assert_eq!(ledger.fees.len(), 1, "only the last one said counts");
    ledger.tick(Turn::Signed(Side::Us));
    ledger.propose_fee(FeeratePerKw(500));
    assert_eq!(ledger.feerate(Side::Them, None), FeeratePerKw(3_000));
    assert_eq!(ledger.feerate(Side::Us, None), FeeratePerKw(1_000));
    assert_eq!(ledger.feerate_max(), FeeratePerKw(3_000));
    assert_eq!(ledger.feerate_newest(), FeeratePerKw(500));
    ledger.tick(Turn::Revoked(Side::Them));
    ledger.tick(Turn::Signed(Side::Us));
    assert_eq!(ledger.feerate(Side::Them, None), FeeratePerKw(500));
    ledger.tick(Turn::Signed(Side::Them));
    assert!(ledger.tick(Turn::Revoked(Side::Us)).fee_settled);
    assert_eq!(ledger.feerate(Side::Us, None), FeeratePerKw(3_000));
    assert_eq!(ledger.fees.len(), 1);
}

#[test]
fn the_last_commitment_of_the_peer_is_the_one_before_our_signature() {
    let mut ledger = ledger();
    ledger.propose(ours(0, 1_000));
    walk(&mut ledger, &WALK);
    let before = ledger.spec(Side::Them, None);
    ledger.propose(ours(1, 2_000));
    ledger.tick(Turn::Signed(Side::Us));
    assert_ne!(ledger.spec(Side::Them, None), before);
    assert_eq!(ledger.spec_of_their_last(), before);
    // What the peer signs and we revoke meanwhile changes nothing about it.
    ledger.propose(theirs(0, 500));
    ledger.tick(Turn::Signed(Side::Them));
    ledger.tick(Turn::Revoked(Side::Us));
    assert_eq!(ledger.spec_of_their_last(), before);
    // Nor does an HTLC of the peer's that our signature took in.
    ledger.tick(Turn::Revoked(Side::Them));
    let before = ledger.spec(Side::Them, None);
    ledger.tick(Turn::Signed(Side::Us));
    assert_ne!(ledger.spec(Side::Them, None), before);
    assert_eq!(ledger.spec_of_their_last(), before);
}

mod audit {
    use bitcoin::OutPoint;

    use super::*;
    use crate::keys::CommitmentKeys;
    use crate::signer::{InMemorySigner, Memory, Signer as _};
    use crate::tx::{Commitment, CommitmentTerms, SideTerms};

    fn side(byte: u8) -> SideTerms {
        let signer = InMemorySigner::new(&[byte; 32], 0, Memory::default()).unwrap();
        SideTerms {
            basepoints: *signer.basepoints(),
            dust_limit: Sat::from_sat(354),
            to_self_delay: 144,
        }
    }

    fn built(spec: &CommitmentSpec) -> Commitment {
        let (ours, theirs) = (side(1), side(2));
        let value = Sat::from_sat(100_000);
        let (owner, opener) = (Side::Us, Side::Us);
        let terms = CommitmentTerms::new(owner, opener, &ours, &theirs, OutPoint::null(), value);
        let point = theirs.basepoints.payment;
        let keys = CommitmentKeys::derive(&ours.basepoints, &theirs.basepoints, &point).unwrap();
        Commitment::build(&terms, &keys, 7, spec).unwrap()
    }

    fn spec() -> CommitmentSpec {
        let htlc = |id, amount| SpecHtlc {
            direction: Direction::Offered,
            id,
            amount: msat(amount),
            payment_hash: PaymentHash([1; 32]),
            cltv_expiry: BlockHeight(700),
        };
        CommitmentSpec {
            feerate: FeeratePerKw(1_000),
            to_owner: msat(59_799_001),
            to_other: msat(30_000_499),
            htlcs: vec![htlc(0, 10_000_500), htlc(1, 200_000)],
        }
    }

    #[test]
    fn a_commitment_that_adds_up_passes() {
        assert_eq!(audit(&spec(), &built(&spec())), Ok(()));
    }

    #[test]
    fn a_commitment_of_another_division_does_not() {
        type Change = fn(&mut CommitmentSpec);
        let changes: [Change; 6] = [
            |spec| {
                spec.to_owner = msat(59_800_001);
                spec.to_other = msat(29_999_499);
            },
            |spec| spec.feerate = FeeratePerKw(1_001),
            |spec| {
                spec.htlcs[0].amount = msat(10_200_500);
                spec.htlcs.remove(1);
            },
            |spec| {
                spec.htlcs[1].amount = msat(400_000);
                spec.to_owner = msat(59_599_001);
            },
            |spec| spec.to_owner = msat(59_799_000),
            |spec| spec.htlcs.truncate(1),
        ];
        let commitment = built(&spec());
        for (number, change) in changes.into_iter().enumerate() {
            let mut other = spec();
            change(&mut other);
            assert!(audit(&other, &commitment).is_err(), "change {number}");
        }
    }

    fn dust(amounts: &[u64], to_owner: u64, to_other: u64) -> CommitmentSpec {
        let htlcs = (0..).zip(amounts).map(|(id, amount)| SpecHtlc {
            direction: Direction::Offered,
            id,
            amount: msat(*amount),
            payment_hash: PaymentHash([1; 32]),
            cltv_expiry: BlockHeight(700),
        });
        CommitmentSpec {
            feerate: FeeratePerKw(1_000),
            to_owner: msat(to_owner),
            to_other: msat(to_other),
            htlcs: htlcs.collect(),
        }
    }

    #[test]
    fn an_output_that_is_missing_is_missed() {
        // A balance of a thousand satoshi above the cost, all of it gone to dust.
        let made = dust(&[300_000, 300_000, 300_000], 1_884_000, 97_216_000);
        let meant = dust(&[], 2_784_000, 97_216_000);
        assert_eq!(audit(&made, &built(&made)), Ok(()));
        assert!(audit(&meant, &built(&made)).is_err());
        // An HTLC that should have an output, cut into two that have none.
        let made = dust(&[200_000, 200_000], 500_000, 99_100_000);
        let meant = dust(&[400_000], 500_000, 99_100_000);
        assert!(audit(&meant, &built(&made)).is_err());
    }

    #[test]
    fn a_funder_that_cannot_pay_for_the_anchors_is_not_signed_for() {
        let spec = CommitmentSpec {
            feerate: FeeratePerKw(1_000),
            to_owner: msat(0),
            to_other: msat(90_000_000),
            htlcs: vec![SpecHtlc {
                direction: Direction::Received,
                id: 0,
                amount: msat(10_000_000),
                payment_hash: PaymentHash([1; 32]),
                cltv_expiry: BlockHeight(700),
            }],
        };
        assert!(audit(&spec, &built(&spec)).is_err(), "it would spend more than there is");
    }
}
