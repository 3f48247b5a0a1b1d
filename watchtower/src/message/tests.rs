//! What is written is read back, and nothing that comes in can do harm.

use bitcoin::hashes::Hash;
use bitcoin::{OutPoint, Txid};
use proptest::prelude::*;
use wire::codec::{DecodeError, Encode};
use wire::id::Signature;
use wire::units::{BlockHeight, Sat};

use super::*;
use crate::hint::Hint;
use crate::kit::replica::Secret;

fn samples() -> Vec<Message> {
    let sealed = |n: u8| Sealed { hint: Hint([n; 16]), ciphertext: vec![n; usize::from(n)] };
    let outpoint = OutPoint { txid: Txid::from_byte_array([7; 32]), vout: 3 };
    let claim = ClaimStatus {
        outpoint,
        value: Sat::from_sat(12_345),
        state: ClaimState::Mined,
        justice: Txid::from_byte_array([8; 32]),
        height: BlockHeight(101),
    };
    let htlc = HtlcAdd { hash: [4; 20], cltv_expiry: BlockHeight(500), offered: true };
    let signature = Signature([9; 64]);
    let secret = secp256k1::SecretKey::from_slice(&[6; 32]).unwrap();
    let point = secret.public_key(secp256k1::SECP256K1);
    let (height, tip, expiry) = (BlockHeight(100), [3; 32], BlockHeight(4_000));
    vec![
        SessionOpen { kit: 1, template: vec![1, 2], want_blocks: 5, want_bytes: 6 }.into(),
        SessionAck { code: Code::OK, expiry, quota_bytes: 1, next_seq: 2, mmr_root: [5; 32] }
            .into(),
        Records { first_seq: 1, records: vec![sealed(0), sealed(200)] }.into(),
        RecordsAck {
            code: Code::GAP,
            durable: 7,
            mmr_root: [5; 32],
            height,
            tip,
            expiry,
            signature,
            expected_seq: Some(7),
            retry_after_ms: None,
        }
        .into(),
        StatusGet {}.into(),
        Status {
            code: Code::OK,
            next_seq: 1,
            mmr_root: [0; 32],
            used_bytes: 3,
            quota_bytes: 4,
            expiry,
            height,
            tip,
            claims: vec![claim; 3],
        }
        .into(),
        Fetch { first_seq: 5, count: 6 }.into(),
        Fetched { first_seq: 5, records: vec![] }.into(),
        Audit { nonce: [1; 32], seqs: vec![1, 5, 9] }.into(),
        AuditReply { code: Code::OK, digest: [2; 32], signature }.into(),
        Delete { scope: 1, first_seq: 0, last_seq: 9, signature }.into(),
        DeleteAck { code: Code::OK, signature }.into(),
        CheckpointPut { version: 8, ciphertext: vec![1; 100] }.into(),
        CheckpointAck { code: Code::STALE_VERSION, version: 9 }.into(),
        CheckpointGet {}.into(),
        CheckpointValue { version: 9, ciphertext: vec![] }.into(),
        Event { event: 1, txid: outpoint.txid, height, text: b"matched".to_vec() }.into(),
        Renew { want_blocks: 1, want_bytes: 2 }.into(),
        Renewed { code: Code::OK, expiry, quota_bytes: 3 }.into(),
        ReplicaUpdate {
            first: 4,
            secrets: vec![[1; 32], [2; 32]],
            chain: vec![],
            first_htlc: 2,
            htlcs: vec![htlc],
            fundings: vec![outpoint],
            now: Some(ReplicaNow {
                htlc_key: Secret::new([5; 32]),
                number: 6,
                points: vec![point],
                htlcs: vec![
                    LiveHtlc { htlc, preimage: Some([8; 32]) },
                    LiveHtlc { htlc, preimage: None },
                ],
            }),
        }
        .into(),
        ReplicaAck {
            code: Code::OK,
            count: 6,
            htlcs: 3,
            height,
            tip,
            expiry,
            signature,
            knows: Some(6),
        }
        .into(),
    ]
}

