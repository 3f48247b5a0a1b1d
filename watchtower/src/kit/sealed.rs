//! The kit for a tower nobody has to trust: a sealed record per revoked state.
