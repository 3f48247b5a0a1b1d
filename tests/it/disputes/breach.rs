//! Theft with HTLCs on the old state.
