//! The costly part of believing gossip: signatures, on threads of their own, and funding outputs.

use std::collections::BTreeMap;
use std::sync::Arc;

use bitcoin::{Amount, Block, OutPoint};
use chain_backend::backend::{BackendError, ChainBackend};
use rayon::iter::{IntoParallelIterator as _, ParallelIterator as _};
use routing::gossip::{ANNOUNCE_DEPTH, Proof, Reject, funding_script};
use wire::message::ChannelAnnouncement;

use crate::gossip::file::Found;

/// Blocks that are kept while the channels of one batch are looked up.
const BLOCKS_KEPT: usize = 16;

/// Which of these claims hold: all proofs of each.
pub(super) async fn hold(claims: Vec<Vec<Proof>>) -> Vec<bool> {
    let count = claims.len();
    if count == 0 {
        return Vec::new();
    }
    let work = move || -> Vec<bool> {
        claims.into_par_iter().map(|proofs| proofs.iter().all(Proof::holds)).collect()
    };
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| vec![false; count])
}

/// Looks up funding outputs.
#[derive(Debug)]
pub(super) struct Fundings {
    backend: Arc<dyn ChainBackend>,
    blocks: BTreeMap<u32, Arc<Block>>,
}

impl Fundings {
    pub(super) fn new(backend: Arc<dyn ChainBackend>) -> Self {
        Self { backend, blocks: BTreeMap::new() }
    }

    /// A reorganisation may have changed every block.
    pub(super) fn forget(&mut self) {
        self.blocks.clear();
    }

    /// The funding output that an announcement names.
    ///
    /// # Errors
    /// `Ok(Err(_))` says that there is none; an outer error, that the chain cannot be asked now.
    pub(super) async fn find(
        &mut self,
        announcement: &ChannelAnnouncement,
        tip: u32,
    ) -> Result<Result<Found, Reject>, BackendError> {
        let scid = announcement.short_channel_id;
        let height = scid.block().0;
        // No channel is announced before its funding has six confirmations. BOLT 7.
        if height.saturating_add(ANNOUNCE_DEPTH) > tip.saturating_add(1) {
            return Ok(Err(Reject::NoFunding));
        }
        let script = match funding_script(announcement) {
            Ok(script) => script,
            Err(reject) => return Ok(Err(reject)),
        };
        let Some(block) = self.block(height).await? else { return Ok(Err(Reject::NoFunding)) };
        let index = usize::try_from(scid.transaction()).unwrap_or(usize::MAX);
        let Some(tx) = block.txdata.get(index) else { return Ok(Err(Reject::NoFunding)) };
        let funding = OutPoint { txid: tx.compute_txid(), vout: scid.output().into() };
        // BOLT 7: "if the `short_channel_id`'s output ... does NOT correspond to a P2WSH ... OR the output
        // is spent: MUST ignore the message."
        let Some(found) = self.backend.txout(funding).await? else {
            return Ok(Err(Reject::NoFunding));
        };
        if found.output.script_pubkey != script || found.output.value == Amount::ZERO {
            return Ok(Err(Reject::NoFunding));
        }
        Ok(Ok(Found { funding, capacity: found.output.value }))
    }

    async fn block(&mut self, height: u32) -> Result<Option<Arc<Block>>, BackendError> {
        if let Some(block) = self.blocks.get(&height) {
            return Ok(Some(Arc::clone(block)));
        }
        let header = match self.backend.header_at(height).await {
            Ok(header) => header,
            Err(BackendError::NotFound) => return Ok(None),
            Err(error) => return Err(error),
        };
        let block = self.backend.block(header.hash).await?;
        while self.blocks.len() >= BLOCKS_KEPT {
            self.blocks.pop_first();
        }
        self.blocks.insert(height, Arc::clone(&block));
        Ok(Some(block))
    }
}
