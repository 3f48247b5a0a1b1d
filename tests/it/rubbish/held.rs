//! Payments that arrive in parts, or not as the invoice says: held, given back, never half taken.

use channel::Outcome;
use daemon::rpc::model::invoice::InvoiceState;
use daemon::rpc::node_api::NodeApi as _;
use wire::id::{PaymentHash, PaymentSecret};
use wire::units::{BlockHeight, Msat};

use super::rogue::{Part, Rogue};
use crate::nodes::pair::{Pair, in_time};
use viaduct_tests::until::until_async;

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
        assert_eq!(state(&pair, hash).await, InvoiceState::Cancelled);
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
