//! Viaduct nodes over loopback TCP, each with its journal and index on disk, on one runtime: two with a
//! channel, or three in a line.
//!
//! A payment is ordered as a user orders it: the node's own `pay` with a BOLT 11 invoice, which the node
//! reads and checks, and whose first fact is durable before anything goes out.

use super::cost::cpu_time;
use super::rig::{PaymentRig, Sample};
use crate::layer1::Layer1;
use crate::ours::{OurNode, Place};
use async_trait::async_trait;
use daemon::node::Handle;
use daemon::payments::send::Via;
use daemon::rpc::model::payment::{Payment, PaymentFailure, PaymentStatus};
use daemon::rpc::refusal::Refusal;
use futures_util::StreamExt;
use secp256k1::PublicKey;
use std::collections::VecDeque;
use std::path::Path;
use std::time::{Duration, Instant};
use store::journal::Stats;
use tokio::task::JoinSet;
use wire::onion::failure::code;
use wire::units::Msat;

/// Satoshi in the channel, all of them the payer's.
const CAPACITY: u64 = 4_000_000_000;
/// How long nothing more is ordered when the channel was full.
const PLACE_PAUSE: Duration = Duration::from_millis(1);

/// What the one in the middle keeps of each payment, in msat.
const FEE_MSAT: u64 = 1_000;
/// Blocks between what the one in the middle is given and what it gives.
const CLTV_DELTA: u32 = 80;

/// The nodes.
#[derive(Debug)]
pub struct OurRig {
    payer: OurNode,
    /// Who forwards, and how payers say so.
    middle: Option<(OurNode, Via)>,
    payee: OurNode,
    layer1: Layer1,
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
        Self { payer, middle: None, payee, layer1 }
    }

    /// Starts three nodes in directories below `dir` and opens both channels.
    ///
    /// # Panics
    /// When anything fails.
    pub async fn start_line(dir: &Path) -> Self {
        let layer1 = Layer1::start();
        // The payer's channel is all that is measured: it may fill the next one alone.
        let settings = [
            ("forwarding.base_msat", "1000"),
            ("forwarding.ppm", "0"),
            ("forwarding.cltv_delta_blocks", "80"),
            ("forwarding.peer_slots_percent", "100"),
            ("forwarding.peer_in_flight_percent", "100"),
        ];
        let place = |name| Place::with_settings(name, dir, &layer1, &settings).on_this_runtime();
        let payer = OurNode::start(place("payer")).await;
        let middle = OurNode::start(place("middle")).await;
        let payee = OurNode::start(place("payee")).await;
        layer1.give(&[payer.wallet_script().await, middle.wallet_script().await]).await;
        let height = layer1.height().await;
        payer.at_height(height).await;
        middle.at_height(height).await;
        let first = payer.open_channel(middle.id(), middle.address(), CAPACITY).await;
        let second = middle.open_channel(payee.id(), payee.address(), CAPACITY).await;
        layer1.mempool_of(2).await;
        layer1.mine(6).await;
        payer.usable(first).await;
        middle.usable(first).await;
        let next = middle.usable(second).await.short_id.expect("in a block");
        payee.usable(second).await;
        let via = Via {
            node: PublicKey::from_slice(&middle.id().0).expect("a key"),
            next,
            fee: Msat::new(FEE_MSAT).expect("a fee"),
            cltv_delta: CLTV_DELTA,
        };
        Self { payer, middle: Some((middle, via)), payee, layer1 }
    }

    /// Who pays.
    pub const fn payer(&self) -> &OurNode {
        &self.payer
    }

    /// The chain of both.
    pub const fn layer1(&self) -> &Layer1 {
        &self.layer1
    }

    fn written(&self) -> (u64, u64) {
        let nodes =
            [Some(&self.payer), self.middle.as_ref().map(|(node, _)| node), Some(&self.payee)];
        let stats = nodes.into_iter().flatten().map(OurNode::journal_stats);
        let add =
            |sum: (u64, u64), stats: Stats| (sum.0 + stats.syncs, sum.1 + stats.written_bytes);
        stats.fold((0, 0), add)
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
                    running.spawn(pay(self.payer.handle().clone(), invoice, self.via()));
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
        if let Some((middle, _)) = self.middle {
            middle.stop().await;
        }
        self.payee.stop().await;
    }
}

impl OurRig {
    fn via(&self) -> Vec<Via> {
        self.middle.iter().map(|(_, via)| *via).collect()
    }
}

/// Pays an invoice. The invoice comes back when a channel has no place for it: a proof comes before its
/// HTLC is out of both commitments, and only then is the HTLC's place free.
async fn pay(node: Handle, invoice: String, via: Vec<Via>) -> Result<(), String> {
    let ended = if via.is_empty() {
        crate::ours::pay_to_the_end(&node, &invoice).await
    } else {
        along(&node, &invoice, via).await
    };
    match ended {
        Ok(PaymentStatus::Succeeded { .. }) => Ok(()),
        Ok(PaymentStatus::Failed(
            PaymentFailure::ShortOfCapacity
            | PaymentFailure::FailedOnTheWay { code: code::TEMPORARY_CHANNEL_FAILURE, .. },
        ))
        | Err(Refusal::ShortOfCapacity { .. } | Refusal::NoRoute { .. }) => Err(invoice),
        other => panic!("a payment ended {other:?}"),
    }
}

async fn along(node: &Handle, invoice: &str, via: Vec<Via>) -> Result<PaymentStatus, Refusal> {
    let order = crate::ours::pay_order(invoice);
    let (_, mut seen) = node.pay_along(order, via).await?;
    let ended = seen.wait_for(Payment::is_final).await.map_err(|_| Refusal::NoAnswer)?;
    Ok(ended.status)
}
