//! Two nodes, a channel, and towers in this process.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bitcoin::{Amount, OutPoint, Transaction, Txid};
use chain_backend::ChainBackend;
use daemon::rpc::model::channel::ChannelRef;
use daemon::rpc::model::sandbox::{Cheat, Cheating};
use daemon::rpc::node_api::NodeApi as _;
use daemon::tower::Coverage;
use viaduct_tests::layer1::Layer1;
use viaduct_tests::ours::OurNode;
use viaduct_tests::until::until_async;
use watchtower::settings::Settings;
use watchtower::store::Keeper;
use watchtower::tower::{self, Running};
use watchtower::watch::View;
use wire::id::{ChannelId, NodeId};

use crate::nodes::pair::{CAPACITY, COIN, Pair, pay_some};

/// Keeps checkpoints from towers, so that all they have are states.
pub(crate) const NO_CHECKPOINTS: (&str, &str) = ("towers.checkpoint_every_seconds", "0");

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
    /// Where it looks at the chain, the best first.
    chains: Vec<Arc<dyn ChainBackend>>,
}

impl Tower {
    pub(crate) async fn start(dir: &Path, layer1: &Layer1) -> Self {
        Self::start_with(dir, layer1, |_| {}).await
    }

    /// With settings of its own.
    pub(crate) async fn start_with(
        dir: &Path,
        layer1: &Layer1,
        change: impl FnOnce(&mut Settings),
    ) -> Self {
        Self::begin(dir, layer1, vec![layer1.backend()], change).await
    }

    /// One that looks at the chain through these, the best first.
    pub(crate) async fn start_through(
        dir: &Path,
        layer1: &Layer1,
        chains: Vec<Arc<dyn ChainBackend>>,
    ) -> Self {
        Self::begin(dir, layer1, chains, |_| {}).await
    }

    async fn begin(
        dir: &Path,
        layer1: &Layer1,
        chains: Vec<Arc<dyn ChainBackend>>,
        change: impl FnOnce(&mut Settings),
    ) -> Self {
        let mut settings = Settings::usual(dir);
        settings.listen = Some("127.0.0.1:0".parse().unwrap());
        (settings.admin, settings.metrics) = (None, None);
        settings.bounds.allow_replica_from.insert("127.0.0.1".parse().unwrap());
        // Tests die and call again as often as they like.
        settings.bounds.calls_per_minute = 100_000;
        change(&mut settings);
        let mut tower = Self { running: None, settings, layer1: layer1.clone(), chains };
        tower.wake().await;
        // From now on it is always at the same place.
        tower.settings.listen = tower.running.as_ref().unwrap().listen;
        tower
    }

    pub(crate) async fn wake(&mut self) {
        let chains = self.chains.clone();
        self.running = Some(tower::start(&self.settings, chains, now_ms).await.expect("a tower"));
    }

    pub(crate) async fn sleep(&mut self) {
        self.running.take().expect("it runs").stop().await;
    }

    pub(crate) fn id(&self) -> NodeId {
        NodeId(self.running.as_ref().unwrap().key.serialize())
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> String {
        self.settings.listen.unwrap().to_string()
    }

    /// Its books.
    pub(crate) fn keeper(&self) -> &Keeper {
        &self.running.as_ref().unwrap().keeper
    }

    /// How it stands with the chain.
    pub(crate) fn view(&self) -> &View {
        &self.running.as_ref().unwrap().view
    }

    /// Waits until it has looked at every block.
    pub(crate) async fn at_tip(&self) {
        let height = self.layer1.height().await;
        until_async("the tower to see the tip", String::new, || async {
            let tip = self.view().watching.borrow().tip;
            tip.filter(|tip| tip.height >= height).map(drop)
        })
        .await;
    }

    pub(crate) fn dir(&self) -> PathBuf {
        self.settings.dir.clone()
    }

    /// `node` hires it.
    pub(crate) async fn hired_by(&self, node: &OurNode, trusted: bool) {
        node.handle().add_tower(self.id(), self.address(), trusted).await.expect("it is hired");
    }
}

/// Alice may cheat, and has a state in which she had 300,000 sat more than now.
pub(crate) async fn scene(settings: &[(&str, &str)]) -> (Pair, ChannelId, u64) {
    scene_on(Layer1::start(), settings).await
}

/// The same on this chain.
pub(crate) async fn scene_on(layer1: Layer1, settings: &[(&str, &str)]) -> (Pair, ChannelId, u64) {
    // Checkpoints have tests of their own; elsewhere towers have nothing but states.
    let cheat = [("chain.cheat", "true"), NO_CHECKPOINTS];
    let settings: Vec<_> = cheat.iter().chain(settings).copied().collect();
    let pair = Pair::on(layer1, &settings).await;
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

/// Waits until every revoked state of every channel is with as many towers as are wanted; the last channel's
/// coverage.
pub(crate) async fn covered(node: &OurNode) -> Coverage {
    until_async("every state is with towers", String::new, || async {
        let (mut channels, _) = node.handle().tower_coverage().await.expect("coverage");
        let all = channels.iter().all(|one| one.missing_copies == 0 && one.states > 0);
        channels.pop().filter(|_| all)
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

/// Bob, woken up, has everything of the channel but fees and anchors; alice has nothing of it.
pub(crate) async fn bob_has_all(pair: &Pair, cheating: &Cheating, alice: Amount) {
    let found = pair.layer1.chain().tx(cheating.txid).await.unwrap();
    let commitment = found.expect("mined").tx;
    let all: u64 = commitment.output.iter().map(|output| output.value.to_sat()).sum();
    // His own part of the old state is not the tower's business: he takes it himself, now.
    until_async("bob has everything", String::new, || async {
        let bob = pair.bob.balance().await.confirmed.to_sat();
        if bob + 60_000 < COIN + all {
            pair.mine(1).await;
            return None;
        }
        Some(())
    })
    .await;
    assert_eq!(pair.alice.balance().await.confirmed, alice, "the thief got nothing");
}

/// How a hired tower is shown.
pub(crate) async fn hired(node: &OurNode, tower: NodeId) -> daemon::tower::Tower {
    let towers = node.handle().list_towers().await.expect("towers");
    towers.into_iter().find(|one| one.tower == tower).expect("it is hired")
}

/// Waits until a tower keeps a checkpoint that says how far everything is now.
pub(crate) async fn checkpointed(node: &OurNode, tower: NodeId) -> u64 {
    until_async("the newest checkpoint is with the tower", String::new, || async {
        let kept = hired(node, tower).await.checkpoint?;
        kept.current.then_some(kept.version)
    })
    .await
}
