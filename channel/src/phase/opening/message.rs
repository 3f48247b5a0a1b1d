//! The messages of an open, from terms and back. BOLT 2 § Channel Establishment v1.

use secp256k1::PublicKey;
use wire::message::{AcceptChannel, OpenChannel};

use crate::keys::ChannelBasepoints;
use crate::terms::{AcceptTerms, OpenTerms, Params};

pub(super) fn open_channel(
    terms: &OpenTerms,
    keys: &ChannelBasepoints,
    point: PublicKey,
) -> OpenChannel {
    let params = &terms.params;
    OpenChannel {
        chain_hash: terms.chain_hash,
        temporary_channel_id: terms.temporary_channel_id,
        funding_satoshis: terms.capacity,
        push_msat: terms.push,
        dust_limit_satoshis: params.dust_limit,
        max_htlc_value_in_flight_msat: params.in_flight_max_msat,
        channel_reserve_satoshis: params.channel_reserve,
        htlc_minimum_msat: params.htlc_minimum,
        feerate_per_kw: terms.feerate,
        to_self_delay: params.to_self_delay,
        max_accepted_htlcs: params.accepted_htlcs_max,
        funding_pubkey: keys.funding,
        revocation_basepoint: keys.revocation,
        payment_basepoint: keys.payment,
        delayed_payment_basepoint: keys.delayed_payment,
        htlc_basepoint: keys.htlc,
        first_per_commitment_point: point,
        channel_flags: u8::from(terms.announce),
        // BOLT 2: "if it includes `open_channel_tlvs`: - MUST include `upfront_shutdown_script`."
        upfront_shutdown_script: Some(terms.upfront_shutdown.clone().unwrap_or_default()),
        channel_type: Some(terms.kind.channel_type()),
    }
}

pub(super) fn accept_channel(
    asked: &OpenChannel,
    terms: &AcceptTerms,
    keys: &ChannelBasepoints,
    point: PublicKey,
) -> AcceptChannel {
    let params = &terms.params;
    AcceptChannel {
        temporary_channel_id: asked.temporary_channel_id,
        dust_limit_satoshis: params.dust_limit,
        max_htlc_value_in_flight_msat: params.in_flight_max_msat,
        channel_reserve_satoshis: params.channel_reserve,
        htlc_minimum_msat: params.htlc_minimum,
        minimum_depth: terms.minimum_depth,
        to_self_delay: params.to_self_delay,
        max_accepted_htlcs: params.accepted_htlcs_max,
        funding_pubkey: keys.funding,
        revocation_basepoint: keys.revocation,
        payment_basepoint: keys.payment,
        delayed_payment_basepoint: keys.delayed_payment,
        htlc_basepoint: keys.htlc,
        first_per_commitment_point: point,
        upfront_shutdown_script: Some(terms.upfront_shutdown.clone().unwrap_or_default()),
        // BOLT 2: "MUST set `channel_type` to the `channel_type` from `open_channel`."
        channel_type: asked.channel_type.clone(),
    }
}

/// What the opener demands of us.
pub(super) const fn opener_params(asked: &OpenChannel) -> Params {
    Params {
        dust_limit: asked.dust_limit_satoshis,
        in_flight_max_msat: asked.max_htlc_value_in_flight_msat,
        channel_reserve: asked.channel_reserve_satoshis,
        htlc_minimum: asked.htlc_minimum_msat,
        to_self_delay: asked.to_self_delay,
        accepted_htlcs_max: asked.max_accepted_htlcs,
    }
}

/// What the accepter demands of us.
pub(super) const fn accepter_params(accepted: &AcceptChannel) -> Params {
    Params {
        dust_limit: accepted.dust_limit_satoshis,
        in_flight_max_msat: accepted.max_htlc_value_in_flight_msat,
        channel_reserve: accepted.channel_reserve_satoshis,
        htlc_minimum: accepted.htlc_minimum_msat,
        to_self_delay: accepted.to_self_delay,
        accepted_htlcs_max: accepted.max_accepted_htlcs,
    }
}

/// The opener's public keys.
pub(super) const fn opener_keys(asked: &OpenChannel) -> ChannelBasepoints {
    ChannelBasepoints {
        funding: asked.funding_pubkey,
        revocation: asked.revocation_basepoint,
        payment: asked.payment_basepoint,
        delayed_payment: asked.delayed_payment_basepoint,
        htlc: asked.htlc_basepoint,
    }
}

/// The accepter's public keys.
pub(super) const fn accepter_keys(accepted: &AcceptChannel) -> ChannelBasepoints {
    ChannelBasepoints {
        funding: accepted.funding_pubkey,
        revocation: accepted.revocation_basepoint,
        payment: accepted.payment_basepoint,
        delayed_payment: accepted.delayed_payment_basepoint,
        htlc: accepted.htlc_basepoint,
    }
}
