//! Payments over several hops with LDK in the middle and at each end, in one part and in many, and failures
//! that LDK makes, laid at the right door.

use daemon::payments::send::Via;
use daemon::rpc::model::payment::{AttemptState, Payment, PaymentFailure, PaymentStatus};
use daemon::rpc::node_api::NodeApi as _;
use lightning_invoice::Bolt11Invoice;
use viaduct_tests::layer1::Layer1;
use viaduct_tests::ldk::{LdkNode, Options, Outcome};
use viaduct_tests::ours::{OurNode, Place};
use viaduct_tests::until::until_async;
use wire::id::{NodeId, PaymentHash, ShortChannelId};
use wire::onion::failure::code;
use wire::units::Msat;

use super::gossip::known;
use super::table::{CAPACITY, ldk_hash, node_id, our_hash, public, read};
use crate::nodes::pair::{in_time, pay_order};

/// What LDK asks for a forward: a flat fee, millisatoshi, and blocks.
const LDK_FEE_MSAT: u64 = 1_000;
const LDK_DELTA: u32 = 72;

/// Three nodes of ours and two of LDK's.
struct Mixed {
    layer1: Layer1,
    edge: OurNode,
    left: OurNode,
    right: OurNode,
    ldk: LdkNode,
    far: LdkNode,
    dir: tempfile::TempDir,
}

impl Mixed {
    /// Nodes with coins, and no channels.
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let layer1 = Layer1::start();
        let settings = [("forwarding.peer_in_flight_percent", "100")];
        let place = |name| Place::with_settings(name, dir.path(), &layer1, &settings);
        let edge = OurNode::start(place("edge")).await;
        let left = OurNode::start(place("left")).await;
        let right = OurNode::start(place("right")).await;
        let ldk = LdkNode::start(Options::named("ldk", dir.path()), layer1.backend()).await;
        let far = LdkNode::start(Options::named("far", dir.path()), layer1.backend()).await;
        let mut scripts = Vec::new();
        for _ in 0..2 {
            for node in [&edge, &left, &right] {
                scripts.push(node.wallet_script().await);
            }
            scripts.push(ldk.wallet_script());
        }
        layer1.give(&scripts).await;
        let net = Self { layer1, edge, left, right, ldk, far, dir };
        net.level().await;
        net
    }

    /// edge, left, LDK, right, far: a line of announced channels that everybody knows.
    async fn line() -> Self {
        let net = Self::start().await;
        let (left, right) = (&net.left, &net.right);
        net.edge.open_public_channel(left.id(), left.address(), CAPACITY).await;
        left.open_public_channel(node_id(net.ldk.id()), net.ldk.address(), CAPACITY).await;
        net.ldk.connect(public(right.id()), right.address()).await;
        net.ldk.open_public_channel(public(right.id()), CAPACITY, 0).await;
        right.open_public_channel(node_id(net.far.id()), net.far.address(), CAPACITY).await;
        net.known(4).await;
        net
    }

    /// Two ways from left to far: over LDK and over right.
    async fn diamond() -> Self {
        let net = Self::start().await;
        let (left, right) = (&net.left, &net.right);
        left.open_public_channel(node_id(net.ldk.id()), net.ldk.address(), CAPACITY).await;
        left.open_public_channel(right.id(), right.address(), CAPACITY).await;
        net.ldk.connect(net.far.id(), net.far.address()).await;
        net.ldk.open_public_channel(net.far.id(), CAPACITY, 0).await;
        right.open_public_channel(node_id(net.far.id()), net.far.address(), CAPACITY).await;
        net.known(4).await;
        net
    }

    fn ours(&self) -> [&OurNode; 3] {
        [&self.edge, &self.left, &self.right]
    }

    async fn level(&self) {
        let height = self.layer1.height().await;
        for node in self.ours() {
            node.at_height(height).await;
        }
        self.ldk.at_height(height).await;
        self.far.at_height(height).await;
    }

    /// Confirms all channels and waits until those who have any know them all.
    async fn known(&self, channels: usize) {
        self.layer1.mempool_of(channels).await;
        for _ in 0..6 {
            self.layer1.mine(1).await;
            self.level().await;
        }
        for node in self.ours() {
            if !node.channels().await.is_empty() {
                let account = || format!("{:?}", known(node));
                until_async("us to know all channels", account, || async {
                    (known(node).whole == channels).then_some(())
                })
                .await;
            }
        }
        for node in [&self.ldk, &self.far] {
            let account = || format!("{:?}\n{}", node.known(), node.log_tail());
            until_async("LDK to know all channels", account, || async {
                (node.known().whole == channels).then_some(())
            })
            .await;
        }
    }

    /// Where a channel between two nodes lies, as our node knows it.
    fn between(&self, one: NodeId, other: NodeId) -> ShortChannelId {
        let graph = self.left.handle().graph();
        let channel = graph.channels_of(one).find(|channel| channel.nodes.contains(&other));
        channel.expect("a known channel").scid
    }
}

