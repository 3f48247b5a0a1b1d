//! The chain as its users see it. `harness` knows the API, the cases do not.

mod harness;
mod stream;
