//! What waits, as a miner sees it: together with what pays for it, the best first.

use super::{page_of, rows};
use crate::backend::BackendError;
use crate::builtin::{Chainstate, Profile, Together};
use crate::explorer::html::Html;
use crate::explorer::look::{self, LOOKUPS, Seen};
use crate::explorer::page::Page;
use crate::explorer::words::{count, grouped, rate};
use crate::explorer::{Missing, Reply, Shop};
use axum::extract::State;
use axum::http::Uri;
use axum::response::IntoResponse as _;

/// Groups on a page.
const PAGE: usize = 40;
/// Transactions of one group that are shown.
const GROUP: usize = 25;
/// A mempool larger than this is listed by its newest transactions: to order all of it takes too long for a page.
const ORDERED_MAX: usize = 5_000;

struct Found {
    /// `None`: too many to be ordered.
    groups: Option<Vec<(Together, Vec<Seen>)>>,
    groups_in_all: usize,
    newest: Vec<Seen>,
    txs: usize,
    vsize: u64,
    profile: Profile,
    now: u32,
    mark: String,
}

fn look(chain: &mut Chainstate, page: usize) -> Result<Found, BackendError> {
    let mut lookups = LOOKUPS;
    let (mut groups, mut groups_in_all, mut newest) = (None, 0, Vec::new());
    if chain.mempool().len() <= ORDERED_MAX {
        let all = chain.chunks();
        groups_in_all = all.len();
        let mut shown = Vec::new();
        for group in all.into_iter().skip(page.saturating_sub(1).saturating_mul(PAGE)).take(PAGE) {
            let mut seen = Vec::new();
            for txid in group.txids.iter().take(GROUP) {
                if let Some(whole) = chain.whole(*txid)? {
                    seen.push(Seen::of(chain, whole, &mut lookups)?);
                }
            }
            shown.push((group, seen));
        }
        groups = Some(shown);
    } else {
        newest = look::newest_waiting(chain, 100, &mut lookups)?;
    }
    let sums = chain.mempool_sums();
    let (now, mark) = (chain.now(), look::mark(chain));
    let profile = chain.mempool().policy().profile;
    let (txs, vsize) = (sums.count, sums.vsize);
    Ok(Found { groups, groups_in_all, newest, txs, vsize, profile, now, mark })
}

pub(in crate::explorer) async fn show(State(shop): State<Shop>, uri: Uri) -> Reply {
    let page = page_of(&uri)?;
    let found = shop.chain.ask(move |chain| look(chain, page)).await??;
    if page > 1 && found.groups.as_ref().is_none_or(Vec::is_empty) {
        return Err(Missing::Unknown(format!("page {page} of what waits")));
    }
    let mut body = Html::new();
    let waiting = u64::try_from(found.txs).unwrap_or(u64::MAX);
    body.raw("<section class=\"card\"><h1>").text(count(
        waiting,
        "transaction waits",
        "transactions wait",
    ));
    body.raw("</h1><p class=\"dim\">")
        .text(grouped(found.vsize))
        .raw(" vB; a block has room for 1\u{202f}000\u{202f}000. Taken is ")
        .raw(match found.profile {
            Profile::Strict => "what every Bitcoin Core from 29.0 to 31 takes.",
            Profile::V29 => "what Bitcoin Core 29.0 takes.",
            Profile::V30 => "what Bitcoin Core 30 takes.",
            Profile::V31 => "what Bitcoin Core 31 takes.",
        });
    match &found.groups {
        Some(_) => body.raw(" In the order in which a miner takes them, a child together with the parents it pays for.</p></section>"),
        None => body.raw(" The newest of them:</p></section>"),
    };
    for (group, seen) in found.groups.iter().flatten() {
        let number = u64::try_from(group.txids.len()).unwrap_or(u64::MAX);
        body.raw("<section class=\"card\"><h2>").text(rate(group.sat_kvb)).raw(" sat/vB");
        if number > 1 {
            body.raw(" together · ").text(count(number, "transaction", "transactions"));
        }
        body.raw(" · ").text(grouped(group.weight_wu)).raw(" WU</h2>");
        rows::transactions(&mut body, seen, found.now);
        body.raw("</section>");
    }
    if !found.newest.is_empty() {
        body.raw("<section class=\"card\">");
        rows::transactions(&mut body, &found.newest, found.now);
        body.raw("</section>");
    }
    body.raw("<div class=\"pages\"><span>");
    if page > 1 {
        body.link(format_args!("/mempool?page={}", page.saturating_sub(1)), "← better");
    }
    body.raw("</span><span>");
    if page.saturating_mul(PAGE) < found.groups_in_all {
        body.link(format_args!("/mempool?page={}", page.saturating_add(1)), "more →");
    }
    body.raw("</span></div>");
    Ok(Page::new("What waits").on(shop.network).live(found.mark).with(body).into_response())
}
