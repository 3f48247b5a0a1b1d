//! The server: TLS and a Unix socket, tokens, reflection, health, limits, an orderly end.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use api::auth::{Role, RootKey, Token, TokenError, Verifier};
use api::tls::{ServerIdentity, TlsError};
use api::v1::backup_server::BackupServer;
use api::v1::channels_server::ChannelsServer;
use api::v1::events_server::EventsServer;
use api::v1::forwards_server::ForwardsServer;
use api::v1::graph_server::GraphServer;
use api::v1::invoices_server::InvoicesServer;
use api::v1::node_server::NodeServer;
use api::v1::payments_server::PaymentsServer;
use api::v1::sandbox_server::SandboxServer;
use api::v1::towers_server::TowersServer;
use api::v1::wallet_server::WalletServer;
use api::v1::why_server::WhyServer;
use tokio::net::{TcpListener, UnixListener};
use tokio_stream::wrappers::UnixListenerStream;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

use super::admit::Admitted;
use super::{NodeApi, Rpc, World};
use crate::config::RpcConfig;
use crate::datadir::DataDir;

/// The largest request that is read, in bytes.
const REQUEST_LEN_MAX: usize = 1 << 20;
/// The largest request about a backup that is read, in bytes.
const BACKUP_LEN_MAX: usize = crate::backup::envelope::FILE_LEN_MAX;
/// Streams that one connection may have open.
const STREAMS_MAX: u32 = 256;
/// The largest headers, in bytes: a token in hex fits four times.
const HEADERS_LEN_MAX: u32 = 32 << 10;
/// How often a silent connection is asked whether it lives.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// How long calls may take to end when the server stops.
const FAREWELL: Duration = Duration::from_secs(2);
/// The longest path that a Unix socket can have.
const SOCKET_PATH_MAX: usize = 107;

/// Why the API cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The port cannot be had.
    #[error("cannot listen on {address}: {source}; is another viaductd running? set rpc.listen")]
    Listen {
        /// Where.
        address: core::net::SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// A file of the API cannot be written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The certificate.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The tokens.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The reflection data is damaged: a slip in this program.
    #[error("the API's descriptors are damaged")]
    Descriptors,
    /// The server itself.
    #[error("the API server failed: {0}")]
    Server(#[from] tonic::transport::Error),
}

/// A server that has its port and files, and takes no calls yet.
pub struct Bound {
    tcp: TcpListener,
    socket: Option<(UnixListener, PathBuf)>,
    identity: ServerIdentity,
    verifier: Arc<Verifier>,
}

impl core::fmt::Debug for Bound {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Bound").field("identity", &self.identity).finish_non_exhaustive()
    }
}

impl Bound {
    /// Takes the port, makes certificate, tokens and socket where they are missing.
    ///
    /// # Errors
    /// [`ServeError`].
    pub async fn bind(
        config: &RpcConfig,
        dir: &DataDir,
        root: RootKey,
        world: &World,
    ) -> Result<Self, ServeError> {
        let (certificate, key) = (dir.certificate(), dir.certificate_key());
        let (identity, made) =
            ServerIdentity::load_or_make(&certificate, &key, (world.now)().0, &config.tls_names)?;
        if made {
            tracing::info!(file = %certificate.display(), "certificate made");
        }
        for role in Role::ALL {
            write_token(&dir.token(role), &root, role)?;
        }
        let listen = |source| ServeError::Listen { address: config.listen, source };
        let tcp = TcpListener::bind(config.listen).await.map_err(listen)?;
        Ok(Self {
            tcp,
            socket: bind_socket(&dir.socket())?,
            identity,
            verifier: Arc::new(Verifier::new(root)),
        })
    }

    /// Where it listens; tells the port when port 0 was asked for.
    ///
    /// # Errors
    /// [`ServeError::File`] when the system does not say.
    pub fn address(&self) -> Result<core::net::SocketAddr, ServeError> {
        let unknown = |source| ServeError::File { path: PathBuf::from("socket"), source };
        self.tcp.local_addr().map_err(unknown)
    }

