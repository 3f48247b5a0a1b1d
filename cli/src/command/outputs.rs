//! Outputs of a close as a table.

use api::v1;

use crate::amount::grouped;
use crate::render::{Column, Screen, Tone, table};
use crate::resolve::short;

/// A row an output: what it is, what it holds, who has it, until when, what takes it, what comes home.
pub(crate) fn rows(screen: &Screen, outputs: &[v1::CloseOutput]) -> String {
    let columns = [
        Column::Left("OUTPUT"),
        Column::Left("WHAT"),
        Column::Right("SAT"),
        Column::Left("STATE"),
        Column::Right("BEFORE"),
        Column::Left("CLAIM"),
        Column::Right("FEE"),
        Column::Right("COMES HOME"),
    ];
    let rows = outputs.iter().map(|output| {
        vec![
            place(&output.outpoint),
            what(output),
            grouped(output.value_sat),
            state(screen, output),
            output.deadline_height.map_or_else(String::new, |height| grouped(height.into())),
            output.claim_txid.as_deref().map(short).unwrap_or_default(),
            if output.fee_sat > 0 { grouped(output.fee_sat) } else { String::new() },
            grouped(output.expected_sat),
        ]
    });
    table(&columns, rows.collect(), "no outputs")
}

fn place(outpoint: &str) -> String {
    match outpoint.split_once(':') {
        Some((txid, vout)) => format!("{}:{vout}", short(txid)),
        None => outpoint.to_owned(),
    }
}

fn what(output: &v1::CloseOutput) -> String {
    let whose = match output.side.as_str() {
        "us" => "our ",
        "them" => "their ",
        _ => "",
    };
    let number = output.htlc_id.map_or_else(String::new, |id| format!(" {id}"));
    let kind = if output.kind == "second-stage" { "htlc, second stage," } else { &output.kind };
    let expiry = output
        .expiry_height
        .map_or_else(String::new, |height| format!(" until block {}", grouped(height.into())));
    format!("{whose}{kind}{number}{expiry}")
}

fn state(screen: &Screen, output: &v1::CloseOutput) -> String {
    let block = |height: Option<u32>| {
        height.map_or_else(String::new, |height| format!(" block {}", grouped(height.into())))
    };
    let (tone, words) = match output.state.as_str() {
        "waits" => (Tone::Warn, format!("opens at{}", block(output.opens_height))),
        "claimable" => (Tone::Warn, "ours, to be claimed".to_owned()),
        "claiming" => (Tone::Warn, "claim on its way".to_owned()),
        "claimed" => (Tone::Good, format!("ours since{}", block(output.claim_height))),
        "taken" => (Tone::Bad, format!("taken in{}", block(output.claim_height))),
        "irrevocable" => (Tone::Faint, format!("settled since{}", block(output.claim_height))),
        other => (Tone::Faint, other.to_owned()),
    };
    screen.paint(tone, &words)
}
