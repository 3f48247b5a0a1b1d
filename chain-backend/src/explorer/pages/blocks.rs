//! All blocks, the newest first, fifty a page.

use super::{asked, rows};
use crate::explorer::html::Html;
use crate::explorer::look;
use crate::explorer::page::Page;
use crate::explorer::{Missing, Reply, Shop};
use axum::extract::State;
use axum::http::Uri;
use axum::response::IntoResponse as _;

/// Blocks on a page.
const PAGE: u32 = 50;

pub(in crate::explorer) async fn list(State(shop): State<Shop>, uri: Uri) -> Reply {
    let from: Option<u32> = match asked(&uri, "from") {
        None => None,
        Some(text) => Some(text.parse().map_err(|_| Missing::Unknown(format!("block {text:?}")))?),
    };
    let (blocks, tip, now, mark) = shop
        .chain
        .ask(move |chain| {
            let tip = chain.tip().height;
            let blocks = chain.block_sums(from.unwrap_or(tip), usize::try_from(PAGE).unwrap_or(50));
            (blocks, tip, chain.now(), look::mark(chain))
        })
        .await?;
    let blocks = blocks?;
    let mut body = Html::new();
    body.raw("<section class=\"card\"><h1>Blocks</h1>");
    rows::blocks(&mut body, &blocks, now);
    let first = blocks.first().map_or(0, |block| block.at.height);
    let last = blocks.last().map_or(0, |block| block.at.height);
    body.raw("<div class=\"pages\"><span>");
    if first < tip {
        body.link(format_args!("/blocks?from={}", first.saturating_add(PAGE).min(tip)), "← newer");
    }
    body.raw("</span><span>");
    if let Some(older) = last.checked_sub(1) {
        body.link(format_args!("/blocks?from={older}"), "older →");
    }
    body.raw("</span></div></section>");
    let page = Page::new("Blocks").on(shop.network);
    // An older page does not change by what comes.
    let page = if from.is_none() { page.live(mark) } else { page };
    Ok(page.with(body).into_response())
}
