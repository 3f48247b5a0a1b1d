//! A whole tower: opened, watching, listening, until it is told to stop.
//!
//! The same in a program of its own and inside `viaductd`: whoever starts it gives the chain.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::store::disk::RealDisk;
use api::auth::RootKey;
use bitcoin::constants::genesis_block;
use bitcoin::hashes::Hash as _;
use bitcoin::hex::{DisplayHex as _, FromHex as _};
use chain_backend::ChainBackend;
use secp256k1::{PublicKey, SECP256K1, SecretKey};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admin::{self, Admin, AdminError};
use crate::ingest::{self, Guests, Reception};
use crate::purse::{Purse, PurseError};
use crate::settings::Settings;
use crate::store::{self, DiskKey, Disks, Keeper, OpenError, Options, Report};
use crate::watch::{Beginning, View, place, watcher};

/// Why a tower does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A file or directory.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A key file that holds no key.
    #[error("{}: not a key", path.display())]
    Key {
        /// Which.
        path: PathBuf,
    },
    /// A port cannot be had.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The data.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The administration.
    #[error(transparent)]
    Admin(#[from] AdminError),
    /// The tower's own wallet.
    #[error(transparent)]
    Purse(#[from] PurseError),
    /// No chain was given.
    #[error("a tower needs a chain to watch")]
    NoChain,
    /// No random numbers.
    #[error("the system gives no random numbers")]
    Entropy,
}

/// A tower that runs.
#[derive(Debug)]
pub struct Running {
    /// Its public key.
    pub key: PublicKey,
    /// Where clients are heard.
    pub listen: Option<SocketAddr>,
    /// Where the administration is.
    pub admin: Option<SocketAddr>,
    /// Where metrics are.
    pub metrics: Option<SocketAddr>,
    /// What opening its data found.
    pub report: Report,
    /// Its keeper.
    pub keeper: Keeper,
    /// How the watching stands.
    pub view: View,
    stop: CancellationToken,
    tasks: TaskTracker,
    thread: std::thread::JoinHandle<()>,
}

/// Starts a tower that looks at these chains, the best first. `now_ms` is the time in milliseconds since 1970.
///
/// # Errors
/// [`StartError`]; nothing is left running.
pub async fn start(
    settings: &Settings,
    backends: Vec<Arc<dyn ChainBackend>>,
    now_ms: fn() -> u64,
) -> Result<Running, StartError> {
    let dir = &settings.dir;
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| StartError::File { path, source }
    };
    fs::create_dir_all(dir).map_err(failed(dir))?;
    let key_path = dir.join("tower.key");
    let secret = secret_file(&key_path)?;
    let secret = SecretKey::from_slice(&secret).map_err(|_| StartError::Key { path: key_path })?;
    let seed = secret_file(&dir.join("wallet.seed"))?;
    let purse = Purse::open(&seed, settings.network, Some(dir.join("wallet.json")), now_ms)?;
    let root = RootKey::from_bytes(secret_file(&dir.join("macaroon.key"))?);
    let key = PublicKey::from_secret_key(SECP256K1, &secret);

    let listener = match settings.listen {
        Some(address) => Some(bind(address).await?),
        None => None,
    };
    let metrics = match settings.metrics {
        Some(address) => Some(bind(address).await?),
        None => None,
    };
    let address_of = |listener: &Option<TcpListener>| {
        listener.as_ref().and_then(|listener| listener.local_addr().ok())
    };
    let (listen, metrics_at) = (address_of(&listener), address_of(&metrics));

    let disk = |name: &str| {
        let path = dir.join(name);
        RealDisk::open(&path).map_err(failed(&path))
    };
    let disks = Disks { journal: disk("journal")?, records: disk("records")? };
    let mut salt = [0; 8];
    getrandom::fill(&mut salt).map_err(|_| StartError::Entropy)?;
    let options = Options {
        ring_blocks: settings.ring_blocks,
        limits: settings.limits(),
        ..Options::new(u64::from_le_bytes(salt))
    };
    let opened = tokio::task::spawn_blocking(move || store::open(disks, options));
    let opened = opened.await.map_err(|_| StartError::Entropy)??;
    let chains = backends.clone();
    let beginning = Beginning {
        keeper: opened.keeper.clone(),
        bell: opened.bell,
        backends,
        book: opened.state.book.clone(),
        cursor: opened.state.cursor().cloned(),
        disk_key: DiskKey::of(&secret),
        purse: Some(purse),
        spending: settings.spending,
    };
    tracing::info!("opened: {}", opened.report);
    let (watching, view) = watcher(beginning).ok_or(StartError::NoChain)?;
    let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
    tasks.spawn(watching.run(stop.clone()));
    let ring_blocks = settings.ring_blocks.max(store::RING_BLOCKS_MIN);
    let (name, seen) = (place::name_of(&key), view.watching.clone());
    tasks.spawn(place::tell(chains, name, ring_blocks, seen, stop.clone()));
    let (guests, guests_seen) = watch::channel(Guests::default());
    if let Some(listener) = listener {
        let reception = Reception {
            key: secret,
            chain_hash: genesis_block(settings.network).block_hash().to_byte_array(),
            keeper: opened.keeper.clone(),
            view: view.clone(),
            offered: settings.offered,
            bounds: settings.bounds.clone(),
            clock: now_ms,
        };
        tasks.spawn(ingest::serve(reception, listener, guests, stop.clone()));
    }
    let about = Admin {
        key,
        network: settings.network,
        listen,
        keeper: opened.keeper.clone(),
        view: view.clone(),
        guests: guests_seen,
        now_ms,
    };
    if let Some(listener) = metrics {
        tasks.spawn(admin::metrics::serve(about.clone(), listener, stop.clone()));
    }
    let admin_at = match settings.admin {
        Some(address) => {
            let bound = admin::bind(address, dir, &root, &settings.tls_names, now_ms).await?;
            let at = bound.address();
            let stop = stop.clone();
            tasks.spawn(async move {
                if let Err(error) = bound.serve(about, root, stop).await {
                    tracing::error!(%error, "the administration is not served any more");
                }
            });
            at
        }
        None => None,
    };
    tasks.close();
    Ok(Running {
        key,
        listen,
        admin: admin_at,
        metrics: metrics_at,
        report: opened.report,
        keeper: opened.keeper,
        view,
        stop,
        tasks,
        thread: opened.thread,
    })
}

