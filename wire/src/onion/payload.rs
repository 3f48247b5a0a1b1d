//! What an onion tells one hop of a payment. BOLT 4 § `payload` format.
//!
//! The place in the route (the onion says it) and the blinding (the payload says it) make four kinds; each admits
//! exactly its own fields.
//!
//! Not here: whether the HTLC fits what the payload asks for (`daemon::switch`, `daemon::payments`).

mod fields;

#[cfg(test)]
mod tests;

use crate::id::{PaymentSecret, Preimage, ShortChannelId};
use crate::units::{BlockHeight, Msat};
use fields::Fields;
use secp256k1::PublicKey;
use std::collections::BTreeMap;

/// The first type that belongs to applications and not to the protocol. BOLT 1 § Type-Length-Value Format.
pub const CUSTOM_RECORD_MIN: u64 = 65_536;
/// The type of a spontaneous payment's preimage.
pub const KEYSEND_PREIMAGE: u64 = 5_482_373_484;

/// One hop's instructions.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Payload {
    /// Forward, told by the sender.
    Forward(Forward),
    /// Receive, told by the sender.
    Final(Final),
    /// Forward, told by the maker of the blinded route.
    BlindedForward(BlindedForward),
    /// Receive over one's own blinded route.
    BlindedFinal(BlindedFinal),
}

/// Instructions for a forwarding node.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Forward {
    /// The amount of the outgoing HTLC.
    pub amt_to_forward: Msat,
    /// The expiry of the outgoing HTLC.
    pub outgoing_cltv_value: BlockHeight,
    /// The outgoing channel, or any other to the same node.
    pub short_channel_id: ShortChannelId,
}

/// Instructions for the recipient.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Final {
    /// What this part must bring at least.
    pub amt_to_forward: Msat,
    /// The expiry that this part must have at least.
    pub outgoing_cltv_value: BlockHeight,
    /// Proof of the invoice and the total of all parts.
    pub payment_data: Option<PaymentData>,
    /// The recipient's own bytes from the invoice.
    pub payment_metadata: Option<Vec<u8>>,
    /// The preimage, in a spontaneous payment.
    pub keysend_preimage: Option<Preimage>,
    /// Records of applications. Even types too: refuse the payment unless the application knows them.
    pub custom_records: CustomRecords,
}

impl Final {
    /// The total of all parts. A part without `payment_data` is alone.
    pub fn total_msat(&self) -> Msat {
        // BOLT 4: "MUST treat `total_msat` as if it were equal to `amt_to_forward` if it is not present."
        self.payment_data.map_or(self.amt_to_forward, |data| data.total_msat)
    }
}

/// TLV 8.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PaymentData {
    /// The secret of the invoice; compare in constant time.
    pub payment_secret: PaymentSecret,
    /// The total of all parts.
    pub total_msat: Msat,
}

/// Instructions for a forwarding node in a blinded route.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BlindedForward {
    /// For [`crate::onion::blind::PathSecret::unblind`].
    pub encrypted_recipient_data: Vec<u8>,
    /// There iff this is the introduction node.
    pub current_path_key: Option<PublicKey>,
}

/// Instructions for the recipient at the end of its blinded route.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BlindedFinal {
    /// What this part must bring at least.
    pub amt_to_forward: Msat,
    /// The expiry that this part must have at least.
    pub outgoing_cltv_value: BlockHeight,
    /// The total of all parts.
    pub total_amount_msat: Msat,
    /// For [`crate::onion::blind::PathSecret::unblind`].
    pub encrypted_recipient_data: Vec<u8>,
    /// There iff the recipient is its own introduction node.
    pub current_path_key: Option<PublicKey>,
}

/// Records from [`CUSTOM_RECORD_MIN`] on, by type.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct CustomRecords(BTreeMap<u64, Vec<u8>>);

impl CustomRecords {
    /// Adds a record; `false` if the type is the protocol's or the keysend preimage's.
    pub fn insert(&mut self, kind: u64, value: Vec<u8>) -> bool {
        if kind < CUSTOM_RECORD_MIN || kind == KEYSEND_PREIMAGE {
            return false;
        }
        self.0.insert(kind, value);
        true
    }

    /// Whether one must be understood: an even type. BOLT 1: "it's ok to be odd".
    pub fn demand(&self) -> bool {
        self.0.keys().any(|kind| kind % 2 == 0)
    }

    /// The value of a type.
    pub fn value(&self, kind: u64) -> Option<&[u8]> {
        self.0.get(&kind).map(Vec::as_slice)
    }

    /// All records, types rising.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &[u8])> {
        self.0.iter().map(|(kind, value)| (*kind, value.as_slice()))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Where the onion says that we are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Place {
    /// There is a next packet.
    Forward,
    /// There is none.
    Final,
}

/// The field at fault: the data of `invalid_onion_payload`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("onion payload: field {kind} at byte {offset} is missing, unknown, misplaced or malformed")]
pub struct PayloadFault {
    /// The type of the field; 0 if not even that can be read.
    pub kind: u64,
    /// Where it starts in the payload, length prefix not counted; 0 if it is missing.
    pub offset: u16,
    /// Whether the payload belongs to a blinded route: the answer is then `invalid_onion_blinding` alone.
    pub blinded: bool,
}

impl Payload {
    /// The wire form without length prefix, as [`crate::onion::sphinx::Hop`] wants it.
    pub fn encode(&self) -> Vec<u8> {
        Fields::from(self).encode()
    }

    /// Reads a peeled payload. `add_has_path_key` says whether `update_add_htlc` carried a `path_key`.
    ///
    /// # Errors
    /// [`PayloadFault`]: fail the HTLC.
    pub fn decode(
        bytes: &[u8],
        place: Place,
        add_has_path_key: bool,
    ) -> Result<Self, PayloadFault> {
        let (fields, map) = Fields::decode(bytes, place)?;
        let blinded = fields.encrypted_recipient_data.is_some() || add_has_path_key;
        let keyed = fields.current_path_key.is_some();
        let fault =
            |kind| PayloadFault { kind, offset: map.offset(kind), blinded: blinded || keyed };
        // BOLT 4: "If `path_key` is set in the incoming `update_add_htlc`:
        // MUST return an error if `current_path_key` is present."
        // "Otherwise: MUST return an error if `current_path_key` is not present."
        // "Otherwise (it is not part of a blinded route): MUST return an error if `path_key` is set in the
        // incoming `update_add_htlc` or `current_path_key` is present."
        if fields.encrypted_recipient_data.is_none() && add_has_path_key {
            return Err(fault(fields::ENCRYPTED_RECIPIENT_DATA));
        }
        let wants_path_key = blinded && !add_has_path_key;
        if keyed != wants_path_key {
            return Err(fault(fields::CURRENT_PATH_KEY));
        }
        map.admit(match (place, blinded) {
            (Place::Forward, false) => fields::FORWARD,
            (Place::Final, false) => fields::FINAL,
            (Place::Forward, true) => fields::BLINDED_FORWARD,
            (Place::Final, true) => fields::BLINDED_FINAL,
        })
        .map_err(fault)?;
        let read = match (place, blinded) {
            (Place::Forward, false) => fields.forward().map(Self::Forward),
            (Place::Final, false) => fields.finish().map(Self::Final),
            (Place::Forward, true) => fields.blinded_forward().map(Self::BlindedForward),
            (Place::Final, true) => fields.blinded_finish().map(Self::BlindedFinal),
        };
        read.map_err(fault)
    }
}
