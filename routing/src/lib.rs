//! What we know of the network and the way through it (BOLT 7).

pub mod gossip;
