//! JSON-RPC over HTTP: one call or several, with a bound on time and size.

use crate::backend::BackendError;
use crate::polled::http::{Http, HttpError};
use crate::rpc::basic;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::{Request, StatusCode, Uri};
use serde_json::{Value, json};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// How long a call of somebody's own may take until its answer begins: making blocks, say.
const PATIENCE: Duration = Duration::from_secs(60);
/// The longest answer, bytes: a batch of raw transactions, or a block in hex.
const ANSWER_MAX: usize = 64 * 1024 * 1024;

/// Who we are to Bitcoin Core.
#[derive(Clone, PartialEq, Eq)]
pub enum Login {
    /// `rpcuser` and `rpcpassword`.
    User {
        /// The name.
        user: String,
        /// The password.
        password: String,
    },
    /// What Core writes into its cookie file at each start. It is read again for each connection.
    Cookie(PathBuf),
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User { user, .. } => {
                f.debug_struct("User").field("user", user).finish_non_exhaustive()
            }
            Self::Cookie(path) => f.debug_tuple("Cookie").field(path).finish(),
        }
    }
}

impl Login {
    async fn header(&self) -> Result<HeaderValue, CallError> {
        let line = match self {
            Self::User { user, password } => format!("{user}:{password}"),
            Self::Cookie(path) => {
                let read = tokio::fs::read_to_string(path).await;
                let read = read.map_err(|error| {
                    CallError::Unreachable(format!("the cookie file {}: {error}", path.display()))
                })?;
                read.trim().to_owned()
            }
        };
        let mut value = HeaderValue::try_from(basic(&line)).map_err(|_| {
            CallError::Unreachable("a user or password that no header can carry".to_owned())
        })?;
        value.set_sensitive(true);
        Ok(value)
    }
}

/// Why a call has no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// It does not answer, or not in time, or does not let us in.
    #[error("Bitcoin Core does not answer: {0}")]
    Unreachable(String),
    /// It says no.
    #[error("Bitcoin Core refuses: {message} (code {code})")]
    Refused {
        /// Core's number for it.
        code: i64,
        /// The same in words.
        message: String,
    },
    /// Its answer is none.
    #[error("Bitcoin Core answers nonsense: {0}")]
    Nonsense(&'static str),
}

impl From<CallError> for BackendError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Nonsense(what) => Self::Lied(what),
            CallError::Unreachable(_) | CallError::Refused { .. } => {
                Self::Unavailable(error.to_string())
            }
        }
    }
}

/// The way to it. Cheap to clone; connections are kept and used again.
#[derive(Clone, Debug)]
pub struct Client {
    http: Http,
    uri: Uri,
    login: Login,
    patience: Duration,
}

impl Client {
    /// The way to `url` (`http://host:port`, and a wallet's path behind it). Nothing is sent yet.
    ///
    /// # Errors
    /// [`BackendError::Unavailable`] when the URL cannot be used.
    pub fn new(url: &str, login: Login) -> Result<Self, BackendError> {
        let unfit = |why: &str| BackendError::Unavailable(format!("{url}: {why}"));
        let uri: Uri = url.parse().map_err(|_| unfit("not a URL"))?;
        if uri.scheme_str() != Some("http") || uri.authority().is_none() {
            return Err(unfit("write it as http://host:port"));
        }
        Ok(Self { http: Http::plain(), uri, login, patience: PATIENCE })
    }

    /// The same, and no answer may take longer to begin.
    #[must_use]
    pub fn patient(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// One call.
    pub(super) async fn call(&self, method: &str, params: Value) -> Result<Value, CallError> {
        let body = json!({ "jsonrpc": "1.0", "id": 0, "method": method, "params": params });
        result_of(self.post(&body).await?)
    }

    /// Several calls in one go; answers in their order.
    pub(super) async fn batch(
        &self,
        calls: Vec<(&str, Value)>,
    ) -> Result<Vec<Result<Value, CallError>>, CallError> {
        let count = calls.len();
        let body: Vec<Value> = (0_u64..)
            .zip(calls)
            .map(|(id, (method, params))| {
                json!({ "jsonrpc": "1.0", "id": id, "method": method, "params": params })
            })
            .collect();
        let Value::Array(mut answers) = self.post(&Value::Array(body)).await? else {
            return Err(CallError::Nonsense("a batch that is no array"));
        };
        answers.sort_by_key(|answer| answer.get("id").and_then(Value::as_u64));
        if answers.len() != count {
            return Err(CallError::Nonsense("a batch with answers missing"));
        }
        Ok(answers.into_iter().map(result_of).collect())
    }

    async fn post(&self, body: &Value) -> Result<Value, CallError> {
        let answer = self.post_text(body.to_string()).await?;
        serde_json::from_slice(&answer)
            .map_err(|_| CallError::Nonsense("an answer that is no JSON"))
    }

    /// Sends a request as it is; answers the body as it came.
    ///
    /// # Errors
    /// [`CallError::Unreachable`].
    pub async fn post_text(&self, body: String) -> Result<Bytes, CallError> {
        let unreachable = |error: String| CallError::Unreachable(error);
        let request = Request::post(self.uri.clone())
            .header(AUTHORIZATION, self.login.header().await?)
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)));
        let request = request.map_err(|error| unreachable(error.to_string()))?;
        let answer = self.http.send(request, ANSWER_MAX, self.patience).await;
        let (status, body) = answer.map_err(|error| match error {
            HttpError::Unreachable(why) => unreachable(why),
            HttpError::TooLong => CallError::Nonsense("an answer without an end"),
        })?;
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                Err(unreachable("wrong user or password".to_owned()))
            }
            StatusCode::SERVICE_UNAVAILABLE => Err(unreachable("it is overloaded".to_owned())),
            // Others come with a body that says more.
            _ => Ok(body),
        }
    }
}

fn result_of(answer: Value) -> Result<Value, CallError> {
    let Value::Object(mut fields) = answer else {
        return Err(CallError::Nonsense("an answer that is no object"));
    };
    match fields.remove("error") {
        None | Some(Value::Null) => {}
        Some(error) => {
            let code = error.get("code").and_then(Value::as_i64).unwrap_or_default();
            let message =
                error.get("message").and_then(Value::as_str).unwrap_or_default().to_owned();
            // Core says so while it starts.
            if code == -28 {
                return Err(CallError::Unreachable(message));
            }
            return Err(CallError::Refused { code, message });
        }
    }
    fields.remove("result").ok_or(CallError::Nonsense("an answer without a result"))
}
