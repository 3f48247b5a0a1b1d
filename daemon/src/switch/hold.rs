//! HTLCs that wait for somebody's word before they go on, and who gives it.
//!
//! What is held is in the journal, and so is the word: after a restart it waits for one as it did before, or is what was
//! said of it, and nobody is asked twice.

use channel::Outcome;
use tokio::sync::oneshot;
use wire::id::{ChannelId, NodeId, PaymentHash, ShortChannelId};
use wire::onion::failure::{ChannelUpdateBytes, Failure, code};
use wire::units::{BlockHeight, Msat};

use crate::channels::directory::Doors;
use crate::clock::now_ms;
use crate::edge::Back;
use crate::fact::{ChannelIndex, Fact, ForwardEnd, ForwardWord};
use crate::payments::Reply;
use crate::switch::circuit::{held_for, taken};
use crate::switch::policy::{ForwardPolicy, PolicyChange};
use crate::switch::settle::pass_on;
use crate::switch::{At, Forward, Name, Switch};

/// HTLCs that can be held at one time; more are refused.
pub const HELD_MAX: usize = 4_096;

/// Blocks before its expiry at which an HTLC is given back that nobody said a word about: well before our peer, or
/// the next node, would have to close a channel.
pub const GIVE_BACK_BLOCKS: u32 = 48;

/// Questions that may wait.
pub const ASKS: usize = 1_024;

/// An HTLC that waits.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Held {
    /// The channel it came in by.
    pub channel: ChannelId,
    /// Its place in the chain.
    pub short_id: Option<ShortChannelId>,
    /// The peer it came from.
    pub node: NodeId,
    /// The peer's id of it.
    pub htlc: u64,
    /// The hash whose preimage claims it.
    pub hash: PaymentHash,
    /// What came in.
    pub amount: Msat,
    /// The height at which the peer can take it back.
    pub cltv_expiry: BlockHeight,
    /// Where the sender wants it to go.
    pub next: ShortChannelId,
    /// What is to go out.
    pub forwarded: Msat,
    /// The height at which that can be taken back.
    pub outgoing_expiry: BlockHeight,
    /// It is given back at this height.
    pub until: BlockHeight,
    /// The peer says that it answers for its being quick (BOLT 2, experimental `accountable`).
    pub accountable: bool,
}

/// What may be said of one.
pub use crate::fact::Word as Verdict;

/// One wish.
#[derive(Debug)]
pub enum Ask {
    /// Let a channel ask for something else from now on.
    SetPolicy {
        /// Which.
        channel: ChannelIndex,
        /// What changes.
        change: PolicyChange,
        /// Answered when it is durable.
        reply: Reply<ForwardPolicy>,
    },
    /// Hold what comes from now on and hand it over here. Whoever did so before is not asked any more.
    Intercept {
        /// Where to hand it over; what is held already comes first.
        to: Back<Held>,
        /// Answered at once: the number of this listener.
        reply: oneshot::Sender<u64>,
    },
    /// What to do with one.
    Answer {
        /// The listener's number.
        listener: u64,
        /// The channel it came in by.
        channel: ChannelId,
        /// The peer's id of it.
        htlc: u64,
        /// The word.
        verdict: Verdict,
        /// Answered when the word is durable: whether it was held, and the word fits it.
        reply: oneshot::Sender<Result<(), NoHold>>,
    },
}

/// Why a word changes nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NoHold {
    /// No such HTLC is held: it was answered, or given back because its time was up.
    #[error("no such HTLC is held")]
    Unknown,
    /// Another listener has taken over.
    #[error("another listener has taken over")]
    Replaced,
    /// The preimage does not fit.
    #[error("the preimage does not fit the payment hash")]
    WrongPreimage,
    /// A code that a forwarding node does not use.
    #[error("a forwarding node does not use this failure code")]
    BadCode,
}

/// The failure of this code, if a forwarding node may say it of its own accord.
pub(super) fn failure(code: u16, update: ChannelUpdateBytes) -> Option<Failure> {
    let channel_update = update;
    match code {
        code::TEMPORARY_NODE_FAILURE => Some(Failure::TemporaryNodeFailure),
        code::PERMANENT_NODE_FAILURE => Some(Failure::PermanentNodeFailure),
        code::REQUIRED_NODE_FEATURE_MISSING => Some(Failure::RequiredNodeFeatureMissing),
        code::TEMPORARY_CHANNEL_FAILURE => {
            Some(Failure::TemporaryChannelFailure { channel_update })
        }
        code::PERMANENT_CHANNEL_FAILURE => Some(Failure::PermanentChannelFailure),
        code::REQUIRED_CHANNEL_FEATURE_MISSING => Some(Failure::RequiredChannelFeatureMissing),
        code::UNKNOWN_NEXT_PEER => Some(Failure::UnknownNextPeer),
        code::CHANNEL_DISABLED => {
            Some(Failure::ChannelDisabled { disabled_flags: 0, channel_update })
        }
        code::EXPIRY_TOO_FAR => Some(Failure::ExpiryTooFar),
        _ => None,
    }
}

/// Who is asked.
#[derive(Debug, Default)]
pub(super) struct Listener {
    /// Whether nothing goes on while nobody listens.
    pub(super) required: bool,
    /// Counts those who ever listened.
    pub(super) number: u64,
    pub(super) to: Option<Back<Held>>,
}

