//! The one integration binary: whole nodes, real processes, foreign peers, and the rules of the house.

mod interop;
mod tidy;
