//! A chain, nodes and towers in this process, with the daemon as a library.
//!
//! Each node has a runtime of its own. To kill one, its runtime is dropped: every task of it is gone where
//! it stood, and nothing is written, said or waited for. Where there are many, all share one runtime, and
//! none can be killed. Not here: what is done with the nodes.

use std::error::Error;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use api::auth::{Role, RootKey};
use chain_backend::{BuiltinChain, ChainBackend as _, Options, explorer, rest, rpc};
use cli::sandbox::network::{
    DoorState, Doors, Known, Launch, LaunchError, Network, NodePlan, Plan, TowerState,
};
use cli::sandbox::state::NodeState;
use daemon::clock::{UnixTime, now_ms};
use daemon::config::{Config, Sources};
use daemon::node::{ChainAccess, Node};
use daemon::rpc::World;
use daemon::rpc::model::UnixMillis;
use daemon::rpc::server::Bound;
use daemon::seed::file::{self, Effort};
use daemon::seed::password::Password;
use daemon::seed::{Secrets, Seed};
use daemon::tasks::Fatal;
use futures_util::stream::{self, StreamExt as _};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::AbortHandle;
use watchtower::tower::Running as Tower;

/// How long a killed node's threads may hold on to its files.
const LET_GO: Duration = Duration::from_secs(5);
/// How long to wait between two looks at them.
const LOOK: Duration = Duration::from_millis(20);
/// Nodes on one runtime that start at the same time.
const AT_ONCE: usize = 8;

/// Starts them.
pub(crate) struct Nodes;

/// They run.
pub(crate) struct Running {
    chain: BuiltinChain,
    doors: Vec<Door>,
    nodes: Vec<One>,
    towers: Vec<Tower>,
}

/// A way to the chain, and the task that keeps it open.
struct Door {
    state: DoorState,
    task: AbortHandle,
}

impl Drop for Door {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One node.
struct One {
    plan: NodePlan,
    state: NodeState,
    /// Nothing while it is dead.
    alive: Option<Alive>,
}

/// What a living node is made of.
struct Alive {
    node: Node,
    /// Nothing if it shares that of all.
    runtime: Option<Own>,
}

/// A runtime that can be dropped anywhere: its tasks then are gone where they stood.
struct Own(Option<Runtime>);

impl Drop for Own {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

type Cause = Box<dyn Error + Send + Sync>;

impl Launch for Nodes {
    type Network = Running;

    async fn launch(&self, plan: Plan) -> Result<Running, LaunchError> {
        let now = || u32::try_from(UnixTime::now().0).unwrap_or(u32::MAX);
        let options = Options::directory(&plan.chain_dir, now);
        let chain = BuiltinChain::open(&options).map_err(|error| failed("chain", error))?;
        let doors = match doors(&chain, &plan, now).await {
            Ok(doors) => doors,
            Err(error) => {
                chain.stop().await;
                return Err(error);
            }
        };
        let mut running = Running { chain, doors, nodes: Vec::new(), towers: Vec::new() };
        let shared = plan.shared;
        let starts = plan.nodes.into_iter().map(|plan| {
            let chain = running.chain.clone();
            async move { (start(&chain, &plan, shared).await, plan) }
        });
        let at_once = if shared { AT_ONCE } else { 1 };
        let mut starts = Box::pin(stream::iter(starts).buffered(at_once));
        let mut failed = None;
        while let Some((started, plan)) = starts.next().await {
            match started {
                Ok((state, alive)) => {
                    running.nodes.push(One { plan, state, alive: Some(alive) });
                }
                Err(cause) => {
                    failed.get_or_insert(LaunchError { part: plan.name, cause });
                    if !shared {
                        break;
                    }
                }
            }
        }
        drop(starts);
        if let Some(error) = failed {
            running.stop().await?;
            return Err(error);
        }
        Ok(running)
    }
}

impl Network for Running {
    fn nodes(&self) -> Vec<NodeState> {
        self.nodes.iter().map(|one| one.state.clone()).collect()
    }

    fn doors(&self) -> Vec<DoorState> {
        self.doors.iter().map(|door| door.state.clone()).collect()
    }

    fn known(&self) -> Vec<Known> {
        let alive = self.nodes.iter().filter_map(|one| one.alive.as_ref());
        let seen = alive.map(|Alive { node, .. }| node.handle().graph_seen());
        seen.map(|(channels, nodes)| Known { channels, nodes }).collect()
    }

    async fn kill(&mut self, name: &str) -> Result<(), LaunchError> {
        let one = self.find(name)?;
        if one.alive.as_ref().is_some_and(|alive| alive.runtime.is_none()) {
            return Err(failed(name, io::Error::from(io::ErrorKind::Unsupported)));
        }
        if let Some(Alive { node, runtime }) = one.alive.take() {
            drop(runtime);
            drop(node);
        }
        Ok(())
    }

