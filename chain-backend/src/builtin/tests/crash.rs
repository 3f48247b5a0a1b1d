//! A process that dies at any write, a power cut, an index that is behind, damaged or gone: what comes back is what a
//! replay of the best chain gives.

use super::harness::{Bench, COIN, child, miner, options, out};
use crate::builtin::chainstate::{ChainError, Chainstate, Derived, Index, Options, Shelf};
use crate::builtin::storage::{Site, Storage};
use bitcoin::{BlockHash, Transaction};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use store::disk::{Entries, Loss, MemoryDisk, Plan};
use store::engine::{Batch, Engine, EngineError, MemoryEngine};

/// What a shelf was asked to do.
#[derive(Clone, Debug)]
pub(super) enum Told {
    Batch(Batch),
    Reset,
    Closed,
}

/// A shelf that tells what it was asked to do.
#[derive(Debug)]
struct Recorder {
    engine: Arc<MemoryEngine>,
    told: Sender<Told>,
}

impl Shelf for Recorder {
    fn reader(&self) -> Arc<dyn Engine> {
        Arc::<MemoryEngine>::clone(&self.engine)
    }

    fn apply(&mut self, batch: Batch) -> Result<(), EngineError> {
        self.engine.apply(&batch)?;
        // Who set the stage may have gone.
        let _ = self.told.send(Told::Batch(batch));
        Ok(())
    }

    fn reset(&mut self) -> Result<(), EngineError> {
        self.engine = Arc::new(MemoryEngine::new());
        let _ = self.told.send(Told::Reset);
        Ok(())
    }

    fn close(&mut self) -> Result<(), EngineError> {
        let _ = self.told.send(Told::Closed);
        Ok(())
    }
}

/// A machine: its disk, and what its index was told.
#[derive(Debug)]
pub(super) struct Machine {
    pub(super) disk: MemoryDisk,
    history: Vec<Told>,
    pub(super) options: Options,
}

impl Machine {
    pub(super) fn new(entries: Entries, cache_bytes: usize) -> Self {
        let options = Options { sync: true, scripts: true, cache_bytes, ..options(None) };
        Self { disk: MemoryDisk::new(entries), history: Vec::new(), options }
    }

    /// A process on it, and the ear at its index.
    pub(super) fn start(&self) -> Result<(Bench, Receiver<Told>), ChainError> {
        let (chain, ear) = self.open()?;
        Ok((Bench::of(chain), ear))
    }

    #[expect(clippy::unwrap_in_result, reason = "an engine in memory takes everything")]
    pub(super) fn open(&self) -> Result<(Chainstate, Receiver<Told>), ChainError> {
        let (told, ear) = channel();
        let engine = Arc::new(MemoryEngine::new());
        for told in &self.history {
            match told {
                Told::Batch(batch) => engine.apply(batch).unwrap(),
                Told::Reset | Told::Closed => {}
            }
        }
        let disk = || self.disk.clone();
        let site = Site {
            dir: "machine".into(),
            root: disk(),
            blk: disk(),
            rev: disk(),
            mark: disk(),
            magic: [0xfa, 0xbf, 0xb5, 0xda],
            sync: true,
            file_bytes_max: self.options.file_bytes_max,
        };
        let shelf = Box::new(Recorder { engine, told });
        let begin = |shelf, reached, cache| Ok(Index::at_once(shelf, reached, cache));
        Ok((Chainstate::on(&self.options, Storage::open(site)?, shelf, begin)?, ear))
    }

    /// Another one just like it.
    pub(super) fn again(&self) -> Self {
        let (history, options) = (self.history.clone(), self.options.clone());
        Self { disk: self.disk.restart(), history, options }
    }

    /// All that the index was told until now, each word heard once.
    fn heard(&self, ear: &Receiver<Told>) -> Vec<Told> {
        let mut history = self.history.clone();
        for told in ear.try_iter() {
            if matches!(told, Told::Reset) {
                history.clear();
            }
            history.push(told);
        }
        history
    }

