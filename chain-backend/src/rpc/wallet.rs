//! Wallets for tests and faucets, by name, as Bitcoin Core's callers expect them. Their money is worth nothing:
//! seeds lie unencrypted beside the blocks.
//!
//! One future owns all wallets ([`Wallets::run`]); calls reach it through a bounded queue. Before each call the
//! wallet is brought to the tip.

mod file;
mod keys;

use super::error::{RpcError, WALLET, WALLET_NOT_FOUND};
use crate::backend::ChainBackend;
use crate::builtin::BuiltinChain;
use crate::sandbox::Sandbox;
use bdk_wallet::KeychainKind;
use bdk_wallet::chain::BlockId;
use bitcoin::{Transaction, Txid};
use file::Seed;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

pub(super) use keys::{Keys, extract, finalize, from_wif};

/// Calls that may wait.
const QUEUE: usize = 64;
/// Wallets that may be loaded at one time.
const LOADED_MAX: usize = 64;
/// The longest name.
const NAME_MAX: usize = 100;

type Work = Box<dyn FnOnce(Result<&mut Loaded, RpcError>) + Send>;

enum Ask {
    Create { name: String, reply: oneshot::Sender<Result<(), RpcError>> },
    Load { name: String, reply: oneshot::Sender<Result<(), RpcError>> },
    Unload { name: String, reply: oneshot::Sender<Result<(), RpcError>> },
    List { reply: oneshot::Sender<Vec<String>> },
    Do { name: Option<String>, work: Work },
}

/// The way to all wallets.
#[derive(Clone, Debug)]
pub(super) struct Wallets {
    asks: mpsc::Sender<Ask>,
}

/// Who owns them.
pub(super) struct Owner {
    chain: BuiltinChain,
    /// Where they are kept; `None` keeps nothing.
    dir: Option<PathBuf>,
    loaded: BTreeMap<String, Loaded>,
    asks: mpsc::Receiver<Ask>,
    now: fn() -> u32,
}

/// A wallet that is loaded.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) name: String,
    pub(super) bdk: bdk_wallet::Wallet,
    pub(super) keys: Keys,
    dir: Option<PathBuf>,
}

impl Wallets {
    /// No wallet is loaded yet.
    pub(super) fn new(
        chain: BuiltinChain,
        dir: Option<PathBuf>,
        now: fn() -> u32,
    ) -> (Self, Owner) {
        let (asks, inbox) = mpsc::channel(QUEUE);
        let owner = Owner { chain, dir, loaded: BTreeMap::new(), asks: inbox, now };
        (Self { asks }, owner)
    }

    async fn ask<T>(&self, ask: impl FnOnce(oneshot::Sender<T>) -> Ask) -> Result<T, RpcError> {
        let stopped = || RpcError::misc("the server stops");
        let (reply, answer) = oneshot::channel();
        self.asks.send(ask(reply)).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())
    }

    /// A new wallet with new keys, loaded.
    pub(super) async fn create(&self, name: String) -> Result<(), RpcError> {
        self.ask(|reply| Ask::Create { name, reply }).await?
    }

    /// Loads one that was kept.
    pub(super) async fn load(&self, name: String) -> Result<(), RpcError> {
        self.ask(|reply| Ask::Load { name, reply }).await?
    }

    pub(super) async fn unload(&self, name: String) -> Result<(), RpcError> {
        self.ask(|reply| Ask::Unload { name, reply }).await?
    }

    /// Those that are loaded.
    pub(super) async fn list(&self) -> Result<Vec<String>, RpcError> {
        self.ask(|reply| Ask::List { reply }).await
    }

    /// Does something with a wallet that is at the tip: the named one, or the only one there is.
    pub(super) async fn with<T: Send + 'static>(
        &self,
        name: Option<&str>,
        work: impl FnOnce(&mut Loaded) -> Result<T, RpcError> + Send + 'static,
    ) -> Result<T, RpcError> {
        let name = name.map(str::to_owned);
        self.ask(|reply| {
            let work: Work = Box::new(move |wallet| {
                // Whoever asked may have gone.
                let _ = reply.send(wallet.and_then(work));
            });
            Ask::Do { name, work }
        })
        .await?
    }
}

impl Owner {
    /// Answers until nobody can ask any more.
    pub(super) async fn run(mut self) {
        while let Some(ask) = self.asks.recv().await {
            match ask {
                Ask::Create { name, reply } => drop(reply.send(self.create(name))),
                Ask::Load { name, reply } => drop(reply.send(self.load(name))),
                Ask::Unload { name, reply } => {
                    let gone = self.loaded.remove(&name).map(drop);
                    drop(reply.send(gone.ok_or_else(not_loaded)));
                }
                Ask::List { reply } => drop(reply.send(self.loaded.keys().cloned().collect())),
                Ask::Do { name, work } => {
                    let (chain, now) = (self.chain.clone(), (self.now)());
                    let wallet = match self.find(name) {
                        Ok(wallet) => wallet.catch_up(&chain, now).await.map(|()| wallet),
                        Err(error) => Err(error),
                    };
                    work(wallet);
                }
            }
        }
    }

    fn find(&mut self, name: Option<String>) -> Result<&mut Loaded, RpcError> {
        match name {
            Some(name) => self.loaded.get_mut(&name).ok_or_else(not_loaded),
            None if self.loaded.len() > 1 => Err(RpcError::new(
                -19,
                "Multiple wallets are loaded. Please select which wallet to use by requesting the RPC through the /wallet/<walletname> URI path.",
            )),
            None => self.loaded.values_mut().next().ok_or_else(|| {
                RpcError::new(
                    WALLET_NOT_FOUND,
                    "No wallet is loaded. Load a wallet using loadwallet or create a new one with createwallet. (Note: A default wallet is no longer automatically created)",
                )
            }),
        }
    }

