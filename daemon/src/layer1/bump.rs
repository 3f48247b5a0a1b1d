//! A human wants a transaction to be in a block sooner.
//!
//! Not here: how a sweep is replaced (`sweeps`), how a payment is (`wallet`).

use bitcoin::{Amount, OutPoint, Transaction, Txid};
use chain_backend::backend::{Package, SubmitOutcome};
use wire::units::{BlockHeight, FeeratePerKw};

use crate::clock::now_ms;
use crate::fact::ChannelIndex;
use crate::layer1::{Layer1, Then};
use crate::payments::Reply;
use crate::rpc::model::UnixMillis;
use crate::rpc::model::wallet::{BumpHow, Bumped, Bumping};
use crate::rpc::refusal::{BumpNo, Refusal};
use crate::sweeper::{Order, Standing};

/// Which transaction it is about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum BumpTarget {
    /// Whatever a channel waits for: its funding, its commitment, its sweeps.
    Channel(ChannelIndex),
    /// This one.
    Tx(Txid),
}

impl Layer1 {
    /// Raises a fee, and answers when that is durable and handed in.
    pub(super) async fn bump(&mut self, target: BumpTarget, how: BumpHow, reply: Reply<Bumped>) {
        let refusal = |target: String, why| Refusal::BumpRefused { target, why };
        if let BumpHow::Deadline(height) = how
            && height <= *self.height.borrow()
        {
            let past = refusal(height.0.to_string(), BumpNo::Past);
            let _gone = reply.send(Err(past));
            return;
        }
        let (name, done) = match target {
            BumpTarget::Channel(channel) => {
                (format!("channel {}", channel.0), self.bump_channel(channel, how).await)
            }
            BumpTarget::Tx(txid) => (txid.to_string(), self.bump_tx(txid, how).await),
        };
        match done {
            // Answered behind everything that was staged for it.
            Ok(bumped) => {
                let then: Then = Box::new(move || drop(reply.send(Ok(bumped))));
                self.after_all(then);
            }
            Err(why) => {
                let _gone = reply.send(Err(refusal(name, why)));
            }
        }
    }

    async fn bump_channel(
        &mut self,
        channel: ChannelIndex,
        how: BumpHow,
    ) -> Result<Bumped, BumpNo> {
        if let Some((anchor, _)) = self.sweeper.anchor_of(channel) {
            return self.bump_claims(&[anchor], Bumping::Commitment, how).await;
        }
        let members = self.sweeper.waiting_of(channel);
        if !members.is_empty() {
            return self.bump_claims(&members, Bumping::Sweep, how).await;
        }
        let id = self.directory.doors().get(channel).map(|door| door.id);
        let waiting = id.and_then(|id| self.wallet.waiting_of(id)).ok_or(BumpNo::NothingWaits)?;
        self.bump_wallet(waiting, how).await
    }

    async fn bump_tx(&mut self, txid: Txid, how: BumpHow) -> Result<Bumped, BumpNo> {
        if let Some(members) = self.sweeper.members_of(txid) {
            return self.bump_claims(&members, Bumping::Sweep, how).await;
        }
        if self.sweeper.has(txid) {
            return Err(BumpNo::Mined);
        }
        if let Some(channel) = self.sweeper.waits_for(txid) {
            return self.bump_channel(channel, how).await;
        }
        self.bump_wallet(txid, how).await
    }

    async fn bump_claims(
        &mut self,
        outpoints: &[OutPoint],
        what: Bumping,
        how: BumpHow,
    ) -> Result<Bumped, BumpNo> {
        let first = outpoints.first().copied().ok_or(BumpNo::NothingWaits)?;
        let before = self.sweeper.taker_of(first);
        let order = match how {
            BumpHow::Feerate(feerate) => Order::Feerate(feerate),
            BumpHow::Deadline(height) => Order::Deadline(height),
            BumpHow::Auto => {
                let now = before.map_or(FeeratePerKw(0), |(_, _, feerate)| feerate);
                Order::Feerate(self.more_than(now))
            }
        };
        self.sweeper.order(outpoints, order);
        self.refused = None;
        self.sweep().await;
        let after = self.sweeper.taker_of(first);
        match after.filter(|after| Some(after.0) != before.map(|before| before.0)) {
            Some((txid, fee, feerate)) => Ok(Bumped { txid, fee, feerate, what }),
            None => {
                self.sweeper.disorder(outpoints);
                Err(match self.refused.take() {
                    Some(Standing::NeedsCoins { missing, .. }) => BumpNo::Short { missing },
                    Some(Standing::Uneconomic { cost }) => BumpNo::TooDear { cost },
                    Some(Standing::Refused { why }) => BumpNo::Refused { why },
                    _ => BumpNo::PaysAsMuch,
                })
            }
        }
    }

