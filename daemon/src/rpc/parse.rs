//! From what a client wrote to what a node understands: each function refuses by the field's name.

use core::str::FromStr;

use api::v1::Order as WireOrder;
use bitcoin::hashes::{Hash as _, sha256};
use bitcoin::hex::{DisplayHex as _, FromHex as _};
use bitcoin::{Address, Amount, Txid};
use prost::Message;
use secp256k1::PublicKey;
use wire::id::{ChannelId, NodeId, PaymentHash, ShortChannelId};
use wire::units::{FeeratePerKw, Msat};

use super::model::OrderKey;
use super::model::channel::ChannelRef;
use super::model::page::{Order, Page};
use super::refusal::Refusal;
use crate::config::Network;

/// The longest idempotency key, in characters.
const KEY_LEN_MAX: usize = 128;

/// Satoshi per virtual byte to satoshi per 1000 weight: four weight units are one virtual byte.
const KW_PER_VB: u64 = 250;

/// The highest feerate that can be asked for, in satoshi per virtual byte.
const SAT_PER_VB_MAX: u64 = 1_000;

pub(super) fn node_id(field: &'static str, text: &str) -> Result<NodeId, Refusal> {
    if text.is_empty() {
        return Err(Refusal::Missing { field });
    }
    let why = "not a node id: a public key of 33 bytes as hex";
    let id = NodeId::from_str(text).map_err(|_| Refusal::Malformed { field, why })?;
    PublicKey::from_slice(id.as_bytes()).map_err(|_| Refusal::Malformed { field, why })?;
    Ok(id)
}

pub(super) fn payment_hash(text: &str) -> Result<PaymentHash, Refusal> {
    let field = "payment_hash";
    if text.is_empty() {
        return Err(Refusal::Missing { field });
    }
    let why = "not a payment hash: 32 bytes as hex";
    PaymentHash::from_str(text).map_err(|_| Refusal::Malformed { field, why })
}

pub(super) fn channel(text: &str) -> Result<ChannelRef, Refusal> {
    let field = "channel_id";
    if text.is_empty() {
        return Err(Refusal::Missing { field });
    }
    let why = "neither a channel id (32 bytes as hex) nor a short channel id (as 101x1x0)";
    if text.contains('x') {
        let short = ShortChannelId::from_str(text);
        return short.map(ChannelRef::Short).map_err(|_| Refusal::Malformed { field, why });
    }
    ChannelId::from_str(text).map(ChannelRef::Id).map_err(|_| Refusal::Malformed { field, why })
}

pub(super) fn txid(field: &'static str, text: &str) -> Result<Txid, Refusal> {
    if text.is_empty() {
        return Err(Refusal::Missing { field });
    }
    let why = "not a transaction id: 32 bytes as hex";
    Txid::from_str(text).map_err(|_| Refusal::Malformed { field, why })
}

pub(super) fn hash32(field: &'static str, text: &str) -> Result<[u8; 32], Refusal> {
    <[u8; 32]>::from_hex(text).map_err(|_| Refusal::Malformed { field, why: "not 32 bytes as hex" })
}

pub(super) fn msat(field: &'static str, raw: u64) -> Result<Msat, Refusal> {
    let max = Msat::MAX.to_u64();
    Msat::new(raw).ok_or(Refusal::OutOfRange { field, given: raw, min: 0, max, unit: "msat" })
}

/// An amount that must be more than nothing.
pub(super) fn some_msat(field: &'static str, raw: u64) -> Result<Msat, Refusal> {
    let max = Msat::MAX.to_u64();
    match Msat::new(raw) {
        Some(amount) if !amount.is_zero() => Ok(amount),
        _ => Err(Refusal::OutOfRange { field, given: raw, min: 1, max, unit: "msat" }),
    }
}

/// An amount that must be more than nothing.
pub(super) fn some_sat(field: &'static str, raw: u64) -> Result<Amount, Refusal> {
    let max = Amount::MAX_MONEY.to_sat();
    if (1..=max).contains(&raw) {
        return Ok(Amount::from_sat(raw));
    }
    Err(Refusal::OutOfRange { field, given: raw, min: 1, max, unit: "sat" })
}

pub(super) fn within(
    field: &'static str,
    given: u64,
    min: u64,
    max: u64,
    unit: &'static str,
) -> Result<u64, Refusal> {
    if (min..=max).contains(&given) {
        Ok(given)
    } else {
        Err(Refusal::OutOfRange { field, given, min, max, unit })
    }
}

/// The feerate in the protocol's unit, never below what the network relays.
pub(super) fn feerate(raw: Option<u64>) -> Result<Option<FeeratePerKw>, Refusal> {
    let Some(given) = raw else { return Ok(None) };
    let field = "feerate_sat_per_vb";
    let per_vb = within(field, given, 1, SAT_PER_VB_MAX, "sat/vB")?;
    let per_kw = u32::try_from(per_vb.saturating_mul(KW_PER_VB)).unwrap_or(u32::MAX);
    Ok(Some(FeeratePerKw(per_kw).max(FeeratePerKw::FLOOR)))
}

