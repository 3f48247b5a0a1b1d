//! The built-in chain of a `viaduct-chain` server, as if it were here. A server that is killed and started
//! again resumes every reader exactly: the reader's own place says where.

mod steer;
mod stream;

use crate::backend::{
    BackendError, BlockRef, Capabilities, ChainBackend, ChainStream, FeeTable, Interest, Locator,
    Package, Spend, SubmitOutcome, TxOutWhere, TxWhere,
};
use crate::convert::{bytes, fees_in, nonsense, outcome_in, ref_in, tx_in};
use crate::server::MESSAGE_MAX;
use api::chain as wire;
use api::chain::chain_client::ChainClient;
use async_trait::async_trait;
use bitcoin::consensus::encode::serialize;
use bitcoin::constants::genesis_block;
use bitcoin::{Amount, Block, BlockHash, FeeRate, Network, OutPoint, ScriptBuf, TxOut, Txid};
use std::sync::Arc;
use std::time::Duration;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

/// How often a silent connection is probed.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// How long it may take to be connected.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a question may take until its answer begins; a stream of events then goes on without an end.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// A handle to a chain in another process. Cheap to clone; connects again by itself.
#[derive(Clone, Debug)]
pub struct RemoteChain {
    client: ChainClient<Channel>,
    network: Network,
}

impl RemoteChain {
    /// Connects to a server, such as `http://127.0.0.1:9480`, and checks that it has the genesis block of
    /// `network`.
    ///
    /// # Errors
    /// [`BackendError::Unavailable`] when nobody answers, [`BackendError::WrongChain`] when it is another
    /// network's.
    pub async fn connect(url: &str, network: Network) -> Result<Self, BackendError> {
        let chain = Self::lazy(url, network)?;
        let genesis = chain.header_at(0).await?;
        if genesis.hash == genesis_block(network).block_hash() {
            Ok(chain)
        } else {
            Err(BackendError::WrongChain)
        }
    }

    /// As [`RemoteChain::connect`], but asks nothing yet: the server may come later.
    ///
    /// # Errors
    /// [`BackendError::Unavailable`] when `url` is none.
    pub fn lazy(url: &str, network: Network) -> Result<Self, BackendError> {
        Self::patient(url, network, ANSWER_TIMEOUT)
    }

    /// As [`RemoteChain::lazy`], with a patience of one's own for each answer.
    ///
    /// # Errors
    /// [`BackendError::Unavailable`] when `url` is none.
    pub fn patient(url: &str, network: Network, patience: Duration) -> Result<Self, BackendError> {
        let endpoint = Endpoint::from_shared(url.to_owned())
            .map_err(|error| BackendError::Unavailable(format!("{url}: {error}")))?
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(patience)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE)
            .keep_alive_while_idle(true);
        let client = ChainClient::new(endpoint.connect_lazy())
            .max_decoding_message_size(MESSAGE_MAX)
            .max_encoding_message_size(MESSAGE_MAX);
        Ok(Self { client, network })
    }

    fn client(&self) -> ChainClient<Channel> {
        self.client.clone()
    }

    async fn hand_in(
        &self,
        package: &Package,
        feerate_max: Option<FeeRate>,
        only_test: bool,
    ) -> SubmitOutcome {
        let request = wire::SubmitRequest {
            transactions: package.txs().iter().map(serialize).collect(),
            feerate_max_sat_kwu: feerate_max.map(FeeRate::to_sat_per_kwu),
            only_test,
        };
        match self.client().submit(request).await {
            Ok(answer) => outcome_in(answer.get_ref()).unwrap_or(SubmitOutcome::Unavailable),
            Err(error) if error.code() == Code::InvalidArgument => {
                SubmitOutcome::Invalid { reason: error.message().to_owned() }
            }
            Err(_) => SubmitOutcome::Unavailable,
        }
    }
}

#[async_trait]
impl ChainBackend for RemoteChain {
    fn network(&self) -> Network {
        self.network
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { mempool: true, packages: true, spend_index: true, full_blocks: true }
    }

    async fn tip(&self) -> Result<BlockRef, BackendError> {
        let answer = self.client().tip(wire::TipRequest {}).await.map_err(error)?;
        ref_in(answer.get_ref().tip.as_ref())
    }

    async fn events(&self, from: Locator, _: Interest) -> Result<ChainStream, BackendError> {
        stream::open(self.client(), from).await
    }

