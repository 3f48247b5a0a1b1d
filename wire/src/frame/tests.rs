//! BOLT 8 § Appendix A, Message Encryption Tests, and faults of our own.

use super::*;
use bitcoin::hex::FromHex;
use proptest::prelude::*;

const CK: &str = "919219dbb2920afa8db80f9a51787a840bcf111ed8d588caf9ab4be716e42b01";
const SK: &str = "969ab31b4d288cedf6218839b27a3e2140827047f2c0f01bf5c04435d43511a9";

fn key(text: &str) -> Key {
    Key::new(<[u8; 32]>::from_hex(text).unwrap())
}

fn pair() -> (Encryptor, Decryptor) {
    (Encryptor::new(key(SK), key(CK)), Decryptor::new(key(SK), key(CK)))
}

fn frame(encryptor: &mut Encryptor, message: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    encryptor.encrypt_into(&mut out, message).unwrap();
    out
}

fn read(decryptor: &mut Decryptor, frame: &[u8]) -> Result<Vec<u8>, FrameFault> {
    let (header, body) = frame.split_first_chunk().unwrap();
    let length = decryptor.decrypt_length(header)?;
    assert_eq!(usize::from(length) + TAG_LEN, body.len());
    let mut body = body.to_vec();
    decryptor.decrypt_body(&mut body).map(<[u8]>::to_vec)
}

#[test]
fn transport_message_test_with_two_rotations() {
    let (mut encryptor, mut decryptor) = pair();
    for index in 0..=1_001 {
        let frame = frame(&mut encryptor, b"hello");
        let expected = match index {
            0 => "cf2b30ddf0cf3f80e7c35a6e6730b59fe802473180f396d88a8fb0db8cbcf25d2f214cf9ea1d95",
            1 => "72887022101f0b6753e0c7de21657d35a4cb2a1f5cde2650528bbc8f837d0f0d7ad833b1a256a1",
            500 => "178cb9d7387190fa34db9c2d50027d21793c9bc2d40b1e14dcf30ebeeeb220f48364f7a4c68bf8",
            501 => "1b186c57d44eb6de4c057c49940d79bb838a145cb528d6e8fd26dbe50a60ca2c104b56b60e45bd",
            1_000 => {
                "4a2f3cc3b5e78ddb83dcb426d9863d9d9a723b0337c89dd0b005d89f8d3c05c52b76b29b740f09"
            }
            1_001 => {
                "2ecd8c8a5629d0d02ab457a0fdd0f7b90a192cd46be5ecb6ca570bfc5e268338b1a16cf4ef2d36"
            }
            _ => "",
        };
        if !expected.is_empty() {
            assert_eq!(frame, Vec::from_hex(expected).unwrap(), "message {index}");
        }
        assert_eq!(read(&mut decryptor, &frame), Ok(b"hello".to_vec()), "message {index}");
    }
}

#[test]
fn the_longest_message_passes_and_a_longer_one_changes_nothing() {
    let (mut encryptor, mut decryptor) = pair();
    let longest = vec![7; MESSAGE_LEN_MAX];
    let mut out = b"before".to_vec();
    assert_eq!(encryptor.encrypt_into(&mut out, &[7; 65_536]), Err(FrameFault::TooLong));
    assert_eq!(
        encryptor.encrypt_with(&mut out, |out| out.extend([7; 65_536])),
        Err(FrameFault::TooLong)
    );
    assert_eq!(out, b"before");
    encryptor.encrypt_into(&mut out, &longest).unwrap();
    assert_eq!(out.len(), 6 + MESSAGE_LEN_MAX + OVERHEAD);
    assert_eq!(read(&mut decryptor, &out[6..]), Ok(longest));
}

#[test]
fn writing_in_place_gives_the_same_frame() {
    let (mut encryptor, mut other) = (pair().0, pair().0);
    let mut out = Vec::new();
    encryptor.encrypt_with(&mut out, |out| out.extend(b"hello")).unwrap();
    assert_eq!(out, frame(&mut other, b"hello"));
}

#[test]
fn an_empty_message_is_a_frame() {
    let (mut encryptor, mut decryptor) = pair();
    let frame = frame(&mut encryptor, b"");
    assert_eq!(frame.len(), OVERHEAD);
    assert_eq!(read(&mut decryptor, &frame), Ok(Vec::new()));
}

#[test]
fn room_that_is_there_is_used() {
    let (mut encryptor, _) = pair();
    let mut out = Vec::with_capacity(4_096);
    let at = out.as_ptr();
    for _ in 0..10 {
        encryptor.encrypt_into(&mut out, &[1; 100]).unwrap();
    }
    assert_eq!(out.as_ptr(), at);
}

#[test]
fn a_body_must_follow_its_header() {
    let (mut encryptor, _) = pair();
    let frame = frame(&mut encryptor, b"hello");
    let header = frame.first_chunk().unwrap();

    let mut body_first = pair().1;
    assert_eq!(body_first.decrypt_body(&mut frame[18..].to_vec()), Err(FrameFault::Order));
    assert_eq!(body_first.decrypt_length(header), Err(FrameFault::Order));

    let mut header_twice = pair().1;
    header_twice.decrypt_length(header).unwrap();
    assert_eq!(header_twice.decrypt_length(header), Err(FrameFault::Order));

    let mut cut = pair().1;
    cut.decrypt_length(header).unwrap();
    assert_eq!(cut.decrypt_body(&mut frame[18..38].to_vec()), Err(FrameFault::Order));
    let mut tiny = pair().1;
    tiny.decrypt_length(header).unwrap();
    assert_eq!(tiny.decrypt_body(&mut [0; 3]), Err(FrameFault::Order));
}

#[test]
fn replayed_and_reordered_frames_are_refused() {
    let (mut encryptor, mut decryptor) = pair();
    let (first, second) = (frame(&mut encryptor, b"one"), frame(&mut encryptor, b"two"));
    assert_eq!(read(&mut pair().1, &second), Err(FrameFault::Mac));
    assert_eq!(read(&mut decryptor, &first), Ok(b"one".to_vec()));
    assert_eq!(read(&mut decryptor, &first), Err(FrameFault::Mac));
    // A direction that failed once stays closed.
    assert_eq!(read(&mut decryptor, &second), Err(FrameFault::Order));
}

proptest! {
    #[test]
    fn what_goes_in_comes_out(messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..20)) {
        let (mut encryptor, mut decryptor) = pair();
        for message in messages {
            prop_assert_eq!(read(&mut decryptor, &frame(&mut encryptor, &message)), Ok(message));
        }
    }

    #[test]
    fn one_changed_bit_is_seen(message in prop::collection::vec(any::<u8>(), 0..100), at: prop::sample::Index, bit in 0..8_u8) {
        let (mut encryptor, mut decryptor) = pair();
        let mut frame = frame(&mut encryptor, &message);
        let at = at.index(frame.len());
        frame[at] ^= 1 << bit;
        prop_assert_eq!(read(&mut decryptor, &frame), Err(FrameFault::Mac));
    }
}
