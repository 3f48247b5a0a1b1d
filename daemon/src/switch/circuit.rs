//! The life of a circuit: an HTLC comes in, goes out over one channel after the other until one takes it, and has
//! its outcome told to the channel that it came in by.
//!
//! Not here: the queues and the journal (`switch`), what waits for somebody's word (`hold`).

use std::sync::Arc;

use std::collections::VecDeque;

use channel::{
    Answer, Command, CommandId, Offer, Origin, Outcome, Refusal as ChannelRefusal, Resolved,
};
use wire::onion::attribution::HoldTime;
use wire::onion::blind::NextHop;
use wire::onion::failure::{ChannelUpdateBytes, Failure};

use super::{At, Forward, FromChannel, Name, ONIONS_MAX, Open, Switch, choose, settle};
use crate::channels::directory::Doors;
use crate::clock::now_ms;
use crate::fact::{ChannelIndex, Fact, ForwardEnd, ForwardEnded, ForwardTaken};
use crate::switch::book::Key;

impl Switch {
    pub(super) fn hear(&mut self, told: FromChannel, doors: &Doors) {
        for (command, answer) in told.answers {
            self.take_answer(command, answer, doors);
        }
        for resolved in told.resolved {
            self.take_outcome(told.channel, resolved, doors);
        }
        for forward in told.forwards {
            self.take_forward(forward, doors);
        }
        if told.again {
            self.has_spoken(told.channel, doors);
        }
        for command in told.late {
            self.late.add(told.channel, command);
        }
    }

    fn take_forward(&mut self, mut forward: Forward, doors: &Doors) {
        let Some(door) = doors.get(forward.channel) else { return };
        let name = (door.id, forward.htlc);
        if self.open.contains_key(&name) {
            return;
        }
        let known = self.forwards.book.get(forward.key()).map(|known| &known.taken);
        forward.since_ms = known.map_or(forward.since_ms, |taken| taken.at_ms);
        // A circuit that a restart interrupted: its outgoing HTLC will bring the outcome.
        let (is_out, place) = match self.alive.remove(&name) {
            Some(place) => (true, place),
            None => (false, None),
        };
        let at = if is_out { At::Out } else { At::Waiting };
        if let Some((out, htlc)) = place {
            self.load.add(door.node, out, forward.payload.amt_to_forward);
            self.tell(out, Command::UpstreamExpires { htlc, expiry: forward.cltv_expiry });
        }
        let out = place.map(|(out, _)| out);
        let (from, left) = (door.node, VecDeque::new());
        let open = Open { forward, at, from, out, left, refusal: None, named: None };
        self.open.insert(name, open);
        if !is_out && self.synced {
            self.admit(name, doors);
        }
    }

    /// A channel told all that it has open: what waited for that can be settled.
    fn has_spoken(&mut self, channel: ChannelIndex, doors: &Doors) {
        self.spoken.insert(channel);
        let Some(door) = doors.get(channel) else { return };
        let of_it = (door.id, 0)..=(door.id, u64::MAX);
        let early: Vec<_> = self.early.extract_if(of_it, |_, _| true).collect();
        for (out, resolved) in early.into_iter().flat_map(|(_, all)| all) {
            self.take_outcome(out, resolved, doors);
        }
        let is_lost = |key: &Key| {
            let name = (door.id, key.1);
            !self.open.contains_key(&name) && !self.alive.contains_key(&name)
        };
        let lost: Vec<Key> = (self.forwards.book.by(channel))
            .map(|forward| (forward.taken.channel, forward.taken.htlc))
            .filter(is_lost)
            .collect();
        lost.into_iter().for_each(|key| self.note_end(key, ForwardEnd::TimedOut));
        let open = &self.open;
        let words = &mut self.forwards.words;
        words.retain(|key| key.0 != channel.0 || open.contains_key(&(door.id, key.1)));
    }

    /// Forwards of channels that are over: Layer 1 decided.
    pub(super) fn end_what_came_by_no_channel(&mut self) {
        let doors = self.directory.doors();
        let lost: Vec<Key> = (self.forwards.book.iter())
            .map(|forward| (forward.taken.channel, forward.taken.htlc))
            .filter(|key| doors.get(ChannelIndex(key.0)).is_none())
            .collect();
        lost.into_iter().for_each(|key| self.note_end(key, ForwardEnd::TimedOut));
    }

