//! Payments between our node and LDK, those that arrive and those that must not.

use super::table::{Table, ldk_hash, our_hash, read};
use daemon::rpc::model::payment::{PaymentFailure, PaymentStatus};
use futures_util::StreamExt;
use lightning::types::payment::{PaymentHash, PaymentSecret};
use lightning_invoice::Bolt11Invoice;
use viaduct_tests::ldk::Outcome;

/// Payments each way, and how many of them at a time.
const PAYMENTS: usize = 100;
const AT_ONCE: usize = 12;
/// Amounts go up from here, from dust to amounts with outputs of their own, millisatoshi.
const MSAT: u64 = 50_000;

/// Both directions at the same time, each with several payments in flight; all arrive.
pub(super) async fn both_ways(table: &Table) {
    let amounts = (0..).take(PAYMENTS).map(|turn: u64| MSAT + turn * 13_001);
    let there = futures_util::stream::iter(amounts.clone())
        .map(|msat| we_pay(table, msat))
        .buffer_unordered(AT_ONCE)
        .collect::<Vec<()>>();
    let back = futures_util::stream::iter(amounts)
        .map(|msat| ldk_pays(table, msat))
        .buffer_unordered(AT_ONCE)
        .collect::<Vec<()>>();
    futures_util::join!(there, back);
}

/// We pay LDK, and it arrives.
pub(super) async fn we_pay(table: &Table, msat: u64) {
    let invoice = table.ldk.create_invoice(Some(msat), 3_600);
    let hash = PaymentHash(*AsRef::<[u8; 32]>::as_ref(invoice.payment_hash()));
    table.ours.begin_pay(&invoice.to_string()).await.unwrap();
    let status = table.ours.outcome(our_hash(hash)).await;
    let PaymentStatus::Succeeded { preimage } = status else {
        panic!("{msat} msat to LDK: {status:?}\n{}", table.ldk.log_tail())
    };
    assert_eq!(preimage.hash(), our_hash(hash));
    assert_eq!(table.ldk.received(hash).await, msat);
}

/// LDK pays us, and it arrives.
pub(super) async fn ldk_pays(table: &Table, msat: u64) {
    let (invoice, hash) = table.ours.create_invoice(Some(msat), 3_600).await;
    table.ldk.pay(&read(&invoice));
    let outcome = table.ldk.outcome(ldk_hash(hash)).await;
    assert!(
        matches!(outcome, Outcome::Sent(_)),
        "{msat} msat to us: {outcome:?}\n{}",
        table.ldk.log_tail()
    );
    assert_eq!(table.ours.settled(hash).await, Some(msat));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ldk_opens_to_us_and_a_hundred_payments_go_each_way() {
    let table = Table::lay().await;
    let (_, channel) = table.ldk_opens(5_000_000_000).await;
    both_ways(&table).await;
    let details = table.ldk.quiet(channel).await;
    assert!(details.is_usable);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn we_open_to_ldk_and_a_hundred_payments_go_each_way() {
    let table = Table::lay().await;
    let (_, channel) = table.we_open().await;
    we_pay(&table, 5_000_000_000).await;
    both_ways(&table).await;
    let details = table.ldk.quiet(channel).await;
    assert!(details.is_usable);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn payments_that_must_not_arrive_fail_back_and_the_channel_stays() {
    let table = Table::lay().await;
    let (_, channel) = table.ldk_opens(5_000_000_000).await;
    let details = table.usable(channel).await;

    // LDK to us: a hash nobody knows, a wrong secret, too little, too late.
    table.ldk.send(&details, PaymentHash([9; 32]), PaymentSecret([8; 32]), 1_000_000);
    fails_at_ldk(&table, PaymentHash([9; 32])).await;
    let (invoice, hash) = table.ours.create_invoice(Some(2_000_000), 3_600).await;
    table.ldk.send(&details, ldk_hash(hash), PaymentSecret([8; 32]), 2_000_000);
    fails_at_ldk(&table, ldk_hash(hash)).await;
    let secret = *read(&invoice).payment_secret();
    let (low, low_hash) = table.ours.create_invoice(Some(2_000_000), 3_600).await;
    table.ldk.send(&details, ldk_hash(low_hash), *read(&low).payment_secret(), 1_999_999);
    fails_at_ldk(&table, ldk_hash(low_hash)).await;
    let (late, late_hash) = table.ours.create_invoice(Some(2_000_000), 1).await;
    table.ldk.wait("the invoice to expire", || is_old(&read(&late)).then_some(())).await;
    table.ldk.send(&details, ldk_hash(late_hash), *read(&late).payment_secret(), 2_000_000);
    fails_at_ldk(&table, ldk_hash(late_hash)).await;
    assert_eq!(table.ours.settled(hash).await, None);
    assert_ne!(secret.0, [8; 32]);

    // We to LDK: an invoice in its name that it knows nothing of, and one that is too old.
    let unknown = table.ldk.create_unknown_invoice(3_000_000);
    table.ours.begin_pay(&unknown.to_string()).await.unwrap();
    let status = table.ours.outcome(hash_of(&unknown)).await;
    let PaymentStatus::Failed(why) = status else { panic!("{status:?}") };
    assert!(matches!(why, PaymentFailure::UnknownByPayee { .. }), "{why:?}");
    let old = table.ldk.create_invoice(Some(1_000_000), 1);
    table.ldk.wait("the invoice to expire", || is_old(&old).then_some(())).await;
    let refusal = table.ours.begin_pay(&old.to_string()).await.unwrap_err();
    assert!(format!("{refusal:?}").contains("Expired"), "{refusal:?}");

    // The channel is as good as before.
    we_pay(&table, 1_000_000).await;
    ldk_pays(&table, 1_000_000).await;
    table.ldk.quiet(channel).await;
}

async fn fails_at_ldk(table: &Table, hash: PaymentHash) {
    let outcome = table.ldk.outcome(hash).await;
    let Outcome::Failed(why) = outcome else { panic!("{outcome:?}") };
    assert!(why.contains("RecipientRejected"), "{why}\n{}", table.ldk.log_tail());
}

fn hash_of(invoice: &Bolt11Invoice) -> wire::id::PaymentHash {
    wire::id::PaymentHash(*AsRef::<[u8; 32]>::as_ref(invoice.payment_hash()))
}

/// Expired for at least a second, so that no clock that rounds takes it for good.
fn is_old(invoice: &Bolt11Invoice) -> bool {
    let now = u64::from(viaduct_tests::layer1::unix_now());
    invoice.would_expire(std::time::Duration::from_secs(now - 1))
}
