//! The tower's own coins in the watcher's hands: they follow the same blocks, stand beside justice, and are shown
//! and sent when the operator asks.

use bitcoin::{Address, Amount, Block, OutPoint, Transaction, Txid};
use chain_backend::{Locator, MempoolDelta, Package, RemovedBecause};
use tokio::sync::{mpsc, oneshot};

use super::{EventKind, WatchError, Watcher};
use crate::purse::{Balance, PurseError, SendRefusal};
use crate::respond::plan::Job;
use crate::respond::topup::{self, Coin, Means};

/// Questions that wait.
const QUEUE: usize = 16;
/// The fee target of a payment without a price, in blocks.
const SEND_TARGET: u16 = 6;
/// The price if nobody knows better, per 1,000 weight units.
const PER_KW_USUAL: u64 = 1_000;

/// What of the tower's own coins may be spent for clients.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Spending {
    /// Satoshis that are added to one transaction at most.
    pub max_fee_sat: u64,
    /// The same in hundredths of what the transaction rescues.
    pub max_fee_percent: u8,
}

impl Default for Spending {
    fn default() -> Self {
        Self { max_fee_sat: 100_000, max_fee_percent: 25 }
    }
}

/// Why the operator does not get what was asked.
#[derive(Debug, thiserror::Error)]
pub enum PurseRefusal {
    /// There is no wallet.
    #[error("this tower has no wallet")]
    None,
    /// The tower stops.
    #[error("the tower stops")]
    Stopped,
    /// The wallet.
    #[error(transparent)]
    Purse(#[from] PurseError),
    /// The payment.
    #[error(transparent)]
    Send(#[from] SendRefusal),
    /// The key of the request was used for another one.
    #[error("the idempotency key was used for another request")]
    Key,
}

/// A payment that was made.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Receipt {
    /// Its transaction.
    pub txid: Txid,
    /// Whether the mempool took it; if not, it is handed in again after every block.
    pub accepted: bool,
}

/// What is asked.
#[derive(Debug)]
pub(super) enum Ask {
    Address { key: String, reply: oneshot::Sender<Result<Address, PurseRefusal>> },
    Balance { reply: oneshot::Sender<Result<Balance, PurseRefusal>> },
    Send { pay: Pay, reply: oneshot::Sender<Result<Receipt, PurseRefusal>> },
}

/// A payment.
#[derive(Clone, Debug)]
pub(super) struct Pay {
    key: String,
    to: Address,
    amount: Option<Amount>,
    per_kw: Option<u64>,
}

/// The way to the tower's own coins.
#[derive(Clone, Debug)]
pub struct PurseDoor {
    asks: mpsc::Sender<Ask>,
}

impl PurseDoor {
    pub(super) fn new() -> (Self, mpsc::Receiver<Ask>) {
        let (asks, inbox) = mpsc::channel(QUEUE);
        (Self { asks }, inbox)
    }

    /// The way to a wallet that nobody has.
    pub fn closed() -> Self {
        Self::new().0
    }

    async fn ask<T>(
        &self,
        ask: impl FnOnce(oneshot::Sender<Result<T, PurseRefusal>>) -> Ask,
    ) -> Result<T, PurseRefusal> {
        let (reply, answer) = oneshot::channel();
        self.asks.send(ask(reply)).await.map_err(|_| PurseRefusal::Stopped)?;
        answer.await.map_err(|_| PurseRefusal::Stopped)?
    }

    /// A new address, the same one again under the same key; no key is always new.
    ///
    /// # Errors
    /// [`PurseRefusal`].
    pub async fn address(&self, key: String) -> Result<Address, PurseRefusal> {
        self.ask(|reply| Ask::Address { key, reply }).await
    }

    /// What it holds.
    ///
    /// # Errors
    /// [`PurseRefusal`].
    pub async fn balance(&self) -> Result<Balance, PurseRefusal> {
        self.ask(|reply| Ask::Balance { reply }).await
    }

