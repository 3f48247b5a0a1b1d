//! One transaction: what it is, where its money comes from and goes.

use super::{names, page_of};
use crate::backend::BackendError;
use crate::builtin::{Chainstate, script_hash};
use crate::explorer::html::Html;
use crate::explorer::look::{LOOKUPS, Seen, Spender, mark};
use crate::explorer::page::Page;
use crate::explorer::words::{Short, ago, amount, count, grouped, rate, time};
use crate::explorer::{Missing, Reply, Shop};
use axum::extract::{Path, State};
use axum::http::Uri;
use axum::response::IntoResponse as _;
use bitcoin::consensus::encode::serialize_hex;
use bitcoin::{Address, Network, TxOut, Txid};

/// Inputs, and outputs, on a page.
const PAGE: usize = 100;
/// The longest transaction whose bytes are shown, hex digits.
const HEX_MAX: usize = 40_000;

struct Found {
    seen: Seen,
    now: u32,
    depth: u32,
    mark: String,
}

fn look(chain: &mut Chainstate, txid: Txid) -> Result<Option<Found>, BackendError> {
    let Some(whole) = chain.whole(txid)? else { return Ok(None) };
    let above = |height: u32| chain.tip().height.saturating_sub(height).saturating_add(1);
    let depth = whole.block.map_or(0, |block| above(block.height));
    let seen = Seen::of(chain, whole, &mut { LOOKUPS })?;
    Ok(Some(Found { seen, now: chain.now(), depth, mark: mark(chain) }))
}

pub(in crate::explorer) async fn show(
    State(shop): State<Shop>,
    Path(text): Path<String>,
    uri: Uri,
) -> Reply {
    let missing = || Missing::Unknown(format!("transaction {text}"));
    let txid: Txid = text.parse().map_err(|_| missing())?;
    let page = page_of(&uri)?;
    let found = shop.chain.ask(move |chain| look(chain, txid)).await??.ok_or_else(missing)?;
    let tx = &found.seen.whole.tx;
    let from = page.saturating_sub(1).saturating_mul(PAGE);
    let longest = tx.input.len().max(tx.output.len());
    if from >= longest {
        return Err(Missing::Unknown(format!("page {page} of transaction {text}")));
    }
    let mut body = Html::new();
    head(&mut body, &found);
    body.raw("<div class=\"flow\"><section class=\"card\"><h2>");
    body.text(count(size(tx.input.len()), "input", "inputs")).raw("</h2>");
    for place in (from..tx.input.len()).take(PAGE) {
        input(&mut body, &found.seen, place, shop.network);
    }
    body.raw("</section><section class=\"card\"><h2>");
    body.text(count(size(tx.output.len()), "output", "outputs")).raw("</h2>");
    for place in (from..tx.output.len()).take(PAGE) {
        output(&mut body, &found.seen, place, shop.network);
    }
    body.raw("</section></div>");
    if longest > PAGE {
        body.raw("<div class=\"pages\"><span>");
        if page > 1 {
            body.link(format_args!("/tx/{txid}?page={}", page.saturating_sub(1)), "← back");
        }
        body.raw("</span><span>");
        if from.saturating_add(PAGE) < longest {
            body.link(format_args!("/tx/{txid}?page={}", page.saturating_add(1)), "more →");
        }
        body.raw("</span></div>");
    }
    let hex = serialize_hex(tx.as_ref());
    if hex.len() <= HEX_MAX {
        body.raw("<section class=\"card\"><details><summary>Its bytes</summary><pre>").text(hex);
        body.raw("</pre></details></section>");
    }
    let page = Page::new(format!("Transaction {}", Short(txid))).on(shop.network).live(found.mark);
    Ok(page.with(body).into_response())
}

