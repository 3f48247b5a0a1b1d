//! Two whole channels, their disks and the wire between them, for tests.
//!
//! Nothing is faked but the world: both ends are real machines with real signatures, effects leave only
//! when the disk has their record, and a crash keeps exactly what was durable.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a test looks for one kind and lets others pass"
)]

mod catalogue;
mod closes;
mod dance;
mod disputes;
mod history;
mod lost;
mod onchain;
mod opens;
mod phases;
mod quarantine;
mod replays;
mod transcript;
mod unconfirmed;

use std::collections::VecDeque;

use bitcoin::absolute::LockTime;
use bitcoin::transaction::Version;
use bitcoin::{OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Witness};
use wire::feature::Features;
use wire::id::{ChannelId, PaymentHash, Preimage, ShortChannelId};
use wire::message::{Message, OnionPacket};
use wire::units::{BlockHeight, FeeratePerKw, Msat, Sat};

use crate::effect::{Answer, Notice};
use crate::seal::{Flushed, Journal, Lsn, Sealed, Step};
use crate::signer::{InMemorySigner, Memory};
use crate::tx::Inline;
use crate::*;

pub(crate) const HEIGHT: u32 = 500;
pub(crate) const FEERATE: FeeratePerKw = FeeratePerKw(1_000);

/// A journal that knows how much of it is durable.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    pub(crate) records: Vec<Vec<u8>>,
    pub(crate) durable: usize,
}

impl Journal for Disk {
    fn append(&mut self, record: Vec<u8>) -> Lsn {
        if !record.is_empty() {
            self.records.push(record);
        }
        Lsn(self.records.len() as u64)
    }
}

/// One end.
pub(crate) struct Node {
    pub(crate) name: &'static str,
    pub(crate) channel: Option<Channel>,
    pub(crate) signer: InMemorySigner,
    pub(crate) disk: Disk,
    /// Each with the connection it was made on.
    pub(crate) waiting: VecDeque<(u64, Sealed<Effect>)>,
    /// Counts connections.
    pub(crate) connection: u64,
    /// Messages on their way to the other end.
    pub(crate) outbox: VecDeque<Message>,
    /// Effects that are no messages, as they became visible.
    pub(crate) seen: Vec<Effect>,
    pub(crate) up: bool,
    pub(crate) height: u32,
    pub(crate) policy: Policy,
    /// What its clock says, seconds since 1970.
    pub(crate) now: u64,
    seed: [u8; 32],
    next_command: u64,
}

impl Node {
    pub(crate) fn new(name: &'static str, byte: u8) -> Self {
        let seed = [byte; 32];
        Self {
            name,
            channel: None,
            signer: InMemorySigner::new(&seed, 1, Memory::default()).unwrap(),
            disk: Disk::default(),
            waiting: VecDeque::new(),
            connection: 0,
            outbox: VecDeque::new(),
            seen: Vec::new(),
            up: false,
            height: HEIGHT,
            policy: Policy::default(),
            now: 1_700_000_000,
            seed,
            next_command: 0,
        }
    }

