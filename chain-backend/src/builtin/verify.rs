//! Consensus: what makes a transaction or a block valid. Bitcoin Core's order of
//! checks, because the order decides the word a caller is told.
//! Not here: what is relayed (`policy`), which of two valid chains is best (`tree`).

pub(crate) mod block;
pub(crate) mod connect;
pub(crate) mod locks;
pub(crate) mod script;
pub(crate) mod signet;
pub(crate) mod tx;
