//! How an LDK node reaches Layer 1: what it broadcasts goes to the same backend its blocks come from.

use super::log::Log;
use super::wallet::short;
use bitcoin::Transaction;
use chain_backend::{ChainBackend, Package};
use lightning::chain::chaininterface::{BroadcasterInterface, ConfirmationTarget, FeeEstimator};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::mpsc;

/// What a commitment transaction with anchors pays, satoshi per 1000 weight units.
pub const COMMITMENT_FEERATE: u32 = 500;
/// What everything urgent pays.
const URGENT_FEERATE: u32 = 1_000;
/// What everything else pays, and the least that is taken from a peer.
const LEAST_FEERATE: u32 = 253;
/// What a closing transaction pays at most; also what LDK reckons dust exposure with.
const MOST_FEERATE: u32 = 5_000;

/// The sender's end: LDK calls it from its own threads and waits for nothing.
#[derive(Debug)]
pub(super) struct Broadcaster {
    queue: mpsc::UnboundedSender<Vec<Transaction>>,
    /// What was sent and not yet handed in.
    waiting: Arc<AtomicUsize>,
}

/// What a broadcaster is told to send.
#[derive(Debug)]
pub(super) struct Sent {
    queue: mpsc::UnboundedReceiver<Vec<Transaction>>,
    waiting: Arc<AtomicUsize>,
}

impl Broadcaster {
    /// A broadcaster and what it is told to send.
    pub(super) fn new() -> (Self, Sent) {
        let (queue, sent) = mpsc::unbounded_channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        (Self { queue, waiting: waiting.clone() }, Sent { queue: sent, waiting })
    }

    /// Sends one transaction of the harness itself.
    pub(super) fn send(&self, tx: Transaction) {
        self.send_all(vec![tx]);
    }

    /// Whether everything was handed in.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) == 0
    }

    fn send_all(&self, txs: Vec<Transaction>) {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        // The other end is gone only when the node stops.
        drop(self.queue.send(txs));
    }
}

impl BroadcasterInterface for Broadcaster {
    fn broadcast_transactions(&self, txs: &[&Transaction]) {
        self.send_all(txs.iter().copied().cloned().collect());
    }
}

/// Hands in what the node sends until the node stops.
pub(super) async fn submit_all(mut sent: Sent, backend: Arc<dyn ChainBackend>, log: Arc<Log>) {
    while let Some(txs) = sent.queue.recv().await {
        let names: Vec<_> = txs.iter().map(|tx| short(tx.compute_txid())).collect();
        if let Ok(package) = Package::new(txs.clone()) {
            let outcome = backend.submit(package, None).await;
            log.note(format!("broadcast {names:?}: {outcome:?}"));
        } else {
            for tx in txs {
                let name = short(tx.compute_txid());
                let outcome = backend.submit(Package::single(tx), None).await;
                log.note(format!("broadcast {name}: {outcome:?}"));
            }
        }
        sent.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The same fees at all times.
#[derive(Clone, Copy, Debug)]
pub(super) struct FixedFees;

impl FeeEstimator for FixedFees {
    fn get_est_sat_per_1000_weight(&self, target: ConfirmationTarget) -> u32 {
        match target {
            ConfirmationTarget::MaximumFeeEstimate => MOST_FEERATE,
            ConfirmationTarget::UrgentOnChainSweep
            | ConfirmationTarget::NonAnchorChannelFee
            | ConfirmationTarget::OutputSpendingFee => URGENT_FEERATE,
            ConfirmationTarget::AnchorChannelFee => COMMITMENT_FEERATE,
            ConfirmationTarget::MinAllowedAnchorChannelRemoteFee
            | ConfirmationTarget::MinAllowedNonAnchorChannelRemoteFee
            | ConfirmationTarget::ChannelCloseMinimum => LEAST_FEERATE,
        }
    }
}