    async fn restart(&mut self, name: &str) -> Result<(), LaunchError> {
        let chain = self.chain.clone();
        let one = self.find(name)?;
        let mut waited = Duration::ZERO;
        loop {
            match start(&chain, &one.plan, false).await {
                Ok((state, alive)) => {
                    one.state = state;
                    one.alive = Some(alive);
                    return Ok(());
                }
                Err(_) if waited < LET_GO => {
                    tokio::time::sleep(LOOK).await;
                    waited = waited.saturating_add(LOOK);
                }
                Err(cause) => return Err(LaunchError { part: name.to_owned(), cause }),
            }
        }
    }

    async fn tower(&mut self, dir: &Path) -> Result<TowerState, LaunchError> {
        const NAME: &str = "tower";
        let mut settings = watchtower::settings::Settings::usual(dir);
        settings.listen = Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        settings.admin = None;
        let chain: Arc<dyn chain_backend::ChainBackend> = Arc::new(self.chain.clone());
        let started = watchtower::tower::start(&settings, vec![chain], now_ms).await;
        let tower = started.map_err(|error| failed(NAME, error))?;
        let address = tower.listen.map(|address| address.to_string());
        let tower_id = tower.key.to_string();
        self.towers.push(tower);
        let address = address
            .ok_or_else(|| failed(NAME, io::Error::from(io::ErrorKind::AddrNotAvailable)))?;
        Ok(TowerState { tower_id, address })
    }

