//! Layer 1: one trait, and the built-in chain with Bitcoin's rules.
