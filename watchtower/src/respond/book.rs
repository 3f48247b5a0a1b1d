//! All breaches and how far each of their outputs is, as a fold over facts.
//!
//! An output is open until a block spends it, whatever a mempool says; what a block said is taken back with
//! the block. A hundred blocks on top end it. Nothing here decides anything.
//!
//! Not here: what is sent (`plan`), what a block means (`sight`).

mod bytes;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bitcoin::{OutPoint, ScriptBuf, Txid};
use wire::units::{BlockHeight, Sat};

use crate::kit::claim::{Claim, Right, Way};
use crate::message::{ClaimState, ClaimStatus};
use crate::respond::fact::{ClaimFact, Taker};
use crate::respond::topup::Added;

/// So deep nothing is taken back any more. BOLT 5: "irrevocably resolved".
pub const FINAL_DEPTH: u32 = 100;
/// Ended claims that are remembered for whoever asks.
const ENDED_MAX: usize = 10_000;

/// A transaction with outputs that can be taken.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Source {
    /// What it spends.
    pub inputs: Vec<OutPoint>,
    /// Whose record showed it.
    pub session: u32,
    /// Which.
    pub seq: u32,
    /// The block that has it.
    pub height: Option<u32>,
    /// The transaction in a block that spends what it spends, and the height.
    pub overtaken: Option<(Txid, u32)>,
}

/// The last transaction of ours for an output.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Sent {
    /// It.
    pub txid: Txid,
    /// What it pays.
    pub fee: Sat,
    /// What it weighs.
    pub weight: u64,
    /// The height at which it was first handed in.
    pub height: u32,
}

/// Where an output went.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Taken {
    /// By which transaction.
    pub by: Txid,
    /// Whose that is.
    pub taker: Taker,
    /// The block that has it.
    pub height: u32,
}

/// An output and how far it is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Tracked {
    /// The output, and how it is taken.
    pub claim: Claim,
    /// The newest transaction of ours for it.
    pub sent: Option<Sent>,
    /// The coin of the tower's own in that.
    pub added: Option<Added>,
    /// Where it went.
    pub taken: Option<Taken>,
}

/// A claim that is over, as it is remembered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct EndedClaim {
    /// The output.
    pub outpoint: OutPoint,
    /// What it held.
    pub value: Sat,
    /// Whose record showed it.
    pub session: u32,
    /// Where it went; `None` if its transaction never happened.
    pub taken: Option<Taken>,
}

/// All breaches.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Book {
    sources: BTreeMap<Txid, Source>,
    claims: BTreeMap<OutPoint, Tracked>,
    /// Whose inputs are watched: for whom.
    by_input: BTreeMap<OutPoint, Vec<Txid>>,
    ended: VecDeque<EndedClaim>,
    useless: u64,
}

impl Book {
    /// Follows one fact.
    pub fn apply(&mut self, fact: &ClaimFact) {
        match fact {
            ClaimFact::Found { source, inputs, session, seq, claims } => {
                self.found(*source, inputs, (*session, *seq), claims);
            }
            ClaimFact::Confirmed { source, height } => {
                if let Some(source) = self.sources.get_mut(source) {
                    source.height = Some(*height);
                    source.overtaken = None;
                }
            }
            ClaimFact::Overtaken { source, by, height } => {
                if let Some(source) = self.sources.get_mut(source) {
                    source.overtaken = Some((*by, *height));
                }
            }
            ClaimFact::Rewound { height } => self.rewind(*height),
            ClaimFact::Sent { txid, outpoints, fee, weight, height, added } => {
                let sent = Sent { txid: *txid, fee: *fee, weight: *weight, height: *height };
                for outpoint in outpoints {
                    if let Some(tracked) = self.claims.get_mut(outpoint) {
                        tracked.sent = Some(sent);
                        tracked.added.clone_from(added);
                    }
                }
            }
            ClaimFact::Taken { outpoint, by, taker, height } => {
                if let Some(tracked) = self.claims.get_mut(outpoint) {
                    tracked.taken = Some(Taken { by: *by, taker: *taker, height: *height });
                }
            }
            ClaimFact::Ended { source } => self.end(*source),
            ClaimFact::Useless { .. } => self.useless = self.useless.saturating_add(1),
        }
    }

