//! What the sweeper plans is made here: coins of the wallet, signatures, a test, the journal, the miners.
//!
//! One task does all of it, so a transaction over several channels needs no round of questions that a
//! crash could cut: keys of a channel follow from the seed and its index, and its signer, made anew for
//! each transaction, signs what the channel named as its claim and nothing else. Nothing is handed in
//! before transaction, fee and promise of coins are in one record; a crash before that leaves nothing
//! behind, one after it leaves an intent.
//!
//! Not here: which claims go together and what they pay (`sweeper`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bitcoin::hashes::Hash as _;
use bitcoin::{Amount, OutPoint, ScriptBuf, Transaction, TxOut, Txid};
use chain_backend::backend::{Package, SubmitOutcome};
use channel::onchain::sweep::Coin;
use channel::signer::{InMemorySigner, Memory, Signer as _};
use channel::tx::{Recipe, Spend};
use wire::id::ChannelId;
use wire::units::{BlockHeight, FeeratePerKw};

use crate::clock::now_ms;
use crate::fact::{ChannelIndex, Fact, IntentMade, SweepMade};
use crate::layer1::fees::per_kw;
use crate::layer1::intents::SWEEP;
use crate::layer1::{Layer1, Then};
use crate::rpc::model::UnixMillis;
use crate::rpc::model::wallet::SetAside;
use crate::sweeper::{Built, Job, Look, Standing};
use crate::wallet::Label;

/// How long to gather what channels claim, so that it goes into as few transactions as possible.
pub(super) const GATHER: Duration = Duration::from_millis(100);

/// What coins must leave besides the fee, so that their change is no dust.
const CHANGE: Amount = Amount::from_sat(1_000);

/// How often a transaction is made anew because the mempool wants more for it.
const TRIES: usize = 4;

/// How often a plan follows from what the one before it made.
const ROUNDS: usize = 40;

/// A signed transaction, and what it is.
struct Ready {
    tx: Transaction,
    built: Built,
    rivals: Vec<Txid>,
    package: Package,
}

impl Layer1 {
    /// The sweeper is to look again soon.
    pub(super) fn sweep_soon(&mut self) {
        if self.sweep_at.is_none() {
            self.sweep_at = tokio::time::Instant::now().checked_add(GATHER);
        }
    }

    /// Makes everything that is to be made now.
    pub(super) async fn sweep(&mut self) {
        self.sweep_at = None;
        if !self.intents.synced_once() {
            return;
        }
        if std::mem::take(&mut self.hand_in_again) {
            self.submit_all().await;
        }
        self.make_all(false).await;
    }

    /// What is on its way pays more, if it is time for that: at every block, before the next one.
    pub(super) async fn raise(&mut self) {
        self.make_all(true).await;
    }

    async fn make_all(&mut self, only_raises: bool) {
        let mut tried: BTreeSet<Vec<OutPoint>> = BTreeSet::new();
        for _ in 0..ROUNDS {
            let feerates = *self.feerates.borrow();
            let look = Look {
                tip: *self.height.borrow(),
                feerates: &feerates,
                parents: &self.mempool.parents,
                fought: &self.mempool.fought,
            };
            let jobs = match only_raises {
                true => self.sweeper.raises(&look),
                false => self.sweeper.plan(&look),
            };
            let mut progress = false;
            for job in jobs {
                let takes = job.spends().iter().map(|spend| spend.outpoint).collect();
                if tried.insert(takes) {
                    progress |= self.make(&job).await;
                }
            }
            if !progress {
                break;
            }
        }
        self.show_sweeps();
    }

    /// Shows how far every claim is.
    pub(super) fn show_sweeps(&self) {
        let book = self.sweeper.shown(*self.height.borrow());
        self.sweeps.send_if_modified(|shown| {
            let changed = **shown != book;
            if changed {
                *shown = Arc::new(book);
            }
            changed
        });
    }

    /// Makes one transaction, writes it down and hands it in; says whether anything was made.
    async fn make(&mut self, job: &Job) -> bool {
        let made = self.prepare(job).await;
        match made {
            Ok(ready) => {
                self.commit_sweep(job, ready);
                true
            }
            Err(standing) => {
                self.refused = Some(standing.clone());
                // What is on its way already stays so.
                self.wallet.unhold(job.name);
                let first = job.spends().first().map(|spend| spend.outpoint);
                let old = first.and_then(|first| self.sweeper.said_of(first));
                let news =
                    old.map(std::mem::discriminant) != Some(std::mem::discriminant(&standing));
                if news && let Standing::NeedsCoins { needed, missing } = &standing {
                    tracing::error!(%needed, %missing, worth = %job.limit,
                        "ALARM: the wallet has too few coins to pay for this claim; \
                         send it what is missing: it is tried again at every block");
                } else if news {
                    tracing::warn!(?standing, worth = %job.limit, "this claim cannot be swept now");
                }
                if !job.replaces {
                    self.sweeper.failed(job, &standing);
                }
                false
            }
        }
    }

