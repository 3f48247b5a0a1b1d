//! `viaduct-chain`: the built-in chain for several programs on one machine. Under the name `bitcoin-cli` it is what
//! Core Lightning runs to ask its chain, under the name `bitcoind` what test suites start.

mod bitcoin_cli;
mod bitcoind_flags;
mod fee_replay;
mod mining;
mod signet_flags;

use bitcoin::address::NetworkUnchecked;
use bitcoin::{Address, Network, ScriptBuf};
use chain_backend::{
    BuiltinChain, ChainBackend, ChainError, Options, Policy, Profile, explorer, rest, rpc,
};
use clap::Parser;
use mining::{Mining, mine};
use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};
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
    /// Where to serve Bitcoin Core's JSON-RPC as well, such as 127.0.0.1:18443; loopback only.
    #[arg(long, env = "VIADUCT_CHAIN_RPC_LISTEN", value_name = "ADDRESS")]
    rpc_listen: Option<SocketAddr>,
    /// Who may call it, `user:password`. Whoever can read the cookie file (`regtest/.cookie` or `signet/.cookie` in the directory) may
    /// as well.
    #[arg(
        long,
        env = "VIADUCT_CHAIN_RPC_LOGIN",
        value_name = "USER:PASSWORD",
        requires = "rpc_listen"
    )]
    rpc_login: Option<String>,
    /// Where to serve Esplora's REST as well, such as 127.0.0.1:3002; loopback only.
    #[arg(long, env = "VIADUCT_CHAIN_ESPLORA_LISTEN", value_name = "ADDRESS")]
    esplora_listen: Option<SocketAddr>,
    /// Where to show the chain to people as well, such as 127.0.0.1:9490; loopback only. The pages are read-only.
    #[arg(long, env = "VIADUCT_CHAIN_EXPLORER_LISTEN", value_name = "ADDRESS")]
    explorer_listen: Option<SocketAddr>,
    /// When blocks are made: `none` but on demand, `interval=10s` (with `,jitter=2s` that much sooner or later),
    /// `poisson=10m` (at random, so far apart on average), or `on-tx=250ms` (so soon after a transaction comes).
    #[arg(long, env = "VIADUCT_CHAIN_MINE", default_value = "none")]
    mine: Mining,
    /// Who gets the rewards of blocks made at an interval. Without it anybody can take them.
    #[arg(long, value_name = "ADDRESS")]
    pay_to: Option<Address<NetworkUnchecked>>,
    /// Whose rules and genesis block: regtest, or a signet of your own.
    #[arg(long, value_parser = ["regtest", "signet"])]
    network: Option<String>,
    /// The script, in hex, that every block of a signet of your own must open (BIP 325), such as the P2WPKH script of
    /// your key. Only who holds the key makes blocks.
    #[arg(long, env = "VIADUCT_CHAIN_SIGNET_CHALLENGE", value_name = "HEX")]
    signet_challenge: Option<String>,
    /// A file with that key, in wallet import format; without it this server only takes blocks in.
    #[arg(
        long,
        env = "VIADUCT_CHAIN_SIGNET_KEY",
        value_name = "FILE",
        requires = "signet_challenge"
    )]
    signet_key: Option<PathBuf>,
    /// Makes the index of the chain anew from its blocks: after damage, or to be sure.
    #[arg(long)]
    reindex: bool,
    /// Drops old block files: those 288 blocks below the tip that every reader has who said so in the last 30 days. Scripts
    /// can be looked up afterwards (by Esplora's callers, in the explorer) only if one of those two was served from the start.
    #[arg(long, env = "VIADUCT_CHAIN_PRUNE")]
    prune: bool,
    /// What the mempool takes: what every Bitcoin Core from 29.0 to 31 does (strict), or what one of them does.
    #[arg(long, env = "VIADUCT_CHAIN_POLICY", default_value = "strict", value_parser = ["strict", "core29", "core30", "core31"])]
    policy: String,
    /// How much memory the index may take, in MB, about; what is not in it is read from the disk.
    #[arg(long, env = "VIADUCT_CHAIN_CACHE_MB", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=16_384))]
    cache_mb: u16,
    /// Fees by a script instead of by what waits, one step after the other as blocks come: `spike`, or a file of lines
    /// such as `6 1=120 6=70 144=- floor=9` (blocks, then target=sat/vB).
    #[arg(long, env = "VIADUCT_CHAIN_FEE_REPLAY", value_name = "FILE")]
    fee_replay: Option<PathBuf>,
    /// How much to say: error, warn, info, debug, trace.
    #[arg(long, env = "VIADUCT_LOG", default_value = "info")]
    log: String,
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
    #[error("--rpc-login: write it as user:password")]
    Login,
    #[error("the cookie file in {0}: {1}")]
    Cookie(PathBuf, std::io::Error),
    #[error("the JSON-RPC server's socket failed: {0}")]
    Rpc(std::io::Error),
    #[error("the explorer's socket failed: {0}")]
    Explorer(std::io::Error),
    #[error("the Esplora server's socket failed: {0}")]
    Esplora(std::io::Error),
    #[error(transparent)]
    Network(#[from] signet_flags::Unclear),
    #[error(transparent)]
    FeeReplay(#[from] fee_replay::Unclear),
    #[error("--pay-to: {0}")]
    PayTo(bitcoin::address::ParseError),
    #[error("--log: {0}")]
    Log(tracing_subscriber::filter::ParseError),
    #[error("{0}")]
    Broken(String),
    #[error(transparent)]
    Chain(#[from] ChainError),
    #[error(transparent)]
    Serve(#[from] chain_backend::server::ServeError),
    #[error("the system does not let signals be caught: {0}")]
    Signals(std::io::Error),
}

#[tokio::main]
async fn main() -> ExitCode {
    let mut words = std::env::args();
    let name = words.next().unwrap_or_default();
    let name = Path::new(&name).file_stem().and_then(|name| name.to_str()).unwrap_or_default();
    let args = match name {
        "bitcoin-cli" => return bitcoin_cli::run(words).await,
        "bitcoind" => match bitcoind_flags::translated(words) {
            Ok(args) => Args::parse_from(args),
            Err(words) => {
                let _ = writeln!(std::io::stderr(), "Error: {words}");
                return ExitCode::FAILURE;
            }
        },
        _ => Args::parse(),
    };
    match run(args).await {
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
    let listens = [Some(args.listen), args.rpc_listen, args.esplora_listen, args.explorer_listen];
    for listen in listens.into_iter().flatten() {
        if !listen.ip().is_loopback() {
            return Err(Failure::NotLoopback(listen));
        }
    }
    let challenge = args.signet_challenge.as_deref();
    let rules =
        signet_flags::rules(args.network.as_deref(), challenge, args.signet_key.as_deref())?;
    let replay = args.fee_replay.as_deref().map(fee_replay::script).transpose()?;
    let profile = Profile::named(&args.policy).unwrap_or_default();
    let listener = bind(args.listen).await?;
    let options = Options {
        rules,
        reindex: args.reindex,
        prune: args.prune,
        scripts: args.prune && (args.esplora_listen.is_some() || args.explorer_listen.is_some()),
        policy: Policy::of(profile),
        cache_bytes: usize::from(args.cache_mb) << 20,
        ..Options::directory(&args.dir, now)
    };
    let chain = BuiltinChain::open(&options)?;
    let network = chain.network();
    let script = reward_script(args.pay_to.clone(), network)?;
    let rpc = match args.rpc_listen {
        Some(listen) => Some((bind(listen).await?, access(&args, network)?)),
        None => None,
    };
    let explorer = match args.explorer_listen {
        Some(listen) => Some(bind(listen).await?),
        None => None,
    };
    let esplora = match args.esplora_listen {
        Some(listen) => Some(bind(listen).await?),
        None => None,
    };
    let tip = chain.tip().await.map_err(|_| ChainError::Stopped)?;
    let listen = listener.local_addr().unwrap_or(args.listen);
    tracing::info!(dir = %args.dir.display(), height = tip.height, policy = profile.name(), %listen, "ready");
    if let Some((listener, _)) = &rpc {
        let rpc = listener.local_addr().map(|at| at.to_string()).unwrap_or_default();
        tracing::info!(%rpc, "Bitcoin Core's JSON-RPC is served");
        // Test suites wait for these words of Bitcoin Core's.
        let _ = writeln!(std::io::stdout(), "Done loading");
    }
    if let Some(listener) = &explorer {
        let at = listener.local_addr().map(|at| at.to_string()).unwrap_or_default();
        tracing::info!("the chain is shown at http://{at}/");
    }
    if let Some(listener) = &esplora {
        let esplora = listener.local_addr().map(|at| at.to_string()).unwrap_or_default();
        tracing::info!(%esplora, "Esplora's REST is served");
    }
    let mut terminate = signal(SignalKind::terminate()).map_err(Failure::Signals)?;
    let stop = async move {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        }
        tracing::info!("stopping");
    };
    let server = chain_backend::server::serve(chain.clone(), listener, stop);
    let wallets = Some(args.dir.join("wallets"));
    let rpc = serve_rpc(chain.clone(), rpc, wallets);
    tokio::select! {
        ended = server => ended?,
        ended = rpc => ended?,
        ended = serve_esplora(chain.clone(), esplora) => ended?,
        () = fee_replay::follow(&chain, replay) => {}
        ended = serve_explorer(chain.clone(), explorer) => ended?,
        () = mine(&chain, args.mine, &script) => {}
        words = chain.failure() => return Err(Failure::Broken(words)),
    }
    chain.stop().await;
    tracing::info!("stopped");
    Ok(())
}

async fn bind(listen: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(listen).await.map_err(|error| Failure::Listen(listen, error))
}

/// Who may call: whoever reads the cookie, and who was named.
fn access(args: &Args, network: Network) -> Result<rpc::Access, Failure> {
    let dir = args.dir.join(network.to_core_arg());
    let access = rpc::Access::cookie(&dir).map_err(|error| Failure::Cookie(dir, error))?;
    match &args.rpc_login {
        None => Ok(access),
        Some(login) => {
            let (user, password) = login.split_once(':').ok_or(Failure::Login)?;
            Ok(access.and_user(user, password))
        }
    }
}

/// Serves until somebody calls `stop`; for ever if there is nothing to serve.
async fn serve_rpc(
    chain: BuiltinChain,
    rpc: Option<(TcpListener, rpc::Access)>,
    wallets: Option<PathBuf>,
) -> Result<(), Failure> {
    let Some((listener, access)) = rpc else { return std::future::pending().await };
    let settings = rpc::Settings { access, wallets, now };
    rpc::serve(chain, listener, settings, std::future::pending()).await.map_err(Failure::Rpc)
}

/// Shows for ever, or waits for ever.
async fn serve_explorer(chain: BuiltinChain, listener: Option<TcpListener>) -> Result<(), Failure> {
    let Some(listener) = listener else { return std::future::pending().await };
    explorer::serve(chain, listener, std::future::pending()).await.map_err(Failure::Explorer)
}

/// Serves for ever, or waits for ever.
async fn serve_esplora(chain: BuiltinChain, listener: Option<TcpListener>) -> Result<(), Failure> {
    let Some(listener) = listener else { return std::future::pending().await };
    rest::serve(chain, listener, std::future::pending()).await.map_err(Failure::Esplora)
}

/// Who gets the rewards.
fn reward_script(
    address: Option<Address<NetworkUnchecked>>,
    network: Network,
) -> Result<ScriptBuf, Failure> {
    match address {
        Some(address) => {
            let address = address.require_network(network).map_err(Failure::PayTo)?;
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