    /// Pays `amount`, or everything, once under one key; no key is always once more. Without a price per 1,000
    /// weight units it is that of six blocks.
    ///
    /// # Errors
    /// [`PurseRefusal`]; nothing is sent then.
    pub async fn send(
        &self,
        key: String,
        to: Address,
        amount: Option<Amount>,
        per_kw: Option<u64>,
    ) -> Result<Receipt, PurseRefusal> {
        let pay = Pay { key, to, amount, per_kw };
        self.ask(|reply| Ask::Send { pay, reply }).await
    }
}

impl Watcher {
    pub(super) async fn hear(&mut self, ask: Ask) {
        match ask {
            Ask::Address { key, reply } => drop(reply.send(self.address(&key))),
            Ask::Balance { reply } => {
                let promised = self.book.promised();
                let purse = self.purse.as_ref().ok_or(PurseRefusal::None);
                drop(reply.send(purse.map(|purse| purse.balance(&promised))));
            }
            Ask::Send { pay, reply } => {
                let sent = self.send(pay).await;
                self.publish_reserve();
                drop(reply.send(sent));
            }
        }
    }

    fn address(&mut self, key: &str) -> Result<Address, PurseRefusal> {
        let tip = self.cursor.as_ref().map(Locator::tip);
        let purse = self.purse.as_mut().ok_or(PurseRefusal::None)?;
        let tip = tip.map(|tip| bdk_wallet::chain::BlockId { height: tip.height, hash: tip.hash });
        match purse.done(key, "address")? {
            Some(address) => purse.parse(&address),
            None => Ok(purse.address(tip, key)?),
        }
    }

    async fn send(&mut self, pay: Pay) -> Result<Receipt, PurseRefusal> {
        let estimate = self.chain.fees().await.ok();
        let estimate = estimate.map(|fees| {
            let rate = fees.estimate(SEND_TARGET).unwrap_or_else(|| fees.floor());
            rate.max(fees.floor()).to_sat_per_kwu()
        });
        let per_kw = pay.per_kw.or(estimate).unwrap_or(PER_KW_USUAL);
        let promised = self.book.promised();
        let purse = self.purse.as_mut().ok_or(PurseRefusal::None)?;
        let what = format!("send {} {:?}", pay.to, pay.amount.map(Amount::to_sat));
        if let Some(txid) = purse.done(&pay.key, &what)? {
            let txid: Txid = txid.parse().map_err(|_| PurseRefusal::Key)?;
            let accepted = !purse.waiting().iter().any(|tx| tx.compute_txid() == txid);
            return Ok(Receipt { txid, accepted });
        }
        let (script, key) = (pay.to.script_pubkey(), (pay.key.as_str(), what.as_str()));
        let tx = purse.send(&script, pay.amount, per_kw, &promised, key)?;
        let txid = tx.compute_txid();
        let outcome = self.chain.submit(Package::single(tx), None).await;
        let accepted = outcome.is_success();
        if !accepted {
            tracing::warn!(%txid, ?outcome, "a payment is not in the mempool yet");
        }
        Ok(Receipt { txid, accepted })
    }

    /// Brings the wallet to the tower's own place, whatever happened since it was written.
    pub(super) async fn catch_up_purse(&mut self) -> Result<(), WatchError> {
        let Some(goal) = self.cursor.as_ref().map(|cursor| cursor.tip().height) else {
            return Ok(());
        };
        let known: Vec<bdk_wallet::chain::BlockId> = match &self.purse {
            Some(purse) if purse.is_used() => purse.known().collect(),
            Some(_) | None => return Ok(()),
        };
        let goal = goal.min(self.chain.tip().await?.height);
        let mut at = None;
        for block in known {
            if block.height <= goal && self.chain.header_at(block.height).await?.hash == block.hash
            {
                at = Some(block);
                break;
            }
        }
        let Some(at) = at else {
            tracing::error!("the wallet's chain is another one: its coins are not used");
            self.purse = None;
            return Ok(());
        };
        if let Some(purse) = &mut self.purse {
            purse.goes_on_from(at);
        }
        for height in at.height.saturating_add(1)..=goal {
            let block = self.chain.block(self.chain.header_at(height).await?.hash).await?;
            self.purse_connected(&block, height);
        }
        self.publish_reserve();
        Ok(())
    }