    /// Finds coins, builds, signs and tests, until the mempool would take it.
    async fn prepare(&mut self, job: &Job) -> Result<Ready, Standing> {
        if let Some(other) = self.ends_already(job).await {
            return Err(Standing::Refused { why: format!("{other} waits instead") });
        }
        let mut job = job.clone();
        let mut floor = self.feerates.borrow().commitment;
        let spent: Vec<OutPoint> = job.spends().iter().map(|spend| spend.outpoint).collect();
        let rivals = self.intents.rivals(&spent);
        let mut least = rivals
            .iter()
            .filter_map(|rival| self.sweeper.fee_in_mempool(*rival))
            .fold(Amount::ZERO, |sum, fee| sum.checked_add(fee).unwrap_or(sum));
        let mut last = Standing::Ready;
        for _ in 0..TRIES {
            let (coins, to) = self.coins_for(&job, least, floor)?;
            let built = job
                .build(&coins, &to, least, floor)
                .map_err(|dear| Standing::Uneconomic { cost: dear.cost })?;
            let tx = self.sign(&job, built.sweep.tx.clone())?;
            let package = self.intents.package(tx.clone());
            let tested = self.backend.test(&package).await;
            last = Standing::Refused { why: format!("{tested:?}") };
            match tested {
                SubmitOutcome::Accepted
                | SubmitOutcome::InMempool
                | SubmitOutcome::Confirmed(_) => {
                    return Ok(Ready { tx, built, rivals, package });
                }
                SubmitOutcome::Replaceable { needed } => {
                    let least_now = built.sweep.fee.max(least);
                    least = needed.max(least_now);
                }
                SubmitOutcome::FeeTooLow { min } => {
                    // A tenth on top: the minimum rises while the mempool is full.
                    let min = per_kw(min);
                    let above = floor.0.max(built.feerate.0);
                    let above = above.saturating_add(above.div_euclid(10)).saturating_add(1);
                    floor = min.max(FeeratePerKw(above));
                    job.feerate = job.feerate.max(floor);
                }
                SubmitOutcome::Invalid { reason }
                    if reason.starts_with("too-long-mempool-chain") =>
                {
                    return Err(last);
                }
                SubmitOutcome::MissingInputs | SubmitOutcome::Invalid { .. } => {
                    if job.members.len() > 1 {
                        self.sweeper.distrust(&job);
                    }
                    return Err(last);
                }
                SubmitOutcome::FeeTooHigh { .. }
                | SubmitOutcome::Conflict { .. }
                | SubmitOutcome::Premature { .. }
                | SubmitOutcome::Unavailable => return Err(last),
            }
        }
        Err(last)
    }

    /// What ends the channel whose waiting commitment a job pays for, if another commitment does.
    async fn ends_already(&self, job: &Job) -> Option<Txid> {
        let anchor = job.members.first().filter(|wanted| {
            matches!(wanted.claim.spend.recipe, Recipe::Anchor) && job.members.len() == 1
        })?;
        self.is_ended_by_another(anchor.claim.spend.outpoint.txid).await
    }

    /// Coins for what cannot pay for itself, and where everything goes.
    fn coins_for(
        &mut self,
        job: &Job,
        least: Amount,
        floor: FeeratePerKw,
    ) -> Result<(Vec<Coin>, ScriptBuf), Standing> {
        let to = self.home(job);
        if !job.needs_coins {
            return Ok((Vec::new(), to));
        }
        // What it would cost with one coin that is large enough.
        let plenty = Coin {
            outpoint: OutPoint { txid: Txid::all_zeros(), vout: 0 },
            value: Amount::MAX_MONEY,
            input_weight: 272,
        };
        let mut wish = job.clone();
        let mut needed = None;
        loop {
            let built = wish
                .build(&[plenty], &to, least, floor)
                .map_err(|dear| Standing::Uneconomic { cost: dear.cost })?;
            let at_least = built.sweep.fee.checked_add(CHANGE).unwrap_or(built.sweep.fee);
            let (first, first_rate) = *needed.get_or_insert((at_least, built.feerate));
            let purpose = SetAside::Channel(self.first_channel(job));
            let now = UnixMillis(now_ms());
            let (picked, fact) =
                self.wallet.hold(job.name, purpose, at_least, built.feerate, !job.replaces, now);
            self.keep(fact, Vec::new());
            if let Some(picked) = picked {
                return Ok((picked.coins, picked.change));
            }
            // With what there is, rather later than never.
            if wish.feerate <= floor {
                let missing = self.wallet.lacks(job.name, first, first_rate, !job.replaces);
                return Err(Standing::NeedsCoins { needed: first, missing });
            }
            wish.feerate = FeeratePerKw(wish.feerate.0.div_euclid(2)).max(floor);
        }
    }

