//! Service `Payments`.

use api::reason::Reason;
use api::v1;
use api::v1::payments_server::Payments;
use tonic::{Request, Response, Status};

use super::model::payment::{
    Attempt, AttemptState, Hop, PayOrder, Payment, PaymentFailure, PaymentFilter, PaymentStatus,
    Spontaneous,
};
use super::parse::{self, Pager, Paging};
use super::refusal::{Refusal, Unready};
use super::stream::{Reply, reply, until_final};
use super::{NodeApi, Rpc};

/// How long new ways are tried when the request does not say, in milliseconds.
const TIMEOUT_MS: u32 = 60_000;

#[tonic::async_trait]
impl<N: NodeApi> Payments for Rpc<N> {
    type PayStream = Reply<v1::Payment>;

    async fn pay(
        &self,
        request: Request<v1::PayRequest>,
    ) -> Result<Response<Self::PayStream>, Status> {
        let order = pay_order(request.into_inner()).map_err(not_paid)?;
        let started = self.node.pay(order).await.map_err(not_paid)?;
        let updates = until_final(started.updates, Payment::is_final, self.world.stop.clone());
        Ok(Response::new(reply(updates, payment)))
    }

    type KeysendStream = Reply<v1::Payment>;

    async fn keysend(
        &self,
        request: Request<v1::KeysendRequest>,
    ) -> Result<Response<Self::KeysendStream>, Status> {
        let mut ask = request.into_inner();
        let key = core::mem::take(&mut ask.idempotency_key);
        let key = parse::order_key("Payments/Keysend", key, &ask)?;
        let max_fee =
            ask.fee_limit_msat.map(|raw| parse::msat("fee_limit_msat", raw)).transpose()?;
        let order = Spontaneous {
            key,
            payee: parse::node_id("destination", &ask.destination)?,
            amount: parse::some_msat("amount_msat", ask.amount_msat)?,
            max_fee,
            timeout_ms: ask.timeout_ms.unwrap_or(TIMEOUT_MS),
        };
        let started = self.node.spend_spontaneously(order).await.map_err(not_paid)?;
        let updates = until_final(started.updates, Payment::is_final, self.world.stop.clone());
        Ok(Response::new(reply(updates, payment)))
    }

    type WatchStream = Reply<v1::Payment>;

    async fn watch(
        &self,
        request: Request<v1::WatchPaymentRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let hash = parse::payment_hash(&request.into_inner().payment_hash)?;
        let updates = self.node.watch_payment(hash).await?;
        let updates = until_final(updates, Payment::is_final, self.world.stop.clone());
        Ok(Response::new(reply(updates, payment)))
    }

    async fn get(
        &self,
        request: Request<v1::GetPaymentRequest>,
    ) -> Result<Response<v1::Payment>, Status> {
        let hash = parse::payment_hash(&request.into_inner().payment_hash)?;
        Ok(Response::new(payment(self.node.payment(hash).await?)))
    }

    async fn list(
        &self,
        request: Request<v1::ListPaymentsRequest>,
    ) -> Result<Response<v1::ListPaymentsResponse>, Status> {
        let mut ask = request.into_inner();
        let paging = Paging {
            size: core::mem::take(&mut ask.page_size),
            token: core::mem::take(&mut ask.page_token),
            order: ask.order,
        };
        let pager = Pager::new("Payments/List", &paging, &ask)?;
        let mut filter = PaymentFilter::default();
        for status in ask.statuses {
            match v1::PaymentStatus::try_from(status) {
                Ok(v1::PaymentStatus::InFlight) => filter.in_flight = true,
                Ok(v1::PaymentStatus::Succeeded) => filter.succeeded = true,
                Ok(v1::PaymentStatus::Failed) => filter.failed = true,
                Ok(v1::PaymentStatus::Unspecified) | Err(_) => {
                    Err(Refusal::Malformed { field: "statuses", why: "unknown status" })?;
                }
            }
        }
        let listing = self.node.list_payments(filter, pager.page).await?;
        Ok(Response::new(v1::ListPaymentsResponse {
            payments: listing.entries.into_iter().map(payment).collect(),
            next_page_token: pager.token(listing.next),
        }))
    }
}

fn pay_order(mut ask: v1::PayRequest) -> Result<PayOrder, Refusal> {
    let key = core::mem::take(&mut ask.idempotency_key);
    let key = parse::order_key("Payments/Pay", key, &ask)?;
    if ask.invoice.is_empty() {
        return Err(Refusal::Missing { field: "invoice" });
    }
    let amount = ask.amount_msat.map(|raw| parse::some_msat("amount_msat", raw)).transpose()?;
    let max_fee = ask.fee_limit_msat.map(|raw| parse::msat("fee_limit_msat", raw)).transpose()?;
    let timeout_ms = ask.timeout_ms.unwrap_or(TIMEOUT_MS);
    Ok(PayOrder { key, invoice: ask.invoice, amount, max_fee, timeout_ms })
}

