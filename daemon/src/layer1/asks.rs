//! What users and channels want of the wallet and the chain.

use bitcoin::{Address, Amount, ScriptBuf, Transaction};
use chain_backend::backend::{Package, SubmitOutcome};
use channel::Command;
use tokio::sync::oneshot;
use wire::id::ChannelId;
use wire::units::{BlockHeight, FeeratePerKw};

use crate::channels::task::ChainNews;
use crate::clock::now_ms;
use crate::edge::Back;
use crate::fact::{ChannelIndex, DrillFunded, Fact, IntentMade, OrderKept};
use crate::layer1::fees::per_kw;
use crate::layer1::watches::Watches;
use crate::layer1::{BumpTarget, Layer1, Then, promise_of};
use crate::payments::Reply;
use crate::rpc::model::UnixMillis;
use crate::rpc::model::page::{Listing, Page};
use crate::rpc::model::wallet::{
    AddressKind, BumpHow, Bumped, Coins, SentCoins, SetAside, Utxo, WalletBalance,
    WalletTransaction,
};
use crate::rpc::refusal::Refusal;
use crate::wallet::{FundedTx, Label, PromiseId, Spend};

/// Coins for a channel.
#[derive(Debug)]
pub struct Fund {
    /// Which.
    pub channel: ChannelIndex,
    /// Its present id.
    pub id: ChannelId,
    /// What the output must be.
    pub script_pubkey: ScriptBuf,
    /// What it must hold.
    pub amount: Amount,
    /// What the transaction should pay.
    pub feerate: FeeratePerKw,
    /// Who is told: `FundingBuilt` or `FundingFailed`.
    pub then: Back<Vec<Command>>,
}

/// One wish of a user.
#[derive(Debug)]
pub enum Ask {
    /// A fresh address.
    Address {
        /// Which kind.
        kind: AddressKind,
        /// Its idempotency key.
        kept: Option<Box<OrderKept>>,
        /// Answered when it is durable: it is never handed out twice.
        reply: oneshot::Sender<Address>,
    },
    /// A script for a close or a sweep.
    Destination {
        /// Answered when it is durable.
        reply: oneshot::Sender<ScriptBuf>,
    },
    /// What the wallet holds.
    Balance {
        /// Answered at once.
        reply: oneshot::Sender<WalletBalance>,
    },
    /// What a payment would cost.
    Plan {
        /// Whom to pay, how much, at which feerate.
        spend: Box<Spend>,
        /// Answered at once.
        reply: Reply<FundedTx>,
    },
    /// Pay on Layer 1.
    Send {
        /// Whom to pay, how much, at which feerate.
        spend: Box<Spend>,
        /// A random name for the promise.
        promise: PromiseId,
        /// The user's note.
        label: String,
        /// Its idempotency key.
        kept: Option<Box<OrderKept>>,
        /// Answered when the transaction is durable and handed in.
        reply: Reply<SentCoins>,
    },
    /// Fund a drill: that its coins are gone, and which drill has them, is one record.
    Drill {
        /// Its funding output, and what its transaction should pay.
        spend: Box<Spend>,
        /// A random name for the promise.
        promise: PromiseId,
        /// Which drill.
        drill: u64,
        /// Answered when it is durable and handed in.
        reply: Reply<DrillFunded>,
    },
    /// Raise a fee.
    Bump {
        /// Whose.
        target: BumpTarget,
        /// How far.
        how: BumpHow,
        /// Answered when the new transaction is durable.
        reply: Reply<Bumped>,
    },
    /// The wallet's transactions.
    Transactions {
        /// Which.
        page: Page,
        /// Answered at once.
        reply: oneshot::Sender<Listing<WalletTransaction>>,
    },
    /// One transaction of the wallet.
    Transaction {
        /// Which.
        txid: bitcoin::Txid,
        /// Answered at once.
        reply: oneshot::Sender<Option<WalletTransaction>>,
    },
    /// The wallet's coins.
    Utxos {
        /// Answered at once.
        reply: oneshot::Sender<Vec<Utxo>>,
    },
}