    pub(crate) fn env(&self) -> Env<'_> {
        Env {
            height: BlockHeight(self.height),
            now: self.now,
            feerate: FEERATE,
            policy: &self.policy,
            signer: &self.signer,
            workers: &Inline,
        }
    }

    pub(crate) fn channel(&self) -> &Channel {
        self.channel.as_ref().unwrap()
    }

    /// A step whose record is staged and not durable.
    pub(crate) fn think(&mut self, event: Event) {
        let channel = self.channel.take().unwrap();
        let step = channel.step(event, &self.env());
        self.stage(step);
    }

    pub(crate) fn stage(&mut self, step: Step<Channel, Effect>) {
        let (channel, sealed) = step.stage(&mut self.disk);
        self.channel = Some(channel);
        self.waiting.push_back((self.connection, sealed));
    }

    /// Makes everything durable up to a number of records, and lets go of what waited for it.
    pub(crate) fn flush_to(&mut self, records: usize) {
        self.disk.durable = self.disk.durable.max(records.min(self.disk.records.len()));
        let disk = Flushed::attest(Lsn(self.disk.durable as u64));
        while let Some((connection, sealed)) = self.waiting.pop_front() {
            match sealed.open(disk) {
                Ok(effects) => {
                    effects.into_iter().for_each(|effect| self.carry_out(connection, effect));
                }
                Err(sealed) => {
                    self.waiting.push_front((connection, sealed));
                    break;
                }
            }
        }
    }

    pub(crate) fn flush(&mut self) {
        self.flush_to(usize::MAX);
    }

    pub(crate) fn step(&mut self, event: Event) {
        self.think(event);
        self.flush();
    }

    fn carry_out(&mut self, connection: u64, effect: Effect) {
        match effect {
            // What was to be said on a connection that is gone is not said on the next.
            Effect::Send(message) if self.up && connection == self.connection => {
                self.outbox.push_back(message)
            }
            Effect::Send(_) => {}
            other => self.seen.push(other),
        }
    }

    pub(crate) fn command_id(&mut self) -> CommandId {
        self.next_command += 1;
        CommandId(self.next_command)
    }

    /// Takes out what became visible since the last look.
    pub(crate) fn look(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.seen)
    }

    pub(crate) fn notices(&self) -> Vec<Notice> {
        (self.seen.iter())
            .filter_map(|effect| match effect {
                Effect::Notice(notice) => Some(notice.clone()),
                _ => None,
            })
            .collect()
    }

    pub(crate) fn answer(&self, command: CommandId) -> Result<Answer, Refusal> {
        (self.seen.iter().rev())
            .find_map(|effect| match effect {
                Effect::Answer(id, answer) if *id == command => Some(answer.clone()),
                _ => None,
            })
            .expect("an answer")
    }

    /// What the durable records alone make of the channel.
    pub(crate) fn rebuilt(&self, records: usize) -> Option<Channel> {
        let (first, rest) = self.disk.records.get(..records)?.split_first()?;
        let mut channel = Channel::restore(first).unwrap();
        for record in rest {
            channel.replay(record).unwrap();
        }
        Some(channel)
    }

    /// Loses everything that is not durable, and starts again.
    pub(crate) fn crash(&mut self) {
        self.disk.records.truncate(self.disk.durable);
        self.waiting.clear();
        self.outbox.clear();
        self.up = false;
        let channel = self.rebuilt(self.disk.durable).expect("a durable beginning");
        self.signer = InMemorySigner::new(&self.seed, 1, channel.signer_memory()).unwrap();
        // A snapshot in between changes nothing.
        let again = Channel::decode_snapshot(&channel.encode_snapshot()).unwrap();
        assert_eq!(again.state(), channel.state());
        self.channel = Some(again);
    }

    pub(crate) fn link_up(&mut self) {
        self.up = true;
        self.connection += 1;
        self.think(Event::Link(Link::Up { features: Features::init() }));
    }

    pub(crate) fn connect(&mut self) {
        self.link_up();
        self.flush();
    }

    pub(crate) fn link_down(&mut self) {
        self.up = false;
        self.outbox.clear();
        self.think(Event::Link(Link::Down));
    }

    pub(crate) fn disconnect(&mut self) {
        self.link_down();
        self.flush();
    }

    pub(crate) fn offer(&mut self, amount_msat: u64, payment: u64) -> CommandId {
        let command = self.command_id();
        let offer = Offer {
            command,
            amount_msat: msat(amount_msat),
            payment_hash: preimage(payment).hash(),
            cltv_expiry: BlockHeight(self.height + 100),
            onion: onion(payment),
            origin: origin(payment),
            path_key: None,
            accountable: false,
        };
        self.think(Event::Command(Command::OfferHtlc(Box::new(offer))));
        command
    }
}

/// Both ends of one channel.
pub(crate) struct World {
    pub(crate) nodes: [Node; 2],
}

pub(crate) const ALICE: usize = 0;
pub(crate) const BOB: usize = 1;

/// How a test channel starts.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) capacity: Sat,
    pub(crate) push: Msat,
    pub(crate) feerate: FeeratePerKw,
    pub(crate) params: [Params; 2],
    pub(crate) announce: bool,
    pub(crate) kind: Kind,
    pub(crate) minimum_depth: u32,
}

impl Default for Setup {
    fn default() -> Self {
        let capacity = Sat::from_sat(1_000_000);
        let mut params = [Params::for_capacity(capacity); 2];
        params[BOB].dust_limit = Sat::from_sat(546);
        Self {
            capacity,
            push: msat(400_000_000),
            feerate: FEERATE,
            params,
            announce: false,
            kind: Kind::default(),
            minimum_depth: 3,
        }
    }
}

