//! A new seed begins at the chain's tip, an old one where it is told to: older blocks are not read, and need not be there.

use std::collections::BTreeSet;

use bitcoin::Amount;
use chain_backend::{BuiltinChain, ChainBackend as _, Options, Reorg};
use daemon::datadir::DataDir;
use daemon::seed::birth::Birth;
use viaduct_tests::layer1::{Layer1, nobody, unix_now};
use viaduct_tests::ours::{OurNode, Place};
use viaduct_tests::until::until_async;

use super::pair::{COIN, in_time};

/// Blocks before the node comes.
const BEFORE: u32 = 450;

/// What a block brings then, after three halvings, satoshi.
const REWARD: u64 = COIN >> 3;

async fn has(node: &OurNode, coins: u64) {
    until_async("its coins", String::new, || async {
        (node.balance().await.confirmed == Amount::from_sat(coins)).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_seed_joins_a_pruned_chain_at_its_tip_and_keeps_its_birth_through_losses_and_reorgs()
{
    in_time(async {
        let dir = tempfile::tempdir().unwrap();
        let options = Options {
            file_bytes_max: 4 << 10,
            sync: false,
            ..Options::directory(&dir.path().join("chain"), unix_now)
        };
        let chain = BuiltinChain::open(&options).expect("a chain");
        let layer1 = Layer1::of(chain.clone());
        layer1.mine(BEFORE).await;
        chain.prune(BEFORE - 300).await.expect("nobody needs them");
        let first = chain.header_at(1).await.expect("its header is kept");
        assert!(chain.block(first.hash).await.is_err(), "old blocks are gone");

        let place = Place::new("alice", dir.path(), &layer1);
        let file = place.dir().birth();
        Birth::Tip.write(&file).unwrap();
        let mut alice = OurNode::start(place).await;
        alice.at_height(BEFORE).await;
        let born = BEFORE - 12;
        assert_eq!(Birth::read(&file).unwrap(), Birth::Height(born));
        let script = alice.wallet_script().await;
        layer1.give(&[script]).await;
        alice.at_height(layer1.height().await).await;
        has(&alice, REWARD).await;

        // All but the seed and its birth is lost.
        let burn = |dir: &DataDir| std::fs::remove_dir_all(dir.store()).expect("it burns");
        alice = alice.restart_with(burn).await;
        alice.at_height(layer1.height().await).await;
        has(&alice, REWARD).await;
        alice = alice.crash_and_restart().await;
        has(&alice, REWARD).await;

        // What was believed when it began never was.
        let depth = layer1.height().await - born + 9;
        let reorg = Reorg { depth, left_out: BTreeSet::new(), forget: false, script: nobody() };
        layer1.chain().reorganise(reorg).await.expect("another branch");
        alice.at_height(layer1.height().await).await;
        has(&alice, 0).await;
        alice = alice.crash_and_restart().await;
        let script = alice.wallet_script().await;
        layer1.give(&[script]).await;
        alice.at_height(layer1.height().await).await;
        has(&alice, REWARD).await;
    })
    .await;
}
