//! Version 1 of every file, as bytes. They must be read for ever: a change that breaks a test here
//! needs a new version number, not new bytes.

use super::*;

/// Two records in one group, one in the next; then the segment was closed.
const SEGMENT: &str = concat!(
    "564941445345474d0100000000000000010000000000000001000000000000000100000000000000175a00000000",
    "00000000000000000000000000001e98ff73d70429cd0e0000000100000000000000010000000000000000000000",
    "000000006368616e6e656c206f70656e65641381e3d1000000000200000000000000010000000000000000000000",
    "00000000a50b909b0f0000000300000000000000010000000000000002000000000000007061796d656e74207365",
    "74746c6564",
);
/// The empty one behind it.
const NEXT_SEGMENT: &str = concat!(
    "564941445345474d0100000000000000020000000000000004000000000000000100000000000000175a00000000",
    "000000000000000000000000000013a1f22f",
);
/// Stands for the three records.
const SNAPSHOT: &str = concat!(
    "56494144534e4150010000000000000003000000000000000100000000000000180000000000000025512b010000",
    "0000000000000000000000000000042659be6f6e65206368616e6e656c2c206f6e65207061796d656e74",
);

fn bytes(hex: &str) -> Vec<u8> {
    let digit = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(digit).collect()
}

/// A file without the zeros at its end.
fn content(disk: &MemoryDisk, name: &str) -> Vec<u8> {
    let mut content = disk.content(name).unwrap();
    let end = content.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    content.truncate(end);
    content
}

#[test]
fn the_files_of_version_1_are_read_for_ever() {
    let disk = disk();
    disk.set_content("segment-00000000000000000001", &bytes(SEGMENT));
    disk.set_content("segment-00000000000000000002", &bytes(NEXT_SEGMENT));
    let (_, report, records) = open(&disk).unwrap();
    let expected: [(u64, &[u8]); 3] = [(1, b"channel opened"), (2, b""), (3, b"payment settled")];
    assert!(records.iter().map(|(seq, payload)| (*seq, payload.as_slice())).eq(expected));
    assert_eq!((report.epoch, report.torn), (2, None));
}

#[test]
fn the_snapshot_of_version_1_is_read_for_ever() {
    let disk = disk();
    disk.set_content("snapshot-00000000000000000003", &bytes(SNAPSHOT));
    disk.set_content("segment-00000000000000000002", &bytes(NEXT_SEGMENT));
    let mut recovery = Recovery::start(disk, SMALL).unwrap();
    let payload = b"one channel, one payment".to_vec();
    assert_eq!(recovery.take_snapshot(), Some(Snapshot { seq: 3, epoch: 1, payload }));
    assert_eq!(recovery.next_record().unwrap(), None);
}

#[test]
fn this_program_still_writes_version_1() {
    let disk = disk();
    let (mut journal, ..) = open(&disk).unwrap();
    journal.append(b"channel opened").unwrap();
    journal.append(b"").unwrap();
    journal.sync().unwrap();
    journal.append(b"payment settled").unwrap();
    journal.rotate().unwrap();
    journal.history().write_snapshot(3, b"one channel, one payment").unwrap();
    assert_eq!(content(&disk, "segment-00000000000000000001"), bytes(SEGMENT));
    assert_eq!(content(&disk, "segment-00000000000000000002"), bytes(NEXT_SEGMENT));
    assert_eq!(content(&disk, "snapshot-00000000000000000003"), bytes(SNAPSHOT));
}

#[test]
fn a_newer_version_is_refused_by_its_name() {
    let newer = |hex| {
        let mut file = bytes(hex);
        file[8] = 2;
        let crc = crc32c::crc32c(&file[..60]).to_le_bytes();
        file[60..64].copy_from_slice(&crc);
        file
    };
    for (name, file) in [
        ("segment-00000000000000000001", newer(SEGMENT)),
        ("snapshot-00000000000000000003", newer(SNAPSHOT)),
    ] {
        let disk = disk();
        disk.set_content(name, &file);
        let error = open(&disk).map(|_| ()).unwrap_err();
        assert!(matches!(error, JournalError::Newer { version: 2, known: 1, .. }), "{error}");
    }
}
