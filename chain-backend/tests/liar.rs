//! A chain server that lies: whatever it says that can be checked is checked, and nothing of it is believed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    clippy::disallowed_types,
    reason = "a test fails by panicking, and steers the liar from outside"
)]

use api::chain as wire;
use api::chain::chain_server::{Chain, ChainServer};
use bitcoin::consensus::encode::serialize;
use bitcoin::{Block, BlockHash, Network, OutPoint, ScriptBuf, Transaction, Txid};
use chain_backend::{
    BackendError, BuiltinChain, ChainBackend, ChainEvent, Interest, Locator, RemoteChain, Sandbox,
};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

type Answer<T> = Result<Response<T>, Status>;

/// What is not true of the answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lie {
    None,
    /// Another block, transaction or height than was asked for.
    Other,
    /// The right header over other transactions.
    Contents,
    /// A header that nobody has worked for.
    Work,
    /// A block that does not stand on the one before it.
    Gap,
    /// Bytes that are nothing.
    Garbage,
}

/// Knows the truth.
#[derive(Clone)]
struct Liar {
    truth: BuiltinChain,
    lie: Arc<Mutex<Lie>>,
}

fn status(error: BackendError) -> Status {
    match error {
        BackendError::NotFound => Status::not_found(""),
        other => Status::unavailable(other.to_string()),
    }
}

fn silent<T>() -> Answer<T> {
    Err(Status::unimplemented("it says nothing of that"))
}

impl Liar {
    fn lies(&self) -> Lie {
        *self.lie.lock().unwrap()
    }

    async fn place(&self, height: u32) -> Result<wire::BlockRef, Status> {
        let at = self.truth.header_at(height).await.map_err(status)?;
        Ok(wire::BlockRef { height, header: serialize(&at.header), median_time: at.mtp })
    }

    async fn contents(&self, height: u32) -> Result<Block, Status> {
        let at = self.truth.header_at(height).await.map_err(status)?;
        Ok(self.truth.block(at.hash).await.map_err(status)?.as_ref().clone())
    }

    /// The block of a height, or what the liar makes of it.
    async fn connected(&self, height: u32) -> Result<wire::Event, Status> {
        let mut place = self.place(height).await?;
        let mut block = self.contents(height).await?;
        let mut bytes = serialize(&block);
        match self.lies() {
            Lie::None => {}
            Lie::Other => bytes = serialize(&self.contents(height - 1).await?),
            Lie::Contents => {
                block.txdata[0].output[0].script_pubkey = ScriptBuf::from_bytes(vec![0x51]);
                bytes = serialize(&block);
            }
            Lie::Work => {
                block.txdata[0].output[0].script_pubkey = ScriptBuf::from_bytes(vec![0x51]);
                block.header.merkle_root = block.compute_merkle_root().unwrap();
                while block.header.target().is_met_by(block.header.block_hash()) {
                    block.header.nonce += 1;
                }
                place.header = serialize(&block.header);
                bytes = serialize(&block);
            }
            Lie::Gap => {
                place = self.place(height - 1).await?;
                place.height = height;
                bytes = serialize(&self.contents(height - 1).await?);
            }
            Lie::Garbage => bytes.truncate(100),
        }
        let connected = wire::Connected { block: Some(place), bytes };
        Ok(wire::Event { event: Some(wire::event::Event::Connected(connected)) })
    }
}

#[tonic::async_trait]
impl Chain for Liar {
    type EventsStream = BoxStream<'static, Result<wire::Event, Status>>;
    type MempoolStream = BoxStream<'static, Result<wire::MempoolResponse, Status>>;

    async fn tip(&self, _: Request<wire::TipRequest>) -> Answer<wire::TipResponse> {
        let tip = self.truth.tip().await.map_err(status)?;
        Ok(Response::new(wire::TipResponse { tip: Some(self.place(tip.height).await?) }))
    }

    async fn events(&self, request: Request<wire::EventsRequest>) -> Answer<Self::EventsStream> {
        let last = request.get_ref().locator.iter().map(|known| known.height).max();
        let next = last.unwrap_or(0) + 1;
        let liar = self.clone();
        let events = futures_util::stream::unfold(next, move |height| {
            let liar = liar.clone();
            async move { Some((liar.connected(height).await, height + 1)) }
        });
        Ok(Response::new(events.boxed()))
    }