    /// The certificate, as clients pin it.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        self.identity.certificate_pem()
    }

    /// Serves a node until the world's `stop` is cancelled; calls then have two seconds to end.
    ///
    /// # Errors
    /// [`ServeError`].
    pub async fn serve<N: NodeApi>(self, node: N, world: World) -> Result<(), ServeError> {
        let Self { tcp, socket, identity, verifier } = self;
        let routes = routes(&Rpc::new(node, world.clone()), &verifier).await?;
        let stop = world.stop;
        let secure = builder()
            .tls_config(identity.server_config())?
            .add_routes(routes.clone())
            .serve_with_incoming_shutdown(
                TcpIncoming::from(tcp).with_nodelay(Some(true)),
                stop.clone().cancelled_owned(),
            );
        let path = socket.as_ref().map(|(_, path)| path.clone());
        let local = async {
            match socket {
                Some((listener, _)) => {
                    builder()
                        .add_routes(routes)
                        .serve_with_incoming_shutdown(
                            UnixListenerStream::new(listener),
                            stop.clone().cancelled_owned(),
                        )
                        .await
                }
                None => Ok(()),
            }
        };
        let served = async { tokio::try_join!(secure, local) };
        let late = async {
            stop.cancelled().await;
            tokio::time::sleep(FAREWELL).await;
        };
        let outcome = tokio::select! {
            outcome = served => outcome.map(|_| ()),
            () = late => Ok(()),
        };
        if let Some(path) = path {
            // A socket that stays behind is removed at the next start.
            let _gone = fs::remove_file(path);
        }
        outcome.map_err(ServeError::from)
    }
}

fn builder() -> Server {
    Server::builder()
        .max_concurrent_streams(STREAMS_MAX)
        .http2_max_header_list_size(HEADERS_LEN_MAX)
        .http2_keepalive_interval(Some(KEEP_ALIVE))
        .http2_keepalive_timeout(Some(KEEP_ALIVE))
        .http2_max_pending_accept_reset_streams(Some(64))
}

/// Every service, each behind the door.
async fn routes<N: NodeApi>(rpc: &Rpc<N>, verifier: &Arc<Verifier>) -> Result<Routes, ServeError> {
    let now = rpc.world.now;
    macro_rules! behind_the_door {
        ($server:ident) => {
            Admitted::new(
                $server::new(rpc.clone()).max_decoding_message_size(REQUEST_LEN_MAX),
                Arc::clone(verifier),
                now,
            )
        };
    }
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_serving::<NodeServer<Rpc<N>>>().await;
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(api::NODE_DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let v1 = reflection().build_v1().map_err(|_| ServeError::Descriptors)?;
    let v1alpha = reflection().build_v1alpha().map_err(|_| ServeError::Descriptors)?;
    Ok(Routes::new(health_service)
        .add_service(v1)
        .add_service(v1alpha)
        .add_service(behind_the_door!(NodeServer))
        .add_service(behind_the_door!(WalletServer))
        .add_service(behind_the_door!(ChannelsServer))
        .add_service(behind_the_door!(PaymentsServer))
        .add_service(behind_the_door!(InvoicesServer))
        .add_service(behind_the_door!(EventsServer))
        .add_service(behind_the_door!(WhyServer))
        .add_service(behind_the_door!(ForwardsServer))
        .add_service(behind_the_door!(GraphServer))
        .add_service(behind_the_door!(TowersServer))
        .add_service(behind_the_door!(SandboxServer))
        .add_service(Admitted::new(
            BackupServer::new(rpc.clone()).max_decoding_message_size(BACKUP_LEN_MAX),
            Arc::clone(verifier),
            now,
        )))
}

/// Writes a token unless one is there. It is a secret: 0600 from its first byte.
fn write_token(path: &Path, root: &RootKey, role: Role) -> Result<(), ServeError> {
    if path.exists() {
        return Ok(());
    }
    let bytes = Token::bake(root, role)?.to_bytes()?;
    let written = store::disk::put_at(path, &bytes);
    written.map_err(|source| ServeError::File { path: path.into(), source })
}

/// The socket, which its owner alone may open. A path that is too long for one goes without.
fn bind_socket(path: &Path) -> Result<Option<(UnixListener, PathBuf)>, ServeError> {
    if path.as_os_str().len() > SOCKET_PATH_MAX {
        tracing::warn!(path = %path.display(), "no Unix socket: its path would be too long");
        return Ok(None);
    }
    let failed = |source| ServeError::File { path: path.into(), source };
    // The store's lock is held, so a socket that is there is of a process that is gone.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let listener = UnixListener::bind(path).map_err(failed)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(failed)?;
    Ok(Some((listener, path.to_path_buf())))
}
