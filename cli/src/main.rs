//! `viaduct`, the command line of the daemon.

use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

mod nodes;

fn main() -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            #[expect(clippy::print_stderr, reason = "there is no screen yet")]
            {
                eprintln!("cannot start: {error}");
            }
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(cli::run(std::env::args_os(), now_ms(), &nodes::Nodes));
    // A question that nobody answered may still wait for input; it need not be waited for.
    runtime.shutdown_timeout(Duration::from_millis(100));
    ExitCode::from(code)
}

/// The one look at the clock; whatever needs the time gets it as an argument.
#[expect(clippy::disallowed_methods, reason = "the command line's one look at the clock")]
fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
