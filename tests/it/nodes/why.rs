//! Why channels closed and payments failed, as whole nodes tell it: before and after a restart.

use daemon::node::Handle;
use daemon::rpc::model::channel::ChannelRef;
use daemon::rpc::model::why::ChannelWhy;
use daemon::rpc::node_api::NodeApi as _;
use daemon::rpc::refusal::Refusal;
use viaduct_tests::until::until_async;
use wire::id::{ChannelId, PaymentHash};

use super::pair::{CAPACITY, Pair, find, in_time, pay_some};

async fn why(node: &Handle, id: ChannelId) -> ChannelWhy {
    node.why_channel(ChannelRef::Id(id)).await.expect("a story")
}

/// The story once it has this step.
async fn told(node: &Handle, id: ChannelId, code: &'static str) -> ChannelWhy {
    until_async(
        code,
        || "no such step".to_owned(),
        || async {
            let why = why(node, id).await;
            why.steps.iter().any(|step| step.code == code).then_some(why)
        },
    )
    .await
}

fn codes(why: &ChannelWhy) -> Vec<&'static str> {
    why.steps.iter().map(|step| step.code).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_close_together_tells_both_sides_who_asked_and_what_it_cost() {
    in_time(async {
        let (mut pair, id) = Pair::with_channel().await;
        pay_some(&pair.alice, &pair.bob, 300_000_000).await;
        let open = why(pair.alice.handle(), id).await;
        assert_eq!(open.summary, "open: nothing has ended it");
        assert!(open.waiting.is_empty());
        pair.close_together(&pair.bob, id).await;
        pair.buried(id).await;
        let alice = told(pair.alice.handle(), id, "resolved").await;
        let bob = told(pair.bob.handle(), id, "resolved").await;
        assert_eq!(alice.summary, "closed together: the peer asked for it");
        assert_eq!(bob.summary, "closed together: we asked for it");
        let view = find(&pair.alice, id).await.closing.expect("closed");
        assert_eq!((alice.cost, bob.cost.to_sat()), (view.fee, 0), "the funder pays");
        assert!(codes(&alice).contains(&"closed-together"), "{alice:?}");
        let decided = alice.steps.iter().filter(|step| step.code == "shutdown-received");
        assert!(decided.clone().count() == 1 && decided.clone().all(|step| step.at.is_some()));

        // After a crash the same is told, word for word.
        pair.alice = pair.alice.crash_and_restart().await;
        let again = why(pair.alice.handle(), id).await;
        assert_eq!((again.steps, again.summary), (alice.steps, alice.summary));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forced_close_tells_the_command_the_words_and_what_came_home() {
    in_time(async {
        let (mut pair, id) = Pair::with_channel().await;
        pay_some(&pair.alice, &pair.bob, 400_000_000).await;
        let funding = pair.agree(id).await.funding.expect("funded");
        pair.alice.close(id, true).await;
        pair.layer1.spend_seen(funding).await;
        pair.mine(1).await;
        let alice = told(pair.alice.handle(), id, "closed-by-us").await;
        assert_eq!(alice.summary, "we closed alone: we were asked to close without the peer");
        let waits: Vec<_> = alice.waiting.iter().filter_map(|wait| wait.until).collect();
        assert_eq!(waits.len(), 2, "the delay, and the depth: {:?}", alice.waiting);
        let bob = told(pair.bob.handle(), id, "closed-by-them").await;
        assert!(
            bob.summary.starts_with("the peer sent an error: “force-closed by our user”"),
            "{}",
            bob.summary
        );
        pair.mine(146).await;
        pair.bob = pair.bob.crash_and_restart().await;
        pair.buried(id).await;
        let alice = told(pair.alice.handle(), id, "claimed").await;
        assert!(alice.cost.to_sat() > 0 && alice.home.to_sat() > 590_000, "{alice:?}");
        assert!(alice.home.to_sat() + alice.cost.to_sat() <= CAPACITY - 400_000);
        let bob = told(pair.bob.handle(), id, "claimed").await;
        assert!(bob.home.to_sat() > 399_000 && bob.home.to_sat() < 400_000, "{bob:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_tells_why_it_arrived_or_failed_and_an_unknown_one_is_unknown() {
    in_time(async {
        let (mut pair, _) = Pair::with_channel().await;
        let hash = pay_some(&pair.alice, &pair.bob, 5_000_000).await;
        let paid = pair.alice.handle().why_payment(hash).await.expect("known");
        assert_eq!(paid.status, "succeeded");
        let codes: Vec<_> = paid.steps.iter().map(|step| step.code).collect();
        assert_eq!(codes, ["started", "tried", "succeeded"]);
        pair.alice = pair.alice.restart().await;
        let again = pair.alice.handle().why_payment(hash).await.expect("known");
        assert_eq!(again.status, "succeeded");
        assert_eq!(again.steps.len(), 3);

        let unknown = pair.alice.handle().why_payment(PaymentHash([9; 32])).await;
        assert!(matches!(unknown, Err(Refusal::NotFound { .. })), "{unknown:?}");
    })
    .await;
}
