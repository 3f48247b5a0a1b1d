//! Why channels closed and payments failed, as whole nodes tell it: before and after a restart.

use daemon::node::Handle;
use daemon::rpc::model::channel::{ChannelRef, CloseKind};
use daemon::rpc::model::page::{Order, Page};
use daemon::rpc::model::payment::{PaymentFilter, PaymentStatus};
use daemon::rpc::model::peer::DisconnectPeer;
use daemon::rpc::model::why::ChannelWhy;
use daemon::rpc::node_api::NodeApi as _;
use daemon::rpc::refusal::Refusal;
use viaduct_tests::until::until_async;
use wire::id::{ChannelId, PaymentHash};

use super::pair::{CAPACITY, Pair, find, in_time, pay, pay_order, pay_some};

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
        assert_eq!(view.depth_needed, 1, "as deep as its funding had to be");
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
        // Behind a block that has the close, words mean nothing any more.
        told(pair.bob.handle(), id, "error-received").await;
        pair.mine(1).await;
        // Who is told of a close by force closes as well: either commitment may be the one that is mined.
        let kind = until_async("a close that is known", String::new, || async {
            find(&pair.alice, id).await.closing?.kind
        })
        .await;
        let by_alice = kind == CloseKind::ForcedByUs;
        let (ours, theirs) = ("closed-by-us", "closed-by-them");
        let (of_alice, of_bob) = if by_alice { (ours, theirs) } else { (theirs, ours) };
        let alice = told(pair.alice.handle(), id, of_alice).await;
        let bob = told(pair.bob.handle(), id, of_bob).await;
        if by_alice {
            assert_eq!(alice.summary, "we closed alone: we were asked to close without the peer");
            let waits: Vec<_> = alice.waiting.iter().filter_map(|wait| wait.until).collect();
            assert_eq!(waits.len(), 2, "the delay, and the depth: {:?}", alice.waiting);
        }
        let words = "the peer sent an error: “force-closed by our user”";
        assert!(bob.summary.contains(words), "{}", bob.summary);
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
        assert_eq!(codes, ["started", "tried", "part-held", "succeeded"]);
        pair.alice = pair.alice.restart().await;
        let again = pair.alice.handle().why_payment(hash).await.expect("known");
        assert_eq!(again.status, "succeeded");
        assert_eq!(again.steps.len(), 4);

        let unknown = pair.alice.handle().why_payment(PaymentHash([9; 32])).await;
        assert!(matches!(unknown, Err(Refusal::NotFound { .. })), "{unknown:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_that_is_tried_again_is_listed_once_and_tells_why_it_failed() {
    in_time(async {
        let (mut pair, _) = Pair::with_channel().await;
        let (invoice, hash) = pair.bob.create_invoice(Some(7_000_000), 3_600).await;
        pair.bob.handle().cancel_invoice(hash).await.expect("cancelled");
        for _ in 0..3 {
            let (_, status) =
                pay(pair.alice.handle(), pay_order(&invoice)).await.expect("not refused");
            assert!(matches!(status, PaymentStatus::Failed(_)), "{status:?}");
        }
        pay_some(&pair.alice, &pair.bob, 1_000_000).await;
        for _ in 0..2 {
            let page = Page { size: 10, after: None, order: Order::NewestFirst };
            let filter = PaymentFilter::default();
            let listed = pair.alice.handle().list_payments(filter, page).await.expect("a list");
            let of_it = listed.entries.iter().filter(|payment| payment.hash == hash).count();
            assert_eq!((of_it, listed.entries.len()), (1, 2), "{:?}", listed.entries);
            let why = pair.alice.handle().why_payment(hash).await.expect("known");
            assert_eq!(why.status, "failed");
            assert!(why.summary.starts_with("the payee does not know this payment"), "{why:?}");
            let codes: Vec<_> = why.steps.iter().map(|step| step.code).collect();
            let last = ["tried", "part-held", "part-failed", "failed"];
            assert_eq!(codes[codes.len() - 4..], last, "{why:?}");
            pair.alice = pair.alice.restart().await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_shows_what_its_opening_cost_and_every_output_of_its_end() {
    in_time(async {
        let (mut pair, id) = Pair::with_channel().await;
        pay_some(&pair.alice, &pair.bob, 400_000_000).await;
        let open = pair.agree(id).await;
        let paid = open.funding_fee.expect("alice funded it");
        assert_eq!(paid.to_sat(), pair.layer1.totals().await.fees_sat, "nothing else was paid");
        assert_eq!(find(&pair.bob, id).await.funding_fee, None);

        // Alice does not hear of it, so hers is not the commitment that is mined.
        let order = DisconnectPeer { node: pair.alice.id(), force: true };
        pair.bob.handle().disconnect_peer(order).await.expect("hangs up");
        let order = DisconnectPeer { node: pair.bob.id(), ..order };
        pair.alice.handle().disconnect_peer(order).await.expect("does not call again");
        pair.bob.close(id, true).await;
        pair.layer1.spend_seen(open.funding.expect("funded")).await;
        pair.mine(1).await;
        told(pair.bob.handle(), id, "closed-by-us").await;
        let closing = find(&pair.bob, id).await.closing.expect("closing");
        assert_eq!(closing.depth_needed, 100);
        let states: Vec<_> = closing.outputs.iter().map(|one| (one.kind, one.state)).collect();
        assert!(states.contains(&("balance", "waits")), "{states:?}");
        let ours: u64 = closing.outputs.iter().map(|one| one.expected.to_sat()).sum();
        assert!((399_000..400_000).contains(&ours), "{closing:?}");
        pair.buried(id).await;
        // What is over shows its outputs, too, also after a restart.
        for _ in 0..2 {
            let closing = find(&pair.bob, id).await.closing.expect("closed");
            let states: Vec<_> = closing.outputs.iter().map(|one| (one.kind, one.state)).collect();
            assert!(states.contains(&("balance", "irrevocable")), "{states:?}");
            pair.bob = pair.bob.restart().await;
        }
    })
    .await;
}
