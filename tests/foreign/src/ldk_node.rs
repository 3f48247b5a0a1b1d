//! LDK Node with our chain as all it has of Bitcoin, and one of our nodes as its peer: they open, pay and close.

use std::path::Path;
use std::time::{Duration, Instant};

use bitcoin::Network;
use daemon::rpc::model::channel::ChannelPhase;
use ldk_node::bitcoin::secp256k1::PublicKey;
use ldk_node::config::EsploraSyncConfig;
use ldk_node::lightning::ln::msgs::SocketAddress;
use ldk_node::lightning_invoice::{Bolt11Invoice, Bolt11InvoiceDescription, Description};
use ldk_node::{Builder, Event, Node, PendingSweepBalance, UserChannelId};
use viaduct_tests::ours::{OurNode, Place, pay_to_the_end};
use wire::id::ChannelId;

use crate::world::{PATIENCE, World, until};

/// Satoshi that each wallet has: one subsidy.
const COIN: u64 = 5_000_000_000;
const CAPACITY: u64 = 1_000_000;

/// How LDK sees the chain.
#[derive(Clone, Copy, Debug)]
enum Sees {
    JsonRpc,
    Esplora,
}

/// An LDK node that stops when the test ends.
struct Ldk {
    node: Node,
    log: std::path::PathBuf,
}

impl Drop for Ldk {
    fn drop(&mut self) {
        let _ = self.node.stop();
    }
}

impl Ldk {
    fn start(dir: &Path, world: &World, sees: Sees, seed: u8) -> Self {
        let dir = dir.join(format!("ldk-{seed}"));
        std::fs::create_dir_all(&dir).expect("a directory");
        let log = dir.join("log");
        let mut builder = Builder::new();
        builder
            .set_network(Network::Regtest)
            .set_entropy_seed_bytes([seed; 64])
            .set_storage_dir_path(dir.display().to_string())
            .set_filesystem_logger(Some(log.display().to_string()), None);
        match sees {
            Sees::JsonRpc => {
                let ((user, password), at) = (World::login(), world.served.at());
                let host = at.ip().to_string();
                builder.set_chain_source_bitcoind_rpc(host, at.port(), user, password);
            }
            // It asks when it is told to: see `synced`.
            Sees::Esplora => {
                let by_hand = EsploraSyncConfig { background_sync_config: None };
                let url = format!("http://{}", world.served.esplora());
                builder.set_chain_source_esplora(url, Some(by_hand));
            }
        }
        let ldk = Self { node: builder.build().expect("a node"), log };
        // It gives up when its first questions take long.
        until("LDK that runs", || ldk.account(), || ldk.node.start().ok());
        if let Sees::JsonRpc = sees {
            // It begins by itself, and must not be told to before.
            until(
                "LDK's first look at the chain",
                || ldk.account(),
                || ldk.node.status().latest_onchain_wallet_sync_timestamp,
            );
        }
        ldk
    }

    /// What it said last.
    fn account(&self) -> String {
        let said = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = said.lines().filter(|line| !line.contains("TRACE")).collect();
        lines[lines.len().saturating_sub(60)..].join("\n")
    }

    /// Waits until it has seen the tip.
    fn synced(&self, world: &World) {
        let tip = world.run(world.layer1.chain().tip()).expect("a tip");
        until(
            &format!("LDK at block {}", tip.height),
            || self.account(),
            || {
                // Wallet, channels and sweeps have all seen the same when it says so.
                self.node.sync_wallets().ok()?;
                let best = self.node.status().current_best_block;
                (best.height == tip.height && best.block_hash == tip.hash).then_some(())
            },
        );
    }

    /// Waits for an event; others before it are passed over.
    fn event<T>(&self, what: &str, wanted: impl Fn(&Event) -> Option<T>) -> T {
        until(
            what,
            || self.account(),
            || {
                let event = self.node.next_event()?;
                let found = wanted(&event);
                self.node.event_handled().expect("handled");
                if let (None, Event::PaymentFailed { .. }) = (&found, &event) {
                    panic!("{event:?}\n{}", self.account());
                }
                found
            },
        )
    }

    fn wallet_sat(&self) -> u64 {
        self.node.list_balances().total_onchain_balance_sats
    }
}

/// A chain, one of our nodes and LDK's, with a coin each.
struct Story {
    // Dropped in this order: nobody loses the chain before it stops.
    ldk: Ldk,
    ours: OurNode,
    world: World,
    _dir: tempfile::TempDir,
}

impl Story {
    fn begin(sees: Sees, seed: u8) -> Self {
        let world = World::start();
        let dir = tempfile::tempdir().expect("a directory");
        let place = Place::new("viaduct", dir.path(), &world.layer1);
        let ours = world.run(OurNode::start(place));
        let ldk = Ldk::start(dir.path(), &world, sees, seed);
        let scripts = [
            world.run(ours.wallet_script()),
            ldk.node.onchain_payment().new_address().expect("an address").script_pubkey(),
        ];
        world.give(&scripts);
        let story = Self { ldk, ours, world, _dir: dir };
        story.synced();
        assert_eq!(story.ldk.wallet_sat(), COIN);
        story
    }

    fn id(&self) -> PublicKey {
        self.ours.id().to_string().parse().expect("a key")
    }

    fn synced(&self) {
        let height = self.world.height();
        self.world.run(self.ours.at_height(height));
        self.ldk.synced(&self.world);
    }

    fn mine(&self, count: u32) {
        self.world.mine(count);
        self.synced();
    }

