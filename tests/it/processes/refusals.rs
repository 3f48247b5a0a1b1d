//! What the programs say when they cannot: words, exit codes, JSON.

use std::process::Command;

use super::network::{Network, viaduct, viaductd};
use super::programs::{Process, program, run};

#[test]
fn the_command_line_ends_with_the_code_that_its_manual_promises() {
    let network = Network::start();
    let (alice, bob) = (&network.alice, &network.bob);
    let status = alice.get(&["status"]);
    assert_eq!(status["info"]["node_id"], *alice.node_id);
    assert_eq!(alice.id_of(&["status"]), alice.node_id);

    // A directory may be named from where one stands.
    let here = network.dir.path();
    run(viaduct().current_dir(here).args(["--json", "--dir", "alice", "status"])).done();

    // 1: refused, with numbers.
    let poor = alice.ask(&["open", &format!("{}@{}", bob.node_id, bob.p2p), "1M"]);
    assert_eq!(poor.code, 1, "{poor:?}");
    assert_eq!(poor.error()["money"], "untouched");
    assert!(poor.out.is_empty(), "results alone go to stdout");
    let unpayable = alice.ask(&["pay", "lnbcrt1nonsense"]);
    assert_eq!(unpayable.code, 1, "{unpayable:?}");
    // 2: nobody there.
    let nowhere = run(viaduct().args(["--json", "--url", "http://127.0.0.1:1", "status"]));
    assert_eq!(nowhere.code, 2, "{nowhere:?}");
    let never = run(viaduct().args(["--json", "--dir", "/nonexistent", "status"]));
    assert_eq!(never.code, 2, "{never:?}");
    // 3: wrong usage.
    for words in
        [&["frobnicate"][..], &["open"], &["invoice", "12 parsecs"], &["pay", "x", "1.5msat"]]
    {
        let wrong = alice.ask(words);
        assert_eq!(wrong.code, 3, "{wrong:?}");
    }
    // 6: nobody to ask.
    let unconfirmed = run(alice.viaduct().args(["--json", "pay", &bob.id_of(&["invoice", "1k"])]));
    assert_eq!(unconfirmed.code, 6, "{unconfirmed:?}");
}

#[test]
fn a_token_of_another_node_opens_nothing_and_one_for_reading_moves_nothing() {
    let network = Network::start();
    let (alice, bob) = (&network.alice, &network.bob);
    let rpc = alice.process.said("rpc");
    let with = |token: std::path::PathBuf, words: &[&str]| {
        let mut command = viaduct();
        command.args(["--json", "--yes", "--url", &rpc, "--tls"]).arg(alice.dir.join("tls.cert"));
        run(command.arg("--macaroon").arg(token).args(words))
    };
    let own = |name: &str| alice.dir.join("sandbox").join(name);
    with(own("admin.macaroon"), &["status"]).done();
    let foreign = with(bob.dir.join("sandbox/admin.macaroon"), &["status"]);
    assert_eq!(foreign.code, 5, "{foreign:?}");
    with(own("readonly.macaroon"), &["channels"]).done();
    for words in [&["wallet", "address"][..], &["invoice", "1k"]] {
        let refused = with(own("readonly.macaroon"), words);
        assert_eq!(refused.code, 5, "{words:?}: {refused:?}");
    }
    with(own("invoice.macaroon"), &["invoice", "1k"]).done();
    let refused = with(own("invoice.macaroon"), &["wallet", "address"]);
    assert_eq!(refused.code, 5, "{refused:?}");
    // What was changed by hand is no token of ours.
    let mut token = std::fs::read(own("admin.macaroon")).unwrap();
    let last = token.len() - 1;
    token[last] ^= 1;
    let forged = network.dir.path().join("forged.macaroon");
    std::fs::write(&forged, token).unwrap();
    let refused = with(forged, &["status"]);
    assert!(refused.code == 5 || refused.code == 3, "{refused:?}");
}

#[test]
fn a_second_daemon_on_the_same_directory_is_refused_and_told_who_has_it() {
    let network = Network::start();
    let alice = &network.alice;
    let second = run(&mut viaductd(&alice.dir, &network.url(), "127.0.0.1:0", "127.0.0.1:0"));
    assert_eq!(second.code, 1, "{second:?}");
    assert!(second.err.contains(&alice.process.pid().to_string()), "{second:?}");
    assert_eq!(alice.id_of(&["status"]), alice.node_id, "the first one never noticed");
    let on_mainnet = run(Command::new(program("viaductd")).env_clear().args([
        "--dir",
        "/nonexistent",
        "--network",
        "moon",
    ]));
    assert_ne!(on_mainnet.code, 0);
    assert!(on_mainnet.err.contains("moon"), "{on_mainnet:?}");
}

#[test]
fn a_wrong_password_opens_no_seed_and_the_right_one_does() {
    let network = Network::start();
    let dir = network.dir.path().join("carol");
    let daemon = |password: &str| {
        let mut command = viaductd(&dir, &network.url(), "127.0.0.1:0", "127.0.0.1:0");
        command.env("VIADUCT_PASSWORD", password);
        command
    };
    let log = dir.with_extension("log");
    let mut carol = Process::start(&mut daemon("correct horse"), &log);
    let node_id = carol.said("node_id");
    assert_eq!(carol.terminate(), Some(0));
    let wrong = run(&mut daemon("battery staple"));
    assert_eq!(wrong.code, 1, "{wrong:?}");
    assert!(wrong.err.contains("password"), "{wrong:?}");
    let none = run(&mut viaductd(&dir, &network.url(), "127.0.0.1:0", "127.0.0.1:0"));
    assert_eq!(none.code, 1, "{none:?}");
    assert!(!wrong.err.contains("battery staple") && !wrong.err.contains("correct horse"));
    let carol = Process::start(&mut daemon("correct horse"), &log);
    assert_eq!(carol.said("node_id"), node_id);
}
