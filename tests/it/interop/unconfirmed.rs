//! Channels with LDK that are used before they confirm, and such that only their aliases name.

use super::pays::{ldk_pays, we_pay};
use super::table::{CAPACITY, Table, node_id, public};
use channel::Kind;
use lightning::ln::types::ChannelId as LdkChannelId;
use viaduct_tests::ldk::Limits;
use wire::id::ChannelId;

async fn lay(zero_conf: bool, scid_privacy: bool) -> Table {
    Table::lay_for(&[], Limits { zero_conf, scid_privacy, ..Limits::default() }).await
}

/// Each waits for the one before: what LDK was paid, it can spend when that is settled to the end.
async fn pay_both_ways(table: &Table, id: LdkChannelId) {
    for msat in [200_000, 40_000_000] {
        we_pay(table, msat).await;
        table.ldk.quiet(id).await;
        ldk_pays(table, msat).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ldk_takes_our_zero_conf_channel_and_it_outlives_its_block() {
    for scid_alias in [false, true] {
        let mut table = lay(true, scid_alias).await;
        let kind = Kind { scid_alias, zero_conf: true };
        let (node, address) = (node_id(table.ldk.id()), table.ldk.address());
        let id = table.ours.open_channel_of_kind(node, address, CAPACITY, kind).await;
        let details = table.usable(LdkChannelId(id.0)).await;
        assert_eq!(details.short_channel_id, None, "in no block");
        let kind = details.channel_type.expect("a type");
        assert_eq!((kind.requires_zero_conf(), kind.requires_scid_privacy()), (true, scid_alias));
        we_pay(&table, 100_000_000).await;
        pay_both_ways(&table, LdkChannelId(id.0)).await;
        table = table.we_crash().await;
        table.ldk.connect(public(table.ours.id()), table.ours.address()).await;
        table.usable(LdkChannelId(id.0)).await;
        we_pay(&table, 1_000_000).await;
        table.layer1.mempool_of(1).await;
        table.mine(6).await;
        let details = table.usable(LdkChannelId(id.0)).await;
        assert_eq!(
            details.short_channel_id,
            table.ours.usable(id).await.short_id.map(|it| it.to_u64())
        );
        pay_both_ways(&table, LdkChannelId(id.0)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_ldk_funds_is_used_at_once_when_we_trust_it() {
    let table = lay(false, false).await;
    table.ours.trust(node_id(table.ldk.id()), true).await;
    table.ldk.connect(public(table.ours.id()), table.ours.address()).await;
    let us = public(table.ours.id());
    let id = table.ldk.open_channel(us, CAPACITY, 5_000_000_000).await;
    let details = table.usable(id).await;
    assert_eq!((details.short_channel_id, details.confirmations_required), (None, Some(0)));
    let ours = table.ours.usable(ChannelId(id.0)).await;
    assert!(ours.zero_conf && ours.short_id.is_none());
    assert_eq!(ours.at_risk.to_u64(), 5_000_000_000);
    pay_both_ways(&table, id).await;
    let table = table.ldk_restarts().await;
    table.ldk.connect(public(table.ours.id()), table.ours.address()).await;
    table.usable(id).await;
    pay_both_ways(&table, id).await;
    table.layer1.mempool_of(1).await;
    table.mine(6).await;
    assert_eq!(table.ours.usable(ChannelId(id.0)).await.at_risk.to_u64(), 0);
    pay_both_ways(&table, id).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_ldk_a_private_channel_can_be_named_by_its_aliases_alone() {
    let table = lay(false, true).await;
    // LDK asks for it by itself.
    let (ours, theirs) = table.ldk_opens(5_000_000_000).await;
    let view = table.ours.usable(ours).await;
    assert!(view.scid_alias && !view.zero_conf);
    let details = table.ldk.usable(theirs).await;
    assert!(details.channel_type.expect("a type").requires_scid_privacy());
    assert_eq!(details.inbound_scid_alias, view.alias.map(|it| it.to_u64()));
    pay_both_ways(&table, theirs).await;
}
