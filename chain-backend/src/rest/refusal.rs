//! Why there is no answer, in the words of `electrs`.

use crate::backend::BackendError;
use crate::rpc::RpcError;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// A status and words for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    status: StatusCode,
    words: String,
}

impl Refusal {
    pub(super) fn not_found(words: impl Into<String>) -> Self {
        Self { status: StatusCode::NOT_FOUND, words: words.into() }
    }

    pub(super) fn bad(words: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, words: words.into() }
    }

    /// It is not the caller's fault.
    pub(super) fn broken(words: impl Into<String>) -> Self {
        Self { status: StatusCode::INTERNAL_SERVER_ERROR, words: words.into() }
    }

    pub(super) fn no_block() -> Self {
        Self::not_found("Block not found")
    }

    pub(super) fn no_transaction() -> Self {
        Self::not_found("Transaction not found")
    }

    /// What Bitcoin Core said to a call, as `electrs` passes it on.
    pub(super) fn of_call(method: &str, error: &RpcError) -> Self {
        let said = json!({ "code": error.code, "message": error.message });
        Self::bad(format!("{method} RPC error: {said}"))
    }
}

impl From<BackendError> for Refusal {
    fn from(error: BackendError) -> Self {
        match error {
            BackendError::NotFound => Self::no_block(),
            BackendError::Unavailable(_) => {
                Self { status: StatusCode::SERVICE_UNAVAILABLE, words: error.to_string() }
            }
            BackendError::WrongChain | BackendError::Lied(_) | BackendError::Storage(_) => {
                Self::broken(error.to_string())
            }
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, [(header::CONTENT_TYPE, "text/plain")], self.words).into_response()
    }
}