    /// How many of those a killed process leaves at least.
    fn kept(history: &[Told]) -> usize {
        history.iter().rposition(|told| matches!(told, Told::Closed)).map_or(0, |at| at + 1)
    }

    /// The machine after its process was killed, with an index that has lost what it had not written yet.
    pub(super) fn killed(&self, ear: &Receiver<Told>, lost: usize) -> Self {
        let mut history = self.heard(ear);
        let kept = history.len().saturating_sub(lost).max(Self::kept(&history));
        history.truncate(kept);
        Self { disk: self.disk.restart(), history, options: self.options.clone() }
    }

    /// The machine after a power cut: an index that was open is not believed.
    pub(super) fn cut(&self, ear: &Receiver<Told>, seed: u64, loss: Loss) -> Self {
        let history = self.heard(ear);
        let image = self.cut_while_open(seed, loss);
        let closed = matches!(history.last(), Some(Told::Closed));
        if closed { Self { history, ..image } } else { image }
    }

    /// The machine after a power cut while a process ran.
    pub(super) fn cut_while_open(&self, seed: u64, loss: Loss) -> Self {
        let (disk, options) = (self.disk.power_cut(seed, loss), self.options.clone());
        Self { disk, history: Vec::new(), options }
    }
}

/// What a replay from genesis gives, by tip.
#[derive(Debug, Default)]
pub(super) struct Replays {
    known: BTreeMap<(BlockHash, Option<u32>), Derived>,
}

impl Replays {
    /// Whether what is derived is what a replay derives.
    pub(super) fn compare(&mut self, chain: &mut Chainstate) {
        let (tip, scripts) = (chain.tip(), chain.scripts_reach());
        let expected = self.known.entry((tip.hash, scripts)).or_insert_with(|| {
            let mut replay = Chainstate::open(&options(None)).unwrap();
            for height in 1..=tip.height {
                let hash = chain.header_at(height).unwrap().hash;
                replay.submit_block((*chain.block(hash).unwrap()).clone()).unwrap();
            }
            for _ in 0..scripts.map_or(0, |reach| reach.max(1)) {
                replay.follow_scripts(1).unwrap();
            }
            assert_eq!(replay.scripts_reach(), scripts);
            replay.derived()
        });
        assert_eq!(&chain.derived(), expected);
        chain.check();
    }
}

/// The payments of the story, each made once: signatures cost time.
struct Story {
    start: Machine,
    payments: Vec<(Transaction, Transaction)>,
}

impl Story {
    /// A machine that stopped in order at height 110.
    fn new(entries: Entries, cache_bytes: usize, scripts: bool) -> Self {
        let mut machine = Machine::new(entries, cache_bytes);
        machine.options.scripts = scripts;
        let (mut bench, ear) = machine.start().unwrap();
        let payments = (0..4).map(|_| {
            let tx = bench.pay(vec![out(COIN, miner()), out(COIN, miner())], 1_000);
            let kid = child(&tx, &[0], 1_000);
            (tx, kid)
        });
        let payments = payments.collect();
        bench.chain.save().unwrap();
        drop(bench);
        Self { start: machine.killed(&ear, 0), payments }
    }

    fn machine(&self) -> Machine {
        self.start.again()
    }

    /// Blocks, payments, reorganisations, a judgement. Answers every tip that was told before the end.
    fn tell(&self, bench: &mut Bench) -> (Result<(), ChainError>, Vec<BlockHash>) {
        let mut tips = Vec::new();
        let told = self.steps(bench, &mut tips);
        (told, tips)
    }

