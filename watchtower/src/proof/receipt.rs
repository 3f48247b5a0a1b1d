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

use super::mmr::Node;
use super::tagged::tagged;

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
    pub fn digest(&self, session: &PublicKey) -> [u8; 32] {
        let session = session.serialize();
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
    pub fn sign(self, session: PublicKey, tower: &Keypair) -> Receipt {
        let digest = Message::from_digest(self.digest(&session));
        let signature = SECP256K1.sign_schnorr_no_aux_rand(&digest, tower);
        Receipt { session, ack: self, signature: signature.serialize() }
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
    /// The key that the client opened the session with.
    pub session: PublicKey,
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
}

/// Whether `key` signed `digest` (BIP 340, by its x-coordinate).
pub(crate) fn is_signed(digest: &[u8; 32], signature: &[u8; 64], key: &PublicKey) -> bool {
    let (key, _) = key.x_only_public_key();
    let digest = Message::from_digest(*digest);
    schnorr::Signature::from_slice(signature)
        .is_ok_and(|signature| SECP256K1.verify_schnorr(&signature, &digest, &key).is_ok())
}

impl Encode for Receipt {
    /// 33 session, 76 of the [`Ack`], 64 signature.
    fn encode(&self, out: &mut Vec<u8>) {
        self.session.encode(out);
        self.ack.encode(out);
        out.extend_from_slice(&self.signature);
    }
}

impl Decode for Receipt {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (session, ack) = (PublicKey::decode(r)?, Ack::decode(r)?);
        Ok(Self { session, ack, signature: r.array()? })
    }
}
