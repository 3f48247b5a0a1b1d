//! What whole nodes do with their chain, once more over Bitcoin Core's JSON-RPC against ours: the running test starts
//! itself. `VIADUCT_TEST_CHAIN=bitcoind` does so with every test.

use std::process::{Command, Stdio};

use viaduct_tests::layer1::{BITCOIND, OVER};

/// What is run, by beginnings of names: where blocks, the mempool, reorganisations and restarts matter. Others say the
/// same whatever the chain is, or take long.
const RUN: &[&str] = &[
    "nodes::closes::a_node_that_was_away",
    "nodes::closes::the_other_side_closes_alone",
    "nodes::crash::",
    "nodes::funding::a_",
    "nodes::unconfirmed::a_",
];

#[test]
fn what_nodes_do_with_their_chain_is_the_same_over_bitcoin_cores_rpc() {
    // It is so already.
    if std::env::var_os(OVER).is_some() || std::env::var_os(BITCOIND).is_some() {
        return;
    }
    let mut command = Command::new(std::env::current_exe().expect("a path"));
    command.args(RUN).args(["--test-threads", "2"]).env(OVER, "bitcoind").stdin(Stdio::null());
    let done = command.output().expect("it starts");
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{said}\n{}", String::from_utf8_lossy(&done.stderr));
    assert!(!said.contains(" 0 passed"), "{said}");
}
