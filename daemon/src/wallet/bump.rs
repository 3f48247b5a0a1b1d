//! A transaction of ours, or one that pays us, that waits too long: replaced by itself at a higher fee, or
//! paid for by a child.
//!
//! A payment of the user's is replaced (BIP 125). What others build on by its name, a funding transaction
//! or a close, must keep it: its change, or what it pays us, is spent by a child whose fee counts for both.
//!
//! Not here: sweeps and commitments (`crate::sweeper`).

use bdk_wallet::TxOrdering;
use bdk_wallet::error::{BuildFeeBumpError, CreateTxError};
use bitcoin::{Amount, FeeRate, OutPoint, Psbt, Transaction, Txid};
use wire::units::FeeratePerKw;

use super::book::{BookChange, Label};
use super::{Wallet, WalletFact};
use crate::rpc::model::UnixMillis;
use crate::rpc::refusal::BumpNo;

/// The label of a child that pays for its parent.
pub(super) const BUMP: &str = "bump";

/// The label of what funds a drill of a tower: the drill builds on it by its name, so it is never replaced.
pub const DRILL: &str = "tower drill";

/// Version, counts, lock time, segwit flag, and an output of ours.
pub(super) const CHILD_WEIGHT: u64 = 42 + 124;

/// A transaction that raises the fee of another one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Raised {
    /// The transaction, signed.
    pub tx: Transaction,
    /// What it pays.
    pub fee: Amount,
    /// The same by weight; of a child together with its parent.
    pub feerate: FeeratePerKw,
    /// Its parent; none for a replacement.
    pub parent: Option<Transaction>,
}

impl Wallet {
    /// What a transaction of the wallet pays by weight; `None` if that is not known.
    #[must_use]
    pub fn feerate_of(&self, txid: Txid) -> Option<FeeratePerKw> {
        let tx = self.bdk.get_tx(txid)?.tx_node.tx;
        let fee = self.bdk.calculate_fee(&tx).ok()?;
        Some(per_weight(fee, tx.weight().to_wu()))
    }

    /// The newest unconfirmed transaction that is labelled with a channel.
    #[must_use]
    pub fn waiting_of(&self, channel: wire::id::ChannelId) -> Option<Txid> {
        self.bdk
            .transactions()
            .filter(|tx| tx.chain_position.is_unconfirmed())
            .map(|tx| tx.tx_node.txid)
            .filter(|txid| self.book.label(*txid).channel == Some(channel))
            .max_by_key(|txid| self.book.index(*txid))
    }

    /// Makes a transaction that raises the fee of `txid` to `feerate`. Nothing changes before
    /// [`Self::raise`].
    ///
    /// # Errors
    /// [`BumpNo`]
    pub fn plan_raise(&mut self, txid: Txid, feerate: FeeratePerKw) -> Result<Raised, BumpNo> {
        let found = self.bdk.get_tx(txid).ok_or(BumpNo::Unknown)?;
        if !found.chain_position.is_unconfirmed() {
            return Err(BumpNo::Mined);
        }
        if self.feerate_of(txid).is_some_and(|now| now >= feerate) {
            return Err(BumpNo::PaysAsMuch);
        }
        let label = self.book.label(txid);
        let named = label.channel.is_some() || label.text == BUMP || label.text == DRILL;
        let ours = !named && self.spends_our_coins(txid);
        if ours && let Some(replacement) = self.replacement(txid, feerate)? {
            return Ok(replacement);
        }
        self.child(txid, feerate)
    }

    /// The transaction of [`Self::plan_raise`] is about to be broadcast.
    pub fn raise(&mut self, old: Txid, raised: &Raised, now: UnixMillis) -> WalletFact {
        let txid = raised.tx.compute_txid();
        let label = if raised.parent.is_some() {
            Label { text: BUMP.to_owned(), channel: None }
        } else {
            self.book.label(old)
        };
        self.bdk.apply_unconfirmed_txs([(raised.tx.clone(), now.0)]);
        if raised.parent.is_none() {
            self.bdk.apply_evicted_txs([(old, now.0)]);
        }
        self.reveal_outputs(&raised.tx);
        self.fact(now, vec![BookChange::Noted(txid, label)])
    }

    /// Addresses that a transaction of ours pays are handed out.
    pub(super) fn reveal_outputs(&mut self, tx: &Transaction) {
        let scripts: Vec<_> = tx.output.iter().map(|output| output.script_pubkey.clone()).collect();
        for script in scripts {
            if let Some((keychain, index)) = self.bdk.derivation_of_spk(script) {
                let _revealed: Vec<_> = self.bdk.reveal_addresses_to(keychain, index).collect();
            }
        }
    }