    async fn block(&self, request: Request<wire::BlockRequest>) -> Answer<wire::BlockResponse> {
        let hash: BlockHash = request.get_ref().hash.parse().unwrap();
        let mut block = self.truth.block(hash).await.map_err(status)?.as_ref().clone();
        match self.lies() {
            Lie::Other => block = self.contents(1).await?,
            Lie::Contents => {
                block.txdata[0].output[0].script_pubkey = ScriptBuf::from_bytes(vec![0x51]);
            }
            _ => {}
        }
        let mut block = serialize(&block);
        if self.lies() == Lie::Garbage {
            block.truncate(100);
        }
        Ok(Response::new(wire::BlockResponse { block }))
    }

    async fn header(&self, request: Request<wire::HeaderRequest>) -> Answer<wire::HeaderResponse> {
        let height = request.get_ref().height;
        let wrong = u32::from(self.lies() == Lie::Other);
        let mut block = self.place(height - wrong).await?;
        if self.lies() == Lie::Work {
            // The nonce is the end of a header.
            let last = block.header.len() - 1;
            let worked = |header: &[u8]| {
                let header: bitcoin::block::Header =
                    bitcoin::consensus::deserialize(header).unwrap();
                header.target().is_met_by(header.block_hash())
            };
            while worked(&block.header) {
                block.header[last] = block.header[last].wrapping_add(1);
            }
        }
        Ok(Response::new(wire::HeaderResponse { block: Some(block) }))
    }

    async fn transaction(
        &self,
        request: Request<wire::TransactionRequest>,
    ) -> Answer<wire::TransactionResponse> {
        let txid: Txid = request.get_ref().txid.parse().unwrap();
        let mut tx = self.truth.tx(txid).await.map_err(status)?.unwrap().tx.as_ref().clone();
        if self.lies() == Lie::Contents {
            tx.output[0].value = bitcoin::Amount::from_sat(1);
        }
        let mut transaction = serialize(&tx);
        if self.lies() == Lie::Garbage {
            transaction.truncate(9);
        }
        let answer =
            wire::TransactionResponse { transaction: Some(transaction), block: None, index: 0 };
        Ok(Response::new(answer))
    }

    async fn output(&self, _: Request<wire::OutputRequest>) -> Answer<wire::OutputResponse> {
        silent()
    }

    async fn spender(&self, _: Request<wire::SpenderRequest>) -> Answer<wire::SpenderResponse> {
        // Somebody's transaction, but it does not spend what was asked for.
        let tx: Transaction = self.contents(1).await?.txdata[0].clone();
        let transaction = Some(serialize(&tx));
        Ok(Response::new(wire::SpenderResponse { transaction, input_index: 0, block: None }))
    }

    async fn submit(&self, _: Request<wire::SubmitRequest>) -> Answer<wire::SubmitResponse> {
        silent()
    }

    async fn fees(&self, _: Request<wire::FeesRequest>) -> Answer<wire::FeesResponse> {
        silent()
    }

    async fn mempool(&self, _: Request<wire::MempoolRequest>) -> Answer<Self::MempoolStream> {
        silent()
    }

    async fn totals(&self, _: Request<wire::TotalsRequest>) -> Answer<wire::TotalsResponse> {
        silent()
    }

    async fn reach(&self, _: Request<wire::ReachRequest>) -> Answer<wire::ReachResponse> {
        silent()
    }

    async fn readers(&self, _: Request<wire::ReadersRequest>) -> Answer<wire::ReadersResponse> {
        silent()
    }

    async fn forget_reader(
        &self,
        _: Request<wire::ForgetReaderRequest>,
    ) -> Answer<wire::ForgetReaderResponse> {
        silent()
    }

    async fn mine(&self, _: Request<wire::MineRequest>) -> Answer<wire::MineResponse> {
        silent()
    }

    async fn reorg(&self, _: Request<wire::ReorgRequest>) -> Answer<wire::ReorgResponse> {
        silent()
    }

    async fn judge(&self, _: Request<wire::JudgeRequest>) -> Answer<wire::JudgeResponse> {
        silent()
    }

    async fn submit_block(
        &self,
        _: Request<wire::SubmitBlockRequest>,
    ) -> Answer<wire::SubmitBlockResponse> {
        silent()
    }

