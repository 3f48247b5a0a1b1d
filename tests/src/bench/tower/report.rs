//! The table: what was measured here, what was asked for, and what others reach elsewhere.

use crate::bench::figure::Figure;
use std::fmt::Write as _;

/// What is asked for.
enum Goal {
    Most(f64),
    Least(f64),
}

/// What others reach, by notes: figure, goal, words.
fn beside(name: &str) -> (Option<Goal>, &'static str) {
    let what = name.rsplit_once("tower.").map_or(name, |(_, rest)| rest);
    let last = what.rsplit('.').next().unwrap_or(what);
    match (what, last) {
        ("bytes.record", _) => (Some(Goal::Most(220.0)), "LND 370, TEOS 448"),
        ("bytes.replica_state", _) => (Some(Goal::Most(0.1)), "LND 370, TEOS 448"),
        ("bytes.replica_htlc", _) => (Some(Goal::Most(32.0)), "LND and TEOS: not covered"),
        ("bytes.htlc", _) => (Some(Goal::Most(89.0)), "LND and TEOS: not covered"),
        ("store.rate" | "loopback.rate", _) => (
            Some(Goal::Least(50_000.0)),
            "TEOS 25-79 (its disk), 982 (memory); LND's layout on bbolt 242",
        ),
        ("store.wait.p99" | "loopback.wait.p99", _) => (Some(Goal::Most(10.0)), "TEOS 460 at 79/s"),
        (_, "block") => {
            (Some(Goal::Most(5.0)), "TEOS 21-56 (3,000 txs, 1e6); LND's layout 5-10 (3e5)")
        }
        (_, "start") => (Some(Goal::Most(5.0)), "LND's client: 10 minutes (#7121)"),
        (_, "disk_to_raw") => {
            (Some(Goal::Most(1.1)), "TEOS 577 B for 448, LND's layout 783 for 370")
        }
        (_, "catch_up") => (None, "LND: skips blocks if nothing ever matched"),
        (_, "disk") => (None, "TEOS 577, LND's layout 783"),
        _ => (None, ""),
    }
}

/// All figures for people.
pub(super) fn table(figures: &[Figure]) -> String {
    let mut text = String::from(
        "\nwatchtower                          min / median / max          goal     measured elsewhere\n",
    );
    for figure in figures {
        let (goal, others) = beside(&figure.name);
        let goal = match goal {
            Some(Goal::Most(most)) => {
                format!("<= {most} {}", met(figure.median() <= most))
            }
            Some(Goal::Least(least)) => {
                format!(">= {least} {}", met(figure.median() >= least))
            }
            None => String::new(),
        };
        // Beside the same without towers, in the same run.
        let (goal, others) = match figure.ratio() {
            Some(ratio) if figure.name.ends_with(".rate") => {
                (format!(">= 0.95 {}", met(ratio >= 0.95)), format!("{ratio:.3} of that without"))
            }
            Some(ratio) => (goal, format!("{ratio:.3} of that without")),
            None => (goal, others.to_owned()),
        };
        let value = format!("{} {}", figure.spread(), figure.unit);
        let _infallible = writeln!(text, "{:<28} {value:>36}  {goal:<14} {others}", figure.name);
    }
    text.push_str(
        "\nMeasured elsewhere: The Eye of Satoshi (rust-teos 42db021) and an imitation of LND's bbolt layout, on\n\
         a loaded machine of 2 cores; nothing of theirs was run for this table.\n",
    );
    text
}

const fn met(met: bool) -> &'static str {
    if met { "yes" } else { "NO" }
}
