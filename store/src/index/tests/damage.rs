//! Copies of an index taken at any moment, some of them damaged: opening one gives its content up to
//! the record it has reached, or an empty one. It never panics and never shows something else.

use super::*;
use crate::disk::Dice;

type Files = BTreeMap<std::path::PathBuf, Vec<u8>>;

/// The files below a directory, read one after the other; `None` if one went away meanwhile.
fn read_files(directory: &Path) -> Option<Files> {
    let mut files = Files::new();
    for entry in std::fs::read_dir(directory).ok()? {
        let path = entry.ok()?.path();
        if path.is_dir() {
            files.extend(read_files(&path)?);
        } else {
            files.insert(path.clone(), std::fs::read(&path).ok()?);
        }
    }
    Some(files)
}

/// Copies what stood in the directory at one moment. The database's own thread goes on writing, so
/// files read one after the other may never have stood there together (a log without the end that its
/// snapshot speaks of); what was read twice with the same result stood there between the two.
fn copy(from: &Path, to: &Path) {
    let mut before = None;
    let files = loop {
        match (read_files(from), before) {
            (Some(now), Some(before)) if now == before => break now,
            (now, _) => before = now,
        }
    };
    for (path, bytes) in files {
        let target = to.join(path.strip_prefix(from).unwrap());
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        std::fs::write(target, bytes).unwrap();
    }
}

/// The files of the database in a copy, the log more often than the others.
fn victim(generation: &Path, dice: &mut Dice) -> std::path::PathBuf {
    if dice.chance(60) {
        return generation.join("db");
    }
    let mut files: Vec<_> =
        std::fs::read_dir(generation).unwrap().map(|f| f.unwrap().path()).collect();
    files.retain(|path| path.is_file());
    files.sort();
    files.swap_remove(dice.below(files.len()))
}

fn hurt(generation: &Path, dice: &mut Dice) -> &'static str {
    let path = victim(generation, dice);
    let mut bytes = std::fs::read(&path).unwrap();
    match dice.below(5) {
        0 => "left as it was",
        1 => {
            bytes.truncate(dice.below(bytes.len() + 1));
            std::fs::write(path, bytes).unwrap();
            "cut short"
        }
        2 | 3 => {
            for _ in 0..=dice.below(4) {
                let at = dice.below(bytes.len());
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << dice.below(8);
                }
            }
            std::fs::write(path, bytes).unwrap();
            "bits flipped"
        }
        _ => {
            let half: Vec<u8> = (0..dice.below(300)).map(|_| dice.roll() as u8).collect();
            std::fs::write(generation.join("snap.ffffffffffffffff.generating"), half).unwrap();
            "half a snapshot"
        }
    }
}

#[test]
fn a_copy_taken_at_any_moment_and_damaged_is_right_or_empty() {
    let copies = std::env::var("VIADUCT_CRASH_SEEDS").map_or(60, |seeds| seeds.parse().unwrap());
    let directory = tempfile::tempdir().unwrap();
    let (live, mut dice) = (directory.path().join("live"), Dice::new(4));
    let mut counts = BTreeMap::<_, [u32; 3]>::new();
    let (mut index, mut seq, mut synced) = (Index::open(&live).unwrap().0, 0, 0);
    for round in 0..copies {
        for _ in 0..dice.below(120) {
            seq += 1;
            index.apply(seq, change(seq)).unwrap();
        }
        if dice.chance(30) {
            index.sync().unwrap();
            synced = seq;
        }
        if dice.chance(10) {
            drop(index);
            index = Index::open(&live).unwrap().0;
            synced = seq;
        }
        let image = directory.path().join(format!("copy-{round}"));
        copy(&live, &image);
        let generation = image.join(format!("generation-{:020}", 1));
        let how = hurt(&generation, &mut dice);
        let (found, reached) = Index::open(&image).unwrap();
        assert!(reached <= seq);
        if matches!(how, "left as it was" | "half a snapshot") {
            assert!(reached >= synced, "round {round}, {how}: {reached} of {synced}");
        }
        let shown = content(&*found.reader());
        let column = match shown {
            Ok(shown) if reached > 0 => {
                assert_eq!(
                    shown,
                    model(reached),
                    "round {round}, {how}, reached {reached} of {seq}"
                );
                0
            }
            Ok(shown) => {
                assert!(shown.is_empty());
                1
            }
            Err(_) => 2,
        };
        counts.entry(how).or_default()[column] += 1;
        drop(found);
        std::fs::remove_dir_all(image).unwrap();
    }
    println!("[right, empty, refused later]: {counts:?}");
}
