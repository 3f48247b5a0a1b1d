//! A close that is due is left to the user where the policy says so, and said with its price; the story of
//! the channel tells all of it.

use super::forced::{EXPIRY, hold, htlcs, mine, world};
use super::*;
use crate::policy::ForceClosePolicy;
use crate::rpc::model::peer::PeerPolicyChange;
use crate::rpc::model::why::ChannelWhy;

async fn why(node: &Handle) -> ChannelWhy {
    let channel = node.list_channels(ChannelFilter::default()).await.unwrap().remove(0);
    node.why_channel(ChannelRef::Id(channel.id)).await.unwrap()
}

async fn told(node: &Handle, code: &str) -> ChannelWhy {
    for _ in 0..400 {
        let why = why(node).await;
        if why.steps.iter().any(|step| step.code == code) {
            return why;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("no {code}: {:?}", why(node).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_close_over_an_htlc_waits_for_the_user_and_happens_once_the_policy_allows_it() {
    tokio::time::timeout(Duration::from_secs(90), held()).await.expect("in time");
}

const fn ask(force_close: Option<ForceClosePolicy>) -> PeerPolicyChange {
    PeerPolicyChange { force_close: Some(force_close), trust_funding: None }
}

async fn held() {
    let world = world();
    let (alice, bob) = (world.start(0).await, world.start(1).await);
    let a = alice.handle();
    fill(&a, 3_000_000).await;
    open(&a, &bob, 1_000_000).await;
    usable(&bob.handle()).await;
    let own = a.set_peer_policy(bob.handle().node_id(), ask(Some(ForceClosePolicy::Ask))).await;
    let own = own.unwrap();
    assert_eq!((own.force_close, own.own, own.trust_funding), (ForceClosePolicy::Ask, true, false));
    hold(&world, &a, &bob.handle(), 0, 20_000).await;
    htlcs(&a, 1).await;
    htlcs(&bob.handle(), 1).await;
    let peer = bob.handle().node_id();
    bob.stop().await;
    // The policy is durable.
    alice.stop().await;
    let alice = world.start(0).await;
    let a = alice.handle();
    let peers = a.list_peers().await.unwrap();
    assert_eq!(peers[0].force_close, Some(ForceClosePolicy::Ask));

    let channel = a.list_channels(ChannelFilter::default()).await.unwrap().remove(0);
    let order =
        CloseChannel { key: None, channel: ChannelRef::Id(channel.id), how: CloseHow::Force };
    let plan = a.plan_close(order).await.unwrap();
    let forecast = plan.forecast.expect("a dry run");
    assert_eq!(forecast.saves, Amount::from_sat(20_000));
    assert!(forecast.cost > Amount::ZERO && forecast.cost < forecast.saves, "{forecast:?}");
    assert!(forecast.close_by.is_some());
    let kinds: Vec<_> = plan.outputs.iter().map(|output| output.kind).collect();
    assert_eq!(kinds.iter().filter(|kind| **kind == "htlc").count(), 1, "{kinds:?}");
    assert_eq!(kinds.iter().filter(|kind| **kind == "anchor").count(), 2, "{kinds:?}");

    mine(&a, EXPIRY + 4).await;
    let held = told(&a, "close-held-back").await;
    assert!(held.summary.starts_with("a close is due and left to you: our HTLC"), "{held:?}");
    assert_eq!(held.policy, "ask");
    let channel = a.list_channels(ChannelFilter::default()).await.unwrap().remove(0);
    assert_eq!(channel.phase, ChannelPhase::Open, "nothing was done");

    a.set_peer_policy(peer, ask(None)).await.unwrap();
    mine(&a, 1).await;
    let decided = told(&a, "force-close-deadline").await;
    assert!(decided.summary.starts_with("we closed alone: our HTLC"), "{decided:?}");
    mine(&a, 2).await;
    told(&a, "closed-by-us").await;
    let channel = a.list_channels(ChannelFilter::default()).await.unwrap().remove(0);
    let closing = channel.closing.unwrap();
    let htlc = closing.outputs.iter().find(|output| output.kind == "htlc").expect("an HTLC");
    assert_eq!(htlc.value, Amount::from_sat(20_000));
    assert!(["claimable", "claiming", "claimed"].contains(&htlc.state), "{htlc:?}");
    // What the claim of the HTLC made is listed, too; it is no output of the close.
    let of_close = |outpoint: bitcoin::OutPoint| Some(outpoint.txid) == closing.txid;
    let outputs = closing.outputs.iter().filter(|output| of_close(output.outpoint));
    let total: Amount = outputs.map(|output| output.value).sum();
    assert!(total <= Amount::from_sat(1_000_000) && total > Amount::from_sat(990_000));
    alice.stop().await;
}
