//! What each failure teaches, by code and by who says it.

use secp256k1::{PublicKey, SECP256K1, SecretKey};
use wire::codec::{Encode as _, Rest};
use wire::id::Signature;

use super::*;

const CHAIN: [u8; 32] = [9; 32];

fn secret(number: u8) -> SecretKey {
    SecretKey::from_slice(&[number; 32]).unwrap()
}

fn node(number: u8) -> NodeId {
    NodeId(PublicKey::from_secret_key(SECP256K1, &secret(number)).serialize())
}

fn scid(number: u64) -> ShortChannelId {
    ShortChannelId::from_u64(number)
}

/// Us, then nodes 1, 2 and 3 over channels 1, 2 and 3; node 3 is the payee.
fn hops() -> Vec<HopTaken> {
    (1..=3)
        .map(|number| HopTaken {
            node: node(number),
            channel: scid(number.into()),
            amount: Msat::new(1_000_000 - u64::from(number)).unwrap(),
            cltv_expiry: BlockHeight(200 - u32::from(number)),
        })
        .collect()
}

fn at(from: u8) -> Where {
    let direction = Direction::between(&node(from), &node(from + 1));
    Where { channel: scid(u64::from(from) + 1), direction }
}

fn taught(index: usize, failure: Failure) -> Taught {
    let hops = hops();
    let trip = Trip { hops: &hops, chain: &CHAIN };
    of_failure(&trip, &Source::Hop { index, failure: Some(failure) })
}

/// An update of channel 2 by `author`, in the direction from node 1 to node 2.
fn update(author: u8, fee_base_msat: u32) -> ChannelUpdateBytes {
    let side = u8::from(at(1).direction.bit());
    let mut update = ChannelUpdate {
        signature: Signature([0; 64]),
        chain_hash: CHAIN,
        short_channel_id: scid(2),
        timestamp: 7,
        message_flags: 1,
        channel_flags: side,
        cltv_expiry_delta: 40,
        htlc_minimum_msat: 1,
        fee_base_msat,
        fee_proportional_millionths: 5,
        htlc_maximum_msat: 1_000_000_000,
        extension: Rest::default(),
    };
    let digest = secp256k1::Message::from_digest(update.digest());
    update.signature = SECP256K1.sign_ecdsa(&digest, &secret(author)).into();
    ChannelUpdateBytes(update.encoded())
}

fn none() -> ChannelUpdateBytes {
    ChannelUpdateBytes::default()
}

#[test]
fn a_channel_without_liquidity_is_remembered_and_those_before_it_had_it() {
    let told = taught(1, Failure::TemporaryChannelFailure { channel_update: none() });
    assert!(!told.last);
    assert!(told.lessons.contains(&Lesson::Stuck { at: at(2), amount: hops()[2].amount }));
    assert!(told.lessons.contains(&Lesson::Passed { at: at(1), amount: hops()[1].amount }));
    assert!(told.words.contains("temporary_channel_failure"), "{}", told.words);
}

