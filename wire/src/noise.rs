//! The handshake that authenticates a connection, three acts as three types. BOLT 8 § Handshake Exchange.
//!
//! Each act consumes the state that awaited it, so no act can be replayed or skipped. A fault leaves nothing behind:
//! the connection is closed without another byte. Ephemeral secrets come in as arguments.
//!
//! Not here: reading exactly 50 or 66 bytes and the handshake timeout (daemon), messages after it (`frame`).

pub(crate) mod symmetric;

#[cfg(test)]
mod tests;

use crate::frame::{Decryptor, Encryptor};
use bitcoin::hashes::{Hash as _, HashEngine as _, sha256};
use secp256k1::{PublicKey, SECP256K1, SecretKey};
use std::fmt;
use symmetric::{Key, Scalar, TAG_LEN, ecdh, hkdf, open, seal};

/// Bytes of act one, initiator to responder.
pub const ACT_ONE_LEN: usize = 50;
/// Bytes of act two, responder to initiator.
pub const ACT_TWO_LEN: usize = 50;
/// Bytes of act three, initiator to responder.
pub const ACT_THREE_LEN: usize = 66;

/// Which of the three messages was at fault.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Act {
    /// Initiator's ephemeral key.
    One,
    /// Responder's ephemeral key.
    Two,
    /// Initiator's encrypted static key.
    Three,
}

/// Why the handshake ends; the reaction is always to close without answering. BOLT 8 § Handshake Exchange.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum HandshakeFault {
    /// A version byte other than zero.
    #[error("act {act:?}: unknown handshake version {version}")]
    Version {
        /// The act that carried it.
        act: Act,
        /// The byte.
        version: u8,
    },
    /// 33 bytes that are not a point on the curve.
    #[error("act {act:?}: not a public key")]
    Key {
        /// The act that carried it.
        act: Act,
    },
    /// The closing tag is wrong. In act one: the peer wants another node id.
    #[error("act {act:?}: authentication failed")]
    Mac {
        /// The act that carried it.
        act: Act,
    },
    /// The static key of act three does not decrypt.
    #[error("act Three: the static key does not decrypt")]
    Ciphertext,
}

/// The two directions of a connection after act three.
#[derive(Debug)]
pub struct Transport {
    /// What we send.
    pub encryptor: Encryptor,
    /// What we receive.
    pub decryptor: Decryptor,
}

/// The side that connects; it must know whom it wants to reach.
#[derive(Clone, Copy, Debug)]
pub struct Initiator;

impl Initiator {
    /// Makes act one. `ephemeral` must be fresh and unpredictable for every connection.
    pub fn start(
        our_static: SecretKey,
        ephemeral: SecretKey,
        their_static: &PublicKey,
    ) -> ([u8; ACT_ONE_LEN], InitiatorExpectActTwo) {
        let mut state = Symmetric::new(their_static);
        let ephemeral = Scalar(ephemeral);
        let (act, _) = state.send_key(&ephemeral, their_static);
        (act, InitiatorExpectActTwo { state, our_static: Scalar(our_static), ephemeral })
    }
}

/// Act one is sent.
pub struct InitiatorExpectActTwo {
    state: Symmetric,
    our_static: Scalar,
    ephemeral: Scalar,
}

impl InitiatorExpectActTwo {
    /// Checks act two; makes act three and the keys. The peer is then proven to be `their_static`.
    ///
    /// # Errors
    /// Any [`HandshakeFault`] of act two: close the connection.
    pub fn act_two(
        mut self,
        act: &[u8; ACT_TWO_LEN],
    ) -> Result<([u8; ACT_THREE_LEN], Transport), HandshakeFault> {
        let (their_ephemeral, temp_k2) = self.state.receive_key(act, &self.ephemeral, Act::Two)?;
        let mut key = PublicKey::from_secret_key(SECP256K1, &self.our_static.0).serialize();
        let key_tag = seal(&temp_k2, 1, &self.state.h, &mut key);
        self.state.mix_hash(&[&key, &key_tag]);
        let temp_k3 = self.state.mix_key(&ecdh(&self.our_static.0, &their_ephemeral));
        let tag = seal(&temp_k3, 0, &self.state.h, &mut []);
        let out = join(&[&[0], &key, &key_tag, &tag]);
        let (sending, receiving) = self.state.split();
        Ok((out, self.state.transport(sending, receiving)))
    }
}

