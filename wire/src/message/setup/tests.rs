//! Tests of `setup`.

use super::*;
use crate::codec::DecodeError;
use crate::message::Message;

fn hex(text: &str) -> Vec<u8> {
    bitcoin::hex::FromHex::from_hex(text).unwrap()
}

/// BOLT 1 § Appendix C: Message Extension.
#[test]
fn extensions_of_init_are_as_appendix_c_says() {
    let empty = Init {
        globalfeatures: Features::empty(),
        features: Features::empty(),
        networks: None,
        remote_addr: None,
    };
    for valid in ["001000000000", "001000000000c9012acb0104"] {
        assert_eq!(Message::decode_frame(&hex(valid)), Ok(Some(empty.clone().into())), "{valid}");
    }
    for (invalid, fault) in [
        ("00100000000001", DecodeError::Short),
        ("001000000000ca012a", DecodeError::UnknownEven(0xca)),
        ("001000000000c90101c90102", DecodeError::NotCanonical),
    ] {
        assert_eq!(Message::decode_frame(&hex(invalid)), Err(fault), "{invalid}");
    }
    assert_eq!(Message::from(empty).encode_frame(), hex("001000000000"));
}

#[test]
fn both_feature_fields_of_init_count() {
    // globalfeatures 0x2200 (bits 9, 13) and features 0x05 (0, 2), then two chains and an address.
    let chains = ["06".repeat(32), "6f".repeat(32)].concat();
    let frame = ["0010", "0002", "2200", "0001", "05", "0140", &chains, "0307", "017f0000012607"];
    let Ok(Some(Message::Init(init))) = Message::decode_frame(&hex(&frame.concat())) else {
        panic!("init does not decode")
    };
    assert_eq!(init.all_features().bits().collect::<Vec<_>>(), [0, 2, 9, 13]);
    assert_eq!(init.networks, Some(vec![[0x06; 32], [0x6f; 32]]));
    assert!(!init.lacks_chain(&[0x6f; 32]));
    assert!(init.lacks_chain(&[0x70; 32]));
    assert_eq!(init.remote_address().unwrap().to_string(), "127.0.0.1:9735");
    assert_eq!(Message::from(init).encode_frame(), hex(&frame.concat()));
}

#[test]
fn a_chain_hash_cut_in_half_is_refused() {
    let frame = ["0010", "0000", "0000", "0110", &"06".repeat(16)].concat();
    assert_eq!(Message::decode_frame(&hex(&frame)), Err(DecodeError::Short));
}

#[test]
fn a_ping_is_answered_unless_it_asks_too_much() {
    let ping = |num_pong_bytes| Ping { num_pong_bytes, ignored: Vec::new() };
    assert_eq!(ping(0).pong(), Some(Pong { ignored: Vec::new() }));
    let longest = Message::from(ping(65_531).pong().unwrap()).encode_frame();
    assert_eq!(longest.len(), Message::LEN_MAX);
    assert_eq!(ping(65_532).pong(), None);
    assert_eq!(ping(65_535).pong(), None);
}

#[test]
fn texts_of_peers_cannot_reach_the_terminal() {
    let error = Error { channel_id: ChannelId::ALL, data: b"no \x1b[2Jmore\n\xff~".to_vec() };
    assert_eq!(error.text().to_string(), "no ?[2Jmore??~");
    let warning = Warning { channel_id: ChannelId::ALL, data: vec![b'x'; 65_000] };
    assert_eq!(warning.text().to_string().len(), 515);
}
