//! Coins that pay the fees of transactions which other keys of this node sign, too: claims of a channel
//! whose own value must go on whole, and anchors.
//!
//! Coins are held in memory while the channel builds its transaction, which risks nothing: nothing is
//! signed yet. With our signature they become a promise, and stay one until the transaction, or one that
//! makes it impossible, is in a block.
//!
//! Not here: transactions that are the wallet's alone (`spend`).

use std::collections::BTreeSet;

use bdk_wallet::miniscript::psbt::PsbtInputExt as _;
use bitcoin::{Amount, OutPoint, Psbt, ScriptBuf, Transaction, TxOut, Txid, Witness};
use channel::onchain::sweep::Coin;
use wire::units::FeeratePerKw;

use super::book::{BookChange, Held, Label, Promise, PromiseId};
use super::spend::WalletRefusal;
use super::{Wallet, WalletFact};
use crate::rpc::model::UnixMillis;
use crate::rpc::model::wallet::SetAside;

/// Outpoint, sequence, and an empty script.
const INPUT_WEIGHT: u64 = 4 * 41;

/// Count, the longest signature with its length, the key with its length. BIP 143.
const WITNESS_KEY_WEIGHT: u64 = INPUT_WEIGHT + 1 + 73 + 34;

/// Count, and a signature with its length. BIP 341.
const TAPROOT_WEIGHT: u64 = INPUT_WEIGHT + 1 + 66;

/// The most coins that one transaction is paid with.
const COINS_MAX: usize = 20;

/// Coins for a fee.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Picked {
    /// The coins, in no order that matters.
    pub coins: Vec<Coin>,
    /// Where what is left of them goes: a script of ours.
    pub change: ScriptBuf,
}

impl Wallet {
    /// Holds coins that leave at least `at_least` when their inputs are paid for at `feerate`: confirmed
    /// ones, and where `fresh` allows it and those are not enough, change of our own that no block has
    /// yet, so that one large coin serves several transactions. Coins held or promised under that name
    /// already are among them; `None` if all together are not enough, and nothing changed then.
    ///
    /// This is what the anchor reserve is kept for, so it may be used up.
    pub fn hold(
        &mut self,
        name: PromiseId,
        purpose: SetAside,
        at_least: Amount,
        feerate: FeeratePerKw,
        fresh: bool,
        now: UnixMillis,
    ) -> (Option<Picked>, WalletFact) {
        let confirmed = self.hold_of(name, purpose, at_least, feerate, false, now);
        if confirmed.0.is_some() || !fresh {
            return confirmed;
        }
        self.hold_of(name, purpose, at_least, feerate, true, now)
    }

    fn hold_of(
        &mut self,
        name: PromiseId,
        purpose: SetAside,
        at_least: Amount,
        feerate: FeeratePerKw,
        unconfirmed: bool,
        now: UnixMillis,
    ) -> (Option<Picked>, WalletFact) {
        let before = self.named(name);
        let mut coins: Vec<Coin> =
            before.iter().filter_map(|outpoint| self.fee_coin(*outpoint)).collect();
        let free: Vec<OutPoint> = self
            .fee_coins(unconfirmed)
            .filter(|coin| !before.contains(&coin.outpoint))
            .map(|coin| coin.outpoint)
            .collect();
        let mut free: Vec<Coin> =
            free.into_iter().filter_map(|outpoint| self.fee_coin(outpoint)).collect();
        free.sort_by_key(|coin| (coin.value, coin.outpoint));
        let leaves = |coin: &Coin| coin.value.to_sat().saturating_sub(cost(coin, feerate));
        let mut left = coins.iter().map(leaves).fold(0, u64::saturating_add);
        while left < at_least.to_sat() && coins.len() < COINS_MAX {
            let missing = at_least.to_sat().saturating_sub(left);
            // The smallest that is enough leaves the others to other claims; else the largest.
            let enough = free.iter().position(|coin| leaves(coin) >= missing);
            let Some(place) = enough.or_else(|| free.len().checked_sub(1)) else { break };
            let coin = free.remove(place);
            left = left.saturating_add(leaves(&coin));
            coins.push(coin);
        }
        if left < at_least.to_sat() {
            return (None, WalletFact(Vec::new()));
        }
        let (change, fact) = match self.change_of(name) {
            Some(change) => (change, WalletFact(Vec::new())),
            None => self.destination(now),
        };
        let held = Held {
            purpose,
            coins: coins.iter().map(|coin| coin.outpoint).collect(),
            change: change.clone(),
        };
        self.book.hold(name, held);
        (Some(Picked { coins, change }), fact)
    }

