//! A storm: payments at random between all nodes of a sandbox, and the account afterwards.
//!
//! Everything is done as users would do it, through the nodes' API: the payee makes an invoice, the payer
//! pays it, and at the end both are asked what they have. Not here: how it is shown.

mod account;
mod books;

pub use account::{Account, Latency};

use std::collections::BTreeMap;
use std::time::Duration;

use api::client::Client;
use api::reason::Report;
use api::v1;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use tokio::time::{Instant, sleep};
use tonic::Status;

use super::dice::Dice;
use super::run::{Seat, key};
use books::Books;

/// Questions about invoices at the same time.
const LOOKS_AT_ONCE: usize = 32;
/// How long an answer that was lost is looked for.
const PATIENCE: Duration = Duration::from_secs(90);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(100);

/// What a storm is to be.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// How many payments.
    pub payments: u64,
    /// How many of them at the same time.
    pub concurrency: usize,
    /// The least amount, in msat.
    pub least_msat: u64,
    /// The greatest, in msat.
    pub most_msat: u64,
    /// Who pays whom how much follows from it.
    pub seed: u64,
}

/// One payment that is to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Order {
    from: usize,
    to: usize,
    amount_msat: u64,
}

/// How a payment ended.
#[derive(Debug, Clone, PartialEq, Eq)]
enum End {
    /// It arrived; those on the way got this much.
    Paid { fee_msat: u64 },
    /// It did not, and nothing is under way any more: for this reason.
    Failed(String),
    /// Nobody could say.
    Unknown,
}

/// A payment that was made, and how.
#[derive(Debug, Clone)]
struct Made {
    order: Order,
    hash: String,
    end: End,
    took: Duration,
}

/// Somebody who watches.
pub trait Watcher {
    /// So many payments of all have ended.
    fn progress(&mut self, ended: u64, all: u64);
}

/// Makes it, waits until nothing is under way any more, and counts everything.
///
/// # Errors
///
/// When a node does not answer, or something stays under way. Payments that fail and sums that do not agree
/// are no errors; the account has them.
pub(crate) async fn storm(
    seats: &[Seat],
    settings: &Settings,
    watcher: &mut impl Watcher,
) -> Result<Account, Status> {
    let before = Books::quiet(seats).await?;
    let orders = orders(seats.len(), settings);
    let begin = Instant::now();
    let all = orders.iter().map(|order| one(seats, *order));
    let mut ended = std::pin::pin!(stream::iter(all).buffer_unordered(settings.concurrency.max(1)));
    let mut made = Vec::new();
    while let Some(one) = ended.next().await {
        made.push(one?);
        watcher.progress(u64::try_from(made.len()).unwrap_or(u64::MAX), settings.payments);
    }
    let took = begin.elapsed();
    let after = Books::quiet(seats).await?;
    let arrived = arrived(seats, &made).await?;
    Ok(Account::new(&before, &after, &made, &arrived, took))
}

/// Who pays whom how much: nobody himself.
fn orders(nodes: usize, settings: &Settings) -> Vec<Order> {
    let mut dice = Dice::new(settings.seed);
    let span = settings.most_msat.saturating_sub(settings.least_msat).saturating_add(1);
    let one = |_| {
        let from = dice.place(nodes);
        let ahead = dice.place(nodes.saturating_sub(1)).saturating_add(1);
        let to = from.saturating_add(ahead).checked_rem(nodes).unwrap_or_default();
        // Whole satoshi, unless the bounds are finer.
        let drawn = settings.least_msat.saturating_add(dice.below(span));
        let whole = drawn.saturating_sub(drawn % 1_000).max(settings.least_msat);
        Order { from, to, amount_msat: whole }
    };
    if nodes < 2 { Vec::new() } else { (0..settings.payments).map(one).collect() }
}

async fn one(seats: &[Seat], order: Order) -> Result<Made, Status> {
    let (Some(payer), Some(payee)) = (seats.get(order.from), seats.get(order.to)) else {
        return Err(Status::internal("no such node"));
    };
    let ask = v1::CreateInvoiceRequest {
        idempotency_key: key()?,
        amount_msat: Some(order.amount_msat),
        about: Some(v1::create_invoice_request::About::Description("storm".to_owned())),
        ..Default::default()
    };
    let create = |to: Client, ask| async move { to.invoices().create(ask).await };
    let invoice = payee.client.call(ask, create).await?;
    let begin = Instant::now();
    let end = match pay(&payer.client, &invoice.invoice).await {
        Some(end) => end,
        None => look_for_end(&payer.client, &invoice.payment_hash).await,
    };
    Ok(Made { order, hash: invoice.payment_hash, end, took: begin.elapsed() })
}

