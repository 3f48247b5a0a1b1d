//! The gRPC server of the administration.

use std::fs;
use std::io::{self, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::Duration;

use api::auth::{Role, RootKey, Token, TokenError, Verifier};
use api::calendar::UnixMs;
use api::tls::{ServerIdentity, TlsError};
use api::v1;
use api::v1::tower_server::{Tower, TowerServer};
use bitcoin::address::NetworkUnchecked;
use bitcoin::{Address, Amount};
use futures_util::{Stream, StreamExt as _};
use tokio::net::TcpListener;
use tokio_stream::wrappers::BroadcastStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tonic::transport::server::{TcpConnectInfo, TcpIncoming, TlsConnectInfo};
use tonic::{Request, Response, Status};

use super::{Admin, show, trial};
use crate::store::{Fact, Mode, Refused};
use crate::watch::PurseRefusal;

/// Streams that one connection may have open.
const STREAMS_MAX: u32 = 64;
/// The largest request, in bytes.
const REQUEST_MAX: usize = 64 << 10;
/// How long calls may take to end when the server stops.
const FAREWELL: Duration = Duration::from_secs(2);
const PAGE_USUAL: usize = 100;
const PAGE_MAX: usize = 1_000;

/// Why the administration cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The port cannot be had.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
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
    /// The server itself.
    #[error("the server failed: {0}")]
    Server(#[from] tonic::transport::Error),
}

/// A server that has its port and files.
#[derive(Debug)]
pub struct Bound {
    tcp: TcpListener,
    identity: ServerIdentity,
}

/// Takes the port, and makes certificate (`tls.cert`, `tls.key`) and tokens in that directory where they are
/// missing.
///
/// # Errors
/// [`AdminError`].
pub async fn bind(
    address: SocketAddr,
    dir: &Path,
    root: &RootKey,
    names: &[String],
    now_ms: fn() -> u64,
) -> Result<Bound, AdminError> {
    let (certificate, key) = (dir.join("tls.cert"), dir.join("tls.key"));
    let (identity, _) = ServerIdentity::load_or_make(&certificate, &key, now_ms(), names)?;
    for role in [Role::Admin, Role::ReadOnly] {
        write_token(&dir.join(role.file_name()), root, role)?;
    }
    let tcp = TcpListener::bind(address)
        .await
        .map_err(|source| AdminError::Listen { address, source })?;
    Ok(Bound { tcp, identity })
}

impl Bound {
    /// Where it listens.
    pub fn address(&self) -> Option<SocketAddr> {
        self.tcp.local_addr().ok()
    }

    /// Serves until it is told to stop.
    ///
    /// # Errors
    /// [`AdminError::Server`].
    pub async fn serve(
        self,
        about: Admin,
        root: RootKey,
        stop: CancellationToken,
    ) -> Result<(), AdminError> {
        let office = Office { about, verifier: Verifier::new(root), stop: stop.clone() };
        let served = Server::builder()
            .max_concurrent_streams(STREAMS_MAX)
            .tls_config(self.identity.server_config())?
            .add_service(TowerServer::new(office).max_decoding_message_size(REQUEST_MAX))
            .serve_with_incoming_shutdown(
                TcpIncoming::from(self.tcp).with_nodelay(Some(true)),
                stop.clone().cancelled_owned(),
            );
        let late = async {
            stop.cancelled().await;
            tokio::time::sleep(FAREWELL).await;
        };
        tokio::select! {
            served = served => Ok(served?),
            () = late => Ok(()),
        }
    }
}

/// Writes a token unless one is there. It is a secret: 0600 from its first byte.
fn write_token(path: &Path, root: &RootKey, role: Role) -> Result<(), AdminError> {
    if path.exists() {
        return Ok(());
    }
    let bytes = Token::bake(root, role)?.to_bytes()?;
    let aside = path.with_extension("new");
    let write = || -> io::Result<()> {
        let mut options = fs::OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs::rename(&aside, path)
    };
    write().map_err(|source| AdminError::File { path: path.into(), source })
}

/// Whoever answers.
struct Office {
    about: Admin,
    verifier: Verifier,
    stop: CancellationToken,
}

type Events = Pin<Box<dyn Stream<Item = Result<v1::TowerEvent, Status>> + Send>>;

impl Office {
    /// No call passes without a token that allows it.
    fn admit<T>(&self, request: &Request<T>, method: &str) -> Result<(), Status> {
        let extensions = request.extensions();
        let tls = extensions.get::<TlsConnectInfo<TcpConnectInfo>>().map(TlsConnectInfo::get_ref);
        let tcp = extensions.get::<TcpConnectInfo>().or(tls);
        let from: Option<IpAddr> =
            tcp.and_then(TcpConnectInfo::remote_addr).map(|address| address.ip());
        let now: UnixMs = (self.about.now_ms)();
        let checked = self.verifier.check_call(method, request.metadata(), now, from);
        checked.map_err(|error| {
            tracing::warn!(method, ?from, why = %error, "call refused");
            Status::from(error)
        })
    }

    fn height(&self) -> u32 {
        self.about.view.watching.borrow().tip.map_or(0, |tip| tip.height)
    }
}

#[tonic::async_trait]
impl Tower for Office {
    type WatchEventsStream = Events;

    async fn get_info(
        &self,
        request: Request<v1::TowerInfoRequest>,
    ) -> Result<Response<v1::TowerInfoResponse>, Status> {
        self.admit(&request, "/viaduct.v1.Tower/GetInfo")?;
        let figures = self.about.keeper.figures().await.map_err(refused)?;
        let watching = self.about.view.watching.borrow().clone();
        let height = watching.tip.map_or(0, |tip| tip.height);
        let open = watching.book.claims().count();
        Ok(Response::new(v1::TowerInfoResponse {
            tower_key: self.about.key.to_string(),
            listen: self.about.listen.map(|at| at.to_string()).unwrap_or_default(),
            network: self.about.network.to_string(),
            height,
            block_hash: watching.tip.map(|tip| tip.hash.to_string()).unwrap_or_default(),
            synced: watching.is_synced,
            trouble: watching.trouble.clone().unwrap_or_default(),
            mode: show::mode(figures.mode).into(),
            sessions: figures.sessions,
            records: figures.indexed,
            stored_bytes: figures.bytes,
            index_bytes: figures.index_bytes,
            ring_bytes: figures.ring_bytes,
            ring_blocks: figures.ring_blocks,
            connections: u64::try_from(self.about.guests.borrow().connections).unwrap_or(u64::MAX),
            open_claims: u64::try_from(open).unwrap_or(u64::MAX),
            blocks_left_min: show::blocks_left(&watching.book, height),
        }))
    }

    async fn list_sessions(
        &self,
        request: Request<v1::ListTowerSessionsRequest>,
    ) -> Result<Response<v1::ListTowerSessionsResponse>, Status> {
        self.admit(&request, "/viaduct.v1.Tower/ListSessions")?;
        let request = request.into_inner();
        let mut all = self.about.keeper.sessions().await.map_err(refused)?;
        if request.order() != v1::Order::OldestFirst {
            all.reverse();
        }
        let (page, next_page_token) = page(all, request.page_size, &request.page_token)?;
        let sessions = page.iter().map(|(number, session)| show::session(*number, session));
        let sessions = sessions.collect();
        Ok(Response::new(v1::ListTowerSessionsResponse { sessions, next_page_token }))
    }

    async fn set_quota(
        &self,
        request: Request<v1::SetTowerQuotaRequest>,
    ) -> Result<Response<v1::SetTowerQuotaResponse>, Status> {
        self.admit(&request, "/viaduct.v1.Tower/SetQuota")?;
        let request = request.into_inner();
        let sessions = || async { self.about.keeper.sessions().await.map_err(refused) };
        let missing = || Status::not_found("no such session");
        let all = sessions().await?;
        let (_, found) =
            all.into_iter().find(|(n, _)| *n == request.session).ok_or_else(missing)?;
        let fact = Fact::Granted {
            session: request.session,
            quota_bytes: request.quota_bytes.unwrap_or(found.opening.quota_bytes),
            expiry_height: request.expiry_height.unwrap_or(found.opening.expiry_height),
        };
        let () = self.about.keeper.note(fact).await.map_err(refused)?.into_inner();
        let all = sessions().await?;
        let (number, now) =
            all.into_iter().find(|(n, _)| *n == request.session).ok_or_else(missing)?;
        let session = Some(show::session(number, &now));
        Ok(Response::new(v1::SetTowerQuotaResponse { session }))
    }

    async fn list_claims(
        &self,
        request: Request<v1::ListTowerClaimsRequest>,
    ) -> Result<Response<v1::ListTowerClaimsResponse>, Status> {
        self.admit(&request, "/viaduct.v1.Tower/ListClaims")?;
        let request = request.into_inner();
        let book = std::sync::Arc::clone(&self.about.view.watching.borrow().book);
        let all = show::claims(&book, self.height(), request.session);
        let (claims, next_page_token) = page(all, request.page_size, &request.page_token)?;
        Ok(Response::new(v1::ListTowerClaimsResponse { claims, next_page_token }))
    }

    async fn self_test(
        &self,
        request: Request<v1::TowerSelfTestRequest>,
    ) -> Result<Response<v1::TowerSelfTestResponse>, Status> {
        self.admit(&request, "/viaduct.v1.Tower/SelfTest")?;
        let mut trials = Vec::new();
        let mut trial = |name: &str, outcome: Result<String, String>| {
            let passed = outcome.is_ok();
            let detail = outcome.unwrap_or_else(|error| error);
            trials.push(v1::TowerTrial { name: name.to_owned(), passed, detail });
        };
        let watching = self.about.view.watching.borrow().clone();
        trial(
            "chain",
            match (&watching.trouble, watching.is_synced) {
                (None, true) => Ok(format!("at block {}", self.height())),
                (None, false) => Err("behind the newest block".to_owned()),
                (Some(trouble), _) => Err(trouble.clone()),
            },
        );
        let figures = self.about.keeper.figures().await.map_err(refused)?;
        trial(
            "disk",
            match figures.mode {
                Mode::Open => Ok(format!("{} records", figures.indexed)),
                Mode::Draining => Ok("takes no records, by order".to_owned()),
                Mode::Full => Err("full".to_owned()),
                Mode::ReadOnly => Err("failed: nothing is written any more".to_owned()),
            },
        );
        trial("justice", trial::rehearse());
        let passed = trials.iter().all(|trial| trial.passed);
        Ok(Response::new(v1::TowerSelfTestResponse { trials, passed }))
    }

    async fn watch_events(
        &self,
        request: Request<v1::WatchTowerEventsRequest>,
    ) -> Result<Response<Events>, Status> {
        self.admit(&request, "/viaduct.v1.Tower/WatchEvents")?;
        let events = BroadcastStream::new(self.about.view.events.subscribe());
        let events = events.map(|event| match event {
            Ok(event) => Ok(show::event(&event)),
            Err(_) => Err(Status::out_of_range("read too slowly: events were left out")),
        });
        let stop = self.stop.clone().cancelled_owned();
        Ok(Response::new(Box::pin(events.take_until(stop))))
    }

    async fn compact(
        &self,
        request: Request<v1::CompactTowerRequest>,
    ) -> Result<Response<v1::CompactTowerResponse>, Status> {
        self.admit(&request, "/viaduct.v1.Tower/Compact")?;
        let segments = self.about.keeper.compact().await.map_err(refused)?;
        Ok(Response::new(v1::CompactTowerResponse { segments }))
    }

    async fn drain(
        &self,
        request: Request<v1::DrainTowerRequest>,
    ) -> Result<Response<v1::DrainTowerResponse>, Status> {
        self.admit(&request, "/viaduct.v1.Tower/Drain")?;
        self.about.keeper.drain(request.into_inner().drain).await.map_err(refused)?;
        let figures = self.about.keeper.figures().await.map_err(refused)?;
        Ok(Response::new(v1::DrainTowerResponse { mode: show::mode(figures.mode).into() }))
    }

    async fn new_address(
        &self,
        request: Request<v1::TowerAddressRequest>,
    ) -> Result<Response<v1::TowerAddressResponse>, Status> {
        self.admit(&request, "/viaduct.v1.Tower/NewAddress")?;
        let key = request.into_inner().idempotency_key;
        let address = self.about.view.purse.address(key).await;
        let address = address.map_err(|refusal| kept_back(&refusal))?.to_string();
        Ok(Response::new(v1::TowerAddressResponse { address }))
    }

    async fn balance(
        &self,
        request: Request<v1::TowerBalanceRequest>,
    ) -> Result<Response<v1::TowerBalanceResponse>, Status> {
        self.admit(&request, "/viaduct.v1.Tower/Balance")?;
        let balance = self.about.view.purse.balance().await;
        let balance = balance.map_err(|refusal| kept_back(&refusal))?;
        Ok(Response::new(v1::TowerBalanceResponse {
            confirmed_sat: balance.confirmed.to_sat(),
            pending_sat: balance.pending.to_sat(),
            promised_sat: balance.promised.to_sat(),
        }))
    }

    async fn send(
        &self,
        request: Request<v1::TowerSendRequest>,
    ) -> Result<Response<v1::TowerSendResponse>, Status> {
        self.admit(&request, "/viaduct.v1.Tower/Send")?;
        let request = request.into_inner();
        let wrong = |_| Status::invalid_argument("address: not one of this network");
        let to: Address<NetworkUnchecked> = request.address.parse().map_err(wrong)?;
        let to = to.require_network(self.about.network).map_err(wrong)?;
        let amount = request.amount_sat.map(Amount::from_sat);
        let per_kw = request.sat_per_vbyte.map(|rate| u64::from(rate).saturating_mul(250));
        let sent = self.about.view.purse.send(request.idempotency_key, to, amount, per_kw).await;
        let sent = sent.map_err(|refusal| kept_back(&refusal))?;
        let txid = sent.txid.to_string();
        Ok(Response::new(v1::TowerSendResponse { txid, accepted: sent.accepted }))
    }
}

/// Why the wallet does not do it.
fn kept_back(refusal: &PurseRefusal) -> Status {
    let words = refusal.to_string();
    match refusal {
        PurseRefusal::None | PurseRefusal::Purse(_) => Status::failed_precondition(words),
        PurseRefusal::Stopped => Status::unavailable(words),
        PurseRefusal::Send(_) | PurseRefusal::Key => Status::invalid_argument(words),
    }
}

/// A page of a list, and where the next one begins.
fn page<T>(all: Vec<T>, size: u32, token: &str) -> Result<(Vec<T>, String), Status> {
    let size = match usize::try_from(size) {
        Ok(0) => PAGE_USUAL,
        Ok(size) if size <= PAGE_MAX => size,
        Ok(_) | Err(_) => return Err(Status::invalid_argument("page_size: 1 to 1000")),
    };
    let from: usize = match token {
        "" => 0,
        token => token.parse().map_err(|_| Status::invalid_argument("page_token: not ours"))?,
    };
    let total = all.len();
    let page: Vec<T> = all.into_iter().skip(from).take(size).collect();
    let next = from.saturating_add(page.len());
    let token = if next < total { next.to_string() } else { String::new() };
    Ok((page, token))
}

fn refused(refused: Refused) -> Status {
    match refused {
        Refused::NoSession => Status::not_found(refused.to_string()),
        Refused::Stopped | Refused::Busy => Status::unavailable(refused.to_string()),
        Refused::Full | Refused::ReadOnly => Status::failed_precondition(refused.to_string()),
        Refused::Otherwise
        | Refused::TooMany
        | Refused::Quota
        | Refused::Expired
        | Refused::Gap { .. }
        | Refused::Differs
        | Refused::Stale
        | Refused::TooLong => Status::invalid_argument(refused.to_string()),
    }
}
