//! The dance under a random schedule: both real machines, every interleaving the seed comes up with.
//!
//! HTLCs large and dust, fulfilled, failed and malformed, fee changes, signatures that cross, connections
//! that break at any point, and crashes before or after any record became durable. Whatever happens, the
//! two ends agree, no millisatoshi is made or lost, and nothing that was promised is forgotten.

use std::collections::{BTreeMap, BTreeSet};

use wire::units::FeeratePerKw;

use super::*;
use crate::clock::Side;
use crate::effect::{Outcome, Resolved};

/// A seeded die.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x51_7c_c1_b7)
    }

    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % sides
    }
}

/// What the payer of a payment knows about it.
#[derive(Clone, Debug, PartialEq)]
enum Paid {
    /// Said, maybe signed.
    Open,
    /// Never signed.
    Dropped,
    /// The preimage came.
    Fulfilled,
    /// It came back for good.
    Failed,
}

struct Payment {
    by: usize,
    amount: u64,
    paid: Paid,
    /// What the payee decided, once it did: whether to take it.
    taken: Option<bool>,
    /// The payee was told that it is irrevocable.
    arrived: bool,
}

struct Model {
    world: World,
    dice: Dice,
    payments: BTreeMap<u64, Payment>,
    start: [u64; 2],
    crossed: u64,
    signed: u64,
    crashes: u64,
    calm: bool,
}

