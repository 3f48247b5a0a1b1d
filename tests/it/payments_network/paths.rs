//! One path and many: lines, diamonds, what is in the way.

use daemon::rpc::model::payment::{AttemptState, PaymentStatus};

use super::net::{BASE_MSAT, Net, PPM, arrived};
use crate::nodes::pair::in_time;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_in_a_line_pay_each_other_both_ways() {
    in_time(async {
        let net = Net::start(3, &[(0, 1, 2_000_000), (1, 2, 1_000_000)]).await;
        let before = net.has_msat(1).await;
        let paid = net.pay(0, 2, 300_000_000).await;
        assert!(arrived(&paid), "{:?}", paid.status);
        let fee = BASE_MSAT + 300_000_000 * PPM / 1_000_000;
        assert_eq!(paid.fee.to_u64(), fee);
        assert_eq!(paid.attempts.len(), 1);
        let hops = &paid.attempts[0].hops;
        assert_eq!(
            hops.iter().map(|hop| hop.node).collect::<Vec<_>>(),
            [net.nodes[1].id(), net.nodes[2].id()]
        );
        assert_eq!(hops[1].fee.to_u64(), fee);
        let back = net.pay(2, 0, 100_000_000).await;
        assert!(arrived(&back), "{:?}", back.status);
        let fees = fee + BASE_MSAT + 100_000_000 * PPM / 1_000_000;
        net.quiet().await;
        assert_eq!(net.has_msat(1).await, before + fees);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_larger_than_any_channel_goes_in_parts_over_a_diamond() {
    in_time(async {
        let edges = [(0, 1, 1_000_000), (0, 2, 1_000_000), (1, 3, 1_000_000), (2, 3, 1_000_000)];
        let net = Net::start(4, &edges).await;
        let paid = net.pay(0, 3, 1_500_000_000).await;
        assert!(arrived(&paid), "{:?} {:?}", paid.status, paid.reason);
        let settled: Vec<_> =
            paid.attempts.iter().filter(|part| part.state == AttemptState::Settled).collect();
        assert!(settled.len() >= 2, "{settled:?}");
        let sum: u64 = settled.iter().map(|part| part.amount.to_u64()).sum();
        assert_eq!(sum, 1_500_000_000);
        let fees: u64 = settled.iter().map(|part| part.fee.to_u64()).sum();
        assert_eq!(paid.fee.to_u64(), fees);
        assert!(paid.fee <= paid.fee_limit);
        assert_eq!(net.nodes[3].settled(paid.hash).await, Some(1_500_000_000));
        net.quiet().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_middle_channel_that_cannot_carry_it_is_routed_around() {
    in_time(async {
        let edges = [(0, 1, 2_000_000), (0, 2, 2_000_000), (1, 3, 1_000_000), (2, 3, 1_000_000)];
        let net = Net::start(4, &edges).await;
        // The channel from 1 to 3 is spent on its far side: its graph says nothing of that.
        let emptied = net.pay(1, 3, 900_000_000).await;
        assert!(arrived(&emptied));
        for _ in 0..2 {
            let paid = net.pay(0, 3, 300_000_000).await;
            assert!(arrived(&paid), "{:?} {:?}", paid.status, paid.reason);
            let settled = paid.attempts.iter().find(|one| one.state == AttemptState::Settled);
            assert_eq!(settled.unwrap().hops[0].node, net.nodes[2].id());
        }
        net.quiet().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_no_way_left_the_payment_fails_with_what_stands_in_the_way() {
    in_time(async {
        let net = Net::start(3, &[(0, 1, 1_000_000), (1, 2, 1_000_000)]).await;
        assert!(arrived(&net.pay(1, 2, 800_000_000).await));
        let before = net.has_msat(0).await;
        let failed = net.pay(0, 2, 400_000_000).await;
        assert!(matches!(failed.status, PaymentStatus::Failed(_)), "{:?}", failed.status);
        assert!(failed.reason.is_some());
        assert_eq!(failed.fee.to_u64(), 0);
        net.quiet().await;
        assert_eq!(net.has_msat(0).await, before);
    })
    .await;
}
