//! `pay`.

use api::reason::Reason;
use api::v1;
use tonic::Streaming;

use super::parts;
use crate::amount::{Amount, msat, msat_bare};
use crate::context::{Context, Heard};
use crate::failure::Failure;
use crate::render::{Screen, Tone};
use crate::resolve::{named, visible};
use crate::words;

/// The least that may be given to nodes on the way, unless the user says otherwise.
pub(super) const FEE_FLOOR_MSAT: u64 = 5_000;
/// One part of so many of the amount may be given to nodes on the way.
pub(super) const FEE_SHARE: u64 = 200;

/// Pay an invoice.
///
/// Shows whom, how much and what it costs at most, and asks first. Paying the same invoice again never
/// pays twice. Ctrl-C ends the watching, never the payment.
#[derive(Debug, clap::Args)]
pub(crate) struct Pay {
    /// The invoice (BOLT 11), as scanned or pasted.
    invoice: String,
    /// How much, if the invoice leaves that to you: 50000, 50sat, 50_000msat, 1k.
    amount: Option<Amount>,
    /// The most to give to nodes on the way; 0.5 percent, at least 5 sat, unless said otherwise.
    #[arg(long, value_name = "AMOUNT")]
    max_fee: Option<Amount>,
    /// Stop trying new ways after so many seconds.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=86_400))]
    timeout: Option<u32>,
    /// Show the way it would take, and pay nothing.
    #[arg(long)]
    dry_run: bool,
}

impl Pay {
    pub(crate) async fn run(self, cx: &mut Context<'_>) -> Result<(), Failure> {
        let ask = v1::DecodeInvoiceRequest { invoice: self.invoice.trim().to_owned() };
        let mut decoded =
            cx.client.call(ask, |to, ask| async move { to.invoices().decode(ask).await }).await?;
        cx.name(&mut decoded.destination_alias, &decoded.destination);
        let before = decoded.payment.as_ref().map(v1::Payment::status);
        match (before, &decoded.payment) {
            (Some(v1::PaymentStatus::Succeeded), Some(payment)) => {
                let then = payment.completed_at_ms.unwrap_or(payment.created_at_ms);
                let (ago, payment) = (words::age(cx.now, then), Box::new(payment.clone()));
                return Err(Failure::AlreadyPaid { ago, payment });
            }
            (Some(v1::PaymentStatus::InFlight), _) => {
                cx.screen.note("This invoice is being paid already; watching that payment.")?;
            }
            _ if decoded.ours => return Err(Reason::InvoiceOurs.into()),
            _ if decoded.expired => return Err(Reason::InvoiceExpired.into()),
            _ => {}
        }
        let amount = self.amount(&decoded)?;
        let fee_limit = match self.max_fee {
            Some(limit) => limit.msat()?,
            None => (amount / FEE_SHARE).max(FEE_FLOOR_MSAT),
        };
        if self.dry_run {
            let ask = v1::FindRouteRequest {
                destination: self.invoice.trim().to_owned(),
                amount_msat: Some(amount),
                fee_limit_msat: Some(fee_limit),
                max_parts: 0,
            };
            return super::route::show(cx, ask).await;
        }
        if before != Some(v1::PaymentStatus::InFlight) {
            cx.screen.confirm(&[], &question(&decoded, amount, fee_limit))?;
        }

        let ask = v1::PayRequest {
            idempotency_key: cx.key.clone().unwrap_or_default(),
            invoice: self.invoice.trim().to_owned(),
            amount_msat: Some(amount),
            fee_limit_msat: Some(fee_limit),
            timeout_ms: self.timeout.map(|seconds| seconds.saturating_mul(1_000)),
        };
        let again = cx.again(&format!("payments watch {}", decoded.payment_hash));
        let lost = |status| Failure::after_sending(&status, "the payment", again.clone());
        let stream = cx.client.payments().pay(ask).await.map_err(lost)?.into_inner();
        let payment = follow(cx, stream, &again).await?;
        show(cx, &payment, &decoded.destination_alias)
    }

