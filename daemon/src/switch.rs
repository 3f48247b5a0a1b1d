//! The switch: an HTLC that came in by one channel goes out by another, and what becomes of it comes
//! back. BOLT 2 § Forwarding HTLCs, BOLT 4 § Non-strict Forwarding.
//!
//! A circuit is not stored: the outgoing HTLC says on whose behalf it exists. After a restart both
//! channels tell again what is open, and the circuit is whole.
//!
//! Not here: HTLCs that end with us (`payments`).

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use channel::{
    Answer, Command, CommandId, Offer, Origin, Outcome, Refusal as ChannelRefusal, Resolved,
};
use tokio::sync::watch;
use wire::id::{ChannelId, PaymentHash};
use wire::message::OnionPacket;
use wire::onion::SharedSecret;
use wire::onion::failure::{ChannelUpdateBytes, Failure, ReturnPacket};
use wire::onion::payload;
use wire::units::{BlockHeight, Msat};

use crate::channels::directory::{Directory, Door, Doors};
use crate::channels::task::Asker;
use crate::edge::{EdgeError, Inbox};
use crate::fact::ChannelIndex;
use crate::tasks::{Fatal, Tasks};

/// What channels told in one go may wait: bounded by the HTLCs all channels can have.
pub const FROM_CHANNELS: usize = 65_536;

/// How much is taken in one go.
const BATCH: usize = 512;

/// Blocks before an expiry below which nothing goes on. BOLT 2 § `cltv_expiry_delta` Selection.
const EXPIRY_TOO_SOON: u32 = 24;

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
    /// What encrypts a failure on its way back.
    pub secret: SharedSecret,
    /// What the sender says.
    pub payload: payload::Forward,
    /// The onion for the next hop.
    pub onion: OnionPacket,
}

/// What a channel tells the switch, all of one released step.
#[derive(Debug)]
pub struct FromChannel {
    /// Which channel.
    pub channel: ChannelIndex,
    /// HTLCs that are to go on.
    pub forwards: Vec<Forward>,
    /// HTLCs that went on and have their outcome.
    pub resolved: Vec<Resolved>,
    /// Answers to commands of the switch.
    pub answers: Vec<(CommandId, Result<Answer, ChannelRefusal>)>,
}

impl FromChannel {
    /// Whether there is nothing to tell.
    pub const fn is_empty(&self) -> bool {
        self.forwards.is_empty() && self.resolved.is_empty() && self.answers.is_empty()
    }
}

/// What forwarding costs, and whether it is done at all.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ForwardPolicy {
    /// Off until Layer 1 can defend a forwarded HTLC.
    pub enabled: bool,
    /// Flat fee.
    pub base_msat: u64,
    /// Fee per million forwarded.
    pub ppm: u64,
    /// Blocks between the expiries of the incoming and the outgoing HTLC.
    pub cltv_delta: u32,
    /// How far ahead an outgoing HTLC may expire, in blocks.
    pub cltv_ahead_max: u32,
}

impl Default for ForwardPolicy {
    fn default() -> Self {
        Self { enabled: false, base_msat: 1_000, ppm: 100, cltv_delta: 80, cltv_ahead_max: 2_016 }
    }
}

impl ForwardPolicy {
    /// Whether the sender left enough. BOLT 7 § HTLC Fees: on the amount forwarded.
    ///
    /// # Errors
    /// The failure for the sender.
    pub fn check(&self, forward: &Forward, height: BlockHeight) -> Result<(), Failure> {
        let channel_update = ChannelUpdateBytes::default;
        if !self.enabled {
            return Err(Failure::UnknownNextPeer);
        }
        let out = forward.payload.amt_to_forward;
        let fee = u128::from(out.to_u64())
            .saturating_mul(u128::from(self.ppm))
            .checked_div(1_000_000)
            .unwrap_or(u128::MAX)
            .saturating_add(u128::from(self.base_msat));
        let left = forward.amount.checked_sub(out).map(|left| u128::from(left.to_u64()));
        if left.is_none_or(|left| left < fee) {
            return Err(Failure::FeeInsufficient {
                htlc_msat: forward.amount.to_u64(),
                channel_update: channel_update(),
            });
        }
        let expiry = forward.payload.outgoing_cltv_value;
        if forward.cltv_expiry < expiry.saturating_add(self.cltv_delta) {
            return Err(Failure::IncorrectCltvExpiry {
                cltv_expiry: forward.cltv_expiry.0,
                channel_update: channel_update(),
            });
        }
        if expiry <= height.saturating_add(EXPIRY_TOO_SOON) {
            return Err(Failure::ExpiryTooSoon { channel_update: channel_update() });
        }
        if expiry > height.saturating_add(self.cltv_ahead_max) {
            return Err(Failure::ExpiryTooFar);
        }
        Ok(())
    }
}

