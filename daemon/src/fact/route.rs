//! The bodies of facts about the ways that payments take, version 1.
//!
//! They lie beside `PaymentTried`: a part without one goes straight to the payee.

use wire::codec::{Decode, DecodeError, Encode, Reader};
use wire::id::{NodeId, PaymentHash, Preimage, ShortChannelId};
use wire::units::{BlockHeight, Msat};

use super::body::{Text, bodies};

bodies! {
    /// One HTLC of a part's way.
    HopTaken {
        /// Who receives it.
        node: NodeId,
        /// Over which channel.
        channel: ShortChannelId,
        /// Its amount.
        amount: Msat,
        /// The height at which it can be taken back.
        cltv_expiry: BlockHeight,
    }

    /// The way of a part: enough to read its failure, and to learn from it, after a restart.
    RouteTaken {
        /// Which payment.
        payment_hash: PaymentHash,
        /// Which part.
        part: u32,
        /// What of it is to arrive.
        delivered: Msat,
        /// Its HTLCs, ours first.
        hops: Vec<HopTaken>,
    }

    /// What a payment may do that its invoice does not say, where that is not the usual.
    PaymentMeans {
        /// Which payment.
        payment_hash: PaymentHash,
        /// From when on no new part is sent, Unix milliseconds.
        deadline_ms: u64,
        /// The most parts at a time.
        max_parts: u16,
        /// The most blocks that its HTLCs may be locked.
        cltv_limit: u32,
        /// What a payment without an invoice gives with it.
        keysend: Option<Preimage>,
    }

    /// How long the nodes on a part's way say that they held it, as far as that is proven. BOLT 4 § attribution data.
    PartHeld {
        /// Which payment.
        payment_hash: PaymentHash,
        /// Which part.
        part: u32,
        /// For each node, the first first, in units of 100 ms.
        times: Vec<u32>,
    }

    /// No way was left for what of a payment had not arrived.
    NoWayLeft {
        /// Which payment.
        payment_hash: PaymentHash,
        /// For how much a way was looked for.
        amount: Msat,
        /// What stands in the way.
        words: Text,
        /// When, Unix milliseconds.
        at_ms: u64,
    }
}
