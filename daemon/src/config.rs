//! Settings: raw words from file, variables and flags, then checked and typed. Nothing after this
//! module sees a setting that can be wrong.

pub mod channel;
mod forwarding;
pub mod layers;
pub mod settings;
mod towers;

#[cfg(test)]
mod tests;

use core::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use chain_backend::{Source, SourceError, SourceOptions};

use crate::datadir::DataDir;
use crate::layer1::FeeLimits;
use crate::seed::password::PasswordSource;
use crate::switch::Manner;
use wire::units::FeeratePerKw;

pub use channel::ChannelConfig;
pub use layers::{Layered, Origin, Sources};
pub use settings::{Kind, RawConfig, sample};

/// The sentence to be typed before a node may touch real money.
pub const REAL_MONEY: &str = "I can lose this money";

/// Why settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Not TOML.
    #[error("{}, line {line}: {what}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What the parser says.
        what: String,
    },
    /// A file that cannot be read.
    #[error("{}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A name that no setting has.
    #[error("there is no setting {name}{}", meant.as_ref().map_or_else(String::new, |meant| format!("; did you mean {meant}?")))]
    Unknown {
        /// The name.
        name: String,
        /// A setting with a similar name.
        meant: Option<String>,
    },
    /// A value where a table must be.
    #[error("{name} must be a table: write [{name}] above its settings")]
    NotATable {
        /// The name.
        name: String,
    },
    /// A value of the wrong kind.
    #[error("{path} (from {origin}) must be {}", match kind {
        Kind::Text => "text",
        Kind::Number => "a whole number, not negative",
        Kind::Switch => "true or false",
        Kind::List => "a list of texts",
    })]
    WrongKind {
        /// The setting.
        path: String,
        /// Where the value comes from.
        origin: Origin,
        /// The right kind.
        kind: Kind,
    },
    /// A value that makes no sense.
    #[error("{path} (from {origin}): {why}")]
    Invalid {
        /// The setting.
        path: String,
        /// Where the value comes from.
        origin: Origin,
        /// What is wrong with it.
        why: String,
    },
    /// A default that is not TOML: a slip in this program.
    #[error("the default of {setting} is not TOML")]
    BadDefault {
        /// The setting.
        setting: &'static str,
    },
    /// No home directory and no `--dir`.
    #[error("no home directory: say where to keep data with --dir")]
    NoHome,
    /// Real money without the sentence.
    #[error(
        "mainnet is real money and this software is young: to go on, start once with \
         --confirm \"{REAL_MONEY}\""
    )]
    NotConfirmed,
}

/// The networks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Network {
    /// The built-in chain that we mine ourselves, with Bitcoin's regtest parameters.
    Sandbox,
    /// Bitcoin's regtest, with blocks from elsewhere.
    Regtest,
    /// A signet.
    Signet,
    /// Bitcoin's fourth testnet.
    Testnet4,
    /// Bitcoin.
    Mainnet,
}

impl Network {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Sandbox, Self::Regtest, Self::Signet, Self::Testnet4, Self::Mainnet];

    /// Its name, also that of its directory.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sandbox => "sandbox",
            Self::Regtest => "regtest",
            Self::Signet => "signet",
            Self::Testnet4 => "testnet4",
            Self::Mainnet => "mainnet",
        }
    }

    /// The network with that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|network| network.name() == name)
    }

    /// Its parameters: address prefixes, genesis block.
    #[must_use]
    pub const fn params(self) -> bitcoin::Network {
        match self {
            Self::Sandbox | Self::Regtest => bitcoin::Network::Regtest,
            Self::Signet => bitcoin::Network::Signet,
            Self::Testnet4 => bitcoin::Network::Testnet4,
            Self::Mainnet => bitcoin::Network::Bitcoin,
        }
    }
}

/// When the built-in chain makes blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mining {
    /// When somebody asks (`viaduct sandbox mine`).
    Manual,
    /// As soon as a transaction waits.
    OnTransaction,
    /// Every so many seconds.
    Every(u32),
}

/// Where blocks come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChainSource {
    /// We run the built-in chain in this process.
    Builtin {
        /// When it makes blocks.
        mining: Mining,
    },
    /// Another program makes them.
    Elsewhere(Source),
}

