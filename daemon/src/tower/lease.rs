//! The sessions of a channel end at a height; all of them are renewed long before that, also those that were full
//! and hold old states only: what a tower lets go of it can punish no more.
//!
//! Not here: the session that holds checkpoints (`keep`).

use watchtower::message::{Code, Message, Renew};
use watchtower::proof::receipt::Receipt;
use wire::codec::Decode as _;
use wire::units::BlockHeight;

use super::book::Kept;
use super::keep::{RENEW_BLOCKS, hear};
use super::upload::{End, Upload};
use crate::fact::TowerSession;

/// Blocks between two renewals at most, and after one that a tower did not grant: a week.
const LATER_BLOCKS: u32 = 1_008;

/// As much as the tower gives.
const WANT: u32 = u32::MAX;

/// When sessions are to be renewed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Lease {
    /// The first height at which one of them is over, as far as that is known.
    ends: Option<u32>,
    /// They were renewed before, and not again below this height.
    from: u32,
}

impl Lease {
    /// What receipts say of sessions that were opened before.
    pub(super) fn of<'a>(sessions: impl Iterator<Item = &'a Kept>) -> Self {
        let until = |kept: &Kept| {
            let receipt = Receipt::decode_exact(&kept.at.as_ref()?.receipt).ok()?;
            Some(receipt.ack.expiry)
        };
        Self { ends: sessions.filter_map(until).min(), from: 0 }
    }

    /// A session that was opened ends then.
    pub(super) fn note(&mut self, expiry: u32) {
        self.ends = Some(self.ends.map_or(expiry, |ends| ends.min(expiry)));
    }

    /// Whether it is time: within a month of the end.
    pub(super) fn is_due(&self, height: BlockHeight) -> bool {
        let near = self.ends.is_some_and(|ends| ends < height.0.saturating_add(RENEW_BLOCKS));
        near && height.0 >= self.from
    }

    /// All were asked for at this height, and the first to end does so then. Towers that give little time are asked
    /// more often.
    fn renewed(&mut self, height: BlockHeight, ends: Option<u32>) {
        let left = ends.map_or(u32::MAX, |ends| ends.saturating_sub(height.0));
        self.from = height.0.saturating_add((left / 4).clamp(1, LATER_BLOCKS));
        self.ends = ends;
    }
}

impl Upload {
    /// Renews all sessions of the channel with this tower.
    pub(super) async fn renew(&mut self) -> Result<(), End> {
        let height = *self.shared.height.borrow();
        let mut ends: Option<u32> = None;
        let all: Vec<_> = self.past.iter().chain(&self.session).cloned().collect();
        for session in all {
            let mut link = self.call(&session).await?;
            link.say(&Renew { want_blocks: WANT, want_bytes: WANT }.into()).await?;
            let renewed = hear(&mut link, |message| {
                if let Message::Renewed(renewed) = message { Some(renewed.clone()) } else { None }
            });
            let renewed = renewed.await?;
            match renewed.code {
                Code::OK => ends = Some(ends.map_or(renewed.expiry.0, |e| e.min(renewed.expiry.0))),
                // The one in use is opened anew; of an older one the tower knows nothing any more.
                Code::NO_SESSION if Some(&session) != self.session.as_ref() => {
                    self.past.retain(|one| one.number != session.number);
                    let again =
                        |one: &TowerSession| one.number > session.number && one.row <= session.row;
                    if !self.past.iter().chain(&self.session).any(again) {
                        tracing::warn!(tower = %self.tower.tower, channel = self.channel.0, row = session.row,
                            "a tower has let go of a session whose time was over; its states are brought again");
                        return Err(End::Another(session.row));
                    }
                }
                code => {
                    tracing::warn!(tower = %self.tower.tower, channel = self.channel.0, ?code,
                        "a tower does not renew a session; it is asked again");
                }
            }
        }
        self.lease.renewed(height, ends);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_renewed_a_month_before_its_end_and_then_not_for_a_while() {
        let mut lease = Lease::default();
        assert!(!lease.is_due(BlockHeight(1_000_000)), "nothing is known to end");
        lease.note(60_000);
        lease.note(70_000);
        assert!(!lease.is_due(BlockHeight(55_680)));
        assert!(lease.is_due(BlockHeight(55_681)));
        lease.renewed(BlockHeight(55_681), Some(108_241));
        assert!(!lease.is_due(BlockHeight(60_000)));
        assert!(lease.is_due(BlockHeight(103_922)));
    }

    #[test]
    fn a_tower_that_gives_little_time_is_asked_in_time_and_one_that_gives_none_not_all_the_time() {
        let mut lease = Lease::default();
        lease.note(600);
        lease.renewed(BlockHeight(100), Some(700));
        assert!(!lease.is_due(BlockHeight(249)));
        assert!(lease.is_due(BlockHeight(250)));
        lease.renewed(BlockHeight(250), Some(250));
        assert!(!lease.is_due(BlockHeight(250)));
        assert!(lease.is_due(BlockHeight(251)));
        lease.renewed(BlockHeight(251), None);
        assert!(!lease.is_due(BlockHeight(1_000_000)), "what is over for good is not renewed");
    }
}
