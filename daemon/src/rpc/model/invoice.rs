//! Invoices: payments we ask for (BOLT 11).

use bitcoin::Network;
use wire::feature::Features;
use wire::id::{NodeId, PaymentHash, Preimage};
use wire::units::{BlockHeight, Msat};

use super::payment::Payment;
use super::{OrderKey, UnixMillis};
use crate::fact::CancelReason;

/// What an invoice says it is for (BOLT 11, fields `d` and `h`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Description {
    /// The text itself: at most 639 bytes.
    Text(String),
    /// The SHA-256 of a text the payer has from elsewhere.
    Hash([u8; 32]),
}

impl Default for Description {
    fn default() -> Self {
        Self::Text(String::new())
    }
}

/// Asks for an invoice.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CreateInvoice {
    /// So that it is made once.
    pub key: Option<OrderKey>,
    /// How much; `None`: the payer decides.
    pub amount: Option<Msat>,
    /// What for.
    pub description: Description,
    /// How long it can be paid, in seconds; `None`: 3600 (BOLT 11).
    pub expiry_s: Option<u32>,
    /// The delay we want at the end, in blocks; `None`: our policy.
    pub min_final_cltv_delta: Option<u16>,
    /// Whether it is to lead to us by blinded routes, without our name.
    pub blinded: bool,
    /// Whether it waits for a word once all of it is here.
    pub hold: bool,
    /// Its hash, if whoever asks for it keeps the preimage; such an invoice is always held.
    pub hash: Option<PaymentHash>,
    /// What every part has to bring back (BOLT 11, field `m`).
    pub metadata: Option<Vec<u8>>,
}

/// What settles an invoice that is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Receipt {
    /// The preimage, which names the invoice, too.
    Preimage(Preimage),
    /// The invoice's hash: we made the preimage ourselves.
    Ours(PaymentHash),
}

/// How an invoice stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvoiceState {
    /// Can be paid.
    Open,
    /// HTLCs for it are here, not all of the amount, or not irrevocable yet.
    Accepted,
    /// All of it is here and waits to be settled or cancelled.
    Held {
        /// What is here.
        received: Msat,
        /// Since when.
        at: UnixMillis,
        /// At this height it is given back.
        until: BlockHeight,
    },
    /// Paid.
    Settled {
        /// What arrived.
        received: Msat,
        /// When.
        at: UnixMillis,
    },
    /// Its time ran out unpaid.
    Expired,
    /// We took it back.
    Cancelled {
        /// Why.
        why: CancelReason,
    },
}

impl InvoiceState {
    /// The word for it.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Accepted => "being paid",
            Self::Held { .. } => "held",
            Self::Settled { .. } => "settled",
            Self::Expired => "expired",
            Self::Cancelled { .. } => "cancelled",
        }
    }
}

/// A snapshot of an invoice of ours.
#[derive(Clone, PartialEq, Eq)]
pub struct Invoice {
    /// Its position in the list, rising, never re-used.
    pub index: u64,
    /// Its id.
    pub hash: PaymentHash,
    /// The BOLT 11 string to hand to the payer.
    pub bolt11: String,
    /// How much; `None`: the payer decides.
    pub amount: Option<Msat>,
    /// What for.
    pub description: Description,
    /// Whether it waits for a word once all of it is here.
    pub hold: bool,
    /// How it stands.
    pub state: InvoiceState,
    /// The preimage, as soon as we know it; shown by the API only once the invoice is settled.
    pub preimage: Option<Preimage>,
    /// When it was made.
    pub created: UnixMillis,
    /// Until when it can be paid.
    pub expires: UnixMillis,
}

impl core::fmt::Debug for Invoice {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        // The preimage of an unpaid invoice is money.
        f.debug_struct("Invoice")
            .field("index", &self.index)
            .field("hash", &self.hash)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

impl Invoice {
    /// Whether the snapshot is the last one.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        match self.state {
            InvoiceState::Open | InvoiceState::Accepted | InvoiceState::Held { .. } => false,
            InvoiceState::Settled { .. }
            | InvoiceState::Expired
            | InvoiceState::Cancelled { .. } => true,
        }
    }
}

/// Which invoices to list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct InvoiceFilter {
    /// Those that can be paid.
    pub open: bool,
    /// Those being paid.
    pub accepted: bool,
    /// Those that wait for a word.
    pub held: bool,
    /// Those that are paid.
    pub settled: bool,
    /// Those whose time is over.
    pub expired: bool,
    /// Those we took back.
    pub cancelled: bool,
}

impl InvoiceFilter {
    /// Whether an invoice passes; a filter that names nothing lets everything pass.
    #[must_use]
    pub fn passes(&self, state: &InvoiceState) -> bool {
        *self == Self::default()
            || match state {
                InvoiceState::Open => self.open,
                InvoiceState::Accepted => self.accepted,
                InvoiceState::Held { .. } => self.held,
                InvoiceState::Settled { .. } => self.settled,
                InvoiceState::Expired => self.expired,
                InvoiceState::Cancelled { .. } => self.cancelled,
            }
    }
}

/// What somebody's invoice says.
#[derive(Debug, Clone)]
pub struct DecodedInvoice {
    /// The payment hash.
    pub hash: PaymentHash,
    /// Who is paid.
    pub payee: NodeId,
    /// The network it is for.
    pub network: Network,
    /// How much; `None`: the payer decides.
    pub amount: Option<Msat>,
    /// What for.
    pub description: Description,
    /// The delay the last hop wants, in blocks.
    pub min_final_cltv_delta: u32,
    /// When it was made.
    pub created: UnixMillis,
    /// Until when it can be paid.
    pub expires: UnixMillis,
    /// Whether that is over.
    pub expired: bool,
    /// Whether we made it.
    pub ours: bool,
    /// Our payment for it, if there ever was one.
    pub payment: Option<Payment>,
    /// What it asks for (BOLT 9).
    pub features: Features,
    /// What every part has to bring back (BOLT 11, field `m`).
    pub metadata: Option<Vec<u8>>,
}
