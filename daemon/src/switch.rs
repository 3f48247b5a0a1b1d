//! The switch: an HTLC that came in by one channel goes out by another, and what becomes of it comes
//! back. BOLT 2 § Forwarding HTLCs, BOLT 4 § Non-strict Forwarding.
//!
//! A circuit is not stored: the outgoing HTLC says on whose behalf it exists. After a restart both
//! channels tell again what is open, and the circuit is whole. What is written down here is for people, for
//! sums, and against onions that come twice; it lies in the journal before the offer that it is about.
//!
//! Not here: HTLCs that end with us (`payments`).

pub mod blinded;
pub mod book;
pub mod choose;
mod circuit;
pub mod hold;
pub mod policy;
mod settle;
pub mod updates;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use channel::seal::{Flushed, Journal as _, Sealed, Step};
use channel::{Answer, Command, CommandId, Refusal as ChannelRefusal, Resolved};
use tokio::sync::watch;
use wire::id::{ChannelId, NodeId, PaymentHash};
use wire::message::OnionPacket;
use wire::onion::SharedSecret;
use wire::onion::payload;
use wire::units::{BlockHeight, Msat};

use crate::channels::directory::{Directory, Doors};
use crate::channels::task::Asker;
use crate::clock::now_ms;
use crate::edge::{EdgeError, Inbox};
use crate::fact::{ChannelIndex, Fact, PolicySet, record};
use crate::journal::Writer;
use crate::layer1::Tip;
use crate::rpc::refusal::Refusal;
use crate::switch::blinded::{Late, Onward};
use crate::switch::book::Forwards;
use crate::switch::choose::{Load, Share};
use crate::switch::hold::{Ask, Listener};
use crate::switch::policy::{ForwardPolicies, ForwardPolicy, PolicyChange};
use crate::switch::updates::OwnUpdates;
use crate::tasks::{Fatal, Tasks};

/// What channels told in one go may wait: bounded by the HTLCs all channels can have.
pub const FROM_CHANNELS: usize = 65_536;

/// How much is taken in one go.
const BATCH: usize = 512;

/// Onions that are remembered at most; with so many under way nothing more goes on.
const ONIONS_MAX: usize = 1 << 20;

/// An HTLC whose onion names a next hop.
#[derive(Clone, Debug)]
pub struct Forward {
    /// Over which channel it came.
    pub channel: ChannelIndex,
    /// The peer's id of it.
    pub htlc: u64,
    /// What it is worth.
    pub amount: Msat,
    /// The hash whose preimage claims it.
    pub hash: PaymentHash,
    /// The height at which the peer can take it back.
    pub cltv_expiry: BlockHeight,
    /// Trimmed value is above the policy: it must not go on.
    pub overexposed: bool,
    /// The peer says that it answers for its being quick.
    pub accountable: bool,
    /// What tells its onion from every other: of the shared secret, which follows from our key and this.
    pub tag: [u8; 16],
    /// What encrypts a failure on its way back.
    pub secret: SharedSecret,
    /// What the sender says.
    pub payload: payload::Forward,
    /// The onion for the next hop.
    pub onion: OnionPacket,
    /// When it was irrevocably committed, or told again after a restart, Unix milliseconds.
    pub since_ms: u64,
    /// How it goes on if the sender does not know the way. `payload` is then what that comes to.
    pub blinded: Option<Onward>,
}

impl Forward {
    /// How the journal names it.
    pub const fn key(&self) -> book::Key {
        (self.channel.0, self.htlc)
    }
}

/// What a channel tells the switch, all of one released step.
#[derive(Debug)]
pub struct FromChannel {
    /// Which channel.
    pub channel: ChannelIndex,
    /// All that is open, after a restart: what is not among it now will not come.
    pub again: bool,
    /// HTLCs that are to go on.
    pub forwards: Vec<Forward>,
    /// HTLCs that went on and have their outcome.
    pub resolved: Vec<Resolved>,
    /// Answers to commands of the switch.
    pub answers: Vec<(CommandId, Result<Answer, ChannelRefusal>)>,
    /// What the channel is to be told after a random delay.
    pub late: Vec<Command>,
}

impl FromChannel {
    /// Whether there is nothing to tell.
    pub const fn is_empty(&self) -> bool {
        !self.again
            && self.forwards.is_empty()
            && self.resolved.is_empty()
            && self.answers.is_empty()
            && self.late.is_empty()
    }
}

/// How a node forwards, besides what each channel asks for.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Manner {
    /// What channels without a policy of their own ask for.
    pub policy: ForwardPolicy,
    /// What one peer may have under way over one channel.
    pub share: Share,
    /// Whether everything waits for somebody's word.
    pub intercept: bool,
}

