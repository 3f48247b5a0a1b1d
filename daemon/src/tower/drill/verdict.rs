//! What a tower's answer to a drill is worth, and how the money comes home.
//!
//! A tower that signs for the record and then lets the breach stand is waited for until the cheater's delay
//! is over. Then the output is taken as the cheater would: that convicts the tower before everybody.
//!
//! Not here: what comes before the breach (`work`).

use std::sync::Arc;

use bitcoin::hashes::Hash as _;
use bitcoin::{OutPoint, ScriptBuf, Transaction, TxOut, Txid};
use chain_backend::backend::Package;
use tokio::sync::oneshot;
use watchtower::proof::drill::Drill as Scene;
use watchtower::proof::drill::{Outcome, PATIENCE_BLOCKS, Staged, judge};
use watchtower::proof::mmr;
use watchtower::proof::receipt::Receipt;
use wire::codec::Encode as _;
use wire::units::BlockHeight;

use super::DELAY;
use super::work::{Next, Trouble, Work};
use crate::clock::now_ms;
use crate::fact::{ChannelIndex, DrillEnded, DrillFunded, Fact};
use crate::layer1;
use crate::tower::proof::Promise;
use crate::tower::shown::{DrillStage, Verdict};
use crate::tower::theft::accuse;
use crate::tower::upload::What;

/// Blocks on top of what brings the money home until a drill is over.
const SETTLED: u32 = 6;

/// What was read off the chain.
pub(super) struct Seen {
    pub(super) breach: Txid,
    pub(super) breach_height: Option<BlockHeight>,
    target: Option<(Arc<Transaction>, BlockHeight)>,
    remote: Option<(Arc<Transaction>, BlockHeight)>,
}

impl Work {
    /// Brings the breach out, and reads off the chain what became of it.
    pub(super) async fn look(
        &self,
        staged: &Staged,
        funded: &DrillFunded,
    ) -> Result<Seen, Trouble> {
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

    pub(super) async fn judge(
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

    pub(super) async fn end(
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
