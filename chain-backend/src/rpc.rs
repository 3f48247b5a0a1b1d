//! Bitcoin Core's JSON-RPC over the built-in chain, so that other programs take it for a node of Bitcoin's.
//!
//! The methods are those that Lightning nodes, wallets and their test suites call, with Core's names, fields,
//! codes and words. Not here: the rules (`builtin`), our own gRPC (`server`).

mod access;
mod error;
mod http;
mod methods;
mod money;
mod request;
mod show;
#[cfg(test)]
pub(crate) mod tests;
mod wallet;

use crate::builtin::BuiltinChain;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Notify, Semaphore};

pub(crate) use access::basic;
pub use access::{Access, COOKIE_FILE};
pub use error::RpcError;
pub(crate) use methods::{refusal, submit_package, tested};
pub(crate) use money::read_amount;

/// Where regtest's callers look.
pub const PORT: u16 = 18_443;

/// Calls that are worked on at one time, and as many again that wait for a block; others wait.
const TURNS: usize = 64;

/// How long a wrong password takes.
const GUESS_DELAY: Duration = Duration::from_millis(250);

/// What a call answers: JSON as text, because amounts are written in a form of their own.
type Answer = Result<Box<RawValue>, RpcError>;

/// How the server runs.
#[derive(Debug)]
pub struct Settings {
    /// Who may call.
    pub access: Access,
    /// Where wallets are kept; `None` keeps nothing.
    pub wallets: Option<PathBuf>,
    /// The clock, Unix seconds.
    pub now: fn() -> u32,
}

/// What all calls share.
#[derive(Clone, Debug)]
struct Node {
    chain: BuiltinChain,
    access: Arc<Access>,
    turns: Arc<Semaphore>,
    waits: Arc<Semaphore>,
    /// Somebody called `stop`.
    stop: Arc<Notify>,
    wallets: wallet::Wallets,
    now: fn() -> u32,
    started: u32,
}

/// Serves `chain` until `stop`, or until a caller says `stop`.
///
/// # Errors
/// When the socket fails.
pub async fn serve(
    chain: BuiltinChain,
    listener: TcpListener,
    settings: Settings,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let Settings { access, wallets, now } = settings;
    let (wallets, owner) = wallet::Wallets::new(chain.clone(), wallets, now);
    let node = Node {
        wallets,
        chain,
        access: Arc::new(access),
        turns: Arc::new(Semaphore::new(TURNS)),
        waits: Arc::new(Semaphore::new(TURNS)),
        stop: Arc::new(Notify::new()),
        now,
        started: now(),
    };
    let (asked, access) = (Arc::clone(&node.stop), Arc::clone(&node.access));
    let until = async move {
        tokio::select! {
            () = stop => {}
            () = asked.notified() => {}
        }
    };
    let server = axum::serve(listener, http::router(node)).with_graceful_shutdown(until);
    // The wallets' owner ends when the last call has gone.
    let (ended, ()) = tokio::join!(server, owner.run());
    access.withdraw();
    ended
}

/// Anything as an answer.
fn answer<T: Serialize + ?Sized>(value: &T) -> Answer {
    to_raw_value(value).map_err(|error| RpcError::misc(error.to_string()))
}
