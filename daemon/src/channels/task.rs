//! One task a channel: events in, staged steps to the journal, effects out when the disk has them.
//!
//! What came together is decided together: the task empties its inboxes, steps through everything, and
//! only then says [`Event::Commit`], so under load one signature covers many updates and no timer is
//! needed. The state thinks on while the disk works; only effects wait.
//!
//! Not here: what an event means (`channel`), what each effect does (`perform`).

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bitcoin::ScriptBuf;
use channel::seal::{Flushed, Journal as Records, Lsn, Sealed};
use channel::signer::InMemorySigner;
use channel::{
    Advice, ChainFact, Channel, Command, CommandId, Effect, Env, Event, Held, Policy, Stage,
};
use tokio::sync::{oneshot, watch};
use wire::id::{ChannelId, NodeId};
use wire::message::Message;
use wire::units::{BlockHeight, FeeratePerKw};

use crate::archive::Archives;
use crate::backup::{self, Entry};
use crate::channels::Pool;
use crate::channels::announce::Announcing;
use crate::channels::chaos::Chaos;
use crate::channels::directory::{Directory, Glance, Heard};
use crate::channels::perform::{Told, bound};
use crate::channels::registry::Ended;
use crate::channels::sweep::Closing;
use crate::channels::view::{Meta, view};
use crate::clock::{UnixTime, now_ms};
use crate::edge::{Back, EdgeError, Inbox};
use crate::fact::{
    ChannelBorn, ChannelIndex, Fact, Moment, MomentKind, OrderKept, channel_record, record,
};
use crate::gossip;
use crate::identity::Identity;
use crate::journal::Writer;
use crate::layer1::{self, Feerates};
use crate::payments::{self, Reply};
use crate::peers::link::Link;
use crate::policy::{self, Policies};
use crate::rpc::model::channel::{Channel as View, CloseForecast, CloseOutput};
use crate::rpc::refusal::Refusal;
use crate::sweeper::SweepBook;
use crate::switch;
use crate::tasks::{Fatal, Tasks};
use crate::tower::Revoked;

/// Steps whose record the disk does not have yet, before the inboxes pause.
pub const WINDOW: usize = 64;

/// Messages of the peer that may wait; then TCP slows it down.
pub const MESSAGES: usize = 1_024;

/// Batches of HTLC decisions that may wait: bounded by the HTLCs of the channel.
pub const COMMANDS: usize = 4_096;

/// What users and Layer 1 may have waiting.
pub const ASKS: usize = 64;

/// What is taken from one inbox before the others are looked at.
const BATCH: usize = 1_024;

/// The label of a funding transaction.
pub const FUNDING: &str = "funding";

/// Who gave a command: the top bits of its id.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Asker {
    /// Nobody waits for the answer.
    Nobody,
    /// The payments task.
    Payments,
    /// The switch.
    Switch,
    /// A user, through this task.
    User,
}

impl Asker {
    const SHIFT: u32 = 62;

    /// The id of this asker's `number`th command.
    pub const fn command(self, number: u64) -> CommandId {
        let who: u64 = match self {
            Self::Nobody => 0,
            Self::Payments => 1,
            Self::Switch => 2,
            Self::User => 3,
        };
        CommandId((who << Self::SHIFT) | (number & !(3 << Self::SHIFT)))
    }

    /// Who gave it.
    pub const fn of(command: CommandId) -> Self {
        match command.0 >> Self::SHIFT {
            1 => Self::Payments,
            2 => Self::Switch,
            3 => Self::User,
            _ => Self::Nobody,
        }
    }
}

/// What Layer 1 says to a channel.
#[derive(Debug)]
pub struct ChainNews {
    /// In order.
    pub facts: Vec<ChainFact>,
    /// Told when all that follows from them is staged.
    pub ack: Option<oneshot::Sender<()>>,
}

