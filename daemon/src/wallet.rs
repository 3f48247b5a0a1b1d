//! The coins on Layer 1: a state machine over `bdk_wallet`, without tasks, clock or random numbers.
//!
//! Every mutation yields a [`WalletFact`]: bytes to put in the journal record of its cause. The
//! wallet after a restart is the fold over those ([`Replay`]). What a mutation returns (an address,
//! a signed transaction) must not leave the node before its fact is durable.
//!
//! Not here: when to broadcast, whom to tell (`crate::chain`, `crate::channels`).

mod book;
mod bump;
mod child;
mod coins;
mod follow;
mod keys;
mod record;
mod spend;
mod view;

#[cfg(test)]
mod tests;

use core::fmt;

use bdk_wallet::chain::local_chain;
use bdk_wallet::chain::{BlockId, Indexer as _};
use bdk_wallet::{ChangeSet, KeychainKind, Update};
use bitcoin::{Address, BlockHash, Network, ScriptBuf, Transaction, Txid};
use chain_backend::backend::BlockRef;

use crate::rpc::model::UnixMillis;
use crate::rpc::model::wallet::AddressKind;

use book::{Book, BookChange};
use record::Fact;

pub use book::{Label, Promise, PromiseId};
pub use bump::{DRILL, Raised};
pub use coins::Picked;
pub use keys::{NoWalletKey, WalletKeys};
pub use record::RecordError;
pub use spend::{FundedTx, Spend, WalletRefusal};
pub use view::anchor_reserve;

/// Blocks whose hashes stay in a snapshot below the tip; a deeper reorganisation still works, it
/// only makes the wallet look further back.
const BLOCKS_KEPT: u32 = 288;

/// What changed in the wallet, as bytes for the journal. Opaque outside this module.
#[derive(Clone, PartialEq, Eq)]
#[must_use = "a wallet fact that is not in the journal is forgotten at the next restart"]
pub struct WalletFact(Vec<u8>);

impl WalletFact {
    /// Takes bytes back from the journal; they are read by [`Replay::apply`].
    pub const fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The bytes for the journal.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether nothing changed, so that it need not be kept: version and time are all there is.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.len() <= 9
    }

    /// The bytes for the journal.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

impl fmt::Debug for WalletFact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WalletFact({} bytes)", self.0.len())
    }
}

/// Why the wallet cannot go on. The node must stop.
#[derive(Debug, thiserror::Error)]
pub enum WalletFault {
    /// The facts are of another seed, or of another network.
    #[error("the wallet on disk belongs to another seed or another network")]
    WrongSeed,
    /// A fact does not decode.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// A block came that does not stand on the last one.
    #[error("block {height} does not connect to the wallet's chain")]
    DoesNotConnect {
        /// Its height.
        height: u32,
    },
    /// The facts do not make a wallet (no genesis block, say).
    #[error("the wallet on disk is not complete")]
    Incomplete,
}

/// The wallet.
pub struct Wallet {
    bdk: bdk_wallet::Wallet,
    keys: WalletKeys,
    book: Book,
}

impl fmt::Debug for Wallet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wallet")
            .field("tip", &self.bdk.latest_checkpoint().block_id())
            .finish_non_exhaustive()
    }
}

/// The fold over facts that becomes a wallet.
#[derive(Debug, Default)]
pub struct Replay {
    changes: ChangeSet,
    book: Book,
    owner: Option<[u8; 4]>,
}

impl Replay {
    /// Takes the next fact, or a snapshot (which comes first).
    ///
    /// # Errors
    /// [`RecordError`] when the bytes do not decode.
    pub fn apply(&mut self, fact: &[u8]) -> Result<(), RecordError> {
        if fact.is_empty() {
            return Ok(());
        }
        let fact = Fact::decode(fact)?;
        self.owner = fact.owner.or(self.owner);
        self.book.apply(&fact);
        bdk_wallet::chain::Merge::merge(&mut self.changes, fact.changes);
        Ok(())
    }

    /// All that is replayed so far as one fact, to start a journal with; empty without any.
    #[must_use]
    pub fn snapshot(&self) -> Vec<u8> {
        let Some(owner) = self.owner else { return Vec::new() };
        let mut changes = self.changes.clone();
        trim(&mut changes);
        self.book.snapshot(changes, owner).encode()
    }

