//! A channel whose first commitments are signed: its durable state, the connection, and who handles what.
//!
//! Not here: the handlers (`phase`, `link`), the fold (`state`).

use secp256k1::PublicKey;
use wire::feature::Features;
use wire::id::ChannelId;
use wire::message::{Error as ErrorMessage, Message};
use wire::units::FeeratePerKw;

use crate::channel::Stage;
use crate::clock::Side;
use crate::effect::{AbandonReason, Alarm, CloseReason, Effect, HtlcIn, Notice, Resolved, Why};
use crate::env::{Env, ForceClosePolicy, Policy};
use crate::event::{Command, CommandId, Event, Link};
use crate::fact::{Fact, TheirRemoval, Told};
use crate::fault::{PeerFault, Reaction};
use crate::ledger::{How, Htlc, Ticked};
use crate::limits::{Room, Totals};
use crate::link::Connection;
use crate::out::Out;
use crate::phase::closing::Negotiation;
use crate::phase::onchain::Sight;
use crate::refusal::Refusal;
use crate::signer::{SignRefusal, Signer};
use crate::state::{End, State};

/// The most of a peer's words that is kept.
const WORDS_MAX: usize = 1_000;

/// A channel with a record.
#[derive(Clone, Debug)]
pub(crate) struct Live {
    pub(crate) id: ChannelId,
    pub(crate) state: State,
    pub(crate) connection: Connection,
    /// The fee talks of this connection.
    pub(crate) negotiation: Negotiation,
    /// A `shutdown` of ours that waits until nothing is pending.
    pub(crate) shutdown_wanted: Option<ShutdownWanted>,
    /// Whether the peer's numbers fitted since the record was read, so that it cannot be an older copy.
    pub(crate) compared: bool,
    /// The revoked commitment for which the archive is being searched.
    pub(crate) searching: Option<bitcoin::Txid>,
    /// What limits are measured on, as long as nothing but adds came after the last look.
    totals: Option<Totals>,
    points: Points,
    /// What was seen or said and is in no record.
    pub(crate) sight: Sight,
}

/// A `shutdown` that somebody asked for.
#[derive(Clone, Debug)]
pub(crate) struct ShutdownWanted {
    pub(crate) command: CommandId,
    pub(crate) script: Option<bitcoin::ScriptBuf>,
    pub(crate) feerate: FeeratePerKw,
}

/// The last two of our points: each is needed twice, and costs a multiplication.
#[derive(Clone, Debug, Default)]
struct Points([Option<(u64, PublicKey)>; 2]);

impl Live {
    /// A channel that was just created, on a connection that is up.
    pub(crate) fn created(state: State, features: Features) -> Self {
        let mut live = Self::restored(state);
        live.connection = Connection::Up { features };
        live.compared = true;
        live
    }

    /// A channel that was read back.
    pub(crate) fn restored(state: State) -> Self {
        Self {
            id: state.channel_id(),
            state,
            connection: Connection::Down,
            negotiation: Negotiation::default(),
            shutdown_wanted: None,
            compared: false,
            searching: None,
            totals: None,
            points: Points::default(),
            sight: Sight::default(),
        }
    }

    pub(crate) fn step(&mut self, event: Event, env: &Env<'_>, out: &mut Out) {
        match event {
            Event::Peer(message) => {
                if let Err(fault) = self.hear(message, env, out) {
                    self.react(fault, env, out);
                }
            }
            Event::Command(command) => self.obey(command, env, out),
            Event::Link(Link::Up { features }) => self.connect(features, env, out),
            Event::Link(Link::Down) => self.disconnect(out),
            Event::Chain(fact) => self.on_chain(fact, env, out),
            Event::Commit => self.commit(env, out),
        }
        self.advance_closing(env, out);
    }

    /// Records a fact and takes it in.
    pub(crate) fn note(&mut self, fact: Fact, out: &mut Out) -> Ticked {
        crate::record::put(&fact, &mut out.record);
        self.totals = None;
        // A fact that a handler made follows from the state it was made for.
        self.state.apply(fact).unwrap_or_default()
    }

    /// What limits are measured on.
    pub(crate) fn totals(&self) -> Option<Totals> {
        self.totals.or_else(|| Totals::measure(&self.state.ledger, &self.state.terms))
    }

    /// What is free for an offer of ours.
    pub(crate) fn room<'a>(&'a self, policy: &'a Policy) -> Option<Room<'a>> {
        Some(Room { totals: self.totals()?, terms: &self.state.terms, policy })
    }

    /// Takes in an HTLC that was only said, and the sums with it.
    pub(crate) fn say(&mut self, htlc: Htlc, totals: Option<Totals>) {
        self.state.ledger.propose(htlc);
        self.totals = totals;
    }

