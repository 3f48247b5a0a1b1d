//! Peers with a channel who cheat in the protocol: the channel ends, the money comes back, others live on.

use bitcoin::Amount;
use daemon::rpc::model::channel::ChannelPhase;
use daemon::rpc::model::payment::PaymentStatus;
use daemon::rpc::node_api::NodeApi as _;
use viaduct_tests::until::until_async;
use wire::id::{ChannelId, Preimage, Signature};
use wire::message::{Error, Message, UpdateFulfillHtlc};

use super::rogue::{Part, Rogue, Twist, order, rogue_id};
use crate::nodes::pair::{COIN, Pair, find, in_time, pay_order, pay_some};

const SAT: u64 = 1_000_000;

/// Alice with an honest channel to bob and another to a rogue.
async fn table(byte: u8) -> (Pair, ChannelId, Rogue) {
    let (pair, honest) = Pair::with_channel().await;
    let rogue = Rogue::with_channel(&pair.alice, &pair.layer1, byte, SAT).await;
    (pair, honest, rogue)
}

/// Alice closes the rogue's channel alone, says why, gets her part back; her other channel works.
async fn is_closed_alone(pair: &Pair, honest: ChannelId, bad: ChannelId) {
    let funding = find(&pair.alice, bad).await.funding.expect("funded");
    let commitment = pair.layer1.spend_seen(funding).await;
    let why = find(&pair.alice, bad).await.why;
    assert!(why.is_some_and(|why| !why.is_empty()), "the user is told why");
    pair.usable(honest).await;
    pay_some(&pair.alice, &pair.bob, 30_000_000).await;
    pay_some(&pair.bob, &pair.alice, 1_000_000).await;
    pair.mine(1).await;
    // An HTLC on our commitment comes back in two steps, each with its delay.
    for _ in 0..80 {
        if find(&pair.alice, bad).await.phase == ChannelPhase::Closed {
            break;
        }
        pair.mine(10).await;
    }
    assert_eq!(find(&pair.alice, bad).await.phase, ChannelPhase::Closed);
    // What is left of it is the rogue's.
    let left = pair.layer1.unspent_of(&commitment).await;
    let rogues: u64 = left.iter().map(|(_, output)| output.value.to_sat()).sum();
    assert!(rogues <= SAT / 2 + 660, "{left:?}");
    pair.close_together(&pair.alice, honest).await;
    pair.account(rogues).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commitment_signature_that_signs_nothing_ends_the_channel_and_no_other() {
    in_time(async {
        let (pair, honest, mut rogue) = table(31).await;
        let bad = rogue.id();
        rogue.twist = Box::new(|message| match message {
            Message::CommitmentSigned(mut signed) => {
                signed.signature = Signature([7; 64]);
                Some(signed.into())
            }
            other => Some(other),
        });
        let (invoice, hash) = pair.alice.create_invoice(Some(5_000_000), 3_600).await;
        let height = pair.layer1.height().await;
        rogue.offer(&pair.alice, Part::of(&invoice, 5_000_000, 5_000_000, height)).await;
        rogue.pump("a complaint", |rogue| !rogue.complaints.is_empty()).await;
        assert_eq!(pair.alice.settled(hash).await, None);
        is_closed_alone(&pair, honest, bad).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_that_reveals_nothing_ends_the_channel_and_no_other() {
    in_time(async {
        let (pair, honest, mut rogue) = table(32).await;
        let bad = rogue.id();
        rogue.twist = Box::new(|message| match message {
            Message::RevokeAndAck(mut revoked) => {
                revoked.per_commitment_secret = [3; 32];
                Some(revoked.into())
            }
            other => Some(other),
        });
        let (invoice, _) = pair.alice.create_invoice(Some(5_000_000), 3_600).await;
        let height = pair.layer1.height().await;
        rogue.offer(&pair.alice, Part::of(&invoice, 5_000_000, 5_000_000, height)).await;
        rogue.pump("a complaint", |rogue| !rogue.complaints.is_empty()).await;
        is_closed_alone(&pair, honest, bad).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_for_all_channels_ends_those_with_the_one_who_says_it_and_no_other() {
    in_time(async {
        let (pair, honest, mut rogue) = table(33).await;
        let bad = rogue.id();
        let error = Error { channel_id: ChannelId::ALL, data: b"we are \x07 through".to_vec() };
        rogue.line.say(&error.into()).await;
        is_closed_alone(&pair, honest, bad).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_false_preimage_pays_nothing() {
    in_time(async {
        let (pair, honest, mut rogue) = table(34).await;
        let bad = rogue.id();
        // A payment to the rogue: an invoice in its name.
        let invoice = invoice_of(34, 7_000_000);
        let handle = pair.alice.handle().clone();
        let order = pay_order(&invoice);
        let started = handle.pay(order).await.expect("begun");
        let hash = handle.decode_invoice(invoice.clone()).await.unwrap().hash;
        rogue.pump("the HTLC", |rogue| rogue.channel().incoming().count() == 1).await;
        let fulfil = UpdateFulfillHtlc {
            channel_id: bad,
            id: 0,
            payment_preimage: Preimage([1; 32]),
            attribution_data: None,
        };
        rogue.line.say(&fulfil.into()).await;
        rogue.pump("a complaint", |rogue| !rogue.complaints.is_empty()).await;
        drop(started);
        let status = handle.payment(hash).await.unwrap().status;
        assert!(!matches!(status, PaymentStatus::Succeeded { .. }), "{status:?}");
        is_closed_alone(&pair, honest, bad).await;
        // The HTLC came back on Layer 1: now it is known that it never arrived.
        let status = pair.alice.outcome(hash).await;
        assert!(matches!(status, PaymentStatus::Failed(_)), "{status:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_never_answers_holds_up_its_own_payment_and_nothing_else() {
    in_time(async {
        let (pair, honest, mut rogue) = table(35).await;
        rogue.twist = Box::new(|_| None);
        let invoice = invoice_of(35, 7_000_000);
        let started = pair.alice.handle().pay(pay_order(&invoice)).await.expect("begun");
        for _ in 0..10 {
            pay_some(&pair.alice, &pair.bob, 1_000_000).await;
        }
        let hash = pair.alice.handle().decode_invoice(invoice).await.unwrap().hash;
        let status = pair.alice.handle().payment(hash).await.unwrap().status;
        assert_eq!(status, PaymentStatus::InFlight);
        // It never committed to anything; its expiry is what ends it.
        let bad = rogue.id();
        drop((started, rogue));
        pair.mine(60).await;
        is_closed_alone(&pair, honest, bad).await;
        assert!(matches!(pair.alice.outcome(hash).await, PaymentStatus::Failed(_)));
    })
    .await;
}

/// An open whose funder's peer spoils it at one message: the coins must be free again.
async fn spoiled_open(byte: u8, twist: Twist, leaves: bool) {
    let (pair, honest) = Pair::with_channel().await;
    let before = pair.alice.balance().await.confirmed;
    let mut rogue = Rogue::meet(&pair.alice, &pair.layer1, byte).await;
    rogue.twist = twist;
    let opened = pair.alice.handle().open_channel(order(rogue_id(byte), SAT)).await;
    let mut opened = opened.expect("begun").updates;
    if leaves {
        rogue.pump("the open", |rogue| rogue.asked).await;
        drop(rogue);
    } else {
        rogue.pump("a complaint", |rogue| !rogue.complaints.is_empty()).await;
        drop(rogue);
    }
    let mut last = None;
    while let Some(shown) = futures_util::StreamExt::next(&mut opened).await {
        last = shown.ok();
    }
    let last = last.expect("a last word");
    assert_eq!(last.phase, ChannelPhase::Failed, "{last:?}");
    assert!(last.why.is_some());
    until_async("the coins to be free", String::new, || async {
        (pair.alice.balance().await.promised == Amount::ZERO).then_some(())
    })
    .await;
    pair.mine(2).await;
    assert_eq!(pair.alice.balance().await.confirmed, before, "nothing was broadcast");
    assert!(before < Amount::from_sat(COIN));
    pay_some(&pair.alice, &pair.bob, 2_000_000).await;
    pair.close_together(&pair.alice, honest).await;
    pair.account(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_funding_signature_that_signs_nothing_keeps_the_coins_at_home() {
    let twist: Twist = Box::new(|message| match message {
        Message::FundingSigned(mut signed) => {
            signed.signature = Signature([9; 64]);
            Some(signed.into())
        }
        other => Some(other),
    });
    in_time(spoiled_open(41, twist, false)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn terms_that_nobody_takes_end_the_open() {
    let twist: Twist = Box::new(|message| match message {
        Message::AcceptChannel(mut accept) => {
            accept.to_self_delay = u16::MAX;
            Some((*accept).into())
        }
        other => Some(other),
    });
    in_time(spoiled_open(42, twist, false)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_leaves_in_the_middle_of_an_open_leaves_the_coins() {
    in_time(spoiled_open(43, Box::new(|_| None), true)).await;
}

/// An invoice in the name of a rogue.
pub(super) fn invoice_of(byte: u8, msat: u64) -> String {
    use bitcoin::hashes::{Hash as _, sha256};
    use lightning_invoice::{Currency, InvoiceBuilder, PaymentSecret};
    let now = std::time::Duration::from_secs(u64::from(viaduct_tests::layer1::unix_now()));
    let invoice = InvoiceBuilder::new(Currency::Regtest)
        .description("from a rogue".to_owned())
        .payment_hash(sha256::Hash::hash(&[byte, 1]))
        .payment_secret(PaymentSecret([2; 32]))
        .amount_milli_satoshis(msat)
        .duration_since_epoch(now)
        .min_final_cltv_expiry_delta(42)
        .build_signed(|digest| {
            secp256k1::SECP256K1.sign_ecdsa_recoverable(digest, &super::stranger::key(byte))
        });
    invoice.unwrap().to_string()
}
