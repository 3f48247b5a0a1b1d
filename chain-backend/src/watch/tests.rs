//! Tests of `watch`.

use super::*;
use crate::backend::{BlockRef, RemovedBecause};
use bitcoin::block::{Header, Version as BlockVersion};
use bitcoin::hashes::Hash;
use bitcoin::{
    Amount, Block, BlockHash, CompactTarget, Network, Sequence, TxIn, TxMerkleNode, TxOut, Witness,
    absolute::LockTime, transaction::Version,
};

fn tx(spends: &[OutPoint], script: u8) -> Transaction {
    let input = |previous_output: &OutPoint| TxIn {
        previous_output: *previous_output,
        script_sig: ScriptBuf::new(),
        sequence: Sequence::MAX,
        witness: Witness::new(),
    };
    Transaction {
        version: Version::TWO,
        lock_time: LockTime::ZERO,
        input: spends.iter().map(input).collect(),
        output: vec![TxOut {
            value: Amount::from_sat(1_000),
            script_pubkey: ScriptBuf::from_bytes(vec![script]),
        }],
    }
}

fn coin(number: u8) -> OutPoint {
    OutPoint::new(Txid::from_byte_array([number; 32]), 0)
}

fn block(height: u32, branch: u32, txs: &[Transaction]) -> ChainEvent {
    let header = Header {
        version: BlockVersion::TWO,
        prev_blockhash: BlockHash::all_zeros(),
        merkle_root: TxMerkleNode::all_zeros(),
        time: branch,
        bits: CompactTarget::from_consensus(0x207f_ffff),
        nonce: height,
    };
    let at = BlockRef { height, hash: header.block_hash(), header, mtp: 0 };
    let block = Block { header, txdata: txs.to_vec() };
    ChainEvent::Connected { block: at, txs: Txs::Full(Arc::new(block)) }
}

fn back_to(event: &ChainEvent) -> ChainEvent {
    let ChainEvent::Connected { block, .. } = event else { panic!() };
    ChainEvent::Disconnected { fork: *block, gone: vec![] }
}

fn fresh() -> Watch {
    Watch::new(Locator::genesis(Network::Regtest))
}

fn watching(subject: Subject, inputs: &[OutPoint]) -> Watch {
    let mut watch = fresh();
    watch.register(Registration { subject, birth_height: 1, inputs: inputs.to_vec() });
    watch
}

fn apply(watch: &mut Watch, event: &ChainEvent) -> Vec<State> {
    watch.apply(event, &mut |_| vec![]).into_iter().map(|change| change.state).collect()
}

fn depth(state: &State) -> (u32, bool) {
    match state {
        State::Confirmed { depth, .. } => (*depth, true),
        State::Conflicted { depth, .. } => (*depth, false),
        State::Unseen | State::Mempool { .. } => (0, false),
    }
}

#[test]
fn a_transaction_goes_from_mempool_to_depth_and_back_by_a_reorganisation() {
    let wanted = tx(&[coin(1)], 1);
    let subject = Subject::Tx(wanted.compute_txid());
    let mut watch = watching(subject, &[]);
    let arc = Arc::new(wanted.clone());
    let added = ChainEvent::Mempool(MempoolDelta::Added { tx: arc.clone(), fee: Amount::ZERO });
    assert_eq!(apply(&mut watch, &added), [State::Mempool { tx: arc }]);
    let first = block(1, 0, &[]);
    assert_eq!(apply(&mut watch, &first), []);
    assert_eq!(depth(&apply(&mut watch, &block(2, 0, &[wanted]))[0]), (1, true));
    let removed =
        MempoolDelta::Removed { txid: Txid::all_zeros(), because: RemovedBecause::Evicted };
    assert_eq!(apply(&mut watch, &ChainEvent::Mempool(removed)), []);
    assert_eq!(depth(&apply(&mut watch, &block(3, 0, &[]))[0]), (2, true));
    assert_eq!(apply(&mut watch, &back_to(&first)), [State::Unseen]);
    assert_eq!(watch.cursor().tip().height, 1);
}

