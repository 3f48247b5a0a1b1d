//! One channel: `step`, the only door, and the windows through which others look in.
//!
//! Not here: what each event does (`phase`, `link`).

use bitcoin::{OutPoint, Transaction};
use wire::id::{ChannelId, ShortChannelId};
use wire::message::OpenChannel;
use wire::units::{FeeratePerKw, Msat, Sat};

use crate::clock::Side;
use crate::effect::{AbandonReason, CloseReason, Effect, HtlcIn, HtlcOut, Resolved};
use crate::env::Env;
use crate::event::{Command, Event, Link};
use crate::fact::{Fact, Restored};
use crate::fault::PeerFault;
use crate::limits::Sendable;
use crate::live::{Live, htlc_in};
use crate::onchain::forecast::Forecast;
use crate::onchain::{Claim, Close, Resolution};
use crate::out::Out;
use crate::phase::opening::Opening;
use crate::record::{self, RecordError};
use crate::refusal::Refusal;
use crate::seal::Step;
use crate::signer::Memory;
use crate::state::{End, State};
use crate::terms::{AcceptTerms, OpenTerms, Terms};

/// A channel, from its first message to its last output.
#[derive(Clone, Debug)]
pub struct Channel {
    phase: Phase,
}

#[derive(Clone, Debug)]
enum Phase {
    /// Being negotiated: nothing of it is on disk, and it ends with the connection.
    Opening(Box<Opening>),
    /// Its first commitments are signed.
    Live(Box<Live>),
    /// It never came to be.
    Gone { id: ChannelId, reason: AbandonReason },
}

/// Where a channel stands, for people and for the switch.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Stage {
    /// Being negotiated.
    Opening,
    /// Waiting for the funding to confirm or for `channel_ready`.
    Funding,
    /// Payments flow while the link is up.
    Open,
    /// `shutdown` was said; HTLCs finish and the fee is agreed on.
    ShuttingDown,
    /// The closing transaction is signed by both and waits for its block.
    MutuallyClosed,
    /// Our commitment is broadcast.
    Failing(CloseReason),
    /// Our data is stale: the peer has to close.
    DataLoss,
    /// Only a backup of it is left: the peer has to close.
    Lost,
    /// Nothing is signed any more until a human has looked.
    Frozen,
    /// The funding output is spent; outputs are being resolved.
    OnChain,
    /// Every output is resolved.
    Closed,
    /// It never came to be.
    Abandoned(AbandonReason),
}

impl Channel {
    /// Asks the peer for a channel. BOLT 2 § The `open_channel` Message.
    ///
    /// Nothing is recorded until both first commitments are signed: until then it goes with the
    /// connection. `terms.command` is answered when it is funded or given up.
    pub fn open(terms: OpenTerms, env: &Env<'_>) -> Result<Step<Self, Effect>, Refusal> {
        let mut out = Out::default();
        let opening = Opening::open(terms, env, &mut out)?;
        Ok(out.into_step(Self { phase: Phase::Opening(Box::new(opening)) }))
    }

    /// Accepts the peer's wish for a channel. BOLT 2 § The `accept_channel` Message.
    ///
    /// On a fault send [`PeerFault::to_error`] for the temporary channel id; there is no channel.
    pub fn accept(
        asked: &OpenChannel,
        terms: AcceptTerms,
        env: &Env<'_>,
    ) -> Result<Step<Self, Effect>, PeerFault> {
        let mut out = Out::default();
        let opening = Opening::accept(asked, terms, env, &mut out)?;
        Ok(out.into_step(Self { phase: Phase::Opening(Box::new(opening)) }))
    }

    /// The next state, the record that makes it true, and what the world gets to see once it is.
    ///
    /// Total: there is no event that it does not answer with a step.
    pub fn step(self, event: Event, env: &Env<'_>) -> Step<Self, Effect> {
        let mut out = Out::default();
        let phase = match self.phase {
            Phase::Opening(opening) => opening.step(event, env, &mut out),
            Phase::Live(mut live) => {
                live.step(event, env, &mut out);
                Turned::Live(live)
            }
            Phase::Gone { id, reason } => {
                refuse_gone(&event, &reason, &mut out);
                Turned::Gone(id, reason)
            }
        };
        let phase = match phase {
            Turned::Opening(opening) => Phase::Opening(opening),
            Turned::Live(live) => Phase::Live(live),
            Turned::Gone(id, reason) => Phase::Gone { id, reason },
        };
        out.into_step(Self { phase })
    }

