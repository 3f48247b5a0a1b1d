//! The index stays small however often little is changed.
//!
//! `VIADUCT_CHURN` sets the number of updates (default 200 000; the full count is 10 000 000).

use super::*;

const LIMIT_BYTES: u64 = 64 << 20;

fn bytes_below(path: &Path) -> u64 {
    let entries = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap());
    entries
        .map(|entry| match entry.metadata().unwrap() {
            meta if meta.is_dir() => bytes_below(&entry.path()),
            meta => meta.len(),
        })
        .sum()
}

#[test]
fn millions_of_updates_of_a_hundred_live_keys_end_below_64_mib() {
    let updates =
        std::env::var("VIADUCT_CHURN").map_or(200_000_u64, |count| count.parse().unwrap());
    let directory = tempfile::tempdir().unwrap();
    let (mut index, _) = Index::open(directory.path()).unwrap();
    let mut largest = 0;
    for group in 1..=updates / 100 {
        let mut batch = Batch::new();
        for update in 0..100_u64 {
            let key = (group * 100 + update).wrapping_mul(0x9e37_79b9) >> 7;
            let value = [group.to_be_bytes(), update.to_be_bytes()].concat().repeat(6);
            batch.put(vec![1, (key % 100) as u8], value).unwrap();
        }
        index.apply(group, batch).unwrap();
        if group % 500 == 0 {
            largest = largest.max(bytes_below(directory.path()));
        }
    }
    index.close().unwrap();
    drop(index);
    let end = bytes_below(directory.path());
    println!("{updates} updates of the index, {end} bytes on disk, at most {largest} meanwhile");
    assert!(end < LIMIT_BYTES, "{end}");
    assert_eq!(Index::open(directory.path()).unwrap().1, updates / 100);
}