    /// What to pay: what the invoice says, or what the user says where it says nothing.
    fn amount(&self, decoded: &v1::DecodedInvoice) -> Result<u64, Failure> {
        let given = self.amount.map(Amount::msat).transpose()?;
        match (decoded.amount_msat, given) {
            (Some(asked), None) => Ok(asked),
            (Some(asked), Some(given)) if asked == given => Ok(asked),
            (Some(_), Some(_)) => Err(Reason::InvoiceAmountMismatch.into()),
            (None, Some(given)) => Ok(given),
            (None, None) => Err(Reason::InvoiceAmountMissing.into()),
        }
    }
}

fn question(decoded: &v1::DecodedInvoice, amount: u64, fee_limit: u64) -> String {
    let payee = named(&decoded.destination_alias, &decoded.destination);
    let what = match visible(&decoded.description) {
        about if about.is_empty() => String::new(),
        about => format!(" for “{about}”"),
    };
    format!("Pay {} to {payee}{what}, fee at most {}?", msat(amount), msat(fee_limit))
}

/// Watches a payment to its end.
pub(super) async fn follow(
    cx: &mut Context<'_>,
    mut stream: Streaming<v1::Payment>,
    again: &str,
) -> Result<v1::Payment, Failure> {
    let what = "the payment";
    loop {
        let payment = match cx.hear(&mut stream).await {
            Heard::Message(payment) => payment,
            Heard::Interrupted => {
                return Err(Failure::Detached { what, reattach: again.to_owned() });
            }
            Heard::Broken(status) => {
                return Err(Failure::after_sending(&status, what, again.to_owned()));
            }
            Heard::End => {
                let why = "the daemon ended the stream before the outcome was known".to_owned();
                return Err(Failure::OutcomeUnknown { what, why, reattach: again.to_owned() });
            }
        };
        match payment.status() {
            v1::PaymentStatus::Succeeded => {
                cx.screen.wipe()?;
                return Ok(payment);
            }
            v1::PaymentStatus::Failed => {
                cx.screen.wipe()?;
                return Err(Failure::PaymentFailed(Box::new(payment)));
            }
            v1::PaymentStatus::InFlight | v1::PaymentStatus::Unspecified => {
                let lines = parts::rows(cx.screen, &payment, |node| cx.neighbour(node));
                cx.screen.rows(&lines)?;
            }
        }
    }
}

/// The receipt.
pub(super) fn show(
    cx: &mut Context<'_>,
    payment: &v1::Payment,
    payee: &str,
) -> Result<(), Failure> {
    let neighbours = &cx.neighbours;
    let names = |node: &str| {
        let known = neighbours.iter().find(|known| known.node_id == node);
        known.map_or_else(String::new, |known| known.name.clone())
    };
    cx.screen.result(
        payment,
        |payment| payment.preimage.iter().cloned().collect(),
        |screen, payment| receipt(screen, payment, payee, names),
    )
}

fn receipt(
    screen: &Screen,
    payment: &v1::Payment,
    payee: &str,
    name: impl Fn(&str) -> String,
) -> String {
    let mut lines = Vec::new();
    for attempt in &payment.attempts {
        if attempt.status() == v1::PaymentStatus::Succeeded {
            lines.push(format!(
                "  you {}   {}",
                parts::way(attempt, &name),
                msat(attempt.amount_msat)
            ));
        }
    }
    let mark = screen.paint(Tone::Good, "✓");
    let took = payment.completed_at_ms.map(|end| end.saturating_sub(payment.created_at_ms));
    let took = took.map_or_else(String::new, |ms| format!(" in {}", words::span(ms)));
    lines.push(format!(
        "{mark} paid {} to {}{took}, fee {} sat",
        msat(payment.amount_msat),
        named(payee, &payment.destination),
        msat_bare(payment.fee_msat)
    ));
    lines.push(format!("  proof {}", payment.preimage()));
    lines.join("\n")
}
