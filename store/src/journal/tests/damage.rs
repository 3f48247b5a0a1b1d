//! Damage that no crash explains is an error, never an empty or a shorter journal.

use super::*;
use crate::disk::{Failure, Operation, Plan};

const FIRST_RECORD: usize = segment::HEADER_BYTES as usize;
const STRIDE: usize = RECORD_HEADER_BYTES + 100;

fn flip(disk: &MemoryDisk, name: &str, at: usize) -> MemoryDisk {
    let disk = disk.restart();
    let mut bytes = disk.content(name).unwrap();
    bytes[at] ^= 0x40;
    disk.set_content(name, &bytes);
    disk
}

#[test]
fn a_flipped_bit_anywhere_before_the_last_group_is_an_error() {
    let disk = filled(20);
    let name = &files(&disk, "segment-")[0];
    for at in (0..FIRST_RECORD + 19 * STRIDE).step_by(7) {
        let error = open(&flip(&disk, name, at)).map(|_| ()).unwrap_err();
        assert!(matches!(error, JournalError::Corrupt { .. }), "byte {at}: {error}");
    }
}

#[test]
fn a_flipped_bit_in_the_last_group_is_reported_with_what_was_cut() {
    let disk = filled(20);
    let name = &files(&disk, "segment-")[0];
    let last = FIRST_RECORD + 19 * STRIDE;
    let (_, report, records) = open(&flip(&disk, name, last + 50)).unwrap();
    assert_eq!(records.len(), 19);
    let torn = report.torn.unwrap();
    assert_eq!((torn.offset, torn.bytes, torn.after), (last as u64, STRIDE as u64, 19));
    assert_eq!(&torn.file, name);
}

#[test]
fn a_flipped_bit_in_a_segment_that_was_closed_is_an_error_also_in_its_last_group() {
    let disk = filled(20);
    drop(open(&disk).unwrap());
    let name = &files(&disk, "segment-")[0];
    let error = open(&flip(&disk, name, FIRST_RECORD + 19 * STRIDE + 50)).map(|_| ()).unwrap_err();
    assert!(matches!(error, JournalError::Corrupt { damage: Damage::Record, seq: 20, .. }));
}

#[test]
fn a_missing_segment_is_an_error() {
    let disk = filled(100);
    let names = files(&disk, "segment-");
    assert!(names.len() >= 3);
    for name in &names[..names.len() - 1] {
        let disk = disk.restart();
        disk.remove(name).unwrap();
        let error = open(&disk).map(|_| ()).unwrap_err();
        let named = matches!(error, JournalError::Missing { .. } | JournalError::Corrupt { .. });
        assert!(named, "{error}");
    }
}

#[test]
fn a_segment_shorter_than_it_was_is_an_error() {
    let disk = filled(100);
    let name = &files(&disk, "segment-")[0];
    let bytes = disk.content(name).unwrap();
    for length in [0, 10, FIRST_RECORD, FIRST_RECORD + 10 * STRIDE + 3] {
        let disk = disk.restart();
        disk.set_content(name, &bytes[..length]);
        assert!(open(&disk).is_err(), "cut to {length}");
    }
}

#[test]
fn a_read_that_fails_is_never_taken_for_nothing_there() {
    for operation in [Operation::Open, Operation::Read, Operation::List] {
        let mut nth = 1;
        loop {
            let disk = filled(60);
            disk.set_plan(Plan::default().fail(operation, nth, Failure::Io));
            let Err(error) = open(&disk) else { break };
            assert!(matches!(error, JournalError::Disk { .. }), "{operation:?} {nth}: {error}");
            drop(error);
            assert_eq!(open(&disk.restart()).unwrap().2.len(), 60);
            nth += 1;
        }
        assert!(nth > 2, "{operation:?} was never met");
    }
}

#[test]
fn a_full_disk_poisons_the_journal_and_keeps_what_was_acknowledged() {
    let disk = disk();
    let (mut journal, ..) = open(&disk).unwrap();
    disk.set_plan(Plan::default().capacity(20_000));
    let mut acked = 0;
    let error = loop {
        journal.append(&[7; 500]).unwrap();
        match journal.sync() {
            Ok(durable) => acked = durable,
            Err(error) => break error,
        }
    };
    let full = matches!(&error, JournalError::Disk { source, .. } if source.kind() == io::ErrorKind::StorageFull);
    assert!(full && acked > 10, "{error}");
    assert!(matches!(journal.append(b"x"), Err(JournalError::Poisoned)));
    drop(journal);
    let found = open(&disk.restart()).unwrap().1.last;
    assert!(found == acked || found == acked + 1);
}