#[test]
fn every_code_of_a_node_on_the_way_leads_elsewhere_and_ends_nothing() {
    let sha256_of_onion = [0; 32];
    let codes = [
        (Failure::TemporaryNodeFailure, Some(Lesson::AvoidNode(node(1)))),
        (Failure::PermanentNodeFailure, Some(Lesson::AvoidNode(node(1)))),
        (Failure::RequiredNodeFeatureMissing, Some(Lesson::AvoidNode(node(1)))),
        (Failure::InvalidOnionVersion { sha256_of_onion }, Some(Lesson::AvoidNode(node(2)))),
        (Failure::InvalidOnionHmac { sha256_of_onion }, Some(Lesson::Avoid(at(1)))),
        (Failure::InvalidOnionKey { sha256_of_onion }, Some(Lesson::Avoid(at(1)))),
        (Failure::PermanentChannelFailure, Some(Lesson::Avoid(at(1)))),
        (Failure::RequiredChannelFeatureMissing, Some(Lesson::Avoid(at(1)))),
        (Failure::UnknownNextPeer, Some(Lesson::Avoid(at(1)))),
        (
            Failure::AmountBelowMinimum { htlc_msat: 1, channel_update: none() },
            Some(Lesson::Avoid(at(1))),
        ),
        (
            Failure::FeeInsufficient { htlc_msat: 1, channel_update: none() },
            Some(Lesson::Avoid(at(1))),
        ),
        (
            Failure::IncorrectCltvExpiry { cltv_expiry: 1, channel_update: none() },
            Some(Lesson::Avoid(at(1))),
        ),
        (Failure::ExpiryTooSoon { channel_update: none() }, Some(Lesson::Avoid(at(1)))),
        (
            Failure::ChannelDisabled { disabled_flags: 0, channel_update: none() },
            Some(Lesson::Avoid(at(1))),
        ),
        (Failure::ExpiryTooFar, Some(Lesson::AvoidNode(node(1)))),
        (Failure::InvalidOnionPayload { kind: 2, offset: 0 }, Some(Lesson::AvoidNode(node(1)))),
        (Failure::InvalidOnionBlinding { sha256_of_onion }, Some(Lesson::AvoidNode(node(1)))),
        // Not for it to say.
        (
            Failure::IncorrectOrUnknownPaymentDetails { htlc_msat: 1, height: 1 },
            Some(Lesson::AvoidNode(node(1))),
        ),
        (Failure::MppTimeout, Some(Lesson::AvoidNode(node(1)))),
        (Failure::Unknown { code: 0x2099, data: Vec::new() }, Some(Lesson::AvoidNode(node(1)))),
        (Failure::Unknown { code: 0x1099, data: Vec::new() }, Some(Lesson::Avoid(at(1)))),
    ];
    for (failure, lesson) in codes {
        let told = taught(0, failure.clone());
        assert!(!told.last, "{failure:?}");
        assert!(
            lesson.is_none_or(|lesson| told.lessons.contains(&lesson)),
            "{failure:?}: {told:?}"
        );
        let by = PaymentFailure::FailedOnTheWay { code: failure.code(), by: node(1) };
        assert_eq!(told.failure, by);
    }
}

#[test]
fn only_a_signed_update_of_the_channel_itself_changes_what_it_asks_for() {
    let fee = |channel_update| Failure::FeeInsufficient { htlc_msat: 1, channel_update };
    let told = taught(0, fee(update(1, 2_000)));
    let news = told.lessons.iter().find_map(|lesson| match lesson {
        Lesson::Policy(place, policy) => Some((*place, policy.fee_base_msat)),
        _ => None,
    });
    assert_eq!(news, Some((at(1), 2_000)));
    // Signed by somebody else, or told of another channel: no reason to believe it.
    for told in [taught(0, fee(update(2, 2_000))), taught(1, fee(update(2, 2_000)))] {
        assert!(!told.lessons.iter().any(|lesson| matches!(lesson, Lesson::Policy(..))));
        assert!(told.lessons.iter().any(|lesson| matches!(lesson, Lesson::Avoid(_))));
    }
}

#[test]
fn what_the_payee_says_ends_the_payment_or_blames_the_node_before() {
    let unknown = Failure::IncorrectOrUnknownPaymentDetails { htlc_msat: 1, height: 77 };
    let told = taught(2, unknown);
    assert!(told.last);
    let height = Some(BlockHeight(77));
    assert_eq!(told.failure, PaymentFailure::UnknownByPayee { height });
    assert_eq!(told.lessons.len(), 2, "the whole way passed: {:?}", told.lessons);
    assert!(taught(2, Failure::MppTimeout).last);
    let shaved = taught(2, Failure::FinalIncorrectHtlcAmount { incoming_htlc_amt: 1 });
    assert!(!shaved.last);
    assert!(shaved.lessons.contains(&Lesson::AvoidNode(node(2))));
}

#[test]
fn a_garbled_failure_shuns_the_whole_way_or_the_two_that_attribution_names() {
    let hops = hops();
    let trip = Trip { hops: &hops, chain: &CHAIN };
    let told = of_failure(&trip, &Source::Unreadable { blamed: None });
    assert!(!told.last);
    assert!(told.lessons.contains(&Lesson::Avoid(at(1))));
    assert!(told.lessons.contains(&Lesson::Avoid(at(2))));
    let told = of_failure(&trip, &Source::Unreadable { blamed: Some(1) });
    assert!(told.lessons.contains(&Lesson::AvoidNode(node(1))));
    assert!(told.lessons.contains(&Lesson::AvoidNode(node(2))));
    let straight = Trip { hops: &hops[2..], chain: &CHAIN };
    assert!(of_failure(&straight, &Source::Unreadable { blamed: None }).last);
}
