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
    /// Tries the ways with HTLCs that nobody can settle, and says how far they got. Nothing is paid.
    #[arg(long)]
    probe: bool,
    /// For how long ways are tried, in seconds.
    #[arg(long, requires = "probe", value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=600))]
    timeout: u32,
}

impl Route {
    pub(crate) async fn run(self, cx: &mut Context<'_>) -> Result<(), Failure> {
        let ask = v1::FindRouteRequest {
            destination: self.destination.trim().to_owned(),
            amount_msat: self.amount.map(Amount::msat).transpose()?,
            fee_limit_msat: self.max_fee.map(Amount::msat).transpose()?,
            max_parts: self.max_parts.unwrap_or(0),
        };
        if self.probe { probe(cx, ask, self.timeout).await } else { show(cx, ask).await }
    }
}

/// Tries ways and shows what came back.
async fn probe(
    cx: &mut Context<'_>,
    ask: v1::FindRouteRequest,
    timeout_s: u32,
) -> Result<(), Failure> {
    let ask = v1::ProbeRouteRequest { route: Some(ask), timeout_s };
    let send = |to: api::client::Client, ask| async move { to.graph().probe_route(ask).await };
    let mut found = cx.client.call(ask, send).await?;
    let parts = found.parts.iter_mut().filter_map(|probed| probed.part.as_mut());
    for hop in parts.flat_map(|part| &mut part.hops) {
        cx.name(&mut hop.alias, &hop.node_id);
    }
    let ids = |found: &v1::ProbeRouteResponse| {
        let parts = found.parts.iter().filter_map(|probed| probed.part.as_ref());
        parts.flat_map(|part| &part.hops).map(|hop| hop.short_channel_id.clone()).collect()
    };
    cx.screen.result(&found, ids, |_: &Screen, found| probe_text(found))
}

fn probe_text(found: &v1::ProbeRouteResponse) -> String {
    let mut lines = Vec::new();
    for (number, probed) in (1_u32..).zip(&found.parts) {
        let Some(part) = &probed.part else { continue };
        let how = match probed.outcome() {
            v1::ProbeOutcome::Reached => "reached the payee",
            v1::ProbeOutcome::Failed => "came back",
            v1::ProbeOutcome::Unreadable => "came back, nobody can tell from where",
            v1::ProbeOutcome::Pending => "is still under way",
            v1::ProbeOutcome::Unspecified => "ended",
        };
        lines.push(format!(
            "HTLC {number}: {}, {} likely, {how} after {} ms",
            msat(part.amount_msat),
            percent(part.probability_ppm),
            probed.took_ms
        ));
        for (place, hop) in (1_u32..).zip(&part.hops) {
            let mark = match probed.outcome() {
                v1::ProbeOutcome::Reached => "passed",
                v1::ProbeOutcome::Failed if place <= probed.hops_passed => "passed",
                v1::ProbeOutcome::Failed if place == probed.hops_passed.saturating_add(1) => {
                    "did not pass"
                }
                v1::ProbeOutcome::Failed => "not tried",
                v1::ProbeOutcome::Unreadable
                | v1::ProbeOutcome::Pending
                | v1::ProbeOutcome::Unspecified => "unknown",
            };
            lines.push(format!(
                "  ──{}──▶ {}   {}, {} likely: {mark}",
                short(&hop.short_channel_id),
                named(&hop.alias, &hop.node_id),
                msat(hop.amount_msat),
                percent(hop.probability_ppm)
            ));
        }
        if !probed.words.is_empty() {
            lines.push(format!("  {}", probed.words));
        }
    }
    if found.missed.is_empty() {
        lines.push(format!(
            "{} got there, fee {} sat; nothing was paid",
            msat(found.reached_msat),
            msat_bare(found.fee_msat)
        ));
    } else {
        lines.push(format!("{} got there: {}", msat(found.reached_msat), found.missed));
    }
    lines.join("\n")
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
            let mut cost = String::new();
            if hop.fee_msat > 0 || hop.cltv_delta > 0 {
                cost = format!("   fee {} sat, {} blocks", msat_bare(hop.fee_msat), hop.cltv_delta);
            }
            if hop.probability_ppm < 1_000_000 {
                cost.push_str(&format!("   {} likely", percent(hop.probability_ppm)));
            }
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
