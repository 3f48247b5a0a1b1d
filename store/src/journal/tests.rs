//! Tests of `journal`.

mod beside;
mod bounded;
mod crash;
mod damage;
mod fence;
mod format;
mod order;

use super::*;
use crate::disk::{Entries, MemoryDisk};

pub(super) type Opened = (Journal<MemoryDisk>, Recovered, Vec<(u64, Vec<u8>)>);

/// Small enough that a few dozen records go through several segments.
pub(super) const SMALL: Options = Options { segment_bytes: 4_096, salt: 0x5a17 };

pub(super) fn disk() -> MemoryDisk {
    MemoryDisk::new(Entries::Ext4)
}

/// Opens a journal and returns the records behind the snapshot too.
pub(super) fn open(disk: &MemoryDisk) -> Result<Opened, JournalError> {
    let mut recovery = Recovery::start(disk.clone(), SMALL)?;
    let mut records = Vec::new();
    while let Some(record) = recovery.next_record()? {
        records.push((record.seq, record.payload.to_vec()));
    }
    let (journal, report) = recovery.finish()?;
    Ok((journal, report, records))
}

/// A journal that was given so many records of 100 bytes, one group each, and then died.
pub(super) fn filled(records: u8) -> MemoryDisk {
    let disk = disk();
    let (mut journal, ..) = open(&disk).unwrap();
    for record in 1..=records {
        journal.append(&[record; 100]).unwrap();
        journal.sync().unwrap();
    }
    disk.restart()
}

/// The files of a disk that carry this prefix.
pub(super) fn files(disk: &MemoryDisk, prefix: &str) -> Vec<String> {
    disk.list().unwrap().into_iter().filter(|name| name.starts_with(prefix)).collect()
}
