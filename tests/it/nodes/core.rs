//! Nodes whose chain is Bitcoin Core's JSON-RPC. `VIADUCT_TEST_CHAIN=bitcoind` runs all other tests so as well.

use std::collections::BTreeSet;

use bitcoin::ScriptBuf;
use chain_backend::Sandbox as _;
use daemon::rpc::model::channel::CloseKind;
use viaduct_tests::layer1::Layer1;

use super::pair::{CAPACITY, Pair, find, in_time, pay_some};

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
        let nobody = ScriptBuf::from_bytes(vec![0x51]).to_p2wsh();
        pair.layer1.chain().reorg(2, BTreeSet::new(), nobody).await.expect("it reorganises");
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
