//! `sandbox`.

mod chaos;
mod storm;

use std::fs::File;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use api::v1;
use serde::Serialize;

use crate::amount::{Amount, grouped, sat};
use crate::connect::{Places, Where, connect};
use crate::context::Interrupt;
use crate::failure::Failure;
use crate::render::{Column, Screen, Tone, table};
use crate::resolve::short;
use crate::sandbox::SandboxError;
use crate::sandbox::network::{DoorState, Doors, Launch};
use crate::sandbox::run::{FUNDS_SAT, Settings, Weave, key, run, seats};
use crate::sandbox::state::{Layout, State};
use crate::sandbox::topology::Topology;
use chaos::Still;
use storm::Storm;

/// How often it is looked whether the background process has come up or gone.
const LOOK: Duration = Duration::from_millis(50);
/// How many looks: 30 seconds.
const LOOKS: u32 = 600;
/// How many more for each node of a network: 3 seconds, as much as a line needs to tell from end to end.
const LOOKS_A_NODE: u32 = 60;
/// The most nodes of a sandbox that have names, and know each other all.
const NODES_MAX: usize = 16;
/// The most nodes of a network.
const NETWORK_MAX: usize = 100;

/// A network of your own on this machine: a chain with Bitcoin's rules and some nodes.
///
/// Nothing in it is worth anything, so try whatever you like. Its state stays on disk between up and
/// down.
#[derive(Debug, clap::Args)]
pub(crate) struct Sandbox {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Start it in the background; the nodes have coins and know each other.
    Up(Up),
    /// Stop it. Its state stays on disk.
    Down {
        /// Also forget everything: the chain, the nodes, their coins.
        #[arg(long)]
        wipe: bool,
    },
    /// The chain and each node.
    Status,
    /// Make blocks now.
    Mine {
        /// How many.
        #[arg(default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
        blocks: u32,
        /// Who gets the rewards; the faucet unless said otherwise.
        #[arg(long)]
        address: Option<String>,
    },
    /// Get coins from nowhere, confirmed.
    Faucet {
        /// How much.
        #[arg(default_value = "50M")]
        amount: Amount,
        /// Whom to pay; the node's own wallet unless said otherwise.
        #[arg(long)]
        address: Option<String>,
    },
    /// Throw the newest blocks away and make others in their place.
    Reorg {
        /// How many.
        #[arg(
            value_name = "DEPTH",
            required_unless_present = "depth",
            value_parser = clap::value_parser!(u32).range(1..=100)
        )]
        blocks: Option<u32>,
        /// How many, as a flag.
        #[arg(long, conflicts_with = "blocks", value_parser = clap::value_parser!(u32).range(1..=100))]
        depth: Option<u32>,
        /// Leave the transactions of the lost blocks waiting.
        #[arg(long)]
        empty: bool,
        /// A transaction that is not mined again and gone for good, unless somebody hands it in again;
        /// can be given several times.
        #[arg(long, value_name = "TXID", conflicts_with = "empty")]
        without: Vec<String>,
        /// What is left out waits in the mempool instead.
        #[arg(long, requires = "without")]
        keep: bool,
    },
    /// Throw a waiting transaction, and what stands on it, out of the mempool.
    Evict {
        /// Which.
        txid: String,
    },
    /// Raise or lower what the mempool takes at least; what pays less is thrown out.
    Fees {
        /// Satoshi per virtual byte; 0: what the mempool finds by itself.
        #[arg(long, value_name = "SAT/VB", value_parser = clap::value_parser!(u32).range(0..=10_000))]
        floor: u32,
    },
    /// Let the chain stand still: no block is made.
    Stall {
        /// For how long, as 30s, 500ms or 2m; or on, or off.
        #[arg(value_name = "TIME|on|off")]
        time: Still,
        /// Blocks are made, but no node hears of them until it is over.
        #[arg(long)]
        silent: bool,
    },
    /// Make a waiting transaction expensive to replace: a large child that pays little is put on it.
    Pin {
        /// One with an anchor of one of the node's channels, or one that pays the faucet.
        txid: String,
    },
    /// Let a node cheat: it broadcasts an old state of a channel, and takes what nobody stops it from
    /// taking.
    Cheat {
        /// Which node.
        node: String,
        /// With which channel.
        #[arg(long, value_name = "ID")]
        channel: String,
        /// With which of its states, 0 for the first.
        #[arg(long, value_name = "N")]
        state: u64,
    },
    /// Payments at random between all nodes, and an account that adds up.
    Storm(Storm),
    /// Run it in this terminal until Ctrl-C.
    Run(Up),
}