#[test]
fn bytes_in_a_payload_cannot_pass_for_a_record() {
    // Somebody lets us store what would be a later, durable record if it stood by itself, and the
    // tail is torn right before it.
    let mut forged = Vec::new();
    let stamp = Stamp { seq: 3, epoch: 2, synced: 2 };
    record::encode(&mut forged, record::seed(0), stamp, b"all yours").unwrap();
    let disk = filled(1);
    let salted = |salt| Options { salt, ..SMALL };
    let (mut journal, _) = Recovery::start(disk.clone(), salted(99)).unwrap().finish().unwrap();
    journal.append(&forged).unwrap();
    journal.sync().unwrap();
    drop(journal);
    let disk = disk.restart();
    let name = files(&disk, "segment-").pop().unwrap();
    let (_, report, records) = open(&flip(&disk, &name, FIRST_RECORD)).unwrap();
    assert_eq!((records.len(), report.torn.is_some()), (1, true));
}

#[test]
fn a_record_of_another_epoch_is_not_one_of_ours() {
    let disk = filled(1);
    let name = &files(&disk, "segment-")[0];
    let mut bytes = disk.content(name).unwrap();
    let mut foreign = Vec::new();
    let stamp = Stamp { seq: 2, epoch: 9, synced: 1 };
    record::encode(&mut foreign, record::seed(SMALL.salt), stamp, b"foreign").unwrap();
    let at = FIRST_RECORD + STRIDE;
    bytes[at..at + foreign.len()].copy_from_slice(&foreign);
    disk.set_content(name, &bytes);
    let (_, report, records) = open(&disk).unwrap();
    assert_eq!((records.len(), report.torn.unwrap().offset), (1, at as u64));
}

#[test]
fn a_damaged_snapshot_is_replaced_by_the_one_before_it_and_two_are_an_error() {
    let disk = filled(0);
    let (mut journal, ..) = open(&disk).unwrap();
    let history = journal.history();
    for round in 1..=3_u8 {
        for _ in 0..30 {
            journal.append(&[round; 100]).unwrap();
        }
        let sealed = journal.rotate().unwrap();
        history.write_snapshot(sealed, &[round; 50]).unwrap();
        history.retire().unwrap();
    }
    drop((journal, history));
    assert_eq!(files(&disk, "snapshot-"), [snapshot::name(60), snapshot::name(90)]);

    let once = flip(&disk, &snapshot::name(90), 70);
    let mut recovery = Recovery::start(once.clone(), SMALL).unwrap();
    let snapshot = recovery.take_snapshot().unwrap();
    assert_eq!((snapshot.seq, snapshot.payload), (60, vec![2; 50]));
    let (_, report) = recovery.finish().unwrap();
    assert_eq!((report.records, report.last, report.damaged_snapshots), (30, 90, vec![90]));

    let error = open(&flip(&once, &snapshot::name(60), 3)).map(|_| ()).unwrap_err();
    assert!(matches!(error, JournalError::Missing { from: 1, .. }), "{error}");
}

#[test]
fn a_snapshot_without_its_segments_is_an_error() {
    let disk = filled(50);
    let (mut journal, ..) = open(&disk).unwrap();
    let sealed = journal.rotate().unwrap();
    journal.history().write_snapshot(sealed, b"fifty").unwrap();
    drop(journal);
    let names = files(&disk, "segment-");
    for name in &names[1..] {
        disk.remove(name).unwrap();
    }
    let error = open(&disk).map(|_| ()).unwrap_err();
    assert!(matches!(error, JournalError::Missing { found: None, .. }), "{error}");
    disk.remove(&names[0]).unwrap();
    let error = open(&disk).map(|_| ()).unwrap_err();
    assert!(matches!(error, JournalError::Missing { from: 51, found: None }), "{error}");
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(200))]

    #[test]
    fn c45_no_bytes_on_the_disk_make_opening_panic(
        at in 0..4_096_usize,
        junk in proptest::collection::vec(proptest::num::u8::ANY, 1..300),
    ) {
        let disk = filled(25);
        let name = &files(&disk, "segment-")[0];
        let mut bytes = disk.content(name).unwrap();
        for (place, byte) in bytes.iter_mut().skip(at).zip(&junk) {
            *place = *byte;
        }
        disk.set_content(name, &bytes);
        let _ = open(&disk);
        disk.set_content(&snapshot::name(10), &junk);
        let _ = open(&disk);
    }
}
