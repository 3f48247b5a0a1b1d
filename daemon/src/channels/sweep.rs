//! Money that waits on Layer 1 goes home: claims become transactions as soon as their locks open, and
//! pay more while they wait. BOLT 5.
//!
//! A claim that cannot pay for itself asks Layer 1 for coins of the wallet, is built and signed here, and
//! gets the wallet's signatures there. A transaction once made is kept by Layer 1 until it is deep in the
//! chain; here is only remembered which outputs are under way, and at what feerate.
//!
//! Not here: what is ours to claim (`channel::onchain`).

mod attempts;
mod rate;
#[cfg(test)]
mod tests;

use bitcoin::hashes::Hash as _;
use bitcoin::{Amount, OutPoint, ScriptBuf, Transaction, TxOut, Txid};
use channel::onchain::Claim;
use channel::onchain::sweep::Coin;
use channel::signer::Signer as _;
use channel::tx::Spend;
use wire::units::{BlockHeight, FeeratePerKw};

use crate::channels::task::ChannelTask;
use crate::layer1::{self, Feerates};
use crate::tasks::Fatal;
use crate::wallet::{Picked, PromiseId};
use attempts::{Attempts, Job, Parent, Stuck};
use rate::Hurry;

/// Blocks that a commitment of ours with HTLCs may wait before its anchor pays for it.
const WAIT_WITH_HTLCS: u32 = 2;

/// The same without HTLCs.
const WAIT: u32 = 12;

/// What coins must leave besides the fee, so that their change is no dust.
const CHANGE: Amount = Amount::from_sat(1_000);

/// What a channel takes on Layer 1.
#[derive(Debug, Default)]
pub(super) struct Sweeper {
    /// What is ours to take, as the channel said last.
    pub(super) claims: Vec<Claim>,
    attempts: Attempts,
    /// Our commitment on its way to a block, and since when.
    close: Option<(Transaction, BlockHeight)>,
}

/// What Layer 1 says about the fee of a sweep.
#[derive(Debug)]
pub enum Word {
    /// These coins are held for it.
    Coins {
        /// For what.
        name: PromiseId,
        /// The coins; `None` if the wallet does not have enough confirmed ones.
        picked: Option<Picked>,
    },
    /// It can be in no block as things stand.
    Refused {
        /// What.
        name: PromiseId,
    },
}

impl Sweeper {
    /// With the sweeps that a restart finds on their way.
    pub(super) fn restore(sweeps: &[Transaction], now: BlockHeight) -> Self {
        Self { attempts: Attempts::restore(sweeps, now), ..Self::default() }
    }

    /// The transaction of ours that is to take this output.
    pub(super) fn under_way(&self, outpoint: OutPoint) -> Option<Txid> {
        self.attempts.under_way(outpoint)
    }

    /// Our commitment goes to the miners.
    pub(super) fn closing(&mut self, tx: Transaction, now: BlockHeight) {
        let known = self.close.as_ref().is_some_and(|(old, _)| *old == tx);
        if !known {
            self.close = Some((tx, now));
        }
    }
}

impl ChannelTask {
    /// Takes everything whose lock is open and that is worth its fee; pays more for what waits too long.
    /// Said at every block.
    pub(super) fn sweep(&mut self) -> Result<(), Fatal> {
        let tip = *self.common.height.borrow();
        let feerates = *self.common.feerates.borrow();
        let stuck = self.stuck(tip, &feerates);
        let Sweeper { claims, attempts, .. } = &mut self.sweeper;
        let plan = attempts.plan(claims, stuck.as_ref(), tip, &feerates);
        for name in plan.free {
            self.layer1(layer1::FromChannel::FreeCoins { name })?;
        }
        plan.jobs.into_iter().try_for_each(|job| self.begin_sweep(job))
    }

    /// Our commitment, if it waits for a block too long. BOLT 5 § Failing a Channel.
    fn stuck(&self, tip: BlockHeight, feerates: &Feerates) -> Option<Stuck> {
        let (close, since) = self.sweeper.close.as_ref()?;
        let channel = self.channel()?;
        let anchor = channel.bump(&self.env())?;
        if anchor.spend.outpoint.txid != close.compute_txid() {
            return None;
        }
        let weight = close.weight().to_wu();
        let out = close.output.iter().map(|txout| txout.value.to_sat());
        let out = Amount::from_sat(out.fold(0, u64::saturating_add));
        let fee = channel.capacity()?.checked_sub(out).unwrap_or(Amount::ZERO);
        let (ours, _) = channel.balances()?;
        let htlcs =
            channel.state()?.ledger.htlcs().map(|(_, htlc)| htlc.add.amount_msat.floor_sat());
        let htlcs = Amount::from_sat(htlcs.map(Amount::to_sat).fold(0, u64::saturating_add));
        let waited = tip.0.saturating_sub(since.0);
        let hurry = Hurry {
            contested: anchor.deadline.is_some(),
            remaining: anchor.deadline.map(|deadline| deadline.0.saturating_sub(tip.0).max(4)),
            waited,
        };
        let patience = if htlcs > Amount::ZERO { WAIT_WITH_HTLCS } else { WAIT };
        let relayed = feerates.commitment.fee_ceil(weight) <= fee;
        let paid = rate::rate(feerates, &hurry).fee_ceil(weight) <= fee;
        if (relayed && waited < patience) || paid {
            return None;
        }
        let stake = if htlcs > Amount::ZERO { htlcs } else { ours.floor_sat() };
        Some(Stuck { anchor, parent: Parent { weight, fee }, stake, hurry })
    }

