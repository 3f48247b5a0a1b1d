//! What gets through at all, were there neither fees nor expiries: who reaches the payee, how wide the widest way is,
//! the most that flows.
//!
//! All limits that are left out only make less possible, so a "no" of this file is a proof, and cheap: one pass
//! over the lanes, or a few. A "yes" is no more than a hope.

use std::collections::{BTreeMap, BinaryHeap};

use super::field::Field;
use super::walk::Step;
use crate::graph::{Lane, at};

/// How often a way is filled before the most that flows is left open.
const FILLS_MAX: usize = 2_000;
/// Ways are filled that have room for this part of the amount, then for such a part of that.
const STEP: u64 = 32;

const NOBODY: u32 = u32::MAX;

/// How a node gets on towards the payee.
#[derive(Clone, Copy, Debug)]
struct Came {
    place: u32,
    next: u32,
    /// The lane is used against what flows there.
    back: bool,
}

const NO_WAY: Came = Came { place: NOBODY, next: NOBODY, back: false };

/// Who can pass `amount` on to the payee in one part; `None` if the payer can.
pub(super) fn behind(field: &Field<'_>, amount: u64) -> Option<Vec<bool>> {
    let mut pipes = Pipes::lay(field, u64::MAX);
    if pipes.sweep(amount.max(1)) { None } else { Some(pipes.reached()) }
}

/// The widest way and what it can carry, up to `need`.
pub(super) fn widest(field: &Field<'_>, need: u64) -> (u64, Vec<Step>) {
    let mut widths = vec![0_u64; field.nodes()];
    let mut came = vec![NO_WAY; field.nodes()];
    let mut heap = BinaryHeap::new();
    if let Some(width) = widths.get_mut(at(field.payee)) {
        *width = need;
    }
    heap.push((need, field.payee));
    while let Some((width, node)) = heap.pop() {
        if node == field.payer {
            return (width, steps(field, &came));
        }
        if widths.get(at(node)).is_none_or(|known| *known > width) {
            continue;
        }
        each_lane(field, node, |place, lane| {
            let width = width.min(field.width(place, lane));
            if let Some(known) = widths.get_mut(at(lane.from)).filter(|known| **known < width) {
                *known = width;
                if let Some(came) = came.get_mut(at(lane.from)) {
                    *came = Came { place, next: node, back: false };
                }
                heap.push((width, lane.from));
            }
        });
    }
    (0, Vec::new())
}

/// The steps from the payer on.
fn steps(field: &Field<'_>, came: &[Came]) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut node = field.payer;
    while node != field.payee && steps.len() < came.len() {
        let Some(here) = came.get(at(node)) else { break };
        steps.push(Step { place: here.place, from: node, to: here.next });
        node = here.next;
    }
    steps
}

/// What the most that flows says of an amount.
#[derive(Debug)]
pub(super) enum Flows {
    /// It can flow.
    All,
    /// Less can: whoever is marked could still reach the payee when nothing more fitted.
    Cut(Vec<bool>),
    /// Too many ways to tell.
    Unknown,
}

/// Whether an amount can flow, in any number of parts.
pub(super) fn flows(field: &Field<'_>, amount: u64) -> Flows {
    let mut pipes = Pipes::lay(field, amount.saturating_add(field.request.fee_limit.to_u64()));
    let mut left = amount;
    let mut step = amount.max(1);
    for _ in 0..FILLS_MAX {
        if pipes.sweep(step.min(left)) {
            left = left.saturating_sub(pipes.fill(left));
            if left == 0 {
                return Flows::All;
            }
        } else if step == 1 {
            return Flows::Cut(pipes.reached());
        } else {
            step = (step / STEP).max(1);
        }
    }
    Flows::Unknown
}

/// Calls for every lane into a node that may be used.
#[inline]
fn each_lane(field: &Field<'_>, node: u32, mut of: impl FnMut(u32, &Lane)) {
    let public = field.payer_is_public();
    let first = field.rows.start_of(node);
    for (place, lane) in (first..).zip(field.rows.toward(node)) {
        let usable = if lane.from == field.payer { public } else { !field.is_closed(lane.from) };
        if usable {
            of(place, lane);
        }
    }
    for (place, extra) in field.extras_into(node) {
        if extra.lane.from == field.payer || !field.is_closed(extra.lane.from) {
            of(place, &extra.lane);
        }
    }
}

