//! What a snapshot counts on is there after every crash; damage costs the records it hits and no other.

use super::*;
use crate::disk::{Entries, Failure, Loss, MemoryDisk, Operation, Plan, put};

const CHANNEL: u64 = 7;

fn payload(number: u64) -> Payload {
    let mut payload = [0x5a; PAYLOAD_BYTES];
    payload[..8].copy_from_slice(&number.to_le_bytes());
    payload
}

fn payloads(numbers: std::ops::Range<u64>) -> Vec<Payload> {
    numbers.map(payload).collect()
}

fn read(archive: &Archive<MemoryDisk>, upto: u64) -> (Vec<Payload>, Gaps) {
    let mut reader = archive.read(CHANNEL, upto).unwrap();
    let records = std::iter::from_fn(|| reader.next_record()).collect();
    (records, reader.gaps())
}

fn memory() -> (MemoryDisk, Archive<MemoryDisk>) {
    let disk = MemoryDisk::new(Entries::Ext4);
    (disk.clone(), Archive::new(disk))
}

#[test]
fn what_was_appended_is_read_in_order_and_no_further_than_it_counts() {
    let (_, archive) = memory();
    assert_eq!(read(&archive, 0), (vec![], Gaps::default()));
    assert_eq!(archive.append(CHANNEL, 0, &payloads(0..3_000)).unwrap(), 0);
    assert_eq!(archive.append(CHANNEL, 3_000, &payloads(3_000..5_000)).unwrap(), 0);
    for upto in [1, 2_047, 2_048, 2_049, 5_000] {
        assert_eq!(read(&archive, upto), (payloads(0..upto), Gaps::default()), "{upto}");
    }
}

#[test]
fn a_record_is_twenty_eight_bytes() {
    let (disk, archive) = memory();
    archive.append(CHANNEL, 0, &payloads(0..1_000)).unwrap();
    assert_eq!(disk.used(), 32 + 28 * 1_000);
}

#[test]
fn what_a_crash_left_behind_is_written_over() {
    let (_, archive) = memory();
    archive.append(CHANNEL, 0, &payloads(0..10)).unwrap();
    archive.append(CHANNEL, 10, &payloads(100..130)).unwrap();
    // The snapshot that would have counted them never became valid.
    archive.append(CHANNEL, 10, &payloads(10..15)).unwrap();
    assert_eq!(read(&archive, 15), (payloads(0..15), Gaps::default()));
}

#[test]
fn damage_costs_the_records_it_hits() {
    let (disk, archive) = memory();
    archive.append(CHANNEL, 0, &payloads(0..100)).unwrap();
    let name = name(CHANNEL);
    let mut bytes = disk.content(&name).unwrap();
    // The head, a record, and everything behind the ninetieth.
    bytes[3] ^= 1;
    bytes[HEAD_BYTES + 50 * RECORD_BYTES] ^= 1;
    bytes.truncate(HEAD_BYTES + 90 * RECORD_BYTES + 5);
    disk.set_content(&name, &bytes);
    let (records, gaps) = read(&archive, 100);
    assert_eq!(records.len(), 89);
    assert_eq!(gaps, Gaps { damaged: 1, missing: 10 });
    // Who appends is told, and what is appended is read although there is a hole before it.
    assert_eq!(archive.append(CHANNEL, 100, &payloads(100..110)).unwrap(), 10);
    let (records, gaps) = read(&archive, 110);
    assert_eq!(records.len(), 99);
    assert_eq!(gaps, Gaps { damaged: 11, missing: 0 });
}

#[test]
fn a_lost_file_is_said_and_begun_anew() {
    let (disk, archive) = memory();
    archive.append(CHANNEL, 0, &payloads(0..10)).unwrap();
    disk.remove(&name(CHANNEL)).unwrap();
    assert_eq!(read(&archive, 10), (vec![], Gaps { damaged: 0, missing: 10 }));
    assert_eq!(archive.append(CHANNEL, 10, &payloads(10..20)).unwrap(), 10);
    assert_eq!(read(&archive, 20).0, payloads(10..20));
}

