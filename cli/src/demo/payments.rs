//! Payments that survive the crash of either node: whoever pays asks again until the outcome is final.
//!
//! Asking again is safe: the same invoice is never paid twice.

use std::time::Duration;

use api::client::Client;
use api::reason::{Reason, Report};
use api::v1;
use futures_util::stream::{self, StreamExt as _};
use tokio::time::{Instant, sleep, timeout};
use tonic::Status;

use super::{DemoError, During as _};
use crate::sandbox::run::{Seat, key};

/// How long a node may be away before a call is given up.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long to wait between two tries.
const PAUSE: Duration = Duration::from_millis(30);

/// One payment that is to be made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Order {
    /// Who pays, as an index into the seats.
    pub(super) from: usize,
    /// Who is paid.
    pub(super) to: usize,
    /// How much.
    pub(super) amount_sat: u64,
}

/// What became of some payments.
#[derive(Debug, Clone, Default)]
pub(super) struct Tally {
    /// Payments that arrived.
    pub(super) paid: u64,
    /// Payments that did not.
    pub(super) failed: u64,
    /// What each seat paid to others.
    pub(super) sent_sat: [u64; SEATS],
    /// What each seat was paid.
    pub(super) received_sat: [u64; SEATS],
    /// What each seat gave to those on the way, in msat.
    pub(super) fees_msat: [u64; SEATS],
}

/// Who can pay.
pub(super) const SEATS: usize = 3;

impl Tally {
    /// `fee_msat` is what those on the way got, if it arrived.
    pub(super) fn add(&mut self, order: Order, fee_msat: Option<u64>) {
        let Some(fee_msat) = fee_msat else {
            self.failed = self.failed.saturating_add(1);
            return;
        };
        self.paid = self.paid.saturating_add(1);
        let note = |sums: &mut [u64; SEATS], seat: usize, more: u64| {
            if let Some(sum) = sums.get_mut(seat) {
                *sum = sum.saturating_add(more);
            }
        };
        note(&mut self.sent_sat, order.from, order.amount_sat);
        note(&mut self.received_sat, order.to, order.amount_sat);
        note(&mut self.fees_msat, order.from, fee_msat);
    }

    /// Both together.
    pub(super) fn and(mut self, other: &Self) -> Self {
        self.paid = self.paid.saturating_add(other.paid);
        self.failed = self.failed.saturating_add(other.failed);
        let sums = [
            (&mut self.sent_sat, &other.sent_sat),
            (&mut self.received_sat, &other.received_sat),
            (&mut self.fees_msat, &other.fees_msat),
        ];
        for (sums, more) in sums {
            for (sum, more) in sums.iter_mut().zip(more) {
                *sum = sum.saturating_add(*more);
            }
        }
        self
    }
}

/// Makes payments, so many at a time, and tells of each that came to its end.
pub(super) async fn make(
    seats: &[Seat],
    orders: &[Order],
    at_a_time: usize,
    mut told: impl FnMut(&Tally),
) -> Result<Tally, DemoError> {
    let mut tally = Tally::default();
    let all = orders.iter().map(|order| async move { (*order, one(seats, *order).await) });
    let mut ended = std::pin::pin!(stream::iter(all).buffer_unordered(at_a_time));
    while let Some((order, arrived)) = ended.next().await {
        tally.add(order, arrived?);
        told(&tally);
    }
    Ok(tally)
}

/// What those on the way got, if the payment arrived.
async fn one(seats: &[Seat], order: Order) -> Result<Option<u64>, DemoError> {
    let (Some(payer), Some(payee)) = (seats.get(order.from), seats.get(order.to)) else {
        return Ok(None);
    };
    let key = key().during("making an invoice")?;
    let ask = v1::CreateInvoiceRequest {
        idempotency_key: key,
        amount_msat: Some(order.amount_sat.saturating_mul(1_000)),
        about: Some(v1::create_invoice_request::About::Description("demo".to_owned())),
        ..Default::default()
    };
    let create = || async { payee.client.invoices().create(ask.clone()).await };
    let invoice = patiently(create).await.during("making an invoice")?.into_inner().invoice;
    patiently(|| pay(&payer.client, &invoice)).await.during("paying")
}

