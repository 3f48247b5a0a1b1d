//! `bolt04/route-blinding-test.json`, the blinded parts of the onion vectors, and faults of our own.

use super::*;
use crate::id::ShortChannelId;
use crate::onion::vectors::{bytes, json, list, point, secret};
use crate::units::{BlockHeight, CltvDelta, Msat};
use proptest::prelude::*;
use serde_json::Value;

fn msat(raw: u64) -> Msat {
    Msat::new(raw).unwrap()
}

fn relay(delta: u16, proportional: u32, base: u32) -> PaymentRelay {
    PaymentRelay {
        cltv_expiry_delta: CltvDelta(delta),
        fee_proportional_millionths: proportional,
        fee_base_msat: base,
    }
}

/// The data as the vector spells it; unknown fields are left out.
fn spelled(tlvs: &Value) -> RecipientData {
    let number = |value: &Value| value.as_u64().unwrap();
    RecipientData {
        padding: tlvs.get("padding").map(bytes),
        short_channel_id: tlvs
            .get("short_channel_id")
            .map(|id| id.as_str().unwrap().parse().unwrap()),
        next_node_id: tlvs.get("next_node_id").map(point),
        path_id: tlvs.get("path_id").map(bytes),
        next_path_key_override: tlvs.get("next_path_key_override").map(point),
        payment_relay: tlvs.get("payment_relay").map(|spelled| {
            relay(
                number(&spelled["cltv_expiry_delta"]).try_into().unwrap(),
                number(&spelled["fee_proportional_millionths"]).try_into().unwrap(),
                spelled.get("fee_base_msat").map_or(0, number).try_into().unwrap(),
            )
        }),
        payment_constraints: tlvs.get("payment_constraints").map(|bounds| PaymentConstraints {
            max_cltv_expiry: BlockHeight(number(&bounds["max_cltv_expiry"]).try_into().unwrap()),
            htlc_minimum_msat: msat(number(&bounds["htlc_minimum_msat"])),
        }),
        allowed_features: tlvs.get("allowed_features").map(|allowed| {
            let bits = list(&allowed["features"]).iter().map(number).collect::<Vec<_>>();
            let mut field = vec![0; bits.iter().max().map_or(0, |bit| *bit as usize / 8 + 1)];
            for bit in bits {
                let at = field.len() - 1 - bit as usize / 8;
                field[at] |= 1 << (bit % 8);
            }
            field
        }),
    }
}

fn expected_path(route: &Value, data: &str) -> BlindedPath {
    BlindedPath {
        first_node_id: point(&route["first_node_id"]),
        first_path_key: point(&route["first_path_key"]),
        path: list(&route["hops"])
            .iter()
            .map(|hop| BlindedHop {
                blinded_node_id: point(&hop["blinded_node_id"]),
                encrypted_recipient_data: bytes(&hop[data]),
            })
            .collect(),
    }
}

#[test]
fn route_blinding_vector_is_built() {
    let test = json(include_str!("../../../vectors/bolt04/route-blinding-test.json"));
    let hops = list(&test["generate"]["hops"]);
    let encoded: Vec<_> = hops.iter().map(|hop| bytes(&hop["encoded_tlvs"])).collect();
    let pair = |index: usize| (point(&hops[index]["node_id"]), encoded[index].as_slice());
    let front = BlindedPath::build(&secret(&hops[0]["session_key"]), &[pair(0), pair(1)]).unwrap();
    let back = BlindedPath::build(&secret(&hops[2]["session_key"]), &[pair(2), pair(3)]).unwrap();
    let joined = BlindedPath { path: [front.path, back.path].concat(), ..front };
    assert_eq!(joined, expected_path(&test["route"], "encrypted_data"));
    for (hop, encoded) in hops.iter().zip(&encoded) {
        let data = spelled(&hop["tlvs"]);
        assert_eq!(RecipientData::decode(encoded), Ok(data.clone()));
        // An unknown odd field at the end is dropped.
        assert!(encoded.starts_with(&data.encode()));
    }
}

