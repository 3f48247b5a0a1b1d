//! libFuzzer at one door of `wire::fuzz`, named by the variable `DOOR`.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use wire::fuzz::TARGETS;

/// The door that is fuzzed in this process.
fn door() -> fn(&[u8]) {
    static DOOR: OnceLock<fn(&[u8])> = OnceLock::new();
    *DOOR.get_or_init(|| {
        let wanted = std::env::var("DOOR").unwrap_or_default();
        let found = TARGETS.iter().find(|(name, _)| *name == wanted);
        let Some((_, door)) = found else {
            let names: Vec<_> = TARGETS.iter().map(|(name, _)| *name).collect();
            eprintln!("DOOR={wanted} is no door; there are: {}", names.join(" "));
            std::process::exit(3);
        };
        *door
    })
}

fuzz_target!(|bytes: &[u8]| door()(bytes));
