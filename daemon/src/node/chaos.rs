//! The sandbox misbehaves as it is told: reorganisations, evictions, fees, pins, and a node that cheats.
//!
//! Not here: the chain itself (`chain_backend::sandbox`), what a cheating channel does
//! (`channels::chaos`).

mod past;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bitcoin::{Amount, FeeRate, Transaction, Txid};
use chain_backend::backend::Package;
use chain_backend::sandbox::{self, Sandbox, SandboxError};
use channel::clock::Side;
use channel::signer::{InMemorySigner, Signer as _};
use tokio::task::spawn_blocking;
use wire::units::BlockHeight;

use crate::channels::chaos::Chaos;
use crate::channels::directory::Door;
use crate::channels::task::Ask;
use crate::config::{self, Config};
use crate::fact::ChannelIndex;
use crate::node::ChainAccess;
use crate::node::faucet::{self, Target, Want};
use crate::node::handle::{Handle, not_a_channel};
use crate::rpc::model::sandbox::{Cheat, Cheating, FeerateVb, Mined, Pinned, Reorg};
use crate::rpc::node_api::Answer;
use crate::rpc::refusal::Refusal;
use crate::seed::Secret32;

/// How long the revoked commitment may take from the journal to the mempool.
const LOOKS: u32 = 500;
/// Between two looks.
const LOOK: Duration = Duration::from_millis(10);

/// Leave to cheat, with what it takes: without it there is no key to sign a revoked commitment with.
pub(super) struct Licence {
    seed: Arc<Secret32>,
    journal: PathBuf,
}

impl Licence {
    /// On the sandbox, on a chain that is ours to steer, for a node that was started to cheat.
    pub(super) fn of(config: &Config, chain: &ChainAccess, seed: &Arc<Secret32>) -> Option<Self> {
        let sandbox = config.network == config::Network::Sandbox && chain.sandbox.is_some();
        (sandbox && config.may_cheat)
            .then(|| Self { seed: Arc::clone(seed), journal: config.dir.store().join("journal") })
    }
}

/// A chain's no in a user's words.
pub(super) fn said(error: SandboxError) -> Refusal {
    match error {
        SandboxError::Refused(why) => Refusal::Sandbox { why },
        SandboxError::Unavailable(why) => {
            tracing::warn!(why, "sandbox");
            Refusal::ChainUnavailable { height: BlockHeight(0) }
        }
    }
}

fn no<T>(why: impl Into<String>) -> Answer<T> {
    Err(Refusal::Sandbox { why: why.into() })
}

impl Handle {
    fn away(&self) -> Refusal {
        Refusal::ChainUnavailable { height: self.0.tip.borrow().height }
    }

    pub(super) async fn reorganise(&self, order: Reorg) -> Answer<Mined> {
        let sandbox = self.sandbox()?;
        let tip = sandbox.tip().await.map_err(|_| self.away())?.height;
        let Some(fork) = tip.checked_sub(order.depth) else {
            return Err(Refusal::ReorgTooDeep { depth: order.depth, height: BlockHeight(tip) });
        };
        let mut there = BTreeSet::new();
        for height in fork.saturating_add(1)..=tip {
            let header = sandbox.header_at(height).await.map_err(|_| self.away())?;
            let block = sandbox.block(header.hash).await.map_err(|_| self.away())?;
            there.extend(block.txdata.iter().skip(1).map(Transaction::compute_txid));
        }
        if let Some(txid) = order.without.iter().find(|txid| !there.contains(*txid)) {
            return no(format!("{txid} is not in the last {} blocks", order.depth));
        }
        let left_out =
            if order.empty { there } else { order.without.into_iter().collect::<BTreeSet<_>>() };
        let reorg = sandbox::Reorg {
            depth: order.depth,
            left_out,
            forget: !order.empty && !order.keep_waiting,
            script: faucet::script(),
        };
        let hashes = sandbox.reorganise(reorg).await.map_err(said)?;
        let tip = sandbox.tip().await.map_err(|_| self.away())?;
        self.caught_up(tip.height).await;
        Ok(Mined { height: BlockHeight(tip.height), hashes })
    }

    /// What waits.
    async fn waiting(&self, sandbox: &Arc<dyn Sandbox>) -> Answer<Vec<Txid>> {
        let waiting = sandbox.mempool().await.map_err(said)?;
        Ok(waiting.iter().map(|tx| tx.compute_txid()).collect())
    }

    /// What waited before and does not wait any more.
    async fn gone(&self, sandbox: &Arc<dyn Sandbox>, before: Vec<Txid>) -> Answer<Vec<Txid>> {
        let now: BTreeSet<Txid> = self.waiting(sandbox).await?.into_iter().collect();
        Ok(before.into_iter().filter(|txid| !now.contains(txid)).collect())
    }

    pub(super) async fn evict_one(&self, txid: Txid) -> Answer<Vec<Txid>> {
        let sandbox = self.sandbox()?;
        let before = self.waiting(sandbox).await?;
        if !sandbox.evict(txid).await.map_err(said)? {
            return no(format!("{txid} does not wait in the mempool"));
        }
        self.gone(sandbox, before).await
    }

    pub(super) async fn raise_floor(&self, floor: Option<FeerateVb>) -> Answer<Vec<Txid>> {
        let sandbox = self.sandbox()?;
        let before = self.waiting(sandbox).await?;
        let floor = floor.map(|rate| FeeRate::from_sat_per_vb_u32(rate.0));
        sandbox.set_floor(floor).await.map_err(said)?;
        self.gone(sandbox, before).await
    }

