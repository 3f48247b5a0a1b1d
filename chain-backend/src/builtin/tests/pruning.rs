//! Old blocks go when nobody needs them, and only then.

use super::crash::Machine;
use super::harness::{Bench, COIN, miner, out};
use crate::builtin::chainstate::ChainError;
use crate::builtin::reader::Cursor;
use crate::{BackendError, ChainEvent, Locator};
use bitcoin::Network;
use store::disk::{Disk, Entries, Loss, Plan};

/// A machine that prunes, with files of some forty blocks.
fn machine() -> Machine {
    let mut machine = Machine::new(Entries::Ext4, 100_000);
    machine.options.prune = true;
    machine.options.file_bytes_max = 10_000;
    machine
}

fn block_files(machine: &Machine) -> usize {
    let names = machine.disk.list().unwrap();
    names.iter().filter(|name| name.starts_with("blk")).count()
}

fn first_block_is_gone(bench: &mut Bench) -> bool {
    let hash = bench.chain.header_at(1).unwrap().hash;
    match bench.chain.block(hash) {
        Ok(_) => false,
        Err(BackendError::Storage(words)) => {
            assert!(words.contains("was pruned"), "{words}");
            true
        }
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn old_files_go_and_what_they_came_to_outlives_the_loss_of_the_index() {
    let machine = machine();
    let (mut bench, ear) = machine.start().unwrap();
    let tx = bench.pay(vec![out(COIN, miner())], 1_000);
    bench.submit(&tx).unwrap();
    bench.mine(600);
    assert!(first_block_is_gone(&mut bench));
    assert!(block_files(&machine) < 14, "of some sixteen");
    let (tip, derived) = (bench.chain.tip(), bench.chain.derived());
    drop(bench);
    let killed = machine.killed(&ear, 0);
    for image in [killed, machine.cut_while_open(1, Loss::Drop)] {
        let (mut chain, _ear) = image.open().unwrap();
        assert_eq!(chain.tip(), tip);
        assert_eq!(chain.derived(), derived);
        assert_eq!(chain.header_at(1).map(|first| first.height), Some(1));
        // The deepest reorganisation for which blocks are always kept.
        chain.invalidate(chain.header_at(tip.height - 287).unwrap().hash).unwrap();
        assert_eq!(chain.tip().height, tip.height - 288);
        chain.reconsider(chain.branches()[0].tip.hash).unwrap();
        chain.reconsider(tip.hash).unwrap();
        assert_eq!((chain.tip(), chain.derived()), (tip, derived.clone()));
    }
}

#[test]
fn a_reader_that_is_kept_can_read_on_and_nobody_prunes_past_it() {
    let machine = machine();
    let (mut bench, ear) = machine.start().unwrap();
    bench.chain.keep_reader("alice", 100).unwrap();
    bench.chain.keep_reader("bob", 200).unwrap();
    let at = bench.chain.header_at(100).unwrap().id();
    bench.mine(700);
    drop(bench);
    // The names outlive the process.
    let machine = machine.killed(&ear, 0);
    let (mut bench, ear) = machine.start().unwrap();
    assert!(first_block_is_gone(&mut bench));
    let refused = bench.chain.prune(150);
    let words = refused.unwrap_err().to_string();
    assert!(words.contains("reader alice needs them from height 101 on"), "{words}");
    let mut cursor = Cursor { locator: Locator::at(at), next: None };
    let mut read = 0;
    loop {
        let events = bench.chain.read(&mut cursor).unwrap();
        if events.is_empty() {
            break;
        }
        read += events.iter().filter(|e| matches!(e, ChainEvent::Connected { .. })).count();
    }
    assert_eq!(u32::try_from(read).unwrap(), bench.chain.tip().height - 100);
    // A reader that nobody kept is told what happened to its blocks.
    let mut late = Cursor { locator: Locator::genesis(Network::Regtest), next: None };
    let words = bench.chain.read(&mut late).unwrap_err().to_string();
    assert!(words.contains("was pruned"), "{words}");
    // What it has, and what it no longer is, lets the files go.
    let files = block_files(&machine);
    bench.chain.keep_reader("alice", 300).unwrap();
    let fewer = block_files(&machine);
    assert!(fewer < files);
    assert!(bench.chain.forget_reader("bob").unwrap());
    assert!(!bench.chain.forget_reader("bob").unwrap());
    assert!(block_files(&machine) < fewer);
    let tip = bench.chain.tip().height;
    let refused = bench.chain.prune(tip - 287);
    assert!(matches!(refused, Err(ChainError::Needed { needed, .. }) if needed == 301));
    bench.chain.forget_reader("alice").unwrap();
    let words = bench.chain.prune(tip - 287).unwrap_err().to_string();
    assert!(words.contains("a reorganisation may need the last 288"), "{words}");
    drop((bench, ear));
}

#[test]
fn killed_while_it_prunes_it_comes_back_whole() {
    let mut start = machine();
    start.options.prune = false;
    let (mut bench, ear) = start.start().unwrap();
    bench.mine(500);
    let (tip, derived) = (bench.chain.tip(), bench.chain.derived());
    bench.chain.save().unwrap();
    drop(bench);
    let stopped = start.killed(&ear, 0);
    for nth in 1.. {
        let machine = stopped.again();
        let (mut bench, new_ear) = machine.start().unwrap();
        machine.disk.set_plan(Plan::default().kill_at(nth));
        let pruned = bench.chain.prune(tip.height - 288);
        drop(bench);
        for image in [machine.killed(&new_ear, 0), machine.cut_while_open(nth, Loss::Prefix)] {
            let (chain, _ear) = image.open().unwrap();
            assert_eq!((chain.tip(), chain.derived()), (tip, derived.clone()));
        }
        if pruned.is_ok() {
            assert!(nth > 10, "{nth} operations prune nothing");
            return;
        }
    }
}

#[test]
fn names_of_readers_are_bounded() {
    let (mut bench, _ear) = machine().start().unwrap();
    for name in ["", &"x".repeat(65), "two\nlines"] {
        let refused = bench.chain.keep_reader(name, 1);
        assert!(matches!(refused, Err(ChainError::ReaderName(64, 256))));
    }
    for number in 0..256 {
        bench.chain.keep_reader(&format!("reader {number}"), number).unwrap();
    }
    assert!(bench.chain.keep_reader("one more", 1).is_err());
    bench.chain.keep_reader("reader 3", 7).unwrap();
    let height = bench.chain.readers().get("reader 3").map(|place| place.height);
    assert_eq!(height, Some(7));
}

#[test]
fn a_reader_that_has_gone_for_good_holds_pruning_up_for_thirty_days() {
    let machine = machine();
    let (mut bench, _ear) = machine.start().unwrap();
    bench.chain.keep_reader("gone", 0).unwrap();
    bench.mine(600);
    let now = bench.chain.now();
    assert!(!first_block_is_gone(&mut bench));
    bench.chain.set_now(Some(now + 30 * 24 * 3_600 - 1));
    bench.mine(150);
    assert!(!first_block_is_gone(&mut bench));
    bench.chain.set_now(Some(now + 31 * 24 * 3_600));
    bench.mine(150);
    assert!(first_block_is_gone(&mut bench));
    assert!(bench.chain.readers().is_empty());
}
