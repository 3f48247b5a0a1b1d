//! Losses that other implementations had, as whole nodes: named by their number in the catalogue of losses.
//!
//! Not here: those that one channel shows alone (`channel/src/world/catalogue.rs`).

use viaduct_tests::dispute::{ANCHORS, Scene, Who};

use super::scenario::{DUST, EVERY_HTLC, End, LARGE, Scenario, Trouble};

const fn calm(end: End, by: Who) -> Scenario {
    Scenario { end, by, htlcs: Vec::new(), spike: false, trouble: Trouble::None }
}

/// A payment of somebody else's goes through a node that once made an invoice for its hash. The preimage
/// belongs to the invoice: it is not shown for an HTLC that is to go on, neither off chain nor on it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c26_an_htlc_to_be_forwarded_under_the_hash_of_our_own_invoice_shows_no_preimage() {
    super::logged();
    let mut scene = Scene::open().await;
    let (_, hash) = scene.node(Who::Fundee).create_invoice(Some(1_000), 3_600).await;
    scene.hang_hash(Who::Funder, LARGE, hash).await;
    let hung = scene.hung[0];
    let since = scene.layer1.height().await;
    scene.ask_until_spent(Who::Funder, true).await;
    let expiry = scene.last_expiry();
    scene.mine_to(expiry + 4).await;
    scene.bury().await;
    assert_eq!(scene.node(Who::Fundee).settled(hash).await, None);
    assert!(!scene.outcome(hung).await, "nobody was paid");
    let account = scene.account(since).await;
    assert!(account.left <= ANCHORS);
    assert!(account.home[1] <= scene.due(Who::Fundee, true) as i64, "{account:?}");
}

/// A word that was heard and not yet durable is asked for again: nobody is left without an answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c33_crashes_at_every_record_while_htlcs_are_taken_lose_no_preimage() {
    super::logged();
    let trouble = Trouble::Crashes { who: Who::Fundee, records: 1 };
    let htlcs = vec![(Who::Funder, LARGE, true), (Who::Funder, DUST, true)];
    Scenario { htlcs, trouble, ..calm(End::Together, Who::Fundee) }.play().await;
}

/// What was claimed together comes apart and together again as branches change.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c52_reorganisations_under_claims_of_many_htlcs_lose_none() {
    claimed_again().await;
}

/// Each branch is followed, and each claim made again on it.
pub(crate) async fn claimed_again() {
    super::logged();
    let trouble = Trouble::Reorgs { depth: 6 };
    let htlcs = EVERY_HTLC.to_vec();
    Scenario { htlcs, trouble, ..calm(End::Alone, Who::Fundee) }.play().await;
}

/// Every output that is worth its claim ends in a wallet, whoever closes, at fees forty times higher.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c63_every_output_ends_in_a_wallet_when_fees_are_high() {
    super::logged();
    let htlcs = EVERY_HTLC.to_vec();
    Scenario { htlcs, spike: true, ..calm(End::Alone, Who::Funder) }.play().await;
}
