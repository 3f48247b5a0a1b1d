//! What each effect of a channel does, once the disk has its cause.

use channel::{
    Alarm, Answer, CommandId, Effect, HtlcIn, Notice, Refusal as ChannelRefusal, Resolved, Why,
};
use wire::feature::{Feature, Features};
use wire::id::ChannelId;
use wire::message::{Message, UpdateFailHtlc, UpdateFulfillHtlc};
use wire::units::BlockHeight;

use crate::channels::inbound::sort;
use crate::channels::task::{Asker, ChainNews, ChannelTask, FUNDING};
use crate::clock::now_ms;
use crate::edge::EdgeError;
use crate::layer1;
use crate::payments;
use crate::peers::link::Link;
use crate::rpc::refusal::Refusal;
use crate::switch;
use crate::tasks::Fatal;

/// What the released effects mean for payments and the switch: said in one go, so that what is decided
/// about them is decided in one go.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// HTLCs of the peer that are irrevocably committed.
    pub(super) incoming: Vec<HtlcIn>,
    /// HTLCs of ours that have their outcome.
    pub(super) resolved: Vec<Resolved>,
    /// Offers that were refused, and decisions that were taken.
    pub(super) answers: Vec<(CommandId, Result<Answer, ChannelRefusal>)>,
}

impl ChannelTask {
    /// `generation` is the connection that was up when the effects were decided: what was to be said
    /// there is not said on a later one, whose first word must be `channel_reestablish`.
    pub(super) fn perform(
        &mut self,
        effects: Vec<Effect>,
        generation: Option<u64>,
        told: &mut Told,
    ) -> Result<(), Fatal> {
        for effect in effects {
            match effect {
                Effect::Send(message) => self.say(&message, generation),
                Effect::Broadcast { tx, why } => {
                    let label = match why {
                        Why::Funding => FUNDING,
                        Why::MutualClose => "close",
                        Why::ForceClose => {
                            self.closing.begin(tx.clone(), *self.common.height.borrow());
                            "close"
                        }
                    };
                    let channel = self.index;
                    self.layer1(layer1::FromChannel::Broadcast { channel, tx, label })?;
                    // The mempool may not take it without its anchor, and no block may come for long.
                    if why == Why::ForceClose {
                        self.tell_stuck()?;
                    }
                }
                Effect::FundingWanted { script_pubkey, amount, feerate } => {
                    let fund = layer1::Fund {
                        channel: self.index,
                        id: self
                            .channel()
                            .map(channel::Channel::id)
                            .unwrap_or(self.meta.temporary_id),
                        script_pubkey,
                        amount,
                        feerate,
                        then: self.back.clone(),
                    };
                    self.layer1(layer1::FromChannel::Fund(fund))?;
                }
                Effect::WatchFunding { outpoint, inputs, .. } => {
                    let (confirmed, spent) = self.known_of_funding();
                    let state = self.channel().and_then(channel::Channel::state);
                    let since = state.map_or(BlockHeight(0), |state| state.created);
                    self.layer1(layer1::FromChannel::Watch {
                        channel: self.index,
                        outpoint,
                        coins: inputs,
                        conflict: state.and_then(|state| state.coins.conflict),
                        since,
                        confirmed,
                        spent,
                    })?;
                }
                Effect::WatchOutputs(outpoints) => self.watch_outputs(&outpoints)?,
                Effect::Claims(claims) => {
                    let channel = self.index;
                    self.layer1(layer1::FromChannel::Claims { channel, claims })?;
                }
                Effect::SearchHistory(search) => self.search_history(*search),
                Effect::Incoming(htlc) => told.incoming.push(htlc),
                Effect::Resolved(resolved) => told.resolved.push(resolved),
                Effect::Answer(command, answer) => self.route(command, answer, told),
                Effect::Notice(notice) => self.note(notice)?,
                Effect::Disconnect => {
                    if let Some(link) = self.link_of(generation) {
                        link.close();
                    }
                }
                Effect::Alarm(alarm) => self.alarm(&alarm),
            }
        }
        Ok(())
    }

    fn link_of(&self, generation: Option<u64>) -> Option<&Link> {
        self.link.as_ref().filter(|link| Some(link.generation) == generation)
    }

    fn say(&self, message: &Message, generation: Option<u64>) {
        if let Message::FundingCreated(created) = message {
            // The answer comes under the lasting name already.
            let id = ChannelId::v1(&created.funding_txid, created.funding_output_index);
            self.common.directory.rename(self.index, id);
        }
        if let Some(link) = self.link_of(generation) {
            match without_attribution(message, &link.features) {
                Some(bare) => link.say(&bare),
                None => link.say(message),
            }
        }
    }

