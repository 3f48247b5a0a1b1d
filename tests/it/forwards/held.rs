//! What a program holds: it waits, also over a restart, and goes on, comes back or is taken by a word.

use daemon::rpc::model::forward::{ForwardFailure, ForwardState, Interception};
use daemon::rpc::model::payment::PaymentStatus;
use daemon::rpc::node_api::NodeApi as _;
use daemon::switch::hold::{Ask, GIVE_BACK_BLOCKS, Held, NoHold, Verdict};
use tokio::sync::oneshot;
use wire::id::Preimage;
use wire::onion::failure::code;

use super::line::{DELTA, Line, failure, fee};
use crate::nodes::pair::in_time;

/// What is paid.
const MSAT: u64 = 10_000_000;

async fn listen(line: &Line) -> Interception {
    line.bob.handle().intercept().await.expect("somebody may listen")
}

async fn next(desk: &mut Interception) -> Held {
    tokio::time::timeout(std::time::Duration::from_secs(120), desk.held.recv())
        .await
        .expect("in time")
        .expect("the node runs")
}

async fn say(desk: &Interception, held: &Held, verdict: Verdict) -> Result<(), NoHold> {
    let (reply, answer) = oneshot::channel();
    let (listener, channel, htlc) = (desk.listener, held.channel, held.htlc);
    let ask = Ask::Answer { listener, channel, htlc, verdict, reply };
    desk.answers.send(ask).await.expect("the node runs");
    answer.await.expect("an answer")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_held_payment_waits_for_a_word_and_does_what_it_says() {
    in_time(async {
        let line = Line::start().await;
        let mut desk = listen(&line).await;
        let via = line.via(fee(MSAT), DELTA).await;

        let hash = line.begin(MSAT, via).await;
        let held = next(&mut desk).await;
        assert_eq!((held.hash, held.amount.to_u64()), (hash, MSAT + fee(MSAT)));
        assert_eq!(held.until.0 + GIVE_BACK_BLOCKS, held.cltv_expiry.0);
        assert_eq!(say(&desk, &held, Verdict::Accept).await, Ok(()));
        assert!(matches!(line.alice.outcome(hash).await, PaymentStatus::Succeeded { .. }));
        assert_eq!(say(&desk, &held, Verdict::Accept).await, Err(NoHold::Unknown));

        let hash = line.begin(MSAT, via).await;
        let held = next(&mut desk).await;
        assert_eq!(say(&desk, &held, Verdict::Fail(1)).await, Err(NoHold::BadCode));
        let word = Verdict::Fail(code::UNKNOWN_NEXT_PEER);
        assert_eq!(say(&desk, &held, word).await, Ok(()));
        let status = line.alice.outcome(hash).await;
        assert_eq!(failure(&status), (code::UNKNOWN_NEXT_PEER, line.bob.id()));

        // Whoever knows the preimage can take it without anybody behind.
        let hash = line.begin(MSAT, via).await;
        let held = next(&mut desk).await;
        let wrong = say(&desk, &held, Verdict::Settle(Preimage([9; 32]))).await;
        assert_eq!(wrong, Err(NoHold::WrongPreimage));
        let invoice = line.carol.handle().invoice(hash).await.expect("carol's");
        assert_eq!(
            say(&desk, &held, Verdict::Settle(invoice.preimage.expect("carol's"))).await,
            Ok(())
        );
        assert!(matches!(line.alice.outcome(hash).await, PaymentStatus::Succeeded { .. }));
        assert_eq!(line.carol.settled(hash).await, None);
        assert_eq!(line.newest(hash).await.state, ForwardState::Taken);
        line.quiet().await;
        let sums = line.bob.handle().info().await.expect("answers").forwarded;
        assert_eq!((sums.settled, sums.failed, sums.fees_msat), (1, 1, fee(MSAT)));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c33_what_is_held_is_held_after_a_restart_and_given_back_before_it_expires() {
    in_time(async {
        let mut line = Line::start().await;
        let mut desk = listen(&line).await;
        let via = line.via(fee(MSAT), DELTA).await;
        let (first, second) = (line.begin(MSAT, via).await, line.begin(MSAT, via).await);
        let mut hashes = vec![next(&mut desk).await.hash, next(&mut desk).await.hash];
        hashes.sort();
        let mut wanted = vec![first, second];
        wanted.sort();
        assert_eq!(hashes, wanted);
        drop(desk);

        line.bob = line.bob.crash_and_restart().await;
        line.alice.connect(line.bob.id(), line.bob.address()).await;
        line.alice.usable(line.first).await;
        line.bob.usable(line.second).await;
        let is_held = |all: &[daemon::rpc::model::forward::Forward]| {
            all.iter().all(|one| one.state == ForwardState::Held) && all.len() == 2
        };
        line.told("both to be held", is_held).await;
        let mut desk = listen(&line).await;
        let held = [next(&mut desk).await, next(&mut desk).await];
        assert_eq!(say(&desk, &held[0], Verdict::Accept).await, Ok(()));
        let status = line.alice.outcome(held[0].hash).await;
        assert!(matches!(status, PaymentStatus::Succeeded { .. }), "{status:?}");

        // Nobody says a word about the other one.
        let height = line.layer1.height().await;
        line.mine(held[1].until.0 - height).await;
        let status = line.alice.outcome(held[1].hash).await;
        assert_eq!(failure(&status), (code::TEMPORARY_CHANNEL_FAILURE, line.bob.id()));
        let forward = line.newest(held[1].hash);
        let refused = ForwardFailure::Refused(code::TEMPORARY_CHANNEL_FAILURE);
        let _either_came_first = forward;
        let ended = |all: &[daemon::rpc::model::forward::Forward]| {
            all.iter().any(|one| one.state == ForwardState::Failed(refused))
                && all.iter().any(|one| one.state == ForwardState::Settled)
        };
        line.told("both ends", ended).await;
        line.quiet().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_must_ask_lets_nothing_pass_while_nobody_listens() {
    in_time(async {
        let line = Line::with(&[("forwarding.intercept", "true")]).await;
        let via = line.via(fee(MSAT), DELTA).await;
        let hash = line.begin(MSAT, via).await;
        let is_held = |all: &[daemon::rpc::model::forward::Forward]| {
            all.first().is_some_and(|one| one.state == ForwardState::Held)
        };
        line.told("it to be held", is_held).await;
        let mut old = listen(&line).await;
        let held = next(&mut old).await;
        let mut desk = listen(&line).await;
        assert_eq!(next(&mut desk).await, held, "whoever listens anew hears of it");
        assert_eq!(say(&old, &held, Verdict::Accept).await, Err(NoHold::Replaced));
        assert_eq!(say(&desk, &held, Verdict::Accept).await, Ok(()));
        assert!(matches!(line.alice.outcome(hash).await, PaymentStatus::Succeeded { .. }));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_word_that_was_given_is_done_after_a_crash_and_nobody_is_asked_again() {
    in_time(async {
        let mut line = Line::with(&[("forwarding.intercept", "true")]).await;
        let mut before = line.bob.handle().info().await.expect("answers").forwarded;
        for verdict in ["accept", "fail", "settle"] {
            let via = line.via(fee(MSAT), DELTA).await;
            let hash = line.begin(MSAT, via).await;
            let mut desk = listen(&line).await;
            let held = next(&mut desk).await;
            assert_eq!(held.hash, hash, "{verdict}");
            let word = match verdict {
                "accept" => Verdict::Accept,
                "fail" => Verdict::Fail(code::UNKNOWN_NEXT_PEER),
                _ => {
                    let invoice = line.carol.handle().invoice(hash).await.expect("carol's");
                    Verdict::Settle(invoice.preimage.expect("carol's"))
                }
            };
            let is_held = |all: &[daemon::rpc::model::forward::Forward]| {
                all.iter().any(|one| one.hash == hash && one.state == ForwardState::Held)
            };
            line.told("it to be held on the disk", is_held).await;
            // The word is durable, and nothing that follows from it.
            line.bob.fail_after(1);
            let (reply, _nobody) = oneshot::channel();
            let (listener, channel, htlc) = (desk.listener, held.channel, held.htlc);
            let ask = Ask::Answer { listener, channel, htlc, verdict: word, reply };
            desk.answers.send(ask).await.expect("the node runs");
            let failed = || async { line.bob.has_failed().then_some(()) };
            viaduct_tests::until::until_async("the disk to fail", String::new, failed).await;
            drop(desk);
            line.bob = line.bob.crash_and_restart().await;
            let mut desk = listen(&line).await;
            line.alice.connect(line.bob.id(), line.bob.address()).await;
            line.carol.connect(line.bob.id(), line.bob.address()).await;
            line.alice.usable(line.first).await;
            line.bob.usable(line.second).await;

            let status = line.alice.outcome(hash).await;
            let newest = line.newest(hash).await.state;
            match verdict {
                "fail" => {
                    assert_eq!(failure(&status), (code::UNKNOWN_NEXT_PEER, line.bob.id()));
                    let refused = ForwardFailure::Refused(code::UNKNOWN_NEXT_PEER);
                    assert_eq!(newest, ForwardState::Failed(refused));
                }
                // By the usual rules: while carol is not back there is nobody to take it.
                "accept" if !matches!(status, PaymentStatus::Succeeded { .. }) => {
                    let nowhere = (code::TEMPORARY_CHANNEL_FAILURE, line.bob.id());
                    assert_eq!(failure(&status), nowhere);
                }
                _ => assert!(matches!(status, PaymentStatus::Succeeded { .. }), "{status:?}"),
            }
            if verdict == "settle" {
                assert_eq!(newest, ForwardState::Taken);
                assert_eq!(line.carol.settled(hash).await, None);
            }
            assert!(desk.held.try_recv().is_err(), "{verdict}: asked a second time");
            line.quiet().await;
            let sums = line.bob.handle().info().await.expect("answers").forwarded;
            let counted = (sums.settled - before.settled, sums.failed - before.failed);
            let arrived = matches!(status, PaymentStatus::Succeeded { .. });
            let once = match verdict {
                "settle" => (0, 0),
                _ => (u64::from(arrived), u64::from(!arrived)),
            };
            assert_eq!(counted, once, "{verdict}");
            before = sums;
        }
    })
    .await;
}