#[derive(Debug, Clone, clap::Args)]
struct Up {
    /// Names of the nodes, or how many of them make a network.
    #[arg(long, value_name = "NAMES|COUNT", value_delimiter = ',', default_value = "alice,bob")]
    nodes: Vec<String>,
    /// Lay channels between them, announced and half filled from each side; a count of nodes without a
    /// topology is a grown network (ba).
    #[arg(long, value_enum)]
    topology: Option<Topology>,
    /// The same seed, the same network: its shape and all keys follow from it.
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// Make blocks only when asked; else transactions are mined by themselves.
    #[arg(long)]
    no_mine: bool,
    #[command(flatten)]
    open: Open,
}

/// Where the chain of a sandbox is shown to people and served to other programs.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
struct Open {
    /// Show the chain in a browser, such as at 127.0.0.1:9490; port 0 takes any.
    #[arg(long, value_name = "ADDRESS")]
    explorer_listen: Option<SocketAddr>,
    /// Serve Esplora's REST to other programs, such as at 127.0.0.1:3002.
    #[arg(long, value_name = "ADDRESS")]
    esplora_listen: Option<SocketAddr>,
    /// Serve Bitcoin Core's JSON-RPC to other programs, such as at 127.0.0.1:18443.
    #[arg(long, value_name = "ADDRESS")]
    rpc_listen: Option<SocketAddr>,
}

impl Open {
    fn doors(self) -> Result<Doors, Failure> {
        let Self { explorer_listen, esplora_listen, rpc_listen } = self;
        let all = [explorer_listen, esplora_listen, rpc_listen];
        if all.iter().flatten().any(|at| !at.ip().is_loopback()) {
            return Err(Failure::Usage(
                "the chain of a sandbox is served on a loopback address alone, such as 127.0.0.1, because whoever \
                 reaches it can rewrite it",
            ));
        }
        Ok(Doors { explorer: explorer_listen, esplora: esplora_listen, rpc: rpc_listen })
    }

    /// The same as words of the command line.
    fn words(self) -> Vec<String> {
        let Self { explorer_listen, esplora_listen, rpc_listen } = self;
        let named = [
            ("--explorer-listen", explorer_listen),
            ("--esplora-listen", esplora_listen),
            ("--rpc-listen", rpc_listen),
        ];
        let given =
            named.into_iter().filter_map(|(name, at)| Some([name.to_owned(), at?.to_string()]));
        given.flatten().collect()
    }
}

impl Up {
    fn settings(&self) -> Result<Settings, Failure> {
        let (names, topology) = match self.count()? {
            Some(count) => (numbered(count), Some(self.topology.unwrap_or(Topology::Ba))),
            None => (self.nodes.clone(), self.topology),
        };
        let plain = |name: &String| {
            let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            !name.is_empty() && name.len() <= 32 && name.chars().all(fits)
        };
        if !names.iter().all(plain) {
            return Err(Failure::Usage("names of nodes are lower-case letters, digits and dashes"));
        }
        let unique: std::collections::BTreeSet<&String> = names.iter().collect();
        let most = if topology.is_some() { NETWORK_MAX } else { NODES_MAX };
        if unique.len() != names.len() || names.len() > most || names.is_empty() {
            return Err(Failure::Usage(
                "a sandbox has 1 to 16 nodes, each with a name of its own, and a network up to 100",
            ));
        }
        let weave = topology.map(|topology| Weave { topology, seed: self.seed });
        let doors = self.open.doors()?;
        Ok(Settings { names, auto_mine: !self.no_mine, weave, doors })
    }

    /// How many nodes, if that is what was given.
    fn count(&self) -> Result<Option<usize>, Failure> {
        let [only] = self.nodes.as_slice() else { return Ok(None) };
        if !only.chars().all(|c| c.is_ascii_digit()) || only.is_empty() {
            return Ok(None);
        }
        match only.parse() {
            Ok(count) if (1..=NETWORK_MAX).contains(&count) => Ok(Some(count)),
            Ok(_) | Err(_) => Err(Failure::Usage("a network has 1 to 100 nodes")),
        }
    }
}

