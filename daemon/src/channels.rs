//! Channels as tasks: one each, a map of doors to them, and the registry that makes them.

pub mod chaos;
pub mod directory;
pub mod outputs;
pub mod registry;
pub mod sweep;
pub mod task;
pub mod view;

mod announce;
mod blinded;
mod inbound;

mod perform;
mod pool;

pub use pool::Pool;
