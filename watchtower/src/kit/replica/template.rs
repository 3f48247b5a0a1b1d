//! What opens a session with a replica kit. It holds a key, so it is never printed, and is stored encrypted.

use bitcoin::{OutPoint, ScriptBuf};
use channel::signer::RevocationSigner;
use channel::tx::commitment::ObscuringFactor;
use secp256k1::PublicKey;
use wire::codec::{Decode, DecodeError, Encode, Reader};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::kit::template::{CHANNEL_ANCHORS, TemplateError};

/// The most funding outputs of one channel that live at the same time.
const FUNDINGS_MAX: usize = 16;

/// 32 secret bytes, erased when dropped and never printed.
#[derive(Clone, Eq, PartialEq, Zeroize, ZeroizeOnDrop)]
pub struct Secret([u8; 32]);

impl Secret {
    /// Takes the bytes over; the caller's copy is its own to erase.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes, for primitives only.
    pub const fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Secret")
    }
}

/// A session with a replica kit.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ReplicaTemplate {
    /// [`CHANNEL_ANCHORS`].
    pub channel_type: u16,
    /// The private half of our `revocation_basepoint`.
    pub revocation_key: Secret,
    /// The cheater's `delayed_payment_basepoint`.
    pub delayed_basepoint: PublicKey,
    /// Our `htlc_basepoint`.
    pub our_htlc_basepoint: PublicKey,
    /// The cheater's `htlc_basepoint`.
    pub their_htlc_basepoint: PublicKey,
    /// The `payment_basepoint` of whoever opened the channel.
    pub opener_payment: PublicKey,
    /// The `payment_basepoint` of the other side.
    pub accepter_payment: PublicKey,
    /// Blocks for which the cheater's own outputs wait.
    pub to_self_delay: u16,
    /// The version of every justice transaction: 2, or 3 (TRUC).
    pub tx_version: u8,
    /// Where everything goes.
    pub sweep_script: ScriptBuf,
    /// The outputs that a commitment may spend.
    pub fundings: Vec<OutPoint>,
}

impl ReplicaTemplate {
    /// What hides the numbers of commitments.
    pub fn obscuring(&self) -> ObscuringFactor {
        ObscuringFactor::new(&self.opener_payment, &self.accepter_payment)
    }

    /// Reads a template from outside, and refuses what no honest client sends.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, TemplateError> {
        let template = Self::decode_exact(bytes)?;
        if template.channel_type != CHANNEL_ANCHORS {
            return Err(TemplateError::ChannelType(template.channel_type));
        }
        if !matches!(template.tx_version, 2 | 3) {
            return Err(TemplateError::TxVersion(template.tx_version));
        }
        let script = &template.sweep_script;
        if !(script.is_p2wpkh() || script.is_p2wsh() || script.is_p2tr()) {
            return Err(TemplateError::SweepScript);
        }
        if RevocationSigner::new(template.revocation_key.expose()).is_err()
            || template.fundings.len() > FUNDINGS_MAX
        {
            return Err(TemplateError::Bytes(DecodeError::Range));
        }
        Ok(template)
    }
}

impl Encode for ReplicaTemplate {
    fn encode(&self, out: &mut Vec<u8>) {
        self.channel_type.encode(out);
        self.revocation_key.expose().encode(out);
        self.delayed_basepoint.encode(out);
        self.our_htlc_basepoint.encode(out);
        self.their_htlc_basepoint.encode(out);
        self.opener_payment.encode(out);
        self.accepter_payment.encode(out);
        self.to_self_delay.encode(out);
        self.tx_version.encode(out);
        self.sweep_script.encode(out);
        self.fundings.encode(out);
    }
}

impl Decode for ReplicaTemplate {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            channel_type: u16::decode(r)?,
            revocation_key: Secret::new(r.array()?),
            delayed_basepoint: PublicKey::decode(r)?,
            our_htlc_basepoint: PublicKey::decode(r)?,
            their_htlc_basepoint: PublicKey::decode(r)?,
            opener_payment: PublicKey::decode(r)?,
            accepter_payment: PublicKey::decode(r)?,
            to_self_delay: u16::decode(r)?,
            tx_version: u8::decode(r)?,
            sweep_script: ScriptBuf::decode(r)?,
            fundings: Vec::decode(r)?,
        })
    }
}