    fn begin_sweep(&mut self, mut job: Job) -> Result<(), Fatal> {
        let Some(to) = self.home() else { return Ok(()) };
        if !job.needs_coins {
            return self.finish_sweep(&job, &[], &to);
        }
        // What it would cost with one coin that is large enough.
        let plenty = Coin {
            outpoint: OutPoint { txid: Txid::all_zeros(), vout: 0 },
            value: Amount::MAX_MONEY,
            input_weight: 272,
        };
        let Some((sweep, feerate)) = job.build(&[plenty], &to) else {
            tracing::debug!(channel = self.index.0, "worth less than its fee now; fees may fall");
            return Ok(());
        };
        job.feerate = feerate;
        let at_least = sweep.fee.checked_add(CHANGE).unwrap_or(sweep.fee);
        let (channel, name) = (self.index, job.name);
        self.sweeper.attempts.ask(job);
        self.layer1(layer1::FromChannel::WantCoins { channel, name, at_least, feerate })
    }

    /// Layer 1 answered.
    pub(super) fn take_word(&mut self, word: Word) -> Result<(), Fatal> {
        match word {
            Word::Coins { name, picked: Some(picked) } => {
                match self.sweeper.attempts.take_asked(name) {
                    Some(job) => self.finish_sweep(&job, &picked.coins, &picked.change),
                    None => self.layer1(layer1::FromChannel::FreeCoins { name }),
                }
            }
            Word::Coins { name, picked: None } => {
                let asked = self.sweeper.attempts.take_asked(name);
                if let Some(job) = asked {
                    tracing::warn!(
                        channel = self.index.0,
                        worth = %job.limit,
                        "ALARM: the wallet has no confirmed coins to pay for this claim; \
                         it is tried again at every block"
                    );
                }
                Ok(())
            }
            Word::Refused { name } => {
                let txid = self.sweeper.attempts.forget(name);
                self.meta.sweeps.retain(|(of, _)| Some(*of) != txid);
                Ok(())
            }
        }
    }

    /// Signs our part and hands it on.
    fn finish_sweep(&mut self, job: &Job, coins: &[Coin], to: &ScriptBuf) -> Result<(), Fatal> {
        let name = job.name;
        let Some((sweep, feerate)) = job.build(coins, to) else {
            tracing::debug!(channel = self.index.0, "worth less than its fee now; fees may fall");
            return self.layer1(layer1::FromChannel::FreeCoins { name });
        };
        let (mut tx, fee) = (sweep.tx, sweep.fee);
        let spends: Vec<&Spend> = job.spends.iter().collect();
        if let Err(refusal) = self.signer().sign_spends(&mut tx, &spends) {
            tracing::error!(channel = self.index.0, %refusal, "cannot sign a sweep");
            return self.layer1(layer1::FromChannel::FreeCoins { name });
        }
        let txid = tx.compute_txid();
        tracing::info!(channel = self.index.0, %txid, %fee, ?feerate, "sweeping");
        self.note_sweep(name, txid, fee, feerate);
        let prevouts = spends.iter().map(|spend| (spend.outpoint, prevout(spend))).collect();
        let channel = self.index;
        let sweep = layer1::Sweep { channel, name, tx, prevouts };
        self.layer1(layer1::FromChannel::Sweep(Box::new(sweep)))
    }

    fn note_sweep(&mut self, name: PromiseId, txid: Txid, fee: Amount, feerate: FeeratePerKw) {
        let old = self.sweeper.attempts.made(name, txid, feerate);
        self.meta.sweeps.retain(|(of, _)| Some(*of) != old);
        self.meta.sweeps.push((txid, fee));
    }

    /// Where claims that pay for themselves go.
    fn home(&self) -> Option<ScriptBuf> {
        Some(self.channel()?.terms()?.shutdown_script.clone())
    }
}

fn prevout(spend: &Spend) -> TxOut {
    TxOut { value: spend.value, script_pubkey: spend.witness_script.to_p2wsh() }
}
