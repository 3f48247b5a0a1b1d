//! What a payee hands to a payer, as text.

use bitcoin::bech32::primitives::decode::CheckedHrpstring;
use bitcoin::bech32::{self, Hrp, NoChecksum};
use bitcoin::hashes::{Hash as _, sha256};
use wire::codec::{Encode as _, Reader, Tu32, Tu64};
use wire::feature::{Feature, Features};
use wire::id::PaymentHash;
use wire::tlv::{self, Record};
use wire::units::Msat;

use super::BlindedRoute;
use crate::rpc::refusal::Refusal;

/// What the text begins with, before the 1 of bech32.
const PREFIX: &str = "vbi";

/// The longest text that is read.
const TEXT_MAX: usize = 16_384;

/// The most routes that are read.
const ROUTES_MAX: usize = 8;

/// Bytes of SHA-256 at the end.
const CHECKSUM_LEN: usize = 4;

// BOLT 12 § Invoices: the same numbers for the same things.
const DESCRIPTION: u64 = 10;
const CHAIN: u64 = 80;
const PATHS: u64 = 160;
const CREATED_AT: u64 = 164;
const RELATIVE_EXPIRY: u64 = 166;
const PAYMENT_HASH: u64 = 168;
const AMOUNT: u64 = 170;
const FEATURES: u64 = 174;

/// All a payer needs, and nothing that names the payee.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Bundle {
    /// The chain's genesis hash.
    pub chain: [u8; 32],
    /// What it is for, in the payee's words; at most 639 bytes.
    pub description: String,
    /// The ways to the payee; at least one, at most 8.
    pub routes: Vec<BlindedRoute>,
    /// When it was made, Unix seconds.
    pub created_s: u64,
    /// Good for so many seconds.
    pub expiry_s: u32,
    /// The hash whose preimage is the receipt.
    pub hash: PaymentHash,
    /// How much; none leaves it to the payer.
    pub amount: Option<Msat>,
    /// What the payee demands and offers.
    pub features: Features,
}

/// Whether a text is meant to be a [`Bundle`].
pub fn is_bundle(text: &str) -> bool {
    let head = text.trim().get(..PREFIX.len().saturating_add(1));
    head.is_some_and(|head| head.eq_ignore_ascii_case("vbi1"))
}

impl Bundle {
    /// What every bundle of ours offers: payment in parts.
    pub fn our_features() -> Features {
        Features::empty().and_optional(&[Feature::BasicMpp])
    }

    /// When it cannot be paid any more, Unix milliseconds.
    pub fn expires_ms(&self) -> u64 {
        self.created_s.saturating_add(u64::from(self.expiry_s)).saturating_mul(1_000)
    }

    /// As text.
    pub fn to_text(&self) -> String {
        let mut bytes = Vec::new();
        tlv::put_with(&mut bytes, DESCRIPTION, |out| {
            out.extend_from_slice(self.description.as_bytes());
        });
        tlv::put(&mut bytes, CHAIN, Some(&self.chain));
        tlv::put(&mut bytes, PATHS, Some(&self.routes));
        tlv::put(&mut bytes, CREATED_AT, Some(&Tu64(self.created_s)));
        tlv::put(&mut bytes, RELATIVE_EXPIRY, Some(&Tu32(self.expiry_s)));
        tlv::put(&mut bytes, PAYMENT_HASH, Some(&self.hash));
        let amount = self.amount.map(|amount| Tu64(amount.to_u64()));
        tlv::put(&mut bytes, AMOUNT, amount.as_ref());
        tlv::put_with(&mut bytes, FEATURES, |out| out.extend_from_slice(self.features.as_bytes()));
        checksum(&bytes).encode(&mut bytes);
        // Neither prefix nor length can be wrong.
        bech32::encode::<NoChecksum>(Hrp::parse_unchecked(PREFIX), &bytes).unwrap_or_default()
    }

    /// Reads a text.
    ///
    /// # Errors
    /// [`Refusal::BadInvoice`], saying what is wrong with it.
    pub fn read(text: &str) -> Result<Self, Refusal> {
        let text = text.trim();
        let bad = |why| Refusal::BadInvoice { why };
        if text.len() > TEXT_MAX {
            return Err(bad("it is longer than any blinded route"));
        }
        let parsed = CheckedHrpstring::new::<NoChecksum>(text);
        let parsed = parsed.map_err(|_| bad("it has characters that do not belong there"))?;
        if parsed.hrp() != Hrp::parse_unchecked(PREFIX) {
            return Err(bad("it does not begin like a bundle of blinded routes"));
        }
        let bytes: Vec<u8> = parsed.byte_iter().collect();
        let (bytes, sum) =
            bytes.split_last_chunk::<CHECKSUM_LEN>().ok_or_else(|| bad("it is cut off"))?;
        if checksum(bytes) != *sum {
            return Err(bad("its checksum is wrong: a character was lost or changed"));
        }
        let bundle = Fields::read(bytes).ok_or_else(|| bad("it does not decode"))?;
        if bundle.routes.is_empty() || bundle.routes.len() > ROUTES_MAX {
            return Err(bad("it has no way to the payee, or too many"));
        }
        Ok(bundle)
    }
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM_LEN] {
    let [a, b, c, d, ..] = sha256::Hash::hash(bytes).to_byte_array();
    [a, b, c, d]
}

/// The fields before it is known that all are there.
#[derive(Debug, Default)]
struct Fields {
    description: Vec<u8>,
    chain: Option<[u8; 32]>,
    routes: Vec<BlindedRoute>,
    created_s: u64,
    expiry_s: u32,
    hash: Option<PaymentHash>,
    amount: Option<u64>,
    features: Vec<u8>,
}

impl Fields {
    fn read(bytes: &[u8]) -> Option<Bundle> {
        let mut fields = Self::default();
        tlv::each(&mut Reader::new(bytes), |kind, value| {
            match kind {
                DESCRIPTION => fields.description = value.rest().to_vec(),
                CHAIN => fields.chain = Some(Record::take(value)?),
                PATHS => fields.routes = Record::take(value)?,
                CREATED_AT => fields.created_s = <Tu64 as Record>::take(value)?.0,
                RELATIVE_EXPIRY => fields.expiry_s = <Tu32 as Record>::take(value)?.0,
                PAYMENT_HASH => fields.hash = Some(Record::take(value)?),
                AMOUNT => fields.amount = Some(<Tu64 as Record>::take(value)?.0),
                FEATURES => fields.features = value.rest().to_vec(),
                _ => return Ok(false),
            }
            Ok(true)
        })
        .ok()?;
        let amount = match fields.amount {
            None => None,
            Some(amount) => Some(Msat::new(amount)?),
        };
        Some(Bundle {
            chain: fields.chain?,
            description: String::from_utf8(fields.description).ok()?,
            routes: fields.routes,
            created_s: fields.created_s,
            expiry_s: fields.expiry_s,
            hash: fields.hash?,
            amount,
            features: Features::from_wire(fields.features),
        })
    }
}