/// How peers are met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct P2pConfig {
    /// Where to take them.
    pub listen: Vec<SocketAddr>,
    /// How they reach us from outside: `host:port`.
    pub addresses: Vec<String>,
    /// Connections to us, at most.
    pub inbound_max: u32,
    /// Handshakes at one time, at most.
    pub handshakes_max: u32,
    /// How long gossip of others waits before it is told on, in seconds.
    pub gossip_flush: u32,
}

/// How the API is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RpcConfig {
    /// Where.
    pub listen: SocketAddr,
    /// Further names in the certificate.
    pub tls_names: Vec<String>,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Pretty,
    /// An object a line.
    Json,
}

/// What is logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    /// How lines look; `None`: pretty on a terminal, else JSON.
    pub format: Option<LogFormat>,
    /// What is written, in the language of `tracing_subscriber::EnvFilter`.
    pub filter: String,
}

/// Checked settings.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where everything lies.
    pub dir: DataDir,
    /// The file that says how far the journal has come.
    pub guard: PathBuf,
    /// The network.
    pub network: Network,
    /// What the node calls itself; may be empty.
    pub alias: String,
    /// Where the seed's password comes from.
    pub password: PasswordSource,
    /// A second file for the backup of our channels.
    pub backup_path: Option<PathBuf>,
    /// Peers.
    pub p2p: P2pConfig,
    /// The API.
    pub rpc: RpcConfig,
    /// Layer 1.
    pub chain: ChainSource,
    /// Whether this node may be told to cheat; never outside the sandbox.
    pub may_cheat: bool,
    /// What feerates are held within.
    pub fees: FeeLimits,
    /// Channels.
    pub channel: ChannelConfig,
    /// Forwarding.
    pub forwarding: Manner,
    /// Watchtowers.
    pub towers: crate::tower::Manner,
    /// Whether payments without an invoice are taken.
    pub keysend: bool,
    /// Where the watchtower inside hears its clients, if there is one.
    pub tower: Option<SocketAddr>,
    /// The log.
    pub log: LogConfig,
}

impl Config {
    /// Lays the sources over each other and checks every value. `root` is the data directory.
    ///
    /// # Errors
    /// [`ConfigError`], which names the setting, its origin and what is wrong with it.
    pub fn read(root: PathBuf, sources: &Sources) -> Result<Self, ConfigError> {
        let layered = Layered::lay(sources)?;
        let raw = raw(&layered)?;
        let check = Check { layered: &layered };
        let network = check.network(&raw)?;
        let dir = DataDir::new(root, network);
        let guard = match raw.node.guard.as_deref() {
            None | Some("") => crate::guard::default_path(&dir),
            Some(path) => PathBuf::from(path),
        };
        Ok(Self {
            dir,
            guard,
            network,
            alias: check.alias(&raw)?,
            password: check.password(&raw, network)?,
            backup_path: check.backup_path(&raw)?,
            p2p: check.p2p(&raw, network)?,
            rpc: RpcConfig {
                listen: check.address(
                    "rpc",
                    "listen",
                    &raw.rpc.listen.clone().unwrap_or_default(),
                )?,
                tls_names: raw.rpc.tls_names.clone().unwrap_or_default(),
            },
            chain: check.chain(&raw, network)?,
            may_cheat: check.may_cheat(&raw, network)?,
            fees: check.fees(&raw, network)?,
            channel: channel::check(&check, &raw.channel, network)?,
            forwarding: forwarding::check(&check, &raw.forwarding)?,
            towers: towers::check(&check, &raw.towers)?,
            keysend: raw.payments.keysend.unwrap_or(true),
            tower: if raw.tower.enabled.unwrap_or_default() {
                let listen = raw.tower.listen.clone().unwrap_or_default();
                Some(check.address("tower", "listen", &listen)?)
            } else {
                None
            },
            log: check.log(&raw)?,
        })
    }

    /// Where the seed of these settings lies, and where its password comes from. A seed needs no more, so the other
    /// settings may still be missing or wrong.
    ///
    /// # Errors
    /// [`ConfigError`], for the network and the password alone.
    pub fn seed_place(
        root: PathBuf,
        sources: &Sources,
    ) -> Result<(DataDir, PasswordSource), ConfigError> {
        let layered = Layered::lay(sources)?;
        let raw = raw(&layered)?;
        let check = Check { layered: &layered };
        let network = check.network(&raw)?;
        Ok((DataDir::new(root, network), check.password(&raw, network)?))
    }