    /// The best chain moved.
    pub(super) fn follow(&mut self, doors: &Doors) {
        let tip = *self.tip.borrow_and_update();
        self.heard_of = tip;
        if tip.synced && !self.synced {
            self.synced = true;
            let waiting: Vec<Name> = (self.open.iter())
                .filter(|(_, open)| open.at == At::Waiting)
                .map(|(name, _)| *name)
                .collect();
            waiting.into_iter().for_each(|name| self.admit(name, doors));
        }
        self.forwards.onions.forget(tip.height);
        self.forwards.words.retain(|key| doors.get(ChannelIndex(key.0)).is_some());
        self.give_back_overdue(doors);
        // An offer to a channel that has ended is never answered, and was never signed.
        let dead: Vec<_> = (self.offers.iter())
            .filter(|(_, (_, channel))| doors.get(*channel).is_none())
            .map(|(command, _)| CommandId(*command))
            .collect();
        for command in dead {
            self.take_answer(command, Err(ChannelRefusal::Closing), doors);
        }
    }

    /// Whether it may go on at all, before anybody is asked.
    fn admit(&mut self, name: Name, doors: &Doors) {
        let Some(open) = self.open.get(&name) else { return };
        let (forward, key) = (&open.forward, open.forward.key());
        if let Some(word) = self.forwards.words.get(key) {
            return self.obey_word(name, word, doors);
        }
        let channel_update = ChannelUpdateBytes::default();
        if forward.overexposed {
            // BOLT 2: "SHOULD fail this HTLC once it's committed"
            return self.refuse(name, &Failure::TemporaryChannelFailure { channel_update });
        }
        if self.forwards.onions.came_before(forward.tag, key) {
            tracing::warn!(hash = %forward.hash, "an onion came a second time");
            return self.refuse(name, &Failure::TemporaryChannelFailure { channel_update });
        }
        if self.forwards.onions.len() >= ONIONS_MAX {
            return self.refuse(name, &Failure::TemporaryNodeFailure);
        }
        let was_held = self
            .forwards
            .book
            .get(key)
            .is_some_and(|known| known.taken.held && known.taken.out.is_none());
        if was_held || self.listener.holds() {
            self.hold(name, was_held, doors);
        } else {
            self.route(name, doors);
        }
    }

    /// Checks what the sender gave, and looks for channels that could take it.
    pub(super) fn route(&mut self, name: Name, doors: &Doors) {
        let Some(open) = self.open.get_mut(&name) else { return };
        open.at = At::Out;
        let forward = &open.forward;
        let incoming = doors.get(forward.channel).map(|door| *door.glance.borrow());
        if incoming.is_none_or(|glance| glance.broken) {
            return self.refuse(name, &Failure::PermanentChannelFailure);
        }
        let payload = forward.payload;
        let named = match forward.blinded.map(|onward| onward.next) {
            None => doors.named_by_payer(payload.short_channel_id),
            Some(NextHop::Channel(scid)) => doors.named_by_payer(scid),
            Some(NextHop::Node(node)) => choose::best_with(doors, node.into(), forward.channel),
        };
        let Some(named) = named else {
            return self.refuse(name, &Failure::UnknownNextPeer);
        };
        let (height, update) =
            (self.tip.borrow().height, self.updates.of(named.index, payload.short_channel_id));
        let policies = &self.forwards.policies;
        if let Err(failure) = policies.check(named.index, forward, height, now_ms(), &update) {
            return self.refuse(name, &failure);
        }
        open.named = Some(named.index);
        open.left =
            choose::candidates(doors, policies, named, forward.channel, payload.amt_to_forward);
        // With no tower to punish an old state, more is not put at stake.
        let uncovered = Arc::clone(&self.uncovered.borrow());
        if uncovered.contains(&forward.channel) {
            open.left.clear();
        }
        open.left.retain(|channel| !uncovered.contains(channel));
        if open.left.is_empty() && named.glance.borrow().closing {
            open.refusal = Some(ChannelRefusal::Closing);
        }
        self.try_next(name, doors);
    }

