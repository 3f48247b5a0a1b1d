//! What goes in comes out: numbers, groups, segments, snapshots.

use proptest::prelude::*;

use super::*;

#[test]
fn the_first_record_is_number_one_and_a_group_is_one_sync() {
    let (mut journal, report, _) = open(&disk()).unwrap();
    assert_eq!(report, Recovered { epoch: 1, ..Recovered::default() });
    assert_eq!((journal.appended(), journal.durable()), (0, 0));
    for seq in 1..=50 {
        assert_eq!(journal.append(b"0123456789").unwrap(), seq);
    }
    assert_eq!((journal.appended(), journal.durable()), (50, 0));
    assert_eq!(journal.queued_bytes(), 50 * 42);
    assert_eq!(journal.sync().unwrap(), 50);
    assert_eq!(journal.sync().unwrap(), 50);
    let stats = journal.stats();
    assert_eq!((stats.records, stats.payload_bytes, stats.syncs), (50, 500, 1));
    assert_eq!(stats.written_bytes, 50 * 42);
}

#[test]
fn a_payload_that_is_too_long_changes_nothing() {
    let (mut journal, ..) = open(&disk()).unwrap();
    let error = journal.append(&vec![0; MAX_PAYLOAD_BYTES + 1]).unwrap_err();
    assert!(matches!(error, JournalError::TooLarge { .. }));
    assert_eq!((journal.append(b"").unwrap(), journal.sync().unwrap()), (1, 1));
}

#[test]
fn a_group_longer_than_a_segment_is_still_one_group() {
    let disk = disk();
    let (mut journal, ..) = open(&disk).unwrap();
    journal.append(&[1; 100]).unwrap();
    journal.sync().unwrap();
    for _ in 0..100 {
        journal.append(&[2; 1_000]).unwrap();
    }
    assert_eq!(journal.sync().unwrap(), 101);
    assert_eq!((journal.stats().syncs, journal.stats().segments), (2, 2));
    drop(journal);
    assert_eq!(open(&disk).unwrap().2.len(), 101);
}

#[test]
fn closed_segments_can_be_read_while_the_journal_goes_on() {
    let (mut journal, ..) = open(&disk()).unwrap();
    let history = journal.history();
    let mut reached = 0;
    for round in 0..10_u64 {
        for _ in 0..25 {
            journal.append(&[7; 90]).unwrap();
            journal.sync().unwrap();
        }
        let mut reader = history.read(reached).unwrap();
        while let Some(record) = reader.next_record().unwrap() {
            reached += 1;
            assert_eq!(record.seq, reached);
        }
        assert_eq!((reader.reached(), history.sealed().unwrap()), (reached, reached));
        assert!(reached + 40 > journal.durable(), "round {round}");
    }
    assert_eq!(journal.rotate().unwrap(), 250);
    assert_eq!(history.sealed().unwrap(), 250);
    assert!(matches!(
        history.write_snapshot(251, b""),
        Err(JournalError::Unsealed { asked: 251, sealed: 250 })
    ));
    assert_eq!(history.read(250).unwrap().next_record().unwrap(), None);
}

#[test]
fn rotating_without_records_does_nothing() {
    let (mut journal, ..) = open(&disk()).unwrap();
    for _ in 0..3 {
        assert_eq!(journal.rotate().unwrap(), 0);
    }
    assert_eq!(journal.stats().segments, 1);
}

#[test]
fn retiring_keeps_every_record_behind_the_older_of_two_snapshots() {
    for (older, newer) in [(1, 2), (2, 4), (3, 5), (1, 5)] {
        let disk = disk();
        let (mut journal, ..) = open(&disk).unwrap();
        for payload in 1..=5 {
            journal.append(&[payload]).unwrap();
            journal.rotate().unwrap();
        }
        let history = journal.history();
        assert_eq!(history.retire().unwrap(), Retired::default());
        history.write_snapshot(older, b"older").unwrap();
        assert_eq!(history.retire().unwrap(), Retired::default());
        history.write_snapshot(newer, b"newer").unwrap();
        assert_eq!(history.retire().unwrap(), Retired { segments: older, snapshots: 0 });
        assert_eq!(history.snapshot().unwrap().unwrap().payload, b"newer");
        drop((journal, history));
        disk.remove(&snapshot::name(newer)).unwrap();
        let records: Vec<u64> = open(&disk).unwrap().2.into_iter().map(|(seq, _)| seq).collect();
        assert_eq!(records, (older + 1..=5).collect::<Vec<_>>());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn groups_of_any_shape_come_back_across_openings(
        lives in prop::collection::vec(
            prop::collection::vec(
                prop::collection::vec(prop::collection::vec(any::<u8>(), 0..700), 0..6), 0..8),
            1..4),
    ) {
        let disk = disk();
        let mut all = Vec::new();
        for groups in lives {
            let (mut journal, _, records) = open(&disk).unwrap();
            prop_assert_eq!(records.len(), all.len());
            for group in groups {
                for payload in group {
                    journal.append(&payload).unwrap();
                    all.push(payload);
                }
                prop_assert_eq!(journal.sync().unwrap(), all.len() as u64);
            }
        }
        let found: Vec<_> = open(&disk).unwrap().2.into_iter().map(|(_, payload)| payload).collect();
        prop_assert_eq!(found, all);
    }
}
