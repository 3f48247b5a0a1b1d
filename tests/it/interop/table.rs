//! Our node and an LDK node at one table: connected, with coins, and with the means to account for them.

use bitcoin::{Amount, Transaction};
use daemon::rpc::model::forward::ForwardFilter;
use daemon::rpc::model::page::Page;
use daemon::rpc::node_api::NodeApi as _;
use lightning::ln::channel_state::ChannelDetails;
use lightning::ln::types::ChannelId as LdkChannelId;
use lightning::types::payment::PaymentHash as LdkHash;
use lightning_invoice::Bolt11Invoice;
use secp256k1::PublicKey;
use std::path::PathBuf;
use std::sync::Arc;
use viaduct_tests::layer1::Layer1;
use viaduct_tests::ldk::{LdkNode, Limits, Options};
use viaduct_tests::ours::{OurNode, Place};
use viaduct_tests::until::until_async;
use wire::id::{ChannelId, NodeId, PaymentHash};

/// Satoshi in each wallet at the start: one subsidy of the built-in chain.
pub(super) const COIN: u64 = 5_000_000_000;
/// Satoshi in a channel.
pub(super) const CAPACITY: u64 = 10_000_000;

/// Both nodes and their chain.
pub(super) struct Table {
    pub(super) layer1: Layer1,
    pub(super) ours: OurNode,
    pub(super) ldk: LdkNode,
    dir: tempfile::TempDir,
}

impl Table {
    /// Both nodes with a coin each, not connected yet.
    pub(super) async fn lay() -> Self {
        Self::lay_with(&[]).await
    }

    /// With more settings for our node.
    pub(super) async fn lay_with(settings: &[(&str, &str)]) -> Self {
        Self::lay_for(settings, Limits::default()).await
    }

    /// With other limits of LDK's.
    pub(super) async fn lay_for(settings: &[(&str, &str)], limits: Limits) -> Self {
        let _ = tracing_subscriber::fmt()
            .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
            .with_test_writer()
            .try_init();
        let dir = tempfile::tempdir().unwrap();
        let layer1 = Layer1::start();
        let ours =
            OurNode::start(Place::with_settings("ours", dir.path(), &layer1, settings)).await;
        let options = Options { limits, ..Options::named("ldk", dir.path()) };
        let ldk = LdkNode::start(options, layer1.backend()).await;
        layer1.give(&[ours.wallet_script().await, ldk.wallet_script()]).await;
        let table = Self { layer1, ours, ldk, dir };
        table.level().await;
        table
    }

    /// Waits until both have seen all blocks.
    pub(super) async fn level(&self) {
        let height = self.layer1.height().await;
        self.ours.at_height(height).await;
        self.ldk.at_height(height).await;
    }

    /// Mines blocks one by one, each seen by both before the next.
    pub(super) async fn mine(&self, blocks: u32) {
        for _ in 0..blocks {
            self.layer1.mine(1).await;
            self.level().await;
        }
    }

    /// A channel that LDK funds and both can use.
    pub(super) async fn ldk_opens(&self, push_msat: u64) -> (ChannelId, LdkChannelId) {
        self.ldk.connect(public(self.ours.id()), self.ours.address()).await;
        let id = self.ldk.open_channel(public(self.ours.id()), CAPACITY, push_msat).await;
        self.opened(id).await
    }

    /// A channel that we fund and both can use.
    pub(super) async fn we_open(&self) -> (ChannelId, LdkChannelId) {
        let id = self.ours.open_channel(node_id(self.ldk.id()), self.ldk.address(), CAPACITY).await;
        self.opened(LdkChannelId(id.0)).await
    }

    async fn opened(&self, id: LdkChannelId) -> (ChannelId, LdkChannelId) {
        self.layer1.mempool_of(1).await;
        self.mine(6).await;
        self.usable(id).await;
        (ChannelId(id.0), id)
    }

    /// Waits until both can use the channel.
    pub(super) async fn usable(&self, id: LdkChannelId) -> ChannelDetails {
        self.ours.usable(ChannelId(id.0)).await;
        self.ldk.usable(id).await
    }

    /// The node crashes in the middle of whatever it does and comes back.
    pub(super) async fn we_crash(self) -> Self {
        let ours = self.ours.crash_and_restart().await;
        // Who does not see the chain yet does not pay.
        ours.at_height(self.layer1.height().await).await;
        Self { ours, ..self }
    }

    /// A copy of all that LDK remembers now.
    pub(super) fn ldk_remembers(&self) -> PathBuf {
        let copy = self.dir.path().join("ldk-then");
        self.ldk.copy_to(&copy);
        copy
    }