impl Setup {
    pub(crate) fn open_terms(&self, command: CommandId) -> OpenTerms {
        OpenTerms {
            command,
            chain_hash: [7; 32],
            temporary_channel_id: ChannelId([9; 32]),
            capacity: self.capacity,
            push: self.push,
            feerate: self.feerate,
            funding_feerate: FEERATE,
            announce: self.announce,
            kind: self.kind,
            params: self.params[ALICE],
            upfront_shutdown: None,
            shutdown_script: script(1),
            alias: Some(ShortChannelId::from_u64(11)),
            features: Features::init(),
        }
    }

    pub(crate) fn accept_terms(&self) -> AcceptTerms {
        AcceptTerms {
            chain_hash: [7; 32],
            params: self.params[BOB],
            minimum_depth: self.minimum_depth,
            upfront_shutdown: None,
            shutdown_script: script(2),
            alias: Some(ShortChannelId::from_u64(22)),
            features: Features::init(),
        }
    }
}

impl World {
    /// Alice has asked, Bob has heard nothing.
    pub(crate) fn asking(setup: &Setup) -> Self {
        let mut nodes = [Node::new("alice", 1), Node::new("bob", 2)];
        for node in &mut nodes {
            node.up = true;
        }
        let alice = &mut nodes[ALICE];
        let command = alice.command_id();
        let step = Channel::open(setup.open_terms(command), &alice.env()).unwrap();
        alice.stage(step);
        alice.flush();
        Self { nodes }
    }

    /// Bob hears of it and agrees.
    pub(crate) fn accept(&mut self, setup: &Setup) {
        let Some(Message::OpenChannel(asked)) = self.nodes[ALICE].outbox.pop_front() else {
            panic!("alice asks")
        };
        let bob = &mut self.nodes[BOB];
        let step = Channel::accept(&asked, setup.accept_terms(), &bob.env()).unwrap();
        bob.stage(step);
        bob.flush();
    }

    /// Alice's wallet does what she asked for.
    pub(crate) fn fund(&mut self) -> Transaction {
        let wanted = self.nodes[ALICE].look().into_iter().find_map(|effect| match effect {
            Effect::FundingWanted { script_pubkey, amount, .. } => Some((script_pubkey, amount)),
            _ => None,
        });
        let (script_pubkey, value) = wanted.expect("funding wanted");
        let tx = funding_tx(script_pubkey, value);
        let built = Command::FundingBuilt { tx: tx.clone(), output_index: 1 };
        self.nodes[ALICE].step(Event::Command(built));
        tx
    }

    /// Both first commitments are signed.
    pub(crate) fn funded(setup: &Setup) -> (Self, Transaction) {
        let mut world = Self::asking(setup);
        world.accept(setup);
        world.settle_wire();
        let tx = world.fund();
        world.settle_wire();
        (world, tx)
    }

    /// Open for payments.
    pub(crate) fn open(setup: &Setup) -> Self {
        let (mut world, tx) = Self::funded(setup);
        for node in &mut world.nodes {
            node.step(confirmed(&tx, HEIGHT));
            node.height += 2;
            node.step(Event::Chain(ChainFact::Tip));
        }
        world.settle_wire();
        for node in &mut world.nodes {
            assert_eq!(node.channel().stage(), Stage::Open, "{}", node.name);
            node.look();
        }
        world
    }

    /// Hands over the oldest message of one end.
    pub(crate) fn deliver(&mut self, from: usize) -> bool {
        let Some(message) = self.nodes[from].outbox.pop_front() else { return false };
        let to = &mut self.nodes[1 - from];
        to.think(Event::Peer(over_the_wire(&message)));
        true
    }

    /// Hands over everything that is said, without any new signature.
    pub(crate) fn settle_wire(&mut self) {
        while (0..2).any(|from| {
            self.nodes.iter_mut().for_each(Node::flush);
            self.deliver(from)
        }) {}
        self.nodes.iter_mut().for_each(Node::flush);
    }

    /// Signs and delivers until there is nothing left to do.
    pub(crate) fn settle(&mut self) {
        for _ in 0..100 {
            for who in 0..2 {
                self.nodes[who].step(Event::Commit);
                self.settle_wire();
            }
            if self.nodes.iter().all(|node| !node.channel().wants_commit()) {
                return;
            }
        }
        panic!("the dance does not end");
    }

