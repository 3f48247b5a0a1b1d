//! `bolt04/onion-error-test.json`, BOLT 4 § Test Vector (Returning Errors), and faults of our own.

use super::*;
use crate::message::AttributionData;
use crate::noise::symmetric::hmac;
use crate::onion::SharedSecret;
use crate::onion::attribution::HoldTime;
use crate::onion::keys::KeyKind;
use crate::onion::sphinx::shared_secrets;
use crate::onion::vectors::{array, bytes, json, list, point, secret, shared};
use proptest::prelude::*;

fn update(byte: u8) -> ChannelUpdateBytes {
    ChannelUpdateBytes(vec![byte; 136])
}

/// One of each.
fn all() -> Vec<Failure> {
    let sha256_of_onion = [5; 32];
    vec![
        Failure::TemporaryNodeFailure,
        Failure::PermanentNodeFailure,
        Failure::RequiredNodeFeatureMissing,
        Failure::InvalidOnionVersion { sha256_of_onion },
        Failure::InvalidOnionHmac { sha256_of_onion },
        Failure::InvalidOnionKey { sha256_of_onion },
        Failure::TemporaryChannelFailure { channel_update: update(1) },
        Failure::TemporaryChannelFailure { channel_update: ChannelUpdateBytes::default() },
        Failure::PermanentChannelFailure,
        Failure::RequiredChannelFeatureMissing,
        Failure::UnknownNextPeer,
        Failure::AmountBelowMinimum { htlc_msat: u64::MAX, channel_update: update(2) },
        Failure::FeeInsufficient { htlc_msat: 1, channel_update: update(3) },
        Failure::IncorrectCltvExpiry { cltv_expiry: 800_000, channel_update: update(4) },
        Failure::ExpiryTooSoon { channel_update: update(5) },
        Failure::IncorrectOrUnknownPaymentDetails { htlc_msat: 100, height: 800_000 },
        Failure::FinalIncorrectCltvExpiry { cltv_expiry: 7 },
        Failure::FinalIncorrectHtlcAmount { incoming_htlc_amt: 8 },
        Failure::ChannelDisabled { disabled_flags: 0, channel_update: update(6) },
        Failure::ExpiryTooFar,
        Failure::InvalidOnionPayload { kind: 65_536, offset: 40 },
        Failure::MppTimeout,
        Failure::InvalidOnionBlinding { sha256_of_onion },
        Failure::Unknown { code: 0x4010, data: vec![1, 2, 3] },
    ]
}

fn secrets(count: u8) -> Vec<SharedSecret> {
    (1..=count).map(|byte| SharedSecret::new([byte; 32])).collect()
}

/// A failure of hop `source`, carried back over all hops before it.
fn returned(
    secrets: &[SharedSecret],
    source: usize,
    failure: &Failure,
    hold: bool,
) -> ReturnPacket {
    let hold_time = |hop: usize| hold.then(|| HoldTime(u32::try_from(hop).unwrap() + 1));
    let start = ReturnPacket::create(&secrets[source], failure, hold_time(source));
    (0..source).rev().fold(start, |packet, hop| packet.relay(&secrets[hop], hold_time(hop)))
}

#[test]
fn onion_error_test_vector() {
    let test = json(include_str!("../../../vectors/bolt04/onion-error-test.json"));
    let hops = list(&test["generate"]["hops"]);
    let nodes: Vec<_> = hops.iter().map(|hop| point(&hop["pubkey"])).collect();
    let secrets = shared_secrets(&secret(&test["generate"]["session_key"]), &nodes).unwrap();
    for (secret, hop) in secrets.iter().zip(hops) {
        assert_eq!(*secret.expose(), array(&hop["hop_shared_secret"]));
        assert_eq!(*secret.key(KeyKind::Ammag).expose(), array(&hop["ammag_key"]));
    }
    assert_eq!(*secrets[4].key(KeyKind::Um).expose(), array(&hops[4]["um_key"]));
    let failure = Failure::decode(&bytes(&test["generate"]["failure_message"])).unwrap();
    assert_eq!(failure, Failure::TemporaryNodeFailure);
    let packet = returned(&secrets, 4, &failure, false);
    assert_eq!(packet.reason.len(), 292);
    assert_eq!(packet.reason, bytes(&test["errorpacket"]));
    let reading = read(&secrets, &packet.reason, None);
    assert_eq!(reading.source, Source::Hop { index: 4, failure: Some(failure) });
    assert_eq!(reading.hold_times, []);
}

