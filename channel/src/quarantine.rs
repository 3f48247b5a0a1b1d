//! Data that may be older than what the peer knows: until that is refuted, nothing is signed and no
//! commitment of ours is broadcast. BOLT 2 § Message Retransmission.
//!
//! Whoever opens the journal says that it may be an old copy ([`Channel::quarantine`]). The channel then
//! connects, lets the peer show its numbers first, and compares. Numbers that fit end the quarantine; a
//! peer that proves to be ahead makes it [`crate::state::End::DataLoss`]; everything else leaves it as it
//! is, and a human has to look. A peer that lies about its numbers must guess ours: it does not see them
//! before it has said its own.
//!
//! A channel that was failing already stays what it is: behind that record nothing newer was ever signed,
//! so its commitment is not revoked in any later state either.
//!
//! Not here: how an old copy is noticed (the daemon's guard), comparing the numbers (`link`).

use wire::feature::Features;
use wire::units::BlockHeight;

use crate::channel::Channel;
use crate::effect::{Alarm, Answer, Notice};
use crate::env::Env;
use crate::event::CommandId;
use crate::fact::Fact;
use crate::link::Connection;
use crate::live::Live;
use crate::out::Out;
use crate::record;
use crate::state::{End, State};

/// So many blocks we wait for the peer's numbers before we show ours: a peer in quarantine waits, too.
const WAIT_BLOCKS: u32 = 2;

impl State {
    /// Whether a quarantine would change anything: our commitment could be broadcast, or something newer
    /// signed.
    pub(crate) const fn can_be_quarantined(&self) -> bool {
        let over = matches!(
            self.end,
            Some(End::Failing(_) | End::DataLoss { .. } | End::Abandoned(_) | End::Lost)
        );
        !over && !self.chain.closed && !self.quarantined
    }
}

impl Channel {
    /// The record that puts a channel that was read back into quarantine, and takes it in. Empty if there
    /// is nothing to protect: it is over, failing already, or in quarantine.
    ///
    /// The record must be durable before the channel takes its first step.
    pub fn quarantine(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        if self.state().is_some_and(State::can_be_quarantined)
            && self.apply(Fact::Quarantined).is_ok()
        {
            record::put(&Fact::Quarantined, &mut bytes);
        }
        bytes
    }

    /// Whether its data may be stale, nobody has refuted it yet, and it matters: no block has a close.
    pub fn is_quarantined(&self) -> bool {
        self.state().is_some_and(|state| state.quarantined && state.chain.spent.is_none())
    }
}

impl Live {
    /// Connects without a word: the peer's numbers come first.
    pub(crate) fn wait_for_numbers(&mut self, features: Features, env: &Env<'_>) {
        self.connection = Connection::Listening { features, since: env.height };
    }

    /// A proof that the journal is an older copy. A peer that fitted since it was read proves more, of this
    /// channel; on a connection that waits for the peer's numbers, they are what counts.
    pub(crate) fn doubt(&mut self, command: CommandId, out: &mut Out) {
        if !self.compared && self.state.can_be_quarantined() {
            self.note(Fact::Quarantined, out);
        }
        out.answer(command, Ok(Answer::Done));
    }

    /// Shows our numbers to a peer that waits for them as we wait for its own.
    pub(crate) fn end_silence(&mut self, env: &Env<'_>, out: &mut Out) {
        if let Connection::Listening { features, since } = &self.connection
            && waited(*since, env.height)
        {
            let features = features.clone();
            self.reestablish(features, env, out);
        }
    }

    /// The numbers fit: nothing newer than this was ever signed.
    pub(crate) fn vouch(&mut self, by_us: bool, out: &mut Out) {
        if self.state.quarantined {
            self.note(Fact::Vouched { by_us }, out);
            out.notice(Notice::QuarantineOver { by_us });
        }
    }

    /// A human says that the data is not stale, against our advice.
    pub(crate) fn lift_quarantine(&mut self, command: CommandId, env: &Env<'_>, out: &mut Out) {
        self.vouch(true, out);
        if let Connection::Listening { features, .. } = &self.connection {
            let features = features.clone();
            self.reestablish(features, env, out);
        }
        out.answer(command, Ok(Answer::Done));
    }

    /// What would be a reason to close alone is none as long as our commitment may be revoked.
    pub(crate) fn stay_quarantined(&mut self, out: &mut Out) {
        out.alarm(Alarm::Quarantined { ours: self.state.ours });
        if self.is_connecting() {
            self.hang_up(out);
        }
    }
}

fn waited(since: BlockHeight, now: BlockHeight) -> bool {
    now >= since.saturating_add(WAIT_BLOCKS)
}
