//! Fire drills: a breach of our own making, with real coins on the real chain, to see whether a tower
//! answers.
//!
//! All of a drill follows from 32 bytes and its funding output, which are facts before a coin moves. What
//! is to be done next is read off the chain, again after every block; so a restart, at any moment, goes on
//! where the chain is. The money comes home in any case: through the tower, or with our own keys.
//!
//! A tower that signs for the record and then lets the breach stand is waited for until the cheater's delay
//! is over. Then the output is taken as the cheater would: that convicts the tower before everybody.
//!
//! Not here: keys, transactions and records of a drill (`watchtower::proof::drill`).

use std::sync::Arc;
use std::time::Duration;

use bitcoin::hashes::Hash as _;
use bitcoin::hex::DisplayHex as _;
use bitcoin::{Amount, OutPoint, ScriptBuf, Transaction, TxOut, Txid};
use chain_backend::backend::{BackendError, Package};
use channel::seal::Journal as _;
use secp256k1::{PublicKey, SECP256K1};
use tokio::sync::{Semaphore, oneshot, watch};
use watchtower::client::{ClientError, Link};
use watchtower::kit::template::{Covers, Step};
use watchtower::message::{Code, KIT_SEALED, Message, Records, SessionOpen};
use watchtower::proof::check::{Checker, Evidence};
use watchtower::proof::drill::Drill as Scene;
use watchtower::proof::drill::{DrillError, Outcome, PATIENCE_BLOCKS, Shape, Staged, judge};
use watchtower::proof::mmr;
use watchtower::proof::receipt::{self, Receipt};
use wire::codec::{Decode as _, Encode as _};
use wire::id::NodeId;
use wire::units::{BlockHeight, FeeratePerKw};

use super::book::{Drilled, drill_name};
use super::keep::hear;
use super::proof::Promise;
use super::shown::{Drill, DrillStage, Verdict};
use super::task::Towers;
use super::theft::accuse;
use super::upload::{News, Shared, What, session_key};
use crate::clock::now_ms;
use crate::fact::{
    ChannelIndex, DrillBegun, DrillEnded, DrillFunded, DrillStaged, Fact, TowerKept, TowerSession,
    record,
};
use crate::journal::Writer;
use crate::layer1;
use crate::payments::Reply;
use crate::rpc::model::OrderKey;
use crate::rpc::model::wallet::Coins;
use crate::rpc::refusal::{Noun, Refusal};
use crate::wallet::{PromiseId, Spend};

/// Blocks on top of the funding before the tower hears of the channel, as of every channel.
const DEPTH: u32 = 3;

/// Blocks on top of what brings the money home until a drill is over.
const SETTLED: u32 = 6;

/// Blocks after which a tower that takes no record is given up.
const GIVE_UP_BLOCKS: u32 = 24;

/// The delay of the one who seems to cheat: what most channels have.
const DELAY: u16 = 144;

/// What a drill holds if nobody says, in sat, before some thousands are added by chance.
const USUAL_SAT: u64 = 60_000;
const SPREAD_SAT: u64 = 40_000;

/// Of what a drill holds, so many hundredths are ours without a tower.
const OURS_PERCENT: u64 = 25;

/// How often a tower that does not answer is called, and a transaction is looked for.
const AGAIN: Duration = Duration::from_secs(5);

/// As much as the tower gives: what every session asks for.
const WANT: u32 = u32::MAX;