/// Lanes as pipes, and what flows in them.
struct Pipes<'f, 'a> {
    field: &'f Field<'a>,
    /// Lanes that forward nothing as small as this are left out.
    least_max: u64,
    /// By place.
    used: Vec<u64>,
    /// Lanes that something flows in, by who forwards there.
    out: BTreeMap<u32, Vec<(u32, u32)>>,
    came: Vec<Came>,
    queue: Vec<u32>,
}

impl<'f, 'a> Pipes<'f, 'a> {
    fn lay(field: &'f Field<'a>, least_max: u64) -> Self {
        Self {
            field,
            least_max,
            used: vec![0; field.places()],
            out: BTreeMap::new(),
            came: Vec::new(),
            queue: Vec::new(),
        }
    }

    /// Looks for the payer with room for `least` all the way.
    fn sweep(&mut self, least: u64) -> bool {
        let field = self.field;
        self.came.clear();
        self.came.resize(field.nodes(), NO_WAY);
        self.queue.clear();
        self.queue.push(field.payee);
        if let Some(payee) = self.came.get_mut(at(field.payee)) {
            payee.next = field.payee;
        }
        let mut head = 0_usize;
        while let Some(node) = self.queue.get(head).copied() {
            head = head.saturating_add(1);
            let Self { came, queue, used, least_max, .. } = self;
            each_lane(field, node, |place, lane| {
                let Some(known) = came.get_mut(at(lane.from)) else { return };
                if known.next != NOBODY || lane.least > *least_max || lane.most < least {
                    return;
                }
                let used = used.get(at(place)).copied().unwrap_or_default();
                if field.width(place, lane).saturating_sub(used) >= least {
                    *known = Came { place, next: node, back: false };
                    queue.push(lane.from);
                }
            });
            // What flows out of this node can be sent another way: then whoever it flows to gets on from here.
            for (place, to) in self.out.get(&node).into_iter().flatten() {
                let used = self.used.get(at(*place)).copied().unwrap_or_default();
                let Some(known) = self.came.get_mut(at(*to)) else { continue };
                if known.next == NOBODY && used >= least {
                    *known = Came { place: *place, next: node, back: true };
                    self.queue.push(*to);
                }
            }
            if self.came.get(at(field.payer)).is_some_and(|came| came.next != NOBODY) {
                return true;
            }
        }
        false
    }

    /// Who was reached by the last sweep.
    fn reached(&self) -> Vec<bool> {
        self.came.iter().map(|came| came.next != NOBODY).collect()
    }

    /// The steps of the way that the last sweep found, each with who forwards.
    fn way(&self) -> Vec<(u32, Came)> {
        let mut way = Vec::new();
        let mut node = self.field.payer;
        while node != self.field.payee && way.len() < self.came.len() {
            let Some(came) = self.came.get(at(node)).copied() else { break };
            way.push((node, came));
            node = came.next;
        }
        way
    }

    /// Fills the way that the last sweep found; by how much.
    fn fill(&mut self, left: u64) -> u64 {
        let way = self.way();
        let room = |(_, came): &(u32, Came)| {
            let used = self.used.get(at(came.place)).copied().unwrap_or_default();
            if came.back {
                return used;
            }
            let lane = self.field.lane(came.place);
            lane.map_or(0, |lane| self.field.width(came.place, lane)).saturating_sub(used)
        };
        let most = way.iter().map(room).min().unwrap_or_default().min(left);
        for (node, came) in way {
            let Some(used) = self.used.get_mut(at(came.place)) else { continue };
            if came.back {
                *used = used.saturating_sub(most);
                continue;
            }
            *used = used.saturating_add(most);
            let out = self.out.entry(node).or_default();
            if !out.iter().any(|(place, _)| *place == came.place) {
                out.push((came.place, came.next));
            }
        }
        most
    }
}
