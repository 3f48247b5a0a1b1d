//! Calls that answer for a while: payments, opens, closes, events; re-attaching; the server's end.

use api::v1;
use bitcoin::Amount;
use tonic::{Code, Streaming};

use super::paper::{Asked, PREIMAGE, a_channel, a_closing, a_payment, peer_id};
use super::*;
use crate::rpc::model::channel::{ChannelPhase, CloseHow, CloseStage, Closing};
use crate::rpc::model::payment::{PaymentFailure, PaymentStatus};
use crate::rpc::model::wallet::Coins;

async fn next<T>(stream: &mut Streaming<T>) -> Option<T> {
    soon(stream.message()).await.unwrap()
}

fn pay(invoice: &str) -> v1::PayRequest {
    v1::PayRequest { invoice: invoice.into(), ..Default::default() }
}

#[tokio::test]
async fn a_payment_is_followed_dropped_and_taken_up_again_until_its_proof() {
    let (node, mut strings) = PaperNode::new();
    let served = Served::start(node).await;
    let mut payments = served.admin().await.payments();
    let mut stream = soon(payments.pay(pay("lnbcrt1"))).await.unwrap().into_inner();
    let first = next(&mut stream).await.unwrap();
    assert_eq!(first.status(), v1::PaymentStatus::InFlight);
    assert_eq!((first.attempts.len(), first.attempts[0].hops.len()), (1, 1));
    let Some(Asked::Pay(order)) = strings.asked.recv().await else { panic!("pay") };
    assert_eq!((order.key, order.timeout_ms), (None, 60_000));
    drop(stream);

    let hash = PREIMAGE.hash().to_string();
    let watch = v1::WatchPaymentRequest { payment_hash: hash };
    let mut stream = soon(payments.watch(watch)).await.unwrap().into_inner();
    assert_eq!(next(&mut stream).await.unwrap().status(), v1::PaymentStatus::InFlight);
    let status = PaymentStatus::Succeeded { preimage: PREIMAGE };
    strings.payment.send_modify(|payment| payment.status = status);
    let last = next(&mut stream).await.unwrap();
    assert_eq!(last.preimage, Some(PREIMAGE.to_string()));
    // The stream ends with the final snapshot, though the node would go on.
    assert_eq!(next(&mut stream).await, None);
}

#[tokio::test]
async fn every_failure_of_a_payment_has_a_reason_of_the_public_list() {
    let failures = [
        (PaymentFailure::UnknownByPayee { height: None }, "PAYEE_REFUSED", Some(0x400f)),
        (PaymentFailure::PayeeTimedOut, "PAYEE_REFUSED", Some(23)),
        (
            PaymentFailure::FailedOnTheWay { code: 0x1007, by: peer_id(4) },
            "ROUTE_FAILED",
            Some(0x1007),
        ),
        (PaymentFailure::Unreadable, "ROUTE_FAILED", None),
        (PaymentFailure::NoRoute, "NO_ROUTE", None),
        (PaymentFailure::ShortOfCapacity, "BALANCE_INSUFFICIENT", None),
        (PaymentFailure::TimedOut, "PAYMENT_TIMED_OUT", None),
        (PaymentFailure::ExpiredOnChain, "PAYMENT_EXPIRED", None),
        (PaymentFailure::ChannelClosed, "CHANNEL_NOT_OPEN", None),
        (PaymentFailure::NeverSent, "NODE_STOPPING", None),
    ];
    for (failure, reason, code) in failures {
        let mut payment = a_payment(1);
        payment.status = PaymentStatus::Failed(failure);
        let shown = crate::rpc::payments::payment(payment).failure.unwrap();
        assert_eq!((shown.reason.as_str(), shown.onion_code), (reason, code));
        assert!(shown.reason.parse::<api::reason::Reason>().is_ok() && !shown.detail.is_empty());
    }
}

#[tokio::test]
async fn a_failed_call_to_pay_says_whether_a_payment_was_started() {
    let served = Served::start(PaperNode::new().0).await;
    let mut payments = served.admin().await.payments();
    let refused = report(soon(payments.pay(pay("expired"))).await);
    assert_eq!((refused.code, refused.payment_started), (Code::FailedPrecondition, Some(false)));
    assert_eq!(refused.message, "the invoice expired 12 s ago");
    assert_eq!(report(soon(payments.pay(pay(""))).await).payment_started, Some(false));
    let crashed = report(soon(payments.pay(pay("crash"))).await);
    assert_eq!((crashed.code, crashed.payment_started), (Code::Internal, Some(true)));
}

#[tokio::test]
async fn an_open_is_told_stage_by_stage() {
    let (node, mut strings) = PaperNode::new();
    let stage = |phase| {
        let mut channel = a_channel(1);
        channel.phase = phase;
        channel
    };
    strings.channel.send_replace(stage(ChannelPhase::Negotiating));
    let served = Served::start(node).await;
    let ask = v1::OpenChannelRequest {
        node_id: peer_id(2).to_string(),
        amount: Some(v1::open_channel_request::Amount::AmountSat(1_000_000)),
        ..Default::default()
    };
    let mut channels = served.admin().await.channels();
    let mut stream = soon(channels.open(ask)).await.unwrap().into_inner();
    let first = next(&mut stream).await.unwrap();
    assert_eq!((first.stage(), first.channel.is_some()), (v1::OpenStage::Negotiating, false));
    for (phase, expected) in [
        (ChannelPhase::Negotiated, v1::OpenStage::Negotiated),
        (ChannelPhase::AwaitingDepth, v1::OpenStage::Broadcast),
        (ChannelPhase::AwaitingPeer, v1::OpenStage::Confirmed),
        (ChannelPhase::Open, v1::OpenStage::Ready),
    ] {
        strings.channel.send_replace(stage(phase));
        let progress = next(&mut stream).await.unwrap();
        assert_eq!(progress.stage(), expected);
        assert_eq!((progress.funding_fee_sat, progress.wallet_spendable_sat), (154, 85_000));
    }
    assert_eq!(next(&mut stream).await, None);
    let Some(Asked::Open(order)) = strings.asked.recv().await else { panic!("open") };
    assert_eq!(order.coins, Coins::Exactly(Amount::from_sat(1_000_000)));
}

