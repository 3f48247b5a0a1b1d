//! Runs a sandbox in this process until somebody asks it to stop: funds the nodes the first time,
//! connects them, and makes blocks when transactions wait.

use std::time::Duration;

use api::client::{Client, Target, fresh_key};
use api::v1;
use tonic::Status;

use super::SandboxError;
use super::dice::Dice;
use super::network::{Doors, Launch, LaunchError, Network, NodePlan, Plan};
use super::ports::{P2P, Ports, RPC};
use super::state::{Layout, NodeState, State};
use super::topology::Topology;
use super::weave;
use crate::connect::{Places, Where, target};

/// How often the process looks whether it is to stop or blocks are to be made.
const LOOK: Duration = Duration::from_millis(200);
/// Blocks made for a transaction that waits: one to hold it, the others to make it deep enough.
const BLOCKS_AFTER_TRANSACTION: u32 = 6;
/// Blocks until the first coins of the chain can be spent.
pub(crate) const MATURE: u32 = 101;
/// What each node gets the first time.
pub const FUNDS_SAT: u64 = 50_000_000;

/// What a sandbox is to be.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Names of its nodes.
    pub names: Vec<String>,
    /// Whether blocks are made by themselves when transactions wait.
    pub auto_mine: bool,
    /// Who has channels with whom; nobody has any if nothing is said.
    pub weave: Option<Weave>,
    /// Where the chain is shown and served to others.
    pub doors: Doors,
}

/// A network that is to be laid between the nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Weave {
    /// Its shape.
    pub topology: Topology,
    /// What the shape and all keys follow from.
    pub seed: u64,
}

/// Runs it. Returns when somebody asked for that.
///
/// # Errors
///
/// Any [`SandboxError`].
pub async fn run(
    launch: &impl Launch,
    layout: &Layout,
    settings: &Settings,
    stop: impl Future<Output = ()>,
) -> Result<(), SandboxError> {
    let _lock = layout.lock()?;
    layout.clear()?;
    layout.make(&settings.names)?;
    let mut plan = plan(layout, &settings.names)?;
    plan.doors = settings.doors;
    if let Some(Weave { seed, .. }) = settings.weave {
        plan.shared = true;
        let mut dice = Dice::new(seed);
        plan.nodes.iter_mut().for_each(|node| node.entropy = Some(dice.bytes()));
    }
    let network = launch.launch(plan).await?;
    let ran = serve(layout, settings, &network, stop).await;
    let stopped = network.stop().await;
    layout.clear()?;
    ran?;
    Ok(stopped?)
}

/// Where everything goes.
pub(crate) fn plan(layout: &Layout, names: &[String]) -> Result<Plan, SandboxError> {
    let mut ports = Ports::default();
    let mut nodes = Vec::new();
    for (index, name) in (0u16..).zip(names) {
        let rpc = ports.choose(RPC.saturating_add(index)).map_err(SandboxError::Ports)?;
        let p2p = ports.choose(P2P.saturating_add(index)).map_err(SandboxError::Ports)?;
        let (name, dir) = (name.clone(), layout.node(name));
        nodes.push(NodePlan { name, dir, rpc, p2p, entropy: None, fee_sat: None });
    }
    Ok(Plan { chain_dir: layout.chain(), nodes, shared: false, doors: Doors::default() })
}

async fn serve(
    layout: &Layout,
    settings: &Settings,
    network: &impl Network,
    stop: impl Future<Output = ()>,
) -> Result<(), SandboxError> {
    let nodes = network.nodes();
    let seats = seats(&nodes).await?;
    let prepared = match settings.weave {
        None => prepare(&seats).await,
        Some(weave) => lay(weave, &seats, network).await,
    };
    prepared.map_err(|status| setting_up("sandbox", status))?;
    State { pid: std::process::id(), nodes, doors: network.doors() }.write(layout)?;
    let mut stop = std::pin::pin!(stop);
    let mut stuck = 0;
    while !layout.is_asked_to_stop() {
        tokio::select! {
            biased;
            () = &mut stop => break,
            () = tokio::time::sleep(LOOK) => {}
        }
        if let Some(seat) = seats.first().filter(|_| settings.auto_mine) {
            // A node that does not answer now will at the next look.
            stuck = mine_what_waits(&seat.client, stuck).await.unwrap_or(stuck);
        }
    }
    Ok(())
}

/// A node and a connection to it.
#[derive(Debug, Clone)]
pub(crate) struct Seat {
    /// Where it is.
    pub(crate) node: NodeState,
    /// The connection.
    pub(crate) client: Client,
}