impl Towers {
    /// Begins a drill, or answers with the one that runs, or with the one of this key.
    pub(super) async fn drill(
        &mut self,
        tower: NodeId,
        amount: Option<Amount>,
        key: Option<OrderKey>,
        reply: Reply<watch::Receiver<Drill>>,
    ) {
        let word = key.as_ref().map(written).unwrap_or_default();
        let mut ordered = None;
        if let Some(key) = key {
            let mut all = self.book.drills.values();
            let same = |one: &&Drilled| {
                let begun = one.begun.word.0.split_once(' ');
                begun.is_some_and(|(_, word)| word == key.word)
            };
            ordered = all.find(same);
            if ordered.is_some_and(|one| one.begun.word.0 != word) {
                let _gone = reply.send(Err(Refusal::KeyReused { key: key.word }));
                return;
            }
        }
        let known = ordered.or_else(|| self.book.drill_with(tower)).cloned();
        if let Some(drilled) = known {
            let running = self.drills.get(&drilled.begun.drill).cloned();
            let updates = running.unwrap_or_else(|| watch::channel(show(&drilled)).1);
            let _gone = reply.send(Ok(updates));
            return;
        }
        let unknown = Refusal::NotFound { kind: Noun::Tower, id: tower.to_string() };
        let begun = match self.book.towers.contains_key(&tower) {
            true => prepare(&self.shared, tower, amount, word).await,
            false => Err(unknown),
        };
        let begun = match begun {
            Ok(begun) => begun,
            Err(refusal) => {
                let _gone = reply.send(Err(refusal));
                return;
            }
        };
        // Nobody waits for this record: that of the coins comes behind it.
        let _lsn = self.keep(Fact::DrillBegun(Box::new(begun.clone())));
        let drilled = Drilled { begun, funded: None, staged: None, ended: None };
        if let Some(work) = self.work(drilled, tower) {
            self.run_drill(work.begin(reply));
        }
    }

    fn run_drill(&self, work: impl Future<Output = ()> + Send + 'static) {
        let stop = self.tasks.token();
        self.tasks.detach("tower drill", async move {
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                () = work => {}
            }
        });
    }

    /// Takes up drills that a stop left in the middle.
    pub(super) fn resume_drills(&mut self) {
        let open: Vec<_> = (self.book.drills.values())
            .filter(|drilled| drilled.ended.is_none())
            .cloned()
            .collect();
        for drilled in open {
            let tower = drilled.begun.tower;
            if let Some(work) = self.work(drilled, tower) {
                self.run_drill(work.go_on());
            }
        }
    }

    fn work(&mut self, drilled: Drilled, tower: NodeId) -> Option<Work> {
        let updates = watch::Sender::new(show(&drilled));
        self.drills.insert(drilled.begun.drill, updates.subscribe());
        Some(Work {
            shared: Arc::clone(&self.shared),
            tower: self.book.towers.get(&tower).cloned(),
            id: tower,
            key: PublicKey::from_slice(&tower.0).ok()?,
            connections: self.connections_to(tower),
            writer: self.writer.clone(),
            drilled,
            updates,
            home: None,
        })
    }

    /// What is shown of a tower's drills, the newest last.
    pub(super) fn drills_of(&self, tower: NodeId) -> Vec<Drill> {
        let mut all: Vec<_> = (self.book.drills.values())
            .filter(|drilled| drilled.begun.tower == tower)
            .map(|drilled| {
                let running = self.drills.get(&drilled.begun.drill);
                running.map_or_else(|| show(drilled), |updates| updates.borrow().clone())
            })
            .collect();
        all.sort_by_key(|drill| drill.since_ms);
        all
    }
}

/// An idempotency key, as the journal keeps it.
fn written(key: &OrderKey) -> String {
    format!("{} {}", key.digest.to_lower_hex_string(), key.word)
}

/// What the journal says of a drill.
fn show(drilled: &Drilled) -> Drill {
    let begun = &drilled.begun;
    let stage = match (&drilled.funded, &drilled.staged, &drilled.ended) {
        (_, _, Some(_)) => DrillStage::Over,
        (None, ..) => DrillStage::Funding,
        (Some(_), None, None) => DrillStage::Confirming(DEPTH),
        (Some(_), Some(_), None) => DrillStage::Breached,
    };
    let ended = drilled.ended.as_ref();
    let answered = ended.filter(|ended| ended.justice != Txid::all_zeros());
    Drill {
        id: begun.drill,
        tower: begun.tower,
        amount_sat: begun.amount_sat,
        since_ms: begun.at_ms,
        stage,
        funding: drilled.funded.as_ref().map(|funded| funded.outpoint),
        breach: None,
        breach_height: None,
        justice: answered.map(|ended| ended.justice),
        blocks: answered.map(|ended| ended.blocks),
        justice_fee_sat: answered.map(|ended| ended.justice_fee_sat),
        verdict: ended.map(|ended| Verdict::of(ended.verdict)),
        cost_sat: ended.map(|ended| ended.cost_sat),
        proof: None,
        trouble: None,
    }
}

