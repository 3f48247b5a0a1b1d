//! The door: HTTP, who may enter, one call or many.
//!
//! Old callers (no `jsonrpc`, or 1.0) hear of an error by HTTP's status as well, those of 2.0 in the body alone.

use super::error::{INVALID_REQUEST, METHOD_NOT_FOUND, PARSE, RpcError};
use super::request::{BATCH_MAX, Call, Malformed};
use super::{Answer, Node};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

/// The longest request, bytes: a block in hex and what is around it.
const BODY_MAX: usize = 32 * 1024 * 1024;

/// What the server answers to `POST /` and `POST /wallet/<name>`.
pub(super) fn router(node: Node) -> Router {
    Router::new()
        .route("/", post(plain).fallback(post_only))
        .route("/wallet/{name}", post(with_wallet).fallback(post_only))
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .with_state(node)
}

async fn post_only() -> Response {
    (StatusCode::METHOD_NOT_ALLOWED, "JSONRPC server handles only POST requests").into_response()
}

async fn plain(State(node): State<Node>, headers: HeaderMap, body: Bytes) -> Response {
    answer(&node, None, &headers, &body).await
}

async fn with_wallet(
    State(node): State<Node>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    answer(&node, Some(name), &headers, &body).await
}

async fn answer(node: &Node, wallet: Option<String>, headers: &HeaderMap, body: &[u8]) -> Response {
    let given = headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
    if !node.access.allows(given) {
        // Whoever guesses passwords waits for each.
        tokio::time::sleep(super::GUESS_DELAY).await;
        let realm = [(header::WWW_AUTHENTICATE, "Basic realm=\"jsonrpc\"")];
        return (StatusCode::UNAUTHORIZED, realm).into_response();
    }
    let Ok(value) = serde_json::from_slice::<Value>(body) else {
        let error = RpcError::new(PARSE, "Parse error");
        return one(&Said { id: Value::Null, modern: false, answer: Err(error) });
    };
    let Value::Array(calls) = value else {
        let said = call(node, wallet.as_deref(), value).await;
        return said.map_or_else(|| StatusCode::NO_CONTENT.into_response(), |said| one(&said));
    };
    if calls.len() > BATCH_MAX {
        let error = RpcError::new(INVALID_REQUEST, format!("at most {BATCH_MAX} calls in a batch"));
        return one(&Said { id: Value::Null, modern: false, answer: Err(error) });
    }
    let asked = calls.len();
    let mut bodies = Vec::new();
    for value in calls {
        if let Some(said) = call(node, wallet.as_deref(), value).await {
            bodies.push(said.body());
        }
    }
    if bodies.is_empty() && asked > 0 {
        return StatusCode::NO_CONTENT.into_response();
    }
    json(StatusCode::OK, format!("[{}]\n", bodies.join(",")))
}

/// Answers one call; nothing to one that wants no answer.
async fn call(node: &Node, wallet: Option<&str>, value: Value) -> Option<Said> {
    match Call::read(value) {
        Err(Malformed { id, modern, error }) => Some(Said { id, modern, answer: Err(error) }),
        Ok(call) => {
            // Who waits for a block must not keep those waiting who would make it.
            let is_patient = call.method.starts_with("waitfor");
            let turns = if is_patient { &node.waits } else { &node.turns };
            // They are never closed.
            let _turn = turns.acquire().await.ok()?;
            let answer = super::methods::call(node, wallet, &call.method, call.params).await;
            (!call.silent).then_some(Said { id: call.id, modern: call.modern, answer })
        }
    }
}

/// An answer with what it answers.
struct Said {
    id: Value,
    modern: bool,
    answer: Answer,
}

#[derive(Serialize)]
struct Modern<'a> {
    jsonrpc: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a RpcError>,
    id: &'a Value,
}

#[derive(Serialize)]
struct Old<'a> {
    result: Option<&'a RawValue>,
    error: Option<&'a RpcError>,
    id: &'a Value,
}

impl Said {
    fn body(&self) -> String {
        let (result, error, id) =
            (self.answer.as_ref().ok().map(AsRef::as_ref), self.answer.as_ref().err(), &self.id);
        let body = if self.modern {
            serde_json::to_string(&Modern { jsonrpc: "2.0", result, error, id })
        } else {
            serde_json::to_string(&Old { result, error, id })
        };
        // Its parts were JSON before.
        body.unwrap_or_default()
    }

    fn status(&self) -> StatusCode {
        match &self.answer {
            Ok(_) => StatusCode::OK,
            Err(_) if self.modern => StatusCode::OK,
            Err(error) => match error.code {
                METHOD_NOT_FOUND => StatusCode::NOT_FOUND,
                INVALID_REQUEST => StatusCode::BAD_REQUEST,
                _ => StatusCode::INTERNAL_SERVER_ERROR,
            },
        }
    }
}

fn one(said: &Said) -> Response {
    json(said.status(), format!("{}\n", said.body()))
}

fn json(status: StatusCode, body: String) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}