/// What a user wants of one channel.
#[derive(Debug)]
pub enum Ask {
    /// See it.
    Show {
        /// Answered at once.
        reply: oneshot::Sender<View>,
    },
    /// Follow it.
    Watch {
        /// Answered at once.
        reply: oneshot::Sender<watch::Receiver<View>>,
    },
    /// What closing it alone would come to.
    Forecast {
        /// Answered at once; `None` if there is nothing to close alone.
        reply: oneshot::Sender<Option<(CloseForecast, Vec<CloseOutput>)>>,
    },
    /// Close it together with the peer.
    Shutdown {
        /// Where our part goes, if not to the wallet.
        script: Option<ScriptBuf>,
        /// What the closing transaction should pay.
        feerate: FeeratePerKw,
        /// Answered when it is durable.
        reply: Reply<()>,
    },
    /// The journal was proved to be an older copy: into quarantine, unless the peer's numbers fitted.
    Doubt {
        /// Answered when it is durable.
        reply: Reply<()>,
    },
    /// Leave the quarantine, at the risk of everything in the channel.
    LiftQuarantine {
        /// Answered when it is durable.
        reply: Reply<()>,
    },
    /// Close it alone.
    ForceClose {
        /// Answered when it is durable.
        reply: Reply<()>,
    },
    /// A tower is to be told of revoked states.
    Revoked {
        /// The first row that is wanted.
        from: u64,
        /// Answered at once; `None` if there is nothing to tell.
        reply: oneshot::Sender<Option<Box<Revoked>>>,
    },
    /// The sandbox steers.
    Chaos(Chaos),
}

/// What every channel of a node has in common.
#[derive(Clone, Debug)]
pub struct Common {
    /// Our key, for onions.
    pub us: Arc<Identity>,
    /// What this node tolerates.
    pub policy: Arc<Policy>,
    /// The best chain's height.
    pub height: watch::Receiver<BlockHeight>,
    /// What things cost.
    pub feerates: watch::Receiver<Feerates>,
    /// When channels are closed alone without being told to.
    pub force_close: watch::Receiver<Policies>,
    /// How far every claim on Layer 1 is.
    pub sweeps: watch::Receiver<Arc<SweepBook>>,
    /// What the disk has.
    pub disk: watch::Receiver<Flushed>,
    /// Who runs which channel.
    pub directory: Directory,
    /// Settled HTLCs of all channels.
    pub archives: Archives,
    /// To payments.
    pub payments: Back<payments::FromChannel>,
    /// To the switch.
    pub switch: Back<switch::FromChannel>,
    /// To Layer 1.
    pub layer1: Back<layer1::FromChannel>,
    /// To gossip.
    pub gossip: Back<gossip::FromChannel>,
    /// What is said of our channels.
    pub own_gossip: watch::Receiver<Arc<gossip::OwnGossip>>,
    /// The genesis hash of our chain.
    pub chain: [u8; 32],
    /// To the registry.
    pub ended: Back<Ended>,
    /// To the backup.
    pub backup: Back<backup::FromChannel>,
    /// The tree of tasks.
    pub tasks: Tasks,
}

/// Where a channel hears from.
#[derive(Debug)]
pub struct Inboxes {
    /// The peer.
    pub messages: Inbox<Heard>,
    /// Payments, the switch, the wallet.
    pub commands: Inbox<Vec<Command>>,
    /// Users.
    pub asks: Inbox<Ask>,
    /// Layer 1.
    pub chain: Inbox<ChainNews>,
}

/// A channel's way into the journal: its records carry its index, and its birth, and the key of
/// the request that made it, go with the first. Where they tell of more than the dance, they say when that
/// was decided and under which policy.
struct ChannelWriter {
    index: ChannelIndex,
    node: NodeId,
    born: Option<ChannelBorn>,
    kept: Option<OrderKept>,
    writer: Writer,
    height: watch::Receiver<BlockHeight>,
    force_close: watch::Receiver<Policies>,
}

impl ChannelWriter {
    fn moment(&self, kind: MomentKind) -> Fact {
        let policy = policy::number(self.force_close.borrow().with(self.node));
        let height = self.height.borrow().0;
        Fact::Moment(Moment { channel: self.index.0, at_ms: now_ms(), height, policy, kind })
    }
}

impl Records for ChannelWriter {
    fn append(&mut self, bytes: Vec<u8>) -> Lsn {
        let bytes = if bytes.is_empty() {
            bytes
        } else if let Some(born) = self.born.take() {
            let first = Fact::Channel { index: self.index, record: bytes };
            let mut facts = vec![Fact::ChannelBorn(born), first];
            facts.extend(self.kept.take().map(Fact::OrderKept));
            facts.push(self.moment(MomentKind::Beside));
            record(&facts)
        } else if channel::record::tells(&bytes) {
            let beside = self.moment(MomentKind::Beside);
            record(&[Fact::Channel { index: self.index, record: bytes }, beside])
        } else {
            channel_record(self.index, &bytes)
        };
        self.writer.append(bytes)
    }
}

