//! The account of a storm: what was there, where it is now, how long it took and why payments failed.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::books::Books;
use super::{End, Made};
use crate::amount::{grouped, msat};

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Account {
    /// Payments that were begun, refused ones included.
    pub payments: u64,
    /// Those that arrived.
    pub paid: u64,
    /// Those that did not.
    pub failed: u64,
    /// Those of which nobody could say.
    pub unknown: u64,
    /// From the first invoice to the last end.
    pub seconds: f64,
    /// Payments that came to their end in a second.
    pub rate: f64,
    /// Of those that arrived: from the order to pay to the proof.
    pub latency_ms: Latency,
    /// Why others did not arrive, and how many for each reason.
    pub failures: BTreeMap<String, u64>,
    /// What arrived, in msat.
    pub volume_msat: u64,
    /// What payers gave to those on the way, in msat.
    pub fees_paid_msat: u64,
    /// What those on the way say that they got, in msat.
    pub fees_earned_msat: u64,
    /// Channels.
    pub channels: u64,
    /// What was put into them, in msat.
    pub issued_msat: u64,
    /// What is on all their sides now, in msat.
    pub balances_msat: u64,
    /// What is under way, in msat.
    pub in_flight_msat: u64,
    /// Payments that a channel still shows.
    pub htlcs: u64,
    /// Payments of which payer and payee do not tell the same, or not the same amount.
    pub disagreements: u64,
    /// Nodes that have not exactly what their payments and forwards say.
    pub nodes_off: u64,
}

/// Milliseconds: half of all took no longer than the first, and so on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Latency {
    /// Of 50 in 100.
    pub p50: f64,
    /// Of 95.
    pub p95: f64,
    /// Of 99.
    pub p99: f64,
    /// Of all.
    pub max: f64,
}

impl Latency {
    fn of(mut all: Vec<Duration>) -> Self {
        all.sort_unstable();
        let at = |percent: usize| {
            let place = all.len().saturating_mul(percent).div_ceil(100).saturating_sub(1);
            all.get(place).map_or(0.0, |took| milliseconds(*took))
        };
        Self { p50: at(50), p95: at(95), p99: at(99), max: at(100) }
    }
}

fn milliseconds(took: Duration) -> f64 {
    took.saturating_mul(1_000).as_secs_f64()
}

impl Account {
    pub(super) fn new(
        before: &Books,
        after: &Books,
        made: &[Made],
        arrived: &BTreeMap<String, u64>,
        took: Duration,
    ) -> Self {
        let mut account = Self {
            payments: u64::try_from(made.len()).unwrap_or(u64::MAX),
            seconds: took.as_secs_f64(),
            rate: rate(made.len(), took),
            channels: after.channels,
            issued_msat: before.issued_msat,
            balances_msat: after.balances_msat(),
            in_flight_msat: after.in_flight_msat,
            htlcs: after.htlcs,
            ..Self::default()
        };
        let mut should: Vec<i128> =
            before.nodes.iter().map(|purse| i128::from(purse.ours_msat)).collect();
        let mut latencies = Vec::new();
        for one in made {
            let got = arrived.get(&one.hash).copied();
            match &one.end {
                End::Paid { fee_msat } => {
                    account.paid = account.paid.saturating_add(1);
                    account.volume_msat = account.volume_msat.saturating_add(one.order.amount_msat);
                    account.fees_paid_msat = account.fees_paid_msat.saturating_add(*fee_msat);
                    latencies.push(one.took);
                    let gave = one.order.amount_msat.saturating_add(*fee_msat);
                    take(&mut should, one.order.from, gave);
                    add(&mut should, one.order.to, one.order.amount_msat);
                    if got != Some(one.order.amount_msat) {
                        account.disagreements = account.disagreements.saturating_add(1);
                    }
                }
                End::Failed(reason) => {
                    account.failed = account.failed.saturating_add(1);
                    let count = account.failures.entry(reason.clone()).or_default();
                    *count = count.saturating_add(1);
                    if got.is_some() {
                        account.disagreements = account.disagreements.saturating_add(1);
                    }
                }
                End::Unknown => account.unknown = account.unknown.saturating_add(1),
            }
        }
        account.latency_ms = Latency::of(latencies);
        for (place, (then, now)) in before.nodes.iter().zip(&after.nodes).enumerate() {
            let earned = now.earned_msat.saturating_sub(then.earned_msat);
            account.fees_earned_msat = account.fees_earned_msat.saturating_add(earned);
            add(&mut should, place, earned);
            if should.get(place) != Some(&i128::from(now.ours_msat)) {
                account.nodes_off = account.nodes_off.saturating_add(1);
            }
        }
        account
    }

