//! The fields of a payload before their rules: one TLV stream, with the place of every field. BOLT 4 § `payload` format.

use super::{
    BlindedFinal, BlindedForward, CUSTOM_RECORD_MIN, CustomRecords, Final, Forward,
    KEYSEND_PREIMAGE, Payload, PayloadFault, PaymentData, Place,
};
use crate::codec::{BigSize, Decode as _, DecodeError, Encode as _, Reader, Tu32, Tu64};
use crate::id::{PaymentSecret, Preimage, ShortChannelId};
use crate::tlv::{self, Record};
use crate::units::{BlockHeight, Msat};
use secp256k1::PublicKey;

const AMT_TO_FORWARD: u64 = 2;
const OUTGOING_CLTV_VALUE: u64 = 4;
const SHORT_CHANNEL_ID: u64 = 6;
const PAYMENT_DATA: u64 = 8;
pub(super) const ENCRYPTED_RECIPIENT_DATA: u64 = 10;
pub(super) const CURRENT_PATH_KEY: u64 = 12;
const PAYMENT_METADATA: u64 = 16;
const TOTAL_AMOUNT_MSAT: u64 = 18;

/// Which fields a kind of payload may have, and whether fields we do not know may stand beside them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Admitted {
    known: &'static [u64],
    others: bool,
}

pub(super) const FORWARD: Admitted =
    Admitted { known: &[AMT_TO_FORWARD, OUTGOING_CLTV_VALUE, SHORT_CHANNEL_ID], others: true };
pub(super) const FINAL: Admitted = Admitted {
    known: &[AMT_TO_FORWARD, OUTGOING_CLTV_VALUE, PAYMENT_DATA, PAYMENT_METADATA, KEYSEND_PREIMAGE],
    others: true,
};
// BOLT 4: "MUST return an error if the payload contains other tlv fields than `encrypted_recipient_data` and
// `current_path_key`."
pub(super) const BLINDED_FORWARD: Admitted =
    Admitted { known: &[ENCRYPTED_RECIPIENT_DATA, CURRENT_PATH_KEY], others: false };
// BOLT 4: "MUST return an error if the payload contains other tlv fields than `encrypted_recipient_data`,
// `current_path_key`, `amt_to_forward`, `outgoing_cltv_value` and `total_amount_msat`."
pub(super) const BLINDED_FINAL: Admitted = Admitted {
    known: &[
        AMT_TO_FORWARD,
        OUTGOING_CLTV_VALUE,
        ENCRYPTED_RECIPIENT_DATA,
        CURRENT_PATH_KEY,
        TOTAL_AMOUNT_MSAT,
    ],
    others: false,
};

/// Every field that any payload may have.
#[derive(Debug, Default)]
pub(super) struct Fields {
    pub(super) amt_to_forward: Option<Msat>,
    pub(super) outgoing_cltv_value: Option<BlockHeight>,
    pub(super) short_channel_id: Option<ShortChannelId>,
    pub(super) payment_data: Option<PaymentData>,
    pub(super) encrypted_recipient_data: Option<Vec<u8>>,
    pub(super) current_path_key: Option<PublicKey>,
    pub(super) payment_metadata: Option<Vec<u8>>,
    pub(super) total_amount_msat: Option<Msat>,
    pub(super) keysend_preimage: Option<Preimage>,
    pub(super) custom_records: CustomRecords,
}

/// Where each field of a payload starts.
#[derive(Debug, Default)]
pub(super) struct Map(Vec<(u64, u16)>);

impl Map {
    /// 0 for a field that is missing.
    pub(super) fn offset(&self, kind: u64) -> u16 {
        self.0.iter().find(|(known, _)| *known == kind).map_or(0, |(_, offset)| *offset)
    }

    /// The first field that does not belong there is the error.
    pub(super) fn admit(&self, admitted: Admitted) -> Result<(), u64> {
        let misplaced = |kind: &u64| {
            let ours = is_known(*kind);
            if ours { !admitted.known.contains(kind) } else { !admitted.others }
        };
        self.0.iter().map(|(kind, _)| *kind).find(misplaced).map_or(Ok(()), Err)
    }
}

const fn is_known(kind: u64) -> bool {
    matches!(
        kind,
        AMT_TO_FORWARD
            | OUTGOING_CLTV_VALUE
            | SHORT_CHANNEL_ID
            | PAYMENT_DATA
            | ENCRYPTED_RECIPIENT_DATA
            | CURRENT_PATH_KEY
            | PAYMENT_METADATA
            | TOTAL_AMOUNT_MSAT
            | KEYSEND_PREIMAGE
    )
}