impl Running {
    /// Stops in order: nobody is heard any more, then the journal is closed.
    pub async fn stop(self) {
        let Self { keeper, view, stop, tasks, thread, .. } = self;
        stop.cancel();
        tasks.wait().await;
        drop((keeper, view));
        let joined = tokio::task::spawn_blocking(move || thread.join()).await;
        if !matches!(joined, Ok(Ok(()))) {
            tracing::error!("the tower's keeper panicked");
        }
    }
}

async fn bind(address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|source| StartError::Listen { address, source })
}

/// 32 secret bytes as hex in a file, made if there is none. Readable by its owner from its first byte.
fn secret_file(path: &Path) -> Result<[u8; 32], StartError> {
    let failed = |source| StartError::File { path: path.to_owned(), source };
    match fs::read_to_string(path) {
        Ok(text) => {
            <[u8; 32]>::from_hex(text.trim()).map_err(|_| StartError::Key { path: path.to_owned() })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mut secret = [0; 32];
            loop {
                getrandom::fill(&mut secret).map_err(|_| StartError::Entropy)?;
                // All but one in 2^127 draws are keys.
                if SecretKey::from_slice(&secret).is_ok() {
                    break;
                }
            }
            // Clients know the tower by it: it must be there after a power cut, too.
            let text = format!("{}\n", secret.as_hex());
            ::store::disk::put_at(path, text.as_bytes()).map_err(failed)?;
            Ok(secret)
        }
        Err(error) => Err(failed(error)),
    }
}