/// A channel's task.
pub struct ChannelTask {
    pub(super) index: ChannelIndex,
    pub(super) common: Common,
    pub(super) meta: Meta,
    /// Moved through every step; there between steps.
    pub(super) machine: Option<Channel>,
    pub(super) signer: InMemorySigner,
    /// What this node tolerates of this peer.
    policy: Policy,
    records: ChannelWriter,
    /// Effects whose cause the disk does not have yet, and the connection they are for.
    waiting: VecDeque<(Option<u64>, Sealed<Effect>)>,
    pub(super) link: Option<Link>,
    links: watch::Receiver<Option<Link>>,
    pub(super) answers: BTreeMap<CommandId, Reply<()>>,
    commands: u64,
    /// Commands this task gives to its own channel after looking at an onion.
    pub(super) own: Vec<Command>,
    pub(super) back: Back<Vec<Command>>,
    pub(super) glance: watch::Sender<Glance>,
    shown: Option<watch::Sender<View>>,
    /// How far its announcement is.
    pub(super) announcing: Announcing,
    /// Our commitment on its way to a block.
    pub(super) closing: Closing,
    pub(super) over: bool,
}

impl std::fmt::Debug for ChannelTask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChannelTask").field("index", &self.index).finish_non_exhaustive()
    }
}

/// What a task is made of.
#[derive(Debug)]
pub struct Parts {
    /// Its lasting name.
    pub index: ChannelIndex,
    /// What is known of it besides its machine.
    pub meta: Meta,
    /// Its birth, unless that is in the journal already.
    pub born: Option<ChannelBorn>,
    /// The idempotency key of the request that made it.
    pub kept: Option<OrderKept>,
    /// Its keys.
    pub signer: InMemorySigner,
    /// Its way into the journal.
    pub writer: Writer,
    /// The connection.
    pub links: watch::Receiver<Option<Link>>,
    /// A way back into its own commands, for the wallet.
    pub back: Back<Vec<Command>>,
    /// Where it tells how it stands.
    pub glance: watch::Sender<Glance>,
}

impl ChannelTask {
    /// A task around what `begin` makes of its first step.
    ///
    /// # Errors
    /// Whatever `begin` says; nothing was staged then.
    pub fn begin<E>(
        common: Common,
        parts: Parts,
        begin: impl FnOnce(&Env<'_>) -> Result<channel::seal::Step<Channel, Effect>, E>,
    ) -> Result<Self, E> {
        let Parts { index, meta, born, kept, signer, writer, links, back, glance } = parts;
        let link = links.borrow().clone();
        let (height, force_close) = (common.height.clone(), common.force_close.clone());
        let node = meta.node;
        let policy = Policy { force_close: force_close.borrow().with(node), ..*common.policy };
        let mut task = Self {
            index,
            common,
            meta,
            machine: None,
            signer,
            policy,
            records: ChannelWriter { index, node, born, kept, writer, height, force_close },
            waiting: VecDeque::new(),
            link,
            links,
            answers: BTreeMap::new(),
            commands: 0,
            own: Vec::new(),
            back,
            glance,
            shown: None,
            announcing: Announcing::default(),
            closing: Closing::default(),
            over: false,
        };
        let step = begin(&task.env())?;
        let (machine, sealed) = step.stage(&mut task.records);
        task.machine = Some(machine);
        task.waiting.push_back((task.generation(), sealed));
        Ok(task)
    }

    /// Writes down, for people, that a close was due and did not happen by itself.
    pub(super) fn held_back(&mut self, advice: &Advice) {
        let moment = self.records.moment(MomentKind::HeldBack {
            reason: advice.reason.clone(),
            by_policy: advice.held == Held::Policy,
            cost_sat: advice.forecast.cost.to_sat(),
            saves_sat: advice.forecast.saved.to_sat(),
            before: advice.forecast.deadline.map(|height| height.0),
        });
        // Nothing follows from it, so nobody waits for it.
        let _lsn = self.records.writer.append(record(&[moment]));
    }

    pub(super) fn env(&self) -> Env<'_> {
        Env {
            height: *self.common.height.borrow(),
            now: UnixTime::now().0,
            feerate: self.common.feerates.borrow().commitment,
            policy: &self.policy,
            signer: &self.signer,
            workers: &Pool,
        }
    }