    #[expect(clippy::unwrap_in_result, reason = "the mempool takes what a case hands in")]
    fn steps(&self, bench: &mut Bench, tips: &mut Vec<BlockHash>) -> Result<(), ChainError> {
        for (round, (tx, kid)) in self.payments.iter().enumerate() {
            bench.submit(tx).unwrap();
            bench.submit(kid).unwrap();
            bench.chain.mine(1, &miner())?;
            tips.push(bench.chain.tip().hash);
            // Whoever looks for a script makes them all something that can be looked up, little by little.
            bench.chain.follow_scripts(40).map_err(|_| ChainError::Stopped)?;
            if round == 1 {
                let left_out = BTreeSet::from([kid.compute_txid()]);
                bench.chain.reorg(2, &left_out, &miner())?;
                tips.push(bench.chain.tip().hash);
            }
            if round == 2 {
                bench.chain.invalidate(bench.chain.tip().hash)?;
                bench.chain.mine(2, &miner())?;
                tips.push(bench.chain.tip().hash);
            }
        }
        bench.chain.save()?;
        Ok(())
    }
}

/// It comes back with every tip that was told, as a replay has it, and goes on.
fn comes_back(machine: &Machine, tips: &[BlockHash], replays: &mut Replays) {
    let (mut chain, ear) = machine.open().unwrap();
    for tip in tips {
        assert!(chain.block_ref(*tip).is_some(), "a tip that was told is known");
    }
    replays.compare(&mut chain);
    chain.mine(1, &miner()).unwrap();
    let tip = chain.tip().hash;
    drop(chain);
    let (chain, _ear) = machine.killed(&ear, usize::MAX).open().unwrap();
    assert_eq!(chain.tip().hash, tip);
}

/// As long as the story goes: kills a process at its `nth` operation and hands what is left to `check`.
fn at_each_operation(
    story: &Story,
    mut check: impl FnMut(u64, &Machine, &Receiver<Told>, &[BlockHash]),
) {
    for nth in 1.. {
        let machine = story.machine();
        let (mut bench, ear) = machine.start().unwrap();
        machine.disk.set_plan(Plan::default().kill_at(nth));
        let (told, tips) = story.tell(&mut bench);
        drop(bench);
        check(nth, &machine, &ear, &tips);
        if told.is_ok() {
            assert!(nth > 40, "{nth} operations are no story");
            return;
        }
    }
}

#[test]
fn killed_at_any_write_it_comes_back_whole() {
    let mut replays = Replays::default();
    let story = Story::new(Entries::Ext4, 0, false);
    at_each_operation(&story, |nth, machine, ear, tips| {
        let lost = usize::try_from(nth).unwrap() * 7 % 40;
        comes_back(&machine.killed(ear, lost), tips, &mut replays);
    });
}

#[test]
fn whatever_a_power_cut_leaves_it_comes_back_whole() {
    let mut replays = Replays::default();
    let story = Story::new(Entries::Posix, 0, true);
    at_each_operation(&story, |nth, machine, ear, tips| {
        let loss = Loss::ALL[usize::try_from(nth).unwrap() % Loss::ALL.len()];
        comes_back(&machine.cut(ear, nth, loss), tips, &mut replays);
    });
}