    fn create(&mut self, name: String) -> Result<(), RpcError> {
        self.check_room(&name)?;
        if self.loaded.contains_key(&name) || file::exists(self.dir.as_deref(), &name) {
            let words = format!(
                "Wallet file verification failed. Failed to create database path '{name}'. Database already exists."
            );
            return Err(RpcError::new(WALLET, words));
        }
        let seed = Seed::fresh().map_err(|error| RpcError::new(WALLET, error.to_string()))?;
        self.add(name, seed)
    }

    fn load(&mut self, name: String) -> Result<(), RpcError> {
        self.check_room(&name)?;
        if self.loaded.contains_key(&name) {
            return Err(RpcError::new(-35, format!("Wallet \"{name}\" is already loaded.")));
        }
        let seed = file::read(self.dir.as_deref(), &name);
        let seed = seed.map_err(|error| RpcError::new(WALLET_NOT_FOUND, format!("Wallet file verification failed. Failed to load database path '{name}'. {error}")))?;
        self.add(name, seed)
    }

    fn add(&mut self, name: String, seed: Seed) -> Result<(), RpcError> {
        let keys = Keys::new(&seed.secret, self.chain.network())
            .ok_or_else(|| RpcError::new(WALLET, "no keys"))?;
        let mut bdk = keys.wallet().map_err(|error| RpcError::new(WALLET, error))?;
        for (keychain, next) in
            [(KeychainKind::External, seed.external), (KeychainKind::Internal, seed.internal)]
        {
            if let Some(last) = next.checked_sub(1) {
                bdk.reveal_addresses_to(keychain, last).for_each(drop);
            }
        }
        let loaded = Loaded { name: name.clone(), bdk, keys, dir: self.dir.clone() };
        loaded.save()?;
        self.loaded.insert(name, loaded);
        Ok(())
    }

    fn check_room(&self, name: &str) -> Result<(), RpcError> {
        if self.loaded.len() >= LOADED_MAX {
            return Err(RpcError::new(WALLET, format!("at most {LOADED_MAX} wallets at one time")));
        }
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ' ');
        // The name is a file's.
        if name.len() > NAME_MAX || !name.chars().all(is_plain) || name.starts_with('.') {
            return Err(RpcError::new(
                WALLET,
                "a name has letters, digits, '-', '_', '.' and ' ' only",
            ));
        }
        Ok(())
    }
}

fn not_loaded() -> RpcError {
    RpcError::new(WALLET_NOT_FOUND, "Requested wallet does not exist or is not loaded")
}

impl Loaded {
    /// Keeps how many addresses were given out.
    pub(super) fn save(&self) -> Result<(), RpcError> {
        let next = |keychain| self.bdk.next_derivation_index(keychain);
        let seed = Seed {
            secret: self.keys.secret(),
            external: next(KeychainKind::External),
            internal: next(KeychainKind::Internal),
        };
        let written = file::write(self.dir.as_deref(), &self.name, &seed);
        written.map_err(|error| {
            RpcError::new(WALLET, format!("the wallet cannot be written: {error}"))
        })
    }

    /// Follows the chain to its tip, and looks at what waits.
    async fn catch_up(&mut self, chain: &BuiltinChain, now: u32) -> Result<(), RpcError> {
        let at = self.bdk.latest_checkpoint();
        let hash = at.hash();
        let standing = chain.ask(move |chain| chain.standing(hash)).await?;
        if standing.is_none_or(|standing| standing.confirmations < 0) {
            // bdk's books know no way back but other blocks; so they are written anew.
            self.begin_anew()?;
        }
        let tip = chain.tip().await?;
        let mut last = self.bdk.latest_checkpoint().block_id();
        while last.height < tip.height {
            let height = last.height.saturating_add(1);
            let at = chain.header_at(height).await?;
            let block = chain.block(at.hash).await?;
            let moved = || RpcError::misc("the chain reorganised meanwhile; call again");
            let connected = self.bdk.apply_block_connected_to(&block, height, last);
            connected.map_err(|_| moved())?;
            last = BlockId { height, hash: at.hash };
        }
        let waiting = chain.mempool().await?;
        let there: BTreeSet<Txid> = waiting.iter().map(|tx| tx.compute_txid()).collect();
        let seen = u64::from(now);
        self.bdk.apply_unconfirmed_txs(waiting.into_iter().map(|tx: Arc<Transaction>| (tx, seen)));
        let gone: Vec<(Txid, u64)> = (self.bdk.transactions())
            .filter(|tx| tx.chain_position.is_unconfirmed())
            .map(|tx| (tx.tx_node.txid, seen))
            .filter(|(txid, _)| !there.contains(txid))
            .collect();
        self.bdk.apply_evicted_txs(gone);
        // Nothing of it is kept: it is all on the chain.
        let _ = self.bdk.take_staged();
        Ok(())
    }

    fn begin_anew(&mut self) -> Result<(), RpcError> {
        let locked: Vec<_> = self.bdk.list_locked_outpoints().collect();
        let mut fresh = self.keys.wallet().map_err(|error| RpcError::new(WALLET, error))?;
        for keychain in [KeychainKind::External, KeychainKind::Internal] {
            if let Some(last) = self.bdk.derivation_index(keychain) {
                fresh.reveal_addresses_to(keychain, last).for_each(drop);
            }
        }
        locked.into_iter().for_each(|outpoint| fresh.lock_outpoint(outpoint));
        self.bdk = fresh;
        Ok(())
    }
}
