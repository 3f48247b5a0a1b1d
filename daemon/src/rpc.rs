//! The gRPC face of the node: parse, ask, answer. Nothing is decided here.
//!
//! Not here: what the node does with an order (`crate::node`), the messages themselves (`api`).

pub mod model;
pub mod node_api;
pub mod refusal;

pub use node_api::NodeApi;
pub use refusal::Refusal;
