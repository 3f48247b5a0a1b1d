//! From terms to a signed first commitment. BOLT 2 § Channel Establishment v1.
//!
//! All of it is forgotten if the connection breaks: BOLT 2 § Message Retransmission. The first thing
//! that is recorded is the peer's signature on our first commitment.
//!
//! Not here: waiting for the funding to confirm (`phase::funding`).

mod check;
mod message;

use bitcoin::{OutPoint, Transaction};
use secp256k1::PublicKey;
use wire::feature::Features;
use wire::id::{ChannelId, Signature};
use wire::message::{
    AcceptChannel, Error as ErrorMessage, FundingCreated, FundingSigned, Message, OpenChannel,
};
use wire::units::{BlockHeight, Msat, Sat};

use crate::channel::Turned;
use crate::clock::Side;
use crate::effect::{AbandonReason, Answer, Effect, Notice, Why};
use crate::env::Env;
use crate::event::{Command, CommandId, Event, Link};
use crate::fact::{Created, Fact};
use crate::fault::PeerFault;
use crate::live::{Live, printable};
use crate::out::Out;
use crate::record;
use crate::refusal::{BadTerms, Refusal};
use crate::state::State;
use crate::terms::{AcceptTerms, OpenTerms, Terms};
use crate::tx::FundingOutput;
pub(crate) use check::is_shutdown_script;

/// A channel that is being negotiated.
#[derive(Clone, Debug)]
pub(crate) struct Opening {
    id: ChannelId,
    features: Features,
    progress: Progress,
}

#[derive(Clone, Debug)]
enum Progress {
    /// We asked.
    Asked(Box<OpenTerms>),
    /// The peer agreed; the wallet builds the funding transaction.
    Building(Box<Agreed>),
    /// We named the funding output; the peer has to sign our first commitment.
    Named { agreed: Box<Agreed>, funding: OutPoint, tx: Box<Transaction> },
    /// We agreed to the peer's wish; it has to name the funding output.
    Accepted(Box<Agreed>),
}

/// What both agreed on.
#[derive(Clone, Debug)]
struct Agreed {
    command: Option<CommandId>,
    terms: Terms,
    first_point: PublicKey,
}

/// A negotiation that a message of the peer's ended.
type Broken = (Box<Opening>, PeerFault);

impl Opening {
    pub(crate) const fn id(&self) -> ChannelId {
        self.id
    }

    /// Sends `open_channel`.
    pub(crate) fn open(terms: OpenTerms, env: &Env<'_>, out: &mut Out) -> Result<Self, Refusal> {
        check::our_terms(&terms).map_err(Refusal::BadTerms)?;
        let point = env.signer.point(0).map_err(|_| Refusal::BadTerms(BadTerms::Signer))?;
        out.send(message::open_channel(&terms, env.signer.basepoints(), point));
        let (id, features) = (terms.temporary_channel_id, terms.features.clone());
        Ok(Self { id, features, progress: Progress::Asked(Box::new(terms)) })
    }

    /// Checks `open_channel` and sends `accept_channel`.
    pub(crate) fn accept(
        asked: &OpenChannel,
        terms: AcceptTerms,
        env: &Env<'_>,
        out: &mut Out,
    ) -> Result<Self, PeerFault> {
        let (kind, their_upfront_shutdown) = check::open_channel(asked, &terms, env.policy)?;
        let our_keys = *env.signer.basepoints();
        let point = env.signer.point(0).map_err(|_| PeerFault::OutOfPlace)?;
        out.send(message::accept_channel(asked, &terms, &our_keys, point));
        let agreed = Agreed {
            command: None,
            terms: Terms {
                funder: Side::Them,
                announce: asked.channel_flags & 1 == 1,
                kind,
                capacity: asked.funding_satoshis,
                push: asked.push_msat,
                first_feerate: asked.feerate_per_kw,
                minimum_depth: terms.minimum_depth,
                us: terms.params,
                them: message::opener_params(asked),
                our_keys,
                their_keys: message::opener_keys(asked),
                our_upfront_shutdown: terms.upfront_shutdown,
                their_upfront_shutdown,
                shutdown_script: terms.shutdown_script,
                alias: terms.alias,
            },
            first_point: asked.first_per_commitment_point,
        };
        Ok(Self {
            id: asked.temporary_channel_id,
            features: terms.features,
            progress: Progress::Accepted(Box::new(agreed)),
        })
    }

