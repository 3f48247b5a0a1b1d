//! A request laid over a snapshot: numbers for ids, lanes that gossip does not know, what is avoided or in flight.

mod ends;
mod prepare;

use std::borrow::Cow;
use std::collections::BTreeMap;

use wire::id::NodeId;

use super::why::NoRoute;
use crate::graph::{Direction, Lane, Rows, Snapshot, at, small};
use crate::request::Request;
use crate::score::{Belief, Bounds, Prior, ScoreConfig, Scorer, doubt_fresh, floor, real};

/// Nobody goes through this node.
const CLOSED: u8 = 1;
/// Lanes that gossip does not know lead to it.
const EXTRA: u8 = 2;
/// It has a channel with the payer.
const NEAR: u8 = 4;

/// A lane that the request brought.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extra {
    pub(super) lane: Lane,
    pub(super) to: u32,
    pub(super) via: ExtraVia,
}

/// Where an extra lane comes from, by place in the request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum ExtraVia {
    Own(usize),
    Hint(usize, usize),
    Tail(usize),
}

/// What else is known about a public direction.
#[derive(Clone, Copy, Debug, Default)]
struct Held {
    in_flight: u64,
    avoided: bool,
}

/// What a search minimises.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Aim {
    /// Fee, doubt, hops and waiting, each at its worth.
    Best,
    /// The same, fees weighing eight times.
    Thrifty,
    /// Fees alone.
    Cheapest,
    /// Blocks until the expiry alone.
    Soonest,
    /// Hops alone.
    Shortest,
}

/// What things are worth for an amount, so that lanes into one node share the computation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Worth {
    aim: Aim,
    hop: u64,
    doubt: f64,
    block: f64,
}

/// A search's whole view.
#[derive(Clone, Debug)]
pub(super) struct Field<'a> {
    pub(super) request: &'a Request,
    pub(super) snapshot: &'a Snapshot,
    pub(super) rows: &'a Rows,
    scorer: &'a Scorer,
    config: ScoreConfig,
    prior: Prior,
    dense: Cow<'a, [u32]>,
    now_secs: u64,
    pub(super) payer: u32,
    pub(super) payee: u32,
    /// By the node they lead to.
    pub(super) extras: Vec<Extra>,
    /// Nodes that the graph does not know; their numbers follow the graph's.
    strangers: Vec<NodeId>,
    marks: Vec<u8>,
    /// A bit for each public direction that is not plain.
    special: Vec<u64>,
    held: BTreeMap<u32, Held>,
    pub(super) loose: Loose,
}

/// What a search may overlook, to find out what stands in the way.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Loose {
    /// `htlc_minimum_msat`.
    pub(super) least: bool,
    /// Hops and bytes.
    pub(super) length: bool,
    /// The fee limit.
    pub(super) fees: bool,
    /// The CLTV limit.
    pub(super) blocks: bool,
}

