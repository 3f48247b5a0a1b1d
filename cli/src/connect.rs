//! Which node to speak to, and with which files: flag, then environment, then profile, then the places
//! where a daemon on this machine leaves them.
//!
//! Profiles are in `~/.config/viaduct/nodes.toml`, one table a node:
//!
//! ```toml
//! default = "alice"
//!
//! [alice]
//! url = "127.0.0.1:10009"
//! tls = "/home/me/.viaduct/tls.cert"
//! macaroon = "/home/me/.viaduct/sandbox/admin.macaroon"
//! ```
//!
//! A name that is in no profile is looked for among the nodes of the running sandbox.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use api::auth::{Role, Token};
use api::client::{Address, BadAddress, Client, Target};
use serde::Deserialize;
use thiserror::Error;

use crate::failure::Failure;
use crate::sandbox::state::{Layout, State};

/// Where a daemon listens unless it is told otherwise.
const DEFAULT_URL: &str = "127.0.0.1:10009";
/// The largest file that is read as a profile, certificate or token, in bytes.
const FILE_LEN_MAX: u64 = 1 << 20;

/// Options that say which node is meant.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Which node (with every command)")]
pub struct Where {
    /// The node to speak to: a profile of ~/.config/viaduct/nodes.toml, or a node of the sandbox.
    #[arg(
        short = 'n',
        long,
        global = true,
        value_name = "NAME",
        env = "VIADUCT_NODE",
        hide_env_values = true
    )]
    pub node: Option<String>,
    /// Its address: host:port (TLS), http://127.0.0.1:port, or unix:/path.
    #[arg(
        long,
        global = true,
        value_name = "ADDRESS",
        env = "VIADUCT_URL",
        hide_env_values = true
    )]
    pub url: Option<String>,
    /// Its certificate, the file tls.cert that the daemon made.
    #[arg(long, global = true, value_name = "FILE", env = "VIADUCT_TLS", hide_env_values = true)]
    pub tls: Option<PathBuf>,
    /// The token: a .macaroon file, or the same as hex.
    #[arg(
        long,
        global = true,
        value_name = "FILE|HEX",
        env = "VIADUCT_MACAROON",
        hide_env_values = true
    )]
    pub macaroon: Option<String>,
    /// The network of the daemon on this machine: sandbox, regtest, signet, testnet4 or mainnet.
    #[arg(
        long,
        global = true,
        value_name = "NAME",
        env = "VIADUCT_NETWORK",
        hide_env_values = true
    )]
    pub network: Option<String>,
    /// The directory of the daemon on this machine; ~/.viaduct unless said otherwise.
    #[arg(long, global = true, value_name = "DIR", env = "VIADUCT_DIR", hide_env_values = true)]
    pub dir: Option<PathBuf>,
}

/// Places that belong to the user.
#[derive(Debug, Clone)]
pub struct Places {
    /// The profiles.
    pub profiles: PathBuf,
    /// The daemon's directory.
    pub data: PathBuf,
}

impl Places {
    /// The usual ones, below the user's home directory.
    ///
    /// # Errors
    ///
    /// When there is no home directory and no `--dir`.
    pub fn find(dir: Option<&Path>) -> Result<Self, SetupError> {
        let home = std::env::home_dir().filter(|home| !home.as_os_str().is_empty());
        let config = std::env::var_os("XDG_CONFIG_HOME")
            .filter(|dir| !dir.is_empty())
            .map(PathBuf::from)
            .or_else(|| home.as_ref().map(|home| home.join(".config")));
        // A socket is named by its whole path, so a directory must not begin in the middle.
        let whole = |dir: &Path| std::path::absolute(dir).unwrap_or_else(|_| dir.to_path_buf());
        let data = dir.map(whole).or_else(|| home.map(|home| home.join(".viaduct")));
        Ok(Self {
            profiles: config.ok_or(SetupError::NoHome)?.join("viaduct/nodes.toml"),
            data: data.ok_or(SetupError::NoHome)?,
        })
    }
}

