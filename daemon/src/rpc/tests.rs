//! The whole face over real sockets: TLS, tokens, streams, refusals, against a node made of paper.

mod calls;
mod door;
mod network;
mod paper;
mod streams;

use std::time::Duration;

use api::auth::{Caveat, Role, RootKey, Token};
use api::client::{Address, Client, Target};
use api::reason::Report;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};

use super::World;
use super::model::UnixMillis;
use super::server::{Bound, ServeError};
use crate::config::{Network, RpcConfig};
use crate::datadir::DataDir;
use paper::PaperNode;

/// TLS looks at the real clock, so everything here does.
fn now() -> UnixMillis {
    UnixMillis(crate::clock::now_ms())
}

fn root() -> RootKey {
    RootKey::from_bytes([42; 32])
}

/// A server on a free port, with its files.
struct Served {
    dir: TempDir,
    data: DataDir,
    port: u16,
    certificate: String,
    stop: CancellationToken,
    server: JoinHandle<Result<(), ServeError>>,
}

fn world(stop: CancellationToken) -> World {
    World { network: Network::Sandbox, now, stop }
}

fn config(port: u16) -> RpcConfig {
    let listen = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    RpcConfig { listen, tls_names: Vec::new() }
}

impl Served {
    async fn start(node: PaperNode) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::new(dir.path().into(), Network::Sandbox);
        std::fs::create_dir(data.network()).unwrap();
        let stop = CancellationToken::new();
        let world = world(stop.clone());
        let bound = Bound::bind(&config(0), &data, root(), &world).await.unwrap();
        let port = bound.address().unwrap().port();
        let certificate = bound.certificate_pem().to_owned();
        #[expect(clippy::disallowed_methods, reason = "a test has no tree of tasks")]
        let server = tokio::spawn(bound.serve(node, world));
        Self { dir, data, port, certificate, stop, server }
    }

    fn address(&self) -> Address {
        Address::Tls { host: "127.0.0.1".into(), port: self.port }
    }

    async fn client(&self, token: Option<Token>) -> Client {
        let certificate_pem = Some(self.certificate.clone());
        Client::connect(Target { address: self.address(), certificate_pem, token }).await.unwrap()
    }

    async fn admin(&self) -> Client {
        let bytes = std::fs::read(self.data.token(Role::Admin)).unwrap();
        self.client(Some(Token::from_bytes(&bytes).unwrap())).await
    }

    /// A bare connection, without token.
    async fn channel(&self) -> Channel {
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(&self.certificate))
            .domain_name("localhost");
        let endpoint = Endpoint::from_shared(format!("https://127.0.0.1:{}", self.port)).unwrap();
        endpoint.tls_config(tls).unwrap().connect().await.unwrap()
    }
}

/// The reason, the words and the metadata of a refusal.
fn report<T: std::fmt::Debug>(answer: Result<T, tonic::Status>) -> Report {
    Report::read(&answer.unwrap_err())
}

fn reason<T: std::fmt::Debug>(answer: Result<T, tonic::Status>) -> &'static str {
    report(answer).reason.unwrap().name()
}

/// No test waits longer than this for anything.
async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(10), work).await.unwrap()
}
