//! Compiles the protobuf files without protoc.

fn main() {}
