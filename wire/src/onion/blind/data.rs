//! What the maker of a blinded route tells one of its hops. BOLT 4 § Inside `encrypted_recipient_data`.

use super::{BlindFault, PaymentConstraints, PaymentRelay};
use crate::codec::{Decode, DecodeError, Encode, Reader, Tu32, Tu64};
use crate::id::ShortChannelId;
use crate::tlv::{self, Record};
use crate::units::{BlockHeight, CltvDelta, Msat};
use secp256k1::PublicKey;

/// An `encrypted_data_tlv`, decrypted. Unknown odd fields are dropped.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct RecipientData {
    /// Makes all data of a route equally long (TLV 1).
    pub padding: Option<Vec<u8>>,
    /// The channel to forward by (TLV 2).
    pub short_channel_id: Option<ShortChannelId>,
    /// The node to forward to (TLV 4).
    pub next_node_id: Option<PublicKey>,
    /// By which the recipient knows its own route again (TLV 6).
    pub path_id: Option<Vec<u8>>,
    /// The path key of a route that is joined behind this one (TLV 8).
    pub next_path_key_override: Option<PublicKey>,
    /// Fee and delta of this hop (TLV 10).
    pub payment_relay: Option<PaymentRelay>,
    /// What may pass (TLV 12).
    pub payment_constraints: Option<PaymentConstraints>,
    /// Features that a payment over the route may use (TLV 14), as a feature bit field.
    pub allowed_features: Option<Vec<u8>>,
}

/// Where a blinded hop forwards to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NextHop {
    /// By a channel or an alias of one.
    Channel(ShortChannelId),
    /// To a node, by any channel.
    Node(PublicKey),
}

impl RecipientData {
    /// The wire form, not yet encrypted.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        tlv::put(&mut out, 1, self.padding.as_ref());
        tlv::put(&mut out, 2, self.short_channel_id.as_ref());
        tlv::put(&mut out, 4, self.next_node_id.as_ref());
        tlv::put(&mut out, 6, self.path_id.as_ref());
        tlv::put(&mut out, 8, self.next_path_key_override.as_ref());
        tlv::put(&mut out, 10, self.payment_relay.as_ref());
        tlv::put(&mut out, 12, self.payment_constraints.as_ref());
        tlv::put(&mut out, 14, self.allowed_features.as_ref());
        out
    }

    /// Reads the decrypted bytes.
    ///
    /// # Errors
    /// [`BlindFault::Data`].
    // BOLT 4: "cannot be decrypted into an `encrypted_data_tlv` or contains unknown even fields:
    // MUST return an error"
    pub fn decode(bytes: &[u8]) -> Result<Self, BlindFault> {
        let mut data = Self::default();
        tlv::each(&mut Reader::new(bytes), |kind, value| {
            match kind {
                1 => data.padding = Some(Record::take(value)?),
                2 => data.short_channel_id = Some(Record::take(value)?),
                4 => data.next_node_id = Some(Record::take(value)?),
                6 => data.path_id = Some(Record::take(value)?),
                8 => data.next_path_key_override = Some(Record::take(value)?),
                10 => data.payment_relay = Some(Record::take(value)?),
                12 => data.payment_constraints = Some(Record::take(value)?),
                14 => data.allowed_features = Some(Record::take(value)?),
                _ => return Ok(false),
            }
            Ok(true)
        })
        .map_err(|_| BlindFault::Data)?;
        Ok(data)
    }

    /// The next hop; `None` if there is none or there are two, both faults in a hop that must forward.
    pub const fn next_hop(&self) -> Option<NextHop> {
        // BOLT 4: "`encrypted_recipient_data` contains both `short_channel_id` and `next_node_id`."
        match (self.short_channel_id, self.next_node_id) {
            (Some(channel), None) => Some(NextHop::Channel(channel)),
            (None, Some(node)) => Some(NextHop::Node(node)),
            (None, None) | (Some(_), Some(_)) => None,
        }
    }

    /// Whether all of `allowed_features` are known. No feature of a blinded payment is defined today, so any bit
    /// set is unknown, odd ones too.
    pub fn features_are_known(&self) -> bool {
        // BOLT 4: "If `allowed_features` is missing:
        // MUST process the message as if it were present and contained an empty array."
        self.allowed_features.iter().flatten().all(|byte| *byte == 0)
    }

    /// Whether an incoming HTLC may pass: its constraints and its features.
    pub fn allows(&self, amount: Msat, expiry: BlockHeight) -> bool {
        self.features_are_known()
            && self.payment_constraints.is_none_or(|bounds| bounds.allow(amount, expiry))
    }

    /// What a forwarding hop must do with an incoming HTLC: the next hop, and the outgoing amount and expiry.
    /// `None` is a fault: `invalid_onion_blinding`.
    pub fn forward(
        &self,
        amount: Msat,
        expiry: BlockHeight,
    ) -> Option<(NextHop, Msat, BlockHeight)> {
        if !self.allows(amount, expiry) {
            return None;
        }
        let (amount, expiry) = self.payment_relay?.outgoing(amount, expiry)?;
        Some((self.next_hop()?, amount, expiry))
    }
}

impl Record for PaymentRelay {
    fn put(&self, out: &mut Vec<u8>) {
        self.cltv_expiry_delta.encode(out);
        self.fee_proportional_millionths.encode(out);
        Tu32(self.fee_base_msat).encode(out);
    }

    fn take(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            cltv_expiry_delta: CltvDelta::decode(r)?,
            fee_proportional_millionths: u32::decode(r)?,
            fee_base_msat: Tu32::decode(r)?.0,
        })
    }
}

impl Record for PaymentConstraints {
    fn put(&self, out: &mut Vec<u8>) {
        self.max_cltv_expiry.encode(out);
        Tu64(self.htlc_minimum_msat.to_u64()).encode(out);
    }

    fn take(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let max_cltv_expiry = BlockHeight::decode(r)?;
        let htlc_minimum_msat = Msat::new(Tu64::decode(r)?.0).ok_or(DecodeError::Range)?;
        Ok(Self { max_cltv_expiry, htlc_minimum_msat })
    }
}
