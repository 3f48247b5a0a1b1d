//! One of two whole nodes cheats with a really signed old state: the other takes everything, if it wakes
//! up in time, through reorganisations and fee spikes; and if it does not, the thief gets away with it.

mod long_ago;

use std::collections::BTreeSet;
use std::sync::Arc;

use bitcoin::{Amount, FeeRate, OutPoint, Transaction, Txid};
use chain_backend::{Reorg, Stall};
use daemon::rpc::model::channel::{ChannelPhase, ChannelRef};
use daemon::rpc::model::sandbox::{Cheat, Cheating, Mine};
use daemon::rpc::node_api::NodeApi as _;
use daemon::rpc::refusal::Refusal;
use viaduct_tests::layer1::{Layer1, nobody};
use viaduct_tests::ours::OurNode;
use viaduct_tests::until::until_async;
use wire::id::ChannelId;

use crate::nodes::pair::{CAPACITY, COIN, Pair, find, in_time, pay_some};

/// Blocks a thief must wait for its own output.
const DELAY: u32 = 144;

/// Two nodes that may cheat, a channel that alice funded, and the number of a state of hers in which she
/// had 300,000 sat more than now.
async fn scene() -> (Pair, ChannelId, u64) {
    let pair = Pair::start(&[("chain.cheat", "true")]).await;
    let id = pair.open(CAPACITY).await;
    pay_some(&pair.alice, &pair.bob, 400_000_000).await;
    let then = pair.agree(id).await;
    pay_some(&pair.alice, &pair.bob, 300_000_000).await;
    pair.agree(id).await;
    (pair, id, then.commitment_number)
}

async fn cheat(thief: &OurNode, id: ChannelId, state: u64) -> Result<Cheating, Refusal> {
    thief.handle().cheat(Cheat { channel: ChannelRef::Id(id), state }).await
}

/// Alice cheats; what she has in her wallet before that, and what she does.
async fn steal(alice: &OurNode, id: ChannelId, state: u64) -> (Amount, Cheating) {
    let before = alice.balance().await.confirmed;
    (before, cheat(alice, id, state).await.expect("it cheats"))
}

/// The transaction in a block or the mempool that spends an output of `tx` worth so much.
async fn taker(layer1: &Layer1, tx: Txid, value: Amount) -> Option<(Arc<Transaction>, bool)> {
    let found = layer1.chain().tx(tx).await.unwrap()?.tx;
    let vout = found.output.iter().position(|output| output.value == value)?;
    let outpoint = OutPoint { txid: tx, vout: u32::try_from(vout).unwrap() };
    let spend = layer1.chain().spender(outpoint, 0).await.unwrap()?;
    Some((spend.tx, spend.block.is_some()))
}

/// Waits until somebody takes the thief's own output, in the mempool at least.
async fn justice(layer1: &Layer1, cheating: &Cheating) -> Arc<Transaction> {
    let look = || async { Some(taker(layer1, cheating.txid, cheating.ours).await?.0) };
    until_async("somebody takes the thief's output", String::new, look).await
}

/// The victim has all of the channel but fees and anchors, the thief nothing of it, and no satoshi is
/// missing.
async fn all_is_taken(pair: &Pair, id: ChannelId, cheating: &Cheating, alice_before: Amount) {
    all_is_bobs(pair, id, cheating).await;
    assert_eq!(pair.alice.balance().await.confirmed, alice_before, "the thief got nothing");
}

/// The same but for what the thief has: it may have lost something of its own.
async fn all_is_bobs(pair: &Pair, id: ChannelId, cheating: &Cheating) {
    pair.buried(id).await;
    let (tx, mined) = taker(&pair.layer1, cheating.txid, cheating.ours).await.expect("taken");
    assert!(mined);
    let commitment = pair.layer1.chain().tx(cheating.txid).await.unwrap().expect("mined").tx;
    let left = pair.layer1.unspent_of(&commitment).await;
    let left: u64 = left.iter().map(|(_, output)| output.value.to_sat()).sum();
    assert!(left <= 660, "only anchors are left: {left}");
    pair.account(left).await;
    let bob = pair.bob.balance().await.confirmed.to_sat();
    let all: u64 = commitment.output.iter().map(|output| output.value.to_sat()).sum();
    let fees = COIN + all - left - bob;
    assert!(fees < 60_000, "{fees} sat of fees, {tx:?}");
}

