//! What a channel asks for: changed, remembered, forgiven for ten minutes, and which of several channels it is.

use daemon::rpc::model::channel::ChannelRef;
use daemon::rpc::model::forward::SetPolicy;
use daemon::rpc::model::payment::PaymentStatus;
use daemon::rpc::node_api::NodeApi as _;
use daemon::switch::policy::{ForwardPolicy, PolicyChange};
use wire::onion::failure::code;

use super::line::{DELTA, Line, SMALLER, failure, fee};
use crate::nodes::pair::{find, in_time};

/// What is paid.
const MSAT: u64 = 10_000_000;

pub(super) fn change() -> PolicyChange {
    PolicyChange::default()
}

/// Bob asks for something else over his channel with carol.
pub(super) async fn set(line: &Line, change: PolicyChange) -> ForwardPolicy {
    let order = SetPolicy { channel: ChannelRef::Id(line.second), change };
    line.bob.handle().set_policy(order).await.expect("set")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_policy_outlives_a_restart_and_the_old_one_is_good_for_a_while() {
    in_time(async {
        let mut line = Line::start().await;
        let dearer = set(&line, PolicyChange { base_msat: Some(5_000), ..change() }).await;
        assert_eq!((dearer.base_msat, u64::from(dearer.ppm)), (5_000, super::line::PPM));
        line.bob = line.bob.restart().await;
        line.bob.usable(line.first).await;
        line.bob.usable(line.second).await;
        let shown = line.bob.handle().policy(ChannelRef::Id(line.second)).await;
        assert_eq!(shown.expect("shown"), dearer);
        // The old fee still passes; less than both does not.
        let (_, status) = line.pay(MSAT).await;
        assert!(matches!(status, PaymentStatus::Succeeded { .. }), "{status:?}");
        let via = line.via(fee(MSAT) - 1, DELTA).await;
        let (_, status) = line.pay_by(MSAT, via).await;
        assert_eq!(failure(&status), (code::FEE_INSUFFICIENT, line.bob.id()));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_channel_to_the_same_node_will_do() {
    in_time(async {
        let line = Line::start().await;
        // Over the first channel alone the second payment would not fit any more.
        let other = line.open(&line.bob, &line.carol, SMALLER).await;
        for _ in 0..2 {
            let (_, status) = line.pay(900_000_000).await;
            assert!(matches!(status, PaymentStatus::Succeeded { .. }), "{status:?}");
        }
        line.quiet().await;
        let sent = |channel: daemon::rpc::model::channel::Channel| channel.theirs.to_u64();
        let both = [sent(find(&line.bob, line.second).await), sent(find(&line.bob, other).await)];
        assert_eq!(both, [900_000_000; 2], "each took one: the fullest first");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_channel_is_left_aside_for_another_to_the_same_node() {
    in_time(async {
        let line = Line::start().await;
        let via = line.via(fee(MSAT), DELTA).await;
        let other = line.open(&line.bob, &line.carol, SMALLER).await;
        line.bob.close(line.second, false).await;
        line.bob
            .channel_where(line.second, "that closes", |channel| {
                channel.phase != daemon::rpc::model::channel::ChannelPhase::Open
            })
            .await;
        let (hash, status) = line.pay_by(MSAT, via).await;
        assert!(matches!(status, PaymentStatus::Succeeded { .. }), "{status:?}");
        let forward = line.newest(hash).await;
        assert_eq!(forward.outgoing.expect("out").id, Some(other));
    })
    .await;
}
