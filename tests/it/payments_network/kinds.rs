//! Payments of other kinds: without an invoice, over channels that nobody announced, over a restart.

use daemon::rpc::model::graph::{FindRoute, Target};
use daemon::rpc::model::payment::{AttemptState, Spontaneous};
use daemon::rpc::node_api::NodeApi as _;
use wire::units::Msat;

use super::net::{BASE_MSAT, Net, PPM, arrived, knows};
use crate::nodes::pair::{in_time, pay_order};

fn msat(raw: u64) -> Msat {
    Msat::new(raw).expect("an amount")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_asked_for_nothing_is_paid_and_knows_for_what_it_was() {
    in_time(async {
        let net = Net::start(3, &[(0, 1, 1_000_000), (1, 2, 1_000_000)]).await;
        let gift = Spontaneous {
            key: None,
            payee: net.nodes[2].id(),
            amount: msat(7_000_000),
            max_fee: None,
            timeout_ms: 60_000,
        };
        let mut started = net.handle(0).spend_spontaneously(gift).await.expect("not refused");
        let mut last = None;
        while let Some(Ok(payment)) = futures_util::StreamExt::next(&mut started.updates).await {
            last = Some(payment);
        }
        let paid = last.expect("told");
        assert!(arrived(&paid), "{:?} {:?}", paid.status, paid.reason);
        assert_eq!(net.nodes[2].settled(paid.hash).await, Some(7_000_000));
        net.quiet().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payee_behind_a_private_channel_is_found_by_its_invoice() {
    in_time(async {
        let mut net = Net::bare(3, &[]).await;
        net.open((0, 1, 1_000_000), true).await;
        net.open((1, 2, 1_000_000), false).await;
        net.mine(6).await;
        knows(&net.nodes[0], 1).await;
        let payee = net.nodes[2].handle().clone();
        let told = || payee.own_gossip().theirs.len() == 1 && payee.own_gossip().ours.len() == 1;
        viaduct_tests::until::until_async("word of the channel", String::new, || async {
            told().then_some(())
        })
        .await;
        let paid = net.pay(0, 2, 50_000_000).await;
        assert!(arrived(&paid), "{:?} {:?}", paid.status, paid.reason);
        assert_eq!(paid.attempts[0].hops.len(), 2);
        assert!(paid.fee.to_u64() > 0);
        net.quiet().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payer_that_restarts_with_parts_in_flight_pays_once() {
    in_time(async {
        let edges = [(0, 1, 1_000_000), (0, 2, 1_000_000), (1, 3, 1_000_000), (2, 3, 1_000_000)];
        let mut net = Net::start(4, &edges).await;
        let amount = 1_500_000_000;
        let (invoice, hash) = net.nodes[3].create_invoice(Some(amount), 3_600).await;
        let before = net.has_msat(3).await;
        net.nodes[0].begin_pay(&invoice).await.expect("not refused");
        let payer = net.nodes.remove(0);
        let payer = payer.crash_and_restart().await;
        net.nodes.insert(0, payer);
        let height = net.layer1.height().await;
        net.nodes[0].at_height(height).await;
        let first = net.end_of(0, hash).await;
        let paid = if arrived(&first) {
            first
        } else {
            // Nothing had left, or only a part that came back: then it is paid anew, once.
            knows(&net.nodes[0], 4).await;
            for edge in [0, 1] {
                net.nodes[0].usable(net.edges[edge].2).await;
            }
            net.handle(0).pay(pay_order(&invoice)).await.expect("not refused");
            net.end_of(0, hash).await
        };
        assert!(arrived(&paid), "{:?} {:?}", paid.status, paid.reason);
        net.quiet().await;
        assert_eq!(net.has_msat(3).await, before + amount);
        let settled = paid.attempts.iter().filter(|one| one.state == AttemptState::Settled);
        assert_eq!(settled.map(|one| one.amount.to_u64()).sum::<u64>(), amount);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_way_that_is_shown_is_the_way_that_is_taken_and_a_fee_limit_holds_over_all_parts() {
    in_time(async {
        let edges = [(0, 1, 1_000_000), (0, 2, 1_000_000), (1, 3, 1_000_000), (2, 3, 1_000_000)];
        let net = Net::start(4, &edges).await;
        let (invoice, hash) = net.nodes[3].create_invoice(Some(1_500_000_000), 3_600).await;
        let wish = FindRoute {
            target: Target::Invoice(invoice.clone()),
            amount: None,
            max_fee: None,
            max_parts: None,
        };
        let shown = net.handle(0).find_route(wish).await.expect("a way");
        assert!(shown.parts.len() >= 2);
        let mut order = pay_order(&invoice);
        // Two parts at least, each with its flat fee, and the share of the whole.
        let least = 2 * BASE_MSAT + 1_500_000_000 * PPM / 1_000_000;
        order.max_fee = Some(msat(least - 10));
        let refused = net.handle(0).pay(order.clone()).await;
        assert!(refused.is_err(), "less than all parts cost together");
        order.max_fee = Some(shown.fee);
        net.handle(0).pay(order).await.expect("not refused");
        let paid = net.end_of(0, hash).await;
        assert!(arrived(&paid), "{:?} {:?}", paid.status, paid.reason);
        assert!(paid.fee <= shown.fee && paid.fee.to_u64() > least - 10, "{}", paid.fee);
        net.quiet().await;
    })
    .await;
}
