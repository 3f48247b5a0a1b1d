//! `viaduct-tower`: a watchtower as a program of its own, and the questions to one that runs.

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use api::auth::{Role, Token};
use api::client::{Address, Client, Target, fresh_key};
use api::v1;
use chain_backend::ChainBackend;
use clap::{Parser, Subcommand};
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};
use watchtower::settings::Settings;

/// A watchtower: punishes for those who sleep.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    /// Where everything lies: tower.toml, keys, records.
    #[arg(long, env = "VIADUCT_TOWER_DIR", default_value = "viaduct-tower")]
    dir: PathBuf,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Watches and listens until it is told to stop (the default).
    Run {
        /// A chain: a viaduct-chain server such as http://127.0.0.1:9480, or Bitcoin Core as
        /// bitcoind=http://127.0.0.1:8332; the first that answers is used.
        #[arg(long)]
        chain: Vec<String>,
        /// The cookie file of Bitcoin Core. Without it: rpc_user and rpc_password in tower.toml.
        #[arg(long)]
        rpc_cookie: Option<String>,
        /// Where clients are heard.
        #[arg(long)]
        listen: Option<SocketAddr>,
        /// Where the administration is served.
        #[arg(long)]
        admin: Option<SocketAddr>,
        /// Where metrics are served.
        #[arg(long)]
        metrics: Option<SocketAddr>,
    },
    /// Who it is and how it stands.
    Info,
    /// The sessions of its clients.
    Sessions,
    /// Outputs of breaches.
    Claims,
    /// Tries what can be tried without a breach.
    Selftest,
    /// The tower's own coins: what it adds to justice that its client signed for too little.
    #[command(subcommand)]
    Wallet(Purse),
}

#[derive(Debug, Subcommand)]
enum Purse {
    /// A new address of the tower's own.
    Address,
    /// What it holds.
    Balance,
    /// Pays an address.
    Send {
        /// The address.
        address: String,
        /// Satoshis; without it everything goes.
        #[arg(long)]
        sat: Option<u64>,
        /// The price in satoshis per virtual byte; without it that of six blocks.
        #[arg(long)]
        sat_per_vbyte: Option<u32>,
        /// The key of this order: given again with the same order, nothing is paid twice.
        #[arg(long)]
        key: Option<String>,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    let done = match args.verb {
        None => run(&args.dir, Vec::new(), None, [None; 3]).await,
        Some(Verb::Run { chain, rpc_cookie, listen, admin, metrics }) => {
            run(&args.dir, chain, rpc_cookie, [listen, admin, metrics]).await
        }
        Some(
            question @ (Verb::Info
            | Verb::Sessions
            | Verb::Claims
            | Verb::Selftest
            | Verb::Wallet(_)),
        ) => ask(&args.dir, &question).await,
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            // Nobody reads it if this fails.
            let _unread = writeln!(io::stderr(), "viaduct-tower: {error}");
            ExitCode::FAILURE
        }
    }
}

type Failed = Box<dyn std::error::Error>;

async fn run(
    dir: &Path,
    chain: Vec<String>,
    rpc_cookie: Option<String>,
    [listen, admin, metrics]: [Option<SocketAddr>; 3],
) -> Result<ExitCode, Failed> {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).init();
    let mut settings = Settings::load(dir)?;
    if !chain.is_empty() {
        settings.chain = chain;
    }
    if let Some(rpc_cookie) = rpc_cookie {
        settings.core.rpc_cookie = rpc_cookie;
    }
    settings.listen = listen.or(settings.listen);
    settings.admin = admin.or(settings.admin);
    settings.metrics = metrics.or(settings.metrics);
    let mut backends: Vec<Arc<dyn ChainBackend>> = Vec::new();
    for source in settings.sources()? {
        backends.push(source.lazy(settings.network)?);
    }
    let tower = watchtower::tower::start(&settings, backends, now_ms).await?;
    let at = tower.listen.map(|at| at.to_string()).unwrap_or_default();
    // What clients are given.
    writeln!(io::stdout(), "{}@{at}", tower.key)?;
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
    tracing::info!("stopping");
    tower.stop().await;
    Ok(ExitCode::SUCCESS)
}

async fn ask(dir: &Path, question: &Verb) -> Result<ExitCode, Failed> {
    let settings = Settings::load(dir)?;
    let at = settings.admin.ok_or("this tower has no administration")?;
    let target = Target {
        address: Address::Tls { host: at.ip().to_string(), port: at.port() },
        certificate_pem: Some(std::fs::read_to_string(dir.join("tls.cert"))?),
        token: Some(Token::from_bytes(&std::fs::read(dir.join(Role::Admin.file_name()))?)?),
    };
    let mut tower = Client::connect(target).await?.tower();
    match question {
        Verb::Info => show(&tower.get_info(v1::TowerInfoRequest {}).await?.into_inner())?,
        Verb::Sessions => {
            let mut request =
                v1::ListTowerSessionsRequest { page_size: 1_000, ..Default::default() };
            loop {
                let page = tower.list_sessions(request.clone()).await?.into_inner();
                page.sessions.iter().try_for_each(show)?;
                if page.next_page_token.is_empty() {
                    break;
                }
                request.page_token = page.next_page_token;
            }
        }
        Verb::Claims => {
            let mut request = v1::ListTowerClaimsRequest { page_size: 1_000, ..Default::default() };
            loop {
                let page = tower.list_claims(request.clone()).await?.into_inner();
                page.claims.iter().try_for_each(show)?;
                if page.next_page_token.is_empty() {
                    break;
                }
                request.page_token = page.next_page_token;
            }
        }
        Verb::Selftest => {
            let answer = tower.self_test(v1::TowerSelfTestRequest {}).await?.into_inner();
            show(&answer)?;
            if !answer.passed {
                return Ok(ExitCode::FAILURE);
            }
        }
        Verb::Wallet(Purse::Address) => {
            let request = v1::TowerAddressRequest { idempotency_key: fresh_key()? };
            show(&tower.new_address(request).await?.into_inner())?;
        }
        Verb::Wallet(Purse::Balance) => {
            show(&tower.balance(v1::TowerBalanceRequest {}).await?.into_inner())?;
        }
        Verb::Wallet(Purse::Send { address, sat, sat_per_vbyte, key }) => {
            let request = v1::TowerSendRequest {
                address: address.clone(),
                amount_sat: *sat,
                sat_per_vbyte: *sat_per_vbyte,
                idempotency_key: key.clone().map_or_else(fresh_key, Ok)?,
            };
            show(&tower.send(request).await?.into_inner())?;
        }
        Verb::Run { .. } => {}
    }
    Ok(ExitCode::SUCCESS)
}

fn show<T: Serialize>(answer: &T) -> Result<(), Failed> {
    Ok(writeln!(io::stdout(), "{}", serde_json::to_string_pretty(answer)?)?)
}

#[expect(clippy::disallowed_methods, reason = "this is the clock of this program")]
fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