    pub(crate) fn reconnect(&mut self) {
        for node in &mut self.nodes {
            if node.up {
                node.disconnect();
            }
        }
        for node in &mut self.nodes {
            node.connect();
        }
        self.settle_wire();
    }
}

/// A message as the other end reads it from its bytes.
pub(crate) fn over_the_wire(message: &Message) -> Message {
    Message::decode_frame(&message.encode_frame()).unwrap().unwrap()
}

pub(crate) fn confirmed(tx: &Transaction, height: u32) -> Event {
    Event::Chain(ChainFact::FundingConfirmed {
        height: BlockHeight(height),
        tx_index: 5,
        outpoint: OutPoint { txid: tx.compute_txid(), vout: 1 },
        found: tx.output.get(1).cloned(),
    })
}

pub(crate) fn funding_tx(script_pubkey: ScriptBuf, value: Sat) -> Transaction {
    Transaction {
        version: Version::TWO,
        lock_time: LockTime::ZERO,
        input: vec![TxIn {
            previous_output: OutPoint::null(),
            script_sig: ScriptBuf::new(),
            sequence: Sequence::MAX,
            witness: Witness::from_slice(&[vec![1_u8; 64]]),
        }],
        output: vec![
            TxOut { value: Sat::from_sat(5_000), script_pubkey: script(3) },
            TxOut { value, script_pubkey },
        ],
    }
}

pub(crate) fn msat(amount: u64) -> Msat {
    Msat::new(amount).unwrap()
}

pub(crate) fn script(byte: u8) -> ScriptBuf {
    let mut bytes = vec![0, 20];
    bytes.extend([byte; 20]);
    ScriptBuf::from_bytes(bytes)
}

pub(crate) fn preimage(payment: u64) -> Preimage {
    let mut bytes = [3; 32];
    bytes[..8].copy_from_slice(&payment.to_be_bytes());
    Preimage(bytes)
}

pub(crate) fn payment_of(hash: PaymentHash, upto: u64) -> u64 {
    (0..upto).find(|payment| preimage(*payment).hash() == hash).expect("one of our payments")
}

pub(crate) fn origin(payment: u64) -> Origin {
    let mut payment_id = [5; 32];
    payment_id[..8].copy_from_slice(&payment.to_be_bytes());
    Origin::Payment { payment_id, part: 0 }
}

pub(crate) fn payment_in(origin: Origin) -> u64 {
    match origin {
        Origin::Payment { payment_id, .. } => {
            u64::from_be_bytes(*payment_id.first_chunk().unwrap())
        }
        Origin::Forward { .. } => panic!("not ours"),
    }
}

pub(crate) fn onion(payment: u64) -> OnionPacket {
    let mut bytes = [0; 1366];
    bytes[..8].copy_from_slice(&payment.to_be_bytes());
    OnionPacket::from(bytes)
}

/// The other signature that is as good to secp256k1, and that nobody relays: `s` becomes `n - s`.
pub(crate) fn high_s(signature: wire::id::Signature) -> wire::id::Signature {
    let order: [u8; 32] = [
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xfe, 0xba, 0xae, 0xdc, 0xe6, 0xaf, 0x48, 0xa0, 0x3b, 0xbf, 0xd2, 0x5e, 0x8c, 0xd0, 0x36,
        0x41, 0x41,
    ];
    let mut bytes = signature.0;
    let mut borrow = 0_i16;
    for at in (0..32).rev() {
        let digit = i16::from(order[at]) - i16::from(bytes[32 + at]) - borrow;
        borrow = i16::from(digit < 0);
        bytes[32 + at] = (digit + 256 * borrow) as u8;
    }
    wire::id::Signature(bytes)
}

/// Whether Bitcoin lets the transaction spend the output with its first input.
pub(crate) fn is_valid(tx: &Transaction, spent: &TxOut) -> bool {
    bitcoinconsensus::verify_with_flags(
        spent.script_pubkey.as_bytes(),
        spent.value.to_sat(),
        &bitcoin::consensus::serialize(tx),
        None,
        0,
        bitcoinconsensus::VERIFY_ALL_PRE_TAPROOT,
    )
    .is_ok()
}
