//! The client against a small server of its own.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio_stream::wrappers::{TcpListenerStream, UnixListenerStream};
use tonic::service::interceptor::InterceptedService as Guarded;
use tonic::transport::Server;

use super::*;
use crate::auth::{Role, RootKey, Verifier};
use crate::reason::{Reason, Refused};
use crate::tls::ServerIdentity;
use crate::v1;
use crate::v1::node_server::{Node, NodeServer};

const NOW: u64 = 1_795_343_115_000;

/// A node that fails its first calls in a chosen way.
#[derive(Clone)]
struct Flaky {
    calls: Arc<AtomicU32>,
    failures: u32,
    status: Status,
}

impl Flaky {
    fn new(failures: u32, status: Status) -> Self {
        Self { calls: Arc::default(), failures, status }
    }

    fn answer<A: Default>(&self) -> Result<Response<A>, Status> {
        if self.calls.fetch_add(1, Ordering::SeqCst) < self.failures {
            Err(self.status.clone())
        } else {
            Ok(Response::new(A::default()))
        }
    }
}

#[tonic::async_trait]
impl Node for Flaky {
    async fn info(
        &self,
        _: Request<v1::InfoRequest>,
    ) -> Result<Response<v1::InfoResponse>, Status> {
        self.answer()
    }
    async fn health(
        &self,
        _: Request<v1::HealthRequest>,
    ) -> Result<Response<v1::HealthResponse>, Status> {
        self.answer()
    }
    async fn stop(
        &self,
        _: Request<v1::StopRequest>,
    ) -> Result<Response<v1::StopResponse>, Status> {
        self.answer()
    }
    async fn connect_peer(
        &self,
        _: Request<v1::ConnectPeerRequest>,
    ) -> Result<Response<v1::ConnectPeerResponse>, Status> {
        self.answer()
    }
    async fn disconnect_peer(
        &self,
        _: Request<v1::DisconnectPeerRequest>,
    ) -> Result<Response<v1::DisconnectPeerResponse>, Status> {
        self.answer()
    }
    async fn list_peers(
        &self,
        _: Request<v1::ListPeersRequest>,
    ) -> Result<Response<v1::ListPeersResponse>, Status> {
        self.answer()
    }
    async fn set_peer_policy(
        &self,
        _: Request<v1::SetPeerPolicyRequest>,
    ) -> Result<Response<v1::SetPeerPolicyResponse>, Status> {
        self.answer()
    }
}

async fn listener() -> (tokio::net::TcpListener, SocketAddr) {
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let at = listener.local_addr().unwrap();
    (listener, at)
}

async fn plain(node: Flaky) -> Client {
    let (listener, at) = listener().await;
    let server = Server::builder().add_service(NodeServer::new(node));
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    let address = Address::Plain(at);
    Client::connect(Target { address, certificate_pem: None, token: None }).await.unwrap()
}

async fn info(client: &Client) -> Result<v1::InfoResponse, Status> {
    let ask = v1::InfoRequest {};
    client.call(ask, |client, ask| async move { client.node().info(ask).await }).await
}

async fn stop(client: &Client, key: &str) -> Result<v1::StopResponse, Status> {
    let ask = v1::StopRequest { idempotency_key: key.to_owned() };
    client.call(ask, |client, ask| async move { client.node().stop(ask).await }).await
}

#[tokio::test]
async fn a_broken_connection_is_tried_again_and_then_given_up() {
    let node = Flaky::new(3, Status::unavailable("gone"));
    assert!(info(&plain(node).await).await.is_ok());
    let node = Flaky::new(4, Status::unavailable("gone"));
    assert_eq!(info(&plain(node).await).await.unwrap_err().code(), Code::Unavailable);
}

#[tokio::test]
async fn a_request_without_a_key_is_sent_only_once() {
    let node = Flaky::new(1, Status::unavailable("gone"));
    let client = plain(node.clone()).await;
    assert_eq!(stop(&client, "").await.unwrap_err().code(), Code::Unavailable);
    assert_eq!(node.calls.load(Ordering::SeqCst), 1);

    let node = Flaky::new(1, Status::unavailable("gone"));
    assert!(stop(&plain(node).await, "key").await.is_ok());
}

#[tokio::test]
async fn a_refusal_is_not_asked_again_unless_it_says_when() {
    let node = Flaky::new(1, Status::from(Reason::PeerUnreachable));
    let client = plain(node.clone()).await;
    assert!(info(&client).await.is_err());
    assert_eq!(node.calls.load(Ordering::SeqCst), 1);

    let starting = Refused::new(Reason::NodeStarting).retry_after(Duration::from_millis(5));
    assert!(info(&plain(Flaky::new(2, starting.into())).await).await.is_ok());
}

