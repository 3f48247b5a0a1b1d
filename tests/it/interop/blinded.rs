//! Blinded routes between our node and LDK: to either, through either, and what comes back when they fail.

use super::table::{Table, ldk_hash, node_id, our_hash, public};
use daemon::payments::blinded::{BlindedRoute, Bundle};
use daemon::rpc::model::payment::{PaymentFailure, PaymentStatus};
use daemon::rpc::node_api::NodeApi as _;
use lightning::types::payment::PaymentHash;
use viaduct_tests::ldk::{LdkNode, Options, Outcome};
use viaduct_tests::ours::{OurNode, Place};
use wire::onion::failure::code;
use wire::units::Msat;

const MSAT: u64 = 20_000_000;

/// A bundle that we can pay, around a route of LDK's; the rest as `like` says.
fn bundle(like: &str, route: BlindedRoute, hash: PaymentHash) -> String {
    let like = Bundle::read(like).expect("reads");
    let amount = Msat::new(MSAT);
    Bundle { routes: vec![route], hash: our_hash(hash), amount, ..like }.to_text()
}

async fn we_pay(ours: &OurNode, text: &str, hash: PaymentHash, ldk: &LdkNode) -> PaymentStatus {
    ours.begin_pay(text).await.expect("not refused");
    let status = ours.outcome(our_hash(hash)).await;
    if !matches!(status, PaymentStatus::Succeeded { .. }) {
        tracing::info!(log = ldk.log_tail(), "not paid");
    }
    status
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ldk_pays_our_blinded_route_and_we_pay_ldks() {
    let table = Table::lay().await;
    let (_, channel) = table.ldk_opens(5_000_000_000).await;

    // Its first node is LDK itself; behind it are hops that only pretend.
    let (text, hash) = table.ours.create_bundle(Some(MSAT)).await;
    let route = Bundle::read(&text).expect("reads").routes.remove(0);
    assert_eq!((route.path.first_node_id, route.path.path.len()), (table.ldk.id(), 4));
    table.ldk.pay_blinded(ldk_hash(hash), MSAT, &route);
    let outcome = table.ldk.outcome(ldk_hash(hash)).await;
    assert!(matches!(outcome, Outcome::Sent(_)), "{outcome:?}\n{}", table.ldk.log_tail());
    assert!(table.ours.settled(hash).await.is_some_and(|msat| msat >= MSAT));

    // LDK alone, without anybody before it.
    let (route, hash) = table.ldk.blinded_route(MSAT, None);
    let status = we_pay(&table.ours, &bundle(&text, route, hash), hash, &table.ldk).await;
    assert!(matches!(status, PaymentStatus::Succeeded { .. }), "{status:?}");
    assert_eq!(table.ldk.received(hash).await, MSAT);

    // LDK behind ourselves.
    let details = table.usable(channel).await;
    let (route, hash) = table.ldk.blinded_route(MSAT, Some(&details));
    assert_eq!(route.path.first_node_id, public(table.ours.id()));
    let status = we_pay(&table.ours, &bundle(&text, route, hash), hash, &table.ldk).await;
    assert!(matches!(status, PaymentStatus::Succeeded { .. }), "{status:?}");
    assert_eq!(table.ldk.received(hash).await, MSAT);

    // A route of ours for another payment: LDK hears the one word.
    let (_, other) = table.ours.create_bundle(Some(MSAT)).await;
    let (text, _) = table.ours.create_bundle(Some(MSAT)).await;
    let route = Bundle::read(&text).expect("reads").routes.remove(0);
    table.ldk.pay_blinded(ldk_hash(other), MSAT, &route);
    let outcome = table.ldk.outcome(ldk_hash(other)).await;
    assert!(matches!(outcome, Outcome::Failed(_)), "{outcome:?}");
    assert_eq!(table.ours.settled(other).await, None);
    table.ldk.quiet(channel).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ldk_is_where_a_route_to_us_begins() {
    let table = Table::lay().await;
    let (_, _) = table.ldk_opens(5_000_000_000).await;
    let dir = tempfile::tempdir().expect("a directory");
    let carol = OurNode::start(Place::new("carol", dir.path(), &table.layer1)).await;
    table.ldk.connect(public(carol.id()), carol.address()).await;
    let id = table.ldk.open_channel(public(carol.id()), 5_000_000, 0).await;
    table.layer1.mempool_of(1).await;
    table.mine(6).await;
    carol.at_height(table.layer1.height().await).await;
    table.ldk.usable(id).await;
    carol.usable(wire::id::ChannelId(id.0)).await;

    let (text, hash) = carol.create_bundle(Some(MSAT)).await;
    let status = we_pay(&table.ours, &text, ldk_hash(hash), &table.ldk).await;
    assert!(matches!(status, PaymentStatus::Succeeded { .. }), "{status:?}");
    assert_eq!(carol.settled(hash).await, Some(MSAT));

    // Carol refuses; LDK turns her silence into the one word.
    let (text, hash) = carol.create_bundle(Some(MSAT)).await;
    carol.handle().cancel_invoice(hash).await.expect("cancelled");
    let status = we_pay(&table.ours, &text, ldk_hash(hash), &table.ldk).await;
    let by = node_id(table.ldk.id());
    let code = code::INVALID_ONION_BLINDING;
    assert_eq!(status, PaymentStatus::Failed(PaymentFailure::FailedOnTheWay { code, by }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn we_are_where_a_route_to_ldk_begins() {
    let table = Table::lay().await;
    let (_, first) = table.ldk_opens(2_000_000_000).await;
    let dir = tempfile::tempdir().expect("a directory");
    let far = LdkNode::start(Options::named("far", dir.path()), table.layer1.backend()).await;
    far.at_height(table.layer1.height().await).await;
    let id = table.ours.open_channel(node_id(far.id()), far.address(), 5_000_000).await;
    table.layer1.mempool_of(1).await;
    for _ in 0..6 {
        table.mine(1).await;
        far.at_height(table.layer1.height().await).await;
    }
    let second = lightning::ln::types::ChannelId(id.0);
    table.ours.usable(id).await;
    let details = far
        .wait("what we ask for", || {
            let channel = far.channel(second)?;
            channel.counterparty.forwarding_info.is_some().then_some(channel)
        })
        .await;

    let (route, hash) = far.blinded_route(MSAT, Some(&details));
    table.ldk.pay_blinded(hash, MSAT, &route);
    let outcome = table.ldk.outcome(hash).await;
    assert!(matches!(outcome, Outcome::Sent(_)), "{outcome:?}\n{}", table.ldk.log_tail());
    assert_eq!(far.received(hash).await, MSAT);

    // A hash that it does not expect: it fails malformed, and LDK hears the word from us.
    let (route, _) = far.blinded_route(MSAT, Some(&details));
    let hash = PaymentHash([7; 32]);
    table.ldk.pay_blinded(hash, MSAT, &route);
    let outcome = table.ldk.outcome(hash).await;
    assert!(matches!(outcome, Outcome::Failed(_)), "{outcome:?}");
    table.ldk.quiet(first).await;
    far.quiet(second).await;
    far.stop().await;
}
