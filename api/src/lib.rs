//! What apps see: the gRPC contract, its client, and the tokens that open it.
//!
//! The contract itself is in `proto/`, one service a file; its comments are the reference. Here are the
//! types made from it ([`v1`], and [`chain`] for the shared built-in chain), the client ([`client`]),
//! tokens ([`auth`]), the certificate ([`tls`]) and the reasons of every refusal ([`reason`]).
//! Not here: what the calls do (daemon), and how their answers look to people (cli).

pub mod auth;
pub mod calendar;
pub mod client;
pub mod json;
pub mod reason;
pub mod tls;

/// Types, clients and servers of package `viaduct.v1`, as made from `proto/`.
#[allow(
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    clippy::all,
    clippy::pedantic,
    clippy::nursery,
    clippy::restriction,
    reason = "generated"
)]
pub mod v1 {
    tonic::include_proto!("viaduct.v1");
}

/// Types, clients and servers of package `viaduct.chain.v1`: the built-in chain, shared by daemons.
#[allow(
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    clippy::all,
    clippy::pedantic,
    clippy::nursery,
    clippy::restriction,
    reason = "generated"
)]
pub mod chain {
    tonic::include_proto!("viaduct.chain.v1");
}

mod contract {
    include!(concat!(env!("OUT_DIR"), "/contract.rs"));
}

/// The descriptors of package `viaduct.v1` with their comments, for gRPC reflection.
pub const NODE_DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/node.bin"));

/// The descriptors of package `viaduct.chain.v1` with their comments, for gRPC reflection.
pub const CHAIN_DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/chain.bin"));

#[cfg(test)]
mod tests;
