//! What users ask in vain: each refusal says why, with numbers, and moves no money.

use std::time::Duration;

use bitcoin::Amount;
use bitcoin::hashes::{Hash as _, sha256};
use daemon::fact::CancelReason;
use daemon::rpc::model::channel::OpenChannel;
use daemon::rpc::model::invoice::InvoiceState;
use daemon::rpc::model::payment::{PaymentFailure, PaymentStatus};
use daemon::rpc::model::peer::ConnectPeer;
use daemon::rpc::model::wallet::Coins;
use daemon::rpc::node_api::NodeApi as _;
use daemon::rpc::refusal::{Refusal, Unreachable};
use lightning_invoice::{Currency, InvoiceBuilder, PaymentSecret};
use secp256k1::{PublicKey, SECP256K1, SecretKey};
use viaduct_tests::layer1::unix_now;
use viaduct_tests::until::until_async;
use wire::id::NodeId;
use wire::units::Msat;

use super::pair::{CAPACITY, COIN, Pair, in_time, pay, pay_order, pay_some};

/// An invoice of nobody in particular.
fn foreign_invoice(currency: Currency) -> String {
    let key = SecretKey::from_slice(&[42; 32]).unwrap();
    let invoice = InvoiceBuilder::new(currency)
        .description("elsewhere".to_owned())
        .payment_hash(sha256::Hash::hash(&[1]))
        .payment_secret(PaymentSecret([2; 32]))
        .amount_milli_satoshis(1_000_000)
        .duration_since_epoch(Duration::from_secs(u64::from(unix_now())))
        .min_final_cltv_expiry_delta(42)
        .build_signed(|digest| SECP256K1.sign_ecdsa_recoverable(digest, &key));
    invoice.unwrap().to_string()
}