impl Fields {
    pub(super) fn decode(bytes: &[u8], place: Place) -> Result<(Self, Map), PayloadFault> {
        let mut fields = Self::default();
        let mut map = Map::default();
        let mut r = Reader::new(bytes);
        let mut blinded = false;
        let mut least = Some(0);
        while !r.is_empty() {
            let offset = u16::try_from(bytes.len().saturating_sub(r.len())).unwrap_or(u16::MAX);
            let mut at = PayloadFault { kind: 0, offset, blinded };
            let BigSize(kind) = BigSize::decode(&mut r).map_err(|_| at)?;
            at.kind = kind;
            blinded |= kind == ENCRYPTED_RECIPIENT_DATA || kind == CURRENT_PATH_KEY;
            at.blinded = blinded;
            // BOLT 1: "if decoded `type`s are not strictly-increasing (including situations when two or more
            // occurrences of the same `type` are met): MUST fail to parse the `tlv_stream`."
            if least.is_none_or(|least| kind < least) {
                return Err(at);
            }
            least = kind.checked_add(1);
            map.0.push((kind, offset));
            let value = value(&mut r).map_err(|_| at)?;
            let known = fields.take(kind, Reader::new(value), place).map_err(|_| at)?;
            if !known && kind % 2 == 0 {
                return Err(at);
            }
        }
        Ok((fields, map))
    }

    /// Stores a field; `false` if its type means nothing here.
    fn take(&mut self, kind: u64, mut r: Reader<'_>, place: Place) -> Result<bool, DecodeError> {
        let r = &mut r;
        match kind {
            AMT_TO_FORWARD => self.amt_to_forward = Some(amount(r)?),
            OUTGOING_CLTV_VALUE => self.outgoing_cltv_value = Some(BlockHeight(Tu32::decode(r)?.0)),
            SHORT_CHANNEL_ID => self.short_channel_id = Some(ShortChannelId::decode(r)?),
            PAYMENT_DATA => {
                let payment_secret = PaymentSecret::decode(r)?;
                self.payment_data = Some(PaymentData { payment_secret, total_msat: amount(r)? });
            }
            ENCRYPTED_RECIPIENT_DATA => self.encrypted_recipient_data = Some(Record::take(r)?),
            CURRENT_PATH_KEY => self.current_path_key = Some(Record::take(r)?),
            PAYMENT_METADATA => self.payment_metadata = Some(Record::take(r)?),
            TOTAL_AMOUNT_MSAT => self.total_amount_msat = Some(amount(r)?),
            KEYSEND_PREIMAGE => self.keysend_preimage = Some(Preimage::decode(r)?),
            CUSTOM_RECORD_MIN.. if place == Place::Final => {
                self.custom_records.insert(kind, r.rest().to_vec());
            }
            _ => return Ok(false),
        }
        r.end()?;
        Ok(true)
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let amount = |amount: Msat| Tu64(amount.to_u64());
        tlv::put(&mut out, AMT_TO_FORWARD, self.amt_to_forward.map(amount).as_ref());
        let expiry = self.outgoing_cltv_value.map(|height| Tu32(height.to_u32()));
        tlv::put(&mut out, OUTGOING_CLTV_VALUE, expiry.as_ref());
        tlv::put(&mut out, SHORT_CHANNEL_ID, self.short_channel_id.as_ref());
        if let Some(data) = self.payment_data {
            tlv::put_with(&mut out, PAYMENT_DATA, |out| {
                data.payment_secret.encode(out);
                amount(data.total_msat).encode(out);
            });
        }
        tlv::put(&mut out, ENCRYPTED_RECIPIENT_DATA, self.encrypted_recipient_data.as_ref());
        tlv::put(&mut out, CURRENT_PATH_KEY, self.current_path_key.as_ref());
        tlv::put(&mut out, PAYMENT_METADATA, self.payment_metadata.as_ref());
        tlv::put(&mut out, TOTAL_AMOUNT_MSAT, self.total_amount_msat.map(amount).as_ref());
        self.encode_custom(&mut out);
        out
    }