/// The side that is connected to.
#[derive(Clone, Copy, Debug)]
pub struct Responder;

impl Responder {
    /// Waits for act one. `ephemeral` must be fresh and unpredictable for every connection.
    pub fn start(our_static: SecretKey, ephemeral: SecretKey) -> ResponderExpectActOne {
        ResponderExpectActOne { our_static: Scalar(our_static), ephemeral: Scalar(ephemeral) }
    }
}

/// Somebody connected.
pub struct ResponderExpectActOne {
    our_static: Scalar,
    ephemeral: Scalar,
}

impl ResponderExpectActOne {
    /// Checks act one; makes act two.
    ///
    /// # Errors
    /// Any [`HandshakeFault`] of act one: close the connection without a further message.
    pub fn act_one(
        self,
        act: &[u8; ACT_ONE_LEN],
    ) -> Result<([u8; ACT_TWO_LEN], ResponderExpectActThree), HandshakeFault> {
        let Self { our_static, ephemeral } = self;
        let mut state = Symmetric::new(&PublicKey::from_secret_key(SECP256K1, &our_static.0));
        let (their_ephemeral, _) = state.receive_key(act, &our_static, Act::One)?;
        let (out, temp_k2) = state.send_key(&ephemeral, &their_ephemeral);
        Ok((out, ResponderExpectActThree { state, ephemeral, temp_k2 }))
    }
}

/// Act two is sent.
pub struct ResponderExpectActThree {
    state: Symmetric,
    ephemeral: Scalar,
    temp_k2: Key,
}

impl ResponderExpectActThree {
    /// Checks act three; yields the proven static key of the peer, its node id, and the keys.
    ///
    /// # Errors
    /// Any [`HandshakeFault`] of act three: close the connection without a further message.
    pub fn act_three(
        mut self,
        act: &[u8; ACT_THREE_LEN],
    ) -> Result<(PublicKey, Transport), HandshakeFault> {
        const ACT: Act = Act::Three;
        let ([version], rest) = cut::<1>(act).ok_or(HandshakeFault::Mac { act: ACT })?;
        check_version(*version, ACT)?;
        let (key, rest) = cut::<33>(rest).ok_or(HandshakeFault::Mac { act: ACT })?;
        let (key_tag, rest) = cut::<TAG_LEN>(rest).ok_or(HandshakeFault::Mac { act: ACT })?;
        let (tag, _) = cut::<TAG_LEN>(rest).ok_or(HandshakeFault::Mac { act: ACT })?;
        let mut clear = *key;
        open(&self.temp_k2, 1, &self.state.h, &mut clear, key_tag)
            .map_err(|_| HandshakeFault::Ciphertext)?;
        let their_static =
            PublicKey::from_slice(&clear).map_err(|_| HandshakeFault::Key { act: ACT })?;
        self.state.mix_hash(&[key, key_tag]);
        let temp_k3 = self.state.mix_key(&ecdh(&self.ephemeral.0, &their_static));
        open(&temp_k3, 0, &self.state.h, &mut [], tag)
            .map_err(|_| HandshakeFault::Mac { act: ACT })?;
        let (receiving, sending) = self.state.split();
        Ok((their_static, self.state.transport(sending, receiving)))
    }
}

/// Chaining key `ck` and handshake hash `h`.
struct Symmetric {
    ck: Key,
    h: [u8; 32],
}

