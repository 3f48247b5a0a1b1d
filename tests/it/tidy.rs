//! The rules of the house, as tests: floors, purity, module headers, where secrets may be seen.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Who may import whom: a crate uses only crates on floors below its own.
const FLOORS: &[(&str, u8)] = &[
    ("wire", 1),
    ("store", 1),
    ("api", 1),
    ("channel", 2),
    ("routing", 2),
    ("chain-backend", 2),
    ("watchtower", 3),
    ("daemon", 4),
    ("cli", 5),
    ("tests", 5),
    ("tests/foreign", 6),
];

/// The crates that may not see a clock, a socket, a disk or a random number, and all they may import.
const PURE: &[(&str, &[&str])] = &[
    (
        "wire",
        &["bitcoin", "secp256k1", "chacha20", "chacha20poly1305", "crc32c", "thiserror", "zeroize"],
    ),
    ("channel", &["wire", "bitcoin", "secp256k1", "thiserror", "zeroize"]),
    ("routing", &["wire", "bitcoin", "petgraph", "secp256k1", "thiserror"]),
];

/// Paths that would let a pure crate look at the world.
const IMPURE: &[&str] = &[
    "std::fs",
    "std::net",
    "std::thread",
    "std::env",
    "std::process",
    "std::time::Instant",
    "std::time::SystemTime",
    "Instant::now",
    "SystemTime::now",
    "thread_rng",
    "OsRng",
    "getrandom",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the root").to_owned()
}

fn sources(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).expect("readable").map(|entry| entry.expect("readable")) {
            let path = entry.path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    assert!(!found.is_empty(), "no sources below {}", dir.display());
    found
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The names listed in a section such as `[dependencies]` of a manifest.
fn section(manifest: &str, header: &str) -> BTreeSet<String> {
    manifest
        .lines()
        .skip_while(|line| line.trim() != header)
        .skip(1)
        .take_while(|line| !line.starts_with('['))
        .filter_map(|line| line.split(['.', ' ', '=']).next())
        .filter(|name| !name.is_empty() && !name.starts_with('#'))
        .map(str::to_owned)
        .collect()
}

/// A file's text up to its inline test module; whole-file tests count as tests.
fn production(path: &Path) -> Option<String> {
    let whole_file_test = path.components().any(|part| {
        let part = part.as_os_str().to_string_lossy();
        ["tests", "tests.rs", "testing.rs", "world", "world.rs"].contains(&&*part)
    });
    if whole_file_test {
        return None;
    }
    let text = read(path);
    Some(text.split("#[cfg(test)]").next().unwrap_or_default().to_owned())
}

#[test]
fn a_crate_imports_only_crates_on_floors_below() {
    for &(name, floor) in FLOORS {
        let manifest = read(&root().join(name).join("Cargo.toml"));
        let uses = section(&manifest, "[dependencies]");
        for &(other, other_floor) in FLOORS {
            if uses.contains(other) && name != "tests" {
                assert!(
                    other_floor < floor,
                    "{name} (floor {floor}) imports {other} (floor {other_floor})"
                );
            }
        }
    }
}

#[test]
fn every_crate_of_the_workspace_has_a_floor() {
    let manifest = read(&root().join("Cargo.toml"));
    let members: BTreeSet<_> = manifest
        .lines()
        .skip_while(|line| !line.starts_with("members"))
        .skip(1)
        .take_while(|line| !line.starts_with(']'))
        .map(|line| line.trim().trim_matches(['"', ',']).to_owned())
        .collect();
    let floors: BTreeSet<_> = FLOORS.iter().map(|&(name, _)| name.to_owned()).collect();
    assert_eq!(members, floors);
}

#[test]
fn pure_crates_import_only_what_cannot_look_at_the_world() {
    for &(name, allowed) in PURE {
        let manifest = read(&root().join(name).join("Cargo.toml"));
        let allowed: BTreeSet<_> = allowed.iter().map(|&name| name.to_owned()).collect();
        let uses = section(&manifest, "[dependencies]");
        let extra: Vec<_> = uses.difference(&allowed).collect();
        assert!(extra.is_empty(), "{name} imports {extra:?}");
    }
}

#[test]
fn pure_crates_name_no_clock_socket_disk_or_dice() {
    for &(name, _) in PURE {
        for path in sources(&root().join(name).join("src")) {
            let Some(text) = production(&path) else { continue };
            for (number, line) in text.lines().enumerate() {
                let code = line.split("//").next().unwrap_or_default();
                for word in IMPURE {
                    assert!(!code.contains(word), "{}:{}: {word}", path.display(), number + 1);
                }
            }
        }
    }
}

#[test]
fn every_file_says_in_its_first_line_what_lives_there() {
    for &(name, _) in FLOORS {
        let src = root().join(name).join("src");
        for path in sources(&src) {
            assert!(read(&path).starts_with("//! "), "{} has no header", path.display());
        }
    }
}

#[test]
fn nothing_unfinished_is_committed() {
    let words =
        ["todo!(", "unimplemented!(", "dbg!(", concat!("FIX", "ME"), concat!("#[", "ignore")];
    for &(name, _) in FLOORS {
        for path in sources(&root().join(name)) {
            if path.components().any(|part| part.as_os_str() == "target") {
                continue;
            }
            let text = read(&path);
            for word in words {
                let own = path.ends_with("tidy.rs");
                assert!(own || !text.contains(word), "{} contains {word}", path.display());
            }
        }
    }
}

#[test]
fn secret_keys_of_a_channel_are_seen_in_the_signer_alone() {
    for path in sources(&root().join("channel/src")) {
        let Some(text) = production(&path) else { continue };
        let may = path.ends_with("signer.rs")
            || path.to_string_lossy().contains("/signer/")
            || path.ends_with("keys.rs");
        assert!(
            may || !text.contains("SecretKey"),
            "{} handles a secret key; only signer.rs and the key derivation it calls may",
            path.display()
        );
    }
}

#[test]
fn the_engine_of_the_index_is_named_in_one_file() {
    for &(name, _) in FLOORS {
        for path in sources(&root().join(name).join("src")) {
            let Some(text) = production(&path) else { continue };
            let names = text.lines().any(|line| {
                let code = line.split("//").next().unwrap_or_default();
                code.replace("self::sled::", "").contains("sled::")
            });
            let may = path.ends_with("store/src/engine/sled.rs");
            assert!(may || !names, "{} names sled", path.display());
        }
    }
}
