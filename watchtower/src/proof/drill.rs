//! A fire drill: a breach of our own making, to see whether a tower answers one.
//!
//! Two sides of a channel that never was are played by us: a funding output of our own coins, and a
//! commitment on it that is made, signed and numbered as every commitment is ([`channel::tx`]). Its record
//! is built by the code that builds all records ([`sealed::build`]) and lies in a session of its own, as
//! every channel's does. So a tower that wanted to answer drills alone could not tell; and one that
//! answers none is found before it matters. If nothing comes of it, we take the output back with the keys
//! that we have, and have lost two fees.
//!
//! Not here: coins, sessions, the clock, and what happens to a tower that failed (`daemon::tower`).

#[cfg(test)]
mod tests;

use bitcoin::absolute::LockTime;
use bitcoin::transaction::Version;
use bitcoin::{OutPoint, ScriptBuf, Transaction, TxIn, TxOut, Txid, Witness};
use channel::clock::Side;
use channel::keys::{CommitmentKeys, KeyError};
use channel::signer::{InMemorySigner, Memory, SignRefusal, Signer};
use channel::tx::{
    BuildError, Commitment, CommitmentSpec, CommitmentTerms, Inline, OutputKind, Recipe,
    RevokedSecret, SideTerms, Spend,
};
use secp256k1::PublicKey;
use thiserror::Error;
use wire::units::{BlockHeight, FeeratePerKw, Msat, Sat};
use zeroize::Zeroizing;

use super::tagged::tagged;
use crate::hint::Hint;
use crate::kit::sealed::{self, Record};
use crate::kit::template::{CHANNEL_ANCHORS, Step, Template};
use crate::message::Sealed;

/// Blocks within which a tower should have its justice mined.
pub const PATIENCE_BLOCKS: u32 = 12;

/// Commitment numbers of drills are below this, as those of most channels.
const NUMBERS: u64 = 20_000;

/// The dust limit of both sides.
const DUST_LIMIT: Sat = Sat::from_sat(354);

/// Name of our own keys.
const OURS: &str = "wt2/drill-us";

/// Name of the cheater's keys.
const THEIRS: &str = "wt2/drill-them";

/// The most records of nothing beside the one that counts.
const DECOYS_MAX: u8 = 20;

/// What a transaction weighs without its inputs and outputs.
const AROUND_WEIGHT: u64 = 42;

/// How a drill looks.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Shape {
    /// What the funding output holds.
    pub amount: Sat,
    /// What of it is `to_remote`, ours without a tower; the rest is the cheater's, less fees and anchors.
    pub to_remote: Sat,
    /// What the commitment pays, per 1,000 weight units.
    pub commitment_feerate: FeeratePerKw,
    /// The cheater's delay in blocks.
    pub to_self_delay: u16,
    /// The prices for justice.
    pub ladder: Vec<Step>,
    /// Where the tower sends everything.
    pub sweep_script: ScriptBuf,
}