fn arrived(payment: &Payment) -> bool {
    matches!(payment.status, PaymentStatus::Succeeded { .. })
}

/// One of ours pays an invoice, to the end.
async fn we_pay(node: &OurNode, invoice: &str, hash: PaymentHash) -> Payment {
    node.handle().pay(pay_order(invoice)).await.expect("not refused");
    node.outcome(hash).await;
    node.handle().payment(hash).await.expect("known")
}

fn hash_of(invoice: &Bolt11Invoice) -> PaymentHash {
    PaymentHash(*AsRef::<[u8; 32]>::as_ref(invoice.payment_hash()))
}

/// From us to LDK; the nodes on the way, payee last.
async fn we_pay_ldk(from: &OurNode, to: &LdkNode, msat: u64) -> Payment {
    let invoice = to.create_invoice(Some(msat), 3_600);
    let paid = we_pay(from, &invoice.to_string(), hash_of(&invoice)).await;
    assert!(arrived(&paid), "{paid:?}\n{}", to.log_tail());
    assert_eq!(to.received(ldk_hash(hash_of(&invoice))).await, msat);
    paid
}

async fn we_pay_us(from: &OurNode, to: &OurNode, msat: u64) -> Payment {
    let (invoice, hash) = to.create_invoice(Some(msat), 3_600).await;
    let paid = we_pay(from, &invoice, hash).await;
    assert!(arrived(&paid), "{paid:?}");
    assert_eq!(to.settled(hash).await, Some(msat));
    paid
}

/// Waits until what a node received is its own: LDK cannot spend it before.
async fn settled_in(node: &LdkNode) {
    for channel in node.channels() {
        node.quiet(channel.channel_id).await;
    }
}

async fn ldk_pays_us(from: &LdkNode, to: &OurNode, msat: u64) {
    let (invoice, hash) = to.create_invoice(Some(msat), 3_600).await;
    let invoice = read(&invoice);
    settled_in(from).await;
    from.pay_trying(&invoice, 3);
    let outcome = from.outcome(ldk_hash(hash)).await;
    assert!(matches!(outcome, Outcome::Sent(_)), "{outcome:?}\n{}", from.log_tail());
    assert_eq!(to.settled(hash).await, Some(msat));
}