    async fn evict(&self, _: Request<wire::EvictRequest>) -> Answer<wire::EvictResponse> {
        silent()
    }

    async fn set_clock(&self, _: Request<wire::SetClockRequest>) -> Answer<wire::SetClockResponse> {
        silent()
    }

    async fn set_floor(&self, _: Request<wire::SetFloorRequest>) -> Answer<wire::SetFloorResponse> {
        silent()
    }

    async fn stall(&self, _: Request<wire::StallRequest>) -> Answer<wire::StallResponse> {
        silent()
    }
}

/// A liar with so many blocks, and a client of it.
async fn liar(blocks: u32) -> (Liar, RemoteChain) {
    let truth = BuiltinChain::in_memory(|| 1_700_000_000).unwrap();
    truth.mine(blocks, ScriptBuf::new()).await.unwrap();
    let liar = Liar { truth, lie: Arc::new(Mutex::new(Lie::None)) };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let service = ChainServer::new(liar.clone());
    let server = tonic::transport::Server::builder().add_service(service);
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    let client = RemoteChain::connect(&url, Network::Regtest).await.unwrap();
    (liar, client)
}

fn lied<T: std::fmt::Debug>(answer: Result<T, BackendError>, what: &str) {
    assert!(matches!(answer, Err(BackendError::Lied(_))), "{what}: {answer:?}");
}

/// Eclair #3343: answers of the chain's program were believed, also when they belonged to another question.
#[tokio::test]
async fn c61_answers_that_cannot_be_true_are_no_answers() {
    let (liar, client) = liar(5).await;
    let at = client.header_at(3).await.unwrap();
    let block = client.block(at.hash).await.unwrap();
    let coinbase = block.txdata[0].compute_txid();
    assert_eq!(client.tx(coinbase).await.unwrap().unwrap().tx.compute_txid(), coinbase);
    for lie in [Lie::Other, Lie::Contents, Lie::Garbage] {
        *liar.lie.lock().unwrap() = lie;
        lied(client.block(at.hash).await, "a block");
    }
    for lie in [Lie::Other, Lie::Work] {
        *liar.lie.lock().unwrap() = lie;
        lied(client.header_at(3).await, "a header");
    }
    for lie in [Lie::Contents, Lie::Garbage] {
        *liar.lie.lock().unwrap() = lie;
        lied(client.tx(coinbase).await, "a transaction");
    }
    lied(client.spender(OutPoint::new(coinbase, 0), 0).await, "a spender");
}

/// No block of a liar reaches a reader; when it tells the truth again the reader goes on where it was.
#[tokio::test]
async fn c61_a_reader_of_a_liar_waits_for_the_truth() {
    for lie in [Lie::Other, Lie::Contents, Lie::Work, Lie::Gap, Lie::Garbage] {
        let (liar, client) = liar(5).await;
        let events =
            client.events(Locator::genesis(Network::Regtest), Interest::Everything).await.unwrap();
        // That nobody answers is no lie.
        let mut events = events
            .filter(|event| std::future::ready(!matches!(event, Ok(ChainEvent::Away { .. }))));
        let told = |event: Option<Result<ChainEvent, BackendError>>| match event {
            Some(Ok(ChainEvent::Connected { block, .. })) => block.height,
            other => panic!("{lie:?}: {other:?}"),
        };
        assert_eq!(told(events.next().await), 1);
        *liar.lie.lock().unwrap() = lie;
        // What was said before may still be on its way; then there is silence.
        let mut height = 1;
        while let Ok(event) = tokio::time::timeout(Duration::from_millis(300), events.next()).await
        {
            height += 1;
            assert_eq!(told(event), height, "{lie:?}");
        }
        liar.truth.mine(3, ScriptBuf::new()).await.unwrap();
        let more = tokio::time::timeout(Duration::from_millis(300), events.next()).await;
        assert!(more.is_err(), "{lie:?}: {more:?}");
        *liar.lie.lock().unwrap() = Lie::None;
        while height < 8 {
            let event = tokio::time::timeout(Duration::from_secs(20), events.next()).await;
            height += 1;
            assert_eq!(told(event.expect("it goes on")), height, "{lie:?}");
        }
    }
}