    fn try_next(&mut self, name: Name, doors: &Doors) {
        loop {
            let Some(open) = self.open.get_mut(&name) else { return };
            let amount = open.forward.payload.amt_to_forward;
            let Some(next) = open.left.pop_front() else {
                let scid = open.forward.payload.short_channel_id;
                let update = open.named.map(|named| self.updates.of(named, scid));
                let update = update.unwrap_or_default();
                let failure = settle::failure_of(open.refusal.as_ref(), amount, update);
                return self.refuse(name, &failure);
            };
            let Some(door) = doors.get(next) else { continue };
            if !self.load.fits(open.from, door, amount, self.manner.share) {
                tracing::debug!(hash = %open.forward.hash, peer = %open.from, "more than its share");
                continue;
            }
            self.load.add(open.from, next, amount);
            open.out = Some(next);
            self.number = self.number.wrapping_add(1);
            let command = crate::channels::task::Asker::Switch.command(self.number);
            let offer = Offer {
                command,
                amount_msat: amount,
                payment_hash: open.forward.hash,
                cltv_expiry: open.forward.payload.outgoing_cltv_value,
                onion: open.forward.onion.clone(),
                origin: Origin::Forward { channel: name.0, htlc: name.1 },
                path_key: open.forward.blinded.map(|onward| onward.path_key),
                accountable: open.forward.accountable,
            };
            let key = open.forward.key();
            let held = self.forwards.book.get(key).is_some_and(|known| known.taken.held);
            let taken = taken(&open.forward, held, Some(next), self.tip.borrow().height);
            self.note(Fact::ForwardTaken(taken));
            self.offers.insert(command.0, (name, next));
            return self.tell(next, Command::OfferHtlc(Box::new(offer)));
        }
    }

    /// It is not under way over its channel any more.
    fn unload(&mut self, name: Name) {
        if let Some(open) = self.open.get_mut(&name)
            && let Some(out) = open.out.take()
        {
            self.load.remove(open.from, out, open.forward.payload.amt_to_forward);
        }
    }

    /// Takes it off every list.
    pub(super) fn close(&mut self, name: Name) -> Option<Open> {
        self.unload(name);
        let open = self.open.remove(&name)?;
        if open.at == At::Held {
            self.held = self.held.saturating_sub(1);
        }
        Some(open)
    }

    fn take_answer(
        &mut self,
        command: CommandId,
        answer: Result<Answer, ChannelRefusal>,
        doors: &Doors,
    ) {
        if let Some((name, channel)) = self.offers.remove(&command.0) {
            match answer {
                // It must not be without an outcome when the incoming one expires.
                Ok(Answer::Offered { htlc }) => {
                    if let Some(open) = self.open.get(&name) {
                        let expiry = open.forward.cltv_expiry;
                        self.tell(channel, Command::UpstreamExpires { htlc, expiry });
                    }
                }
                Ok(Answer::Done | Answer::Funded { .. }) => {}
                Err(refusal) => {
                    self.unload(name);
                    if let Some(open) = self.open.get_mut(&name) {
                        tracing::debug!(hash = %open.forward.hash, %refusal, "a channel would not");
                        open.refusal = Some(refusal);
                    }
                    self.try_next(name, doors);
                }
            }
            return;
        }
        if let Some(key) = self.last.remove(&command.0) {
            self.forwards.words.remove(key);
        }
        // The incoming side is durable (or was resolved before): the outgoing side may forget.
        if let Some((channel, htlc)) = self.settling.remove(&command.0) {
            self.tell(channel, Command::ForgetResolved { htlc });
        }
    }