    /// Whether there was any fact: if not, the wallet has to be created.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.owner.is_none()
    }

    /// Makes the wallet.
    ///
    /// # Errors
    /// [`WalletFault::WrongSeed`], [`WalletFault::Incomplete`].
    pub fn finish(self, keys: WalletKeys) -> Result<Wallet, WalletFault> {
        if self.owner.is_some_and(|owner| owner != keys.owner()) {
            return Err(WalletFault::WrongSeed);
        }
        let bdk = load(&keys, self.changes)?;
        Ok(Wallet { bdk, keys, book: self.book })
    }
}

/// Leaves out blocks far below the tip in which nothing of ours is.
fn trim(changes: &mut ChangeSet) {
    let blocks = &mut changes.local_chain.blocks;
    blocks.retain(|_, hash| hash.is_some());
    let tip = blocks.last_key_value().map_or(0, |(height, _)| *height);
    let anchored: std::collections::BTreeSet<u32> =
        changes.tx_graph.anchors.iter().map(|(anchor, _)| anchor.block_id.height).collect();
    let floor = tip.saturating_sub(BLOCKS_KEPT);
    blocks.retain(|height, _| *height == 0 || *height >= floor || anchored.contains(height));
}

/// Makes bdk's wallet out of the sum of its changes.
fn load(keys: &WalletKeys, mut changes: ChangeSet) -> Result<bdk_wallet::Wallet, WalletFault> {
    changes.network = Some(keys.network());
    changes.descriptor = Some(keys.taproot().clone());
    changes.change_descriptor = Some(keys.witness().clone());
    bdk_wallet::Wallet::load()
        .check_network(keys.network())
        .load_wallet_no_persist(changes)
        .map_err(|_| WalletFault::WrongSeed)?
        .ok_or(WalletFault::Incomplete)
}

impl Wallet {
    /// A new wallet, at the genesis block.
    ///
    /// # Errors
    /// [`WalletFault::WrongSeed`] for keys that are none.
    pub fn create(keys: WalletKeys, now: UnixMillis) -> Result<(Self, WalletFact), WalletFault> {
        let bdk = bdk_wallet::Wallet::create(keys.taproot().clone(), keys.witness().clone())
            .network(keys.network())
            .create_wallet_no_persist()
            .map_err(|_| WalletFault::WrongSeed)?;
        let mut wallet = Self { bdk, keys, book: Book::default() };
        let mut fact = wallet.take_fact(now, Vec::new());
        fact.owner = Some(wallet.keys.owner());
        let bytes = WalletFact(fact.encode());
        Ok((wallet, bytes))
    }

    /// Leaves out what comes before a block: the first coin can come behind it. Nothing for a block that is not above
    /// the wallet's tip.
    ///
    /// # Errors
    /// [`WalletFault::DoesNotConnect`] when bdk knows better.
    pub fn begin_at(
        &mut self,
        block: BlockRef,
        now: UnixMillis,
    ) -> Result<WalletFact, WalletFault> {
        self.skip_to(block)?;
        Ok(self.fact(now, Vec::new()))
    }

    fn skip_to(&mut self, block: BlockRef) -> Result<(), WalletFault> {
        let height = block.height;
        let block = BlockId { height, hash: block.hash };
        let tip = self.bdk.latest_checkpoint();
        if height <= tip.height() {
            return Ok(());
        }
        let chain = tip.push(block).map_err(|_| WalletFault::DoesNotConnect { height })?;
        self.bdk
            .apply_update(Update { chain: Some(chain), ..Update::default() })
            .map_err(|_| WalletFault::DoesNotConnect { height })
    }

    /// A fresh address, never handed out before.
    pub fn address(&mut self, kind: AddressKind, now: UnixMillis) -> (Address, WalletFact) {
        let keychain = match kind {
            AddressKind::Taproot => KeychainKind::External,
            AddressKind::WitnessKey => KeychainKind::Internal,
        };
        let address = self.bdk.reveal_next_address(keychain).address;
        (address, self.fact(now, Vec::new()))
    }

    /// A fresh script to sweep to or to close a channel to: P2WPKH, which every peer accepts in
    /// `shutdown` (BOLT 2; taproot needs `option_shutdown_anysegwit`).
    pub fn destination(&mut self, now: UnixMillis) -> (ScriptBuf, WalletFact) {
        let (address, fact) = self.address(AddressKind::WitnessKey, now);
        (address.script_pubkey(), fact)
    }

