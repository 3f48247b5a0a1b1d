//! Why there is no route: the constraint, by name and with its numbers.

use wire::id::{NodeId, ShortChannelId};
use wire::units::Msat;

use super::field::{Aim, Field, Loose};
use super::reach;
use super::single::{self, Missed};
use super::split::{self, Outcome};
use super::walk::Used;
use crate::graph::Direction;
use crate::request::Request;
use crate::route::Routes;

/// How many channels of a cut are named.
const CUT_NAMED_MAX: usize = 16;

/// Why no route obeys a request.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NoRoute {
    /// The amount is zero.
    #[error("there is nothing to send")]
    NothingToSend,
    /// Payer and payee are the same.
    #[error("payer and payee are the same node")]
    ToSelf,
    /// Hops, parts, or the number of things in the request are outside what is looked at.
    #[error("the request asks for more than is looked at")]
    OutOfRange,
    /// No channel of the payee is known, and there is no hint.
    #[error("no channel of node {0} is known")]
    UnknownDestination(NodeId),
    /// Channels that stand between payer and payee cannot carry the amount together, in any number of parts.
    #[error("{place} can carry {can}, and {need} is needed")]
    Cut {
        /// Where the cut is.
        place: Where,
        /// What goes over it at most, by what is known.
        can: Msat,
        /// What has to.
        need: Msat,
        /// How many channels it has.
        count: usize,
        /// The widest of them, 16 at most.
        channels: Vec<CutChannel>,
    },
    /// The amount does not fit into so many parts; `can` does.
    #[error("{parts} parts can carry {can}, and {need} is needed")]
    Parts {
        /// The most parts that were allowed.
        parts: u16,
        /// What was found for so many.
        can: Msat,
        /// What is asked for.
        need: Msat,
    },
    /// The cheapest way takes more than the fee limit.
    #[error("the cheapest way costs {cheapest} of fees, and the limit is {limit}")]
    FeeLimit {
        /// What the cheapest way that was found takes.
        cheapest: Msat,
        /// What was allowed.
        limit: Msat,
    },
    /// The way with the nearest expiry is beyond the limit.
    #[error("the nearest expiry is {least} blocks away, and the limit is {limit}")]
    CltvLimit {
        /// Blocks of the way with the fewest that was found.
        least: u32,
        /// What was allowed.
        limit: u32,
    },
    /// The shortest way has too many hops, or its onion is too long.
    #[error("the shortest way has {least} hops, and {limit} are allowed or fit the onion")]
    TooFar {
        /// Hops of the shortest way that was found.
        least: usize,
        /// What was allowed.
        limit: u8,
    },
    /// A channel on every way wants more than the amount.
    #[error("{amount} is below what channels on the way forward at least: {least}")]
    BelowMinimum {
        /// What is asked for.
        amount: Msat,
        /// The least that a way was found for.
        least: Msat,
    },
    /// There is a way, over nodes or channels that are to be avoided or lack a feature.
    #[error("every way leads over nodes or channels that are avoided or lack a feature")]
    Avoided,
    /// There are ways for less, and several limits together leave none for this amount.
    #[error("no way obeys all limits together")]
    Limits,
}

/// Where a cut is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Where {
    /// The payer's own channels.
    Payer,
    /// The channels into the payee.
    Payee,
    /// Somewhere between.
    Between,
}

impl std::fmt::Display for Where {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Payer => "our own channels",
            Self::Payee => "the channels into the payee",
            Self::Between => "the channels between us and the payee",
        })
    }
}

/// A channel of a cut.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct CutChannel {
    /// Which; `None` for a blinded tail.
    pub channel: Option<ShortChannelId>,
    /// Which way; `None` for one that is not announced.
    pub direction: Option<Direction>,
    /// What it carries at most, by what is known.
    pub can: Msat,
}

/// What an attempt at a payment came to, if it found nothing.
#[derive(Debug)]
pub(super) struct Nothing {
    /// What one path was stopped by.
    pub(super) missed: Missed,
    /// What looking for parts came to, if several are allowed.
    pub(super) parts: Option<Outcome>,
}

/// Refuses what the channels at either end cannot carry together, before anybody searches.
pub(super) fn ends(field: &Field<'_>) -> Result<(), NoRoute> {
    let need = field.request.amount.to_u64();
    for (place, lanes) in [(Where::Payee, field.to_payee()), (Where::Payer, field.out_of_payer())] {
        let can = lanes.iter().map(|(_, width)| *width).fold(0, u64::saturating_add);
        if can < need {
            return Err(relieved(field).unwrap_or_else(|| cut(field, place, lanes)));
        }
    }
    Ok(())
}

/// The constraint that left no route.
pub(super) fn explain(field: &Field<'_>, nothing: Nothing) -> NoRoute {
    if let Some(avoided) = relieved(field) {
        return avoided;
    }
    let Nothing { missed, parts } = nothing;
    if !missed.narrow
        && let Some(why) = limits(field, &missed, parts.as_ref())
    {
        return why;
    }
    amounts(field, parts)
}

