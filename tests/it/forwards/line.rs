//! Alice, bob and carol in a line, payments along it by hand, and what bob tells of them.

use daemon::payments::send::Via;
use daemon::rpc::model::forward::{Forward, ForwardFilter, ForwardState};
use daemon::rpc::model::page::Page;
use daemon::rpc::model::payment::{PaymentFailure, PaymentStatus};
use daemon::rpc::node_api::NodeApi as _;
use secp256k1::PublicKey;
use viaduct_tests::layer1::Layer1;
use viaduct_tests::ours::{OurNode, Place};
use viaduct_tests::until::until_async;
use wire::id::{ChannelId, NodeId, PaymentHash, ShortChannelId};
use wire::units::Msat;

use crate::nodes::pair::{find, in_time, pay_order};

/// What the first channel of a line holds, in satoshi.
const CAPACITY: u64 = 2_000_000;

/// What the second one holds, and others with carol.
pub(crate) const SMALLER: u64 = 1_000_000;

/// What bob asks for unless a test wants another.
pub(crate) const BASE_MSAT: u64 = 1_000;
/// Per million.
pub(crate) const PPM: u64 = 100;
/// Blocks.
pub(crate) const DELTA: u32 = 40;

/// Bob forwards, for the fees above.
const SETTINGS: [(&str, &str); 4] = [
    ("forwarding.enabled", "true"),
    ("forwarding.base_msat", "1000"),
    ("forwarding.ppm", "100"),
    ("forwarding.cltv_delta_blocks", "40"),
];

/// Three nodes in a line, each with a coin.
pub(crate) struct Line {
    pub(crate) layer1: Layer1,
    pub(crate) alice: OurNode,
    pub(crate) bob: OurNode,
    pub(crate) carol: OurNode,
    /// From alice to bob, and from bob to carol.
    pub(crate) first: ChannelId,
    pub(crate) second: ChannelId,
    pub(crate) _dir: tempfile::TempDir,
}

impl Line {
    pub(crate) async fn start() -> Self {
        Self::with(&[]).await
    }

    /// With more settings for all.
    pub(crate) async fn with(more: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let layer1 = Layer1::start();
        let settings: Vec<_> = SETTINGS.iter().chain(more).copied().collect();
        let place = |name| Place::with_settings(name, dir.path(), &layer1, &settings);
        let alice = OurNode::start(place("alice")).await;
        let bob = OurNode::start(place("bob")).await;
        let carol = OurNode::start(place("carol")).await;
        let mut scripts = Vec::new();
        for node in [&alice, &bob, &carol] {
            scripts.push(node.wallet_script().await);
        }
        layer1.give(&scripts).await;
        let nowhere = ChannelId([0; 32]);
        let mut line =
            Self { layer1, alice, bob, carol, first: nowhere, second: nowhere, _dir: dir };
        line.synced().await;
        line.first = line.open(&line.alice, &line.bob, CAPACITY).await;
        line.second = line.open(&line.bob, &line.carol, SMALLER).await;
        line
    }

    pub(crate) async fn synced(&self) {
        let height = self.layer1.height().await;
        for node in [&self.alice, &self.bob, &self.carol] {
            node.at_height(height).await;
        }
    }

    pub(crate) async fn mine(&self, blocks: u32) {
        self.layer1.mine(blocks).await;
        self.synced().await;
    }

    /// A usable channel.
    pub(crate) async fn open(&self, from: &OurNode, to: &OurNode, sat: u64) -> ChannelId {
        let id = from.open_channel(to.id(), to.address(), sat).await;
        self.layer1.mempool_of(1).await;
        self.mine(1).await;
        from.usable(id).await;
        to.usable(id).await;
        id
    }

    /// Bob asks for this.
    pub(crate) async fn via(&self, fee_msat: u64, cltv_delta: u32) -> Via {
        let next = find(&self.bob, self.second).await.short_id.expect("in a block");
        self.via_channel(next, fee_msat, cltv_delta)
    }

    pub(crate) fn via_channel(&self, next: ShortChannelId, fee_msat: u64, cltv_delta: u32) -> Via {
        let fee = Msat::new(fee_msat).expect("a fee");
        Via { node: key(self.bob.id()), next, fee, cltv_delta }
    }

