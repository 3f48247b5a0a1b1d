//! Between the types of this crate and those on the socket. What comes from the socket is checked: hashes
//! against bytes, bytes against the decoder.

use crate::backend::{
    BackendError, BlockId, BlockRef, ChainEvent, FeeTable, Lock, MempoolDelta, RemovedBecause,
    SubmitOutcome, Txs,
};
use api::chain as wire;
use bitcoin::consensus::encode::{Decodable, deserialize, serialize};
use bitcoin::{Amount, FeeRate, Transaction};
use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;
use wire::event::Event as WireEvent;
use wire::mempool_removed::Because;
use wire::submit_response::Outcome;

/// Transactions of one part of a snapshot, bytes.
const SNAPSHOT_PART: usize = 1_000_000;

/// Something on the socket that cannot be true.
pub(crate) const fn nonsense(what: &'static str) -> BackendError {
    BackendError::Lied(what)
}

pub(crate) fn bytes<T: Decodable>(bytes: &[u8], what: &'static str) -> Result<T, BackendError> {
    deserialize(bytes).map_err(|_| nonsense(what))
}

pub(crate) fn hash<T: FromStr>(text: &str, what: &'static str) -> Result<T, BackendError> {
    text.parse().map_err(|_| nonsense(what))
}

pub(crate) fn id_out(id: BlockId) -> wire::BlockId {
    wire::BlockId { height: id.height, hash: id.hash.to_string() }
}

pub(crate) fn id_in(id: &wire::BlockId) -> Result<BlockId, BackendError> {
    Ok(BlockId { height: id.height, hash: hash(&id.hash, "a block hash")? })
}

pub(crate) fn ref_out(block: BlockRef) -> wire::BlockRef {
    wire::BlockRef {
        height: block.height,
        header: serialize(&block.header),
        median_time: block.mtp,
    }
}

pub(crate) fn ref_in(block: Option<&wire::BlockRef>) -> Result<BlockRef, BackendError> {
    let block = block.ok_or(nonsense("a missing block"))?;
    let header: bitcoin::block::Header = bytes(&block.header, "a header")?;
    let hash = header.block_hash();
    if !header.target().is_met_by(hash) {
        return Err(nonsense("a header without its work"));
    }
    Ok(BlockRef { height: block.height, hash, header, mtp: block.median_time })
}

pub(crate) fn tx_in(transaction: &[u8]) -> Result<Arc<Transaction>, BackendError> {
    bytes(transaction, "a transaction").map(Arc::new)
}

/// An event, in several parts if it is a long snapshot.
pub(crate) fn event_out(event: ChainEvent) -> Vec<wire::Event> {
    let event = match event {
        ChainEvent::Connected { block, txs } => WireEvent::Connected(wire::Connected {
            block: Some(ref_out(block)),
            bytes: txs.block().map(|block| serialize(block.as_ref())).unwrap_or_default(),
        }),
        ChainEvent::Disconnected { fork, gone } => WireEvent::Disconnected(wire::Disconnected {
            fork: Some(ref_out(fork)),
            gone: gone.into_iter().map(id_out).collect(),
        }),
        ChainEvent::Mempool(MempoolDelta::Snapshot(txs)) => return snapshot_out(&txs),
        ChainEvent::Mempool(MempoolDelta::Added { tx, fee }) => {
            let transaction = serialize(tx.as_ref());
            WireEvent::MempoolAdded(wire::MempoolAdded { transaction, fee_sat: fee.to_sat() })
        }
        ChainEvent::Mempool(MempoolDelta::Removed { txid, because }) => {
            let (because, block_hash, by_txid) = because_out(because);
            let (txid, because) = (txid.to_string(), i32::from(because));
            WireEvent::MempoolRemoved(wire::MempoolRemoved { txid, because, block_hash, by_txid })
        }
        ChainEvent::Synced { tip } => WireEvent::Synced(wire::Synced { tip: Some(ref_out(tip)) }),
        // The client finds that out by itself.
        ChainEvent::Away { .. } => return Vec::new(),
    };
    vec![wire::Event { event: Some(event) }]
}

/// Transactions cut into parts of bounded size; at least one part.
pub(crate) fn parts(txs: &[Arc<Transaction>]) -> Vec<Vec<Vec<u8>>> {
    let mut parts = vec![Vec::new()];
    let mut size: usize = 0;
    for tx in txs {
        let bytes = serialize(tx.as_ref());
        if size > 0 && size.saturating_add(bytes.len()) > SNAPSHOT_PART {
            parts.push(Vec::new());
            size = 0;
        }
        size = size.saturating_add(bytes.len());
        if let Some(part) = parts.last_mut() {
            part.push(bytes);
        }
    }
    parts
}