#[test]
fn bolt_4_returning_errors_vector() {
    let test = json(include_str!("../../../vectors/bolt04/attribution-test.json"));
    let nodes: Vec<_> = list(&test["pubkeys"]).iter().map(point).collect();
    let secrets = shared_secrets(&secret(&test["session_key"]), &nodes).unwrap();
    // The message is given with padding behind it; this vector pads to 1024 bytes, not to 256.
    let message = bytes(&test["encoded_failure_message"])[..320].to_vec();
    // The text numbers hold times from the first hop; its bytes number them from the last.
    let hold_time = |hop: usize| Some(HoldTime(u32::try_from(5 - hop).unwrap()));
    let mut packet = ReturnPacket::create_padded(&secrets[4], &message, 1_024, hold_time(4));
    for (step, expected) in list(&test["failure"]).iter().enumerate() {
        let hop = 4 - step;
        assert_eq!(secrets[hop].expose(), shared(&expected["shared_secret"]).expose());
        if step > 0 {
            packet = packet.relay(&secrets[hop], hold_time(hop));
        }
        assert!(packet.reason == bytes(&expected["error_packet"]), "hop {hop}");
        let expected = AttributionData::from(array(&expected["attribution_data"]));
        assert!(packet.attribution_data == Some(expected), "hop {hop}");
    }
    let reading = read(&secrets, &packet.reason, packet.attribution_data.as_ref());
    let failure = Failure::IncorrectOrUnknownPaymentDetails { htlc_msat: 100, height: 800_000 };
    assert_eq!(reading.source, Source::Hop { index: 4, failure: Some(failure) });
    assert_eq!(reading.hold_times, [5, 4, 3, 2, 1].map(HoldTime));
}

#[test]
fn every_failure_round_trips() {
    for failure in all() {
        let bytes = failure.encode();
        assert_eq!(bytes[..2], failure.code().to_be_bytes());
        assert_eq!(Failure::decode(&bytes), Some(failure.clone()));
        let more = [&bytes[..], &[0xfd, 0x84, 0xd1, 1, 0]].concat();
        if !matches!(failure, Failure::Unknown { .. }) {
            assert_eq!(Failure::decode(&more), Some(failure), "extra bytes are ignored");
        }
    }
    assert_eq!(Failure::decode(&[0x20]), None);
}

#[test]
fn codes_are_those_of_the_specification() {
    let codes: Vec<_> = all().iter().map(Failure::code).collect();
    assert_eq!(
        codes,
        [
            0x2002, 0x6002, 0x6003, 0xc004, 0xc005, 0xc006, 0x1007, 0x1007, 0x4008, 0x4009, 0x400a,
            0x100b, 0x100c, 0x100d, 0x100e, 0x400f, 0x0012, 0x0013, 0x1014, 0x0015, 0x4016, 0x0017,
            0xc018, 0x4010
        ]
    );
}

#[test]
fn a_channel_update_is_read_with_and_without_its_type() {
    let failure = Failure::TemporaryChannelFailure { channel_update: update(9) };
    let untyped = [&[0x10, 0x07, 0, 136][..], &[9; 136]].concat();
    let typed = [&[0x10, 0x07, 0, 138, 1, 2][..], &[9; 136]].concat();
    assert_eq!(Failure::decode(&untyped), Some(failure.clone()));
    assert_eq!(Failure::decode(&typed), Some(failure.clone()));
    assert_eq!(failure.encode(), typed);
    // None at all is the usual form today.
    let none = Failure::TemporaryChannelFailure { channel_update: ChannelUpdateBytes::default() };
    assert_eq!(none.encode(), [0x10, 0x07, 0, 0]);
}

#[test]
fn data_that_is_too_short_keeps_its_code() {
    for failure in all() {
        let bytes = failure.encode();
        if bytes.len() > 2 && !matches!(failure, Failure::Unknown { .. }) {
            let data = bytes[2..bytes.len() - 1].to_vec();
            let cut = Failure::decode(&bytes[..bytes.len() - 1]);
            assert_eq!(cut, Some(Failure::Unknown { code: failure.code(), data }));
        }
    }
}

#[test]
fn a_malformed_answer_becomes_a_failure() {
    let sha256_of_onion = [3; 32];
    for (code, failure) in [
        (0xc004, Failure::InvalidOnionVersion { sha256_of_onion }),
        (0xc005, Failure::InvalidOnionHmac { sha256_of_onion }),
        (0xc006, Failure::InvalidOnionKey { sha256_of_onion }),
        (0xc018, Failure::InvalidOnionBlinding { sha256_of_onion }),
        (0x8001, Failure::Unknown { code: 0x8001, data: vec![3; 32] }),
    ] {
        assert_eq!(Failure::from_malformed(code, sha256_of_onion), Some(failure));
    }
    assert_eq!(Failure::from_malformed(0x400f, sha256_of_onion), None);
}

