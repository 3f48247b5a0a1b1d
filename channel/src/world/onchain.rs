//! onchain