/// The task's state.
#[derive(Debug)]
pub struct Switch {
    directory: Directory,
    height: watch::Receiver<BlockHeight>,
    policy: ForwardPolicy,
    /// HTLCs that are on their way out, with what tells the sender why they are not.
    open: BTreeMap<(ChannelId, u64), Open>,
    offers: BTreeMap<u64, (ChannelId, u64)>,
    /// Which tombstone may go once the incoming side is durable.
    settling: BTreeMap<u64, (ChannelIndex, u64)>,
    number: u64,
    commands: BTreeMap<ChannelIndex, Vec<Command>>,
}

#[derive(Debug)]
struct Open {
    forward: Forward,
    left: VecDeque<ChannelIndex>,
}

impl Switch {
    /// `alive` are the incoming HTLCs, by channel and id, of which some channel still has the outgoing
    /// one or its outcome: they are not forwarded a second time.
    pub fn new(
        directory: Directory,
        height: watch::Receiver<BlockHeight>,
        policy: ForwardPolicy,
    ) -> Self {
        Self {
            directory,
            height,
            policy,
            open: BTreeMap::new(),
            offers: BTreeMap::new(),
            settling: BTreeMap::new(),
            number: 0,
            commands: BTreeMap::new(),
        }
    }

    /// Runs until the node stops.
    ///
    /// # Errors
    /// None of its own.
    pub async fn run(
        mut self,
        mut inbox: Inbox<FromChannel>,
        mut alive: BTreeSet<(ChannelId, u64)>,
        tasks: Tasks,
    ) -> Result<(), Fatal> {
        let mut batch = Vec::new();
        loop {
            tokio::select! {
                biased;
                () = tasks.stopping() => return Ok(()),
                count = inbox.recv_many(&mut batch, BATCH) => {
                    if count == 0 {
                        return Ok(());
                    }
                }
            }
            let doors = self.directory.doors();
            for told in batch.drain(..) {
                self.hear(told, &doors, &mut alive);
            }
            for (channel, commands) in std::mem::take(&mut self.commands) {
                if let Some(door) = doors.get(channel)
                    && door.commands.send(commands) == Err(EdgeError::Full)
                {
                    return Err(Fatal::Overflow("switch to channel"));
                }
            }
        }
    }

    fn hear(&mut self, told: FromChannel, doors: &Doors, alive: &mut BTreeSet<(ChannelId, u64)>) {
        for (command, answer) in told.answers {
            self.take_answer(command, answer, doors);
        }
        for resolved in told.resolved {
            self.take_outcome(told.channel, resolved, doors);
        }
        for forward in told.forwards {
            let Some(door) = doors.get(forward.channel) else { continue };
            let name = (door.id, forward.htlc);
            // A circuit that a restart interrupted: its outgoing HTLC will bring the outcome.
            let known = alive.remove(&name) || self.open.contains_key(&name);
            if known {
                self.open.entry(name).or_insert(Open { forward, left: VecDeque::new() });
            } else {
                self.forward(name, forward, doors);
            }
        }
    }

    fn forward(&mut self, name: (ChannelId, u64), forward: Forward, doors: &Doors) {
        let height = *self.height.borrow();
        if forward.overexposed {
            let failure =
                Failure::TemporaryChannelFailure { channel_update: ChannelUpdateBytes::default() };
            return self.fail(&forward, &failure);
        }
        if let Err(failure) = self.policy.check(&forward, height) {
            return self.fail(&forward, &failure);
        }
        let Some(named) = doors.with_short_id(forward.payload.short_channel_id) else {
            return self.fail(&forward, &Failure::UnknownNextPeer);
        };
        let left = candidates(doors, named, forward.payload.amt_to_forward);
        self.open.insert(name, Open { forward, left });
        self.try_next(name);
    }

