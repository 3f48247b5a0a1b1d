//! The stories of all channels: a fold over facts.

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::{OutPoint, Transaction, Txid};
use channel::fact::Told;
use channel::seal::Lsn;
use wire::codec::{Decode, DecodeError, Encode, Long, Reader};
use wire::id::{ChannelId, NodeId};

use crate::fact::{ChannelBorn, ChannelIndex, Fact, IntentMade, Moment, MomentKind};
use crate::why::{Milestone, What};

/// Milestones that a story keeps of its beginning: the cause of an end is among them, because what
/// comes before it are a few turns of the opening.
const FIRST: usize = 40;

/// Milestones that a story keeps at most.
const KEPT: usize = 120;

/// Outputs whose values are remembered while a channel closes: those of the largest commitment, and what
/// is made of its HTLCs.
const VALUES: usize = 2_048;

/// Transactions of ours that are remembered while a channel closes.
const OURS: usize = 2_048;

/// Stories of channels that are over which the state keeps.
pub const ENDED: usize = 4_096;

/// What happened to one channel.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Story {
    /// Its lasting number.
    pub channel: u64,
    /// The id it has since it was funded.
    pub id: ChannelId,
    /// With whom.
    pub node: NodeId,
    /// Whether we funded it.
    pub funder: bool,
    /// When it was asked for, Unix milliseconds.
    pub created_ms: u64,
    /// What it holds, satoshi; 0 before its first commitments are signed.
    pub capacity_sat: u64,
    /// Whether nothing more can happen.
    pub ended: bool,
    /// What happened, oldest first.
    pub milestones: Vec<Milestone>,
    /// How many were left out between the first and the latest.
    pub left_out: u32,
    values: BTreeMap<OutPoint, u64>,
    ours: BTreeSet<Txid>,
}

/// The stories of all channels.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Stories {
    all: BTreeMap<ChannelIndex, Story>,
    /// How far the chain was acted upon.
    height: u32,
}

impl Stories {
    /// Takes a fact in and says whose story it belongs to.
    pub fn apply(&mut self, at: Lsn, fact: &Fact) -> Option<ChannelIndex> {
        #[expect(clippy::wildcard_enum_match_arm, reason = "a fold over what tells of channels")]
        match fact {
            Fact::ChannelBorn(born) => {
                let index = ChannelIndex(born.index);
                self.all.insert(index, Story::new(born));
                Some(index)
            }
            Fact::ChannelGone(index) => {
                let story = self.all.get_mut(index)?;
                story.end();
                // What never was funded leaves nothing to ask about.
                if story.capacity_sat == 0 || is_abandoned(story) {
                    self.all.remove(index);
                }
                Some(*index)
            }
            Fact::Channel { index, record } => {
                if !channel::record::tells(record) {
                    return None;
                }
                let facts = channel::record::facts(record).ok()?;
                let height = self.height;
                let story = self.all.get_mut(index)?;
                facts.iter().for_each(|fact| story.take(at, height, fact));
                Some(*index)
            }
            Fact::Moment(moment) => {
                let index = ChannelIndex(moment.channel);
                self.all.get_mut(&index)?.take_moment(at, moment);
                Some(index)
            }
            Fact::IntentMade(made) => {
                let index = ChannelIndex(made.channel?);
                let height = self.height;
                self.all.get_mut(&index)?.take_intent(at, height, made);
                Some(index)
            }
            Fact::ChainAt(cursor) => {
                self.see_chain(cursor);
                None
            }
            _ => None,
        }
    }

    /// Takes in how far the chain was acted upon.
    pub(crate) fn see_chain(&mut self, cursor: &[u8]) {
        if let Ok(locator) = chain_backend::backend::Locator::decode(cursor) {
            self.height = locator.tip().height;
        }
    }

    /// One story.
    pub fn get(&self, index: ChannelIndex) -> Option<&Story> {
        self.all.get(&index)
    }

    /// All, by index.
    pub fn iter(&self) -> impl Iterator<Item = &Story> {
        self.all.values()
    }

    /// Lets go of the oldest stories of channels that are over, so that at most `kept` of them stay.
    pub fn forget(&mut self, kept: usize) {
        let over: Vec<_> =
            self.all.iter().filter(|(_, story)| story.ended).map(|(index, _)| *index).collect();
        let surplus = over.len().saturating_sub(kept);
        for index in over.iter().take(surplus) {
            self.all.remove(index);
        }
    }

    /// Puts a story in as it was kept.
    pub(crate) fn put(&mut self, story: Story) {
        self.all.insert(ChannelIndex(story.channel), story);
    }
}

fn is_abandoned(story: &Story) -> bool {
    story.milestones.iter().any(|milestone| matches!(milestone.what, What::Abandoned(_)))
}

impl Story {
    pub(crate) const fn new(born: &ChannelBorn) -> Self {
        Self {
            channel: born.index,
            id: ChannelId([0; 32]),
            node: born.node,
            funder: born.funder,
            created_ms: born.created_ms,
            capacity_sat: 0,
            ended: false,
            milestones: Vec::new(),
            left_out: 0,
            values: BTreeMap::new(),
            ours: BTreeSet::new(),
        }
    }