/// Somebody takes the thief's own output, a block has it, and in the end the victim has everything.
async fn justice_is_done(pair: &Pair, id: ChannelId, cheating: &Cheating, alice_before: Amount) {
    justice(&pair.layer1, cheating).await;
    pair.mine(1).await;
    all_is_taken(pair, id, cheating, alice_before).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_victim_that_is_online_takes_everything_from_the_cheater() {
    in_time(async {
        let (pair, id, old) = scene().await;
        let (before, cheating) = steal(&pair.alice, id, old).await;
        assert_eq!(cheating.htlcs, 0);
        assert!(cheating.ours > cheating.honest, "there is something to gain: {cheating:?}");
        let shown = find(&pair.alice, id).await;
        assert_eq!(shown.commitment_number, old, "it believes in the old state");
        assert!(matches!(
            cheat(&pair.alice, id, old).await,
            Err(Refusal::Sandbox { why }) if why.contains("not revoked")
        ));
        pair.mine(1).await;
        let tx = justice(&pair.layer1, &cheating).await;
        assert!(tx.input.iter().all(|input| input.previous_output.txid == cheating.txid));
        pair.mine(1).await;
        all_is_taken(&pair, id, &cheating, before).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_very_first_state_is_punished_as_well() {
    in_time(async {
        let (pair, id, _) = scene().await;
        let (before, cheating) = steal(&pair.alice, id, 0).await;
        pair.mine(1).await;
        justice_is_done(&pair, id, &cheating, before).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c68_a_victim_that_slept_less_than_the_delay_takes_everything_when_it_wakes() {
    in_time(async {
        let (mut pair, id, old) = scene().await;
        let bob = pair.bob.sleep().await;
        let (before, cheating) = steal(&pair.alice, id, old).await;
        pair.alice.at_height(pair.layer1.mine(DELAY - 4).await).await;
        assert!(taker(&pair.layer1, cheating.txid, cheating.ours).await.is_none());
        pair.bob = bob.wake().await;
        justice_is_done(&pair, id, &cheating, before).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thief_gets_away_with_it_when_nobody_wakes_up() {
    in_time(async {
        let (mut pair, id, old) = scene().await;
        let bob = pair.bob.sleep().await;
        let (before, cheating) = steal(&pair.alice, id, old).await;
        // The thief itself may be started again meanwhile: it goes on cheating.
        pair.alice.at_height(pair.layer1.mine(10).await).await;
        pair.alice = pair.alice.restart().await;
        pair.alice.at_height(pair.layer1.mine(DELAY).await).await;
        let theft = justice(&pair.layer1, &cheating).await;
        pair.layer1.mine(1).await;
        let height = pair.layer1.mine(1).await;
        pair.alice.at_height(height).await;
        let stolen = pair.alice.balance().await.confirmed - before;
        let paid: u64 = theft.output.iter().map(|output| output.value.to_sat()).sum();
        assert_eq!(stolen.to_sat(), paid);
        assert!(stolen > cheating.honest, "crime pays if nobody looks");
        // Bob comes too late for that, and still has his own part.
        pair.bob = bob.wake().await;
        pair.buried(id).await;
        assert!(pair.bob.balance().await.confirmed > Amount::from_sat(COIN + 300_000));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn justice_survives_a_reorganisation_that_takes_it_out_and_forgets_it() {
    in_time(async {
        let (pair, id, old) = scene().await;
        let (before, cheating) = steal(&pair.alice, id, old).await;
        pair.mine(1).await;
        let tx = justice(&pair.layer1, &cheating).await;
        pair.mine(3).await;
        assert!(taker(&pair.layer1, cheating.txid, cheating.ours).await.is_some_and(|it| it.1));
        let left_out = BTreeSet::from([tx.compute_txid()]);
        let reorg = Reorg { depth: 3, left_out, forget: true, script: nobody() };
        pair.layer1.chain().reorganise(reorg).await.unwrap();
        pair.synced().await;
        justice_is_done(&pair, id, &cheating, before).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reorganisation_that_takes_the_breach_itself_out_changes_nothing_in_the_end() {
    in_time(async {
        let (pair, id, old) = scene().await;
        let (before, cheating) = steal(&pair.alice, id, old).await;
        pair.mine(1).await;
        justice(&pair.layer1, &cheating).await;
        pair.mine(2).await;
        let left_out = BTreeSet::from([cheating.txid]);
        let reorg = Reorg { depth: 3, left_out, forget: false, script: nobody() };
        pair.layer1.chain().reorganise(reorg).await.unwrap();
        pair.mine(1).await;
        justice(&pair.layer1, &cheating).await;
        pair.mine(1).await;
        all_is_bobs(&pair, id, &cheating).await;
        // While her commitment waited again she may have paid for its anchor, which is her loss.
        let alice = pair.alice.balance().await.confirmed;
        assert!(alice <= before, "the thief got something: {alice} of {before}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c53_justice_that_a_fee_spike_throws_out_comes_back_and_pays_what_it_takes() {
    in_time(async {
        let (pair, id, old) = scene().await;
        let before = pair.alice.balance().await.confirmed;
        // Bob hears of it when it is in a block already: so his answer waits, and can be thrown out.
        pair.layer1.chain().stall(Stall::Readers, None).await.unwrap();
        let cheating = cheat(&pair.alice, id, old).await.expect("it cheats");
        pair.layer1.mine(1).await;
        pair.layer1.chain().stall(Stall::No, None).await.unwrap();
        let cheap = justice(&pair.layer1, &cheating).await;
        let floor = FeeRate::from_sat_per_vb_u32(40);
        pair.layer1.chain().set_floor(Some(floor)).await.unwrap();
        let waits = pair.layer1.chain().tx(cheap.compute_txid()).await.unwrap();
        assert!(waits.is_none(), "the first try paid less");
        for _ in 0..20 {
            pair.mine(1).await;
            if taker(&pair.layer1, cheating.txid, cheating.ours).await.is_some_and(|it| it.1) {
                break;
            }
        }
        let (tx, mined) = taker(&pair.layer1, cheating.txid, cheating.ours).await.expect("taken");
        assert!(mined);
        let commitment = pair.layer1.chain().tx(cheating.txid).await.unwrap().expect("mined").tx;
        let value = |outpoint: &OutPoint| commitment.output[outpoint.vout as usize].value;
        let spent: Amount = tx.input.iter().map(|input| value(&input.previous_output)).sum();
        let fee = spent - tx.output.iter().map(|output| output.value).sum::<Amount>();
        assert!(fee >= floor.fee_vb(tx.vsize() as u64).unwrap(), "{fee} for {} vB", tx.vsize());
        pair.layer1.chain().set_floor(None).await.unwrap();
        all_is_taken(&pair, id, &cheating, before).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c65_a_victim_whose_chain_was_silent_for_hours_of_blocks_is_still_in_time() {
    in_time(async {
        let (pair, id, old) = scene().await;
        let before = pair.alice.balance().await.confirmed;
        pair.layer1.chain().stall(Stall::Readers, None).await.unwrap();
        let cheating = cheat(&pair.alice, id, old).await.expect("it cheats");
        pair.layer1.mine(DELAY / 2).await;
        pair.layer1.chain().stall(Stall::No, None).await.unwrap();
        justice_is_done(&pair, id, &cheating, before).await;
    })
    .await;
}

/// Bob pays alice, who remembers the state with the HTLC in it and takes it with the preimage at once.
/// Bob takes it back from her second-stage transaction, whether or not he remembers the HTLC itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_htlc_that_the_thief_takes_by_its_second_stage_is_taken_from_there() {
    in_time(async {
        let (pair, id, _) = scene().await;
        let now = pair.agree(id).await.commitment_number;
        pay_some(&pair.bob, &pair.alice, 50_000_000).await;
        pay_some(&pair.alice, &pair.bob, 90_000_000).await;
        pair.agree(id).await;
        let before = pair.alice.balance().await.confirmed;
        let cheating = cheat(&pair.alice, id, now + 1).await.expect("it cheats");
        assert_eq!(cheating.htlcs, 1);
        let htlc = Amount::from_sat(50_000);
        pair.mine(1).await;
        let look = || async { Some(taker(&pair.layer1, cheating.txid, htlc).await?.0) };
        let first = until_async("somebody takes the HTLC", String::new, look).await;
        justice(&pair.layer1, &cheating).await;
        pair.mine(1).await;
        let (taken, mined) = taker(&pair.layer1, cheating.txid, htlc).await.expect("taken");
        assert!(mined, "{first:?}");
        if taken.input.iter().any(|input| input.witness.len() == 5) {
            // The thief was first: its transaction's output is locked, and bob takes it.
            let look = || async { Some(taker(&pair.layer1, taken.compute_txid(), htlc).await?.0) };
            until_async("the second stage is punished", String::new, look).await;
        }
        pair.buried(id).await;
        let (alice, bob) = (pair.alice.balance().await, pair.bob.balance().await);
        assert!(alice.confirmed <= before, "the thief paid fees for nothing");
        let commitment = pair.layer1.chain().tx(cheating.txid).await.unwrap().expect("mined").tx;
        let left = pair.layer1.unspent_of(&commitment).await;
        let left: u64 = left.iter().map(|(_, output)| output.value.to_sat()).sum();
        assert!(left <= 660, "only anchors are left: {left}");
        pair.account(left).await;
        assert!(bob.confirmed > Amount::from_sat(COIN + CAPACITY - 80_000), "{bob:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_cheats_who_was_not_told_to_and_what_is_not_revoked_is_no_cheating() {
    in_time(async {
        let (pair, id) = Pair::with_channel().await;
        pay_some(&pair.alice, &pair.bob, 400_000_000).await;
        let newest = pair.agree(id).await.commitment_number;
        let refused = cheat(&pair.alice, id, 0).await;
        assert!(
            matches!(&refused, Err(Refusal::Sandbox { why }) if why.contains("chain.cheat")),
            "{refused:?}"
        );
        assert_eq!(pair.layer1.totals().await.mempool_transactions, 0);
        assert_eq!(find(&pair.alice, id).await.phase, ChannelPhase::Open);
        drop(pair);
        let (pair, id, _) = scene().await;
        let newest = pair.agree(id).await.commitment_number.max(newest);
        for state in [newest, newest + 7] {
            let refused = cheat(&pair.alice, id, state).await;
            let why = format!("state {state} is not revoked");
            assert!(
                matches!(&refused, Err(Refusal::Sandbox { why: said }) if said.contains(&why)),
                "{refused:?}"
            );
        }
        // A restart in between takes nothing away: the facts are in the journal.
        let Pair { alice, bob, layer1, .. } = pair;
        let alice = alice.restart().await;
        alice.usable(id).await;
        let cheating = cheat(&alice, id, 1).await.expect("it cheats");
        layer1.mine(1).await;
        justice(&layer1, &cheating).await;
        bob.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c55_a_pinned_commitment_costs_its_rival_what_the_pin_pays() {
    in_time(async {
        let (pair, id, _) = scene().await;
        // The faucet has coins for the pin, and need not mine any.
        pair.alice.handle().mine(Mine { key: None, blocks: 112, to: None }).await.expect("mined");
        pair.synced().await;
        let funding = find(&pair.alice, id).await.funding.expect("funded");
        pair.alice.close(id, true).await;
        let commitment = pair.layer1.spend_seen(funding).await;
        let pinned = pair.bob.handle().pin(commitment.compute_txid()).await.expect("pinned");
        let parent = pair.layer1.chain().tx(commitment.compute_txid()).await.unwrap();
        assert!(parent.expect("there").confirmed.is_none(), "both wait");
        assert!(pinned.vsize > 90_000 && pinned.fee.to_sat() >= pinned.vsize, "{pinned:?}");
        assert!(pair.layer1.chain().tx(pinned.txid).await.unwrap().is_some());
        let again = pair.bob.handle().pin(commitment.compute_txid()).await;
        assert!(matches!(again, Err(Refusal::Sandbox { .. })), "{again:?}");
        let wallets = [pair.alice.balance().await, pair.bob.balance().await];
        assert!(wallets.iter().all(|wallet| wallet.confirmed <= Amount::from_sat(COIN)));
        let evicted = pair.alice.handle().evict(pinned.txid).await.expect("evicted");
        assert_eq!(evicted, [pinned.txid]);
        let nowhere = pair.alice.handle().pin(pinned.txid).await;
        assert!(
            matches!(&nowhere, Err(Refusal::Sandbox { why }) if why.contains("does not wait")),
            "{nowhere:?}"
        );
        pair.buried(id).await;
        pair.account(660).await;
    })
    .await;
}
