//! LND's blobs: what a record says once the breach has opened it (`watchtower/blob`).
//!
//! A blob is a random nonce and an XChaCha20-Poly1305 ciphertext under the hash of the breach's id twice.
//! Inside are a sweep script, the keys of `to_local` and the victim's signature; keys and signature for
//! `to_remote` too, if it is there. Two layouts: version 0 for legacy and anchors channels (274 bytes),
//! version 1 for taproot (300).
//!
//! Not here: the scripts of these keys ([`super::script`]), the transaction ([`super::justice`]).

use bitcoin::hashes::{Hash as _, HashEngine as _, sha256};
use bitcoin::{ScriptBuf, Txid};
use chacha20poly1305::aead::Aead as _;
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305, XNonce};
use secp256k1::{PublicKey, XOnlyPublicKey};
use thiserror::Error;
use wire::codec::{Decode, DecodeError, Encode, Reader};

/// Room for a sweep script.
const SWEEP_SCRIPT_MAX: usize = 42;
/// Bytes of the nonce before the ciphertext.
const NONCE_LEN: usize = 24;
/// Bytes of the tag behind it.
const TAG_LEN: usize = 16;

/// The kinds of sessions, as flags: 1 reward, 2 commitment outputs, 4 anchors, 8 taproot, 16 taproot with
/// final scripts. A reward is never taken.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum BlobType {
    /// 2: channels without anchors.
    Legacy,
    /// 6: anchors channels.
    Anchor,
    /// 10: taproot channels with the scripts of LND's staging version.
    Taproot,
    /// 26: taproot channels with the final scripts.
    TaprootFinal,
}

impl BlobType {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Legacy, Self::Anchor, Self::Taproot, Self::TaprootFinal];

    /// The number on the wire.
    pub const fn number(self) -> u16 {
        match self {
            Self::Legacy => 2,
            Self::Anchor => 6,
            Self::Taproot => 10,
            Self::TaprootFinal => 26,
        }
    }

    /// The kind with this number. `None` for any other, so for 3, which asks for a reward.
    pub fn of(number: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.number() == number)
    }

    /// Whether blobs have the layout of version 1.
    pub const fn is_taproot(self) -> bool {
        match self {
            Self::Legacy | Self::Anchor => false,
            Self::Taproot | Self::TaprootFinal => true,
        }
    }

    /// Bytes of the plaintext.
    pub const fn plaintext_len(self) -> usize {
        if self.is_taproot() { 300 } else { 274 }
    }

    /// Bytes of a blob: any other length is no blob of this kind.
    pub const fn blob_len(self) -> usize {
        self.plaintext_len().saturating_add(NONCE_LEN + TAG_LEN)
    }
}

/// The keys of `to_local`, the cheater's own output.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ToLocal {
    /// Version 0.
    Segwit {
        /// Ours, since the state is revoked.
        revocation: PublicKey,
        /// The cheater's, after the delay.
        delayed: PublicKey,
        /// The delay in blocks.
        csv: u16,
    },
    /// Version 1.
    Taproot {
        /// Ours, since the state is revoked.
        revocation: XOnlyPublicKey,
        /// The cheater's, after the delay.
        delayed: XOnlyPublicKey,
        /// The hash of the leaf that the cheater would use.
        delay_leaf: [u8; 32],
    },
}

/// The victim's own output.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ToRemote {
    /// Its key.
    pub key: PublicKey,
    /// The victim's signature over the whole justice transaction.
    pub signature: [u8; 64],
}

/// What a blob says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Kit {
    /// Where everything goes.
    pub sweep_script: ScriptBuf,
    /// How to find and open the cheater's output.
    pub to_local: ToLocal,
    /// The victim's signature for it, over the whole justice transaction: ECDSA in compact form, or BIP 340.
    pub to_local_signature: [u8; 64],
    /// The victim's own output, if justice takes that, too.
    pub to_remote: Option<ToRemote>,
}

/// Why a blob opens to nothing.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum BlobError {
    /// Not as long as a blob of this kind.
    #[error("{got} bytes instead of {expected}")]
    Length {
        /// What its kind has.
        expected: usize,
        /// What it has.
        got: usize,
    },
    /// The breach is not what it was sealed for, or bytes changed.
    #[error("it does not open")]
    Sealed,
    /// It opened, and what is inside is no kit.
    #[error("what is inside is no kit: {0}")]
    Inside(#[from] DecodeError),
    /// A sweep script of more than 42 bytes, or a kit of another version.
    #[error("the kit does not fit a blob of this kind")]
    Unfit,
}

/// The key for the blob of breach `txid`: `SHA256(txid ‖ txid)`, the id as it lies in memory.
fn key(txid: &Txid) -> [u8; 32] {
    let mut engine = sha256::Hash::engine();
    engine.input(txid.as_byte_array());
    engine.input(txid.as_byte_array());
    sha256::Hash::from_engine(engine).to_byte_array()
}

