//! Hundreds of disks as a kill or a power cut may leave them: whatever was acknowledged is there
//! after opening, what is there is exactly a beginning of what was written, and it goes on from there.
//!
//! `VIADUCT_CRASH_SEEDS` sets the number of seeds for each kind of loss (default 100).

use super::*;
use crate::disk::{Dice, Failure, Loss, Operation, Plan};

/// What a client of the journal knows.
#[derive(Default)]
struct Client {
    /// Every payload that was ever appended and not found lost since, the first one first.
    written: Vec<Vec<u8>>,
    /// So many of them were acknowledged.
    acked: usize,
    images: u64,
    torn: u64,
    /// Openings that found records that had never been acknowledged.
    bonus: u64,
}

/// What folding payloads in their order gives; equal only for the same payloads in the same order.
fn fold(state: u64, payload: &[u8]) -> u64 {
    let mut state = state ^ 0x9e37_79b9_7f4a_7c15;
    for byte in payload.iter().copied().chain([payload.len() as u8]) {
        state = (state ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(5);
    }
    state
}

impl Client {
    fn state(&self, upto: usize) -> u64 {
        self.written[..upto].iter().fold(0, |state, payload| fold(state, payload))
    }

    /// Opens the journal and compares all of it; an error only if the disk gives one on purpose.
    fn open(&mut self, disk: &MemoryDisk) -> Result<Journal<MemoryDisk>, JournalError> {
        let mut recovery = Recovery::start(disk.clone(), SMALL)?;
        let (mut reached, mut state) = (0, 0);
        if let Some(snapshot) = recovery.take_snapshot() {
            reached = snapshot.seq as usize;
            state = snapshot.payload[..8].iter().rev().fold(0, |n, byte| n << 8 | u64::from(*byte));
            assert_eq!(state, self.state(reached), "a snapshot is another state");
        }
        while let Some(record) = recovery.next_record()? {
            assert_eq!(record.seq as usize, reached + 1, "a gap");
            assert_eq!(record.payload, self.written[reached], "another record");
            state = fold(state, record.payload);
            reached += 1;
        }
        assert!(reached >= self.acked, "acknowledged: {}, found: {reached}", self.acked);
        assert!(reached <= self.written.len());
        assert_eq!(state, self.state(reached));
        let (journal, report) = recovery.finish()?;
        assert_eq!(journal.durable() as usize, reached);
        self.torn += u64::from(report.torn.is_some());
        self.bonus += u64::from(reached > self.acked);
        self.images += 1;
        // From here on the records count: effects were released for them.
        self.written.truncate(reached);
        self.acked = reached;
        Ok(journal)
    }

    /// Appends, syncs, rotates, snapshots and retires until something fails.
    fn work(
        &mut self,
        journal: &mut Journal<MemoryDisk>,
        dice: &mut Dice,
    ) -> Result<(), JournalError> {
        let history = journal.history();
        for _ in 0..40 {
            for _ in 0..=dice.below(6) {
                let length = if dice.chance(5) { dice.below(6_000) } else { dice.below(400) };
                let fill = dice.roll() as u8;
                let payload: Vec<u8> = (0..length).map(|at| fill.wrapping_add(at as u8)).collect();
                let seq = journal.append(&payload)?;
                assert_eq!(seq as usize, self.written.len() + 1);
                self.written.push(payload);
            }
            let durable = journal.sync();
            if durable.is_err() {
                assert!(matches!(journal.append(b"late"), Err(JournalError::Poisoned)));
                assert!(matches!(journal.sync(), Err(JournalError::Poisoned)));
            }
            self.acked = durable? as usize;
            assert_eq!(self.acked, self.written.len());
            if dice.chance(10) {
                journal.rotate()?;
            }
            if dice.chance(15) {
                let sealed = history.sealed()?;
                let state = self.state(sealed as usize);
                let mut payload = state.to_le_bytes().to_vec();
                payload.resize(8 + dice.below(9_000), 0x77);
                if sealed > 0 {
                    history.write_snapshot(sealed, &payload)?;
                    history.retire()?;
                }
            }
        }
        Ok(())
    }
}

/// What goes wrong in one life of the process.
fn misfortune(dice: &mut Dice) -> Plan {
    let failing =
        [Operation::SyncData, Operation::Write, Operation::Preallocate, Operation::SyncDir];
    match dice.below(11) {
        0 => Plan::default(),
        1 | 2 => {
            let operation = failing[dice.below(failing.len())];
            let how = [Failure::Io, Failure::Full, Failure::Half][dice.below(3)];
            Plan::default().fail(operation, 1 + dice.below(30) as u64, how)
        }
        // In the middle of a group: its parts may survive in any combination.
        3 | 4 => Plan::default().kill_in(failing[dice.below(2)], 3 + dice.below(40) as u64),
        // While old segments are retired.
        8 => Plan::default().kill_in(Operation::Remove, 2 + dice.below(25) as u64),
        // Openings take some dozen operations: every third kill falls into one.
        5..=7 => Plan::default().kill_at(1 + dice.below(45) as u64),
        _ => Plan::default().kill_at(1 + dice.below(400) as u64),
    }
}

fn lives(seed: u64, entries: Entries, loss: Loss, totals: &mut (u64, u64, u64)) {
    let mut dice = Dice::new(seed);
    let mut client = Client::default();
    let mut disk = MemoryDisk::new(entries);
    for _ in 0..5 {
        disk.set_plan(misfortune(&mut dice));
        if let Ok(mut journal) = client.open(&disk) {
            let _ = client.work(&mut journal, &mut dice);
        }
        // The process died or was killed; now and then the power goes with it.
        disk = if dice.chance(30) { disk.restart() } else { disk.power_cut(dice.roll(), loss) };
    }
    client.open(&disk).unwrap_or_else(|error| panic!("seed {seed} {entries:?} {loss:?}: {error}"));
    totals.0 += client.images;
    totals.1 += client.torn;
    totals.2 += client.bonus;
}

#[test]
fn c42_whatever_was_acknowledged_survives_every_crash() {
    let seeds = std::env::var("VIADUCT_CRASH_SEEDS").map_or(100, |seeds| seeds.parse().unwrap());
    let mut totals = (0, 0, 0);
    for entries in [Entries::Ext4, Entries::Posix] {
        for loss in Loss::ALL {
            for seed in 0..seeds {
                lives(seed, entries, loss, &mut totals);
            }
        }
    }
    let (images, torn, bonus) = totals;
    println!(
        "{images} images opened, {torn} with a torn tail, {bonus} with unacknowledged records"
    );
    // The suite is worth something only if it meets the cases it is about.
    assert!(images > seeds * 8 * 3 && torn > seeds / 2 && bonus > seeds);
}

#[test]
fn a_kill_at_every_single_operation_of_an_opening_loses_nothing() {
    let healthy = filled(60);
    let before = healthy.operations();
    drop(open(&healthy).unwrap());
    let operations = healthy.operations() - before;
    assert!(operations > 20);
    for nth in 1..=operations {
        for (loss, entries) in Loss::ALL.into_iter().flat_map(|l| [(l, 0), (l, 1)]) {
            let disk = filled(60);
            disk.set_plan(Plan::default().kill_at(nth));
            assert!(open(&disk).is_err());
            let next = if entries == 0 { disk.restart() } else { disk.power_cut(nth, loss) };
            assert_eq!(open(&next).unwrap().2.len(), 60);
        }
    }
}

#[test]
fn a_record_read_from_the_cache_after_a_failed_sync_is_made_durable_before_it_counts() {
    let disk = filled(3);
    let (mut journal, ..) = open(&disk).unwrap();
    journal.append(b"settled").unwrap();
    disk.set_plan(Plan::default().fail(Operation::SyncData, 1, Failure::Io));
    assert!(journal.sync().is_err());
    drop(journal);
    // The next process reads it, believes it, and acts on it.
    let next = disk.restart();
    let (journal, report, records) = open(&next).unwrap();
    assert_eq!((report.last, records[3].1.as_slice()), (4, b"settled".as_slice()));
    drop(journal);
    let after = next.power_cut(1, Loss::Drop);
    assert_eq!(open(&after).unwrap().2.len(), 4);
}
