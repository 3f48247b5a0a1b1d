//! Blocks, transactions and scripts with the fields that Bitcoin Core shows.

pub(super) mod block;
pub(super) mod script;
pub(super) mod tx;