    /// How much more the wallet would need for [`Self::hold`] to find coins: as one coin, what it costs to
    /// spend that included.
    #[must_use]
    pub fn lacks(
        &self,
        name: PromiseId,
        at_least: Amount,
        feerate: FeeratePerKw,
        fresh: bool,
    ) -> Amount {
        let mut all: BTreeSet<OutPoint> = self.named(name).into_iter().collect();
        all.extend(self.fee_coins(fresh).map(|coin| coin.outpoint));
        let coins = all.into_iter().filter_map(|outpoint| self.fee_coin(outpoint));
        let mut left: Vec<u64> =
            coins.map(|coin| coin.value.to_sat().saturating_sub(cost(&coin, feerate))).collect();
        left.sort_unstable_by(|one, other| other.cmp(one));
        let most = left.into_iter().take(COINS_MAX.saturating_sub(1)).fold(0, u64::saturating_add);
        let missing = at_least.to_sat().saturating_sub(most);
        let spending = feerate.fee_ceil(WITNESS_KEY_WEIGHT).to_sat();
        Amount::from_sat(if missing == 0 { 0 } else { missing.saturating_add(spending) })
    }

    /// Coins that were only held are free again; those of a promise stay promised.
    pub fn unhold(&mut self, name: PromiseId) {
        self.book.unhold(name);
    }

    /// Signs for those inputs of `tx` that carry no witness; they must be held or promised under `name`.
    /// `prevouts` are the outputs that the other inputs spend. Nothing changes yet.
    ///
    /// # Errors
    /// [`WalletRefusal::CannotSign`]
    pub fn sign_held(
        &self,
        name: PromiseId,
        mut tx: Transaction,
        prevouts: &[(OutPoint, TxOut)],
    ) -> Result<Transaction, WalletRefusal> {
        let named = self.named(name);
        let mut bare = tx.clone();
        for input in &mut bare.input {
            input.witness = Witness::new();
        }
        let mut psbt = Psbt::from_unsigned_tx(bare).map_err(|_| WalletRefusal::CannotSign)?;
        let mut ours = Vec::new();
        for (place, (input, part)) in tx.input.iter().zip(&mut psbt.inputs).enumerate() {
            let outpoint = input.previous_output;
            if !input.witness.is_empty() {
                let other = prevouts.iter().find(|(of, _)| *of == outpoint);
                part.witness_utxo = other.map(|(_, txout)| txout.clone());
                continue;
            }
            let found = named.contains(&outpoint).then(|| self.owned(outpoint)).flatten();
            let (txout, keychain, index) = found.ok_or(WalletRefusal::CannotSign)?;
            let descriptor = self
                .bdk
                .public_descriptor(keychain)
                .at_derivation_index(index)
                .map_err(|_| WalletRefusal::CannotSign)?;
            part.update_with_descriptor_unchecked(&descriptor)
                .map_err(|_| WalletRefusal::CannotSign)?;
            part.witness_utxo = Some(txout);
            ours.push(place);
        }
        let signed = self.keys.sign_inputs(psbt, &ours, self.bdk.secp_ctx());
        let witnesses = signed.ok_or(WalletRefusal::CannotSign)?;
        for (place, witness) in ours.into_iter().zip(witnesses) {
            if let Some(input) = tx.input.get_mut(place) {
                input.witness = witness;
            }
        }
        Ok(tx)
    }

    /// A transaction from [`Self::sign_held`] is about to be broadcast: its coins of ours are promised to
    /// it, in the place of whatever was held or promised under that name.
    pub fn promise_held(
        &mut self,
        name: PromiseId,
        purpose: SetAside,
        tx: Transaction,
        label: Label,
        now: UnixMillis,
    ) -> WalletFact {
        self.book.unhold(name);
        let noted = BookChange::Noted(tx.compute_txid(), label);
        let ours = tx.input.iter().any(|input| self.owned(input.previous_output).is_some());
        let promised = ours.then_some(BookChange::Promised(Promise { id: name, purpose, tx }));
        self.fact(now, promised.into_iter().chain([noted]).collect())
    }

    /// Nothing is promised to `txids` any more: they are in a block, were replaced, or never can be in one.
    /// Those that are `lost` spend nothing either.
    pub fn settle(&mut self, txids: &[Txid], lost: &[Txid], now: UnixMillis) -> WalletFact {
        let over: Vec<PromiseId> = self
            .book
            .promises()
            .filter(|promise| txids.contains(&promise.tx.compute_txid()))
            .map(|promise| promise.id)
            .collect();
        over.iter().for_each(|name| self.book.unhold(*name));
        self.evict(lost, now);
        self.fact(now, over.into_iter().map(BookChange::Released).collect())
    }

