//! Nodes dropped in the middle of payments, again and again: nothing is lost, nothing is paid twice.

use std::time::Duration;

use daemon::rpc::model::page::Page;
use daemon::rpc::model::payment::{PaymentFilter, PaymentStatus};
use daemon::rpc::node_api::NodeApi as _;
use viaduct_tests::ours::OurNode;
use viaduct_tests::until::until_async;
use wire::id::PaymentHash;

use super::pair::{CAPACITY, Pair, in_time, pay, pay_order};

/// Crashes of one story, unless `VIADUCT_CRASHES` says otherwise.
const CRASHES: u64 = 20;

/// The longest a story runs before the crash, in milliseconds.
const MOMENT_MAX_MS: u64 = 60;

/// Numbers that look random and are the same every time (splitmix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

/// One payment of a story.
struct Bill {
    from_alice: bool,
    msat: u64,
    invoice: String,
    hash: PaymentHash,
}

/// How a payment ended for its sender; `None`: it never heard of it.
async fn ended(node: &OurNode, hash: PaymentHash) -> Option<PaymentStatus> {
    until_async("a payment to end after a crash", String::new, || async {
        match node.handle().payment(hash).await {
            Ok(payment) => payment.is_final().then_some(Some(payment.status)),
            Err(_) => Some(None),
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c33_crashes_with_payments_in_flight_lose_nothing_and_pay_nothing_twice() {
    in_time(story()).await;
}

async fn story() {
    let crashes = std::env::var("VIADUCT_CRASHES").ok().and_then(|text| text.parse().ok());
    let (mut pair, id) = Pair::with_channel().await;
    // So that both can pay.
    let mut bobs_msat = 0;
    let mut dice = Dice(7);
    let (mut arrived, mut retried) = (0_u32, 0_u32);
    for seed in 0..crashes.unwrap_or(CRASHES) {
        let mut bills = Vec::new();
        for _ in 0..1 + dice.below(12) {
            let from_alice = bobs_msat < 400_000_000 || dice.below(2) == 0;
            // Dust among them: below 354 sat there is no output to fall back on.
            let msat = [200_000, 1_000_000, 30_000_000][dice.below(3) as usize] + dice.below(999);
            let to = if from_alice { &pair.bob } else { &pair.alice };
            let (invoice, hash) = to.create_invoice(Some(msat), 3_600).await;
            bills.push(Bill { from_alice, msat, invoice, hash });
        }
        let paying: Vec<_> = bills
            .iter()
            .map(|bill| {
                let from = if bill.from_alice { &pair.alice } else { &pair.bob };
                let (handle, order) = (from.handle().clone(), pay_order(&bill.invoice));
                tokio::spawn(async move { pay(&handle, order).await })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(dice.below(MOMENT_MAX_MS))).await;
        let who = dice.below(3);
        if who != 1 {
            pair.alice = pair.alice.crash_and_restart().await;
        }
        if who != 0 {
            pair.bob = pair.bob.crash_and_restart().await;
        }
        for payment in paying {
            // Refusals are fine: the node was gone.
            let _gone = tokio::time::timeout(Duration::from_secs(20), payment).await;
        }
        pair.alice.connect(pair.bob.id(), pair.bob.address()).await;
        pair.usable(id).await;
        // Who does not know yet that it is at the tip does not pay.
        pair.synced().await;

        for bill in &bills {
            let (from, to) =
                if bill.from_alice { (&pair.alice, &pair.bob) } else { (&pair.bob, &pair.alice) };
            let status = ended(from, bill.hash).await;
            let settled = to.settled(bill.hash).await;
            let succeeded = matches!(status, Some(PaymentStatus::Succeeded { .. }));
            assert_eq!(
                settled.is_some(),
                succeeded,
                "crash {seed}: the sender says {status:?}, the receiver {settled:?}"
            );
            if !succeeded {
                retried += 1;
            }
            // What arrived is not paid again; what did not arrive can be.
            let (fresh, again) =
                pay(from.handle(), pay_order(&bill.invoice)).await.expect("not refused");
            assert_eq!(fresh, !succeeded, "crash {seed}: {status:?} then {again:?}");
            assert!(matches!(again, PaymentStatus::Succeeded { .. }), "crash {seed}: {again:?}");
            assert_eq!(to.settled(bill.hash).await, Some(bill.msat), "crash {seed}");
            arrived += 1;
            if bill.from_alice {
                bobs_msat += bill.msat;
            } else {
                bobs_msat -= bill.msat;
            }
        }
        let view = pair.agree(id).await;
        assert_eq!(view.theirs.to_u64(), bobs_msat, "crash {seed}");
        assert_eq!(view.ours.to_u64() + bobs_msat, CAPACITY * 1_000, "crash {seed}");
    }
    let all = Page { size: Page::SIZE_MAX, ..Page::default() };
    let mut told = 0;
    for node in [&pair.alice, &pair.bob] {
        let succeeded = PaymentFilter { succeeded: true, ..PaymentFilter::default() };
        let listed = node.handle().list_payments(succeeded, all).await.expect("a list");
        told += listed.entries.len() as u32;
    }
    assert_eq!(told, arrived, "each payment is there once");
    println!("{arrived} payments arrived, {retried} of them after a crash had stopped them");
    pair.close_together(&pair.bob, id).await;
    pair.account(0).await;
}
