//! Service `Forwards`.

use api::v1;
use api::v1::forwards_server::Forwards;
use api::v1::intercept_answer::Word;
use futures_util::stream::{self, FuturesUnordered, StreamExt as _};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};
use wire::id::Preimage;
use wire::onion::failure::code;

use super::model::channel::ChannelRef;
use super::model::forward::{
    Forward, ForwardFailure, ForwardFilter, ForwardState, Interception, SetPolicy, Side,
};
use super::parse::{self, Pager, Paging};
use super::refusal::Refusal;
use super::stream::Reply;
use super::{NodeApi, Rpc};
use crate::node::held_ms;
use crate::switch::hold::{Ask, Held, NoHold, Verdict};
use crate::switch::policy::{ForwardPolicy, PolicyChange};

#[tonic::async_trait]
impl<N: NodeApi> Forwards for Rpc<N> {
    async fn list(
        &self,
        request: Request<v1::ListForwardsRequest>,
    ) -> Result<Response<v1::ListForwardsResponse>, Status> {
        let mut ask = request.into_inner();
        let paging = Paging {
            size: core::mem::take(&mut ask.page_size),
            token: core::mem::take(&mut ask.page_token),
            order: ask.order,
        };
        let pager = Pager::new("Forwards/List", &paging, &ask)?;
        let filter = filter(&ask.states)?;
        let listing = self.node.list_forwards(filter, pager.page).await?;
        Ok(Response::new(v1::ListForwardsResponse {
            forwards: listing.entries.iter().map(forward).collect(),
            next_page_token: pager.token(listing.next),
        }))
    }

    async fn get_policy(
        &self,
        request: Request<v1::GetPolicyRequest>,
    ) -> Result<Response<v1::ForwardPolicy>, Status> {
        let text = request.into_inner().channel_id;
        let which = parse::channel(&text)?;
        Ok(Response::new(policy(text, self.node.policy(which).await?)))
    }

    async fn set_policy(
        &self,
        request: Request<v1::SetPolicyRequest>,
    ) -> Result<Response<v1::ForwardPolicy>, Status> {
        // Setting twice is setting once, so the idempotency key adds nothing.
        let ask = request.into_inner();
        let order = set_order(&ask)?;
        Ok(Response::new(policy(ask.channel_id, self.node.set_policy(order).await?)))
    }

    type InterceptStream = Reply<v1::HeldForward>;

    async fn intercept(
        &self,
        request: Request<Streaming<v1::InterceptAnswer>>,
    ) -> Result<Response<Self::InterceptStream>, Status> {
        let interception = self.node.intercept().await?;
        let desk = Desk {
            interception,
            words: Some(request.into_inner()),
            said: FuturesUnordered::new(),
            stop: self.world.stop.clone(),
        };
        Ok(Response::new(Box::pin(stream::unfold(Some(desk), |desk| async move {
            let mut desk = desk?;
            match desk.next().await {
                Ok(Some(held)) => Some((Ok(shown(&held)), Some(desk))),
                Ok(None) => None,
                Err(status) => Some((Err(status), None)),
            }
        }))))
    }
}

/// One program that says what happens to held HTLCs.
struct Desk {
    interception: Interception,
    /// `None` once it has said all it will: what is held is still shown.
    words: Option<Streaming<v1::InterceptAnswer>>,
    /// Words that the disk does not have yet: one sync is for many.
    said: FuturesUnordered<oneshot::Receiver<Result<(), NoHold>>>,
    stop: CancellationToken,
}

/// Words that may wait for the disk.
const WORDS: usize = 512;