    /// Takes in how the peer removes an HTLC of ours.
    pub(crate) fn hear_removal(&mut self, id: u64, removal: TheirRemoval) {
        self.totals = None;
        self.state.ledger.propose_removal(Side::Them, id, How::Theirs(removal));
    }

    /// Takes in a feerate that was only said.
    pub(crate) fn say_feerate(&mut self, feerate: FeeratePerKw) {
        self.totals = None;
        self.state.ledger.propose_fee(feerate);
    }

    /// Forgets what was only said; the HTLCs of ours among it.
    pub(crate) fn forget_proposals(&mut self) -> Vec<Htlc> {
        self.totals = None;
        let unsent = self.state.ledger.forget_proposals();
        // Their numbers go to others.
        for htlc in &unsent {
            self.sight.upstream.remove(&htlc.add.id);
        }
        unsent
    }

    /// Tells the world what a turn made final.
    pub(crate) fn tell(&self, ticked: Ticked, out: &mut Out) {
        for id in ticked.incoming {
            if let Some(htlc) = self.state.ledger.htlc(Side::Them, id) {
                out.effect(Effect::Incoming(htlc_in(htlc)));
            }
        }
        for (htlc, origin, outcome) in ticked.failed {
            out.effect(Effect::Resolved(Resolved { htlc, origin, outcome }));
        }
        if ticked.fee_settled {
            let feerate = self.state.ledger.feerate_max();
            out.notice(Notice::FeerateChanged { feerate });
        }
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "every message that is not listed belongs to a feature that was not negotiated"
    )]
    fn hear(&mut self, message: Message, env: &Env<'_>, out: &mut Out) -> Result<(), PeerFault> {
        match message {
            Message::Error(error) => {
                self.on_error(&error.data, env, out);
                return Ok(());
            }
            Message::Warning(warning) => {
                out.notice(Notice::PeerSaid { error: false, text: printable(&warning.data) });
                return Ok(());
            }
            _ if self.is_deaf() => return Ok(()),
            Message::ChannelReestablish(theirs) => {
                return self.on_channel_reestablish(&theirs, env, out);
            }
            _ => {}
        }
        if !self.is_up() {
            // BOLT 2: "MUST wait to receive the other node's `channel_reestablish` message before
            // sending any other messages for that channel."
            return Err(PeerFault::NotReestablished);
        }
        match message {
            Message::ChannelReady(ready) => self.on_channel_ready(&ready, out),
            Message::UpdateAddHtlc(add) => self.on_add(add, env),
            Message::UpdateFulfillHtlc(fulfill) => self.on_fulfill(fulfill, out),
            Message::UpdateFailHtlc(fail) => self.on_fail(fail),
            Message::UpdateFailMalformedHtlc(fail) => self.on_fail_malformed(&fail),
            Message::UpdateFee(fee) => self.on_fee(&fee, env),
            Message::CommitmentSigned(signed) => self.on_commitment_signed(&signed, env, out),
            Message::RevokeAndAck(revoked) => self.on_revoke_and_ack(&revoked, out),
            Message::Shutdown(shutdown) => self.on_shutdown(&shutdown, out),
            Message::ClosingSigned(signed) => self.on_closing_signed(&signed, env, out),
            // Channels are not announced yet; a peer that wants to is not wrong.
            Message::AnnouncementSignatures(_) => Ok(()),
            Message::OpenChannel(_)
            | Message::AcceptChannel(_)
            | Message::FundingCreated(_)
            | Message::FundingSigned(_) => Err(PeerFault::OutOfPlace),
            _ => Err(PeerFault::NotNegotiated),
        }
    }

    fn obey(&mut self, command: Command, env: &Env<'_>, out: &mut Out) {
        match command {
            Command::OfferHtlc(offer) => self.offer(*offer, env, out),
            Command::FulfillHtlc { command, htlc, preimage, attribution } => {
                self.fulfill(command, htlc, preimage, attribution, out);
                if self.state.chain.spent.is_some() {
                    // What it opens on Layer 1 does not wait for the next block.
                    self.resolve(env, out);
                }
            }
            Command::FailHtlc { command, htlc, reason, attribution } => {
                self.fail_htlc(command, htlc, reason, attribution, out);
            }
            Command::FailMalformedHtlc { command, htlc, sha256_of_onion, failure_code } => {
                self.fail_malformed(command, htlc, sha256_of_onion, failure_code, out);
            }
            Command::UpdateFee { command, feerate } => self.update_fee(command, feerate, env, out),
            Command::Shutdown { command, script, feerate } => {
                self.shut_down(ShutdownWanted { command, script, feerate }, out);
            }
            Command::ForceClose { command } => self.force_close(command, env, out),
            Command::ForgetResolved { htlc } => self.forget_resolved(htlc, out),
            Command::UpstreamExpires { htlc, expiry } => {
                self.sight.upstream.insert(htlc, expiry);
                self.fail_back(env, out);
            }
            Command::Doubt { command } => self.doubt(command, out),
            Command::LiftQuarantine { command } => self.lift_quarantine(command, env, out),
            // Memory only: the snapshot that follows from the journal says the same.
            Command::PastArchived { upto } => self.state.past.let_go(upto),
            Command::RevokedArchived { rows, bytes } => self.state.revoked.let_go(rows, bytes),
            // Late words of the wallet about an open that is over.
            Command::FundingBuilt { .. } | Command::FundingFailed => {}
        }
    }

    /// What the table says about a broken rule.
    pub(crate) fn react(&mut self, fault: PeerFault, env: &Env<'_>, out: &mut Out) {
        match fault.reaction() {
            Reaction::Ignore => {}
            Reaction::Warn => {
                out.notice(Notice::Fault(fault));
                out.send(fault.to_warning(self.id));
                self.hang_up(out);
            }
            Reaction::FailChannel => {
                out.notice(Notice::Fault(fault));
                out.send(fault.to_error(self.id));
                self.stop(CloseReason::Fault(fault), env, out);
            }
        }
    }

    /// Closes the connection; what the peer still says on it is not heard.
    pub(crate) fn hang_up(&mut self, out: &mut Out) {
        self.connection = Connection::Cut;
        out.effect(Effect::Disconnect);
    }

    // BOLT 1: "upon receiving `error`: - if `channel_id` is all zero: - MUST fail all channels with the
    // sending node. - otherwise: - MUST fail the channel referred to by `channel_id`"
    fn on_error(&mut self, data: &[u8], env: &Env<'_>, out: &mut Out) {
        let text = printable(data);
        // Said once: with the fact that ends the cooperation, never again.
        let automatic = env.policy.force_close == ForceClosePolicy::Automatic;
        if self.may_fail() && (self.state.end.is_none() || automatic) {
            self.note(Fact::Told(Told::PeerError(text.clone())), out);
        }
        out.notice(Notice::PeerSaid { error: true, text });
        self.stop(CloseReason::PeerError, env, out);
    }

    /// Whether nothing stands against closing alone.
    const fn may_fail(&self) -> bool {
        match &self.state.end {
            None | Some(End::Frozen) => self.state.chain.spent.is_none(),
            Some(End::Failing(_) | End::DataLoss { .. } | End::Abandoned(_) | End::Lost) => false,
        }
    }

    /// Closes alone, if nothing stands against it. BOLT 5 § Failing a Channel.
    pub(crate) fn fail(&mut self, reason: CloseReason, env: &Env<'_>, out: &mut Out) {
        if !self.may_fail() {
            return;
        }
        if self.state.quarantined {
            return self.stay_quarantined(out);
        }
        self.note(Fact::Failing(reason.clone()), out);
        out.notice(Notice::Failing(reason));
        self.broadcast_commitment(env, out);
        if self.is_connecting() {
            self.hang_up(out);
        }
    }

    /// Whether there is a connection on which the peer is heard.
    pub(crate) const fn is_connecting(&self) -> bool {
        match &self.connection {
            Connection::Up { .. } | Connection::Syncing { .. } | Connection::Listening { .. } => {
                true
            }
            Connection::Down | Connection::Cut => false,
        }
    }

    /// Signs our newest commitment and lets it go.
    pub(crate) fn broadcast_commitment(&self, env: &Env<'_>, out: &mut Out) {
        let number = self.state.ours;
        let signed = (|| {
            let point = env.signer.point(number).ok()?;
            let ours = self.state.commitment(Side::Us, None, number, &point).ok()?;
            let funding = self.state.fundings.first()?;
            env.signer.sign_ours(&ours, &funding.signatures.commitment).ok()
        })();
        match signed {
            Some(tx) => out.effect(Effect::Broadcast { tx, why: Why::ForceClose }),
            None => out.alarm(Alarm::Signer),
        }
    }

    fn force_close(&mut self, command: CommandId, env: &Env<'_>, out: &mut Out) {
        let refusal = match &self.state.end {
            Some(End::DataLoss { .. } | End::Lost) => Some(Refusal::Stale),
            Some(End::Failing(_) | End::Abandoned(_)) => Some(Refusal::Closing),
            None | Some(End::Frozen) if self.state.chain.spent.is_some() => Some(Refusal::Closing),
            None | Some(End::Frozen) => self.state.quarantined.then_some(Refusal::Quarantined),
        };
        if let Some(refusal) = refusal {
            return out.answer(command, Err(refusal));
        }
        if self.is_up() {
            let data = b"force-closed by our user".to_vec();
            out.send(ErrorMessage { channel_id: self.id, data });
        }
        self.fail(CloseReason::Asked, env, out);
        out.answer(command, Ok(crate::effect::Answer::Done));
    }

    /// Stops signing: the books do not balance.
    pub(crate) fn freeze(&mut self, alarm: Alarm, out: &mut Out) {
        // A channel whose data is stale stays one that must not be broadcast; a frozen one may be.
        if self.state.end.is_none() {
            self.note(Fact::Frozen, out);
        }
        out.alarm(alarm);
        self.hang_up(out);
    }

    fn forget_resolved(&mut self, htlc: u64, out: &mut Out) {
        let known = self.state.ledger.tombstones.contains_key(&htlc)
            || (self.state.ledger.htlc(Side::Us, htlc))
                .is_some_and(|htlc| htlc.outcome().is_some() && !htlc.forgotten);
        if known {
            self.note(Fact::Forgotten { htlc }, out);
        }
    }

    /// Our commitment point, from the cache if it was used lately.
    pub(crate) fn point(
        &mut self,
        number: u64,
        signer: &dyn Signer,
    ) -> Result<PublicKey, SignRefusal> {
        if let Some((_, point)) = self.points.0.iter().flatten().find(|(of, _)| *of == number) {
            return Ok(*point);
        }
        let point = signer.point(number)?;
        let [newest, oldest] = &mut self.points.0;
        *oldest = newest.replace((number, point));
        Ok(point)
    }

    /// Whether the peer is not listened to any more, but for an `error`.
    fn is_deaf(&self) -> bool {
        // BOLT 2: "SHOULD retransmit the error packet and ignore any other packets for that channel."
        let over = match &self.state.end {
            Some(End::Failing(_) | End::Abandoned(_)) => true,
            None | Some(End::Frozen | End::DataLoss { .. } | End::Lost) => false,
        };
        over || self.state.chain.spent.is_some() || matches!(self.connection, Connection::Cut)
    }

    pub(crate) const fn is_up(&self) -> bool {
        matches!(self.connection, Connection::Up { .. })
    }

    /// Everything durable that may not have happened, once more.
    pub(crate) fn resume(&self, env: &Env<'_>, out: &mut Out) {
        if self.state.chain.closed || matches!(self.state.end, Some(End::Abandoned(_))) {
            return;
        }
        self.watch_funding(out);
        if self.state.chain.spent.is_some() {
            return self.resume_on_chain(env, out);
        }
        if let Some(funding) = self.state.fundings.first()
            && funding.confirmed.is_none()
            && let Some(tx) = &funding.tx
        {
            out.effect(Effect::Broadcast { tx: tx.clone(), why: Why::Funding });
        }
        if matches!(self.state.end, Some(End::Failing(_))) && !self.state.is_unfunded() {
            self.broadcast_commitment(env, out);
        }
        self.resume_closing(env, out);
    }

    pub(crate) fn stage(&self) -> Stage {
        let state = &self.state;
        if state.chain.closed {
            return Stage::Closed;
        }
        if state.chain.spent.is_some() {
            return Stage::OnChain;
        }
        match &state.end {
            Some(End::Failing(reason)) => Stage::Failing(reason.clone()),
            Some(End::DataLoss { .. }) => Stage::DataLoss,
            Some(End::Frozen) => Stage::Frozen,
            Some(End::Lost) => Stage::Lost,
            Some(End::Abandoned(reason)) => Stage::Abandoned(reason.clone()),
            None if state.closed.is_some() => Stage::MutuallyClosed,
            None if state.our_shutdown.is_some() || state.their_shutdown.is_some() => {
                Stage::ShuttingDown
            }
            None if state.we_ready && state.they_ready => Stage::Open,
            None => Stage::Funding,
        }
    }

    /// Ends a channel that never came to be.
    pub(crate) fn abandon(&mut self, reason: AbandonReason, out: &mut Out) {
        self.note(Fact::Abandoned(reason.clone()), out);
        out.notice(Notice::Abandoned(reason));
    }
}

/// An incoming HTLC as the switch sees it.
pub(crate) fn htlc_in(htlc: &Htlc) -> HtlcIn {
    HtlcIn {
        id: htlc.add.id,
        amount_msat: htlc.add.amount_msat,
        payment_hash: htlc.add.payment_hash,
        cltv_expiry: htlc.add.cltv_expiry,
        onion: htlc.add.onion.clone(),
        path_key: htlc.add.path_key,
        accountable: htlc.add.accountable,
        overexposed: htlc.overexposed,
    }
}

/// What of a peer's words can be shown: printable ASCII, and not too much of it.
pub(crate) fn printable(data: &[u8]) -> String {
    (data.iter().take(WORDS_MAX))
        .map(|byte| if (32..=126).contains(byte) { char::from(*byte) } else { '?' })
        .collect()
}
