//! What a script got and gave, by its address or its hash.

use super::{asked, rows};
use crate::backend::BackendError;
use crate::builtin::{Chainstate, ScriptHash, ScriptSums, script_hash};
use crate::explorer::html::Html;
use crate::explorer::look::{LOOKUPS, Seen};
use crate::explorer::page::Page;
use crate::explorer::words::{Short, amount, grouped};
use crate::explorer::{Missing, Reply, Shop};
use axum::extract::{Path, State};
use axum::http::Uri;
use axum::response::IntoResponse as _;
use bitcoin::address::NetworkUnchecked;
use bitcoin::hashes::Hash as _;
use bitcoin::hex::FromHex as _;
use bitcoin::{Address, Txid};

/// Transactions on a page.
const PAGE: usize = 25;
/// Blocks that are read for the index in one go; then others have their turn.
const STEP: usize = 256;

struct Found {
    mined: ScriptSums,
    waiting: ScriptSums,
    seen_waiting: Vec<Seen>,
    seen: Vec<Seen>,
    now: u32,
}

fn look(
    chain: &mut Chainstate,
    script: ScriptHash,
    after: Option<Txid>,
) -> Result<Found, BackendError> {
    let (mined, waiting) = chain.script_sums(script)?;
    let mut lookups = LOOKUPS;
    let (mut seen, mut seen_waiting) = (Vec::new(), Vec::new());
    if after.is_none() {
        for whole in chain.script_waiting(script, PAGE)? {
            seen_waiting.push(Seen::of(chain, whole, &mut lookups)?);
        }
    }
    for whole in chain.script_history(script, after, PAGE)? {
        seen.push(Seen::of(chain, whole, &mut lookups)?);
    }
    Ok(Found { mined, waiting, seen_waiting, seen, now: chain.now() })
}

pub(in crate::explorer) async fn by_address(
    State(shop): State<Shop>,
    Path(text): Path<String>,
    uri: Uri,
) -> Reply {
    let missing = || Missing::Unknown(format!("address {text}"));
    let address: Address<NetworkUnchecked> = text.parse().map_err(|_| missing())?;
    let address = address.require_network(shop.network).map_err(|_| missing())?;
    let hash = script_hash(&address.script_pubkey());
    page(&shop, hash, ("Address", address.to_string(), format!("/address/{address}")), &uri).await
}

pub(in crate::explorer) async fn by_hash(
    State(shop): State<Shop>,
    Path(text): Path<String>,
    uri: Uri,
) -> Reply {
    let bytes = <[u8; 32]>::from_hex(&text);
    let bytes = bytes.map_err(|_| Missing::Unknown(format!("script {text}")))?;
    let hash = ScriptHash::from_byte_array(bytes);
    page(&shop, hash, ("Script", hash.to_string(), format!("/script/{hash}")), &uri).await
}

async fn page(
    shop: &Shop,
    script: ScriptHash,
    (kind, name, path): (&'static str, String, String),
    uri: &Uri,
) -> Reply {
    let after = match asked(uri, "after") {
        None => None,
        Some(text) => {
            Some(text.parse().map_err(|_| Missing::Unknown(format!("transaction {text:?}")))?)
        }
    };
    while !shop.chain.ask(|chain| chain.follow_scripts(STEP)).await?? {}
    let found = shop.chain.ask(move |chain| look(chain, script, after)).await??;
    let mut body = Html::new();
    body.raw("<section class=\"card\"><h1>")
        .raw(kind)
        .raw("</h1><p class=\"mono dim\">")
        .text(&name)
        .raw("</p><dl>");
    let ScriptSums { txs, funded, funded_sat, spent, spent_sat } = found.mined;
    body.fact("it has", amount(funded_sat.saturating_sub(spent_sat)));
    body.fact("it got", format_args!("{} in {} outputs", amount(funded_sat), grouped(funded)));
    body.fact("it gave", format_args!("{} in {} outputs", amount(spent_sat), grouped(spent)));
    body.fact("transactions", grouped(txs));
    if found.waiting.txs > 0 {
        let waiting = found.waiting;
        let words = format!("+{} −{}", amount(waiting.funded_sat), amount(waiting.spent_sat));
        body.fact("waiting", words);
    }
    body.raw("</dl></section>");
    if !found.seen_waiting.is_empty() {
        body.raw("<section class=\"card\"><h2>Waiting</h2>");
        rows::transactions(&mut body, &found.seen_waiting, found.now);
        body.raw("</section>");
    }
    body.raw("<section class=\"card\"><h2>In blocks</h2>");
    if found.seen.is_empty() {
        body.raw("<p class=\"dim\">No block has a transaction that pays it or spends from it.</p>");
    } else {
        rows::transactions(&mut body, &found.seen, found.now);
    }
    if let Some(last) = found.seen.last().filter(|_| found.seen.len() == PAGE) {
        body.raw("<div class=\"pages\"><span></span><span>");
        body.link(format_args!("{path}?after={}", last.txid), "older →").raw("</span></div>");
    }
    body.raw("</section>");
    Ok(Page::new(format!("{kind} {}", Short(name))).on(shop.network).with(body).into_response())
}