    /// Where claims that pay for themselves go: a script of the wallet, the same for a replacement.
    fn home(&mut self, job: &Job) -> ScriptBuf {
        let old = job.spends().iter().find_map(|spend| {
            let (txid, ..) = self.sweeper.taker_of(spend.outpoint)?;
            let outputs = self.intents.get(txid)?.output.iter();
            outputs.map(|output| &output.script_pubkey).find(|of| self.wallet.is_ours(of)).cloned()
        });
        if let Some(script) = old {
            return script;
        }
        if let Some(script) = &self.spare {
            return script.clone();
        }
        let (script, fact) = self.wallet.destination(UnixMillis(now_ms()));
        self.keep(fact, Vec::new());
        self.spare = Some(script.clone());
        script
    }

    /// Every channel's signer signs its inputs, the wallet its coins.
    fn sign(&self, job: &Job, mut tx: Transaction) -> Result<Transaction, Standing> {
        let refused = |why: String| Standing::Refused { why };
        let mut by_channel: BTreeMap<ChannelIndex, Vec<&Spend>> = BTreeMap::new();
        for wanted in &job.members {
            by_channel.entry(wanted.channel).or_default().push(&wanted.claim.spend);
        }
        for (channel, spends) in by_channel {
            let number = u32::try_from(channel.0).map_err(|error| refused(error.to_string()))?;
            let signer = InMemorySigner::new(self.seed.expose(), number, Memory::default());
            signer
                .and_then(|signer| signer.sign_spends(&mut tx, &spends))
                .map_err(|error| refused(error.to_string()))?;
        }
        let prevouts: Vec<(OutPoint, TxOut)> =
            job.spends().into_iter().map(|spend| (spend.outpoint, prevout(spend))).collect();
        if !job.needs_coins {
            return Ok(tx);
        }
        self.wallet
            .sign_held(job.name, tx, &prevouts)
            .map_err(|refusal| refused(refusal.to_string()))
    }

    /// Writes it down, and hands it in when that is durable.
    fn commit_sweep(&mut self, job: &Job, ready: Ready) {
        let Ready { tx, built, rivals, package } = ready;
        let txid = tx.compute_txid();
        let Built { sweep, feerate } = built;
        tracing::info!(%txid, fee = %sweep.fee, ?feerate, claims = job.members.len(),
            replaces = rivals.len(), "sweeping");
        let now = UnixMillis(now_ms());
        // The promise of what is replaced ends before the new one begins.
        let replaced = self.wallet.settle(&rivals, &rivals, now);
        let mut facts = Vec::new();
        for rival in rivals {
            self.intents.remove(rival);
            self.sweeper.over(rival);
            facts.push(Fact::IntentDone(rival));
        }
        let channels: BTreeSet<ChannelIndex> =
            job.members.iter().map(|wanted| wanted.channel).collect();
        let only = (channels.len() == 1).then(|| channels.first().copied()).flatten();
        let intent =
            IntentMade { tx: tx.clone(), label: SWEEP.into(), channel: only.map(|only| only.0) };
        let made = SweepMade {
            txid,
            name: job.name.0,
            fee_sat: sweep.fee.to_sat(),
            feerate,
            since: job.since,
            deadline: job.deadline,
            members: (job.members.iter())
                .map(|wanted| (wanted.channel.0, wanted.claim.spend.outpoint))
                .collect(),
            ordered: job.ordered,
        };
        self.sweeper.made(&made);
        if self.intents.add(intent.clone()) {
            facts.push(Fact::IntentMade(intent));
        }
        facts.push(Fact::SweepMade(made));
        let used = |spare: &ScriptBuf| tx.output.iter().any(|out| out.script_pubkey == *spare);
        if self.spare.as_ref().is_some_and(used) {
            self.spare = None;
        }
        let id = self.first_channel(job);
        let label = Label { text: SWEEP.to_owned(), channel: only.map(|_| id) };
        let fact = self.wallet.promise_held(job.name, SetAside::Channel(id), tx, label, now);
        facts.push(Fact::Wallet(fact.into_bytes()));
        let backend = Arc::clone(&self.backend);
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
        let void = self.wallet.builds_on(&self.intents.take_conflicted());
        if mined.is_empty() && lost.is_empty() && void.is_empty() {
            return Vec::new();
        }
        for txid in &mined {
            self.sweeper.mined(*txid, self.intents.settled_at(*txid).map(BlockHeight));
        }
        for txid in &lost {
            self.sweeper.over(*txid);
        }
        let over: Vec<Txid> = mined.iter().chain(&lost).copied().collect();
        let gone: Vec<Txid> = lost.iter().chain(&void).copied().collect();
        let fact = self.wallet.settle(&over, &gone, UnixMillis(now_ms()));
        let wallet = Fact::Wallet(fact.into_bytes());
        std::iter::once(wallet).chain(lost.into_iter().map(Fact::IntentDone)).collect()
    }

    fn first_channel(&self, job: &Job) -> ChannelId {
        let first = job.members.first().map(|wanted| wanted.channel);
        let doors = self.directory.doors();
        let door = first.and_then(|first| doors.get(first));
        door.map_or(ChannelId([0; 32]), |door| door.id)
    }
}

fn prevout(spend: &Spend) -> TxOut {
    TxOut { value: spend.value, script_pubkey: spend.witness_script.to_p2wsh() }
}