/// Why there is no such drill.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum DrillError {
    /// Keys that cannot be; nobody meets them.
    #[error("no such keys: {0}")]
    Keys(#[from] KeyError),
    /// The signer refuses.
    #[error("the drill cannot be signed: {0}")]
    Sign(#[from] SignRefusal),
    /// Amounts that do not add up.
    #[error("no such commitment: {0}")]
    Build(#[from] BuildError),
    /// The cheater's output would not be worth its justice.
    #[error("{0} are too little: nothing would be left for the tower to take")]
    TooLittle(Sat),
}

/// Both sides of the channel that never was. All keys follow from 32 random bytes, so that is all there is
/// to keep of a drill besides its funding output.
#[derive(Debug)]
pub struct Drill {
    entropy: Zeroizing<[u8; 32]>,
    us: InMemorySigner,
    them: InMemorySigner,
    number: u64,
    shape: Shape,
}

/// The breach, ready.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Staged {
    /// The commitment, signed by both sides.
    pub breach: Transaction,
    /// What the session is opened with.
    pub template: Template,
    /// The record, before it is sealed.
    pub record: Record,
    /// The output that the tower should take.
    pub target: OutPoint,
    /// What it holds.
    pub value: Sat,
}

impl Drill {
    /// The drill whose keys follow from `entropy`, which must be random and is used for one drill only.
    ///
    /// # Errors
    /// [`DrillError::Sign`] for entropy that gives no key, which nobody meets.
    pub fn new(entropy: &[u8; 32], shape: Shape) -> Result<Self, DrillError> {
        let (us, them) = (signer(OURS, entropy)?, signer(THEIRS, entropy)?);
        let [a, b, c, d, ..] = tagged("wt2/drill-number", &[entropy]);
        let number = u64::from(u32::from_be_bytes([a, b, c, d])) % NUMBERS;
        Ok(Self { entropy: Zeroizing::new(*entropy), us, them, number, shape })
    }

    /// The script that the wallet has to fund with [`Shape::amount`].
    pub fn funding_script(&self) -> ScriptBuf {
        self.terms(OutPoint::null()).funding.witness_script.to_p2wsh()
    }

    /// Commitment, record and template for the funding output at `funding`.
    ///
    /// # Errors
    /// [`DrillError`]; first of all if the amount is too small.
    pub fn stage(&self, funding: OutPoint) -> Result<Staged, DrillError> {
        let commitment = self.commitment(funding)?;
        let secret = RevokedSecret(self.them.reveal(self.number)?);
        let template = self.template();
        let too_little = DrillError::TooLittle(self.shape.amount);
        let built = sealed::build(&template, &commitment, secret, &self.us)?;
        if built.record.to_local.is_empty() {
            return Err(too_little);
        }
        let mut outputs = commitment.outputs();
        let to_local = outputs.find(|(_, kind, _)| *kind == OutputKind::ToOwner);
        let (target, _, txout) = to_local.ok_or(too_little)?;
        let value = txout.value;
        let breach = self.signed(funding)?;
        Ok(Staged { breach, template, record: built.record, target, value })
    }

    /// What takes back everything that is still there: the cheater's output with the revocation key, and
    /// `to_remote`, one block after the breach. `None` if nothing would be left.
    ///
    /// # Errors
    /// [`DrillError`].
    pub fn collect(
        &self,
        funding: OutPoint,
        unspent: &[OutPoint],
        to: &ScriptBuf,
        feerate: FeeratePerKw,
    ) -> Result<Option<Transaction>, DrillError> {
        let commitment = self.commitment(funding)?;
        let secret = RevokedSecret(self.them.reveal(self.number)?);
        let spends: Vec<Spend> = commitment
            .outputs()
            .filter(|(outpoint, ..)| unspent.contains(outpoint))
            .filter_map(|(outpoint, kind, txout)| {
                let (recipe, witness_script) = match kind {
                    OutputKind::ToOwner => {
                        (Recipe::PenaltyDelayed { secret }, commitment.delayed_script())
                    }
                    OutputKind::ToOther => {
                        let key = &commitment.keys().other_payment;
                        (Recipe::ToRemote, channel::tx::script::to_remote(key))
                    }
                    OutputKind::Anchor(_) | OutputKind::Htlc(_) => return None,
                };
                Some(Spend { outpoint, value: txout.value, witness_script, recipe })
            })
            .collect();
        let Some(mut tx) = home(&spends, to, feerate) else { return Ok(None) };
        self.us.sign_spends(&mut tx, &spends.iter().collect::<Vec<_>>())?;
        Ok(Some(tx))
    }

    /// What the cheater itself does with its output once its delay is over, if nobody stopped it: the
    /// money is home, and a tower that had signed for the record is convicted by it
    /// ([`super::fraud`]). `None` if nothing would be left.
    ///
    /// # Errors
    /// [`DrillError`].
    pub fn take_as_cheater(
        &self,
        funding: OutPoint,
        to: &ScriptBuf,
        feerate: FeeratePerKw,
    ) -> Result<Option<Transaction>, DrillError> {
        let commitment = self.commitment(funding)?;
        let point = commitment.keys().per_commitment_point;
        let to_self_delay = self.shape.to_self_delay;
        let spend = commitment.outputs().find_map(|(outpoint, kind, txout)| {
            let witness_script = commitment.delayed_script();
            let recipe = Recipe::Delayed { point, to_self_delay };
            (kind == OutputKind::ToOwner).then_some(Spend {
                outpoint,
                value: txout.value,
                witness_script,
                recipe,
            })
        });
        let Some((spend, mut tx)) = spend.and_then(|spend| {
            let tx = home(std::slice::from_ref(&spend), to, feerate)?;
            Some((spend, tx))
        }) else {
            return Ok(None);
        };
        self.them.sign_spends(&mut tx, &[&spend])?;
        Ok(Some(tx))
    }

    /// Everything that is uploaded, and which of it counts: a channel has more than one old state, so some
    /// records that nothing opens are around it.
    pub fn records(&self, staged: &Staged, session: &PublicKey) -> (Vec<Sealed>, u32) {
        let [count, place, ..] = tagged("wt2/drill-decoys", &[self.entropy.as_slice()]);
        let count = (count % DECOYS_MAX).saturating_add(1);
        let place = u32::from(place.checked_rem(count.saturating_add(1)).unwrap_or(0));
        let length = staged.sealed(session, place).ciphertext.len();
        let decoy = |seq: u32| {
            let hash = |part: u32| {
                let parts = [self.entropy.as_slice(), &seq.to_be_bytes(), &part.to_be_bytes()];
                tagged("wt2/drill-decoy", &parts)
            };
            let mut hint = [0; 16];
            hint.copy_from_slice(hash(0).first_chunk::<16>().unwrap_or(&[0; 16]));
            let ciphertext = (1..).flat_map(hash).take(length).collect();
            Sealed { hint: Hint(hint), ciphertext }
        };
        let all = (0..=u32::from(count))
            .map(|seq| if seq == place { staged.sealed(session, seq) } else { decoy(seq) });
        (all.collect(), place)
    }

    fn terms(&self, funding: OutPoint) -> CommitmentTerms {
        // The cheater opened the channel, so it pays the fee and the anchors.
        let (ours, theirs) = (self.side(&self.us), self.side(&self.them));
        CommitmentTerms::new(Side::Them, Side::Them, &ours, &theirs, funding, self.shape.amount)
    }

    fn side(&self, signer: &InMemorySigner) -> SideTerms {
        let (basepoints, to_self_delay) = (*signer.basepoints(), self.shape.to_self_delay);
        SideTerms { basepoints, dust_limit: DUST_LIMIT, to_self_delay }
    }

    fn template(&self) -> Template {
        let (us, them) = (self.us.basepoints(), self.them.basepoints());
        Template {
            channel_type: CHANNEL_ANCHORS,
            revocation_basepoint: us.revocation,
            delayed_basepoint: them.delayed_payment,
            our_htlc_basepoint: us.htlc,
            their_htlc_basepoint: them.htlc,
            to_self_delay: self.shape.to_self_delay,
            tx_version: 2,
            ladder: self.shape.ladder.clone(),
            sweep_script: self.shape.sweep_script.clone(),
        }
    }

    /// The cheater's commitment as we see it: theirs.
    fn commitment(&self, funding: OutPoint) -> Result<Commitment, DrillError> {
        let point = self.them.point(self.number)?;
        let (us, them) = (self.us.basepoints(), self.them.basepoints());
        let keys = CommitmentKeys::derive(them, us, &point)?;
        let spec = self.spec()?;
        Ok(Commitment::build(&self.terms(funding), &keys, self.number, &spec)?)
    }

    /// The same with both signatures, as the cheater has it: its own.
    fn signed(&self, funding: OutPoint) -> Result<Transaction, DrillError> {
        let theirs = self.commitment(funding)?;
        let signatures = self.us.sign_theirs(&theirs, &Inline)?;
        // The cheater sees the same transaction from its own side.
        let (ours, other) = (self.side(&self.them), self.side(&self.us));
        let amount = self.shape.amount;
        let terms = CommitmentTerms::new(Side::Us, Side::Us, &ours, &other, funding, amount);
        let own = Commitment::build(&terms, theirs.keys(), self.number, &self.spec()?)?;
        // A signer does not sign what it revoked, and that is what this is: a fresh one knows of nothing.
        Ok(signer(THEIRS, &self.entropy)?.sign_ours(&own, &signatures.signature)?)
    }

    fn spec(&self) -> Result<CommitmentSpec, DrillError> {
        let amount = self.shape.amount;
        let too_little = DrillError::TooLittle(amount);
        let to_owner = amount.checked_sub(self.shape.to_remote).ok_or(too_little)?;
        let msat = |sat| Msat::from_sat(sat).ok_or(too_little);
        Ok(CommitmentSpec {
            feerate: self.shape.commitment_feerate,
            to_owner: msat(to_owner)?,
            to_other: msat(self.shape.to_remote)?,
            htlcs: Vec::new(),
        })
    }
}

/// One of the two sides.
fn signer(side: &str, entropy: &[u8; 32]) -> Result<InMemorySigner, SignRefusal> {
    InMemorySigner::new(&tagged(side, &[entropy]), 0, Memory::default())
}

/// An unsigned transaction that brings these to `to`; `None` if nothing would be left.
fn home(spends: &[Spend], to: &ScriptBuf, feerate: FeeratePerKw) -> Option<Transaction> {
    let weight = spends
        .iter()
        .map(Spend::input_weight)
        .fold(AROUND_WEIGHT, u64::saturating_add)
        .saturating_add(crate::kit::claim::output_weight(to));
    let fee = u64::from(feerate.0).saturating_mul(weight).div_ceil(1_000);
    let total = spends.iter().fold(0, |sum, spend| spend.value.to_sat().saturating_add(sum));
    let left = total.checked_sub(fee).map(Sat::from_sat);
    let value = left.filter(|left| *left >= to.minimal_non_dust())?;
    Some(Transaction {
        version: Version::TWO,
        lock_time: LockTime::ZERO,
        input: spends.iter().map(input).collect(),
        output: vec![TxOut { value, script_pubkey: to.clone() }],
    })
}

fn input(spend: &Spend) -> TxIn {
    TxIn {
        previous_output: spend.outpoint,
        script_sig: ScriptBuf::new(),
        sequence: spend.sequence(),
        witness: Witness::new(),
    }
}

impl Staged {
    /// The record as it is uploaded: number `seq` of the session with this key.
    pub fn sealed(&self, session: &PublicKey, seq: u32) -> Sealed {
        let txid = self.breach.compute_txid();
        let ciphertext = sealed::seal(&self.record, &txid, session, seq);
        Sealed { hint: Hint::of(&txid), ciphertext }
    }
}

/// How a drill stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// Nothing yet, and some blocks left.
    Waiting {
        /// How many.
        blocks_left: u32,
    },
    /// The tower answered, and a block has it.
    Passed {
        /// The justice.
        justice: Txid,
        /// Blocks from that of the breach to that of the justice: 0 is the same.
        blocks: u32,
        /// What it paid.
        fee: Sat,
    },
    /// The output was spent, and not to our script.
    Stolen {
        /// By this.
        by: Txid,
    },
    /// Nothing came in time.
    Failed {
        /// Blocks that were waited.
        blocks: u32,
    },
}

/// What became of the target, in the eyes of our own chain.
///
/// `spender` is what spent it in a block of this height; a breach that is in no block yet has no height.
pub fn judge(
    target: &TxOut,
    sweep_script: &ScriptBuf,
    breach_height: Option<BlockHeight>,
    spender: Option<(&Transaction, BlockHeight)>,
    tip: BlockHeight,
    patience_blocks: u32,
) -> Outcome {
    let Some(breach) = breach_height else {
        return Outcome::Waiting { blocks_left: patience_blocks };
    };
    if let Some((tx, height)) = spender {
        let mut outputs = tx.output.iter();
        let Some(paid) = outputs.find(|output| output.script_pubkey == *sweep_script) else {
            return Outcome::Stolen { by: tx.compute_txid() };
        };
        let fee = target.value.checked_sub(paid.value).unwrap_or(Sat::ZERO);
        let blocks = height.0.saturating_sub(breach.0);
        return Outcome::Passed { justice: tx.compute_txid(), blocks, fee };
    }
    let blocks = tip.0.saturating_sub(breach.0);
    match patience_blocks.checked_sub(blocks) {
        None | Some(0) => Outcome::Failed { blocks },
        Some(blocks_left) => Outcome::Waiting { blocks_left },
    }
}
