//! The tower's own coins: what it adds to justice that its client signed for too little.
//!
//! A wallet of its own seed, P2WPKH throughout (BIP 84), on bdk. Until the first address is given out it costs
//! nothing; from then on it follows every block that the tower looks at. What it has learnt lies in one file
//! beside the journal. No claim hangs on that file: which coin goes with which justice is in the journal
//! (`respond::fact`), and the file can be made again from the seed and the chain.
//!
//! Not here: what justice needs (`respond::topup`), who asks (`watch`, `admin`).

mod follow;
mod kept;
mod keys;
mod spend;

use std::collections::BTreeSet;
use std::path::PathBuf;

use bdk_wallet::KeychainKind;
use bdk_wallet::LocalOutput;
use bdk_wallet::chain::{BlockId, ChainPosition, ConfirmationBlockTime};
use bitcoin::address::NetworkUnchecked;
use bitcoin::constants::COINBASE_MATURITY;
use bitcoin::{Address, Amount, Network, OutPoint, ScriptBuf, Transaction, Txid};

pub use keys::Keys;
pub use spend::SendRefusal;

use crate::respond::topup::Coin;
use crate::watch::PurseRefusal;

/// Why the wallet is of no use.
#[derive(Debug, thiserror::Error)]
pub enum PurseError {
    /// Its file.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// What lies in the file is no wallet, or that of another seed or network.
    #[error("{}: not a wallet of this seed and network", path.display())]
    Foreign {
        /// Which.
        path: PathBuf,
    },
    /// A seed that makes no keys. Astronomically unlikely (BIP 32).
    #[error("this seed derives no valid wallet key")]
    Keys,
    /// A block that stands on none that is known.
    #[error("block {height} does not connect to the wallet's chain")]
    DoesNotConnect {
        /// Its height.
        height: u32,
    },
}

/// What it holds, in satoshis.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Balance {
    /// In blocks, and free.
    pub confirmed: Amount,
    /// On its way, or too young to be spent.
    pub pending: Amount,
    /// In blocks, and promised to justice that is under way.
    pub promised: Amount,
}

/// The wallet.
pub struct Purse {
    keys: Keys,
    bdk: bdk_wallet::Wallet,
    file: kept::File,
    /// Milliseconds since 1970.
    now_ms: fn() -> u64,
    /// Blocks above this one never happened.
    fork: Option<BlockId>,
    /// The height of the last writing.
    written_at: u32,
}

impl std::fmt::Debug for Purse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Purse")
            .field("tip", &self.bdk.latest_checkpoint().block_id())
            .finish_non_exhaustive()
    }
}

impl Purse {
    /// The wallet of this seed as `path` has it; without a file or a path it begins empty.
    ///
    /// # Errors
    /// [`PurseError`].
    pub fn open(
        seed: &[u8; 32],
        network: Network,
        path: Option<PathBuf>,
        now_ms: fn() -> u64,
    ) -> Result<Self, PurseError> {
        let keys = Keys::new(seed, network).ok_or(PurseError::Keys)?;
        let (file, bdk) = kept::open(path, &keys)?;
        let written_at = bdk.latest_checkpoint().height();
        Ok(Self { keys, bdk, file, now_ms, fork: None, written_at })
    }

    /// Whether an address was ever given out: before that nothing can come.
    pub fn is_used(&self) -> bool {
        self.bdk.derivation_index(KeychainKind::External).is_some()
    }

    /// A new address. The disk knows of it when this returns. `tip` is where the tower is, `key` that of the
    /// request.
    ///
    /// # Errors
    /// [`PurseError`].
    pub fn address(&mut self, tip: Option<BlockId>, key: &str) -> Result<Address, PurseError> {
        if !self.is_used() {
            self.begin(tip)?;
        }
        let address = self.bdk.reveal_next_address(KeychainKind::External).address;
        self.file.done(key, "address", &address.to_string());
        self.keep()?;
        Ok(address)
    }

    /// What was answered to the request of this key; `None` if there was none yet.
    ///
    /// # Errors
    /// [`PurseRefusal::Key`] if it was for something else.
    pub fn done(&self, key: &str, what: &str) -> Result<Option<String>, PurseRefusal> {
        match self.file.find(key) {
            Some(done) if done.what == what => Ok(Some(done.answer.clone())),
            Some(_) => Err(PurseRefusal::Key),
            None => Ok(None),
        }
    }

    /// An address of this network that was answered before.
    ///
    /// # Errors
    /// [`PurseRefusal::Key`].
    pub fn parse(&self, address: &str) -> Result<Address, PurseRefusal> {
        let address: Address<NetworkUnchecked> = address.parse().map_err(|_| PurseRefusal::Key)?;
        address.require_network(self.keys.network()).map_err(|_| PurseRefusal::Key)
    }

    /// Where change goes. The disk knows of it when this returns.
    ///
    /// # Errors
    /// [`PurseError`].
    pub fn change(&mut self) -> Result<ScriptBuf, PurseError> {
        let script = self.bdk.next_unused_address(KeychainKind::Internal).address.script_pubkey();
        self.keep_if_new()?;
        Ok(script)
    }

    /// Coins that can be spent now, without those of `promised`.
    pub fn coins(&self, promised: &[OutPoint]) -> Vec<Coin> {
        let coins = self.bdk.list_unspent().filter(|coin| self.is_ripe(coin));
        coins.filter(|coin| !promised.contains(&coin.outpoint)).map(coin).collect()
    }

