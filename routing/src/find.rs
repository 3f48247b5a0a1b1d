//! The one door to both finders: parts that obey a request, or the reason why there are none.
//!
//! Amounts are computed backwards from the recipient, each to the millisatoshi (BOLT 7 § HTLC Fees). One path is
//! looked for with labels from the recipient; several parts with a min-cost flow.
//!
//! Not here: trying what was found, and learning from it (`daemon::payments`, [`crate::score`]).

mod field;
mod single;
mod walk;
mod why;

#[cfg(test)]
mod tests;

use crate::graph::Snapshot;
use crate::request::Request;
use crate::route::Routes;
use crate::score::Scorer;

pub use why::{CutChannel, NoRoute, Where};

use field::{Aim, Field};

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
    for aim in [Aim::Best, Aim::Thrifty, Aim::Cheapest, Aim::Soonest, Aim::Shortest] {
        if let Some(path) = single::search(&field, aim)
            && let Some(routes) = walk::one(&field, &path)
        {
            return Ok(routes);
        }
    }
    Err(why::explain(&field))
}
