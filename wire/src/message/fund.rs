//! Building a funding transaction together: two funders, splices, quiescence (BOLT 2 § Interactive
//! Transaction Construction, § Channel Establishment v2, § Channel Splicing).
//!
//! Not here: what the transaction must look like (`channel::phase`).

use bitcoin::{ScriptBuf, Txid};
use secp256k1::PublicKey;

use crate::feature::Features;
use crate::id::{ChannelId, Signature};
use crate::units::{FeeratePerKw, Msat, Sat};

messages! {
    /// Asks for a channel that both may fund. BOLT 2 § The `open_channel2` Message.
    64 "open_channel2" => OpenChannel2 {
        chain_hash: [u8; 32],
        temporary_channel_id: ChannelId,
        funding_feerate_perkw: FeeratePerKw,
        commitment_feerate_perkw: FeeratePerKw,
        funding_satoshis: Sat,
        dust_limit_satoshis: Sat,
        /// A limit, not an amount: it may exceed every bitcoin there is.
        max_htlc_value_in_flight_msat: u64,
        htlc_minimum_msat: Msat,
        /// In blocks.
        to_self_delay: u16,
        max_accepted_htlcs: u16,
        locktime: u32,
        funding_pubkey: PublicKey,
        revocation_basepoint: PublicKey,
        payment_basepoint: PublicKey,
        delayed_payment_basepoint: PublicKey,
        htlc_basepoint: PublicKey,
        first_per_commitment_point: PublicKey,
        second_per_commitment_point: PublicKey,
        /// Bit 0 is `announce_channel`.
        channel_flags: u8,
    } + tlvs {
        /// Empty for none.
        0 => upfront_shutdown_script: ScriptBuf,
        1 => channel_type: Features,
        2 => require_confirmed_inputs: (),
    }

    /// Agrees to a channel and says what the accepter adds. BOLT 2 § The `accept_channel2` Message.
    65 "accept_channel2" => AcceptChannel2 {
        temporary_channel_id: ChannelId,
        funding_satoshis: Sat,
        dust_limit_satoshis: Sat,
        /// A limit, not an amount: it may exceed every bitcoin there is.
        max_htlc_value_in_flight_msat: u64,
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
        second_per_commitment_point: PublicKey,
    } + tlvs {
        /// Empty for none.
        0 => upfront_shutdown_script: ScriptBuf,
        1 => channel_type: Features,
        2 => require_confirmed_inputs: (),
    }

    /// Adds an input. BOLT 2 § The `tx_add_input` Message.
    66 "tx_add_input" => TxAddInput {
        channel_id: ChannelId,
        serial_id: u64,
        /// The whole transaction that is spent; empty for the shared input of a splice.
        prevtx: Vec<u8>,
        prevtx_vout: u32,
        sequence: u32,
    } + tlvs {
        /// The funding transaction that a splice spends (record `shared_input_txid`).
        0 => shared_input_txid: Txid,
    }

    /// Adds an output. BOLT 2 § The `tx_add_output` Message.
    67 "tx_add_output" => TxAddOutput {
        channel_id: ChannelId,
        serial_id: u64,
        sats: Sat,
        script: ScriptBuf,
    }

    /// Takes an input out again. BOLT 2 § The `tx_remove_input` and `tx_remove_output` Messages.
    68 "tx_remove_input" => TxRemoveInput {
        channel_id: ChannelId,
        serial_id: u64,
    }

    /// Takes an output out again. BOLT 2 § The `tx_remove_input` and `tx_remove_output` Messages.
    69 "tx_remove_output" => TxRemoveOutput {
        channel_id: ChannelId,
        serial_id: u64,
    }

    /// Nothing to add. BOLT 2 § The `tx_complete` Message.
    70 "tx_complete" => TxComplete {
        channel_id: ChannelId,
    }

    /// Witnesses for the sender's inputs, in order of `serial_id`. BOLT 2 § The `tx_signatures` Message.
    71 "tx_signatures" => TxSignatures {
        channel_id: ChannelId,
        txid: Txid,
        /// Each as Bitcoin serialises a witness.
        witnesses: Vec<Vec<u8>>,
    } + tlvs {
        /// For the shared input of a splice.
        0 => shared_input_signature: Signature,
    }

    /// Asks for a replacement at a higher feerate. BOLT 2 § The `tx_init_rbf` Message.
    72 "tx_init_rbf" => TxInitRbf {
        channel_id: ChannelId,
        locktime: u32,
        feerate: FeeratePerKw,
    } + tlvs {
        /// In satoshis; negative when money leaves a spliced channel.
        0 => funding_output_contribution: i64,
        2 => require_confirmed_inputs: (),
    }

    /// Agrees to a replacement. BOLT 2 § The `tx_ack_rbf` Message.
    73 "tx_ack_rbf" => TxAckRbf {
        channel_id: ChannelId,
    } + tlvs {
        /// In satoshis; negative when money leaves a spliced channel.
        0 => funding_output_contribution: i64,
        2 => require_confirmed_inputs: (),
    }

    /// Gives this transaction up, and is echoed once. BOLT 2 § The `tx_abort` Message.
    74 "tx_abort" => TxAbort {
        channel_id: ChannelId,
        data: Vec<u8>,
    }

    /// Something fundamental is under way: no more updates. BOLT 2 § Channel Quiescence.
    2 "stfu" => Stfu {
        channel_id: ChannelId,
        /// 1 if the sender asked first, 0 if it answers.
        initiator: u8,
    }

    /// Asks to replace the funding output. BOLT 2 § The `splice_init` Message.
    80 "splice_init" => SpliceInit {
        channel_id: ChannelId,
        /// How the sender's balance changes, in satoshis.
        funding_contribution_satoshis: i64,
        funding_feerate_perkw: FeeratePerKw,
        locktime: u32,
        funding_pubkey: PublicKey,
    } + tlvs {
        2 => require_confirmed_inputs: (),
    }

    /// Agrees to replace the funding output. BOLT 2 § The `splice_ack` Message.
    81 "splice_ack" => SpliceAck {
        channel_id: ChannelId,
        /// How the sender's balance changes, in satoshis.
        funding_contribution_satoshis: i64,
        funding_pubkey: PublicKey,
    } + tlvs {
        2 => require_confirmed_inputs: (),
    }

    /// The new funding is deep enough. BOLT 2 § The `splice_locked` Message.
    77 "splice_locked" => SpliceLocked {
        channel_id: ChannelId,
        splice_txid: Txid,
    }

    /// The next messages are one: one for each funding. BOLT 2 § Batching channel messages.
    127 "start_batch" => StartBatch {
        channel_id: ChannelId,
        batch_size: u16,
    } + tlvs {
        /// The type number of the messages in the batch.
        1 => message_type: u16,
    }
}
