//! Tests of `intent`.

use super::*;
use crate::backend::{BlockRef, Txs};
use bitcoin::block::{Header, Version as BlockVersion};
use bitcoin::hashes::Hash;
use bitcoin::{
    Block, BlockHash, CompactTarget, ScriptBuf, Sequence, TxIn, TxMerkleNode, TxOut, Witness,
    absolute::LockTime, transaction::Version,
};
use std::sync::Arc;

fn tx(coin: u8, value: u64) -> Transaction {
    Transaction {
        version: Version::TWO,
        lock_time: LockTime::ZERO,
        input: vec![TxIn {
            previous_output: OutPoint::new(Txid::from_byte_array([coin; 32]), 0),
            script_sig: ScriptBuf::new(),
            sequence: Sequence::MAX,
            witness: Witness::new(),
        }],
        output: vec![TxOut { value: Amount::from_sat(value), script_pubkey: ScriptBuf::new() }],
    }
}

fn at(height: u32) -> BlockRef {
    let header = Header {
        version: BlockVersion::TWO,
        prev_blockhash: BlockHash::all_zeros(),
        merkle_root: TxMerkleNode::all_zeros(),
        time: 0,
        bits: CompactTarget::from_consensus(0x207f_ffff),
        nonce: height,
    };
    BlockRef { height, hash: header.block_hash(), header, mtp: 0 }
}

fn block(height: u32, txdata: Vec<Transaction>) -> ChainEvent {
    let block = Block { header: at(height).header, txdata };
    ChainEvent::Connected { block: at(height), txs: Txs::Full(Arc::new(block)) }
}

fn one() -> (Intents, IntentId, Transaction) {
    let mut intents = Intents::default();
    let tx = tx(1, 900);
    let paid = (Amount::from_sat(100), 100);
    let id = intents.add(vec![tx.clone()], tx.compute_txid(), 50, paid, Amount::from_sat(5_000));
    (intents, id, tx)
}

#[test]
fn it_is_handed_in_with_each_block_until_it_is_mined_and_again_when_it_is_unmined() {
    let (mut intents, id, tx) = one();
    assert_eq!(intents.apply(&block(10, vec![])).submit, [id]);
    assert_eq!(intents.apply(&block(11, vec![tx.clone()])).submit, []);
    let fork = ChainEvent::Disconnected { fork: at(10), gone: vec![] };
    assert_eq!(intents.apply(&fork).submit, [id]);
    let because = RemovedBecause::Evicted;
    let removed = MempoolDelta::Removed { txid: tx.compute_txid(), because };
    assert_eq!(intents.apply(&ChainEvent::Mempool(removed)).submit, [id]);
    assert_eq!(intents.apply(&ChainEvent::Synced { tip: at(10) }).submit, [id]);
}

#[test]
fn it_is_over_when_its_coins_are_spent_a_hundred_deep_by_whomever() {
    for (mined, goal_mined) in [(tx(1, 900), true), (tx(1, 800), false)] {
        let (mut intents, id, _) = one();
        intents.apply(&block(10, vec![mined]));
        for height in 11..109 {
            assert_eq!(intents.apply(&block(height, vec![])), Due::default());
        }
        assert_eq!(intents.apply(&block(109, vec![])).settled, [Settled { id, goal_mined }]);
        assert_eq!(intents.iter().count(), 0);
    }
}

#[test]
fn an_outcome_never_ends_it() {
    let (mut intents, id, _) = one();
    intents.note(id, &SubmitOutcome::Invalid { reason: "odd".into() });
    intents.note(id, &SubmitOutcome::Unavailable);
    assert_eq!(intents.get(id).map(|intent| intent.attempts), Some(1));
    assert_eq!(intents.apply(&block(10, vec![])).submit, [id]);
}

#[test]
fn a_bump_pays_for_both_and_stays_within_bounds() {
    let (mut intents, id, _) = one();
    let mut bump =
        |coin, fee| intents.bump(id, vec![tx(coin, 500)], (Amount::from_sat(fee), 100), 1_000);
    let needed = Amount::from_sat(200);
    assert_eq!(bump(1, 199), Err(BumpRefused::TooLittle { needed }));
    assert_eq!(bump(1, 5_001), Err(BumpRefused::TooMuch { max: Amount::from_sat(5_000) }));
    assert_eq!(bump(2, 300), Err(BumpRefused::NoConflict));
    assert_eq!(bump(1, 200), Ok(()));
    assert_eq!(intents.get(id).unwrap().goal, tx(1, 500).compute_txid());
    assert_eq!(intents.get(id).unwrap().target(45), 5);
    assert_eq!(intents.get(id).unwrap().target(90), 1);
}

#[test]
fn intents_survive_their_bytes() {
    let (mut intents, id, tx) = one();
    intents.apply(&block(10, vec![tx]));
    intents.note(id, &SubmitOutcome::Accepted);
    let bytes = intents.encode();
    assert_eq!(Intents::decode(&bytes), Ok(intents));
    for cut in 0..bytes.len() {
        assert!(Intents::decode(&bytes[..cut]).is_err());
    }
}
