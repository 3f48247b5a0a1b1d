//! Everything about a channel that survives a power cut: a fold over facts.
//!
//! Nothing here decides anything. The connection, what was only said, and caches are beside it.
//!
//! Not here: which facts follow from an event (`phase`, `link`), their bytes (`record`).

use bitcoin::{OutPoint, ScriptBuf, Transaction, Txid};
use secp256k1::PublicKey;
use wire::id::{ChannelId, ShortChannelId, Signature};
use wire::units::{BlockHeight, FeeratePerKw, Msat, Sat};

use crate::clock::{Clock, Side, Turn};
use crate::effect::{AbandonReason, CloseReason, Outcome};
use crate::fact::{CloseTerms, Created, Fact, Restored, Signatures, TheySigned, WeSigned};
use crate::keys::CommitmentKeys;
use crate::ledger::{How, Htlc, Ledger, Ticked, Unbalanced, audit};
use crate::past::Past;
use crate::record::RecordError;
use crate::revoked::RevokedLog;
use crate::shachain::RevealedSecrets;
use crate::terms::Terms;
use crate::tx::commitment::BuildError;
use crate::tx::fee::trimmed;
use crate::tx::{Commitment, CommitmentSpec, CommitmentTerms, FundingOutput, SideTerms};

/// A channel whose first commitments are signed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct State {
    /// What was agreed on.
    pub terms: Terms,
    /// Candidates for the funding output; one of them will hold the coins. The first is the oldest.
    pub fundings: Vec<Funding>,
    /// What is owned and what is in flight.
    pub ledger: Ledger,
    /// The number of our newest commitment; all before it are revoked.
    pub ours: u64,
    /// The number of the peer's newest commitment that we signed.
    pub theirs: u64,
    /// Whether the peer has yet to revoke the commitment before that.
    pub awaiting_revocation: bool,
    /// Whether we signed after we last revoked: the order in which to say both again.
    pub signed_last: bool,
    /// The secrets of the peer's revoked commitments.
    pub secrets: RevealedSecrets,
    /// The point of the peer's oldest commitment that is not revoked.
    pub their_point: PublicKey,
    /// The point of the commitment after it; none before `channel_ready`.
    pub their_next_point: Option<PublicKey>,
    /// The height at which the channel was created.
    pub created: BlockHeight,
    /// Whether `channel_ready` went out.
    pub we_ready: bool,
    /// Whether the peer's `channel_ready` came.
    pub they_ready: bool,
    /// The alias by which the peer wants the channel to be called.
    pub their_alias: Option<ShortChannelId>,
    /// Our `shutdown`.
    pub our_shutdown: Option<OurShutdown>,
    /// The script of the peer's `shutdown`.
    pub their_shutdown: Option<ScriptBuf>,
    /// Every closing transaction we signed: any of them may appear.
    pub closes: Vec<CloseTerms>,
    /// The one both signed last, with the peer's signature.
    pub closed: Option<(CloseTerms, Signature)>,
    /// What ended the cooperation, if anything did.
    pub end: Option<End>,
    /// What Layer 1 did.
    pub chain: Layer1,
    /// HTLCs that are settled, as far as a revoked commitment may show them.
    pub past: Past,
    /// Every state that the peer revoked.
    pub revoked: RevokedLog,
    /// Whether all of this may be older than what the peer knows (`quarantine`).
    pub quarantined: bool,
    /// What the funding transaction spends, and what else spent it.
    pub coins: Coins,
}

/// The coins of a funding transaction: who spends them otherwise takes the channel away.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Coins {
    /// Of a peer's funding transaction, once it was seen and if the channel is used before it confirms.
    pub inputs: Vec<OutPoint>,
    /// Another transaction that spends one of them in a block, and its height.
    pub conflict: Option<(Txid, BlockHeight)>,
}