/// Pays once; nothing when the answer was lost.
async fn pay(client: &Client, invoice: &str) -> Option<End> {
    let ask = v1::PayRequest { invoice: invoice.to_owned(), ..Default::default() };
    let mut snapshots = match client.payments().pay(ask).await {
        Ok(answer) => answer.into_inner(),
        Err(status) => return refused(&status),
    };
    loop {
        match snapshots.message().await {
            Ok(Some(payment)) => {
                if let Some(end) = end_of(&payment) {
                    return Some(end);
                }
            }
            Ok(None) | Err(_) => return None,
        }
    }
}

/// A clear no is an end; anything else may have begun.
fn refused(status: &Status) -> Option<End> {
    let report = Report::read(status);
    match (report.money(), report.reason) {
        (api::reason::Money::Untouched, Some(reason)) => {
            Some(End::Failed(reason.name().to_owned()))
        }
        (api::reason::Money::Untouched | api::reason::Money::Unknown, _) => None,
    }
}

fn end_of(payment: &v1::Payment) -> Option<End> {
    match payment.status() {
        v1::PaymentStatus::Succeeded => Some(End::Paid { fee_msat: payment.fee_msat }),
        v1::PaymentStatus::Failed => {
            let reason = payment.failure.as_ref().map(|failure| failure.reason.clone());
            Some(End::Failed(reason.unwrap_or_default()))
        }
        v1::PaymentStatus::InFlight | v1::PaymentStatus::Unspecified => None,
    }
}

async fn look_for_end(client: &Client, hash: &str) -> End {
    let begin = Instant::now();
    while begin.elapsed() < PATIENCE {
        let ask = v1::GetPaymentRequest { payment_hash: hash.to_owned() };
        let get = |to: Client, ask| async move { to.payments().get(ask).await };
        match client.call(ask, get).await {
            Ok(payment) => {
                if let Some(end) = end_of(&payment) {
                    return end;
                }
            }
            Err(status) if status.code() == tonic::Code::NotFound => {
                return End::Failed("NEVER_SENT".to_owned());
            }
            Err(_) => {}
        }
        sleep(LOOK).await;
    }
    End::Unknown
}

/// What each invoice got, in msat; what has none is not among them.
async fn arrived(seats: &[Seat], made: &[Made]) -> Result<BTreeMap<String, u64>, Status> {
    let looks = made.iter().filter_map(|one| {
        let payee = seats.get(one.order.to)?;
        Some(async move {
            let ask = v1::GetInvoiceRequest { payment_hash: one.hash.clone() };
            let get = |to: Client, ask| async move { to.invoices().get(ask).await };
            let invoice = payee.client.call(ask, get).await?;
            let settled = invoice.status() == v1::InvoiceStatus::Settled;
            Ok::<_, Status>(settled.then(|| (one.hash.clone(), invoice.received_msat)))
        })
    });
    let found: Vec<_> = stream::iter(looks).buffer_unordered(LOOKS_AT_ONCE).try_collect().await?;
    Ok(found.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_storm_and_nobody_pays_himself() {
        let of = |seed| {
            let settings = Settings {
                payments: 5_000,
                concurrency: 1,
                least_msat: 1_000_000,
                most_msat: 50_000_000,
                seed,
            };
            orders(7, &settings)
        };
        assert_eq!(of(7), of(7));
        assert_ne!(of(7), of(8));
        assert_eq!(of(7).len(), 5_000);
        for order in of(7) {
            assert!(order.from < 7 && order.to < 7 && order.from != order.to);
            assert!((1_000_000..=50_000_000).contains(&order.amount_msat));
            assert_eq!(order.amount_msat % 1_000, 0);
        }
        for node in 0..7 {
            assert!(of(7).iter().any(|order| order.from == node));
            assert!(of(7).iter().any(|order| order.to == node));
        }
    }

    #[test]
    fn amounts_below_a_satoshi_are_possible() {
        let settings =
            Settings { payments: 100, concurrency: 1, least_msat: 1, most_msat: 1, seed: 1 };
        assert!(orders(2, &settings).iter().all(|order| order.amount_msat == 1));
        assert!(orders(1, &settings).is_empty());
    }
}
