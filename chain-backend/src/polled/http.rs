//! HTTP with a bound on time and size, in the clear or under TLS.

use crate::backend::BackendError;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Bytes;
use hyper::{Request, StatusCode};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

/// How long a server may say nothing, usually: until its answer begins, and then between two pieces of it.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// A few connections may have been kept, and ended.
const TRIES: u32 = 4;
/// A whole answer may take so many times that: a block of four megabytes over a slow line.
const WHOLE: u32 = 6;

/// How long it may take to be connected.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Connections to a server, kept and used again. Cheap to clone.
///
/// Whoever asks a server that has fallen silent waits for nothing but his patience. So after that the next questions are
/// answered at once, by nobody, for as long again; then a single one tries.
#[derive(Clone, Debug)]
pub(crate) struct Http {
    way: Way,
    /// Until when it is not asked.
    silent: watch::Sender<Option<Instant>>,
}

#[derive(Clone, Debug)]
enum Way {
    Plain(Client<HttpConnector, Full<Bytes>>),
    Sealed(Client<HttpsConnector<HttpConnector>, Full<Bytes>>),
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HttpError {
    /// It does not answer, or not in time.
    Unreachable(String),
    /// It answers more than is wanted.
    TooLong,
}

fn connector() -> HttpConnector {
    let mut connector = HttpConnector::new();
    connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
    connector.set_nodelay(true);
    connector
}

impl Http {
    /// In the clear.
    pub(crate) fn plain() -> Self {
        Self::over(Way::Plain(Client::builder(TokioExecutor::new()).build(connector())))
    }

    fn over(way: Way) -> Self {
        Self { way, silent: watch::Sender::new(None) }
    }

    /// Under TLS, with the certificates in a file as those to trust, else with the system's.
    ///
    /// # Errors
    /// [`BackendError::Unavailable`] when there are none.
    pub(crate) fn sealed(trusted: Option<&Path>) -> Result<Self, BackendError> {
        let failed = |why: String| BackendError::Unavailable(format!("certificates: {why}"));
        let mut roots = RootCertStore::empty();
        match trusted {
            Some(path) => {
                let unreadable = |error| failed(format!("{}: {error}", path.display()));
                for certificate in CertificateDer::pem_file_iter(path).map_err(unreadable)? {
                    let added = roots.add(certificate.map_err(unreadable)?);
                    added.map_err(|error| failed(error.to_string()))?;
                }
            }
            // One that cannot be used is as if it were not there.
            None => drop(
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs),
            ),
        }
        if roots.is_empty() {
            return Err(failed("there is none to trust".to_owned()));
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider);
        let config = config.with_safe_default_protocol_versions();
        let config = config.map_err(|error| failed(error.to_string()))?;
        let config = config.with_root_certificates(roots).with_no_client_auth();
        let mut tcp = connector();
        tcp.enforce_http(false);
        let tls = HttpsConnectorBuilder::new().with_tls_config(config);
        let tls = tls.https_only().enable_http1().wrap_connector(tcp);
        Ok(Self::over(Way::Sealed(Client::builder(TokioExecutor::new()).build(tls))))
    }

    /// Sends a request; answers status and body, which may be so long, and be waited for with so much patience.
    pub(crate) async fn send(
        &self,
        request: Request<Full<Bytes>>,
        length_max: usize,
        patience: Duration,
    ) -> Result<(StatusCode, Bytes), HttpError> {
        let may_ask = self.silent.send_if_modified(|silent| {
            let now = Instant::now();
            let tries = silent.is_some_and(|until| until <= now);
            if tries {
                *silent = now.checked_add(patience);
            }
            tries
        });
        if !may_ask && self.silent.borrow().is_some() {
            return Err(HttpError::Unreachable(
                "it fell silent, and is asked again soon".to_owned(),
            ));
        }
        let whole =
            timeout(patience.saturating_mul(WHOLE), self.exchange(request, length_max, patience));
        let answer = whole.await.unwrap_or_else(|_| Err(None));
        let silent = matches!(answer, Err(None)).then(|| Instant::now().checked_add(patience));
        self.silent.send_replace(silent.flatten());
        let late = || HttpError::Unreachable("no answer in time".to_owned());
        answer.map_err(|error| error.unwrap_or_else(late))
    }

