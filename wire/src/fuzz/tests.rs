//! Tests of `fuzz`.

use proptest::prelude::*;

use super::*;
use crate::message::samples;
use crate::sample::Seed;

/// Cases for each test: a few thousand here; `WIRE_FUZZ_CASES` asks for more.
fn cases() -> ProptestConfig {
    let cases = std::env::var("WIRE_FUZZ_CASES").ok().and_then(|n| n.parse().ok());
    ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(cases.unwrap_or(4_000))
    }
}

/// What can happen to bytes on their way.
#[derive(Clone, Debug)]
enum Damage {
    Flip(usize, u8),
    Cut(usize),
    Insert(usize, Vec<u8>),
    Remove(usize, usize),
    Append(Vec<u8>),
}

fn damage() -> impl Strategy<Value = Damage> {
    let bytes = || proptest::collection::vec(any::<u8>(), 1..12);
    prop_oneof![
        (any::<usize>(), 1_u8..).prop_map(|(at, bits)| Damage::Flip(at, bits)),
        any::<usize>().prop_map(Damage::Cut),
        (any::<usize>(), bytes()).prop_map(|(at, bytes)| Damage::Insert(at, bytes)),
        (any::<usize>(), 1_usize..40).prop_map(|(at, count)| Damage::Remove(at, count)),
        bytes().prop_map(Damage::Append),
    ]
}

fn apply(bytes: &mut Vec<u8>, damage: Damage) {
    let length = bytes.len().max(1);
    match damage {
        Damage::Flip(at, bits) => {
            bytes.iter_mut().skip(at % length).take(1).for_each(|byte| *byte ^= bits);
        }
        Damage::Cut(at) => bytes.truncate(at % length),
        Damage::Insert(at, new) => {
            let at = at % length;
            bytes.splice(at.min(bytes.len())..at.min(bytes.len()), new);
        }
        Damage::Remove(at, count) => {
            let at = (at % length).min(bytes.len());
            bytes.drain(at..(at + count).min(bytes.len()));
        }
        Damage::Append(new) => bytes.extend(new),
    }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn any_bytes_are_stood_by_every_decoder(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        for (_, target) in TARGETS {
            target(&bytes);
        }
    }

    #[test]
    fn any_records_are_stood_by_payloads(
        records in proptest::collection::btree_map(0_u64..20, proptest::collection::vec(any::<u8>(), 0..70), 0..7),
        tail in proptest::collection::vec(any::<u8>(), 0..3),
    ) {
        let mut stream = Vec::new();
        for (kind, value) in &records {
            tlv::put(&mut stream, *kind, Some(value));
        }
        stream.extend(tail);
        sealed::onion_payload(&stream);
        sealed::recipient_data(&stream);
        tlv_stream(&stream);
    }

    #[test]
    fn any_body_is_stood_by_every_message(
        number in proptest::sample::select(samples(&mut Seed(1)).iter().map(Message::number).collect::<Vec<_>>()),
        body in proptest::collection::vec(any::<u8>(), 0..1_600),
    ) {
        message(&[&number.to_be_bytes()[..], &body].concat());
    }

    #[test]
    fn damaged_messages_are_stood_by_the_decoder(
        seed in any::<u64>(),
        pick in any::<usize>(),
        damages in proptest::collection::vec(damage(), 1..4),
    ) {
        let all = samples(&mut Seed(seed));
        let mut frame = all[pick % all.len()].encode_frame();
        damages.into_iter().for_each(|damage| apply(&mut frame, damage));
        message(&frame);
    }
}

#[test]
fn every_prefix_of_every_message_is_stood() {
    for whole in samples(&mut Seed(7)) {
        let frame = whole.encode_frame();
        for length in 0..frame.len().min(2_000) {
            message(&frame[..length]);
        }
    }
}

#[test]
fn every_decoder_stands_its_own_edges() {
    let edges: [&[u8]; 8] =
        [&[], &[0], &[0xff], &[0xff; 3], &[0xff; 9], &[0; 64], &[0xff; 65_535], b"539268x845x1"];
    for (name, target) in TARGETS {
        for edge in edges {
            target(edge);
        }
        assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name}");
    }
}
