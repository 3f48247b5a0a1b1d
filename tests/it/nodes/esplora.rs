//! Nodes whose chain is an Esplora server. `VIADUCT_TEST_CHAIN=esplora` runs all other tests so as well.

use std::collections::BTreeSet;
use std::sync::Arc;

use bitcoin::ScriptBuf;
use daemon::rpc::model::channel::CloseKind;
use viaduct_tests::layer1::line::{Line, State};
use viaduct_tests::layer1::served::Served;
use viaduct_tests::layer1::{Layer1, empty};

use super::pair::{CAPACITY, COIN, Pair, find, in_time, pay_some};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_lives_and_dies_over_esplora_while_the_server_goes_and_the_chain_reorganises() {
    in_time(async {
        let served = Served::start(empty());
        let line = Line::to(served.esplora());
        let layer1 = Layer1::reached_by_esplora(Arc::new(served.chain().clone()), line.at());
        let pair = Pair::on(layer1, &[]).await;
        let id = pair.open(CAPACITY).await;
        pay_some(&pair.alice, &pair.bob, 50_000_000).await;
        let view = pair.agree(id).await;
        // Nobody answers while blocks come, and again while a close is under way; each time both read on where they
        // were.
        line.set(State::Cut);
        pay_some(&pair.alice, &pair.bob, 10_000_000).await;
        pair.layer1.mine(3).await;
        line.set(State::Up);
        pair.synced().await;
        pair.agree(id).await;
        pair.alice.close(id, true).await;
        pair.layer1.spend_seen(view.funding.expect("funded")).await;
        pair.mine(2).await;
        line.set(State::Cut);
        // The commitment goes back to the mempool and comes again.
        let nobody = ScriptBuf::from_bytes(vec![0x51]).to_p2wsh();
        pair.layer1.chain().reorg(2, BTreeSet::new(), nobody).await.expect("it reorganises");
        line.set(State::Up);
        pair.synced().await;
        pair.mine(146).await;
        pair.buried(id).await;
        let closing = find(&pair.bob, id).await.closing.expect("closed");
        assert!(matches!(closing.kind, Some(CloseKind::ForcedByThem | CloseKind::ForcedByUs)));
        let funds = pair.bob.balance().await.confirmed.to_sat();
        assert!(funds + 10_000 > COIN + 60_000, "{funds}");
    })
    .await;
}