    /// After a restart: everything durable that may not have happened yet, said again. Watches,
    /// broadcasts; not the HTLCs of [`Self::incoming`] and [`Self::resolved`], which the switch reads
    /// itself.
    pub fn resume(mut self, env: &Env<'_>) -> Step<Self, Effect> {
        let mut out = Out::default();
        if let Phase::Live(live) = &mut self.phase {
            live.resume(env, &mut out);
        }
        out.into_step(self)
    }

    /// A channel of which only a backup is left. Its peer is asked to close whenever it is there; nothing
    /// of it is ever signed or broadcast, and its balance is taken from whatever spends the funding.
    ///
    /// Errors if what was kept can be no channel.
    pub fn lost(restored: Restored, env: &Env<'_>) -> Result<Step<Self, Effect>, RecordError> {
        let mut out = Out::default();
        record::put(&Fact::Restored(Box::new(restored.clone())), &mut out.record);
        let live = Live::restored(State::lost(restored)?);
        live.resume(env, &mut out);
        Ok(out.into_step(Self { phase: Phase::Live(Box::new(live)) }))
    }

    /// A channel from the first record about it. The connection counts as gone.
    pub fn restore(record: &[u8]) -> Result<Self, RecordError> {
        let mut facts = record::facts(record)?.into_iter();
        let state = match facts.next() {
            Some(Fact::Created(created)) => State::new(*created)?,
            Some(Fact::Restored(restored)) => State::lost(*restored)?,
            _ => return Err(RecordError::Beginning),
        };
        let mut channel = Self::of(state);
        for fact in facts {
            channel.apply(fact)?;
        }
        Ok(channel)
    }

    /// Takes in a later record of the same channel. Repeats no policy and has no effects.
    pub fn replay(&mut self, record: &[u8]) -> Result<(), RecordError> {
        for fact in record::facts(record)? {
            self.apply(fact)?;
        }
        Ok(())
    }

    /// Takes in one fact of a channel that is being read back.
    pub fn apply(&mut self, fact: Fact) -> Result<(), RecordError> {
        match &mut self.phase {
            Phase::Live(live) => live.state.apply(fact).map(drop),
            Phase::Opening(_) | Phase::Gone { .. } => Err(RecordError::Beginning),
        }
    }

    /// So many settled HTLCs are in the archive: a state that becomes a snapshot lets go of them.
    pub fn past_archived(&mut self, upto: u64) {
        if let Phase::Live(live) = &mut self.phase {
            live.state.past.let_go(upto);
        }
    }

    /// So many rows of revoked states are in the archive, in so many bytes: as above.
    pub fn revoked_archived(&mut self, rows: u64, bytes: u64) {
        if let Phase::Live(live) = &mut self.phase {
            live.state.revoked.let_go(rows, bytes);
        }
    }

    /// The whole durable state, for a snapshot; empty for a channel of which nothing is durable.
    pub fn encode_snapshot(&self) -> Vec<u8> {
        match &self.phase {
            Phase::Live(live) => record::encode_state(&live.state),
            Phase::Opening(_) | Phase::Gone { .. } => Vec::new(),
        }
    }

    /// A channel from [`Self::encode_snapshot`]. The connection counts as gone.
    pub fn decode_snapshot(bytes: &[u8]) -> Result<Self, RecordError> {
        Ok(Self::of(record::decode_state(bytes)?))
    }

    fn of(state: State) -> Self {
        Self { phase: Phase::Live(Box::new(Live::restored(state))) }
    }
}

/// What a step made of a phase.
pub(crate) enum Turned {
    Opening(Box<Opening>),
    Live(Box<Live>),
    Gone(ChannelId, AbandonReason),
}

