//! `route`.

use api::v1;

use crate::amount::{Amount, msat, msat_bare};
use crate::context::Context;
use crate::failure::Failure;
use crate::render::Screen;
use crate::resolve::{named, short};

/// The way a payment would take now, hop by hop; nothing is sent.
#[derive(Debug, clap::Args)]
pub(crate) struct Route {
    /// To whom: a node's public key, or an invoice.
    destination: String,
    /// How much; an invoice may say it.
    amount: Option<Amount>,
    /// The most to give to nodes on the way; 0.5 percent, at least 5 sat, unless said otherwise.
    #[arg(long, value_name = "AMOUNT")]
    max_fee: Option<Amount>,
    /// The most parts; 1 shows a single path.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=64))]
    max_parts: Option<u32>,
}

impl Route {
    pub(crate) async fn run(self, cx: &mut Context<'_>) -> Result<(), Failure> {
        let ask = v1::FindRouteRequest {
            destination: self.destination.trim().to_owned(),
            amount_msat: self.amount.map(Amount::msat).transpose()?,
            fee_limit_msat: self.max_fee.map(Amount::msat).transpose()?,
            max_parts: self.max_parts.unwrap_or(0),
        };
        show(cx, ask).await
    }
}

/// Asks for a way and shows it.
pub(super) async fn show(cx: &mut Context<'_>, ask: v1::FindRouteRequest) -> Result<(), Failure> {
    let send = |to: api::client::Client, ask| async move { to.graph().find_route(ask).await };
    let mut found = cx.client.call(ask, send).await?;
    for hop in found.parts.iter_mut().flat_map(|part| &mut part.hops) {
        cx.name(&mut hop.alias, &hop.node_id);
    }
    let ids = |found: &v1::FindRouteResponse| {
        let hops = found.parts.iter().flat_map(|part| &part.hops);
        hops.map(|hop| hop.short_channel_id.clone()).collect()
    };
    cx.screen.result(&found, ids, |_: &Screen, found| text(found))
}

fn text(found: &v1::FindRouteResponse) -> String {
    let mut lines = Vec::new();
    for (number, part) in (1_u32..).zip(&found.parts) {
        lines.push(format!(
            "part {number}: {}, fee {} sat, locked for {} blocks at most, {} likely",
            msat(part.amount_msat),
            msat_bare(part.fee_msat),
            part.cltv_delta,
            percent(part.probability_ppm)
        ));
        for hop in &part.hops {
            let cost = if hop.fee_msat > 0 || hop.cltv_delta > 0 {
                format!("   fee {} sat, {} blocks", msat_bare(hop.fee_msat), hop.cltv_delta)
            } else {
                String::new()
            };
            lines.push(format!(
                "  ──{}──▶ {}   {}{cost}",
                short(&hop.short_channel_id),
                named(&hop.alias, &hop.node_id),
                msat(hop.amount_msat)
            ));
        }
    }
    lines.push(format!(
        "{} in {} {}, fee {} sat, {} likely",
        msat(found.amount_msat),
        found.parts.len(),
        if found.parts.len() == 1 { "part" } else { "parts" },
        msat_bare(found.fee_msat),
        percent(found.probability_ppm)
    ));
    lines.join("\n")
}

/// Millionths as a percentage with one digit behind the point.
fn percent(millionths: u32) -> String {
    let tenths = millionths / 1_000;
    format!("{}.{} %", tenths / 10, tenths % 10)
}
