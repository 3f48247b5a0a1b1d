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

/// How long it may take to be connected.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Connections to servers, kept and used again. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Http(Way);

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
        Self(Way::Plain(Client::builder(TokioExecutor::new()).build(connector())))
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
        Ok(Self(Way::Sealed(Client::builder(TokioExecutor::new()).build(tls))))
    }

    /// Sends a request; answers status and body, which may be so long and take so long.
    pub(crate) async fn send(
        &self,
        request: Request<Full<Bytes>>,
        length_max: usize,
        patience: Duration,
    ) -> Result<(StatusCode, Bytes), HttpError> {
        let answer = async {
            let answer = match &self.0 {
                Way::Plain(client) => client.request(request).await,
                Way::Sealed(client) => client.request(request).await,
            };
            let answer = answer.map_err(|error| HttpError::Unreachable(causes(&error)))?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), length_max).collect().await;
            let body = body.map_err(|error| {
                if error.is::<LengthLimitError>() {
                    HttpError::TooLong
                } else {
                    HttpError::Unreachable(error.to_string())
                }
            })?;
            Ok((status, body.to_bytes()))
        };
        let answer = tokio::time::timeout(patience, answer).await;
        let late = || HttpError::Unreachable("no answer in time".to_owned());
        answer.unwrap_or_else(|_| Err(late()))
    }
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
