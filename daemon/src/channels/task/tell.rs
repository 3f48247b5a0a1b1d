//! What others are told of a channel: payments and the switch, users, the directory, the backup.

use channel::Stage;

use super::ChannelTask;
use crate::backup::{self, Entry};
use crate::channels::directory::Glance;
use crate::channels::perform::Told;
use crate::channels::view::view;
use crate::edge::EdgeError;
use crate::rpc::model::channel::Channel as View;
use crate::tasks::Fatal;
use crate::tower::Position;

impl ChannelTask {
    /// After a restart payments and the switch hear again of everything that is open.
    pub(super) fn say_again(&mut self) -> Result<(), Fatal> {
        let Some(channel) = self.channel() else { return Ok(()) };
        let told = Told {
            incoming: channel.incoming().collect(),
            resolved: channel.resolved().collect(),
            ..Told::default()
        };
        self.pass_on(told, true)
    }

    pub(in crate::channels) fn view(&self) -> Option<View> {
        let height = *self.common.height.borrow();
        let channel = self.channel()?;
        let mut shown = view(channel, &self.meta, self.link.is_some(), height, &self.common.policy);
        self.show_outputs(&mut shown);
        Some(shown)
    }

    /// Whoever looks sees the newest; only what somebody looks at is made.
    pub(super) fn tell_everybody(&mut self) {
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
            in_flight: channel.state().map_or((0, 0), crate::tower::Now::mark),
            ours_sat: channel.balances().map_or(0, |(ours, _)| ours.floor_sat().to_sat()),
            position: Position::of(channel),
            quarantined: channel.is_quarantined(),
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
    pub(in crate::channels) fn back_up(&self) -> Result<(), Fatal> {
        let entry = self.channel().and_then(|channel| Entry::running(&self.meta, channel));
        let Some(entry) = entry else { return Ok(()) };
        self.tell_backup(backup::FromChannel::Open(Box::new(entry)))
    }

    pub(super) fn tell_backup(&self, told: backup::FromChannel) -> Result<(), Fatal> {
        match self.common.backup.send(told) {
            Ok(()) | Err(EdgeError::Closed) => Ok(()),
            Err(EdgeError::Full) => Err(Fatal::Overflow("channel to backup")),
        }
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
