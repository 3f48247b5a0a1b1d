//! The bodies of facts about invoices that wait for a word, and what invoices looked like before there were any.
//!
//! An invoice is held by exactly the HTLCs that its fact names: after a restart they count whatever height and date say,
//! and no other does.

use wire::codec::{Decode, DecodeError, Encode, Reader};
use wire::id::{PaymentHash, PaymentSecret, Preimage};
use wire::units::{BlockHeight, Msat};

use super::body::{InvoiceCancelled, InvoiceMade, Text, bodies};

bodies! {
    /// All of an invoice that is to be held is here: it waits to be settled or cancelled.
    InvoiceHeld {
        /// Which invoice.
        payment_hash: PaymentHash,
        /// What is here.
        received: Msat,
        /// The lowest expiry among its HTLCs.
        expiry: BlockHeight,
        /// The HTLCs that carry it, by channel index and the peer's id.
        parts: Vec<(u64, u64)>,
        /// The best chain's height.
        height: BlockHeight,
        /// When, Unix milliseconds.
        at_ms: u64,
    }

    /// Whoever asked for an invoice by its hash alone brought the preimage: said in the record that settles it.
    PreimageGiven {
        /// Which invoice.
        payment_hash: PaymentHash,
        /// Proves the payment.
        preimage: Preimage,
        /// When, Unix milliseconds.
        at_ms: u64,
    }

    /// [`InvoiceMade`], version 1.
    InvoiceMadeV1 {
        /// Proves the payment; its hash names the invoice.
        preimage: Preimage,
        /// Proves to us that the payer has the invoice.
        payment_secret: PaymentSecret,
        /// What is asked for; none leaves it to the payer.
        amount: Option<Msat>,
        /// The invoice.
        bolt11: Text,
        /// What it is for; empty if a hash stands for it.
        description: Text,
        /// The hash of what it is for.
        description_hash: Option<[u8; 32]>,
        /// When it was made, Unix milliseconds.
        created_ms: u64,
        /// From when on nobody can pay it, Unix milliseconds.
        expires_ms: u64,
        /// Blocks the last HTLC must leave us.
        min_final_cltv_delta: u16,
    }

    /// [`InvoiceCancelled`], version 1.
    InvoiceCancelledV1 {
        /// Which.
        payment_hash: PaymentHash,
        /// When, Unix milliseconds.
        at_ms: u64,
    }
}

impl From<InvoiceMadeV1> for InvoiceMade {
    fn from(made: InvoiceMadeV1) -> Self {
        Self {
            payment_hash: made.preimage.hash(),
            preimage: Some(made.preimage),
            hold: false,
            payment_secret: made.payment_secret,
            metadata: None,
            amount: made.amount,
            bolt11: made.bolt11,
            description: made.description,
            description_hash: made.description_hash,
            created_ms: made.created_ms,
            expires_ms: made.expires_ms,
            min_final_cltv_delta: made.min_final_cltv_delta,
        }
    }
}

impl From<InvoiceCancelledV1> for InvoiceCancelled {
    fn from(cancelled: InvoiceCancelledV1) -> Self {
        let InvoiceCancelledV1 { payment_hash, at_ms } = cancelled;
        Self { payment_hash, why: CancelReason::Asked, at_ms }
    }
}

/// Why an invoice was taken back.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CancelReason {
    /// Somebody wished it.
    Asked,
    /// It was held until an HTLC came too near to its expiry.
    NearExpiry {
        /// The best chain's height then.
        height: BlockHeight,
    },
}

impl core::fmt::Display for CancelReason {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Asked => f.write_str("it was asked for"),
            Self::NearExpiry { height } => {
                write!(
                    f,
                    "nobody settled it before its HTLCs came near to their expiry, at height {}",
                    height.0
                )
            }
        }
    }
}

impl Encode for CancelReason {
    fn encode(&self, out: &mut Vec<u8>) {
        let (kind, height): (u8, BlockHeight) = match self {
            Self::Asked => (0, BlockHeight(0)),
            Self::NearExpiry { height } => (1, *height),
        };
        kind.encode(out);
        height.encode(out);
    }
}

impl Decode for CancelReason {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (kind, height) = (u8::decode(r)?, BlockHeight::decode(r)?);
        match kind {
            0 => Ok(Self::Asked),
            1 => Ok(Self::NearExpiry { height }),
            _ => Err(DecodeError::Range),
        }
    }
}