/// Windows: they change nothing.
impl Channel {
    /// The channel's name: temporary until both first commitments are signed.
    pub fn id(&self) -> ChannelId {
        match &self.phase {
            Phase::Opening(opening) => opening.id(),
            Phase::Live(live) => live.id,
            Phase::Gone { id, .. } => *id,
        }
    }

    /// Where it stands.
    pub fn stage(&self) -> Stage {
        match &self.phase {
            Phase::Opening(_) => Stage::Opening,
            Phase::Live(live) => live.stage(),
            Phase::Gone { reason, .. } => Stage::Abandoned(reason.clone()),
        }
    }

    /// Whether nothing of it has to be kept: archive it or delete it.
    pub fn is_over(&self) -> bool {
        matches!(self.stage(), Stage::Closed | Stage::Abandoned(_))
            && self.resolved().next().is_none()
    }

    /// Whether HTLCs can be offered now, limits aside.
    pub fn is_usable(&self) -> bool {
        self.live().is_some_and(|live| live.may_offer().is_ok())
    }

    /// Whether the peer is connected and `channel_reestablish` is done.
    pub fn is_connected(&self) -> bool {
        match &self.phase {
            Phase::Opening(_) => true,
            Phase::Live(live) => live.is_up(),
            Phase::Gone { .. } => false,
        }
    }

    /// Whether a [`Event::Commit`] would sign something now.
    pub fn wants_commit(&self) -> bool {
        self.live().is_some_and(Live::wants_commit)
    }

    /// The agreed terms, once both first commitments are signed.
    pub fn terms(&self) -> Option<&Terms> {
        self.live().map(|live| &live.state.terms)
    }

    /// The durable state, once both first commitments are signed.
    pub fn state(&self) -> Option<&State> {
        self.live().map(|live| &live.state)
    }

    /// The funding output.
    pub fn funding(&self) -> Option<OutPoint> {
        self.live()?.state.fundings.first().map(|funding| funding.outpoint)
    }

    /// Its place in the chain, while the best chain has it.
    pub fn short_channel_id(&self) -> Option<ShortChannelId> {
        self.live()?.state.short_channel_id()
    }

    /// What is ours and the peer's on our newest commitment, HTLCs in flight with neither. `None` where
    /// nobody knows: before there is a commitment, and when our data is lost.
    pub fn balances(&self) -> Option<(Msat, Msat)> {
        let live = self.live().filter(|live| live.state.end != Some(End::Lost))?;
        let spec = live.state.ledger.spec(Side::Us, None)?;
        Some((spec.to_owner, spec.to_other))
    }

    /// What both own together.
    pub fn capacity(&self) -> Option<Sat> {
        self.live().map(|live| live.state.terms.capacity)
    }

    /// The feerate of the commitments.
    pub fn feerate(&self) -> Option<FeeratePerKw> {
        self.live().map(|live| live.state.ledger.feerate_max())
    }

    /// Amounts of which every one would be accepted as an offer now.
    pub fn sendable(&self, policy: &crate::env::Policy) -> Sendable {
        let live = self.live().filter(|live| live.may_offer().is_ok());
        let room = live.and_then(|live| live.room(policy));
        room.map_or(Sendable::NOTHING, |room| room.sendable())
    }

