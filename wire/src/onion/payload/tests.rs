//! The payloads of the official onions, and the rules of each kind.

use super::*;
use crate::onion::vectors::{hex, json, list, payload, point};
use proptest::prelude::*;

fn msat(raw: u64) -> Msat {
    Msat::new(raw).unwrap()
}

fn forward() -> Payload {
    Payload::Forward(Forward {
        amt_to_forward: msat(15_000),
        outgoing_cltv_value: BlockHeight(1_500),
        short_channel_id: ShortChannelId::from_u64(1),
    })
}

fn last() -> Final {
    Final {
        amt_to_forward: msat(10_000),
        outgoing_cltv_value: BlockHeight(1_000),
        payment_data: None,
        payment_metadata: None,
        keysend_preimage: None,
        custom_records: CustomRecords::default(),
    }
}

fn path_key() -> PublicKey {
    "024d4b6cd1361032ca9bd2aeb9d900aa4d45d9ead80ac9423374c451a7254d0766".parse().unwrap()
}

/// A stream of these fields.
fn stream(fields: &[(u64, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    for (kind, value) in fields {
        crate::tlv::put_with(&mut out, *kind, |out| out.extend_from_slice(value));
    }
    out
}

fn fault(kind: u64, offset: u16) -> PayloadFault {
    PayloadFault { kind, offset, blinded: false }
}

#[test]
fn payloads_of_the_onion_vector() {
    let test = json(include_str!("../../../vectors/bolt04/onion-test.json"));
    let payloads: Vec<_> =
        list(&test["generate"]["hops"]).iter().map(|hop| payload(&hop["payload"])).collect();
    let first = Payload::decode(&payloads[0], Place::Forward, false).unwrap();
    assert_eq!(first, forward());
    assert_eq!(first.encode(), payloads[0]);
    // The second has an unknown odd field, which is skipped.
    assert!(Payload::decode(&payloads[1], Place::Forward, false).is_ok());
    // The last has an odd unknown field 301 too.
    let Payload::Final(read) = Payload::decode(&payloads[4], Place::Final, false).unwrap() else {
        panic!("final")
    };
    let secret = hex("24a33562c54507a9334e79f0dc4f17d407e6d7c61f0e2f3d0d38599502f61704");
    let payment_data = Some(PaymentData {
        payment_secret: PaymentSecret(secret.try_into().unwrap()),
        total_msat: msat(10_000),
    });
    assert_eq!(read, Final { payment_data, ..last() });
}

#[test]
fn payloads_of_the_blinded_payment_vector() {
    let test = json(include_str!("../../../vectors/bolt04/blinded-payment-onion-test.json"));
    let hops = list(&test["generate"]["full_route"]["hops"]);
    let [alice, bob, carol, dave, eve] =
        [0, 1, 2, 3, 4].map(|hop: usize| payload(&hops[hop]["payload"]));
    for (bytes, place, add_has_path_key) in [
        (&alice, Place::Forward, false),
        (&bob, Place::Forward, false),
        (&carol, Place::Forward, true),
        (&dave, Place::Forward, true),
        (&eve, Place::Final, true),
    ] {
        let read = Payload::decode(bytes, place, add_has_path_key).unwrap();
        assert_eq!(read.encode(), *bytes);
    }
    let Ok(Payload::BlindedForward(read)) = Payload::decode(&bob, Place::Forward, false) else {
        panic!("blinded")
    };
    assert_eq!(
        read.current_path_key,
        Some(point(&test["generate"]["blinded_route"]["first_path_key"]))
    );
    let Ok(Payload::BlindedFinal(read)) = Payload::decode(&eve, Place::Final, true) else {
        panic!("blinded")
    };
    assert_eq!(read.total_amount_msat, msat(150_000));
    assert_eq!(read.outgoing_cltv_value, BlockHeight(749_000));
}

#[test]
fn missing_fields_are_named() {
    for (fields, place, kind) in [
        (&[(4, &[1][..]), (6, &[0; 8])][..], Place::Forward, 2),
        (&[(2, &[1]), (6, &[0; 8])], Place::Forward, 4),
        (&[(2, &[1]), (4, &[1])], Place::Forward, 6),
        (&[(4, &[1])], Place::Final, 2),
        (&[(2, &[1])], Place::Final, 4),
    ] {
        assert_eq!(Payload::decode(&stream(fields), place, false), Err(fault(kind, 0)));
    }
}

#[test]
fn misplaced_unknown_and_malformed_fields_are_named_with_their_place() {
    let data = [&[7; 32][..], &[1]].concat();
    for (fields, place, kind, offset) in [
        // Fields of the recipient at a forwarding hop, and the other way round.
        (&[(2, &[1][..]), (4, &[1]), (6, &[0; 8]), (8, &data)][..], Place::Forward, 8, 16),
        (&[(2, &[1]), (4, &[1]), (6, &[0; 8])], Place::Final, 6, 6),
        (&[(2, &[1]), (4, &[1]), (18, &[1])], Place::Final, 18, 6),
        // Even and unknown; for applications too, unless they are the recipient's.
        (&[(2, &[1]), (4, &[1]), (14, &[])], Place::Final, 14, 6),
        (&[(2, &[1]), (4, &[1]), (65_536, &[])], Place::Forward, 65_536, 6),
        // Not the shortest amount, too many bytes, more than all bitcoin, not a point.
        (&[(2, &[0, 1])], Place::Final, 2, 0),
        (&[(2, &[1]), (4, &[1; 5])], Place::Final, 4, 3),
        (&[(2, &[0xff; 8])], Place::Final, 2, 0),
        (&[(6, &[0; 7])], Place::Forward, 6, 0),
        (&[(8, &[0; 31])], Place::Final, 8, 0),
        // Order.
        (&[(4, &[1]), (2, &[1])], Place::Final, 2, 3),
        (&[(2, &[1]), (2, &[1])], Place::Final, 2, 3),
    ] {
        let read = Payload::decode(&stream(fields), place, false);
        assert_eq!(read, Err(fault(kind, offset)), "{fields:?}");
    }
    // A length beyond the end, a type that stops in the middle, a type in a longer form than needed.
    assert_eq!(Payload::decode(&[2, 1, 1, 4, 2, 1], Place::Final, false), Err(fault(4, 3)));
    assert_eq!(Payload::decode(&[2, 1, 1, 0xfd, 1], Place::Final, false), Err(fault(0, 3)));
    assert_eq!(Payload::decode(&[0xfd, 0, 2, 1, 1], Place::Final, false), Err(fault(0, 0)));
}

#[test]
fn custom_records_reach_the_recipient_even_and_odd() {
    let mut custom_records = CustomRecords::default();
    assert!(custom_records.insert(65_536, vec![1]));
    assert!(custom_records.insert(7_629_169, b"podcast".to_vec()));
    assert!(custom_records.insert(u64::MAX, Vec::new()));
    assert!(!custom_records.insert(65_535, Vec::new()));
    assert!(!custom_records.insert(KEYSEND_PREIMAGE, vec![0; 32]));
    let keysend_preimage = Some(Preimage([9; 32]));
    let payload = Payload::Final(Final { custom_records, keysend_preimage, ..last() });
    assert_eq!(Payload::decode(&payload.encode(), Place::Final, false), Ok(payload));
}

#[test]
fn a_path_key_comes_from_one_side_only() {
    let key = path_key().serialize();
    let with = stream(&[(10, &[1, 2, 3]), (12, &key)]);
    let without = stream(&[(10, &[1, 2, 3])]);
    let blinded = |kind, offset| PayloadFault { kind, offset, blinded: true };
    assert!(Payload::decode(&with, Place::Forward, false).is_ok());
    assert!(Payload::decode(&without, Place::Forward, true).is_ok());
    assert_eq!(Payload::decode(&with, Place::Forward, true), Err(blinded(12, 5)));
    assert_eq!(Payload::decode(&without, Place::Forward, false), Err(blinded(12, 0)));
    // Outside a blinded route there is no path key at all.
    let plain = forward().encode();
    assert_eq!(Payload::decode(&plain, Place::Forward, true), Err(blinded(10, 0)));
    let keyed = stream(&[(2, &[1]), (4, &[1]), (12, &key)]);
    assert_eq!(Payload::decode(&keyed, Place::Final, false), Err(blinded(12, 6)));
}

#[test]
fn blinded_payloads_have_their_own_fields_and_no_other() {
    let good: [(u64, &[u8]); 4] = [(2, &[1]), (4, &[1]), (10, &[1]), (18, &[1])];
    assert!(Payload::decode(&stream(&good), Place::Final, true).is_ok());
    for (at, kind) in [(0, 2), (1, 4), (3, 18)] {
        let mut fields = good.to_vec();
        fields.remove(at);
        let read = Payload::decode(&stream(&fields), Place::Final, true);
        assert_eq!(read, Err(PayloadFault { kind, offset: 0, blinded: true }));
    }
    for (kind, place) in [(19, Place::Final), (65_537, Place::Final), (18, Place::Forward)] {
        let mut fields = if place == Place::Final { good.to_vec() } else { vec![(10, &[1][..])] };
        fields.push((kind, &[1]));
        let read = Payload::decode(&stream(&fields), place, true).unwrap_err();
        assert_eq!((read.kind, read.blinded), (kind, true));
    }
}

#[test]
fn a_part_without_payment_data_is_the_total() {
    assert_eq!(last().total_msat(), msat(10_000));
}

fn any_final() -> impl Strategy<Value = Payload> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..300);
    let data = prop::option::of((any::<[u8; 32]>(), 0..=Msat::MAX.to_u64()));
    let custom = prop::collection::btree_map(CUSTOM_RECORD_MIN.., bytes(), 0..4);
    (
        0..=Msat::MAX.to_u64(),
        any::<u32>(),
        data,
        prop::option::of(bytes()),
        any::<Option<[u8; 32]>>(),
        custom,
    )
        .prop_map(|(amount, expiry, data, payment_metadata, preimage, custom)| {
            let mut custom_records = CustomRecords::default();
            for (kind, value) in custom {
                custom_records.insert(kind, value);
            }
            Payload::Final(Final {
                amt_to_forward: msat(amount),
                outgoing_cltv_value: BlockHeight(expiry),
                payment_data: data.map(|(secret, total)| PaymentData {
                    payment_secret: PaymentSecret(secret),
                    total_msat: msat(total),
                }),
                payment_metadata,
                keysend_preimage: preimage.map(Preimage),
                custom_records,
            })
        })
}

proptest! {
    #[test]
    fn final_payloads_round_trip(payload in any_final()) {
        prop_assert_eq!(Payload::decode(&payload.encode(), Place::Final, false), Ok(payload));
    }

    #[test]
    fn random_payloads_never_panic_and_round_trip(
        bytes in prop::collection::vec(any::<u8>(), 0..120),
        forward: bool,
        path_key: bool,
    ) {
        let place = if forward { Place::Forward } else { Place::Final };
        if let Ok(payload) = Payload::decode(&bytes, place, path_key) {
            prop_assert_eq!(Payload::decode(&payload.encode(), place, path_key), Ok(payload));
        }
    }

    #[test]
    fn a_changed_payload_never_panics(payload in any_final(), at: prop::sample::Index, to: u8) {
        let mut bytes = payload.encode();
        let at = at.index(bytes.len());
        bytes[at] = to;
        drop(Payload::decode(&bytes, Place::Final, false));
    }
}
