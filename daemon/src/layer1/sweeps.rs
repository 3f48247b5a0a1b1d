//! Sweeps of channels: coins of the wallet for those that cannot pay for themselves, replacements, and
//! what becomes of them.
//!
//! Not here: which claims go together and what they pay (`channels::sweep`).

use bitcoin::{Amount, OutPoint, Transaction, TxOut, Txid};
use chain_backend::backend::SubmitOutcome;
use wire::id::ChannelId;
use wire::units::FeeratePerKw;

use crate::channels::sweep::Word;
use crate::channels::task::Ask;
use crate::clock::now_ms;
use crate::fact::{ChannelIndex, Fact, IntentMade};
use crate::layer1::intents::SWEEP;
use crate::layer1::{Layer1, Then};
use crate::rpc::model::UnixMillis;
use crate::rpc::model::wallet::SetAside;
use crate::wallet::{Label, PromiseId};

/// A transaction that takes what is a channel's.
#[derive(Debug)]
pub struct Sweep {
    /// Whose.
    pub channel: ChannelIndex,
    /// Its name, under which coins for it may be held.
    pub name: PromiseId,
    /// The transaction; inputs without a witness are the wallet's.
    pub tx: Transaction,
    /// What its other inputs spend.
    pub prevouts: Vec<(OutPoint, TxOut)>,
}

impl Layer1 {
    /// Looks for coins and says which; the channel asks again at the next block if there are none.
    pub(super) fn want_coins(
        &mut self,
        channel: ChannelIndex,
        name: PromiseId,
        at_least: Amount,
        feerate: FeeratePerKw,
    ) {
        let now = UnixMillis(now_ms());
        let purpose = SetAside::Channel(self.id_of(channel));
        let (picked, fact) = self.wallet.hold(name, purpose, at_least, feerate, now);
        let then = self.tell(channel, Word::Coins { name, picked });
        self.keep_then(fact, Vec::new(), vec![then]);
    }

    /// Signs for the wallet's coins, writes the transaction down and hands it in, unless it could be in
    /// no block, or would not replace what is on its way already.
    pub(super) async fn sweep(&mut self, sweep: Sweep) {
        let Sweep { channel, name, tx, prevouts } = sweep;
        let tx = match self.wallet.sign_held(name, tx, &prevouts) {
            Ok(tx) => tx,
            Err(refusal) => {
                tracing::warn!(channel = channel.0, %refusal, "cannot sign for a sweep's coins");
                return self.refuse(channel, name);
            }
        };
        let txid = tx.compute_txid();
        let rivals = self.intents.rivals(&tx);
        let package = self.intents.package(tx.clone());
        let tested = self.backend.test(&package).await;
        match &tested {
            SubmitOutcome::MissingInputs | SubmitOutcome::Invalid { .. } => {
                tracing::warn!(channel = channel.0, %txid, ?tested, "a sweep that no block can have");
                return self.refuse(channel, name);
            }
            SubmitOutcome::Replaceable { .. }
            | SubmitOutcome::FeeTooLow { .. }
            | SubmitOutcome::FeeTooHigh { .. }
            | SubmitOutcome::Conflict { .. }
                if !rivals.is_empty() =>
            {
                tracing::debug!(channel = channel.0, %txid, ?tested, "replaces nothing yet");
                return self.wallet.unhold(name);
            }
            SubmitOutcome::Accepted
            | SubmitOutcome::InMempool
            | SubmitOutcome::Confirmed(_)
            | SubmitOutcome::Replaceable { .. }
            | SubmitOutcome::FeeTooLow { .. }
            | SubmitOutcome::FeeTooHigh { .. }
            | SubmitOutcome::Conflict { .. }
            | SubmitOutcome::Premature { .. }
            | SubmitOutcome::Unavailable => {}
        }
        let now = UnixMillis(now_ms());
        let id = self.id_of(channel);
        let replaced = self.wallet.settle(&rivals, &rivals, now);
        let mut facts = Vec::new();
        for rival in rivals {
            self.intents.remove(rival);
            facts.push(Fact::IntentDone(rival));
        }
        let made = IntentMade { tx: tx.clone(), label: SWEEP.into(), channel: Some(channel.0) };
        if self.intents.add(made.clone()) {
            facts.push(Fact::IntentMade(made));
        }
        let label = Label { text: SWEEP.to_owned(), channel: Some(id) };
        let fact = self.wallet.promise_held(name, SetAside::Channel(id), tx, label, now);
        facts.push(Fact::Wallet(fact.into_bytes()));
        // The promise of what is replaced ends before this one begins.
        let backend = std::sync::Arc::clone(&self.backend);
        let tasks = self.tasks.clone();
        let then: Then = Box::new(move || {
            tasks.detach("hand in", async move {
                let outcome = backend.submit(package, None).await;
                tracing::info!(%txid, ?outcome, "swept");
            });
        });
        self.keep_then(replaced, facts, vec![then]);
    }

    /// Coins of sweeps that are in a block, or never will be, are promised to them no more.
    pub(super) fn settle_sweeps(&mut self) -> Vec<Fact> {
        let (mined, lost) = self.intents.take_settled();
        if mined.is_empty() && lost.is_empty() {
            return Vec::new();
        }
        let over: Vec<Txid> = mined.iter().chain(&lost).copied().collect();
        let fact = self.wallet.settle(&over, &lost, UnixMillis(now_ms()));
        let wallet = Fact::Wallet(fact.into_bytes());
        std::iter::once(wallet).chain(lost.into_iter().map(Fact::IntentDone)).collect()
    }

    fn refuse(&mut self, channel: ChannelIndex, name: PromiseId) {
        self.wallet.unhold(name);
        self.tell(channel, Word::Refused { name })();
    }

    /// A word to a channel. One that is too busy to hear it asks again at the next block.
    fn tell(&self, channel: ChannelIndex, word: Word) -> Then {
        let door = self.directory.doors().get(channel).map(|door| door.asks.clone());
        Box::new(move || {
            if let Some(door) = door
                && let Err(error) = door.try_send(Ask::Sweep(word))
            {
                tracing::debug!(channel = channel.0, %error, "a word about a sweep was not heard");
            }
        })
    }

    fn id_of(&self, channel: ChannelIndex) -> ChannelId {
        self.directory.doors().get(channel).map_or(ChannelId([0; 32]), |door| door.id)
    }
}
