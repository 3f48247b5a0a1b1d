//! What a tower is told: one file, and flags above it.
//!
//! ```toml
//! network = "regtest"
//! chain = ["http://127.0.0.1:9480"]      # "bitcoind=http://127.0.0.1:8332", "esplora=https://HOST/api"; the first that answers is used
//! rpc_cookie = ""                        # Bitcoin Core's cookie file, or
//! rpc_user = ""                          # who we are to it
//! rpc_password = ""
//! esplora_ca = ""                        # a PEM file of certificates to trust instead of the system's
//! poll_ms = 1000                         # how often it is asked for news; Esplora under TLS every 5000 at most
//! listen = "0.0.0.0:9911"                # clients, BOLT 8
//! admin = "127.0.0.1:9912"               # gRPC, TLS and macaroons
//! metrics = "127.0.0.1:9913"             # Prometheus
//!
//! [sessions]
//! bytes = 67108864
//! bytes_max = 1073741824
//! blocks = 52560
//! grace_blocks = 2016
//!
//! [bounds]
//! connections = 512
//! per_address = 64
//! records_per_second = 20000
//! allow = []                             # session keys; empty: anybody
//! allow_replica = []                     # session keys that may hand over keys
//! allow_replica_from = ["127.0.0.1"]     # addresses whose clients may
//!
//! [wallet]                               # the tower's own coins, added to justice that pays too little
//! max_fee_sat = 100000                   # to one transaction at most; 0: never
//! max_fee_percent = 25                   # of what it rescues
//! ```

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bitcoin::Network;
use chain_backend::{Source, SourceOptions};
use serde::Deserialize;

use crate::ingest::{Bounds, Offered};
use crate::store::Limits;
use crate::watch::Spending;

/// Where clients are heard unless it is said otherwise: LND's port.
pub const PORT: u16 = 9_911;
/// Where the administration is.
pub const ADMIN_PORT: u16 = 9_912;

/// A tower's settings, checked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Settings {
    /// Whose chain.
    pub network: Network,
    /// Where everything lies.
    pub dir: PathBuf,
    /// Chains, the best first ([`chain_backend::source::USAGE`]).
    pub chain: Vec<String>,
    /// Who we are to Bitcoin Core where a chain is one.
    pub core: Core,
    /// Where clients are heard; `None`: nowhere.
    pub listen: Option<SocketAddr>,
    /// Where the administration is served; `None`: nowhere.
    pub admin: Option<SocketAddr>,
    /// Further names in the certificate.
    pub tls_names: Vec<String>,
    /// Where metrics are served; `None`: nowhere.
    pub metrics: Option<SocketAddr>,
    /// What sessions are offered.
    pub offered: Offered,
    /// How many sessions there may be.
    pub sessions_max: usize,
    /// Who may come, and how often.
    pub bounds: Bounds,
    /// Blocks that late records are compared with, 2,016 at least.
    pub ring_blocks: u32,
    /// What of the tower's own coins may be added to justice.
    pub spending: Spending,
}

/// Who we are to Bitcoin Core, by the names of the daemon's settings; empty is none.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Core {
    /// Its cookie file.
    pub rpc_cookie: String,
    /// Our name there.
    pub rpc_user: String,
    /// Our password there.
    pub rpc_password: String,
    /// A PEM file of certificates that an Esplora server's must stand on, instead of the system's.
    pub esplora_ca: String,
    /// How often it is asked for news, milliseconds; 0: each second.
    pub poll_ms: u32,
}

