//! Open, pay, kill, start again, close; at the end every satoshi is told.

use std::time::Duration;

use chain_backend::{RemoteChain, Sandbox as _};

use super::network::{Daemon, Network};
use super::programs::{run, until};

const FAUCET: u64 = 10_000_000;
const CAPACITY: u64 = 2_000_000;

fn fees(network: &Network) -> u64 {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let network = RemoteChain::connect(&network.url(), bitcoin::Network::Regtest).await;
        network.expect("the server").totals().await.expect("totals").fees_sat
    })
}

fn confirmed(node: &Daemon) -> u64 {
    node.number(&["wallet"], "/confirmed_sat")
}

#[test]
fn daemons_and_chain_killed_in_the_middle_of_payments_lose_and_double_nothing() {
    let mut network = Network::start();
    network.alice.get(&["sandbox", "faucet", &FAUCET.to_string()]);
    let fees_before = fees(&network);
    let peer = format!("{}@{}", network.bob.node_id, network.bob.p2p);
    let opened = network.alice.get(&["open", &peer, &CAPACITY.to_string()]);
    assert_eq!(opened["stage"], "OPEN_STAGE_READY", "{opened:#}");
    let (mut bills, mut sum) = (Vec::new(), 0);
    for round in 0..4 {
        let batch: Vec<(String, u64)> = (0..8)
            .map(|place| {
                let sat = 5_000 + 1_000 * round + place;
                (network.bob.id_of(&["invoice", &sat.to_string(), "a round"]), sat)
            })
            .collect();
        let paying: Vec<_> = batch
            .iter()
            .map(|(invoice, _)| {
                let mut command = network.alice.viaduct();
                command.args(["--json", "--yes", "pay", invoice]);
                std::thread::spawn(move || run(&mut command))
            })
            .collect();
        // As the first payments have left, and the last have not begun.
        std::thread::sleep(Duration::from_millis(60 + 40 * round));
        match round {
            0 => network.alice.kill_and_start(),
            1 => network.bob.kill_and_start(),
            2 => {
                network.kill_chain();
                network.alice.kill_and_start();
                network.chain_again();
            }
            _ => {
                network.bob.process.kill();
                network.alice.process.kill();
                network.bob.again();
                network.alice.again();
            }
        }
        for payment in paying {
            let said = payment.join().expect("it ran");
            // Done; or refused, unreachable or unknown because the daemon died: never a lie.
            assert!([0, 1, 2, 4].contains(&said.code), "{said:?}");
        }
        network.wait_usable();
        for (invoice, sat) in batch {
            let said = network.alice.ask(&["pay", &invoice]);
            let again = network.alice.ask(&["pay", &invoice]);
            assert_eq!(again.error()["reason"], "ALREADY_PAID", "{said:?} {again:?}");
            bills.push(invoice);
            sum += sat;
        }
        let channel = network.bob.get(&["channels"])["channels"][0].clone();
        assert_eq!(channel["our_msat"], sum * 1_000, "{channel:#}");
        let channel = network.alice.get(&["channels"])["channels"][0].clone();
        assert_eq!(channel["our_msat"], (CAPACITY - sum) * 1_000, "{channel:#}");
    }
    let payments = network.alice.get(&["payments"]);
    let all = payments["payments"].as_array().expect("a list");
    // A payment that a crash stopped before it left is told as that, beside the one that arrived.
    let with = |status: &str| all.iter().filter(|payment| payment["status"] == status).count();
    assert_eq!(with("PAYMENT_STATUS_SUCCEEDED"), bills.len(), "{payments:#}");
    assert_eq!(with("PAYMENT_STATUS_IN_FLIGHT"), 0, "{payments:#}");

    // The chain server dies while the channel is closed, and the close goes on when it is back.
    network.kill_chain();
    let closing = {
        let mut command = network.alice.viaduct();
        command.args(["--json", "--yes", "close", &network.bob.node_id]);
        std::thread::spawn(move || run(&mut command))
    };
    std::thread::sleep(Duration::from_millis(300));
    network.chain_again();
    let closed = closing.join().expect("it ran").done().json();
    assert_eq!(closed["kind"], "CLOSE_KIND_COOPERATIVE", "{closed:#}");
    until("both to have their coins", || {
        confirmed(&network.bob) == sum && {
            let spent = fees(&network) - fees_before;
            confirmed(&network.alice) + sum + spent == FAUCET
        }
    });
    assert_eq!(network.alice.process.terminate(), Some(0));
    assert_eq!(network.bob.process.terminate(), Some(0));
}
