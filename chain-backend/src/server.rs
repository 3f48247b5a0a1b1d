//! The built-in chain behind a socket: gRPC service `viaduct.chain.v1.Chain`, for several programs on one
//! machine.
//!
//! It has no keys and asks for none: it listens on loopback only, and the chain is worth nothing.

mod answer;

use crate::backend::{ChainBackend, Interest, Locator, Package};
use crate::builtin::BuiltinChain;
use crate::convert::{event_out, fees_out, id_in, outcome_out, parts, ref_out};
use crate::sandbox::{Reorg, Sandbox, Stall};
use answer::{argument, block_of, hash_of, hashes, outpoint_of, refused, script_of, status};
use api::chain as wire;
use api::chain::chain_server::{Chain, ChainServer};
use bitcoin::FeeRate;
use bitcoin::consensus::encode::serialize;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

/// The longest message either way, bytes: a block and what is around it.
pub(crate) const MESSAGE_MAX: usize = 16 * 1024 * 1024;

/// How long clients may take to hang up when the server stops.
const GRACE: Duration = Duration::from_secs(2);

type Answer<T> = Result<Response<T>, Status>;

/// Serves `chain` on `listener` until `stop`; then stops the chain and ends all readers.
///
/// # Errors
/// [`ServeError`] when the socket fails.
pub async fn serve(
    chain: BuiltinChain,
    listener: TcpListener,
    stop: impl Future<Output = ()> + Send,
) -> Result<(), ServeError> {
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_serving::<ChainServer<Service>>().await;
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(api::CHAIN_DESCRIPTORS)
        .build_v1()
        .map_err(|_| ServeError::Descriptors)?;
    let stopped = chain.clone();
    let service = ChainServer::new(Service { chain })
        .max_decoding_message_size(MESSAGE_MAX)
        .max_encoding_message_size(MESSAGE_MAX);
    let (stopping, stopped_at) = oneshot::channel();
    let server = tonic::transport::Server::builder()
        .add_service(service)
        .add_service(health_service)
        .add_service(reflection)
        .serve_with_incoming_shutdown(TcpListenerStream::new(listener), async move {
            stop.await;
            // Readers only end when the chain does.
            stopped.stop().await;
            let _ = stopping.send(());
        });
    tokio::select! {
        ended = server => ended.map_err(ServeError::Transport),
        // A client that does not hang up cannot hold the server.
        () = grace(stopped_at) => Ok(()),
    }
}

async fn grace(stopped: oneshot::Receiver<()>) {
    if stopped.await.is_ok() {
        tokio::time::sleep(GRACE).await;
    } else {
        std::future::pending().await
    }
}

/// Why the server ended.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The descriptors for reflection do not load.
    #[error("the gRPC descriptors cannot be loaded")]
    Descriptors,
    /// The socket failed.
    #[error("the server's socket failed: {0}")]
    Transport(tonic::transport::Error),
}

#[derive(Debug)]
struct Service {
    chain: BuiltinChain,
}

#[tonic::async_trait]
impl Chain for Service {
    type EventsStream = BoxStream<'static, Result<wire::Event, Status>>;
    type MempoolStream = BoxStream<'static, Result<wire::MempoolResponse, Status>>;

    async fn tip(&self, _: Request<wire::TipRequest>) -> Answer<wire::TipResponse> {
        let tip = self.chain.tip().await.map_err(status)?;
        Ok(Response::new(wire::TipResponse { tip: Some(ref_out(tip)) }))
    }

    async fn events(&self, request: Request<wire::EventsRequest>) -> Answer<Self::EventsStream> {
        let entries = request.get_ref().locator.iter().map(id_in).collect::<Result<Vec<_>, _>>();
        let locator = Locator::from_entries(entries.map_err(argument)?).map_err(argument)?;
        let events = self.chain.events(locator, Interest::Everything).await.map_err(status)?;
        let events = events.flat_map(|event| {
            futures_util::stream::iter(match event {
                Ok(event) => event_out(event).into_iter().map(Ok).collect(),
                Err(error) => vec![Err(status(error))],
            })
        });
        Ok(Response::new(events.boxed()))
    }