    /// What people are told of it, in at most so many bytes: without what only the fold needs, and if it must
    /// be without more of the middle.
    pub(crate) fn row(&self, bytes_max: usize) -> Self {
        let mut row = Self {
            channel: self.channel,
            id: self.id,
            node: self.node,
            funder: self.funder,
            created_ms: self.created_ms,
            capacity_sat: self.capacity_sat,
            ended: self.ended,
            milestones: self.milestones.clone(),
            left_out: self.left_out,
            values: BTreeMap::new(),
            ours: BTreeSet::new(),
        };
        loop {
            let mut bytes = Vec::new();
            Encode::encode(&row, &mut bytes);
            let middle = row.milestones.len().div_euclid(2).min(FIRST);
            if bytes.len() <= bytes_max || middle >= row.milestones.len() {
                return row;
            }
            row.milestones.remove(middle);
            row.left_out = row.left_out.saturating_add(1);
        }
    }

    fn end(&mut self) {
        self.ended = true;
        self.values = BTreeMap::new();
        self.ours = BTreeSet::new();
    }

    fn push(&mut self, at: Lsn, height: u32, what: What) {
        self.milestones.push(Milestone { seq: at.0, at_ms: 0, height, policy: 0, what });
        if self.milestones.len() > KEPT {
            self.milestones.remove(FIRST);
            self.left_out = self.left_out.saturating_add(1);
        }
    }

    pub(crate) fn take(&mut self, at: Lsn, height: u32, fact: &channel::Fact) {
        use channel::Fact as Of;
        let what = match fact {
            Of::Created(created) => {
                self.capacity_sat = created.terms.capacity.to_sat();
                let vout = u16::try_from(created.funding.vout).unwrap_or(u16::MAX);
                self.id = ChannelId::v1(&created.funding.txid, vout);
                What::Created
            }
            Of::Restored(restored) => {
                self.capacity_sat = restored.terms.capacity.to_sat();
                let vout = u16::try_from(restored.funding.vout).unwrap_or(u16::MAX);
                self.id = ChannelId::v1(&restored.funding.txid, vout);
                What::Restored
            }
            Of::FundingConfirmed { height, .. } => What::Confirmed { height: height.0 },
            Of::FundingUnconfirmed => What::Unconfirmed,
            Of::WeShutdown { asked, .. } => What::WeShutdown { asked: *asked },
            Of::TheyShutdown { .. } => What::TheyShutdown,
            Of::BothSignedClose { close, .. } => {
                // The fee is talked about more than once; the last word counts.
                self.milestones.retain(|old| !matches!(old.what, What::Agreed { .. }));
                What::Agreed { fee_sat: close.fee_sat }
            }
            Of::Failing(reason) => What::Failing(reason.clone()),
            Of::DataLoss { theirs } => What::DataLoss { theirs: *theirs },
            Of::Frozen => What::Frozen,
            Of::Quarantined => What::Quarantined,
            Of::Vouched { by_us } => What::Vouched { by_us: *by_us },
            Of::HistoryFound { htlcs, .. } => {
                What::Remembered { htlcs: u32::try_from(htlcs.len()).unwrap_or(u32::MAX) }
            }
            Of::FundingSpent { tx, height } => self.spent(tx, height.0),
            Of::FundingUnspent => What::Unspent,
            Of::OutputSpent { outpoint, tx, height } => match self.taken(*outpoint, tx, height.0) {
                Some(what) => what,
                None => return,
            },
            Of::OutputUnspent { outpoint } => What::Untaken { outpoint: *outpoint },
            Of::ResolvedOnChain { htlc, preimage } => {
                What::HtlcEnded { htlc: *htlc, paid: preimage.is_some() }
            }
            Of::Closed => {
                self.end();
                What::Closed
            }
            Of::Abandoned(reason) => {
                self.end();
                What::Abandoned(reason.clone())
            }
            Of::Told(Told::PeerError(text)) => What::PeerError(text.as_str().into()),
            Of::Told(Told::SpentBy(spender)) => {
                if let Some(Milestone { what: What::Spent { by, .. }, .. }) =
                    self.milestones.last_mut()
                {
                    *by = Some(*spender);
                }
                return;
            }
            Of::FundingSeen { .. }
            | Of::FundingConflict { .. }
            | Of::FundingConflictGone
            | Of::WeReady
            | Of::TheyReady { .. }
            | Of::WeSigned(_)
            | Of::TheySigned(_)
            | Of::TheyRevoked { .. }
            | Of::WeRemove { .. }
            | Of::PreimageSeen { .. }
            | Of::Forgotten { .. }
            | Of::WeSignedClose(_) => return,
        };
        self.push(at, height, what);
    }

    fn remember(&mut self, tx: &Transaction) {
        let txid = tx.compute_txid();
        for (vout, output) in (0_u32..).zip(&tx.output) {
            if self.values.len() < VALUES {
                self.values.insert(OutPoint { txid, vout }, output.value.to_sat());
            }
        }
    }