    /// What it holds, when those coins are promised. What comes back of them is counted when a block has it.
    pub fn balance(&self, promised: &[OutPoint]) -> Balance {
        let promised: BTreeSet<&OutPoint> = promised.iter().collect();
        let graph = self.bdk.tx_graph();
        let comes_back = |coin: &LocalOutput| {
            let made = graph.get_tx(coin.outpoint.txid);
            made.is_some_and(|tx| tx.input.iter().any(|i| promised.contains(&i.previous_output)))
        };
        let plus = |sum: Amount, more: Amount| sum.checked_add(more).unwrap_or(Amount::MAX_MONEY);
        let mut balance = Balance::default();
        for coin in self.bdk.list_unspent() {
            let value = coin.txout.value;
            if promised.contains(&coin.outpoint) {
                continue;
            }
            if self.is_ripe(&coin) {
                balance.confirmed = plus(balance.confirmed, value);
            } else if !comes_back(&coin) {
                balance.pending = plus(balance.pending, value);
            }
        }
        // A mempool that shows the justice has them spent, and may forget it.
        for txout in promised.iter().filter_map(|outpoint| graph.get_txout(**outpoint)) {
            balance.promised = plus(balance.promised, txout.value);
        }
        balance
    }

    /// Whether a block has another transaction than `by` that spends the coin.
    pub fn is_gone(&self, coin: &OutPoint, by: Txid) -> bool {
        self.bdk.tx_graph().outspends(*coin).iter().any(|spender| {
            *spender != by
                && self.bdk.get_tx(*spender).is_some_and(|tx| {
                    height(&tx.chain_position).is_some_and(|height| self.stands(height))
                })
        })
    }

    /// Signs the input at `place` of `tx`, which spends `coin`; `false` if it is not one of ours.
    pub fn sign(&self, tx: &mut Transaction, place: usize, coin: &Coin) -> bool {
        let known = self.bdk.derivation_of_spk(coin.script_pubkey.clone());
        let Some((keychain, index)) = known else { return false };
        self.keys.sign(tx, place, coin, (keychain, index)).is_some()
    }

    /// Pays `amount`, or all there is, to `script` at a price per 1,000 weight units. The disk knows of the
    /// transaction when this returns, and of the request's key.
    ///
    /// # Errors
    /// [`SendRefusal`]; nothing changed then.
    pub fn send(
        &mut self,
        script: &ScriptBuf,
        amount: Option<Amount>,
        per_kw: u64,
        promised: &[OutPoint],
        (key, what): (&str, &str),
    ) -> Result<Transaction, SendRefusal> {
        let coins = self.coins(promised);
        let change = self.change()?;
        let (mut tx, spent) = spend::build(coins, script, amount, per_kw, &change)?;
        for (place, coin) in spent.iter().enumerate() {
            if !self.sign(&mut tx, place, coin) {
                return Err(SendRefusal::CannotSign);
            }
        }
        self.bdk.apply_unconfirmed_txs([(tx.clone(), self.now())]);
        self.file.done(key, what, &tx.compute_txid().to_string());
        self.keep()?;
        Ok(tx)
    }

    /// Transactions that spend our coins and are in no block.
    pub fn waiting(&self) -> Vec<Transaction> {
        let waiting = self.bdk.transactions().filter(|tx| tx.chain_position.is_unconfirmed());
        let ours = waiting.filter(|tx| self.spends_ours(&tx.tx_node.tx));
        ours.map(|tx| tx.tx_node.tx.as_ref().clone()).collect()
    }

    /// Those of them that spend others' coins beside ours: justice.
    pub fn beside_others(&self) -> Vec<Txid> {
        let graph = self.bdk.tx_graph();
        let ours = |coin: &OutPoint| {
            let spent = graph.get_txout(*coin);
            spent.is_some_and(|spent| self.bdk.is_mine(spent.script_pubkey.clone()))
        };
        let waiting = self.waiting().into_iter();
        let mixed = waiting.filter(|tx| tx.input.iter().any(|i| !ours(&i.previous_output)));
        mixed.map(|tx| tx.compute_txid()).collect()
    }

    fn spends_ours(&self, tx: &Transaction) -> bool {
        self.bdk.sent_and_received(tx).0 > Amount::ZERO
    }

    fn now(&self) -> u64 {
        (self.now_ms)().div_euclid(1_000)
    }

    /// In a block that stands, and old enough.
    fn is_ripe(&self, coin: &LocalOutput) -> bool {
        let found = height(&coin.chain_position);
        let Some(height) = found.filter(|height| self.stands(*height)) else { return false };
        let tip = self.bdk.latest_checkpoint().height();
        let depth = tip.saturating_sub(height).saturating_add(1);
        let made = self.bdk.get_tx(coin.outpoint.txid);
        made.is_some_and(|made| !made.tx_node.tx.is_coinbase() || depth >= COINBASE_MATURITY)
    }

    fn stands(&self, height: u32) -> bool {
        self.fork.is_none_or(|fork| height <= fork.height)
    }
}

/// The block that has it.
fn height(position: &ChainPosition<ConfirmationBlockTime>) -> Option<u32> {
    match position {
        ChainPosition::Confirmed { anchor, .. } => Some(anchor.block_id.height),
        ChainPosition::Unconfirmed { .. } => None,
    }
}

fn coin(output: LocalOutput) -> Coin {
    Coin {
        outpoint: output.outpoint,
        value: output.txout.value,
        script_pubkey: output.txout.script_pubkey,
    }
}

#[cfg(test)]
mod tests;