/// A call to pay that failed says whether a payment was ever started: on the careful side, so only
/// where it is known that none was.
fn not_paid(refusal: Refusal) -> Status {
    let started = matches!(
        refusal,
        Refusal::KeyReused { .. }
            | Refusal::StoreFailed
            | Refusal::NoAnswer
            | Refusal::NotReady { state: Unready::Stopping }
    );
    refusal.refused().payment_started(started).into()
}

/// A payment for the client.
pub(super) fn payment(payment: Payment) -> v1::Payment {
    let (status, preimage, failure) = match payment.status {
        PaymentStatus::InFlight => (v1::PaymentStatus::InFlight, None, None),
        PaymentStatus::Succeeded { preimage } => {
            (v1::PaymentStatus::Succeeded, Some(preimage.to_string()), None)
        }
        PaymentStatus::Failed(failure) => {
            let mut failed = failed(failure);
            if let Some(reason) = &payment.reason {
                failed.detail = format!("{}: {reason}", failed.detail);
            }
            (v1::PaymentStatus::Failed, None, Some(failed))
        }
    };
    v1::Payment {
        payment_hash: payment.hash.to_string(),
        status: status.into(),
        amount_msat: payment.amount.to_u64(),
        fee_msat: payment.fee.to_u64(),
        fee_limit_msat: payment.fee_limit.to_u64(),
        destination: payment.payee.to_string(),
        invoice: payment.invoice,
        description: payment.description.unwrap_or_default(),
        created_at_ms: payment.created.0,
        completed_at_ms: payment.ended.map(|at| at.0),
        preimage,
        failure,
        attempts: payment.attempts.into_iter().map(attempt).collect(),
    }
}

fn attempt(attempt: Attempt) -> v1::PaymentAttempt {
    let (status, failure) = match attempt.state {
        AttemptState::InFlight => (v1::PaymentStatus::InFlight, None),
        AttemptState::Settled => (v1::PaymentStatus::Succeeded, None),
        AttemptState::Failed(failure) => (v1::PaymentStatus::Failed, Some(failed(failure))),
    };
    v1::PaymentAttempt {
        part: attempt.part,
        status: status.into(),
        amount_msat: attempt.amount.to_u64(),
        fee_msat: attempt.fee.to_u64(),
        hops: attempt.hops.into_iter().map(hop).collect(),
        sent_at_ms: attempt.sent.0,
        resolved_at_ms: attempt.ended.map(|at| at.0),
        failure,
    }
}

fn hop(hop: Hop) -> v1::Hop {
    let short = hop.short_id.map(|id| id.to_string());
    v1::Hop {
        node_id: hop.node.to_string(),
        channel: short.or_else(|| hop.channel.map(|id| id.to_string())).unwrap_or_default(),
        amount_msat: hop.amount.to_u64(),
        fee_msat: hop.fee.to_u64(),
        held_ms: hop.held_ms,
    }
}

/// Why a payment failed, in the words of the public list.
fn failed(failure: PaymentFailure) -> v1::PaymentFailure {
    let plain = |reason: Reason, detail: &str| v1::PaymentFailure {
        reason: reason.name().to_owned(),
        detail: detail.to_owned(),
        onion_code: None,
        source_node_id: None,
    };
    match failure {
        PaymentFailure::UnknownByPayee { height } => {
            // BOLT 4: incorrect_or_unknown_payment_details is PERM|15.
            let heard = height.map(|height| format!(", at height {}", height.0));
            let detail =
                format!("the payee does not know this payment{}", heard.unwrap_or_default());
            let refused = plain(Reason::PayeeRefused, &detail);
            v1::PaymentFailure { onion_code: Some(0x400f), ..refused }
        }
        PaymentFailure::PayeeTimedOut => {
            // BOLT 4: mpp_timeout is 23.
            let refused =
                plain(Reason::PayeeRefused, "the payee waited in vain for the other parts");
            v1::PaymentFailure { onion_code: Some(23), ..refused }
        }
        PaymentFailure::FailedOnTheWay { code, by } => v1::PaymentFailure {
            onion_code: Some(u32::from(code)),
            source_node_id: Some(by.to_string()),
            ..plain(Reason::RouteFailed, "a node on the way could not forward it")
        },
        PaymentFailure::Unreadable => {
            plain(Reason::RouteFailed, "the failure came back garbled, so nobody can be blamed")
        }
        PaymentFailure::NoRoute => plain(Reason::NoRoute, "no way to the payee was left"),
        PaymentFailure::ShortOfCapacity => {
            plain(Reason::BalanceInsufficient, "no channel could send that much any more")
        }
        PaymentFailure::TimedOut => plain(Reason::PaymentTimedOut, "no way worked in time"),
        PaymentFailure::ExpiredOnChain => {
            plain(Reason::PaymentExpired, "taken back on the chain after its deadline")
        }
        PaymentFailure::ChannelClosed => {
            plain(Reason::ChannelNotOpen, "the channel ended before the payment was part of it")
        }
        PaymentFailure::NeverSent => {
            plain(Reason::NodeStopping, "the node stopped before anything left")
        }
    }
}