    async fn block(&self, request: Request<wire::BlockRequest>) -> Answer<wire::BlockResponse> {
        let hash = hash_of(&request.get_ref().hash, "hash")?;
        let block = self.chain.block(hash).await.map_err(status)?;
        Ok(Response::new(wire::BlockResponse { block: serialize(block.as_ref()) }))
    }

    async fn header(&self, request: Request<wire::HeaderRequest>) -> Answer<wire::HeaderResponse> {
        let block = self.chain.header_at(request.get_ref().height).await.map_err(status)?;
        Ok(Response::new(wire::HeaderResponse { block: Some(ref_out(block)) }))
    }

    async fn transaction(
        &self,
        request: Request<wire::TransactionRequest>,
    ) -> Answer<wire::TransactionResponse> {
        let txid = hash_of(&request.get_ref().txid, "txid")?;
        let found = self.chain.tx(txid).await.map_err(status)?;
        Ok(Response::new(found.map(answer::transaction).unwrap_or_default()))
    }

    async fn output(&self, request: Request<wire::OutputRequest>) -> Answer<wire::OutputResponse> {
        let outpoint = outpoint_of(request.get_ref().outpoint.as_ref())?;
        let found = self.chain.txout(outpoint).await.map_err(status)?;
        Ok(Response::new(found.map(answer::output).unwrap_or_default()))
    }

    async fn spender(
        &self,
        request: Request<wire::SpenderRequest>,
    ) -> Answer<wire::SpenderResponse> {
        let outpoint = outpoint_of(request.get_ref().outpoint.as_ref())?;
        let found = self.chain.spender(outpoint, 0).await.map_err(status)?;
        Ok(Response::new(found.map(answer::spend).unwrap_or_default()))
    }

    async fn submit(&self, request: Request<wire::SubmitRequest>) -> Answer<wire::SubmitResponse> {
        let request = request.into_inner();
        let txs = request.transactions.iter().map(|tx| answer::transaction_of(tx));
        let package = Package::new(txs.collect::<Result<_, _>>()?).map_err(argument)?;
        let feerate_max = request.feerate_max_sat_kwu.map(FeeRate::from_sat_per_kwu);
        let outcome = if request.only_test {
            self.chain.test(&package).await
        } else {
            self.chain.submit(package, feerate_max).await
        };
        Ok(Response::new(outcome_out(outcome)))
    }

    async fn fees(&self, _: Request<wire::FeesRequest>) -> Answer<wire::FeesResponse> {
        let table = self.chain.fees().await.map_err(status)?;
        Ok(Response::new(fees_out(&table)))
    }

    async fn mempool(&self, _: Request<wire::MempoolRequest>) -> Answer<Self::MempoolStream> {
        let txs = self.chain.mempool().await.map_err(refused)?;
        let part = |transactions| Ok(wire::MempoolResponse { transactions });
        let answer: Vec<_> = parts(&txs).into_iter().map(part).collect();
        Ok(Response::new(futures_util::stream::iter(answer).boxed()))
    }

    async fn totals(&self, _: Request<wire::TotalsRequest>) -> Answer<wire::TotalsResponse> {
        let totals = self.chain.totals().await.map_err(refused)?;
        Ok(Response::new(answer::totals(totals)))
    }

    async fn reach(&self, request: Request<wire::ReachRequest>) -> Answer<wire::ReachResponse> {
        let wire::ReachRequest { reader, height } = request.into_inner();
        self.chain.keep_reader(reader, height).await.map_err(answer::chain_status)?;
        Ok(Response::new(wire::ReachResponse {}))
    }