#[test]
fn records_of_another_channel_or_place_are_no_records() {
    let (disk, archive) = memory();
    archive.append(CHANNEL, 0, &payloads(0..4)).unwrap();
    let bytes = disk.content(&name(CHANNEL)).unwrap();
    disk.set_content(&name(8), &bytes);
    let mut reader = archive.read(8, 4).unwrap();
    assert_eq!((reader.next_record(), reader.gaps().damaged), (None, 4));
}

#[test]
fn a_file_of_a_newer_version_is_refused() {
    let (disk, archive) = memory();
    archive.append(CHANNEL, 0, &payloads(0..4)).unwrap();
    let mut bytes = disk.content(&name(CHANNEL)).unwrap();
    bytes[8] = 2;
    let crc = crc32c::crc32c(&bytes[..28]);
    bytes[28..32].copy_from_slice(&crc.to_le_bytes());
    disk.set_content(&name(CHANNEL), &bytes);
    assert!(archive.read(CHANNEL, 4).is_err());
    assert!(archive.append(CHANNEL, 4, &payloads(4..5)).is_err());
}

#[test]
fn archives_are_listed_and_removed() {
    let (_, archive) = memory();
    for channel in [3, 12] {
        archive.append(channel, 0, &payloads(0..1)).unwrap();
    }
    assert_eq!(archive.channels().unwrap(), [3, 12]);
    archive.remove(3).unwrap();
    assert_eq!(archive.channels().unwrap(), [12]);
    assert!(archive.remove(3).is_err());
}

/// Appends, then says how many count; the errors of a dying disk end it.
fn live(disk: &MemoryDisk, rounds: std::ops::Range<u64>) -> io::Result<()> {
    let archive = Archive::new(disk.clone());
    for round in rounds {
        let counted = counted(disk);
        let more = counted + 1 + round % 5 * 700;
        archive.append(CHANNEL, counted, &payloads(counted..more))?;
        put(disk, "snapshot", &[&more.to_le_bytes()])?;
    }
    Ok(())
}

fn counted(disk: &MemoryDisk) -> u64 {
    let bytes = disk.content("snapshot");
    bytes.map_or(0, |bytes| u64::from_le_bytes(bytes.try_into().unwrap()))
}

#[test]
fn whatever_the_moment_of_a_power_cut_what_counts_is_there() {
    let mut images = 0;
    for loss in Loss::ALL {
        for entries in [Entries::Ext4, Entries::Posix] {
            for nth in 1.. {
                let disk = MemoryDisk::new(entries);
                disk.set_plan(Plan::default().kill_at(nth));
                if live(&disk, 0..6).is_ok() {
                    break;
                }
                let mut after = disk.power_cut(nth, loss);
                for again in 0..2 {
                    let upto = counted(&after);
                    let archive = Archive::new(after.clone());
                    let found = read(&archive, upto);
                    assert!(found == (payloads(0..upto), Gaps::default()), "{loss:?} at {nth}");
                    // It goes on, and dies once more a little later.
                    after.set_plan(Plan::default().kill_at(3 + nth % 11));
                    let _died = live(&after, 2..5);
                    after = after.power_cut(nth + again, loss);
                    images += 1;
                }
            }
        }
    }
    assert!(images > 300, "{images}");
}

#[test]
fn a_failing_disk_is_an_error_and_what_counted_stays() {
    for operation in [Operation::Write, Operation::SyncData, Operation::Open] {
        let disk = MemoryDisk::new(Entries::Ext4);
        live(&disk, 0..2).unwrap();
        let before = counted(&disk);
        disk.set_plan(Plan::default().fail(operation, 1, Failure::Io));
        assert!(live(&disk, 2..3).is_err());
        let after = disk.power_cut(1, Loss::Drop);
        assert_eq!(read(&Archive::new(after), before).0, payloads(0..before));
    }
}
