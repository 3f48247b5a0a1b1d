//! Requests read, answers written, errors mapped: each in one place.

use crate::backend::{BackendError, Spend, TxOutWhere, TxWhere};
use crate::builtin::{ChainError, ReaderPlace};
use crate::convert::ref_out;
use crate::sandbox::{SandboxError, Totals};
use api::chain as wire;
use bitcoin::address::NetworkUnchecked;
use bitcoin::consensus::encode::{deserialize, serialize};
use bitcoin::{Address, Block, BlockHash, Network, OutPoint, ScriptBuf, Transaction};
use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::Bound;
use std::str::FromStr;
use tonic::Status;

/// Readers on a page at most.
const READERS_MAX: usize = 100;
/// The longest script a reward is paid to, bytes.
const SCRIPT_MAX: usize = 10_000;

pub(super) fn status(error: BackendError) -> Status {
    let message = error.to_string();
    match error {
        BackendError::Unavailable(_) => Status::unavailable(message),
        BackendError::NotFound => Status::not_found(message),
        BackendError::WrongChain => Status::failed_precondition(message),
        BackendError::Lied(_) | BackendError::Storage(_) => Status::internal(message),
    }
}

pub(super) fn refused(error: SandboxError) -> Status {
    match error {
        SandboxError::Refused(word) => Status::aborted(word),
        SandboxError::Unavailable(message) => Status::unavailable(message),
    }
}

pub(super) fn chain_status(error: ChainError) -> Status {
    refused(error.into())
}

/// A page of the readers.
pub(super) fn readers(
    all: &BTreeMap<String, ReaderPlace>,
    asked: &wire::ReadersRequest,
) -> wire::ReadersResponse {
    let size = usize::try_from(asked.page_size).unwrap_or(usize::MAX);
    let size = if size == 0 { READERS_MAX } else { size.min(READERS_MAX) };
    let behind = (Bound::Excluded(asked.after.clone()), Bound::Unbounded);
    let page = all.range(behind).take(size).map(|(name, place)| wire::Reader {
        name: name.clone(),
        height: place.height,
        said_at: place.said_s.into(),
    });
    wire::ReadersResponse { readers: page.collect() }
}

pub(super) fn argument(error: impl Display) -> Status {
    Status::invalid_argument(error.to_string())
}

pub(super) fn hash_of<T: FromStr>(text: &str, field: &str) -> Result<T, Status> {
    text.parse().map_err(|_| argument(format!("{field}: {text:?} is not 64 hex digits")))
}

pub(super) fn outpoint_of(outpoint: Option<&wire::OutPoint>) -> Result<OutPoint, Status> {
    let outpoint = outpoint.ok_or_else(|| argument("outpoint: missing"))?;
    Ok(OutPoint::new(hash_of(&outpoint.txid, "outpoint.txid")?, outpoint.vout))
}

pub(super) fn transaction_of(bytes: &[u8]) -> Result<Transaction, Status> {
    deserialize(bytes).map_err(|error| argument(format!("transactions: {error}")))
}

pub(super) fn block_of(bytes: &[u8]) -> Result<Block, Status> {
    deserialize(bytes).map_err(|error| argument(format!("block: {error}")))
}

/// Who gets a reward.
pub(super) fn script_of(
    to: Option<wire::mine_request::To>,
    network: Network,
) -> Result<ScriptBuf, Status> {
    match to {
        None => Err(argument("to: say who gets the rewards")),
        Some(wire::mine_request::To::Script(script)) if script.len() > SCRIPT_MAX => {
            Err(argument("script: too long"))
        }
        Some(wire::mine_request::To::Script(script)) => Ok(ScriptBuf::from_bytes(script)),
        Some(wire::mine_request::To::Address(text)) => {
            let address: Address<NetworkUnchecked> =
                text.parse().map_err(|error| argument(format!("address: {error}")))?;
            let address = address.require_network(network).map_err(argument)?;
            Ok(address.script_pubkey())
        }
    }
}

pub(super) fn hashes(blocks: &[BlockHash]) -> Vec<String> {
    blocks.iter().map(BlockHash::to_string).collect()
}

pub(super) fn transaction(found: TxWhere) -> wire::TransactionResponse {
    wire::TransactionResponse {
        transaction: Some(serialize(found.tx.as_ref())),
        block: found.confirmed.map(|(block, _)| ref_out(block)),
        index: found.confirmed.map(|(_, index)| index).unwrap_or_default(),
    }
}

pub(super) fn output(found: TxOutWhere) -> wire::OutputResponse {
    wire::OutputResponse {
        value_sat: Some(found.output.value.to_sat()),
        script: found.output.script_pubkey.into_bytes(),
        height: found.height,
        coinbase: found.coinbase,
        mempool_spender: found.mempool_spender.map(|txid| txid.to_string()).unwrap_or_default(),
    }
}

pub(super) fn spend(found: Spend) -> wire::SpenderResponse {
    wire::SpenderResponse {
        transaction: Some(serialize(found.tx.as_ref())),
        input_index: found.input_index,
        block: found.block.map(ref_out),
    }
}

pub(super) const fn totals(totals: Totals) -> wire::TotalsResponse {
    wire::TotalsResponse {
        height: totals.height,
        transactions: totals.transactions,
        fees_sat: totals.fees_sat,
        supply_sat: totals.supply_sat,
        coins: totals.coins,
        mempool_transactions: totals.mempool_transactions,
    }
}