    /// The channel. It is away only within [`Self::step`].
    pub(super) fn channel(&self) -> Option<&Channel> {
        self.machine.as_ref()
    }

    pub(super) const fn signer(&self) -> &InMemorySigner {
        &self.signer
    }

    /// Puts another machine in the place of this one, durable before anything follows from it.
    pub(super) fn replace(&mut self, machine: Channel, signer: InMemorySigner) {
        let (index, state) = (self.index, machine.encode_snapshot());
        let _before_all_that_follows =
            self.records.writer.append(record(&[Fact::ChannelRolledBack { index, state }]));
        self.signer = signer;
        let step = machine.resume(&self.env());
        let (machine, sealed) = step.stage(&mut self.records);
        self.machine = Some(machine);
        self.waiting.push_back((self.generation(), sealed));
    }

    fn step(&mut self, event: Event) {
        let Some(machine) = self.machine.take() else { return };
        self.policy.force_close = self.common.force_close.borrow().with(self.meta.node);
        let step = machine.step(event, &self.env());
        let (machine, sealed) = step.stage(&mut self.records);
        self.machine = Some(machine);
        self.waiting.push_back((self.generation(), sealed));
    }

    /// Runs until the channel is over or the node stops.
    ///
    /// # Errors
    /// [`Fatal`] if a proven bound does not hold.
    pub async fn run(mut self, mut inboxes: Inboxes) -> Result<(), Fatal> {
        let mut disk = self.common.disk.clone();
        let tasks = self.common.tasks.clone();
        if self.link.is_some() && self.channel().is_some_and(|channel| !channel.is_connected()) {
            self.connect();
        }
        self.tell_everybody();
        self.announce()?;
        self.say_again()?;
        // What a restart has to say again waits for no record of its own, and Layer 1 must know what to
        // watch before it follows the next block.
        self.settle(&mut disk)?;
        let (mut messages, mut commands) = (Vec::new(), Vec::new());
        loop {
            let open = self.waiting.len() < WINDOW;
            tokio::select! {
                biased;
                () = tasks.stopping() => return Ok(()),
                Ok(()) = disk.changed(), if !self.waiting.is_empty() => {}
                Ok(()) = self.links.changed() => self.relink(),
                Some(news) = inboxes.chain.recv(), if open => self.take_news(news)?,
                count = inboxes.commands.recv_many(&mut commands, BATCH), if open => {
                    if count == 0 {
                        return Ok(());
                    }
                    self.gather(&mut commands, &mut inboxes.commands).await;
                    for command in commands.drain(..).flatten() {
                        self.step(Event::Command(command));
                    }
                }
                // A flood of the peer must not keep a user from closing.
                Some(ask) = inboxes.asks.recv() => self.take_ask(ask)?,
                count = inboxes.messages.recv_many(&mut messages, BATCH), if open => {
                    if count == 0 {
                        return Ok(());
                    }
                    for heard in messages.drain(..) {
                        self.hear(heard);
                    }
                }
            }
            self.settle(&mut disk)?;
            self.tell_everybody();
            self.announce()?;
            if self.over && self.waiting.is_empty() {
                return self.end();
            }
        }
    }

    /// Signs what there is to sign and lets go what the disk has. What is let go may be answered by this
    /// task itself, an onion that cannot be read for one: then no event comes to remind it.
    fn settle(&mut self, disk: &mut watch::Receiver<Flushed>) -> Result<(), Fatal> {
        loop {
            self.commit();
            let flushed = *disk.borrow_and_update();
            self.release(flushed)?;
            if self.own.is_empty() {
                return Ok(());
            }
        }
    }

    /// Lets those who are about to say something say it, so that it goes into the same signature. The
    /// wait is one turn of the scheduler at a time, and ends when nothing more came.
    async fn gather(&self, commands: &mut Vec<Vec<Command>>, inbox: &mut Inbox<Vec<Command>>) {
        for _ in 0..GATHER {
            tokio::task::yield_now().await;
            let before = commands.len();
            while commands.len() < BATCH
                && let Ok(more) = inbox.try_recv()
            {
                commands.push(more);
            }
            if commands.len() == before {
                return;
            }
        }
    }

    fn commit(&mut self) {
        for command in std::mem::take(&mut self.own) {
            self.step(Event::Command(command));
        }
        if self.channel().is_some_and(Channel::wants_commit) {
            self.step(Event::Commit);
        }
    }

