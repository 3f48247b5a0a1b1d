//! A disk that takes no more: the daemon stops with its reason, and what it said before is true.

use std::process::Command;
use std::time::Instant;

use super::network::{Daemon, Network, viaductd};
use super::programs::{PATIENCE, Process, program};

/// The same daemon, whose files cannot grow beyond `blocks` (of 512 or 1024 bytes, as the shell has it):
/// what a full disk looks like, without one.
fn on_a_small_disk(daemon: &mut Daemon, url: &str, blocks: u32) {
    daemon.process.kill();
    let plain = viaductd(&daemon.dir, url, &daemon.p2p, &daemon.rpc);
    let mut shell = Command::new("sh");
    shell.env_clear().arg("-c");
    shell.arg(format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\""));
    shell.arg(program("viaductd")).args(plain.get_args());
    daemon.process = Process::start(&mut shell, &daemon.dir.with_extension("log"));
}

#[test]
fn a_full_disk_stops_the_daemon_with_its_reason_and_nothing_that_it_said_is_lost() {
    let mut network = Network::start();
    network.alice.get(&["sandbox", "faucet", "10M"]);
    let peer = format!("{}@{}", network.bob.node_id, network.bob.p2p);
    network.alice.get(&["open", &peer, "2M"]);
    let url = network.url();
    on_a_small_disk(&mut network.alice, &url, 700);
    network.wait_usable();

    let mut arrived = 0;
    let begun = Instant::now();
    let code = loop {
        let invoice = network.bob.id_of(&["invoice", "100"]);
        let said = network.alice.ask(&["pay", &invoice]);
        if said.code == 0 {
            arrived += 1;
        }
        if let Some(code) = network.alice.process.ended() {
            break code;
        }
        assert!(begun.elapsed() < PATIENCE, "the disk never was full");
    };
    assert_eq!(code, Some(4), "it had to stop");
    let log = std::fs::read_to_string(network.alice.dir.with_extension("log")).unwrap();
    assert!(log.contains("journal"), "the log says why");

    network.alice.again();
    network.wait_usable();
    let payments = network.alice.get(&["payments", "--limit", "1000"]);
    let all = payments["payments"].as_array().expect("a list");
    let done = all.iter().filter(|payment| payment["status"] == "PAYMENT_STATUS_SUCCEEDED").count();
    // The last one may have arrived without anybody left to be told.
    assert!(done == arrived || done == arrived + 1, "{done} kept, {arrived} told");
    let theirs = network.bob.get(&["channels"])["channels"][0]["our_msat"].as_u64();
    assert_eq!(theirs, Some(done as u64 * 100_000));
    let invoice = network.bob.id_of(&["invoice", "1k"]);
    network.alice.get(&["pay", &invoice]);
}