    /// Holds the door to real money: the sentence must be typed once, then a file remembers it.
    ///
    /// # Errors
    /// [`ConfigError::NotConfirmed`], [`ConfigError::Unreadable`].
    pub fn confirm(&self, typed: Option<&str>) -> Result<(), ConfigError> {
        let mark = self.dir.confirmed();
        if self.network != Network::Mainnet || mark.exists() {
            return Ok(());
        }
        if typed != Some(REAL_MONEY) {
            return Err(ConfigError::NotConfirmed);
        }
        std::fs::write(&mark, REAL_MONEY)
            .map_err(|source| ConfigError::Unreadable { path: mark, source })
    }
}

/// What the sources say, not checked.
fn raw(layered: &Layered) -> Result<RawConfig, ConfigError> {
    RawConfig::read(|section| layered.section(section)).map_err(|error| {
        // Every kind was checked before; what is left is a number beyond 64 bits.
        ConfigError::Syntax { path: PathBuf::new(), line: 0, what: error.message().to_owned() }
    })
}

/// Checks raw values and says where a wrong one came from.
pub(super) struct Check<'a> {
    layered: &'a Layered,
}

impl Check<'_> {
    fn invalid(&self, section: &str, name: &str, why: impl Into<String>) -> ConfigError {
        let origin = self.layered.origin(section, name);
        let path = if section.is_empty() { name.to_owned() } else { format!("{section}.{name}") };
        ConfigError::Invalid { path, origin, why: why.into() }
    }

    /// A number within bounds.
    fn number<T: TryFrom<u64>>(
        &self,
        section: &str,
        name: &str,
        value: Option<u64>,
        min: u64,
        max: u64,
    ) -> Result<T, ConfigError> {
        let value = value.unwrap_or(min);
        if !(min..=max).contains(&value) {
            let why = format!("{value} is not between {min} and {max}");
            return Err(self.invalid(section, name, why));
        }
        T::try_from(value).map_err(|_| self.invalid(section, name, "too large"))
    }

    fn address(&self, section: &str, name: &str, text: &str) -> Result<SocketAddr, ConfigError> {
        text.parse().map_err(|_| {
            let why = format!("{text:?} is not an address with port, as in 127.0.0.1:10009");
            self.invalid(section, name, why)
        })
    }

    fn backup_path(&self, raw: &RawConfig) -> Result<Option<PathBuf>, ConfigError> {
        let Some(path) = raw.node.backup_path.as_deref().filter(|path| !path.is_empty()) else {
            return Ok(None);
        };
        let path = PathBuf::from(path);
        if !path.is_absolute() || path.file_name().is_none() {
            let why = "it must be the whole path of a file, from the root on";
            return Err(self.invalid("", "backup_path", why));
        }
        Ok(Some(path))
    }

    fn network(&self, raw: &RawConfig) -> Result<Network, ConfigError> {
        let name = raw.node.network.as_deref().unwrap_or_default();
        Network::parse(name).ok_or_else(|| {
            let why = format!("{name:?} is not sandbox, regtest, signet, testnet4 or mainnet");
            self.invalid("", "network", why)
        })
    }

    fn alias(&self, raw: &RawConfig) -> Result<String, ConfigError> {
        let alias = raw.node.alias.clone().unwrap_or_default();
        // BOLT 7: the alias of node_announcement has 32 bytes.
        if alias.len() > 32 {
            let why = format!("{} bytes are more than 32", alias.len());
            return Err(self.invalid("", "alias", why));
        }
        Ok(alias)
    }

    fn password(&self, raw: &RawConfig, network: Network) -> Result<PasswordSource, ConfigError> {
        let text = raw.node.password.as_deref().unwrap_or_default();
        Ok(match text.split_once(':') {
            Some(("file", path)) if !path.is_empty() => PasswordSource::File(PathBuf::from(path)),
            Some(("fd", number)) => {
                let number = number.parse();
                let why = "after fd: comes a number";
                PasswordSource::Descriptor(number.map_err(|_| self.invalid("", "password", why))?)
            }
            None if text == "env" => PasswordSource::Environment,
            None if text == "none" => PasswordSource::NoPassword,
            None if text.is_empty() && network == Network::Sandbox => PasswordSource::NoPassword,
            None if text.is_empty() => PasswordSource::Unset,
            // The text is not shown: it may be the password itself.
            _ => {
                let why = "use file:PATH, fd:NUMBER, env or none; never the password itself";
                return Err(self.invalid("", "password", why));
            }
        })
    }

    fn p2p(&self, raw: &RawConfig, network: Network) -> Result<P2pConfig, ConfigError> {
        let listen = raw.p2p.listen.iter().flatten();
        let listen = listen.map(|text| self.address("p2p", "listen", text));
        Ok(P2pConfig {
            listen: listen.collect::<Result<_, _>>()?,
            addresses: raw.p2p.addresses.clone().unwrap_or_default(),
            inbound_max: self.number("p2p", "inbound_max", raw.p2p.inbound_max, 1, 10_000)?,
            handshakes_max: self.number(
                "p2p",
                "handshakes_max",
                raw.p2p.handshakes_max,
                1,
                10_000,
            )?,
            gossip_flush: match self.number(
                "p2p",
                "gossip_flush",
                raw.p2p.gossip_flush,
                0,
                3_600,
            )? {
                0 if network == Network::Sandbox => 1,
                0 => 60,
                seconds => seconds,
            },
        })
    }

    fn chain(&self, raw: &RawConfig, network: Network) -> Result<ChainSource, ConfigError> {
        let backend = raw.chain.backend.clone().unwrap_or_default();
        let mining = match raw.chain.mine.as_deref().unwrap_or_default() {
            "manual" => Mining::Manual,
            "on-tx" => Mining::OnTransaction,
            seconds => match seconds.parse() {
                Ok(seconds) if (1..=86_400).contains(&seconds) => Mining::Every(seconds),
                _ => {
                    let why = "use manual, on-tx or a number of seconds from 1 to 86400";
                    return Err(self.invalid("chain", "mine", why));
                }
            },
        };
        if backend == "builtin" && network != Network::Sandbox {
            let why = format!(
                "the built-in chain is the sandbox's; on {} use {}",
                network.name(),
                chain_backend::source::USAGE
            );
            return Err(self.invalid("chain", "backend", why));
        }
        if backend == "builtin" {
            return Ok(ChainSource::Builtin { mining });
        }
        let chain = &raw.chain;
        let poll: u32 = self.number("chain", "poll_ms", chain.poll_ms, 10, 60_000)?;
        let options = SourceOptions {
            network: network.params(),
            rpc_cookie: chain.rpc_cookie.clone().unwrap_or_default(),
            rpc_user: chain.rpc_user.clone().unwrap_or_default(),
            rpc_password: chain.rpc_password.clone().unwrap_or_default(),
            esplora_ca: chain.esplora_ca.clone().unwrap_or_default(),
            poll: Duration::from_millis(u64::from(poll)),
        };
        Source::parse(&backend, &options).map(ChainSource::Elsewhere).map_err(|error| {
            let why = match error {
                SourceError::Text => format!("use builtin, {}", chain_backend::source::USAGE),
                SourceError::Login => error.to_string(),
            };
            self.invalid("chain", "backend", why)
        })
    }

    fn may_cheat(&self, raw: &RawConfig, network: Network) -> Result<bool, ConfigError> {
        let may = raw.chain.cheat.unwrap_or_default();
        if may && network != Network::Sandbox {
            let why = format!("cheating is for the sandbox alone, not for {}", network.name());
            return Err(self.invalid("chain", "cheat", why));
        }
        Ok(may)
    }

    fn fees(&self, raw: &RawConfig, network: Network) -> Result<FeeLimits, ConfigError> {
        let floor = u64::from(FeeratePerKw::FLOOR.0);
        let usual = if network == Network::Sandbox { floor } else { 2_500 };
        let number = |name, value| self.number("chain", name, value, floor, 1_000_000);
        let fallback = Some(raw.chain.feerate_fallback_sat_per_kw.unwrap_or(usual));
        Ok(FeeLimits {
            max: FeeratePerKw(number("feerate_max_sat_per_kw", raw.chain.feerate_max_sat_per_kw)?),
            fallback: FeeratePerKw(number("feerate_fallback_sat_per_kw", fallback)?),
        })
    }

    fn log(&self, raw: &RawConfig) -> Result<LogConfig, ConfigError> {
        let format = match raw.log.format.as_deref() {
            None | Some("") => None,
            Some("pretty") => Some(LogFormat::Pretty),
            Some("json") => Some(LogFormat::Json),
            Some(_) => return Err(self.invalid("log", "format", "use pretty or json")),
        };
        let filter = raw.log.filter.clone().unwrap_or_default();
        if let Err(error) = filter.parse::<tracing_subscriber::EnvFilter>() {
            return Err(self.invalid("log", "filter", error.to_string()));
        }
        Ok(LogConfig { format, filter })
    }
}
