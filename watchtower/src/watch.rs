//! Every block and the mempool against every hint, late records against the blocks that were.