#[test]
fn an_index_that_stopped_after_any_of_its_batches_is_finished_from_the_blocks() {
    let mut replays = Replays::default();
    // A group for each block, and groups of several.
    for (cache_bytes, scripts) in [(0, false), (0, true), (200_000, false)] {
        let story = Story::new(Entries::Ext4, cache_bytes, scripts);
        let machine = story.machine();
        let (mut bench, ear) = machine.start().unwrap();
        let (told, tips) = story.tell(&mut bench);
        told.unwrap();
        let tip = bench.chain.tip();
        drop(bench);
        let history = machine.heard(&ear);
        // The last of it says that all is durable; here it is not.
        for batches in (Machine::kept(&story.start.history)..history.len()).rev() {
            let mut image = machine.killed(&ear, 0);
            image.history = history[..batches].to_vec();
            let (mut chain, _ear) = image.open().unwrap();
            assert_eq!(chain.tip(), tip);
            replays.compare(&mut chain);
            assert!(tips.iter().all(|tip| chain.block_ref(*tip).is_some()));
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Mine(u32),
    Pay,
    Child,
    Reorg(u32, bool),
    Invalidate(u32),
    Look(usize),
    Stop,
    Kill { lost: usize },
    Cut { seed: u64, loss: usize },
    Reindex,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1_u32..4).prop_map(Step::Mine),
        3 => Just(Step::Pay),
        3 => Just(Step::Child),
        3 => (1_u32..8, any::<bool>()).prop_map(|(depth, exclude)| Step::Reorg(depth, exclude)),
        1 => (0_u32..4).prop_map(Step::Invalidate),
        2 => (1_usize..30).prop_map(Step::Look),
        1 => Just(Step::Stop),
        3 => (0_usize..60).prop_map(|lost| Step::Kill { lost }),
        1 => (any::<u64>(), 0_usize..4).prop_map(|(seed, loss)| Step::Cut { seed, loss }),
        1 => Just(Step::Reindex),
    ]
}

fn run(steps: Vec<Step>, cache_bytes: usize) {
    let mut machine = Machine::new(Entries::Ext4, cache_bytes);
    machine.options.scripts = false;
    let mut replays = Replays::default();
    let (mut bench, mut ear) = machine.start().unwrap();
    let (mut last, mut paid): (Option<Transaction>, _) = (None, 0);
    for step in steps {
        let tip = bench.chain.tip().hash;
        let next = match step {
            Step::Mine(count) => {
                bench.mine(count);
                None
            }
            Step::Pay if paid < 9 => {
                paid += 1;
                let tx = bench.pay(vec![], 1_000);
                last = bench.submit(&tx).is_ok().then_some(tx).or(last);
                None
            }
            Step::Pay => None,
            Step::Child => {
                let tx = last.as_ref().map(|parent| child(parent, &[0], 1_000));
                last = tx.filter(|tx| bench.submit(tx).is_ok()).or(last);
                None
            }
            Step::Reorg(depth, exclude) => {
                let left_out = last.iter().filter(|_| exclude).map(Transaction::compute_txid);
                bench.chain.reorg(depth, &left_out.collect(), &miner()).unwrap();
                None
            }
            Step::Invalidate(below) => {
                let height = bench.chain.tip().height - below;
                let hash = bench.chain.header_at(height).unwrap().hash;
                bench.chain.invalidate(hash).unwrap();
                None
            }
            Step::Look(blocks) => {
                bench.chain.follow_scripts(blocks).unwrap();
                None
            }
            Step::Stop => {
                bench.chain.save().unwrap();
                Some(machine.killed(&ear, usize::MAX))
            }
            Step::Kill { lost } => Some(machine.killed(&ear, lost)),
            Step::Cut { seed, loss } => Some(machine.cut(&ear, seed, Loss::ALL[loss])),
            Step::Reindex => {
                let mut next = machine.killed(&ear, 0);
                next.options.reindex = true;
                Some(next)
            }
        };
        if let Some(next) = next {
            drop(bench);
            machine = next;
            let (mut chain, new_ear) = machine.open().unwrap();
            assert_eq!(chain.tip().hash, tip, "a tip that was told is the tip again");
            replays.compare(&mut chain);
            machine.options.reindex = false;
            (bench, ear) = (Bench::of(chain), new_ear);
            bench.skip(paid);
            last = None;
        }
    }
    replays.compare(&mut bench.chain);
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: std::env::var("VIADUCT_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(24),
        max_shrink_iters: 200,
        ..ProptestConfig::default()
    })]
    #[test]
    fn coins_and_index_are_those_of_a_replay_whatever_happens(
        steps in proptest::collection::vec(step(), 1..40),
        cache_bytes in prop_oneof![Just(0), Just(40_000), Just(400_000)],
    ) {
        run(steps, cache_bytes);
    }
}