    pub(crate) fn step(self: Box<Self>, event: Event, env: &Env<'_>, out: &mut Out) -> Turned {
        match event {
            Event::Peer(message) => self.hear(message, env, out),
            Event::Command(command) => self.obey(command, env, out),
            Event::Link(Link::Down) => self.give_up(AbandonReason::Disconnected, out),
            Event::Link(Link::Up { .. }) | Event::Chain(_) | Event::Commit => Turned::Opening(self),
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "every other message is out of place")]
    fn hear(self: Box<Self>, message: Message, env: &Env<'_>, out: &mut Out) -> Turned {
        let turned = match message {
            Message::AcceptChannel(accepted) => self.on_accept(&accepted, env, out),
            Message::FundingCreated(created) => self.on_funding_created(&created, env, out),
            Message::FundingSigned(signed) => self.on_funding_signed(&signed, env, out),
            Message::Error(error) => {
                let text = printable(&error.data);
                return self.give_up(AbandonReason::PeerError { text }, out);
            }
            Message::Warning(warning) => {
                out.notice(Notice::PeerSaid { error: false, text: printable(&warning.data) });
                return Turned::Opening(self);
            }
            _ => Err((self, PeerFault::OutOfPlace)),
        };
        turned.unwrap_or_else(|(opening, fault)| {
            out.send(fault.to_error(opening.id));
            out.notice(Notice::Fault(fault));
            opening.give_up(AbandonReason::Fault(fault), out)
        })
    }

    fn obey(self: Box<Self>, command: Command, env: &Env<'_>, out: &mut Out) -> Turned {
        match command {
            Command::FundingBuilt { tx, output_index } => self.on_built(tx, output_index, env, out),
            Command::FundingFailed => {
                self.say_error("no funding", out);
                self.give_up(AbandonReason::FundingFailed, out)
            }
            Command::ForceClose { command } | Command::Shutdown { command, .. } => {
                self.say_error("given up", out);
                out.answer(command, Ok(Answer::Done));
                self.give_up(AbandonReason::Asked, out)
            }
            Command::OfferHtlc(_)
            | Command::FulfillHtlc { .. }
            | Command::FailHtlc { .. }
            | Command::FailMalformedHtlc { .. }
            | Command::UpdateFee { .. }
            | Command::ForgetResolved { .. }
            | Command::LiftQuarantine { .. }
            | Command::Doubt { .. }
            | Command::PastArchived { .. }
            | Command::RevokedArchived { .. }
            | Command::UpstreamExpires { .. } => {
                out.refuse(&command, Refusal::NotReady);
                Turned::Opening(self)
            }
        }
    }

    /// Ends it without a trace.
    fn give_up(&self, reason: AbandonReason, out: &mut Out) -> Turned {
        let command = match &self.progress {
            Progress::Asked(terms) => Some(terms.command),
            Progress::Building(agreed)
            | Progress::Accepted(agreed)
            | Progress::Named { agreed, .. } => agreed.command,
        };
        if let Some(command) = command {
            out.answer(command, Err(Refusal::NotOpened(reason.clone())));
        }
        out.notice(Notice::Abandoned(reason.clone()));
        Turned::Gone(self.id, reason)
    }

    fn say_error(&self, text: &str, out: &mut Out) {
        out.send(ErrorMessage { channel_id: self.id, data: text.as_bytes().to_vec() });
    }

    fn on_accept(
        mut self: Box<Self>,
        accepted: &AcceptChannel,
        env: &Env<'_>,
        out: &mut Out,
    ) -> Result<Turned, Broken> {
        let Progress::Asked(terms) = &self.progress else {
            return Err((self, PeerFault::OutOfPlace));
        };
        let their_upfront_shutdown = match check::accept_channel(accepted, terms, env.policy) {
            Ok(script) => script,
            Err(fault) => return Err((self, fault)),
        };
        let agreed = Agreed {
            command: Some(terms.command),
            terms: Terms {
                funder: Side::Us,
                announce: terms.announce,
                kind: terms.kind,
                capacity: terms.capacity,
                push: terms.push,
                first_feerate: terms.feerate,
                // A peer that needs no block although nobody asked for that waits for us, not we for it.
                minimum_depth: if terms.kind.zero_conf { 0 } else { accepted.minimum_depth.max(1) },
                us: terms.params,
                them: message::accepter_params(accepted),
                our_keys: *env.signer.basepoints(),
                their_keys: message::accepter_keys(accepted),
                our_upfront_shutdown: terms.upfront_shutdown.clone(),
                their_upfront_shutdown,
                shutdown_script: terms.shutdown_script.clone(),
                alias: terms.alias,
            },
            first_point: accepted.first_per_commitment_point,
        };
        out.effect(Effect::FundingWanted {
            script_pubkey: agreed.output(OutPoint::null()).to_txout().script_pubkey,
            amount: terms.capacity,
            feerate: terms.funding_feerate,
        });
        self.progress = Progress::Building(Box::new(agreed));
        Ok(Turned::Opening(self))
    }

    fn on_built(
        mut self: Box<Self>,
        tx: Transaction,
        output_index: u16,
        env: &Env<'_>,
        out: &mut Out,
    ) -> Turned {
        let Progress::Building(agreed) = self.progress else { return Turned::Opening(self) };
        let funding = OutPoint { txid: tx.compute_txid(), vout: u32::from(output_index) };
        // BOLT 2: "`funding_txid` to the transaction ID of a non-malleable transaction"
        let right = tx.output.get(usize::from(output_index))
            == Some(&agreed.output(funding).to_txout())
            && tx.input.iter().all(|input| input.script_sig.is_empty());
        let signed = right.then(|| agreed.sign_first(funding, env)).flatten();
        let Some(signature) = signed else {
            self.progress = Progress::Building(agreed);
            self.say_error("no funding", out);
            return self.give_up(AbandonReason::FundingFailed, out);
        };
        out.send(FundingCreated {
            temporary_channel_id: self.id,
            funding_txid: funding.txid,
            funding_output_index: output_index,
            signature,
        });
        self.id = ChannelId::v1(&funding.txid, output_index);
        self.progress = Progress::Named { agreed, funding, tx: Box::new(tx) };
        Turned::Opening(self)
    }

