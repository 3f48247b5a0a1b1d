//! Tests of `id`.

use secp256k1::{Message, SECP256K1, SecretKey};

use super::*;
use crate::units::BlockHeight;

fn key(byte: u8) -> PublicKey {
    SecretKey::from_slice(&[byte; 32]).unwrap().public_key(SECP256K1)
}

#[test]
fn a_v1_id_differs_from_the_txid_in_its_last_two_bytes() {
    let txid = Txid::from_byte_array([0x11; 32]);
    let ChannelId(id) = ChannelId::v1(&txid, 0x0203);
    assert_eq!(id[..30], [0x11; 30]);
    assert_eq!(id[30..], [0x11 ^ 0x02, 0x11 ^ 0x03]);
    assert_eq!(ChannelId::v1(&txid, 0).0, [0x11; 32]);
}

#[test]
fn a_v2_id_does_not_depend_on_who_asks() {
    let (a, b) = (key(1), key(2));
    assert_eq!(ChannelId::v2(&a, &b), ChannelId::v2(&b, &a));
    assert_ne!(ChannelId::v2(&a, &b), ChannelId::v2_temporary(&a));
    let hashed = sha256::Hash::hash(&[&[0; 33][..], &a.serialize()].concat());
    assert_eq!(ChannelId::v2_temporary(&a).0, hashed.to_byte_array());
}

#[test]
fn a_preimage_hashes_to_its_payment_hash() {
    let hash = "66687aadf862bd776c8fc18b8e9f8e20089714856ee233b3902a591d0d5f2925";
    assert_eq!(Preimage([0; 32]).hash().to_string(), hash);
    assert_eq!(hash.parse(), Ok(Preimage([0; 32]).hash()));
}

#[test]
fn hex_of_the_wrong_length_is_refused() {
    for text in ["", "00", "zz", &"0".repeat(63), &"0".repeat(66)] {
        assert_eq!(text.parse::<ChannelId>(), Err(ParseError::Hex(32)), "{text}");
    }
}

#[test]
fn short_channel_ids_read_as_they_are_written() {
    let id = ShortChannelId::from_parts(BlockHeight(539_268), 845, 1).unwrap();
    assert_eq!(id.to_string(), "539268x845x1");
    assert_eq!("539268x845x1".parse(), Ok(id));
    assert_eq!((id.block(), id.transaction(), id.output()), (BlockHeight(539_268), 845, 1));
    assert_eq!(ShortChannelId::from_u64(id.to_u64()), id);
    let most = "16777215x16777215x65535".parse::<ShortChannelId>().unwrap();
    assert_eq!(most.to_u64(), u64::MAX);
}

#[test]
fn short_channel_ids_out_of_range_are_refused() {
    let texts = [
        "",
        "1x2",
        "1x2x3x4",
        "1x2x65536",
        "16777216x0x0",
        "0x16777216x0",
        "-1x0x0",
        "+1x0x0",
        "axbxc",
        "1x x3",
        "1xx3",
        "1:2:3",
    ];
    for text in texts {
        assert_eq!(text.parse::<ShortChannelId>(), Err(ParseError::ShortChannelId), "{text}");
    }
}

#[test]
fn a_node_id_is_a_claim_until_it_is_a_point() {
    assert_eq!(PublicKey::try_from(NodeId::from(key(3))), Ok(key(3)));
    assert_eq!(PublicKey::try_from(NodeId([5; 33])), Err(DecodeError::Point));
}

#[test]
fn a_high_s_is_seen() {
    let secret = SecretKey::from_slice(&[7; 32]).unwrap();
    let signed = SECP256K1.sign_ecdsa(&Message::from_digest([9; 32]), &secret);
    let low = Signature::from(signed);
    assert!(low.is_low_s());
    assert_eq!(low.to_ecdsa_low_s(), Ok(signed));

    let s = SecretKey::from_slice(&low.0[32..]).unwrap().negate();
    let mut high = low;
    high.0[32..].copy_from_slice(&s.secret_bytes());
    assert!(!high.is_low_s());
    assert_eq!(high.to_ecdsa_low_s(), Err(DecodeError::Range));
    assert!(ecdsa::Signature::try_from(high).is_ok());

    let edge = |last| {
        let mut bytes = [0; 64];
        bytes[32..].copy_from_slice(&HALF_ORDER);
        bytes[63] = last;
        Signature(bytes)
    };
    assert!(edge(0xa0).is_low_s());
    assert!(!edge(0xa1).is_low_s());
    assert!(ecdsa::Signature::try_from(Signature([0xff; 64])).is_err());
}
