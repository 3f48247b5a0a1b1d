//! `bolt04/onion-test.json`, `bolt04/blinded-payment-onion-test.json`,
//! `bolt04/blinded-onion-message-onion-test.json`, and faults of our own.

use super::*;
use crate::id::PaymentHash;
use crate::message::OnionPacket;
use crate::onion::SharedSecret;
use crate::onion::blind::PathSecret;
use crate::onion::keys::KeyKind;
use crate::onion::vectors::{HASH, array, bytes, json, list, payload, point, secret};
use bitcoin::hashes::{Hash as _, sha256};
use proptest::prelude::*;
use secp256k1::{PublicKey, SECP256K1, SecretKey};
use serde_json::Value;

fn packet(value: &Value) -> OnionPacket {
    OnionPacket::from(array(value))
}

fn build_from(session_key: &SecretKey, hops: &[(PublicKey, Vec<u8>)]) -> OnionPacket {
    let hops: Vec<_> = hops.iter().map(|(node, payload)| Hop { node: *node, payload }).collect();
    build_payment(session_key, &hops, &HASH).unwrap().0
}

#[test]
fn onion_test_vector() {
    let test = json(include_str!("../../../vectors/bolt04/onion-test.json"));
    let hops: Vec<_> = list(&test["generate"]["hops"])
        .iter()
        .map(|hop| (point(&hop["pubkey"]), payload(&hop["payload"])))
        .collect();
    let mut onion = build_from(&secret(&test["generate"]["session_key"]), &hops);
    assert_eq!(onion, packet(&test["onion"]));
    for (index, node) in list(&test["decode"]).iter().enumerate() {
        let peeled = peel_payment(&onion, &HASH, &secret(node), None).unwrap();
        assert_eq!(peeled.payload, hops[index].1, "hop {index}");
        assert_eq!(peeled.next.is_none(), index == 4, "hop {index}");
        onion = peeled.next.unwrap_or(onion);
    }
}

#[test]
fn blinded_payment_onion_vector() {
    let test = json(include_str!("../../../vectors/bolt04/blinded-payment-onion-test.json"));
    let generate = &test["generate"];
    let hops: Vec<_> = list(&generate["full_route"]["hops"])
        .iter()
        .map(|hop| (point(&hop["pubkey"]), payload(&hop["payload"])))
        .collect();
    let mut onion = build_from(&secret(&generate["session_key"]), &hops);
    assert_eq!(onion, packet(&generate["onion"]));
    let mut path_key = None;
    for (index, hop) in list(&test["decrypt"]["hops"]).iter().enumerate() {
        assert_eq!(onion, packet(&hop["onion"]), "hop {index}");
        let node_secret = secret(&hop["node_privkey"]);
        let path = path_key.map(|path_key| PathSecret::new(&node_secret, &path_key));
        let peeled = peel_payment(&onion, &HASH, &node_secret, path.as_ref()).unwrap();
        assert_eq!(peeled.payload, hops[index].1, "hop {index}");
        path_key = hop.get("next_path_key").map(point);
        assert_eq!(peeled.next.is_none(), index == 4, "hop {index}");
        onion = peeled.next.unwrap_or(onion);
    }
}

#[test]
fn blinded_onion_message_vector() {
    let test = json(include_str!("../../../vectors/bolt04/blinded-onion-message-onion-test.json"));
    let route = list(&test["route"]["hops"]);
    let payloads: Vec<_> = route
        .iter()
        .enumerate()
        .map(|(index, hop)| {
            let data = bytes(&hop["encrypted_recipient_data"]);
            // Field 4 for every hop, and field 1 "hello" before it for the last.
            let hello: &[u8] = if index == 3 { b"\x01\x05hello" } else { b"" };
            [hello, &[4, u8::try_from(data.len()).unwrap()], &data].concat()
        })
        .collect();
    let hops: Vec<_> = route
        .iter()
        .zip(&payloads)
        .map(|(hop, payload)| Hop { node: point(&hop["blinded_node_id"]), payload })
        .collect();
    let session_key = secret(&test["generate"]["session_key"]);
    let mut onion = build_message(&session_key, &hops, MessageSize::Small).unwrap();
    assert_eq!(onion, bytes(&test["onionmessage"]["onion_message_packet"]));
    let mut path_key = point(&test["route"]["first_path_key"]);
    for (index, hop) in list(&test["decrypt"]["hops"]).iter().enumerate() {
        // Type 513, path key, length 1366, packet.
        let message = bytes(&hop["onion_message"]);
        assert_eq!(message, [&[2, 1][..], &path_key.serialize(), &[5, 0x56], &onion].concat());
        let node_secret = secret(&hop["privkey"]);
        let path = PathSecret::new(&node_secret, &path_key);
        let peeled = peel_message(&onion, &node_secret, Some(&path)).unwrap();
        assert_eq!(peeled.payload, payloads[index], "hop {index}");
        let data = path.unblind(&bytes(&route[index]["encrypted_recipient_data"])).unwrap();
        assert_eq!(data.next_node_id, hop.get("next_node_id").map(point));
        path_key = path.next_path_key(&data).unwrap();
        assert_eq!(peeled.next.is_none(), index == 3, "hop {index}");
        onion = peeled.next.unwrap_or(onion);
    }
}