fn open_order(pair: &Pair, sat: u64) -> OpenChannel {
    OpenChannel {
        key: None,
        node: pair.bob.id(),
        address: Some(pair.bob.address().to_string()),
        coins: Coins::Exactly(Amount::from_sat(sat)),
        push: Msat::ZERO,
        feerate: None,
        to_self_delay: None,
        announce: false,
        kind: channel::Kind::default(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invoices_that_cannot_be_paid_are_refused_with_the_reason_and_nothing_moves() {
    in_time(async {
        let (pair, id) = Pair::with_channel().await;
        let alice = pair.alice.handle();
        let refused = |invoice: String| async move {
            pay(alice, pay_order(&invoice)).await.expect_err("refused")
        };

        let wrong = refused(foreign_invoice(Currency::Bitcoin)).await;
        assert!(matches!(wrong, Refusal::InvoiceWrongNetwork { .. }), "{wrong}");
        let nowhere = refused(foreign_invoice(Currency::Regtest)).await;
        assert!(matches!(nowhere, Refusal::NoRoute { .. }), "{nowhere}");
        let (own, _) = pair.alice.create_invoice(Some(5_000), 3_600).await;
        let own = refused(own).await;
        assert!(matches!(own, Refusal::Ourselves { .. } | Refusal::InvoiceOurs { .. }), "{own}");
        let (open_amount, hash) = pair.bob.create_invoice(None, 3_600).await;
        assert_eq!(refused(open_amount.clone()).await, Refusal::AmountMissing);

        // With an amount it is paid, and what arrived is what was given.
        let mut order = pay_order(&open_amount);
        order.amount = Msat::new(7_000_001);
        assert!(matches!(pay(alice, order).await, Ok((true, PaymentStatus::Succeeded { .. }))));
        assert_eq!(pair.bob.settled(hash).await, Some(7_000_001));

        let (invoice, _) = pair.bob.create_invoice(Some(50_000), 3_600).await;
        let mut order = pay_order(&invoice);
        order.amount = Msat::new(49_999);
        let mismatch = pay(alice, order).await.expect_err("refused");
        assert_eq!(
            mismatch,
            Refusal::AmountMismatch {
                invoice: Msat::new(50_000).unwrap(),
                given: Msat::new(49_999).unwrap(),
            }
        );
        for garbage in ["", "lnbcrt", "lnbcrt1", "hello", &"q".repeat(100_000), &invoice[1..]] {
            let refusal = refused(garbage.to_owned()).await;
            assert!(matches!(refusal, Refusal::BadInvoice { .. }), "{garbage:.20}: {refusal}");
        }
        assert_eq!(pair.agree(id).await.theirs, Msat::new(7_000_001).unwrap());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invoice_with_any_one_character_changed_is_refused() {
    in_time(async {
        let pair = Pair::start(&[]).await;
        let (invoice, _) = pair.bob.create_invoice(Some(50_000_000), 3_600).await;
        assert!(pair.alice.handle().decode_invoice(invoice.clone()).await.is_ok());
        for place in 0..invoice.len() {
            let mut tampered = invoice.clone().into_bytes();
            tampered[place] = if tampered[place] == b'q' { b'p' } else { b'q' };
            let tampered = String::from_utf8(tampered).unwrap();
            let refusal = pair.alice.handle().decode_invoice(tampered).await;
            assert!(matches!(refusal, Err(Refusal::BadInvoice { .. })), "place {place}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invoice_that_expired_or_was_cancelled_is_not_paid() {
    in_time(async {
        let (pair, id) = Pair::with_channel().await;
        let (expired, hash) = pair.bob.create_invoice(Some(60_000), 1).await;
        until_async("the invoice to expire", String::new, || async {
            let state = pair.bob.handle().invoice(hash).await.expect("known").state;
            (state == InvoiceState::Expired).then_some(())
        })
        .await;
        let refusal = pay(pair.alice.handle(), pay_order(&expired)).await.expect_err("refused");
        assert!(matches!(refusal, Refusal::InvoiceExpired { .. }), "{refusal}");

        let (cancelled, hash) = pair.bob.create_invoice(Some(60_000), 3_600).await;
        let shown = pair.bob.handle().cancel_invoice(hash).await.unwrap();
        assert_eq!(shown.state, InvoiceState::Cancelled { why: CancelReason::Asked });
        let (_, status) = pay(pair.alice.handle(), pay_order(&cancelled)).await.unwrap();
        assert!(
            matches!(status, PaymentStatus::Failed(PaymentFailure::UnknownByPayee { .. })),
            "{status:?}"
        );
        // A settled one cannot be taken back.
        let paid = pay_some(&pair.alice, &pair.bob, 70_000).await;
        let refusal = pair.bob.handle().cancel_invoice(paid).await.expect_err("refused");
        assert_eq!(refusal, Refusal::InvoiceState { hash: paid, state: "settled" });
        assert_eq!(pair.agree(id).await.theirs, Msat::new(70_000).unwrap());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_that_can_be_sent_can_be_sent_and_one_more_is_refused_with_numbers() {
    in_time(async {
        let (pair, id) = Pair::with_channel().await;
        // Back and forth at the edge: each side empties itself to the last millisatoshi it may send.
        for turn in 0..4 {
            let (from, to) =
                if turn % 2 == 0 { (&pair.alice, &pair.bob) } else { (&pair.bob, &pair.alice) };
            pair.agree(id).await;
            let can_send = super::pair::find(from, id).await.can_send.to_u64();
            assert!(can_send > 0);
            let (invoice, _) = to.create_invoice(Some(can_send + 1), 3_600).await;
            let refusal = pay(from.handle(), pay_order(&invoice)).await.expect_err("refused");
            let Refusal::ShortOfCapacity { need, can_send: told, .. } = refusal else {
                panic!("{refusal}")
            };
            assert_eq!((need.to_u64(), told.to_u64()), (can_send + 1, can_send));
            pay_some(from, to, can_send).await;
        }
        pair.close_together(&pair.alice, id).await;
        pair.account(0).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_is_away_is_named_and_nothing_is_sent() {
    in_time(async {
        let (pair, id) = Pair::with_channel().await;
        let (invoice, hash) = pair.bob.create_invoice(Some(60_000), 3_600).await;
        let Pair { layer1: _layer1, alice, bob, dir: _dir, .. } = pair;
        let (bob_id, bob_address) = (bob.id(), bob.address());
        bob.stop().await;
        alice
            .channel_where(id, "without link", |channel| {
                channel.link == daemon::rpc::model::channel::Link::Down
            })
            .await;
        let refusal = pay(alice.handle(), pay_order(&invoice)).await.expect_err("refused");
        assert_eq!(refusal, Refusal::PeerNotConnected { node: bob_id });
        assert!(alice.handle().payment(hash).await.is_err(), "nothing was begun");
        let order = daemon::rpc::model::channel::CloseChannel {
            key: None,
            channel: daemon::rpc::model::channel::ChannelRef::Id(id),
            how: daemon::rpc::model::channel::CloseHow::Cooperative { to: None, feerate: None },
        };
        let refusal = alice.handle().close_channel(order).await.expect_err("refused");
        assert!(matches!(refusal, Refusal::CloseNeedsPeer { to_self_delay: 144, .. }), "{refusal}");

        // Nobody listens there any more; elsewhere somebody with another key does.
        let connect = |node: NodeId, address: String| {
            alice.handle().connect_peer(ConnectPeer {
                node,
                address: Some(address),
                timeout_ms: 5_000,
            })
        };
        let stranger = SecretKey::from_slice(&[9; 32]).unwrap();
        let stranger = NodeId(PublicKey::from_secret_key(SECP256K1, &stranger).serialize());
        let refusal = connect(stranger, bob_address.to_string()).await.expect_err("refused");
        let Refusal::PeerUnreachable { why, .. } = &refusal else { panic!("{refusal}") };
        assert_eq!(*why, Unreachable::ConnectionRefused);
        let refusal = connect(stranger, alice.address().to_string()).await.expect_err("refused");
        let Refusal::PeerUnreachable { why, .. } = &refusal else { panic!("{refusal}") };
        assert!(matches!(why, Unreachable::WrongKey | Unreachable::Broken), "{refusal}");
        let refusal = connect(stranger, "no.such.host.invalid:9735".to_owned()).await;
        let refusal = refusal.expect_err("refused");
        assert!(matches!(refusal, Refusal::PeerUnreachable { .. }), "{refusal}");
        let refusal = connect(alice.id(), alice.address().to_string()).await.expect_err("refused");
        assert!(matches!(refusal, Refusal::Ourselves { .. }), "{refusal}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn opens_that_cannot_be_are_refused_with_numbers_and_promise_no_coin() {
    in_time(async {
        let pair = Pair::start(&[]).await;
        let open = |order: OpenChannel| async {
            pair.alice.handle().open_channel(order).await.map(drop).expect_err("refused")
        };
        let refusal = open(open_order(&pair, COIN + 1)).await;
        let Refusal::ShortOfFunds(short) = refusal else { panic!("{refusal}") };
        assert!(short.need > Amount::from_sat(COIN + 1));
        assert!(short.spendable <= Amount::from_sat(COIN));
        assert_eq!(short.missing(), short.need - short.spendable);
        let refusal = open(open_order(&pair, 19_999)).await;
        let min = Amount::from_sat(20_000);
        assert_eq!(refusal, Refusal::FundingTooSmall { amount: Amount::from_sat(19_999), min });
        let mut order = open_order(&pair, 100_000);
        order.push = Msat::new(100_000_001).unwrap();
        assert!(matches!(open(order).await, Refusal::PushTooLarge { .. }));
        // All may be given away but for fees and reserve, which the channel itself refuses.
        let mut order = open_order(&pair, 100_000);
        order.push = Msat::new(100_000_000).unwrap();
        let refusal = open(order).await;
        assert!(
            matches!(refusal, Refusal::OpenFailed { .. } | Refusal::PushTooLarge { .. }),
            "{refusal}"
        );
        let mut order = open_order(&pair, 100_000);
        order.node = pair.alice.id();
        assert!(matches!(open(order).await, Refusal::Ourselves { .. }));

        let balance = pair.alice.balance().await;
        assert_eq!((balance.confirmed, balance.promised), (Amount::from_sat(COIN), Amount::ZERO));
        let never = pair.alice.channels().await;
        assert!(never.is_empty(), "{never:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_open_while_one_is_in_flight_is_refused_and_the_first_goes_on() {
    in_time(async {
        let pair = Pair::start(&[]).await;
        pair.alice.connect(pair.bob.id(), pair.bob.address()).await;
        let (first, second) = tokio::join!(
            pair.alice.handle().open_channel(open_order(&pair, CAPACITY)),
            pair.alice.handle().open_channel(open_order(&pair, CAPACITY)),
        );
        let refusal = match (first, second) {
            (Ok(_), Err(refusal)) | (Err(refusal), Ok(_)) => refusal,
            (one, two) => panic!("{one:?} {two:?}"),
        };
        assert!(matches!(refusal, Refusal::OpenInFlight { .. }), "{refusal}");
        let waiting = pair.layer1.mempool_of(1).await;
        assert_eq!(waiting.len(), 1);
        pair.mine(1).await;
        let id = pair.alice.channels().await.remove(0).id;
        pair.usable(id).await;
        pay_some(&pair.alice, &pair.bob, 1_000_000).await;
    })
    .await;
}
