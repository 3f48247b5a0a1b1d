//! A commitment transaction from its terms, its keys and its balances. BOLT 3 § Commitment Transaction,
//! § Commitment Transaction Construction.
//!
//! Built, never stored: the same inputs give the same bytes, so a commitment that is needed again is
//! computed again.
//!
//! Not here: which HTLCs it has (the ledger), its signatures (`signer`, `verify`).

mod number;

pub use number::ObscuringFactor;

use bitcoin::hashes::Hash;
use bitcoin::sighash::{EcdsaSighashType, SighashCache};
use bitcoin::transaction::Version;
use bitcoin::{OutPoint, ScriptBuf, Transaction, TxIn, TxOut, Txid, Witness};
use secp256k1::PublicKey;
use thiserror::Error;
use wire::id::PaymentHash;
use wire::units::{BlockHeight, FeeratePerKw, Msat, Sat};

use super::{FundingOutput, fee, script};
use crate::clock::Side;
use crate::keys::{ChannelBasepoints, CommitmentKeys};
use crate::shachain::COMMITMENT_NUMBER_MAX;

/// One of the two ends, seen from a commitment.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Party {
    /// Who holds the signed commitment and can broadcast it.
    Owner,
    /// The side that signed it for the owner.
    Other,
}

/// Which way an HTLC goes, seen from a commitment's owner.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Direction {
    /// The owner pays: back to the owner through HTLC-timeout.
    Offered,
    /// The owner is paid: through HTLC-success, with the preimage.
    Received,
}

impl std::ops::Not for Direction {
    type Output = Self;

    /// The same HTLC, seen from the other side's commitment.
    fn not(self) -> Self {
        match self {
            Self::Offered => Self::Received,
            Self::Received => Self::Offered,
        }
    }
}

/// An HTLC as one commitment shows it.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct SpecHtlc {
    /// Whether the commitment's owner pays it or is paid.
    pub direction: Direction,
    /// The number its offerer gave it in `update_add_htlc`.
    pub id: u64,
    /// What it moves.
    pub amount: Msat,
    /// SHA256 of the preimage that takes it.
    pub payment_hash: PaymentHash,
    /// The height from which its offerer may take it back.
    pub cltv_expiry: BlockHeight,
}

/// What one commitment divides, before the fee and the anchors are taken from the funder.
///
/// Everything together is exactly the funding amount: [`Commitment::build`] refuses anything else.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CommitmentSpec {
    /// What the commitment pays for its base weight.
    pub feerate: FeeratePerKw,
    /// The owner's balance.
    pub to_owner: Msat,
    /// The other side's balance.
    pub to_other: Msat,
    /// HTLCs in flight, in any order.
    pub htlcs: Vec<SpecHtlc>,
}

/// What one side brought to the channel, as it said in `open_channel` or `accept_channel`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SideTerms {
    /// Its public keys.
    pub basepoints: ChannelBasepoints,
    /// `dust_limit_satoshis`: outputs below it are not made on **its own** commitments.
    pub dust_limit: Sat,
    /// `to_self_delay`: blocks for which **the peer's** money waits on the peer's commitments.
    pub to_self_delay: u16,
}

/// What all commitments of one owner on one funding output have in common.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CommitmentTerms {
    /// What they spend.
    pub funding: FundingOutput,
    /// Hides their numbers.
    pub obscuring: ObscuringFactor,
    /// Which side they belong to.
    pub owner: Side,
    /// Who pays fee and anchors.
    pub funder: Party,
    /// Key of the owner's anchor, and half of the 2-of-2.
    pub owner_funding: PublicKey,
    /// Key of the other side's anchor, and half of the 2-of-2.
    pub other_funding: PublicKey,
    /// The owner's `dust_limit_satoshis`.
    pub dust_limit: Sat,
    /// Blocks for which the owner's money waits: the other side's `to_self_delay`.
    pub to_self_delay: u16,
}

