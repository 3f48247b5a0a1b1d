//! The same invoice again: at the same moment, after a restart, by somebody else.

use bitcoin::Amount;
use daemon::rpc::model::payment::{PayOrder, PaymentFailure, PaymentStatus};
use daemon::rpc::model::{OrderKey, channel::OpenChannel, wallet::Coins};
use daemon::rpc::node_api::NodeApi as _;
use daemon::rpc::refusal::Refusal;
use viaduct_tests::ours::{OurNode, Place};
use viaduct_tests::until::until;
use wire::units::Msat;

use super::pair::{CAPACITY, Pair, in_time, pay, pay_order};

const MSAT: u64 = 12_345_678;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invoice_paid_many_times_at_once_and_after_restarts_is_paid_once() {
    in_time(async {
        let (mut pair, id) = Pair::with_channel().await;
        let (invoice, hash) = pair.bob.create_invoice(Some(MSAT), 3_600).await;
        let calls: Vec<_> = (0..16)
            .map(|_| {
                let (handle, order) = (pair.alice.handle().clone(), pay_order(&invoice));
                tokio::spawn(async move { pay(&handle, order).await })
            })
            .collect();
        let mut fresh = 0;
        let mut proofs = Vec::new();
        for call in calls {
            let (first, status) = call.await.unwrap().unwrap();
            fresh += u32::from(first);
            let PaymentStatus::Succeeded { preimage } = status else { panic!("{status:?}") };
            proofs.push(preimage);
        }
        assert_eq!(fresh, 1);
        assert!(proofs.iter().all(|proof| proof.hash() == hash));

        pair.alice = pair.alice.crash_and_restart().await;
        pair.usable(id).await;
        let again = pay(pair.alice.handle(), pay_order(&invoice)).await.unwrap();
        assert_eq!(again, (false, PaymentStatus::Succeeded { preimage: proofs[0] }));
        pair.bob = pair.bob.restart().await;
        pair.usable(id).await;
        let again = pay(pair.alice.handle(), pay_order(&invoice)).await.unwrap();
        assert_eq!(again, (false, PaymentStatus::Succeeded { preimage: proofs[0] }));

        assert_eq!(pair.bob.settled(hash).await, Some(MSAT));
        assert_eq!(pair.agree(id).await.theirs, Msat::new(MSAT).unwrap());
        pair.close_together(&pair.alice, id).await;
        pair.account(0).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_payers_of_one_invoice_one_gets_the_proof_and_the_other_its_money_back() {
    in_time(async {
        let (pair, _id) = Pair::with_channel().await;
        let carol = OurNode::start(Place::new("carol", pair.path(), &pair.layer1)).await;
        pair.layer1.give(&[carol.wallet_script().await]).await;
        pair.synced().await;
        carol.at_height(pair.layer1.height().await).await;
        let second = carol.open_channel(pair.bob.id(), pair.bob.address(), CAPACITY).await;
        pair.layer1.mempool_of(1).await;
        pair.mine(1).await;
        carol.usable(second).await;
        pair.bob.usable(second).await;

        for _ in 0..5 {
            let (invoice, hash) = pair.bob.create_invoice(Some(MSAT), 3_600).await;
            let (one, two) = tokio::join!(
                pay(pair.alice.handle(), pay_order(&invoice)),
                pay(carol.handle(), pay_order(&invoice)),
            );
            let outcomes = [one.unwrap().1, two.unwrap().1];
            let won = |status: &&PaymentStatus| matches!(status, PaymentStatus::Succeeded { .. });
            let refused = PaymentFailure::UnknownByPayee { height: None };
            assert_eq!(outcomes.iter().filter(won).count(), 1, "{outcomes:?}");
            let lost = outcomes.iter().find(|status| !won(status)).expect("one lost");
            let PaymentStatus::Failed(why) = lost else { panic!("{lost:?}") };
            assert_eq!(
                std::mem::discriminant(why),
                std::mem::discriminant(&refused),
                "the payee says it does not know the payment"
            );
            assert_eq!(pair.bob.settled(hash).await, Some(MSAT));
        }
        let got: u64 = pair.bob.channels().await.iter().map(|channel| channel.ours.to_u64()).sum();
        assert_eq!(got, 5 * MSAT);
        carol.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idempotency_key_does_a_thing_once_and_guards_against_another() {
    in_time(async {
        let (mut pair, _id) = Pair::with_channel().await;
        let key = |digest: u8| Some(OrderKey { word: "rent".to_owned(), digest: [digest; 32] });
        let (invoice, hash) = pair.bob.create_invoice(Some(MSAT), 3_600).await;
        let mut order = pay_order(&invoice);
        order.key = key(1);
        assert!(pay(pair.alice.handle(), order.clone()).await.unwrap().0);
        assert!(!pay(pair.alice.handle(), order.clone()).await.unwrap().0);
        order.key = key(2);
        let refused = pay(pair.alice.handle(), order).await.unwrap_err();
        assert_eq!(refused, Refusal::KeyReused { key: "rent".to_owned() });
        assert_eq!(pair.bob.settled(hash).await, Some(MSAT));

        // A send of coins has no payment hash to guard it: the key alone must, over a crash too.
        let to = pair.bob.handle().new_address(Default::default(), None).await.unwrap();
        let send = daemon::rpc::model::wallet::SendCoins {
            key: Some(OrderKey { word: "coins".to_owned(), digest: [3; 32] }),
            address: to,
            coins: Coins::Exactly(Amount::from_sat(1_000_000)),
            feerate: None,
            label: String::new(),
        };
        let first = pair.alice.handle().send_coins(send.clone()).await.unwrap();
        pair.alice = pair.alice.crash_and_restart().await;
        let second = pair.alice.handle().send_coins(send).await.unwrap();
        assert_eq!(first.txid, second.txid);
        pair.mine(1).await;
        let bob = pair.bob.balance().await.confirmed;
        assert_eq!(bob, Amount::from_sat(super::pair::COIN + 1_000_000));
    })
    .await;
}

/// Moments of the payer's journal at which it dies: before a record is written, or behind it.
const DEATHS: [u64; 8] = [0, 1, 2, 3, 4, 5, 7, 10];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c33a_a_payment_whose_payer_dies_at_a_write_and_is_asked_again_is_paid_once() {
    in_time(async {
        let (mut pair, id) = Pair::with_channel().await;
        for (number, moments) in (1..).zip(DEATHS) {
            let (invoice, hash) = pair.bob.create_invoice(Some(MSAT), 3_600).await;
            let key = OrderKey { word: format!("payment {number}"), digest: [1; 32] };
            let order = PayOrder { key: Some(key), ..pay_order(&invoice) };
            pair.alice.fail_at_moment(moments);
            // Whatever it answers before it dies, if it answers at all.
            let _said = pay(pair.alice.handle(), order.clone()).await;
            until("alice to die or to be done", String::new, || {
                let done = pair.alice.fail_no_more() != 0;
                (done || pair.alice.has_failed()).then_some(())
            })
            .await;
            pair.alice = pair.alice.crash_and_restart().await;
            pair.usable(id).await;
            // Who does not know yet that it is at the tip does not pay.
            pair.synced().await;
            let (_, status) = pay(pair.alice.handle(), order).await.expect("not refused");
            assert!(matches!(status, PaymentStatus::Succeeded { .. }), "{moments}: {status:?}");
            assert_eq!(pair.bob.settled(hash).await, Some(MSAT));
            let paid = Msat::new(number * MSAT).unwrap();
            assert_eq!(pair.agree(id).await.theirs, paid, "{moments}: once, and no more");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_with_the_same_key_opens_one_channel() {
    in_time(async {
        let pair = Pair::start(&[]).await;
        let order = OpenChannel {
            key: Some(OrderKey { word: "open".to_owned(), digest: [1; 32] }),
            node: pair.bob.id(),
            address: Some(pair.bob.address().to_string()),
            coins: Coins::Exactly(Amount::from_sat(CAPACITY)),
            push: Msat::ZERO,
            feerate: None,
            to_self_delay: None,
            announce: false,
            kind: channel::Kind::default(),
        };
        assert!(pair.alice.handle().open_channel(order.clone()).await.unwrap().fresh);
        assert!(!pair.alice.handle().open_channel(order).await.unwrap().fresh);
        pair.layer1.mempool_of(1).await;
        pair.mine(1).await;
        assert_eq!(pair.alice.channels().await.len(), 1);
        assert_eq!(pair.bob.channels().await.len(), 1);
    })
    .await;
}
