//! What a channel does in each phase of its life. BOLT 2, BOLT 5.
//!
//! Not here: the connection (`link`), the state they all work on (`state`).

pub(crate) mod closing;
pub(crate) mod funding;
pub(crate) mod history;
pub(crate) mod onchain;
pub(crate) mod open;
pub(crate) mod opening;
pub(crate) mod unfunded;
