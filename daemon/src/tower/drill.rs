//! Fire drills: a breach of our own making, with real coins on the real chain, to see whether a tower
//! answers.
//!
//! All of a drill follows from 32 bytes and its funding output, which are facts before a coin moves. What
//! is to be done next is read off the chain, again after every block; so a restart, at any moment, goes on
//! where the chain is. The money comes home in any case: through the tower, or with our own keys.
//!
//! Not here: what is done at each step (`work`), what a tower's answer is worth and how the money comes home
//! (`verdict`), keys, transactions and records of a drill (`watchtower::proof::drill`).

mod verdict;
mod work;

use std::sync::Arc;

use bitcoin::hashes::Hash as _;
use bitcoin::hex::DisplayHex as _;
use bitcoin::{Amount, OutPoint, ScriptBuf, Txid};
use secp256k1::PublicKey;
use tokio::sync::{oneshot, watch};
use watchtower::kit::template::{Covers, Step};
use watchtower::proof::drill::Drill as Scene;
use watchtower::proof::drill::{DrillError, Shape};
use wire::id::NodeId;
use wire::units::FeeratePerKw;

use super::book::{Drilled, drill_name};
use super::shown::{Drill, DrillStage, Verdict};
use super::task::Towers;
use super::upload::Shared;
use crate::clock::now_ms;
use crate::fact::{DrillBegun, Fact};
use crate::layer1;
use crate::payments::Reply;
use crate::rpc::model::OrderKey;
use crate::rpc::refusal::{Noun, Refusal};
use work::{DEPTH, Work};

/// The delay of the one who seems to cheat: what most channels have.
const DELAY: u16 = 144;

/// What a drill holds if nobody says, in sat, before some thousands are added by chance.
const USUAL_SAT: u64 = 60_000;
const SPREAD_SAT: u64 = 40_000;

/// Of what a drill holds, so many hundredths are ours without a tower.
const OURS_PERCENT: u64 = 25;

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