    /// Finds an output that we or the faucet can spend, and puts as much on it as the mempool takes.
    pub(super) async fn pin_one(&self, txid: Txid) -> Answer<Pinned> {
        let sandbox = self.sandbox()?;
        let Some(faucet) = &self.0.faucet else { return Err(Refusal::NoAnswer) };
        let found = sandbox.tx(txid).await.map_err(|_| self.away())?;
        let waiting = found.filter(|found| found.confirmed.is_none());
        let Some(parent) = waiting.map(|found| found.tx) else {
            return no(format!("{txid} does not wait in the mempool"));
        };
        let anchor = self.anchor_on(&parent).await;
        let target = match &anchor {
            Some((_, anchor)) => Some(Target {
                outpoint: anchor.outpoint,
                output: bitcoin::TxOut {
                    value: anchor.value,
                    script_pubkey: anchor.witness_script.to_p2wsh(),
                },
            }),
            None => faucet::own_output(&parent),
        };
        let Some(target) = target else {
            return no(format!(
                "this node can spend no output of {txid}: only what has an anchor of one of its \
                 channels, or pays the faucet, can be pinned"
            ));
        };
        let there = sandbox.txout(target.outpoint).await.map_err(|_| self.away())?;
        if there.is_none_or(|there| there.mempool_spender.is_some()) {
            return no(format!("{} is spent already", target.outpoint));
        }
        let asked = Self::ask(faucet, |reply| {
            Want::Pin(faucet::Pin { target, parent_vsize: vsize(&parent), reply })
        });
        let mut pin = asked.await??;
        if let Some((door, anchor)) = anchor {
            let signed = Self::ask(&door.asks, |reply| {
                let (tx, anchor) = (Box::new(pin.tx), Box::new(anchor));
                Ask::Chaos(Chaos::SignAnchor { tx, anchor, reply })
            });
            pin.tx = signed.await?.ok_or(Refusal::NoAnswer)?;
        }
        let (txid, vsize) = (pin.tx.compute_txid(), vsize(&pin.tx));
        let outcome = sandbox.submit(Package::single(pin.tx), None).await;
        if !outcome.is_success() {
            return Err(Refusal::BroadcastRefused { txid, why: format!("{outcome:?}") });
        }
        Ok(Pinned { txid, fee: pin.fee, vsize })
    }

    async fn anchor_on(&self, tx: &Arc<Transaction>) -> Option<(Door, channel::tx::Spend)> {
        let doors = self.0.directory.doors();
        for door in doors.iter() {
            let tx = Arc::clone(tx);
            let asked =
                Self::ask(&door.asks, |reply| Ask::Chaos(Chaos::FindAnchor { tx, reply })).await;
            if let Ok(Some(anchor)) = asked {
                return Some((door.clone(), anchor));
            }
        }
        None
    }

    pub(super) async fn cheat_with(&self, order: Cheat) -> Answer<Cheating> {
        let sandbox = self.sandbox()?;
        let Some(licence) = &self.0.cheat else {
            return no("this node was not started to cheat: set chain.cheat = true");
        };
        let door = self.door(order.channel).ok_or_else(|| not_a_channel(order.channel))?;
        let honest = Self::show(&door).await?.ours.floor_sat();
        let upto = *self.0.reading.reached.borrow();
        let (journal, index, number) = (licence.journal.clone(), door.index, order.state);
        let found = spawn_blocking(move || past::find(journal, index, number, upto)).await;
        let past = found.map_err(|_| Refusal::NoAnswer)?;
        let past = past.map_err(|why| Refusal::Sandbox { why: why.to_string() })?;
        let signer = licence.signer(index, &past)?;
        let cheating = cheating(&past, &signer, honest).ok_or(Refusal::NoAnswer)?;
        let past = Box::new((past, signer));
        Self::ask(&door.asks, |reply| Ask::Chaos(Chaos::Cheat { past, reply })).await??;
        for _ in 0..LOOKS {
            if sandbox.tx(cheating.txid).await.map_err(|_| self.away())?.is_some() {
                return Ok(cheating);
            }
            tokio::time::sleep(LOOK).await;
        }
        let why = "the mempool does not take it; this node goes on trying".to_owned();
        Err(Refusal::BroadcastRefused { txid: cheating.txid, why })
    }
}

impl Licence {
    /// A signer that remembers no more than the channel did then.
    fn signer(&self, index: ChannelIndex, past: &channel::Channel) -> Answer<InMemorySigner> {
        let number = u32::try_from(index.0).map_err(|_| Refusal::NoAnswer)?;
        InMemorySigner::new(self.seed.expose(), number, past.signer_memory())
            .map_err(|_| Refusal::NoAnswer)
    }
}

/// What the old commitment says.
fn cheating(past: &channel::Channel, signer: &InMemorySigner, honest: Amount) -> Option<Cheating> {
    let state = past.state()?;
    let point = signer.point(state.ours).ok()?;
    let commitment = state.commitment(Side::Us, None, state.ours, &point).ok()?;
    let delayed = commitment.delayed_script().to_p2wsh();
    let ours = commitment.tx().output.iter().find(|output| output.script_pubkey == delayed);
    Some(Cheating {
        txid: commitment.txid(),
        ours: ours.map_or(Amount::ZERO, |output| output.value),
        honest,
        htlcs: u32::try_from(commitment.htlcs().len()).ok()?,
        to_self_delay: commitment.terms().to_self_delay,
    })
}

fn vsize(tx: &Transaction) -> u64 {
    tx.weight().to_wu().div_ceil(4)
}

#[cfg(test)]
mod tests;