    fn on_funding_created(
        self: Box<Self>,
        created: &FundingCreated,
        env: &Env<'_>,
        out: &mut Out,
    ) -> Result<Turned, Broken> {
        let Progress::Accepted(agreed) = &self.progress else {
            return Err((self, PeerFault::OutOfPlace));
        };
        let vout = u32::from(created.funding_output_index);
        let funding = OutPoint { txid: created.funding_txid, vout };
        let signed = agreed.sign_first(funding, env);
        let checked = agreed.create(funding, None, created.signature, env);
        match (signed, checked) {
            (Some(signature), Ok((fact, state))) => {
                record::put(&fact, &mut out.record);
                let mut live = Live::created(state, self.features);
                out.send(FundingSigned { channel_id: live.id, signature });
                live.announce_funded(out);
                live.become_ready(env, out);
                Ok(Turned::Live(Box::new(live)))
            }
            (_, Err(fault)) => Err((self, fault)),
            (None, Ok(_)) => Err((self, PeerFault::BadFirstSignature)),
        }
    }

    fn on_funding_signed(
        self: Box<Self>,
        signed: &FundingSigned,
        env: &Env<'_>,
        out: &mut Out,
    ) -> Result<Turned, Broken> {
        let Progress::Named { agreed, funding, tx } = &self.progress else {
            return Err((self, PeerFault::OutOfPlace));
        };
        if signed.channel_id != self.id {
            return Err((self, PeerFault::WrongChannelId));
        }
        let (funding, tx, command) = (*funding, (**tx).clone(), agreed.command);
        let (fact, state) = match agreed.create(funding, Some(tx.clone()), signed.signature, env) {
            Ok(created) => created,
            Err(fault) => return Err((self, fault)),
        };
        record::put(&fact, &mut out.record);
        let mut live = Live::created(state, self.features);
        // BOLT 2: "MUST NOT broadcast the funding transaction before receipt of a valid
        // `funding_signed`."
        out.effect(Effect::Broadcast { tx, why: Why::Funding });
        live.announce_funded(out);
        if let Some(command) = command {
            out.answer(command, Ok(Answer::Funded { channel_id: live.id, funding }));
        }
        live.become_ready(env, out);
        Ok(Turned::Live(Box::new(live)))
    }
}

impl Agreed {
    fn output(&self, outpoint: OutPoint) -> FundingOutput {
        let (ours, theirs) = (&self.terms.our_keys.funding, &self.terms.their_keys.funding);
        FundingOutput::new(outpoint, self.terms.capacity, ours, theirs)
    }

    /// How the channel starts, if nothing is wrong with the peer's signature.
    fn create(
        &self,
        funding: OutPoint,
        funding_tx: Option<Transaction>,
        signature: Signature,
        env: &Env<'_>,
    ) -> Result<(Fact, State), PeerFault> {
        let created = self.draft(funding, funding_tx, signature, env.height);
        let state = State::new(created.clone()).map_err(|_| PeerFault::BadFundingAmount)?;
        let point = env.signer.point(0).map_err(|_| PeerFault::BadFirstSignature)?;
        let ours = state
            .commitment(Side::Us, None, 0, &point)
            .map_err(|_| PeerFault::BadFirstSignature)?;
        // BOLT 2: "if `signature` is incorrect OR non-compliant with LOW-S-standard rule"
        ours.verify(&signature, &[], env.workers).map_err(|_| PeerFault::BadFirstSignature)?;
        Ok((Fact::Created(Box::new(created)), state))
    }

    /// Our signature on the peer's first commitment.
    fn sign_first(&self, funding: OutPoint, env: &Env<'_>) -> Option<Signature> {
        let created = self.draft(funding, None, Signature([0; 64]), env.height);
        let state = State::new(created).ok()?;
        let theirs = state.commitment(Side::Them, None, 0, &self.first_point).ok()?;
        Some(env.signer.sign_theirs(&theirs, env.workers).ok()?.signature)
    }

    fn draft(
        &self,
        funding: OutPoint,
        funding_tx: Option<Transaction>,
        signature: Signature,
        height: BlockHeight,
    ) -> Created {
        let (terms, first_point) = (self.terms.clone(), self.first_point);
        Created { terms, funding, funding_tx, signature, first_point, height }
    }
}

/// What each side owns at first: funder, fundee.
fn first_balances(capacity: Sat, push: Msat) -> Option<(Msat, Msat)> {
    Some((Msat::from_sat(capacity)?.checked_sub(push)?, push))
}
