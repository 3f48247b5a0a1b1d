//! Reading beside the writer.

use super::{SMALL, disk, files, open};
use crate::journal::{Beside, Recovery, oldest_snapshot};

#[test]
fn a_reader_beside_the_writer_sees_what_was_durable_and_no_more() {
    let disk = disk();
    let (mut journal, ..) = open(&disk).unwrap();
    for record in 1..=120_u8 {
        journal.append(&[record; 100]).unwrap();
        journal.sync().unwrap();
    }
    journal.append(b"not yet").unwrap();
    assert!(files(&disk, "segment-").len() > 2, "several segments");
    for (after, upto) in [(0, 120), (0, 50), (119, 120), (70, 70), (33, 90)] {
        let mut reader = Beside::start(disk.clone(), after, upto).unwrap();
        let mut read = Vec::new();
        while let Some(record) = reader.next_record().unwrap() {
            assert_eq!(record.payload, [record.seq as u8; 100]);
            read.push(record.seq);
        }
        assert_eq!(read, (after + 1..=upto).collect::<Vec<_>>());
    }
    journal.sync().unwrap();
    let mut reader = Beside::start(disk, 120, 121).unwrap();
    assert_eq!(reader.next_record().unwrap().unwrap().payload, b"not yet");
}

#[test]
fn the_oldest_snapshot_is_the_one_whose_records_are_kept() {
    let disk = disk();
    let (mut journal, ..) = open(&disk).unwrap();
    assert_eq!(oldest_snapshot(&disk).unwrap(), None);
    let history = journal.history();
    for round in 1..=3_u8 {
        for record in 0..60_u8 {
            journal.append(&[record; 100]).unwrap();
            journal.sync().unwrap();
        }
        history.write_snapshot(history.sealed().unwrap(), &[round]).unwrap();
        history.retire().unwrap();
    }
    let oldest = oldest_snapshot(&disk).unwrap().unwrap();
    assert_eq!(oldest.payload, [2]);
    let mut reader = Beside::start(disk.clone(), oldest.seq, 180).unwrap();
    assert_eq!(reader.next_record().unwrap().unwrap().seq, oldest.seq + 1);
    assert!(Beside::start(disk.clone(), 0, 180).is_err(), "the first are gone");
    drop((journal, history));
    Recovery::start(disk, SMALL).unwrap();
}
