//! A whole daemon from its settings: directory, seed, chain, node, API; and its end in reverse.
//!
//! `viaductd` is this and a command line; the sandbox and the demo run several in one process.
//!
//! Not here: what runs inside (`crate::node`), flags and signals (`main.rs`).

use core::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use api::auth::RootKey;
use chain_backend::sandbox::Sandbox;
use chain_backend::{
    BackendError, BuiltinChain, ChainBackend, ChainError, Options, RemoteChain, Source,
};

use crate::clock::{UnixTime, now_ms};
use crate::config::{ChainSource, Config, Mining, Network};
use crate::datadir::DataDir;
use crate::node::{ChainAccess, Handle, Node, StartError};
use crate::rpc::model::UnixMillis;
use crate::rpc::model::sandbox::Mine;
use crate::rpc::server::{Bound, ServeError};
use crate::rpc::{NodeApi as _, World};
use crate::seed::birth::Birth;
use crate::seed::file::{self, Effort, SeedFileError, private_directory};
use crate::seed::password::{Password, PasswordError, PasswordSource};
use crate::seed::{Seed, SeedError};
use crate::tasks::{Fatal, Tasks};

/// How often the mempool is looked at when blocks are made by need.
const LOOK: Duration = Duration::from_millis(250);

/// Why a daemon does not start.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// The seed file.
    #[error(transparent)]
    SeedFile(#[from] SeedFileError),
    /// The seed.
    #[error(transparent)]
    Seed(#[from] SeedError),
    /// Its password.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// There is none, and this is not a place to make one silently.
    #[error(
        "there is no seed at {}: make one with viaductd seed new, or restore yours with viaductd \
         seed restore",
        path.display()
    )]
    NoSeed {
        /// Where it should be.
        path: PathBuf,
    },
    /// There are channels or coins, and their seed is gone.
    #[error(
        "there is no seed at {}, but data of a node is beside it: put the seed back, or restore it \
         from its words with viaductd seed restore",
        path.display()
    )]
    SeedLost {
        /// Where it should be.
        path: PathBuf,
    },
    /// How old the seed is cannot be written down.
    #[error("{path}: {source}; nothing was made")]
    Birth {
        /// Where it belongs.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The built-in chain.
    #[error("the built-in chain: {0}")]
    Chain(#[from] ChainError),
    /// The chain server.
    #[error("the chain server at {url}: {source}")]
    Remote {
        /// Where.
        url: String,
        /// What is wrong.
        source: BackendError,
    },
    /// The node.
    #[error(transparent)]
    Node(#[from] Box<StartError>),
    /// The API.
    #[error(transparent)]
    Api(#[from] ServeError),
    /// The watchtower inside.
    #[error("the watchtower: {0}")]
    Tower(String),
}

impl From<StartError> for BootError {
    fn from(error: StartError) -> Self {
        Self::Node(Box::new(error))
    }
}

/// Opens the seed. On the sandbox a missing one is made, unless data of a node lies there.
///
/// # Errors
/// [`BootError`], about the seed.
pub fn open_seed(config: &Config) -> Result<Seed, BootError> {
    private_directory(&config.dir.network())?;
    let path = config.dir.seed();
    if path.exists() {
        return Ok(file::open(&path, &Password::fetch(&config.password)?)?);
    }
    if config.dir.store().exists() {
        return Err(BootError::SeedLost { path });
    }
    if config.network != Network::Sandbox {
        return Err(BootError::NoSeed { path });
    }
    let seed = Seed::generate()?;
    save_seed(&config.dir, &config.password, &seed, Birth::Tip)?;
    Ok(seed)
}

/// Writes a seed and its birth to their places, the seed under its password ([`Config::seed_place`]).
///
/// # Errors
/// [`BootError`], about the seed.
pub fn save_seed(
    dir: &DataDir,
    password: &PasswordSource,
    seed: &Seed,
    birth: Birth,
) -> Result<(), BootError> {
    private_directory(&dir.network())?;
    let password = Password::fetch(password)?;
    let path = dir.birth();
    // A seed that is there already keeps its own.
    if !dir.seed().exists() {
        birth.write(&path).map_err(|source| BootError::Birth { path, source })?;
    }
    Ok(file::create(&dir.seed(), seed, &password, Effort::default())?)
}

/// The chain that a daemon runs on.
#[derive(Debug)]
pub struct Chain {
    access: ChainAccess,
    own: Option<BuiltinChain>,
    mining: Mining,
}

impl Chain {
    /// Opens or reaches the chain of the settings.
    ///
    /// # Errors
    /// [`BootError::Chain`], [`BootError::Remote`]. A server that does not answer yet is no error: the
    /// node waits for it.
    pub async fn open(config: &Config) -> Result<Self, BootError> {
        match &config.chain {
            ChainSource::Builtin { mining } => {
                let chain = BuiltinChain::open(&Options::directory(&config.dir.chain(), now_s))?;
                let own = Some(chain.clone());
                Ok(Self { own, mining: *mining, ..Self::shared(Arc::new(chain)) })
            }
            // A sandbox's chain is steered.
            ChainSource::Elsewhere(Source::Remote { url })
                if config.network == Network::Sandbox =>
            {
                let failed = |source| BootError::Remote { url: url.clone(), source };
                let network = config.network.params();
                let chain = match RemoteChain::connect(url, network).await {
                    Err(BackendError::Unavailable(why)) => {
                        tracing::warn!(url, why, "the chain server does not answer yet");
                        RemoteChain::lazy(url, network).map_err(failed)?
                    }
                    reached => reached.map_err(failed)?,
                };
                Ok(Self::shared(Arc::new(chain)))
            }
            ChainSource::Elsewhere(source) => {
                let reached = source.reach(config.network.params()).await;
                let url = source.url().to_owned();
                Ok(Self::foreign(reached.map_err(|source| BootError::Remote { url, source })?))
            }
        }
    }

    /// A chain that is not ours to steer.
    fn foreign(backend: Arc<dyn ChainBackend>) -> Self {
        let access = ChainAccess { backend, sandbox: None };
        Self { access, own: None, mining: Mining::Manual }
    }

    /// A chain that others run too: it is steered here, but neither mined by itself nor stopped.
    #[must_use]
    pub fn shared<C: Sandbox + 'static>(chain: Arc<C>) -> Self {
        let sandbox: Arc<dyn Sandbox> = chain.clone();
        let access = ChainAccess { backend: chain, sandbox: Some(sandbox) };
        Self { access, own: None, mining: Mining::Manual }
    }
}

/// A running daemon.
#[derive(Debug)]
pub struct Daemon {
    node: Node,
    rpc: SocketAddr,
    certificate_pem: String,
    tower: Option<watchtower::tower::Running>,
    own_chain: Option<BuiltinChain>,
}

impl Daemon {
    /// Starts the node, then its API. Needs no more than its directory, seed and chain.
    ///
    /// # Errors
    /// [`BootError`]; nothing runs then.
    pub async fn start(config: &Config, seed: &Seed, chain: Chain) -> Result<Self, BootError> {
        private_directory(&config.dir.network())?;
        let secrets = seed.secrets(config.network.params())?;
        let root = RootKey::from_bytes(*secrets.tokens.expose());
        let Chain { access, own, mining } = chain;
        let sandbox = access.sandbox.clone();
        let backend = Arc::clone(&access.backend);
        let node = Node::start(config, secrets, access).await?;
        let tasks = node.tasks().clone();
        let now = || UnixMillis(now_ms());
        let world = World { network: config.network, now, stop: tasks.token() };
        // Only now: the store is locked, so port and socket are of nobody who still runs.
        let bound = Bound::bind(&config.rpc, &config.dir, root, &world).await;
        let bound = bound.and_then(|bound| Ok((bound.address()?, bound)));
        let (rpc, bound) = match bound {
            Ok(bound) => bound,
            Err(error) => {
                let _why = node.stop().await;
                return Err(error.into());
            }
        };
        let tower = match tower(config, backend).await {
            Ok(tower) => tower,
            Err(error) => {
                let _why = node.stop().await;
                return Err(error);
            }
        };
        let certificate_pem = bound.certificate_pem().to_owned();
        let handle = node.handle();
        tasks.spawn("rpc", async move {
            bound.serve(handle, world).await.map_err(|error| {
                tracing::error!(%error, "the API server failed");
                Fatal::Ended("rpc")
            })
        });
        if let Some(sandbox) = sandbox {
            mine(mining, sandbox, node.handle(), &tasks);
        }
        Ok(Self { node, rpc, certificate_pem, tower, own_chain: own })
    }

    /// How to ask the node for things.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.node.handle()
    }

    /// Where its API listens.
    #[must_use]
    pub const fn rpc_address(&self) -> SocketAddr {
        self.rpc
    }

    /// The certificate of its API.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// The watchtower inside, if the settings ask for one.
    #[must_use]
    pub const fn tower(&self) -> Option<&watchtower::tower::Running> {
        self.tower.as_ref()
    }

    /// The node inside.
    #[must_use]
    pub const fn node(&self) -> &Node {
        &self.node
    }

    /// Begins an orderly stop; [`Self::wait`] then ends.
    pub fn begin_stop(&self) {
        self.node.tasks().stop();
    }

    /// Waits until it stops, of itself or because it was asked to, and says why if it was not.
    pub async fn wait(self) -> Option<Fatal> {
        let why = self.node.wait().await;
        if let Some(tower) = self.tower {
            tower.stop().await;
        }
        if let Some(chain) = self.own_chain {
            chain.stop().await;
        }
        why
    }

    /// Stops it in order.
    pub async fn stop(self) -> Option<Fatal> {
        self.begin_stop();
        self.wait().await
    }
}

/// The watchtower of the settings, on the chain of the node.
async fn tower(
    config: &Config,
    backend: Arc<dyn ChainBackend>,
) -> Result<Option<watchtower::tower::Running>, BootError> {
    let Some(listen) = config.tower else { return Ok(None) };
    let dir = config.dir.network().join("tower");
    let failed = |error: &dyn std::error::Error| BootError::Tower(error.to_string());
    let mut settings =
        watchtower::settings::Settings::load(&dir).map_err(|error| failed(&error))?;
    settings.network = config.network.params();
    settings.listen = Some(listen);
    let started = watchtower::tower::start(&settings, vec![backend], now_ms).await;
    started.map(Some).map_err(|error| failed(&error))
}

fn now_s() -> u32 {
    u32::try_from(UnixTime::now().0).unwrap_or(u32::MAX)
}

/// Makes blocks by the clock or by need, if the settings say so.
fn mine(mining: Mining, sandbox: Arc<dyn Sandbox>, handle: Handle, tasks: &Tasks) {
    let period = match mining {
        Mining::Manual => return,
        Mining::OnTransaction => LOOK,
        Mining::Every(seconds) => Duration::from_secs(u64::from(seconds)),
    };
    let stop = tasks.token();
    tasks.spawn("mining", async move {
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                () = tokio::time::sleep(period) => {}
            }
            let wanted = match mining {
                Mining::OnTransaction => {
                    sandbox.mempool().await.is_ok_and(|waiting| !waiting.is_empty())
                }
                Mining::Manual | Mining::Every(_) => true,
            };
            if wanted
                && let Err(refusal) = handle.mine(Mine { key: None, blocks: 1, to: None }).await
            {
                tracing::warn!(%refusal, "no block was made");
            }
        }
    });
}

#[cfg(test)]
mod tests;