/// Whether a refusal or failure will pass once both nodes are up and connected again.
const fn passes(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::NodeStarting
            | Reason::NodeStopping
            | Reason::Overloaded
            | Reason::PeerOffline
            | Reason::ChannelNotOpen
            | Reason::BalanceInsufficient
            | Reason::NoRoute
            | Reason::RouteFailed
    )
}

/// Pays once and watches to the end; an error when the outcome is not known yet.
async fn pay(client: &Client, invoice: &str) -> Result<Option<u64>, Status> {
    let ask = v1::PayRequest { invoice: invoice.to_owned(), ..Default::default() };
    let mut snapshots = client.payments().pay(ask).await?.into_inner();
    while let Some(payment) = snapshots.message().await? {
        match payment.status() {
            v1::PaymentStatus::Succeeded => return Ok(Some(payment.fee_msat)),
            v1::PaymentStatus::Failed => {
                let failure = payment.failure.unwrap_or_default();
                return match failure.reason.parse::<Reason>() {
                    // Final, and nothing is in flight: the same invoice can be tried again.
                    Ok(reason) if passes(reason) => Err(reason.into()),
                    _ => Ok(None),
                };
            }
            v1::PaymentStatus::InFlight | v1::PaymentStatus::Unspecified => {}
        }
    }
    Err(Status::unavailable("the stream ended before the outcome was known"))
}

/// Makes a repeatable call until there is an answer; a refusal that does not pass by itself is one.
pub(super) async fn patiently<T, F>(call: impl Fn() -> F) -> Result<T, Status>
where
    F: Future<Output = Result<T, Status>>,
{
    let begin = Instant::now();
    let mut last = None;
    loop {
        let answer = timeout(PATIENCE.saturating_sub(begin.elapsed()), call()).await;
        let status = match answer {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(status)) => status,
            Err(_) => {
                let late = || Status::deadline_exceeded("no answer in time");
                return Err(last.unwrap_or_else(late));
            }
        };
        let report = Report::read(&status);
        let passes = report.reason.is_none_or(passes) || report.code == tonic::Code::Unavailable;
        if !passes || begin.elapsed() >= PATIENCE {
            return Err(status);
        }
        last = Some(status);
        sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test]
    async fn a_node_that_is_away_is_waited_for_and_a_refusal_is_an_answer() {
        let calls = Cell::new(0);
        let answer = patiently(|| async {
            calls.set(calls.get() + 1);
            if calls.get() < 3 { Err(Status::unknown("connection reset")) } else { Ok(7) }
        });
        assert_eq!(answer.await.unwrap(), 7);
        let refused = || async { Err::<(), _>(Status::from(Reason::InvoiceExpired)) };
        assert_eq!(patiently(refused).await.unwrap_err().code(), tonic::Code::FailedPrecondition);
    }

    #[test]
    fn the_tally_counts_what_arrived_and_what_did_not() {
        let mut tally = Tally::default();
        tally.add(Order { from: 0, to: 2, amount_sat: 500 }, Some(1_000));
        tally.add(Order { from: 2, to: 0, amount_sat: 700 }, Some(2_000));
        tally.add(Order { from: 2, to: 0, amount_sat: 900 }, None);
        assert_eq!((tally.paid, tally.failed), (2, 1));
        assert_eq!((tally.sent_sat, tally.received_sat), ([500, 0, 700], [700, 0, 500]));
        assert_eq!(tally.fees_msat, [1_000, 0, 2_000]);
        let both = tally.clone().and(&tally);
        assert_eq!((both.paid, both.failed, both.sent_sat), (4, 2, [1_000, 0, 1_400]));
    }
}
