//! Channels as tasks: one each, a map of doors to them, and the registry that makes them.

pub mod directory;
pub mod registry;
pub mod task;
pub mod view;

mod inbound;
mod perform;
mod pool;
mod sweep;

pub use pool::Pool;