    /// Gives promised coins back: the transaction will never be broadcast. Unknown: nothing happens.
    pub fn release(&mut self, promise: PromiseId, now: UnixMillis) -> WalletFact {
        self.fact(now, vec![BookChange::Released(promise)])
    }

    /// The promised transaction is about to be broadcast: from now on it counts as ours and is handed
    /// in again until a block has it ([`Self::pending`]). Unknown: nothing happens.
    pub fn broadcast(&mut self, promise: PromiseId, label: Label, now: UnixMillis) -> WalletFact {
        let Some(tx) = self.book.promise(promise).map(|promise| promise.tx.clone()) else {
            return self.fact(now, Vec::new());
        };
        let txid = tx.compute_txid();
        self.bdk.apply_unconfirmed_txs([(tx, now.0)]);
        self.fact(now, vec![BookChange::Released(promise), BookChange::Noted(txid, label)])
    }

    /// Says what a transaction was for (a close or a sweep, made elsewhere).
    pub fn note(&mut self, txid: Txid, label: Label, now: UnixMillis) -> WalletFact {
        self.fact(now, vec![BookChange::Noted(txid, label)])
    }

    /// The promises that stand, in order of id. After a restart those of no living channel are to be
    /// released.
    pub fn promises(&self) -> impl Iterator<Item = &Promise> {
        self.book.promises()
    }

    /// Transactions that spend our coins and are in no block, parents first: to hand in again at
    /// every block and after every reconnection with the chain.
    #[must_use]
    pub fn pending(&self) -> Vec<Transaction> {
        self.bdk
            .transactions_sort_by(|a, b| {
                self.book.index(a.tx_node.txid).cmp(&self.book.index(b.tx_node.txid))
            })
            .into_iter()
            .filter(|tx| tx.chain_position.is_unconfirmed())
            .filter(|tx| self.spends_our_coins(tx.tx_node.txid))
            .map(|tx| tx.tx_node.tx.as_ref().clone())
            .collect()
    }

    /// The end of the chain as the wallet knows it.
    #[must_use]
    pub fn tip(&self) -> (u32, BlockHash) {
        let tip = self.bdk.latest_checkpoint();
        (tip.height(), tip.hash())
    }

    /// The network it lives on.
    #[must_use]
    pub const fn network(&self) -> Network {
        self.keys.network()
    }

    /// The whole state as one fact, to start a journal with.
    #[must_use]
    pub fn snapshot(&self) -> Vec<u8> {
        let mut changes = self.sum();
        trim(&mut changes);
        self.book.snapshot(changes, self.keys.owner()).encode()
    }

    /// The sum of all changes of bdk's wallet, descriptors aside.
    fn sum(&self) -> ChangeSet {
        let chain: local_chain::ChangeSet = self.bdk.local_chain().initial_changeset();
        ChangeSet {
            local_chain: chain,
            tx_graph: self.bdk.tx_graph().initial_changeset(),
            indexer: self.bdk.spk_index().initial_changeset(),
            ..ChangeSet::default()
        }
    }

    /// Change of promised transactions is spoken for, though no block or mempool shows it yet.
    fn mark_promised_change(&mut self) {
        let scripts: Vec<ScriptBuf> = self
            .book
            .promises()
            .flat_map(|promise| promise.tx.output.iter().map(|out| out.script_pubkey.clone()))
            .collect();
        for script in scripts {
            if let Some((keychain, index)) = self.bdk.derivation_of_spk(script) {
                self.bdk.mark_used(keychain, index);
            }
        }
    }

    fn take_fact(&mut self, at: UnixMillis, book: Vec<BookChange>) -> Fact {
        let mut changes = self.book.take_carried();
        if let Some(staged) = self.bdk.take_staged() {
            bdk_wallet::chain::Merge::merge(&mut changes, staged);
        }
        changes.descriptor = None;
        changes.change_descriptor = None;
        changes.network = None;
        let fact = Fact { at, owner: None, changes, book };
        // The same function folds facts now and after a restart.
        self.book.apply(&fact);
        fact
    }

    /// Empty if nothing changed: most transactions of a chain are not ours.
    fn fact(&mut self, at: UnixMillis, book: Vec<BookChange>) -> WalletFact {
        let fact = self.take_fact(at, book);
        if bdk_wallet::chain::Merge::is_empty(&fact.changes) && fact.book.is_empty() {
            return WalletFact(Vec::new());
        }
        WalletFact(fact.encode())
    }
}
