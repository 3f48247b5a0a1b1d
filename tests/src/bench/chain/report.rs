//! The table: what was measured, and what was asked for.

use crate::bench::figure::Figure;
use std::fmt::Write as _;

/// The most that is asked for, in the figure's unit, and what it is in words.
fn about(name: &str) -> (Option<f64>, &'static str) {
    match name.trim_start_matches("chain.") {
        "empty.rate" => (None, "blocks with a coinbase alone, each synced"),
        "full.rate" => (None, "payments with one signature each, a sync a block"),
        "full.block" => (Some(0.25), "one full block, durable"),
        "full.block.cpu" => (Some(0.25), "the same in CPU time of all threads, mean"),
        "disk.blocks" => (None, "block and undo files"),
        "disk.index" => (None, "the index"),
        "coin" => (None, "one coin by its outpoint, through the chain's queue"),
        "reorg" => (None, "all full blocks replaced by one more, scripts checked"),
        "start.stopped" => (Some(1.0), "after an orderly stop"),
        "start.killed" => (Some(1.0), "after a kill"),
        "start.reindex" => (None, "the index made anew"),
        "full.start" => (None, "with the full blocks, after an orderly stop"),
        "full.start.killed" => (None, "after a kill right behind the reorganisation"),
        "full.reindex" => (None, "the index made anew, both branches there"),
        _ => (None, ""),
    }
}

/// All figures for people.
pub(super) fn table(figures: &[Figure]) -> String {
    let mut text =
        String::from("\nbuilt-in chain                 min / median / max             goal\n");
    for figure in figures {
        let (most, words) = about(&figure.name);
        let goal = most.map_or_else(String::new, |most| {
            let met = if figure.median() <= most { "yes" } else { "NO" };
            format!("<= {most} {met}")
        });
        let value = format!("{} {}", figure.spread(), figure.unit);
        let _infallible = writeln!(text, "{:<24} {value:>34}  {goal:<12} {words}", figure.name);
    }
    text
}
