//! Channels between our node and LDK end, together or alone, and every satoshi is somewhere we know.

use super::pays::{ldk_pays, we_pay};
use super::table::{CAPACITY, COIN, Table, our_hash, public};
use bitcoin::Amount;
use daemon::rpc::model::channel::{ChannelRef, CloseChannel, CloseHow, CloseKind, Link};
use daemon::rpc::model::payment::PaymentStatus;
use daemon::rpc::node_api::NodeApi as _;
use daemon::rpc::refusal::Refusal;
use lightning::ln::types::ChannelId as LdkChannelId;
use lightning::types::payment::PaymentHash as LdkHash;

/// Both sides' money after some payments, so that both have an output.
async fn with_money_on_both_sides(table: &Table, channel: LdkChannelId) {
    we_pay(table, 700_000_000).await;
    // What LDK got is its own to spend when the last signatures are exchanged.
    table.ldk.quiet(channel).await;
    ldk_pays(table, 300_000_000).await;
}

/// Blocks until a close that both agreed on is over for good, and until one is that was forced.
const TOGETHER: u32 = 130;
const ALONE: u32 = 330;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn we_close_what_ldk_opened_together() {
    let table = Table::lay().await;
    let (id, channel) = table.ldk_opens(5_000_000_000).await;
    with_money_on_both_sides(&table, channel).await;
    let details = table.ldk.quiet(channel).await;
    table.ours.close(id, false).await;
    let closing = table.closing_of(&details).await;
    assert_eq!(closing.output.len(), 2);
    table.settle(TOGETHER).await;
    table.account(0).await;
    // The opener paid the fee: we have exactly what the channel held for us.
    assert_eq!(table.our_balance().await, Amount::from_sat(COIN + 5_000_000 - 400_000));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ldk_closes_what_we_opened_together() {
    let table = Table::lay().await;
    let (_, channel) = table.we_open().await;
    with_money_on_both_sides(&table, channel).await;
    let details = table.ldk.quiet(channel).await;
    table.ldk.close(&details);
    let closing = table.closing_of(&details).await;
    assert_eq!(closing.output.len(), 2);
    table.settle(TOGETHER).await;
    table.account(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn we_close_what_we_opened_alone() {
    let table = Table::lay().await;
    let (id, channel) = table.we_open().await;
    with_money_on_both_sides(&table, channel).await;
    let details = table.ldk.quiet(channel).await;
    table.ours.close(id, true).await;
    let commitment = table.closing_of(&details).await;
    table.settle(ALONE).await;
    let left = table.anchors_left_of(&commitment).await;
    table.account(left).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ldk_closes_what_it_opened_alone_and_says_so() {
    let table = Table::lay().await;
    let (_, channel) = table.ldk_opens(5_000_000_000).await;
    with_money_on_both_sides(&table, channel).await;
    let details = table.ldk.quiet(channel).await;
    // It also tells us, so either commitment may be the one that is mined.
    table.ldk.force_close(&details);
    let commitment = table.closing_of(&details).await;
    table.settle(ALONE).await;
    let left = table.anchors_left_of(&commitment).await;
    table.account(left).await;
    assert!(table.our_balance().await > Amount::from_sat(COIN + CAPACITY / 4));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ldk_closes_alone_without_a_word_and_we_see_it_on_the_chain() {
    let table = Table::lay().await;
    let (id, channel) = table.ldk_opens(5_000_000_000).await;
    with_money_on_both_sides(&table, channel).await;
    let details = table.ldk.quiet(channel).await;
    table.ldk.disconnect(public(table.ours.id()));
    table.ldk.force_close(&details);
    let commitment = table.closing_of(&details).await;
    table.settle(ALONE).await;
    let closed = table.ours.channel_where(id, "that is closed", |_| true).await;
    let kind = closed.closing.and_then(|closing| closing.kind);
    assert_eq!(kind, Some(CloseKind::ForcedByThem));
    let left = table.anchors_left_of(&commitment).await;
    table.account(left).await;
    // All we paid of it is the fee of our sweep.
    let expected = COIN + 4_600_000;
    let ours = table.our_balance().await.to_sat();
    assert!((expected - 5_000..=expected).contains(&ours), "{ours} of {expected}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ldk_closes_alone_while_it_holds_a_payment_of_ours_and_claims_it() {
    let table = Table::lay().await;
    let (_, channel) = table.we_open().await;
    with_money_on_both_sides(&table, channel).await;
    let details = table.ldk.quiet(channel).await;
    table.ldk.hold_payments(true);
    let invoice = table.ldk.create_invoice(Some(90_000_000), 3_600);
    let hash = LdkHash(*AsRef::<[u8; 32]>::as_ref(invoice.payment_hash()));
    table.ours.begin_pay(&invoice.to_string()).await.unwrap();
    table.ldk.holding(1).await;
    table.ldk.force_close(&details);
    let commitment = table.closing_of(&details).await;
    table.mine(1).await;
    table.ldk.claim_held();
    table.settle(ALONE).await;
    // The preimage is on the chain for us to read: the payment is proven.
    let status = table.ours.outcome(our_hash(hash)).await;
    assert!(matches!(status, PaymentStatus::Succeeded { .. }), "{status:?}");
    let left = table.anchors_left_of(&commitment).await;
    table.account(left).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn we_close_alone_while_ldk_holds_a_payment_and_never_claims_it() {
    let table = Table::lay().await;
    let (id, channel) = table.we_open().await;
    with_money_on_both_sides(&table, channel).await;
    let details = table.ldk.quiet(channel).await;
    table.ldk.hold_payments(true);
    let invoice = table.ldk.create_invoice(Some(90_000_000), 3_600);
    let hash = LdkHash(*AsRef::<[u8; 32]>::as_ref(invoice.payment_hash()));
    table.ours.begin_pay(&invoice.to_string()).await.unwrap();
    table.ldk.holding(1).await;
    table.ours.close(id, true).await;
    let commitment = table.closing_of(&details).await;
    table.settle(ALONE + 200).await;
    let status = table.ours.outcome(our_hash(hash)).await;
    assert!(matches!(status, PaymentStatus::Failed(_)), "{status:?}");
    let left = table.anchors_left_of(&commitment).await;
    table.account(left).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_close_is_refused_with_the_peer_away_and_works_when_it_is_back() {
    let table = Table::lay().await;
    let (id, channel) = table.ldk_opens(5_000_000_000).await;
    let details = table.ldk.quiet(channel).await;
    table.ldk.disconnect(public(table.ours.id()));
    table.ours.channel_where(id, "whose peer is away", |channel| channel.link == Link::Down).await;
    let how = CloseHow::Cooperative { to: None, feerate: None };
    let order = CloseChannel { key: None, channel: ChannelRef::Id(id), how };
    let refusal = table.ours.handle().close_channel(order).await.unwrap_err();
    assert!(matches!(refusal, Refusal::CloseNeedsPeer { .. }), "{refusal:?}");

    table.ldk.connect(public(table.ours.id()), table.ours.address()).await;
    table.usable(channel).await;
    table.ours.close(id, false).await;
    table.closing_of(&details).await;
    table.settle(TOGETHER).await;
    table.account(0).await;
}
