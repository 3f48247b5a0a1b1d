//! What the wallet shows: balance, transactions, coins.

use bdk_wallet::LocalOutput;
use bdk_wallet::chain::ChainPosition;
use bitcoin::constants::COINBASE_MATURITY;
use bitcoin::{Address, Amount, OutPoint, Txid};
use wire::units::BlockHeight;

use super::Wallet;
use crate::rpc::model::page::{Listing, Page};
use crate::rpc::model::wallet::{Utxo, WalletBalance, WalletTransaction};
use crate::rpc::refusal::Shortage;

/// Kept back for each anchor channel, to bump the fee of its commitment.
const RESERVE_EACH: Amount = Amount::from_sat(10_000);

/// The most that is kept back.
const RESERVE_MAX: Amount = Amount::from_sat(100_000);

/// What is kept back for so many anchor channels: 10 000 sat each, 100 000 sat at most.
#[must_use]
pub fn anchor_reserve(anchor_channels: u32) -> Amount {
    RESERVE_EACH
        .checked_mul(u64::from(anchor_channels))
        .map_or(RESERVE_MAX, |reserve| reserve.min(RESERVE_MAX))
}

/// What can be done with a coin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// In a block.
    Confirmed,
    /// In no block, but of our own making.
    OurChange,
    /// The same of a sweep: it may be replaced at any time, so only sweeps build on it.
    SweepChange,
    /// In no block, from somebody else.
    Incoming,
    /// A block reward that is too young.
    Immature,
}

impl Wallet {
    /// What it holds, when `anchor_channels` must be able to bump their fees.
    #[must_use]
    pub fn balance(&self, anchor_channels: u32) -> WalletBalance {
        let mut balance = WalletBalance::default();
        let mut free = Amount::ZERO;
        for coin in self.bdk.list_unspent() {
            let value = coin.txout.value;
            let standing = self.standing(&coin);
            let pot = match standing {
                Standing::Confirmed => &mut balance.confirmed,
                Standing::OurChange | Standing::SweepChange | Standing::Incoming => {
                    &mut balance.unconfirmed
                }
                Standing::Immature => &mut balance.immature,
            };
            *pot = pot.checked_add(value).unwrap_or(Amount::MAX_MONEY);
            if self.book.set_aside(coin.outpoint).is_some() {
                balance.promised = balance.promised.checked_add(value).unwrap_or(Amount::MAX_MONEY);
            } else if matches!(standing, Standing::Confirmed | Standing::OurChange) {
                free = free.checked_add(value).unwrap_or(Amount::MAX_MONEY);
            }
        }
        let wanted = anchor_reserve(anchor_channels);
        balance.reserved_for_anchors = wanted.min(free);
        balance.missing_for_anchors = wanted.checked_sub(free).unwrap_or(Amount::ZERO);
        balance.spendable = free.checked_sub(balance.reserved_for_anchors).unwrap_or(Amount::ZERO);
        balance
    }

    /// Every number that explains why `need` is too much.
    pub(super) fn shortage(&self, need: Amount, anchor_channels: u32) -> Shortage {
        let balance = self.balance(anchor_channels);
        let incoming = self
            .bdk
            .list_unspent()
            .filter(|coin| self.waits(coin))
            .map(|coin| coin.txout.value)
            .sum();
        Shortage {
            need,
            spendable: balance.spendable,
            reserved_for_anchors: balance.reserved_for_anchors,
            promised: balance.promised,
            unconfirmed: incoming,
            immature: balance.immature,
        }
    }

    /// Coins that may be spent: confirmed or our own change, and not promised.
    pub(super) fn free_coins(&self) -> impl Iterator<Item = LocalOutput> {
        self.bdk.list_unspent().filter(|coin| {
            matches!(self.standing(coin), Standing::Confirmed | Standing::OurChange)
                && self.book.set_aside(coin.outpoint).is_none()
        })
    }

