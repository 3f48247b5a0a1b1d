//! Two whole nodes in one process, on the built-in chain: open, pay, crash, close.

mod forced;
mod forwarded;
mod held;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bitcoin::Amount;
use chain_backend::BuiltinChain;
use futures_util::StreamExt as _;
use wire::units::Msat;

use super::*;
use crate::config::layers::Sources;
use crate::rpc::model::OrderKey;
use crate::rpc::model::channel::{
    ChannelFilter, ChannelPhase, ChannelRef, CloseChannel, CloseHow, OpenChannel,
};
use crate::rpc::model::invoice::{CreateInvoice, Description};
use crate::rpc::model::payment::{PayOrder, PaymentStatus};
use crate::rpc::model::sandbox::{Faucet, Mine};
use crate::rpc::model::wallet::{AddressKind, Coins};
use crate::rpc::node_api::NodeApi as _;
use crate::seed::Seed;

fn now() -> u32 {
    u32::try_from(crate::clock::UnixTime::now().0).unwrap()
}

fn config(root: &Path) -> Config {
    let flags = [("network", "sandbox"), ("p2p.listen", "127.0.0.1:0")];
    let flags = flags.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let config = Config::read(root.to_owned(), &Sources { flags, ..Sources::default() }).unwrap();
    std::fs::create_dir_all(config.dir.network()).unwrap();
    config
}

struct World {
    chain: BuiltinChain,
    _dir: tempfile::TempDir,
    configs: Vec<Config>,
    seeds: Vec<Seed>,
}

impl World {
    fn new(nodes: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let configs = (0..nodes).map(|node| config(&dir.path().join(node.to_string()))).collect();
        let seeds = (0..nodes).map(|_| Seed::generate().unwrap()).collect();
        Self { chain: BuiltinChain::in_memory(now).unwrap(), _dir: dir, configs, seeds }
    }

    async fn start(&self, node: usize) -> Node {
        let config = &self.configs[node];
        let secrets = self.seeds[node].secrets(config.network.params()).unwrap();
        let backend: Arc<dyn ChainBackend> = Arc::new(self.chain.clone());
        let sandbox: Arc<dyn Sandbox> = Arc::new(self.chain.clone());
        let access = ChainAccess { backend, sandbox: Some(sandbox) };
        Node::start(config, secrets, access).await.unwrap()
    }
}

async fn fill(node: &Handle, sat: u64) {
    let to = node.new_address(AddressKind::Taproot, None).await.unwrap();
    let amount = Amount::from_sat(sat);
    node.faucet(Faucet { key: None, to, amount }).await.unwrap();
}

fn opening(bob: &Node, sat: u64) -> OpenChannel {
    OpenChannel {
        key: Some(OrderKey { word: "open with bob".to_owned(), digest: [1; 32] }),
        node: bob.handle().node_id(),
        address: Some(bob.listening()[0].to_string()),
        coins: Coins::Exactly(Amount::from_sat(sat)),
        push: Msat::ZERO,
        feerate: None,
        to_self_delay: None,
        announce: false,
        kind: channel::Kind::default(),
    }
}

async fn open(alice: &Handle, bob: &Node, sat: u64) {
    open_as(alice, opening(bob, sat)).await;
}

async fn open_as(alice: &Handle, order: OpenChannel) {
    let mut updates = alice.open_channel(order).await.unwrap().updates;
    loop {
        let Ok(next) = tokio::time::timeout(Duration::from_millis(100), updates.next()).await
        else {
            alice.mine(Mine { key: None, blocks: 1, to: None }).await.unwrap();
            continue;
        };
        let Some(channel) = next else { break };
        let channel = channel.unwrap();
        match channel.phase {
            ChannelPhase::Open => return,
            ChannelPhase::Failed => panic!("{:?}", channel.why),
            ChannelPhase::Negotiating
            | ChannelPhase::Negotiated
            | ChannelPhase::AwaitingDepth
            | ChannelPhase::AwaitingPeer
            | ChannelPhase::ShuttingDown
            | ChannelPhase::Closing
            | ChannelPhase::Closed => {}
        }
    }
    panic!("the open ended early");
}

