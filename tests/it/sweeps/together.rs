//! Claims of several channels share a transaction.

use std::collections::BTreeSet;

use bitcoin::Amount;

use super::{DELAY, alone, fee_of, largest, nodes};
use crate::nodes::pair::{CAPACITY, find, in_time};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_channels_closed_alone_come_home_in_one_transaction() {
    in_time(async {
        let pair = nodes().await;
        let (first, second) = (pair.open(CAPACITY).await, pair.open(CAPACITY / 2).await);
        let commitments = [alone(&pair, first).await, alone(&pair, second).await];
        pair.mine(DELAY).await;
        let wanted: BTreeSet<_> = commitments.iter().map(|tx| largest(tx)).collect();
        let sweep = pair.layer1.spend_seen(largest(&commitments[0])).await;
        let taken: BTreeSet<_> = sweep.input.iter().map(|input| input.previous_output).collect();
        assert_eq!(taken, wanted, "both and nothing else");
        assert_eq!(pair.layer1.chain().mempool().await.unwrap().len(), 1);
        let fee = fee_of(&pair.layer1, &sweep).await;
        pair.mine(1).await;
        let mut shown = Amount::ZERO;
        for (id, commitment) in [first, second].into_iter().zip(&commitments) {
            let channel = pair.alice.channel_where(id, "that was swept", |channel| {
                let closing = channel.closing.as_ref();
                closing.is_some_and(|closing| closing.sweeps == [sweep.compute_txid()])
            });
            shown += channel.await.closing.unwrap().sweep_fees;
            let closing = find(&pair.alice, id).await.closing.unwrap();
            assert_eq!(closing.txid, Some(commitment.compute_txid()));
        }
        // Each has its part of the fee, and together they have all of it but a rounding.
        assert!(fee >= shown && (fee - shown).to_sat() <= 1, "{fee} {shown}");
        pair.buried(first).await;
        pair.buried(second).await;
        assert!(pair.layer1.chain().tx(sweep.compute_txid()).await.unwrap().is_some());
        // Bob has nothing in either, so no anchor.
        pair.account(2 * 330).await;
    })
    .await;
}
