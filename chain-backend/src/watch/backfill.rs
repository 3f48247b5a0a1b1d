//! A subject older than its registration: look it up where the backend has an index, else read the blocks
//! between.

use super::{Change, State, Subject, Watch};
use crate::backend::{BackendError, BlockRef, ChainBackend};
use bitcoin::Transaction;

/// Finds what happened to `subject` between its birth and the watch's cursor. What happens above the
/// cursor comes by the stream; a branch that the stream has not told of yet is taken back by it.
///
/// # Errors
/// [`BackendError`]; nothing changed then, and it can be called again.
pub async fn backfill(
    watch: &mut Watch,
    chain: &dyn ChainBackend,
    subject: &Subject,
) -> Result<Option<Change>, BackendError> {
    let Some(watched) = watch.subjects.get(subject) else { return Ok(None) };
    let (birth, inputs) = (watched.birth_height, watched.inputs.clone());
    let mut found: Vec<(Transaction, BlockRef, u32)> = Vec::new();
    match subject {
        Subject::Tx(txid) => {
            if let Some(at) = chain.tx(*txid).await? {
                found.extend(at.confirmed.map(|(block, index)| ((*at.tx).clone(), block, index)));
            }
            for input in inputs {
                found.extend(spend_of(chain, input, birth).await?);
            }
        }
        Subject::Spend(outpoint) => found.extend(spend_of(chain, *outpoint, birth).await?),
        Subject::Script(script) => {
            for height in birth..=watch.height() {
                let block = chain.header_at(height).await?;
                let contents = chain.block(block.hash).await?;
                for (index, tx) in (0_u32..).zip(&contents.txdata) {
                    if tx.output.iter().any(|output| output.script_pubkey == *script) {
                        found.push((tx.clone(), block, index));
                    }
                }
            }
        }
    }
    let before = watch.state(subject);
    for (tx, block, index) in found {
        if block.height <= watch.height() {
            watch.sight(&tx, Some((block.id(), index)));
        }
    }
    let state: State = watch.state(subject);
    Ok((state != before).then(|| Change { subject: subject.clone(), state }))
}

async fn spend_of(
    chain: &dyn ChainBackend,
    outpoint: bitcoin::OutPoint,
    birth: u32,
) -> Result<Option<(Transaction, BlockRef, u32)>, BackendError> {
    let Some(spend) = chain.spender(outpoint, birth).await? else { return Ok(None) };
    let txid = spend.tx.compute_txid();
    let Some(at) = chain.tx(txid).await? else { return Ok(None) };
    Ok(at.confirmed.map(|(block, index)| ((*spend.tx).clone(), block, index)))
}