#[test]
fn every_message_survives_its_own_encoding() {
    let samples = samples();
    let mut numbers: Vec<u16> = samples.iter().map(Message::number).collect();
    for message in samples {
        let frame = message.encode_frame();
        assert_eq!(Message::decode_frame(&frame), Ok(Some(message.clone())), "{}", message.kind());
        for short in 2..frame.len() {
            let cut = Message::decode_frame(&frame[..short]);
            assert_ne!(cut, Ok(Some(message.clone())), "{} cut at {short}", message.kind());
        }
    }
    numbers.dedup();
    assert_eq!(numbers, [(620..=636).collect::<Vec<u16>>(), (638..=641).collect()].concat());
}

#[test]
fn unknown_odd_messages_are_ignored_and_unknown_even_ones_are_not() {
    assert_eq!(Message::decode_frame(&[2, 0x7d]), Ok(None), "637 is odd");
    assert_eq!(Message::decode_frame(&[2, 0x82]), Err(DecodeError::UnknownEvenType(642)));
    assert_eq!(Message::decode_frame(&[2]), Err(DecodeError::Short));
}

#[test]
fn a_default_record_takes_less_than_two_hundred_bytes_of_a_message() {
    let sealed = Sealed { hint: Hint([1; 16]), ciphertext: vec![0; 178] };
    let records = vec![sealed; 334];
    let frame = Message::from(Records { first_seq: 0, records }).encode_frame();
    assert!(frame.len() <= FRAME_MAX, "{} bytes", frame.len());
}

#[test]
fn init_says_its_features_and_what_a_tower_takes() {
    let mut init = Init {
        chain_hash: [6; 32],
        caps: Some(Caps { flags: 1, max_batch: 330, max_record: 50_000 }),
        offer: Some(Offer { bytes_quota: 1, max_blocks: 2, grace_blocks: 3 }),
        ..Init::default()
    };
    init.set(FEATURE_WT2_OPTIONAL);
    init.set(1);
    assert!(init.has(21) && init.has(1) && !init.has(20) && !init.has(0) && !init.has(4_000));
    assert_eq!(init.features, [0x20, 0, 2]);
    assert_eq!(Init::decode_frame(&init.encode_frame()), Ok(init));
    let plain = Init { features: vec![2], chain_hash: [1; 32], caps: None, offer: None };
    assert_eq!(plain.encoded(), [&[0, 1, 2][..], &[1; 32]].concat(), "as LND writes it");
}

proptest! {
    #[test]
    fn no_bytes_make_the_decoder_panic_and_what_it_takes_it_writes_again(
        number in 619_u16..643,
        body in proptest::collection::vec(any::<u8>(), 0..600),
    ) {
        let frame = [&number.to_be_bytes()[..], &body].concat();
        if let Ok(Some(message)) = Message::decode_frame(&frame) {
            let again = message.encode_frame();
            prop_assert!(again.len() <= frame.len(), "nothing grows");
            prop_assert_eq!(Message::decode_frame(&again), Ok(Some(message)));
        }
        if let Ok(init) = Init::decode_frame(&[&[2, 0x58][..], &body].concat()) {
            prop_assert_eq!(Init::decode_frame(&init.encode_frame()), Ok(init));
        }
    }

    #[test]
    fn a_flipped_byte_of_a_real_message_does_no_harm(pick in 0_usize..21, at in any::<prop::sample::Index>(), bits in 1_u8..) {
        let mut frame = samples()[pick].encode_frame();
        let at = at.index(frame.len());
        frame[at] ^= bits;
        if let Ok(Some(message)) = Message::decode_frame(&frame) {
            prop_assert_eq!(Message::decode_frame(&message.encode_frame()), Ok(Some(message)));
        }
    }
}
