//! Invoices that wait for a word: held over crashes, settled, cancelled, given back in time, and claimed on Layer 1.

use std::collections::BTreeSet;

use daemon::fact::CancelReason;
use daemon::payments::receive::FAIL_BACK_BLOCKS;
use daemon::rpc::model::invoice::{CreateInvoice, Invoice, InvoiceState, Receipt};
use daemon::rpc::model::payment::{PaymentFailure, PaymentStatus};
use daemon::rpc::node_api::NodeApi as _;
use daemon::rpc::refusal::Refusal;
use viaduct_tests::until::until_async;
use wire::id::{PaymentHash, Preimage};
use wire::units::Msat;

use super::net::{Net, arrived};
use crate::nodes::pair::{in_time, pay_order};

const SECRET: Preimage = Preimage([0x5e; 32]);
const MSAT: u64 = 30_000_000;

/// An invoice that is held, by default for a preimage that the node does not know.
async fn ask(net: &Net, payee: usize, msat: u64, more: CreateInvoice) -> Invoice {
    let order = CreateInvoice { amount: Msat::new(msat), hold: true, ..more };
    net.handle(payee).create_invoice(order).await.expect("an invoice")
}

fn for_a_stranger() -> CreateInvoice {
    CreateInvoice { hash: Some(SECRET.hash()), ..CreateInvoice::default() }
}

async fn state(net: &Net, payee: usize, hash: PaymentHash) -> InvoiceState {
    net.handle(payee).invoice(hash).await.expect("known").state
}

/// Waits until it is held; answers the height at which it is given back.
async fn held(net: &Net, payee: usize, hash: PaymentHash) -> u32 {
    until_async("the invoice to be held", String::new, || async {
        match state(net, payee, hash).await {
            InvoiceState::Held { until, .. } => Some(until.0),
            _ => None,
        }
    })
    .await
}

/// Kills a node and has it back, connected to everybody it has channels with.
async fn crash(net: &mut Net, which: usize) {
    let node = net.nodes.remove(which).crash_and_restart().await;
    net.nodes.insert(which, node);
    back(net, which).await;
}

