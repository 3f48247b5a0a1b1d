//! Every bound of a policy, on both sides of it, and the ten minutes after a change.

use wire::id::{PaymentHash, ShortChannelId};
use wire::message::OnionPacket;
use wire::onion::SharedSecret;
use wire::onion::failure::code;
use wire::onion::payload;

use super::*;

const HEIGHT: BlockHeight = BlockHeight(1_000);
const POLICY: ForwardPolicy = ForwardPolicy {
    enabled: true,
    base_msat: 1_000,
    ppm: 100,
    cltv_delta: 40,
    htlc_min: Msat::ZERO,
    htlc_max: Msat::MAX,
};

fn msat(amount: u64) -> Msat {
    Msat::new(amount).unwrap()
}

/// So much comes in, so much is to go out, and so many blocks are between and behind.
fn forward(amount_in: u64, amount_out: u64, delta: u32, ahead: u32) -> Forward {
    let outgoing = HEIGHT.saturating_add(ahead);
    Forward {
        channel: ChannelIndex(1),
        htlc: 2,
        amount: msat(amount_in),
        hash: PaymentHash([3; 32]),
        cltv_expiry: outgoing.saturating_add(delta),
        overexposed: false,
        accountable: false,
        tag: [4; 16],
        secret: SharedSecret::new([5; 32]),
        payload: payload::Forward {
            amt_to_forward: msat(amount_out),
            outgoing_cltv_value: outgoing,
            short_channel_id: ShortChannelId::from_parts(BlockHeight(1), 2, 3).unwrap(),
        },
        onion: OnionPacket::from([0; 1366]),
        since_ms: 0,
        blinded: None,
    }
}

fn code_of(policy: &ForwardPolicy, forward: &Forward) -> Option<u16> {
    let update = ChannelUpdateBytes(vec![6; 130]);
    policy.check(forward, HEIGHT, &update).err().map(|failure| failure.code())
}

#[test]
fn every_bound_has_its_code_and_holds_exactly() {
    let fee = 1_000 + 1_000;
    let cases = [
        (forward(10_000_000 + fee, 10_000_000, 40, 13), None),
        (forward(10_000_000 + fee - 1, 10_000_000, 40, 13), Some(code::FEE_INSUFFICIENT)),
        (forward(9_999_999, 10_000_000, 40, 13), Some(code::FEE_INSUFFICIENT)),
        (forward(10_000_000 + fee, 10_000_000, 39, 13), Some(code::INCORRECT_CLTV_EXPIRY)),
        (forward(10_000_000 + fee, 10_000_000, 40, 12), Some(code::EXPIRY_TOO_SOON)),
        (forward(10_000_000 + fee, 10_000_000, 40, 2_016), None),
        (forward(10_000_000 + fee, 10_000_000, 40, 2_017), Some(code::EXPIRY_TOO_FAR)),
    ];
    for (number, (forward, wanted)) in cases.iter().enumerate() {
        assert_eq!(code_of(&POLICY, forward), *wanted, "case {number}");
    }
    let good = forward(10_000_000 + fee, 10_000_000, 40, 100);
    let with = |change: PolicyChange| code_of(&change.of(POLICY), &good);
    let none = PolicyChange::default();
    assert_eq!(with(PolicyChange { enabled: Some(false), ..none }), Some(code::CHANNEL_DISABLED));
    let above = Some(msat(10_000_001));
    let below = Some(msat(9_999_999));
    let exact = Some(msat(10_000_000));
    assert_eq!(with(PolicyChange { htlc_min: above, ..none }), Some(code::AMOUNT_BELOW_MINIMUM));
    assert_eq!(
        with(PolicyChange { htlc_max: below, ..none }),
        Some(code::TEMPORARY_CHANNEL_FAILURE)
    );
    assert_eq!(with(PolicyChange { htlc_min: exact, htlc_max: exact, ..none }), None);
}

#[test]
fn the_fee_of_the_largest_amount_does_not_overflow() {
    let dear = ForwardPolicy { base_msat: u32::MAX, ppm: u32::MAX, ..POLICY };
    assert!(dear.fee_msat(Msat::MAX) > u128::from(Msat::MAX.to_u64()));
    assert_eq!(POLICY.fee_msat(msat(9_999)), 1_000, "rounded down");
    // BOLT 7 § Routing Example: 4,999,999 at 200 and 2,000 ppm.
    let example = ForwardPolicy { base_msat: 200, ppm: 2_000, ..POLICY };
    assert_eq!(example.fee_msat(msat(4_999_999)), 10_199);
}

#[test]
fn what_was_asked_for_before_is_good_for_ten_minutes_unless_the_channel_was_shut() {
    let channel = ChannelIndex(9);
    let mut policies = ForwardPolicies { default: POLICY, ..ForwardPolicies::default() };
    let dearer = ForwardPolicy { base_msat: 5_000, ..POLICY };
    policies.set(PolicySet { channel: 9, before: POLICY, policy: dearer, at_ms: 1_000 });
    let cheap = forward(10_002_000, 10_000_000, 40, 100);
    let at = |policies: &ForwardPolicies, now_ms| {
        let none = ChannelUpdateBytes::default();
        policies.check(channel, &cheap, HEIGHT, now_ms, &none).err().map(|failure| failure.code())
    };
    assert_eq!(at(&policies, 1_000 + GRACE_MS - 1), None);
    assert_eq!(at(&policies, 1_000 + GRACE_MS), Some(code::FEE_INSUFFICIENT));
    let shut = ForwardPolicy { enabled: false, ..dearer };
    policies.set(PolicySet { channel: 9, before: dearer, policy: shut, at_ms: 1_000 });
    assert_eq!(at(&policies, 1_001), Some(code::CHANNEL_DISABLED));
    policies.remove(channel);
    assert_eq!(policies.of(channel), POLICY);
}