    /// Transactions with outputs that can be taken.
    pub fn sources(&self) -> impl Iterator<Item = (&Txid, &Source)> {
        self.sources.iter()
    }

    /// One of them.
    pub fn source(&self, txid: &Txid) -> Option<&Source> {
        self.sources.get(txid)
    }

    /// Outputs, those of one transaction together.
    pub fn claims(&self) -> impl Iterator<Item = (&OutPoint, &Tracked)> {
        self.claims.iter()
    }

    /// One of them.
    pub fn claim(&self, outpoint: &OutPoint) -> Option<&Tracked> {
        self.claims.get(outpoint)
    }

    /// The outputs of one transaction.
    pub fn claims_of(&self, source: Txid) -> impl Iterator<Item = (&OutPoint, &Tracked)> {
        let from = OutPoint { txid: source, vout: 0 };
        let to = OutPoint { txid: source, vout: u32::MAX };
        self.claims.range(from..=to)
    }

    /// Which transactions spend this output.
    pub fn spenders_of(&self, outpoint: &OutPoint) -> &[Txid] {
        self.by_input.get(outpoint).map_or(&[], Vec::as_slice)
    }

    /// What is over, the newest last.
    pub fn ended(&self) -> impl DoubleEndedIterator<Item = &EndedClaim> {
        self.ended.iter()
    }

    /// The claims of a session, the newest breaches first, as their client is told.
    pub fn statuses(
        &self,
        session: u32,
        tip_height: u32,
    ) -> impl Iterator<Item = ClaimStatus> + '_ {
        let none = || <Txid as bitcoin::hashes::Hash>::all_zeros();
        let open = self.claims.iter().filter_map(move |(outpoint, tracked)| {
            let source = self.sources.get(&outpoint.txid)?;
            (source.session == session).then(|| ClaimStatus {
                outpoint: *outpoint,
                value: tracked.claim.value,
                state: tracked.state(source, tip_height),
                justice: match (tracked.taken, tracked.sent) {
                    (Some(taken), _) => taken.by,
                    (None, Some(sent)) => sent.txid,
                    (None, None) => none(),
                },
                height: BlockHeight(tracked.taken.map_or(0, |taken| taken.height)),
            })
        });
        let ended = self.ended.iter().rev().filter(move |ended| ended.session == session);
        open.chain(ended.map(move |ended| ClaimStatus {
            outpoint: ended.outpoint,
            value: ended.value,
            state: ended.taken.map_or(ClaimState::Failed, |taken| taken.state(tip_height)),
            justice: ended.taken.map_or_else(none, |taken| taken.by),
            height: BlockHeight(ended.taken.map_or(0, |taken| taken.height)),
        }))
    }

    /// How many records opened and could not be used.
    pub const fn useless(&self) -> u64 {
        self.useless
    }

    /// Coins of the tower's own that are in justice which may still be mined.
    pub fn promised(&self) -> Vec<OutPoint> {
        let added =
            self.claims.values().filter_map(|tracked| Some((tracked, tracked.added.as_ref()?)));
        let open = added.filter(|(tracked, _)| !self.is_settled(tracked));
        open.map(|(_, added)| added.coin.outpoint).collect()
    }

    /// Transactions of ours with a coin of the tower's own that may still be mined.
    pub fn topped_up(&self) -> BTreeSet<Txid> {
        let added = self.claims.values().filter(|tracked| tracked.added.is_some());
        let open = added.filter(|tracked| !self.is_settled(tracked));
        open.filter_map(|tracked| Some(tracked.sent?.txid)).collect()
    }

    fn is_settled(&self, tracked: &Tracked) -> bool {
        let source = self.sources.get(&tracked.claim.outpoint.txid);
        tracked.taken.is_some() || source.is_none_or(Source::is_void)
    }

    /// Whether nothing is to be done.
    pub fn is_idle(&self) -> bool {
        self.sources.is_empty()
    }

    fn found(
        &mut self,
        txid: Txid,
        inputs: &[OutPoint],
        (session, seq): (u32, u32),
        claims: &[Claim],
    ) {
        let known = self.sources.contains_key(&txid);
        if !known {
            let inputs = inputs.to_vec();
            for input in &inputs {
                self.by_input.entry(*input).or_default().push(txid);
            }
            let source = Source { inputs, session, seq, height: None, overtaken: None };
            self.sources.insert(txid, source);
        }
        for claim in claims {
            let tracked = Tracked { claim: claim.clone(), sent: None, added: None, taken: None };
            // The first record that opens decides; a second cannot take anything away from it.
            self.claims.entry(claim.outpoint).or_insert(tracked);
        }
    }

    fn rewind(&mut self, height: u32) {
        for source in self.sources.values_mut() {
            source.height = source.height.filter(|at| *at <= height);
            source.overtaken = source.overtaken.filter(|(_, at)| *at <= height);
        }
        for tracked in self.claims.values_mut() {
            tracked.taken = tracked.taken.filter(|taken| taken.height <= height);
        }
    }

    fn end(&mut self, txid: Txid) {
        let Some(source) = self.sources.remove(&txid) else { return };
        for input in &source.inputs {
            if let Some(spenders) = self.by_input.get_mut(input) {
                spenders.retain(|spender| *spender != txid);
                if spenders.is_empty() {
                    self.by_input.remove(input);
                }
            }
        }
        let outpoints: Vec<OutPoint> =
            self.claims_of(txid).map(|(outpoint, _)| *outpoint).collect();
        for outpoint in outpoints {
            let Some(tracked) = self.claims.remove(&outpoint) else { continue };
            let (value, session) = (tracked.claim.value, source.session);
            self.ended.push_back(EndedClaim { outpoint, value, session, taken: tracked.taken });
        }
        while self.ended.len() > ENDED_MAX {
            self.ended.pop_front();
        }
    }
}