impl Desk {
    /// The next held HTLC; takes words meanwhile.
    async fn next(&mut self) -> Result<Option<Held>, Status> {
        loop {
            let word = async {
                match &mut self.words {
                    Some(words) => words.message().await,
                    None => core::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return Ok(None),
                Some(answer) = self.said.next(), if !self.said.is_empty() => heard(answer)?,
                word = word, if self.said.len() < WORDS => match word? {
                    Some(word) => self.say(word).await?,
                    None => self.words = None,
                },
                held = self.interception.held.recv() => return Ok(held),
            }
        }
    }

    async fn say(&self, answer: v1::InterceptAnswer) -> Result<(), Status> {
        let ChannelRef::Id(channel) = parse::channel(&answer.channel_id)? else {
            let why = "a channel id, as it was told";
            Err(Refusal::Malformed { field: "channel_id", why })?
        };
        let (reply, answered) = oneshot::channel();
        let ask = Ask::Answer {
            listener: self.interception.listener,
            channel,
            htlc: answer.htlc_id,
            verdict: verdict(answer.word)?,
            reply,
        };
        self.interception.answers.send(ask).await.map_err(|_| Refusal::NoAnswer)?;
        self.said.push(answered);
        Ok(())
    }
}

/// What became of a word.
fn heard(answer: Result<Result<(), NoHold>, oneshot::error::RecvError>) -> Result<(), Status> {
    match answer.map_err(|_| Refusal::NoAnswer)? {
        // Its time was up while the word was under way: nobody's mistake.
        Ok(()) | Err(NoHold::Unknown) => Ok(()),
        Err(why) => Err(Status::failed_precondition(why.to_string())),
    }
}

fn verdict(word: Option<Word>) -> Result<Verdict, Refusal> {
    match word {
        Some(Word::Accept(true)) => Ok(Verdict::Accept),
        Some(Word::FailCode(0)) => Ok(Verdict::Fail(code::TEMPORARY_CHANNEL_FAILURE)),
        Some(Word::FailCode(code)) => {
            let code = u16::try_from(code);
            let why = "a code has two bytes";
            code.map(Verdict::Fail).map_err(|_| Refusal::Malformed { field: "fail_code", why })
        }
        Some(Word::Preimage(text)) => {
            Ok(Verdict::Settle(Preimage(parse::hash32("preimage", &text)?)))
        }
        Some(Word::Accept(false)) | None => Err(Refusal::Missing { field: "word" }),
    }
}

fn filter(states: &[i32]) -> Result<ForwardFilter, Refusal> {
    let mut filter = ForwardFilter::default();
    for state in states {
        match v1::ForwardState::try_from(*state) {
            Ok(v1::ForwardState::Held) => filter.held = true,
            Ok(v1::ForwardState::InFlight) => filter.in_flight = true,
            Ok(v1::ForwardState::Settled) => filter.settled = true,
            Ok(v1::ForwardState::Taken) => filter.taken = true,
            Ok(v1::ForwardState::Failed) => filter.failed = true,
            Ok(v1::ForwardState::Unspecified) | Err(_) => {
                return Err(Refusal::Malformed { field: "states", why: "unknown state" });
            }
        }
    }
    Ok(filter)
}

fn set_order(ask: &v1::SetPolicyRequest) -> Result<SetPolicy, Refusal> {
    let msat = |field, raw: Option<u64>| raw.map(|raw| parse::some_msat(field, raw)).transpose();
    let delta = ask.cltv_delta_blocks.map(|blocks| {
        let field = "cltv_delta_blocks";
        let blocks = parse::within(field, u64::from(blocks), 34, 1_008, "blocks")?;
        u16::try_from(blocks).map_err(|_| Refusal::Malformed { field, why: "too large" })
    });
    let base = ask.base_msat.map(|given| {
        let (field, max) = ("base_msat", u64::from(u32::MAX));
        let out = Refusal::OutOfRange { field, given, min: 0, max, unit: "msat" };
        u32::try_from(given).map_err(|_| out)
    });
    let change = PolicyChange {
        enabled: ask.enabled,
        base_msat: base.transpose()?,
        ppm: ask.ppm,
        cltv_delta: delta.transpose()?,
        htlc_min: msat("htlc_min_msat", ask.htlc_min_msat)?,
        htlc_max: msat("htlc_max_msat", ask.htlc_max_msat)?,
    };
    Ok(SetPolicy { channel: parse::channel(&ask.channel_id)?, change })
}

fn policy(channel_id: String, policy: ForwardPolicy) -> v1::ForwardPolicy {
    v1::ForwardPolicy {
        channel_id,
        enabled: policy.enabled,
        base_msat: u64::from(policy.base_msat),
        ppm: policy.ppm,
        cltv_delta_blocks: u32::from(policy.cltv_delta),
        htlc_min_msat: policy.htlc_min.to_u64(),
        htlc_max_msat: policy.htlc_max.to_u64(),
    }
}

fn text<T: ToString>(known: Option<T>) -> String {
    known.map(|known| known.to_string()).unwrap_or_default()
}

fn shown(held: &Held) -> v1::HeldForward {
    v1::HeldForward {
        channel_id: held.channel.to_string(),
        htlc_id: held.htlc,
        short_channel_id: text(held.short_id),
        node_id: held.node.to_string(),
        payment_hash: held.hash.to_string(),
        amount_in_msat: held.amount.to_u64(),
        expiry_in: held.cltv_expiry.0,
        short_channel_id_asked: held.next.to_string(),
        amount_out_msat: held.forwarded.to_u64(),
        expiry_out: held.outgoing_expiry.0,
        give_back_height: held.until.0,
        accountable: held.accountable,
    }
}

/// A forward for the client.
fn forward(forward: &Forward) -> v1::Forward {
    let (state, failure) = match forward.state {
        ForwardState::Held => (v1::ForwardState::Held, None),
        ForwardState::InFlight => (v1::ForwardState::InFlight, None),
        ForwardState::Settled => (v1::ForwardState::Settled, None),
        ForwardState::Taken => (v1::ForwardState::Taken, None),
        ForwardState::Failed(failure) => (v1::ForwardState::Failed, Some(failure)),
    };
    let Side { id, short_id, node } = forward.incoming;
    let out = forward.outgoing.unwrap_or_default();
    let (words, failure_code) = failure.map(words).unwrap_or_default();
    v1::Forward {
        index: forward.index,
        state: state.into(),
        payment_hash: forward.hash.to_string(),
        channel_in: text(id),
        short_channel_id_in: text(short_id),
        node_in: text(node),
        htlc_in: forward.htlc,
        channel_out: text(out.id),
        short_channel_id_out: text(out.short_id),
        node_out: text(out.node),
        short_channel_id_asked: forward.asked.to_string(),
        amount_in_msat: forward.amount_in.to_u64(),
        amount_out_msat: forward.amount_out.to_u64(),
        fee_msat: forward.amount_in.to_u64().saturating_sub(forward.amount_out.to_u64()),
        expiry_in: forward.expiry_in.0,
        expiry_out: forward.expiry_out.0,
        created_at_ms: forward.created.0,
        created_height: forward.created_height.0,
        ended_at_ms: forward.ended.map(|ended| ended.0),
        held_ms: held_ms(forward),
        failure: words.to_owned(),
        failure_code,
    }
}

/// Why it failed, in words and as a code.
fn words(failure: ForwardFailure) -> (&'static str, Option<u32>) {
    match failure {
        ForwardFailure::Refused(refused) => (name(refused), Some(u32::from(refused))),
        ForwardFailure::Beyond => ("refused behind us; only the sender can read why", None),
        ForwardFailure::Malformed(code) => {
            ("the next node could not read the onion", Some(u32::from(code)))
        }
        ForwardFailure::OnChain => ("came back on Layer 1", None),
    }
}

const fn name(refused: u16) -> &'static str {
    match refused {
        code::TEMPORARY_NODE_FAILURE => "temporary_node_failure",
        code::PERMANENT_NODE_FAILURE => "permanent_node_failure",
        code::TEMPORARY_CHANNEL_FAILURE => "temporary_channel_failure",
        code::PERMANENT_CHANNEL_FAILURE => "permanent_channel_failure",
        code::UNKNOWN_NEXT_PEER => "unknown_next_peer",
        code::AMOUNT_BELOW_MINIMUM => "amount_below_minimum",
        code::FEE_INSUFFICIENT => "fee_insufficient",
        code::INCORRECT_CLTV_EXPIRY => "incorrect_cltv_expiry",
        code::EXPIRY_TOO_SOON => "expiry_too_soon",
        code::EXPIRY_TOO_FAR => "expiry_too_far",
        code::CHANNEL_DISABLED => "channel_disabled",
        _ => "refused",
    }
}
