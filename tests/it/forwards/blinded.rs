//! Blinded routes over real nodes: through their first node, through one that only its neighbours know, and back again.

use daemon::payments::blinded::{BlindedRoute, Bundle, is_bundle};
use daemon::rpc::model::forward::{ForwardFailure, ForwardState};
use daemon::rpc::model::payment::PaymentStatus;
use daemon::rpc::node_api::NodeApi as _;
use secp256k1::SecretKey;
use viaduct_tests::ours::OurNode;
use viaduct_tests::until::until_async;
use wire::id::PaymentHash;
use wire::onion::blind::{BlindedHop, BlindedPath, PaymentRelay, RecipientData};
use wire::onion::failure::code;
use wire::units::CltvDelta;

use super::line::{DELTA, Line, failure, fee, key};
use crate::nodes::pair::{find, in_time, pay_order};

const MSAT: u64 = 10_000_000;

async fn pay(by: &OurNode, text: &str, hash: PaymentHash) -> PaymentStatus {
    by.begin_pay(text).await.expect("not refused");
    by.outcome(hash).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payee_without_a_name_is_paid_through_the_peer_that_leads_to_it() {
    in_time(async {
        let line = Line::start().await;
        let before = line.bobs_msat().await;
        let (text, hash) = line.carol.create_bundle(Some(MSAT)).await;
        assert!(is_bundle(&text));
        let shown = line.alice.handle().decode_invoice(text.clone()).await.expect("reads");
        assert_eq!((shown.hash, shown.payee, shown.ours), (hash, line.bob.id(), false));
        let status = pay(&line.alice, &text, hash).await;
        assert!(matches!(status, PaymentStatus::Succeeded { .. }), "{status:?}");
        assert_eq!(line.carol.settled(hash).await, Some(MSAT));
        let forward = line.newest(hash).await;
        assert_eq!(forward.state, ForwardState::Settled);
        line.quiet().await;
        assert_eq!(line.bobs_msat().await, before + fee(MSAT));

        // An open amount, and many sizes, whatever the rounding does.
        for msat in [1_u64, 999, 10_001, 123_456_789] {
            let (text, hash) = line.carol.create_bundle(None).await;
            let mut order = pay_order(&text);
            order.amount = wire::units::Msat::new(msat);
            line.alice.handle().pay(order).await.expect("not refused");
            let status = line.alice.outcome(hash).await;
            assert!(matches!(status, PaymentStatus::Succeeded { .. }), "{msat}: {status:?}");
        }
        line.quiet().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_route_that_begins_with_the_payer_is_paid_over_the_channel_it_names() {
    in_time(async {
        let line = Line::start().await;
        // Carol's only peer is bob, so bob is the way in, and bob pays.
        let (text, hash) = line.carol.create_bundle(Some(MSAT)).await;
        let status = pay(&line.bob, &text, hash).await;
        assert!(matches!(status, PaymentStatus::Succeeded { .. }), "{status:?}");
        assert_eq!(line.carol.settled(hash).await, Some(MSAT));
    })
    .await;
}

/// A route of alice's own making in front of carol's: alice, then bob, who is told his path key by alice.
async fn behind_alice(line: &Line, text: &str) -> String {
    let mut bundle = Bundle::read(text).expect("reads");
    let route = bundle.routes.remove(0);
    let scid = find(&line.alice, line.first).await.short_id.expect("in a block");
    let relay = PaymentRelay {
        cltv_expiry_delta: CltvDelta(0),
        fee_proportional_millionths: 0,
        fee_base_msat: 0,
    };
    let data = RecipientData {
        short_channel_id: Some(scid),
        payment_relay: Some(relay),
        next_path_key_override: Some(route.path.first_path_key),
        ..RecipientData::default()
    }
    .encode();
    let session = SecretKey::from_slice(&[6; 32]).expect("a key");
    let front = BlindedPath::build(&session, &[(key(line.alice.id()), &data)]).expect("a path");
    let mut path: Vec<BlindedHop> = front.path;
    path.extend(route.path.path);
    let path = BlindedPath {
        first_node_id: front.first_node_id,
        first_path_key: front.first_path_key,
        path,
    };
    bundle.routes.push(BlindedRoute { path, ..route });
    bundle.to_text()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_the_middle_of_a_route_htlcs_pass_and_failures_say_nothing() {
    in_time(async {
        let line = Line::start().await;
        let (text, hash) = line.carol.create_bundle(Some(MSAT)).await;
        let longer = behind_alice(&line, &text).await;
        let status = pay(&line.alice, &longer, hash).await;
        assert!(matches!(status, PaymentStatus::Succeeded { .. }), "{status:?}");
        assert_eq!(line.carol.settled(hash).await, Some(MSAT));
        line.quiet().await;

        // The payee refuses: malformed to bob, malformed from bob.
        let (text, hash) = line.carol.create_bundle(Some(MSAT)).await;
        line.carol.handle().cancel_invoice(hash).await.expect("cancelled");
        let longer = behind_alice(&line, &text).await;
        let status = pay(&line.alice, &longer, hash).await;
        assert_eq!(failure(&status).0, code::INVALID_ONION_BLINDING);
        let forward = line.newest(hash).await;
        let told = ForwardFailure::Malformed(code::INVALID_ONION_BLINDING);
        assert_eq!(forward.state, ForwardState::Failed(told));
        line.quiet().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_a_route_begins_every_failure_is_the_same_word() {
    in_time(async {
        let line = Line::start().await;
        let blamed = (code::INVALID_ONION_BLINDING, line.bob.id());
        // Behind bob: the payee took it back.
        let (text, hash) = line.carol.create_bundle(Some(MSAT)).await;
        line.carol.handle().cancel_invoice(hash).await.expect("cancelled");
        assert_eq!(failure(&pay(&line.alice, &text, hash).await), blamed);
        // At bob: the route promises that he takes nothing, and then that he wants no blocks.
        let (text, hash) = line.carol.create_bundle(Some(500)).await;
        let mut cheap = Bundle::read(&text).expect("reads");
        cheap.routes[0].cost.fee_base_msat = 0;
        assert_eq!(failure(&pay(&line.alice, &cheap.to_text(), hash).await), blamed);
        let (text, hash) = line.carol.create_bundle(Some(MSAT)).await;
        let mut quick = Bundle::read(&text).expect("reads");
        quick.routes[0].cost.cltv_expiry_delta = CltvDelta(10);
        assert_eq!(failure(&pay(&line.alice, &quick.to_text(), hash).await), blamed);
        // An HTLC for another payment by a route of this one: the payee does not know its own route again.
        let (one, _) = line.carol.create_bundle(Some(MSAT)).await;
        let (two, hash) = line.carol.create_bundle(Some(MSAT)).await;
        let mut mixed = Bundle::read(&two).expect("reads");
        mixed.routes = Bundle::read(&one).expect("reads").routes;
        assert_eq!(failure(&pay(&line.alice, &mixed.to_text(), hash).await), blamed);
        assert_eq!(line.carol.settled(hash).await, None);
        // Garbage in the place of what carol wrote for bob.
        let (text, hash) = line.carol.create_bundle(Some(MSAT)).await;
        let mut broken = Bundle::read(&text).expect("reads");
        broken.routes[0].path.path[0].encrypted_recipient_data[3] ^= 1;
        assert_eq!(failure(&pay(&line.alice, &broken.to_text(), hash).await), blamed);
        line.quiet().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blinded_payment_survives_a_crash_of_the_node_where_its_route_begins() {
    in_time(async {
        let line = Line::start().await;
        let (text, hash) = line.carol.create_bundle(Some(MSAT)).await;
        let Line { alice, bob, carol, first, second, .. } = line;
        // Carol is away when bob has it: he tries, cannot, and says so after a while.
        carol.stop().await;
        bob.channel_where(second, "without its peer", |channel| {
            channel.link != daemon::rpc::model::channel::Link::Up
        })
        .await;
        alice.begin_pay(&text).await.expect("not refused");
        // Before that there is no way while bob is dead.
        until_async("the payment to be under way", String::new, || async {
            let offered = !find(&alice, first).await.htlcs.is_empty();
            let over = alice.handle().payment(hash).await.is_ok_and(|payment| payment.is_final());
            (offered || over).then_some(())
        })
        .await;
        let bob = bob.crash_and_restart().await;
        let status = alice.outcome(hash).await;
        assert_eq!(failure(&status), (code::INVALID_ONION_BLINDING, bob.id()));
    })
    .await;
}

/// How long each node that alice knows says it had the HTLC of a payment's last part.
async fn held(by: &OurNode, hash: PaymentHash) -> Vec<Option<u64>> {
    let payment = by.handle().payment(hash).await.expect("known");
    payment.attempts.last().expect("tried").hops.iter().map(|hop| hop.held_ms).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_node_that_the_payer_knows_says_how_long_it_held_the_payment() {
    in_time(async {
        let line = Line::start().await;
        let (hash, status) = line.pay(MSAT).await;
        assert!(matches!(status, PaymentStatus::Succeeded { .. }), "{status:?}");
        let times = held(&line.alice, hash).await;
        assert!(matches!(times[..], [Some(bob), Some(carol)] if bob >= carol), "{times:?}");
        let why = line.alice.handle().why_payment(hash).await.expect("known");
        let told = why.steps.iter().find(|step| step.code == "part-held").expect("told");
        assert!(told.text.contains(&line.carol.id().to_string()), "{}", told.text);

        // Of a failure, too.
        let (invoice, hash) = line.carol.create_invoice(Some(MSAT), 3_600).await;
        line.carol.handle().cancel_invoice(hash).await.expect("cancelled");
        let via = line.via(fee(MSAT), DELTA).await;
        line.alice.handle().pay_along(pay_order(&invoice), vec![via]).await.expect("not refused");
        line.alice.outcome(hash).await;
        let times = held(&line.alice, hash).await;
        assert!(matches!(times[..], [Some(_), Some(_)]), "{times:?}");

        // In a blinded route nobody behind its first node says anything.
        let (text, hash) = line.carol.create_bundle(Some(MSAT)).await;
        pay(&line.alice, &text, hash).await;
        let times = held(&line.alice, hash).await;
        assert!(matches!(times[..], [Some(_)]), "{times:?}");
    })
    .await;
}
