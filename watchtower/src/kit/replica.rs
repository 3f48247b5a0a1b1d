//! The kit for a tower one trusts: keys instead of a record per state.
