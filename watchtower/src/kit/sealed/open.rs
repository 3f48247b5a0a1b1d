//! Closing and opening a record: the key is the breach itself.

use bitcoin::Txid;
use bitcoin::hashes::{Hash, HashEngine, Hmac, HmacEngine, sha256};
use chacha20poly1305::aead::Aead as _;
use chacha20poly1305::{ChaCha20Poly1305, Key, KeyInit as _, Nonce};
use secp256k1::PublicKey;
use thiserror::Error;
use wire::codec::{Decode, DecodeError, Encode};

use super::Record;

/// Separates these keys from whatever else is made of a transaction id.
const INFO: &[u8] = b"wt2";

/// Why a ciphertext is no record for this transaction.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum OpenError {
    /// Another transaction, another session or another number: a hint that matches by chance, or rubbish.
    #[error("this transaction does not open the record")]
    Key,
    /// It opens, and its content makes no sense.
    #[error("the record holds nothing that makes sense: {0}")]
    Content(#[from] DecodeError),
}

/// The key of record `seq` (from 0) of the session whose static key is `session`, for transaction `txid`.
///
/// HKDF-SHA256, the id as secret, session and number as salt. It is used for one plaintext only, so the
/// nonce is zero. Whoever has no such transaction has 256 bits to guess.
pub fn record_key(txid: &Txid, session: &PublicKey, seq: u32) -> [u8; 32] {
    let salt = [&session.serialize()[..], &seq.to_be_bytes()].concat();
    let extracted = hmac(&salt, &[txid.as_byte_array()]);
    hmac(&extracted, &[INFO, &[1]])
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut engine = HmacEngine::<sha256::Hash>::new(key);
    for part in parts {
        engine.input(part);
    }
    Hmac::from_engine(engine).to_byte_array()
}

fn cipher(txid: &Txid, session: &PublicKey, seq: u32) -> ChaCha20Poly1305 {
    ChaCha20Poly1305::new(&Key::from(record_key(txid, session, seq)))
}

/// The bytes that a tower is given: the same for the same arguments, 16 longer than the record.
pub fn seal(record: &Record, txid: &Txid, session: &PublicKey, seq: u32) -> Vec<u8> {
    cipher(txid, session, seq)
        .encrypt(&Nonce::default(), record.encoded().as_slice())
        // The cipher refuses 256 GiB and more, and no record is that long.
        .unwrap_or_default()
}

/// Opens what [`seal`] closed.
///
/// # Errors
/// [`OpenError`]; whatever the bytes are.
pub fn open(
    ciphertext: &[u8],
    txid: &Txid,
    session: &PublicKey,
    seq: u32,
) -> Result<Record, OpenError> {
    let plain = cipher(txid, session, seq)
        .decrypt(&Nonce::default(), ciphertext)
        .map_err(|_| OpenError::Key)?;
    Ok(Record::decode_exact(&plain)?)
}
