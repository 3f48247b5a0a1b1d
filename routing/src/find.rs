//! The one door to both finders: parts that obey a request, or the reason why there are none.
//!
//! Amounts are computed backwards from the recipient, each to the millisatoshi (BOLT 7 § HTLC Fees). One path is
//! looked for with labels from the recipient; several parts with a min-cost flow.
//!
//! Not here: trying what was found, and learning from it (`daemon::payments`, [`crate::score`]).

mod field;
mod flow;
mod reach;
mod single;
mod split;
mod walk;
mod why;

#[cfg(test)]
mod tests;

use crate::graph::Snapshot;
use crate::request::Request;
use crate::route::Routes;
use crate::score::Scorer;

pub use why::{CutChannel, NoRoute, Where};

use field::{Aim, Field, Loose};
use single::Missed;
use split::Outcome;
use why::Nothing;

/// A single path that is likelier than this is taken as it is.
const LIKELY: f64 = 0.5;

/// Finds the parts of a payment at the time `now_secs` (seconds since 1970, which only what was learnt fades by).
///
/// # Errors
/// [`NoRoute`] names the constraint that no route obeys.
pub fn find(
    snapshot: &Snapshot,
    scorer: &Scorer,
    request: &Request,
    now_secs: u64,
) -> Result<Routes, NoRoute> {
    let field = Field::prepare(snapshot, scorer, request, now_secs)?;
    why::ends(&field)?;
    attempt(&field).map_err(|nothing| why::explain(&field, nothing))
}

/// The same with the flow finder alone, also for what one path could carry.
///
/// # Errors
/// [`NoRoute`] names the constraint that no route obeys.
pub fn flow(
    snapshot: &Snapshot,
    scorer: &Scorer,
    request: &Request,
    now_secs: u64,
) -> Result<Routes, NoRoute> {
    let field = Field::prepare(snapshot, scorer, request, now_secs)?;
    why::ends(&field)?;
    match split::search(&field, false) {
        Outcome::Found(routes) => Ok(routes),
        parts @ (Outcome::Cut(_) | Outcome::Parts(_) | Outcome::Fees(_)) => {
            let nothing = Nothing { missed: Missed::default(), parts: Some(parts) };
            Err(why::explain(&field, nothing))
        }
    }
}

/// One path if there is a likely one, else whatever is better: that path or parts.
fn attempt(field: &Field<'_>) -> Result<Routes, Nothing> {
    let path = one_path(field);
    if field.request.max_parts == 1 || path.as_ref().is_ok_and(|path| path.probability >= LIKELY) {
        return path.map_err(|missed| Nothing { missed, parts: None });
    }
    // What no path is wide enough for may be too much for all of them together.
    let doubtful = path.as_ref().is_err_and(|missed| missed.narrow);
    match (path, split::search(field, doubtful)) {
        (Ok(path), Outcome::Found(parts)) if parts.cost_msat < path.cost_msat => Ok(parts),
        (Ok(path), _) => Ok(path),
        (Err(_), Outcome::Found(parts)) => Ok(parts),
        (Err(missed), parts) => Err(Nothing { missed, parts: Some(parts) }),
    }
}

/// One path, by the first aim that brings one within all limits.
fn one_path(field: &Field<'_>) -> Result<Routes, Missed> {
    let found = |aim| {
        let path = single::search(field, aim)?;
        // A label knows all limits but how long its own payload is; so what it found can be walked.
        walk::one(field, &path).ok_or_else(|| Missed { length: true, ..Missed::default() })
    };
    let mut missed = match found(Aim::Best) {
        Ok(routes) => return Ok(routes),
        Err(missed) => missed,
    };
    // Where no way is wide enough, with fees or without, no other aim finds one: that is known before they are tried.
    let narrow = Missed { narrow: true, ..Missed::default() };
    if reach::behind(field, field.request.amount.to_u64()).is_some() {
        return Err(narrow);
    }
    let any = field.loose(Loose { least: true, length: true, fees: true, blocks: true });
    let Ok(path) = single::search(&any, Aim::Cheapest) else { return Err(narrow) };
    if let Some(cheapest) = walk::one(field, &path) {
        return Ok(found(Aim::Thrifty).unwrap_or(cheapest));
    }
    let fee = walk::fee(&any, &path);
    missed.cheapest = fee;
    if fee.is_some_and(|fee| fee > field.request.fee_limit.to_u64()) {
        return Err(missed);
    }
    let aims = [
        (Aim::Thrifty, missed.fees),
        (Aim::Soonest, missed.blocks),
        (Aim::Shortest, missed.length),
    ];
    let mut again = aims.iter().filter(|(_, worth_it)| *worth_it).map(|(aim, _)| found(*aim));
    again.find_map(Result::ok).ok_or(missed)
}