/// A candidate for the output that holds the coins.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Funding {
    /// Where it is.
    pub outpoint: OutPoint,
    /// What it holds.
    pub value: Sat,
    /// The transaction, if we made it.
    pub tx: Option<Transaction>,
    /// Whether a block ever had it.
    pub seen: bool,
    /// The block and the place in it, while the best chain has it.
    pub confirmed: Option<(BlockHeight, u32)>,
    /// The peer's signatures on our newest commitment.
    pub signatures: Signatures,
}

/// What we said when we wanted to close.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OurShutdown {
    /// Where our part goes.
    pub script: ScriptBuf,
    /// What the closing transaction should pay.
    pub feerate: FeeratePerKw,
    /// Whether it was our idea.
    pub asked: bool,
}

/// Why the two sides no longer work together.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum End {
    /// We close alone.
    Failing(CloseReason),
    /// Our data is stale: only the peer may close.
    DataLoss {
        /// The commitment number the peer proved.
        theirs: u64,
    },
    /// Nothing is signed any more.
    Frozen,
    /// It never came to be.
    Abandoned(AbandonReason),
    /// All our data is lost but the terms: only the peer may close.
    Lost,
}

/// What Layer 1 did to the channel.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Layer1 {
    /// The transaction that spent the funding output, and its height.
    pub spent: Option<(Transaction, BlockHeight)>,
    /// Spends of outputs of that transaction and of those after it.
    pub outputs: Vec<OutputSpend>,
    /// Whether every output is resolved for good.
    pub closed: bool,
}

/// A spend of an output that matters.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OutputSpend {
    /// The output.
    pub outpoint: OutPoint,
    /// By this transaction.
    pub tx: Transaction,
    /// In this block.
    pub height: BlockHeight,
}

impl State {
    /// The beginning of every channel.
    pub fn new(created: Created) -> Result<Self, RecordError> {
        let Created { terms, funding, funding_tx, signature, first_point, height } = created;
        let capacity = Msat::from_sat(terms.capacity).ok_or(RecordError::Order)?;
        let rest = capacity.checked_sub(terms.push).ok_or(RecordError::Order)?;
        let (us, them) = match terms.funder {
            Side::Us => (rest, terms.push),
            Side::Them => (terms.push, rest),
        };
        let ledger = Ledger::new(us, them, terms.funder, terms.first_feerate);
        let funding = Funding {
            outpoint: funding,
            value: terms.capacity,
            tx: funding_tx,
            seen: false,
            confirmed: None,
            signatures: Signatures { commitment: signature, htlcs: Vec::new() },
        };
        Ok(Self {
            terms,
            fundings: vec![funding],
            ledger,
            ours: 0,
            theirs: 0,
            awaiting_revocation: false,
            signed_last: false,
            secrets: RevealedSecrets::new(),
            their_point: first_point,
            their_next_point: None,
            created: height,
            we_ready: false,
            they_ready: false,
            their_alias: None,
            our_shutdown: None,
            their_shutdown: None,
            closes: Vec::new(),
            closed: None,
            end: None,
            chain: Layer1::default(),
            past: Past::default(),
            revoked: RevokedLog::default(),
            quarantined: false,
            coins: Coins::default(),
        })
    }

    /// The beginning of a channel of which only a backup is left. Numbers, points and balances of it are
    /// nobody's, and nothing may be computed from them: [`End::Lost`] says so.
    pub fn lost(restored: Restored) -> Result<Self, RecordError> {
        let Restored { terms, funding, created } = restored;
        let signature = Signature([0; 64]);
        let first_point = terms.their_keys.funding;
        let (funding_tx, height) = (None, created);
        let created = Created { terms, funding, funding_tx, signature, first_point, height };
        Ok(Self { end: Some(End::Lost), ..Self::new(created)? })
    }

    /// The channel's name, which follows from its first funding output.
    pub fn channel_id(&self) -> ChannelId {
        self.fundings.first().map_or(ChannelId::ALL, |funding| {
            let index = u16::try_from(funding.outpoint.vout).unwrap_or(u16::MAX);
            ChannelId::v1(&funding.outpoint.txid, index)
        })
    }