    /// Coins that may pay fees of sweeps: confirmed and not promised, or, where that is said, change of our
    /// own that is in no block.
    pub(super) fn fee_coins(&self, unconfirmed: bool) -> impl Iterator<Item = LocalOutput> {
        self.bdk.list_unspent().filter(move |coin| {
            let may = match self.standing(coin) {
                Standing::Confirmed => true,
                Standing::OurChange | Standing::SweepChange => unconfirmed,
                Standing::Incoming | Standing::Immature => false,
            };
            may && self.book.set_aside(coin.outpoint).is_none()
        })
    }

    /// Whether a coin must be in a block before it can be spent at will.
    fn waits(&self, coin: &LocalOutput) -> bool {
        matches!(self.standing(coin), Standing::Incoming | Standing::SweepChange)
    }

    /// Coins that coin selection must leave alone.
    pub(super) fn unspendable(&self) -> Vec<OutPoint> {
        let incoming =
            self.bdk.list_unspent().filter(|coin| self.waits(coin)).map(|coin| coin.outpoint);
        incoming.chain(self.book.promised()).collect()
    }

    fn standing(&self, coin: &LocalOutput) -> Standing {
        let txid = coin.outpoint.txid;
        match coin.chain_position {
            ChainPosition::Confirmed { anchor, .. } => {
                let coinbase = self.bdk.tx_graph().get_tx(txid).is_some_and(|tx| tx.is_coinbase());
                let young = self.depth(anchor.block_id.height) < COINBASE_MATURITY;
                if coinbase && young { Standing::Immature } else { Standing::Confirmed }
            }
            ChainPosition::Unconfirmed { .. } if !self.spends_our_coins(txid) => Standing::Incoming,
            ChainPosition::Unconfirmed { .. } => match self.book.label(txid).text.as_str() {
                "sweep" => Standing::SweepChange,
                _ => Standing::OurChange,
            },
        }
    }

    /// Blocks on top of a height, that block included.
    fn depth(&self, height: u32) -> u32 {
        self.bdk.latest_checkpoint().height().saturating_add(1).saturating_sub(height)
    }

    /// The coins, oldest first.
    #[must_use]
    pub fn utxos(&self) -> Vec<Utxo> {
        let mut coins: Vec<LocalOutput> = self.bdk.list_unspent().collect();
        coins.sort_by_key(|coin| (self.book.index(coin.outpoint.txid), coin.outpoint));
        coins
            .into_iter()
            .filter_map(|coin| {
                let standing = self.standing(&coin);
                Some(Utxo {
                    outpoint: coin.outpoint,
                    amount: coin.txout.value,
                    address: Address::from_script(&coin.txout.script_pubkey, self.network())
                        .ok()?,
                    confirmations: coin
                        .chain_position
                        .confirmation_height_upper_bound()
                        .map_or(0, |height| self.depth(height)),
                    immature: standing == Standing::Immature,
                    set_aside: self.book.set_aside(coin.outpoint),
                })
            })
            .collect()
    }

    /// A page of the transactions, in the order they came.
    #[must_use]
    pub fn transactions(&self, page: Page) -> Listing<WalletTransaction> {
        let mut rows: Vec<(u64, Txid)> = self
            .bdk
            .transactions()
            .map(|tx| (self.book.index(tx.tx_node.txid), tx.tx_node.txid))
            .collect();
        rows.sort_unstable();
        let cut = Listing::cut(rows.into_iter(), page);
        Listing {
            entries: cut.entries.into_iter().filter_map(|txid| self.transaction(txid)).collect(),
            next: cut.next,
        }
    }

    /// One transaction, if it is of this wallet and could be in the chain.
    #[must_use]
    pub fn transaction(&self, txid: Txid) -> Option<WalletTransaction> {
        let found = self.bdk.get_tx(txid)?;
        let tx = found.tx_node.tx.as_ref();
        let (sent, received) = self.bdk.sent_and_received(tx);
        let height = found.chain_position.confirmation_height_upper_bound();
        let label = self.book.label(txid);
        Some(WalletTransaction {
            index: self.book.index(txid),
            txid,
            received,
            sent,
            fee: self.bdk.calculate_fee(tx).ok(),
            height: height.map(BlockHeight),
            confirmations: height.map_or(0, |height| self.depth(height)),
            seen: self.book.seen(txid),
            label: label.text,
            channel: label.channel,
        })
    }
}
