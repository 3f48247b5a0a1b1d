//! Looking for ways by trying, what is learnt by it, and where that goes.

use daemon::rpc::model::graph::{FindRoute, ProbeOutcome, Target};
use daemon::rpc::model::page::Page;
use daemon::rpc::model::payment::{AttemptState, PaymentFilter, PaymentStatus};
use daemon::rpc::node_api::NodeApi as _;
use daemon::rpc::refusal::Refusal;
use std::time::Duration;
use wire::units::Msat;

use super::net::{BASE_MSAT, Net, PPM, arrived};
use crate::nodes::pair::in_time;

/// Two ways from the first node to the last.
const DIAMOND: [(usize, usize, u64); 4] =
    [(0, 1, 1_000_000), (0, 2, 1_000_000), (1, 3, 1_000_000), (2, 3, 1_000_000)];

fn to(net: &Net, node: usize, msat: u64) -> FindRoute {
    FindRoute {
        target: Target::Node(net.nodes[node].id()),
        amount: Msat::new(msat),
        max_fee: None,
        max_parts: None,
    }
}

async fn payments(net: &Net, node: usize) -> usize {
    let listed = net.handle(node).list_payments(PaymentFilter::default(), Page::default()).await;
    listed.expect("a list").entries.len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_probe_finds_the_way_that_money_can_take_and_pays_nobody() {
    in_time(async {
        let mut net = Net::start(4, &DIAMOND).await;
        assert!(arrived(&net.pay(1, 3, 900_000_000).await), "what 1 had towards 3 is spent");
        let before = net.has_msat(0).await;
        let amount = 300_000_000;
        let mut through_empty = false;
        // Both ways look alike, so which is tried first is not for a test to say.
        for round in 0..2 {
            let probed = net.handle(0).probe_route(to(&net, 3, amount), 30).await.expect("probed");
            assert_eq!(probed.missed, None, "{probed:?}");
            assert_eq!(probed.reached.to_u64(), amount);
            assert_eq!(probed.fee.to_u64(), BASE_MSAT + amount * PPM / 1_000_000);
            let last = probed.parts.last().expect("an HTLC");
            assert_eq!(last.outcome, Some(ProbeOutcome::Reached));
            assert_eq!(last.part.hops[0].node, net.nodes[2].id());
            let odds: Vec<_> = last.part.hops.iter().map(|hop| hop.probability).collect();
            // Our own channel is sure; theirs is once it was tried.
            assert!(odds[0] >= 1.0 && (odds[1] < 1.0) == (round == 0), "{odds:?}");
            for failed in probed.parts.iter().rev().skip(1) {
                through_empty = true;
                assert_eq!(failed.part.hops[0].node, net.nodes[1].id());
                let Some(ProbeOutcome::Failed { hops: 1, words }) = &failed.outcome else {
                    panic!("{failed:?}")
                };
                assert!(words.contains("temporary_channel_failure"), "{words}");
            }
        }
        net.quiet().await;
        assert_eq!((net.has_msat(0).await, payments(&net, 0).await), (before, 0));

        // More than both ways carry together: no channel can be asked for it.
        let much = net.handle(0).probe_route(to(&net, 3, 5_000_000_000), 30).await;
        assert!(matches!(much, Err(Refusal::ShortOfCapacity { .. })), "{much:?}");
        // More than is left on the only way: as much as is found out is told.
        let probed = net.handle(0).probe_route(to(&net, 3, 1_200_000_000), 30).await;
        let probed = probed.expect("began");
        assert!(probed.missed.is_some() && probed.reached.to_u64() < 1_200_000_000, "{probed:?}");
        net.quiet().await;

        // What was learnt is kept over a restart, and others can have it.
        let payer = net.nodes.remove(0);
        let payer = payer.restart().await;
        net.nodes.insert(0, payer);
        let (scores, channels) = net.handle(0).scores().await.expect("scores");
        assert!(channels >= 1, "the way that was open, and the other if it was tried");
        assert_eq!(net.handle(2).merge_scores(scores).await, Ok(channels));
        assert!(net.handle(2).merge_scores(vec![1, 2, 3]).await.is_err());
        // So the payment does not try what the probe found empty.
        for edge in [0, 1] {
            net.nodes[0].usable(net.edges[edge].2).await;
        }
        super::net::knows(&net.nodes[0], 4).await;
        let paid = net.pay(0, 3, amount).await;
        assert!(arrived(&paid), "{:?} {:?}", paid.status, paid.reason);
        assert!(paid.attempts.len() == 1 || !through_empty, "{:?}", paid.attempts);
        assert_eq!(payments(&net, 0).await, 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_probe_that_a_restart_cuts_off_leaves_nothing_behind() {
    in_time(async {
        let mut net = Net::start(3, &[(0, 1, 1_000_000), (1, 2, 1_000_000)]).await;
        let before = net.has_msat(0).await;
        for pause_ms in [1, 15, 40] {
            let probe = net.handle(0).probe_route(to(&net, 2, 100_000_000), 30);
            let _cut_off = tokio::time::timeout(Duration::from_millis(pause_ms), probe).await;
            let payer = net.nodes.remove(0);
            let payer = payer.crash_and_restart().await;
            net.nodes.insert(0, payer);
            net.nodes[0].usable(net.edges[0].2).await;
            net.quiet().await;
            assert_eq!((net.has_msat(0).await, payments(&net, 0).await), (before, 0));
        }
        super::net::knows(&net.nodes[0], 2).await;
        assert!(arrived(&net.pay(0, 2, 100_000_000).await));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_no_other_way_is_left_an_old_failure_is_worth_a_try() {
    in_time(async {
        let net = Net::start(3, &[(0, 1, 1_000_000), (1, 2, 1_000_000)]).await;
        assert!(arrived(&net.pay(1, 2, 800_000_000).await));
        let failed = net.pay(0, 2, 400_000_000).await;
        assert!(matches!(failed.status, PaymentStatus::Failed(_)), "{:?}", failed.status);
        // It comes back, and nobody tells node 0.
        assert!(arrived(&net.pay(2, 1, 700_000_000).await));
        net.quiet().await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        let paid = net.pay(0, 2, 400_000_000).await;
        assert!(arrived(&paid), "{:?} {:?}", paid.status, paid.reason);
        net.quiet().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_payments_search_at_once_and_the_same_one_ordered_twice_is_one() {
    in_time(async {
        let net = Net::start(4, &DIAMOND).await;
        let before = net.has_msat(3).await;
        let (count, amount) = (24_u64, 50_000_000);
        let mut invoices = Vec::new();
        for _ in 0..count {
            invoices.push(net.nodes[3].create_invoice(Some(amount), 3_600).await);
        }
        let payer = net.handle(0);
        let order = |text: &str| payer.pay(crate::nodes::pair::pay_order(text));
        // Each twice, all at the same time, and somebody who only looks.
        let orders = invoices.iter().flat_map(|(text, _)| [order(text), order(text)]);
        let looks = (0..8).map(|_| payer.find_route(to(&net, 3, amount)));
        let (started, looked) = tokio::join!(
            futures_util::future::join_all(orders),
            futures_util::future::join_all(looks)
        );
        assert_eq!(looked.iter().filter(|look| look.is_ok()).count(), 8);
        let fresh = started.iter().filter(|one| one.as_ref().is_ok_and(|one| one.fresh)).count();
        assert!(started.iter().all(Result::is_ok), "{:?}", started.iter().find(|one| one.is_err()));
        assert_eq!(fresh as u64, count, "one of both begins it");
        for (_, hash) in &invoices {
            let paid = net.end_of(0, *hash).await;
            assert!(arrived(&paid), "{:?} {:?}", paid.status, paid.reason);
            let settled = paid.attempts.iter().filter(|one| one.state == AttemptState::Settled);
            assert_eq!(settled.map(|one| one.amount.to_u64()).sum::<u64>(), amount);
        }
        net.quiet().await;
        assert_eq!(net.has_msat(3).await, before + count * amount);
        assert_eq!(payments(&net, 0).await as u64, count);
    })
    .await;
}