/// The way of a payment that went in one part.
fn way(payment: &Payment) -> Vec<NodeId> {
    assert_eq!(payment.attempts.len(), 1, "{payment:?}");
    payment.attempts[0].hops.iter().map(|hop| hop.node).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn payments_pass_ldk_in_the_middle_and_at_each_end_of_a_line() {
    in_time(async {
        let net = Mixed::line().await;
        let (ldk, far) = (node_id(net.ldk.id()), node_id(net.far.id()));
        let (left, right) = (net.left.id(), net.right.id());

        // Us, LDK, us.
        let paid = we_pay_us(&net.left, &net.right, 3_000_000_000).await;
        assert_eq!(way(&paid), [ldk, right]);
        assert_eq!(paid.fee.to_u64(), LDK_FEE_MSAT);
        let forwarded = net.ldk.wait("the forward", || net.ldk.forwarded().first().copied()).await;
        assert_eq!(forwarded.fee_msat, LDK_FEE_MSAT);
        // Us, us, LDK; and the whole line.
        let paid = we_pay_ldk(&net.edge, &net.ldk, 1_000_000_000).await;
        assert_eq!(way(&paid), [left, ldk]);
        let paid = we_pay_ldk(&net.edge, &net.far, 500_000_000).await;
        assert_eq!(way(&paid), [left, ldk, right, far]);

        // LDK, us, LDK.
        let invoice = net.far.create_invoice(Some(200_000_000), 3_600);
        let hash = net.ldk.pay(&invoice);
        let outcome = net.ldk.outcome(hash).await;
        assert!(matches!(outcome, Outcome::Sent(_)), "{outcome:?}\n{}", net.ldk.log_tail());
        assert_eq!(net.far.received(hash).await, 200_000_000);
        // LDK, us, us; and the whole line back.
        ldk_pays_us(&net.ldk, &net.edge, 300_000_000).await;
        ldk_pays_us(&net.far, &net.edge, 100_000_000).await;
        // Us, LDK, us, the other way.
        let paid = we_pay_us(&net.right, &net.left, 50_000_000).await;
        assert_eq!(way(&paid), [ldk, left]);
        assert!(net.dir.path().exists());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_ldk_fails_is_laid_at_its_door_and_what_we_fail_at_ours() {
    in_time(async {
        let net = Mixed::line().await;
        let ldk = node_id(net.ldk.id());
        let next = net.between(ldk, net.right.id());
        let via = |next, fee, cltv_delta| Via {
            node: net.ldk.id(),
            next,
            fee: Msat::new(fee).unwrap(),
            cltv_delta,
        };
        // LDK in the middle: too little, too late, to nobody.
        let nobody = ShortChannelId::from_u64(next.to_u64() ^ 0xff);
        for (via, expected) in [
            (via(next, LDK_FEE_MSAT - 1, LDK_DELTA), code::FEE_INSUFFICIENT),
            (via(next, LDK_FEE_MSAT, LDK_DELTA - 1), code::INCORRECT_CLTV_EXPIRY),
            (via(nobody, LDK_FEE_MSAT, LDK_DELTA), code::UNKNOWN_NEXT_PEER),
        ] {
            let (invoice, hash) = net.right.create_invoice(Some(20_000_000), 3_600).await;
            net.left.handle().pay_along(pay_order(&invoice), vec![via]).await.expect("not refused");
            let status = net.left.outcome(hash).await;
            let why = PaymentFailure::FailedOnTheWay { code: expected, by: ldk };
            assert_eq!(status, PaymentStatus::Failed(why));
        }
        // LDK at the far end, behind LDK.
        let unknown = net.far.create_unknown_invoice(20_000_000);
        let failed = we_pay(&net.edge, &unknown.to_string(), hash_of(&unknown)).await;
        let PaymentStatus::Failed(why) = failed.status else { panic!("{failed:?}") };
        assert!(matches!(why, PaymentFailure::UnknownByPayee { .. }), "{failed:?}");

        // We in the middle, and LDK pays: the channel behind us is blamed, then nobody but the end.
        let unknown = net.far.create_unknown_invoice(20_000_000);
        let hash = net.ldk.pay(&unknown);
        net.ldk.outcome(hash).await;
        let failed = net.ldk.failed_paths(hash);
        assert!(failed.len() == 1 && failed[0].by_recipient, "{failed:?}");
        let invoice = net.far.create_invoice(Some(20_000_000), 3_600);
        let Mixed { layer1, edge, left, right, ldk: middle, far, dir } = net;
        far.stop().await;
        let hash = middle.pay(&invoice);
        let outcome = middle.outcome(hash).await;
        assert!(matches!(outcome, Outcome::Failed(_)), "{outcome:?}");
        let failed = middle.failed_paths(hash);
        assert_eq!(failed.len(), 1, "{failed:?}\n{}", middle.log_tail());
        assert!(!failed[0].by_recipient, "{failed:?}");
        // By whichever of its names: LDK's young invoices give our alias as a hint.
        assert_eq!(failed[0].blamed, failed[0].scids.last().copied(), "{failed:?}");
        assert_eq!(failed[0].scids.len(), 2, "{failed:?}");

        // LDK in the middle, whose next peer is away.
        let (invoice, hash) = right.create_invoice(Some(20_000_000), 3_600).await;
        right.stop().await;
        let failed = we_pay(&edge, &invoice, hash).await;
        assert!(matches!(failed.status, PaymentStatus::Failed(_)), "{failed:?}");
        let by_ldk = failed.attempts.iter().any(|attempt| {
            let code = code::TEMPORARY_CHANNEL_FAILURE;
            attempt.state == AttemptState::Failed(PaymentFailure::FailedOnTheWay { code, by: ldk })
        });
        assert!(by_ldk, "{failed:?}");
        // What failed left nothing behind.
        we_pay_ldk(&left, &middle, 1_000_000).await;
        assert!(dir.path().exists() && layer1.height().await > 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn payments_go_in_parts_to_ldk_and_from_it_over_ldk_and_over_us() {
    in_time(async {
        let net = Mixed::diamond().await;
        let invoice = net.far.create_invoice(Some(14_000_000_000), 3_600);
        let hash = hash_of(&invoice);
        let paid = we_pay(&net.left, &invoice.to_string(), hash).await;
        assert!(arrived(&paid), "{paid:?}\n{}", net.far.log_tail());
        assert_eq!(net.far.received(ldk_hash(hash)).await, 14_000_000_000);
        assert!(net.far.received_parts(ldk_hash(hash)) >= 2);
        let settled = paid.attempts.iter().filter(|part| part.state == AttemptState::Settled);
        let first: std::collections::BTreeSet<_> = settled.map(|part| part.hops[0].node).collect();
        assert_eq!(first, [node_id(net.ldk.id()), net.right.id()].into());

        let (invoice, hash) = net.left.create_invoice(Some(10_100_000_000), 3_600).await;
        let invoice = read(&invoice);
        settled_in(&net.far).await;
        assert_eq!(our_hash(net.far.pay_trying(&invoice, 3)), hash);
        let outcome = net.far.outcome(ldk_hash(hash)).await;
        assert!(matches!(outcome, Outcome::Sent(_)), "{outcome:?}\n{}", net.far.log_tail());
        assert_eq!(net.left.settled(hash).await, Some(10_100_000_000));
    })
    .await;
}