    /// `None` if it cannot be replaced, but perhaps paid for.
    fn replacement(&mut self, txid: Txid, feerate: FeeratePerKw) -> Result<Option<Raised>, BumpNo> {
        let unspendable = self.unspendable();
        let rate = FeeRate::from_sat_per_kwu(u64::from(feerate.0));
        let mut builder = match self.bdk.build_fee_bump(txid) {
            Ok(builder) => builder,
            Err(BuildFeeBumpError::TransactionConfirmed(_)) => return Err(BumpNo::Mined),
            Err(_) => return Ok(None),
        };
        builder.fee_rate(rate).unspendable(unspendable).ordering(TxOrdering::Untouched);
        let psbt = match builder.finish() {
            Ok(psbt) => psbt,
            Err(CreateTxError::FeeRateTooLow { .. } | CreateTxError::FeeTooLow { .. }) => {
                return Err(BumpNo::PaysAsMuch);
            }
            Err(CreateTxError::CoinSelection(short)) => {
                let missing = short.needed.checked_sub(short.available).unwrap_or(Amount::ZERO);
                return Err(BumpNo::Short { missing });
            }
            Err(_) => return Ok(None),
        };
        self.finish(psbt, None).map(Some)
    }

    fn child(&mut self, txid: Txid, feerate: FeeratePerKw) -> Result<Raised, BumpNo> {
        let coin = self
            .bdk
            .list_unspent()
            .filter(|coin| coin.outpoint.txid == txid)
            .filter(|coin| self.book.set_aside(coin.outpoint).is_none())
            .max_by_key(|coin| coin.txout.value)
            .ok_or(BumpNo::NoOutput)?;
        let parent = self.bdk.get_tx(txid).ok_or(BumpNo::Unknown)?.tx_node.tx;
        let parent = Transaction::clone(&parent);
        let weight = parent.weight().to_wu();
        // What a stranger's transaction pays is not known: as little as is relayed.
        let paid = self.bdk.calculate_fee(&parent);
        let paid = paid.unwrap_or_else(|_| FeeratePerKw::FLOOR.fee_floor(weight));
        let own = CHILD_WEIGHT
            .saturating_add(self.fee_coin(coin.outpoint).map_or(272, |coin| coin.input_weight));
        let both = feerate.fee_ceil(weight.saturating_add(own));
        let fee = both.checked_sub(paid).unwrap_or(Amount::ZERO);
        let fee = fee.max(feerate.fee_ceil(own));
        let mut unspendable: Vec<OutPoint> = self.unspendable();
        unspendable.retain(|of| *of != coin.outpoint);
        let next = self.bdk.next_derivation_index(bdk_wallet::KeychainKind::Internal);
        let home = self.bdk.peek_address(bdk_wallet::KeychainKind::Internal, next);
        let mut builder = self.bdk.build_tx();
        builder.add_utxo(coin.outpoint).map_err(|_| BumpNo::NoOutput)?;
        builder
            .unspendable(unspendable)
            .ordering(TxOrdering::Untouched)
            .fee_absolute(fee)
            .drain_to(home.script_pubkey());
        let psbt = builder.finish().map_err(|error| {
            let CreateTxError::CoinSelection(short) = error else { return BumpNo::NoOutput };
            let missing = short.needed.checked_sub(short.available).unwrap_or(Amount::ZERO);
            BumpNo::Short { missing }
        })?;
        self.finish(psbt, Some((parent, paid)))
    }

    fn finish(&self, psbt: Psbt, parent: Option<(Transaction, Amount)>) -> Result<Raised, BumpNo> {
        let fee = psbt.fee().map_err(|_| BumpNo::NoOutput)?;
        let tx = self.keys.sign(psbt, self.bdk.secp_ctx()).ok_or(BumpNo::NoOutput)?;
        let (weight, paid) = parent
            .as_ref()
            .map_or((0, Amount::ZERO), |(parent, paid)| (parent.weight().to_wu(), *paid));
        let all = fee.checked_add(paid).unwrap_or(fee);
        let feerate = per_weight(all, tx.weight().to_wu().saturating_add(weight));
        Ok(Raised { tx, fee, feerate, parent: parent.map(|(parent, _)| parent) })
    }
}

pub(super) fn per_weight(fee: Amount, weight: u64) -> FeeratePerKw {
    let rate = fee.to_sat().saturating_mul(1_000).checked_div(weight).unwrap_or(0);
    FeeratePerKw(u32::try_from(rate).unwrap_or(u32::MAX))
}
