//! Parts that are paid: paths of a flow with exact amounts, within every limit, together the whole.

use super::field::{Aim, Field};
use super::flow::{self, Grain};
use super::reach::{self, Flows};
use super::walk::{Obstacle, Step, Used, Walked, portion, routes, walk};
use crate::route::Routes;

/// How often an amount is lowered until it fits.
const LOWERED_MAX: usize = 12;

/// What became of looking for parts.
#[derive(Debug)]
pub(super) enum Outcome {
    /// They are there.
    Found(Routes),
    /// So much cannot flow at all: who could still reach the payee when nothing more fitted.
    Cut(Vec<bool>),
    /// So much is found for the number of parts that is allowed.
    Parts(u64),
    /// Parts exist, and their fees are above the limit: what they are.
    Fees(u64),
}

/// Looks for parts: with what is best first, then with what is cheapest. `doubtful`: so much may not flow at all, and that
/// is seen to first.
pub(super) fn search(field: &Field<'_>, doubtful: bool) -> Outcome {
    let amount = field.request.amount.to_u64();
    if doubtful && let Flows::Cut(behind) = reach::flows(field, amount) {
        return Outcome::Cut(behind);
    }
    let mut most = 0;
    let mut fees = u64::MAX;
    for (aim, grain) in [
        (Aim::Best, Grain::Coarse),
        (Aim::Best, Grain::Fine),
        (Aim::Best, Grain::Roomy),
        (Aim::Thrifty, Grain::Fine),
        (Aim::Cheapest, Grain::Fine),
    ] {
        let sent = flow::send(field, aim, grain, amount);
        if sent.short > 0 && grain == Grain::Coarse {
            // Aims change prices and not what can flow: without prices that is soon known.
            if !doubtful && let Flows::Cut(behind) = reach::flows(field, amount) {
                return Outcome::Cut(behind);
            }
            continue;
        }
        let paths = flow::paths(field, &sent);
        let (parts, short) = fit(field, &paths, amount);
        if short > 0 {
            most = most.max(amount.saturating_sub(short));
            continue;
        }
        let parts: Vec<(&[Step], Walked)> =
            parts.iter().map(|(steps, walked)| (*steps, walked.clone())).collect();
        if let Some(routes) = routes(field, &parts) {
            return Outcome::Found(routes);
        }
        let sum = parts.iter().map(|(_, walked)| walked.fee()).fold(0, u64::saturating_add);
        fees = fees.min(sum);
    }
    if fees < u64::MAX { Outcome::Fees(fees) } else { Outcome::Parts(most) }
}

/// Exact amounts for the widest paths, and what of the amount they do not carry.
fn fit<'p>(
    field: &Field<'_>,
    paths: &'p [(Vec<Step>, u64)],
    amount: u64,
) -> (Vec<(&'p [Step], Walked)>, u64) {
    let parts_max = usize::from(field.request.max_parts);
    let mut used = Used::new();
    let mut parts: Vec<(&[Step], Walked)> = Vec::new();
    let mut short = amount;
    for (steps, share) in paths {
        if parts.len() >= parts_max || short == 0 {
            break;
        }
        if let Some(walked) = lower(field, steps, (*share).min(short), &used) {
            short = short.saturating_sub(walked.delivered);
            take(&mut used, steps, &walked, true);
            parts.push((steps, walked));
        }
    }
    // What is missing goes where there is room.
    for (steps, walked) in &mut parts {
        if short == 0 {
            break;
        }
        take(&mut used, steps, walked, false);
        let whole = walked.delivered.saturating_add(short);
        if let Some(more) = lower(field, steps, whole, &used)
            && more.delivered > walked.delivered
        {
            short = whole.saturating_sub(more.delivered);
            *walked = more;
        }
        take(&mut used, steps, walked, true);
    }
    // Costs and chances as they are with all parts under way.
    let mut under_way = Used::new();
    for (steps, walked) in &mut parts {
        if let Ok(again) = walk(field, steps, walked.delivered, &under_way) {
            *walked = again;
        }
        take(&mut under_way, steps, walked, true);
    }
    (parts, short)
}

/// The most up to `amount` that a path delivers beside what is used; `None` if its limits leave nothing.
pub(super) fn lower(field: &Field<'_>, steps: &[Step], amount: u64, used: &Used) -> Option<Walked> {
    let mut amount = amount;
    for _ in 0..LOWERED_MAX {
        match walk(field, steps, amount, used) {
            Ok(walked) => return Some(walked),
            Err(Obstacle::Most { most, carries, .. }) => {
                // Upstream a little more flows than arrives, so lowering by the excess is nearly enough, and the
                // proportion is never too little.
                let by_share = portion(amount, most, carries.max(1));
                let by_excess = amount.saturating_sub(carries.saturating_sub(most));
                amount = by_share.min(by_excess).min(amount.saturating_sub(1));
                if amount == 0 {
                    return None;
                }
            }
            Err(Obstacle::Least { .. } | Obstacle::Length) => return None,
        }
    }
    None
}

/// Notes what a part takes of each lane, or gives it back.
fn take(used: &mut Used, steps: &[Step], walked: &Walked, takes: bool) {
    for (step, (amount, _)) in steps.iter().zip(&walked.htlcs) {
        let entry = used.entry(step.place).or_default();
        *entry = if takes { entry.saturating_add(*amount) } else { entry.saturating_sub(*amount) };
    }
}
