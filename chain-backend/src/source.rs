//! The chain of a program that has none of its own, as its settings say it: one text, and who we are to Bitcoin Core.
//!
//! Daemon and tower read the same names here, and reach the same backends. Not here: the built-in chain, which a
//! program runs itself.

use crate::backend::{BackendError, ChainBackend};
use crate::bitcoind::{BitcoindChain, BitcoindSettings, Login};
use crate::esplora::{EsploraChain, EsploraSettings};
use crate::polled::PATIENCE;
use crate::remote::RemoteChain;
use bitcoin::Network;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// How the text of a source is written.
pub const USAGE: &str = "http://HOST:PORT, bitcoind=http://HOST:PORT or esplora=https://HOST/api (also http, with a port)";

/// An Esplora server under TLS is somebody else's, as a rule, and each look costs it the names of all that waits: it is
/// never asked for news more often. A channel has blocks of time.
const OTHERS_POLL: Duration = Duration::from_secs(5);

/// Where blocks come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A viaduct-chain server.
    Remote {
        /// `http://HOST:PORT`.
        url: String,
    },
    /// Bitcoin Core.
    Bitcoind(BitcoindSettings),
    /// An Esplora server.
    Esplora(EsploraSettings),
}

/// What settings say beside the text, the same for every source of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceOptions {
    /// The network that it must be on.
    pub network: Network,
    /// `rpc_cookie`: the cookie file of Bitcoin Core. Empty is none, here and below.
    pub rpc_cookie: String,
    /// `rpc_user`: who we are to Bitcoin Core.
    pub rpc_user: String,
    /// `rpc_password`: our password there.
    pub rpc_password: String,
    /// `esplora_ca`: a PEM file of certificates to trust instead of the system's.
    pub esplora_ca: String,
    /// `poll_ms`: how often what must be polled is; an Esplora server under TLS every five seconds at most.
    pub poll: Duration,
}

/// Why a source cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// The text is none.
    #[error("use {USAGE}")]
    Text,
    /// Bitcoin Core would not know who we are.
    #[error("Bitcoin Core wants rpc_cookie, or rpc_user and rpc_password")]
    Login,
}

impl Source {
    /// Reads a source.
    ///
    /// # Errors
    /// [`SourceError`].
    pub fn parse(text: &str, options: &SourceOptions) -> Result<Self, SourceError> {
        match text.split_once('=') {
            Some(("bitcoind", url)) if is_http(url) => Ok(Self::Bitcoind(BitcoindSettings {
                url: url.to_owned(),
                login: options.login()?,
                network: options.network,
                poll: options.poll,
                patience: PATIENCE,
            })),
            Some(("esplora", url)) if is_api(url) => Ok(Self::Esplora(EsploraSettings {
                url: url.to_owned(),
                network: options.network,
                poll: if url.starts_with("https:") {
                    options.poll.max(OTHERS_POLL)
                } else {
                    options.poll
                },
                patience: PATIENCE,
                trusted: Some(&options.esplora_ca).filter(|ca| !ca.is_empty()).map(PathBuf::from),
            })),
            None if is_http(text) => Ok(Self::Remote { url: text.to_owned() }),
            Some(_) | None => Err(SourceError::Text),
        }
    }

    /// Where it is.
    pub fn url(&self) -> &str {
        match self {
            Self::Remote { url } => url,
            Self::Bitcoind(settings) => &settings.url,
            Self::Esplora(settings) => &settings.url,
        }
    }

    /// The chain, asked nothing yet: it may come later.
    ///
    /// # Errors
    /// [`BackendError::Unavailable`] when the URL cannot be used.
    pub fn lazy(&self, network: Network) -> Result<Arc<dyn ChainBackend>, BackendError> {
        Ok(match self {
            Self::Remote { url } => Arc::new(RemoteChain::lazy(url, network)?),
            Self::Bitcoind(settings) => Arc::new(BitcoindChain::lazy(settings)?),
            Self::Esplora(settings) => Arc::new(EsploraChain::lazy(settings)?),
        })
    }

    /// The chain, asked for its genesis block. One that does not answer yet is no error: it may come later.
    ///
    /// # Errors
    /// [`BackendError::WrongChain`] on another network, [`BackendError::Unavailable`] when the URL cannot be used.
    pub async fn reach(&self, network: Network) -> Result<Arc<dyn ChainBackend>, BackendError> {
        let reached = self.connect(network).await;
        match reached {
            Err(BackendError::Unavailable(why)) => {
                tracing::warn!(url = self.url(), why, "the chain does not answer yet");
                self.lazy(network)
            }
            reached => reached,
        }
    }
}

