//! Payments that arrive in parts, or not as the invoice says: held, given back, never half taken.

use channel::Outcome;
use daemon::rpc::model::invoice::InvoiceState;
use daemon::rpc::node_api::NodeApi as _;
use viaduct_tests::until::until_async;
use wire::id::{PaymentHash, PaymentSecret};
use wire::message::OnionPacket;
use wire::onion::payload::{CustomRecords, Final, Forward, Payload, PaymentData};
use wire::onion::sphinx::Hop;
use wire::units::{BlockHeight, Msat};

use super::rogue::{Part, Rogue, onion};
use crate::nodes::pair::{Pair, find, in_time, pay_some};

const SAT: u64 = 1_000_000;
const TOTAL: u64 = 100_000_000;

async fn table() -> (Pair, Rogue) {
    let pair = Pair::start(&[]).await;
    let rogue = Rogue::with_channel(&pair.alice, &pair.layer1, 21, SAT).await;
    (pair, rogue)
}

async fn state(pair: &Pair, hash: PaymentHash) -> InvoiceState {
    pair.alice.handle().invoice(hash).await.expect("known").state
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parts_that_add_up_are_taken_together() {
    in_time(async {
        let (pair, mut rogue) = table().await;
        let (invoice, hash) = pair.alice.create_invoice(Some(TOTAL), 3_600).await;
        let height = pair.layer1.height().await;
        for msat in [TOTAL / 2, TOTAL / 4] {
            rogue.offer(&pair.alice, Part::of(&invoice, msat, TOTAL, height)).await;
        }
        rogue.until_held(&pair.alice, hash).await;
        assert!(rogue.resolved.is_empty(), "nothing is taken before all is there");
        rogue.offer(&pair.alice, Part::of(&invoice, TOTAL / 4, TOTAL, height)).await;
        rogue.pump("the preimages", |rogue| rogue.resolved.len() == 3).await;
        for resolved in &rogue.resolved {
            let Outcome::Fulfilled { preimage, .. } = &resolved.outcome else {
                panic!("{resolved:?}")
            };
            assert_eq!(preimage.hash(), hash);
        }
        assert_eq!(pair.alice.settled(hash).await, Some(TOTAL));
        // Once more, for the same hash: nobody is owed it.
        rogue.resolved.clear();
        rogue.offer(&pair.alice, Part::of(&invoice, TOTAL, TOTAL, height)).await;
        rogue.pump("the refusal", |rogue| rogue.resolved.len() == 1).await;
        assert!(matches!(rogue.resolved[0].outcome, Outcome::Failed { .. }));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parts_held_for_an_invoice_that_is_cancelled_go_back_at_once() {
    in_time(async {
        let (pair, mut rogue) = table().await;
        let (invoice, hash) = pair.alice.create_invoice(Some(TOTAL), 3_600).await;
        let height = pair.layer1.height().await;
        rogue.offer(&pair.alice, Part::of(&invoice, TOTAL / 2, TOTAL, height)).await;
        rogue.until_held(&pair.alice, hash).await;
        pair.alice.handle().cancel_invoice(hash).await.expect("cancelled");
        rogue.pump("the part to come back", |rogue| rogue.resolved.len() == 1).await;
        assert!(matches!(rogue.resolved[0].outcome, Outcome::Failed { .. }));
        assert!(matches!(state(&pair, hash).await, InvoiceState::Cancelled { .. }));
        assert_eq!(rogue.channel().balances().map(|(ours, _)| ours.to_u64()), Some(SAT * 500));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parts_held_survive_a_crash_of_the_payee_and_go_back_before_they_expire() {
    in_time(async {
        let (mut pair, mut rogue) = table().await;
        let (invoice, hash) = pair.alice.create_invoice(Some(TOTAL), 3_600).await;
        let height = pair.layer1.height().await;
        rogue.offer(&pair.alice, Part::of(&invoice, TOTAL / 2, TOTAL, height)).await;
        rogue.until_held(&pair.alice, hash).await;
        pair.alice = pair.alice.crash_and_restart().await;
        rogue.reconnect(&pair.alice).await;
        rogue.until_held(&pair.alice, hash).await;
        assert!(rogue.resolved.is_empty());
        // So near to its expiry that holding on could cost a channel: the part expires 60 blocks on.
        pair.layer1.mine(41).await;
        rogue.pump("the part to come back", |rogue| rogue.resolved.len() == 1).await;
        assert!(matches!(rogue.resolved[0].outcome, Outcome::Failed { .. }));
        until_async("the invoice to be open again", String::new, || async {
            (state(&pair, hash).await == InvoiceState::Open).then_some(())
        })
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_invoice_does_not_say_is_given_back_and_the_invoice_stays_open() {
    in_time(async {
        let (pair, mut rogue) = table().await;
        let (invoice, hash) = pair.alice.create_invoice(Some(TOTAL), 3_600).await;
        let height = pair.layer1.height().await;
        let good = Part::of(&invoice, TOTAL, TOTAL, height);
        let msat = |msat| Msat::new(msat).expect("in range");
        let wrong = [
            ("a wrong secret", Part { secret: Some(PaymentSecret([1; 32])), ..good.clone() }),
            ("no secret", Part { secret: None, ..good.clone() }),
            ("an unknown hash", Part { hash: PaymentHash([3; 32]), ..good.clone() }),
            ("too little in all", Part { total: msat(TOTAL - 1), ..good.clone() }),
            ("more than twice", Part { total: msat(2 * TOTAL + 1), ..good.clone() }),
            (
                "an expiry too near",
                Part {
                    expiry: BlockHeight(height + 5),
                    htlc_expiry: BlockHeight(height + 5),
                    ..good.clone()
                },
            ),
            (
                "an expiry unlike the onion's",
                Part { expiry: BlockHeight(height + 61), ..good.clone() },
            ),
            ("an amount unlike the onion's", Part { forward: msat(TOTAL + 1), ..good.clone() }),
        ];
        for (place, (what, part)) in wrong.into_iter().enumerate() {
            rogue.offer(&pair.alice, part).await;
            rogue.pump(what, |rogue| rogue.resolved.len() == place + 1).await;
            let outcome = &rogue.resolved[place].outcome;
            assert!(matches!(outcome, Outcome::Failed { .. }), "{what}: {outcome:?}");
            assert_eq!(state(&pair, hash).await, InvoiceState::Open, "{what}");
        }
        rogue.offer(&pair.alice, good).await;
        rogue.pump("the preimage", |rogue| rogue.resolved.len() == 9).await;
        assert!(matches!(rogue.resolved[8].outcome, Outcome::Fulfilled { .. }));
        assert_eq!(pair.alice.settled(hash).await, Some(TOTAL));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_htlc_for_somebody_else_and_one_with_a_broken_onion_are_given_back() {
    in_time(async {
        let (pair, honest) = Pair::with_channel().await;
        let mut rogue = Rogue::with_channel(&pair.alice, &pair.layer1, 22, SAT).await;
        let height = pair.layer1.height().await;
        let (invoice, hash) = pair.bob.create_invoice(Some(TOTAL), 3_600).await;
        let part = Part::of(&invoice, TOTAL + 1_000_000, TOTAL, height);
        let key = |id: wire::id::NodeId| secp256k1::PublicKey::from_slice(&id.0).expect("a key");
        let through = Payload::Forward(Forward {
            amt_to_forward: Msat::new(TOTAL).expect("in range"),
            outgoing_cltv_value: BlockHeight(height + 50),
            short_channel_id: find(&pair.alice, honest).await.short_id.expect("confirmed"),
        })
        .encode();
        let end = Payload::Final(Final {
            amt_to_forward: Msat::new(TOTAL).expect("in range"),
            outgoing_cltv_value: BlockHeight(height + 50),
            payment_data: part
                .secret
                .map(|payment_secret| PaymentData { payment_secret, total_msat: part.total }),
            payment_metadata: None,
            keysend_preimage: None,
            custom_records: CustomRecords::default(),
        })
        .encode();
        let hops = [
            Hop { node: key(pair.alice.id()), payload: &through },
            Hop { node: key(pair.bob.id()), payload: &end },
        ];
        rogue.offer_onion(onion(&hops, &hash), &part).await;
        rogue.pump("the HTLC to come back", |rogue| rogue.resolved.len() == 1).await;
        assert!(matches!(rogue.resolved[0].outcome, Outcome::Failed { .. }));
        assert_eq!(pair.bob.settled(hash).await, None);
        // Onions of noise, for another node, and for another payment.
        let mut noise = [0; OnionPacket::LEN];
        getrandom::fill(&mut noise).expect("random numbers");
        let elsewhere = onion(&hops[1..], &hash);
        let other_hash = onion(&hops, &PaymentHash([8; 32]));
        for (place, onion) in
            [OnionPacket::from(noise), elsewhere, other_hash].into_iter().enumerate()
        {
            rogue.offer_onion(onion, &part).await;
            rogue.pump("the HTLC to come back", |rogue| rogue.resolved.len() == place + 2).await;
            let outcome = &rogue.resolved[place + 1].outcome;
            assert!(matches!(outcome, Outcome::Malformed { .. }), "{place}: {outcome:?}");
        }
        assert!(rogue.complaints.is_empty(), "{:?}", rogue.complaints);
        assert!(rogue.channel().is_usable());
        pay_some(&pair.alice, &pair.bob, 1_000_000).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_comes_and_goes_loses_no_payment() {
    in_time(async {
        let (pair, mut rogue) = table().await;
        let height = pair.layer1.height().await;
        for round in 0..12_u64 {
            let (invoice, hash) = pair.alice.create_invoice(Some(1_000_000), 3_600).await;
            rogue.resolved.clear();
            rogue.offer(&pair.alice, Part::of(&invoice, 1_000_000, 1_000_000, height)).await;
            // It leaves after one more message each time, in the middle of the signatures.
            for _ in 0..round % 6 {
                rogue.turn().await;
            }
            rogue.reconnect(&pair.alice).await;
            rogue.pump("an outcome", |rogue| !rogue.resolved.is_empty()).await;
            let fulfilled = matches!(rogue.resolved[0].outcome, Outcome::Fulfilled { .. });
            let unsent = matches!(rogue.resolved[0].outcome, Outcome::Unsent);
            assert!(fulfilled || unsent, "{:?}", rogue.resolved);
            assert_eq!(pair.alice.settled(hash).await.is_some(), fulfilled, "round {round}");
        }
        assert!(rogue.complaints.is_empty(), "{:?}", rogue.complaints);
    })
    .await;
}