fn node(byte: u8) -> (SecretKey, PublicKey) {
    let secret = SecretKey::from_slice(&[byte; 32]).unwrap();
    (secret, PublicKey::from_secret_key(SECP256K1, &secret))
}

fn session() -> SecretKey {
    node(0x77).0
}

/// A route of `count` hops with payloads of these lengths, and its packet.
fn route(lengths: &[usize]) -> (Vec<SecretKey>, Vec<Vec<u8>>, Result<OnionPacket, BuildFault>) {
    let payloads: Vec<_> = lengths.iter().map(|length| vec![0xab; *length]).collect();
    let nodes: Vec<_> = (1..).map(node).take(lengths.len()).collect();
    let hops: Vec<_> = nodes
        .iter()
        .zip(&payloads)
        .map(|((_, node), payload)| Hop { node: *node, payload })
        .collect();
    let built = build_payment(&session(), &hops, &HASH).map(|(packet, _)| packet);
    (nodes.iter().map(|(secret, _)| *secret).collect(), payloads, built)
}

fn kind(fault: PeelFault) -> BadOnion {
    match fault {
        PeelFault::Malformed(bad) => bad,
        PeelFault::Payload(_) => panic!("authentic"),
    }
}

#[test]
fn a_packet_holds_what_fits_and_not_one_byte_more() {
    for (lengths, fits) in [
        (vec![1_265], true),
        (vec![1_266], false),
        (vec![252], true),
        (vec![253], true),
        (vec![2; 37], true),
        (vec![2; 38], false),
        (vec![600, 630], true),
        (vec![600, 631], false),
        (vec![70_000], false),
    ] {
        let (secrets, payloads, built) = route(&lengths);
        let Ok(mut onion) = built.clone() else {
            assert_eq!((built, fits), (Err(BuildFault::TooLong), false), "{lengths:?}");
            continue;
        };
        assert!(fits, "{lengths:?}");
        for (secret, payload) in secrets.iter().zip(payloads) {
            let peeled = peel_payment(&onion, &HASH, secret, None).unwrap();
            assert_eq!(peeled.payload, payload);
            onion = peeled.next.unwrap_or(onion);
        }
    }
    assert_eq!(route(&[]).2, Err(BuildFault::Empty));
    assert_eq!(route(&[2, 1]).2, Err(BuildFault::Reserved));
}

#[test]
fn faults_have_their_codes_and_the_hash_of_the_packet() {
    let (secrets, _, built) = route(&[50]);
    let good = built.unwrap();
    for (at, code) in [(0, 0xc004), (1, 0xc006), (40, 0xc005), (1_365, 0xc005)] {
        let mut bad = good.clone();
        bad.0[at] ^= 0x80;
        let fault = kind(peel_payment(&bad, &HASH, &secrets[0], None).unwrap_err());
        assert_eq!(fault.failure_code(), code, "byte {at}");
        assert_eq!(fault.sha256_of_onion, sha256::Hash::hash(bad.as_bytes()).to_byte_array());
    }
    let other = PaymentHash([0x43; 32]);
    let fault = kind(peel_payment(&good, &other, &secrets[0], None).unwrap_err());
    assert_eq!(fault.kind, BadOnionKind::InvalidOnionHmac);
}

#[test]
fn in_a_blinded_route_every_fault_is_one() {
    let (secrets, _, built) = route(&[50]);
    let path = PathSecret::new(&secrets[0], &node(9).1);
    for at in [0, 1, 40] {
        let mut bad = built.clone().unwrap();
        bad.0[at] ^= 0x80;
        let fault = kind(peel_payment(&bad, &HASH, &secrets[0], Some(&path)).unwrap_err());
        assert_eq!(fault.failure_code(), 0xc018);
    }
}

/// A packet for node 1 whose payloads start with these bytes in clear, authentic whatever they are.
fn authentic(front: &[u8]) -> (SecretKey, SharedSecret, OnionPacket) {
    let (secret, public) = node(1);
    let hop = Hop { node: public, payload: &[0; 40] };
    let (packet, secrets) = build_payment(&session(), &[hop], &HASH).unwrap();
    let mut bytes = *packet.0;
    bytes[34..1_334].fill(0);
    bytes[34..34 + front.len()].copy_from_slice(front);
    secrets[0].stream(KeyKind::Rho).xor(&mut bytes[34..1_334]);
    let mu = secrets[0].key(KeyKind::Mu);
    let hmac = crate::noise::symmetric::hmac(mu.expose(), &[&bytes[34..1_334], &HASH.0]);
    bytes[1_334..].copy_from_slice(&hmac);
    (secret, secrets[0].clone(), OnionPacket::from(bytes))
}