#[test]
fn route_blinding_vector_is_unblinded() {
    let test = json(include_str!("../../../vectors/bolt04/route-blinding-test.json"));
    let generated = list(&test["generate"]["hops"]);
    for (hop, from) in list(&test["unblind"]["hops"]).iter().zip(generated) {
        let node_secret = secret(&hop["node_privkey"]);
        let path = PathSecret::new(&node_secret, &point(&hop["path_key"]));
        assert_eq!(path.blinded_secret(&node_secret).unwrap().0, secret(&hop["blinded_privkey"]));
        let encrypted = bytes(&from["encrypted_data"]);
        assert_eq!(path.decrypt(&encrypted).unwrap(), bytes(&hop["decrypted_data"]));
        let data = path.unblind(&encrypted).unwrap();
        assert_eq!(data, spelled(&from["tlvs"]));
        let plain = RecipientData { next_path_key_override: None, ..data.clone() };
        assert_eq!(path.next_path_key(&plain).unwrap(), point(&hop["next_path_key"]));
        let next = hop.get("next_path_key_override").unwrap_or_else(|| &hop["next_path_key"]);
        assert_eq!(path.next_path_key(&data).unwrap(), point(next));
    }
}

#[test]
fn onion_message_vector_route() {
    let test = json(include_str!("../../../vectors/bolt04/blinded-onion-message-onion-test.json"));
    let hops = list(&test["generate"]["hops"]);
    let nodes = [0x41, 0x42, 0x43, 0x44].map(|byte| {
        PublicKey::from_secret_key(SECP256K1, &SecretKey::from_slice(&[byte; 32]).unwrap())
    });
    let data: Vec<_> = hops.iter().map(|hop| bytes(&hop["encrypted_data_tlv"])).collect();
    let pair = |index: usize| (nodes[index], data[index].as_slice());
    let front = BlindedPath::build(&secret(&hops[0]["path_key_secret"]), &[pair(0)]).unwrap();
    let back =
        BlindedPath::build(&secret(&hops[1]["path_key_secret"]), &[pair(1), pair(2), pair(3)]);
    let joined = BlindedPath { path: [front.path, back.unwrap().path].concat(), ..front };
    assert_eq!(joined, expected_path(&test["route"], "encrypted_recipient_data"));
}

#[test]
fn costs_of_the_payment_vector() {
    let test = json(include_str!("../../../vectors/bolt04/blinded-payment-onion-test.json"));
    let hops = list(&test["generate"]["full_route"]["hops"]);
    let data = |hop: &Value| spelled(&hop["tlvs"]["encrypted_recipient_data"]);
    let relays: Vec<_> = hops[1..4].iter().map(|hop| data(hop).payment_relay.unwrap()).collect();
    let cost = PathCost::of(&relays, CltvDelta(0)).unwrap();
    assert_eq!(
        cost,
        PathCost {
            fee_base_msat: 10_100,
            fee_proportional_millionths: 251,
            cltv_expiry_delta: CltvDelta(150)
        }
    );
    // What Alice sends is what arrives at Eve after every hop took its share.
    assert_eq!(cost.incoming(msat(100_000)), Some(msat(110_125)));
    let arrived =
        hops[1..4].iter().fold((msat(110_125), BlockHeight(749_150)), |(amount, expiry), hop| {
            let (_, amount, expiry) = data(hop).forward(amount, expiry).unwrap();
            (amount, expiry)
        });
    assert_eq!(arrived, (msat(100_000), BlockHeight(749_000)));
}

#[test]
fn another_node_and_changed_data_do_not_decrypt() {
    let node_secret = SecretKey::from_slice(&[1; 32]).unwrap();
    let node_id = PublicKey::from_secret_key(SECP256K1, &node_secret);
    let session_key = SecretKey::from_slice(&[2; 32]).unwrap();
    let data = RecipientData { path_id: Some(vec![1, 2, 3]), ..RecipientData::default() };
    let path = BlindedPath::build(&session_key, &[(node_id, &data.encode())]).unwrap();
    let encrypted = &path.path[0].encrypted_recipient_data;
    let ours = PathSecret::new(&node_secret, &path.first_path_key);
    assert_eq!(ours.unblind(encrypted), Ok(data));
    let other = PathSecret::new(&session_key, &path.first_path_key);
    assert_eq!(other.unblind(encrypted), Err(BlindFault::Decrypt));
    assert_eq!(ours.unblind(&encrypted[1..]), Err(BlindFault::Decrypt));
    assert_eq!(ours.unblind(&[0; 15]), Err(BlindFault::Decrypt));
}

