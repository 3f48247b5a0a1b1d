//! Steering a chain in another process.

use super::RemoteChain;
use crate::convert::{hash, tx_in};
use crate::sandbox::{Reorg, Sandbox, SandboxError, Stall, Totals};
use api::chain as wire;
use async_trait::async_trait;
use bitcoin::consensus::encode::serialize;
use bitcoin::{Block, BlockHash, FeeRate, ScriptBuf, Transaction, Txid};
use std::sync::Arc;
use std::time::Duration;
use tonic::{Code, Status};

#[async_trait]
impl Sandbox for RemoteChain {
    async fn mine(&self, count: u32, script: ScriptBuf) -> Result<Vec<BlockHash>, SandboxError> {
        let to = Some(wire::mine_request::To::Script(script.into_bytes()));
        let request = wire::MineRequest { blocks: count, to };
        let answer = self.client().mine(request).await.map_err(error)?;
        hashes(&answer.get_ref().hashes)
    }

    async fn reorganise(&self, reorg: Reorg) -> Result<Vec<BlockHash>, SandboxError> {
        let request = wire::ReorgRequest {
            depth: reorg.depth,
            excluded_txids: reorg.left_out.iter().map(Txid::to_string).collect(),
            script: reorg.script.into_bytes(),
            forget: reorg.forget,
        };
        let answer = self.client().reorg(request).await.map_err(error)?;
        hashes(&answer.get_ref().hashes)
    }

    async fn invalidate(&self, hash: BlockHash) -> Result<(), SandboxError> {
        let request = wire::JudgeRequest { hash: hash.to_string(), invalid: true };
        self.client().judge(request).await.map(drop).map_err(error)
    }

    async fn reconsider(&self, hash: BlockHash) -> Result<(), SandboxError> {
        let request = wire::JudgeRequest { hash: hash.to_string(), invalid: false };
        self.client().judge(request).await.map(drop).map_err(error)
    }

    async fn submit_block(&self, block: Block) -> Result<bool, SandboxError> {
        let request = wire::SubmitBlockRequest { block: serialize(&block) };
        Ok(self.client().submit_block(request).await.map_err(error)?.get_ref().connected)
    }

    async fn evict(&self, txid: Txid) -> Result<bool, SandboxError> {
        let request = wire::EvictRequest { txid: txid.to_string() };
        Ok(self.client().evict(request).await.map_err(error)?.get_ref().found)
    }

    async fn set_floor(&self, floor: Option<FeeRate>) -> Result<(), SandboxError> {
        let feerate_sat_kwu = floor.map(FeeRate::to_sat_per_kwu);
        let request = wire::SetFloorRequest { feerate_sat_kwu };
        self.client().set_floor(request).await.map(drop).map_err(error)
    }

    async fn stall(&self, stall: Stall, time: Option<Duration>) -> Result<(), SandboxError> {
        use wire::stall_request::Stall as Wire;
        let stall = match stall {
            Stall::No => Wire::No,
            Stall::Blocks => Wire::Blocks,
            Stall::Readers => Wire::Readers,
        };
        let longest = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let request = wire::StallRequest { stall: stall.into(), milliseconds: time.map(longest) };
        self.client().stall(request).await.map(drop).map_err(error)
    }

    async fn set_now(&self, now: Option<u32>) -> Result<(), SandboxError> {
        let request = wire::SetClockRequest { now };
        self.client().set_clock(request).await.map(drop).map_err(error)
    }

    async fn mempool(&self) -> Result<Vec<Arc<Transaction>>, SandboxError> {
        let answer = self.client().mempool(wire::MempoolRequest {}).await;
        let mut parts = answer.map_err(error)?.into_inner();
        let mut txs = Vec::new();
        while let Some(part) = parts.message().await.map_err(error)? {
            for transaction in &part.transactions {
                txs.push(tx_in(transaction).map_err(|e| SandboxError::Unavailable(e.to_string()))?);
            }
        }
        Ok(txs)
    }

    async fn totals(&self) -> Result<Totals, SandboxError> {
        let answer = self.client().totals(wire::TotalsRequest {}).await.map_err(error)?;
        let totals = answer.get_ref();
        Ok(Totals {
            height: totals.height,
            transactions: totals.transactions,
            fees_sat: totals.fees_sat,
            supply_sat: totals.supply_sat,
            coins: totals.coins,
            mempool_transactions: totals.mempool_transactions,
        })
    }
}

fn hashes(texts: &[String]) -> Result<Vec<BlockHash>, SandboxError> {
    let one = |text: &String| hash(text, "a block hash");
    let all: Result<_, crate::BackendError> = texts.iter().map(one).collect();
    all.map_err(|error| SandboxError::Unavailable(error.to_string()))
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "every other code means that nobody can tell whether it was done"
)]
#[expect(clippy::needless_pass_by_value, reason = "the shape map_err wants")]
fn error(status: Status) -> SandboxError {
    let message = status.message().to_owned();
    match status.code() {
        Code::Aborted | Code::InvalidArgument => SandboxError::Refused(message),
        _ => SandboxError::Unavailable(message),
    }
}