impl Layer1 {
    pub(super) async fn answer(&mut self, ask: Ask) {
        let now = UnixMillis(now_ms());
        match ask {
            Ask::Address { kind, kept, reply } => {
                let (address, fact) = self.wallet.address(kind, now);
                let kept = kept.map(|mut kept| {
                    kept.made = address.to_string().as_str().into();
                    Fact::OrderKept(*kept)
                });
                let then = Box::new(move || drop(reply.send(address)));
                self.keep_then(fact, kept.into_iter().collect(), vec![then]);
            }
            Ask::Destination { reply } => {
                let (script, fact) = self.wallet.destination(now);
                let then = Box::new(move || drop(reply.send(script)));
                self.keep_then(fact, Vec::new(), vec![then]);
            }
            Ask::Balance { reply } => {
                let _gone = reply.send(self.wallet.balance(self.anchor_channels()));
            }
            Ask::Plan { spend, reply } => {
                let _gone = reply.send(self.wallet.plan(&spend).map_err(Into::into));
            }
            Ask::Send { spend, promise, label, kept, reply } => {
                self.send(&spend, promise, label, kept, reply).await;
            }
            Ask::Drill { spend, promise, drill, reply } => {
                self.fund_drill(&spend, promise, drill, reply).await;
            }
            Ask::Bump { target, how, reply } => self.bump(target, how, reply).await,
            Ask::Transactions { page, reply } => {
                let _gone = reply.send(self.wallet.transactions(page));
            }
            Ask::Transaction { txid, reply } => {
                let _gone = reply.send(self.wallet.transaction(txid));
            }
            Ask::Utxos { reply } => {
                let _gone = reply.send(self.wallet.utxos());
            }
        }
    }

    /// Channels that may need coins of the wallet to get their commitment confirmed.
    pub(super) fn anchor_channels(&self) -> u32 {
        u32::try_from(self.directory.doors().iter().count()).unwrap_or(u32::MAX)
    }

    /// The transaction is tested before anything is promised for good, written down, and handed in when
    /// it is durable.
    async fn send(
        &mut self,
        spend: &Spend,
        promise: PromiseId,
        label: String,
        kept: Option<Box<OrderKept>>,
        reply: Reply<SentCoins>,
    ) {
        let now = UnixMillis(now_ms());
        let (funded, promised) = match self.wallet.promise(promise, SetAside::Send, spend, now) {
            Ok(made) => made,
            Err(refusal) => {
                let _gone = reply.send(Err(refusal.into()));
                return;
            }
        };
        self.keep(promised, Vec::new());
        let txid = funded.tx.compute_txid();
        let tested = self.backend.test(&Package::single(funded.tx.clone())).await;
        if let SubmitOutcome::Invalid { reason } = tested {
            let released = self.wallet.release(promise, now);
            self.keep(released, Vec::new());
            let _gone = reply.send(Err(Refusal::BroadcastRefused { txid, why: reason }));
            return;
        }
        let sent = SentCoins {
            txid: Some(txid),
            amount: funded.amount,
            fee: funded.fee,
            feerate: spend.feerate,
        };
        let fact = self.wallet.broadcast(promise, Label { text: label, channel: None }, now);
        let kept = kept.map(|mut kept| {
            kept.made = txid.to_string().as_str().into();
            Fact::OrderKept(*kept)
        });
        let backend = std::sync::Arc::clone(&self.backend);
        let hand_in = Package::single(funded.tx);
        let tasks = self.tasks.clone();
        let then = Box::new(move || {
            tasks.detach("hand in", async move {
                let outcome = backend.submit(hand_in, None).await;
                tracing::info!(%txid, ?outcome, "sent");
                drop(reply.send(Ok(sent)));
            });
        });
        self.keep_then(fact, kept.into_iter().collect(), vec![then]);
    }

    /// Coins for a channel: promised, signed, and not broadcast before the channel says so.
    pub(super) fn fund(&mut self, fund: Fund) {
        let now = UnixMillis(now_ms());
        let spend = Spend {
            to: fund.script_pubkey,
            coins: Coins::Exactly(fund.amount),
            feerate: fund.feerate,
            anchor_channels: self.anchor_channels(),
        };
        let promise = promise_of(fund.channel);
        let made = self.wallet.promise(promise, SetAside::Channel(fund.id), &spend, now);
        let (command, fact) = match made {
            Ok((funded, fact)) => {
                let output_index = u16::try_from(funded.output_index).unwrap_or(u16::MAX);
                (Command::FundingBuilt { tx: funded.tx, output_index }, Some(fact))
            }
            Err(refusal) => {
                tracing::warn!(%refusal, channel = fund.channel.0, "cannot fund");
                (Command::FundingFailed, None)
            }
        };
        let then = fund.then;
        let tell: Then = Box::new(move || {
            let _ended = then.send(vec![command]);
        });
        match fact {
            Some(fact) => self.keep_then(fact, Vec::new(), vec![tell]),
            None => tell(),
        }
    }

