//! A daemon under floods from outside: it stays up, answers, and its memory is bounded.

use std::net::SocketAddr;

use wire::id::NodeId;
use wire::message::{Message, Ping};

use super::network::Network;
use crate::rubbish::stranger::{Stranger, key};

/// How much a daemon may grow under all floods together, in KiB.
const GROWTH_MAX_KIB: u64 = 64 << 10;

fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find(|line| line.starts_with("VmRSS")).expect("a size");
    line.split_whitespace().nth(1).and_then(|size| size.parse().ok()).expect("a number")
}

#[test]
fn floods_of_strangers_do_not_fill_the_memory_of_a_daemon() {
    let network = Network::start();
    let address: SocketAddr = network.alice.p2p.parse().expect("an address");
    let them: NodeId = network.alice.node_id.parse().expect("an id");
    let before = resident_kib(network.alice.process.pid());
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let floods = (1..=40_u8).map(|byte| async move {
            let Some(mut line) = Stranger::dial(address, them, key(byte)).await else { return };
            let init = crate::rubbish::stranger::init(
                wire::feature::Features::init(),
                vec![crate::rubbish::stranger::chain()],
            );
            line.say(&init).await;
            // The largest answers are asked for and never read.
            let ping: Message = Ping { num_pong_bytes: 65_531, ignored: vec![0; 2_000] }.into();
            for _ in 0..3_000 {
                if !line.say_frame(&ping.encode_frame()).await {
                    return;
                }
            }
        });
        futures_util::future::join_all(floods).await;
    });
    let after = resident_kib(network.alice.process.pid());
    println!("{before} KiB before, {after} KiB after");
    assert!(after < before + GROWTH_MAX_KIB, "{before} KiB before, {after} KiB after");
    assert_eq!(network.alice.id_of(&["status"]), network.alice.node_id);
}
