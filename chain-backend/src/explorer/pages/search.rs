//! From what somebody typed to the page that shows it.

use super::asked;
use crate::explorer::{Missing, Reply, Shop};
use axum::extract::State;
use axum::http::Uri;
use axum::response::{IntoResponse as _, Redirect};
use bitcoin::address::NetworkUnchecked;
use bitcoin::hex::FromHex as _;
use bitcoin::{Address, BlockHash, OutPoint, ScriptBuf, Txid};

pub(in crate::explorer) async fn go(State(shop): State<Shop>, uri: Uri) -> Reply {
    let wanted = asked(&uri, "q").unwrap_or_default();
    let wanted = wanted.trim();
    let to = place(&shop, wanted).await?;
    let to = to.ok_or_else(|| Missing::Unknown(wanted.to_owned()))?;
    Ok(Redirect::to(&to).into_response())
}

/// The page's path, made of what was understood, never of what was typed.
async fn place(shop: &Shop, wanted: &str) -> Result<Option<String>, Missing> {
    if let Some(height) = wanted.parse::<u32>().ok().filter(|_| wanted.len() <= 10) {
        return Ok(Some(format!("/block/{height}")));
    }
    if let (Ok(txid), Ok(hash)) = (wanted.parse::<Txid>(), wanted.parse::<BlockHash>()) {
        let asked =
            shop.chain.ask(move |chain| (chain.standing(hash).is_some(), chain.find_tx(txid)));
        let (is_block, tx) = asked.await?;
        let found = if is_block {
            Some(format!("/block/{hash}"))
        } else {
            tx?.map(|_| format!("/tx/{txid}"))
        };
        return Ok(found);
    }
    if let Ok(outpoint) = wanted.parse::<OutPoint>() {
        return Ok(Some(format!("/outpoint/{outpoint}")));
    }
    if let Ok(address) = wanted.parse::<Address<NetworkUnchecked>>() {
        let address = address.require_network(shop.network).ok();
        return Ok(address.map(|address| format!("/address/{address}")));
    }
    let script = Vec::<u8>::from_hex(wanted).ok().filter(|bytes| !bytes.is_empty());
    let script = script.map(|bytes| crate::builtin::script_hash(&ScriptBuf::from_bytes(bytes)));
    Ok(script.map(|hash| format!("/script/{hash}")))
}
