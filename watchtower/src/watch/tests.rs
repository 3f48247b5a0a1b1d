//! A tower on the built-in chain, a channel, and its cheater. Scenarios carry their number.

mod breaches;
mod crashes;
mod outages;
mod purse;
mod reorgs;
pub(crate) mod scene;
mod stored;