/// The feerate in the user's unit, rounded up.
pub(super) fn per_vb(feerate: FeeratePerKw) -> u64 {
    u64::from(feerate.0).div_ceil(KW_PER_VB)
}

pub(super) fn address(text: &str, network: Network) -> Result<Address, Refusal> {
    if text.is_empty() {
        return Err(Refusal::Missing { field: "address" });
    }
    let shown: String = text.chars().take(120).collect();
    let Ok(address) = Address::from_str(text) else {
        return Err(Refusal::BadAddress { address: shown });
    };
    address
        .require_network(network.params())
        .map_err(|_| Refusal::AddressWrongNetwork { address: shown, network: network.params() })
}

/// `host:port`, the host being a name or an address (IPv6 in brackets).
pub(super) fn host(text: Option<String>) -> Result<Option<String>, Refusal> {
    let Some(text) = text else { return Ok(None) };
    let good = text.rsplit_once(':').is_some_and(|(host, port)| {
        let bracketed = host.starts_with('[') && host.ends_with(']');
        !host.is_empty()
            && host.len() <= 255
            && (bracketed || !host.contains(':'))
            && host.chars().all(|c| c.is_ascii_graphic())
            && port.parse::<u16>().is_ok_and(|port| port > 0)
    });
    if good {
        return Ok(Some(text));
    }
    let why = "not host:port, as in 127.0.0.1:9735";
    Err(Refusal::Malformed { field: "address", why })
}

/// `host:port`, which must be there.
pub(super) fn host_and_port(text: &str) -> Result<String, Refusal> {
    let there = (!text.is_empty()).then(|| text.to_owned());
    host(there)?.ok_or(Refusal::Missing { field: "address" })
}

/// The idempotency key of a request with the digest of all the rest of it.
pub(super) fn order_key<M: Message>(
    method: &'static str,
    key: String,
    rest: &M,
) -> Result<Option<OrderKey>, Refusal> {
    if key.is_empty() {
        return Ok(None);
    }
    if key.chars().count() > KEY_LEN_MAX {
        let why = "longer than 128 characters";
        return Err(Refusal::Malformed { field: "idempotency_key", why });
    }
    Ok(Some(OrderKey { word: key, digest: digest(method, rest) }))
}

fn digest<M: Message>(method: &'static str, rest: &M) -> [u8; 32] {
    let mut bytes = method.as_bytes().to_vec();
    bytes.push(0);
    bytes.extend_from_slice(&rest.encode_to_vec());
    sha256::Hash::hash(&bytes).to_byte_array()
}

/// The three fields that every list request has.
#[derive(Debug)]
pub(super) struct Paging {
    pub(super) size: u32,
    pub(super) token: String,
    pub(super) order: i32,
}

/// Which page is wanted, and how the token for the next one is made.
#[derive(Debug)]
pub(super) struct Pager {
    pub(super) page: Page,
    stamp: [u8; 8],
}

impl Pager {
    /// `rest` is the request without its page fields: a token is good for the same question only.
    pub(super) fn new<M: Message>(
        method: &'static str,
        paging: &Paging,
        rest: &M,
    ) -> Result<Self, Refusal> {
        let size = match paging.size {
            0 => Page::SIZE_DEFAULT,
            size if size <= Page::SIZE_MAX => size,
            size => {
                let max = u64::from(Page::SIZE_MAX);
                let given = u64::from(size);
                let field = "page_size";
                return Err(Refusal::OutOfRange { field, given, min: 0, max, unit: "entries" });
            }
        };
        let order = match WireOrder::try_from(paging.order) {
            Ok(WireOrder::Unspecified | WireOrder::NewestFirst) => Order::NewestFirst,
            Ok(WireOrder::OldestFirst) => Order::OldestFirst,
            Err(_) => return Err(Refusal::Malformed { field: "order", why: "unknown order" }),
        };
        let mut digest = digest(method, rest);
        if order == Order::OldestFirst {
            digest.reverse();
        }
        let stamp = digest.first_chunk().copied().unwrap_or_default();
        let after = if paging.token.is_empty() {
            None
        } else {
            let bytes = <[u8; 16]>::from_hex(&paging.token).map_err(|_| Refusal::BadPageToken)?;
            let (after, of) = bytes.split_at(8);
            let after = <[u8; 8]>::try_from(after).map_err(|_| Refusal::BadPageToken)?;
            if of != stamp {
                return Err(Refusal::BadPageToken);
            }
            Some(u64::from_be_bytes(after))
        };
        Ok(Self { page: Page { size, after, order }, stamp })
    }

    /// The token of the next page; empty after the last one.
    pub(super) fn token(&self, next: Option<u64>) -> String {
        next.map_or_else(String::new, |after| {
            let mut bytes = after.to_be_bytes().to_vec();
            bytes.extend_from_slice(&self.stamp);
            bytes.to_lower_hex_string()
        })
    }
}
