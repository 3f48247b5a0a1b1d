//! Harness: nodes, chains and peers for the integration tests and benchmarks.
