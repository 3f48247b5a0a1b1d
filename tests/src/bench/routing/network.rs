//! A network for the bench: from a file, or made up from a seed.
//!
//! The file has a header and a row for each direction of a channel: `channel,direction,src,dst,capacity_sat,enabled,
//! cltv_delta,htlc_min_msat,htlc_max_msat,base_fee_msat,fee_ppm`, nodes as numbers. Real ids are not needed: a node's
//! key is its number and one.

use routing::graph::{ChannelAnnounced, Direction, GraphUpdate, Policy, Snapshot};
use secp256k1::{PublicKey, Secp256k1, SecretKey};
use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};
use wire::feature::Features;
use wire::id::{NodeId, ShortChannelId};
use wire::units::{CltvDelta, Msat, Sat};

/// What a mainnet graph of February 2026 has.
const NODES: usize = 17_324;
const CHANNELS: u64 = 50_808;

/// One direction of a channel.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way {
    pub(super) channel: u64,
    pub(super) src: u32,
    pub(super) dst: u32,
    pub(super) capacity_sat: u64,
    pub(super) policy: Option<Policy>,
}

/// All directions, and a key for each node.
#[derive(Debug)]
pub(super) struct Network {
    pub(super) ways: Vec<Way>,
    pub(super) keys: Vec<PublicKey>,
    pub(super) now_secs: u32,
}

/// splitmix64.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// From 0 to 1.
    fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

fn now_secs() -> u32 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs() as u32
}

