//! A bundle as text, there and back, and broken in every place.

use secp256k1::{SECP256K1, SecretKey};
use wire::feature::Features;
use wire::id::{PaymentHash, PaymentSecret, ShortChannelId};
use wire::onion::blind::PaymentRelay;
use wire::units::BlockHeight;

use super::*;
use crate::rpc::refusal::Refusal;

fn key(byte: u8) -> SecretKey {
    SecretKey::from_slice(&[byte; 32]).unwrap()
}

fn bundle() -> Bundle {
    let gate = Gate {
        node: key(2).public_key(SECP256K1),
        scid: ShortChannelId::from_parts(BlockHeight(7), 8, 9).unwrap(),
        relay: PaymentRelay {
            cltv_expiry_delta: CltvDelta(40),
            fee_proportional_millionths: 100,
            fee_base_msat: 1_000,
        },
        htlc_minimum: Msat::new(5).unwrap(),
        htlc_maximum: Msat::new(1_000_000_000).unwrap(),
    };
    let wish = Wish {
        secret: PaymentSecret([3; 32]),
        min_final: CltvDelta(42),
        last_expiry: BlockHeight(1_200),
    };
    let routes = vec![route(key(3).public_key(SECP256K1), &gate, &wish, &key(77)).unwrap()];
    Bundle {
        chain: [1; 32],
        description: "coffee, ünnamed".to_owned(),
        routes,
        created_s: 1_700_000_000,
        expiry_s: 3_600,
        hash: PaymentHash([9; 32]),
        amount: Msat::new(25_000),
        features: Bundle::our_features(),
    }
}

#[test]
fn a_bundle_reads_back_as_it_was_and_in_capitals() {
    let all = bundle();
    let text = all.to_text();
    assert!(is_bundle(&text) && text.starts_with("vbi1"), "{text}");
    assert!(!is_bundle("lnbcrt1abc") && !is_bundle("vbi") && !is_bundle(""));
    assert_eq!(Bundle::read(&text).unwrap(), all);
    assert_eq!(Bundle::read(&format!(" {}\n", text.to_uppercase())).unwrap(), all);
    let open = Bundle { amount: None, description: String::new(), ..all };
    assert_eq!(Bundle::read(&open.to_text()).unwrap(), open);
    assert_eq!(open.expires_ms(), 1_700_003_600_000);
    assert!(open.features.demands_beyond(&Features::invoice()).is_none());
}

#[test]
fn a_bundle_does_not_name_its_payee() {
    let text = bundle().to_text();
    let hrp = bitcoin::bech32::primitives::decode::CheckedHrpstring::new::<
        bitcoin::bech32::NoChecksum,
    >(&text);
    let bytes: Vec<u8> = hrp.unwrap().byte_iter().collect();
    let payee = key(3).public_key(SECP256K1).serialize();
    assert!(!bytes.windows(33).any(|window| window == payee));
    let gate = key(2).public_key(SECP256K1).serialize();
    assert!(bytes.windows(33).any(|window| window == gate), "the way in is named");
}

#[test]
fn every_changed_character_and_every_cut_is_found() {
    let text = bundle().to_text();
    for at in 0..text.len() {
        let mut broken = text.clone().into_bytes();
        broken[at] = if broken[at] == b'q' { b'p' } else { b'q' };
        let broken = String::from_utf8(broken).unwrap();
        assert!(matches!(Bundle::read(&broken), Err(Refusal::BadInvoice { .. })), "at {at}");
        assert!(Bundle::read(&text[..at]).is_err(), "cut at {at}");
    }
    assert!(Bundle::read(&"vbi1".repeat(10_000)).is_err());
}

#[test]
fn the_router_is_told_how_long_a_route_is() {
    let tail = Tail::new(bundle().routes.remove(0));
    let shown = tail.for_router().unwrap();
    assert_eq!(shown.hops, 3);
    assert_eq!((shown.fee_base_msat, shown.fee_proportional_millionths), (1_000, 100));
    assert_eq!(shown.cltv_expiry_delta, CltvDelta(82));
    assert!(shown.payloads_len > 400 && shown.payloads_len < 700, "{}", shown.payloads_len);
}