    /// Whether every millisatoshi is where it should be, and every payment has one end.
    pub fn adds_up(&self) -> bool {
        let all = self.balances_msat.checked_add(self.in_flight_msat);
        self.unknown == 0
            && self.disagreements == 0
            && self.nodes_off == 0
            && self.htlcs == 0
            && self.fees_paid_msat == self.fees_earned_msat
            && self.paid.checked_add(self.failed) == Some(self.payments)
            && all == Some(self.issued_msat)
    }

    /// For programs: one object.
    pub fn to_json(&self) -> serde_json::Value {
        let mut object = serde_json::json!(self);
        if let Some(fields) = object.as_object_mut() {
            fields.insert("adds_up".into(), self.adds_up().into());
        }
        object
    }

    /// For people: a few lines.
    pub fn to_text(&self) -> String {
        let Latency { p50, p95, p99, max } = self.latency_ms;
        let mut text = format!(
            "{} payments in {:.1} s: {:.0} a second, {} paid, {} failed\n\
             latency  p50 {p50:.0} ms, p95 {p95:.0} ms, p99 {p99:.0} ms, longest {max:.0} ms\n",
            grouped(self.payments),
            self.seconds,
            self.rate,
            grouped(self.paid),
            grouped(self.failed),
        );
        let mut reasons: Vec<_> = self.failures.iter().collect();
        reasons.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        for (reason, count) in reasons {
            text.push_str(&format!("failed   {} × {reason}\n", grouped(*count)));
        }
        text.push_str(&format!(
            "moved    {}, and {} in fees to those on the way\n",
            msat(self.volume_msat),
            msat(self.fees_paid_msat)
        ));
        text.push_str(&format!(
            "account  {} put into {} channels = {} on their sides + {} in flight ({} HTLCs)\n",
            msat(self.issued_msat),
            grouped(self.channels),
            msat(self.balances_msat),
            msat(self.in_flight_msat),
            grouped(self.htlcs),
        ));
        text.push_str(&if self.adds_up() {
            "         adds up: every payment was paid once or failed, every node has what its payments \
             and forwards say, every fee paid was earned"
                .to_owned()
        } else {
            format!(
                "         THE ACCOUNT DOES NOT ADD UP: {} payments told differently, {} unknown, {} nodes \
                 off, {} in fees earned",
                grouped(self.disagreements),
                grouped(self.unknown),
                grouped(self.nodes_off),
                msat(self.fees_earned_msat),
            )
        });
        text
    }
}

fn add(purses: &mut [i128], place: usize, msat: u64) {
    if let Some(purse) = purses.get_mut(place) {
        *purse = purse.saturating_add(msat.into());
    }
}

fn take(purses: &mut [i128], place: usize, msat: u64) {
    if let Some(purse) = purses.get_mut(place) {
        *purse = purse.saturating_sub(msat.into());
    }
}

/// How many in a second.
fn rate(count: usize, took: Duration) -> f64 {
    let count = Duration::from_secs(u64::try_from(count).unwrap_or(u64::MAX));
    count.div_duration_f64(took.max(Duration::from_micros(1)))
}

