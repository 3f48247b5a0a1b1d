//! `payments`.

use api::v1;

use crate::amount::{msat, msat_bare};
use crate::context::Context;
use crate::failure::Failure;
use crate::render::{Column, Screen, Tone, table};
use crate::resolve::{self, short, visible};
use crate::words;

/// Payments that were made.
#[derive(Debug, clap::Args)]
pub(crate) struct Payments {
    #[command(subcommand)]
    what: Option<What>,
    /// How many to show.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Everything about one payment, with each way that was tried.
    Show {
        /// The payment hash, or its beginning.
        payment: String,
    },
    /// Watch a payment until its outcome is final.
    #[command(alias = "track")]
    Watch {
        /// The payment hash, or its beginning.
        payment: String,
    },
}

impl Payments {
    pub(crate) async fn run(self, cx: &mut Context<'_>) -> Result<(), Failure> {
        match self.what {
            None => list(cx, self.limit).await,
            Some(What::Show { payment }) => show(cx, &payment).await,
            Some(What::Watch { payment }) => watch(cx, &payment).await,
        }
    }
}

async fn list(cx: &mut Context<'_>, limit: u32) -> Result<(), Failure> {
    let ask = v1::ListPaymentsRequest { page_size: limit, ..Default::default() };
    let page = cx.client.call(ask, |to, ask| async move { to.payments().list(ask).await }).await?;
    let now = cx.now;
    cx.screen.result(
        &page,
        |page| page.payments.iter().map(|one| one.payment_hash.clone()).collect(),
        |screen, page| {
            let columns = [
                Column::Left("PAYMENT"),
                Column::Right("SAT"),
                Column::Right("FEE"),
                Column::Left("STATE"),
                Column::Right("AGE"),
                Column::Left("TO"),
                Column::Left("FOR"),
            ];
            let rows = page.payments.iter().map(|one| {
                vec![
                    short(&one.payment_hash),
                    msat_bare(one.amount_msat),
                    msat_bare(one.fee_msat),
                    state(screen, one.status()),
                    words::age(now, one.created_at_ms),
                    short(&one.destination),
                    visible(&one.description),
                ]
            });
            table(&columns, rows.collect(), "no payments yet")
        },
    )
}

fn state(screen: &Screen, status: v1::PaymentStatus) -> String {
    let tone = match status {
        v1::PaymentStatus::Succeeded => Tone::Good,
        v1::PaymentStatus::Failed => Tone::Bad,
        v1::PaymentStatus::InFlight | v1::PaymentStatus::Unspecified => Tone::Warn,
    };
    screen.paint(tone, words::payment(status))
}

async fn show(cx: &mut Context<'_>, text: &str) -> Result<(), Failure> {
    let ask = v1::GetPaymentRequest { payment_hash: resolve::payment(&cx.client, text).await? };
    let payment =
        cx.client.call(ask, |to, ask| async move { to.payments().get(ask).await }).await?;
    let now = cx.now;
    cx.screen.result(
        &payment,
        |payment| vec![payment.payment_hash.clone()],
        |screen, payment| details(screen, payment, now),
    )
}

fn details(screen: &Screen, payment: &v1::Payment, now: u64) -> String {
    let mut lines = vec![
        format!("payment   {}", payment.payment_hash),
        format!("state     {}", state(screen, payment.status())),
        format!("amount    {}", msat(payment.amount_msat)),
        format!("fee       {} of at most {}", msat(payment.fee_msat), msat(payment.fee_limit_msat)),
        format!("to        {}", payment.destination),
        format!("started   {} ago", words::age(now, payment.created_at_ms)),
    ];
    if !payment.description.is_empty() {
        lines.push(format!("for       {}", visible(&payment.description)));
    }
    if let Some(preimage) = &payment.preimage {
        lines.push(format!("proof     {preimage}"));
    }
    if let Some(failure) = &payment.failure {
        lines.push(format!("failed    {} ({})", visible(&failure.detail), failure.reason));
    }
    for attempt in &payment.attempts {
        let ways: Vec<String> = attempt
            .hops
            .iter()
            .map(|hop| {
                let held = hop.held_ms.map_or_else(String::new, |ms| {
                    format!(" (held {}.{} s)", ms / 1_000, ms % 1_000 / 100)
                });
                format!("{} by {}{held}", short(&hop.node_id), short(&hop.channel))
            })
            .collect();
        let mut line = format!(
            "way       {} {} {}",
            ways.join(" → "),
            msat(attempt.amount_msat),
            state(screen, attempt.status())
        );
        if let Some(failure) = &attempt.failure {
            line.push_str(&format!(": {} {}", failure.reason, visible(&failure.detail)));
        }
        lines.push(line);
    }
    lines.join("\n")
}

async fn watch(cx: &mut Context<'_>, text: &str) -> Result<(), Failure> {
    let payment_hash = resolve::payment(&cx.client, text).await?;
    let again = cx.again(&format!("payments watch {payment_hash}"));
    let ask = v1::WatchPaymentRequest { payment_hash };
    let stream = cx.client.payments().watch(ask).await?.into_inner();
    let payment = super::pay::follow(cx, stream, &again).await?;
    let mut payee = String::new();
    cx.name(&mut payee, &payment.destination);
    super::pay::show(cx, &payment, &payee)
}