    /// Takes one fact in. What the dance made final is said back; replay does not care.
    pub fn apply(&mut self, fact: Fact) -> Result<Ticked, RecordError> {
        let mut ticked = Ticked::default();
        match fact {
            Fact::Created(_) | Fact::Restored(_) => return Err(RecordError::Beginning),
            Fact::FundingConfirmed { height, tx_index } => {
                if let Some(funding) = self.fundings.first_mut() {
                    funding.confirmed = Some((height, tx_index));
                    funding.seen = true;
                }
            }
            Fact::FundingUnconfirmed => {
                if let Some(funding) = self.fundings.first_mut() {
                    funding.confirmed = None;
                }
            }
            Fact::FundingSeen { inputs } => self.coins.inputs = inputs,
            Fact::FundingConflict { by, height } => self.coins.conflict = Some((by, height)),
            Fact::FundingConflictGone => self.coins.conflict = None,
            Fact::WeReady => self.we_ready = true,
            Fact::TheyReady { next_point, alias } => {
                self.they_ready = true;
                self.their_next_point = Some(next_point);
                self.their_alias = alias;
            }
            Fact::WeSigned(signed) => ticked = self.we_signed(signed),
            Fact::TheySigned(signed) => ticked = self.they_signed(signed),
            Fact::TheyRevoked { secret, next_point } => {
                ticked = self.they_revoked(secret, next_point)?;
            }
            Fact::WeRemove { htlc, removal } => {
                self.ledger.propose_removal(Side::Us, htlc, How::Ours(removal));
            }
            Fact::PreimageSeen { htlc, preimage, attribution } => {
                self.ledger.see_preimage(htlc, preimage, attribution);
            }
            Fact::Forgotten { htlc } => self.ledger.forget(htlc),
            Fact::WeShutdown { script, feerate, asked } => {
                self.our_shutdown = Some(OurShutdown { script, feerate, asked });
            }
            Fact::TheyShutdown { script } => self.their_shutdown = Some(script),
            Fact::WeSignedClose(close) => self.remember_close(close),
            Fact::BothSignedClose { close, signature } => {
                self.remember_close(close);
                self.closed = Some((close, signature));
            }
            Fact::Failing(reason) => self.end = Some(End::Failing(reason)),
            Fact::DataLoss { theirs } => {
                self.end = Some(End::DataLoss { theirs });
                self.quarantined = false;
            }
            Fact::Frozen => self.end = Some(End::Frozen),
            Fact::Abandoned(reason) => self.end = Some(End::Abandoned(reason)),
            Fact::FundingSpent { tx, height } => self.chain.spent = Some((*tx, height)),
            Fact::FundingUnspent => {
                self.chain.spent = None;
                self.chain.outputs.clear();
            }
            Fact::OutputSpent { outpoint, tx, height } => {
                self.chain.outputs.retain(|spend| spend.outpoint != outpoint);
                self.chain.outputs.push(OutputSpend { outpoint, tx: *tx, height });
            }
            Fact::OutputUnspent { outpoint } => {
                self.chain.outputs.retain(|spend| spend.outpoint != outpoint);
            }
            Fact::ResolvedOnChain { htlc, preimage } => {
                let outcome = preimage.map_or(Outcome::TimedOut, |preimage| Outcome::Fulfilled {
                    preimage,
                    attribution: None,
                });
                self.ledger.end_on_chain(htlc, outcome);
            }
            Fact::Closed => self.chain.closed = true,
            Fact::Told(_) => {}
            Fact::HistoryFound { txid, htlcs } => self.past.found = Some((txid, htlcs)),
            Fact::Quarantined => self.quarantined = true,
            Fact::Vouched { .. } => self.quarantined = false,
        }
        Ok(ticked)
    }

    fn we_signed(&mut self, signed: WeSigned) -> Ticked {
        for add in signed.adds {
            self.ledger.propose(Htlc::ours(add));
        }
        if let Some(feerate) = signed.feerate {
            self.ledger.propose_fee(feerate);
        }
        self.theirs = self.theirs.saturating_add(1);
        self.awaiting_revocation = true;
        self.signed_last = true;
        let ticked = self.ledger.tick(Turn::Signed(Side::Us));
        self.bury(ticked)
    }