    fn spent(&mut self, tx: &Transaction, height: u32) -> What {
        self.remember(tx);
        let fee_sat = self.capacity_sat.saturating_sub(sum(tx));
        What::Spent { txid: tx.compute_txid(), by: None, fee_sat, height }
    }

    /// What spending an output means; `None` if it was added to what its transaction took before.
    fn taken(&mut self, outpoint: OutPoint, tx: &Transaction, at: u32) -> Option<What> {
        let txid = tx.compute_txid();
        let worth = self.values.get(&outpoint).copied().unwrap_or(0);
        for old in &mut self.milestones {
            if let What::Taken { txid: other, outputs, value_sat, height, .. } = &mut old.what
                && (*other, *height) == (txid, at)
            {
                *outputs = outputs.saturating_add(1);
                *value_sat = value_sat.saturating_add(worth);
                return None;
            }
        }
        let inputs: Option<u64> = tx.input.iter().try_fold(0_u64, |sum, input| {
            Some(sum.saturating_add(*self.values.get(&input.previous_output)?))
        });
        let ours = self.ours.contains(&txid);
        // A tower pays into our wallet as well.
        let for_us = ours || punishes(tx, &outpoint);
        // Scripts of the channel are witness script hashes; the wallet has none.
        let home = tx
            .output
            .iter()
            .filter(|output| !output.script_pubkey.is_p2wsh())
            .fold(0_u64, |sum, output| sum.saturating_add(output.value.to_sat()));
        let fee_sat = inputs.map(|inputs| inputs.saturating_sub(sum(tx)));
        let home_sat = inputs.filter(|_| for_us).map(|_| home);
        self.remember(tx);
        Some(What::Taken {
            txid,
            ours,
            outputs: 1,
            value_sat: worth,
            fee_sat,
            home_sat,
            height: at,
        })
    }

    pub(crate) fn take_moment(&mut self, at: Lsn, moment: &Moment) {
        if let MomentKind::HeldBack { reason, by_policy, cost_sat, saves_sat, before } =
            moment.kind.clone()
        {
            // Said again after every block until something changes: the newest figures count.
            if let Some(Milestone { what: What::HeldBack { .. }, .. }) = self.milestones.last() {
                self.milestones.pop();
            }
            let what = What::HeldBack { reason, by_policy, cost_sat, saves_sat, before };
            self.push(at, moment.height, what);
        }
        for milestone in self.milestones.iter_mut().rev().take_while(|one| one.seq == at.0) {
            milestone.at_ms = moment.at_ms;
            milestone.height = moment.height;
            milestone.policy = moment.policy;
        }
    }

    pub(crate) fn take_intent(&mut self, at: Lsn, height: u32, made: &IntentMade) {
        if self.ended {
            return;
        }
        let made_txid = made.txid();
        if self.ours.len() < OURS {
            self.ours.insert(made_txid);
        }
        if let Some(Milestone { seq, what: What::Sent { txid, label, times }, .. }) =
            self.milestones.last_mut()
            && *label == made.label
        {
            (*seq, *txid, *times) = (at.0, made_txid, times.saturating_add(1));
            return;
        }
        self.push(at, height, What::Sent { txid: made_txid, label: made.label.clone(), times: 1 });
    }
}

/// Whether `tx` takes this output by its revocation key, which nobody has but us and whoever watches for us.
///
/// BOLT 3: "<revocation_sig> 1" for `to_local`, "<revocation_sig> <revocationpubkey>" for an HTLC; then the script.
fn punishes(tx: &Transaction, outpoint: &OutPoint) -> bool {
    let input = tx.input.iter().find(|input| input.previous_output == *outpoint);
    input.is_some_and(|input| {
        let how = input.witness.nth(1).unwrap_or_default();
        input.witness.len() == 3 && (how == [1] || how.len() == 33)
    })
}

fn sum(tx: &Transaction) -> u64 {
    tx.output.iter().fold(0, |sum, output| sum.saturating_add(output.value.to_sat()))
}

impl Encode for Story {
    fn encode(&self, out: &mut Vec<u8>) {
        self.channel.encode(out);
        self.id.encode(out);
        self.node.encode(out);
        self.funder.encode(out);
        self.created_ms.encode(out);
        self.capacity_sat.encode(out);
        self.ended.encode(out);
        self.left_out.encode(out);
        self.milestones.encode(out);
        Long(self.values.iter().map(|(at, value)| (*at, *value)).collect()).encode(out);
        Long(self.ours.iter().copied().collect()).encode(out);
    }
}

impl Decode for Story {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            channel: Decode::decode(r)?,
            id: Decode::decode(r)?,
            node: Decode::decode(r)?,
            funder: Decode::decode(r)?,
            created_ms: Decode::decode(r)?,
            capacity_sat: Decode::decode(r)?,
            ended: Decode::decode(r)?,
            left_out: Decode::decode(r)?,
            milestones: Decode::decode(r)?,
            values: Long::<(OutPoint, u64)>::decode(r)?.0.into_iter().collect(),
            ours: Long::<Txid>::decode(r)?.0.into_iter().collect(),
        })
    }
}
