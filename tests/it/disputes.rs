//! Channels that end in every way there is, with HTLCs in flight, crashes, reorganisations and high fees.

mod breach;
mod catalogue;
mod kills;
mod matrix;
mod scenario;

/// `RUST_LOG` says what nodes tell meanwhile.
fn logged() {
    let _already = tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_test_writer()
        .try_init();
}