    pub(super) fn layer1(&self, told: layer1::FromChannel) -> Result<(), Fatal> {
        bound(self.common.layer1.send(told), "channel to Layer 1")
    }

    /// Off the hot path: this task goes on, and hears of it from Layer 1's side.
    fn search_history(&self, search: channel::past::Search) {
        let (archives, index) = (self.common.archives.clone(), self.index);
        let directory = self.common.directory.clone();
        self.common.tasks.detach("history", async move {
            let looking = tokio::task::spawn_blocking(move || archives.search(index, search));
            let Ok(found) = looking.await else { return };
            let door = directory.doors().get(index).cloned();
            if let Some(door) = door {
                let news = ChainNews { facts: vec![found], ack: None };
                // If the channel is gone, so is the need; a restart searches again.
                let _gone = door.chain.send(news).await;
            }
        });
    }

    /// Where the channel itself believes its funding to be confirmed and spent.
    fn known_of_funding(&self) -> (Option<BlockHeight>, Option<BlockHeight>) {
        let Some(state) = self.channel().and_then(channel::Channel::state) else {
            return (None, None);
        };
        let confirmed = state.fundings.first().and_then(|funding| funding.confirmed);
        let spent = state.chain.spent.as_ref().map(|(_, height)| *height);
        (confirmed.map(|(height, _)| height), spent)
    }

    fn watch_outputs(&self, outpoints: &[bitcoin::OutPoint]) -> Result<(), Fatal> {
        let Some(state) = self.channel().and_then(channel::Channel::state) else { return Ok(()) };
        let known = |outpoint: &bitcoin::OutPoint| {
            let spend = state.chain.outputs.iter().find(|spend| spend.outpoint == *outpoint);
            spend.map(|spend| spend.height)
        };
        let outpoints = outpoints.iter().map(|outpoint| (*outpoint, known(outpoint))).collect();
        let since = state.chain.spent.as_ref().map_or(state.created, |(_, height)| *height);
        let channel = self.index;
        self.layer1(layer1::FromChannel::WatchOutputs { channel, outpoints, since })
    }

    fn route(
        &mut self,
        command: CommandId,
        answer: Result<Answer, ChannelRefusal>,
        told: &mut Told,
    ) {
        match Asker::of(command) {
            Asker::Payments | Asker::Switch => told.answers.push((command, answer)),
            Asker::User => {
                if let Some(reply) = self.answers.remove(&command) {
                    let _gone = reply.send(answer.map(drop).map_err(|no| self.explain(no)));
                }
            }
            Asker::Nobody => {
                if let Err(refusal) = answer {
                    tracing::debug!(channel = self.index.0, %refusal, "decision came too late");
                }
            }
        }
    }