/// An HTLC by its incoming side.
type Name = (ChannelId, u64);

/// Something to be done once a record is durable.
type Then = Box<dyn FnOnce() + Send>;

/// How far an HTLC has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum At {
    /// Until the chain was followed to its tip.
    Waiting,
    /// For somebody's word.
    Held,
    /// On its way out, or about to be.
    Out,
}

#[derive(Debug)]
struct Open {
    forward: Forward,
    at: At,
    from: NodeId,
    out: Option<ChannelIndex>,
    left: VecDeque<ChannelIndex>,
    /// What the last channel that was asked said.
    refusal: Option<ChannelRefusal>,
    /// The channel the sender named.
    named: Option<ChannelIndex>,
}

/// What the task starts with.
#[derive(Debug)]
pub struct Start {
    /// Who runs which channel.
    pub directory: Directory,
    /// The best chain's tip.
    pub tip: watch::Receiver<Tip>,
    /// The way into the journal.
    pub writer: Writer,
    /// Forwards as the journal has them.
    pub forwards: Forwards,
    /// How we forward.
    pub manner: Manner,
    /// Incoming HTLCs, by channel and id, of which some channel still has the outgoing one (which and where)
    /// or its outcome: they are not forwarded a second time.
    pub alive: BTreeMap<(ChannelId, u64), Option<(ChannelIndex, u64)>>,
    /// Our own `channel_update`s.
    pub updates: OwnUpdates,
    /// Where it shows what channels ask for.
    pub policies: watch::Sender<Arc<ForwardPolicies>>,
    /// Channels over which nothing goes on until towers have caught up.
    pub uncovered: watch::Receiver<Arc<BTreeSet<ChannelIndex>>>,
}

/// The task's state.
pub struct Switch {
    directory: Directory,
    tip: watch::Receiver<Tip>,
    /// Whether the chain was followed to its tip since the start.
    synced: bool,
    /// The tip that was acted upon.
    heard_of: Tip,
    writer: Writer,
    forwards: Forwards,
    manner: Manner,
    updates: OwnUpdates,
    shown: watch::Sender<Arc<ForwardPolicies>>,
    /// Channels over which nothing goes on until towers have caught up.
    uncovered: watch::Receiver<Arc<BTreeSet<ChannelIndex>>>,
    listener: Listener,
    /// HTLCs that are to go on, or went.
    open: BTreeMap<Name, Open>,
    alive: BTreeMap<Name, Option<(ChannelIndex, u64)>>,
    /// Channels that told what they have open.
    spoken: BTreeSet<ChannelIndex>,
    /// Outcomes of HTLCs whose incoming channel did not speak yet.
    early: BTreeMap<Name, Vec<(ChannelIndex, Resolved)>>,
    load: Load,
    held: usize,
    offers: BTreeMap<u64, (Name, ChannelIndex)>,
    /// Which tombstone may go once the incoming side is durable.
    settling: BTreeMap<u64, (ChannelIndex, u64)>,
    /// Of which HTLC a command is the last word to its incoming channel.
    last: BTreeMap<u64, book::Key>,
    number: u64,
    commands: BTreeMap<ChannelIndex, Vec<Command>>,
    /// What channels are told later.
    late: Late,
    /// What is to be written before the commands go.
    facts: Vec<Fact>,
    waiting: VecDeque<Sealed<Then>>,
}

impl std::fmt::Debug for Switch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Switch").field("open", &self.open.len()).finish_non_exhaustive()
    }
}

impl Switch {
    /// Takes up where the journal ends.
    pub fn new(start: Start) -> Self {
        let Start {
            directory,
            tip,
            writer,
            mut forwards,
            manner,
            alive,
            updates,
            policies,
            uncovered,
        } = start;
        forwards.policies.default = manner.policy;
        policies.send_replace(Arc::new(forwards.policies.clone()));
        Self {
            directory,
            tip,
            synced: false,
            heard_of: Tip::default(),
            writer,
            forwards,
            manner,
            updates,
            shown: policies,
            uncovered,
            listener: Listener { required: manner.intercept, ..Listener::default() },
            open: BTreeMap::new(),
            alive,
            spoken: BTreeSet::new(),
            early: BTreeMap::new(),
            load: Load::default(),
            held: 0,
            offers: BTreeMap::new(),
            settling: BTreeMap::new(),
            last: BTreeMap::new(),
            number: 0,
            commands: BTreeMap::new(),
            late: Late::default(),
            facts: Vec::new(),
            waiting: VecDeque::new(),
        }
    }