#[cfg(test)]
mod tests {
    use super::super::Order;
    use super::super::books::Purse;
    use super::*;

    fn books(ours: [u64; 3], earned: [u64; 3]) -> Books {
        let purse = |(ours_msat, earned_msat)| Purse { ours_msat, earned_msat };
        let nodes = ours.into_iter().zip(earned).map(purse).collect();
        Books { channels: 2, issued_msat: 3_000, nodes, ..Books::default() }
    }

    fn made(from: usize, to: usize, amount_msat: u64, end: End) -> Made {
        let hash = format!("{from}{to}{amount_msat}");
        Made { order: Order { from, to, amount_msat }, hash, end, took: Duration::from_millis(20) }
    }

    /// The first pays the last over the one between; another payment fails.
    fn good() -> (Books, Books, Vec<Made>, BTreeMap<String, u64>) {
        let made = vec![
            made(0, 2, 100, End::Paid { fee_msat: 5 }),
            made(2, 0, 900, End::Failed("NO_ROUTE".to_owned())),
        ];
        let arrived = BTreeMap::from([(made[0].hash.clone(), 100)]);
        (
            books([1_000, 1_000, 1_000], [7, 7, 7]),
            books([895, 1_005, 1_100], [7, 12, 7]),
            made,
            arrived,
        )
    }

    fn account(
        (before, after, made, arrived): &(Books, Books, Vec<Made>, BTreeMap<String, u64>),
    ) -> Account {
        Account::new(before, after, made, arrived, Duration::from_secs(2))
    }

    #[test]
    fn a_storm_that_lost_nothing_adds_up() {
        let account = account(&good());
        assert!(account.adds_up(), "{account:?}");
        assert_eq!((account.paid, account.failed, account.fees_paid_msat), (1, 1, 5));
        assert_eq!(account.failures, BTreeMap::from([("NO_ROUTE".to_owned(), 1)]));
        assert!((account.rate - 1.0).abs() < 1e-9);
        assert!(account.to_text().contains("adds up"));
        let json = account.to_json();
        assert_eq!(json["adds_up"], true);
        assert_eq!(json["latency_ms"]["p99"], 20.0);
        assert_eq!(json["failures"]["NO_ROUTE"], 1);
    }

    #[test]
    fn whatever_is_lost_doubled_or_left_is_seen() {
        type Story = (Books, Books, Vec<Made>, BTreeMap<String, u64>);
        let spoilt = |spoil: fn(&mut Story)| {
            let mut all = good();
            spoil(&mut all);
            account(&all)
        };
        let accounts = [
            spoilt(|(_, after, _, _)| after.nodes[2].ours_msat -= 1),
            spoilt(|(_, after, _, _)| {
                after.nodes[2].ours_msat -= 1;
                after.nodes[1].ours_msat += 1;
            }),
            spoilt(|(_, after, _, _)| after.htlcs = 1),
            spoilt(|(_, after, _, _)| after.nodes[1].earned_msat = 13),
            spoilt(|(_, _, made, arrived)| {
                arrived.insert(made[1].hash.clone(), 900);
            }),
            spoilt(|(_, _, made, arrived)| {
                arrived.insert(made[0].hash.clone(), 200);
            }),
            spoilt(|(_, _, _, arrived)| arrived.clear()),
            spoilt(|(_, _, made, _)| made[1].end = End::Unknown),
        ];
        for account in accounts {
            assert!(!account.adds_up(), "{account:?}");
            assert!(account.to_text().contains("DOES NOT ADD UP"));
        }
    }

    #[test]
    fn latencies_are_those_of_the_slowest_so_many() {
        let all = (1..=200).map(Duration::from_millis).collect();
        let latency = Latency::of(all);
        assert_eq!(latency, Latency { p50: 100.0, p95: 190.0, p99: 198.0, max: 200.0 });
        assert_eq!(Latency::of(Vec::new()), Latency::default());
    }
}
