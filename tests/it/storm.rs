//! Forwarding under a storm: a ring of nodes with payments all over it, while nodes are killed and links
//! are cut. When it has settled, each payment was paid once or failed, sums are equal, no HTLC is left.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use cli::sandbox::dice::Dice;
use daemon::payments::send::Via;
use daemon::rpc::model::forward::{ForwardFilter, ForwardState};
use daemon::rpc::model::page::Page;
use daemon::rpc::model::payment::{PayOrder, Payment, PaymentStatus};
use daemon::rpc::model::peer::DisconnectPeer;
use daemon::rpc::node_api::NodeApi as _;
use futures_util::future::join_all;
use secp256k1::PublicKey;
use viaduct_tests::layer1::Layer1;
use viaduct_tests::ours::{OurNode, Place, pay_order};
use viaduct_tests::until::until_async;
use wire::id::{ChannelId, PaymentHash, ShortChannelId};
use wire::units::Msat;

use crate::nodes::pair::find;

/// Nodes of the ring.
const NODES: usize = 5;
/// Two that have a channel across it besides.
const ACROSS: (usize, usize) = (0, 2);
/// What each channel holds, in satoshi.
const CAPACITY: u64 = 4_000_000;
/// What everybody asks for a forward.
const BASE_MSAT: u64 = 1_000;
/// Per million.
const PPM: u64 = 100;
/// Blocks.
const DELTA: u32 = 40;
/// Payments that begin together.
const GUST: usize = 12;
/// How long the storm blows, unless `VIADUCT_STORM_SECONDS` says otherwise.
const SECONDS: u64 = 30;
/// Its seeds are 1 to this, unless `VIADUCT_STORM_SEEDS` says otherwise.
const SEEDS: u64 = 1;
/// How long all may take besides.
const LIMIT: Duration = Duration::from_secs(300);

/// One channel of the network.
struct Channel {
    id: ChannelId,
    scid: ShortChannelId,
    ends: (usize, usize),
}

/// A payment that was begun.
struct Begun {
    hash: PaymentHash,
    from: usize,
    to: usize,
    msat: u64,
}

struct Network {
    nodes: Vec<Option<OurNode>>,
    channels: Vec<Channel>,
    dice: Dice,
    begun: Vec<Begun>,
    refused: usize,
    _layer1: Layer1,
    _dir: tempfile::TempDir,
}

