//! Two Viaduct nodes over loopback TCP, each with its journal and index on disk, on one runtime.
//!
//! A payment is ordered as a user orders it: the node's own `pay` with a BOLT 11 invoice, which the node
//! reads and checks, and whose first fact is durable before anything goes out.

use super::cost::cpu_time;
use super::rig::{PaymentRig, Sample};
use crate::layer1::Layer1;
use crate::ours::{OurNode, Place};
use async_trait::async_trait;
use daemon::rpc::model::payment::{PaymentFailure, PaymentStatus};
use daemon::rpc::refusal::Refusal;
use futures_util::StreamExt;
use std::collections::VecDeque;
use std::path::Path;
use std::time::{Duration, Instant};
use store::journal::Stats;
use tokio::task::JoinSet;

/// Satoshi in the channel, all of them the payer's.
const CAPACITY: u64 = 4_000_000_000;
/// How long nothing more is ordered when the channel was full.
const PLACE_PAUSE: Duration = Duration::from_millis(1);

/// The nodes.
#[derive(Debug)]
pub struct OurRig {
    payer: OurNode,
    payee: OurNode,
    _layer1: Layer1,
}

impl OurRig {
    /// Starts both nodes in directories below `dir` and opens the channel.
    ///
    /// # Panics
    /// When anything fails.
    pub async fn start(dir: &Path) -> Self {
        let layer1 = Layer1::start();
        let payer = OurNode::start(Place::new("payer", dir, &layer1).on_this_runtime()).await;
        let payee = OurNode::start(Place::new("payee", dir, &layer1).on_this_runtime()).await;
        layer1.give(&[payer.wallet_script().await]).await;
        payer.at_height(layer1.height().await).await;
        let channel = payer.open_channel(payee.id(), payee.address(), CAPACITY).await;
        layer1.mempool_of(1).await;
        layer1.mine(6).await;
        payer.usable(channel).await;
        payee.usable(channel).await;
        Self { payer, payee, _layer1: layer1 }
    }

    fn written(&self) -> (u64, u64) {
        let all = |stats: Stats| (stats.syncs, stats.written_bytes);
        let (payer, payee) = (all(self.payer.journal_stats()), all(self.payee.journal_stats()));
        (payer.0 + payee.0, payer.1 + payee.1)
    }
}

#[async_trait(?Send)]
impl PaymentRig for OurRig {
    async fn pay_batch(&mut self, count: usize, window: usize, msat: u64) -> Sample {
        let mut invoices = VecDeque::new();
        let making = futures_util::stream::iter(0..count)
            .map(|_| self.payee.create_invoice(Some(msat), 3_600))
            .buffer_unordered(64);
        let mut making = std::pin::pin!(making);
        while let Some((invoice, _)) = making.next().await {
            invoices.push_back(invoice);
        }
        let (before, cpu, start) = (self.written(), cpu_time(), Instant::now());
        let mut running = JoinSet::new();
        let mut full_until = start;
        let mut done = 0;
        while done < count {
            let room = window - running.len();
            if Instant::now() >= full_until {
                for invoice in invoices.drain(..room.min(invoices.len())) {
                    running.spawn(pay(self.payer.handle().clone(), invoice));
                }
            }
            let ended = tokio::time::timeout(PLACE_PAUSE, running.join_next()).await;
            let Ok(Some(ended)) = ended else { continue };
            match ended.expect("paying does not panic") {
                Ok(()) => done += 1,
                Err(invoice) => {
                    invoices.push_front(invoice);
                    full_until = Instant::now() + PLACE_PAUSE;
                }
            }
        }
        let (seconds, cpu) = (start.elapsed().as_secs_f64(), cpu_time() - cpu);
        let after = self.written();
        Sample {
            payments: count,
            seconds,
            cpu_ms: cpu.as_secs_f64() * 1_000.0,
            syncs: after.0 - before.0,
            bytes: after.1 - before.1,
        }
    }

    async fn stop(self: Box<Self>) {
        self.payer.stop().await;
        self.payee.stop().await;
    }
}

/// Pays an invoice. The invoice comes back when the channel has no place for it: a proof comes before its
/// HTLC is out of both commitments, and only then is the HTLC's place free.
async fn pay(node: daemon::node::Handle, invoice: String) -> Result<(), String> {
    match crate::ours::pay_to_the_end(&node, &invoice).await {
        Ok(PaymentStatus::Succeeded { .. }) => Ok(()),
        Ok(PaymentStatus::Failed(PaymentFailure::ShortOfCapacity))
        | Err(Refusal::ShortOfCapacity { .. }) => Err(invoice),
        other => panic!("a payment ended {other:?}"),
    }
}
