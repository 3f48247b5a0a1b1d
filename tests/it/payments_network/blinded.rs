//! Blinded payees in a network: in several parts, over ways that were made by several nodes, with failures that tell.

use daemon::payments::blinded::{BlindedRoute, Bundle};
use daemon::rpc::model::channel::ChannelRef;
use daemon::rpc::model::forward::SetPolicy;
use daemon::rpc::model::payment::AttemptState;
use daemon::rpc::node_api::NodeApi as _;
use daemon::switch::policy::PolicyChange;
use secp256k1::{PublicKey, SecretKey};
use viaduct_tests::until::until_async;
use wire::onion::blind::{BlindedPath, PaymentRelay, RecipientData};
use wire::units::CltvDelta;

use super::net::{BASE_MSAT, Net, PPM, arrived, knows};
use crate::nodes::pair::{find, in_time, pay_order};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payee_without_a_name_is_paid_in_parts_over_all_its_peers() {
    in_time(async {
        let edges = [(0, 1, 1_000_000), (0, 2, 1_000_000), (1, 3, 1_000_000), (2, 3, 1_000_000)];
        let net = Net::start(4, &edges).await;
        let amount = 1_500_000_000;
        let text = until_async("a route through each peer", String::new, || async {
            let (text, hash) = net.nodes[3].create_bundle(Some(amount)).await;
            let routes = Bundle::read(&text).expect("reads").routes.len();
            (routes >= 2).then_some((text, hash))
        });
        let (text, hash) = text.await;
        net.handle(0).pay(pay_order(&text)).await.expect("not refused");
        let paid = net.end_of(0, hash).await;
        assert!(arrived(&paid), "{:?} {:?}", paid.status, paid.reason);
        let settled = paid.attempts.iter().filter(|part| part.state == AttemptState::Settled);
        assert!(settled.clone().count() >= 2, "{:?}", paid.attempts);
        assert_eq!(settled.map(|part| part.amount.to_u64()).sum::<u64>(), amount);
        assert_eq!(net.nodes[3].settled(hash).await, Some(amount));
        net.quiet().await;
    })
    .await;
}

/// The same route with another node in front, who goes on over its channel with the node that the route begins at.
async fn behind(net: &Net, node: usize, edge: usize, text: &str) -> String {
    let mut bundle = Bundle::read(text).expect("reads");
    let route = bundle.routes.remove(0);
    let scid = find(&net.nodes[node], net.edges[edge].2).await.short_id.expect("in a block");
    let relay = PaymentRelay {
        cltv_expiry_delta: CltvDelta(40),
        fee_proportional_millionths: PPM as u32,
        fee_base_msat: BASE_MSAT as u32,
    };
    let data = RecipientData {
        short_channel_id: Some(scid),
        payment_relay: Some(relay),
        next_path_key_override: Some(route.path.first_path_key),
        ..RecipientData::default()
    }
    .encode();
    let session = SecretKey::from_slice(&[6; 32]).expect("a key");
    let key = PublicKey::from_slice(&net.nodes[node].id().0).expect("a key");
    let front = BlindedPath::build(&session, &[(key, &data)]).expect("a path");
    let mut hops = front.path;
    hops.extend(route.path.path);
    let mut cost = route.cost;
    cost.fee_base_msat += BASE_MSAT as u32 + 10;
    cost.fee_proportional_millionths += PPM as u32 + 10;
    cost.cltv_expiry_delta = CltvDelta(cost.cltv_expiry_delta.to_u16() + 40);
    let path = BlindedPath { first_node_id: key, first_path_key: front.first_path_key, path: hops };
    bundle.routes.push(BlindedRoute { path, cost, ..route });
    bundle.to_text()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blinded_way_over_two_other_nodes_is_found_and_paid() {
    in_time(async {
        let edges = [(0, 1, 1_000_000), (1, 2, 1_000_000), (2, 3, 1_000_000), (3, 4, 1_000_000)];
        let net = Net::start(5, &edges).await;
        let amount = 60_000_000;
        let (text, hash) = net.nodes[4].create_bundle(Some(amount)).await;
        // 0 finds its way to 2; from there 2 and 3 are blinded.
        let longer = behind(&net, 2, 2, &text).await;
        let mut order = pay_order(&longer);
        order.max_fee = wire::units::Msat::new(1_000_000);
        net.handle(0).pay(order).await.expect("not refused");
        let paid = net.end_of(0, hash).await;
        assert!(arrived(&paid), "{:?} {:?}", paid.status, paid.reason);
        // Whoever made it longer rounded in favour of those on the way, and what they leave arrives.
        let settled = net.nodes[4].settled(hash).await.expect("paid");
        assert!((amount..amount + 10_000).contains(&settled), "{settled}");
        let hops = &paid.attempts[0].hops;
        let last = hops.last().expect("a hop");
        assert_eq!(last.node, net.nodes[2].id(), "nobody behind it is known to the payer");
        for node in 1..4 {
            let passed = net.handle(node).info().await.expect("answers").forwarded.settled;
            assert_eq!(passed, 1, "through node {node}");
        }
        net.quiet().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dearer_channel_tells_its_price_in_a_failure_and_is_paid_that() {
    in_time(async {
        let mut net = Net::bare(3, &[]).await;
        net.open((0, 1, 1_000_000), true).await;
        net.open((1, 2, 1_000_000), false).await;
        net.mine(6).await;
        knows(&net.nodes[0], 1).await;
        let payee = net.nodes[2].handle().clone();
        until_async("word of the channel", String::new, || async {
            let told = payee.own_gossip();
            (told.theirs.len() == 1 && told.ours.len() == 1).then_some(())
        })
        .await;
        // The invoice says what node 1 asked for then.
        let amount = 50_000_000;
        let (invoice, hash) = net.nodes[2].create_invoice(Some(amount), 3_600).await;
        // What was asked for last is good for a while; what was before that is not.
        for base_msat in [2_000, 3_000] {
            let change = PolicyChange { base_msat: Some(base_msat), ..PolicyChange::default() };
            let order = SetPolicy { channel: ChannelRef::Id(net.edges[1].2), change };
            net.handle(1).set_policy(order).await.expect("set");
        }
        until_async("the newest price to be what failures tell", String::new, || async {
            let told = net.handle(1).own_gossip();
            told.ours.values().any(|update| update.fee_base_msat == 3_000).then_some(())
        })
        .await;
        net.handle(0).pay(pay_order(&invoice)).await.expect("not refused");
        let paid = net.end_of(0, hash).await;
        assert!(arrived(&paid), "{:?} {:?}", paid.status, paid.reason);
        assert_eq!(paid.attempts.len(), 2, "{:?}", paid.attempts);
        assert_eq!(paid.fee.to_u64(), 3_000 + amount * PPM / 1_000_000);
        let why = net.handle(0).why_payment(hash).await.expect("why");
        let told = format!("{why:?}");
        assert!(
            told.contains("fee_insufficient") && told.contains("told what it asks for"),
            "{told}"
        );
        net.quiet().await;
    })
    .await;
}