fn snapshot_out(txs: &[Arc<Transaction>]) -> Vec<wire::Event> {
    let parts = parts(txs);
    let last = parts.len().saturating_sub(1);
    let part = |(index, transactions)| {
        let part = wire::MempoolSnapshot { transactions, more: index < last };
        wire::Event { event: Some(WireEvent::MempoolSnapshot(part)) }
    };
    parts.into_iter().enumerate().map(part).collect()
}

fn because_out(because: RemovedBecause) -> (Because, String, String) {
    let none = String::new;
    match because {
        RemovedBecause::Confirmed(block) => (Because::Confirmed, block.to_string(), none()),
        RemovedBecause::Replaced { by } => (Because::Replaced, none(), by.to_string()),
        RemovedBecause::Conflicted { by } => (Because::Conflicted, none(), by.to_string()),
        RemovedBecause::Evicted => (Because::Evicted, none(), none()),
        RemovedBecause::Expired => (Because::Expired, none(), none()),
        RemovedBecause::Reorganised => (Because::Reorganised, none(), none()),
    }
}

/// Puts events together again.
#[derive(Debug, Default)]
pub(crate) struct EventsIn {
    snapshot: Vec<Arc<Transaction>>,
}

impl EventsIn {
    /// The next event, or `None` while a snapshot is not whole.
    pub(crate) fn next(&mut self, event: wire::Event) -> Result<Option<ChainEvent>, BackendError> {
        match event.event.ok_or(nonsense("an empty event"))? {
            WireEvent::Connected(connected) => {
                let block = ref_in(connected.block.as_ref())?;
                let contents: bitcoin::Block = bytes(&connected.bytes, "a block")?;
                let true_to_header =
                    contents.header == block.header && contents.check_merkle_root();
                if !true_to_header || !contents.check_witness_commitment() {
                    return Err(nonsense("a block that is not what its header says"));
                }
                let txs = Txs::Full(Arc::new(contents));
                Ok(Some(ChainEvent::Connected { block, txs }))
            }
            WireEvent::Disconnected(disconnected) => {
                let fork = ref_in(disconnected.fork.as_ref())?;
                let gone = disconnected.gone.iter().map(id_in).collect::<Result<_, _>>()?;
                Ok(Some(ChainEvent::Disconnected { fork, gone }))
            }
            WireEvent::MempoolSnapshot(part) => {
                for transaction in &part.transactions {
                    self.snapshot.push(tx_in(transaction)?);
                }
                let whole = (!part.more).then(|| std::mem::take(&mut self.snapshot));
                Ok(whole.map(|txs| ChainEvent::Mempool(MempoolDelta::Snapshot(txs))))
            }
            WireEvent::MempoolAdded(added) => {
                let tx = tx_in(&added.transaction)?;
                let fee = Amount::from_sat(added.fee_sat);
                Ok(Some(ChainEvent::Mempool(MempoolDelta::Added { tx, fee })))
            }
            WireEvent::MempoolRemoved(removed) => {
                let txid = hash(&removed.txid, "a txid")?;
                let because = because_in(&removed)?;
                Ok(Some(ChainEvent::Mempool(MempoolDelta::Removed { txid, because })))
            }
            WireEvent::Synced(synced) => {
                Ok(Some(ChainEvent::Synced { tip: ref_in(synced.tip.as_ref())? }))
            }
        }
    }
}

fn because_in(removed: &wire::MempoolRemoved) -> Result<RemovedBecause, BackendError> {
    let by = || hash(&removed.by_txid, "a txid");
    Ok(match removed.because() {
        Because::Confirmed => RemovedBecause::Confirmed(hash(&removed.block_hash, "a block hash")?),
        Because::Replaced => RemovedBecause::Replaced { by: by()? },
        Because::Conflicted => RemovedBecause::Conflicted { by: by()? },
        Because::Evicted | Because::Unspecified => RemovedBecause::Evicted,
        Because::Expired => RemovedBecause::Expired,
        Because::Reorganised => RemovedBecause::Reorganised,
    })
}

