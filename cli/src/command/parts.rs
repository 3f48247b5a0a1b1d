//! The parts of a payment while it is under way, a line each.

use api::v1;

use crate::amount::{msat, msat_bare};
use crate::render::{Screen, Tone};
use crate::resolve::{short, visible};
use crate::words;

/// Parts that failed which are still shown: the last ones.
const FAILED_SHOWN: usize = 4;

/// A head and a line a part: its way, what it brings, what that costs, how it stands. `name` says what a node is
/// called; nothing if it has no name.
pub(super) fn rows(
    screen: &Screen,
    payment: &v1::Payment,
    name: impl Fn(&str) -> String,
) -> Vec<String> {
    let is = |status| move |one: &&v1::PaymentAttempt| one.status() == status;
    let all = || payment.attempts.iter();
    let failed = all().filter(is(v1::PaymentStatus::Failed)).count();
    let flying: Vec<_> = all().filter(is(v1::PaymentStatus::InFlight)).collect();
    let mut head = if flying.is_empty() {
        "looking for a way".to_owned()
    } else {
        let sum = |of: fn(&v1::PaymentAttempt) -> u64| {
            flying.iter().fold(0_u64, |sum, one| sum.saturating_add(of(one)))
        };
        format!(
            "{} {} in flight: {} of {}, fee {} sat",
            flying.len(),
            if flying.len() == 1 { "part" } else { "parts" },
            msat(sum(|one| one.amount_msat)),
            msat(payment.amount_msat),
            msat_bare(sum(|one| one.fee_msat))
        )
    };
    if failed > 0 {
        head.push_str(&format!(", {failed} tried before"));
    }
    let mut lines = vec![format!("{} {head}", screen.paint(Tone::Warn, "◐"))];
    let mut old = failed.saturating_sub(FAILED_SHOWN);
    for attempt in all() {
        if attempt.status() == v1::PaymentStatus::Failed && old > 0 {
            old = old.saturating_sub(1);
            continue;
        }
        lines.push(row(screen, attempt, &name));
    }
    lines
}

fn row(screen: &Screen, attempt: &v1::PaymentAttempt, name: &impl Fn(&str) -> String) -> String {
    let (tone, state) = match attempt.status() {
        v1::PaymentStatus::Succeeded => (Tone::Good, "arrived".to_owned()),
        v1::PaymentStatus::Failed => (Tone::Bad, failure(attempt)),
        status @ (v1::PaymentStatus::InFlight | v1::PaymentStatus::Unspecified) => {
            (Tone::Warn, words::payment(status).to_owned())
        }
    };
    format!(
        "part {:<3} {}  {}, fee {} sat  {}",
        attempt.part,
        way(attempt, name),
        msat(attempt.amount_msat),
        msat_bare(attempt.fee_msat),
        screen.paint(tone, &state)
    )
}

fn failure(attempt: &v1::PaymentAttempt) -> String {
    match &attempt.failure {
        None => "failed".to_owned(),
        Some(failure) => {
            let code = failure.onion_code.map_or_else(String::new, |code| format!(" {code:#06x}"));
            let by = failure.source_node_id.as_deref().map(short);
            let by = by.map_or_else(String::new, |by| format!(" by {by}"));
            format!("failed: {}{code}{by}", visible(&failure.reason))
        }
    }
}

/// The way of one attempt: `you ──102x1x0──▶ bob`.
pub(super) fn way(attempt: &v1::PaymentAttempt, name: &impl Fn(&str) -> String) -> String {
    let hop = |hop: &v1::Hop| {
        let known = name(&hop.node_id);
        let node = if known.is_empty() { short(&hop.node_id) } else { visible(&known) };
        format!("──{}──▶ {node}", short(&hop.channel))
    };
    attempt.hops.iter().map(hop).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::render::{Format, Look};

    fn screen() -> Screen {
        let look = Look {
            format: Format::Human,
            json_errors: false,
            colour: false,
            live: true,
            can_ask: false,
            yes: true,
        };
        let (out, err) = (Box::new(std::io::sink()), Box::new(std::io::sink()));
        Screen::new(out, err, Box::new(Cursor::new("")), look)
    }

    fn part(number: u32, status: v1::PaymentStatus) -> v1::PaymentAttempt {
        let hop = |node: &str, channel: &str| v1::Hop {
            node_id: node.into(),
            channel: channel.into(),
            ..Default::default()
        };
        let failure = (status == v1::PaymentStatus::Failed).then(|| v1::PaymentFailure {
            reason: "ROUTE_FAILED".into(),
            onion_code: Some(0x1007),
            source_node_id: Some("02b0".into()),
            ..Default::default()
        });
        v1::PaymentAttempt {
            part: number,
            status: status.into(),
            amount_msat: 5_000_000,
            fee_msat: 1_250,
            hops: vec![hop("02b0", "102x1x0"), hop("02ca", "105x1x0")],
            failure,
            ..Default::default()
        }
    }

    #[test]
    fn each_part_has_a_line_and_of_those_that_failed_the_last_ones() {
        use v1::PaymentStatus::{Failed, InFlight};

        let name = |id: &str| if id == "02b0" { "bob".to_owned() } else { String::new() };
        let mut attempts: Vec<_> = (0..6).map(|number| part(number, Failed)).collect();
        attempts.push(part(6, InFlight));
        attempts.push(part(7, InFlight));
        let payment = v1::Payment { amount_msat: 20_000_000, attempts, ..v1::Payment::default() };
        let lines = rows(&screen(), &payment, name);
        assert_eq!(
            lines[0],
            "◐ 2 parts in flight: 10 000 sat of 20 000 sat, fee 2.500 sat, 6 tried before"
        );
        assert_eq!(lines.len(), 1 + 4 + 2);
        assert_eq!(
            lines[1],
            "part 2   ──102x1x0──▶ bob ──105x1x0──▶ 02ca  5 000 sat, fee 1.250 sat  failed: \
             ROUTE_FAILED 0x1007 by 02b0"
        );
        assert!(lines[6].starts_with("part 7 ") && lines[6].ends_with("in flight"), "{}", lines[6]);

        let none = v1::Payment { attempts: Vec::new(), ..payment };
        assert_eq!(rows(&screen(), &none, name), ["◐ looking for a way"]);
    }
}