    fn hear(&mut self, heard: Heard) {
        // What an older connection said was forgotten with it.
        let Some(link) = self.link.as_ref().filter(|link| link.generation == heard.generation)
        else {
            return;
        };
        if let Message::FundingCreated(created) = &heard.message
            && self.channel().is_some_and(|channel| channel.state().is_none())
        {
            let id = ChannelId::v1(&created.funding_txid, created.funding_output_index);
            if !self.common.directory.claim(self.index, id) {
                // The connection's end is the end of a channel that is not funded yet.
                link.say_error(self.meta.temporary_id, "another channel has this funding output");
                return link.close();
            }
        }
        if let Message::AnnouncementSignatures(theirs) = heard.message {
            return self.hear_announcement(theirs);
        }
        self.step(Event::Peer(heard.message));
    }

    /// Which connection is the present one.
    pub(super) fn generation(&self) -> Option<u64> {
        self.link.as_ref().map(|link| link.generation)
    }

    fn relink(&mut self) {
        let newest = self.links.borrow_and_update().clone();
        let same = |a: &Link, b: &Link| a.generation == b.generation;
        match (&self.link, &newest) {
            (Some(old), Some(new)) if same(old, new) => return,
            (Some(_), _) => self.step(Event::Link(channel::Link::Down)),
            (None, _) => {}
        }
        self.link = newest;
        if self.link.is_some() {
            self.connect();
        }
    }

    fn connect(&mut self) {
        if let Some(features) = self.link.as_ref().map(|link| link.features.clone()) {
            self.step(Event::Link(channel::Link::Up { features }));
        }
    }

    fn take_news(&mut self, news: ChainNews) -> Result<(), Fatal> {
        for fact in news.facts {
            self.step(Event::Chain(fact));
        }
        self.tell_stuck()?;
        if let Some(ack) = news.ack {
            let _gone = ack.send(());
        }
        Ok(())
    }

    fn take_ask(&mut self, ask: Ask) -> Result<(), Fatal> {
        match ask {
            Ask::Show { reply } => {
                self.note_sweeps();
                if let Some(view) = self.view() {
                    let _gone = reply.send(view);
                }
            }
            Ask::Forecast { reply } => {
                let _gone = reply.send(self.forecast());
            }
            Ask::Watch { reply } => {
                let Some(view) = self.view() else { return Ok(()) };
                let sender = self.shown.get_or_insert_with(|| watch::Sender::new(view));
                let _gone = reply.send(sender.subscribe());
            }
            Ask::Shutdown { script, feerate, reply } => {
                let command = self.user(reply);
                self.step(Event::Command(Command::Shutdown { command, script, feerate }));
            }
            Ask::Doubt { reply } => {
                let command = self.user(reply);
                self.step(Event::Command(Command::Doubt { command }));
            }
            Ask::LiftQuarantine { reply } => {
                let command = self.user(reply);
                self.step(Event::Command(Command::LiftQuarantine { command }));
            }
            Ask::ForceClose { reply } => {
                let command = self.user(reply);
                self.step(Event::Command(Command::ForceClose { command }));
            }
            Ask::Revoked { from, reply } => {
                let told = self.channel().and_then(|channel| Revoked::of(channel, from));
                let _gone = reply.send(told.map(Box::new));
            }
            Ask::Chaos(chaos) => self.take_chaos(chaos),
        }
        Ok(())
    }

    /// The id under which a user's answer comes back.
    pub(super) fn user(&mut self, reply: Reply<()>) -> CommandId {
        self.commands = self.commands.wrapping_add(1);
        let command = Asker::User.command(self.commands);
        self.answers.insert(command, reply);
        command
    }

    fn release(&mut self, disk: Flushed) -> Result<(), Fatal> {
        let mut told = Told::default();
        while let Some((generation, sealed)) = self.waiting.pop_front() {
            match sealed.open(disk) {
                Ok(effects) => self.perform(effects, generation, &mut told)?,
                Err(early) => {
                    self.waiting.push_front((generation, early));
                    break;
                }
            }
        }
        self.pass_on(told, false)
    }

    /// After a restart payments and the switch hear again of everything that is open.
    fn say_again(&mut self) -> Result<(), Fatal> {
        let Some(channel) = self.channel() else { return Ok(()) };
        let told = Told {
            incoming: channel.incoming().collect(),
            resolved: channel.resolved().collect(),
            ..Told::default()
        };
        self.pass_on(told, true)
    }

