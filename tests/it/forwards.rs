//! Payments of others: three whole nodes in a line, every way a forward can go, and what is left of it.

mod blinded;
mod crash;
mod held;
pub(crate) mod line;
mod named;
mod policy;
mod refused;
