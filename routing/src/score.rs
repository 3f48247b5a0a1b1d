//! What we have learnt of others' balances, and what an uncertain channel costs.
//!
//! For each direction two bounds: it could forward this much, it could not forward that much. Between them, and
//! where nothing is known, a prior says how likely an amount is (Pickhardt and Richter, "Optimally Reliable &
//! Cheap Payment Flows on the Lightning Network", 2021). Bounds move back to the prior with time.
//!
//! Not here: which failure says what about which hop (`daemon::payments`).

mod belief;
mod bytes;
mod curve;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::BTreeMap;

use wire::id::ShortChannelId;
use wire::units::Msat;

use crate::graph::{Direction, Snapshot, at, small};

pub(crate) use belief::Belief;
pub use bytes::ScoreError;
pub use curve::Prior;
pub(crate) use curve::{Bounds, doubt_fresh, floor, real};

/// The most channels that something is remembered about; the oldest sixteenth goes when there are more.
pub const BELIEFS_MAX: usize = 65_536;

/// What is worth how much. All in millisatoshi or shares of the amount.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScoreConfig {
    /// How balances are spread where nothing is known.
    pub prior: Prior,
    /// Seconds after which half of what was learnt is forgotten.
    pub half_life_secs: u64,
    /// What a part that is e times less likely is worse by.
    pub doubt_msat: u32,
    /// The same, in millionths of the amount.
    pub doubt_millionths: u32,
    /// What each hop costs beside its fee: others fail, and take time.
    pub hop_msat: u32,
    /// The same, in millionths of the amount.
    pub hop_millionths: u32,
    /// What locking the amount for one block is worth, in billionths of it.
    pub lock_billionths: u32,
}

impl Default for ScoreConfig {
    fn default() -> Self {
        Self {
            prior: Prior::default(),
            half_life_secs: 6 * 3_600,
            doubt_msat: 5_000,
            doubt_millionths: 1_000,
            hop_msat: 500,
            hop_millionths: 50,
            lock_billionths: 15,
        }
    }
}

/// What attempts have taught. One task owns it and one graph is meant.
#[derive(Clone, Debug, Default)]
pub struct Scorer {
    config: ScoreConfig,
    /// Where each channel's belief is.
    places: BTreeMap<ShortChannelId, u32>,
    beliefs: Vec<(ShortChannelId, Belief)>,
    /// For each channel number of the graph, its belief's place and one; 0 for none.
    dense: Vec<u32>,
    /// The layout that `dense` is for, and how many beliefs are in it.
    dense_of: Option<(u64, usize)>,
}

impl Scorer {
    /// Nothing learnt yet.
    pub fn new(config: ScoreConfig) -> Self {
        Self { config, ..Self::default() }
    }

    /// What is worth how much.
    pub const fn config(&self) -> &ScoreConfig {
        &self.config
    }

    /// Changes what is worth how much; what was learnt stays.
    pub const fn set_config(&mut self, config: ScoreConfig) {
        self.config = config;
    }

    /// An HTLC passed this direction and went on, or was a probe: so much was there, of all that we had in flight
    /// there.
    pub fn passed(
        &mut self,
        channel: ShortChannelId,
        direction: Direction,
        amount: Msat,
        now_secs: u64,
    ) {
        let half_life = self.config.half_life_secs;
        self.belief_mut(channel).passed(direction, amount, now_secs, half_life);
    }

    /// An HTLC could not pass this direction for want of liquidity: `amount` with all that we had in flight there.
    /// BOLT 4, `temporary_channel_failure`.
    pub fn stuck(
        &mut self,
        channel: ShortChannelId,
        direction: Direction,
        amount: Msat,
        now_secs: u64,
    ) {
        let half_life = self.config.half_life_secs;
        self.belief_mut(channel).stuck(direction, amount, now_secs, half_life);
    }

    /// A payment settled: the amount went from one end to the other.
    pub fn settled(
        &mut self,
        channel: ShortChannelId,
        direction: Direction,
        amount: Msat,
        now_secs: u64,
    ) {
        let half_life = self.config.half_life_secs;
        self.belief_mut(channel).settled(direction, amount, now_secs, half_life);
    }

