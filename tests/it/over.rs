//! Stories of other modules once more over each protocol that a chain is followed by, in every run: a claim that pays for
//! its parent, a replacement, a breach in the mempool, reorganisations under claims.
//!
//! Which protocol a test here uses follows from the module that it is in (`viaduct_tests::layer1::only`).
//! Not here: chains that go away (`nodes/core`, `nodes/esplora`); all other stories (`VIADUCT_TEST_CHAIN`).

macro_rules! over {
    ($($backend:ident: $($name:ident = $story:path),+;)+) => {
        $(mod $backend {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                $story().await;
            })+
        })+
    };
}

over! {
    core:
        a_commitment_below_the_mempools_minimum_comes_in = crate::sweeps::anchored::brought_in,
        a_sweep_is_replaced = crate::sweeps::dearer::replaced,
        a_breach_is_answered_in_the_mempool = crate::tower::theft::answered_at_once,
        claims_outlive_reorganisations = crate::disputes::catalogue::claimed_again;
    esplora:
        a_commitment_below_the_mempools_minimum_comes_in = crate::sweeps::anchored::brought_in,
        a_sweep_is_replaced = crate::sweeps::dearer::replaced,
        a_breach_is_answered_in_the_mempool = crate::tower::theft::answered_at_once,
        claims_outlive_reorganisations = crate::disputes::catalogue::claimed_again;
}