#[tokio::test]
async fn an_open_that_fails_ends_with_the_reason() {
    let (node, strings) = PaperNode::new();
    strings.channel.send_modify(|channel| {
        channel.phase = ChannelPhase::Failed;
        channel.why = Some("the funding output was never signed".into());
    });
    let served = Served::start(node).await;
    let ask = v1::OpenChannelRequest {
        node_id: peer_id(2).to_string(),
        amount: Some(v1::open_channel_request::Amount::All(true)),
        ..Default::default()
    };
    let mut stream = soon(served.admin().await.channels().open(ask)).await.unwrap().into_inner();
    let refused = report(soon(stream.message()).await);
    assert_eq!(refused.reason.unwrap().name(), "CHANNEL_OPEN_FAILED");
    assert!(refused.message.contains("never signed"), "{}", refused.message);
}

#[tokio::test]
async fn a_close_is_told_until_everything_is_back() {
    let (node, mut strings) = PaperNode::new();
    strings.channel.send_modify(|channel| channel.phase = ChannelPhase::ShuttingDown);
    let served = Served::start(node).await;
    let ask = v1::CloseChannelRequest { channel_id: "101x1x0".into(), ..Default::default() };
    let mut stream = soon(served.admin().await.channels().close(ask)).await.unwrap().into_inner();
    assert_eq!(next(&mut stream).await.unwrap().stage(), v1::CloseStage::Negotiating);
    strings.channel.send_modify(|channel| {
        channel.phase = ChannelPhase::Closing;
        channel.closing = Some(a_closing(CloseStage::Broadcast));
    });
    let out = next(&mut stream).await.unwrap();
    assert_eq!((out.stage(), out.kind()), (v1::CloseStage::Broadcast, v1::CloseKind::Cooperative));
    strings.channel.send_modify(|channel| {
        channel.phase = ChannelPhase::Closed;
        channel.closing = Some(Closing { depth: 1, ..a_closing(CloseStage::Done) });
    });
    assert_eq!(next(&mut stream).await.unwrap().stage(), v1::CloseStage::Done);
    assert_eq!(next(&mut stream).await, None);
    let Some(Asked::Close(order)) = strings.asked.recv().await else { panic!("close") };
    assert_eq!(order.how, CloseHow::Cooperative { to: None, feerate: None });
}

#[tokio::test]
async fn an_invoice_is_watched_until_it_is_settled() {
    let served = Served::start(PaperNode::new().0).await;
    let watch = v1::WatchInvoiceRequest { payment_hash: PREIMAGE.hash().to_string() };
    let mut stream = soon(served.admin().await.invoices().watch(watch)).await.unwrap().into_inner();
    let mut seen = Vec::new();
    while let Some(invoice) = next(&mut stream).await {
        seen.push(invoice.status());
    }
    assert_eq!(seen, [v1::InvoiceStatus::Open, v1::InvoiceStatus::Settled]);
}

#[tokio::test]
async fn events_come_from_where_the_reader_was() {
    let served = Served::start(PaperNode::new().0).await;
    let mut events = served.admin().await.events();
    let ask = |after_seq, kinds| v1::SubscribeRequest { after_seq, kinds };
    let mut stream = soon(events.subscribe(ask(Some(20), Vec::new()))).await.unwrap().into_inner();
    for seq in [30, 40, 50] {
        assert_eq!(next(&mut stream).await.unwrap().seq, seq);
    }
    let slow = report(soon(stream.message()).await);
    assert_eq!((slow.code, slow.metadata["last_seq"].as_str()), (Code::OutOfRange, "50"));
    assert_eq!(slow.reason.unwrap().name(), "SUBSCRIBER_TOO_SLOW");

    let peers = vec![v1::EventKind::Peer.into()];
    let mut stream = soon(events.subscribe(ask(Some(0), peers))).await.unwrap().into_inner();
    assert!(soon(stream.message()).await.is_err(), "no event of that kind");
    assert_eq!(reason(soon(events.subscribe(ask(Some(99), Vec::new()))).await), "FIELD_INVALID");
    assert_eq!(reason(soon(events.subscribe(ask(None, vec![77]))).await), "FIELD_INVALID");
}

#[tokio::test]
async fn when_the_node_stops_streams_end_with_a_word_and_the_server_is_gone() {
    let (node, _strings) = PaperNode::new();
    let served = Served::start(node).await;
    let mut payments = served.admin().await.payments();
    let mut stream = soon(payments.pay(pay("lnbcrt1"))).await.unwrap().into_inner();
    assert!(next(&mut stream).await.is_some());
    served.stop.cancel();
    let last = report(soon(stream.message()).await);
    assert_eq!(last.reason.unwrap().name(), "NODE_STOPPING");
    tokio::time::timeout(Duration::from_secs(4), served.server).await.unwrap().unwrap().unwrap();
}
