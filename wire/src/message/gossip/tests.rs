//! Tests of `gossip`.

use super::*;
use crate::codec::{Decode, DecodeError};
use crate::message::Message;
use crate::sample::{Sample, Seed};

fn hex(text: &str) -> Vec<u8> {
    bitcoin::hex::FromHex::from_hex(text).unwrap()
}

/// The chain hash of `bolt07/extended-queries.json`.
const CHAIN: &str = "0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206";

fn chain() -> [u8; 32] {
    hex(CHAIN).try_into().unwrap()
}

fn ids<const N: usize>(texts: [&str; N]) -> Encoded<ShortChannelId> {
    Encoded(texts.iter().map(|text| text.parse().unwrap()).collect())
}

/// `head` is what goes before the chain hash, the type; `tail` is what follows it.
#[track_caller]
fn check(head: &str, tail: &str, expected: impl Into<Message>) {
    let frame = hex(&[head, CHAIN, tail].concat());
    let expected = expected.into();
    assert_eq!(expected.encode_frame(), frame);
    assert_eq!(Message::decode_frame(&frame), Ok(Some(expected)));
}

/// The entries of `bolt07/extended-queries.json` without compression.
#[test]
fn extended_queries_are_as_the_specification_says() {
    let range = |first, number_of_blocks, query_option_flags| QueryChannelRange {
        chain_hash: chain(),
        first_blocknum: BlockHeight(first),
        number_of_blocks,
        query_option_flags,
    };
    check("0107", "000186a0000005dc", range(100_000, 1_500, None));
    check("0107", "000088b800000064010103", range(35_000, 100, Some(BigSize(3))));

    let reply = |first, encoded_short_ids, timestamps_tlv, checksums_tlv| ReplyChannelRange {
        chain_hash: chain(),
        first_blocknum: BlockHeight(first),
        number_of_blocks: 1_500,
        sync_complete: 1,
        encoded_short_ids,
        timestamps_tlv,
        checksums_tlv,
    };
    check(
        "0108",
        "000b8a06000005dc01001900000000000000008e0000000000003c69000000000045a6c4",
        reply(756_230, ids(["0x0x142", "0x0x15465", "0x69x42692"]), None, None),
    );
    let times = [(164_545, 948_165), (489_645, 4_786_864), (46_456, 9_788_415)];
    let times = times.map(|(timestamp_node_id_1, timestamp_node_id_2)| ChannelUpdateTimestamps {
        timestamp_node_id_1,
        timestamp_node_id_2,
    });
    let sums = [(1_111, 2_222), (3_333, 4_444), (5_555, 6_666)];
    let sums = sums.map(|(checksum_node_id_1, checksum_node_id_2)| ChannelUpdateChecksums {
        checksum_node_id_1,
        checksum_node_id_2,
    });
    check(
        "0108",
        "0001ddde000005dc01001900000000000000304300000000000778d6000000000046e1c1011900000282c1000e77\
         c5000778ad00490ab00000b57800955bff031800000457000008ae00000d050000115c000015b300001a0a",
        reply(
            122_334,
            ids(["0x0x12355", "0x7x30934", "0x70x57793"]),
            Some(Encoded(times.into())),
            Some(sums.into()),
        ),
    );
    check(
        "0105",
        "001900000000000000008e0000000000003c69000000000045a6c4",
        QueryShortChannelIds {
            chain_hash: chain(),
            encoded_short_ids: ids(["0x0x142", "0x0x15465", "0x69x42692"]),
            query_flags: None,
        },
    );
}

/// The entries of `bolt07/extended-queries.json` that use zlib, which must not be used any more.
#[test]
fn compressed_arrays_are_refused() {
    for (head, tail) in [
        ("0108", "000006400000006e01001601789c636000833e08659309a65878be010010a9023a"),
        (
            "0108",
            "0001ddde000005dc01001801789c63600001036730c55e710d4cbb3d3c080017c303b1012201789c63606a3ac8\
             c0577e9481bd622d8327d7060686ad150c53a3ff0300554707db031800000457000008ae00000d050000115c00\
             0015b300001a0a",
        ),
        ("0105", "001801789c63600001c12b608a69e73e30edbaec0800203b040e"),
        (
            "0105",
            "0019000000000000002fc80000000000003cc4000000000045a6c4010c01789c6364620100000e0008",
        ),
        (
            "0105",
            "001801789c63600001f30a30c5b0cd144cb92e3b020017c6034a010c01789c6364620100000e0008",
        ),
    ] {
        let frame = hex(&[head, CHAIN, tail].concat());
        assert_eq!(Message::decode_frame(&frame), Err(DecodeError::Encoding(1)), "{tail}");
    }
}

