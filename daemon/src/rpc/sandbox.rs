//! Service `Sandbox`: the chain is ours to make.

use api::v1;
use api::v1::sandbox_server::Sandbox;
use chain_backend::sandbox::Stall;
use core::time::Duration;
use tonic::{Request, Response, Status};

use super::model::sandbox::{Cheat, Faucet, FeerateVb, Mine, Mined, Reorg};
use super::parse;
use super::refusal::Refusal;
use super::{NodeApi, Rpc};

#[tonic::async_trait]
impl<N: NodeApi> Sandbox for Rpc<N> {
    async fn mine(
        &self,
        request: Request<v1::MineRequest>,
    ) -> Result<Response<v1::MineResponse>, Status> {
        let mut ask = request.into_inner();
        let key = core::mem::take(&mut ask.idempotency_key);
        let key = parse::order_key("Sandbox/Mine", key, &ask)?;
        let blocks = blocks("blocks", ask.blocks, 1_000)?;
        let to = ask.address.map(|text| parse::address(&text, self.world.network)).transpose()?;
        let Mined { height, hashes } = self.node.mine(Mine { key, blocks, to }).await?;
        let block_hashes = hashes.iter().map(ToString::to_string).collect();
        Ok(Response::new(v1::MineResponse { block_hashes, block_height: height.0 }))
    }

    async fn faucet(
        &self,
        request: Request<v1::FaucetRequest>,
    ) -> Result<Response<v1::FaucetResponse>, Status> {
        let mut ask = request.into_inner();
        let key = core::mem::take(&mut ask.idempotency_key);
        let key = parse::order_key("Sandbox/Faucet", key, &ask)?;
        let order = Faucet {
            key,
            to: parse::address(&ask.address, self.world.network)?,
            amount: parse::some_sat("amount_sat", ask.amount_sat)?,
        };
        let poured = self.node.faucet(order).await?;
        let txid = poured.txid.to_string();
        Ok(Response::new(v1::FaucetResponse { txid, block_height: poured.height.0 }))
    }

    async fn status(
        &self,
        _: Request<v1::SandboxStatusRequest>,
    ) -> Result<Response<v1::SandboxStatusResponse>, Status> {
        let status = self.node.sandbox_status().await?;
        Ok(Response::new(v1::SandboxStatusResponse {
            block_height: status.height.0,
            block_hash: status.hash.to_string(),
            mempool_transactions: status.mempool,
            transactions: status.transactions,
            fees_sat: status.fees.to_sat(),
            supply_sat: status.supply.to_sat(),
        }))
    }

    async fn reorg(
        &self,
        request: Request<v1::ReorgRequest>,
    ) -> Result<Response<v1::ReorgResponse>, Status> {
        let mut ask = request.into_inner();
        let key = core::mem::take(&mut ask.idempotency_key);
        let key = parse::order_key("Sandbox/Reorg", key, &ask)?;
        let depth = blocks("depth", ask.depth, 100)?;
        let without = ask.without_txids.iter().map(|text| parse::txid("without_txids", text));
        let without = without.collect::<Result<Vec<_>, _>>()?;
        let order = Reorg { key, depth, empty: ask.empty, without, keep_waiting: ask.keep_waiting };
        let Mined { height, hashes } = self.node.reorg(order).await?;
        let block_hashes = hashes.iter().map(ToString::to_string).collect();
        Ok(Response::new(v1::ReorgResponse { block_hashes, block_height: height.0 }))
    }

    async fn evict(
        &self,
        request: Request<v1::EvictRequest>,
    ) -> Result<Response<v1::EvictResponse>, Status> {
        let txid = parse::txid("txid", &request.get_ref().txid)?;
        let evicted_txids = words(&self.node.evict(txid).await?);
        Ok(Response::new(v1::EvictResponse { evicted_txids }))
    }

    async fn set_floor(
        &self,
        request: Request<v1::SetFloorRequest>,
    ) -> Result<Response<v1::SetFloorResponse>, Status> {
        let floor = request.get_ref().sat_per_vb;
        if let Some(given) = floor {
            parse::within("sat_per_vb", given.into(), 1, 10_000, "sat/vB")?;
        }
        let evicted_txids = words(&self.node.set_floor(floor.map(FeerateVb)).await?);
        Ok(Response::new(v1::SetFloorResponse { evicted_txids }))
    }

    async fn stall(
        &self,
        request: Request<v1::StallRequest>,
    ) -> Result<Response<v1::StallResponse>, Status> {
        let ask = request.get_ref();
        let stall = match ask.standstill() {
            v1::Standstill::Unspecified => {
                return Err(Refusal::Missing { field: "standstill" }.into());
            }
            v1::Standstill::None => Stall::No,
            v1::Standstill::Blocks => Stall::Blocks,
            v1::Standstill::Silent => Stall::Readers,
        };
        if let Some(given) = ask.milliseconds {
            parse::within("milliseconds", given.into(), 1, 3_600_000, "ms")?;
        }
        let time = ask.milliseconds.map(|time| Duration::from_millis(time.into()));
        self.node.stall(stall, time).await?;
        Ok(Response::new(v1::StallResponse {}))
    }

    async fn pin(
        &self,
        request: Request<v1::PinRequest>,
    ) -> Result<Response<v1::PinResponse>, Status> {
        let txid = parse::txid("txid", &request.get_ref().txid)?;
        let pinned = self.node.pin(txid).await?;
        Ok(Response::new(v1::PinResponse {
            txid: pinned.txid.to_string(),
            fee_sat: pinned.fee.to_sat(),
            vsize: pinned.vsize,
        }))
    }

    async fn cheat(
        &self,
        request: Request<v1::CheatRequest>,
    ) -> Result<Response<v1::CheatResponse>, Status> {
        let ask = request.get_ref();
        let order = Cheat { channel: parse::channel(&ask.channel_id)?, state: ask.state };
        let cheating = self.node.cheat(order).await?;
        Ok(Response::new(v1::CheatResponse {
            txid: cheating.txid.to_string(),
            ours_sat: cheating.ours.to_sat(),
            honest_sat: cheating.honest.to_sat(),
            htlcs: cheating.htlcs,
            to_self_delay_blocks: cheating.to_self_delay.into(),
        }))
    }
}

fn words(txids: &[bitcoin::Txid]) -> Vec<String> {
    txids.iter().map(ToString::to_string).collect()
}

fn blocks(field: &'static str, given: u32, max: u64) -> Result<u32, Refusal> {
    parse::within(field, u64::from(given), 1, max, "blocks")?;
    Ok(given)
}