    /// From now on it is handed in until it is deep, whatever happens to us meanwhile.
    pub(super) async fn broadcast(
        &mut self,
        channel: ChannelIndex,
        tx: Transaction,
        label: &'static str,
    ) {
        let now = UnixMillis(now_ms());
        let txid = tx.compute_txid();
        let id = self.directory.doors().get(channel).map(|door| door.id);
        let note = Label { text: label.to_owned(), channel: id };
        let fact = if label == crate::channels::task::FUNDING {
            self.wallet.broadcast(promise_of(channel), note, now)
        } else {
            self.wallet.note(txid, note, now)
        };
        let made = IntentMade { tx: tx.clone(), label: label.into(), channel: Some(channel.0) };
        if self.intents.add(made.clone()) {
            tracing::info!(%txid, label, channel = channel.0, "broadcast");
            self.keep(fact, vec![Fact::IntentMade(made)]);
        }
        let _answered = self.submit(Package::single(tx)).await;
    }

    /// Hands in whatever no block has.
    pub(super) async fn submit_all(&mut self) {
        for tx in self.intents.unsettled() {
            let package = self.intents.package(tx);
            if !self.submit(package).await {
                return;
            }
        }
        let pending = self.wallet.pending();
        for tx in &pending {
            // A parent that pays too little alone goes with its child.
            let is_parent = |of: &&Transaction| {
                let txid = of.compute_txid();
                tx.input.iter().any(|input| input.previous_output.txid == txid)
            };
            let mut all: Vec<Transaction> = pending.iter().filter(is_parent).cloned().collect();
            let closes = self.intents.parents_of(tx);
            all.extend(closes.into_iter().filter(|close| !pending.contains(close)));
            all.push(tx.clone());
            let package = Package::new(all).unwrap_or_else(|_| Package::single(tx.clone()));
            let outcome = self.backend.submit(package, None).await;
            tracing::debug!(?outcome, "handed in again");
            if outcome == SubmitOutcome::Unavailable {
                return;
            }
        }
    }

    /// Says whether the backend answered.
    async fn submit(&mut self, package: Package) -> bool {
        let Some(txid) = package.txs().last().map(Transaction::compute_txid) else { return true };
        let outcome = self.backend.submit(package, None).await;
        match &outcome {
            SubmitOutcome::Confirmed(at) => {
                let here = self.cursor.tip().height;
                let height = at.as_ref().map_or(here, |block| block.height);
                self.intents.settle(txid, height);
                self.sweeper.mined(txid, self.intents.settled_at(txid).map(BlockHeight));
            }
            SubmitOutcome::Accepted | SubmitOutcome::InMempool => {}
            SubmitOutcome::FeeTooLow { min } => {
                tracing::warn!(%txid, %min, "pays too little now; will be handed in again");
                // What raises it goes by the minimum.
                if per_kw(*min) > self.feerates.borrow().commitment {
                    self.look_up_fees().await;
                }
            }
            SubmitOutcome::Premature { .. } | SubmitOutcome::Unavailable => {
                tracing::debug!(%txid, ?outcome, "will be handed in again");
            }
            SubmitOutcome::Replaceable { .. }
            | SubmitOutcome::FeeTooHigh { .. }
            | SubmitOutcome::Conflict { .. }
            | SubmitOutcome::MissingInputs
            | SubmitOutcome::Invalid { .. } => {
                tracing::warn!(%txid, ?outcome, "not accepted; will be handed in again");
            }
        }
        outcome != SubmitOutcome::Unavailable
    }

    /// Tells channels what watches make of something.
    pub(super) async fn tell_all(
        &mut self,
        of: impl FnOnce(&mut Watches) -> Vec<(ChannelIndex, channel::ChainFact)>,
    ) {
        for (channel, fact) in of(&mut self.watches) {
            self.tell_one(channel, fact).await;
        }
    }

    pub(super) async fn tell_one(&self, channel: ChannelIndex, fact: channel::ChainFact) {
        if let Some(door) = self.directory.doors().get(channel) {
            let _ended = door.chain.send(ChainNews { facts: vec![fact], ack: None }).await;
        }
    }
}
