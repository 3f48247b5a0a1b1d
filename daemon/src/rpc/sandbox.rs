//! Service `Sandbox`: the chain is ours to make.

use api::v1;
use api::v1::sandbox_server::Sandbox;
use tonic::{Request, Response, Status};

use super::model::sandbox::{Faucet, Mine, Mined, Reorg};
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
        let order = Reorg { key, depth, empty: ask.empty };
        let Mined { height, hashes } = self.node.reorg(order).await?;
        let block_hashes = hashes.iter().map(ToString::to_string).collect();
        Ok(Response::new(v1::ReorgResponse { block_hashes, block_height: height.0 }))
    }
}

fn blocks(field: &'static str, given: u32, max: u64) -> Result<u32, Refusal> {
    parse::within(field, u64::from(given), 1, max, "blocks")?;
    Ok(given)
}