    /// LDK opens to us; usable when this is over.
    fn ldk_opens(&self) -> (UserChannelId, ChannelId) {
        let address = SocketAddress::from(self.ours.address());
        let opened = until(
            "an open begun",
            || self.ldk.account(),
            // Not when it cannot connect in time.
            || self.ldk.node.open_channel(self.id(), address.clone(), CAPACITY, None, None).ok(),
        );
        let id = self.ldk.event("the funding", |event| match event {
            Event::ChannelPending { channel_id, .. } => Some(channel_id.0),
            _ => None,
        });
        self.world.run(self.world.layer1.mempool_of(1));
        self.mine(6);
        let id = ChannelId(id);
        self.world.run(self.ours.usable(id));
        self.ldk.event("a usable channel", |event| {
            matches!(event, Event::ChannelReady { .. }).then_some(())
        });
        (opened, id)
    }

    fn ldk_pays(&self, msat: u64) {
        let (invoice, hash) = self.world.run(self.ours.create_invoice(Some(msat), 3_600));
        let invoice: Bolt11Invoice = invoice.parse().expect("an invoice");
        self.ldk.node.bolt11_payment().send(&invoice, None).expect("a payment begun");
        self.ldk.event("a payment that arrived", |event| {
            matches!(event, Event::PaymentSuccessful { .. }).then_some(())
        });
        assert_eq!(self.world.run(self.ours.settled(hash)), Some(msat));
    }

    fn we_pay(&self, msat: u64) {
        let text = Description::new("a test".to_owned()).expect("a description");
        let text = Bolt11InvoiceDescription::Direct(text);
        let invoice = self.ldk.node.bolt11_payment().receive(msat, &text, 3_600);
        let invoice = invoice.expect("an invoice").to_string();
        let paid = self.world.run(pay_to_the_end(self.ours.handle(), &invoice));
        let paid = paid.expect("not refused");
        let arrived = matches!(paid, daemon::rpc::model::payment::PaymentStatus::Succeeded { .. });
        assert!(arrived, "{paid:?}\n{}", self.ldk.account());
        let received = self.ldk.event("money", |event| match event {
            Event::PaymentReceived { amount_msat, .. } => Some(*amount_msat),
            _ => None,
        });
        assert_eq!(received, msat);
    }

    /// What we still call open or unsettled of a channel.
    fn phase(&self, id: ChannelId) -> ChannelPhase {
        let all = self.world.run(self.ours.channels());
        all.into_iter().find(|channel| channel.id == id).expect("a known channel").phase
    }

    /// Mines until both have all that is theirs in their wallets, and call the channel over.
    fn buried(&self, id: ChannelId) {
        let begun = Instant::now();
        loop {
            self.mine(10);
            let left = self.ldk.node.list_balances();
            // It goes on watching its sweeps for weeks.
            let is_mined = |sweep: &PendingSweepBalance| {
                matches!(sweep, PendingSweepBalance::AwaitingThresholdConfirmations { .. })
            };
            let swept = left.total_lightning_balance_sats == 0
                && left.pending_balances_from_channel_closures.iter().all(is_mined);
            if swept && self.phase(id) == ChannelPhase::Closed {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{left:?}\n{}", self.ldk.account());
            // What was made on the last block comes to the miners.
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// All that was given out is in a wallet, or was paid to miners, but for so much at most.
    fn account(&self, lost_max: u64) {
        self.synced();
        let fees = self.world.run(self.world.layer1.totals()).fees_sat;
        let ours = self.world.run(self.ours.balance()).confirmed.to_sat();
        let sum = ours + self.ldk.wallet_sat() + fees;
        assert!(
            sum <= 2 * COIN && sum + lost_max >= 2 * COIN,
            "ours {ours}, LDK {}, fees {fees}\n{}",
            self.ldk.wallet_sat(),
            self.ldk.account()
        );
    }
}

fn opens_pays_is_paid_and_closes(sees: Sees, seed: u8) {
    let story = Story::begin(sees, seed);
    let (opened, id) = story.ldk_opens();
    story.ldk_pays(300_000_000);
    story.we_pay(100_000_000);
    story.ldk.node.close_channel(&opened, story.id()).expect("a close begun");
    story.ldk.event("the end", |event| matches!(event, Event::ChannelClosed { .. }).then_some(()));
    story.world.run(story.world.layer1.mempool_of(1));
    story.buried(id);
    // Parts of satoshis.
    story.account(2);
}

fn closes_alone_through_a_reorganisation(sees: Sees, seed: u8) {
    let story = Story::begin(sees, seed);
    let (opened, id) = story.ldk_opens();
    story.ldk_pays(300_000_000);
    let funding = story.world.run(story.ours.usable(id)).funding.expect("funded");
    story.ldk.node.force_close_channel(&opened, story.id(), None).expect("a close begun");
    let spend = story.world.run(story.world.layer1.spend_seen(funding));
    story.mine(2);
    // The commitment waits again, and comes into the next block.
    let without = [spend.compute_txid()].into();
    story.world.reorg(3, without);
    story.synced();
    let again = story.world.run(story.world.layer1.chain().spender(funding, 0));
    let again = again.expect("it answers").expect("it waits");
    assert!(again.block.is_none());
    story.mine(1);
    story.buried(id);
    // Anchors are left, or taken for less than they bring.
    story.account(2 * 330 + 2);
}

#[test]
fn over_the_json_rpc_it_opens_pays_is_paid_and_closes() {
    opens_pays_is_paid_and_closes(Sees::JsonRpc, 7);
}

#[test]
fn over_the_json_rpc_it_closes_alone_through_a_reorganisation() {
    closes_alone_through_a_reorganisation(Sees::JsonRpc, 8);
}

#[test]
fn over_esplora_it_opens_pays_is_paid_and_closes() {
    opens_pays_is_paid_and_closes(Sees::Esplora, 9);
}

#[test]
fn over_esplora_it_closes_alone_through_a_reorganisation() {
    closes_alone_through_a_reorganisation(Sees::Esplora, 10);
}
