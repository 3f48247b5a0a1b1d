//! Steering the built-in chain.

use crate::builtin::BuiltinChain;
use crate::builtin::chainstate::{BlockOutcome, ChainError};
use crate::sandbox::{Reorg, Sandbox, SandboxError, Stall, Totals};
use async_trait::async_trait;
use bitcoin::{Block, BlockHash, FeeRate, ScriptBuf, Transaction, Txid};
use std::sync::Arc;
use std::time::Duration;

#[async_trait]
impl Sandbox for BuiltinChain {
    async fn mine(&self, count: u32, script: ScriptBuf) -> Result<Vec<BlockHash>, SandboxError> {
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

impl From<ChainError> for SandboxError {
    fn from(error: ChainError) -> Self {
        match error {
            ChainError::Stopped | ChainError::Storage(_) | ChainError::Thread(_) => {
                Self::Unavailable(error.to_string())
            }
            ChainError::Rejected(_)
            | ChainError::UnknownBlock(_)
            | ChainError::TooDeep { .. }
            | ChainError::TooMany(_)
            | ChainError::StandsStill => Self::Refused(error.to_string()),
        }
    }
}
