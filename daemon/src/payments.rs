//! The payments task: what we owe and what we are owed.
//!
//! It alone writes facts of payments and invoices. HTLCs belong to channels; this task hears of those
//! that end here and of those it had offered, and decides.
//!
//! Not here: forwarding (`switch`), the commitment dance (`channel`), lists of what ended long ago (the
//! index).

pub mod blinded;
pub mod invoice;
pub mod lesson;
pub mod onion;
pub mod plan;
mod probe;
pub mod receive;
pub mod received;
pub mod router;
mod scores;
mod searches;
pub mod send;
pub mod sent;
mod shadow;

mod asks;
mod hold;
mod incoming;
mod outgoing;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use channel::seal::{Flushed, Lsn, Sealed, Step};
use channel::{Command, CommandId, Refusal as ChannelRefusal, Resolved};
use routing::graph::Snapshot;
use routing::score::Scorer;
use tokio::sync::watch;
use wire::id::PaymentHash;
use wire::units::BlockHeight;

pub use asks::{Ask, Order, Reply};

use crate::channels::directory::Directory;
use crate::clock::now_ms;
use crate::edge::{EdgeError, Inbox};
use crate::fact::{ChannelIndex, Fact, record};
use crate::identity::Identity;
use crate::journal::Writer;
use crate::keeper::Reading;
use crate::layer1::Tip;
use crate::payments::probe::Probes;
use crate::payments::receive::{HeldSet, Part};
use crate::payments::received::AskedBook;
use crate::payments::scores::{Arrived, Shelf};
use crate::payments::searches::Searches;
use crate::payments::send::Attempts;
use crate::payments::sent::SentBook;
use crate::rpc::model::invoice::Invoice;
use crate::rpc::model::payment::Payment;
use crate::tasks::{Fatal, Tasks};

/// What channels told in one go may wait for this task: bounded by the HTLCs all channels can have.
pub const FROM_CHANNELS: usize = 65_536;

/// What users asked may wait.
pub const ASKS: usize = 1_024;

/// How long after its invoice expired a payment that failed is remembered, in milliseconds.
const FAILED_REMEMBERED_MS: u64 = 3_600_000;

/// How many asks are taken before channels are heard again.
const BATCH: usize = 512;

/// How long what ended is remembered here, in milliseconds: the index has it long before.
const REMEMBERED_MS: u64 = 120_000;

/// How often held sets are looked at.
const TICK: Duration = Duration::from_secs(1);

/// What a channel tells payments, all of one released step.
#[derive(Debug)]
pub struct FromChannel {
    /// Which channel.
    pub channel: ChannelIndex,
    /// HTLCs whose onion ends with us.
    pub parts: Vec<Part>,
    /// HTLCs of ours that have their outcome.
    pub resolved: Vec<Resolved>,
    /// Offers that the channel made.
    pub offered: Vec<CommandId>,
    /// Offers that the channel would not make.
    pub refused: Vec<(CommandId, ChannelRefusal)>,
}

impl FromChannel {
    /// Whether there is nothing to tell.
    pub const fn is_empty(&self) -> bool {
        self.parts.is_empty()
            && self.resolved.is_empty()
            && self.offered.is_empty()
            && self.refused.is_empty()
    }
}

/// Something to be done once a record is durable.
type Then = Box<dyn FnOnce() + Send>;

/// The task's state.
pub struct Payments {
    us: Arc<Identity>,
    directory: Directory,
    tip: watch::Receiver<Tip>,
    /// Whether the chain was followed to its tip since the start.
    synced: bool,
    writer: Writer,
    sent: SentBook,
    asked: AskedBook,
    held: BTreeMap<PaymentHash, HeldSet>,
    attempts: Attempts,
    /// Everybody's channels, as gossip shows them.
    graph: watch::Receiver<Snapshot>,
    /// What attempts taught of them.
    scorer: Arc<Scorer>,
    /// What arrived since, to be learnt when no search reads that.
    arrived: Vec<Arrived>,
    searches: Searches,
    probes: Probes,
    shelf: Shelf,
    /// The genesis hash.
    chain: [u8; 32],
    watched_payments: BTreeMap<PaymentHash, watch::Sender<Payment>>,
    watched_invoices: BTreeMap<PaymentHash, watch::Sender<Invoice>>,
    /// Commands gathered for channels, sent together so that they are signed together.
    commands: BTreeMap<ChannelIndex, Vec<Command>>,
    waiting: VecDeque<Sealed<Then>>,
    reading: Reading,
    /// Where in the journal what ended since the start did: from there on the index must have it before
    /// it is forgotten here.
    ended_at: BTreeMap<PaymentHash, Lsn>,
    started_ms: u64,
    /// Whether payments without an invoice are taken.
    spontaneous: bool,
}

