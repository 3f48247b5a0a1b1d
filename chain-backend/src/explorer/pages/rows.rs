//! Lists of transactions and blocks.

use super::names::pills;
use crate::builtin::BlockSums;
use crate::explorer::html::Html;
use crate::explorer::look::Seen;
use crate::explorer::words::{Short, ago, amount, grouped, rate, sat_kvb};

/// A table of transactions.
pub(super) fn transactions(html: &mut Html, seen: &[Seen], now: u32) {
    html.raw("<table><thead><tr><th>Transaction</th><th></th><th class=\"right\">Amount</th><th class=\"right\">sat/vB</th><th class=\"right wide\">When</th></tr></thead><tbody>");
    for one in seen {
        html.raw("<tr data-key=\"").text(one.txid).raw("\"><td>");
        html.link_as("mono", format_args!("/tx/{}", one.txid), Short(one.txid)).raw("</td><td>");
        pills(html, &one.life);
        html.raw("</td><td class=\"right\">").text(amount(one.value_sat()));
        html.raw("</td><td class=\"right\">")
            .text(one.sat_kvb().map_or_else(|| "–".to_owned(), rate));
        html.raw("</td><td class=\"right wide dim\">");
        match (one.whole.block, one.came) {
            (Some(block), _) => html.text(ago(block.header.time, now)),
            (None, Some(came)) => html.text(ago(came, now)),
            (None, None) => html,
        };
        html.raw("</td></tr>");
    }
    html.raw("</tbody></table>");
}

/// A table of blocks.
pub(super) fn blocks(html: &mut Html, blocks: &[BlockSums], now: u32) {
    html.raw("<table><thead><tr><th>Block</th><th class=\"right\">Transactions</th><th class=\"right\">Fees</th><th class=\"right wide\">sat/vB</th><th class=\"right wide\">Weight</th><th class=\"right\">When</th></tr></thead><tbody>");
    for block in blocks {
        let height = block.at.height;
        html.raw("<tr data-key=\"").text(block.at.hash).raw("\"><td>");
        html.link(format_args!("/block/{height}"), grouped(height.into()));
        html.raw(" <span class=\"mono dim wide\">")
            .text(Short(block.at.hash))
            .raw("</span></td><td class=\"right\">");
        html.text(grouped(block.txs)).raw("</td><td class=\"right\">").text(amount(block.fees_sat));
        html.raw("</td><td class=\"right wide\">");
        let rate_of = if block.txs > 0 {
            rate(sat_kvb(block.fees_sat, block.paying_wu))
        } else {
            "–".to_owned()
        };
        html.text(rate_of).raw("</td><td class=\"right wide\">").text(grouped(block.weight_wu));
        html.raw("</td><td class=\"right dim\">")
            .text(ago(block.at.header.time, now))
            .raw("</td></tr>");
    }
    html.raw("</tbody></table>");
}
