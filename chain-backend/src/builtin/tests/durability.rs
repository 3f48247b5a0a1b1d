//! Tests of `durability`.

use super::harness::{Bench, COIN, child, miner, options, out};
use crate::builtin::chainstate::{Chainstate, Derived, Options};
use crate::builtin::reader::Cursor;
use crate::{BuiltinChain, ChainBackend, ChainError, Locator, Sandbox};
use bitcoin::{BlockHash, Network};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn copy(from: &Path, to: &Path) {
    for name in ["blk/blk00000.dat", "rev/rev00000.dat", "mark/mark00000.dat"] {
        fs::create_dir_all(to.join(name).parent().unwrap()).unwrap();
        fs::copy(from.join(name), to.join(name)).unwrap();
    }
}

fn truncate(file: &PathBuf, length: u64) {
    fs::OpenOptions::new().write(true).open(file).unwrap().set_len(length).unwrap();
}

/// A chain with payments, a reorganisation and a ruled-out block; the hashes of all tips it ever had.
fn lively(dir: &Path) -> (BlockHash, u64, BTreeSet<BlockHash>) {
    let mut bench = Bench::open(Some(dir));
    let mut tips = BTreeSet::new();
    for round in 0..6 {
        let tx = bench.pay(vec![out(COIN, miner())], 1_000);
        bench.submit(&tx).unwrap();
        bench.submit(&child(&tx, &[0], 1_000)).unwrap();
        bench.mine(1);
        tips.insert(bench.chain.tip().hash);
        if round == 3 {
            bench.chain.reorg(2, &BTreeSet::new(), &miner()).unwrap();
            tips.insert(bench.chain.tip().hash);
            bench.chain.invalidate(bench.chain.tip().hash).unwrap();
            bench.mine(1);
        }
    }
    (bench.chain.tip().hash, bench.chain.totals().supply_sat, tips)
}

#[test]
fn a_chain_comes_back_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let (tip, supply, _) = lively(dir.path());
    for _ in 0..2 {
        let chain = Chainstate::open(&options(Some(dir.path()))).unwrap();
        assert_eq!((chain.tip().hash, chain.totals().supply_sat), (tip, supply));
    }
}

#[test]
fn however_the_last_write_was_torn_a_whole_chain_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let (tip, supply, _) = lively(dir.path());
    let length = |name: &str| fs::metadata(dir.path().join(name)).unwrap().len();
    let (blk, rev) = (length("blk/blk00000.dat"), length("rev/rev00000.dat"));
    let mut heights = Vec::new();
    let cuts = (0..40).map(|i| blk - i * 37).chain((0..12).map(|i| blk * i / 12));
    for (number, cut) in cuts.enumerate() {
        let image = tempfile::tempdir().unwrap();
        copy(dir.path(), image.path());
        truncate(&image.path().join("blk/blk00000.dat"), cut);
        // Undo data is not synced: it may have lost any amount, and be torn in the middle.
        let rev_cut = rev * (number as u64 % 7) / 6;
        truncate(&image.path().join("rev/rev00000.dat"), rev_cut);
        let mut chain = Chainstate::open(&options(Some(image.path()))).unwrap();
        heights.push(chain.tip().height);
        if cut == blk {
            assert_eq!((chain.tip().hash, chain.totals().supply_sat), (tip, supply));
        }
        // It goes on from there, and a reader can follow all of it.
        chain.mine(1, &miner()).unwrap();
        let mut cursor = Cursor { locator: Locator::genesis(Network::Regtest), next: None };
        while !chain.read(&mut cursor).unwrap().is_empty() {}
        assert_eq!(cursor.locator.tip(), chain.tip().id());
        let again = chain.tip().hash;
        drop(chain);
        assert_eq!(Chainstate::open(&options(Some(image.path()))).unwrap().tip().hash, again);
    }
    assert!(heights.contains(&0), "even the genesis block may be torn");
}

#[test]
fn a_tail_of_zeros_is_cut_but_damage_before_good_blocks_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (tip, ..) = lively(dir.path());
    let file = dir.path().join("blk/blk00000.dat");
    let whole = fs::read(&file).unwrap();
    let mut tail = whole.clone();
    tail.extend([0; 5_000]);
    fs::write(&file, &tail).unwrap();
    assert_eq!(Chainstate::open(&options(Some(dir.path()))).unwrap().tip().hash, tip);
    assert_eq!(fs::read(&file).unwrap(), whole);
    let mut damaged = whole;
    damaged[3_000] ^= 1;
    fs::write(&file, &damaged).unwrap();
    let refused = Chainstate::open(&options(Some(dir.path())));
    let text = refused.err().unwrap().to_string();
    assert!(text.contains("damaged at byte"), "{text}");
}

/// With an index from the first block on; a chain so short would have none.
fn indexed(dir: &Path) -> Options {
    Options { cache_bytes: 0, ..options(Some(dir)) }
}