    /// A wallet that cannot follow is not used until the next connection to a chain, which brings it up to date.
    pub(super) fn purse_connected(&mut self, block: &Block, height: u32) {
        let Some(purse) = &mut self.purse else { return };
        if let Err(error) = purse.connected(block, height) {
            tracing::error!(%error, height, "the tower's own wallet does not follow");
            self.tell(EventKind::Failed, None, None, format!("the tower's own wallet: {error}"));
        }
    }

    /// Coins beside justice that can never be mined are free again.
    pub(super) fn free_stale(&mut self) {
        let Some(purse) = self.purse.as_mut().filter(|purse| purse.is_used()) else { return };
        let live = self.book.topped_up();
        for txid in purse.beside_others().into_iter().filter(|txid| !live.contains(txid)) {
            if let Err(error) = purse.forget(txid) {
                tracing::error!(%error, "the tower's own wallet cannot be written");
            }
        }
    }

    pub(super) fn purse_sees(&mut self, delta: &MempoolDelta) {
        let Some(purse) = self.purse.as_mut().filter(|purse| purse.is_used()) else { return };
        match delta {
            MempoolDelta::Snapshot(all) => all.iter().for_each(|tx| purse.seen(tx)),
            MempoolDelta::Added { tx, .. } => purse.seen(tx),
            // Its block says so in a moment.
            MempoolDelta::Removed { because: RemovedBecause::Confirmed(_), .. } => {}
            MempoolDelta::Removed { txid, .. } => purse.gone(*txid),
        }
    }

    /// Coins that may be added to justice.
    pub(super) fn free_coins(&self) -> Vec<Coin> {
        let purse = self.purse.as_ref().filter(|purse| purse.is_used());
        purse.map(|purse| purse.coins(&self.book.promised())).unwrap_or_default()
    }

    /// The jobs, with a coin beside each that needs one.
    pub(super) fn topped_up(&mut self, jobs: Vec<Job>, coins: Vec<Coin>) -> Vec<Job> {
        let Some(purse) = self.purse.as_mut().filter(|purse| purse.is_used()) else { return jobs };
        let change = match purse.change() {
            Ok(change) => change,
            Err(error) => {
                // Change that nobody wrote down is found again: it is of the next key.
                tracing::error!(%error, "the tower's own wallet cannot be written");
                return jobs;
            }
        };
        let mut means = Means {
            coins,
            change,
            most: Amount::from_sat(self.spending.max_fee_sat),
            percent: self.spending.max_fee_percent,
            used: Vec::new(),
        };
        let (book, lessons) = (&self.book, &self.lessons);
        let is_gone = |coin: &OutPoint, by: Txid| purse.is_gone(coin, by);
        let mut jobs = topup::raise_all(jobs, book, lessons, &mut means, is_gone);
        for job in &mut jobs {
            let Some(coin) = job.added.as_ref().map(|added| added.coin.clone()) else { continue };
            // The coin stands behind all that is claimed.
            if !purse.sign(&mut job.tx, job.outpoints.len(), &coin) {
                tracing::error!("the tower's own wallet cannot sign for its coin");
                topup::take_back(job);
            }
        }
        jobs
    }

    /// Payments of ours that are in no block are handed in again: a mempool forgets.
    pub(super) async fn resend(&self) {
        let waiting = match &self.purse {
            Some(purse) if purse.is_used() => purse.waiting(),
            Some(_) | None => return,
        };
        let is_justice = |tx: &Transaction| {
            tx.input.iter().any(|input| self.book.claim(&input.previous_output).is_some())
        };
        let payments: Vec<Transaction> = waiting.into_iter().filter(|tx| !is_justice(tx)).collect();
        for tx in payments {
            let _again = self.chain.submit(Package::single(tx), None).await;
        }
    }

    pub(super) fn publish_reserve(&self) {
        let Some(purse) = self.purse.as_ref().filter(|purse| purse.is_used()) else { return };
        let reserve_sat = purse.balance(&self.book.promised()).confirmed.to_sat();
        if self.publish.borrow().reserve_sat != reserve_sat {
            self.publish.send_modify(|watching| watching.reserve_sat = reserve_sat);
        }
    }
}