    /// Runs until the node stops.
    ///
    /// # Errors
    /// [`Fatal`] if a proven bound does not hold.
    pub async fn run(
        mut self,
        mut inbox: Inbox<FromChannel>,
        mut asks: Inbox<Ask>,
        mut disk: watch::Receiver<Flushed>,
        tasks: Tasks,
    ) -> Result<(), Fatal> {
        let (mut batch, mut asked) = (Vec::new(), Vec::new());
        self.end_what_came_by_no_channel();
        loop {
            tokio::select! {
                biased;
                () = tasks.stopping() => return Ok(()),
                Ok(()) = disk.changed(), if !self.waiting.is_empty() => {}
                Ok(()) = self.tip.changed() => {}
                () = Late::come(self.late.next()) => {}
                count = inbox.recv_many(&mut batch, BATCH) => {
                    if count == 0 {
                        return Ok(());
                    }
                }
                count = asks.recv_many(&mut asked, BATCH) => {
                    if count == 0 {
                        return Ok(());
                    }
                }
            }
            let doors = self.directory.doors();
            if self.heard_of != *self.tip.borrow() {
                self.follow(&doors);
            }
            for told in batch.drain(..) {
                self.hear(told, &doors);
            }
            for ask in asked.drain(..) {
                self.answer(ask, &doors);
            }
            for (channel, command) in self.late.due() {
                self.tell(channel, command);
            }
            self.send(&doors)?;
            let flushed = *disk.borrow_and_update();
            self.release(flushed);
        }
    }

    /// Writes down what was decided, then has it done: no offer is older in the journal than what is said of it.
    fn send(&mut self, doors: &Doors) -> Result<(), Fatal> {
        if !self.facts.is_empty() {
            let bytes = record(&std::mem::take(&mut self.facts));
            self.writer.append(bytes);
        }
        for (channel, commands) in std::mem::take(&mut self.commands) {
            let Some(door) = doors.get(channel) else { continue };
            match door.commands.send(commands) {
                // What was to go out over a channel that has just ended is looked after at the next block.
                Ok(()) | Err(EdgeError::Closed) => {}
                Err(EdgeError::Full) => return Err(Fatal::Overflow("switch to channel")),
            }
        }
        Ok(())
    }

    /// Takes facts in and has them written. Nothing is done before `send` has written them.
    fn note(&mut self, fact: Fact) {
        self.forwards.apply(channel::seal::Lsn(0), &fact);
        self.facts.push(fact);
    }

    fn release(&mut self, disk: Flushed) {
        while let Some(sealed) = self.waiting.pop_front() {
            match sealed.open(disk) {
                Ok(then) => then.into_iter().for_each(|then| then()),
                Err(early) => return self.waiting.push_front(early),
            }
        }
    }

    fn command(&mut self) -> CommandId {
        self.number = self.number.wrapping_add(1);
        Asker::Switch.command(self.number)
    }

    fn tell(&mut self, channel: ChannelIndex, command: Command) {
        self.commands.entry(channel).or_default().push(command);
    }

    fn height(&self) -> BlockHeight {
        self.tip.borrow().height
    }

    fn answer(&mut self, ask: Ask, doors: &Doors) {
        match ask {
            Ask::SetPolicy { channel, change, reply } => {
                let set = self.set_policy(channel, change);
                let bytes = record(&std::mem::take(&mut self.facts));
                let then: Then = Box::new(move || drop(reply.send(set)));
                let ((), sealed) = Step::new((), bytes, vec![then]).stage(&mut self.writer);
                self.waiting.push_back(sealed);
            }
            Ask::Intercept { to, reply } => {
                self.listener.number = self.listener.number.wrapping_add(1);
                self.listener.to = Some(to);
                let _gone = reply.send(self.listener.number);
                self.offer_held_again(doors);
            }
            Ask::Answer { listener, channel, htlc, verdict, reply } => {
                let answer = self.take_word(listener, (channel, htlc), verdict, doors);
                let bytes = record(&std::mem::take(&mut self.facts));
                let then: Then = Box::new(move || {
                    let _gone = reply.send(answer);
                });
                let ((), sealed) = Step::new((), bytes, vec![then]).stage(&mut self.writer);
                self.waiting.push_back(sealed);
            }
        }
    }

    fn set_policy(
        &mut self,
        channel: ChannelIndex,
        change: PolicyChange,
    ) -> Result<ForwardPolicy, Refusal> {
        let before = self.forwards.policies.of(channel);
        let policy = change.of(before);
        if policy.htlc_min > policy.htlc_max {
            let (field, why) = ("htlc_max_msat", "smaller than htlc_min_msat");
            return Err(Refusal::Malformed { field, why });
        }
        if policy != before {
            let set = PolicySet { channel: channel.0, before, policy, at_ms: now_ms() };
            self.note(Fact::PolicySet(set));
            self.shown.send_replace(Arc::new(self.forwards.policies.clone()));
        }
        Ok(policy)
    }
}
