//! Payments of other kinds with LDK: invoices that are held, metadata that comes back, payments without an invoice.

use daemon::rpc::model::invoice::{CreateInvoice, InvoiceState, Receipt};
use daemon::rpc::model::payment::{PaymentStatus, Spontaneous};
use daemon::rpc::node_api::NodeApi as _;
use lightning::types::payment::{PaymentHash as LdkHash, PaymentPreimage};
use viaduct_tests::ldk::Outcome;
use viaduct_tests::until::until_async;
use wire::id::Preimage;
use wire::units::Msat;

use super::table::{Table, ldk_hash, node_id, our_hash, public, read};
use crate::nodes::pair::in_time;

const MSAT: u64 = 20_000_000;
const RECEIPT: Preimage = Preimage([0x7a; 32]);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ldk_pays_what_we_hold_and_both_bring_metadata_back() {
    in_time(async {
        let table = Table::lay().await;
        let (_, channel) = table.ldk_opens(5_000_000_000).await;
        let ours = table.ours.handle();

        let ask = CreateInvoice {
            amount: Msat::new(MSAT),
            hold: true,
            hash: Some(RECEIPT.hash()),
            metadata: Some(vec![1, 2, 3]),
            ..CreateInvoice::default()
        };
        let invoice = ours.create_invoice(ask).await.expect("an invoice");
        table.ldk.pay(&read(&invoice.bolt11));
        until_async(
            "the invoice to be held",
            || table.ldk.log_tail(),
            || async {
                let state = ours.invoice(invoice.hash).await.expect("known").state;
                matches!(state, InvoiceState::Held { .. }).then_some(())
            },
        )
        .await;
        ours.settle_invoice(Receipt::Preimage(RECEIPT)).await.expect("settled");
        let outcome = table.ldk.outcome(ldk_hash(invoice.hash)).await;
        assert_eq!(outcome, Outcome::Sent(PaymentPreimage(RECEIPT.0)));

        let theirs = table.ldk.create_invoice_with(MSAT, vec![0xcd; 100]);
        let hash = LdkHash(*AsRef::<[u8; 32]>::as_ref(theirs.payment_hash()));
        table.ours.begin_pay(&theirs.to_string()).await.expect("not refused");
        let status = table.ours.outcome(our_hash(hash)).await;
        assert!(matches!(status, PaymentStatus::Succeeded { .. }), "{status:?}");
        assert_eq!(table.ldk.received(hash).await, MSAT);
        assert_eq!(table.ldk.metadata_of(hash), Some(vec![0xcd; 100]));
        assert!(table.ldk.quiet(channel).await.is_usable);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn payments_without_an_invoice_go_both_ways_and_stop_where_a_switch_says_so() {
    in_time(async {
        let table = Table::lay().await;
        let (_, channel) = table.ldk_opens(5_000_000_000).await;
        let gift = Spontaneous {
            key: None,
            payee: node_id(table.ldk.id()),
            amount: Msat::new(MSAT).expect("an amount"),
            max_fee: None,
            timeout_ms: 60_000,
        };
        let mut started = table.ours.handle().spend_spontaneously(gift).await.expect("not refused");
        let mut last = None;
        while let Some(Ok(payment)) = futures_util::StreamExt::next(&mut started.updates).await {
            last = Some(payment);
        }
        let paid = last.expect("told");
        assert!(matches!(paid.status, PaymentStatus::Succeeded { .. }), "{paid:?}");
        assert_eq!(table.ldk.received(ldk_hash(paid.hash)).await, MSAT);

        let us = public(table.ours.id());
        let hash = table.ldk.send_spontaneously(us, MSAT);
        let outcome = table.ldk.outcome(hash).await;
        assert!(matches!(outcome, Outcome::Sent(_)), "{outcome:?}\n{}", table.ldk.log_tail());
        assert_eq!(table.ours.settled(our_hash(hash)).await, Some(MSAT));
        assert!(table.ldk.quiet(channel).await.is_usable);

        let table = Table::lay_with(&[("payments.keysend", "false")]).await;
        table.ldk_opens(5_000_000_000).await;
        let info = table.ours.handle().info().await.expect("answers");
        assert!(!info.features.has(55));
        let hash = table.ldk.send_spontaneously(public(table.ours.id()), MSAT);
        let outcome = table.ldk.outcome(hash).await;
        assert!(matches!(outcome, Outcome::Failed(_)), "{outcome:?}");
    })
    .await;
}