    /// While we sleep for so many blocks, LDK goes back to what it remembered once, and closes the channel.
    pub(super) async fn ldk_goes_back_and_closes(
        self,
        memory: PathBuf,
        channel: &ChannelDetails,
        blocks: u32,
    ) -> Self {
        let ours = self.ours.sleep().await;
        let ldk = self.ldk.restart_from(memory).await;
        // It may close by itself, when not all it remembers is equally old.
        if let Some(details) = ldk.channel(channel.channel_id) {
            ldk.force_close(&details);
        }
        self.layer1.spend_seen(viaduct_tests::ldk::funding_of(channel)).await;
        for _ in 0..blocks {
            ldk.at_height(self.layer1.mine(1).await).await;
        }
        Self { ours: ours.wake().await, ldk, ..self }
    }

    /// Waits until our node holds so many HTLCs.
    pub(super) async fn we_hold(&self, count: usize) {
        let last = std::cell::RefCell::new(String::new());
        until_async(
            "HTLCs to be held",
            || last.borrow().clone(),
            || async {
                let held = ForwardFilter { held: true, ..ForwardFilter::default() };
                let all = Page { size: Page::SIZE_MAX, ..Page::default() };
                let held = self.ours.handle().list_forwards(held, all).await.expect("a list");
                *last.borrow_mut() = format!("{held:?}");
                (held.entries.len() == count).then_some(())
            },
        )
        .await;
    }

    /// LDK stops and comes back.
    pub(super) async fn ldk_restarts(self) -> Self {
        let ldk = self.ldk.restart().await;
        Self { ldk, ..self }
    }

    /// Waits until every coin is in one of the wallets, but for what fees and `elsewhere` hold.
    pub(super) async fn account(&self, elsewhere_sat: u64) {
        let last = std::cell::RefCell::new(String::new());
        let account = || format!("{}\n{}", last.borrow(), self.ldk.log_tail());
        let what = "every satoshi in one of the two wallets";
        until_async(what, account, || async {
            // A sweep may have come too late for the last block.
            self.mine(1).await;
            let fees = self.layer1.totals().await.fees_sat;
            let ours = self.ours.balance().await;
            let theirs = self.ldk.wallet_balance();
            *last.borrow_mut() =
                format!("{ours:?}, theirs {theirs}, fees {fees}, elsewhere {elsewhere_sat}");
            let sum = (ours.confirmed + theirs).to_sat() + fees + elsewhere_sat;
            (sum == 2 * COIN).then_some(())
        })
        .await;
        assert!(self.dir.path().exists());
    }

    /// Waits until only anchors are left of a commitment's outputs; answers what they hold.
    pub(super) async fn anchors_left_of(&self, seen: &Transaction) -> u64 {
        let account = || format!("{seen:?}\n{}", self.ldk.log_tail());
        // Who hears that the other one closes does so as well, and what was seen first need not be mined.
        let funding = seen.input[0].previous_output;
        until_async("everything but anchors to be taken", account, || async {
            let spend = self.layer1.chain().spender(funding, 0).await.unwrap()?;
            let left = self.layer1.unspent_of(&spend.tx).await;
            let anchors = left.iter().all(|(_, output)| output.value.to_sat() == 330);
            anchors.then(|| left.iter().map(|(_, output)| output.value.to_sat()).sum())
        })
        .await
    }

    /// Mines until nothing is awaited from closed channels any more, at most `blocks`.
    pub(super) async fn settle(&self, blocks: u32) {
        for _ in 0..blocks {
            self.mine(1).await;
            let waiting = self.layer1.chain().mempool().await.unwrap();
            let done =
                self.ours.channels().await.iter().all(is_over) && self.ldk.awaited_sat() == 0;
            if done && waiting.is_empty() && self.ldk.channels().is_empty() {
                // The last sweeps of either may still be on their way into a block.
                self.mine(12).await;
                return;
            }
        }
        let ours = self.ours.channels().await;
        panic!("not settled after {blocks} blocks: {ours:?}\n{}", self.ldk.log_tail());
    }

    /// What we hold in coins.
    pub(super) async fn our_balance(&self) -> Amount {
        self.ours.balance().await.confirmed
    }

    /// The transaction that spends the channel's funding, as soon as anybody sends it.
    pub(super) async fn closing_of(&self, channel: &ChannelDetails) -> Arc<Transaction> {
        self.layer1.spend_seen(viaduct_tests::ldk::funding_of(channel)).await
    }
}

fn is_over(channel: &daemon::rpc::model::channel::Channel) -> bool {
    channel.phase == daemon::rpc::model::channel::ChannelPhase::Closed
}

/// A node's name as LDK writes it.
pub(super) fn public(id: NodeId) -> PublicKey {
    PublicKey::from_slice(&id.0).unwrap()
}

/// A node's name as we write it.
pub(super) fn node_id(key: PublicKey) -> NodeId {
    NodeId(key.serialize())
}

/// A payment's name as LDK writes it.
pub(super) fn ldk_hash(hash: PaymentHash) -> LdkHash {
    LdkHash(hash.0)
}

/// A payment's name as we write it.
pub(super) fn our_hash(hash: LdkHash) -> PaymentHash {
    PaymentHash(hash.0)
}

/// An invoice's text, read by LDK.
pub(super) fn read(invoice: &str) -> Bolt11Invoice {
    invoice.parse().unwrap()
}
