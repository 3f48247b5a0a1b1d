//! Every input that a fuzzer, or somebody, found worth keeping, through the door it belongs to.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use wire::fuzz::TARGETS;

fn corpus() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus")
}

#[test]
fn every_kept_input_is_stood_by_its_door() {
    for (name, door) in TARGETS {
        let dir = corpus().join(name);
        let files = fs::read_dir(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
        let mut count = 0;
        for file in files {
            let path = file.expect("readable").path();
            let bytes = fs::read(&path).expect("readable");
            println!("{}", path.display());
            door(&bytes);
            // What is cut off or longer must be stood as well.
            for end in 0..bytes.len().min(200) {
                door(&bytes[..end]);
            }
            door(&[&bytes[..], &[0; 3]].concat());
            count += 1;
        }
        assert!(count > 0, "{name} has no input");
    }
}

#[test]
fn every_folder_of_the_corpus_belongs_to_a_door() {
    let doors: BTreeSet<_> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let folders: BTreeSet<_> = fs::read_dir(corpus())
        .expect("readable")
        .map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned())
        .collect();
    assert_eq!(folders, doors);
}