#[tokio::test]
async fn tls_with_the_pinned_certificate_and_a_token_lets_in_and_nothing_else_does() {
    let root = RootKey::from_bytes([3; 32]);
    let identity = ServerIdentity::generate(NOW, &[]).unwrap();
    let verifier = Verifier::new(root.clone());
    let guard = move |request: Request<()>| {
        let ip = request.remote_addr().map(|at: SocketAddr| at.ip());
        verifier.check_call("/viaduct.v1.Node/Info", request.metadata(), NOW, ip)?;
        Ok(request)
    };
    let (listener, at) = listener().await;
    let node = NodeServer::new(Flaky::new(0, Status::ok("")));
    let server = Server::builder()
        .tls_config(identity.server_config())
        .unwrap()
        .add_service(Guarded::new(node, guard));
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));

    let address = Address::Tls { host: at.ip().to_string(), port: at.port() };
    let pem = Some(identity.certificate_pem().to_owned());
    let target =
        |certificate_pem, token| Target { address: address.clone(), certificate_pem, token };

    let token = Token::bake(&root, Role::ReadOnly).unwrap();
    let client = Client::connect(target(pem.clone(), Some(token.clone()))).await.unwrap();
    assert!(info(&client).await.is_ok());

    let client = Client::connect(target(pem.clone(), None)).await.unwrap();
    let report = Report::read(&info(&client).await.unwrap_err());
    assert_eq!(report.reason, Some(Reason::TokenMissing));

    let elsewhere =
        token.restrict(&crate::auth::Caveat::Ip(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 4)))).unwrap();
    let client = Client::connect(target(pem, Some(elsewhere))).await.unwrap();
    let report = Report::read(&info(&client).await.unwrap_err());
    assert_eq!(report.reason, Some(Reason::TokenElsewhere));

    let other = ServerIdentity::generate(NOW, &[]).unwrap();
    let refused = Client::connect(target(Some(other.certificate_pem().to_owned()), None)).await;
    assert!(matches!(refused, Err(ConnectError::Unreachable(_))));
    let refused = Client::connect(target(None, None)).await;
    assert!(matches!(refused, Err(ConnectError::CertificateMissing)));
}

#[tokio::test]
async fn a_unix_socket_works_without_certificate() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("viaductd.sock");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let node = NodeServer::new(Flaky::new(0, Status::ok("")));
    let server = Server::builder().add_service(node);
    tokio::spawn(server.serve_with_incoming(UnixListenerStream::new(listener)));
    let target = Target { address: Address::Unix(path), certificate_pem: None, token: None };
    assert!(info(&Client::connect(target).await.unwrap()).await.is_ok());
}

#[test]
fn addresses_are_read_in_every_form() {
    for (text, shown) in [
        ("127.0.0.1:10009", "127.0.0.1:10009"),
        ("https://node.example.org:10009/", "node.example.org:10009"),
        ("[::1]:10009", "[::1]:10009"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://localhost:8080/", "http://127.0.0.1:8080"),
        ("unix:/run/viaductd.sock", "unix:/run/viaductd.sock"),
        ("unix:///run/viaductd.sock", "unix:/run/viaductd.sock"),
    ] {
        let address: Address = text.parse().unwrap();
        assert_eq!(address.to_string(), shown);
        assert!(endpoint(&address, Some("")).is_ok() || matches!(address, Address::Tls { .. }));
    }
}

#[test]
fn what_is_no_address_is_refused() {
    use BadAddress::{Malformed, PlainBeyondLoopback};
    for (text, error) in [
        ("", Malformed),
        ("localhost", Malformed),
        ("localhost:0", Malformed),
        ("localhost:65536", Malformed),
        ("a b:1", Malformed),
        ("https://user@host:1", Malformed),
        ("unix:relative", Malformed),
        ("http://", Malformed),
        ("http://10.0.0.4:80", PlainBeyondLoopback),
        ("http://node.example.org:80", PlainBeyondLoopback),
    ] {
        assert_eq!(text.parse::<Address>(), Err(error), "{text}");
    }
}

#[test]
fn every_key_is_another() {
    let (one, other) = (fresh_key().unwrap(), fresh_key().unwrap());
    assert_eq!((one.len(), other.len()), (32, 32));
    assert_ne!(one, other);
}