impl Source {
    async fn connect(&self, network: Network) -> Result<Arc<dyn ChainBackend>, BackendError> {
        Ok(match self {
            Self::Remote { url } => Arc::new(RemoteChain::connect(url, network).await?),
            Self::Bitcoind(settings) => Arc::new(BitcoindChain::connect(settings).await?),
            Self::Esplora(settings) => Arc::new(EsploraChain::connect(settings).await?),
        })
    }
}

impl SourceOptions {
    fn login(&self) -> Result<Login, SourceError> {
        match (self.rpc_cookie.as_str(), self.rpc_user.as_str(), self.rpc_password.as_str()) {
            (path, "", "") if !path.is_empty() => Ok(Login::Cookie(path.into())),
            ("", user, password) if !user.is_empty() && !password.is_empty() => {
                Ok(Login::User { user: user.to_owned(), password: password.to_owned() })
            }
            _ => Err(SourceError::Login),
        }
    }
}

/// Whether this is `http://HOST:PORT`.
fn is_http(url: &str) -> bool {
    let parts = url.strip_prefix("http://").and_then(|rest| rest.rsplit_once(':'));
    parts.is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
}

/// Whether this is a place on the web: `http://` or `https://`, a host, perhaps a port and a path.
fn is_api(url: &str) -> bool {
    let host = ["http://", "https://"]
        .iter()
        .find_map(|scheme| url.strip_prefix(scheme).and_then(|rest| rest.split('/').next()));
    let has_host = host.is_some_and(|host| !host.is_empty() && !host.starts_with(':'));
    has_host && !url.ends_with('/') && !url.contains(char::is_whitespace)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(cookie: &str, user: &str, password: &str) -> SourceOptions {
        SourceOptions {
            network: Network::Regtest,
            rpc_cookie: cookie.to_owned(),
            rpc_user: user.to_owned(),
            rpc_password: password.to_owned(),
            esplora_ca: String::new(),
            poll: Duration::from_secs(1),
        }
    }

    // A client of a server takes a runtime to be made in.
    #[tokio::test]
    async fn a_source_is_a_server_of_ours_or_a_core_that_knows_us() {
        let nobody = options("", "", "");
        let remote = Source::parse("http://h:1", &nobody).unwrap();
        assert_eq!(remote, Source::Remote { url: "http://h:1".to_owned() });
        assert!(remote.lazy(Network::Regtest).is_ok());
        let core = Source::parse("bitcoind=http://h:1", &options("/c", "", "")).unwrap();
        assert_eq!(core.url(), "http://h:1");
        assert!(core.lazy(Network::Regtest).is_ok());
        for (cookie, user, password) in [("", "", ""), ("", "u", ""), ("/c", "u", "p")] {
            let refused = Source::parse("bitcoind=http://h:1", &options(cookie, user, password));
            assert_eq!(refused, Err(SourceError::Login));
        }
        for text in ["", "h:1", "https://h:1", "bitcoind", "bitcoind=h:1", "other=http://h:1"] {
            assert_eq!(
                Source::parse(text, &options("/c", "", "")),
                Err(SourceError::Text),
                "{text}"
            );
        }
    }

    #[test]
    fn an_esplora_server_is_asked_in_the_clear_or_under_tls() {
        let nobody = options("", "", "");
        let own = SourceOptions { esplora_ca: "/ca.pem".to_owned(), ..nobody.clone() };
        for url in ["http://h:3002", "http://h", "https://mempool.space/signet/api"] {
            let text = format!("esplora={url}");
            let Source::Esplora(usual) = Source::parse(&text, &nobody).unwrap() else {
                panic!("{url}")
            };
            let slow = url.starts_with("https") && usual.poll == OTHERS_POLL;
            assert!(slow || usual.poll == nobody.poll, "{url}");
            assert_eq!((usual.url.as_str(), usual.trusted), (url, None));
            let Source::Esplora(own) = Source::parse(&text, &own).unwrap() else { panic!("{url}") };
            assert_eq!(own.trusted, Some("/ca.pem".into()));
        }
        for wrong in ["", "http://", "http://:80", "ftp://h", "h:1", "https://h/", "http://h /a"] {
            let refused = Source::parse(&format!("esplora={wrong}"), &nobody);
            assert_eq!(refused, Err(SourceError::Text), "{wrong}");
        }
    }

    #[tokio::test]
    async fn a_source_that_does_not_answer_yet_is_waited_for() {
        let core = Source::parse("bitcoind=http://127.0.0.1:1", &options("/none", "", "")).unwrap();
        let chain = core.reach(Network::Regtest).await.unwrap();
        assert!(matches!(chain.tip().await, Err(BackendError::Unavailable(_))));
    }
}
