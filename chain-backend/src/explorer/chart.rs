//! A chart of what blocks took, drawn as SVG.

use super::html::Html;
use super::words::{count, rate, sat_kvb};
use crate::builtin::BlockSums;

/// The drawing's width and height, in units of its own.
const WIDTH: u64 = 720;
const HEIGHT: u64 = 180;
/// Room for the words at the left and below.
const LEFT: u64 = 56;
const BELOW: u64 = 22;

/// One bar a block, as high as the average feerate it took; how full the block was shows as the bar's shade.
/// `blocks` come newest first.
pub(super) fn fees(blocks: &[BlockSums]) -> Html {
    let rates: Vec<u64> =
        blocks.iter().map(|block| sat_kvb(block.fees_sat, block.paying_wu)).collect();
    let top = nice(rates.iter().copied().max().unwrap_or(0).max(1_000));
    let plot = WIDTH.saturating_sub(LEFT);
    let slots = u64::try_from(blocks.len()).unwrap_or(u64::MAX).max(24);
    let mut svg = Html::new();
    svg.raw("<svg class=\"chart\" role=\"img\" aria-label=\"Average feerate of each block\" viewBox=\"0 0 720 202\">");
    for share in [0_u64, 1, 2] {
        let y =
            HEIGHT.saturating_sub(HEIGHT.saturating_sub(12).saturating_mul(share).div_euclid(2));
        svg.raw("<line class=\"grid\" x1=\"56\" x2=\"720\" y1=\"")
            .text(y)
            .raw("\" y2=\"")
            .text(y)
            .raw("\"/>");
        svg.raw("<text class=\"axis\" x=\"48\" text-anchor=\"end\" y=\"")
            .text(y.saturating_add(4))
            .raw("\">");
        svg.text(rate(top.saturating_mul(share).div_euclid(2))).raw("</text>");
    }
    let width = plot.saturating_mul(100).checked_div(slots).unwrap_or(0);
    for ((number, block), sat_kvb) in (0_u64..).zip(blocks.iter().rev()).zip(rates.iter().rev()) {
        let x = LEFT.saturating_mul(100).saturating_add(width.saturating_mul(number));
        let tall = HEIGHT.saturating_sub(12).saturating_mul(*sat_kvb).checked_div(top).unwrap_or(0);
        // A block that took nothing is a mark on the ground.
        let tall = tall.max(2);
        svg.raw(shade(block.weight_wu)).raw(" x=\"").text(hundredths(x)).raw("\" y=\"");
        svg.text(HEIGHT.saturating_sub(tall)).raw("\" width=\"");
        svg.text(hundredths(width.saturating_mul(8).div_euclid(10).max(60)))
            .raw("\" height=\"")
            .text(tall);
        svg.raw("\" rx=\"1.5\"><title>Block ").text(block.at.height).raw(": ").text(rate(*sat_kvb));
        svg.raw(" sat/vB, ")
            .text(count(block.txs, "transaction", "transactions"))
            .raw("</title></rect>");
    }
    let ends = (blocks.last(), blocks.first());
    if let (Some(first), Some(last)) = ends {
        let y = HEIGHT.saturating_add(BELOW).saturating_sub(5);
        svg.raw("<text class=\"axis\" x=\"56\" y=\"")
            .text(y)
            .raw("\">")
            .text(first.at.height)
            .raw("</text>");
        svg.raw("<text class=\"axis\" x=\"720\" text-anchor=\"end\" y=\"").text(y).raw("\">");
        svg.text(last.at.height).raw("</text>");
    }
    svg.raw("</svg>");
    svg
}

fn shade(weight_wu: u64) -> &'static str {
    match weight_wu {
        0..=1_000_000 => "<rect class=\"bar light\"",
        1_000_001..=3_000_000 => "<rect class=\"bar\"",
        _ => "<rect class=\"bar full\"",
    }
}

/// The next of 1, 2, 5, 10, … thousand.
fn nice(value: u64) -> u64 {
    let mut top: u64 = 1_000;
    for factor in [2_u64, 5, 10].into_iter().cycle().take(48) {
        if top >= value {
            break;
        }
        let decade = match factor {
            5 => top.div_euclid(2),
            10 => top.div_euclid(5),
            _ => top,
        };
        top = decade.saturating_mul(factor);
    }
    top.max(value)
}

fn hundredths(value: u64) -> String {
    format!("{}.{:02}", value.div_euclid(100), value.rem_euclid(100))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_axis_ends_at_a_round_number_above_all_bars() {
        for (value, top) in [
            (1, 1_000),
            (1_000, 1_000),
            (1_001, 2_000),
            (2_001, 5_000),
            (5_001, 10_000),
            (73_000, 100_000),
        ] {
            assert_eq!(nice(value), top, "{value}");
        }
        assert!(nice(u64::MAX) == u64::MAX);
    }

    #[test]
    fn a_chain_without_blocks_that_pay_has_a_chart_as_well() {
        assert!(fees(&[]).into_string().ends_with("</svg>"));
    }
}