impl std::fmt::Debug for Payments {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Payments").field("held", &self.held.len()).finish_non_exhaustive()
    }
}

/// What the task starts with.
#[derive(Debug)]
pub struct Start {
    /// Our key.
    pub us: Arc<Identity>,
    /// Who runs which channel.
    pub directory: Directory,
    /// The best chain's tip.
    pub tip: watch::Receiver<Tip>,
    /// The way into the journal.
    pub writer: Writer,
    /// Payments as the journal has them.
    pub sent: SentBook,
    /// Invoices as the journal has them.
    pub asked: AskedBook,
    /// Parts of payments of which a channel still has an HTLC or its outcome.
    pub alive: BTreeSet<(PaymentHash, u32)>,
    /// What ended long ago.
    pub reading: Reading,
    /// Everybody's channels, as gossip shows them.
    pub graph: watch::Receiver<Snapshot>,
    /// The genesis hash.
    pub chain: [u8; 32],
    /// Where what was learnt is kept.
    pub scores: PathBuf,
    /// Whether payments without an invoice are taken.
    pub keysend: bool,
}

impl Payments {
    /// Takes up where the journal ends. A payment that was started and of which no channel knows an
    /// HTLC was never sent: it ends here.
    pub fn new(start: Start) -> Self {
        let Start { us, directory, tip, writer, sent, asked, alive, .. } = start;
        let Start { reading, graph, chain, scores, keysend, .. } = start;
        let (shelf, scorer) = Shelf::open(scores);
        let mut payments = Self {
            us,
            directory,
            tip,
            synced: false,
            writer,
            attempts: Attempts::default(),
            graph,
            scorer: Arc::new(scorer),
            arrived: Vec::new(),
            searches: Searches::default(),
            probes: Probes::default(),
            shelf,
            chain,
            sent,
            asked,
            held: BTreeMap::new(),
            watched_payments: BTreeMap::new(),
            watched_invoices: BTreeMap::new(),
            commands: BTreeMap::new(),
            waiting: VecDeque::new(),
            reading,
            ended_at: BTreeMap::new(),
            started_ms: now_ms(),
            spontaneous: keysend,
        };
        payments.take_up(&alive);
        payments
    }