pub(crate) fn outcome_out(outcome: SubmitOutcome) -> wire::SubmitResponse {
    let mut answer = wire::SubmitResponse::default();
    let kind = match outcome {
        SubmitOutcome::Accepted => Outcome::Accepted,
        SubmitOutcome::InMempool => Outcome::InMempool,
        SubmitOutcome::Confirmed(block) => {
            answer.block = block.map(ref_out);
            Outcome::Confirmed
        }
        SubmitOutcome::Replaceable { needed } => {
            answer.needed_sat = Some(needed.to_sat());
            Outcome::Replaceable
        }
        SubmitOutcome::FeeTooLow { min } => {
            answer.feerate_sat_kwu = Some(min.to_sat_per_kwu());
            Outcome::FeeTooLow
        }
        SubmitOutcome::FeeTooHigh { max } => {
            answer.feerate_sat_kwu = Some(max.to_sat_per_kwu());
            Outcome::FeeTooHigh
        }
        SubmitOutcome::Conflict { with } => {
            answer.with_txid = with.map(|txid| txid.to_string()).unwrap_or_default();
            Outcome::Conflict
        }
        SubmitOutcome::MissingInputs => Outcome::MissingInputs,
        SubmitOutcome::Premature { at } => {
            match at {
                Lock::TipHeight(height) => answer.tip_height = Some(height),
                Lock::TipMedianTime(time) => answer.tip_median_time = Some(time),
                Lock::Unknown => {}
            }
            Outcome::Premature
        }
        SubmitOutcome::Invalid { reason } => {
            answer.reason = reason;
            Outcome::Invalid
        }
        SubmitOutcome::Unavailable => Outcome::Unavailable,
    };
    answer.outcome = i32::from(kind);
    answer
}

pub(crate) fn outcome_in(answer: &wire::SubmitResponse) -> Result<SubmitOutcome, BackendError> {
    let rate = || FeeRate::from_sat_per_kwu(answer.feerate_sat_kwu.unwrap_or_default());
    Ok(match answer.outcome() {
        Outcome::Accepted => SubmitOutcome::Accepted,
        Outcome::InMempool => SubmitOutcome::InMempool,
        Outcome::Confirmed => SubmitOutcome::Confirmed(match &answer.block {
            Some(block) => Some(ref_in(Some(block))?),
            None => None,
        }),
        Outcome::Replaceable => {
            let needed = Amount::from_sat(answer.needed_sat.unwrap_or_default());
            SubmitOutcome::Replaceable { needed }
        }
        Outcome::FeeTooLow => SubmitOutcome::FeeTooLow { min: rate() },
        Outcome::FeeTooHigh => SubmitOutcome::FeeTooHigh { max: rate() },
        Outcome::Conflict if answer.with_txid.is_empty() => SubmitOutcome::Conflict { with: None },
        Outcome::Conflict => {
            SubmitOutcome::Conflict { with: Some(hash(&answer.with_txid, "a txid")?) }
        }
        Outcome::MissingInputs => SubmitOutcome::MissingInputs,
        Outcome::Premature => SubmitOutcome::Premature {
            at: match (answer.tip_height, answer.tip_median_time) {
                (Some(height), _) => Lock::TipHeight(height),
                (None, Some(time)) => Lock::TipMedianTime(time),
                (None, None) => Lock::Unknown,
            },
        },
        Outcome::Invalid => SubmitOutcome::Invalid { reason: answer.reason.clone() },
        Outcome::Unavailable | Outcome::Unspecified => SubmitOutcome::Unavailable,
    })
}

pub(crate) fn fees_out(table: &FeeTable) -> wire::FeesResponse {
    let estimate = |(target, rate): (&u16, &Option<FeeRate>)| wire::FeeEstimate {
        target: u32::from(*target),
        feerate_sat_kwu: rate.map(FeeRate::to_sat_per_kwu),
    };
    wire::FeesResponse {
        estimates: table.targets.iter().map(estimate).collect(),
        mempool_min_sat_kwu: table.mempool_min.to_sat_per_kwu(),
        relay_min_sat_kwu: table.relay_min.to_sat_per_kwu(),
        incremental_sat_kwu: table.incremental.to_sat_per_kwu(),
    }
}

pub(crate) fn fees_in(answer: &wire::FeesResponse) -> FeeTable {
    let estimate = |estimate: &wire::FeeEstimate| {
        let target = u16::try_from(estimate.target).ok()?;
        Some((target, estimate.feerate_sat_kwu.map(FeeRate::from_sat_per_kwu)))
    };
    let targets: BTreeMap<_, _> = answer.estimates.iter().filter_map(estimate).collect();
    FeeTable {
        targets,
        mempool_min: FeeRate::from_sat_per_kwu(answer.mempool_min_sat_kwu),
        relay_min: FeeRate::from_sat_per_kwu(answer.relay_min_sat_kwu),
        incremental: FeeRate::from_sat_per_kwu(answer.incremental_sat_kwu),
    }
}
