//! All benchmarks of the project in one binary: `bench <what> [--json]`.

use clap::{Parser, Subcommand};
use viaduct_tests::bench::{chain, disputes, forwarding, payments, routing, tower};

/// Measures Viaduct, and LDK beside it in the same run.
#[derive(Parser)]
#[command(name = "bench")]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// How fast the built-in chain connects blocks, and how much it keeps.
    Chain(chain::Arguments),
    /// What each end of a channel brings home.
    Disputes(disputes::Arguments),
    /// Payments a second over one channel between two nodes with durable stores.
    Payments(payments::Arguments),
    /// Payments a second over a node in the middle, all three with durable stores.
    Forwarding(forwarding::Arguments),
    /// Ways through a graph of mainnet's size.
    Routing(routing::Arguments),
    /// What a watchtower stores, and how fast.
    Tower(tower::Arguments),
}

fn main() {
    match Arguments::parse().what {
        What::Chain(arguments) => chain::run(&arguments),
        What::Disputes(arguments) => disputes::run(&arguments),
        What::Payments(arguments) => payments::run(&arguments),
        What::Forwarding(arguments) => forwarding::run(&arguments),
        What::Routing(arguments) => routing::run(&arguments),
        What::Tower(arguments) => tower::run(&arguments),
    }
}