async fn pay(from: &Handle, to: &Handle, msat: u64) -> PaymentStatus {
    let invoice = to
        .create_invoice(CreateInvoice {
            key: None,
            amount: Msat::new(msat),
            description: Description::Text("test".to_owned()),
            expiry_s: None,
            min_final_cltv_delta: None,
            blinded: false,
            ..CreateInvoice::default()
        })
        .await
        .unwrap();
    let order = PayOrder {
        key: None,
        invoice: invoice.bolt11,
        amount: None,
        max_fee: None,
        timeout_ms: 10_000,
    };
    let mut updates = from.pay(order).await.unwrap().updates;
    let mut last = PaymentStatus::InFlight;
    while let Some(payment) = updates.next().await {
        last = payment.unwrap().status;
    }
    last
}

async fn usable(node: &Handle) {
    for _ in 0..400 {
        let all = node.0.directory.doors();
        if all.iter().count() > 0 && all.iter().all(|door| door.glance.borrow().usable) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("the channel did not come back");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_open_pay_restart_and_close_and_every_satoshi_is_there() {
    let _ = tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_test_writer()
        .try_init();
    tokio::time::timeout(Duration::from_secs(60), story()).await.expect("in time");
}

async fn story() {
    let world = World::new(2);
    let (alice, bob) = (world.start(0).await, world.start(1).await);
    let (a, b) = (alice.handle(), bob.handle());
    fill(&a, 5_000_000).await;
    let fees_before = world.chain.totals().await.unwrap().fees_sat;
    open(&a, &bob, 1_000_000).await;
    usable(&b).await;
    for _ in 0..5 {
        assert!(matches!(pay(&a, &b, 20_000_000).await, PaymentStatus::Succeeded { .. }));
    }
    assert!(matches!(pay(&b, &a, 30_000_000).await, PaymentStatus::Succeeded { .. }));

    alice.stop().await;
    let alice = world.start(0).await;
    let a = alice.handle();
    usable(&a).await;
    usable(&b).await;
    assert!(matches!(pay(&a, &b, 10_000_000).await, PaymentStatus::Succeeded { .. }));
    assert!(matches!(pay(&b, &a, 10_000_000).await, PaymentStatus::Succeeded { .. }));

    // The request that opened it, repeated under its key after the restart, opens no other.
    assert!(!a.open_channel(opening(&bob, 1_000_000)).await.unwrap().fresh);
    let mut channels = a.list_channels(ChannelFilter::default()).await.unwrap();
    assert_eq!(channels.len(), 1);
    let channel = channels.remove(0);
    let how = CloseHow::Cooperative { to: None, feerate: None };
    let order = CloseChannel { key: None, channel: ChannelRef::Id(channel.id), how };
    let mut updates = a.close_channel(order).await.unwrap().updates;
    while let Some(channel) = updates.next().await {
        let channel = channel.unwrap();
        if matches!(channel.phase, ChannelPhase::Closing) {
            break;
        }
    }
    for _ in 0..100 {
        a.mine(Mine { key: None, blocks: 1, to: None }).await.unwrap();
    }
    let end = updates.next().await;
    drop(end);
    let fees = world.chain.totals().await.unwrap().fees_sat - fees_before;
    let mut theirs = Amount::ZERO;
    for _ in 0..200 {
        theirs = b.wallet_balance().await.unwrap().confirmed;
        if theirs > Amount::ZERO {
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    let ours = a.wallet_balance().await.unwrap().confirmed;
    assert_eq!(theirs, Amount::from_sat(70_000));
    assert_eq!((ours + theirs).to_sat() + fees, 5_000_000);
    alice.stop().await;
    bob.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_tells_its_chain_how_far_it_has_come_for_good() {
    let world = World::new(1);
    let script = bitcoin::ScriptBuf::new();
    Sandbox::mine(&world.chain, 3, script.clone()).await.unwrap();
    for blocks in [4, 2] {
        let node = world.start(0).await;
        let name = layer1::name_of(node.handle().node_id());
        Sandbox::mine(&world.chain, blocks, script.clone()).await.unwrap();
        let tip = world.chain.tip().await.unwrap().height;
        let heard = async {
            loop {
                let readers = world.chain.readers().await.unwrap();
                match readers.get(&name).map(|place| place.height) {
                    Some(height) if height == tip => return,
                    height => assert!(height.is_none_or(|height| height < tip)),
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), heard).await.expect("the chain hears it");
        assert!(node.stop().await.is_none());
    }
}
