//! The bodies of facts, version 1 unless they say otherwise. Frozen once released: a new field means a new version.

use bitcoin::consensus::encode as consensus;
use bitcoin::{OutPoint, Transaction, Txid};
use channel::effect::CloseReason;
use wire::codec::{Decode, DecodeError, Encode, Reader};
use wire::id::{NodeId, PaymentHash, PaymentSecret, Preimage};
use wire::units::{BlockHeight, FeeratePerKw, Msat};

use super::hold::CancelReason;

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

pub(super) use bodies;

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

    /// We ask for a payment. BOLT 11. Version 2.
    InvoiceMade {
        /// Names the invoice.
        payment_hash: PaymentHash,
        /// Proves the payment; none if whoever asked for it keeps it to himself.
        preimage: Option<Preimage>,
        /// Whether it waits for a word when all of it is here.
        hold: bool,
        /// Proves to us that the payer has the invoice.
        payment_secret: PaymentSecret,
        /// What every part has to bring back. BOLT 11, field `m`.
        metadata: Option<Vec<u8>>,
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

    /// An invoice was taken back. Version 2.
    InvoiceCancelled {
        /// Which.
        payment_hash: PaymentHash,
        /// Why.
        why: CancelReason,
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

    /// A part of a payment failed: said before another is tried or the payment ends.
    AttemptFailed {
        /// Which payment.
        payment_hash: PaymentHash,
        /// Which part.
        part: u32,
        /// Why: a number of `payments::failure`, and what belongs to it.
        failure: (u16, u64),
        /// Who failed it, if that is known.
        failed_by: Option<NodeId>,
        /// The same in words, with the limit or the hop.
        words: Text,
        /// When, Unix milliseconds.
        at_ms: u64,
    }

    /// How channels with a peer are closed alone, unless the whole node's setting is to count.
    ForceCloseSet {
        /// The peer.
        node: NodeId,
        /// As `crate::policy::number`; none: the whole node's setting.
        policy: Option<u8>,
    }

    /// Whether channels that a peer funds are used before their funding is in a block.
    FundingTrusted {
        /// The peer.
        node: NodeId,
        /// A human says that it does not spend the same coins twice.
        trusted: bool,
    }

    /// Channels were restored from a backup.
    BackupTaken {
        /// No backup of this node has a lower number from now on.
        counter: u64,
        /// The lowest index that no channel had when the data was lost.
        next_channel: u64,
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

/// When and how a step of a channel was decided. For people alone: no state of a channel follows from it,
/// and no date of it drives money.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Moment {
    /// Of which channel.
    pub channel: u64,
    /// When, Unix milliseconds.
    pub at_ms: u64,
    /// The height of the best chain.
    pub height: u32,
    /// The force-close policy in force, as `crate::policy::number`.
    pub policy: u8,
    /// What it is about.
    pub kind: MomentKind,
}

/// What a [`Moment`] is about.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum MomentKind {
    /// The channel's facts in the same record.
    Beside,
    /// A close that was due and did not happen by itself.
    HeldBack {
        /// Why it was due.
        reason: CloseReason,
        /// Whether the policy kept it back; else it costs more than it saves.
        by_policy: bool,
        /// What it would cost, satoshi.
        cost_sat: u64,
        /// What it would save, satoshi.
        saves_sat: u64,
        /// The height before which it has to be in a block.
        before: Option<u32>,
    },
}

impl Encode for Moment {
    fn encode(&self, out: &mut Vec<u8>) {
        self.channel.encode(out);
        self.at_ms.encode(out);
        self.height.encode(out);
        self.policy.encode(out);
        match &self.kind {
            MomentKind::Beside => out.push(0),
            MomentKind::HeldBack { reason, by_policy, cost_sat, saves_sat, before } => {
                out.push(1);
                reason.encode(out);
                by_policy.encode(out);
                cost_sat.encode(out);
                saves_sat.encode(out);
                before.encode(out);
            }
        }
    }
}

impl Decode for Moment {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            channel: Decode::decode(r)?,
            at_ms: Decode::decode(r)?,
            height: Decode::decode(r)?,
            policy: Decode::decode(r)?,
            kind: match u8::decode(r)? {
                0 => MomentKind::Beside,
                1 => MomentKind::HeldBack {
                    reason: Decode::decode(r)?,
                    by_policy: Decode::decode(r)?,
                    cost_sat: Decode::decode(r)?,
                    saves_sat: Decode::decode(r)?,
                    before: Decode::decode(r)?,
                },
                _ => return Err(DecodeError::Range),
            },
        })
    }
}

/// A sweep was made: what its transaction, which is in an [`IntentMade`] beside it, takes and pays.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SweepMade {
    /// The transaction.
    pub txid: Txid,
    /// The name under which coins of the wallet are promised to it.
    pub name: [u8; 32],
    /// What it pays, in sat.
    pub fee_sat: u64,
    /// What it pays by weight, together with unconfirmed parents.
    pub feerate: FeeratePerKw,
    /// When its oldest claim was first tried.
    pub since: BlockHeight,
    /// The first of its deadlines.
    pub deadline: Option<BlockHeight>,
    /// The outputs it takes, each behind the index of the channel it belongs to.
    pub members: Vec<(u64, OutPoint)>,
    /// What a human ordered it to pay by weight at least; 0: nobody did.
    pub ordered: FeeratePerKw,
}

impl SweepMade {
    /// As it was written before orders were.
    pub(super) fn decode_unordered(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            txid: Decode::decode(r)?,
            name: Decode::decode(r)?,
            fee_sat: Decode::decode(r)?,
            feerate: Decode::decode(r)?,
            since: Decode::decode(r)?,
            deadline: Decode::decode(r)?,
            members: Decode::decode(r)?,
            ordered: FeeratePerKw(0),
        })
    }
}

impl Encode for SweepMade {
    fn encode(&self, out: &mut Vec<u8>) {
        self.txid.encode(out);
        self.name.encode(out);
        self.fee_sat.encode(out);
        self.feerate.encode(out);
        self.since.encode(out);
        self.deadline.encode(out);
        self.members.encode(out);
        self.ordered.encode(out);
    }
}

impl Decode for SweepMade {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let made = Self::decode_unordered(r)?;
        Ok(Self { ordered: Decode::decode(r)?, ..made })
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
