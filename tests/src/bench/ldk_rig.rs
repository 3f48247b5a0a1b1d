//! LDK nodes over loopback TCP, two with a channel or three in a line, each with LDK's monitor persister (100 updates beside a whole monitor)
//! and the manager written once a round of its event loop, as its background processor does; forwards are
//! processed at once, without that processor's random wait.

use super::cost::cpu_time;
use super::rig::{PaymentRig, Sample};
use crate::layer1::Layer1;
use crate::ldk::{LdkNode, Limits, Options, Outcome, StoreCost, StoreKind};
use async_trait::async_trait;
use lightning::ln::channel_state::ChannelDetails;
use lightning::ln::types::ChannelId;
use std::path::Path;
use std::time::Instant;

/// Satoshi in the channel, all of them the payer's.
const CAPACITY: u64 = 4_000_000_000;
/// What BOLT 2 lets one side have in flight.
const HTLCS_MAX: usize = 483;

/// The nodes and their channel.
#[derive(Debug)]
pub struct LdkRig {
    payer: LdkNode,
    /// Who forwards, and over which channel.
    middle: Option<(LdkNode, ChannelId)>,
    payee: LdkNode,
    /// Of the payer.
    channel: ChannelId,
    _layer1: Layer1,
}

impl LdkRig {
    /// Starts both nodes in directories below `dir` and opens the channel.
    ///
    /// # Panics
    /// When anything fails.
    pub async fn start(store: StoreKind, dir: &Path) -> Self {
        let layer1 = Layer1::start();
        let options = |name: &str| options(name, store, dir);
        let payer = LdkNode::start(options("payer"), layer1.backend()).await;
        let payee = LdkNode::start(options("payee"), layer1.backend()).await;
        layer1.give(&[payer.wallet_script()]).await;
        payer.at_height(layer1.height().await).await;
        payer.connect(payee.id(), payee.address()).await;
        let channel = payer.open_channel(payee.id(), CAPACITY, 0).await;
        layer1.mempool_of(1).await;
        layer1.mine(6).await;
        payer.usable(channel).await;
        payee.usable(channel).await;
        Self { payer, middle: None, payee, channel, _layer1: layer1 }
    }

    /// Starts three nodes in directories below `dir` and opens both channels.
    ///
    /// # Panics
    /// When anything fails.
    pub async fn start_line(store: StoreKind, dir: &Path) -> Self {
        let layer1 = Layer1::start();
        let start = async |name| LdkNode::start(options(name, store, dir), layer1.backend()).await;
        let (payer, middle, payee) =
            (start("payer").await, start("middle").await, start("payee").await);
        layer1.give(&[payer.wallet_script(), middle.wallet_script()]).await;
        let height = layer1.height().await;
        payer.at_height(height).await;
        middle.at_height(height).await;
        payer.connect(middle.id(), middle.address()).await;
        middle.connect(payee.id(), payee.address()).await;
        let channel = payer.open_channel(middle.id(), CAPACITY, 0).await;
        let next = middle.open_channel(payee.id(), CAPACITY, 0).await;
        layer1.mempool_of(2).await;
        layer1.mine(6).await;
        payer.usable(channel).await;
        middle.usable(channel).await;
        middle.usable(next).await;
        payee.usable(next).await;
        Self { payer, middle: Some((middle, next)), payee, channel, _layer1: layer1 }
    }

    fn store_cost(&self) -> StoreCost {
        let nodes =
            [Some(&self.payer), self.middle.as_ref().map(|(node, _)| node), Some(&self.payee)];
        let costs = nodes.into_iter().flatten().map(LdkNode::store_cost);
        costs.fold(StoreCost::default(), |sum, cost| StoreCost {
            writes: sum.writes + cost.writes,
            syncs: sum.syncs + cost.syncs,
            bytes: sum.bytes + cost.bytes,
        })
    }

    /// The channels on the way, the payer's first, once nothing is in flight.
    async fn way(&self) -> Vec<ChannelDetails> {
        let mut way = vec![self.payer.quiet(self.channel).await];
        if let Some((middle, next)) = &self.middle {
            way.push(middle.quiet(*next).await);
        }
        way
    }
}

fn options(name: &str, store: StoreKind, dir: &Path) -> Options {
    let limits = Limits {
        htlcs_max: HTLCS_MAX as u16,
        in_flight_percent: 100,
        dust_exposure_msat: u64::MAX / 2,
        minimum_depth: 1,
        ..Limits::default()
    };
    Options { store, limits, quiet: true, ..Options::named(name, dir) }
}

#[async_trait(?Send)]
impl PaymentRig for LdkRig {
    async fn pay_batch(&mut self, count: usize, window: usize, msat: u64) -> Sample {
        let mut waiting: Vec<_> = (0..count).map(|_| self.payee.expect_payment(msat)).collect();
        let way = self.way().await;
        self.payer.take_outcomes();
        self.payee.take_outcomes();
        let mut pulse = self.payer.pulse();
        let (mut in_flight, mut done) = (0, 0);
        let (cost, cpu, start) = (self.store_cost(), cpu_time(), Instant::now());
        while done < count {
            pulse.borrow_and_update();
            for outcome in self.payer.take_outcomes().into_values() {
                assert!(
                    matches!(outcome, Outcome::Sent(_)),
                    "{outcome:?}\n{}",
                    self.payer.log_tail()
                );
                in_flight -= 1;
                done += 1;
            }
            // A proof comes before its HTLC is out of both commitments; only then is its place free.
            let taken = if window - in_flight > 0 && !waiting.is_empty() && window > HTLCS_MAX / 2 {
                let channel = self.payer.channel(self.channel).expect("an open channel");
                channel.pending_outbound_htlcs.len()
            } else {
                in_flight
            };
            for _ in taken.max(in_flight)..window {
                let Some((hash, secret)) = waiting.pop() else { break };
                self.payer.send_along(&way, hash, secret, msat);
                in_flight += 1;
            }
            if done < count {
                // Places may come free without a proof, so it does not wait for proofs alone.
                let pause = std::time::Duration::from_millis(1);
                let _ = tokio::time::timeout(pause, pulse.changed()).await;
            }
        }
        let (seconds, cpu) = (start.elapsed().as_secs_f64(), cpu_time() - cpu);
        let after = self.store_cost();
        Sample {
            payments: count,
            seconds,
            cpu_ms: cpu.as_secs_f64() * 1_000.0,
            syncs: after.syncs - cost.syncs,
            bytes: after.bytes - cost.bytes,
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
