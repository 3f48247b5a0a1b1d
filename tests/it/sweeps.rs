//! What whole nodes bring home after a force close while the chain misbehaves: together, for what it takes,
//! again and again, and once.

mod again;
pub(crate) mod anchored;
mod closed;
pub(crate) mod dearer;
mod together;

use std::sync::Arc;

use bitcoin::{Amount, OutPoint, Transaction, Txid};
use viaduct_tests::layer1::Layer1;
use viaduct_tests::until::until_async;
use wire::id::ChannelId;

use crate::nodes::pair::{CAPACITY, Pair, find, pay_some};

/// Blocks that an output of one's own is locked for.
const DELAY: u32 = 10;

/// What an anchor holds, in satoshi. BOLT 3 § Anchor Outputs.
const ANCHOR: u64 = 330;

/// Two nodes with a coin each, who close when they are asked to and not because the other one does: else either
/// commitment could be the one that is mined.
async fn nodes() -> Pair {
    let delay = DELAY.to_string();
    let settings = [("channel.to_self_delay_blocks", &*delay), ("channel.force_close", "ask")];
    Pair::start(&settings).await
}

/// The same, and a channel of which each has a part.
async fn scene() -> (Pair, ChannelId) {
    let pair = nodes().await;
    let id = pair.open(CAPACITY).await;
    pay_some(&pair.alice, &pair.bob, 700_000_000).await;
    pair.agree(id).await;
    (pair, id)
}

/// Alice's commitment, handed in and seen.
async fn alone(pair: &Pair, id: ChannelId) -> Arc<Transaction> {
    let funding = find(&pair.alice, id).await.funding.expect("funded");
    pair.alice.close(id, true).await;
    pair.layer1.spend_seen(funding).await
}

/// The same in a block, alice's own output free, and the transaction waiting that takes it.
async fn sweeping(pair: &Pair, id: ChannelId) -> (Arc<Transaction>, Arc<Transaction>) {
    let commitment = alone(pair, id).await;
    pair.mine(DELAY).await;
    let sweep = pair.layer1.spend_seen(largest(&commitment)).await;
    (commitment, sweep)
}

/// The largest output: alice's own.
fn largest(commitment: &Transaction) -> OutPoint {
    let outputs = (0_u32..).zip(&commitment.output);
    let (vout, _) = outputs.max_by_key(|(_, output)| output.value).expect("it has outputs");
    OutPoint { txid: commitment.compute_txid(), vout }
}

/// What a transaction pays to the miners.
async fn fee_of(layer1: &Layer1, tx: &Transaction) -> Amount {
    let mut sum = Amount::ZERO;
    for input in &tx.input {
        let of = input.previous_output;
        let parent = layer1.chain().tx(of.txid).await.expect("the chain answers");
        let parent = parent.expect("its parent is there").tx;
        sum += parent.output[of.vout as usize].value;
    }
    sum - tx.output.iter().map(|output| output.value).sum::<Amount>()
}

/// Waits until the mempool has a transaction that spends `outpoint` and is not `old`.
async fn other_than(layer1: &Layer1, outpoint: OutPoint, old: Txid) -> Arc<Transaction> {
    until_async("another transaction in its place", String::new, || async {
        let all = layer1.chain().mempool().await.expect("the chain answers");
        all.into_iter().find(|tx| {
            tx.compute_txid() != old
                && tx.input.iter().any(|input| input.previous_output == outpoint)
        })
    })
    .await
}

/// Mines until the channel is over for both; what is left of the commitment are anchors, and no satoshi is
/// missing. Answers how many anchors were fetched.
async fn all_is_home(pair: &Pair, id: ChannelId, commitment: &Transaction) -> u64 {
    pair.buried(id).await;
    let left = pair.layer1.unspent_of(commitment).await;
    assert!(left.iter().all(|(_, output)| output.value.to_sat() == ANCHOR), "{left:?}");
    let anchors = left.len() as u64;
    pair.account(anchors * ANCHOR).await;
    for node in [&pair.alice, &pair.bob] {
        let balance = node.balance().await;
        assert_eq!(balance.promised, Amount::ZERO, "no coin is held for ever");
    }
    2 - anchors
}