impl Symmetric {
    fn new(responder_static: &PublicKey) -> Self {
        let name = sha256::Hash::hash(b"Noise_XK_secp256k1_ChaChaPoly_SHA256").to_byte_array();
        let mut state = Self { ck: Key::new(name), h: name };
        state.mix_hash(&[b"lightning"]);
        state.mix_hash(&[&responder_static.serialize()]);
        state
    }

    fn mix_hash(&mut self, parts: &[&[u8]]) {
        let mut engine = sha256::Hash::engine();
        engine.input(&self.h);
        for part in parts {
            engine.input(part);
        }
        self.h = sha256::Hash::from_engine(engine).to_byte_array();
    }

    fn mix_key(&mut self, shared: &Key) -> Key {
        let (ck, temp_k) = hkdf(&self.ck, shared.expose());
        self.ck = ck;
        temp_k
    }

    /// Sender's side of acts one and two: our ephemeral key in clear, then a tag.
    fn send_key(&mut self, ephemeral: &Scalar, to: &PublicKey) -> ([u8; ACT_ONE_LEN], Key) {
        let key = PublicKey::from_secret_key(SECP256K1, &ephemeral.0).serialize();
        self.mix_hash(&[&key]);
        let temp_k = self.mix_key(&ecdh(&ephemeral.0, to));
        let tag = seal(&temp_k, 0, &self.h, &mut []);
        self.mix_hash(&[&tag]);
        (join(&[&[0], &key, &tag]), temp_k)
    }

    /// Receiver's side of acts one and two.
    fn receive_key(
        &mut self,
        bytes: &[u8; ACT_ONE_LEN],
        ours: &Scalar,
        act: Act,
    ) -> Result<(PublicKey, Key), HandshakeFault> {
        let ([version], rest) = cut::<1>(bytes).ok_or(HandshakeFault::Mac { act })?;
        check_version(*version, act)?;
        let (key, rest) = cut::<33>(rest).ok_or(HandshakeFault::Mac { act })?;
        let (tag, _) = cut::<TAG_LEN>(rest).ok_or(HandshakeFault::Mac { act })?;
        let theirs = PublicKey::from_slice(key).map_err(|_| HandshakeFault::Key { act })?;
        self.mix_hash(&[key]);
        let temp_k = self.mix_key(&ecdh(&ours.0, &theirs));
        open(&temp_k, 0, &self.h, &mut [], tag).map_err(|_| HandshakeFault::Mac { act })?;
        self.mix_hash(&[tag]);
        Ok((theirs, temp_k))
    }

    /// The initiator's sending key, then its receiving key.
    fn split(&self) -> (Key, Key) {
        hkdf(&self.ck, &[])
    }

    fn transport(&self, sending: Key, receiving: Key) -> Transport {
        let chaining = || Key::new(*self.ck.expose());
        Transport {
            encryptor: Encryptor::new(sending, chaining()),
            decryptor: Decryptor::new(receiving, chaining()),
        }
    }
}

// BOLT 8: "Clients MUST reject handshake attempts initiated with an unknown version."
const fn check_version(version: u8, act: Act) -> Result<(), HandshakeFault> {
    if version == 0 { Ok(()) } else { Err(HandshakeFault::Version { act, version }) }
}

/// `None` cannot happen for the sizes of the acts; it is the caller's MAC fault all the same.
const fn cut<const N: usize>(bytes: &[u8]) -> Option<(&[u8; N], &[u8])> {
    bytes.split_first_chunk()
}

fn join<const N: usize>(parts: &[&[u8]]) -> [u8; N] {
    let mut out = [0; N];
    for (to, from) in out.iter_mut().zip(parts.iter().copied().flatten()) {
        *to = *from;
    }
    out
}

macro_rules! hide {
    ($($state:ident),*) => { $(
        impl fmt::Debug for $state {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($state)).finish_non_exhaustive()
            }
        }
    )* };
}
hide!(InitiatorExpectActTwo, ResponderExpectActOne, ResponderExpectActThree);
