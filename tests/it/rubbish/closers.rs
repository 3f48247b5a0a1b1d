//! Peers that close in the middle of the dance: with an HTLC on neither commitment of theirs, or on the newer one alone.
//! BOLT 5 § HTLC Output Handling: Remote Commitment, Local Offers.

use bitcoin::{FeeRate, Transaction};
use chain_backend::Package;
use channel::{Command, CommandId, Event};
use daemon::rpc::model::channel::{ChannelPhase, CloseKind};
use daemon::rpc::model::payment::PaymentStatus;
use daemon::rpc::node_api::NodeApi as _;
use viaduct_tests::until::until_async;
use wire::id::PaymentHash;
use wire::message::Message;

use super::rogue::Rogue;
use super::thieves::invoice_of;
use crate::nodes::pair::{Pair, find, in_time, pay_order};

const SAT: u64 = 1_000_000;

/// What alice offers, satoshi.
const HTLC: u64 = 70_000;

/// Feerates of blocks: the least, and a spike.
const FLOORS: [Option<u32>; 2] = [None, Some(25)];

/// Alice begins to pay the rogue and signs for the HTLC.
async fn offered(pair: &Pair, byte: u8) -> PaymentHash {
    let invoice = invoice_of(byte, HTLC * 1_000);
    let handle = pair.alice.handle();
    drop(handle.pay(pay_order(&invoice)).await.expect("begun"));
    handle.decode_invoice(invoice).await.expect("an invoice").hash
}

/// The rogue's commitment, in a block.
async fn closes(pair: &Pair, rogue: &mut Rogue) -> Transaction {
    let command = CommandId(999);
    rogue.step(Event::Command(Command::ForceClose { command })).await;
    let tx = rogue.sent.pop().expect("a commitment");
    let miners = pair.layer1.chain();
    // It has a child or a miner of its own.
    miners.set_floor(None).await.expect("no floor");
    // Alice may have closed already, and hands hers in again; the miner prefers this one.
    until_async("the miner to have it", String::new, || async {
        for rival in miners.mempool().await.ok()? {
            miners.evict(rival.compute_txid()).await.ok()?;
        }
        miners.accept(Package::single(tx.clone())).await.ok()
    })
    .await;
    pair.mine(1).await;
    tx
}

/// Mines until alice's channel is over; what is left of the commitment is the rogue's own.
async fn is_over(pair: &Pair, rogue: &Rogue, commitment: &Transaction, kind: CloseKind) {
    let id = rogue.id();
    for _ in 0..80 {
        let shown = find(&pair.alice, id).await;
        if shown.phase == ChannelPhase::Closed {
            break;
        }
        pair.mine(5).await;
    }
    let shown = find(&pair.alice, id).await;
    assert_eq!(shown.phase, ChannelPhase::Closed);
    assert_eq!(shown.closing.and_then(|closing| closing.kind), Some(kind));
    pair.layer1.chain().set_floor(None).await.expect("no floor");
    let left = pair.layer1.unspent_of(commitment).await;
    let rogues: u64 = left.iter().map(|(_, output)| output.value.to_sat()).sum();
    assert!(rogues <= SAT / 2 + 660, "{left:?}");
    assert!(left.iter().all(|(_, output)| output.value.to_sat() != HTLC), "the HTLC is nobody's");
    pair.mine(12).await;
    pair.account(rogues).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_htlc_that_the_confirmed_commitment_lacks_fails_when_it_is_deep() {
    for (byte, floor) in (41..).zip(FLOORS) {
        in_time(async {
            let pair = Pair::start(&[]).await;
            let mut rogue = Rogue::with_channel(&pair.alice, &pair.layer1, byte, SAT).await;
            let hash = offered(&pair, byte).await;
            let id = rogue.id();
            pair.alice.channel_where(id, "with the HTLC", |it| it.htlcs.len() == 1).await;
            // It has heard nothing of it, and never will.
            let commitment = closes(&pair, &mut rogue).await;
            let floor = floor.map(FeeRate::from_sat_per_vb_u32);
            pair.layer1.chain().set_floor(floor).await.expect("a floor");
            let status = pair.alice.handle().payment(hash).await.expect("known").status;
            assert_eq!(
                status,
                PaymentStatus::InFlight,
                "a reorganisation could bring the other one"
            );
            pair.mine(6).await;
            let status = pair.alice.outcome(hash).await;
            assert!(matches!(status, PaymentStatus::Failed(_)), "{status:?}");
            is_over(&pair, &rogue, &commitment, CloseKind::ForcedByThem).await;
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_htlc_on_the_commitment_that_was_signed_last_and_never_acknowledged_comes_back() {
    for (byte, floor) in (43..).zip(FLOORS) {
        in_time(async {
            let pair = Pair::start(&[]).await;
            let mut rogue = Rogue::with_channel(&pair.alice, &pair.layer1, byte, SAT).await;
            // It hears of the HTLC, and keeps its revocation to itself: both of its commitments are valid.
            rogue.twist = Box::new(|message| {
                let kept =
                    matches!(message, Message::RevokeAndAck(_) | Message::CommitmentSigned(_));
                (!kept).then_some(message)
            });
            let hash = offered(&pair, byte).await;
            let number = rogue.channel().state().expect("open").ours;
            let newer = |rogue: &Rogue| rogue.channel().state().is_some_and(|it| it.ours > number);
            rogue.pump("the newer commitment", newer).await;
            let commitment = closes(&pair, &mut rogue).await;
            let there = |output: &bitcoin::TxOut| output.value.to_sat() == HTLC;
            assert!(commitment.output.iter().any(there), "the HTLC is on it");
            let floor = floor.map(FeeRate::from_sat_per_vb_u32);
            pair.layer1.chain().set_floor(floor).await.expect("a floor");
            is_over(&pair, &rogue, &commitment, CloseKind::ForcedByThem).await;
            let status = pair.alice.outcome(hash).await;
            assert!(matches!(status, PaymentStatus::Failed(_)), "{status:?}");
        })
        .await;
    }
}
