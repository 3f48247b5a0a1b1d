//! The terms of a channel, which never change, and how it was created.

use bitcoin::{OutPoint, Transaction};
use wire::codec::{Decode, DecodeError, Encode, Reader};

use super::layout::{fields, put_tx, take_tx};
use crate::fact::{Created, Restored};
use crate::keys::ChannelBasepoints;
use crate::terms::{Kind, Params, Terms};

fields! {
    Params {
        dust_limit, in_flight_max_msat, channel_reserve, htlc_minimum, to_self_delay,
        accepted_htlcs_max,
    }
    ChannelBasepoints { funding, revocation, payment, delayed_payment, htlc }
    Kind { scid_alias, zero_conf }
    Restored { terms, funding, created }
}

/// Without its kind, which is written beside the terms of those channels that have one.
impl Encode for Terms {
    fn encode(&self, out: &mut Vec<u8>) {
        self.funder.encode(out);
        self.announce.encode(out);
        self.capacity.encode(out);
        self.push.encode(out);
        self.first_feerate.encode(out);
        self.minimum_depth.encode(out);
        self.us.encode(out);
        self.them.encode(out);
        self.our_keys.encode(out);
        self.their_keys.encode(out);
        self.our_upfront_shutdown.encode(out);
        self.their_upfront_shutdown.encode(out);
        self.shutdown_script.encode(out);
        self.alias.encode(out);
    }
}

impl Decode for Terms {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            funder: Decode::decode(r)?,
            announce: Decode::decode(r)?,
            kind: Kind::default(),
            capacity: Decode::decode(r)?,
            push: Decode::decode(r)?,
            first_feerate: Decode::decode(r)?,
            minimum_depth: Decode::decode(r)?,
            us: Decode::decode(r)?,
            them: Decode::decode(r)?,
            our_keys: Decode::decode(r)?,
            their_keys: Decode::decode(r)?,
            our_upfront_shutdown: Decode::decode(r)?,
            their_upfront_shutdown: Decode::decode(r)?,
            shutdown_script: Decode::decode(r)?,
            alias: Decode::decode(r)?,
        })
    }
}

impl Encode for Created {
    fn encode(&self, out: &mut Vec<u8>) {
        self.terms.encode(out);
        self.funding.encode(out);
        put_optional_tx(self.funding_tx.as_ref(), out);
        self.signature.encode(out);
        self.first_point.encode(out);
        self.height.encode(out);
    }
}

impl Decode for Created {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            terms: Terms::decode(r)?,
            funding: OutPoint::decode(r)?,
            funding_tx: take_optional_tx(r)?,
            signature: Decode::decode(r)?,
            first_point: Decode::decode(r)?,
            height: Decode::decode(r)?,
        })
    }
}

/// A transaction or its absence.
pub(super) fn put_optional_tx(tx: Option<&Transaction>, out: &mut Vec<u8>) {
    tx.is_some().encode(out);
    if let Some(tx) = tx {
        put_tx(tx, out);
    }
}

/// Reads what [`put_optional_tx`] wrote.
pub(super) fn take_optional_tx(r: &mut Reader<'_>) -> Result<Option<Transaction>, DecodeError> {
    bool::decode(r)?.then(|| take_tx(r)).transpose()
}
