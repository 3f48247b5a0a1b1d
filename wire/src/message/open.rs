//! Opening a channel with one funder (BOLT 2 § Channel Establishment v1).
//!
//! Not here: what the values must be (`channel::phase::opening`), two funders ([`super::fund`]).

use bitcoin::{ScriptBuf, Txid};
use secp256k1::PublicKey;

use crate::feature::Features;
use crate::id::{ChannelId, ShortChannelId, Signature};
use crate::units::{FeeratePerKw, Msat, Sat};

messages! {
    /// Asks for a channel and says its terms. BOLT 2 § The `open_channel` Message.
    32 "open_channel" => OpenChannel {
        chain_hash: [u8; 32],
        temporary_channel_id: ChannelId,
        funding_satoshis: Sat,
        /// What the funder gives away at once.
        push_msat: Msat,
        dust_limit_satoshis: Sat,
        /// A limit, not an amount: it may exceed every bitcoin there is.
        max_htlc_value_in_flight_msat: u64,
        channel_reserve_satoshis: Sat,
        htlc_minimum_msat: Msat,
        feerate_per_kw: FeeratePerKw,
        /// In blocks.
        to_self_delay: u16,
        max_accepted_htlcs: u16,
        funding_pubkey: PublicKey,
        revocation_basepoint: PublicKey,
        payment_basepoint: PublicKey,
        delayed_payment_basepoint: PublicKey,
        htlc_basepoint: PublicKey,
        first_per_commitment_point: PublicKey,
        /// Bit 0 is `announce_channel`.
        channel_flags: u8,
    } + tlvs {
        /// Empty for none.
        0 => upfront_shutdown_script: ScriptBuf,
        1 => channel_type: Features,
    }

    /// Agrees to a channel and says the other side's terms. BOLT 2 § The `accept_channel` Message.
    33 "accept_channel" => AcceptChannel {
        temporary_channel_id: ChannelId,
        dust_limit_satoshis: Sat,
        /// A limit, not an amount: it may exceed every bitcoin there is.
        max_htlc_value_in_flight_msat: u64,
        channel_reserve_satoshis: Sat,
        htlc_minimum_msat: Msat,
        /// In confirmations.
        minimum_depth: u32,
        /// In blocks.
        to_self_delay: u16,
        max_accepted_htlcs: u16,
        funding_pubkey: PublicKey,
        revocation_basepoint: PublicKey,
        payment_basepoint: PublicKey,
        delayed_payment_basepoint: PublicKey,
        htlc_basepoint: PublicKey,
        first_per_commitment_point: PublicKey,
    } + tlvs {
        /// Empty for none.
        0 => upfront_shutdown_script: ScriptBuf,
        1 => channel_type: Features,
    }

    /// Names the funding output and signs the fundee's first commitment. BOLT 2 § The `funding_created` Message.
    34 "funding_created" => FundingCreated {
        temporary_channel_id: ChannelId,
        funding_txid: Txid,
        funding_output_index: u16,
        signature: Signature,
    }

    /// Signs the funder's first commitment: now the funding may be published. BOLT 2 § The `funding_signed` Message.
    35 "funding_signed" => FundingSigned {
        channel_id: ChannelId,
        signature: Signature,
    }

    /// The funding is deep enough to pay. May come again with another alias. BOLT 2 § The `channel_ready` Message.
    36 "channel_ready" => ChannelReady {
        channel_id: ChannelId,
        second_per_commitment_point: PublicKey,
    } + tlvs {
        /// The alias that the sender accepts as `short_channel_id`.
        1 => short_channel_id: ShortChannelId,
    }
}