impl Model {
    fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let mut setup = Setup::default();
        if dice.roll(3) == 0 {
            setup.capacity = Sat::from_sat(60_000);
            setup.push = msat(dice.roll(40_000_000));
            setup.params = [Params::for_capacity(setup.capacity); 2];
        }
        if dice.roll(4) == 0 {
            setup.params[0].accepted_htlcs_max = 4;
            setup.params[1].in_flight_max_msat = 20_000_000;
        }
        let mut world = World::open(&setup);
        if dice.roll(4) == 0 {
            world.nodes.iter_mut().for_each(|node| node.policy.dust_exposure_max = msat(500_000));
        }
        let start = [0, 1].map(|who| world.nodes[who].channel().balances().unwrap().0.to_u64());
        Self {
            world,
            dice,
            payments: BTreeMap::new(),
            start,
            crossed: 0,
            signed: 0,
            crashes: 0,
            calm: false,
        }
    }

    fn turn(&mut self) {
        let who = self.dice.roll(2) as usize;
        if !self.world.nodes[0].up && self.dice.roll(4) == 0 {
            self.toggle_link();
        }
        match self.dice.roll(if self.calm { 980 } else { 1_000 }) {
            0..=119 => self.offer(who),
            120..=229 => self.decide(who),
            230..=259 => self.change_fee(who),
            260..=419 => self.sign(who),
            420..=749 => self.deliver(who),
            750..=819 => {
                let records = self.world.nodes[who].disk.durable + self.dice.roll(3) as usize;
                self.world.nodes[who].flush_to(records);
            }
            820..=969 => self.world.nodes[who].flush(),
            970..=979 => self.world.nodes[who].think(Event::Chain(ChainFact::Tip)),
            980..=989 => self.toggle_link(),
            _ => self.crash(who),
        }
        self.listen(0);
        self.listen(1);
        self.check();
    }

    fn offer(&mut self, who: usize) {
        let payment = self.payments.len() as u64;
        let node = &mut self.world.nodes[who];
        let sendable = node.channel().sendable(&node.policy);
        let amount = match self.dice.roll(5) {
            // Whatever is quoted is accepted, ends included.
            0 if sendable.min <= sendable.max => sendable.max.to_u64(),
            1 if sendable.min <= sendable.max => sendable.min.to_u64(),
            2 => 1 + self.dice.roll(400_000),
            3 => 300_000 + self.dice.roll(300_000),
            _ => 1 + self.dice.roll(30_000_000),
        };
        let inside = sendable.min.to_u64() <= amount && amount <= sendable.max.to_u64();
        let before = node.channel().state().cloned();
        let command = node.offer(amount, payment);
        let (connection, staged) = node.waiting.pop_back().unwrap();
        // Offers record nothing, so the answer can be read here without waiting for anything.
        let effects = staged.open(Flushed::attest(Lsn(u64::MAX))).unwrap();
        let accepted = effects
            .iter()
            .any(|effect| matches!(effect, Effect::Answer(id, Ok(_)) if *id == command));
        assert!(accepted || !inside, "{amount} of {sendable:?}: {effects:?}");
        if !accepted {
            assert_eq!(node.channel().state(), before.as_ref(), "a refusal changes nothing");
            return;
        }
        let (_, sealed) = Step::new((), Vec::new(), effects).stage(&mut node.disk);
        node.waiting.push_back((connection, sealed));
        let paid = Paid::Open;
        self.payments
            .insert(payment, Payment { by: who, amount, paid, taken: None, arrived: false });
    }

    fn decide(&mut self, who: usize) {
        let incoming: Vec<_> = self.world.nodes[who].channel().incoming().collect();
        if incoming.is_empty() {
            return;
        }
        let htlc = &incoming[self.dice.roll(incoming.len() as u64) as usize];
        let payment = payment_of(htlc.payment_hash, self.payments.len() as u64);
        let entry = self.payments.get_mut(&payment).unwrap();
        assert!(entry.arrived || entry.paid != Paid::Dropped);
        // A decision that a crash forgot may be made again, and otherwise.
        let take = !htlc.overexposed && self.dice.roll(3) > 0;
        entry.taken = Some(take);
        let node = &mut self.world.nodes[who];
        let command = node.command_id();
        let command = match (take, self.dice.roll(2)) {
            (true, _) => Command::FulfillHtlc {
                command,
                htlc: htlc.id,
                preimage: preimage(payment),
                attribution: None,
            },
            (false, 0) => Command::FailHtlc {
                command,
                htlc: htlc.id,
                reason: vec![1; 292],
                attribution: None,
            },
            (false, _) => Command::FailMalformedHtlc {
                command,
                htlc: htlc.id,
                sha256_of_onion: [8; 32],
                failure_code: 0x8005,
            },
        };
        node.think(Event::Command(command));
    }

    fn change_fee(&mut self, who: usize) {
        let feerate = FeeratePerKw(253 + self.dice.roll(4_000) as u32);
        let command = self.world.nodes[who].command_id();
        self.world.nodes[who].think(Event::Command(Command::UpdateFee { command, feerate }));
    }

    fn sign(&mut self, who: usize) {
        if self.world.nodes[who].channel().wants_commit() {
            self.signed += 1;
            if self.world.nodes[1 - who].channel().state().unwrap().awaiting_revocation {
                self.crossed += 1;
            }
        }
        self.world.nodes[who].think(Event::Commit);
    }

    fn deliver(&mut self, from: usize) {
        if self.world.nodes[1 - from].up {
            self.world.deliver(from);
        }
    }

    fn toggle_link(&mut self) {
        let up = self.world.nodes[0].up;
        for who in 0..2 {
            if up {
                self.world.nodes[who].link_down();
            } else {
                self.world.nodes[who].link_up();
            }
        }
    }

    /// One end loses what was not durable; the other end notices.
    fn crash(&mut self, who: usize) {
        self.crashes += 1;
        let node = &mut self.world.nodes[who];
        node.crash();
        // What is neither on its way nor resolved was never signed.
        let kept: BTreeSet<u64> = (node.channel().outgoing().map(|htlc| payment_in(htlc.origin)))
            .chain(node.channel().resolved().map(|resolved| payment_in(resolved.origin)))
            .collect();
        for resolved in node.channel().resolved().collect::<Vec<_>>() {
            node.seen.push(Effect::Resolved(resolved));
        }
        for (payment, entry) in &mut self.payments {
            if entry.by == who && entry.paid == Paid::Open && !kept.contains(payment) {
                entry.paid = Paid::Dropped;
            }
        }
        if self.world.nodes[1 - who].up {
            self.world.nodes[1 - who].link_down();
        }
    }

    /// What became visible.
    fn listen(&mut self, who: usize) {
        for effect in self.world.nodes[who].look() {
            match effect {
                Effect::Incoming(htlc) => {
                    let payment = payment_of(htlc.payment_hash, self.payments.len() as u64);
                    let entry = self.payments.get_mut(&payment).unwrap();
                    assert_ne!(entry.paid, Paid::Dropped, "what arrives was signed");
                    assert_eq!(entry.amount, htlc.amount_msat.to_u64());
                    assert_eq!(htlc.onion, onion(payment));
                    entry.arrived = true;
                }
                Effect::Resolved(resolved) => self.resolved(who, &resolved),
                Effect::Notice(Notice::Fault(fault)) => panic!("a fault: {fault}"),
                Effect::Alarm(alarm) => panic!("{alarm:?}"),
                Effect::Disconnect => panic!("nobody hangs up"),
                _ => {}
            }
        }
    }

    fn resolved(&mut self, who: usize, resolved: &Resolved) {
        let entry = self.payments.get_mut(&payment_in(resolved.origin)).unwrap();
        assert_eq!(entry.by, who);
        let paid = match &resolved.outcome {
            Outcome::Fulfilled { .. } => Paid::Fulfilled,
            Outcome::Failed { .. } | Outcome::Malformed { .. } => Paid::Failed,
            Outcome::Unsent => Paid::Dropped,
            Outcome::TimedOut => panic!("nothing is on Layer 1"),
        };
        if paid == Paid::Dropped {
            assert!(!entry.arrived, "what arrived was signed");
        }
        if entry.paid != Paid::Open {
            assert_eq!(entry.paid, paid, "an outcome does not change");
        }
        entry.paid = paid;
        if self.dice.roll(2) == 0 && entry.paid != Paid::Dropped {
            let forget = Command::ForgetResolved { htlc: resolved.htlc };
            self.world.nodes[who].think(Event::Command(forget));
        }
    }

    /// What must be true at any moment.
    fn check(&self) {
        for who in 0..2 {
            let node = &self.world.nodes[who];
            let state = node.channel().state().unwrap();
            for owner in [Side::Us, Side::Them] {
                let spec = state.ledger.spec(owner, None).expect("nobody owes");
                let total = spec.htlcs.iter().map(|htlc| htlc.amount.to_u64()).sum::<u64>()
                    + spec.to_owner.to_u64()
                    + spec.to_other.to_u64();
                assert_eq!(total, state.terms.capacity.to_sat() * 1_000);
            }
            // The sums that are kept up to date are the sums.
            let fresh = limits::Totals::measure(&state.ledger, &state.terms);
            assert_eq!(node.channel().totals(), fresh);
            // What the receiver calls irrevocable, the proposer has revoked.
            let other = self.world.nodes[1 - who].channel().state().unwrap();
            for (by, htlc) in state.ledger.htlcs() {
                if by == Side::Them && htlc.clock.is_irrevocable() {
                    let there = other.ledger.htlc(Side::Us, htlc.add.id);
                    assert!(there.is_none_or(|there| there.clock.is_irrevocable()), "too early");
                }
            }
        }
    }

    /// What the records make of the channel is what the channel is.
    fn check_replay(&self) {
        for node in &self.world.nodes {
            let rebuilt = node.rebuilt(node.disk.records.len()).unwrap();
            let live = node.channel().clone();
            let gone = live.step(Event::Link(Link::Down), &node.env());
            let (live, _) = gone.stage(&mut Disk::default());
            assert_eq!(rebuilt.state(), live.state(), "{}", node.name);
        }
    }

    /// Peace: everything is delivered, decided and signed; then the books must be mirror images.
    fn finish(&mut self) {
        self.world.nodes.iter_mut().for_each(Node::flush);
        for who in 0..2 {
            self.listen(who);
        }
        self.world.reconnect();
        for _ in 0..6 {
            for who in 0..2 {
                while self.world.nodes[who].channel().incoming().next().is_some() {
                    self.decide(who);
                }
            }
            self.world.settle();
            self.listen(0);
            self.listen(1);
        }
        let [alice, bob] = [0, 1].map(|who| self.world.nodes[who].channel());
        assert!(alice.state().unwrap().ledger.is_clean(), "everything is settled");
        assert_eq!(alice.balances().map(|(us, them)| (them, us)), bob.balances());
        assert_eq!(alice.state().unwrap().ours, bob.state().unwrap().theirs);
        let mut expected = self.start;
        for (payment, entry) in &self.payments {
            match entry.paid {
                Paid::Open => panic!("payment {payment} is forgotten"),
                Paid::Fulfilled => {
                    assert!(entry.arrived);
                    expected[entry.by] -= entry.amount;
                    expected[1 - entry.by] += entry.amount;
                }
                Paid::Failed => assert!(entry.arrived),
                Paid::Dropped => assert!(!entry.arrived),
            }
        }
        let owned =
            [0, 1].map(|who| self.world.nodes[who].channel().balances().unwrap().0.to_u64());
        assert_eq!(owned, expected, "every payment moved its money once");
        self.check_replay();
    }
}

fn seeds(default: u64) -> u64 {
    std::env::var("SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(default)
}

fn run(seed: u64, turns: u64, calm: bool) -> [u64; 3] {
    let mut model = Model::new(seed);
    model.calm = calm;
    for turn in 0..turns {
        model.turn();
        if turn % 16 == 0 {
            model.check_replay();
        }
    }
    model.finish();
    [model.signed, model.crossed, model.crashes]
}

#[test]
fn both_ends_agree_whatever_the_interleaving() {
    let mut sums = [0; 3];
    for seed in 0..seeds(12) {
        let counted = run(seed, 400, true);
        sums = [0, 1, 2].map(|at| sums[at] + counted[at]);
    }
    println!("signatures {}, crossed in flight {}", sums[0], sums[1]);
    assert!(sums[1] > 0);
}

#[test]
fn nothing_is_lost_when_connections_break_and_nodes_crash() {
    let mut sums = [0; 3];
    for seed in 0..seeds(30) {
        let counted = run(seed, 400, false);
        sums = [0, 1, 2].map(|at| sums[at] + counted[at]);
    }
    println!("signatures {}, crossed in flight {}, crashes {}", sums[0], sums[1], sums[2]);
    assert!(sums[2] > 0);
}