    /// Incoming HTLCs that are irrevocably committed and not being removed yet.
    pub fn incoming(&self) -> impl Iterator<Item = HtlcIn> + '_ {
        self.live().into_iter().flat_map(|live| live.state.ledger.htlcs()).filter_map(
            |(by, htlc)| {
                let waits =
                    by == Side::Them && htlc.clock.is_irrevocable() && htlc.removal.is_none();
                waits.then(|| htlc_in(htlc))
            },
        )
    }

    /// Outgoing HTLCs that are signed for and whose outcome is open.
    pub fn outgoing(&self) -> impl Iterator<Item = HtlcOut> + '_ {
        self.live().into_iter().flat_map(|live| live.state.ledger.htlcs()).filter_map(
            |(_, htlc)| {
                let origin = htlc.origin?;
                let open = !htlc.clock.is_proposed() && htlc.outcome().is_none();
                open.then_some(HtlcOut {
                    id: htlc.add.id,
                    amount_msat: htlc.add.amount_msat,
                    payment_hash: htlc.add.payment_hash,
                    cltv_expiry: htlc.add.cltv_expiry,
                    origin,
                })
            },
        )
    }

    /// Outgoing HTLCs whose outcome is known and not yet forgotten.
    pub fn resolved(&self) -> impl Iterator<Item = Resolved> + '_ {
        self.live().into_iter().flat_map(|live| {
            (live.state.ledger.resolved()).map(|(htlc, origin, outcome)| Resolved {
                htlc,
                origin,
                outcome,
            })
        })
    }

    /// What a signer of this channel must remember when it is made again after a restart.
    pub fn signer_memory(&self) -> Memory {
        if self.state().is_some_and(|state| state.end == Some(End::Lost)) {
            // Which secrets are out is not known: all of them may be.
            return Memory { revealed: u64::MAX, signed_theirs: u64::MAX, broadcast: None };
        }
        self.live().map_or_else(Memory::default, |live| Memory {
            revealed: live.state.ours,
            signed_theirs: live.state.theirs,
            broadcast: matches!(live.state.end, Some(End::Failing(_))).then_some(live.state.ours),
        })
    }

    /// Where every output stands after the funding output was spent: what to claim, what to watch.
    /// `None` before, and if the signer fails.
    pub fn resolution(&self, env: &Env<'_>) -> Option<Resolution> {
        self.live()?.resolution(env)
    }

    /// What closing alone now would cost and save: a dry run. `None` before the first commitments are
    /// signed, once the funding output is spent, and if the signer fails.
    pub fn forecast(&self, env: &Env<'_>) -> Option<Forecast> {
        self.live()?.forecast(env)
    }

    /// The unconfirmed transaction that spends the funding output, if one is seen, and which it is.
    pub fn seen(&self, env: &Env<'_>) -> Option<(&Transaction, Close)> {
        self.live()?.seen(env)
    }

    /// Our anchor on a commitment of the peer's that is on its way to a block, if it is not revoked: to
    /// raise the fee of that one rather than race it. BOLT 5 § Failing a Channel.
    pub fn bump_seen(&self, env: &Env<'_>) -> Option<Claim> {
        self.live()?.bump_seen(env)
    }

    /// How to pay for our commitment through its anchor while it waits for a block, if it was broadcast.
    pub fn bump(&self, env: &Env<'_>) -> Option<Claim> {
        self.live()?.bump(env)
    }

    /// The sums in use, for tests that measure them again.
    #[cfg(test)]
    pub(crate) fn totals(&self) -> Option<crate::limits::Totals> {
        self.live()?.totals()
    }

    fn live(&self) -> Option<&Live> {
        match &self.phase {
            Phase::Live(live) => Some(live),
            Phase::Opening(_) | Phase::Gone { .. } => None,
        }
    }
}

/// A channel that never came to be still owes answers.
fn refuse_gone(event: &Event, reason: &AbandonReason, out: &mut Out) {
    match event {
        Event::Command(command) => {
            out.refuse(command, Refusal::NotOpened(reason.clone()));
        }
        Event::Peer(_) => {}
        Event::Link(Link::Up { .. } | Link::Down) | Event::Chain(_) | Event::Commit => {}
    }
}

impl Command {
    /// Whom to answer, if anybody waits.
    pub(crate) fn asker(&self) -> Option<crate::event::CommandId> {
        match self {
            Self::OfferHtlc(offer) => Some(offer.command),
            Self::FulfillHtlc { command, .. }
            | Self::FailHtlc { command, .. }
            | Self::FailMalformedHtlc { command, .. }
            | Self::UpdateFee { command, .. }
            | Self::Shutdown { command, .. }
            | Self::ForceClose { command }
            | Self::Doubt { command }
            | Self::LiftQuarantine { command } => Some(*command),
            Self::FundingBuilt { .. }
            | Self::FundingFailed
            | Self::PastArchived { .. }
            | Self::RevokedArchived { .. }
            | Self::ForgetResolved { .. }
            | Self::UpstreamExpires { .. } => None,
        }
    }
}