    pub(super) fn view(&self) -> Option<View> {
        let height = *self.common.height.borrow();
        let channel = self.channel()?;
        let mut shown = view(channel, &self.meta, self.link.is_some(), height, &self.common.policy);
        self.show_outputs(&mut shown);
        Some(shown)
    }

    /// Whoever looks sees the newest; only what somebody looks at is made.
    fn tell_everybody(&mut self) {
        self.note_sweeps();
        let Some(channel) = self.channel() else { return };
        let (closing, broken) = ending(&channel.stage());
        let terms = channel.terms().map(|terms| &terms.them);
        let sendable = channel.sendable(&self.common.policy);
        let glance = Glance {
            usable: channel.is_usable(),
            can_send: sendable.max,
            least: sendable.min,
            short_id: channel.short_channel_id(),
            closing,
            broken,
            slots: terms.map_or(0, |terms| terms.accepted_htlcs_max),
            in_flight_max_msat: terms.map_or(0, |terms| terms.in_flight_max_msat),
            alias: channel.terms().and_then(|terms| terms.alias),
            alias_only: channel.terms().is_some_and(|terms| terms.kind.scid_alias),
            revoked: channel.state().map_or(0, |state| state.secrets.count()),
            ours_sat: channel.balances().map_or(0, |(ours, _)| ours.floor_sat().to_sat()),
        };
        let named = |glance: &Glance| (glance.short_id, glance.alias, glance.alias_only);
        if named(&self.glance.borrow()) != named(&glance) {
            self.common.directory.name(self.index, &glance);
        }
        self.glance.send_if_modified(|now| {
            let changed = *now != glance;
            *now = glance;
            changed
        });
        if self.shown.as_ref().is_some_and(|shown| shown.receiver_count() == 0) {
            self.shown = None;
        }
        // Users see what the disk has: the state itself may be ahead.
        if self.waiting.is_empty()
            && let (Some(shown), Some(view)) = (&self.shown, self.view())
        {
            shown.send_if_modified(|now| {
                let changed = *now != view;
                *now = view;
                changed
            });
        }
    }

    /// What a backup keeps of this channel.
    pub(super) fn back_up(&self) -> Result<(), Fatal> {
        let entry = self.channel().and_then(|channel| Entry::running(&self.meta, channel));
        let Some(entry) = entry else { return Ok(()) };
        self.tell_backup(backup::FromChannel::Open(Box::new(entry)))
    }

    fn tell_backup(&self, told: backup::FromChannel) -> Result<(), Fatal> {
        match self.common.backup.send(told) {
            Ok(()) | Err(EdgeError::Closed) => Ok(()),
            Err(EdgeError::Full) => Err(Fatal::Overflow("channel to backup")),
        }
    }

    fn end(mut self) -> Result<(), Fatal> {
        self.note_sweeps();
        self.tell_backup(backup::FromChannel::Over(self.index))?;
        bound(self.common.gossip.send(gossip::FromChannel::Gone(self.index)), "channel to gossip")?;
        for (_, reply) in std::mem::take(&mut self.answers) {
            let _gone = reply.send(Err(Refusal::NoAnswer));
        }
        let closing = self.view().and_then(|shown| shown.closing);
        let (kind, outputs) = closing.map_or_else(Default::default, |it| (it.kind, it.outputs));
        let Some(channel) = self.machine else { return Ok(()) };
        let meta = Meta { outputs, kind, ..self.meta };
        let ended = Ended { index: self.index, meta, channel: Box::new(channel) };
        self.common.ended.send(ended).map_err(|_| Fatal::Overflow("channel to registry"))
    }
}

/// Whether no HTLC will be offered any more, and whether Layer 1 decides.
const fn ending(stage: &Stage) -> (bool, bool) {
    match stage {
        Stage::Opening | Stage::Funding | Stage::Open => (false, false),
        Stage::ShuttingDown | Stage::MutuallyClosed | Stage::Abandoned(_) => (true, false),
        Stage::Failing(_)
        | Stage::DataLoss
        | Stage::Lost
        | Stage::Frozen
        | Stage::OnChain
        | Stage::Closed => (true, true),
    }
}

/// Turns of the scheduler for which commands are gathered at most.
const GATHER: usize = 8;
