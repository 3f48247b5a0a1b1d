//! Nodes whose chain is Bitcoin Core's JSON-RPC, also one that goes away and comes back. `VIADUCT_TEST_CHAIN=bitcoind`
//! runs all other tests so as well, `BITCOIND=PATH` on that program.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bitcoin::ScriptBuf;
use chain_backend::{BitcoindSettings, PATIENCE};
use daemon::rpc::model::channel::CloseKind;
use daemon::rpc::model::node::Health;
use daemon::rpc::node_api::NodeApi as _;
use viaduct_tests::layer1::core::Core;
use viaduct_tests::layer1::line::{Line, State};
use viaduct_tests::layer1::served::{Served, settings_at};
use viaduct_tests::layer1::steered::Steered;
use viaduct_tests::layer1::{BITCOIND, Layer1, empty};
use viaduct_tests::ours::OurNode;
use viaduct_tests::until::until_async;

use super::pair::{CAPACITY, Pair, find, in_time, pay_some};
use crate::processes::programs::program;

fn nobody() -> ScriptBuf {
    ScriptBuf::from_bytes(vec![0x51]).to_p2wsh()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_lives_and_dies_over_bitcoin_cores_rpc_through_a_reorganisation() {
    in_time(async {
        let pair = Pair::on(Layer1::over_rpc(), &[]).await;
        let id = pair.open(CAPACITY).await;
        pay_some(&pair.alice, &pair.bob, 50_000_000).await;
        let view = pair.agree(id).await;
        pair.alice.close(id, true).await;
        pair.layer1.spend_seen(view.funding.expect("funded")).await;
        pair.mine(2).await;
        // The commitment goes back to the mempool and comes again.
        pair.layer1.chain().reorg(2, BTreeSet::new(), nobody()).await.expect("it reorganises");
        pair.synced().await;
        pair.mine(146).await;
        pair.buried(id).await;
        let closing = find(&pair.bob, id).await.closing.expect("closed");
        assert!(matches!(closing.kind, Some(CloseKind::ForcedByThem | CloseKind::ForcedByUs)));
        let funds = pair.bob.balance().await.confirmed.to_sat();
        assert!(funds + 10_000 > super::pair::COIN + 50_000, "{funds}");
    })
    .await;
}

/// Waits until a node says that its chain is away.
async fn away(node: &OurNode) {
    until_async("a node to tell that the chain is away", String::new, || async {
        let parts = node.handle().health().await.expect("it tells");
        let chain = parts.into_iter().find(|part| part.name == "chain").expect("a part of it");
        (chain.state == Health::Degraded && chain.detail.contains("away")).then_some(())
    })
    .await;
}

/// Two nodes with a channel lose sight of the chain, once before a close and once behind it; each time it comes back on
/// another branch.
async fn out_of_sight(how: State, patience: Duration) {
    let served = Served::start(empty());
    let line = Line::to(served.at());
    let settings = BitcoindSettings { patience, ..settings_at(line.at()) };
    let layer1 = Layer1::reached(Arc::new(served.chain().clone()), &settings);
    let pair = Pair::on(layer1, &[]).await;
    let id = pair.open(CAPACITY).await;
    pay_some(&pair.alice, &pair.bob, 50_000_000).await;
    let funding = pair.agree(id).await.funding.expect("funded");
    pair.mine(3).await;

    line.set(how);
    for node in [&pair.alice, &pair.bob] {
        away(node).await;
    }
    // Channels do not need the chain to go on.
    pay_some(&pair.alice, &pair.bob, 1_000_000).await;
    pair.agree(id).await;
    pair.alice.close(id, true).await;
    pair.layer1.chain().reorg(2, BTreeSet::new(), nobody()).await.expect("it reorganises");
    pair.layer1.mine(2).await;
    line.set(State::Up);
    pair.synced().await;
    let commitment = pair.layer1.spend_seen(funding).await.compute_txid();
    pair.mine(2).await;

    line.set(how);
    // The close loses its place, and waits for it again.
    let without = BTreeSet::from([commitment]);
    pair.layer1.chain().reorg(3, without, nobody()).await.expect("it reorganises");
    line.set(State::Up);
    pair.synced().await;
    let again = pair.layer1.spend_seen(funding).await;
    pair.mine(1).await;
    let place = pair.layer1.chain().tx(again.compute_txid()).await.expect("it answers");
    assert!(place.expect("it is there").confirmed.is_some());
    pair.buried(id).await;
    let funds = pair.bob.balance().await.confirmed.to_sat();
    assert!(funds + 10_000 > super::pair::COIN + 51_000, "{funds}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_core_that_hangs_up_and_comes_back_on_another_branch_costs_nothing() {
    in_time(out_of_sight(State::Cut, PATIENCE)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_core_that_falls_silent_is_told_of_and_comes_back_on_another_branch_at_no_cost() {
    in_time(out_of_sight(State::Silent, Duration::from_secs(3))).await;
}

/// The program of the environment, or our own under the name of Bitcoin Core's.
fn core_program(dir: &tempfile::TempDir) -> PathBuf {
    std::env::var_os(BITCOIND).map_or_else(
        || {
            let named = dir.path().join("bitcoind");
            std::os::unix::fs::symlink(program("viaduct-chain"), &named).expect("a name");
            named
        },
        PathBuf::from,
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_core_that_is_killed_and_started_again_finds_the_nodes_where_they_were() {
    let dir = tempfile::tempdir().expect("a directory");
    // Programs may have to be built first.
    let program = core_program(&dir);
    in_time(async {
        let mut core = Core::start(&program);
        let settings = core.settings();
        let pair =
            Pair::on(Layer1::reached(Arc::new(Steered::new(&settings)), &settings), &[]).await;
        let id = pair.open(CAPACITY).await;
        pay_some(&pair.alice, &pair.bob, 50_000_000).await;
        let funding = pair.agree(id).await.funding.expect("funded");
        core.kill();
        pair.alice.close(id, true).await;
        core.again();
        // Its mempool may have gone with it; what belongs there is handed in with the next block.
        pair.mine(1).await;
        pair.layer1.spend_seen(funding).await;
        pair.mine(2).await;
        core.again();
        pair.layer1.chain().reorg(2, BTreeSet::new(), nobody()).await.expect("it reorganises");
        pair.synced().await;
        pair.buried(id).await;
        let funds = pair.bob.balance().await.confirmed.to_sat();
        assert!(funds + 10_000 > super::pair::COIN + 50_000, "{funds}");
    })
    .await;
}