    async fn block(&self, hash: BlockHash) -> Result<Arc<Block>, BackendError> {
        let request = wire::BlockRequest { hash: hash.to_string() };
        let answer = self.client().block(request).await.map_err(error)?;
        let block: Block = bytes(&answer.get_ref().block, "a block")?;
        let right = block.block_hash() == hash && block.check_merkle_root();
        if right { Ok(Arc::new(block)) } else { Err(nonsense("another block than asked for")) }
    }

    async fn header_at(&self, height: u32) -> Result<BlockRef, BackendError> {
        let answer = self.client().header(wire::HeaderRequest { height }).await.map_err(error)?;
        let block = ref_in(answer.get_ref().block.as_ref())?;
        if block.height == height { Ok(block) } else { Err(nonsense("another height than asked")) }
    }

    async fn tx(&self, txid: Txid) -> Result<Option<TxWhere>, BackendError> {
        let request = wire::TransactionRequest { txid: txid.to_string() };
        let answer = self.client().transaction(request).await.map_err(error)?.into_inner();
        let Some(transaction) = answer.transaction else { return Ok(None) };
        let tx = tx_in(&transaction)?;
        if tx.compute_txid() != txid {
            return Err(nonsense("another transaction than asked for"));
        }
        let confirmed = match answer.block {
            Some(block) => Some((ref_in(Some(&block))?, answer.index)),
            None => None,
        };
        Ok(Some(TxWhere { tx, confirmed }))
    }

    async fn txout(&self, outpoint: OutPoint) -> Result<Option<TxOutWhere>, BackendError> {
        let request = wire::OutputRequest { outpoint: Some(outpoint_out(outpoint)) };
        let answer = self.client().output(request).await.map_err(error)?.into_inner();
        let Some(value_sat) = answer.value_sat else { return Ok(None) };
        let mempool_spender = match answer.mempool_spender.as_str() {
            "" => None,
            txid => Some(crate::convert::hash(txid, "a txid")?),
        };
        Ok(Some(TxOutWhere {
            output: TxOut {
                value: Amount::from_sat(value_sat),
                script_pubkey: ScriptBuf::from_bytes(answer.script),
            },
            height: answer.height,
            coinbase: answer.coinbase,
            mempool_spender,
        }))
    }

    async fn spender(
        &self,
        outpoint: OutPoint,
        _since_height: u32,
    ) -> Result<Option<Spend>, BackendError> {
        let request = wire::SpenderRequest { outpoint: Some(outpoint_out(outpoint)) };
        let answer = self.client().spender(request).await.map_err(error)?.into_inner();
        let Some(transaction) = answer.transaction else { return Ok(None) };
        let tx = tx_in(&transaction)?;
        let input = usize::try_from(answer.input_index).ok().and_then(|index| tx.input.get(index));
        if input.is_none_or(|input| input.previous_output != outpoint) {
            return Err(nonsense("a spender that does not spend"));
        }
        let block = match answer.block {
            Some(block) => Some(ref_in(Some(&block))?),
            None => None,
        };
        Ok(Some(Spend { tx, input_index: answer.input_index, block }))
    }

    async fn submit(&self, package: Package, feerate_max: Option<FeeRate>) -> SubmitOutcome {
        self.hand_in(&package, feerate_max, false).await
    }

    async fn test(&self, package: &Package) -> SubmitOutcome {
        self.hand_in(package, None, true).await
    }

    async fn reached(&self, consumer: &str, height: u32) -> Result<(), BackendError> {
        let request = wire::ReachRequest { reader: consumer.to_owned(), height };
        self.client().reach(request).await.map_err(error)?;
        Ok(())
    }

    async fn fees(&self) -> Result<FeeTable, BackendError> {
        let answer = self.client().fees(wire::FeesRequest {}).await.map_err(error)?;
        Ok(fees_in(answer.get_ref()))
    }
}

fn outpoint_out(outpoint: OutPoint) -> wire::OutPoint {
    wire::OutPoint { txid: outpoint.txid.to_string(), vout: outpoint.vout }
}

/// What a failed question means.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "every other code means that the question was not answered"
)]
#[expect(clippy::needless_pass_by_value, reason = "the shape map_err wants")]
fn error(status: Status) -> BackendError {
    match status.code() {
        Code::NotFound => BackendError::NotFound,
        Code::FailedPrecondition => BackendError::WrongChain,
        Code::Internal => BackendError::Storage(status.message().to_owned()),
        _ => BackendError::Unavailable(status.message().to_owned()),
    }
}
