//! Is the tower guilty? Every reason why not has a name.

use bitcoin::{Network, OutPoint, Transaction, Txid, Work};
use secp256k1::PublicKey;
use thiserror::Error;
use wire::units::{FeeratePerKw, Sat};

use super::chain::network;
use super::{ChainError, FraudProof};
use crate::hint::Hint;
use crate::kit::claim::{Claim, ClaimKind, Way};
use crate::kit::sealed::{self, EvaluateError, OpenError};
use crate::kit::template::{Template, TemplateError};
use crate::message::KIT_SEALED;
use crate::proof::mmr::{self, PathError};
use crate::proof::receipt::Session;
use crate::proof::tombstone::Tombstone;

/// What a file comes to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// The tower had promised, could act, and did not.
    Guilty(Box<Guilt>),
    /// Not proved, and why.
    Rejected(Rejection),
}

/// What was proved, for people.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Guilt {
    /// The tower's key.
    pub tower: PublicKey,
    /// The key of the session.
    pub session: PublicKey,
    /// Where it happened.
    pub network: Network,
    /// The number of the record.
    pub seq: u32,
    /// The height that the tower had seen when it signed.
    pub receipt_height: u32,
    /// The revoked commitment.
    pub breach: Txid,
    /// Its height.
    pub breach_height: u32,
    /// The output that the tower could have taken.
    pub outpoint: OutPoint,
    /// What it held.
    pub stolen: Sat,
    /// What took it instead.
    pub theft: Txid,
    /// The height of that.
    pub theft_height: u32,
    /// Blocks in which the tower could have had its justice.
    pub blocks: u32,
    /// The most that its ladder would have paid for 1,000 weight units.
    pub feerate_max: FeeratePerKw,
    /// The work of all headers: what it would cost to make this file up.
    pub work: Work,
}

