//! Two nodes, a channel, and towers in this process.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bitcoin::{Amount, OutPoint, Transaction, Txid};
use chain_backend::ChainBackend as _;
use daemon::rpc::model::channel::ChannelRef;
use daemon::rpc::model::sandbox::{Cheat, Cheating};
use daemon::rpc::node_api::NodeApi as _;
use daemon::tower::Coverage;
use viaduct_tests::layer1::Layer1;
use viaduct_tests::ours::OurNode;
use viaduct_tests::until::until_async;
use watchtower::settings::Settings;
use watchtower::tower::{self, Running};
use wire::id::{ChannelId, NodeId};

use crate::nodes::pair::{CAPACITY, Pair, pay_some};

/// Blocks a thief must wait for its own output.
pub(crate) const DELAY: u32 = 144;

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

/// A tower on a port of its own.
pub(crate) struct Tower {
    running: Option<Running>,
    settings: Settings,
    layer1: Layer1,
}

impl Tower {
    pub(crate) async fn start(dir: &Path, layer1: &Layer1) -> Self {
        let mut settings = Settings::usual(dir);
        settings.listen = Some("127.0.0.1:0".parse().unwrap());
        (settings.admin, settings.metrics) = (None, None);
        settings.bounds.allow_replica_from.insert("127.0.0.1".parse().unwrap());
        let mut tower = Self { running: None, settings, layer1: layer1.clone() };
        tower.wake().await;
        // From now on it is always at the same place.
        tower.settings.listen = tower.running.as_ref().unwrap().listen;
        tower
    }

    pub(crate) async fn wake(&mut self) {
        let chain = vec![self.layer1.backend()];
        self.running = Some(tower::start(&self.settings, chain, now_ms).await.expect("a tower"));
    }

    pub(crate) async fn sleep(&mut self) {
        self.running.take().expect("it runs").stop().await;
    }

    pub(crate) fn id(&self) -> NodeId {
        NodeId(self.running.as_ref().unwrap().key.serialize())
    }

    pub(crate) fn dir(&self) -> PathBuf {
        self.settings.dir.clone()
    }

    /// `node` hires it.
    pub(crate) async fn hired_by(&self, node: &OurNode, trusted: bool) {
        let address = self.settings.listen.unwrap().to_string();
        node.handle().add_tower(self.id(), address, trusted).await.expect("it is hired");
    }
}

/// Alice may cheat, and has a state in which she had 300,000 sat more than now.
pub(crate) async fn scene(settings: &[(&str, &str)]) -> (Pair, ChannelId, u64) {
    let cheat = [("chain.cheat", "true")];
    let settings: Vec<_> = cheat.iter().chain(settings).copied().collect();
    let pair = Pair::start(&settings).await;
    let id = pair.open(CAPACITY).await;
    pay_some(&pair.alice, &pair.bob, 400_000_000).await;
    let then = pair.agree(id).await;
    pay_some(&pair.alice, &pair.bob, 300_000_000).await;
    pair.agree(id).await;
    (pair, id, then.commitment_number)
}

pub(crate) async fn coverage(node: &OurNode) -> Coverage {
    let (mut channels, _) = node.handle().tower_coverage().await.expect("coverage");
    channels.pop().expect("a channel with old states")
}

/// Waits until every revoked state is with as many towers as are wanted.
pub(crate) async fn covered(node: &OurNode) -> Coverage {
    until_async("every state is with towers", String::new, || async {
        let coverage = coverage(node).await;
        (coverage.missing_copies == 0 && coverage.states > 0).then_some(coverage)
    })
    .await
}

pub(crate) async fn cheat(thief: &OurNode, id: ChannelId, state: u64) -> Cheating {
    let order = Cheat { channel: ChannelRef::Id(id), state };
    thief.handle().cheat(order).await.expect("it cheats")
}

/// The transaction that spends the output of `tx` worth `value`, and whether a block has it.
pub(crate) async fn taker(
    layer1: &Layer1,
    tx: Txid,
    value: Amount,
) -> Option<(Arc<Transaction>, bool)> {
    let found = layer1.chain().tx(tx).await.unwrap()?.tx;
    let vout = found.output.iter().position(|output| output.value == value)?;
    let outpoint = OutPoint { txid: tx, vout: u32::try_from(vout).unwrap() };
    let spend = layer1.chain().spender(outpoint, 0).await.unwrap()?;
    Some((spend.tx, spend.block.is_some()))
}

/// Mines until a block has what takes the thief's own output.
pub(crate) async fn justice(layer1: &Layer1, cheating: &Cheating) -> Arc<Transaction> {
    until_async("somebody takes the thief's output", String::new, || async {
        taker(layer1, cheating.txid, cheating.ours).await
    })
    .await;
    layer1.mine(1).await;
    let (tx, mined) = taker(layer1, cheating.txid, cheating.ours).await.expect("taken");
    assert!(mined, "the next block has it");
    tx
}