#[test]
fn arrays_hold_whole_elements_behind_an_encoding() {
    type Ids = Encoded<ShortChannelId>;
    assert_eq!(Ids::decode_exact(&hex("0000")), Err(DecodeError::Short), "no encoding");
    assert_eq!(Ids::decode_exact(&hex("000100")), Ok(Encoded(vec![])));
    assert_eq!(Ids::decode_exact(&hex("000800aaaaaaaaaaaaaa")), Err(DecodeError::Short));
    assert_eq!(Ids::decode_exact(&hex("000102")), Err(DecodeError::Encoding(2)));
    let many = Encoded(vec![ShortChannelId::from_u64(5); 9_000]).encoded();
    assert_eq!(Ids::decode_exact(&many).unwrap().0.len(), 8_191, "what 65,535 bytes hold");
}

#[test]
fn signatures_cover_everything_behind_them() {
    let mut seed = Seed(1);
    let mut update = ChannelUpdate::sample(&mut seed);
    let digest = update.digest();
    assert_eq!(digest, sha256d::Hash::hash(&update.encoded()[64..]).to_byte_array());
    update.signature = Signature([0; 64]);
    assert_eq!(update.digest(), digest);
    update.extension.0.push(1);
    assert_ne!(update.digest(), digest);

    let mut channel = ChannelAnnouncement::sample(&mut seed);
    let digest = channel.digest();
    channel.bitcoin_signature_2 = Signature([0; 64]);
    assert_eq!(channel.digest(), digest);
    channel.features.set(3);
    assert_ne!(channel.digest(), digest);

    let mut node = NodeAnnouncement::sample(&mut seed);
    let digest = node.digest();
    node.signature = Signature([0; 64]);
    assert_eq!(node.digest(), digest);
    node.features = Features::from_wire([&[0], node.features.as_bytes()].concat());
    assert_ne!(node.digest(), digest, "padding is signed, too");
}

#[test]
fn a_checksum_leaves_signature_and_timestamp_out() {
    let update = ChannelUpdate::sample(&mut Seed(2));
    let body = update.encoded();
    let rest = [&body[64..104], &body[108..]].concat();
    assert_eq!(update.checksum(), crc32c::crc32c(&rest));
    let renewed = ChannelUpdate { timestamp: 9, signature: Signature([1; 64]), ..update.clone() };
    assert_eq!(renewed.checksum(), update.checksum());
    let changed = ChannelUpdate { fee_base_msat: update.fee_base_msat ^ 1, ..update.clone() };
    assert_ne!(changed.checksum(), update.checksum());
}

#[test]
fn flags_of_an_update_are_read_bit_by_bit() {
    let update =
        ChannelUpdate { channel_flags: 0b01, message_flags: 0b01, ..Sample::sample(&mut Seed(3)) };
    assert!(update.is_of_second_node() && !update.is_disabled() && !update.is_private());
    let update = ChannelUpdate { channel_flags: 0b10, message_flags: 0b11, ..update };
    assert!(!update.is_of_second_node() && update.is_disabled() && update.is_private());
}

#[test]
fn an_alias_is_safe_to_show() {
    let with = |text: &[u8]| {
        let mut alias = [0; 32];
        alias[..text.len()].copy_from_slice(text);
        NodeAnnouncement { alias, ..Sample::sample(&mut Seed(4)) }.alias_text()
    };
    assert_eq!(with(b""), "");
    assert_eq!(with("SLEEPY \u{26a1} node".as_bytes()), "SLEEPY \u{26a1} node");
    assert_eq!(with(b"\x1b[31mred"), "\u{fffd}[31mred");
    assert_eq!(with(b"\xff\xfe"), "\u{fffd}\u{fffd}");
    assert_eq!(with("a\u{202e}b".as_bytes()), "a\u{fffd}b");
}