impl CommitmentTerms {
    /// The terms of the commitments that `owner` holds on the funding output of `amount` at `outpoint`,
    /// in a channel that `opener` opened.
    pub fn new(
        owner: Side,
        opener: Side,
        ours: &SideTerms,
        theirs: &SideTerms,
        outpoint: OutPoint,
        amount: Sat,
    ) -> Self {
        let (own, other) = match owner {
            Side::Us => (ours, theirs),
            Side::Them => (theirs, ours),
        };
        let (opening, accepting) = match opener {
            Side::Us => (ours, theirs),
            Side::Them => (theirs, ours),
        };
        Self {
            funding: FundingOutput::new(
                outpoint,
                amount,
                &own.basepoints.funding,
                &other.basepoints.funding,
            ),
            obscuring: ObscuringFactor::new(
                &opening.basepoints.payment,
                &accepting.basepoints.payment,
            ),
            owner,
            funder: if owner == opener { Party::Owner } else { Party::Other },
            owner_funding: own.basepoints.funding,
            other_funding: other.basepoints.funding,
            dust_limit: own.dust_limit,
            to_self_delay: other.to_self_delay,
        }
    }
}

/// Why there is no such commitment. Each is a bug on our side: nothing may be signed.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum BuildError {
    /// Balances and HTLCs are not what the funding output holds.
    #[error("balances and HTLCs add up to {spec_msat} msat, the channel holds {funding_msat} msat")]
    NotConserved {
        /// What the spec divides; `u64::MAX` if it is more than can be counted.
        spec_msat: u64,
        /// What there is to divide.
        funding_msat: u64,
    },
    /// A channel has 2^48 commitments.
    #[error("commitment number {0} does not fit 48 bits")]
    Number(u64),
}

/// What an output of a commitment is.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum OutputKind {
    /// The owner's balance, delayed.
    ToOwner,
    /// The other side's balance, one block later.
    ToOther,
    /// The anchor of a side.
    Anchor(Party),
    /// The HTLC at this place in [`Commitment::htlcs`].
    Htlc(usize),
}

/// An HTLC that has an output.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HtlcOutput {
    /// The HTLC.
    pub htlc: SpecHtlc,
    /// The place of its output in the commitment.
    pub vout: u32,
    /// What the output holds: the amount in whole satoshis.
    pub value: Sat,
    /// What a spender has to show.
    pub witness_script: ScriptBuf,
}

/// A commitment transaction without signatures, and what each of its outputs is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Commitment {
    pub(super) terms: CommitmentTerms,
    pub(super) keys: CommitmentKeys,
    number: u64,
    tx: Transaction,
    txid: Txid,
    kinds: Vec<OutputKind>,
    htlcs: Vec<HtlcOutput>,
    fee: Sat,
}