/// Why it is not clear which node is meant, or its files cannot be used.
#[derive(Debug, Error)]
pub enum SetupError {
    /// Neither a home directory nor `--dir`.
    #[error("there is no home directory")]
    NoHome,
    /// A file cannot be read.
    #[error("cannot read {}: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        error: io::Error,
    },
    /// The profiles are not TOML of the right shape.
    #[error("{}: {error}", path.display())]
    Profiles {
        /// The file.
        path: PathBuf,
        /// Where and why.
        #[source]
        error: Box<toml::de::Error>,
    },
    /// No such profile, and no such node in the sandbox.
    #[error("no node “{name}” is known{}", known(names))]
    NoSuchNode {
        /// What was asked for.
        name: String,
        /// Those that are known.
        names: Vec<String>,
    },
    /// Several nodes run in the sandbox, and none was named.
    #[error("several nodes run in the sandbox{}", known(names))]
    WhichNode {
        /// Those that run.
        names: Vec<String>,
    },
    /// Nothing was named, and no daemon has left anything here.
    #[error("no daemon was found on this machine: {} has neither a socket nor a certificate", dir.display())]
    NoDaemon {
        /// Where it was looked for.
        dir: PathBuf,
    },
    /// Not an address.
    #[error("“{text}” is {error}")]
    Address {
        /// What was given.
        text: String,
        /// Why it is none.
        #[source]
        error: BadAddress,
    },
    /// Not a macaroon.
    #[error("{from} is not a macaroon")]
    Macaroon {
        /// Where it came from.
        from: String,
    },
}

impl SetupError {
    /// What to do next.
    pub(crate) fn next(&self) -> Option<String> {
        match self {
            Self::NoHome => Some("Name the daemon's directory with --dir.".into()),
            Self::WhichNode { names } => {
                let name = names.first().map_or("NAME", String::as_str);
                Some(format!("Name one: viaduct -n {name} …, or set VIADUCT_NODE."))
            }
            Self::NoSuchNode { .. } => Some(
                "Add it to ~/.config/viaduct/nodes.toml, or start it: viaduct sandbox up".into(),
            ),
            Self::NoDaemon { .. } => Some(
                "Start one (viaductd, or viaduct sandbox up), or name one with --url and --tls."
                    .into(),
            ),
            Self::File { .. } | Self::Profiles { .. } | Self::Address { .. } => None,
            Self::Macaroon { .. } => {
                Some("The daemon writes admin.macaroon into the directory of its network.".into())
            }
        }
    }
}

fn known(names: &[String]) -> String {
    if names.is_empty() { String::new() } else { format!("; known are {}", names.join(", ")) }
}

/// The profiles file.
#[derive(Debug, Default, Deserialize)]
struct Profiles {
    /// The node that is meant when none is named.
    default: Option<String>,
    /// The nodes.
    #[serde(flatten)]
    nodes: BTreeMap<String, Profile>,
}

/// One node of the profiles file.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Profile {
    url: Option<String>,
    tls: Option<PathBuf>,
    macaroon: Option<String>,
}

/// Finds the node that is meant and its files.
///
/// # Errors
///
/// Any [`SetupError`].
pub fn target(to: &Where, places: &Places) -> Result<Target, SetupError> {
    let profile = profile(to, places)?;
    let url = to.url.clone().or_else(|| profile.url.clone());
    let tls = to.tls.clone().or_else(|| profile.tls.clone());
    let macaroon = to.macaroon.clone().or_else(|| profile.macaroon.clone());

    let network = places.data.join(to.network.as_deref().unwrap_or("sandbox"));
    let socket = network.join("viaductd.sock");
    let certificate = places.data.join("tls.cert");
    let url = match url {
        Some(url) => url,
        None if tls.is_none() && macaroon.is_none() && socket.exists() => {
            format!("unix:{}", socket.display())
        }
        None if tls.is_none() && !certificate.exists() => {
            return Err(SetupError::NoDaemon { dir: places.data.clone() });
        }
        None => DEFAULT_URL.to_owned(),
    };
    let address: Address =
        url.parse().map_err(|error| SetupError::Address { text: url.clone(), error })?;
    let remote = match &address {
        Address::Tls { .. } => true,
        Address::Plain(_) | Address::Unix(_) => false,
    };
    let certificate_pem = match tls {
        Some(path) => Some(read(&path)?),
        None if remote => read_if_there(&certificate)?,
        None => None,
    };
    let token = match macaroon {
        Some(given) => Some(token(&given)?),
        None if remote => {
            let path = network.join(Role::Admin.file_name());
            if path.exists() { Some(token(&path.display().to_string())?) } else { None }
        }
        None => None,
    };
    Ok(Target { address, certificate_pem, token })
}

