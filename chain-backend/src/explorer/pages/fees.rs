//! What to pay, and what blocks took.

use crate::backend::FeeTable;
use crate::explorer::html::Html;
use crate::explorer::page::Page;
use crate::explorer::words::{count, rate};
use crate::explorer::{Reply, Shop, chart, look};
use axum::extract::State;
use axum::response::IntoResponse as _;
use bitcoin::FeeRate;

/// Blocks in the chart.
const CHART: usize = 144;

pub(in crate::explorer) async fn show(State(shop): State<Shop>) -> Reply {
    let (blocks, table, mark) = shop
        .chain
        .ask(|chain| {
            let blocks = chain.block_sums(chain.tip().height, CHART);
            (blocks, chain.fee_table(), look::mark(chain))
        })
        .await?;
    let blocks = blocks?;
    let mut body = Html::new();
    body.raw("<section class=\"card\"><h1>Fees</h1><p class=\"dim\">The average of each of the last blocks, sat/vB; brighter where a block was fuller.</p>");
    body.add(&chart::fees(&blocks));
    body.raw("</section><section class=\"card\"><h2>What to pay</h2>");
    estimates(&mut body, &table);
    body.raw("<dl>").fact("the mempool takes now", per_vb(table.mempool_min));
    body.fact("and when it is empty", per_vb(table.relay_min));
    body.fact("a replacement adds", per_vb(table.incremental)).raw("</dl></section>");
    Ok(Page::new("Fees").on(shop.network).live(mark).with(body).into_response())
}

fn per_vb(fee_rate: FeeRate) -> String {
    format!("{} sat/vB", rate(fee_rate.to_sat_per_kwu().saturating_mul(4)))
}

/// A table of estimates.
pub(super) fn estimates(body: &mut Html, table: &FeeTable) {
    body.raw("<table><thead><tr><th>To be mined within</th><th class=\"right\">sat/vB</th></tr></thead><tbody>");
    for (target, fee_rate) in &table.targets {
        body.raw("<tr><td>")
            .text(count(u64::from(*target), "block", "blocks"))
            .raw("</td><td class=\"right\">");
        match fee_rate {
            Some(fee_rate) => body.text(rate(fee_rate.to_sat_per_kwu().saturating_mul(4))),
            None => body.raw("<span class=\"dim\">nobody knows</span>"),
        };
        body.raw("</td></tr>");
    }
    body.raw("</tbody></table>");
}