#[test]
fn every_hop_of_every_route_can_be_heard() {
    let failure = Failure::UnknownNextPeer;
    for hops in [1, 2, 5, 20, 27] {
        let secrets = secrets(hops);
        for source in 0..secrets.len() {
            let packet = returned(&secrets, source, &failure, true);
            let reading = read(&secrets, &packet.reason, packet.attribution_data.as_ref());
            assert_eq!(
                reading.source,
                Source::Hop { index: source, failure: Some(failure.clone()) }
            );
            let proven = if hops > 20 { 0 } else { u32::try_from(source).unwrap() + 1 };
            assert_eq!(reading.hold_times, (1..=proven).map(HoldTime).collect::<Vec<_>>());
        }
    }
}

#[test]
fn who_garbles_a_failure_is_found() {
    let secrets = secrets(5);
    for garbler in 0..4 {
        let hold_time = |hop: usize| Some(HoldTime(u32::try_from(hop).unwrap() + 1));
        let start = ReturnPacket::create(&secrets[4], &Failure::MppTimeout, hold_time(4));
        let mut packet = (garbler..4)
            .rev()
            .fold(start, |packet, hop| packet.relay(&secrets[hop], hold_time(hop)));
        packet.reason[100] ^= 1;
        packet = (0..garbler)
            .rev()
            .fold(packet, |packet, hop| packet.relay(&secrets[hop], hold_time(hop)));
        let reading = read(&secrets, &packet.reason, packet.attribution_data.as_ref());
        assert_eq!(reading.source, Source::Unreadable { blamed: Some(garbler) });
        assert_eq!(reading.hold_times.len(), garbler);
        let unknown = read(&secrets, &packet.reason, None);
        assert_eq!(unknown.source, Source::Unreadable { blamed: None });
    }
}

#[test]
fn a_hop_without_attribution_ends_the_trail_but_not_the_failure() {
    let secrets = secrets(4);
    let hold = Some(HoldTime(9));
    // Hop 2 does not speak it, so hop 1 starts from nothing.
    let packet = ReturnPacket::create(&secrets[3], &Failure::MppTimeout, hold)
        .relay(&secrets[2], None)
        .relay(&secrets[1], hold)
        .relay(&secrets[0], hold);
    let reading = read(&secrets, &packet.reason, packet.attribution_data.as_ref());
    assert_eq!(reading.source, Source::Hop { index: 3, failure: Some(Failure::MppTimeout) });
    assert_eq!(reading.hold_times, [HoldTime(9), HoldTime(9)]);
}

#[test]
fn packets_of_any_size_are_read() {
    let secrets = secrets(3);
    for padded in [0, 256, 1_024, 65_000] {
        let packet =
            ReturnPacket::create_padded(&secrets[0], &Failure::MppTimeout.encode(), padded, None);
        let reading = read(&secrets, &packet.reason, None);
        assert_eq!(reading.source, Source::Hop { index: 0, failure: Some(Failure::MppTimeout) });
    }
    for size in [0, 1, 31, 32, 33] {
        assert_eq!(
            read(&secrets, &vec![0; size], None).source,
            Source::Unreadable { blamed: None }
        );
    }
}

#[test]
fn the_longest_failure_still_fits_its_message() {
    use crate::message::{Message, UpdateFailHtlc};
    let secret = &secrets(1)[0];
    for (size, attributed) in [(64_567, true), (64_568, false), (65_491, false)] {
        let packet = ReturnPacket { reason: vec![1; size], attribution_data: None };
        let packet = packet.relay(secret, Some(HoldTime(1)));
        assert_eq!(packet.attribution_data.is_some(), attributed, "{size}");
        let message = Message::from(UpdateFailHtlc {
            channel_id: crate::id::ChannelId([0; 32]),
            id: 0,
            reason: packet.reason,
            attribution_data: packet.attribution_data,
        });
        assert!(message.encode_frame().len() <= crate::frame::MESSAGE_LEN_MAX);
    }
}

#[test]
fn an_authentic_failure_with_nonsense_inside_is_still_the_hops() {
    let secrets = secrets(2);
    // A length that points beyond the packet.
    let clear = [0xff, 0xff, 1, 2];
    let um = secrets[0].key(KeyKind::Um);
    let mut reason = [&hmac(um.expose(), &[&clear])[..], &clear].concat();
    secrets[0].stream(KeyKind::Ammag).xor(&mut reason);
    let reading = read(&secrets, &reason, None);
    assert_eq!(reading.source, Source::Hop { index: 0, failure: None });
}

proptest! {
    #[test]
    fn random_failures_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        if let Some(failure) = Failure::decode(&bytes) {
            prop_assert_eq!(Failure::decode(&failure.encode()), Some(failure));
        }
    }

    #[test]
    fn random_packets_are_unreadable(reason in prop::collection::vec(any::<u8>(), 0..400), data: [u8; 32]) {
        let mut attribution = [0; 920];
        attribution[..32].copy_from_slice(&data);
        let reading = read(&secrets(3), &reason, Some(&AttributionData::from(attribution)));
        prop_assert_eq!(reading.source, Source::Unreadable { blamed: Some(0) });
    }
}