/// Why settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file cannot be read.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// It is no TOML, or has a field that is none of ours.
    #[error("{}: {source}", path.display())]
    Toml {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        source: Box<toml::de::Error>,
    },
    /// A value that makes no sense.
    #[error("{field}: {why}")]
    Value {
        /// Which.
        field: &'static str,
        /// What is wrong with it.
        why: String,
    },
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct File {
    network: Option<String>,
    chain: Vec<String>,
    rpc_cookie: String,
    rpc_user: String,
    rpc_password: String,
    esplora_ca: String,
    poll_ms: u32,
    listen: Option<SocketAddr>,
    admin: Option<SocketAddr>,
    tls_names: Vec<String>,
    metrics: Option<SocketAddr>,
    ring_blocks: Option<u32>,
    sessions: Sessions,
    bounds: Limited,
    wallet: Wallet,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Wallet {
    max_fee_sat: Option<u64>,
    max_fee_percent: Option<u8>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Sessions {
    max: Option<usize>,
    bytes: Option<u32>,
    bytes_max: Option<u64>,
    blocks: Option<u32>,
    blocks_max: Option<u32>,
    grace_blocks: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Limited {
    connections: Option<usize>,
    half_open: Option<usize>,
    per_address: Option<usize>,
    calls_per_minute: Option<u32>,
    records_per_second: Option<u32>,
    allow: Vec<String>,
    allow_replica: Vec<String>,
    allow_replica_from: BTreeSet<IpAddr>,
}

impl Settings {
    /// The usual in that directory: regtest, all three servers on this machine.
    pub fn usual(dir: &Path) -> Self {
        let local = |port| Some(SocketAddr::from(([127, 0, 0, 1], port)));
        Self {
            network: Network::Regtest,
            dir: dir.to_owned(),
            chain: vec!["http://127.0.0.1:9480".to_owned()],
            core: Core::default(),
            listen: local(PORT),
            admin: local(ADMIN_PORT),
            tls_names: Vec::new(),
            metrics: None,
            offered: Offered::default(),
            sessions_max: Limits::default().sessions,
            bounds: Bounds::default(),
            ring_blocks: 2_016,
            spending: Spending::default(),
        }
    }

    /// From `tower.toml` in that directory, if there is one.
    ///
    /// # Errors
    /// [`SettingsError`].
    pub fn load(dir: &Path) -> Result<Self, SettingsError> {
        let path = dir.join("tower.toml");
        match std::fs::read_to_string(&path) {
            Ok(text) => Self::parse(dir, &path, &text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::usual(dir)),
            Err(source) => Err(SettingsError::File { path, source }),
        }
    }

    fn parse(dir: &Path, path: &Path, text: &str) -> Result<Self, SettingsError> {
        let file: File = toml::from_str(text).map_err(|source| SettingsError::Toml {
            path: path.to_owned(),
            source: Box::new(source),
        })?;
        let mut settings = Self::usual(dir);
        if let Some(network) = &file.network {
            let known = network.parse();
            settings.network = known.map_err(|_| wrong("network", "no network of Bitcoin's"))?;
        }
        if !file.chain.is_empty() {
            settings.chain = file.chain;
        }
        let (rpc_cookie, rpc_user) = (file.rpc_cookie, file.rpc_user);
        let (rpc_password, poll_ms) = (file.rpc_password, file.poll_ms);
        let esplora_ca = file.esplora_ca;
        settings.core = Core { rpc_cookie, rpc_user, rpc_password, esplora_ca, poll_ms };
        settings.listen = file.listen.or(settings.listen);
        settings.admin = file.admin.or(settings.admin);
        settings.metrics = file.metrics;
        settings.tls_names = file.tls_names;
        settings.ring_blocks = file.ring_blocks.unwrap_or(2_016).max(2_016);
        let usual = Offered::default();
        let Sessions { max, bytes, bytes_max, blocks, blocks_max, grace_blocks } = file.sessions;
        settings.sessions_max = max.unwrap_or(settings.sessions_max);
        settings.offered = Offered {
            bytes: bytes.unwrap_or(usual.bytes),
            bytes_max: bytes_max.unwrap_or(usual.bytes_max),
            blocks: blocks.unwrap_or(usual.blocks),
            blocks_max: blocks_max.unwrap_or(usual.blocks_max),
            grace_blocks: grace_blocks.unwrap_or(usual.grace_blocks),
        };
        let Wallet { max_fee_sat, max_fee_percent } = file.wallet;
        let spending = &mut settings.spending;
        spending.max_fee_sat = max_fee_sat.unwrap_or(spending.max_fee_sat);
        spending.max_fee_percent = max_fee_percent.unwrap_or(spending.max_fee_percent);
        if spending.max_fee_percent > 100 {
            return Err(wrong("wallet.max_fee_percent", "more than 100"));
        }
        settings.bounds = bounds(file.bounds)?;
        Ok(settings)
    }

    /// The chains, the best first.
    ///
    /// # Errors
    /// [`SettingsError::Value`] when one is none, or Bitcoin Core would not know who we are.
    pub fn sources(&self) -> Result<Vec<Source>, SettingsError> {
        let poll_ms =
            if self.core.poll_ms == 0 { 1_000 } else { self.core.poll_ms.clamp(10, 60_000) };
        let options = SourceOptions {
            network: self.network,
            rpc_cookie: self.core.rpc_cookie.clone(),
            rpc_user: self.core.rpc_user.clone(),
            rpc_password: self.core.rpc_password.clone(),
            esplora_ca: self.core.esplora_ca.clone(),
            poll: Duration::from_millis(u64::from(poll_ms)),
        };
        let parse = |text: &String| {
            Source::parse(text, &options)
                .map_err(|error| wrong("chain", &format!("{text}: {error}")))
        };
        self.chain.iter().map(parse).collect()
    }

    /// What sessions get at most, for the store.
    pub const fn limits(&self) -> Limits {
        Limits {
            sessions: self.sessions_max,
            quota_bytes: self.offered.bytes_max,
            blocks: self.offered.blocks_max,
            grace_blocks: self.offered.grace_blocks,
        }
    }
}

fn bounds(file: Limited) -> Result<Bounds, SettingsError> {
    let usual = Bounds::default();
    let Limited {
        connections,
        half_open,
        per_address,
        calls_per_minute,
        records_per_second,
        allow,
        allow_replica,
        allow_replica_from,
    } = file;
    Ok(Bounds {
        connections: connections.unwrap_or(usual.connections).clamp(1, 65_536),
        half_open: half_open.unwrap_or(usual.half_open).clamp(1, 65_536),
        per_address: per_address.unwrap_or(usual.per_address).max(1),
        calls_per_minute: calls_per_minute.unwrap_or(usual.calls_per_minute).max(1),
        patience: usual.patience,
        records_per_second: records_per_second.unwrap_or(usual.records_per_second).max(1),
        allow: keys("bounds.allow", &allow)?,
        allow_replica: keys("bounds.allow_replica", &allow_replica)?,
        allow_replica_from,
    })
}

fn keys(field: &'static str, texts: &[String]) -> Result<BTreeSet<[u8; 33]>, SettingsError> {
    let key = |text: &String| {
        let key: Result<secp256k1::PublicKey, _> = text.parse();
        key.map(|key| key.serialize()).map_err(|_| wrong(field, &format!("{text} is no key")))
    };
    texts.iter().map(key).collect()
}

fn wrong(field: &'static str, why: &str) -> SettingsError {
    SettingsError::Value { field, why: why.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Settings, SettingsError> {
        Settings::parse(Path::new("/t"), Path::new("/t/tower.toml"), text)
    }

    #[test]
    fn an_empty_file_is_the_usual() {
        assert_eq!(parse("").unwrap(), Settings::usual(Path::new("/t")));
    }

    #[test]
    fn what_is_said_holds_and_what_is_unknown_is_refused() {
        let settings = parse(
            "network = \"bitcoin\"\nlisten = \"0.0.0.0:9911\"\nring_blocks = 5\n\
             [sessions]\nblocks = 144\n[bounds]\nallow_replica_from = [\"127.0.0.1\"]\n",
        )
        .unwrap();
        assert_eq!(settings.network, Network::Bitcoin);
        assert_eq!((settings.offered.blocks, settings.ring_blocks), (144, 2_016));
        assert_eq!(settings.bounds.allow_replica_from.len(), 1);
        let core = "chain = [\"bitcoind=http://h:8332\"]\n";
        let sources = parse(&format!("{core}rpc_cookie = \"/c\"")).unwrap().sources().unwrap();
        assert!(matches!(&sources[..], [Source::Bitcoind(core)] if core.poll.as_millis() == 1_000));
        assert!(parse(core).unwrap().sources().is_err(), "it does not know us");
        assert_eq!(parse("[wallet]\nmax_fee_sat = 5").unwrap().spending.max_fee_sat, 5);
        assert!(parse("[wallet]\nmax_fee_percent = 101").is_err());
        assert!(parse("lisen = \"0.0.0.0:9911\"").is_err());
        assert!(parse("network = \"moon\"").is_err());
        assert!(parse("[bounds]\nallow = [\"02ff\"]").is_err());
    }
}
