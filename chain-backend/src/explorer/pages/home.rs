//! The first page: the newest blocks, what waits, what fees are.

use super::{fees, rows};
use crate::backend::{BackendError, BlockRef, FeeTable};
use crate::builtin::{BlockSums, Chainstate};
use crate::explorer::html::Html;
use crate::explorer::life::Kind;
use crate::explorer::look::{self, Seen};
use crate::explorer::page::Page;
use crate::explorer::words::{ago, amount, count, grouped, rate};
use crate::explorer::{Reply, Shop, chart};
use crate::sandbox::Totals;
use axum::extract::State;
use axum::response::IntoResponse as _;

/// Blocks in the row at the top.
const TILES: usize = 10;
/// Transactions of a block that are looked at for its tile.
const LOOKED_AT: usize = 40;
/// Transactions in each list.
const LIST: usize = 12;
/// Blocks that are searched for the newest transactions.
const SEARCHED: u32 = 200;
/// Blocks in the chart.
const CHART: usize = 72;

struct Now {
    mark: String,
    tip: BlockRef,
    now: u32,
    totals: Totals,
    fees: FeeTable,
    next_txs: usize,
    tiles: Vec<(BlockSums, Vec<(usize, &'static str)>)>,
    blocks: Vec<BlockSums>,
    waiting: Vec<Seen>,
    mined: Vec<Seen>,
}

impl Now {
    fn of(chain: &mut Chainstate) -> Result<Self, BackendError> {
        let tip = chain.tip();
        let blocks = chain.block_sums(tip.height, CHART)?;
        let mut tiles = Vec::new();
        for sums in blocks.iter().take(TILES) {
            tiles.push((*sums, events(chain, sums)?));
        }
        let mut lookups = look::LOOKUPS;
        let waiting = look::newest_waiting(chain, LIST, &mut lookups)?;
        Ok(Self {
            mark: look::mark(chain),
            tip,
            now: chain.now(),
            totals: chain.totals(),
            fees: chain.fee_table(),
            next_txs: chain.mempool().len(),
            mined: look::newest_mined(chain, LIST, SEARCHED, &mut lookups)?,
            tiles,
            blocks,
            waiting,
        })
    }
}

/// What happened to channels in a block, the most telling first.
fn events(
    chain: &mut Chainstate,
    sums: &BlockSums,
) -> Result<Vec<(usize, &'static str)>, BackendError> {
    let mut counts = [(0_usize, "penalty"), (0, "forced"), (0, "closed"), (0, "opened")];
    for whole in chain.wholes_of(sums.at.hash, 1, LOOKED_AT)? {
        // Openings need no look at who spends them: a guess will do here.
        let seen = Seen::of(chain, whole, &mut 0)?;
        let place = match seen.life.name() {
            Kind::Penalty => 0,
            Kind::Commitment(_) => 1,
            Kind::Close => 2,
            Kind::Funding | Kind::PerhapsFunding => 3,
            Kind::Coinbase
            | Kind::Splice
            | Kind::HtlcSuccess
            | Kind::HtlcTimeout
            | Kind::HtlcClaim
            | Kind::HtlcRefund
            | Kind::DelayedSweep
            | Kind::BalanceSweep
            | Kind::AnchorSweep
            | Kind::Payment => continue,
        };
        if let Some((number, _)) = counts.get_mut(place) {
            *number = number.saturating_add(1);
        }
    }
    Ok(counts.into_iter().filter(|(number, _)| *number > 0).collect())
}

pub(in crate::explorer) async fn show(State(shop): State<Shop>) -> Reply {
    let now = shop.chain.ask(Now::of).await??;
    let mut body = Html::new();
    tiles(&mut body, &now);
    numbers(&mut body, &now);
    body.raw("<div class=\"two\"><div class=\"stack\">");
    list(
        &mut body,
        "<section class=\"card\"><h2>Waiting <a href=\"/mempool\">all that waits</a></h2>",
        &now.waiting,
        now.now,
        "Nothing waits for a block.",
    );
    list(
        &mut body,
        "<section class=\"card\"><h2>Lately mined <a href=\"/blocks\">all blocks</a></h2>",
        &now.mined,
        now.now,
        "No block of late has a transaction.",
    );
    body.raw("</div><div class=\"stack\"><section class=\"card\"><h2>What to pay <a href=\"/fees\">more</a></h2>");
    fees::estimates(&mut body, &now.fees);
    body.raw("</section><section class=\"card\"><h2>What blocks took, sat/vB</h2>");
    body.add(&chart::fees(&now.blocks)).raw("</section></div></div>");
    let page = Page::new(format!("Block {}", now.tip.height)).on(shop.network).live(now.mark);
    Ok(page.with(body).into_response())
}

fn tiles(body: &mut Html, now: &Now) {
    body.raw("<div class=\"tiles\"><a class=\"tile next\" href=\"/mempool\"><b>next</b><span>");
    let waiting = u64::try_from(now.next_txs).unwrap_or(u64::MAX);
    body.text(count(waiting, "waits", "wait")).raw("</span></a>");
    for (sums, events) in &now.tiles {
        let height = sums.at.height;
        body.raw("<a class=\"tile\" data-key=\"")
            .text(sums.at.hash)
            .raw("\" href=\"/block/")
            .text(height);
        body.raw("\"><b>")
            .text(grouped(height.into()))
            .raw("</b><span>")
            .text(ago(sums.at.header.time, now.now));
        body.raw("</span><span>").text(count(sums.txs, "transaction", "transactions"));
        body.raw("</span><span class=\"life\">");
        if let Some((number, word)) = events.first() {
            body.text(number).raw(" ").text(word);
        }
        body.raw("</span></a>");
    }
    body.raw("</div>");
}

fn numbers(body: &mut Html, now: &Now) {
    let totals = now.totals;
    let next = now.fees.estimate(1).map(|rate_of| rate(rate_of.to_sat_per_kwu().saturating_mul(4)));
    body.raw("<div class=\"numbers\">");
    for (value, name) in [
        (grouped(totals.height.into()), "height"),
        (grouped(totals.mempool_transactions), "transactions wait"),
        (
            next.map_or_else(|| "–".to_owned(), |next| format!("{next} sat/vB")),
            "for the next block",
        ),
        (grouped(totals.transactions), "transactions in blocks"),
        (amount(totals.supply_sat), "in circulation"),
    ] {
        body.raw("<div class=\"card\"><b>")
            .text(value)
            .raw("</b><span>")
            .raw(name)
            .raw("</span></div>");
    }
    body.raw("</div>");
}

fn list(body: &mut Html, head: &'static str, seen: &[Seen], now: u32, none: &'static str) {
    body.raw(head);
    if seen.is_empty() {
        body.raw("<p class=\"dim\">").raw(none).raw("</p>");
    } else {
        rows::transactions(body, seen, now);
    }
    body.raw("</section>");
}