/// Names that sort as they are counted.
fn numbered(count: usize) -> Vec<String> {
    (1..=count).map(|number| format!("n{number:02}")).collect()
}

impl Sandbox {
    pub(crate) async fn run(
        self,
        screen: &mut Screen,
        to: &Where,
        launch: &impl Launch,
    ) -> Result<(), Failure> {
        let places = Places::find(to.dir.as_deref())?;
        let layout = Layout::new(places.data.join("sandbox"));
        let client = || any_node(to, &places, &layout);
        match self.what {
            What::Up(up) => start(screen, &layout, &places, &up).await,
            What::Down { wipe } => stop(screen, &layout, wipe).await,
            What::Status => status(screen, &layout).await,
            What::Run(up) => {
                let settings = up.settings()?;
                screen.note("The sandbox starts; Ctrl-C stops it.")?;
                Ok(run(launch, &layout, &settings, asked_to_stop()).await?)
            }
            What::Mine { blocks, address } => {
                let client = any_node(to, &places, &layout).await?;
                let ask = v1::MineRequest { idempotency_key: key()?, blocks, address };
                let made =
                    client.call(ask, |to, ask| async move { to.sandbox().mine(ask).await }).await?;
                screen.result(
                    &made,
                    |made| made.block_hashes.clone(),
                    |_, made| {
                        format!(
                            "mined {}, height {}",
                            blocks_in_words(made.block_hashes.len()),
                            grouped(made.block_height.into())
                        )
                    },
                )
            }
            What::Faucet { amount, address } => {
                let client = any_node(to, &places, &layout).await?;
                let address = match address {
                    Some(address) => address,
                    None => {
                        let ask = v1::NewAddressRequest { idempotency_key: key()?, r#type: 0 };
                        client
                            .call(ask, |to, ask| async move { to.wallet().new_address(ask).await })
                            .await?
                            .address
                    }
                };
                let amount_sat = amount.whole_sat_or_all()?.unwrap_or(FUNDS_SAT);
                let ask = v1::FaucetRequest { idempotency_key: key()?, address, amount_sat };
                let paid = client
                    .call(ask, |to, ask| async move { to.sandbox().faucet(ask).await })
                    .await?;
                screen.result(
                    &paid,
                    |paid| vec![paid.txid.clone()],
                    |_, paid| {
                        format!(
                            "{} arrived in block {}, tx {}",
                            sat(amount_sat),
                            paid.block_height,
                            short(&paid.txid)
                        )
                    },
                )
            }
            What::Storm(storm) => storm.run(screen, &layout).await,
            What::Evict { txid } => chaos::evict(screen, &client().await?, txid).await,
            What::Fees { floor } => chaos::fees(screen, &client().await?, floor).await,
            What::Stall { time, silent } => {
                chaos::stall(screen, &client().await?, time, silent).await
            }
            What::Pin { txid } => chaos::pin(screen, &client().await?, txid).await,
            What::Cheat { node, channel, state } => {
                let to = Where { node: Some(node), ..to.clone() };
                let client = connect(&to, &places).await?;
                chaos::cheat(screen, &client, channel, state).await
            }
            What::Reorg { blocks, depth, empty, without, keep } => {
                let client = client().await?;
                let depth = depth.or(blocks).unwrap_or_default();
                let ask = v1::ReorgRequest {
                    idempotency_key: key()?,
                    depth,
                    empty,
                    without_txids: without,
                    keep_waiting: keep,
                };
                let made = client
                    .call(ask, |to, ask| async move { to.sandbox().reorg(ask).await })
                    .await?;
                screen.result(
                    &made,
                    |made| made.block_hashes.clone(),
                    |_, made| {
                        format!(
                            "{} gone, height {} now",
                            blocks_in_words(usize::try_from(depth).unwrap_or(usize::MAX)),
                            grouped(made.block_height.into())
                        )
                    },
                )
            }
        }
    }
}

/// Ctrl-C, or the signal with which the system ends processes in order.
async fn asked_to_stop() {
    let interrupt = Interrupt::Keyboard;
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut end) = signal(SignalKind::terminate()) {
            tokio::select! {
                biased;
                _ = end.recv() => {}
                () = interrupt.pressed() => {}
            }
            return;
        }
    }
    interrupt.pressed().await;
}

