//! The built-in chain as Esplora serves one: REST in the form of Blockstream's `electrs`, for wallets and nodes that
//! know no other. Everything is under `/` and, as public servers have it, under `/api` as well.
//!
//! Two ways are those of mempool.space, which Blockstream's server lacks: `POST /txs/test`, and the reason of a refusal
//! with its two figures. Nothing is told to be cached: a chain of one's own changes within milliseconds.
//! Not here: who asks such servers (`esplora`), Bitcoin Core's JSON-RPC (`rpc`).

mod blocks;
mod proof;
mod refusal;
mod scripts;
mod show;
mod submit;
mod transactions;

use crate::builtin::BuiltinChain;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bitcoin::Network;
use refusal::Refusal;
use serde::Serialize;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// Where `electrs` listens on regtest.
pub const PORT: u16 = 3_002;

/// Questions that are worked on at one time; others wait.
const TURNS: usize = 64;
/// The longest body, bytes: a package of the heaviest transactions in hex.
const BODY_MAX: usize = 8 * 1024 * 1024;

/// What an answer is, or why there is none.
type Reply = Result<Response, Refusal>;

/// What all questions share.
#[derive(Clone, Debug)]
struct Node {
    chain: BuiltinChain,
    network: Network,
    turns: Arc<Semaphore>,
}

/// Serves `chain` until `stop`.
///
/// # Errors
/// When the socket fails.
pub async fn serve(
    chain: BuiltinChain,
    listener: TcpListener,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    axum::serve(listener, router(chain)).with_graceful_shutdown(stop).await
}

/// All that is served, to be put beside something else on the same port.
pub fn router(chain: BuiltinChain) -> Router {
    use crate::backend::ChainBackend as _;
    let network = chain.network();
    let node = Node { chain, network, turns: Arc::new(Semaphore::new(TURNS)) };
    let routes = Router::new()
        .route("/blocks", get(blocks::newest))
        .route("/blocks/{start}", get(blocks::from))
        .route("/blocks/tip/height", get(blocks::tip_height))
        .route("/blocks/tip/hash", get(blocks::tip_hash))
        .route("/block-height/{height}", get(blocks::at_height))
        .route("/block/{hash}", get(blocks::one))
        .route("/block/{hash}/header", get(blocks::header))
        .route("/block/{hash}/status", get(blocks::status))
        .route("/block/{hash}/raw", get(blocks::raw))
        .route("/block/{hash}/txids", get(blocks::txids))
        .route("/block/{hash}/txid/{index}", get(blocks::txid))
        .route("/block/{hash}/txs", get(blocks::txs))
        .route("/block/{hash}/txs/{start}", get(blocks::txs_from))
        .route("/tx", post(submit::one))
        .route("/txs/package", post(submit::package))
        .route("/txs/test", post(submit::test))
        .route("/tx/{txid}", get(transactions::one))
        .route("/tx/{txid}/hex", get(transactions::hex))
        .route("/tx/{txid}/raw", get(transactions::raw))
        .route("/tx/{txid}/status", get(transactions::status))
        .route("/tx/{txid}/outspend/{vout}", get(transactions::outspend))
        .route("/tx/{txid}/outspends", get(transactions::outspends))
        .route("/tx/{txid}/merkle-proof", get(proof::branch))
        .route("/tx/{txid}/merkleblock-proof", get(proof::merkle_block))
        .route("/scripthash/{hash}", get(scripts::hash_stats))
        .route("/scripthash/{hash}/txs", get(scripts::hash_txs))
        .route("/scripthash/{hash}/txs/chain", get(scripts::hash_chain))
        .route("/scripthash/{hash}/txs/chain/{last}", get(scripts::hash_chain_after))
        .route("/scripthash/{hash}/txs/mempool", get(scripts::hash_mempool))
        .route("/scripthash/{hash}/utxo", get(scripts::hash_utxo))
        .route("/address/{address}", get(scripts::address_stats))
        .route("/address/{address}/txs", get(scripts::address_txs))
        .route("/address/{address}/txs/chain", get(scripts::address_chain))
        .route("/address/{address}/txs/chain/{last}", get(scripts::address_chain_after))
        .route("/address/{address}/txs/mempool", get(scripts::address_mempool))
        .route("/address/{address}/utxo", get(scripts::address_utxo))
        .route("/mempool", get(transactions::mempool))
        .route("/mempool/txids", get(transactions::mempool_txids))
        .route("/mempool/recent", get(transactions::recent))
        .route("/fee-estimates", get(transactions::fee_estimates));
    Router::new()
        .merge(routes.clone())
        .nest("/api", routes)
        .fallback(unknown)
        .method_not_allowed_fallback(unknown)
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .layer(from_fn_with_state(node.clone(), door))
        .with_state(node)
}

async fn unknown(uri: Uri) -> Refusal {
    Refusal::not_found(format!("endpoint does not exist {:?}", uri.path()))
}

/// One turn for each question, and pages of other hosts may read the answer: nothing here is anybody's secret.
async fn door(State(node): State<Node>, request: Request, next: Next) -> Response {
    let is_preflight = request.method() == Method::OPTIONS;
    let mut answer = if is_preflight {
        StatusCode::NO_CONTENT.into_response()
    } else {
        // Turns are never closed.
        let _turn = node.turns.acquire().await;
        next.run(request).await
    };
    let headers = answer.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if is_preflight {
        let methods = HeaderValue::from_static("GET, POST, OPTIONS");
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
        let names = HeaderValue::from_static("content-type");
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, names);
    }
    answer
}

fn text(words: impl ToString) -> Response {
    ([(header::CONTENT_TYPE, "text/plain")], words.to_string()).into_response()
}

fn bytes(bytes: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, "application/octet-stream")], bytes).into_response()
}

fn json<T: Serialize + ?Sized>(value: &T) -> Reply {
    let body = serde_json::to_string(value).map_err(|error| Refusal::broken(error.to_string()))?;
    Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
}