/// The drill's keys and transactions.
fn scene(begun: &DrillBegun) -> Result<Scene, DrillError> {
    let step = |feerate: &FeeratePerKw| Step { feerate: *feerate, covers: Covers::All };
    let shape = Shape {
        amount: Amount::from_sat(begun.amount_sat),
        to_remote: Amount::from_sat(begun.to_remote_sat),
        commitment_feerate: begun.commitment_feerate,
        to_self_delay: begun.to_self_delay,
        ladder: begun.ladder.iter().map(step).collect(),
        sweep_script: ScriptBuf::from_bytes(begun.sweep_script.clone()),
    };
    Scene::new(&begun.entropy, shape)
}

/// Decides how a drill looks. Nothing happened yet.
async fn prepare(
    shared: &Shared,
    tower: NodeId,
    amount: Option<Amount>,
    word: String,
) -> Result<DrillBegun, Refusal> {
    let mut entropy = [0; 32];
    getrandom::fill(&mut entropy).map_err(|_| Refusal::NoAnswer)?;
    let mut dice = [0; 8];
    getrandom::fill(&mut dice).map_err(|_| Refusal::NoAnswer)?;
    let normal = shared.feerates.borrow().normal;
    let first = FeeratePerKw(normal.0.saturating_mul(3) / 2);
    let ladder = vec![first, FeeratePerKw(first.0.saturating_mul(10))];
    // Where fees are high a drill must hold more to look like a channel that is worth its justice.
    let fee_sat = u64::from(first.0).saturating_mul(531) / 1_000;
    let spread = u64::from_le_bytes(dice).checked_rem(SPREAD_SAT).unwrap_or(0);
    let usual = USUAL_SAT.max(fee_sat.saturating_mul(40)).saturating_add(spread);
    let amount_sat = amount.map_or(usual, Amount::to_sat);
    let (reply, answer) = oneshot::channel();
    let asked = shared.wallet.send(layer1::Ask::Destination { reply }).await;
    asked.map_err(|_| Refusal::NoAnswer)?;
    let sweep_script = answer.await.map_err(|_| Refusal::NoAnswer)?;
    let begun = DrillBegun {
        drill: drill_name(&entropy),
        tower,
        entropy,
        amount_sat,
        to_remote_sat: amount_sat.saturating_mul(OURS_PERCENT) / 100,
        commitment_feerate: normal,
        to_self_delay: DELAY,
        ladder,
        sweep_script: sweep_script.into_bytes(),
        word: word.as_str().into(),
        at_ms: now_ms(),
    };
    let staged = scene(&begun).and_then(|scene| scene.stage(OutPoint::null()));
    match staged {
        Ok(_) => Ok(begun),
        Err(_) => Err(Refusal::OutOfRange {
            field: "amount_sat",
            given: amount_sat,
            min: fee_sat.saturating_mul(8).saturating_add(10_000),
            max: 100_000_000,
            unit: "sat",
        }),
    }
}

/// One drill.
struct Work {
    shared: Arc<Shared>,
    /// The tower, if it is still hired.
    tower: Option<TowerKept>,
    id: NodeId,
    key: PublicKey,
    connections: Arc<Semaphore>,
    writer: Writer,
    drilled: Drilled,
    updates: watch::Sender<Drill>,
    /// A script of the wallet for what we bring home ourselves.
    home: Option<ScriptBuf>,
}

