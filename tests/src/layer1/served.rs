//! A chain served by Bitcoin Core's JSON-RPC and by Esplora's REST in this process, on a thread of its own: nodes of one
//! test may have a runtime each.

use super::unix_now;
use crate::until::PATIENCE;
use chain_backend::bitcoind::Login;
use chain_backend::rpc::{self, Access, Settings};
use chain_backend::{BitcoindSettings, BuiltinChain, rest};
use std::net::SocketAddr;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::oneshot;

/// Who may call.
pub const USER: &str = "viaduct";
/// With which password.
pub const PASSWORD: &str = "secret";

/// How often nodes of tests ask for news.
pub const POLL: Duration = Duration::from_millis(10);

/// A chain and its server.
#[derive(Debug)]
pub struct Served {
    chain: BuiltinChain,
    at: SocketAddr,
    esplora: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Served {
    /// Serves a chain on any free port.
    ///
    /// # Panics
    /// When the system gives no thread or no port.
    pub fn start(chain: BuiltinChain) -> Self {
        let ((listener, at), (other, esplora)) = (bound(), bound());
        let (stop, stopped) = oneshot::channel::<()>();
        let served = chain.clone();
        let serve = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.expect("a runtime");
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
                let access = Access::user(USER, PASSWORD);
                let settings = Settings { access, wallets: None, now: unix_now };
                let other = tokio::net::TcpListener::from_std(other).expect("a listener");
                let chain = served.clone();
                tokio::select! {
                    ended = rpc::serve(chain, listener, settings, std::future::pending()) => {
                        ended.expect("it serves");
                    }
                    ended = rest::serve(served, other, std::future::pending()) => {
                        ended.expect("it serves");
                    }
                    _ = stopped => {}
                }
            });
            // Whoever is connected is cut off.
            runtime.shutdown_background();
        };
        let thread = std::thread::Builder::new().name("rpc".to_owned()).spawn(serve);
        Self { chain, at, esplora, stop: Some(stop), thread: Some(thread.expect("a thread")) }
    }

    /// The chain itself.
    pub const fn chain(&self) -> &BuiltinChain {
        &self.chain
    }

    /// Where Esplora's REST is served.
    pub const fn esplora(&self) -> SocketAddr {
        self.esplora
    }

    /// Where the JSON-RPC is served.
    pub const fn at(&self) -> SocketAddr {
        self.at
    }

    /// How to reach it.
    pub fn settings(&self) -> BitcoindSettings {
        settings_at(self.at)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
    }
}

fn bound() -> (std::net::TcpListener, SocketAddr) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let at = listener.local_addr().expect("it is bound");
    listener.set_nonblocking(true).expect("a socket");
    (listener, at)
}

/// How to reach a server of ours at this place, or what stands before it.
pub fn settings_at(at: SocketAddr) -> BitcoindSettings {
    let (user, password) = (USER.to_owned(), PASSWORD.to_owned());
    BitcoindSettings {
        url: format!("http://{at}"),
        login: Login::User { user, password },
        network: bitcoin::Network::Regtest,
        poll: POLL,
        patience: PATIENCE,
    }
}
