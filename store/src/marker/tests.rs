//! Tests of `marker`.

use super::*;
use crate::disk::{Entries, Loss, MemoryDisk, Plan};

const US: [u8; 33] = [2; 33];
const THEM: [u8; 33] = [3; 33];

#[test]
fn an_empty_journal_under_a_marker_does_not_start() {
    let disk = MemoryDisk::new(Entries::Posix);
    check(&disk, &US, 0).unwrap();
    set(&disk, &US).unwrap();
    assert!(matches!(check(&disk, &US, 0), Err(MarkerError::JournalLost)));
    check(&disk, &US, 1).unwrap();
    assert!(matches!(check(&disk, &THEM, 1), Err(MarkerError::OtherNode)));
}

#[test]
fn a_marker_that_was_set_survives_and_one_that_was_not_is_never_half_there() {
    for seed in 0..200 {
        let disk = MemoryDisk::new(Entries::Posix);
        disk.set_plan(Plan::default().kill_at(1 + seed % 10));
        let done = set(&disk, &US).is_ok();
        let next = disk.power_cut(seed, Loss::ALL[seed as usize % 4]);
        let found = read(&next).unwrap();
        assert!(found == Some(US) || (found.is_none() && !done), "seed {seed}");
        set(&next, &US).unwrap();
        assert_eq!(read(&next).unwrap(), Some(US));
    }
}

#[test]
fn a_damaged_marker_counts_as_there() {
    let disk = MemoryDisk::new(Entries::Posix);
    set(&disk, &US).unwrap();
    let mut bytes = disk.content(NAME).unwrap();
    for at in 0..bytes.len() {
        bytes[at] ^= 1;
        disk.set_content(NAME, &bytes);
        assert!(check(&disk, &US, 0).is_err());
        bytes[at] ^= 1;
    }
    disk.set_content(NAME, b"");
    assert!(matches!(check(&disk, &US, 5), Err(MarkerError::Damaged(_))));
}
