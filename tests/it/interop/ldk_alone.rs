//! LDK against LDK: proves the harness, and the built-in chain as a chain that LDK can live on.

use bitcoin::Amount;
use lightning::ln::types::ChannelId;
use viaduct_tests::layer1::Layer1;
use viaduct_tests::ldk::{LdkNode, Options, Outcome, funding_of};

/// Satoshi in each wallet at the start: one subsidy of the built-in chain.
const COIN: u64 = 5_000_000_000;
const CAPACITY: u64 = 10_000_000;

struct Pair {
    layer1: Layer1,
    alice: LdkNode,
    bob: LdkNode,
    _dir: tempfile::TempDir,
}

impl Pair {
    /// Two nodes with a coin each, connected.
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let layer1 = Layer1::start();
        let alice = LdkNode::start(Options::named("alice", dir.path()), layer1.backend()).await;
        let bob = LdkNode::start(Options::named("bob", dir.path()), layer1.backend()).await;
        layer1.give(&[alice.wallet_script(), bob.wallet_script()]).await;
        for node in [&alice, &bob] {
            let coin = Amount::from_sat(COIN);
            node.wait("the coin", || (node.wallet_balance() == coin).then_some(())).await;
            // And that it is old enough to be spent.
            node.at_height(layer1.height().await).await;
        }
        alice.connect(bob.id(), bob.address()).await;
        Self { layer1, alice, bob, _dir: dir }
    }

    /// A channel from alice to bob that can carry payments.
    async fn open(&self) -> ChannelId {
        let channel = self.alice.open_channel(self.bob.id(), CAPACITY, 0).await;
        self.layer1.mempool_of(1).await;
        self.layer1.mine(6).await;
        self.alice.usable(channel).await;
        self.bob.usable(channel).await;
        channel
    }

    /// `count` payments at once from one to the other, all of which arrive.
    async fn pay(from: &LdkNode, to: &LdkNode, count: usize, msat: u64) {
        let invoices: Vec<_> = (0..count).map(|_| to.create_invoice(Some(msat), 3_600)).collect();
        let hashes: Vec<_> = invoices.iter().map(|invoice| from.pay(invoice)).collect();
        for hash in hashes {
            assert!(matches!(from.outcome(hash).await, Outcome::Sent(_)));
            assert_eq!(to.received(hash).await, msat);
        }
    }

    /// All coins are in the two wallets, but for fees and what `elsewhere` holds.
    async fn account(&self, elsewhere_sat: u64) {
        let fees = self.layer1.totals().await.fees_sat;
        let expected = 2 * COIN - fees - elsewhere_sat;
        let account = || {
            format!(
                "fees {fees}, elsewhere {elsewhere_sat}\n{}{}",
                self.alice.log_tail(),
                self.bob.log_tail()
            )
        };
        viaduct_tests::until::until("every satoshi in a wallet", account, || {
            let sum = self.alice.wallet_balance() + self.bob.wallet_balance();
            (sum.to_sat() == expected).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ldk_pays_ldk_both_ways_restarts_and_closes_together() {
    let Pair { layer1, alice, bob, _dir } = Pair::start().await;
    let pair = Pair { layer1, alice, bob, _dir };
    let channel = pair.open().await;
    let funding = funding_of(&pair.alice.usable(channel).await);
    Pair::pay(&pair.alice, &pair.bob, 20, 200_000_000).await;
    // What came in is spent when it is settled to the end.
    pair.bob.quiet(channel).await;
    Pair::pay(&pair.bob, &pair.alice, 10, 100_000_000).await;

    // Both stop and come back from what their stores hold, while blocks are mined.
    let Pair { layer1, alice, bob, _dir } = pair;
    let alice = alice.restart().await;
    layer1.mine(3).await;
    let bob = bob.restart().await;
    bob.connect(alice.id(), alice.address()).await;
    let pair = Pair { layer1, alice, bob, _dir };
    pair.alice.usable(channel).await;
    pair.bob.usable(channel).await;
    Pair::pay(&pair.alice, &pair.bob, 5, 1_000_000).await;

    pair.bob.close(&pair.bob.quiet(channel).await);
    pair.alice.closed(channel).await;
    pair.bob.closed(channel).await;
    let closing = pair.layer1.spend_seen(funding).await;
    assert_eq!(closing.output.len(), 2, "both have something");
    // The close is buried; LDK sweeps its output of it, and the sweeps are buried.
    pair.layer1.mine(6).await;
    pair.layer1.mempool_of(2).await;
    pair.layer1.mine(6).await;
    pair.account(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ldk_force_closes_on_ldk_with_payments_pending_and_both_get_their_money() {
    let pair = Pair::start().await;
    let channel = pair.open().await;
    let funding = funding_of(&pair.alice.usable(channel).await);
    Pair::pay(&pair.alice, &pair.bob, 5, 400_000_000).await;

    // Two payments are on their way, their preimages known to the payee alone.
    pair.bob.hold_payments(true);
    for msat in [30_000_000, 40_000_000] {
        pair.alice.pay(&pair.bob.create_invoice(Some(msat), 3_600));
    }
    pair.bob.holding(2).await;
    let details = pair.bob.usable(channel).await;
    pair.bob.force_close(&details);
    pair.alice.disconnect(pair.bob.id());
    let commitment = pair.layer1.spend_seen(funding).await;
    pair.layer1.mine(1).await;
    pair.bob.claim_held();

    // Whoever still waits for something gets it within the delay of 144 blocks and some confirmations.
    for _ in 0..40 {
        pair.layer1.mine(6).await;
        let height = pair.layer1.height().await;
        for node in [&pair.alice, &pair.bob] {
            node.at_height(height).await;
        }
    }
    assert_eq!(pair.alice.awaited_sat() + pair.bob.awaited_sat(), 0);
    let left: u64 =
        pair.layer1.unspent_of(&commitment).await.iter().map(|(_, out)| out.value.to_sat()).sum();
    assert!(left <= 2 * 330, "only anchors may stay behind, not {left} sat");
    pair.account(left).await;
}