    fn they_signed(&mut self, signed: TheySigned) -> Ticked {
        for add in signed.adds {
            self.ledger.propose(Htlc::theirs(add));
        }
        for (id, removal) in signed.removals {
            self.ledger.propose_removal(Side::Them, id, How::Theirs(removal));
        }
        if let Some(feerate) = signed.feerate {
            self.ledger.propose_fee(feerate);
        }
        for (funding, signatures) in self.fundings.iter_mut().zip(signed.signatures) {
            funding.signatures = signatures;
        }
        self.ours = self.ours.saturating_add(1);
        self.signed_last = false;
        let mut ticked = self.ledger.tick(Turn::Signed(Side::Them));
        ticked.absorb(self.ledger.tick(Turn::Revoked(Side::Us)));
        self.bury(ticked)
    }

    fn they_revoked(
        &mut self,
        secret: [u8; 32],
        next_point: PublicKey,
    ) -> Result<Ticked, RecordError> {
        let number = self.secrets.count();
        // What was not awaited leaves a row that nothing can be computed from, and the numbers in order.
        let spec = self.ledger.spec_of_their_last().unwrap_or_else(|| CommitmentSpec {
            feerate: self.ledger.feerate,
            to_owner: Msat::ZERO,
            to_other: Msat::ZERO,
            htlcs: Vec::new(),
        });
        self.revoked.push(spec);
        self.secrets.insert(number, secret).map_err(|_| RecordError::Order)?;
        self.their_point = self.their_next_point.ok_or(RecordError::Order)?;
        self.their_next_point = Some(next_point);
        self.awaiting_revocation = false;
        let ticked = self.ledger.tick(Turn::Revoked(Side::Them));
        Ok(self.bury(ticked))
    }

    /// Keeps of what a turn settled what a revoked commitment may show: dust never had an output.
    fn bury(&mut self, mut ticked: Ticked) -> Ticked {
        let dust_limit = self.terms.params(Side::Them).dust_limit;
        for settled in std::mem::take(&mut ticked.settled) {
            if !trimmed(settled.amount, dust_limit) {
                self.past.push(settled.htlc);
            }
        }
        ticked
    }

    fn remember_close(&mut self, close: CloseTerms) {
        if !self.closes.contains(&close) {
            self.closes.push(close);
        }
    }

    /// What the peer said and did not sign yet, as its signature will record it.
    pub fn their_proposals(&self) -> TheySigned {
        let said = |clock: Clock| clock.proposer() == Side::Them && clock.is_proposed();
        let mut signed = TheySigned::default();
        for (by, htlc) in self.ledger.htlcs() {
            if by == Side::Them && said(htlc.clock) {
                signed.adds.push(htlc.to_add_in());
            }
            if let Some(going) = &htlc.removal
                && said(going.clock)
                && let How::Theirs(removal) = &going.how
            {
                signed.removals.push((htlc.add.id, removal.clone()));
            }
        }
        signed.feerate = (self.ledger.fees.iter())
            .find(|change| said(change.clock))
            .map(|change| change.feerate);
        signed
    }

    /// What we said and did not sign yet, as our signature will record it.
    pub fn our_proposals(&self) -> WeSigned {
        let said = |clock: Clock| clock.proposer() == Side::Us && clock.is_proposed();
        let adds = (self.ledger.htlcs())
            .filter(|(_, htlc)| said(htlc.clock))
            .filter_map(|(_, htlc)| htlc.to_add_out())
            .collect();
        let feerate = (self.ledger.fees.iter())
            .find(|change| said(change.clock))
            .map(|change| change.feerate);
        WeSigned { adds, feerate }
    }

    /// Whether the best chain has the funding transaction.
    pub fn is_funding_confirmed(&self) -> bool {
        self.fundings.first().is_some_and(|funding| funding.confirmed.is_some())
    }

