//! A route of carol's through bob, walked by both: what each is told, and everything that is wrong about one byte.

use secp256k1::SecretKey;
use wire::id::PaymentHash;
use wire::onion::blind::{BlindedPath, PaymentRelay};
use wire::onion::sphinx::{Hop, build_payment};
use wire::units::CltvDelta;

use super::*;
use crate::payments::blinded::{BlindedRoute, Ending, Gate, Tail, Wish, route};

const HASH: PaymentHash = PaymentHash([9; 32]);
const NOW: BlockHeight = BlockHeight(1_000);

fn node(byte: u8) -> Identity {
    Identity::new(SecretKey::from_slice(&[byte; 32]).unwrap(), [byte; 32])
}

fn msat(amount: u64) -> Msat {
    Msat::new(amount).unwrap()
}

fn scid() -> ShortChannelId {
    ShortChannelId::from_parts(BlockHeight(7), 8, 9).unwrap()
}

fn to_carol(bob: &Identity, carol: &Identity) -> BlindedRoute {
    let gate = Gate {
        node: bob.public_key(),
        scid: scid(),
        relay: PaymentRelay {
            cltv_expiry_delta: CltvDelta(40),
            fee_proportional_millionths: 100,
            fee_base_msat: 1_000,
        },
        htlc_minimum: msat(5),
        htlc_maximum: msat(1_000_000_000),
    };
    let wish = Wish {
        secret: PaymentSecret([3; 32]),
        min_final: CltvDelta(42),
        last_expiry: BlockHeight(1_200),
    };
    route(carol.public_key(), &gate, &wish, &SecretKey::from_slice(&[77; 32]).unwrap()).unwrap()
}

fn htlc(
    onion: OnionPacket,
    path_key: Option<PublicKey>,
    amount: Msat,
    expiry: BlockHeight,
) -> HtlcIn {
    HtlcIn {
        id: 0,
        amount_msat: amount,
        payment_hash: HASH,
        cltv_expiry: expiry,
        onion,
        path_key,
        accountable: false,
        overexposed: false,
    }
}

fn onion(ending: &Ending) -> OnionPacket {
    let hops: Vec<Hop<'_>> =
        ending.hops.iter().map(|(node, payload)| Hop { node: *node, payload }).collect();
    build_payment(&SecretKey::from_slice(&[66; 32]).unwrap(), &hops, &HASH).unwrap().0
}

fn take(us: &Identity, htlc: &HtlcIn) -> Option<Told> {
    let peeled = us.peel(&htlc.onion, HASH, htlc.path_key.as_ref()).ok()?;
    let place = if peeled.next.is_some() { Place::Forward } else { Place::Final };
    let payload = Payload::decode(&peeled.payload, place, htlc.path_key.is_some()).ok()?;
    follow(us, htlc, payload, peeled.next)
}

#[test]
fn a_payment_by_a_blinded_route_ends_where_its_maker_is_and_nowhere_else() {
    let (alice, bob, carol) = (node(1), node(2), node(3));
    let tail = Tail::new(to_carol(&bob, &carol));
    let ending = tail.end(msat(1_000_000), msat(3_000_000), NOW).unwrap();
    assert_eq!((ending.amount, ending.expiry), (msat(1_001_100), BlockHeight(1_082)));
    assert_eq!(ending.path_key, None);
    assert_eq!(tail.last_expiry(ending.expiry), NOW);
    let lens: Vec<_> =
        tail.route.path.path.iter().map(|hop| hop.encrypted_recipient_data.len()).collect();
    assert!(lens.iter().all(|len| *len == lens[0]), "all alike: {lens:?}");

    let at_bob = htlc(onion(&ending), None, ending.amount, ending.expiry);
    let Some(Told::Onward { payload, next, path_key, onion }) = take(&bob, &at_bob) else {
        panic!("bob forwards")
    };
    assert_eq!(next, NextHop::Channel(scid()));
    assert_eq!(payload.amt_to_forward, msat(1_000_000));
    assert_eq!(payload.outgoing_cltv_value, BlockHeight(1_042));

    let at_carol = htlc(onion, Some(path_key), payload.amt_to_forward, payload.outgoing_cltv_value);
    let Some(Told::Here(last)) = take(&carol, &at_carol) else { panic!("it ends at carol") };
    let secret = PaymentSecret([3; 32]);
    assert_eq!(
        last.payment_data,
        Some(PaymentData { payment_secret: secret, total_msat: msat(3_000_000) })
    );
    assert_eq!(last.amt_to_forward, msat(1_000_000));
    assert_eq!(last.outgoing_cltv_value, NOW);

    // Whoever else gets it, or gets it with another path key, learns nothing.
    assert!(take(&alice, &at_carol).is_none());
    assert!(
        take(
            &carol,
            &htlc(
                at_carol.onion.clone(),
                Some(bob.public_key()),
                msat(1_000_000),
                BlockHeight(1_042)
            )
        )
        .is_none()
    );
    assert!(
        take(&carol, &htlc(at_carol.onion, None, msat(1_000_000), BlockHeight(1_042))).is_none()
    );
}