    /// Runs until the node stops.
    ///
    /// # Errors
    /// [`Fatal`] if a proven bound does not hold.
    pub async fn run(
        mut self,
        mut from_channels: Inbox<FromChannel>,
        mut asks: Inbox<Ask>,
        mut disk: watch::Receiver<Flushed>,
        tasks: Tasks,
    ) -> Result<(), Fatal> {
        let mut told = Vec::new();
        let mut asked = Vec::new();
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = tasks.stopping() => {
                    self.learn_arrived();
                    self.shelf.keep(&self.scorer, true);
                    return Ok(());
                }
                Ok(()) = disk.changed(), if !self.waiting.is_empty() => {}
                Ok(()) = self.tip.changed(), if !self.synced => {}
                // At a height of before we would show preimages of HTLCs that have expired since.
                count = from_channels.recv_many(&mut told, BATCH), if self.synced => {
                    if count == 0 {
                        return Ok(());
                    }
                    told.drain(..).for_each(|told| self.hear(told));
                }
                count = asks.recv_many(&mut asked, BATCH) => {
                    if count == 0 {
                        return Ok(());
                    }
                    asked.drain(..).for_each(|ask| self.answer(ask));
                }
                Some(ended) = self.searches.ended(), if !self.searches.is_empty() => {
                    self.take_search(ended)?;
                }
                _ = tick.tick() => self.tick(),
            }
            self.turn(&mut disk)?;
        }
    }

    /// What time alone brings about.
    fn tick(&mut self) {
        self.learn_arrived();
        self.end_overdue_probes();
        self.give_back_overdue();
        self.attempts.shun_slow(now_ms());
        self.shelf.keep(&self.scorer, false);
        self.forget();
    }

    /// After whatever was heard: says what follows from it.
    fn turn(&mut self, disk: &mut watch::Receiver<Flushed>) -> Result<(), Fatal> {
        self.synced |= self.tip.borrow_and_update().synced;
        self.send_commands()?;
        let flushed = *disk.borrow_and_update();
        self.release(flushed);
        Ok(())
    }

    /// What ended a while ago and is in the index need not be remembered here, too. Not in the first
    /// minutes: channels may still tell of HTLCs that belong to it. A payment that failed is remembered
    /// until its invoice cannot be paid any more: its parts' numbers must not be used again.
    fn forget(&mut self) {
        let now = now_ms();
        if now < self.started_ms.saturating_add(REMEMBERED_MS) {
            return;
        }
        let reached = *self.reading.reached.borrow();
        let old = |at_ms: u64| at_ms.saturating_add(REMEMBERED_MS) < now;
        let ended_at = &self.ended_at;
        let is_row = |hash: &PaymentHash| ended_at.get(hash).is_none_or(|at| at.0 <= reached);
        self.sent.forget(|sent| match &sent.ended {
            Some(ended) if ended.preimage.is_some() => {
                old(ended.at_ms) && is_row(&ended.payment_hash)
            }
            Some(_) => sent.started.expires_ms.saturating_add(FAILED_REMEMBERED_MS) < now,
            None => false,
        });
        let held = &self.held;
        self.asked.forget(|asked| {
            let ended = match &asked.end {
                Some(end) => old(end.at_ms()),
                None => old(asked.made.expires_ms) && !asked.is_held(),
            };
            let hash = asked.hash();
            ended && asked.index < reached && is_row(&hash) && !held.contains_key(&hash)
        });
        let (sent, asked) = (&self.sent, &self.asked);
        self.ended_at.retain(|hash, _| sent.get(*hash).is_some() || asked.get(*hash).is_some());
    }

    fn hear(&mut self, told: FromChannel) {
        for part in told.parts {
            self.take_part(part);
        }
        for resolved in told.resolved {
            self.take_outcome(told.channel, resolved);
        }
        for command in told.offered {
            self.attempts.offered(command);
        }
        for (command, refusal) in told.refused {
            self.take_refusal(command, &refusal);
        }
    }

    /// Writes facts down, applies them, and has `then` done once they are durable.
    fn commit(&mut self, facts: &[Fact], then: Vec<Then>) {
        let step = Step::new((), record(facts), then);
        let ((), sealed) = step.stage(&mut self.writer);
        for fact in facts {
            self.sent.apply(sealed.due(), fact);
            self.asked.apply(sealed.due(), fact);
            if let Some(hash) = ended_by(fact) {
                self.ended_at.insert(hash, sealed.due());
            }
        }
        self.waiting.push_back(sealed);
    }

    /// Has `then` done once everything decided so far is durable.
    fn after_all(&mut self, then: Then) {
        let ((), sealed) = Step::new((), Vec::new(), vec![then]).stage(&mut self.writer);
        self.waiting.push_back(sealed);
    }

    fn command(&mut self, channel: ChannelIndex, command: Command) {
        self.commands.entry(channel).or_default().push(command);
    }

    fn send_commands(&mut self) -> Result<(), Fatal> {
        if self.commands.is_empty() {
            return Ok(());
        }
        let doors = self.directory.doors();
        for (channel, commands) in std::mem::take(&mut self.commands) {
            // A channel that is gone resolves its HTLCs on Layer 1 and says so itself. A preimage that
            // is not delivered to a living one would be lost until the restart: better restart now.
            if let Some(door) = doors.get(channel)
                && door.commands.send(commands) == Err(EdgeError::Full)
            {
                return Err(Fatal::Overflow("payments to channel"));
            }
        }
        Ok(())
    }

    fn release(&mut self, disk: Flushed) {
        while let Some(sealed) = self.waiting.pop_front() {
            match sealed.open(disk) {
                Ok(then) => then.into_iter().for_each(|then| then()),
                Err(early) => return self.waiting.push_front(early),
            }
        }
    }

    fn height(&self) -> BlockHeight {
        self.tip.borrow().height
    }

    /// A payment as users see it now.
    fn show_payment(&self, hash: PaymentHash) -> Option<Payment> {
        self.sent.get(hash).map(|sent| self.directory.doors().show(sent))
    }

    /// Tells those who follow a payment, once what happened is durable.
    fn publish_payment(&mut self, hash: PaymentHash) -> Option<Then> {
        let shown = self.show_payment(hash)?;
        let sender = if shown.is_final() {
            self.watched_payments.remove(&hash)?
        } else {
            self.watched_payments.get(&hash)?.clone()
        };
        Some(Box::new(move || {
            sender.send_replace(shown);
        }))
    }

    fn show_invoice(&self, hash: PaymentHash) -> Option<Invoice> {
        let arriving = self.held.contains_key(&hash);
        self.asked.get(hash).map(|asked| asked.show(now_ms(), arriving))
    }

    fn publish_invoice(&mut self, hash: PaymentHash) -> Option<Then> {
        let shown = self.show_invoice(hash)?;
        let sender = if shown.is_final() {
            self.watched_invoices.remove(&hash)?
        } else {
            self.watched_invoices.get(&hash)?.clone()
        };
        Some(Box::new(move || {
            sender.send_replace(shown);
        }))
    }
}

/// Which payment or invoice a fact ends.
const fn ended_by(fact: &Fact) -> Option<PaymentHash> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "three kinds of facts end something")]
    match fact {
        Fact::PaymentEnded(ended) => Some(ended.payment_hash),
        Fact::InvoiceSettled(settled) => Some(settled.payment_hash),
        Fact::InvoiceCancelled(cancelled) => Some(cancelled.payment_hash),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
