//! A child that pays for a transaction of others which pays us, a close together that waits: it spends what
//! that pays us back to us, and its fee counts for both.
//!
//! It is made by hand and not by coin selection: it takes that one output and no coin besides, and the next
//! one takes its place rather than standing on it.
//!
//! Not here: when that is worth it (`layer1::closes`), payments of the user's (`bump`).

use bdk_wallet::KeychainKind;
use bitcoin::absolute::LockTime;
use bitcoin::transaction::Version;
use bitcoin::{
    Amount, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Txid, Weight, Witness,
};
use wire::units::FeeratePerKw;

use super::book::{BookChange, Label};
use super::bump::{BUMP, CHILD_WEIGHT, Raised, per_weight};
use super::coins::input_weight;
use super::{Wallet, WalletFact};
use crate::rpc::model::UnixMillis;
use crate::rpc::refusal::BumpNo;

/// The child that a transaction has, and what it pays.
struct Standing {
    txid: Txid,
    fee: Amount,
    home: ScriptBuf,
    spends: OutPoint,
}

impl Wallet {
    /// What a transaction and its child pay by weight, when it pays `paid` itself.
    #[must_use]
    pub fn feerate_with_child(&self, parent: &Transaction, paid: Amount) -> FeeratePerKw {
        let weight = parent.weight();
        let Some((child, fee)) = self.child_of(parent).and_then(|child| {
            let tx = self.bdk.tx_graph().get_tx(child.txid)?;
            Some((tx.weight(), child.fee))
        }) else {
            return per_weight(paid, weight.to_wu());
        };
        let all = weight.checked_add(child).unwrap_or(Weight::MAX);
        per_weight(paid.checked_add(fee).unwrap_or(paid), all.to_wu())
    }

    /// A child that raises `parent`, which pays `paid` itself, to `feerate`, in the place of the child that it
    /// has; signed, and nothing changed before [`Self::bring_child`]. `incremental` is what a replacement pays
    /// on top for its own weight.
    ///
    /// # Errors
    /// [`BumpNo::NoOutput`] if it pays the wallet nothing that is free; [`BumpNo::TooDear`] if that is too
    /// little for the fee.
    pub fn plan_child(
        &self,
        parent: &Transaction,
        paid: Amount,
        feerate: FeeratePerKw,
        incremental: FeeratePerKw,
    ) -> Result<Raised, BumpNo> {
        let old = self.child_of(parent);
        let coin = match &old {
            Some(child) => child.spends,
            None => self.largest_of(parent).ok_or(BumpNo::NoOutput)?,
        };
        // The wallet need not have seen it: what is below the minimum reaches no mempool.
        let output = usize::try_from(coin.vout).ok().and_then(|vout| parent.output.get(vout));
        let txout = output.ok_or(BumpNo::NoOutput)?.clone();
        let key = self.bdk.derivation_of_spk(txout.script_pubkey.clone());
        let (keychain, index) = key.ok_or(BumpNo::NoOutput)?;
        let own = CHILD_WEIGHT.saturating_add(input_weight(&txout.script_pubkey));
        let both = feerate.fee_ceil(parent.weight().to_wu().saturating_add(own));
        let rest = both.checked_sub(paid).unwrap_or(Amount::ZERO);
        let replaced = old.as_ref().map_or(Amount::ZERO, |child| {
            let relay = incremental.fee_ceil(own);
            child.fee.checked_add(relay).unwrap_or(Amount::MAX_MONEY)
        });
        let fee = rest.max(feerate.fee_ceil(own)).max(replaced);
        let home = old.map_or_else(|| self.next_home(), |child| child.home);
        let value = txout.value.checked_sub(fee).filter(|left| *left >= home.minimal_non_dust());
        let value = value.ok_or(BumpNo::TooDear { cost: fee })?;
        let tx = Transaction {
            version: Version::TWO,
            lock_time: LockTime::ZERO,
            input: vec![TxIn {
                previous_output: coin,
                script_sig: ScriptBuf::new(),
                sequence: Sequence::ENABLE_RBF_NO_LOCKTIME,
                witness: Witness::new(),
            }],
            output: vec![TxOut { value, script_pubkey: home }],
        };
        let signed = self.sign_own(tx, &[(txout, keychain, index)]).ok_or(BumpNo::NoOutput)?;
        let weight = parent.weight().to_wu().saturating_add(signed.weight().to_wu());
        let all = fee.checked_add(paid).unwrap_or(fee);
        let feerate = per_weight(all, weight);
        Ok(Raised { tx: signed, fee, feerate, parent: Some(parent.clone()) })
    }

    /// The child of [`Self::plan_child`] is about to be broadcast: it counts as ours, with its parent, and
    /// what it replaces does not any more.
    pub fn bring_child(&mut self, raised: &Raised, now: UnixMillis) -> WalletFact {
        let old = raised.parent.as_ref().and_then(|parent| self.child_of(parent));
        let parent = raised.parent.iter().cloned();
        let both = parent.chain([raised.tx.clone()]).map(|tx| (tx, now.0));
        self.bdk.apply_unconfirmed_txs(both);
        let txid = raised.tx.compute_txid();
        if let Some(old) = old.filter(|old| old.txid != txid) {
            self.evict(&[old.txid], now);
        }
        let label = Label { text: BUMP.to_owned(), channel: None };
        self.reveal_outputs(&raised.tx);
        self.fact(now, vec![BookChange::Noted(txid, label)])
    }

    fn child_of(&self, parent: &Transaction) -> Option<Standing> {
        let of = parent.compute_txid();
        let spends = |tx: &Transaction| {
            let mut inputs = tx.input.iter().map(|input| input.previous_output);
            inputs.next().filter(|outpoint| outpoint.txid == of && tx.input.len() == 1)
        };
        self.bdk.transactions().find_map(|found| {
            let (txid, tx) = (found.tx_node.txid, &found.tx_node.tx);
            let spends = spends(tx).filter(|_| self.book.label(txid).text == BUMP)?;
            let output = tx.output.first().filter(|_| tx.output.len() == 1)?;
            let (coin, _, _) = self.owned(spends)?;
            let fee = coin.value.checked_sub(output.value)?;
            Some(Standing { txid, fee, home: output.script_pubkey.clone(), spends })
        })
    }

    /// The largest output of a transaction that is the wallet's and promised to nothing.
    fn largest_of(&self, tx: &Transaction) -> Option<OutPoint> {
        let txid = tx.compute_txid();
        let ours =
            (0_u32..).zip(&tx.output).filter(|(_, txout)| self.is_ours(&txout.script_pubkey));
        let free = ours
            .map(|(vout, txout)| (txout.value, OutPoint { txid, vout }))
            .filter(|(_, outpoint)| self.book.set_aside(*outpoint).is_none());
        free.max().map(|(_, outpoint)| outpoint)
    }

    fn next_home(&self) -> ScriptBuf {
        let next = self.bdk.next_derivation_index(KeychainKind::Internal);
        self.bdk.peek_address(KeychainKind::Internal, next).script_pubkey()
    }
}
