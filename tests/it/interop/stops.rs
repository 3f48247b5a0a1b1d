//! Either side stops, in order or not, with payments on their way.

use super::pays::{ldk_pays, we_pay};
use super::table::{Table, ldk_hash, our_hash, public, read};
use daemon::rpc::model::payment::{PaymentFailure, PaymentStatus};
use lightning::types::payment::PaymentHash;
use viaduct_tests::ldk::Outcome;

/// Payments on their way when a node stops.
const PENDING: usize = 6;
const MSAT: u64 = 20_000_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_node_is_killed_with_our_payments_held_by_ldk_and_they_still_arrive() {
    let table = Table::lay().await;
    let (_, channel) = table.ldk_opens(5_000_000_000).await;
    table.ldk.hold_payments(true);
    let mut hashes = Vec::new();
    for _ in 0..PENDING {
        let invoice = table.ldk.create_invoice(Some(MSAT), 3_600);
        hashes.push(PaymentHash(*AsRef::<[u8; 32]>::as_ref(invoice.payment_hash())));
        table.ours.begin_pay(&invoice.to_string()).await.unwrap();
    }
    table.ldk.holding(PENDING).await;

    let table = table.we_crash().await;
    table.ldk.connect(public(table.ours.id()), table.ours.address()).await;
    table.usable(channel).await;
    table.ldk.hold_payments(false);
    table.ldk.claim_held();
    for hash in hashes {
        let status = table.ours.outcome(our_hash(hash)).await;
        assert!(matches!(status, PaymentStatus::Succeeded { .. }), "{status:?}");
        assert_eq!(table.ldk.received(hash).await, MSAT);
    }
    table.ldk.quiet(channel).await;
    we_pay(&table, MSAT).await;
    ldk_pays(&table, MSAT).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_node_is_killed_again_and_again_while_payments_run_both_ways() {
    let mut table = Table::lay().await;
    let (_, channel) = table.ldk_opens(5_000_000_000).await;
    for round in 0..5 {
        // Some are on their way when the node is dropped, at a point that differs from round to round.
        let mut from_ldk = Vec::new();
        let mut from_us = Vec::new();
        for _ in 0..PENDING {
            let (invoice, hash) = table.ours.create_invoice(Some(MSAT), 3_600).await;
            table.ldk.pay(&read(&invoice));
            from_ldk.push(ldk_hash(hash));
            let invoice = table.ldk.create_invoice(Some(MSAT), 3_600);
            table.ours.begin_pay(&invoice.to_string()).await.unwrap();
            from_us.push(PaymentHash(*AsRef::<[u8; 32]>::as_ref(invoice.payment_hash())));
        }
        if let Some(last) = from_us.get(round) {
            table.ours.outcome(our_hash(*last)).await;
        }
        table = table.we_crash().await;
        table.ldk.connect(public(table.ours.id()), table.ours.address()).await;
        table.usable(channel).await;
        for hash in from_us {
            let status = table.ours.outcome(our_hash(hash)).await;
            // What no HTLC was made for when the node was dropped is given up, and says so.
            if status == PaymentStatus::Failed(PaymentFailure::NeverSent) {
                assert_eq!(table.ldk.received_now(hash), None, "round {round}");
                continue;
            }
            assert!(matches!(status, PaymentStatus::Succeeded { .. }), "round {round}: {status:?}");
            assert_eq!(table.ldk.received(hash).await, MSAT);
        }
        for hash in from_ldk {
            let outcome = table.ldk.outcome(hash).await;
            match outcome {
                Outcome::Sent(_) => {
                    assert_eq!(table.ours.settled(our_hash(hash)).await, Some(MSAT));
                }
                // LDK gives up what was not signed for when the connection broke.
                Outcome::Failed(_) => {
                    assert_eq!(table.ours.settled(our_hash(hash)).await, None, "round {round}");
                }
            }
        }
        table.ldk.quiet(channel).await;
    }
    we_pay(&table, MSAT).await;
    ldk_pays(&table, MSAT).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ldk_restarts_with_payments_pending_and_all_go_on() {
    let table = Table::lay().await;
    let (_, channel) = table.we_open().await;
    we_pay(&table, 1_000_000_000).await;
    table.ldk.hold_payments(true);
    let mut hashes = Vec::new();
    for _ in 0..PENDING {
        let invoice = table.ldk.create_invoice(Some(MSAT), 3_600);
        hashes.push(PaymentHash(*AsRef::<[u8; 32]>::as_ref(invoice.payment_hash())));
        table.ours.begin_pay(&invoice.to_string()).await.unwrap();
    }
    table.ldk.holding(PENDING).await;

    // We keep the connection up: it is ours to make again.
    let table = table.ldk_restarts().await;
    table.usable(channel).await;
    table.ldk.hold_payments(false);
    table.ldk.holding(PENDING).await;
    table.ldk.claim_held();
    for hash in hashes {
        let status = table.ours.outcome(our_hash(hash)).await;
        assert!(matches!(status, PaymentStatus::Succeeded { .. }), "{status:?}");
    }
    table.ldk.quiet(channel).await;
    ldk_pays(&table, MSAT).await;
}