    async fn readers(
        &self,
        request: Request<wire::ReadersRequest>,
    ) -> Answer<wire::ReadersResponse> {
        let readers = self.chain.readers().await.map_err(answer::chain_status)?;
        Ok(Response::new(answer::readers(&readers, request.get_ref())))
    }

    async fn forget_reader(
        &self,
        request: Request<wire::ForgetReaderRequest>,
    ) -> Answer<wire::ForgetReaderResponse> {
        let reader = request.into_inner().reader;
        let known = self.chain.forget_reader(reader).await.map_err(answer::chain_status)?;
        Ok(Response::new(wire::ForgetReaderResponse { known }))
    }

    async fn mine(&self, request: Request<wire::MineRequest>) -> Answer<wire::MineResponse> {
        let request = request.into_inner();
        let script = script_of(request.to, self.chain.network())?;
        let mined = self.chain.mine(request.blocks, script).await.map_err(refused)?;
        Ok(Response::new(wire::MineResponse { hashes: hashes(&mined) }))
    }

    async fn reorg(&self, request: Request<wire::ReorgRequest>) -> Answer<wire::ReorgResponse> {
        let request = request.into_inner();
        let excluded = request.excluded_txids.iter().map(|txid| hash_of(txid, "excluded_txids"));
        let excluded = excluded.collect::<Result<_, _>>()?;
        let script =
            script_of(Some(wire::mine_request::To::Script(request.script)), self.chain.network())?;
        let reorg =
            Reorg { depth: request.depth, left_out: excluded, forget: request.forget, script };
        let made = self.chain.reorganise(reorg).await.map_err(refused)?;
        Ok(Response::new(wire::ReorgResponse { hashes: hashes(&made) }))
    }

    async fn judge(&self, request: Request<wire::JudgeRequest>) -> Answer<wire::JudgeResponse> {
        let hash = hash_of(&request.get_ref().hash, "hash")?;
        let judged = if request.get_ref().invalid {
            self.chain.invalidate(hash).await
        } else {
            self.chain.reconsider(hash).await
        };
        judged.map_err(refused)?;
        Ok(Response::new(wire::JudgeResponse {}))
    }

    async fn submit_block(
        &self,
        request: Request<wire::SubmitBlockRequest>,
    ) -> Answer<wire::SubmitBlockResponse> {
        let block = block_of(&request.get_ref().block)?;
        let connected = self.chain.submit_block(block).await.map_err(refused)?;
        Ok(Response::new(wire::SubmitBlockResponse { connected }))
    }

    async fn evict(&self, request: Request<wire::EvictRequest>) -> Answer<wire::EvictResponse> {
        let txid = hash_of(&request.get_ref().txid, "txid")?;
        let found = self.chain.evict(txid).await.map_err(refused)?;
        Ok(Response::new(wire::EvictResponse { found }))
    }

    async fn set_clock(
        &self,
        request: Request<wire::SetClockRequest>,
    ) -> Answer<wire::SetClockResponse> {
        self.chain.set_now(request.get_ref().now).await.map_err(refused)?;
        Ok(Response::new(wire::SetClockResponse {}))
    }

    async fn set_floor(
        &self,
        request: Request<wire::SetFloorRequest>,
    ) -> Answer<wire::SetFloorResponse> {
        let floor = request.get_ref().feerate_sat_kwu.map(FeeRate::from_sat_per_kwu);
        self.chain.set_floor(floor).await.map_err(refused)?;
        Ok(Response::new(wire::SetFloorResponse {}))
    }

    async fn stall(&self, request: Request<wire::StallRequest>) -> Answer<wire::StallResponse> {
        use wire::stall_request::Stall as Wire;
        let stall = match request.get_ref().stall() {
            Wire::No => Stall::No,
            Wire::Blocks => Stall::Blocks,
            Wire::Readers => Stall::Readers,
        };
        let time = request.get_ref().milliseconds.map(Duration::from_millis);
        self.chain.stall(stall, time).await.map_err(refused)?;
        Ok(Response::new(wire::StallResponse {}))
    }
}