/// Waits until a node that was started again is in touch.
async fn back(net: &Net, which: usize) {
    let height = net.layer1.height().await;
    net.nodes[which].at_height(height).await;
    let edges = net.edges.iter().filter(|(from, to, _)| *from == which || *to == which);
    for (from, to, id) in edges {
        let other = if *from == which { *to } else { *from };
        let there = &net.nodes[which];
        net.nodes[other].connect(there.id(), there.address()).await;
        net.nodes[other].usable(*id).await;
        there.usable(*id).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_held_in_parts_outlives_crashes_before_and_after_the_word() {
    in_time(async {
        let edges = [(0, 1, 1_000_000), (0, 2, 1_000_000), (1, 3, 1_000_000), (2, 3, 1_000_000)];
        let mut net = Net::start(4, &edges).await;
        let amount = 1_500_000_000;
        let invoice = ask(&net, 3, amount, for_a_stranger()).await;
        let hash = invoice.hash;
        assert_eq!((hash, invoice.preimage), (SECRET.hash(), None));
        let again = CreateInvoice { hold: true, ..for_a_stranger() };
        let twice = net.handle(3).create_invoice(again).await;
        assert!(matches!(twice, Err(Refusal::InvoiceExists { .. })), "{twice:?}");
        let early = net.handle(3).settle_invoice(Receipt::Preimage(SECRET)).await;
        assert!(matches!(early, Err(Refusal::InvoiceNotHeld { .. })), "{early:?}");

        let before = net.has_msat(3).await;
        net.nodes[0].begin_pay(&invoice.bolt11).await.expect("not refused");
        held(&net, 3, hash).await;
        crash(&mut net, 3).await;
        held(&net, 3, hash).await;
        let payment = net.handle(0).payment(hash).await.expect("known");
        assert_eq!(payment.status, PaymentStatus::InFlight);
        let unknown = net.handle(3).settle_invoice(Receipt::Ours(hash)).await;
        assert!(matches!(unknown, Err(Refusal::Missing { .. })), "{unknown:?}");

        // The word becomes durable, and nothing that follows from it.
        net.nodes[3].fail_after(1);
        let _dies = net.handle(3).settle_invoice(Receipt::Preimage(SECRET)).await;
        until_async("the disk to fail", String::new, || async {
            net.nodes[3].has_failed().then_some(())
        })
        .await;
        crash(&mut net, 3).await;
        let settled = net.handle(3).settle_invoice(Receipt::Preimage(SECRET)).await.expect("is");
        assert!(matches!(settled.state, InvoiceState::Settled { .. }), "{settled:?}");
        let paid = net.end_of(0, hash).await;
        assert_eq!(paid.status, PaymentStatus::Succeeded { preimage: SECRET });
        let ways: BTreeSet<_> = paid.attempts.iter().map(|one| one.hops[0].node).collect();
        assert_eq!(ways.len(), 2, "in two parts at least");
        net.quiet().await;
        assert_eq!(net.has_msat(3).await, before + amount);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_held_is_given_back_by_a_word_or_in_time_and_no_channel_closes() {
    in_time(async {
        let net = Net::start(3, &[(0, 1, 1_000_000), (1, 2, 1_000_000)]).await;
        let blocks = CreateInvoice { min_final_cltv_delta: Some(40), ..CreateInvoice::default() };
        let first = ask(&net, 2, MSAT, CreateInvoice::default()).await;
        let second = ask(&net, 2, MSAT, blocks).await;
        for invoice in [&first, &second] {
            net.handle(0).pay(pay_order(&invoice.bolt11)).await.expect("not refused");
            held(&net, 2, invoice.hash).await;
        }
        let mut told = net.handle(2).watch_invoice(first.hash).await.expect("known");
        let shown = futures_util::StreamExt::next(&mut told).await.expect("told").expect("shown");
        assert!(matches!(shown.state, InvoiceState::Held { .. }), "{shown:?}");

        let cancelled = net.handle(2).cancel_invoice(first.hash).await.expect("cancelled");
        assert_eq!(cancelled.state, InvoiceState::Cancelled { why: CancelReason::Asked });
        let failed = net.end_of(0, first.hash).await;
        let PaymentStatus::Failed(PaymentFailure::UnknownByPayee { .. }) = failed.status else {
            panic!("{:?}", failed.status);
        };
        let late = net.handle(2).settle_invoice(Receipt::Ours(first.hash)).await;
        assert!(
            matches!(late, Err(Refusal::InvoiceNotHeld { state: "cancelled", .. })),
            "{late:?}"
        );
        let again = net.handle(2).cancel_invoice(first.hash).await.expect("the same");
        assert_eq!(again.state, cancelled.state);

        let until = held(&net, 2, second.hash).await;
        let height = net.layer1.height().await;
        assert!(height + 40 - FAIL_BACK_BLOCKS <= until, "{height} {until}");
        net.mine(until - height - 1).await;
        held(&net, 2, second.hash).await;
        net.mine(1).await;
        let failed = net.end_of(0, second.hash).await;
        let PaymentStatus::Failed(PaymentFailure::UnknownByPayee { .. }) = failed.status else {
            panic!("{:?}", failed.status);
        };
        let InvoiceState::Cancelled { why } = state(&net, 2, second.hash).await else {
            panic!("not cancelled");
        };
        assert!(matches!(why, CancelReason::NearExpiry { .. }), "{why:?}");
        net.quiet().await;

        // A preimage of our own is enough by its name.
        let third = ask(&net, 2, MSAT, CreateInvoice::default()).await;
        net.handle(0).pay(pay_order(&third.bolt11)).await.expect("not refused");
        held(&net, 2, third.hash).await;
        net.handle(2).settle_invoice(Receipt::Ours(third.hash)).await.expect("settled");
        assert!(arrived(&net.end_of(0, third.hash).await));
        net.quiet().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_held_when_its_channel_is_closed_is_claimed_on_layer_1_when_it_is_settled() {
    in_time(async {
        let mut net = Net::start(3, &[(0, 1, 1_000_000), (1, 2, 1_000_000)]).await;
        let invoice = ask(&net, 2, MSAT, for_a_stranger()).await;
        net.handle(0).pay(pay_order(&invoice.bolt11)).await.expect("not refused");
        held(&net, 2, invoice.hash).await;
        let id = net.edges[1].2;
        net.nodes[1].close(id, true).await;
        net.layer1.mempool_of(1).await;
        net.mine(1).await;
        let node = net.nodes.remove(2).crash_and_restart().await;
        net.nodes.insert(2, node);
        let height = net.layer1.height().await;
        net.nodes[2].at_height(height).await;
        held(&net, 2, invoice.hash).await;

        until_async("the node to be at the tip", String::new, || async {
            match net.handle(2).settle_invoice(Receipt::Preimage(SECRET)).await {
                Err(Refusal::NotReady { .. }) => None,
                settled => Some(settled.expect("settled")),
            }
        })
        .await;
        // The claim shows the preimage to the node before us, who passes it on.
        net.layer1.mempool_of(1).await;
        net.mine(1).await;
        let paid = net.end_of(0, invoice.hash).await;
        assert_eq!(paid.status, PaymentStatus::Succeeded { preimage: SECRET });
        assert_eq!(net.nodes[2].settled(invoice.hash).await, Some(MSAT));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metadata_of_an_invoice_comes_back_with_every_part() {
    in_time(async {
        let edges = [(0, 1, 1_000_000), (0, 2, 1_000_000), (1, 3, 1_000_000), (2, 3, 1_000_000)];
        let net = Net::start(4, &edges).await;
        let order = CreateInvoice {
            amount: Msat::new(1_500_000_000),
            metadata: Some(vec![0xab; 200]),
            ..CreateInvoice::default()
        };
        let invoice = net.handle(3).create_invoice(order).await.expect("an invoice");
        let read = net.handle(0).decode_invoice(invoice.bolt11.clone()).await.expect("reads");
        assert_eq!(read.metadata, Some(vec![0xab; 200]));
        net.handle(0).pay(pay_order(&invoice.bolt11)).await.expect("not refused");
        let paid = net.end_of(0, invoice.hash).await;
        assert!(arrived(&paid), "{:?} {:?}", paid.status, paid.reason);
        assert!(paid.attempts.len() >= 2);
        net.quiet().await;
    })
    .await;
}
