//! One writer: by a lock on one machine, by epochs where locks fail.

use super::*;
use crate::disk::RealDisk;

#[test]
fn a_second_opening_is_refused_and_told_who_has_it() {
    let disk = disk();
    let first = open(&disk).unwrap();
    let error = open(&disk).map(|_| ()).unwrap_err();
    assert!(matches!(error, JournalError::Locked { pid: Some(pid) } if pid == std::process::id()));
    drop(first);
    open(&disk).unwrap();
}

#[test]
fn the_lock_of_a_real_directory_names_the_process() {
    let directory = tempfile::tempdir().unwrap();
    let start = || Recovery::start(RealDisk::open(directory.path().join("a/b")).unwrap(), SMALL);
    let (journal, _) = start().unwrap().finish().unwrap();
    let error = start().map(|_| ()).unwrap_err();
    assert!(error.to_string().contains(&std::process::id().to_string()), "{error}");
    drop(journal);
    start().unwrap();
}

#[test]
fn whoever_reads_the_history_keeps_others_out_too() {
    let disk = disk();
    let history = open(&disk).unwrap().0.history();
    assert!(matches!(open(&disk), Err(JournalError::Locked { .. })));
    drop(history);
    open(&disk).unwrap();
}

#[test]
fn c43_a_writer_of_an_earlier_epoch_acknowledges_nothing_more() {
    let disk = disk();
    let (mut old, ..) = open(&disk).unwrap();
    old.append(b"one").unwrap();
    old.sync().unwrap();
    let history = old.history();
    disk.forget_locks();
    let (mut new, report, records) = open(&disk).unwrap();
    assert_eq!((report.epoch, records.len()), (2, 1));

    old.append(b"two, by the old one").unwrap();
    assert!(matches!(old.sync(), Err(JournalError::Fenced { epoch: 1 })));
    assert!(matches!(old.append(b"three"), Err(JournalError::Poisoned)));
    assert!(matches!(history.retire(), Err(JournalError::Fenced { .. })));
    assert!(matches!(history.write_snapshot(0, b""), Err(JournalError::Fenced { .. })));

    new.append(b"two, by the new one").unwrap();
    assert_eq!(new.sync().unwrap(), 2);
    drop((old, new, history));
    let (_, _, records) = open(&disk).unwrap();
    assert_eq!(records[1].1, b"two, by the new one");
}

#[test]
fn what_the_old_writer_had_acknowledged_the_new_one_has_read() {
    let disk = disk();
    let (mut old, ..) = open(&disk).unwrap();
    disk.forget_locks();
    // The new one has the lock, but has claimed nothing yet: what is written now still counts.
    old.append(b"late but in time").unwrap();
    old.sync().unwrap();
    assert_eq!(open(&disk).unwrap().2.len(), 1);
}

#[test]
fn epochs_grow_with_every_opening_even_without_records() {
    let disk = disk();
    for epoch in 1..=20 {
        assert_eq!(open(&disk).unwrap().0.epoch(), epoch);
    }
    assert_eq!(files(&disk, "segment-").len(), 1, "empty segments pile up");
    assert_eq!(files(&disk, "epoch-").len(), 1, "claims pile up");
}