/// Why a step cannot be done now.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("{0}")]
    Chain(#[from] BackendError),
    #[error("{0}")]
    Tower(#[from] ClientError),
    #[error("{0}")]
    Drill(#[from] DrillError),
    #[error("its receipt is wrong: {}", .0.fault)]
    Receipt(Box<Evidence>),
    #[error("the node stops")]
    Stopping,
}

/// What the next step waits for.
enum Next {
    /// The next block, or a while.
    Block,
    /// Nothing: it is over.
    Over,
}

/// What was read off the chain.
struct Seen {
    breach: Txid,
    breach_height: Option<BlockHeight>,
    target: Option<(Arc<Transaction>, BlockHeight)>,
    remote: Option<(Arc<Transaction>, BlockHeight)>,
}

impl Work {
    /// Everything from the order to the end.
    async fn begin(mut self, reply: Reply<watch::Receiver<Drill>>) {
        match self.fund().await {
            Ok(funded) => {
                self.drilled.funded = Some(funded.clone());
                self.updates.send_replace(show(&self.drilled));
                self.tell(What::Facts(vec![Fact::DrillFunded(funded)])).await;
                let _gone = reply.send(Ok(self.updates.subscribe()));
                self.go_on().await;
            }
            Err(refusal) => {
                let _kept = self.end(Verdict::Abandoned, None, 0).await;
                let _gone = reply.send(Err(refusal));
            }
        }
    }

    async fn fund(&self) -> Result<DrillFunded, Refusal> {
        let begun = &self.drilled.begun;
        let scene = scene(begun).map_err(|_| Refusal::WalletInconsistent { what: "a drill" })?;
        let doors = self.shared.directory.doors();
        let spend = Spend {
            to: scene.funding_script(),
            coins: Coins::Exactly(Amount::from_sat(begun.amount_sat)),
            feerate: self.shared.feerates.borrow().normal,
            anchor_channels: u32::try_from(doors.iter().count()).unwrap_or(u32::MAX),
        };
        let mut promise = [0; 32];
        getrandom::fill(&mut promise).map_err(|_| Refusal::NoAnswer)?;
        let (reply, answer) = oneshot::channel();
        let (spend, promise, drill) = (Box::new(spend), PromiseId(promise), begun.drill);
        let ask = layer1::Ask::Drill { spend, promise, drill, reply };
        self.shared.wallet.send(ask).await.map_err(|_| Refusal::NoAnswer)?;
        answer.await.map_err(|_| Refusal::NoAnswer)?
    }

    /// Until everything is home.
    async fn go_on(mut self) {
        let mut height = self.shared.height.clone();
        loop {
            height.mark_unchanged();
            match self.step().await {
                Ok(Next::Over) => return,
                Ok(Next::Block) => {}
                Err(Trouble::Stopping) => return,
                Err(trouble) => {
                    tracing::warn!(tower = %self.id, %trouble, "a drill does not get on");
                    self.shown(|shown| shown.trouble = Some(trouble.to_string()));
                }
            }
            tokio::select! {
                changed = height.changed() => {
                    if changed.is_err() {
                        return;
                    }
                }
                () = tokio::time::sleep(AGAIN) => {}
            }
        }
    }

    fn shown(&self, change: impl FnOnce(&mut Drill)) {
        self.updates.send_if_modified(|shown| {
            let before = shown.clone();
            change(shown);
            before != *shown
        });
    }

    async fn step(&mut self) -> Result<Next, Trouble> {
        let drilled = self.drilled.clone();
        if drilled.ended.is_some() {
            return Ok(Next::Over);
        }
        let Some(funded) = drilled.funded.clone() else {
            // A stop came before the coins left: nothing is owed to anybody.
            self.end(Verdict::Abandoned, None, 0).await?;
            return Ok(Next::Over);
        };
        let scene = scene(&drilled.begun)?;
        let staged = scene.stage(funded.outpoint)?;
        let receipt = match &drilled.staged {
            Some(kept) => Receipt::decode_exact(&kept.receipt).ok(),
            None => {
                let Some(receipt) = self.bring_to_tower(&scene, &staged, &funded).await? else {
                    return Ok(Next::Block);
                };
                receipt
            }
        };
        let seen = self.look(&staged, &funded).await?;
        self.shown(|shown| {
            shown.breach = Some(seen.breach);
            shown.breach_height = seen.breach_height.map(|height| height.0);
            shown.trouble = None;
        });
        self.judge(&scene, &staged, &funded, receipt, &seen).await
    }

    /// The funding gets deep, then the tower its records; answers its receipt, or `None` if it was given up.
    async fn bring_to_tower(
        &mut self,
        scene: &Scene,
        staged: &Staged,
        funded: &DrillFunded,
    ) -> Result<Option<Option<Receipt>>, Trouble> {
        let found = self.shared.backend.tx(funded.outpoint.txid).await?;
        let tip = self.shared.height.borrow().0;
        let mined = found.and_then(|found| found.confirmed).map(|(block, _)| block.height);
        let depth = mined.map_or(0, |height| tip.saturating_add(1).saturating_sub(height));
        if depth < DEPTH {
            let blocks = DEPTH.saturating_sub(depth);
            self.shown(|shown| shown.stage = DrillStage::Confirming(blocks));
            return Ok(None);
        }
        self.shown(|shown| shown.stage = DrillStage::Uploading);
        let receipt = match self.upload(scene, staged).await {
            Ok(receipt) => Some(receipt),
            Err(Trouble::Receipt(evidence)) => {
                let why = evidence.fault.to_string();
                self.tell(What::Faulted { evidence: Some(evidence), why }).await;
                None
            }
            Err(_) if depth > GIVE_UP_BLOCKS || self.tower.is_none() => None,
            Err(trouble) => return Err(trouble),
        };
        let bytes = receipt.map(|receipt| receipt.encoded()).unwrap_or_default();
        let drill = self.name();
        let kept = DrillStaged { drill, receipt: bytes, at_ms: now_ms() };
        let mut facts = vec![Fact::DrillStaged(kept.clone())];
        if receipt.is_some() {
            facts.push(Fact::TowerSession(self.session(staged)));
        }
        self.keep(facts).await?;
        self.drilled.staged = Some(kept);
        Ok(Some(receipt))
    }

    const fn name(&self) -> u64 {
        self.drilled.begun.drill
    }

    /// The session: in the book, so that it is deleted when the drill is over.
    fn session(&self, staged: &Staged) -> TowerSession {
        TowerSession {
            tower: self.id,
            channel: self.name(),
            number: 0,
            kit: KIT_SEALED,
            template: staged.template.encoded(),
            row: 0,
        }
    }

    async fn upload(&self, scene: &Scene, staged: &Staged) -> Result<Receipt, Trouble> {
        let tower = self.tower.as_ref().ok_or(ClientError::Slow)?;
        let connections = Arc::clone(&self.connections);
        let _turn = connections.acquire().await.map_err(|_| Trouble::Stopping)?;
        let secret = session_key(&self.shared.keys, &self.key, ChannelIndex(self.name()), 0);
        let secret = secret.ok_or(ClientError::Random)?;
        let public = secret.public_key(SECP256K1);
        let template = staged.template.encoded();
        let promised = receipt::Session::new(public, KIT_SEALED, &template);
        let address = &tower.address.0;
        let mut link = Link::call(address, &self.key, secret, self.shared.chain).await?;
        let (kit, want_blocks, want_bytes) = (KIT_SEALED, WANT, WANT);
        let ack = link.open(SessionOpen { kit, template, want_blocks, want_bytes }).await?;
        let (records, _) = scene.records(staged, &public);
        let count = u32::try_from(records.len()).unwrap_or(u32::MAX);
        let mut checker = Checker::new(self.key, promised);
        for (seq, record) in (0_u32..).zip(&records) {
            let _noted = checker.send(mmr::leaf(seq, &record.hint.0, &record.ciphertext));
        }
        // What it has already it says once more for the last of them: its receipt is for all.
        let first_seq = ack.next_seq.min(count.saturating_sub(1));
        let skip = usize::try_from(first_seq).unwrap_or(usize::MAX);
        let rest = records.into_iter().skip(skip).collect();
        link.say(&Records { first_seq, records: rest }.into()).await?;
        loop {
            let ack = hear(&mut link, |message| {
                if let Message::RecordsAck(ack) = message { Some(ack.clone()) } else { None }
            })
            .await?;
            if ack.code != Code::OK {
                return Err(ClientError::Refused(ack.code).into());
            }
            let receipt = Receipt::from_message(promised, &ack);
            let height = self.shared.height.borrow().0;
            checker.check(&receipt, height).map_err(Trouble::Receipt)?;
            if ack.durable >= count {
                return Ok(receipt);
            }
        }
    }

    /// Brings the breach out, and reads off the chain what became of it.
    async fn look(&self, staged: &Staged, funded: &DrillFunded) -> Result<Seen, Trouble> {
        let chain = &self.shared.backend;
        let breach = staged.breach.compute_txid();
        let found = chain.tx(breach).await?;
        let breach_height = found
            .as_ref()
            .and_then(|found| found.confirmed.as_ref())
            .map(|(block, _)| BlockHeight(block.height));
        if breach_height.is_none() {
            let outcome = chain.submit(Package::single(staged.breach.clone()), None).await;
            tracing::debug!(%breach, ?outcome, funding = %funded.outpoint, "a drill's breach");
        }
        let mut seen = Seen { breach, breach_height, target: None, remote: None };
        let Some(since) = breach_height else { return Ok(seen) };
        let mined = |spend: Option<chain_backend::backend::Spend>| {
            spend.and_then(|spend| Some((spend.tx, BlockHeight(spend.block?.height))))
        };
        seen.target = mined(chain.spender(staged.target, since.0).await?);
        if let Some(remote) = remote(staged, self.to_remote_sat()) {
            seen.remote = mined(chain.spender(remote, since.0).await?);
        }
        Ok(seen)
    }

    const fn to_remote_sat(&self) -> u64 {
        self.drilled.begun.to_remote_sat
    }

    async fn judge(
        &mut self,
        scene: &Scene,
        staged: &Staged,
        funded: &DrillFunded,
        receipt: Option<Receipt>,
        seen: &Seen,
    ) -> Result<Next, Trouble> {
        let tip = *self.shared.height.borrow();
        let target = TxOut { value: staged.value, script_pubkey: ScriptBuf::new() };
        let sweep = &staged.template.sweep_script;
        let spender = seen.target.as_ref().map(|(tx, height)| (tx.as_ref(), *height));
        let outcome = judge(&target, sweep, seen.breach_height, spender, tip, PATIENCE_BLOCKS);
        let verdict = match (&receipt, outcome) {
            (None, _) => Some(Verdict::Unreachable),
            (Some(_), Outcome::Waiting { blocks_left }) => {
                let stage = match seen.breach_height {
                    Some(_) => DrillStage::Waiting(blocks_left),
                    None => DrillStage::Breached,
                };
                self.shown(|shown| shown.stage = stage);
                None
            }
            (Some(_), Outcome::Passed { blocks, .. }) if blocks <= PATIENCE_BLOCKS => {
                Some(Verdict::Passed)
            }
            (Some(_), Outcome::Passed { .. }) => Some(Verdict::Late),
            (Some(_), Outcome::Stolen { .. } | Outcome::Failed { .. }) => Some(Verdict::Failed),
        };
        if let Outcome::Passed { justice, blocks, fee } = outcome {
            self.shown(|shown| {
                shown.justice = Some(justice);
                shown.blocks = Some(blocks);
                shown.justice_fee_sat = Some(fee.to_sat());
            });
        }
        if let Some(verdict) = verdict {
            self.find(verdict).await;
        }
        self.go_home(scene, staged, funded, receipt.as_ref(), seen, verdict).await?;
        let deep = |spent: &Option<(Arc<Transaction>, BlockHeight)>| {
            let spent = spent.as_ref().map(|(_, height)| height.0.saturating_add(SETTLED));
            spent.is_some_and(|from| from <= tip.0.saturating_add(1))
        };
        let remote_done = remote(staged, self.to_remote_sat()).is_none() || deep(&seen.remote);
        let Some(verdict) = verdict.filter(|_| deep(&seen.target) && remote_done) else {
            return Ok(Next::Block);
        };
        if verdict == Verdict::Failed
            && let Some(receipt) = receipt
        {
            self.convict(scene, staged, receipt).await;
        }
        let cost_sat = self.cost(funded, seen);
        self.end(verdict, Some(outcome), cost_sat).await?;
        Ok(Next::Over)
    }

    /// The verdict stands: it is shown, and a tower that failed is used no more.
    async fn find(&self, verdict: Verdict) {
        let known = self.updates.borrow().verdict.is_some();
        self.shown(|shown| {
            shown.verdict = Some(verdict);
            shown.stage = DrillStage::Homing;
        });
        if known {
            return;
        }
        tracing::info!(tower = %self.id, verdict = verdict.word(), "a drill has its verdict");
        if verdict.convicts() {
            let why = format!(
                "it signed for the record of a drill and did not answer the breach within \
                 {PATIENCE_BLOCKS} blocks"
            );
            tracing::error!(tower = %self.id, why, "ALARM: a drill failed");
            self.tell(What::Faulted { evidence: None, why }).await;
        }
    }

    /// Brings home what the tower did not.
    async fn go_home(
        &mut self,
        scene: &Scene,
        staged: &Staged,
        funded: &DrillFunded,
        receipt: Option<&Receipt>,
        seen: &Seen,
        verdict: Option<Verdict>,
    ) -> Result<(), Trouble> {
        let (Some(breach), Some(verdict)) = (seen.breach_height, verdict) else { return Ok(()) };
        let tip = self.shared.height.borrow().0;
        let feerate = self.shared.feerates.borrow().relaxed;
        let mut unspent = Vec::new();
        if seen.remote.is_none() {
            unspent.extend(remote(staged, self.to_remote_sat()));
        }
        let waits = seen.target.is_none() && verdict == Verdict::Failed && receipt.is_some();
        if seen.target.is_none() && !waits {
            unspent.push(staged.target);
        }
        let after = |blocks: u32| breach.0.saturating_add(blocks) <= tip.saturating_add(1);
        if !unspent.is_empty() && after(1) {
            let home = self.home().await?;
            let tx = scene.collect(funded.outpoint, &unspent, &home, feerate)?;
            self.hand_in(tx).await;
        }
        // By the cheater's own way, once it is open: no tower that had acted could be convicted by it.
        if waits && after(u32::from(DELAY)) {
            let home = self.home().await?;
            let tx = scene.take_as_cheater(funded.outpoint, &home, feerate)?;
            self.hand_in(tx).await;
        }
        Ok(())
    }

    async fn hand_in(&self, tx: Option<Transaction>) {
        let Some(tx) = tx else { return };
        let txid = tx.compute_txid();
        let outcome = self.shared.backend.submit(Package::single(tx), None).await;
        tracing::debug!(%txid, ?outcome, "a drill's money comes home");
    }

    async fn home(&mut self) -> Result<ScriptBuf, Trouble> {
        if let Some(home) = &self.home {
            return Ok(home.clone());
        }
        let (reply, answer) = oneshot::channel();
        let asked = self.shared.wallet.send(layer1::Ask::Destination { reply }).await;
        asked.map_err(|_| Trouble::Stopping)?;
        let home = answer.await.map_err(|_| Trouble::Stopping)?;
        self.home = Some(home.clone());
        Ok(home)
    }

    /// The output was taken as the cheater would: with the tower's receipt that is a proof.
    async fn convict(&self, scene: &Scene, staged: &Staged, receipt: Receipt) {
        let session = receipt.session.key;
        let (records, place) = scene.records(staged, &session);
        let leaf = |(seq, record): (u32, &watchtower::message::Sealed)| {
            mmr::leaf(seq, &record.hint.0, &record.ciphertext)
        };
        let leaves: Vec<_> = (0_u32..).zip(&records).map(leaf).collect();
        let (Ok(path), Some(record)) = (
            mmr::path(place, leaves),
            usize::try_from(place).ok().and_then(|place| records.get(place).cloned()),
        ) else {
            return;
        };
        let promise = Promise {
            tower: self.key,
            template: staged.template.encoded(),
            receipt,
            record,
            path,
            breach: staged.breach.compute_txid(),
            target: staged.target,
        };
        match promise.broken(self.shared.backend.as_ref(), self.shared.chain).await {
            Ok(proof) => {
                let channel = ChannelIndex(self.name());
                let path = accuse(&self.shared, self.id, channel, &proof).await;
                self.shown(|shown| shown.proof = path);
            }
            Err(why) => tracing::warn!(tower = %self.id, %why, "a drill failed and proves nothing"),
        }
    }

    /// What did not come back.
    fn cost(&self, funded: &DrillFunded, seen: &Seen) -> u64 {
        let paid = |spent: &Option<(Arc<Transaction>, BlockHeight)>| {
            let outputs = spent.iter().flat_map(|(tx, _)| tx.output.iter());
            outputs.fold(0_u64, |sum, output| sum.saturating_add(output.value.to_sat()))
        };
        let same = matches!(
            (&seen.target, &seen.remote),
            (Some((one, _)), Some((two, _))) if one.compute_txid() == two.compute_txid()
        );
        let remote = if same { 0 } else { paid(&seen.remote) };
        let back = paid(&seen.target).saturating_add(remote);
        self.drilled.begun.amount_sat.saturating_add(funded.fee_sat).saturating_sub(back)
    }

    async fn end(
        &mut self,
        verdict: Verdict,
        outcome: Option<Outcome>,
        cost_sat: u64,
    ) -> Result<(), Trouble> {
        let (justice, blocks, fee) = match outcome {
            Some(Outcome::Passed { justice, blocks, fee }) => (justice, blocks, fee.to_sat()),
            Some(Outcome::Waiting { .. } | Outcome::Stolen { .. } | Outcome::Failed { .. })
            | None => (Txid::all_zeros(), 0, 0),
        };
        let ended = DrillEnded {
            drill: self.name(),
            verdict: verdict.number(),
            blocks,
            justice,
            justice_fee_sat: fee,
            cost_sat,
            at_ms: now_ms(),
        };
        self.keep(vec![Fact::DrillEnded(ended.clone())]).await?;
        self.drilled.ended = Some(ended);
        self.shown(|shown| {
            shown.verdict = Some(verdict);
            shown.stage = DrillStage::Over;
            shown.cost_sat = Some(cost_sat);
        });
        Ok(())
    }

    /// Makes facts durable, then tells the task of all towers.
    async fn keep(&mut self, facts: Vec<Fact>) -> Result<(), Trouble> {
        let lsn = self.writer.append(record(&facts));
        let mut disk = self.shared.disk.clone();
        let durable = disk.wait_for(|flushed| flushed.upto() >= lsn).await.is_ok();
        if !durable {
            return Err(Trouble::Stopping);
        }
        self.tell(What::Facts(facts)).await;
        Ok(())
    }

    async fn tell(&self, what: What) {
        let news = News { tower: self.id, channel: ChannelIndex(self.name()), what };
        let _stopped = self.shared.news.send(news).await;
    }
}

/// Where `to_remote` is.
fn remote(staged: &Staged, to_remote_sat: u64) -> Option<OutPoint> {
    let outputs = (0_u32..).zip(&staged.breach.output);
    let mut ours = outputs.filter(|(vout, output)| {
        output.value.to_sat() == to_remote_sat && *vout != staged.target.vout
    });
    let (vout, _) = ours.next()?;
    Some(OutPoint { txid: staged.target.txid, vout })
}