#[test]
fn authentic_packets_with_reserved_lengths_can_be_answered() {
    // Only the sender can make these.
    for front in [
        &[0][..],
        &[1],
        &[0xfd, 0, 0xfc],
        &[0xfd, 0x05, 0x00],
        &[0xfe, 0, 0, 0, 2],
        &[0xff],
        &[0xfd, 0x04, 0xf2],
    ] {
        let (secret, shared, onion) = authentic(front);
        let fault = peel_payment(&onion, &HASH, &secret, None).unwrap_err();
        let PeelFault::Payload(answer) = fault else { panic!("{front:?}") };
        assert_eq!(answer.expose(), shared.expose());
    }
    // The longest that fits: 3 + 1265 + 32 = 1300.
    let (secret, _, onion) = authentic(&[0xfd, 0x04, 0xf1]);
    assert_eq!(peel_payment(&onion, &HASH, &secret, None).unwrap().payload.len(), 1_265);
}

#[test]
fn a_large_message_takes_a_large_payload() {
    let (secret, public) = node(1);
    let payload = vec![7; 32_733];
    let hops = [Hop { node: public, payload: &payload }];
    let packet = build_message(&session(), &hops, MessageSize::Large).unwrap();
    assert_eq!(packet.len(), 32_834);
    assert_eq!(peel_message(&packet, &secret, None).unwrap().payload, payload);
    assert_eq!(build_message(&session(), &hops, MessageSize::Small), Err(BuildFault::TooLong));
}

#[test]
fn secrets_come_again_from_the_session_key() {
    let nodes: Vec<_> = (1..=5).map(|byte| node(byte).1).collect();
    let hops: Vec<_> = nodes.iter().map(|node| Hop { node: *node, payload: &[1, 2] }).collect();
    let (_, built) = build_payment(&session(), &hops, &HASH).unwrap();
    let again = shared_secrets(&session(), &nodes).unwrap();
    let raw = |secrets: &[SharedSecret]| {
        secrets.iter().map(|secret| *secret.expose()).collect::<Vec<_>>()
    };
    assert_eq!(raw(&built), raw(&again));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_is_built_peels(lengths in prop::collection::vec(2..120_usize, 1..8), session in 1..255_u8) {
        let nodes: Vec<_> = (1..).map(node).take(lengths.len()).collect();
        let payloads: Vec<_> = lengths.iter().map(|length| vec![session; *length]).collect();
        let hops: Vec<_> =
            nodes.iter().zip(&payloads).map(|((_, node), payload)| Hop { node: *node, payload }).collect();
        let (mut onion, secrets) = build_payment(&node(session).0, &hops, &HASH).unwrap();
        for (index, (secret, _)) in nodes.iter().enumerate() {
            let peeled = peel_payment(&onion, &HASH, secret, None).unwrap();
            prop_assert_eq!(&peeled.payload, &payloads[index]);
            prop_assert_eq!(peeled.shared_secret.expose(), secrets[index].expose());
            prop_assert_eq!(peeled.next.is_some(), index + 1 < nodes.len());
            onion = peeled.next.unwrap_or(onion);
        }
    }

    #[test]
    fn one_changed_bit_is_seen(at in 0..1_366_usize, bit in 0..8_u8) {
        let (secrets, _, built) = route(&[60, 60]);
        let mut onion = built.unwrap();
        onion.0[at] ^= 1 << bit;
        prop_assert!(matches!(
            peel_payment(&onion, &HASH, &secrets[0], None),
            Err(PeelFault::Malformed(_))
        ));
    }

    #[test]
    fn authentic_nonsense_never_panics(front in prop::collection::vec(any::<u8>(), 1..1_300)) {
        let (secret, _, onion) = authentic(&front);
        if let Ok(peeled) = peel_payment(&onion, &HASH, &secret, None) {
            let end = peeled.payload.len() + if front[0] == 0xfd { 3 } else { 1 };
            prop_assert!(end + 32 <= 1_300);
            let inside = &front[front.len().min(end - peeled.payload.len())..front.len().min(end)];
            prop_assert!(peeled.payload.starts_with(inside));
            prop_assert!(peeled.next.is_none_or(|next| next.0[0] == 0));
        }
    }

    #[test]
    fn random_bytes_never_peel(bytes in prop::collection::vec(any::<u8>(), 0..2_000)) {
        let (secret, _) = node(1);
        prop_assert!(peel_message(&bytes, &secret, None).is_err());
    }
}
