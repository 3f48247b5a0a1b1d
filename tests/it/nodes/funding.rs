//! The funding transaction and the chain: waiting, reorganisations, crashes on the way.

use std::collections::BTreeSet;

use bitcoin::Amount;
use daemon::rpc::model::channel::ChannelPhase;
use viaduct_tests::layer1::nobody;

use super::pair::{CAPACITY, Pair, find, in_time, pay_some};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_funding_that_a_reorganisation_takes_out_before_it_is_deep_counts_anew() {
    in_time(async {
        let pair = Pair::start(&[("channel.depth_min_blocks", "3")]).await;
        let id = pair.alice.open_channel(pair.bob.id(), pair.bob.address(), CAPACITY).await;
        pair.layer1.mempool_of(1).await;
        pair.mine(2).await;
        assert_eq!(find(&pair.alice, id).await.phase, ChannelPhase::AwaitingDepth);
        let funding = find(&pair.alice, id).await.funding.expect("funded").txid;
        // Out of the chain: three other blocks without it.
        let out = BTreeSet::from([funding]);
        pair.layer1.chain().reorg(2, out, nobody()).await.expect("a reorganisation");
        pair.synced().await;
        for node in [&pair.alice, &pair.bob] {
            let view = find(node, id).await;
            assert_eq!((view.phase, view.depth), (ChannelPhase::AwaitingDepth, 0));
        }
        // In again, in another block; three deep, and not before, it is used.
        pair.mine(2).await;
        assert_eq!(find(&pair.bob, id).await.phase, ChannelPhase::AwaitingDepth);
        pair.mine(1).await;
        pair.usable(id).await;
        pay_some(&pair.alice, &pair.bob, 5_000_000).await;
        pair.close_together(&pair.alice, id).await;
        pair.account(0).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_in_use_survives_a_reorganisation_that_moves_its_funding() {
    in_time(async {
        let (mut pair, id) = Pair::with_channel().await;
        pay_some(&pair.alice, &pair.bob, 50_000_000).await;
        let before = find(&pair.alice, id).await.short_id;
        let funding = find(&pair.alice, id).await.funding.expect("funded").txid;
        let out = BTreeSet::from([funding]);
        pair.layer1.chain().reorg(1, out, nobody()).await.expect("a reorganisation");
        pair.synced().await;
        // The channel is as good as its funding, which is on its way back into a block: it is kept.
        pair.alice = pair.alice.crash_and_restart().await;
        pair.synced().await;
        pair.mine(2).await;
        pair.usable(id).await;
        pay_some(&pair.alice, &pair.bob, 5_000_000).await;
        pay_some(&pair.bob, &pair.alice, 2_000_000).await;
        let (ours, theirs) = (find(&pair.alice, id).await, find(&pair.bob, id).await);
        assert_eq!(ours.short_id, theirs.short_id);
        assert_ne!(ours.short_id, before, "it is in another block now");
        pair.close_together(&pair.bob, id).await;
        pair.account(0).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_close_that_a_reorganisation_takes_out_is_brought_back() {
    in_time(async {
        let (pair, id) = Pair::with_channel().await;
        pay_some(&pair.alice, &pair.bob, 50_000_000).await;
        let funding = pair.agree(id).await.funding.expect("funded");
        pair.alice.close(id, false).await;
        let closing = pair.layer1.spend_seen(funding).await.compute_txid();
        pair.mine(5).await;
        let out = BTreeSet::from([closing]);
        pair.layer1.chain().reorg(5, out, nobody()).await.expect("a reorganisation");
        pair.synced().await;
        pair.buried(id).await;
        pair.account(0).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crashes_while_a_channel_is_opened_leave_a_channel_or_the_coins() {
    in_time(async {
        let mut pair = Pair::start(&[]).await;
        pair.alice.connect(pair.bob.id(), pair.bob.address()).await;
        let mut opened = 0_u32;
        for turn in 0_u64..12 {
            let order = daemon::rpc::model::channel::OpenChannel {
                key: None,
                node: pair.bob.id(),
                address: Some(pair.bob.address().to_string()),
                coins: daemon::rpc::model::wallet::Coins::Exactly(Amount::from_sat(CAPACITY)),
                push: wire::units::Msat::ZERO,
                feerate: None,
                to_self_delay: None,
                announce: false,
                kind: channel::Kind::default(),
            };
            let handle = pair.alice.handle().clone();
            let opening = tokio::spawn(async move {
                use daemon::rpc::node_api::NodeApi as _;
                use futures_util::StreamExt as _;
                if let Ok(started) = handle.open_channel(order).await {
                    let _all: Vec<_> = started.updates.take(4).collect().await;
                }
            });
            tokio::time::sleep(std::time::Duration::from_millis(turn * 4)).await;
            if turn % 2 == 0 {
                pair.alice = pair.alice.crash_and_restart().await;
            } else {
                pair.bob = pair.bob.crash_and_restart().await;
            }
            opening.abort();
            pair.alice.connect(pair.bob.id(), pair.bob.address()).await;
            pair.mine(3).await;
            // What a restarted node broadcasts again may come to the miners after these blocks.
            while pair
                .alice
                .channels()
                .await
                .iter()
                .any(|channel| channel.phase == ChannelPhase::AwaitingDepth)
            {
                pair.mine(1).await;
            }
            // Whatever is still there is a real channel and can be used and closed.
            for channel in pair.alice.channels().await {
                match channel.phase {
                    ChannelPhase::Open | ChannelPhase::AwaitingPeer => {
                        pair.usable(channel.id).await;
                        pay_some(&pair.alice, &pair.bob, 1_000_000).await;
                        pair.close_together(&pair.alice, channel.id).await;
                        opened += 1;
                    }
                    ChannelPhase::Closed | ChannelPhase::Failed => {}
                    ChannelPhase::Negotiating
                    | ChannelPhase::Negotiated
                    | ChannelPhase::AwaitingDepth
                    | ChannelPhase::ShuttingDown
                    | ChannelPhase::Closing => panic!("turn {turn}: {channel:?}"),
                }
            }
            let balance = pair.alice.balance().await;
            assert_eq!(balance.promised, Amount::ZERO, "turn {turn}: no coin stays promised");
            pair.account(0).await;
        }
        println!("{opened} of 12 opens survived a crash on the way");
    })
    .await;
}
