//! One output, and who spends it.

use super::{names, tx};
use crate::backend::BackendError;
use crate::builtin::Chainstate;
use crate::explorer::html::Html;
use crate::explorer::look::{LOOKUPS, Seen, mark};
use crate::explorer::page::Page;
use crate::explorer::words::{Short, amount, grouped};
use crate::explorer::{Missing, Reply, Shop};
use axum::extract::{Path, State};
use axum::response::IntoResponse as _;
use bitcoin::OutPoint;

struct Found {
    seen: Seen,
    spender: Option<Seen>,
    mark: String,
}

fn look(chain: &mut Chainstate, outpoint: OutPoint) -> Result<Option<Found>, BackendError> {
    let Some(whole) = chain.whole(outpoint.txid)? else { return Ok(None) };
    let mut lookups = LOOKUPS;
    let seen = Seen::of(chain, whole, &mut lookups)?;
    let spender = match chain.find_spender(outpoint)? {
        None => None,
        Some(spend) => match chain.whole(spend.tx.compute_txid())? {
            None => None,
            Some(whole) => Some(Seen::of(chain, whole, &mut lookups)?),
        },
    };
    Ok(Some(Found { seen, spender, mark: mark(chain) }))
}

pub(in crate::explorer) async fn show(State(shop): State<Shop>, Path(text): Path<String>) -> Reply {
    let missing = || Missing::Unknown(format!("outpoint {text}"));
    let outpoint: OutPoint = text.parse().map_err(|_| missing())?;
    let found = shop.chain.ask(move |chain| look(chain, outpoint)).await??.ok_or_else(missing)?;
    let place = usize::try_from(outpoint.vout).map_err(|_| missing())?;
    let output = found.seen.whole.tx.output.get(place).ok_or_else(missing)?;
    let mut body = Html::new();
    body.raw("<section class=\"card\"><h1>").text(amount(output.value.to_sat())).raw("</h1><p>");
    tx::owner(&mut body, output, shop.network);
    body.raw("</p><p class=\"mono dim\">output ").text(outpoint.vout).raw(" of ");
    body.link_as("mono", format_args!("/tx/{}", outpoint.txid), outpoint.txid).raw("</p><dl>");
    let part = found.seen.life.outputs.get(place).copied().flatten();
    body.fact("what it is", part.map_or_else(|| "not known by its script".to_owned(), names::part));
    body.fact("its script", output.script_pubkey.to_asm_string());
    body.raw("</dl></section><section class=\"card\"><h2>Spent by</h2>");
    match &found.spender {
        None => {
            body.raw("<p class=\"dim\">Nobody has spent it.</p>");
        }
        Some(spender) => spent_by(&mut body, spender, outpoint),
    }
    body.raw("</section>");
    let title = format!("Output {}:{}", Short(outpoint.txid), outpoint.vout);
    Ok(Page::new(title).on(shop.network).live(found.mark).with(body).into_response())
}

fn spent_by(body: &mut Html, spender: &Seen, outpoint: OutPoint) {
    body.raw("<p>");
    names::pills(body, &spender.life);
    body.raw(" ");
    body.link_as("mono", format_args!("/tx/{}", spender.txid), spender.txid).raw("</p><dl>");
    let inputs = spender.whole.tx.input.iter();
    let input =
        inputs.zip(&spender.life.inputs).find(|(input, _)| input.previous_output == outpoint);
    if let Some((_, Some((_, way)))) = input {
        body.fact("how", names::way(*way));
    }
    match spender.whole.block {
        None => body.fact("block", "none yet: it waits"),
        Some(block) => body.fact("block", grouped(block.height.into())),
    };
    body.raw("</dl>");
}