    /// A channel's no in a user's words.
    fn explain(&self, no: ChannelRefusal) -> Refusal {
        let (id, node) = (self.meta.shown_id(self.channel()), self.meta.node);
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "the rest are said in the channel's own words"
        )]
        match no {
            ChannelRefusal::NotConnected => {
                Refusal::CloseNeedsPeer { node, channel: id, to_self_delay: self.delay() }
            }
            ChannelRefusal::Closing | ChannelRefusal::NothingToClose => {
                Refusal::WrongPhase { channel: id, phase: "closing", ended: false }
            }
            ChannelRefusal::NotReady => {
                Refusal::WrongPhase { channel: id, phase: "not open yet", ended: false }
            }
            ChannelRefusal::Quarantined => {
                Refusal::ChannelFrozen { channel: id, why: QUARANTINED.to_owned() }
            }
            ChannelRefusal::Frozen | ChannelRefusal::Stale => Refusal::WrongPhase {
                channel: id,
                phase: "frozen: its data may be stale",
                ended: false,
            },
            other => Refusal::OpenFailed { node, why: other.to_string() },
        }
    }

    fn delay(&self) -> u16 {
        let terms = self.channel().and_then(channel::Channel::terms);
        terms.map_or(0, |terms| terms.them.to_self_delay)
    }

    fn note(&mut self, notice: Notice) -> Result<(), Fatal> {
        tracing::info!(channel = self.index.0, node = %self.meta.node, ?notice, "channel");
        match notice {
            Notice::Funded { channel_id, .. } => {
                // Before `funding_signed` can be answered under the new name.
                self.common.directory.rename(self.index, channel_id);
                self.back_up()?;
            }
            Notice::MutuallyClosed { txid, fee } => {
                self.meta.close_fee = Some(fee);
                self.meta.close_txid = Some(txid);
            }
            Notice::Failing(reason) => {
                self.meta.why = Some(crate::channels::view::close_reason(&reason));
            }
            Notice::OnChain { txid, .. } => self.meta.close_txid = Some(txid),
            Notice::Abandoned(reason) => {
                self.meta.why = Some(crate::channels::view::abandon_reason(&reason));
                self.layer1(layer1::FromChannel::Unfund { channel: self.index })?;
                self.over = true;
            }
            Notice::Closed => {
                self.meta.closed_ms = Some(now_ms());
                self.over = true;
            }
            Notice::PeerSaid { error, text } => {
                self.meta.peer_said = Some(text.clone());
                tracing::warn!(node = %self.meta.node, error, text, "peer");
            }
            Notice::Confirmed { .. }
            | Notice::Ready { .. }
            | Notice::Usable(_)
            | Notice::ShuttingDown { .. }
            | Notice::SpendSeen { .. }
            | Notice::SpendVanished { .. }
            | Notice::FailedBack { .. }
            | Notice::Fault(_)
            | Notice::QuarantineOver { .. }
            | Notice::FeerateChanged { .. } => {}
        }
        Ok(())
    }

    fn alarm(&mut self, alarm: &Alarm) {
        if let Alarm::CloseAdvised(advice) = alarm {
            self.held_back(advice);
        }
        tracing::error!(
            channel = self.index.0,
            node = %self.meta.node,
            ?alarm,
            "ALARM: this channel needs a human"
        );
    }

    /// One word to payments, one to the switch. `again`: it is all that is open, after a restart.
    pub(super) fn pass_on(&mut self, told: Told, again: bool) -> Result<(), Fatal> {
        let Told { incoming, resolved, answers } = told;
        let sorted = sort(&self.common.us, self.index, incoming);
        self.own.extend(sorted.unreadable);
        let mut to_payments = payments::FromChannel {
            channel: self.index,
            parts: sorted.parts,
            resolved: Vec::new(),
            offered: Vec::new(),
            refused: Vec::new(),
        };
        let mut to_switch = switch::FromChannel {
            channel: self.index,
            again,
            forwards: sorted.forwards,
            resolved: Vec::new(),
            answers: Vec::new(),
            late: sorted.late,
        };
        for resolved in resolved {
            match resolved.origin {
                channel::Origin::Payment { .. } => to_payments.resolved.push(resolved),
                channel::Origin::Forward { .. } => to_switch.resolved.push(resolved),
            }
        }
        for (command, answer) in answers {
            if Asker::of(command) == Asker::Switch {
                to_switch.answers.push((command, answer));
            } else if let Err(refusal) = answer {
                to_payments.refused.push((command, refusal));
            } else {
                to_payments.offered.push(command);
            }
        }
        if !to_payments.is_empty() {
            bound(self.common.payments.send(to_payments), "channel to payments")?;
        }
        if !to_switch.is_empty() {
            bound(self.common.switch.send(to_switch), "channel to switch")?;
        }
        Ok(())
    }
}

/// Why nothing is broadcast in quarantine.
const QUARANTINED: &str = "its data may be older than what the peer knows, and whoever broadcasts an old \
    state loses everything in the channel; connect to the peer, whose numbers settle it";

/// The message without the field that a peer who does not speak `option_attribution_data` would carry for nothing.
fn without_attribution(message: &Message, features: &Features) -> Option<Message> {
    if features.offers(Feature::AttributionData) {
        return None;
    }
    #[expect(clippy::wildcard_enum_match_arm, reason = "two messages have the field")]
    match message {
        Message::UpdateFulfillHtlc(fulfil) if fulfil.attribution_data.is_some() => {
            Some(UpdateFulfillHtlc { attribution_data: None, ..fulfil.clone() }.into())
        }
        Message::UpdateFailHtlc(fail) if fail.attribution_data.is_some() => {
            Some(UpdateFailHtlc { attribution_data: None, ..fail.clone() }.into())
        }
        _ => None,
    }
}

/// A back edge that is full breaks the argument for its bound; one whose reader has ended means that the
/// node stops.
pub(super) fn bound(sent: Result<(), EdgeError>, name: &'static str) -> Result<(), Fatal> {
    match sent {
        Ok(()) | Err(EdgeError::Closed) => Ok(()),
        Err(EdgeError::Full) => Err(Fatal::Overflow(name)),
    }
}