    /// `Err(None)`: it says nothing.
    async fn exchange(
        &self,
        request: Request<Full<Bytes>>,
        length_max: usize,
        patience: Duration,
    ) -> Result<(StatusCode, Bytes), Option<HttpError>> {
        let unreachable = |why: String| Some(HttpError::Unreachable(why));
        let mut tries = TRIES;
        let answer = loop {
            let answer = match &self.way {
                Way::Plain(client) => client.request(request.clone()),
                Way::Sealed(client) => client.request(request.clone()),
            };
            let answer = timeout(patience, answer).await.map_err(|_| None)?;
            tries = tries.saturating_sub(1);
            match answer {
                Err(error) if tries > 0 && was_cut_off(&error) => {}
                answer => break answer.map_err(|error| unreachable(causes(&error)))?,
            }
        };
        let status = answer.status();
        let mut body = Limited::new(answer.into_body(), length_max);
        let mut bytes = Vec::new();
        while let Some(frame) = timeout(patience, body.frame()).await.map_err(|_| None)? {
            let frame = frame.map_err(|error| {
                if error.is::<LengthLimitError>() {
                    Some(HttpError::TooLong)
                } else {
                    unreachable(error.to_string())
                }
            })?;
            bytes.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data.as_ref()));
        }
        Ok((status, bytes.into()))
    }
}

/// A connection that was kept and ended meanwhile: the server was started again. All that is asked may be asked twice.
fn was_cut_off(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_incomplete_message) {
            return true;
        }
        next = error.source();
    }
    false
}

/// An error with all that is behind it.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    const SHORT: Duration = Duration::from_millis(100);

    /// Says so much of an answer to whoever calls, and then nothing more; counts callers.
    async fn silent(said: &str) -> (String, watch::Receiver<u32>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let (count, counted) = watch::channel(0);
        let said = said.to_owned();
        tokio::spawn(async move {
            let mut callers = Vec::new();
            while let Ok((mut caller, _)) = listener.accept().await {
                count.send_modify(|count| *count += 1);
                let mut asked = Vec::new();
                while !asked.ends_with(b"\r\n\r\n") {
                    asked.push(caller.read_u8().await.unwrap());
                }
                caller.write_all(said.as_bytes()).await.unwrap();
                callers.push(caller);
            }
        });
        (url, counted)
    }

    async fn ask(http: &Http, url: &str) -> Result<(StatusCode, Bytes), HttpError> {
        let request = Request::get(url).body(Full::default()).unwrap();
        let answer = http.send(request, 1_000, SHORT);
        timeout(Duration::from_secs(20), answer).await.expect("an end in time")
    }

    #[tokio::test]
    async fn who_falls_silent_is_given_up_in_time_wherever_he_was_and_let_alone_for_a_while() {
        let begun = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf";
        for said in ["", "HTTP/1.1 200", begun] {
            let (url, callers) = silent(said).await;
            let http = Http::plain();
            let late = HttpError::Unreachable("no answer in time".to_owned());
            assert_eq!(ask(&http, &url).await, Err(late), "{said}");
            let before = *callers.borrow();
            http.silent.send_replace(Instant::now().checked_add(Duration::from_secs(600)));
            let Err(HttpError::Unreachable(why)) = ask(&http, &url).await else { panic!("{said}") };
            assert!(why.contains("fell silent"), "{why}");
            assert_eq!(*callers.borrow(), before);
            // Then it is asked again.
            http.silent.send_replace(Some(Instant::now()));
            let Err(HttpError::Unreachable(why)) = ask(&http, &url).await else { panic!("{said}") };
            assert!(why.contains("in time"), "{why}");
        }
    }

    #[tokio::test]
    async fn whole_answers_are_whole_and_too_long_ones_none() {
        let (url, _callers) = silent("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhalf").await;
        let http = Http::plain();
        let answer = ask(&http, &url).await;
        assert_eq!(answer, Ok((StatusCode::OK, Bytes::from_static(b"half"))));
        let long = format!("HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n{}", "x".repeat(1_001));
        let (url, _callers) = silent(&long).await;
        assert_eq!(ask(&http, &url).await, Err(HttpError::TooLong));
    }
}
