//! Routes whose hops the sender does not learn. BOLT 4 § Route Blinding.
//!
//! The recipient makes a [`BlindedPath`]; each of its hops meets it again as a [`PathSecret`].
//!
//! Not here: the payloads that carry the encrypted data (`payload`).

mod cost;
mod data;

#[cfg(test)]
mod tests;

pub use cost::{PathCost, PaymentConstraints, PaymentRelay};
pub use data::{NextHop, RecipientData};

use crate::noise::symmetric::{self, TAG_LEN, open, seal};
use crate::onion::keys::{KeyKind, SharedSecret};
use secp256k1::{PublicKey, SECP256K1, SecretKey};

/// Why a blinded route cannot be made or followed. The answer to every one of them is `invalid_onion_blinding`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BlindFault {
    /// A route needs a hop, and at most 255.
    #[error("a blinded route has 1 to 255 hops")]
    Length,
    /// A key leads to a key that does not exist (chance 1 in 2^128).
    #[error("key cannot be used")]
    Key,
    /// The data was not made for this node and this path key.
    #[error("recipient data does not decrypt")]
    Decrypt,
    /// The data decrypts to something that is not an `encrypted_data_tlv`, or has an unknown even field.
    #[error("recipient data is not valid")]
    Data,
}

/// A route as the recipient hands it to a sender.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BlindedPath {
    /// The introduction node, in clear.
    pub first_node_id: PublicKey,
    /// What the introduction node needs to begin.
    pub first_path_key: PublicKey,
    /// The hops, introduction node first.
    pub path: Vec<BlindedHop>,
}

/// One hop of a [`BlindedPath`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BlindedHop {
    /// The node id that onions are made for.
    pub blinded_node_id: PublicKey,
    /// What only this hop can read.
    pub encrypted_recipient_data: Vec<u8>,
}

impl BlindedPath {
    /// Blinds a route that ends with the recipient; `hops` are real node ids and what each shall read
    /// (a [`RecipientData`] in wire form; pad them to one length). `session_key` must be fresh and unpredictable.
    ///
    /// # Errors
    /// [`BlindFault::Length`] or [`BlindFault::Key`].
    pub fn build(session_key: &SecretKey, hops: &[(PublicKey, &[u8])]) -> Result<Self, BlindFault> {
        let (first_node_id, _) = *hops.first().ok_or(BlindFault::Length)?;
        if u8::try_from(hops.len()).is_err() {
            return Err(BlindFault::Length);
        }
        let first_path_key = PublicKey::from_secret_key(SECP256K1, session_key);
        let mut ephemeral = symmetric::Scalar(*session_key);
        let mut path_key = first_path_key;
        let mut path = Vec::with_capacity(hops.len());
        for (node_id, data) in hops {
            let secret = SharedSecret::ecdh(&ephemeral.0, node_id);
            path.push(BlindedHop {
                blinded_node_id: blind_node_id(&secret, node_id)?,
                encrypted_recipient_data: encrypt(&secret, data),
            });
            let factor = secret.blinding_factor(&path_key).ok_or(BlindFault::Key)?;
            let next = ephemeral.0.mul_tweak(&factor).map_err(|_| BlindFault::Key)?;
            ephemeral = symmetric::Scalar(next);
            path_key = PublicKey::from_secret_key(SECP256K1, &ephemeral.0);
        }
        Ok(Self { first_node_id, first_path_key, path })
    }
}

/// What one hop of a blinded route shares with its maker; costs one ECDH, serves the onion and the data.
#[derive(Clone, Debug)]
pub struct PathSecret {
    path_key: PublicKey,
    shared: SharedSecret,
}

impl PathSecret {
    /// From the `path_key` beside the onion, or the `current_path_key` in its payload.
    pub fn new(node_secret: &SecretKey, path_key: &PublicKey) -> Self {
        Self { path_key: *path_key, shared: SharedSecret::ecdh(node_secret, path_key) }
    }

    /// The key that onions for our blinded node id are made for.
    pub(crate) fn blinded_secret(&self, node_secret: &SecretKey) -> Option<symmetric::Scalar> {
        node_secret.mul_tweak(&tweak(&self.shared)?).ok().map(symmetric::Scalar)
    }

    /// What the recipient tells this hop.
    ///
    /// # Errors
    /// [`BlindFault::Decrypt`] or [`BlindFault::Data`].
    pub fn unblind(&self, encrypted: &[u8]) -> Result<RecipientData, BlindFault> {
        RecipientData::decode(&self.decrypt(encrypted)?)
    }

    /// The `path_key` for the next hop.
    ///
    /// # Errors
    /// [`BlindFault::Key`].
    pub fn next_path_key(&self, data: &RecipientData) -> Result<PublicKey, BlindFault> {
        // BOLT 4: "If the `encrypted_data_tlv` contains a `next_path_key_override`:
        // MUST use it as the next `path_key`."
        if let Some(path_key) = data.next_path_key_override {
            return Ok(path_key);
        }
        let factor = self.shared.blinding_factor(&self.path_key).ok_or(BlindFault::Key)?;
        self.path_key.mul_tweak(SECP256K1, &factor).map_err(|_| BlindFault::Key)
    }

    fn decrypt(&self, encrypted: &[u8]) -> Result<Vec<u8>, BlindFault> {
        let (text, tag) = encrypted.split_last_chunk::<TAG_LEN>().ok_or(BlindFault::Decrypt)?;
        let mut text = text.to_vec();
        open(&self.shared.key(KeyKind::Rho), 0, &[], &mut text, tag)
            .map_err(|_| BlindFault::Decrypt)?;
        Ok(text)
    }
}

fn encrypt(secret: &SharedSecret, data: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(data.len().saturating_add(TAG_LEN));
    text.extend_from_slice(data);
    let tag = seal(&secret.key(KeyKind::Rho), 0, &[], &mut text);
    text.extend_from_slice(&tag);
    text
}

fn blind_node_id(secret: &SharedSecret, node_id: &PublicKey) -> Result<PublicKey, BlindFault> {
    let tweak = tweak(secret).ok_or(BlindFault::Key)?;
    node_id.mul_tweak(SECP256K1, &tweak).map_err(|_| BlindFault::Key)
}

fn tweak(secret: &SharedSecret) -> Option<secp256k1::Scalar> {
    secp256k1::Scalar::from_be_bytes(*secret.key(KeyKind::BlindedNodeId).expose()).ok()
}