    /// Transactions spend nothing and pay nothing any more, until they are seen again.
    pub(super) fn evict(&mut self, txids: &[Txid], now: UnixMillis) {
        // A clock that was set back must not leave them seen later than lost.
        let seen = |txid: Txid| self.bdk.tx_graph().get_tx_node(txid)?.last_seen;
        let at: Vec<(Txid, u64)> = txids
            .iter()
            .map(|txid| (*txid, seen(*txid).map_or(now.0, |seen| seen.max(now.0))))
            .collect();
        self.bdk.apply_evicted_txs(at);
    }

    /// Signs a transaction all of whose inputs spend these outputs of the wallet, in their order.
    pub(super) fn sign_own(
        &self,
        mut tx: Transaction,
        coins: &[(TxOut, bdk_wallet::KeychainKind, u32)],
    ) -> Option<Transaction> {
        let mut psbt = Psbt::from_unsigned_tx(tx.clone()).ok()?;
        for (part, (txout, keychain, index)) in psbt.inputs.iter_mut().zip(coins) {
            let descriptor = self.bdk.public_descriptor(*keychain);
            let descriptor = descriptor.at_derivation_index(*index).ok()?;
            part.update_with_descriptor_unchecked(&descriptor).ok()?;
            part.witness_utxo = Some(txout.clone());
        }
        let places: Vec<usize> = (0..tx.input.len()).collect();
        let witnesses = self.keys.sign_inputs(psbt, &places, self.bdk.secp_ctx())?;
        for (input, witness) in tx.input.iter_mut().zip(witnesses) {
            input.witness = witness;
        }
        Some(tx)
    }

    /// Those of these transactions that the wallet counts and no block has, and all of its own that build on
    /// them.
    #[must_use]
    pub fn builds_on(&self, txids: &[Txid]) -> Vec<Txid> {
        if txids.is_empty() {
            return Vec::new();
        }
        let waiting: Vec<_> =
            self.bdk.transactions().filter(|tx| tx.chain_position.is_unconfirmed()).collect();
        let mut all: BTreeSet<Txid> = txids.iter().copied().collect();
        loop {
            let before = all.len();
            for tx in &waiting {
                let mut inputs = tx.tx_node.tx.input.iter();
                if inputs.any(|input| all.contains(&input.previous_output.txid)) {
                    all.insert(tx.tx_node.txid);
                }
            }
            if all.len() == before {
                break;
            }
        }
        let counted = waiting.iter().map(|tx| tx.tx_node.txid);
        counted.filter(|txid| all.contains(txid)).collect()
    }

    /// Whether a script is the wallet's.
    #[must_use]
    pub fn is_ours(&self, script: &ScriptBuf) -> bool {
        self.bdk.is_mine(script.clone())
    }

    /// Coins held or promised under a name.
    fn named(&self, name: PromiseId) -> Vec<OutPoint> {
        if let Some(held) = self.book.held(name) {
            return held.coins.clone();
        }
        let promised = self.book.promise(name).into_iter();
        promised
            .flat_map(|promise| promise.tx.input.iter().map(|input| input.previous_output))
            .filter(|outpoint| self.owned(*outpoint).is_some())
            .collect()
    }

    /// Where the change of what is held or promised under a name goes.
    fn change_of(&self, name: PromiseId) -> Option<ScriptBuf> {
        if let Some(held) = self.book.held(name) {
            return Some(held.change.clone());
        }
        let promise = self.book.promise(name)?;
        let mut scripts = promise.tx.output.iter().map(|txout| &txout.script_pubkey);
        scripts.find(|script| self.bdk.is_mine((*script).clone())).cloned()
    }

    /// An output of ours and the key it needs, spent or not.
    pub(super) fn owned(
        &self,
        outpoint: OutPoint,
    ) -> Option<(TxOut, bdk_wallet::KeychainKind, u32)> {
        let txout = self.bdk.tx_graph().get_txout(outpoint)?;
        let (keychain, index) = self.bdk.derivation_of_spk(txout.script_pubkey.clone())?;
        Some((txout.clone(), keychain, index))
    }

    pub(super) fn fee_coin(&self, outpoint: OutPoint) -> Option<Coin> {
        let (txout, _, _) = self.owned(outpoint)?;
        let input_weight = input_weight(&txout.script_pubkey);
        Some(Coin { outpoint, value: txout.value, input_weight })
    }
}

/// What the input of a coin with this script weighs.
pub(super) fn input_weight(script: &bitcoin::Script) -> u64 {
    if script.is_p2tr() { TAPROOT_WEIGHT } else { WITNESS_KEY_WEIGHT }
}

/// What the input of a coin costs, satoshi.
fn cost(coin: &Coin, feerate: FeeratePerKw) -> u64 {
    feerate.fee_ceil(coin.input_weight).to_sat()
}