/// Connects to every node.
pub(crate) async fn seats(nodes: &[NodeState]) -> Result<Vec<Seat>, SandboxError> {
    let mut seats = Vec::new();
    for node in nodes {
        let failed = |cause: Box<dyn std::error::Error + Send + Sync>| {
            SandboxError::Launch(LaunchError { part: node.name.clone(), cause })
        };
        let target = reach(node).map_err(|error| failed(error.into()))?;
        let client = Client::connect(target).await.map_err(|error| failed(error.into()))?;
        seats.push(Seat { node: node.clone(), client });
    }
    Ok(seats)
}

fn reach(node: &NodeState) -> Result<Target, crate::connect::SetupError> {
    let to = Where {
        url: Some(node.rpc.clone()),
        tls: Some(node.certificate.clone()),
        macaroon: Some(node.macaroon.display().to_string()),
        ..Where::default()
    };
    let places = Places { profiles: "".into(), data: "".into() };
    target(&to, &places)
}

fn setting_up(part: &str, status: Status) -> SandboxError {
    SandboxError::Launch(LaunchError { part: part.to_owned(), cause: status.into() })
}

/// Gives each node coins and channels, and waits until each knows of all.
async fn lay(weave: Weave, seats: &[Seat], network: &impl Network) -> Result<(), Status> {
    let channels = weave.topology.channels(seats.len(), weave.seed);
    weave::weave(seats, &channels).await?;
    weave::known(network, channels.len(), seats.len()).await
}

/// Gives each node coins the first time, and connects each to each.
async fn prepare(seats: &[Seat]) -> Result<(), Status> {
    let Some(first) = seats.first() else { return Ok(()) };
    let ask = v1::SandboxStatusRequest {};
    let send = |to: Client, ask| async move { to.sandbox().status(ask).await };
    let chain = first.client.call(ask, send).await?;
    if chain.block_height < MATURE {
        mine(&first.client, MATURE.saturating_sub(chain.block_height)).await?;
        for seat in seats {
            fund(seat, FUNDS_SAT).await?;
        }
    }
    for (index, seat) in seats.iter().enumerate() {
        for other in seats.iter().skip(index.saturating_add(1)) {
            befriend(seat, other).await?;
        }
    }
    Ok(())
}

/// Makes blocks.
pub(crate) async fn mine(client: &Client, blocks: u32) -> Result<v1::MineResponse, Status> {
    let ask = v1::MineRequest { idempotency_key: key()?, blocks, address: None };
    client.call(ask, |to, ask| async move { to.sandbox().mine(ask).await }).await
}

/// Gives a node coins out of the faucet, confirmed.
pub(crate) async fn fund(seat: &Seat, amount_sat: u64) -> Result<v1::FaucetResponse, Status> {
    let ask = v1::NewAddressRequest { idempotency_key: key()?, r#type: 0 };
    let send = |to: Client, ask| async move { to.wallet().new_address(ask).await };
    let address = seat.client.call(ask, send).await?.address;
    let ask = v1::FaucetRequest { idempotency_key: key()?, address, amount_sat };
    seat.client.call(ask, |to, ask| async move { to.sandbox().faucet(ask).await }).await
}

/// Connects one node to another.
pub(crate) async fn befriend(seat: &Seat, other: &Seat) -> Result<(), Status> {
    let ask = v1::ConnectPeerRequest {
        idempotency_key: key()?,
        node_id: other.node.node_id.clone(),
        address: Some(other.node.p2p.clone()),
        timeout_ms: None,
    };
    seat.client.call(ask, |to, ask| async move { to.node().connect_peer(ask).await }).await?;
    Ok(())
}

/// Makes blocks if transactions wait, unless only those wait that the last blocks left out too. Returns
/// how many the blocks left out.
async fn mine_what_waits(client: &Client, stuck: u32) -> Result<u32, Status> {
    let waiting = || {
        let send = |to: Client, ask| async move { to.sandbox().status(ask).await };
        client.call(v1::SandboxStatusRequest {}, send)
    };
    let now = waiting().await?.mempool_transactions;
    if now <= stuck {
        return Ok(now);
    }
    mine(client, BLOCKS_AFTER_TRANSACTION).await?;
    Ok(waiting().await?.mempool_transactions)
}

pub(crate) fn key() -> Result<String, Status> {
    fresh_key().map_err(|error| Status::internal(error.to_string()))
}