/// A lively chain that stopped in order, so that its index has all of it.
fn stopped(dir: &Path) -> (BlockHash, Derived) {
    let (tip, ..) = lively(dir);
    assert!(!dir.join("index").exists(), "it is too short for one");
    let mut chain = Chainstate::open(&indexed(dir)).unwrap();
    let derived = chain.derived();
    chain.save().unwrap();
    (tip, derived)
}

#[test]
fn a_directory_without_an_index_gets_one_and_making_it_anew_gives_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let (tip, derived) = stopped(dir.path());
    let index = dir.path().join("index");
    assert!(index.is_dir());
    let anew = Options { reindex: true, ..indexed(dir.path()) };
    for options in [indexed(dir.path()), anew] {
        let chain = Chainstate::open(&options).unwrap();
        assert_eq!((chain.tip().hash, chain.derived()), (tip, derived.clone()));
    }
    // As a directory of an earlier version.
    fs::remove_dir_all(&index).unwrap();
    for _ in 0..2 {
        let chain = Chainstate::open(&indexed(dir.path())).unwrap();
        assert_eq!((chain.tip().hash, chain.derived()), (tip, derived.clone()));
    }
}

#[test]
fn an_index_that_is_damaged_or_ahead_of_the_blocks_is_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    let (tip, derived) = stopped(dir.path());
    for name in fs::read_dir(dir.path().join("index")).unwrap() {
        let generation = name.unwrap().path();
        if generation.is_dir() {
            fs::write(generation.join("db"), b"what is this").unwrap();
        }
    }
    let mut chain = Chainstate::open(&indexed(dir.path())).unwrap();
    assert_eq!((chain.tip().hash, chain.derived()), (tip, derived));
    let last = chain.tip();
    chain.save().unwrap();
    drop(chain);
    // The last block is gone, and the index still speaks of it.
    let file = dir.path().join("blk/blk00000.dat");
    let length = fs::metadata(&file).unwrap().len();
    truncate(&file, length - 10);
    let mut chain = Chainstate::open(&indexed(dir.path())).unwrap();
    assert!(chain.block_ref(last.hash).is_none());
    chain.mine(1, &miner()).unwrap();
}

#[test]
fn damage_of_a_block_is_told_when_it_is_read_and_when_all_are() {
    let dir = tempfile::tempdir().unwrap();
    let (tip, _) = stopped(dir.path());
    let file = dir.path().join("blk/blk00000.dat");
    let mut damaged = fs::read(&file).unwrap();
    damaged[3_000] ^= 1;
    fs::write(&file, &damaged).unwrap();
    let mut chain = Chainstate::open(&indexed(dir.path())).unwrap();
    assert_eq!(chain.tip().hash, tip);
    let hashes = (1..chain.tip().height).map(|height| chain.header_at(height).unwrap().hash);
    let hashes: Vec<BlockHash> = hashes.collect();
    let told = hashes.into_iter().filter_map(|hash| chain.block(hash).err());
    let told: Vec<String> = told.map(|error| error.to_string()).collect();
    assert!(matches!(&told[..], [one] if one.contains("damaged or gone")), "{told:?}");
    drop(chain);
    let anew = Options { reindex: true, ..indexed(dir.path()) };
    let text = Chainstate::open(&anew).err().unwrap().to_string();
    assert!(text.contains("damaged at byte"), "{text}");
}

#[test]
fn a_ruled_out_block_stays_ruled_out_over_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = Bench::open(Some(dir.path()));
    let tip = bench.chain.tip();
    bench.chain.invalidate(tip.hash).unwrap();
    drop(bench);
    let mut chain = Chainstate::open(&options(Some(dir.path()))).unwrap();
    assert_eq!(chain.tip().height, tip.height - 1);
    chain.reconsider(tip.hash).unwrap();
    drop(chain);
    assert_eq!(Chainstate::open(&options(Some(dir.path()))).unwrap().tip(), tip);
}

#[tokio::test]
async fn a_directory_has_one_owner_and_an_orderly_stop_keeps_the_mempool() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = Bench::open(Some(dir.path()));
    let tx = bench.pay(vec![], 1_000);
    drop(bench);
    let chain = BuiltinChain::open(&options(Some(dir.path()))).unwrap();
    let second = BuiltinChain::open(&options(Some(dir.path())));
    assert!(matches!(second, Err(ChainError::Storage(crate::builtin::StorageError::Locked(_)))));
    assert!(chain.submit(crate::Package::single(tx.clone()), None).await.is_success());
    chain.stop().await;
    assert!(matches!(chain.tip().await, Err(crate::BackendError::Unavailable(_))));
    let chain = BuiltinChain::open(&options(Some(dir.path()))).unwrap();
    assert_eq!(chain.mempool().await.unwrap(), [std::sync::Arc::new(tx)]);
    chain.abandon().await;
}