    async fn bump_wallet(&mut self, txid: Txid, how: BumpHow) -> Result<Bumped, BumpNo> {
        let close = self.intents.get(txid).filter(|_| self.intents.is_close(txid)).cloned();
        let now = match &close {
            Some(close) => {
                let paid = self.paid_by(close).await;
                self.wallet.feerate_with_child(close, paid)
            }
            None => self.wallet.feerate_of(txid).unwrap_or(FeeratePerKw(0)),
        };
        let feerate = match how {
            BumpHow::Feerate(feerate) => feerate,
            BumpHow::Deadline(height) => self.enough_for(height),
            BumpHow::Auto => self.more_than(now),
        };
        let feerates = *self.feerates.borrow();
        if feerate > feerates.max {
            return Err(BumpNo::AboveMax { max: feerates.max });
        }
        if let Some(close) = close {
            if now >= feerate {
                return Err(BumpNo::PaysAsMuch);
            }
            return self.raise_close(&close, feerate, Amount::MAX_MONEY).await;
        }
        let raised = self.wallet.plan_raise(txid, feerate)?;
        let mut txs: Vec<Transaction> = raised.parent.iter().cloned().collect();
        txs.push(raised.tx.clone());
        let package =
            Package::new(txs).map_err(|error| BumpNo::Refused { why: error.to_string() })?;
        let tested = self.backend.test(&package).await;
        if !tested.is_success() {
            return Err(if let SubmitOutcome::Replaceable { needed } = tested {
                BumpNo::PaysTooLittle { needed: needed.max(raised.fee) }
            } else {
                BumpNo::Refused { why: format!("{tested:?}") }
            });
        }
        let fact = self.wallet.raise(txid, &raised, UnixMillis(now_ms()));
        let made = raised.tx.compute_txid();
        let what = if raised.parent.is_some() { Bumping::Child } else { Bumping::Replacement };
        tracing::info!(%txid, by = %made, fee = %raised.fee, ?what, "fee raised");
        let backend = std::sync::Arc::clone(&self.backend);
        let tasks = self.tasks.clone();
        let then: Then = Box::new(move || {
            tasks.detach("hand in", async move {
                let outcome = backend.submit(package, None).await;
                tracing::info!(txid = %made, ?outcome, "handed in");
            });
        });
        self.keep_then(fact, Vec::new(), vec![then]);
        Ok(Bumped { txid: made, fee: raised.fee, feerate: raised.feerate, what })
    }

    /// What the estimates say for the blocks that are left; for fewer than six, twice that of six.
    fn enough_for(&self, deadline: BlockHeight) -> FeeratePerKw {
        let feerates = self.feerates.borrow();
        match deadline.0.saturating_sub(self.height.borrow().0) {
            144.. => feerates.relaxed,
            6..144 => feerates.normal,
            _ => FeeratePerKw(feerates.normal.0.saturating_mul(2)).min(feerates.max),
        }
    }

    /// Half as much again, and no less than the estimate for six blocks.
    fn more_than(&self, now: FeeratePerKw) -> FeeratePerKw {
        let feerates = self.feerates.borrow();
        let more = now.0.saturating_add(now.0.div_euclid(2)).saturating_add(1);
        FeeratePerKw(more).max(feerates.normal).min(feerates.max)
    }
}

impl BumpHow {
    /// As users give it.
    pub const fn new(feerate: Option<FeeratePerKw>, deadline: Option<BlockHeight>) -> Self {
        match (feerate, deadline) {
            (Some(feerate), _) => Self::Feerate(feerate),
            (None, Some(height)) => Self::Deadline(height),
            (None, None) => Self::Auto,
        }
    }
}
