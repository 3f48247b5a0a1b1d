//! Values of Bitcoin: points, scripts, transaction ids (BOLT 1 § Fundamental Types).

use bitcoin::hashes::Hash;
use bitcoin::{OutPoint, ScriptBuf, Txid};
use secp256k1::PublicKey;

use super::{Decode, DecodeError, Encode, Reader};

impl Encode for PublicKey {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.serialize());
    }
}

impl Decode for PublicKey {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Self::from_slice(&r.array::<33>()?).map_err(|_| DecodeError::Point)
    }
}

impl Encode for Txid {
    /// In the order of the hash itself, which is the reverse of how ids are shown.
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.as_byte_array());
    }
}

impl Decode for Txid {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        r.array().map(Self::from_byte_array)
    }
}

impl Encode for ScriptBuf {
    /// A `u16` length, then the script; cut at 65,535 bytes, six times what Bitcoin executes.
    fn encode(&self, out: &mut Vec<u8>) {
        let length = u16::try_from(self.len()).unwrap_or(u16::MAX);
        length.encode(out);
        out.extend(self.as_bytes().iter().take(usize::from(length)));
    }
}

impl Decode for ScriptBuf {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Vec::decode(r).map(Self::from_bytes)
    }
}

impl Encode for OutPoint {
    fn encode(&self, out: &mut Vec<u8>) {
        self.txid.encode(out);
        self.vout.encode(out);
    }
}

impl Decode for OutPoint {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { txid: Txid::decode(r)?, vout: u32::decode(r)? })
    }
}