#[test]
fn bounds_of_the_route_hold_at_every_hop() {
    let (bob, carol) = (node(2), node(3));
    let tail = Tail::new(to_carol(&bob, &carol));
    let ending = tail.end(msat(1_000_000), msat(1_000_000), NOW).unwrap();
    let packet = onion(&ending);
    let bob_takes =
        |amount, expiry| take(&bob, &htlc(packet.clone(), None, msat(amount), BlockHeight(expiry)));
    // 1,200 and bob's 40.
    assert!(bob_takes(1_001_100, 1_240).is_some());
    assert!(bob_takes(1_001_100, 1_241).is_none(), "too late for bob");
    assert!(bob_takes(1_001_100, 39).is_none(), "not enough blocks for bob");
    assert!(bob_takes(999, 1_082).is_none(), "not even his base fee");
    assert!(bob_takes(4, 1_082).is_none(), "below the minimum");
    let Some(Told::Onward { path_key, onion, .. }) = bob_takes(1_001_100, 1_240) else { panic!() };
    let carol_takes = |amount, expiry| {
        take(&carol, &htlc(onion.clone(), Some(path_key), msat(amount), BlockHeight(expiry)))
    };
    assert!(carol_takes(1_000_000, 1_200).is_some());
    assert!(carol_takes(1_000_000, 1_201).is_none(), "the route is dead");
    assert!(carol_takes(4, 1_042).is_none(), "below the minimum");
    // Amounts that do not pass are not even sent.
    assert!(tail.end(msat(4), msat(4), NOW).is_none());
    assert!(tail.end(msat(1_000_000_001), msat(1), NOW).is_none());
}

#[test]
fn a_route_that_begins_with_us_is_entered_at_its_second_hop() {
    let (bob, carol) = (node(2), node(3));
    let mut tail = Tail::new(to_carol(&bob, &carol));
    tail.look(&bob);
    let ending = tail.end(msat(1_000_000), msat(1_000_000), NOW).unwrap();
    assert_eq!((ending.amount, ending.expiry), (msat(1_000_000), BlockHeight(1_042)));
    assert_eq!(tail.first(), Some(NextHop::Channel(scid())));
    assert_eq!(tail.last_expiry(ending.expiry), NOW);
    let at_carol = htlc(onion(&ending), ending.path_key, ending.amount, ending.expiry);
    assert!(matches!(take(&carol, &at_carol), Some(Told::Here(_))));
}

#[test]
fn a_route_from_us_to_us_for_ever_ends_with_the_onion() {
    // Somebody sends the same hop to itself as often as an onion has room for it, and never ends.
    let carol = node(3);
    let data = wire::onion::blind::RecipientData {
        next_node_id: Some(carol.public_key()),
        payment_relay: Some(PaymentRelay {
            cltv_expiry_delta: CltvDelta(0),
            fee_proportional_millionths: 0,
            fee_base_msat: 0,
        }),
        ..Default::default()
    }
    .encode();
    let hops: Vec<(PublicKey, &[u8])> = vec![(carol.public_key(), &data); 9];
    let path = BlindedPath::build(&SecretKey::from_slice(&[5; 32]).unwrap(), &hops).unwrap();
    let payloads: Vec<_> = path
        .path
        .iter()
        .enumerate()
        .map(|(place, hop)| {
            let payload = Payload::BlindedForward(BlindedForward {
                encrypted_recipient_data: hop.encrypted_recipient_data.clone(),
                current_path_key: (place == 0).then_some(path.first_path_key),
            });
            let node = if place == 0 { carol.public_key() } else { hop.blinded_node_id };
            (node, payload.encode())
        })
        .collect();
    let ending = Ending { hops: payloads, amount: msat(1), expiry: NOW, path_key: None };
    assert!(take(&carol, &htlc(onion(&ending), None, msat(1), NOW)).is_none());
}
