//! What a tower signs: that it has all records of a session below a number, at a place on the chain.
//!
//! A receipt is cumulative, so the newest one says everything, and it names the root over all records
//! ([`super::mmr`]), so it can be held against any single one of them. It also names height and hash of
//! the tower's last block: whoever shows later that a breach came after that block has shown that the
//! tower had the record in time.
//!
//! Not here: what a client makes of one ([`super::check`]), how it travels ([`crate::message`]).

use bitcoin::BlockHash;
use bitcoin::hashes::Hash as _;
use secp256k1::{Keypair, Message, PublicKey, SECP256K1, schnorr};
use wire::codec::{Decode, DecodeError, Encode, Reader};
use wire::id::Signature;
use wire::units::BlockHeight;

use super::mmr::Node;
use super::tagged::tagged;
use crate::message::{Code, RecordsAck};

/// Which session a signature is about: the client's key, and what the session was opened with.
///
/// The terms belong to it, because records make sense beside their template alone: a tower that signed
/// for records without it could be shown another one later, and blamed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Session {
    /// The key that the client opened the session with.
    pub key: PublicKey,
    /// A hash of kit and template.
    pub terms: [u8; 32],
}

impl Session {
    /// The session of this key, opened with this kit ([`crate::message::KIT_SEALED`] or
    /// [`crate::message::KIT_REPLICA`]) and the bytes of this template.
    pub fn new(key: PublicKey, kit: u8, template: &[u8]) -> Self {
        Self { key, terms: tagged("wt2/terms", &[&[kit], template]) }
    }
}

impl Encode for Session {
    fn encode(&self, out: &mut Vec<u8>) {
        self.key.encode(out);
        out.extend_from_slice(&self.terms);
    }
}

impl Decode for Session {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { key: PublicKey::decode(r)?, terms: r.array()? })
    }
}

/// What is signed, beside the session it is about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ack {
    /// Records with numbers below this are on the tower's disk.
    pub durable_seq: u32,
    /// The root of the range whose leaves are those records, in order, the first being number 0.
    pub root: Node,
    /// Height of the tower's last block.
    pub height: u32,
    /// Hash of that block.
    pub tip: BlockHash,
    /// The last height at which the tower promises to watch.
    pub expiry: u32,
}

impl Ack {
    /// What the tower's signature is over.
    pub fn digest(&self, session: &Session) -> [u8; 32] {
        let session = session.encoded();
        let parts: [&[u8]; 6] = [
            &session,
            &self.durable_seq.to_be_bytes(),
            &self.root,
            &self.height.to_be_bytes(),
            self.tip.as_byte_array(),
            &self.expiry.to_be_bytes(),
        ];
        tagged("wt2/ack", &parts)
    }

    /// Signs it; the same bytes each time, so no random number is needed.
    pub fn sign(self, session: Session, tower: &Keypair) -> Receipt {
        let signature = sign(&self.digest(&session), tower);
        Receipt { session, ack: self, signature }
    }
}

impl Encode for Ack {
    fn encode(&self, out: &mut Vec<u8>) {
        self.durable_seq.encode(out);
        out.extend_from_slice(&self.root);
        self.height.encode(out);
        out.extend_from_slice(self.tip.as_byte_array());
        self.expiry.encode(out);
    }
}

impl Decode for Ack {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            durable_seq: u32::decode(r)?,
            root: r.array()?,
            height: u32::decode(r)?,
            tip: BlockHash::from_byte_array(r.array()?),
            expiry: u32::decode(r)?,
        })
    }
}

/// A signed [`Ack`]: evidence by itself, for anybody who knows the tower's key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Receipt {
    /// The session it is about.
    pub session: Session,
    /// What is signed.
    pub ack: Ack,
    /// BIP 340, by the tower's key.
    pub signature: [u8; 64],
}

impl Receipt {
    /// Whether `tower` signed it.
    pub fn is_signed_by(&self, tower: &PublicKey) -> bool {
        is_signed(&self.ack.digest(&self.session), &self.signature, tower)
    }

    /// The receipt that came as this message in this session.
    pub fn from_message(session: Session, message: &RecordsAck) -> Self {
        let ack = Ack {
            durable_seq: message.durable,
            root: message.mmr_root,
            height: message.height.0,
            tip: BlockHash::from_byte_array(message.tip),
            expiry: message.expiry.0,
        };
        Self { session, ack, signature: message.signature.0 }
    }

    /// The message it travels in.
    pub fn to_message(&self, code: Code) -> RecordsAck {
        RecordsAck {
            code,
            durable: self.ack.durable_seq,
            mmr_root: self.ack.root,
            height: BlockHeight(self.ack.height),
            tip: self.ack.tip.to_byte_array(),
            expiry: BlockHeight(self.ack.expiry),
            signature: Signature(self.signature),
            expected_seq: None,
            retry_after_ms: None,
        }
    }
}

/// What a tower signs for a replica: how many states are revoked and how many HTLCs it knows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ReplicaAck {
    /// Commitments below this number are known to be revoked.
    pub revoked: u64,
    /// HTLCs that are known.
    pub htlcs: u64,
    /// Height of the tower's last block.
    pub height: u32,
    /// Hash of that block.
    pub tip: BlockHash,
    /// The last height at which the tower promises to watch.
    pub expiry: u32,
}

impl ReplicaAck {
    /// What the tower's signature is over.
    pub fn digest(&self, session: &Session) -> [u8; 32] {
        let session = session.encoded();
        let parts: [&[u8]; 6] = [
            &session,
            &self.revoked.to_be_bytes(),
            &self.htlcs.to_be_bytes(),
            &self.height.to_be_bytes(),
            self.tip.as_byte_array(),
            &self.expiry.to_be_bytes(),
        ];
        tagged("wt2/replica-ack", &parts)
    }

    /// The tower's signature.
    pub fn sign(&self, session: &Session, tower: &Keypair) -> [u8; 64] {
        sign(&self.digest(session), tower)
    }

    /// Whether `signature` is the tower's.
    pub fn is_signed_by(&self, session: &Session, signature: &[u8; 64], tower: &PublicKey) -> bool {
        is_signed(&self.digest(session), signature, tower)
    }
}

/// Signs `digest` (BIP 340); the same bytes each time.
pub(crate) fn sign(digest: &[u8; 32], key: &Keypair) -> [u8; 64] {
    SECP256K1.sign_schnorr_no_aux_rand(&Message::from_digest(*digest), key).serialize()
}

/// Whether `key` signed `digest` (BIP 340, by its x-coordinate).
pub(crate) fn is_signed(digest: &[u8; 32], signature: &[u8; 64], key: &PublicKey) -> bool {
    let (key, _) = key.x_only_public_key();
    let digest = Message::from_digest(*digest);
    schnorr::Signature::from_slice(signature)
        .is_ok_and(|signature| SECP256K1.verify_schnorr(&signature, &digest, &key).is_ok())
}

impl Encode for Receipt {
    /// 65 session, 76 of the [`Ack`], 64 signature.
    fn encode(&self, out: &mut Vec<u8>) {
        self.session.encode(out);
        self.ack.encode(out);
        out.extend_from_slice(&self.signature);
    }
}

impl Decode for Receipt {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (session, ack) = (Session::decode(r)?, Ack::decode(r)?);
        Ok(Self { session, ack, signature: r.array()? })
    }
}