impl Commitment {
    /// Builds commitment `number` (0 to 2^48 - 1) of the owner that `terms` and `keys` are for.
    ///
    /// BOLT 3 lets the output of a funder that cannot pay vanish, and still adds the anchors: a funder
    /// with less than 660 sat can make a transaction that pays out more than there is. Whether it may come
    /// to that is up to the limits, and the ledger's audit refuses to have it signed.
    pub fn build(
        terms: &CommitmentTerms,
        keys: &CommitmentKeys,
        number: u64,
        spec: &CommitmentSpec,
    ) -> Result<Self, BuildError> {
        check_conserved(terms, spec)?;
        if number > COMMITMENT_NUMBER_MAX {
            return Err(BuildError::Number(number));
        }
        let mut drafts = draft(terms, keys, spec);
        // BOLT 3: "Outputs in transactions are always sorted according to"
        drafts.sort_by(|a, b| a.order().cmp(&b.order()));
        let (lock_time, sequence) = terms.obscuring.hide(number);
        let mut tx = Transaction {
            version: Version::TWO,
            lock_time,
            input: vec![TxIn {
                previous_output: terms.funding.outpoint,
                script_sig: ScriptBuf::new(),
                sequence,
                witness: Witness::new(),
            }],
            output: Vec::with_capacity(drafts.len()),
        };
        let mut kinds = Vec::with_capacity(drafts.len());
        let mut htlcs = Vec::with_capacity(spec.htlcs.len());
        for (vout, draft) in (0..).zip(drafts) {
            let Draft { txout, kind } = draft;
            kinds.push(match kind {
                DraftKind::Plain(kind) => kind,
                DraftKind::Htlc(htlc, witness_script) => {
                    htlcs.push(HtlcOutput { htlc, vout, value: txout.value, witness_script });
                    OutputKind::Htlc(htlcs.len().saturating_sub(1))
                }
            });
            tx.output.push(txout);
        }
        let paid = tx.output.iter().fold(0_u64, |sum, out| sum.saturating_add(out.value.to_sat()));
        let fee = Sat::from_sat(terms.funding.amount.to_sat().saturating_sub(paid));
        let txid = tx.compute_txid();
        Ok(Self { terms: terms.clone(), keys: keys.clone(), number, tx, txid, kinds, htlcs, fee })
    }

    /// Its terms.
    pub const fn terms(&self) -> &CommitmentTerms {
        &self.terms
    }

    /// Its keys.
    pub const fn keys(&self) -> &CommitmentKeys {
        &self.keys
    }

    /// Its number, 0 for the first.
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// The transaction, without witness.
    pub const fn tx(&self) -> &Transaction {
        &self.tx
    }

    /// The transaction's id, which no signature changes.
    pub const fn txid(&self) -> Txid {
        self.txid
    }

    /// What goes to the miner: the base fee and everything too small for an output.
    pub const fn fee(&self) -> Sat {
        self.fee
    }

    /// The HTLCs that have an output, in output order: the order of `htlc_signature` in
    /// `commitment_signed`.
    pub fn htlcs(&self) -> &[HtlcOutput] {
        &self.htlcs
    }

    /// What each output is, in output order.
    pub fn kinds(&self) -> &[OutputKind] {
        &self.kinds
    }

    /// Each output with its outpoint and its meaning.
    pub fn outputs(&self) -> impl Iterator<Item = (OutPoint, OutputKind, &TxOut)> {
        (0..)
            .zip(self.kinds.iter().zip(&self.tx.output))
            .map(|(vout, (kind, txout))| (OutPoint { txid: self.txid, vout }, *kind, txout))
    }

    /// What both funding keys sign: everything (`SIGHASH_ALL`).
    pub fn digest(&self) -> [u8; 32] {
        funding_digest(&self.tx, &self.terms.funding)
    }

    /// The script of `to_local` and of every second-level output.
    pub fn delayed_script(&self) -> ScriptBuf {
        delayed_script(&self.terms, &self.keys)
    }
}

/// What both funding keys sign in a transaction whose first input is the funding output.
pub(super) fn funding_digest(tx: &Transaction, funding: &FundingOutput) -> [u8; 32] {
    let (script, value) = (&funding.witness_script, funding.amount);
    SighashCache::new(tx)
        .p2wsh_signature_hash(0, script, value, EcdsaSighashType::All)
        .map(|hash| hash.to_byte_array())
        // Only an input that does not exist has no hash, and these transactions have their first.
        .unwrap_or_default()
}

fn delayed_script(terms: &CommitmentTerms, keys: &CommitmentKeys) -> ScriptBuf {
    script::delayed(&keys.revocation, terms.to_self_delay, &keys.owner_delayed)
}

fn check_conserved(terms: &CommitmentTerms, spec: &CommitmentSpec) -> Result<(), BuildError> {
    let funding_msat = terms.funding.amount.to_sat().saturating_mul(1_000);
    let spec_msat = (spec.htlcs.iter())
        .map(|htlc| htlc.amount.to_u64())
        .chain([spec.to_owner.to_u64(), spec.to_other.to_u64()])
        .fold(0, u64::saturating_add);
    if spec_msat == funding_msat {
        Ok(())
    } else {
        Err(BuildError::NotConserved { spec_msat, funding_msat })
    }
}