/// The text of a file, unpacked if its name ends in `.gz`.
fn text(path: &Path) -> String {
    if path.extension().is_some_and(|ending| ending == "gz") {
        let output = Command::new("gzip").arg("-dc").arg(path).output().expect("gzip");
        assert!(output.status.success(), "gzip cannot read {}", path.display());
        return String::from_utf8(output.stdout).expect("text");
    }
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Pairs of nodes from a file of `pair,src,dst`.
pub(super) fn read_pairs(path: &Path) -> Vec<(u32, u32)> {
    let of = |line: &str| {
        let mut fields = line.split(',').skip(1).map(|field| field.parse().expect("a node"));
        (fields.next().expect("src"), fields.next().expect("dst"))
    };
    text(path).lines().skip(1).map(of).collect()
}

impl Network {
    /// Reads the file.
    pub(super) fn read(path: &Path) -> Self {
        let now_secs = now_secs();
        let ways = text(path).lines().skip(1).map(|line| Way::parse(line, now_secs)).collect();
        Self::of(ways, now_secs)
    }

    fn of(ways: Vec<Way>, now_secs: u32) -> Self {
        let nodes = ways.iter().map(|way| way.src.max(way.dst)).max().unwrap_or(0) + 1;
        let secp = Secp256k1::new();
        let key = |node: u32| {
            let mut secret = [0; 32];
            secret[28..].copy_from_slice(&(node + 1).to_be_bytes());
            SecretKey::from_slice(&secret).expect("above zero").public_key(&secp)
        };
        Self { ways, keys: (0..nodes).map(key).collect(), now_secs }
    }

    /// As many nodes and channels as mainnet; a node's channels fall with its rank, half of the nodes have one.
    pub(super) fn made_up() -> Self {
        let mut dice = Dice(42);
        let now_secs = now_secs();
        // Rank to the power of -0.95: the first has some thousands, the median one.
        let mut sum = 0.0;
        let shares: Vec<f64> = (0..NODES)
            .map(|rank| {
                sum += (rank as f64 + 4.0).powf(-0.95);
                sum
            })
            .collect();
        let draw = |dice: &mut Dice| {
            let place = dice.share() * sum;
            shares.partition_point(|share| *share < place).min(NODES - 1) as u32
        };
        let mut ways = Vec::new();
        for channel in 0..CHANNELS {
            // Everybody has one channel; the others are between those who have many.
            let src = if channel < NODES as u64 { channel as u32 } else { draw(&mut dice) };
            let dst = draw(&mut dice);
            if src == dst {
                continue;
            }
            let capacity_sat = (1.28e6 * (1.6 * normal(&mut dice)).exp()) as u64;
            let capacity_sat = capacity_sat.clamp(20_000, 1_000_000_000);
            let alive = dice.below(3) > 0;
            for (src, dst) in [(src, dst), (dst, src)] {
                let enabled = alive && dice.below(50) > 0;
                let policy = enabled.then(|| made_up_policy(&mut dice, capacity_sat, now_secs));
                ways.push(Way { channel, src, dst, capacity_sat, policy });
            }
        }
        Self::of(ways, now_secs)
    }

    /// The id of a node.
    pub(super) fn id(&self, node: u32) -> NodeId {
        NodeId::from(self.keys[node as usize])
    }

    /// What gossip would say, channels first.
    pub(super) fn updates(&self) -> Vec<GraphUpdate> {
        let mut updates = Vec::with_capacity(self.ways.len() * 2);
        for way in &self.ways {
            let (src, dst) = (self.id(way.src), self.id(way.dst));
            updates.push(GraphUpdate::ChannelAnnounced(ChannelAnnounced {
                scid: way.scid(),
                nodes: [src.min(dst), src.max(dst)],
                capacity: Some(Sat::from_sat(way.capacity_sat)),
                features: Features::empty(),
            }));
            let direction = Direction::between(&src, &dst);
            if let Some(policy) = way.policy {
                updates.push(GraphUpdate::ChannelUpdated { scid: way.scid(), direction, policy });
            }
        }
        updates
    }

    /// Pairs of nodes that can reach each other, from a seed.
    pub(super) fn pairs(&self, snapshot: &Snapshot, count: usize) -> Vec<(u32, u32)> {
        let inward = snapshot.inward();
        let core = petgraph::algo::tarjan_scc(inward);
        let core = core.into_iter().max_by_key(Vec::len).expect("a node");
        let members: std::collections::BTreeSet<u32> = core.into_iter().collect();
        let core: Vec<u32> = (0..self.keys.len() as u32)
            .filter(|node| {
                inward.index(&self.id(*node)).is_some_and(|index| members.contains(&index))
            })
            .collect();
        let mut dice = Dice(42);
        let mut pairs = Vec::new();
        while pairs.len() < count {
            let one = core[dice.below(core.len() as u64) as usize];
            let other = core[dice.below(core.len() as u64) as usize];
            if one != other {
                pairs.push((one, other));
            }
        }
        pairs
    }
}

impl Way {
    fn parse(line: &str, now_secs: u32) -> Self {
        let fields: Vec<u64> =
            line.split(',').map(|field| field.parse().expect("a number")).collect();
        let [channel, _, src, dst, capacity_sat, enabled, cltv, least, most, base, ppm] =
            fields[..]
        else {
            panic!("eleven columns: {line}");
        };
        let policy = (enabled == 1).then(|| Policy {
            timestamp: now_secs,
            enabled: true,
            cltv_expiry_delta: CltvDelta(cltv as u16),
            htlc_minimum: Msat::new(least.min(most)).expect("an amount"),
            htlc_maximum: Msat::new(most).expect("an amount"),
            fee_base_msat: base as u32,
            fee_proportional_millionths: ppm as u32,
        });
        Self { channel, src: src as u32, dst: dst as u32, capacity_sat, policy }
    }

    pub(super) fn scid(&self) -> ShortChannelId {
        ShortChannelId::from_u64((500_000 + self.channel) << 40)
    }
}

/// Near enough to the normal spread: a sum of twelve.
fn normal(dice: &mut Dice) -> f64 {
    (0..12).map(|_| dice.share()).sum::<f64>() - 6.0
}

fn made_up_policy(dice: &mut Dice, capacity_sat: u64, now_secs: u32) -> Policy {
    let most = capacity_sat * 990;
    let deltas = [34, 40, 40, 80, 80, 80, 100, 144];
    Policy {
        timestamp: now_secs,
        enabled: true,
        cltv_expiry_delta: CltvDelta(deltas[dice.below(8) as usize]),
        htlc_minimum: Msat::new(if dice.below(3) > 0 { 1_000 } else { 1 }).expect("an amount"),
        htlc_maximum: Msat::new(most).expect("an amount"),
        fee_base_msat: if dice.below(2) == 0 { 0 } else { dice.below(1_001) as u32 },
        fee_proportional_millionths: (100.0 * (1.5 * normal(dice)).exp()) as u32,
    }
}