/// The limit that ways which are wide enough run into.
fn limits(field: &Field<'_>, missed: &Missed, parts: Option<&Outcome>) -> Option<NoRoute> {
    let request = field.request;
    let of_parts = parts.and_then(|parts| match parts {
        Outcome::Fees(fee) => Some(*fee),
        Outcome::Found(_) | Outcome::Cut(_) | Outcome::Parts(_) => None,
    });
    let mut cheapest = missed.cheapest.into_iter().chain(of_parts).min();
    if cheapest.is_none() && missed.fees {
        // The cheapest way runs into another limit; is there one that does not?
        let any = field.loose(Loose { fees: true, ..Loose::default() });
        cheapest = [Aim::Soonest, Aim::Shortest].iter().find_map(|aim| single::fee_of(&any, *aim));
    }
    if let Some(fee) = cheapest.filter(|fee| *fee > request.fee_limit.to_u64()) {
        let cheapest = Msat::new(fee).unwrap_or(Msat::MAX);
        return Some(NoRoute::FeeLimit { cheapest, limit: request.fee_limit });
    }
    if missed.blocks {
        let late = field.loose(Loose { blocks: true, ..Loose::default() });
        if let Some(least) = single::soonest(&late) {
            return Some(NoRoute::CltvLimit { least, limit: request.cltv_limit });
        }
    }
    if missed.length {
        let limit = request.max_hops;
        let far = field.loose(Loose { length: true, ..Loose::default() });
        if let Ok(path) = single::search(&far, Aim::Shortest) {
            return Some(NoRoute::TooFar { least: path.len(), limit });
        }
    }
    if missed.least {
        let any = field.loose(Loose { least: true, ..Loose::default() });
        if let Ok(path) = single::search(&any, Aim::Best) {
            let least =
                path.iter().filter_map(|step| field.lane(step.place)).map(|lane| lane.least);
            let least = Msat::new(least.max().unwrap_or(0)).unwrap_or(Msat::MAX);
            return Some(NoRoute::BelowMinimum { amount: request.amount, least });
        }
    }
    None
}

/// No way is wide enough: the cut, or too few parts.
fn amounts(field: &Field<'_>, parts: Option<Outcome>) -> NoRoute {
    let need = field.request.amount;
    let outcome = parts.unwrap_or_else(|| one_part(field));
    match outcome {
        Outcome::Cut(behind) => {
            let lanes = field.cut(&behind);
            let of_payer = lanes
                .iter()
                .all(|(place, _)| field.lane(*place).is_some_and(|lane| lane.from == field.payer));
            let beyond = behind.iter().filter(|is_behind| **is_behind).count();
            let place = match (of_payer && !lanes.is_empty(), beyond) {
                (true, _) => Where::Payer,
                (false, ..=1) => Where::Payee,
                (false, _) => Where::Between,
            };
            cut(field, place, lanes)
        }
        Outcome::Parts(most) => NoRoute::Parts {
            parts: field.request.max_parts,
            can: Msat::new(most).unwrap_or(Msat::MAX),
            need,
        },
        Outcome::Found(_) | Outcome::Fees(_) => NoRoute::Limits,
    }
}

/// What stands in the way of a payment in one part: a cut that is too narrow even for many, or the widest way.
fn one_part(field: &Field<'_>) -> Outcome {
    let need = field.request.amount.to_u64();
    if let Some(behind) = reach::behind(field, need) {
        let can = field.cut(&behind).iter().map(|(_, width)| *width).fold(0, u64::saturating_add);
        if can < need {
            return Outcome::Cut(behind);
        }
    }
    let (widest, steps) = reach::widest(field, need);
    // Where it would just fit, its fees are in the way: what arrives over it then is what it can carry.
    let lowered = split::lower(field, &steps, widest.min(need), &Used::new());
    Outcome::Parts(lowered.map_or(widest, |walked| walked.delivered))
}

/// A cut of lanes and what each carries.
fn cut(field: &Field<'_>, place: Where, mut lanes: Vec<(u32, u64)>) -> NoRoute {
    lanes.sort_by_key(|(_, width)| std::cmp::Reverse(*width));
    let can = lanes.iter().map(|(_, width)| *width).fold(0, u64::saturating_add);
    let named = |(place, width): &(u32, u64)| {
        let (channel, direction) = field.name(*place);
        CutChannel { channel, direction, can: Msat::new(*width).unwrap_or(Msat::MAX) }
    };
    NoRoute::Cut {
        place,
        can: Msat::new(can).unwrap_or(Msat::MAX),
        need: field.request.amount,
        count: lanes.len(),
        channels: lanes.iter().take(CUT_NAMED_MAX).map(named).collect(),
    }
}

/// Whether there would be a way if nothing were avoided and no feature asked for.
fn relieved(field: &Field<'_>) -> Option<NoRoute> {
    let request = field.request;
    let any = !request.avoid_nodes.is_empty()
        || !request.avoid_channels.is_empty()
        || !request.hop_features.is_empty();
    let routes = any.then(|| {
        relaxed(field, |request| {
            request.avoid_nodes.clear();
            request.avoid_channels.clear();
            request.hop_features.clear();
        })
    });
    routes.flatten().map(|_| NoRoute::Avoided)
}

/// What is found when a request is relaxed.
fn relaxed(field: &Field<'_>, relax: impl FnOnce(&mut Request)) -> Option<Routes> {
    let mut request = field.request.clone();
    relax(&mut request);
    let field = field.again(&request).ok()?;
    super::attempt(&field).ok()
}
