//! Steering the built-in chain.

use crate::builtin::BuiltinChain;
use crate::builtin::chainstate::{BlockOutcome, ChainError, Unworked};
use crate::builtin::mine::grind;
use crate::builtin::reject::Reject;
use crate::sandbox::{Reorg, Sandbox, SandboxError, Stall, Totals};
use async_trait::async_trait;
use bitcoin::{Block, BlockHash, FeeRate, Network, ScriptBuf, Transaction, Txid};
use std::sync::Arc;
use std::time::Duration;

#[async_trait]
impl Sandbox for BuiltinChain {
    async fn mine(&self, count: u32, script: ScriptBuf) -> Result<Vec<BlockHash>, SandboxError> {
        if self.network == Network::Signet {
            return self.mine_with_work(count, script).await;
        }
        Ok(self.actor.call(move |chain| chain.mine(count, &script)).await??)
    }

    async fn reorganise(&self, reorg: Reorg) -> Result<Vec<BlockHash>, SandboxError> {
        Ok(self.actor.call(move |chain| chain.reorganise(&reorg)).await??)
    }

    async fn invalidate(&self, hash: BlockHash) -> Result<(), SandboxError> {
        Ok(self.actor.call(move |chain| chain.invalidate(hash)).await??)
    }

    async fn reconsider(&self, hash: BlockHash) -> Result<(), SandboxError> {
        Ok(self.actor.call(move |chain| chain.reconsider(hash)).await??)
    }

    async fn submit_block(&self, block: Block) -> Result<bool, SandboxError> {
        let outcome = self.actor.call(move |chain| chain.submit_block(block)).await??;
        Ok(outcome == BlockOutcome::Connected)
    }

    async fn evict(&self, txid: Txid) -> Result<bool, SandboxError> {
        Ok(self.actor.call(move |chain| chain.evict(&txid)).await?)
    }

    async fn set_floor(&self, floor: Option<FeeRate>) -> Result<(), SandboxError> {
        Ok(self.actor.call(move |chain| chain.set_floor(floor)).await?)
    }

    async fn stall(&self, stall: Stall, time: Option<Duration>) -> Result<(), SandboxError> {
        Ok(self.actor.call(move |chain| chain.set_stall(stall, time)).await?)
    }

    async fn set_now(&self, now: Option<u32>) -> Result<(), SandboxError> {
        Ok(self.actor.call(move |chain| chain.set_now(now)).await?)
    }

    async fn mempool(&self) -> Result<Vec<Arc<Transaction>>, SandboxError> {
        Ok(self.actor.call(|chain| chain.mempool().snapshot()).await?)
    }

    async fn totals(&self) -> Result<Totals, SandboxError> {
        Ok(self.actor.call(|chain| chain.totals()).await?)
    }
}

impl BuiltinChain {
    /// Blocks that take seconds of work, which is done on another thread: meanwhile the chain answers.
    async fn mine_with_work(
        &self,
        count: u32,
        script: ScriptBuf,
    ) -> Result<Vec<BlockHash>, SandboxError> {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        let mut hashes = Vec::new();
        while hashes.len() < count {
            let script = script.clone();
            let unworked = self.actor.call(move |chain| chain.unworked(&script)).await??;
            let Unworked { block, template } = unworked;
            let work = tokio::task::spawn_blocking(move || grind(block));
            let block = work.await.map_err(|error| SandboxError::Unavailable(error.to_string()))?;
            let block = block.ok_or(ChainError::Rejected(Reject::HighHash))?;
            let hash = block.block_hash();
            let outcome = self.actor.call(move |chain| chain.worked(block, &template)).await??;
            // Another block came first: then this one is aside, and the next is tried.
            if outcome == BlockOutcome::Connected {
                hashes.push(hash);
            }
        }
        Ok(hashes)
    }
}

impl From<ChainError> for SandboxError {
    fn from(error: ChainError) -> Self {
        match error {
            ChainError::Stopped | ChainError::Storage(_) | ChainError::Thread(_) => {
                Self::Unavailable(error.to_string())
            }
            ChainError::Rejected(_)
            | ChainError::Signet(_)
            | ChainError::NotTheSigner
            | ChainError::UnknownBlock(_)
            | ChainError::TooDeep { .. }
            | ChainError::TooMany(_)
            | ChainError::Needed { .. }
            | ChainError::ReaderName(..)
            | ChainError::StandsStill => Self::Refused(error.to_string()),
        }
    }
}