fn size(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

fn head(body: &mut Html, found: &Found) {
    let Found { seen, now, depth, .. } = found;
    let tx = &seen.whole.tx;
    body.raw("<section class=\"card\"><h1>");
    names::pills(body, &seen.life);
    body.raw("</h1><p>").raw(names::sentence(seen.life.name()));
    body.raw("</p><p class=\"mono dim\">").text(seen.txid).raw("</p><dl>");
    match seen.whole.block {
        Some(block) => {
            body.raw("<div><dt>block</dt><dd>");
            body.link(format_args!("/block/{}", block.height), grouped(block.height.into()));
            body.raw(", ").text(ago(block.header.time, *now)).raw("</dd></div>");
            body.fact("depth", count((*depth).into(), "block", "blocks"));
            body.fact("when", time(block.header.time));
        }
        None => {
            body.fact("block", "none yet: it waits");
            let since = seen.came.map_or_else(|| "–".to_owned(), |came| ago(came, *now));
            body.fact("came", since);
        }
    }
    body.fact("amount", amount(seen.value_sat()));
    if let (Some(fee_sat), Some(sat_kvb)) = (seen.fee_sat, seen.sat_kvb()) {
        body.fact("fee", format_args!("{} · {} sat/vB", amount(fee_sat), rate(sat_kvb)));
    }
    body.fact("virtual size", format_args!("{} vB", grouped(size(tx.vsize()))));
    body.fact("weight", format_args!("{} WU", grouped(tx.weight().to_wu())));
    body.fact("version", tx.version.0);
    body.fact("lock time", tx.lock_time.to_consensus_u32());
    body.raw("</dl></section>");
}

fn input(body: &mut Html, seen: &Seen, place: usize, network: Network) {
    let Some(input) = seen.whole.tx.input.get(place) else { return };
    body.raw("<div class=\"coin\">");
    if seen.whole.tx.is_coinbase() {
        body.raw("<div><span>new coins and fees</span></div></div>");
        return;
    }
    let from = input.previous_output;
    body.raw("<div>");
    body.link_as(
        "mono",
        format_args!("/tx/{}", from.txid),
        format_args!("{}:{}", Short(from.txid), from.vout),
    );
    if let Some(spent) = seen.whole.spent.get(place) {
        body.raw("<b>").text(amount(spent.value.to_sat())).raw("</b></div><div>");
        owner(body, spent, network);
    }
    body.raw("</div>");
    if let Some((part, way)) = seen.life.inputs.get(place).copied().flatten() {
        body.raw("<small>")
            .text(names::part(part))
            .raw(" – ")
            .text(names::way(way))
            .raw("</small>");
    }
    body.raw("</div>");
}

fn output(body: &mut Html, seen: &Seen, place: usize, network: Network) {
    let Some(output) = seen.whole.tx.output.get(place) else { return };
    body.raw("<div class=\"coin\"><div>");
    owner(body, output, network);
    body.raw("<b>").text(amount(output.value.to_sat())).raw("</b></div><div><small>");
    if let Some(part) = seen.life.outputs.get(place).copied().flatten() {
        body.text(names::part(part));
    }
    body.raw("</small>");
    if !output.script_pubkey.is_op_return() {
        spender(body, seen, place);
    }
    body.raw("</div></div>");
}

fn spender(body: &mut Html, seen: &Seen, place: usize) {
    body.raw("<small>");
    match seen.spenders.get(place).copied().flatten() {
        Some(Spender { txid, input, block }) => {
            body.raw(if block.is_some() { "spent by " } else { "spent (waits) by " });
            body.link_as(
                "mono",
                format_args!("/tx/{txid}"),
                format_args!("{}:{input}", Short(txid)),
            );
        }
        None => {
            body.link(format_args!("/outpoint/{}:{place}", seen.txid), "unspent");
        }
    }
    body.raw("</small>");
}

/// Whose an output is: an address, or a script.
pub(super) fn owner(body: &mut Html, output: &TxOut, network: Network) {
    let script = &output.script_pubkey;
    if script.is_op_return() {
        body.span("dim", "data");
        return;
    }
    match Address::from_script(script, network) {
        Ok(address) => body.link_as("mono", format_args!("/address/{address}"), Short(&address)),
        Err(_) => {
            let hash = script_hash(script);
            body.link_as("mono", format_args!("/script/{hash}"), Short(script.to_hex_string()))
        }
    };
}