fn blocks_in_words(count: usize) -> String {
    if count == 1 { "1 block".to_owned() } else { format!("{count} blocks") }
}

/// The node that was named, or the first of the sandbox: for the chain any of them will do.
async fn any_node(
    to: &Where,
    places: &Places,
    layout: &Layout,
) -> Result<api::client::Client, Failure> {
    let mut to = to.clone();
    if to.node.is_none() && to.url.is_none() {
        let state = State::read(layout)?;
        to.node = state.and_then(|state| state.nodes.into_iter().next()).map(|node| node.name);
    }
    connect(&to, places).await
}

async fn start(
    screen: &mut Screen,
    layout: &Layout,
    places: &Places,
    up: &Up,
) -> Result<(), Failure> {
    let settings = up.settings()?;
    if layout.is_running()? {
        return Err(SandboxError::Running.into());
    }
    layout.make(&settings.names)?;
    layout.clear()?;
    let mut child = spawn(layout, places, up)?;
    screen.waiting("starting")?;
    let nodes =
        settings.weave.map_or(0, |_| u32::try_from(settings.names.len()).unwrap_or(u32::MAX));
    for _ in 0..LOOKS.saturating_add(LOOKS_A_NODE.saturating_mul(nodes)) {
        if State::read(layout).is_ok_and(|state| state.is_some()) {
            return status(screen, layout).await;
        }
        if child.try_wait()?.is_some() {
            break;
        }
        tokio::time::sleep(LOOK).await;
    }
    Err(SandboxError::DidNotStart { last_words: layout.last_words() }.into())
}

/// Leaves this same program running behind, on its own.
fn spawn(layout: &Layout, places: &Places, up: &Up) -> Result<Child, Failure> {
    let log = File::create(layout.log())?;
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args(["sandbox", "run", "--nodes", &up.nodes.join(",")])
        .arg("--dir")
        .arg(&places.data)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log);
    if up.no_mine {
        command.arg("--no-mine");
    }
    if let Some(topology) = up.topology {
        command.args(["--topology", topology.name()]);
    }
    command.args(["--seed", &up.seed.to_string()]);
    command.args(up.open.words());
    // A group of its own: Ctrl-C in this terminal is not meant for it.
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    Ok(command.spawn()?)
}

async fn stop(screen: &mut Screen, layout: &Layout, wipe: bool) -> Result<(), Failure> {
    let state = State::read(layout)?;
    if wipe {
        let about =
            format!("Forget the chain, the nodes and their coins in {}", layout.root().display());
        screen.confirm(&[about], "Proceed?")?;
    }
    if let Some(state) = state {
        layout.ask_to_stop()?;
        let mut looks = LOOKS;
        while layout.is_running()? {
            looks = looks.checked_sub(1).ok_or(SandboxError::DidNotStop { pid: state.pid })?;
            tokio::time::sleep(LOOK).await;
        }
        layout.clear()?;
        screen.note("The sandbox has stopped; its state stays on disk.")?;
    } else if layout.is_running()? {
        // It is still coming up, and sees the request once it is there.
        layout.ask_to_stop()?;
        screen.note("The sandbox is still starting; it stops when it is up.")?;
    } else {
        screen.note("The sandbox does not run.")?;
    }
    if wipe {
        layout.wipe()?;
        screen.note("Its state is gone.")?;
    }
    Ok(())
}

/// The sandbox as JSON.
#[derive(Debug, Serialize)]
struct Answer {
    pid: u32,
    chain: v1::SandboxStatusResponse,
    doors: Vec<DoorState>,
    nodes: Vec<NodeAnswer>,
}

#[derive(Debug, Serialize)]
struct NodeAnswer {
    #[serde(flatten)]
    node: crate::sandbox::state::NodeState,
    wallet: v1::BalanceResponse,
    channels_open: u32,
}