    /// What is believed now of one direction: at least the first can be sent, less than the second. `None` if
    /// nothing was learnt.
    pub fn bounds(
        &self,
        channel: ShortChannelId,
        direction: Direction,
        now_secs: u64,
    ) -> Option<(Msat, Option<Msat>)> {
        let place = self.places.get(&channel)?;
        let (_, belief) = self.beliefs.get(at(*place))?;
        let (least, below) = belief.bounds(direction, now_secs, self.config.half_life_secs);
        Some((Msat::new(least).unwrap_or(Msat::MAX), below.and_then(Msat::new)))
    }

    /// How many channels something is known about.
    pub fn len(&self) -> usize {
        self.beliefs.len()
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.beliefs.is_empty()
    }

    /// Forgets what was learnt of one channel.
    pub fn forget(&mut self, channel: ShortChannelId) {
        if let Some(place) = self.places.remove(&channel) {
            self.beliefs.swap_remove(at(place));
            if let Some((moved, _)) = self.beliefs.get(at(place)) {
                self.places.insert(*moved, place);
            }
            self.dense_of = None;
        }
    }

    /// The same without the failures from before a moment; `None` if there are none. BOLT 4 has one failure for a
    /// channel that lacks liquidity and for one whose peer was away for a second, so where no other way is left an
    /// old failure is worth a try.
    pub fn hopeful(&self, since_secs: u64) -> Option<Self> {
        let mut hopeful = self.clone();
        let mut hoped = false;
        for (_, belief) in &mut hopeful.beliefs {
            hoped |= belief.hope(since_secs);
        }
        hoped.then_some(hopeful)
    }

    /// Forgets everything.
    pub fn forget_all(&mut self) {
        *self = Self::new(self.config);
    }

    /// Takes over what another has learnt where it is newer.
    pub fn merge(&mut self, other: &Self) {
        for (channel, belief) in &other.beliefs {
            self.belief_mut(*channel).merge(belief);
        }
    }

    /// Finds the channels of a snapshot that something is known about, so that searches need not. Worth a call for
    /// every new snapshot and after every attempt; searches are right without.
    pub fn follow(&mut self, snapshot: &Snapshot) {
        if let Cow::Owned(dense) = self.dense(snapshot) {
            self.dense = dense;
            self.dense_of = Some((snapshot.layout(), self.beliefs.len()));
        }
    }

    /// For each channel number, the place of its belief and one.
    pub(crate) fn dense(&self, snapshot: &Snapshot) -> Cow<'_, [u32]> {
        if self.beliefs.is_empty() {
            return Cow::Borrowed(&[]);
        }
        let (mut dense, from) = match self.dense_of {
            Some((layout, count)) if layout == snapshot.layout() => {
                if count == self.beliefs.len() {
                    return Cow::Borrowed(&self.dense);
                }
                (self.dense.clone(), count)
            }
            _ => (Vec::new(), 0),
        };
        let topology = snapshot.topology();
        dense.resize(topology.channel_bound(), 0);
        for (place, (scid, _)) in self.beliefs.iter().enumerate().skip(from) {
            let number = topology.find(*scid);
            if let Some(slot) = number.and_then(|number| dense.get_mut(at(number))) {
                *slot = small(place).saturating_add(1);
            }
        }
        Cow::Owned(dense)
    }

    /// The belief at a place in [`Self::dense`].
    pub(crate) fn belief(&self, place_and_one: u32) -> Option<&Belief> {
        let place = at(place_and_one).checked_sub(1)?;
        self.beliefs.get(place).map(|(_, belief)| belief)
    }

    fn belief_mut(&mut self, channel: ShortChannelId) -> &mut Belief {
        if self.beliefs.len() >= BELIEFS_MAX && !self.places.contains_key(&channel) {
            self.shrink();
        }
        let next = small(self.beliefs.len());
        let place = *self.places.entry(channel).or_insert(next);
        if place == next {
            self.beliefs.push((channel, Belief::default()));
        }
        let place = at(place).min(self.beliefs.len().saturating_sub(1));
        // The place is in range: either it was there, or it was pushed just now.
        #[allow(clippy::indexing_slicing, reason = "an entry of `places` is a place in `beliefs`")]
        &mut self.beliefs[place].1
    }

    /// Drops the sixteenth that is oldest.
    fn shrink(&mut self) {
        self.beliefs.sort_by_key(|(scid, belief)| (std::cmp::Reverse(belief.newest()), *scid));
        self.beliefs.truncate(BELIEFS_MAX.saturating_sub(BELIEFS_MAX / 16));
        self.places =
            (0_u32..).zip(&self.beliefs).map(|(place, (scid, _))| (*scid, place)).collect();
        self.dense_of = None;
    }
}