    fn try_next(&mut self, name: (ChannelId, u64)) {
        let Some(open) = self.open.get_mut(&name) else { return };
        let Some(next) = open.left.pop_front() else {
            if let Some(open) = self.open.remove(&name) {
                let failure = Failure::TemporaryChannelFailure {
                    channel_update: ChannelUpdateBytes::default(),
                };
                self.fail(&open.forward, &failure);
            }
            return;
        };
        self.number = self.number.wrapping_add(1);
        let command = Asker::Switch.command(self.number);
        let offer = Offer {
            command,
            amount_msat: open.forward.payload.amt_to_forward,
            payment_hash: open.forward.hash,
            cltv_expiry: open.forward.payload.outgoing_cltv_value,
            onion: open.forward.onion.clone(),
            origin: Origin::Forward { channel: name.0, htlc: name.1 },
            path_key: None,
        };
        self.offers.insert(command.0, name);
        self.commands.entry(next).or_default().push(Command::OfferHtlc(Box::new(offer)));
    }

    fn take_answer(
        &mut self,
        command: CommandId,
        answer: Result<Answer, ChannelRefusal>,
        doors: &Doors,
    ) {
        if let Some(name) = self.offers.remove(&command.0) {
            if answer.is_err() {
                self.try_next(name);
            }
            return;
        }
        // The incoming side is durable (or was resolved before): the outgoing side may forget.
        if let Some((channel, htlc)) = self.settling.remove(&command.0)
            && doors.get(channel).is_some()
        {
            self.commands.entry(channel).or_default().push(Command::ForgetResolved { htlc });
        }
    }

    fn take_outcome(&mut self, channel: ChannelIndex, resolved: Resolved, doors: &Doors) {
        let Origin::Forward { channel: incoming, htlc } = resolved.origin else { return };
        let name = (incoming, htlc);
        if resolved.outcome == Outcome::Unsent {
            // Nothing was signed; another channel to the same node may still take it.
            return self.try_next(name);
        }
        let open = self.open.remove(&name);
        let Some(door) = doors.with_id(incoming) else { return };
        self.number = self.number.wrapping_add(1);
        let command = Asker::Switch.command(self.number);
        self.settling.insert(command.0, (channel, resolved.htlc));
        let answer = settle(command, htlc, resolved.outcome, open.as_ref());
        self.commands.entry(door.index).or_default().push(answer);
    }

    fn fail(&mut self, forward: &Forward, failure: &Failure) {
        tracing::debug!(hash = %forward.hash, code = failure.code(), "not forwarded");
        let packet = ReturnPacket::create(&forward.secret, failure, None);
        let command = Command::FailHtlc {
            command: Asker::Nobody.command(0),
            htlc: forward.htlc,
            reason: packet.reason,
            attribution: packet.attribution_data,
        };
        self.commands.entry(forward.channel).or_default().push(command);
    }
}

/// What the incoming side is told. BOLT 4 § Returning Errors.
fn settle(command: CommandId, htlc: u64, outcome: Outcome, open: Option<&Open>) -> Command {
    let fail = |failure: &Failure| {
        let packet = open.map(|open| ReturnPacket::create(&open.forward.secret, failure, None));
        Command::FailHtlc {
            command,
            htlc,
            reason: packet.map(|packet| packet.reason).unwrap_or_default(),
            attribution: None,
        }
    };
    match outcome {
        Outcome::Fulfilled { preimage, .. } => {
            Command::FulfillHtlc { command, htlc, preimage, attribution: None }
        }
        Outcome::Failed { reason, .. } => {
            let packet = ReturnPacket { reason, attribution_data: None };
            let packet = match open {
                Some(open) => packet.relay(&open.forward.secret, None),
                None => packet,
            };
            Command::FailHtlc { command, htlc, reason: packet.reason, attribution: None }
        }
        // BOLT 2: "MUST return `update_fail_htlc` with the failure code and the `sha256_of_onion`".
        Outcome::Malformed { failure_code, sha256_of_onion } => {
            let failure = Failure::from_malformed(failure_code, sha256_of_onion);
            fail(&failure.unwrap_or(Failure::TemporaryNodeFailure))
        }
        Outcome::TimedOut | Outcome::Unsent => fail(&Failure::PermanentChannelFailure),
    }
}

/// The named channel first, then any other to the same node.
fn candidates(doors: &Doors, named: &Door, amount: Msat) -> VecDeque<ChannelIndex> {
    let able = |door: &&Door| {
        let glance = door.glance.borrow();
        glance.usable && glance.can_send >= amount
    };
    let mut found: VecDeque<_> = doors
        .of(named.node)
        .filter(able)
        .map(|door| door.index)
        .filter(|index| *index != named.index)
        .collect();
    if able(&named) {
        found.push_front(named.index);
    }
    found
}