impl Kit {
    /// Seals it for whoever sees `txid`. The nonce must never be used twice for one `txid`.
    ///
    /// # Errors
    /// [`BlobError::Unfit`].
    pub fn seal(
        &self,
        kind: BlobType,
        txid: &Txid,
        nonce: [u8; NONCE_LEN],
    ) -> Result<Vec<u8>, BlobError> {
        let plain = self.plaintext(kind).ok_or(BlobError::Unfit)?;
        let cipher = XChaCha20Poly1305::new(&key(txid).into());
        let sealed =
            cipher.encrypt(&XNonce::from(nonce), plain.as_slice()).map_err(|_| BlobError::Unfit)?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    /// Opens a blob with the breach.
    ///
    /// # Errors
    /// [`BlobError`]; anybody may have made it.
    pub fn open(kind: BlobType, txid: &Txid, blob: &[u8]) -> Result<Self, BlobError> {
        let length = BlobError::Length { expected: kind.blob_len(), got: blob.len() };
        if blob.len() != kind.blob_len() {
            return Err(length);
        }
        let (nonce, sealed) = blob.split_first_chunk::<NONCE_LEN>().ok_or(length)?;
        let cipher = XChaCha20Poly1305::new(&key(txid).into());
        let plain = cipher.decrypt(&XNonce::from(*nonce), sealed).map_err(|_| BlobError::Sealed)?;
        Ok(Self::read(kind, &mut Reader::new(&plain))?)
    }

    /// The bytes inside; `None` if the kit is not of this kind.
    pub fn plaintext(&self, kind: BlobType) -> Option<Vec<u8>> {
        let mut out = Vec::with_capacity(kind.plaintext_len());
        let script = self.sweep_script.as_bytes();
        u8::try_from(script.len()).ok()?.encode(&mut out);
        out.extend_from_slice(script);
        out.resize(SWEEP_SCRIPT_MAX.checked_add(1)?, 0);
        match &self.to_local {
            ToLocal::Segwit { revocation, delayed, csv } if !kind.is_taproot() => {
                revocation.encode(&mut out);
                delayed.encode(&mut out);
                u32::from(*csv).encode(&mut out);
                out.extend_from_slice(&self.to_local_signature);
            }
            ToLocal::Taproot { revocation, delayed, delay_leaf } if kind.is_taproot() => {
                out.extend(revocation.serialize());
                out.extend(delayed.serialize());
                out.extend_from_slice(&self.to_local_signature);
                out.extend_from_slice(delay_leaf);
            }
            ToLocal::Segwit { .. } | ToLocal::Taproot { .. } => return None,
        }
        match &self.to_remote {
            Some(to_remote) => {
                to_remote.key.encode(&mut out);
                out.extend_from_slice(&to_remote.signature);
            }
            None => out.extend_from_slice(&[0; 97]),
        }
        // A longer sweep script was cut by `resize`, and then the length byte lies.
        (script.len() <= SWEEP_SCRIPT_MAX && out.len() == kind.plaintext_len()).then_some(out)
    }

    fn read(kind: BlobType, r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let length = usize::from(u8::decode(r)?);
        let padded = r.take(SWEEP_SCRIPT_MAX)?;
        let script = padded.get(..length).ok_or(DecodeError::Range)?;
        let sweep_script = ScriptBuf::from_bytes(script.to_vec());
        let (to_local, to_local_signature) = if kind.is_taproot() {
            let (revocation, delayed) = (x_only(r)?, x_only(r)?);
            let signature = r.array()?;
            (ToLocal::Taproot { revocation, delayed, delay_leaf: r.array()? }, signature)
        } else {
            let (revocation, delayed) = (PublicKey::decode(r)?, PublicKey::decode(r)?);
            // A delay that no channel can have: `to_self_delay` has 16 bits.
            let csv = u16::try_from(u32::decode(r)?).map_err(|_| DecodeError::Range)?;
            (ToLocal::Segwit { revocation, delayed, csv }, r.array()?)
        };
        let (claimed, signature) = (r.array::<33>()?, r.array()?);
        // LND takes these fields for blank unless the first byte is that of a compressed key.
        let to_remote = match claimed {
            [0x02 | 0x03, ..] => {
                let key = PublicKey::from_slice(&claimed).map_err(|_| DecodeError::Point)?;
                Some(ToRemote { key, signature })
            }
            _ => None,
        };
        r.end()?;
        Ok(Self { sweep_script, to_local, to_local_signature, to_remote })
    }
}

fn x_only(r: &mut Reader<'_>) -> Result<XOnlyPublicKey, DecodeError> {
    XOnlyPublicKey::from_slice(&r.array::<32>()?).map_err(|_| DecodeError::Point)
}