impl Listener {
    /// Whether what comes is to be held.
    pub(super) fn holds(&mut self) -> bool {
        if self.to.as_ref().is_some_and(Back::is_closed) {
            self.to = None;
        }
        self.required || self.to.is_some()
    }
}

impl Switch {
    /// Lets an HTLC wait, and asks whoever listens.
    pub(super) fn hold(&mut self, name: Name, again: bool, doors: &Doors) {
        let height = self.height();
        let Some(open) = self.open.get_mut(&name) else { return };
        if self.held >= HELD_MAX || until(&open.forward) <= height {
            let channel_update = ChannelUpdateBytes::default();
            return self.refuse(name, &Failure::TemporaryChannelFailure { channel_update });
        }
        open.at = At::Held;
        self.held = self.held.saturating_add(1);
        let taken = taken(&open.forward, true, None, height);
        if !again {
            self.note(Fact::ForwardTaken(taken));
        }
        self.offer_one(name, doors);
    }

    fn offer_one(&mut self, name: Name, doors: &Doors) {
        let Some(open) = self.open.get(&name) else { return };
        let (forward, short_id) = (&open.forward, doors.get(open.forward.channel));
        let held = Held {
            channel: name.0,
            short_id: short_id.and_then(|door| door.glance.borrow().short_id),
            node: open.from,
            htlc: forward.htlc,
            hash: forward.hash,
            amount: forward.amount,
            cltv_expiry: forward.cltv_expiry,
            next: forward.payload.short_channel_id,
            forwarded: forward.payload.amt_to_forward,
            outgoing_expiry: forward.payload.outgoing_cltv_value,
            until: until(forward),
            accountable: forward.accountable,
        };
        // Who does not read gets no more; the next who listens hears of all.
        if let Some(to) = &self.listener.to
            && to.send(held).is_err()
        {
            self.listener.to = None;
        }
    }

    /// Somebody new listens.
    pub(super) fn offer_held_again(&mut self, doors: &Doors) {
        let held: Vec<Name> = (self.open.iter())
            .filter(|(_, open)| open.at == At::Held)
            .map(|(name, _)| *name)
            .collect();
        held.into_iter().for_each(|name| self.offer_one(name, doors));
    }

    /// What waited too long, or came by a channel that is no more, does not wait any longer.
    pub(super) fn give_back_overdue(&mut self, doors: &Doors) {
        let height = self.height();
        let overdue: Vec<Name> = (self.open.iter())
            .filter(|(_, open)| open.at == At::Held)
            .filter(|(_, open)| {
                until(&open.forward) <= height || doors.get(open.forward.channel).is_none()
            })
            .map(|(name, _)| *name)
            .collect();
        for name in overdue {
            let channel_update = ChannelUpdateBytes::default();
            self.refuse(name, &Failure::TemporaryChannelFailure { channel_update });
        }
    }

    pub(super) fn take_word(
        &mut self,
        listener: u64,
        name: Name,
        verdict: Verdict,
        doors: &Doors,
    ) -> Result<(), NoHold> {
        if listener != self.listener.number {
            return Err(NoHold::Replaced);
        }
        let open = self.open.get(&name).filter(|open| open.at == At::Held);
        let forward = &open.ok_or(NoHold::Unknown)?.forward;
        match verdict {
            Verdict::Fail(code) if failure(code, ChannelUpdateBytes::default()).is_none() => {
                return Err(NoHold::BadCode);
            }
            Verdict::Settle(preimage) if preimage.hash() != forward.hash => {
                return Err(NoHold::WrongPreimage);
            }
            Verdict::Accept | Verdict::Fail(_) | Verdict::Settle(_) => {}
        }
        let (channel, htlc) = forward.key();
        let at_ms = now_ms();
        self.note(Fact::ForwardWord(ForwardWord { channel, htlc, word: verdict, at_ms }));
        self.obey_word(name, verdict, doors);
        Ok(())
    }

    /// Does what was said of it, now or before a restart.
    pub(super) fn obey_word(&mut self, name: Name, verdict: Verdict, doors: &Doors) {
        match verdict {
            Verdict::Accept => {
                let Some(open) = self.open.get_mut(&name) else { return };
                if open.at == At::Held {
                    self.held = self.held.saturating_sub(1);
                }
                open.at = At::Waiting;
                self.route(name, doors);
            }
            Verdict::Fail(code) => {
                let failure = failure(code, ChannelUpdateBytes::default());
                self.refuse(name, &failure.unwrap_or(Failure::TemporaryNodeFailure));
            }
            Verdict::Settle(preimage) => {
                let Some(open) = self.close(name) else { return };
                let key = open.forward.key();
                self.note_end(key, ForwardEnd::SettledHere);
                let outcome = Outcome::Fulfilled { preimage, attribution: None };
                let known = Some((&open.forward, held_for(&open.forward)));
                let command = self.last_command(key);
                let told = pass_on(command, open.forward.htlc, outcome, known);
                told.into_iter().for_each(|told| self.tell(open.forward.channel, told));
            }
        }
    }
}

/// The height at which it is given back.
const fn until(forward: &Forward) -> BlockHeight {
    forward.cltv_expiry.saturating_sub(GIVE_BACK_BLOCKS)
}
