//! A note is never ahead of what was said, and never lost by a power cut.

use super::*;
use crate::disk::{Entries, Failure, Loss, MemoryDisk, Operation, Plan};

const NODE: [u8; 33] = [3; 33];

fn guard(disk: &MemoryDisk) -> Guard<MemoryDisk> {
    Guard::read(disk.clone(), "guard", NODE).unwrap()
}

const fn mark(epoch: u64, seq: u64) -> Mark {
    Mark { epoch, seq }
}

#[test]
fn a_journal_behind_its_note_is_doubted_and_no_other() {
    let noted = Noted::Mark(mark(4, 100));
    for fine in [mark(4, 100), mark(4, 101), mark(5, 100)] {
        assert_eq!(noted.doubt(fine), None);
    }
    for behind in [mark(4, 99), mark(3, 100), mark(3, 5_000), mark(0, 0)] {
        assert!(matches!(noted.doubt(behind), Some(Doubt::Behind { .. })), "{behind:?}");
    }
    assert_eq!(Noted::Nothing.doubt(mark(9, 9)), Some(Doubt::Nothing));
    assert_eq!(Noted::Damaged.doubt(mark(9, 9)), Some(Doubt::Damaged));
}

#[test]
fn the_last_note_is_read_again() {
    let disk = MemoryDisk::new(Entries::Ext4);
    assert_eq!(guard(&disk).noted(), Noted::Nothing);
    let mut writing = guard(&disk);
    for seq in 1..6 {
        writing.note(mark(2, seq)).unwrap();
        assert_eq!(guard(&disk).noted(), Noted::Mark(mark(2, seq)));
    }
}

#[test]
fn a_damaged_slot_leaves_the_other_and_two_leave_a_doubt() {
    let disk = MemoryDisk::new(Entries::Ext4);
    let mut writing = guard(&disk);
    writing.note(mark(2, 1)).unwrap();
    writing.note(mark(2, 2)).unwrap();
    let mut bytes = disk.content("guard").unwrap();
    bytes[20] ^= 1;
    disk.set_content("guard", &bytes);
    let Noted::Mark(left) = guard(&disk).noted() else { panic!("one slot is whole") };
    assert!(left == mark(2, 1) || left == mark(2, 2));
    bytes[4_096 + 20] ^= 1;
    disk.set_content("guard", &bytes);
    assert_eq!(guard(&disk).noted(), Noted::Damaged);
}

#[test]
fn the_note_of_another_node_is_refused() {
    let disk = MemoryDisk::new(Entries::Ext4);
    guard(&disk).note(mark(1, 1)).unwrap();
    let other = Guard::read(disk, "guard", [4; 33]);
    assert!(matches!(other, Err(GuardError::OtherNode(_))));
}

#[test]
fn whatever_a_power_cut_takes_the_note_is_what_was_durable_or_newer() {
    for loss in Loss::ALL {
        for nth in 1.. {
            let disk = MemoryDisk::new(Entries::Ext4);
            let mut writing = guard(&disk);
            writing.note(mark(1, 1)).unwrap();
            disk.set_plan(Plan::default().kill_at(nth));
            let durable =
                (2..8).find(|seq| writing.note(mark(1, *seq)).is_err()).map(|seq| seq - 1);
            let after = disk.power_cut(nth, loss);
            let Noted::Mark(noted) = guard(&after).noted() else { panic!("{loss:?} at {nth}") };
            let at_least = durable.unwrap_or(7);
            assert!((at_least..=at_least + 1).contains(&noted.seq), "{noted:?}, {durable:?}");
            if durable.is_none() {
                break;
            }
        }
    }
}

#[test]
fn a_note_that_failed_is_made_anew() {
    let disk = MemoryDisk::new(Entries::Ext4);
    let mut writing = guard(&disk);
    writing.note(mark(1, 1)).unwrap();
    disk.set_plan(Plan::default().fail(Operation::SyncData, 1, Failure::Io));
    assert!(writing.note(mark(1, 2)).is_err());
    writing.note(mark(1, 3)).unwrap();
    let after = disk.power_cut(1, Loss::Drop);
    assert_eq!(guard(&after).noted(), Noted::Mark(mark(1, 3)));
}
