//! The disk stays small however much is written, as long as little is alive.
//!
//! `VIADUCT_CHURN` sets the number of updates (default 200 000; the full count is 10 000 000).

use super::*;
use crate::disk::RealDisk;

const KEYS: usize = 100;
const VALUE_BYTES: usize = 96;
const SEGMENT_BYTES: u64 = 4 << 20;
/// Two snapshots, the segments between them, the one that is open and the one before it.
const LIMIT_BYTES: u64 = 6 * SEGMENT_BYTES;

fn bytes_in(directory: &std::path::Path) -> u64 {
    std::fs::read_dir(directory).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum()
}

#[test]
fn millions_of_updates_of_a_hundred_live_keys_end_below_24_mib() {
    let updates =
        std::env::var("VIADUCT_CHURN").map_or(200_000_u64, |count| count.parse().unwrap());
    let directory = tempfile::tempdir().unwrap();
    let disk = RealDisk::open(directory.path()).unwrap();
    let options = Options { segment_bytes: SEGMENT_BYTES, salt: 1 };
    let (mut journal, _) = Recovery::start(disk.clone(), options).unwrap().finish().unwrap();
    let history = journal.history();
    let mut live = vec![0_u64; KEYS];
    let (mut folded, mut largest) = (vec![0_u64; KEYS], 0);
    let mut folded_upto = 0;
    for update in 1..=updates {
        let key = (update.wrapping_mul(0x9e37_79b9) >> 7) as usize % KEYS;
        live[key] = update;
        let mut payload = [0; VALUE_BYTES];
        payload[0] = key as u8;
        payload[8..16].copy_from_slice(&update.to_le_bytes());
        journal.append(&payload).unwrap();
        if update % 500 == 0 {
            journal.sync().unwrap();
        }
        if update % 10_000 == 0 && history.sealed().unwrap() > folded_upto {
            let mut reader = history.read(folded_upto).unwrap();
            while let Some(record) = reader.next_record().unwrap() {
                let update = u64::from_le_bytes(record.payload[8..16].try_into().unwrap());
                folded[usize::from(record.payload[0])] = update;
            }
            folded_upto = reader.reached();
            let state: Vec<u8> = folded.iter().flat_map(|update| update.to_le_bytes()).collect();
            history.write_snapshot(folded_upto, &state).unwrap();
            history.retire().unwrap();
            largest = largest.max(bytes_in(directory.path()));
        }
    }
    journal.sync().unwrap();
    let stats = journal.stats();
    drop((journal, history));
    largest = largest.max(bytes_in(directory.path()));
    println!("{updates} updates, {} bytes written, at most {largest} on disk", stats.written_bytes);
    assert!(largest < LIMIT_BYTES, "{largest}");
    assert!(stats.written_bytes > LIMIT_BYTES);

    let mut recovery = Recovery::start(disk, options).unwrap();
    let snapshot = recovery.take_snapshot().unwrap();
    let numbers =
        snapshot.payload.chunks_exact(8).map(|n| u64::from_le_bytes(n.try_into().unwrap()));
    let mut found: Vec<u64> = numbers.collect();
    while let Some(record) = recovery.next_record().unwrap() {
        let update = u64::from_le_bytes(record.payload[8..16].try_into().unwrap());
        found[usize::from(record.payload[0])] = update;
    }
    assert_eq!(found, live);
}