impl Source {
    /// Whether another transaction took its place.
    pub const fn is_void(&self) -> bool {
        self.overtaken.is_some() && self.height.is_none()
    }
}

impl Tracked {
    /// How far it is, in a word.
    pub fn state(&self, source: &Source, tip_height: u32) -> ClaimState {
        if source.is_void() {
            return ClaimState::Failed;
        }
        match (self.taken, self.sent) {
            (Some(taken), _) => taken.state(tip_height),
            (None, Some(_)) => ClaimState::Sent,
            (None, None) => ClaimState::Seen,
        }
    }

    /// Whether it is taken by a pair that the tower may combine.
    pub const fn is_pair(&self) -> bool {
        matches!(self.claim.way, Way::Pair(_))
    }

    /// Whether it is on a valid commitment: a claim, no punishment.
    pub fn is_valid(&self) -> bool {
        matches!(&self.claim.way, Way::Keyed(keyed) if keyed.right != Right::Revoked)
    }

    /// The lowest price that was signed for, per 1,000 weight units; 0 if the tower signs.
    pub fn price(&self) -> u64 {
        match &self.claim.way {
            Way::Ladder(rungs) => rungs.first().map_or(0, |rung| u64::from(rung.feerate.0)),
            Way::Pair(pair) => u64::from(pair.feerate.0),
            Way::Keyed(_) => 0,
        }
    }

    /// Where the money goes: whoever pays that took it for the client.
    pub fn pays_to(&self) -> Option<&ScriptBuf> {
        match &self.claim.way {
            Way::Ladder(rungs) => {
                let first = rungs.first()?.tx.output.first()?;
                Some(&first.script_pubkey)
            }
            Way::Pair(pair) => Some(&pair.output.script_pubkey),
            Way::Keyed(keyed) => Some(&keyed.sweep_script),
        }
    }
}

impl Taken {
    /// How deep it is: 1 in the tip.
    pub const fn depth(self, tip_height: u32) -> u32 {
        tip_height.saturating_sub(self.height).saturating_add(1)
    }

    /// In a word.
    pub const fn state(self, tip_height: u32) -> ClaimState {
        match self.taker {
            Taker::Them => ClaimState::TakenByThem,
            Taker::Other => ClaimState::DoneByOther,
            Taker::Us if self.depth(tip_height) >= FINAL_DEPTH => ClaimState::Final,
            Taker::Us => ClaimState::Mined,
        }
    }
}