/// Why a file proves nothing against the tower.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum Rejection {
    /// The receipt is about a session with other terms than the template in the file.
    #[error("the receipt is about a session with other terms")]
    OtherTerms,
    /// The tower's key did not sign the receipt.
    #[error("the receipt is not signed by this tower")]
    NotSigned,
    /// The receipt is for fewer records.
    #[error("the tower had signed for {signed} records, and this is number {seq}")]
    NeverAcknowledged {
        /// How many it signed for.
        signed: u32,
        /// The number of the record.
        seq: u32,
    },
    /// The path is for another number of records than the receipt.
    #[error("the path is through {path} records, the receipt is for {signed}")]
    OtherRange {
        /// Leaves of the path.
        path: u32,
        /// Records of the receipt.
        signed: u32,
    },
    /// The path is none.
    #[error("the path to the record is malformed: {0}")]
    BadPath(#[from] PathError),
    /// The path leads to another root.
    #[error("the record is not among those that the tower signed for")]
    NotInRange,
    /// The client itself had it deleted.
    #[error("the client had the record deleted")]
    Deleted,
    /// The template is none.
    #[error("the session's template is none: {0}")]
    Template(TemplateError),
    /// A chain, a header or a place in it is wrong.
    #[error("the chain in the file does not hold: {0}")]
    Chain(#[from] ChainError),
    /// The headers do not begin with the block that the tower named when it signed.
    #[error("the headers do not begin at the block that the tower named in its receipt")]
    NotFromReceipt,
    /// The breach is not later than the receipt: the record may have come too late.
    #[error("the breach at height {breach} is not after the receipt at {receipt}")]
    BreachBeforeReceipt {
        /// Height of the breach.
        breach: u32,
        /// Height of the receipt.
        receipt: u32,
    },
    /// The tower had promised to watch for less long.
    #[error("the breach at height {breach} is after the session's end at {expiry}")]
    Expired {
        /// Height of the breach.
        breach: u32,
        /// The last height of the promise.
        expiry: u32,
    },
    /// The record's hint is not that of the breach: the tower could not find it.
    #[error("the hint of the record is not that of the breach")]
    OtherHint,
    /// The breach does not open the record.
    #[error("the breach does not open the record: {0}")]
    Sealed(OpenError),
    /// The record takes nothing: the tower could do nothing with it.
    #[error("the record takes nothing from the breach: {0}")]
    Useless(EvaluateError),
    /// The record does not cover the cheater's own output. What becomes of HTLCs is a race that a tower
    /// can lose without fault.
    #[error("the record does not cover the cheater's own output")]
    NotCovered,
    /// The transaction that is called a theft does not spend that output.
    #[error("the transaction does not spend the output in question")]
    OtherOutput,
    /// The output went where the client wanted it.
    #[error("the output was paid to the client's own script: that was justice")]
    PaidToVictim,
    /// It was taken with the key that only the client has.
    #[error("the output was taken with the client's revocation key")]
    TakenByRevocation,
    /// The cheater did not wait for its delay, so this cannot be its way.
    #[error("the theft at height {theft} is before {from}, when the cheater's delay ends")]
    DelayNotOver {
        /// Height of the theft.
        theft: u32,
        /// The first height at which the cheater could.
        from: u32,
    },
}

impl FraudProof {
    /// Recomputes everything. `rebuttals` are deletions that the tower shows in its defence.
    pub fn verify(&self, rebuttals: &[Tombstone]) -> Verdict {
        match self.judge(rebuttals) {
            Ok(guilt) => Verdict::Guilty(Box::new(guilt)),
            Err(rejection) => Verdict::Rejected(rejection),
        }
    }

    fn judge(&self, rebuttals: &[Tombstone]) -> Result<Guilt, Rejection> {
        self.check_promise(rebuttals)?;
        let (network, work) = self.check_chain()?;
        let claim = self.what_could_be_taken()?;
        self.check_theft(&claim)?;
        let ack = &self.receipt.ack;
        Ok(Guilt {
            tower: self.tower,
            session: self.receipt.session.key,
            network,
            seq: self.path.index,
            receipt_height: ack.height,
            breach: self.breach.tx.compute_txid(),
            breach_height: self.breach.height,
            outpoint: claim.outpoint,
            stolen: claim.value,
            theft: self.theft.tx.compute_txid(),
            theft_height: self.theft.height,
            blocks: self.theft.height.saturating_sub(self.breach.height),
            feerate_max: feerate_max(&claim),
            work,
        })
    }

    /// The tower signed for this record in this session, and was never told to delete it.
    fn check_promise(&self, rebuttals: &[Tombstone]) -> Result<(), Rejection> {
        let (ack, seq) = (&self.receipt.ack, self.path.index);
        let session = self.receipt.session;
        if session != Session::new(session.key, KIT_SEALED, &self.template) {
            return Err(Rejection::OtherTerms);
        }
        if !self.receipt.is_signed_by(&self.tower) {
            return Err(Rejection::NotSigned);
        }
        let signed = ack.durable_seq;
        if seq >= signed {
            return Err(Rejection::NeverAcknowledged { signed, seq });
        }
        if self.path.count != signed {
            return Err(Rejection::OtherRange { path: self.path.count, signed });
        }
        let leaf = mmr::leaf(seq, &self.record.hint.0, &self.record.ciphertext);
        if self.path.root(&leaf)? != ack.root {
            return Err(Rejection::NotInRange);
        }
        let mut stones = self.tombstones.iter().chain(rebuttals);
        if stones.any(|stone| stone.excuses(&session.key, seq)) {
            return Err(Rejection::Deleted);
        }
        Ok(())
    }

    /// Receipt, breach and theft are on one chain, in this order, and the promise lasted until then.
    fn check_chain(&self) -> Result<(Network, Work), Rejection> {
        let ack = &self.receipt.ack;
        let network = network(self.chain).ok_or(ChainError::UnknownChain)?;
        let first = self.headers.headers.first().ok_or(ChainError::Empty)?;
        if self.headers.first_height != ack.height || first.block_hash() != ack.tip {
            return Err(Rejection::NotFromReceipt);
        }
        let work = self.headers.verify(network)?;
        self.breach.verify(&self.headers)?;
        self.theft.verify(&self.headers)?;
        let breach = self.breach.height;
        if breach <= ack.height {
            return Err(Rejection::BreachBeforeReceipt { breach, receipt: ack.height });
        }
        if breach > ack.expiry {
            return Err(Rejection::Expired { breach, expiry: ack.expiry });
        }
        Ok((network, work))
    }

    /// The claim that the record gives on the cheater's own output, all signatures checked.
    fn what_could_be_taken(&self) -> Result<Claim, Rejection> {
        let template = self.template()?;
        let breach = &self.breach.tx;
        let txid = breach.compute_txid();
        if self.record.hint != Hint::of(&txid) {
            return Err(Rejection::OtherHint);
        }
        let key = &self.receipt.session.key;
        let record = sealed::open(&self.record.ciphertext, &txid, key, self.path.index)
            .map_err(Rejection::Sealed)?;
        let claims = sealed::evaluate(&template, &record, breach).map_err(Rejection::Useless)?;
        let mut claims = claims.into_iter();
        claims.find(|claim| claim.kind == ClaimKind::ToLocal).ok_or(Rejection::NotCovered)
    }

    /// The cheater took the output, by its own way, after its delay.
    fn check_theft(&self, claim: &Claim) -> Result<(), Rejection> {
        let theft = &self.theft.tx;
        let mut inputs = theft.input.iter();
        let input = inputs
            .find(|input| input.previous_output == claim.outpoint)
            .ok_or(Rejection::OtherOutput)?;
        let template = self.template()?;
        if pays(theft, &template) {
            return Err(Rejection::PaidToVictim);
        }
        // `<sig> <branch> <script>`: anything but an empty branch is the revocation's.
        if input.witness.nth(1).is_none_or(|branch| !branch.is_empty()) {
            return Err(Rejection::TakenByRevocation);
        }
        let from = self.breach.height.saturating_add(u32::from(template.to_self_delay));
        if self.theft.height < from {
            return Err(Rejection::DelayNotOver { theft: self.theft.height, from });
        }
        Ok(())
    }

    fn template(&self) -> Result<Template, Rejection> {
        Template::from_bytes(&self.template).map_err(Rejection::Template)
    }
}

fn pays(tx: &Transaction, template: &Template) -> bool {
    tx.output.iter().any(|output| output.script_pubkey == template.sweep_script)
}

fn feerate_max(claim: &Claim) -> FeeratePerKw {
    match &claim.way {
        Way::Ladder(rungs) => rungs.iter().map(|rung| rung.feerate).max(),
        Way::Pair(pair) => Some(pair.feerate),
        Way::Keyed(_) => None,
    }
    .unwrap_or(FeeratePerKw(0))
}
