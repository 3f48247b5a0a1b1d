//! `viaduct demo` as a user starts it: three acts, and an account that adds up.

use std::process::Command;

use super::programs::{program, run};

#[test]
fn the_demo_tells_three_acts_punishes_two_thefts_and_counts_every_satoshi() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut demo = Command::new(program("viaduct"));
    demo.env_clear().env("TMPDIR", dir.path()).args(["--json", "demo", "--payments", "6"]);
    let said = run(&mut demo).done();
    let account = said.json();
    assert_eq!((&account["payments"], &account["failed"]), (&6.into(), &0.into()), "{said:?}");
    assert_eq!((&account["conserved"], &account["cheats_punished"]), (&true.into(), &2.into()));
    for act in ["betrayal", "ambush"] {
        let number = |name: &str| account[act][name].as_u64().expect("a number");
        // Justice takes what the thief wanted, to the satoshi; a fee is all that is lost of it.
        assert_eq!(number("wanted_sat"), number("taken_sat") + number("justice_fee_sat"), "{act}");
        let gone = number("chain_fees_sat") + number("anchors_sat");
        assert_eq!(number("before_sat"), number("after_sat") + gone, "{act}");
    }
    let left = std::fs::read_dir(dir.path()).expect("our own directory").count();
    assert_eq!(left, 0, "whoever tells a story to its end cleans up");
}
