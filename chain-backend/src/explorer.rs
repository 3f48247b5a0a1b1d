//! The chain as people look at it: pages over HTTP that say of every transaction what it is in a channel's life.
//!
//! Read-only, made on the server, whole without JavaScript; a small script looks for news and puts it in. Nothing comes
//! from elsewhere, and nothing that others chose (scripts, addresses, what was asked for) gets into a page unescaped:
//! [`html::Html`] takes markup from this program's own text only.
//! Not here: the same for programs (`rest`, `rpc`).

mod chart;
mod html;
mod life;
mod look;
mod page;
mod pages;
#[cfg(test)]
mod tests;
mod words;

use crate::backend::{BackendError, ChainBackend as _};
use crate::builtin::BuiltinChain;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bitcoin::Network;
use html::Html;
use page::Page;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// Where it is looked for.
pub const PORT: u16 = 9_490;

/// Pages that are made at one time; others wait.
const TURNS: usize = 16;

/// Nothing but what this server sends, and nobody puts it in a frame.
const SECURITY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; \
     form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// What all pages share.
#[derive(Clone, Debug)]
struct Shop {
    chain: BuiltinChain,
    network: Network,
    turns: Arc<Semaphore>,
}

/// Why there is no such page.
#[derive(Debug)]
enum Missing {
    /// There is nothing of that name; what was looked for, in words.
    Unknown(String),
    /// The chain does not answer.
    Broken(String),
}

type Reply = Result<Response, Missing>;

/// Serves pages about `chain` until `stop`.
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

/// All pages, to be put beside something else on the same port.
pub fn router(chain: BuiltinChain) -> Router {
    let network = chain.network();
    let shop = Shop { chain, network, turns: Arc::new(Semaphore::new(TURNS)) };
    Router::new()
        .route("/", get(pages::home::show))
        .route("/blocks", get(pages::blocks::list))
        .route("/block/{name}", get(pages::block::show))
        .route("/tx/{txid}", get(pages::tx::show))
        .route("/outpoint/{name}", get(pages::outpoint::show))
        .route("/address/{address}", get(pages::script::by_address))
        .route("/script/{hash}", get(pages::script::by_hash))
        .route("/mempool", get(pages::mempool::show))
        .route("/fees", get(pages::fees::show))
        .route("/search", get(pages::search::go))
        .route("/tip", get(tip))
        .route(
            "/style.css",
            get(|| async { asset("text/css", include_str!("explorer/style.css")) }),
        )
        .route(
            "/live.js",
            get(|| async { asset("text/javascript", include_str!("explorer/live.js")) }),
        )
        .fallback(|| async { Missing::Unknown("this page".to_owned()) })
        .layer(from_fn_with_state(shop.clone(), door))
        .with_state(shop)
}

/// One turn for each page, and headers that keep everything else out.
async fn door(State(shop): State<Shop>, request: Request, next: Next) -> Response {
    // Turns are never closed.
    let _turn = shop.turns.acquire().await;
    let mut answer = next.run(request).await;
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, SECURITY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ] {
        answer.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    answer
}

/// What changes whenever a page may: the tip, and how many transactions ever came.
async fn tip(State(shop): State<Shop>) -> Reply {
    let text = shop.chain.ask(|chain| look::mark(chain)).await?;
    Ok(([(header::CONTENT_TYPE, "text/plain"), (header::CACHE_CONTROL, "no-store")], text)
        .into_response())
}

fn asset(kind: &'static str, text: &'static str) -> Response {
    let kind = HeaderValue::from_static(kind);
    let cached = HeaderValue::from_static("max-age=300");
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, cached)], text).into_response()
}

impl From<BackendError> for Missing {
    fn from(error: BackendError) -> Self {
        match error {
            BackendError::NotFound => Self::Unknown("this block".to_owned()),
            BackendError::Unavailable(_)
            | BackendError::WrongChain
            | BackendError::Lied(_)
            | BackendError::Storage(_) => Self::Broken(error.to_string()),
        }
    }
}

impl IntoResponse for Missing {
    fn into_response(self) -> Response {
        let (status, title, words) = match self {
            Self::Unknown(what) => (
                StatusCode::NOT_FOUND,
                "Not found",
                format!("There is nothing like {what} on this chain."),
            ),
            Self::Broken(why) => {
                (StatusCode::SERVICE_UNAVAILABLE, "The chain does not answer", why)
            }
        };
        let mut body = Html::new();
        body.raw("<section class=\"card empty\"><h1>").text(title).raw("</h1><p>").text(words);
        body.raw("</p><p><a href=\"/\">To the newest block</a></p></section>");
        (status, Page::new(title).with(body)).into_response()
    }
}