    /// Whether it ended because there is no funding output, and there still is none.
    pub fn is_unfunded(&self) -> bool {
        let unfunded = matches!(&self.end, Some(End::Failing(reason)) if reason.is_unfunded());
        unfunded && !self.is_funding_confirmed()
    }

    /// Its place in the chain, as long as the funding is confirmed.
    pub fn short_channel_id(&self) -> Option<ShortChannelId> {
        let funding = self.fundings.first()?;
        let (height, tx_index) = funding.confirmed?;
        let output_index = u16::try_from(funding.outpoint.vout).ok()?;
        ShortChannelId::from_parts(height, tx_index, output_index)
    }
}

/// Commitments are computed from the ledger, audited, and never stored.
impl State {
    /// `owner`'s commitment with this number and point, as `turn` leaves the ledger, on the oldest
    /// candidate of the funding. What does not add up is not built.
    pub fn commitment(
        &self,
        owner: Side,
        turn: Option<Turn>,
        number: u64,
        point: &PublicKey,
    ) -> Result<Commitment, Unbalanced> {
        self.build(owner, self.ledger.spec(owner, turn), number, point)
    }

    /// The commitments of the peer's that it did not revoke: the newest, and the one before while its
    /// revocation is awaited.
    pub fn their_commitments(&self) -> Result<Vec<Commitment>, Unbalanced> {
        let mut all = Vec::with_capacity(2);
        if let Some(point) = self.their_newest_point() {
            all.push(self.commitment(Side::Them, None, self.theirs, &point)?);
        }
        if let Some(last) = self.theirs.checked_sub(1).filter(|_| self.awaiting_revocation) {
            let spec = self.ledger.spec_of_their_last();
            all.push(self.build(Side::Them, spec, last, &self.their_point)?);
        }
        Ok(all)
    }

    fn build(
        &self,
        owner: Side,
        spec: Option<CommitmentSpec>,
        number: u64,
        point: &PublicKey,
    ) -> Result<Commitment, Unbalanced> {
        let unbalanced = |found_msat| Unbalanced {
            found_msat,
            expected_msat: self.terms.capacity.to_sat().saturating_mul(1_000),
        };
        let spec = spec.ok_or_else(|| unbalanced(u64::MAX))?;
        let keys = CommitmentKeys::derive(self.terms.keys(owner), self.terms.keys(!owner), point)
            .map_err(|_| unbalanced(0))?;
        let terms = self.commitment_terms(owner).ok_or_else(|| unbalanced(0))?;
        let commitment =
            Commitment::build(&terms, &keys, number, &spec).map_err(|fault| match fault {
                BuildError::NotConserved { spec_msat, .. } => unbalanced(spec_msat),
                BuildError::Number(_) => unbalanced(0),
            })?;
        audit(&spec, &commitment)?;
        Ok(commitment)
    }

    /// What all commitments of `owner` on the oldest candidate have in common.
    pub fn commitment_terms(&self, owner: Side) -> Option<CommitmentTerms> {
        let funding = self.fundings.first()?;
        let terms = &self.terms;
        let side = |side: Side| SideTerms {
            basepoints: *terms.keys(side),
            dust_limit: terms.params(side).dust_limit,
            to_self_delay: terms.params(side).to_self_delay,
        };
        let (ours, theirs) = (side(Side::Us), side(Side::Them));
        let (outpoint, value) = (funding.outpoint, funding.value);
        Some(CommitmentTerms::new(owner, terms.funder, &ours, &theirs, outpoint, value))
    }

    /// The output that holds the coins.
    pub fn funding_output(&self) -> Option<FundingOutput> {
        let funding = self.fundings.first()?;
        let (ours, theirs) = (&self.terms.our_keys.funding, &self.terms.their_keys.funding);
        Some(FundingOutput::new(funding.outpoint, funding.value, ours, theirs))
    }

    /// The point of the peer's newest commitment that we signed.
    pub fn their_newest_point(&self) -> Option<PublicKey> {
        if self.awaiting_revocation { self.their_next_point } else { Some(self.their_point) }
    }
}
