//! The bodies of facts, version 1. Frozen once released: a new field means a new version.

use bitcoin::consensus::encode as consensus;
use bitcoin::{OutPoint, Transaction, Txid};
use wire::codec::{Decode, DecodeError, Encode, Reader};
use wire::id::{NodeId, PaymentHash, PaymentSecret, Preimage};
use wire::units::Msat;

/// A string of at most 65,535 bytes.
#[derive(Clone, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Text(pub String);

impl Encode for Text {
    fn encode(&self, out: &mut Vec<u8>) {
        let mut end = self.0.len().min(usize::from(u16::MAX));
        while !self.0.is_char_boundary(end) {
            end = end.saturating_sub(1);
        }
        let cut = self.0.get(..end).unwrap_or_default();
        u16::try_from(cut.len()).unwrap_or(0).encode(out);
        out.extend_from_slice(cut.as_bytes());
    }
}

impl Decode for Text {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let bytes = Vec::<u8>::decode(r)?;
        String::from_utf8(bytes).map(Self).map_err(|_| DecodeError::NotCanonical)
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

macro_rules! bodies {
    ($( $(#[$doc:meta])* $name:ident { $( $(#[$field_doc:meta])* $field:ident : $kind:ty, )* } )*) => { $(
        $(#[$doc])*
        #[derive(Clone, Debug, Eq, PartialEq)]
        pub struct $name {
            $( $(#[$field_doc])* pub $field: $kind, )*
        }

        impl Encode for $name {
            fn encode(&self, out: &mut Vec<u8>) {
                $( self.$field.encode(out); )*
            }
        }

        impl Decode for $name {
            fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
                Ok(Self { $( $field: <$kind>::decode(r)?, )* })
            }
        }
    )* };
}

bodies! {
    /// A channel was given its index.
    ChannelBorn {
        /// The index.
        index: u64,
        /// With whom.
        node: NodeId,
        /// When, Unix milliseconds.
        created_ms: u64,
        /// Whether it is to be announced.
        announce: bool,
        /// Whether we fund it.
        funder: bool,
    }

    /// A connection to this peer is to be kept up.
    PeerKept {
        /// Whom.
        node: NodeId,
        /// Where it was reached last, `host:port`; empty if it came to us.
        address: Text,
    }

    /// We ask for a payment. BOLT 11.
    InvoiceMade {
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

    /// All parts of an invoice are here.
    InvoiceSettled {
        /// Which invoice.
        payment_hash: PaymentHash,
        /// What arrived.
        received: Msat,
        /// When, Unix milliseconds.
        at_ms: u64,
        /// The HTLCs that carry it, by channel index and the peer's id: these and no others are
        /// fulfilled.
        parts: Vec<(u64, u64)>,
    }

    /// An invoice was taken back.
    InvoiceCancelled {
        /// Which.
        payment_hash: PaymentHash,
        /// When, Unix milliseconds.
        at_ms: u64,
    }

    /// We owe a payment.
    PaymentStarted {
        /// Its name.
        payment_hash: PaymentHash,
        /// To whom.
        payee: NodeId,
        /// How much arrives.
        amount: Msat,
        /// The most that may be spent on fees.
        fee_limit: Msat,
        /// The invoice.
        invoice: Text,
        /// What the payee says it is for.
        description: Option<Text>,
        /// From when on the payee no longer takes it, Unix milliseconds: until then this payment is
        /// remembered, so that it is not paid twice.
        expires_ms: u64,
        /// When, Unix milliseconds.
        created_ms: u64,
    }

    /// A part of a payment was handed to a channel.
    PaymentTried {
        /// Which payment.
        payment_hash: PaymentHash,
        /// Which part.
        part: u32,
        /// Over which channel.
        channel: u64,
        /// What the first HTLC carries.
        amount: Msat,
        /// When, Unix milliseconds.
        at_ms: u64,
    }

    /// A payment came to its end.
    PaymentEnded {
        /// Which.
        payment_hash: PaymentHash,
        /// The proof, if it arrived.
        preimage: Option<Preimage>,
        /// Why it did not: a number of `payments::failure`, and what belongs to it.
        failure: Option<(u16, u64)>,
        /// Who failed it, if that is known.
        failed_by: Option<NodeId>,
        /// When, Unix milliseconds.
        at_ms: u64,
    }

    /// A request with an idempotency key was carried out.
    OrderKept {
        /// The key.
        word: Text,
        /// SHA256 of the request.
        digest: [u8; 32],
        /// What it made: a hash, a txid, an index, an address.
        made: Text,
        /// When, Unix milliseconds.
        at_ms: u64,
    }
}

/// A transaction is to be brought to the miners.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct IntentMade {
    /// The transaction, fully signed.
    pub tx: Transaction,
    /// What it is for: `funding`, `close`, `sweep` or the user's note.
    pub label: Text,
    /// For which channel.
    pub channel: Option<u64>,
}

impl Encode for IntentMade {
    fn encode(&self, out: &mut Vec<u8>) {
        self.label.encode(out);
        self.channel.encode(out);
        out.extend_from_slice(&consensus::serialize(&self.tx));
    }
}

impl Decode for IntentMade {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let label = Text::decode(r)?;
        let channel = Option::<u64>::decode(r)?;
        let tx = consensus::deserialize(r.rest()).map_err(|_| DecodeError::NotCanonical)?;
        Ok(Self { tx, label, channel })
    }
}

impl IntentMade {
    /// Its name.
    pub fn txid(&self) -> Txid {
        self.tx.compute_txid()
    }

    /// The coins it spends.
    pub fn inputs(&self) -> impl Iterator<Item = OutPoint> + '_ {
        self.tx.input.iter().map(|input| input.previous_output)
    }
}