    /// Pays carol over bob, who gets what he asks for; waits for the end.
    pub(crate) async fn pay(&self, msat: u64) -> (PaymentHash, PaymentStatus) {
        let via = self.via(fee(msat), DELTA).await;
        self.pay_by(msat, via).await
    }

    pub(crate) async fn pay_by(&self, msat: u64, via: Via) -> (PaymentHash, PaymentStatus) {
        let hash = self.begin(msat, via).await;
        (hash, self.alice.outcome(hash).await)
    }

    /// Begins to pay carol over bob.
    pub(crate) async fn begin(&self, msat: u64, via: Via) -> PaymentHash {
        let (invoice, hash) = self.carol.create_invoice(Some(msat), 3_600).await;
        self.alice.handle().pay_along(pay_order(&invoice), vec![via]).await.expect("not refused");
        hash
    }

    /// What bob forwarded, newest first, when `right` is true of it.
    pub(crate) async fn told(
        &self,
        what: &str,
        right: impl Fn(&[Forward]) -> bool,
    ) -> Vec<Forward> {
        until_async(what, String::new, || async {
            let all = Page { size: Page::SIZE_MAX, ..Page::default() };
            let listed = self.bob.handle().list_forwards(ForwardFilter::default(), all).await;
            Some(listed.expect("a list").entries).filter(|all| right(all))
        })
        .await
    }

    /// Bob's newest forward, once it has ended.
    pub(crate) async fn newest(&self, hash: PaymentHash) -> Forward {
        let is_it = |all: &[Forward]| {
            all.first().is_some_and(|newest| newest.hash == hash && newest.ended.is_some())
        };
        self.told("a forward to end", is_it).await.remove(0)
    }

    /// Waits until nothing is in flight anywhere, and everybody agrees with his neighbour.
    pub(crate) async fn quiet(&self) {
        for (ours, theirs, id) in
            [(&self.alice, &self.bob, self.first), (&self.bob, &self.carol, self.second)]
        {
            until_async("both sides to agree", String::new, || async {
                let (ours, theirs) = (find(ours, id).await, find(theirs, id).await);
                let quiet = ours.htlcs.is_empty() && theirs.htlcs.is_empty();
                (quiet && ours.ours == theirs.theirs && ours.theirs == theirs.ours).then_some(())
            })
            .await;
        }
    }

    /// What bob has in both channels, in msat.
    pub(crate) async fn bobs_msat(&self) -> u64 {
        let (first, second) =
            (find(&self.bob, self.first).await, find(&self.bob, self.second).await);
        first.ours.to_u64() + second.ours.to_u64()
    }
}

pub(crate) fn key(node: NodeId) -> PublicKey {
    PublicKey::from_slice(&node.0).expect("a key")
}

/// What bob asks for.
pub(crate) const fn fee(msat: u64) -> u64 {
    BASE_MSAT + msat * PPM / 1_000_000
}

/// The code and who said it.
pub(crate) fn failure(status: &PaymentStatus) -> (u16, NodeId) {
    match status {
        PaymentStatus::Failed(PaymentFailure::FailedOnTheWay { code, by }) => (*code, *by),
        other => panic!("not failed on the way: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_passes_and_its_fee_stays() {
    in_time(async {
        let line = Line::start().await;
        let before = line.bobs_msat().await;
        let mut fees = 0;
        for msat in [1, 354_000, 50_000_000, 123_456_789] {
            let (hash, status) = line.pay(msat).await;
            assert!(matches!(status, PaymentStatus::Succeeded { .. }), "{msat}: {status:?}");
            assert_eq!(line.carol.settled(hash).await, Some(msat));
            let forward = line.newest(hash).await;
            assert_eq!(forward.state, ForwardState::Settled);
            assert_eq!(
                (forward.incoming.id, forward.outgoing.expect("out").id),
                (Some(line.first), Some(line.second))
            );
            assert_eq!(forward.amount_in.to_u64() - forward.amount_out.to_u64(), fee(msat));
            fees += fee(msat);
        }
        line.quiet().await;
        assert_eq!(line.bobs_msat().await, before + fees);
        let sums = line.bob.handle().info().await.expect("answers").forwarded;
        assert_eq!((sums.settled, sums.failed, sums.fees_msat), (4, 0, fees));
        assert_eq!(sums.forwarded_msat, 1 + 354_000 + 50_000_000 + 123_456_789);
    })
    .await;
}
