//! Layer 1: one trait, and the built-in chain with Bitcoin's rules.
//!
//! [`ChainBackend`] is all the rest of Viaduct knows of a chain: an ordered stream of blocks from a
//! cursor, queries, broadcast, fees. [`BuiltinChain`] implements it in this process,
//! [`RemoteChain`] over a socket to a `viaduct-chain` server, and both let a test steer ([`Sandbox`]).
//! Not here: on-chain keys and coins (`daemon::wallet`), what a channel does with what it sees
//! (`channel::onchain`).

pub mod backend;
pub mod bitcoind;
pub mod builtin;
mod convert;
pub mod esplora;
pub mod explorer;
mod polled;
pub mod remote;
pub mod rest;
pub mod rpc;
pub mod sandbox;
pub mod server;
pub mod source;

pub use backend::{
    BackendError, BlockId, BlockRef, Capabilities, ChainBackend, ChainEvent, ChainStream, FeeTable,
    Interest, Locator, LocatorError, Lock, MempoolDelta, Package, PackageError, RemovedBecause,
    Spend, SubmitOutcome, TxOutWhere, TxWhere, Txs,
};
pub use bitcoind::{BitcoindChain, BitcoindSettings};
pub use builtin::{
    BuiltinChain, ChainError, FeeMode, FeeReplay, FeeReplayError, FeeStep, Options, PackageRbf,
    Policy, Profile, ReaderPlace, Reject, Rules, Signet, SignetError,
};
pub use esplora::{EsploraChain, EsploraSettings};
pub use polled::PATIENCE;
pub use remote::RemoteChain;
pub use sandbox::{Reorg, Sandbox, SandboxError, Stall, Totals};
pub use source::{Source, SourceError, SourceOptions};
