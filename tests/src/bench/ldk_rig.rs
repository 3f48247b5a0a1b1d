//! Two LDK nodes over loopback TCP, each with LDK's monitor persister (100 updates beside a whole monitor)
//! and the manager written once a round of its event loop, as its background processor does; forwards are
//! processed at once, without that processor's random wait.

use super::cost::cpu_time;
use super::rig::{PaymentRig, Sample};
use crate::layer1::Layer1;
use crate::ldk::{LdkNode, Limits, Options, Outcome, StoreCost, StoreKind};
use async_trait::async_trait;
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
    payee: LdkNode,
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
        let limits = Limits {
            htlcs_max: HTLCS_MAX as u16,
            in_flight_percent: 100,
            dust_exposure_msat: u64::MAX / 2,
            minimum_depth: 1,
        };
        let options = |name: &str| {
            let named = Options::named(name, dir);
            Options { store, limits, quiet: true, ..named }
        };
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
        Self { payer, payee, channel, _layer1: layer1 }
    }

    fn store_cost(&self) -> StoreCost {
        let (payer, payee) = (self.payer.store_cost(), self.payee.store_cost());
        StoreCost {
            writes: payer.writes + payee.writes,
            syncs: payer.syncs + payee.syncs,
            bytes: payer.bytes + payee.bytes,
        }
    }
}

#[async_trait(?Send)]
impl PaymentRig for LdkRig {
    async fn pay_batch(&mut self, count: usize, window: usize, msat: u64) -> Sample {
        let mut waiting: Vec<_> = (0..count).map(|_| self.payee.expect_payment(msat)).collect();
        let route = self.payer.quiet(self.channel).await;
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
                self.payer.send(&route, hash, secret, msat);
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
        self.payee.stop().await;
    }
}