    async fn stop(self) -> Result<(), LaunchError> {
        let mut outcome = Ok(());
        for one in self.nodes {
            let Some(Alive { node, runtime }) = one.alive else { continue };
            if let Some(fatal) = node.stop().await {
                outcome = Err(failed(&one.plan.name, fatal));
            }
            drop(runtime);
        }
        for tower in self.towers {
            tower.stop().await;
        }
        drop(self.doors);
        self.chain.stop().await;
        outcome
    }
}

/// Opens the ways to the chain that the plan has.
async fn doors(
    chain: &BuiltinChain,
    plan: &Plan,
    now: fn() -> u32,
) -> Result<Vec<Door>, LaunchError> {
    let Doors { explorer, esplora, rpc } = plan.doors;
    let mut doors = Vec::new();
    if let Some(at) = explorer {
        let (listener, at) = bound("explorer", at).await?;
        let serving = explorer::serve(chain.clone(), listener, std::future::pending());
        doors.push(door("explorer", format!("http://{at}/"), None, serving));
    }
    if let Some(at) = esplora {
        let (listener, at) = bound("esplora", at).await?;
        let serving = rest::serve(chain.clone(), listener, std::future::pending());
        doors.push(door("esplora", format!("http://{at}/api"), None, serving));
    }
    if let Some(at) = rpc {
        let (listener, at) = bound("rpc", at).await?;
        let dir = plan.chain_dir.join(chain.network().to_core_arg());
        let access = rpc::Access::cookie(&dir).map_err(|error| failed("rpc", error))?;
        let wallets = Some(plan.chain_dir.join("wallets"));
        let settings = rpc::Settings { access, wallets, now };
        let serving = rpc::serve(chain.clone(), listener, settings, std::future::pending());
        doors.push(door("rpc", format!("http://{at}"), Some(dir.join(".cookie")), serving));
    }
    Ok(doors)
}

async fn bound(name: &str, at: SocketAddr) -> Result<(TcpListener, SocketAddr), LaunchError> {
    let listener = TcpListener::bind(at).await;
    let bound = listener.and_then(|listener| Ok((listener.local_addr()?, listener)));
    bound.map(|(at, listener)| (listener, at)).map_err(|error| failed(name, error))
}

fn door(
    name: &'static str,
    url: String,
    cookie: Option<PathBuf>,
    serving: impl Future<Output = io::Result<()>> + Send + 'static,
) -> Door {
    let task = Handle::current().spawn(async move {
        // It ends with the process, or when the system takes its socket away.
        let _ended = serving.await;
    });
    let state = DoorState { name: name.to_owned(), url, cookie };
    Door { state, task: task.abort_handle() }
}

impl Running {
    fn find(&mut self, name: &str) -> Result<&mut One, LaunchError> {
        let found = self.nodes.iter_mut().find(|one| one.plan.name == name);
        found.ok_or_else(|| failed(name, io::Error::from(io::ErrorKind::NotFound)))
    }
}

fn failed(part: &str, cause: impl Into<Cause>) -> LaunchError {
    LaunchError { part: part.to_owned(), cause: cause.into() }
}

/// Starts a node, on a runtime of its own unless all share one, and waits until it listens.
async fn start(
    chain: &BuiltinChain,
    plan: &NodePlan,
    shared: bool,
) -> Result<(NodeState, Alive), Cause> {
    let config = config(plan)?;
    let (chain, entropy) = (chain.clone(), plan.entropy);
    let (sender, started) = tokio::sync::oneshot::channel();
    let work = async move {
        // Whoever asked has gone: then nobody wants the node either.
        let _ = sender.send(on_runtime(&config, chain, entropy).await);
    };
    let runtime = if shared {
        drop(Handle::current().spawn(work));
        None
    } else {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        drop(runtime.spawn(work));
        Some(Own(Some(runtime)))
    };
    let (node, rpc, node_id, (certificate, macaroon)) = started.await??;
    let (name, p2p) = (plan.name.clone(), plan.p2p.to_string());
    let state = NodeState { name, node_id, rpc, p2p, certificate, macaroon };
    Ok((state, Alive { node, runtime }))
}

type Files = (PathBuf, PathBuf);

async fn on_runtime(
    config: &Config,
    chain: BuiltinChain,
    entropy: Option<[u8; 32]>,
) -> Result<(Node, String, String, Files), Cause> {
    file::private_directory(config.dir.root())?;
    file::private_directory(&config.dir.network())?;
    let secrets = secrets(config, entropy)?;
    let root = RootKey::from_bytes(*secrets.tokens.expose());
    let sandbox = Arc::new(chain);
    let access = ChainAccess { backend: sandbox.clone(), sandbox: Some(sandbox) };
    let node = Node::start(config, secrets, access).await?;
    let world =
        World { network: config.network, now: || UnixMillis(now_ms()), stop: node.tasks().token() };
    let bound = Bound::bind(&config.rpc, &config.dir, root, &world).await?;
    let rpc = bound.address()?.to_string();
    let handle = node.handle();
    let node_id = handle.node_id().to_string();
    node.tasks().spawn("rpc", async move {
        let served = bound.serve(handle, world).await;
        served.map_err(|_| Fatal::Ended("rpc"))
    });
    let files = (config.dir.certificate(), config.dir.token(Role::Admin));
    Ok((node, rpc, node_id, files))
}

fn config(plan: &NodePlan) -> Result<Config, Cause> {
    let NodePlan { name, dir, rpc, p2p, entropy: _, fee_sat } = plan;
    let mut text = format!(
        "network = \"sandbox\"\nalias = \"{name}\"\n\
         [chain]\ncheat = true\n[p2p]\nlisten = [\"{p2p}\"]\naddresses = [\"{p2p}\"]\n[rpc]\nlisten = \"{rpc}\"\n"
    );
    if let Some(sat) = fee_sat {
        let base_msat = u64::from(*sat).saturating_mul(1_000);
        text.push_str(&format!("[forwarding]\nbase_msat = {base_msat}\nppm = 0\n"));
    }
    let sources = Sources { file: Some((dir.join("viaduct.toml"), text)), ..Sources::default() };
    Ok(Config::read(dir.clone(), &sources)?)
}

/// The node's secrets, out of a seed that is made the first time. On the sandbox nothing is worth a
/// password.
fn secrets(config: &Config, entropy: Option<[u8; 32]>) -> Result<Secrets, Cause> {
    let (path, password) = (config.dir.seed(), Password::none());
    let seed = if path.exists() {
        file::open(&path, &password)?
    } else {
        let seed = entropy.map_or_else(Seed::generate, |bytes| Ok(Seed::of_everybody(bytes)))?;
        file::create(&path, &seed, &password, Effort::default())?;
        seed
    };
    Ok(seed.secrets(config.network.params())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chain_backend::bitcoind::Login;
    use chain_backend::{BitcoindChain, BitcoindSettings, EsploraChain, EsploraSettings, PATIENCE};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

    #[tokio::test]
    async fn the_chain_of_a_sandbox_is_shown_and_served_as_core_and_esplora_do() {
        let dir = tempfile::tempdir().unwrap();
        let chain = BuiltinChain::in_memory(|| 1_700_000_000).unwrap();
        let any = Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        let chain_dir = dir.path().to_path_buf();
        let wanted = Doors { explorer: any, esplora: any, rpc: any };
        let plan = Plan { chain_dir, nodes: Vec::new(), shared: true, doors: wanted };
        let open = doors(&chain, &plan, || 1_700_000_000).await.unwrap();
        let [pages, esplora, core] = open.as_slice() else { panic!("three doors") };
        let (network, poll) = (chain.network(), Duration::from_millis(10));

        let url = esplora.state.url.clone();
        let esplora = EsploraSettings { url, network, poll, patience: PATIENCE, trusted: None };
        let seen = EsploraChain::connect(&esplora).await.unwrap();
        assert_eq!(seen.tip().await.unwrap().height, 0);
        let url = core.state.url.clone();
        let login = Login::Cookie(core.state.cookie.clone().unwrap());
        let core = BitcoindSettings { url, login, network, poll, patience: PATIENCE };
        let seen = BitcoindChain::connect(&core).await.unwrap();
        assert_eq!(seen.tip().await.unwrap().height, 0);
        let at = pages.state.url.trim_start_matches("http://").trim_end_matches('/');
        let mut page = TcpStream::connect(at).await.unwrap();
        let ask = format!("GET / HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n\r\n");
        page.write_all(ask.as_bytes()).await.unwrap();
        let mut shown = String::new();
        page.read_to_string(&mut shown).await.unwrap();
        assert!(shown.starts_with("HTTP/1.1 200") && shown.contains("Block 0"), "{shown}");

        // A place that somebody has is no place.
        let taken = Doors { explorer: at.parse().ok(), ..Doors::default() };
        let refused = doors(&chain, &Plan { doors: taken, ..plan }, || 0).await.map(drop);
        assert_eq!(refused.unwrap_err().part, "explorer");
    }
}