/// An output that has no place yet.
struct Draft {
    txout: TxOut,
    kind: DraftKind,
}

enum DraftKind {
    Plain(OutputKind),
    Htlc(SpecHtlc, ScriptBuf),
}

impl Draft {
    fn plain(kind: OutputKind, value: Sat, witness_script: &ScriptBuf) -> Self {
        let script_pubkey = witness_script.to_p2wsh();
        Self { txout: TxOut { value, script_pubkey }, kind: DraftKind::Plain(kind) }
    }

    fn htlc(keys: &CommitmentKeys, htlc: &SpecHtlc) -> Self {
        let witness_script = match htlc.direction {
            Direction::Offered => script::offered_htlc(keys, &htlc.payment_hash),
            Direction::Received => {
                script::received_htlc(keys, &htlc.payment_hash, htlc.cltv_expiry)
            }
        };
        Self {
            txout: TxOut {
                value: htlc.amount.floor_sat(),
                script_pubkey: witness_script.to_p2wsh(),
            },
            kind: DraftKind::Htlc(*htlc, witness_script),
        }
    }

    /// Value, then script with the shorter first, then expiry. HTLCs equal in all three are the same to
    /// both sides; the id only makes the order one.
    fn order(&self) -> (Sat, &[u8], BlockHeight, u64) {
        let (expiry, id) = match &self.kind {
            DraftKind::Plain(_) => (BlockHeight(0), 0),
            DraftKind::Htlc(htlc, _) => (htlc.cltv_expiry, htlc.id),
        };
        (self.txout.value, self.txout.script_pubkey.as_bytes(), expiry, id)
    }
}

/// Steps 2 to 8 of BOLT 3 § Commitment Transaction Construction.
fn draft(terms: &CommitmentTerms, keys: &CommitmentKeys, spec: &CommitmentSpec) -> Vec<Draft> {
    let mut drafts: Vec<_> = (spec.htlcs.iter())
        .filter(|htlc| !fee::trimmed(htlc.amount, terms.dust_limit))
        .map(|htlc| Draft::htlc(keys, htlc))
        .collect();
    let untrimmed = drafts.len();
    let cost = fee::funder_cost(spec.feerate, untrimmed);
    // A funder that cannot pay the cost loses its output; the rest of the fee is then simply missing.
    let charged = |party: Party, balance: Msat| {
        let cost = if party == terms.funder { cost } else { Sat::ZERO };
        let cost = Msat::from_sat(cost).unwrap_or(Msat::MAX);
        balance.checked_sub(cost).unwrap_or(Msat::ZERO).floor_sat()
    };
    let to_owner = charged(Party::Owner, spec.to_owner);
    let to_other = charged(Party::Other, spec.to_other);
    let (owner_exists, other_exists) = (to_owner >= terms.dust_limit, to_other >= terms.dust_limit);
    if owner_exists {
        drafts.push(Draft::plain(OutputKind::ToOwner, to_owner, &delayed_script(terms, keys)));
    }
    if other_exists {
        let script = script::to_remote(&keys.other_payment);
        drafts.push(Draft::plain(OutputKind::ToOther, to_other, &script));
    }
    // BOLT 3: "if `to_local` exists or there are untrimmed HTLCs, add a [`to_local_anchor` output]"
    for (party, key, exists) in [
        (Party::Owner, &terms.owner_funding, owner_exists),
        (Party::Other, &terms.other_funding, other_exists),
    ] {
        if exists || untrimmed > 0 {
            let script = script::anchor(key);
            drafts.push(Draft::plain(OutputKind::Anchor(party), fee::ANCHOR, &script));
        }
    }
    drafts
}
