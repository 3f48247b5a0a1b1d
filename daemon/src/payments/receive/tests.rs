//! Every reason to refuse, one by one, and that what is refused tells a prober nothing.

use wire::id::{PaymentSecret, Preimage};
use wire::onion::payload::{CustomRecords, PaymentData};

use super::*;
use crate::fact::{InvoiceHeld, InvoiceMade, InvoiceSettled};

const HEIGHT: BlockHeight = BlockHeight(100);
const NOW: u64 = 1_000;

fn msat(amount: u64) -> Msat {
    Msat::new(amount).unwrap()
}

fn asked() -> Asked {
    Asked::begin(
        1,
        InvoiceMade {
            payment_hash: Preimage([1; 32]).hash(),
            preimage: Some(Preimage([1; 32])),
            hold: false,
            payment_secret: PaymentSecret([2; 32]),
            metadata: None,
            amount: Some(msat(10_000)),
            bolt11: "lnbcrt1".into(),
            description: "".into(),
            description_hash: None,
            created_ms: 0,
            expires_ms: 2_000,
            min_final_cltv_delta: 42,
        },
    )
}

fn part() -> Part {
    Part {
        channel: ChannelIndex(1),
        htlc: 0,
        amount: msat(10_000),
        hash: Preimage([1; 32]).hash(),
        cltv_expiry: BlockHeight(142),
        overexposed: false,
        secret: SharedSecret::new([9; 32]),
        since_ms: 0,
        blinded: None,
        payload: Final {
            amt_to_forward: msat(10_000),
            outgoing_cltv_value: BlockHeight(142),
            payment_data: Some(PaymentData {
                payment_secret: PaymentSecret([2; 32]),
                total_msat: msat(10_000),
            }),
            payment_metadata: None,
            keysend_preimage: None,
            custom_records: CustomRecords::default(),
        },
    }
}

#[track_caller]
fn refused_as_unknown(part: &Part, asked: Option<&Asked>, now_ms: u64) {
    assert_eq!(
        judge(part, asked, HEIGHT, now_ms),
        Verdict::Refuse(part.unknown(HEIGHT)),
        "a prober must not learn which detail was wrong"
    );
}

#[test]
fn the_asked_amount_with_the_right_secret_in_time_counts() {
    assert_eq!(judge(&part(), Some(&asked()), HEIGHT, NOW), Verdict::Count);
}

#[test]
fn an_unknown_hash_a_wrong_secret_a_wrong_amount_and_a_late_payment_answer_alike() {
    refused_as_unknown(&part(), None, NOW);
    let mut other = part();
    other.payload.payment_data.as_mut().unwrap().payment_secret = PaymentSecret([3; 32]);
    refused_as_unknown(&other, Some(&asked()), NOW);
    let mut bare = part();
    bare.payload.payment_data = None;
    refused_as_unknown(&bare, Some(&asked()), NOW);
    for total in [9_999, 20_001] {
        let mut other = part();
        other.payload.payment_data.as_mut().unwrap().total_msat = msat(total);
        refused_as_unknown(&other, Some(&asked()), NOW);
    }
    refused_as_unknown(&part(), Some(&asked()), 2_000);
    let mut near = part();
    near.cltv_expiry = BlockHeight(141);
    near.payload.outgoing_cltv_value = BlockHeight(141);
    refused_as_unknown(&near, Some(&asked()), NOW);
}

#[test]
fn up_to_twice_the_amount_is_taken() {
    let mut double = part();
    double.payload.payment_data.as_mut().unwrap().total_msat = msat(20_000);
    assert_eq!(judge(&double, Some(&asked()), HEIGHT, NOW), Verdict::Count);
}

#[test]
fn a_hop_that_shaves_amount_or_expiry_is_told_so() {
    let mut shaved = part();
    shaved.amount = msat(9_999);
    assert_eq!(
        judge(&shaved, Some(&asked()), HEIGHT, NOW),
        Verdict::Refuse(Failure::FinalIncorrectHtlcAmount { incoming_htlc_amt: 9_999 })
    );
    let mut early = part();
    early.cltv_expiry = BlockHeight(141);
    assert_eq!(
        judge(&early, Some(&asked()), HEIGHT, NOW),
        Verdict::Refuse(Failure::FinalIncorrectCltvExpiry { cltv_expiry: 141 })
    );
}

#[test]
fn a_second_payment_of_a_settled_invoice_is_refused_and_its_own_parts_are_not() {
    let mut asked = asked();
    asked.end = Some(AskedEnd::Settled(InvoiceSettled {
        payment_hash: asked.hash(),
        received: msat(10_000),
        at_ms: 1,
        parts: vec![(1, 0)],
    }));
    assert_eq!(judge(&part(), Some(&asked), HEIGHT, NOW), Verdict::Settle);
    let mut second = part();
    second.htlc = 1;
    refused_as_unknown(&second, Some(&asked), NOW);
}

#[test]
fn records_of_applications_that_need_not_be_understood_are_nobodys_business() {
    let with = |kind: u64| {
        let mut part = part();
        assert!(part.payload.custom_records.insert(kind, vec![1]));
        part
    };
    assert_eq!(judge(&with(7_629_169), Some(&asked()), HEIGHT, NOW), Verdict::Count);
    refused_as_unknown(&with(34_349_334), Some(&asked()), NOW);
    let spontaneous = |mut part: Part| {
        part.payload.payment_data = None;
        part.payload.keysend_preimage = Some(Preimage([1; 32]));
        gift(&part, HEIGHT)
    };
    assert_eq!(spontaneous(part()), Some(Preimage([1; 32])));
    assert_eq!(spontaneous(with(7_629_169)), Some(Preimage([1; 32])));
    assert_eq!(spontaneous(with(34_349_334)), None);
}