    fn take_outcome(&mut self, channel: ChannelIndex, resolved: Resolved, doors: &Doors) {
        let Origin::Forward { channel: incoming, htlc } = resolved.origin else { return };
        let name = (incoming, htlc);
        if resolved.outcome == Outcome::Unsent {
            // Nothing was signed; another channel to the same node may still take it.
            self.unload(name);
            return self.try_next(name, doors);
        }
        let forget = Command::ForgetResolved { htlc: resolved.htlc };
        let Some(door) = doors.with_id(incoming) else {
            // It came by a channel that is over: its peer has it back, or we have it, for good.
            self.alive.remove(&name);
            if let Some(open) = self.close(name) {
                self.note_end(open.forward.key(), settle::end_of(&resolved.outcome));
            }
            return self.tell(channel, forget);
        };
        if !self.open.contains_key(&name) && !self.spoken.contains(&door.index) {
            // Without the incoming HTLC the sender could not read a failure; it is about to be told.
            return self.early.entry(name).or_default().push((channel, resolved));
        }
        self.alive.remove(&name);
        let open = self.close(name);
        let key = (door.index.0, htlc);
        self.note_end(key, settle::end_of(&resolved.outcome));
        let command = self.command();
        self.last.insert(command.0, key);
        let known = open.as_ref().map(|open| (&open.forward, held_for(&open.forward)));
        match settle::pass_on(command, htlc, resolved.outcome, known) {
            Some(told) => {
                self.settling.insert(command.0, (channel, resolved.htlc));
                self.tell_back(door.index, told, open.as_ref().map(|open| &open.forward));
            }
            // The incoming side is being removed already.
            None => self.tell(channel, forget),
        }
    }

    /// Gives an HTLC back that goes nowhere.
    pub(super) fn refuse(&mut self, name: Name, failure: &Failure) {
        let Some(open) = self.close(name) else { return };
        let forward = &open.forward;
        tracing::debug!(hash = %forward.hash, code = failure.code(), "not forwarded");
        let key = forward.key();
        let said = self.forwards.words.get(key).is_some();
        // With a word it is in the list already, maybe as one that ended.
        if self.forwards.book.get(key).is_none() && !said {
            let taken = taken(forward, false, None, self.height());
            self.note(Fact::ForwardTaken(taken));
        }
        self.note_end(key, ForwardEnd::Refused(failure.code()));
        let command = if said { self.last_command(key) } else { settle::unasked() };
        let command = settle::refuse(command, forward, failure, held_for(forward));
        self.tell_back(forward.channel, command, Some(forward));
    }

    /// The id of the last thing that is said of an HTLC to its incoming channel: with the answer the program's word may go.
    pub(super) fn last_command(&mut self, key: Key) -> CommandId {
        let command = self.command();
        self.last.insert(command.0, key);
        command
    }

    /// Tells the incoming channel; a failure of a blinded route that begins with us only later.
    fn tell_back(&mut self, channel: ChannelIndex, command: Command, of: Option<&Forward>) {
        let onward = of.and_then(|forward| forward.blinded);
        let is_failure = matches!(command, Command::FailHtlc { .. });
        if is_failure && onward.is_some_and(|onward| onward.inside.introduction) {
            self.late.add(channel, command);
        } else {
            self.tell(channel, command);
        }
    }

    /// Writes the end of a forward down, once.
    pub(super) fn note_end(&mut self, key: Key, end: ForwardEnd) {
        if self.forwards.book.get(key).is_none() {
            return;
        }
        let (channel, htlc) = key;
        let (height, at_ms) = (self.height(), now_ms());
        self.note(Fact::ForwardEnded(ForwardEnded { channel, htlc, end, height, at_ms }));
    }
}

/// For the journal.
pub(super) fn taken(
    forward: &Forward,
    held: bool,
    out: Option<ChannelIndex>,
    height: wire::units::BlockHeight,
) -> ForwardTaken {
    ForwardTaken {
        channel: forward.channel.0,
        htlc: forward.htlc,
        payment_hash: forward.hash,
        amount: forward.amount,
        cltv_expiry: forward.cltv_expiry,
        next: forward.payload.short_channel_id,
        forwarded: forward.payload.amt_to_forward,
        outgoing_expiry: forward.payload.outgoing_cltv_value,
        onion: forward.tag,
        held,
        out: out.map(|out| out.0),
        height,
        at_ms: forward.since_ms,
    }
}

/// How long it has been here.
pub(super) fn held_for(forward: &Forward) -> HoldTime {
    HoldTime::from_millis(now_ms().saturating_sub(forward.since_ms))
}