fn number(name: &str, unless: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(unless)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_with_crashes_and_cuts_pays_each_payment_once_or_not_at_all() {
    let _already = tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_test_writer()
        .try_init();
    for seed in 1..=number("VIADUCT_STORM_SEEDS", SEEDS) {
        let blows = Duration::from_secs(number("VIADUCT_STORM_SECONDS", SECONDS));
        tokio::time::timeout(blows + LIMIT, story(seed, blows)).await.expect("it settles in time");
    }
}

async fn story(seed: u64, blows: Duration) {
    let mut network = Network::start(seed).await;
    let before = network.purses().await;
    let begin = Instant::now();
    let (mut kills, mut cuts) = (0, 0);
    while begin.elapsed() < blows {
        network.gust().await;
        tokio::time::sleep(Duration::from_millis(network.dice.below(40))).await;
        match network.dice.below(4) {
            0 => {
                network.kill().await;
                kills += 1;
            }
            1 | 2 => {
                network.cut().await;
                cuts += 1;
            }
            // Payments of two gusts at once.
            _ => {}
        }
        network.join().await;
    }
    network.settle(&before).await;
    println!("seed {seed}: {kills} nodes killed, {cuts} links cut");
    network.stop().await;
}

impl Network {
    async fn start(seed: u64) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let layer1 = Layer1::start();
        let settings = [
            ("forwarding.base_msat", "1000"),
            ("forwarding.ppm", "100"),
            ("forwarding.cltv_delta_blocks", "40"),
        ];
        let mut nodes = Vec::new();
        for number in 0..NODES {
            let name = format!("n{number}");
            let place = Place::with_settings(&name, dir.path(), &layer1, &settings);
            nodes.push(OurNode::start(place).await);
        }
        let mut scripts = Vec::new();
        for node in &nodes {
            scripts.push(node.wallet_script().await);
        }
        layer1.give(&scripts).await;
        let height = layer1.height().await;
        let ring = (0..NODES).map(|node| (node, (node + 1) % NODES));
        let mut opened = Vec::new();
        for node in &nodes {
            node.at_height(height).await;
        }
        for (from, to) in ring.chain([ACROSS]) {
            let (id, address) = (nodes[to].id(), nodes[to].address());
            let channel = nodes[from].open_shared_channel(id, address, CAPACITY).await;
            opened.push((channel, (from, to)));
            // The next one from here spends what this one left.
            layer1.mempool_of(1).await;
            let height = layer1.mine(1).await;
            for node in &nodes {
                node.at_height(height).await;
            }
        }
        let mut channels = Vec::new();
        for (id, ends) in opened {
            nodes[ends.1].usable(id).await;
            let shown = nodes[ends.0].usable(id).await;
            channels.push(Channel { id, scid: shown.short_id.expect("in a block"), ends });
        }
        Self {
            nodes: nodes.into_iter().map(Some).collect(),
            channels,
            dice: Dice::new(seed),
            begun: Vec::new(),
            refused: 0,
            _layer1: layer1,
            _dir: dir,
        }
    }

    fn node(&self, number: usize) -> &OurNode {
        self.nodes[number].as_ref().expect("it runs")
    }

    /// A way without circles, by chance among those there are: over which channels.
    fn way(&mut self, from: usize, to: usize) -> Vec<(usize, usize)> {
        let mut ways = Vec::new();
        let mut open = VecDeque::from([(from, Vec::new())]);
        while let Some((at, way)) = open.pop_front() {
            if at == to {
                ways.push(way);
                continue;
            }
            let been: BTreeSet<usize> = way.iter().map(|(_, node)| *node).chain([from]).collect();
            for (place, channel) in self.channels.iter().enumerate() {
                let next = match channel.ends {
                    (a, b) if a == at => b,
                    (a, b) if b == at => a,
                    _ => continue,
                };
                if !been.contains(&next) {
                    let mut longer = way.clone();
                    longer.push((place, next));
                    open.push_back((next, longer));
                }
            }
        }
        let chosen = self.dice.place(ways.len());
        ways.swap_remove(chosen)
    }

    /// Payments at random, all begun together.
    async fn gust(&mut self) {
        let mut orders = Vec::new();
        for _ in 0..GUST {
            let from = self.dice.place(NODES);
            let to = (from + 1 + self.dice.place(NODES - 1)) % NODES;
            // Dust among them, and some that are more than a channel may have left.
            let msat = match self.dice.below(10) {
                0 | 1 => 1 + self.dice.below(300_000),
                9 => 500_000_000 + self.dice.below(1_500_000_000),
                _ => 400_000 + self.dice.below(30_000_000),
            };
            let way = self.way(from, to);
            let via = self.by(&way, msat);
            orders.push((from, to, msat, via));
        }
        let network = &*self;
        let begun = join_all(orders.into_iter().map(async |(from, to, msat, via)| {
            let (invoice, hash) = network.node(to).create_invoice(Some(msat), 3_600).await;
            let order = PayOrder { max_fee: Msat::new(1_000_000_000), ..pay_order(&invoice) };
            let paying = network.node(from).handle().pay_along(order, via).await;
            paying.is_ok().then_some(Begun { hash, from, to, msat })
        }))
        .await;
        self.refused += begun.iter().filter(|begun| begun.is_none()).count();
        self.begun.extend(begun.into_iter().flatten());
    }

    /// Who is on the way, and what each gets.
    fn by(&self, way: &[(usize, usize)], msat: u64) -> Vec<Via> {
        let mut via = Vec::new();
        let mut amount = msat;
        for step in (1..way.len()).rev() {
            let (forwarder, next) = (way[step - 1].1, &self.channels[way[step].0]);
            let fee = BASE_MSAT + amount * PPM / 1_000_000;
            amount += fee;
            via.push(Via {
                node: PublicKey::from_slice(&self.node(forwarder).id().0).expect("a key"),
                next: next.scid,
                fee: Msat::new(fee).expect("a fee"),
                cltv_delta: DELTA,
            });
        }
        via.reverse();
        via
    }

    async fn kill(&mut self) {
        let place = self.dice.place(NODES);
        let node = self.nodes[place].take().expect("it runs");
        self.nodes[place] = Some(node.crash_and_restart().await);
    }

    async fn cut(&mut self) {
        let (a, b) = self.channels[self.dice.place(self.channels.len())].ends;
        let order = DisconnectPeer { node: self.node(b).id(), force: true };
        // It may be cut already.
        let _already = self.node(a).handle().disconnect_peer(order).await;
        tokio::time::sleep(Duration::from_millis(self.dice.below(60))).await;
    }

    /// Connects everybody again who has a channel.
    async fn join(&self) {
        for channel in &self.channels {
            let (a, b) = (self.node(channel.ends.0), self.node(channel.ends.1));
            a.connect(b.id(), b.address()).await;
        }
    }

    /// What each node has in its channels, once nothing is under way and both ends of each agree.
    async fn purses(&self) -> Vec<u64> {
        let mut purses = vec![0; NODES];
        for channel in &self.channels {
            let (a, b) = channel.ends;
            let (ours, theirs) = until_async(
                "both ends of a channel to agree and no HTLC to be left",
                || format!("{} between {a} and {b}", channel.id),
                || async {
                    let ours = find(self.node(a), channel.id).await;
                    let theirs = find(self.node(b), channel.id).await;
                    let quiet = ours.htlcs.is_empty() && theirs.htlcs.is_empty();
                    let agree = ours.ours == theirs.theirs && ours.theirs == theirs.ours;
                    (quiet && agree).then_some((ours.ours.to_u64(), theirs.ours.to_u64()))
                },
            )
            .await;
            assert_eq!(ours + theirs, CAPACITY * 1_000, "a channel holds what was put into it");
            purses[a] += ours;
            purses[b] += theirs;
        }
        purses
    }

    /// Waits until everything has its end, and counts.
    async fn settle(&self, before: &[u64]) {
        let mut should: Vec<u64> = before.to_vec();
        let (mut earned, mut paid, mut failed, mut forwarded) = (0, 0, 0, 0);
        let mut fees_paid = 0;
        for begun in &self.begun {
            let payment = self.ended(begun).await;
            let succeeded = matches!(payment.status, PaymentStatus::Succeeded { .. });
            let received = self.node(begun.to).settled(begun.hash).await;
            let status = &payment.status;
            assert_eq!(received, succeeded.then_some(begun.msat), "{}: {status:?}", begun.hash);
            if !succeeded {
                failed += 1;
                continue;
            }
            paid += 1;
            // A payment whose first way fails finds another, at another price.
            let fee = payment.fee.to_u64();
            fees_paid += fee;
            should[begun.from] -= begun.msat + fee;
            should[begun.to] += begun.msat;
        }
        for (node, should) in should.iter_mut().enumerate() {
            self.forwards_ended(node).await;
            let sums = self.node(node).handle().info().await.expect("answers").forwarded;
            *should += sums.fees_msat;
            earned += sums.fees_msat;
            forwarded += sums.settled;
        }
        assert_eq!(earned, fees_paid, "what is paid in fees is earned by somebody");
        let purses = self.purses().await;
        assert_eq!(purses, should, "every node has what its payments and forwards say");
        assert_eq!(purses.iter().sum::<u64>(), before.iter().sum::<u64>());
        println!(
            "{} payments begun: {paid} paid over {forwarded} forwards, {failed} failed; {} refused",
            self.begun.len(),
            self.refused
        );
        assert!(paid * 4 > self.begun.len(), "{paid} of {} arrived", self.begun.len());
        let paid_of = u64::try_from(paid).expect("fits");
        assert!(forwarded > paid_of / 2, "{forwarded} forwards for {paid} payments");
        assert!(failed > 0, "nothing went wrong, so nothing was shown");
    }

    /// The end of a payment; one that tries way after way takes its time.
    async fn ended(&self, begun: &Begun) -> Payment {
        let deadline = Instant::now() + Duration::from_secs(240);
        loop {
            let payment = self.node(begun.from).handle().payment(begun.hash).await;
            if let Some(payment) = payment.ok().filter(Payment::is_final) {
                return payment;
            }
            assert!(Instant::now() < deadline, "{} never ends", begun.hash);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// No forward of a node is open any more.
    async fn forwards_ended(&self, node: usize) {
        until_async(
            "every forward to end",
            || format!("node {node}"),
            || async {
                let page = Page { size: Page::SIZE_MAX, ..Page::default() };
                let filter = ForwardFilter::default();
                let listed =
                    self.node(node).handle().list_forwards(filter, page).await.expect("a list");
                let open = |state| matches!(state, ForwardState::Held | ForwardState::InFlight);
                (!listed.entries.iter().any(|one| open(one.state))).then_some(())
            },
        )
        .await;
    }

    async fn stop(self) {
        for node in self.nodes.into_iter().flatten() {
            node.stop().await;
        }
    }
}
