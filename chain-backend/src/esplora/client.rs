//! Questions to an Esplora server, each with a bound on time and size.

use crate::backend::BackendError;
use crate::polled::http::{Http, HttpError};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, USER_AGENT};
use hyper::{Request, StatusCode, Uri};
use serde_json::Value;
use std::path::Path;
use std::time::Duration;

/// The longest block or transaction, bytes.
const BYTES_MAX: usize = 4_000_000;
/// The longest JSON about one block or transaction, bytes.
const JSON_MAX: usize = 32 * 1024 * 1024;
/// The longest list of the mempool, bytes: some 15,000 names.
const LIST_MAX: usize = 1_000_000;
/// The longest line of text, bytes.
const TEXT_MAX: usize = 64 * 1024;
/// The longest words with which Esplora says that something is not there, bytes.
const NOT_FOUND_MAX: usize = 200;

/// Why a question has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum AskError {
    /// It does not answer, or not in time, or not as Esplora does.
    #[error("the Esplora server does not answer: {0}")]
    Unreachable(String),
    /// It says no to what was handed in.
    #[error("the Esplora server refuses: {0}")]
    Refused(String),
    /// It serves nothing under this path.
    #[error("the Esplora server does not serve that")]
    NotServed,
    /// Its answer is longer than any that is true.
    #[error("the Esplora server's answer has no end")]
    TooLong,
    /// Its answer is none.
    #[error("the Esplora server answers nonsense: {0}")]
    Nonsense(&'static str),
}

impl From<AskError> for BackendError {
    fn from(error: AskError) -> Self {
        match error {
            AskError::Nonsense(what) => Self::Lied(what),
            AskError::TooLong => Self::Lied("an answer without an end"),
            AskError::Unreachable(_) | AskError::Refused(_) | AskError::NotServed => {
                Self::Unavailable(error.to_string())
            }
        }
    }
}

/// The way to it. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Client {
    http: Http,
    base: String,
    patience: Duration,
}

impl Client {
    pub(super) fn new(
        url: &str,
        trusted: Option<&Path>,
        patience: Duration,
    ) -> Result<Self, BackendError> {
        let unfit = |why: &str| BackendError::Unavailable(format!("{url}: {why}"));
        let base = url.trim_end_matches('/').to_owned();
        let uri: Uri = base.parse().map_err(|_| unfit("not a URL"))?;
        let has_host = uri.host().is_some_and(|host| !host.is_empty());
        let http = match uri.scheme_str() {
            Some("http") if has_host => Http::plain(),
            Some("https") if has_host => Http::sealed(trusted)?,
            Some(_) | None => return Err(unfit("write it as http://host:port or https://host")),
        };
        Ok(Self { http, base, patience })
    }

    async fn ask(
        &self,
        path: &str,
        body: Option<(&str, String)>,
        max: usize,
    ) -> Result<(StatusCode, Bytes), AskError> {
        let uri = format!("{}{path}", self.base);
        let request = match body {
            None => Request::get(uri).body(Full::default()),
            Some((kind, body)) => {
                Request::post(uri).header(CONTENT_TYPE, kind).body(Full::new(Bytes::from(body)))
            }
        };
        let mut request = request.map_err(|error| AskError::Unreachable(error.to_string()))?;
        let name = hyper::header::HeaderValue::from_static("viaduct");
        request.headers_mut().insert(USER_AGENT, name);
        self.http.send(request, max, self.patience).await.map_err(|error| match error {
            HttpError::Unreachable(why) => AskError::Unreachable(why),
            HttpError::TooLong => AskError::TooLong,
        })
    }

    /// An answer, or nothing where Esplora says that there is nothing.
    async fn get(&self, path: &str, max: usize) -> Result<Option<Bytes>, AskError> {
        let (status, body) = self.ask(path, None, max).await?;
        match status {
            StatusCode::OK => Ok(Some(body)),
            // Whoever stands before the server may say 404 as well, in words of its own: then nothing is known.
            StatusCode::NOT_FOUND if says_not_found(&body) => Ok(None),
            status => Err(AskError::Unreachable(format!("it says {status}"))),
        }
    }

    pub(super) async fn bytes(&self, path: &str) -> Result<Option<Bytes>, AskError> {
        self.get(path, BYTES_MAX).await
    }

    pub(super) async fn text(&self, path: &str) -> Result<Option<String>, AskError> {
        let Some(body) = self.get(path, TEXT_MAX).await? else { return Ok(None) };
        let text = std::str::from_utf8(&body).map_err(|_| AskError::Nonsense("no text"))?;
        Ok(Some(text.trim().to_owned()))
    }

    pub(super) async fn json(&self, path: &str) -> Result<Option<Value>, AskError> {
        let Some(body) = self.get(path, JSON_MAX).await? else { return Ok(None) };
        parsed(&body).map(Some)
    }

    /// A list that may be too long.
    pub(super) async fn list(&self, path: &str) -> Result<Value, AskError> {
        let body = self.get(path, LIST_MAX).await?;
        parsed(&body.ok_or(AskError::Nonsense("no list"))?)
    }

    /// Hands something in.
    pub(super) async fn post(
        &self,
        path: &str,
        kind: &str,
        body: String,
    ) -> Result<Bytes, AskError> {
        let (status, body) = self.ask(path, Some((kind, body)), JSON_MAX).await?;
        match status {
            StatusCode::OK => Ok(body),
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => Err(AskError::NotServed),
            // Which of the two is said of a transaction that breaks a rule depends on the server.
            StatusCode::BAD_REQUEST | StatusCode::INTERNAL_SERVER_ERROR => {
                let words: String = String::from_utf8_lossy(&body).chars().take(1_000).collect();
                Err(AskError::Refused(words))
            }
            status => Err(AskError::Unreachable(format!("it says {status}"))),
        }
    }
}

pub(super) fn parsed(body: &[u8]) -> Result<Value, AskError> {
    serde_json::from_slice(body).map_err(|_| AskError::Nonsense("an answer that is no JSON"))
}

/// `electrs` says "Transaction not found", "Block not found"; a page of a web server has tags.
fn says_not_found(body: &[u8]) -> bool {
    let words = std::str::from_utf8(body).unwrap_or_default().to_lowercase();
    words.len() <= NOT_FOUND_MAX && words.contains("not found") && !words.contains('<')
}