#[test]
fn metadata_comes_back_as_it_was_given_or_not_at_all() {
    let mut with = asked();
    with.made.metadata = Some(vec![1, 2, 3]);
    let brings = |metadata: Option<Vec<u8>>| {
        let mut part = part();
        part.payload.payment_metadata = metadata;
        part
    };
    assert_eq!(judge(&brings(Some(vec![1, 2, 3])), Some(&with), HEIGHT, NOW), Verdict::Count);
    for wrong in [None, Some(vec![]), Some(vec![1, 2]), Some(vec![1, 2, 4])] {
        refused_as_unknown(&brings(wrong), Some(&with), NOW);
    }
    refused_as_unknown(&brings(Some(vec![1])), Some(&asked()), NOW);
}

#[test]
fn what_is_held_is_held_by_its_own_htlcs_whatever_time_it_is() {
    let mut held = asked();
    held.made.hold = true;
    held.held = Some(InvoiceHeld {
        payment_hash: held.hash(),
        received: msat(10_000),
        expiry: BlockHeight(142),
        parts: vec![(1, 0)],
        height: HEIGHT,
        at_ms: NOW,
    });
    // The invoice has expired and the HTLC would come too late: both were in time when they came.
    let later = BlockHeight(120);
    assert_eq!(judge(&part(), Some(&held), later, 9_000), Verdict::Count);
    let mut second = part();
    second.htlc = 1;
    refused_as_unknown(&second, Some(&held), NOW);
}

#[test]
fn a_set_is_complete_when_what_was_sent_adds_up_and_counts_each_part_once() {
    let mut first = part();
    first.payload.amt_to_forward = msat(6_000);
    first.amount = msat(6_500);
    let mut set = HeldSet::begin(first.clone(), NOW);
    set.add(first);
    assert_eq!(set.sum(), msat(6_000));
    assert!(!set.is_complete());
    let mut second = part();
    second.htlc = 1;
    second.payload.amt_to_forward = msat(4_000);
    second.amount = msat(4_000);
    assert!(set.takes(&second));
    set.add(second);
    assert!(set.is_complete());
    assert_eq!(set.received(), msat(10_500));
}

#[test]
fn a_set_is_given_back_after_a_minute_or_near_its_expiry() {
    let set = HeldSet::begin(part(), NOW);
    assert!(!set.is_overdue(HEIGHT, NOW + PARTS_PATIENCE_MS - 1));
    assert!(set.is_overdue(HEIGHT, NOW + PARTS_PATIENCE_MS));
    assert!(!set.is_overdue(BlockHeight(121), NOW));
    assert!(set.is_overdue(BlockHeight(122), NOW));
}

#[test]
fn a_blinded_route_is_good_for_its_own_invoice_and_an_open_payment_is_not_good_for_that() {
    let inside = Inside { introduction: false, sha256_of_onion: [4; 32] };
    let mut bundle = asked();
    bundle.made.bolt11 = "vbi1qqq".into();
    let mut blinded = part();
    blinded.blinded = Some(inside);
    assert_eq!(judge(&blinded, Some(&bundle), HEIGHT, NOW), Verdict::Count);
    refused_as_unknown(&blinded, Some(&asked()), NOW);
    refused_as_unknown(&part(), Some(&bundle), NOW);
    // By a route that was made for another payment.
    blinded.payload.payment_data.as_mut().unwrap().payment_secret = PaymentSecret([3; 32]);
    refused_as_unknown(&blinded, Some(&bundle), NOW);
}

#[test]
fn the_payee_says_how_long_it_had_a_part_unless_nobody_may_know_it() {
    use channel::Command;
    use wire::onion::attribution::{HoldTime, read_fulfilled};
    use wire::onion::failure::{code, read};

    let command = crate::channels::task::Asker::Nobody.command(0);
    let (open, secret) = (part(), SharedSecret::new([9; 32]));
    let took = open.fulfil(command, Preimage([1; 32]), 1_250);
    let Command::FulfillHtlc { attribution: Some(data), .. } = took else { panic!("{took:?}") };
    assert_eq!(read_fulfilled(&data, std::slice::from_ref(&secret)), [HoldTime(12)]);
    let gave = open.refuse(command, &Failure::MppTimeout, 60_000);
    let Command::FailHtlc { reason, attribution, .. } = gave else { panic!("{gave:?}") };
    assert_eq!(read(&[secret], &reason, attribution.as_ref()).hold_times, [HoldTime(600)]);

    let mut blinded = part();
    blinded.blinded = Some(Inside { introduction: false, sha256_of_onion: [4; 32] });
    let took = blinded.fulfil(command, Preimage([1; 32]), 1_250);
    assert!(matches!(took, Command::FulfillHtlc { attribution: None, .. }), "{took:?}");
    let gave = blinded.refuse(command, &Failure::MppTimeout, 60_000);
    let blinding = code::INVALID_ONION_BLINDING;
    assert!(
        matches!(gave, Command::FailMalformedHtlc { failure_code, .. } if failure_code == blinding),
        "{gave:?}"
    );
}
