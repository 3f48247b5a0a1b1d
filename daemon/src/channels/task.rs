//! One task a channel: events in, staged steps to the journal, effects out when the disk has them.
//!
//! What came together is decided together: the task empties its inboxes, steps through everything, and
//! only then says [`Event::Commit`], so under load one signature covers many updates and no timer is
//! needed. The state thinks on while the disk works; only effects wait.
//!
//! Not here: what an event means (`channel`), what each effect does (`perform`).

mod inbox;
mod records;
mod tell;

use std::collections::{BTreeMap, VecDeque};

use channel::seal::{Flushed, Journal as _, Sealed};
use channel::signer::InMemorySigner;
use channel::{Advice, Channel, Command, CommandId, Effect, Env, Event, Held, Policy};
use tokio::sync::watch;
use wire::id::ChannelId;
use wire::message::Message;

use crate::backup;
use crate::channels::Pool;
use crate::channels::announce::Announcing;
use crate::channels::directory::{Glance, Heard};
use crate::channels::perform::{Told, bound};
use crate::channels::registry::Ended;
use crate::channels::sweep::Closing;
use crate::channels::view::Meta;
use crate::clock::UnixTime;
use crate::edge::{Back, Inbox};
use crate::fact::{ChannelBorn, ChannelIndex, Fact, MomentKind, OrderKept, record};
use crate::gossip;
use crate::journal::Writer;
use crate::payments::Reply;
use crate::peers::link::Link;
use crate::rpc::model::channel::Channel as View;
use crate::rpc::refusal::Refusal;
use crate::tasks::Fatal;
use crate::tower::Revoked;

pub use inbox::{Ask, Asker, ChainNews, Common, Inboxes};
use records::ChannelWriter;

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
                Ok(()) = self.links.changed() => {
                    // What was read before the connection ended was said: often why it ends.
                    while let Ok(heard) = inboxes.messages.try_recv() {
                        self.hear(heard);
                    }
                    self.relink();
                }
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
                // Whoever asked while it ended hears how it ended.
                while let Ok(ask) = inboxes.asks.try_recv() {
                    self.take_ask(ask)?;
                }
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
        // A connection is told of before its first message is read, but another way, and both may have come since that
        // was looked at. Whoever drops a `channel_reestablish` here waits for it until the connection breaks.
        if self.generation() != Some(heard.generation) {
            self.relink();
        }
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
        bound(self.common.ended.send(ended), "channel to registry")
    }
}

/// Turns of the scheduler for which commands are gathered at most.
const GATHER: usize = 8;