/// Finds the node and connects to it.
pub(crate) async fn connect(to: &Where, places: &Places) -> Result<Client, Failure> {
    let target = target(to, places)?;
    let address = target.address.to_string();
    Client::connect(target).await.map_err(|error| Failure::Connect { address, error })
}

/// The profile that is meant; an empty one when a daemon on this machine is.
fn profile(to: &Where, places: &Places) -> Result<Profile, SetupError> {
    let profiles = match read_if_there(&places.profiles)? {
        Some(text) => toml::from_str::<Profiles>(&text).map_err(|error| SetupError::Profiles {
            path: places.profiles.clone(),
            error: Box::new(error),
        })?,
        None => Profiles::default(),
    };
    // With an address of its own no profile is needed.
    let wanted = to.node.clone().or_else(|| {
        let bare = to.url.is_none() && to.network.is_none();
        profiles.default.clone().filter(|_| bare)
    });
    let sandbox = State::read(&Layout::new(places.data.join("sandbox"))).ok().flatten();
    let of_sandbox: BTreeMap<String, Profile> = sandbox
        .into_iter()
        .flat_map(|state| state.nodes)
        .map(|node| {
            let macaroon = Some(node.macaroon.display().to_string());
            (node.name, Profile { url: Some(node.rpc), tls: Some(node.certificate), macaroon })
        })
        .collect();
    match wanted {
        Some(name) => {
            let found = profiles.nodes.get(&name).or_else(|| of_sandbox.get(&name)).cloned();
            found.ok_or_else(|| SetupError::NoSuchNode {
                name,
                names: profiles.nodes.keys().chain(of_sandbox.keys()).cloned().collect(),
            })
        }
        None if to.url.is_some() || to.network.is_some() || of_sandbox.is_empty() => {
            Ok(Profile::default())
        }
        None if of_sandbox.len() == 1 => Ok(of_sandbox.into_values().next().unwrap_or_default()),
        None => Err(SetupError::WhichNode { names: of_sandbox.into_keys().collect() }),
    }
}

fn token(given: &str) -> Result<Token, SetupError> {
    let path = Path::new(given);
    let malformed = || SetupError::Macaroon { from: given.to_owned() };
    if path.exists() {
        let bytes = bounded(path, |path| fs::read(path))?;
        return Token::from_bytes(&bytes).map_err(|_| malformed());
    }
    // Hex is a secret: it is not shown again when it turns out to be none.
    let looks_like_a_path = given.contains(['/', '.']);
    Token::from_hex(given.trim()).map_err(|_| {
        if looks_like_a_path {
            let error = io::Error::from(io::ErrorKind::NotFound);
            SetupError::File { path: path.into(), error }
        } else {
            SetupError::Macaroon { from: "the value of --macaroon".to_owned() }
        }
    })
}

fn read(path: &Path) -> Result<String, SetupError> {
    bounded(path, |path| fs::read_to_string(path))
}

fn read_if_there(path: &Path) -> Result<Option<String>, SetupError> {
    match read(path) {
        Ok(text) => Ok(Some(text)),
        Err(SetupError::File { error, .. }) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn bounded<T>(path: &Path, read: impl Fn(&Path) -> io::Result<T>) -> Result<T, SetupError> {
    let checked = fs::metadata(path).and_then(|facts| {
        if facts.len() > FILE_LEN_MAX {
            Err(io::Error::from(io::ErrorKind::FileTooLarge))
        } else {
            read(path)
        }
    });
    checked.map_err(|error| SetupError::File { path: path.into(), error })
}

#[cfg(test)]
mod tests;
