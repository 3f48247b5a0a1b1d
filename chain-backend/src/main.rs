//! `viaduct-chain`: the built-in chain for several programs on one machine.

use bitcoin::address::NetworkUnchecked;
use bitcoin::{Address, Network, ScriptBuf};
use chain_backend::{BuiltinChain, ChainBackend, ChainError, Options, Policy, Sandbox};
use clap::Parser;
use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// The built-in chain, with Bitcoin's rules on the regtest parameters, shared over gRPC.
#[derive(Debug, Parser)]
#[command(name = "viaduct-chain", version, about)]
struct Args {
    /// Where blocks are kept.
    #[arg(long, env = "VIADUCT_CHAIN_DIR", value_name = "DIR")]
    dir: PathBuf,
    /// Where to listen; loopback only, because whoever reaches it can rewrite the chain.
    #[arg(long, env = "VIADUCT_CHAIN_LISTEN", default_value = "127.0.0.1:9480")]
    listen: SocketAddr,
    /// When blocks are made: `on-demand`, or `interval=10s`.
    #[arg(long, env = "VIADUCT_CHAIN_MINE", default_value = "on-demand")]
    mine: Mining,
    /// Who gets the rewards of blocks made at an interval. Without it anybody can take them.
    #[arg(long, value_name = "ADDRESS")]
    pay_to: Option<Address<NetworkUnchecked>>,
    /// Whose rules and genesis block.
    #[arg(long, default_value = "regtest", value_parser = ["regtest"])]
    network: String,
    /// How much to say: error, warn, info, debug, trace.
    #[arg(long, env = "VIADUCT_LOG", default_value = "info")]
    log: String,
}

/// When blocks are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mining {
    OnDemand,
    Every(Duration),
}

impl FromStr for Mining {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const USAGE: &str = "use on-demand, or interval= with a time such as 500ms, 10s or 2m";
        if text == "on-demand" {
            return Ok(Self::OnDemand);
        }
        let time = text.strip_prefix("interval=").ok_or(USAGE)?;
        let digits = time.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
        let unit_ms: u64 = match time.get(digits.len()..) {
            Some("ms") => 1,
            Some("s") => 1_000,
            Some("m") => 60_000,
            Some("h") => 3_600_000,
            Some(_) | None => return Err(USAGE),
        };
        let count: u64 = digits.parse().map_err(|_| USAGE)?;
        match count.checked_mul(unit_ms) {
            None | Some(0) => Err(USAGE),
            Some(milliseconds) => Ok(Self::Every(Duration::from_millis(milliseconds))),
        }
    }
}

/// Why the program ends.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(
        "--listen {0}: only a loopback address, such as 127.0.0.1:9480, because whoever reaches it can rewrite the chain"
    )]
    NotLoopback(SocketAddr),
    #[error(
        "--listen {0}: {1} (is another server running there? choose another port with --listen)"
    )]
    Listen(SocketAddr, std::io::Error),
    #[error("--pay-to: {0}")]
    PayTo(bitcoin::address::ParseError),
    #[error("--log: {0}")]
    Log(tracing_subscriber::filter::ParseError),
    #[error(transparent)]
    Chain(#[from] ChainError),
    #[error(transparent)]
    Serve(#[from] chain_backend::server::ServeError),
    #[error("the system does not let signals be caught: {0}")]
    Signals(std::io::Error),
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // If even this cannot be written there is nobody to tell.
            let _ = writeln!(std::io::stderr(), "viaduct-chain: {failure}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(&args.log).map_err(Failure::Log)?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
    if !args.listen.ip().is_loopback() {
        return Err(Failure::NotLoopback(args.listen));
    }
    let script = reward_script(args.pay_to)?;
    let listener = TcpListener::bind(args.listen)
        .await
        .map_err(|error| Failure::Listen(args.listen, error))?;
    let options =
        Options { dir: Some(args.dir.clone()), now, sync: true, policy: Policy::default() };
    let chain = BuiltinChain::open(&options)?;
    let tip = chain.tip().await.map_err(|_| ChainError::Stopped)?;
    let listen = listener.local_addr().unwrap_or(args.listen);
    tracing::info!(dir = %args.dir.display(), height = tip.height, %listen, "ready");
    let mut terminate = signal(SignalKind::terminate()).map_err(Failure::Signals)?;
    let stop = async move {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        }
        tracing::info!("stopping");
    };
    let server = chain_backend::server::serve(chain.clone(), listener, stop);
    tokio::select! {
        ended = server => ended?,
        () = mine(&chain, args.mine, &script) => {}
    }
    chain.stop().await;
    tracing::info!("stopped");
    Ok(())
}

/// Makes blocks for ever, or waits for ever.
async fn mine(chain: &BuiltinChain, mining: Mining, script: &ScriptBuf) {
    let Mining::Every(period) = mining else { return std::future::pending().await };
    let mut interval = tokio::time::interval(period);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    interval.tick().await;
    loop {
        interval.tick().await;
        match chain.mine(1, script.clone()).await {
            Ok(hashes) => tracing::info!(block = ?hashes.first(), "mined"),
            Err(error) => tracing::error!(%error, "no block could be mined"),
        }
    }
}

/// Who gets the rewards.
fn reward_script(address: Option<Address<NetworkUnchecked>>) -> Result<ScriptBuf, Failure> {
    match address {
        Some(address) => {
            let address = address.require_network(Network::Regtest).map_err(Failure::PayTo)?;
            Ok(address.script_pubkey())
        }
        None => {
            let anyone = ScriptBuf::from_bytes(vec![bitcoin::opcodes::OP_TRUE.to_u8()]);
            Ok(anyone.to_p2wsh())
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "this process's one clock")]
fn now() -> u32 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.ok().and_then(|since| u32::try_from(since.as_secs()).ok()).unwrap_or(u32::MAX)
}
