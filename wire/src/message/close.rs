//! Closing a channel together (BOLT 2 § Channel Close).
//!
//! Not here: which scripts may be used and how fees are agreed on (`channel::phase::closing`).

use bitcoin::ScriptBuf;

use crate::id::{ChannelId, Signature};
use crate::units::Sat;

messages! {
    /// No more HTLCs: from here on the channel only settles. BOLT 2 § Closing Initiation.
    38 "shutdown" => Shutdown {
        channel_id: ChannelId,
        scriptpubkey: ScriptBuf,
    }

    /// Offers a fee and a signature for the closing transaction. BOLT 2 § Legacy Closing Negotiation.
    39 "closing_signed" => ClosingSigned {
        channel_id: ChannelId,
        fee_satoshis: Sat,
        signature: Signature,
    } + tlvs {
        1 => fee_range: FeeRange,
    }

    /// Signs the sender's own closing transaction, for which it pays. BOLT 2 § Closing Negotiation.
    40 "closing_complete" => ClosingComplete {
        channel_id: ChannelId,
        closer_scriptpubkey: ScriptBuf,
        closee_scriptpubkey: ScriptBuf,
        fee_satoshis: Sat,
        locktime: u32,
    } + tlvs {
        1 => closer_output_only: Signature,
        2 => closee_output_only: Signature,
        3 => closer_and_closee_outputs: Signature,
    }

    /// Signs the receiver's closing transaction, with exactly one of its signatures answered. BOLT 2 § Closing Negotiation.
    41 "closing_sig" => ClosingSig {
        channel_id: ChannelId,
        closer_scriptpubkey: ScriptBuf,
        closee_scriptpubkey: ScriptBuf,
        fee_satoshis: Sat,
        locktime: u32,
    } + tlvs {
        1 => closer_output_only: Signature,
        2 => closee_output_only: Signature,
        3 => closer_and_closee_outputs: Signature,
    }
}

subtypes! {
    /// The fees the sender of a `closing_signed` would agree to. BOLT 2 § Legacy Closing Negotiation.
    FeeRange {
        /// The least, inclusive. A limit, not an amount.
        min_fee_satoshis: u64,
        /// The most, inclusive. A limit, not an amount: some send more than there is.
        max_fee_satoshis: u64,
    }
}