impl<'a> Field<'a> {
    /// The same for another request.
    pub(super) fn again<'b>(&self, request: &'b Request) -> Result<Field<'b>, NoRoute>
    where
        'a: 'b,
    {
        Field::prepare(self.snapshot, self.scorer, request, self.now_secs)
    }

    /// The same, overlooking something.
    pub(super) fn loose(&self, loose: Loose) -> Self {
        Self { loose, ..self.clone() }
    }

    /// How many nodes have numbers.
    pub(super) fn nodes(&self) -> usize {
        self.marks.len()
    }

    /// Whether nobody goes through a node. The payer may be avoided and pays all the same.
    pub(super) fn is_closed(&self, node: u32) -> bool {
        self.marks.get(at(node)).is_none_or(|marks| marks & CLOSED != 0)
    }

    /// The extra lanes into a node, with their places.
    pub(super) fn extras_into(&self, node: u32) -> impl Iterator<Item = (u32, &Extra)> {
        let any = self.marks.get(at(node)).is_some_and(|marks| marks & EXTRA != 0);
        let first = self.extras.partition_point(|extra| extra.to < node);
        let row = if any { self.extras.get(first..).unwrap_or_default() } else { &[] };
        let first = small(self.rows.len().saturating_add(first));
        (first..).zip(row.iter().take_while(move |extra| extra.to == node))
    }

    /// The fewest hops from the payer that a node can be reached by, as far as is known without looking.
    pub(super) fn hops_away(&self, node: u32) -> u64 {
        if node == self.payer {
            return 0;
        }
        self.marks.get(at(node)).map_or(2, |marks| if marks & NEAR == 0 { 2 } else { 1 })
    }

    /// Whether a place is an extra lane's, and which.
    pub(super) fn extra_at(&self, place: u32) -> Option<&Extra> {
        self.extras.get(at(place).checked_sub(self.rows.len())?)
    }

    /// A lane by its place.
    pub(super) fn lane(&self, place: u32) -> Option<&Lane> {
        self.extra_at(place).map(|extra| &extra.lane).or_else(|| self.rows.lane(place))
    }

    /// The id of a node.
    pub(super) fn node_id(&self, node: u32) -> Option<NodeId> {
        let stranger =
            || self.strangers.get(at(node.checked_sub(self.rows.node_bound())?)).copied();
        self.snapshot.topology().node_id(node).or_else(stranger)
    }

    /// Whether lanes of the graph out of the payer count: not if it said what its channels are.
    pub(super) const fn payer_is_public(&self) -> bool {
        self.request.own_channels.is_none()
    }

    /// -ln of the chance that a lane carries an amount; `None` if it must not or cannot.
    #[inline]
    pub(super) fn doubt(&self, lane: &Lane, public: bool, amount: u64) -> Option<f64> {
        if !public {
            return Some(0.0);
        }
        if !self.is_special(lane) {
            return doubt_fresh(self.prior, real(amount), real(lane.capacity));
        }
        self.doubt_special(lane, amount)
    }

    /// Whether what fits a lane's limits can pass it, by all that is known.
    #[inline]
    pub(super) fn is_plain(&self, lane: &Lane, public: bool) -> bool {
        !public || !self.is_special(lane)
    }

    /// Whether more is known of a public lane than gossip says.
    #[inline]
    fn is_special(&self, lane: &Lane) -> bool {
        let word = self.special.get(at(lane.edge >> 6)).copied().unwrap_or_default();
        word >> (lane.edge & 63) & 1 != 0
    }

    fn doubt_special(&self, lane: &Lane, amount: u64) -> Option<f64> {
        let held = self.held.get(&lane.edge).copied().unwrap_or_default();
        let amount = amount.saturating_add(held.in_flight);
        if held.avoided || amount > lane.capacity {
            return None;
        }
        match self.belief(lane.edge) {
            None => doubt_fresh(self.prior, real(amount), real(lane.capacity)),
            Some((least, below)) => {
                let bounds = self.bounds(lane, least, below);
                bounds.doubt(self.prior, real(amount))
            }
        }
    }

    fn bounds(&self, lane: &Lane, least: u64, below: Option<u64>) -> Bounds {
        let above = lane.capacity.saturating_add(1);
        Bounds {
            least: real(least.min(lane.capacity)),
            below: real(below.map_or(above, |below| below.min(above))),
            capacity: real(lane.capacity),
        }
    }

    fn belief(&self, edge: u32) -> Option<(u64, Option<u64>)> {
        let place = self.dense.get(at(edge >> 1)).copied().filter(|place| *place != 0)?;
        let belief: &Belief = self.scorer.belief(place)?;
        let direction = Direction::from_bit(edge & 1 == 1);
        Some(belief.bounds(direction, self.now_secs, self.config.half_life_secs))
    }

    /// The most that a public lane can carry of all our parts, by what is known.
    pub(super) fn room(&self, lane: &Lane) -> u64 {
        if !self.is_special(lane) {
            return lane.capacity;
        }
        let held = self.held.get(&lane.edge).copied().unwrap_or_default();
        if held.avoided {
            return 0;
        }
        let below = self.belief(lane.edge).and_then(|(_, below)| below);
        let capacity =
            below.map_or(lane.capacity, |below| below.saturating_sub(1).min(lane.capacity));
        capacity.saturating_sub(held.in_flight)
    }

    /// What a lane carries at most of all parts that one search makes.
    pub(super) fn width(&self, place: u32, lane: &Lane) -> u64 {
        match self.extra_at(place) {
            Some(extra) => extra.lane.most,
            None => self.room(lane).min(lane.most),
        }
    }

    /// What a public lane is known to carry beside what is in flight.
    pub(super) fn surely(&self, lane: &Lane) -> u64 {
        if !self.is_special(lane) {
            return 0;
        }
        let held = self.held.get(&lane.edge).map_or(0, |held| held.in_flight);
        self.belief(lane.edge).map_or(0, |(least, _)| least.saturating_sub(held))
    }

    /// How many places lanes have.
    pub(super) fn places(&self) -> usize {
        self.rows.len().saturating_add(self.extras.len())
    }

    /// What things are worth when `amount` is carried.
    pub(super) fn worth(&self, aim: Aim, amount: u64) -> Worth {
        let config = &self.config;
        let share = |millionths: u32| {
            u64::try_from(u128::from(amount).saturating_mul(u128::from(millionths)) / 1_000_000)
                .unwrap_or(u64::MAX)
        };
        Worth {
            aim,
            hop: u64::from(config.hop_msat).saturating_add(share(config.hop_millionths)),
            doubt: real(
                u64::from(config.doubt_msat).saturating_add(share(config.doubt_millionths)),
            ),
            block: scaled(real(amount), config.lock_billionths),
        }
    }
}

/// A millisatoshi amount times billionths.
#[allow(clippy::float_arithmetic, reason = "a worth, not an amount that is paid")]
fn scaled(amount: f64, billionths: u32) -> f64 {
    amount * f64::from(billionths) * 1e-9
}

impl Worth {
    /// What a lane costs, with its fee, its blocks and its doubt.
    #[inline]
    #[allow(clippy::float_arithmetic, reason = "a worth, not an amount that is paid")]
    pub(super) fn of(&self, fee: u64, blocks: u16, doubt: f64) -> u64 {
        match self.aim {
            Aim::Best | Aim::Thrifty => {
                let fee = if self.aim == Aim::Best { fee } else { fee.saturating_mul(8) };
                let risk = floor(doubt * self.doubt + f64::from(blocks) * self.block);
                fee.saturating_add(self.hop).saturating_add(risk)
            }
            Aim::Cheapest => fee,
            Aim::Soonest => u64::from(blocks),
            Aim::Shortest => 1,
        }
    }

    /// Whether doubt counts.
    #[inline]
    pub(super) const fn knows_doubt(&self) -> bool {
        matches!(self.aim, Aim::Best | Aim::Thrifty)
    }

    /// What a part that is e times less likely is worse by.
    pub(super) const fn doubt_msat(&self) -> f64 {
        self.doubt
    }

    /// The least that any hop costs.
    pub(super) const fn least_hop(&self) -> u64 {
        match self.aim {
            Aim::Best | Aim::Thrifty => self.hop,
            Aim::Cheapest | Aim::Soonest => 0,
            Aim::Shortest => 1,
        }
    }
}
