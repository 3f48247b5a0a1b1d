//! One block, by height or hash, fifty of its transactions a page.

use super::{page_of, rows};
use crate::backend::BackendError;
use crate::builtin::{Chainstate, Standing};
use crate::explorer::html::Html;
use crate::explorer::look::{LOOKUPS, Seen};
use crate::explorer::page::Page;
use crate::explorer::words::{amount, count, grouped, time};
use crate::explorer::{Missing, Reply, Shop};
use axum::extract::{Path, State};
use axum::http::Uri;
use axum::response::IntoResponse as _;
use bitcoin::{Block, BlockHash};
use std::sync::Arc;

/// Transactions on a page.
const PAGE: usize = 50;

struct Found {
    standing: Standing,
    block: Arc<Block>,
    seen: Vec<Seen>,
    now: u32,
}

/// By which name a block is wanted.
#[derive(Clone, Copy)]
enum Name {
    Height(u32),
    Hash(BlockHash),
}

fn look(chain: &mut Chainstate, name: Name, page: usize) -> Result<Option<Found>, BackendError> {
    let hash = match name {
        Name::Hash(hash) => Some(hash),
        Name::Height(height) => chain.header_at(height).map(|at| at.hash),
    };
    let Some(standing) = hash.and_then(|hash| chain.standing(hash)) else { return Ok(None) };
    let hash = standing.at.hash;
    let block = chain.block(hash)?;
    let from = page.saturating_sub(1).saturating_mul(PAGE);
    let (mut seen, mut lookups) = (Vec::new(), LOOKUPS);
    for whole in chain.wholes_of(hash, from, PAGE)? {
        seen.push(Seen::of(chain, whole, &mut lookups)?);
    }
    Ok(Some(Found { standing, block, seen, now: chain.now() }))
}

pub(in crate::explorer) async fn show(
    State(shop): State<Shop>,
    Path(text): Path<String>,
    uri: Uri,
) -> Reply {
    let missing = || Missing::Unknown(format!("block {text}"));
    // A hash may be all digits; a height has ten at most.
    let name = match text.parse().ok().filter(|_| text.len() <= 10) {
        Some(height) => Name::Height(height),
        None => Name::Hash(text.parse().map_err(|_| missing())?),
    };
    let page = page_of(&uri)?;
    let found = shop.chain.ask(move |chain| look(chain, name, page)).await??;
    let found = found.ok_or_else(missing)?;
    if found.seen.is_empty() {
        return Err(Missing::Unknown(format!("page {page} of block {text}")));
    }
    let height = found.standing.at.height;
    let mut body = Html::new();
    head(&mut body, &found);
    body.raw("<section class=\"card\"><h2>Transactions</h2>");
    rows::transactions(&mut body, &found.seen, found.now);
    let hash = found.standing.at.hash;
    body.raw("<div class=\"pages\"><span>");
    if page > 1 {
        body.link(format_args!("/block/{hash}?page={}", page.saturating_sub(1)), "← back");
    }
    body.raw("</span><span>");
    if page.saturating_mul(PAGE) < found.block.txdata.len() {
        body.link(format_args!("/block/{hash}?page={}", page.saturating_add(1)), "more →");
    }
    body.raw("</span></div></section>");
    Ok(Page::new(format!("Block {height}")).on(shop.network).with(body).into_response())
}

fn head(body: &mut Html, found: &Found) {
    let Standing { at, next, confirmations, .. } = &found.standing;
    body.raw("<section class=\"card\"><h1>Block ")
        .text(grouped(at.height.into()))
        .raw("</h1><p class=\"mono dim\">");
    body.text(at.hash).raw("</p>");
    if *confirmations < 0 {
        body.raw("<p><span class=\"pill bad\">not on the best chain</span></p>");
    }
    let reward = found.block.coinbase().map_or(0, |tx| {
        tx.output.iter().fold(0_u64, |sum, output| sum.saturating_add(output.value.to_sat()))
    });
    let depth = u64::try_from(*confirmations).unwrap_or(0);
    body.raw("<dl>").fact("when", time(at.header.time));
    body.fact("depth", count(depth, "block", "blocks"));
    body.fact("transactions", grouped(u64::try_from(found.block.txdata.len()).unwrap_or(u64::MAX)));
    body.fact(
        "weight",
        format_args!("{} of 4\u{202f}000\u{202f}000", grouped(found.block.weight().to_wu())),
    );
    body.fact(
        "size",
        format_args!(
            "{} bytes",
            grouped(u64::try_from(found.block.total_size()).unwrap_or(u64::MAX))
        ),
    );
    body.fact("its miner got", amount(reward));
    body.fact("median time", time(at.mtp));
    body.fact("bits", format_args!("{:08x}", at.header.bits.to_consensus()));
    body.fact("nonce", at.header.nonce).raw("</dl><div class=\"pages\"><span>");
    if at.height > 0 {
        body.link(format_args!("/block/{}", at.header.prev_blockhash), "← the block before");
    }
    body.raw("</span><span>");
    if let Some(next) = next {
        body.link(format_args!("/block/{next}"), "the block after →");
    }
    body.raw("</span></div></section>");
}
