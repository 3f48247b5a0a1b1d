//! Peers that lose each other find each other again, whoever calls first.

use daemon::rpc::model::peer::{ConnectPeer, DisconnectPeer};
use daemon::rpc::node_api::NodeApi as _;
use viaduct_tests::until::until_async;

use super::pair::{Pair, in_time, pay_some};

/// How often they lose each other; more with `VIADUCT_TEST_PARTINGS`.
fn partings() -> u32 {
    let wanted = std::env::var("VIADUCT_TEST_PARTINGS").ok();
    wanted.map_or(12, |wanted| wanted.parse().expect("a number"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peers_that_lose_each_other_and_call_at_the_same_moment_go_on_each_time() {
    in_time(async {
        let (pair, id) = Pair::with_channel().await;
        pay_some(&pair.alice, &pair.bob, 300_000_000).await;
        let (alice, bob) = (pair.alice.id(), pair.bob.id());
        for parting in 0..partings() {
            for (who, node) in [(&pair.alice, bob), (&pair.bob, alice)] {
                // Whoever was told first may have hung up on both.
                let _parted =
                    who.handle().disconnect_peer(DisconnectPeer { node, force: true }).await;
            }
            let call = |node, address: std::net::SocketAddr| ConnectPeer {
                node,
                address: Some(address.to_string()),
                timeout_ms: 10_000,
            };
            let (there, back) = (call(bob, pair.bob.address()), call(alice, pair.alice.address()));
            // Of two calls that cross one is hung up on, and a call may meet the end of the old connection.
            until_async("one to reach the other", String::new, || async {
                let there = async { pair.alice.handle().connect_peer(there.clone()).await.is_ok() };
                let back = async { pair.bob.handle().connect_peer(back.clone()).await.is_ok() };
                let met = match parting % 3 {
                    0 => there.await,
                    1 => back.await,
                    _ => {
                        let (there, back) = tokio::join!(there, back);
                        there || back
                    }
                };
                met.then_some(())
            })
            .await;
            pair.usable(id).await;
        }
        pair.agree(id).await;
    })
    .await;
}