#[test]
fn a_rival_in_a_block_makes_a_conflict_that_a_reorganisation_undoes() {
    let wanted = tx(&[coin(1), coin(2)], 1);
    let rival = tx(&[coin(2)], 2);
    let subject = Subject::Tx(wanted.compute_txid());
    let mut watch = watching(subject, &[coin(1), coin(2)]);
    let first = block(1, 0, &[]);
    apply(&mut watch, &first);
    let states = apply(&mut watch, &block(2, 0, std::slice::from_ref(&rival)));
    assert_eq!(states, [State::Conflicted { by: rival.compute_txid(), depth: 1 }]);
    apply(&mut watch, &back_to(&first));
    assert_eq!(depth(&apply(&mut watch, &block(2, 1, &[wanted]))[0]), (1, true));
}

#[test]
fn a_spend_in_the_same_block_as_its_coin_is_seen() {
    let commitment = tx(&[coin(1)], 1);
    let output = OutPoint::new(commitment.compute_txid(), 0);
    let claim = tx(&[output], 2);
    let mut watch = watching(Subject::Spend(coin(1)), &[]);
    // The claim even stands first: order in the block does not matter for what is asked later.
    let event = block(1, 0, &[commitment, claim.clone()]);
    let changes = watch.apply(&event, &mut |change| match &change.subject {
        Subject::Spend(spent) if *spent == coin(1) => {
            vec![Registration { subject: Subject::Spend(output), birth_height: 1, inputs: vec![] }]
        }
        Subject::Tx(_) | Subject::Spend(_) | Subject::Script(_) => vec![],
    });
    assert_eq!(changes.len(), 2);
    let State::Confirmed { tx, .. } = watch.state(&Subject::Spend(output)) else { panic!() };
    assert_eq!(*tx, claim);
}

#[test]
fn a_script_is_seen_wherever_it_is_paid_and_nothing_is_told_beyond_a_hundred() {
    let mut watch = watching(Subject::Script(ScriptBuf::from_bytes(vec![7])), &[]);
    apply(&mut watch, &block(1, 0, &[tx(&[coin(1)], 7)]));
    for height in 2..=101 {
        let states = apply(&mut watch, &block(height, 0, &[]));
        assert_eq!(depth(&states[0]), (height, true));
    }
    assert_eq!(apply(&mut watch, &block(102, 0, &[])), []);
}

#[test]
fn a_watch_survives_its_bytes_and_odd_bytes_are_refused() {
    let wanted = tx(&[coin(1)], 1);
    let mut watch = watching(Subject::Tx(wanted.compute_txid()), &[coin(1)]);
    for subject in [Subject::Spend(coin(3)), Subject::Script(ScriptBuf::from_bytes(vec![9]))] {
        watch.register(Registration { subject, birth_height: 5, inputs: vec![] });
    }
    apply(&mut watch, &block(1, 0, &[wanted, tx(&[coin(3)], 9)]));
    let bytes = watch.encode();
    assert_eq!(Watch::decode(&bytes), Ok(watch));
    for cut in 0..bytes.len() {
        assert!(Watch::decode(&bytes[..cut]).is_err(), "{cut}");
    }
}

#[tokio::test]
async fn what_is_older_than_its_registration_is_looked_up() {
    use crate::{BuiltinChain, ChainBackend, Sandbox};
    let chain = BuiltinChain::in_memory(|| 1_700_000_000).unwrap();
    let script = ScriptBuf::from_bytes(vec![0x51]);
    chain.mine(5, script.clone()).await.unwrap();
    let block = chain.header_at(1).await.unwrap();
    let coinbase = chain.block(block.hash).await.unwrap().txdata[0].clone();
    let mut watch = Watch::new(Locator::at(chain.tip().await.unwrap().id()));
    for subject in [Subject::Tx(coinbase.compute_txid()), Subject::Script(script)] {
        let registration =
            Registration { subject: subject.clone(), birth_height: 1, inputs: vec![] };
        watch.register(registration);
        let change = backfill(&mut watch, &chain, &subject).await.unwrap().unwrap();
        assert_eq!(depth(&change.state), (5, true));
        assert_eq!(backfill(&mut watch, &chain, &subject).await.unwrap(), None);
        watch.forget(&subject);
        assert_eq!(watch.state(&subject), State::Unseen);
    }
    let unspent = Subject::Spend(OutPoint::new(coinbase.compute_txid(), 0));
    watch.register(Registration { subject: unspent.clone(), birth_height: 1, inputs: vec![] });
    assert_eq!(backfill(&mut watch, &chain, &unspent).await.unwrap(), None);
}
