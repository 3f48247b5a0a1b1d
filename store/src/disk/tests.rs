//! The memory disk lies as told, and the real one does as told.

use super::*;

fn written(entries: Entries) -> MemoryDisk {
    let disk = MemoryDisk::new(entries);
    let mut file = disk.create("a").unwrap();
    file.write_at(0, &[1; 10_000]).unwrap();
    file.sync_data().unwrap();
    disk.sync_dir().unwrap();
    file.write_at(5_000, &[2; 10_000]).unwrap();
    disk
}

#[test]
fn what_was_not_synced_is_lost_as_the_kind_of_loss_says() {
    let disk = written(Entries::Ext4);
    let content = |loss, seed| disk.power_cut(seed, loss).content("a").unwrap();
    assert_eq!(content(Loss::Drop, 1), [1; 10_000]);
    let kept = content(Loss::Size, 1);
    assert_eq!(
        (kept.len(), &kept[..5_000], &kept[5_000..]),
        (10_000, &[1; 5_000][..], &[2; 5_000][..])
    );
    for seed in 0..50 {
        let prefix = content(Loss::Prefix, seed);
        let end = prefix.iter().rposition(|byte| *byte == 2).map_or(5_000, |last| last + 1);
        assert!(prefix[5_000..end].iter().all(|byte| *byte == 2), "a prefix has no holes");
        assert!(end == 15_000 || end == 5_000 || end % 512 == 0);
    }
    let holes = (0..50).filter(|seed| {
        let pieces = content(Loss::Pieces, *seed);
        let first = pieces.iter().position(|byte| *byte == 2).unwrap_or(pieces.len());
        pieces[first..].iter().any(|byte| *byte != 2)
    });
    assert!(holes.count() > 10, "writes are reordered");
    assert_eq!(content(Loss::Pieces, 9), content(Loss::Pieces, 9), "the same seed, the same loss");
}

#[test]
fn a_name_that_was_not_synced_may_vanish_or_stay() {
    let disk = written(Entries::Posix);
    disk.create("b").unwrap().sync_data().unwrap();
    disk.remove("a").unwrap();
    assert_eq!(disk.list().unwrap(), ["b"]);
    assert_eq!(disk.power_cut(1, Loss::Drop).list().unwrap(), ["a"]);
    let lists: std::collections::BTreeSet<_> =
        (0..50).map(|seed| disk.power_cut(seed, Loss::Pieces).list().unwrap()).collect();
    assert_eq!(lists.len(), 4, "each change survives or not by itself");
    disk.sync_dir().unwrap();
    assert_eq!(disk.power_cut(1, Loss::Drop).list().unwrap(), ["b"]);
}

#[test]
fn on_ext4_growing_a_synced_file_takes_the_names_along() {
    let disk = MemoryDisk::new(Entries::Ext4);
    let mut file = disk.create("a").unwrap();
    file.write_at(0, b"x").unwrap();
    file.sync_data().unwrap();
    assert_eq!(disk.power_cut(1, Loss::Drop).list().unwrap(), ["a"]);
}

#[test]
fn a_failed_sync_forgets_what_it_goes_on_showing() {
    let disk = written(Entries::Ext4);
    let mut file = disk.open("a").unwrap();
    disk.set_plan(Plan::default().fail(Operation::SyncData, 1, Failure::Io));
    file.sync_data().unwrap_err();
    file.sync_data().unwrap();
    assert_eq!(disk.content("a").unwrap().len(), 15_000);
    assert_eq!(disk.power_cut(1, Loss::Size).content("a").unwrap(), [1; 10_000]);
}

#[test]
fn planned_failures_come_at_their_operation_and_once() {
    let disk = MemoryDisk::new(Entries::Ext4);
    let plan = Plan::default().fail(Operation::Write, 2, Failure::Half).capacity(100);
    disk.set_plan(plan);
    let mut file = disk.create("a").unwrap();
    file.write_at(0, &[1; 8]).unwrap();
    let error = file.write_at(8, &[2; 8]).unwrap_err();
    assert_eq!((error.kind(), file.size().unwrap()), (io::ErrorKind::StorageFull, 12));
    file.write_at(8, &[2; 8]).unwrap();
    let error = file.write_at(90, &[3; 11]).unwrap_err();
    assert_eq!((error.kind(), file.size().unwrap()), (io::ErrorKind::StorageFull, 16));
}

#[test]
fn a_dead_process_does_nothing_more() {
    let disk = written(Entries::Ext4);
    disk.set_plan(Plan::default().kill_at(2));
    assert!(disk.exists("a").unwrap());
    disk.remove("a").unwrap_err();
    disk.create("b").unwrap_err();
    disk.list().unwrap_err();
    assert!(disk.restart().list().unwrap().len() <= 1);
}

fn behaves_as_a_disk<D: Disk>(disk: &D) {
    let mut file = disk.create("one").unwrap();
    assert_eq!(disk.create("one").map(drop).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    assert_eq!(disk.open("two").map(drop).unwrap_err().kind(), io::ErrorKind::NotFound);
    assert_eq!(disk.remove("two").unwrap_err().kind(), io::ErrorKind::NotFound);
    file.preallocate(0, 100_000).unwrap();
    assert_eq!(file.size().unwrap(), 100_000);
    file.write_at(99_998, b"tail").unwrap();
    file.sync_data().unwrap();
    let mut buffer = [9; 8];
    assert_eq!(file.read_at(99_996, &mut buffer).unwrap(), 6);
    assert_eq!(&buffer, b"\0\0tail\x09\x09");
    assert_eq!(file.read_at(200_000, &mut buffer).unwrap(), 0);
    put(disk, "two", &[b"a", b"bc"]).unwrap();
    assert_eq!(read_all(disk, "two").unwrap(), b"abc");
    put(disk, "two", &[b"d"]).unwrap();
    assert_eq!(read_all(disk, "two").unwrap(), b"d");
    disk.rename("one", "two").unwrap();
    assert_eq!(
        (disk.list().unwrap(), disk.exists("one").unwrap()),
        (vec!["two".to_owned()], false)
    );
    disk.sync_dir().unwrap();
    let held = disk.lock("lock").unwrap();
    let pid = std::process::id();
    assert!(matches!(disk.lock("lock"), Err(LockError::Held { pid: Some(held) }) if held == pid));
    drop(held);
    disk.lock("lock").unwrap();
}

#[test]
fn the_real_and_the_memory_disk_behave_alike() {
    behaves_as_a_disk(&MemoryDisk::new(Entries::Posix));
    let directory = tempfile::tempdir().unwrap();
    behaves_as_a_disk(&RealDisk::open(directory.path().join("x/y/z")).unwrap());
}

#[test]
fn a_real_disk_in_a_place_that_cannot_be_says_so() {
    let file = tempfile::NamedTempFile::new().unwrap();
    RealDisk::open(file.path().join("under a file")).unwrap_err();
}