    /// The keysend preimage stands among the custom records, wherever its number puts it.
    fn encode_custom(&self, out: &mut Vec<u8>) {
        let mut records = self.custom_records.iter().peekable();
        while let Some((kind, value)) = records.next_if(|(kind, _)| *kind < KEYSEND_PREIMAGE) {
            tlv::put_with(out, kind, |out| out.extend_from_slice(value));
        }
        tlv::put(out, KEYSEND_PREIMAGE, self.keysend_preimage.as_ref());
        for (kind, value) in records {
            tlv::put_with(out, kind, |out| out.extend_from_slice(value));
        }
    }

    // From here on the error is the type of the field that is missing.
    // BOLT 4: "MUST return an error if `amt_to_forward` or `outgoing_cltv_value` are not present."

    pub(super) fn forward(self) -> Result<Forward, u64> {
        Ok(Forward {
            amt_to_forward: self.amt_to_forward.ok_or(AMT_TO_FORWARD)?,
            outgoing_cltv_value: self.outgoing_cltv_value.ok_or(OUTGOING_CLTV_VALUE)?,
            short_channel_id: self.short_channel_id.ok_or(SHORT_CHANNEL_ID)?,
        })
    }

    pub(super) fn finish(self) -> Result<Final, u64> {
        Ok(Final {
            amt_to_forward: self.amt_to_forward.ok_or(AMT_TO_FORWARD)?,
            outgoing_cltv_value: self.outgoing_cltv_value.ok_or(OUTGOING_CLTV_VALUE)?,
            payment_data: self.payment_data,
            payment_metadata: self.payment_metadata,
            keysend_preimage: self.keysend_preimage,
            custom_records: self.custom_records,
        })
    }

    pub(super) fn blinded_forward(self) -> Result<BlindedForward, u64> {
        let data = self.encrypted_recipient_data.ok_or(ENCRYPTED_RECIPIENT_DATA)?;
        let current_path_key = self.current_path_key;
        Ok(BlindedForward { encrypted_recipient_data: data, current_path_key })
    }

    pub(super) fn blinded_finish(self) -> Result<BlindedFinal, u64> {
        Ok(BlindedFinal {
            amt_to_forward: self.amt_to_forward.ok_or(AMT_TO_FORWARD)?,
            outgoing_cltv_value: self.outgoing_cltv_value.ok_or(OUTGOING_CLTV_VALUE)?,
            total_amount_msat: self.total_amount_msat.ok_or(TOTAL_AMOUNT_MSAT)?,
            encrypted_recipient_data: self
                .encrypted_recipient_data
                .ok_or(ENCRYPTED_RECIPIENT_DATA)?,
            current_path_key: self.current_path_key,
        })
    }
}

/// Length and value.
fn value<'a>(r: &mut Reader<'a>) -> Result<&'a [u8], DecodeError> {
    let BigSize(length) = BigSize::decode(r)?;
    r.take(usize::try_from(length).map_err(|_| DecodeError::Short)?)
}

fn amount(r: &mut Reader<'_>) -> Result<Msat, DecodeError> {
    Msat::new(Tu64::decode(r)?.0).ok_or(DecodeError::Range)
}

impl From<&Payload> for Fields {
    fn from(payload: &Payload) -> Self {
        match payload.clone() {
            Payload::Forward(hop) => Self {
                amt_to_forward: Some(hop.amt_to_forward),
                outgoing_cltv_value: Some(hop.outgoing_cltv_value),
                short_channel_id: Some(hop.short_channel_id),
                ..Self::default()
            },
            Payload::Final(hop) => Self {
                amt_to_forward: Some(hop.amt_to_forward),
                outgoing_cltv_value: Some(hop.outgoing_cltv_value),
                payment_data: hop.payment_data,
                payment_metadata: hop.payment_metadata,
                keysend_preimage: hop.keysend_preimage,
                custom_records: hop.custom_records,
                ..Self::default()
            },
            Payload::BlindedForward(hop) => Self {
                encrypted_recipient_data: Some(hop.encrypted_recipient_data),
                current_path_key: hop.current_path_key,
                ..Self::default()
            },
            Payload::BlindedFinal(hop) => Self {
                amt_to_forward: Some(hop.amt_to_forward),
                outgoing_cltv_value: Some(hop.outgoing_cltv_value),
                total_amount_msat: Some(hop.total_amount_msat),
                encrypted_recipient_data: Some(hop.encrypted_recipient_data),
                current_path_key: hop.current_path_key,
                ..Self::default()
            },
        }
    }
}
