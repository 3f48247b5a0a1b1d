//! Reads the official vectors in `wire/vectors`, for tests.

use crate::id::PaymentHash;
use crate::onion::SharedSecret;
use bitcoin::hex::FromHex;
use secp256k1::{PublicKey, SecretKey};
use serde_json::Value;

pub(crate) fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

pub(crate) fn hex(text: &str) -> Vec<u8> {
    Vec::from_hex(text).unwrap()
}

pub(crate) fn bytes(value: &Value) -> Vec<u8> {
    hex(value.as_str().unwrap())
}

pub(crate) fn array<const N: usize>(value: &Value) -> [u8; N] {
    bytes(value).try_into().unwrap()
}

pub(crate) fn secret(value: &Value) -> SecretKey {
    SecretKey::from_slice(&bytes(value)).unwrap()
}

pub(crate) fn point(value: &Value) -> PublicKey {
    PublicKey::from_slice(&bytes(value)).unwrap()
}

pub(crate) fn shared(value: &Value) -> SharedSecret {
    SharedSecret::new(array(value))
}

pub(crate) fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}

/// The payload without the length prefix that the vectors give it.
pub(crate) fn payload(value: &Value) -> Vec<u8> {
    let bytes = bytes(value);
    let prefix = if bytes[0] == 0xfd { 3 } else { 1 };
    bytes[prefix..].to_vec()
}

/// The associated data of every payment in the vectors.
pub(crate) const HASH: PaymentHash = PaymentHash([0x42; 32]);
