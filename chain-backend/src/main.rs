//! Placeholder until the crate around it stands.

fn main() {}