async fn status(screen: &mut Screen, layout: &Layout) -> Result<(), Failure> {
    let state = State::read(layout)?.ok_or(SandboxError::NotRunning)?;
    let mut nodes = Vec::new();
    let mut chain = v1::SandboxStatusResponse::default();
    for seat in seats(&state.nodes).await? {
        let client = &seat.client;
        let info = client
            .call(v1::InfoRequest {}, |to, ask| async move { to.node().info(ask).await })
            .await?;
        let wallet = client
            .call(v1::BalanceRequest {}, |to, ask| async move { to.wallet().balance(ask).await })
            .await?;
        let ask = v1::SandboxStatusRequest {};
        chain = client.call(ask, |to, ask| async move { to.sandbox().status(ask).await }).await?;
        nodes.push(NodeAnswer { node: seat.node, wallet, channels_open: info.channels_open });
    }
    let answer = Answer { pid: state.pid, chain, doors: state.doors, nodes };
    let root = layout.root().display().to_string();
    screen.result(
        &answer,
        |answer| answer.nodes.iter().map(|node| node.node.name.clone()).collect(),
        |screen, answer| {
            let columns = [
                Column::Left("NODE"),
                Column::Left("RPC"),
                Column::Left("PEERS AT"),
                Column::Right("WALLET"),
                Column::Right("CHANNELS"),
            ];
            let rows = answer.nodes.iter().map(|one| {
                vec![
                    screen.paint(Tone::Strong, &one.node.name),
                    one.node.rpc.clone(),
                    format!("{}@{}", short(&one.node.node_id), one.node.p2p),
                    sat(one.wallet.spendable_sat),
                    one.channels_open.to_string(),
                ]
            });
            let doors: String = answer.doors.iter().map(door_in_words).collect();
            let first = answer.nodes.first().map_or("NAME", |one| one.node.name.as_str());
            format!(
                "chain    block {}, {} waiting\n{doors}{}\nstate in {root} · speak to a node: viaduct -n {first} status · stop with: viaduct sandbox down",
                grouped(answer.chain.block_height.into()),
                grouped(answer.chain.mempool_transactions.into()),
                table(&columns, rows.collect(), "no nodes"),
            )
        },
    )
}

/// A line of its own.
fn door_in_words(door: &DoorState) -> String {
    let cookie = door.cookie.as_ref().map(|cookie| format!(" · cookie {}", cookie.display()));
    format!("{:<9}{}{}\n", door.name, door.url, cookie.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_is_served_on_this_machine_alone_and_the_process_behind_hears_where() {
        let at = |text: &str| Some(text.parse().unwrap());
        let open = Open {
            explorer_listen: at("127.0.0.1:9490"),
            rpc_listen: at("[::1]:0"),
            ..Open::default()
        };
        assert_eq!(
            open.words(),
            ["--explorer-listen", "127.0.0.1:9490", "--rpc-listen", "[::1]:0"]
        );
        let doors = open.doors().unwrap();
        assert_eq!(
            (doors.explorer, doors.esplora, doors.rpc),
            (at("127.0.0.1:9490"), None, at("[::1]:0"))
        );
        assert!(Open { esplora_listen: at("0.0.0.0:1"), ..Open::default() }.doors().is_err());
    }

    fn up(nodes: &[&str], topology: Option<Topology>) -> Up {
        let nodes = nodes.iter().map(|name| (*name).to_owned()).collect();
        Up { nodes, topology, seed: 7, no_mine: false, open: Open::default() }
    }

    #[test]
    fn a_count_is_a_network_and_names_are_none_unless_told() {
        let settings = up(&["alice", "bob"], None).settings().unwrap();
        assert_eq!(settings.weave, None);
        let settings = up(&["50"], None).settings().unwrap();
        assert_eq!(settings.weave, Some(Weave { topology: Topology::Ba, seed: 7 }));
        assert_eq!(settings.names.len(), 50);
        assert_eq!(settings.names.first().map(String::as_str), Some("n01"));
        let settings = up(&["alice", "bob", "carol"], Some(Topology::Ring)).settings().unwrap();
        assert_eq!(settings.weave, Some(Weave { topology: Topology::Ring, seed: 7 }));
        for wrong in [&["0"][..], &["101"], &["99999999999999999999"], &["a", "a"], &["A"], &[""]] {
            assert!(up(wrong, None).settings().is_err(), "{wrong:?}");
        }
    }
}
