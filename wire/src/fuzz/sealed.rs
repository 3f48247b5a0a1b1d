//! Doors to what is encrypted: onions and what they hold, failures, handshakes, frames (BOLT 4, 8).
//!
//! Fuzzers cannot break a MAC, so what lies behind one gets a door of its own.

use secp256k1::SecretKey;

use crate::id::PaymentHash;
use crate::message::{AttributionData, OnionPacket};
use crate::noise::{Initiator, Responder};
use crate::onion::SharedSecret;
use crate::onion::blind::RecipientData;
use crate::onion::failure::{self, Failure};
use crate::onion::payload::{Payload, Place};
use crate::onion::sphinx::{peel_message, peel_payment};

/// The secret that all doors use.
fn secret() -> Option<SecretKey> {
    SecretKey::from_slice(&[0x42; 32]).ok()
}

/// Packets of payments and of messages, from the outside.
pub fn onion_packet(bytes: &[u8]) {
    let Some(secret) = secret() else { return };
    let packet = OnionPacket::from(fill(bytes));
    assert!(
        peel_payment(&packet, &PaymentHash([7; 32]), &secret, None).is_err(),
        "a MAC is forged"
    );
    assert!(peel_message(bytes, &secret, None).is_err(), "a MAC is forged");
}

/// What a hop finds inside a packet, read in every way it can be.
pub fn onion_payload(bytes: &[u8]) {
    for place in [Place::Forward, Place::Final] {
        for keyed in [false, true] {
            if let Ok(payload) = Payload::decode(bytes, place, keyed) {
                assert_eq!(Payload::decode(&payload.encode(), place, keyed), Ok(payload));
            }
        }
    }
}

/// What a blinded hop finds inside its encrypted data.
pub fn recipient_data(bytes: &[u8]) {
    if let Ok(data) = RecipientData::decode(bytes) {
        let again = RecipientData::decode(&data.encode());
        assert!(again.is_ok_and(|again| again == data), "{data:?}");
    }
}

/// A failure in clear, and one that comes back through three hops.
pub fn onion_failure(bytes: &[u8]) {
    if let Some(failure) = Failure::decode(bytes) {
        assert_eq!(Failure::decode(&failure.encode()), Some(failure));
    }
    let secrets = [1, 2, 3].map(|byte| SharedSecret::new([byte; 32]));
    let _ = failure::read(&secrets, bytes, Some(&AttributionData::from(fill(bytes))));
    let _ = failure::read(&secrets, bytes, None);
}

/// The acts of a handshake from a stranger, and a frame after a sound one.
pub fn transport(bytes: &[u8]) {
    let Some(secret) = secret() else { return };
    let ephemeral = secret.negate();
    let key = secret.public_key(secp256k1::SECP256K1);
    let _ = Responder::start(secret, ephemeral).act_one(&fill(bytes));
    let (one, initiator) = Initiator::start(secret, ephemeral, &key);
    assert!(initiator.act_two(&fill(bytes)).is_err(), "a MAC is forged");
    let Ok((_, responder)) = Responder::start(secret, ephemeral).act_one(&one) else { return };
    assert!(responder.act_three(&fill(bytes)).is_err(), "a MAC is forged");
    let (one, initiator) = Initiator::start(secret, ephemeral, &key);
    let two = Responder::start(secret, ephemeral).act_one(&one);
    let Some((_, mut connection)) = two.ok().and_then(|(two, _)| initiator.act_two(&two).ok())
    else {
        return;
    };
    assert!(connection.decryptor.decrypt_length(&fill(bytes)).is_err(), "a MAC is forged");
    assert!(connection.decryptor.decrypt_body(&mut bytes.to_vec()).is_err(), "it stays broken");
}

/// As many bytes as are wanted: cut, or with zeros behind them.
fn fill<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut full = [0; N];
    full.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    full
}
