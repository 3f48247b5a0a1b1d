//! Tests of `message`.

use std::collections::BTreeSet;

use super::*;
use crate::id::NodeId;
use crate::sample::{Sample, Seed};

/// Every message with a number in BOLT 1, 2, 4 and 7, by name.
const NUMBERS: &[(u16, &str)] = &[
    (1, "warning"),
    (2, "stfu"),
    (7, "peer_storage"),
    (9, "peer_storage_retrieval"),
    (16, "init"),
    (17, "error"),
    (18, "ping"),
    (19, "pong"),
    (32, "open_channel"),
    (33, "accept_channel"),
    (34, "funding_created"),
    (35, "funding_signed"),
    (36, "channel_ready"),
    (38, "shutdown"),
    (39, "closing_signed"),
    (40, "closing_complete"),
    (41, "closing_sig"),
    (64, "open_channel2"),
    (65, "accept_channel2"),
    (66, "tx_add_input"),
    (67, "tx_add_output"),
    (68, "tx_remove_input"),
    (69, "tx_remove_output"),
    (70, "tx_complete"),
    (71, "tx_signatures"),
    (72, "tx_init_rbf"),
    (73, "tx_ack_rbf"),
    (74, "tx_abort"),
    (77, "splice_locked"),
    (80, "splice_init"),
    (81, "splice_ack"),
    (127, "start_batch"),
    (128, "update_add_htlc"),
    (130, "update_fulfill_htlc"),
    (131, "update_fail_htlc"),
    (132, "commitment_signed"),
    (133, "revoke_and_ack"),
    (134, "update_fee"),
    (135, "update_fail_malformed_htlc"),
    (136, "channel_reestablish"),
    (256, "channel_announcement"),
    (257, "node_announcement"),
    (258, "channel_update"),
    (259, "announcement_signatures"),
    (261, "query_short_channel_ids"),
    (262, "reply_short_channel_ids_end"),
    (263, "query_channel_range"),
    (264, "reply_channel_range"),
    (265, "gossip_timestamp_filter"),
    (513, "onion_message"),
];

#[test]
fn every_message_of_the_bolts_is_here() {
    let ours: BTreeSet<_> =
        samples(&mut Seed(0)).iter().map(|message| (message.number(), message.kind())).collect();
    assert_eq!(ours, NUMBERS.iter().copied().collect());
}

#[test]
fn an_unknown_type_is_odd_or_the_end() {
    for number in 0..=u16::MAX {
        if NUMBERS.iter().any(|(known, _)| *known == number) {
            continue;
        }
        let frame = [&number.to_be_bytes()[..], &[1, 2, 3]].concat();
        let expected =
            if number % 2 == 1 { Ok(None) } else { Err(DecodeError::UnknownEvenType(number)) };
        assert_eq!(Message::decode_frame(&frame), expected);
    }
}

#[test]
fn a_frame_without_a_type_is_refused() {
    assert_eq!(Message::decode_frame(&[]), Err(DecodeError::Short));
    assert_eq!(Message::decode_frame(&[0]), Err(DecodeError::Short));
}

#[test]
fn every_extension_follows_the_rules_of_streams() {
    // A record of a type that nobody knows, where there is a known one of a lower type or none.
    let unknown = |kind: u8| [0xfe, 0x10, 0, 0, kind, 1, 0xaa];
    for message in samples(&mut Seed(5)) {
        if matches!(message.number(), 256..=258) {
            // Gossip keeps its tail unread, see below.
            continue;
        }
        let frame = message.encode_frame();
        let odd = [&frame[..], &unknown(1)].concat();
        assert_eq!(Message::decode_frame(&odd), Ok(Some(message.clone())), "{}", message.kind());
        let even = [&frame[..], &unknown(2)].concat();
        let fault = Err(DecodeError::UnknownEven(0x1000_0002));
        assert_eq!(Message::decode_frame(&even), fault, "{}", message.kind());
        let torn = [&odd[..], &[0xfe]].concat();
        assert_eq!(Message::decode_frame(&torn), Err(DecodeError::Short), "{}", message.kind());
    }
}

#[test]
fn gossip_is_passed_on_with_its_unknown_tail() {
    for message in samples(&mut Seed(6)).into_iter().filter(|m| matches!(m.number(), 256..=258)) {
        let frame = [&message.encode_frame()[..], &[2, 1, 0xaa, 0xff]].concat();
        let kept = Message::decode_frame(&frame).unwrap().unwrap();
        assert_eq!(kept.encode_frame(), frame);
    }
}

#[test]
fn a_message_knows_its_channel() {
    let id = ChannelId([7; 32]);
    let stfu = Stfu { channel_id: id, initiator: 1 };
    assert_eq!(Message::from(stfu).channel_id(), Some(id));
    let open = OpenChannel { temporary_channel_id: id, ..Sample::sample(&mut Seed(8)) };
    assert_eq!(Message::from(open).channel_id(), Some(id));
    assert_eq!(Message::from(Pong { ignored: vec![] }).channel_id(), None);
    let with = samples(&mut Seed(9)).iter().filter(|m| m.channel_id().is_some()).count();
    assert_eq!(with, NUMBERS.len() - 14);
}

#[test]
fn a_message_is_cheap_to_move() {
    assert!(size_of::<Message>() <= 192, "{}", size_of::<Message>());
}

#[test]
fn a_point_off_the_curve_is_refused_in_channels_and_kept_in_gossip() {
    let fee = RevokeAndAck::sample(&mut Seed(10));
    let mut frame = Message::from(fee).encode_frame();
    let at = frame.len() - 33;
    frame[at] = 5;
    assert_eq!(Message::decode_frame(&frame), Err(DecodeError::Point));

    let update =
        ChannelAnnouncement { node_id_1: NodeId([5; 33]), ..Sample::sample(&mut Seed(11)) };
    let frame = Message::from(update.clone()).encode_frame();
    assert_eq!(Message::decode_frame(&frame), Ok(Some(update.into())));
}

#[test]
fn the_largest_message_fits_its_frame() {
    let blob = PeerStorage { blob: vec![1; 65_531] };
    assert_eq!(Message::from(blob).encode_frame().len(), Message::LEN_MAX);
}

/// `update_add_htlc` laid out by hand, field by field.
#[test]
fn an_add_looks_as_the_specification_draws_it() {
    let add = UpdateAddHtlc {
        channel_id: ChannelId([0x11; 32]),
        id: 3,
        amount_msat: crate::units::Msat::new(100_000_000).unwrap(),
        payment_hash: crate::id::PaymentHash([0x22; 32]),
        cltv_expiry: crate::units::BlockHeight(500),
        onion_routing_packet: OnionPacket::from([0x33; 1366]),
        path_key: None,
        accountable: None,
    };
    let by_hand = [
        &[0x00, 0x80][..],
        &[0x11; 32],
        &[0, 0, 0, 0, 0, 0, 0, 3],
        &[0, 0, 0, 0, 0x05, 0xf5, 0xe1, 0x00],
        &[0x22; 32],
        &[0, 0, 0x01, 0xf4],
        &[0x33; 1366],
    ]
    .concat();
    assert_eq!(Message::from(add).encode_frame(), by_hand);
    assert_eq!(by_hand.len(), 1_452);
}