#[test]
fn data_with_an_unknown_even_field_is_refused() {
    assert_eq!(RecipientData::decode(&[0x10, 0]), Err(BlindFault::Data));
    assert_eq!(RecipientData::decode(&[0x11, 0]), Ok(RecipientData::default()));
    assert_eq!(RecipientData::decode(&[0x02, 1, 0]), Err(BlindFault::Data));
}

#[test]
fn a_forwarding_hop_needs_one_next_hop_a_relay_and_known_features() {
    let id = ShortChannelId::from_u64(7);
    let node = PublicKey::from_secret_key(SECP256K1, &SecretKey::from_slice(&[1; 32]).unwrap());
    let good = RecipientData {
        short_channel_id: Some(id),
        payment_relay: Some(relay(10, 0, 0)),
        payment_constraints: Some(PaymentConstraints {
            max_cltv_expiry: BlockHeight(100),
            htlc_minimum_msat: msat(1_000),
        }),
        ..RecipientData::default()
    };
    let ask = |data: &RecipientData| data.forward(msat(1_000), BlockHeight(100));
    assert_eq!(ask(&good), Some((NextHop::Channel(id), msat(1_000), BlockHeight(90))));
    assert_eq!(good.forward(msat(999), BlockHeight(100)), None);
    assert_eq!(good.forward(msat(1_000), BlockHeight(101)), None);
    assert_eq!(good.forward(msat(1_000), BlockHeight(9)), None);
    for bad in [
        RecipientData { next_node_id: Some(node), ..good.clone() },
        RecipientData { short_channel_id: None, ..good.clone() },
        RecipientData { payment_relay: None, ..good.clone() },
        RecipientData { allowed_features: Some(vec![2]), ..good.clone() },
        RecipientData { payment_relay: Some(relay(10, 0, 1_001)), ..good.clone() },
    ] {
        assert_eq!(ask(&bad), None, "{bad:?}");
    }
    let allowed = RecipientData { allowed_features: Some(vec![0, 0]), ..good };
    assert!(ask(&allowed).is_some());
}

#[test]
fn routes_have_1_to_255_hops() {
    let session_key = SecretKey::from_slice(&[2; 32]).unwrap();
    let node = PublicKey::from_secret_key(SECP256K1, &session_key);
    assert_eq!(BlindedPath::build(&session_key, &[]), Err(BlindFault::Length));
    assert_eq!(BlindedPath::build(&session_key, &[(node, &[][..]); 256]), Err(BlindFault::Length));
}

fn any_relay() -> impl Strategy<Value = PaymentRelay> {
    (0..200_u16, 0..200_000_u32, 0..1_000_000_u32)
        .prop_map(|(delta, rate, base)| relay(delta, rate, base))
}

proptest! {
    #[test]
    fn what_the_cost_asks_is_enough(relays in prop::collection::vec(any_relay(), 0..6), amount in 1..1_000_000_000_000_u64) {
        let cost = PathCost::of(&relays, CltvDelta(18)).unwrap();
        let expiry = BlockHeight(800_000);
        let start = (cost.incoming(msat(amount)).unwrap(), expiry);
        let arrived = relays.iter().try_fold(start, |(amount, expiry), relay| relay.outgoing(amount, expiry));
        let (arrived, arrived_expiry) = arrived.unwrap();
        prop_assert!(arrived >= msat(amount));
        let total = u32::from(cost.cltv_expiry_delta.to_u16()) - 18;
        prop_assert_eq!(arrived_expiry, BlockHeight(800_000 - total));
    }

    #[test]
    fn random_data_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(data) = RecipientData::decode(&bytes) {
            prop_assert_eq!(RecipientData::decode(&data.encode()), Ok(data));
        }
    }
}
