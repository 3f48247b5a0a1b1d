//! Everything the outside can ask of a node: the contract between the gRPC services and the tasks.
//!
//! Rules for who implements it. A mutating call answers only when its first fact is durable. An
//! [`super::model::OrderKey`] is kept in the same journal record; the same key with the same digest
//! answers what the first call answered, with another digest [`Refusal::KeyReused`]. Dropping a
//! future or a stream cancels nothing. A refusal means that nothing changed, unless
//! [`Refusal::reason`] is of unknown outcome.
//!
//! Not here: protocol buffers, tokens, TLS ([`super`]).

use async_trait::async_trait;
use bitcoin::{Address, Txid};
use chain_backend::sandbox::Stall;
use core::time::Duration;
use wire::id::{NodeId, PaymentHash};

use super::model::backup::{BackupContent, BackupRestored, BackupSource, RestoreBackup};
use super::model::channel::{
    Channel, ChannelFilter, ChannelRef, CloseChannel, Closing, OpenChannel, OpenPlan,
};
use super::model::event::{Event, Subscribe};
use super::model::forward::{Forward, ForwardFilter, Interception, SetPolicy};
use super::model::graph::{FindRoute, Probed, RouteFound};
use super::model::invoice::{CreateInvoice, DecodedInvoice, Invoice, InvoiceFilter, Receipt};
use super::model::node::{HealthPart, NodeInfo};
use super::model::page::{Listing, Page};
use super::model::payment::{PayOrder, Payment, PaymentFilter, Spontaneous};
use super::model::peer::{
    ConnectPeer, Connected, DisconnectPeer, Peer, PeerPolicy, PeerPolicyChange,
};
use super::model::sandbox::{
    Cheat, Cheating, Faucet, FeerateVb, Mine, Mined, Pinned, Poured, Reorg, SandboxStatus,
};
use super::model::wallet::{
    AddressKind, Bumped, RaiseFee, SendCoins, SentCoins, Utxo, WalletBalance, WalletTransaction,
};
use super::model::why::{ChannelWhy, PaymentWhy};
use super::model::{OrderKey, Started, Updates};
use super::refusal::Refusal;
use crate::backup::Status;
use crate::switch::policy::ForwardPolicy;
use crate::tower::{Audit, Coverage, Drill, DrillTower, NoProof, Tower};

/// What a call answers.
pub type Answer<T> = Result<T, Refusal>;

/// A running node.
#[async_trait]
pub trait NodeApi: Clone + Send + Sync + 'static {
    // ---- Node

    /// A snapshot of the node.
    async fn info(&self) -> Answer<NodeInfo>;

    /// Every part of the node with its state, in a fixed order.
    async fn health(&self) -> Answer<Vec<HealthPart>>;

    /// Begins an orderly stop; answers at once.
    async fn stop(&self) -> Answer<()>;

    /// Connects to a peer, exchanges `init`, and keeps the connection up from now on. Connected
    /// already: answers at once.
    async fn connect_peer(&self, order: ConnectPeer) -> Answer<Connected>;

    /// Ends a connection and stops keeping it up.
    async fn disconnect_peer(&self, order: DisconnectPeer) -> Answer<()>;

    /// Changes what holds for channels with a peer. Answers what holds now.
    async fn set_peer_policy(&self, node: NodeId, change: PeerPolicyChange) -> Answer<PeerPolicy>;

    /// All peers, in order of index.
    async fn list_peers(&self) -> Answer<Vec<Peer>>;

    // ---- Wallet

    /// A fresh address; each call another one. A kind the wallet does not have is refused.
    async fn new_address(&self, kind: AddressKind, key: Option<OrderKey>) -> Answer<Address>;

    /// What the wallet holds.
    async fn wallet_balance(&self) -> Answer<WalletBalance>;

    /// What [`Self::send_coins`] would cost; nothing is done.
    async fn plan_send(&self, order: SendCoins) -> Answer<SentCoins>;

    /// Sends coins on Layer 1.
    async fn send_coins(&self, order: SendCoins) -> Answer<SentCoins>;

    /// Raises the fee of a transaction, or of whatever a channel waits for; the channel is meant if both
    /// are known.
    async fn bump(&self, order: RaiseFee) -> Answer<Bumped>;

    /// The wallet's transactions.
    async fn list_transactions(&self, page: Page) -> Answer<Listing<WalletTransaction>>;

    /// The wallet's unspent coins, oldest first.
    async fn list_utxos(&self) -> Answer<Vec<Utxo>>;

    // ---- Channels

    /// What [`Self::open_channel`] would cost; nothing is done.
    async fn plan_open(&self, order: OpenChannel) -> Answer<OpenPlan>;

    /// Opens a channel: connects if needed, negotiates, funds, broadcasts, waits. Updates end with
    /// [`super::model::channel::ChannelPhase::Open`], or with `Failed`, or with a refusal when no
    /// channel came to be.
    async fn open_channel(&self, order: OpenChannel) -> Answer<Started<Channel>>;

    /// The channels, in order of creation.
    async fn list_channels(&self, filter: ChannelFilter) -> Answer<Vec<Channel>>;

    /// One channel.
    async fn channel(&self, which: ChannelRef) -> Answer<Channel>;

    /// Follows a channel from its newest snapshot until it is closed or failed.
    async fn watch_channel(&self, which: ChannelRef) -> Answer<Updates<Channel>>;

    /// What [`Self::close_channel`] would cost; nothing is done.
    async fn plan_close(&self, order: CloseChannel) -> Answer<Closing>;

    /// Closes a channel. Asking again while it closes attaches to it, and with `Force` goes from a
    /// cooperative close to a forced one. Updates end with [`super::model::channel::ChannelPhase::Closed`].
    async fn close_channel(&self, order: CloseChannel) -> Answer<Started<Channel>>;

    /// Why a channel is where it is, told from the journal.
    async fn why_channel(&self, which: ChannelRef) -> Answer<ChannelWhy>;

    /// Ends a channel's quarantine although nobody has shown that its data is current. If it is not, the
    /// next close loses everything in it.
    async fn lift_quarantine(&self, channel: ChannelRef) -> Answer<Channel>;

    // ---- Payments

    /// Reads an invoice without doing anything; refuses only what cannot be read.
    async fn decode_invoice(&self, invoice: String) -> Answer<DecodedInvoice>;

    /// Pays an invoice. The same invoice again: in flight, attaches; arrived, gives the final snapshot
    /// (`fresh` false); failed, tries anew. Updates end with a final status.
    async fn pay(&self, order: PayOrder) -> Answer<Started<Payment>>;

    /// One payment.
    async fn payment(&self, hash: PaymentHash) -> Answer<Payment>;

    /// Follows a payment from its newest snapshot until it is final.
    async fn watch_payment(&self, hash: PaymentHash) -> Answer<Updates<Payment>>;

    /// Why a payment is where it is, told from the journal.
    async fn why_payment(&self, hash: PaymentHash) -> Answer<PaymentWhy>;

    /// The payments.
    async fn list_payments(&self, filter: PaymentFilter, page: Page) -> Answer<Listing<Payment>>;

    /// Pays a node that asked for nothing: the preimage travels with the payment.
    async fn spend_spontaneously(&self, order: Spontaneous) -> Answer<Started<Payment>>;

    // ---- Invoices

    /// Makes an invoice.
    async fn create_invoice(&self, order: CreateInvoice) -> Answer<Invoice>;

    /// One invoice.
    async fn invoice(&self, hash: PaymentHash) -> Answer<Invoice>;

    /// Follows an invoice from its newest snapshot until it is final.
    async fn watch_invoice(&self, hash: PaymentHash) -> Answer<Updates<Invoice>>;

    /// The invoices.
    async fn list_invoices(&self, filter: InvoiceFilter, page: Page) -> Answer<Listing<Invoice>>;

    /// Settles an invoice that is held. Settled already: answers it.
    async fn settle_invoice(&self, receipt: Receipt) -> Answer<Invoice>;

    /// Takes an open invoice back: nobody can pay it any more. Cancelled already: answers it.
    async fn cancel_invoice(&self, hash: PaymentHash) -> Answer<Invoice>;

    // ---- Forwards

    /// Payments of others.
    async fn list_forwards(&self, filter: ForwardFilter, page: Page) -> Answer<Listing<Forward>>;

    /// What a running channel asks of those who forward over it.
    async fn policy(&self, which: ChannelRef) -> Answer<ForwardPolicy>;

    /// Changes it.
    async fn set_policy(&self, order: SetPolicy) -> Answer<ForwardPolicy>;

    /// Holds what comes from now on; whoever did so before is not asked any more.
    async fn intercept(&self) -> Answer<Interception>;

    // ---- The network

    /// The network as gossip shows it, at this moment.
    fn graph(&self) -> routing::graph::Snapshot;

    /// The way that a payment would take now.
    async fn find_route(&self, order: FindRoute) -> Answer<RouteFound>;

    /// The same by trying: HTLCs that nobody can settle, for so many seconds at most.
    async fn probe_route(&self, order: FindRoute, patience_s: u32) -> Answer<Probed>;

    /// What attempts taught, as bytes, and of how many channels.
    async fn scores(&self) -> Answer<(Vec<u8>, u64)>;

    /// Takes over what another node has learnt; of how many channels something is known then.
    async fn merge_scores(&self, scores: Vec<u8>) -> Answer<u64>;

    // ---- Events

    /// Events from the durable log, then live, none left out; never ends by itself. A reader that
    /// does not keep up gets [`Refusal::TooSlow`] as its last item and starts again from there.
    async fn events(&self, order: Subscribe) -> Answer<Updates<Event>>;

    // ---- Backup

    /// Where the newest backup is.
    async fn backup_status(&self) -> Answer<Status>;

    /// The newest backup, encrypted.
    async fn export_backup(&self) -> Answer<Vec<u8>>;

    /// What a backup says; nothing is done.
    async fn verify_backup(&self, source: BackupSource) -> Answer<BackupContent>;

    /// Makes the channels of a backup again that are not known. Known ones stay as they are.
    async fn restore_backup(&self, order: RestoreBackup) -> Answer<BackupRestored>;

    // ---- Towers

    /// Hires a tower, or changes where it is; durable when it answers.
    async fn add_tower(&self, tower: NodeId, address: String, trusted: bool) -> Answer<()>;

    /// Dismisses a tower; whether there was one.
    async fn remove_tower(&self, tower: NodeId) -> Answer<bool>;

    /// All towers.
    async fn list_towers(&self) -> Answer<Vec<Tower>>;

    /// What could be lost, and how many towers each channel should have.
    async fn tower_coverage(&self) -> Answer<(Vec<Coverage>, usize)>;

    /// Stages a breach of our own making, or watches the one that runs; the verdict is the last update.
    async fn drill_tower(&self, order: DrillTower) -> Answer<Updates<Drill>>;

    /// Asks a tower for records that it signed for: so many of each session.
    async fn audit_tower(&self, tower: NodeId, draws: usize) -> Answer<Vec<Audit>>;

    /// The file that convicts a tower of letting a channel be robbed, or why there is none.
    async fn prove_tower(
        &self,
        tower: NodeId,
        channel: ChannelRef,
    ) -> Answer<Result<Vec<u8>, NoProof>>;

    // ---- Sandbox (only where this node mines the built-in chain; else `Refusal::NotSandbox`)

    /// Mines blocks and answers when the node has processed them.
    async fn mine(&self, order: Mine) -> Answer<Mined>;

    /// The built-in chain as it is.
    async fn sandbox_status(&self) -> Answer<SandboxStatus>;

    /// Sends play money and confirms it in one block.
    async fn faucet(&self, order: Faucet) -> Answer<Poured>;

    /// Replaces the last blocks by others and answers when the node has processed it.
    async fn reorg(&self, order: Reorg) -> Answer<Mined>;

    /// Throws a transaction and what stands on it out of the mempool; answers what went.
    async fn evict(&self, txid: Txid) -> Answer<Vec<Txid>>;

    /// Sets the least that the mempool takes; answers what went.
    async fn set_floor(&self, floor: Option<FeerateVb>) -> Answer<Vec<Txid>>;

    /// Lets the chain stand still, or go on.
    async fn stall(&self, stall: Stall, time: Option<Duration>) -> Answer<()>;

    /// Puts a large child that pays little on a waiting transaction.
    async fn pin(&self, txid: Txid) -> Answer<Pinned>;

    /// Broadcasts a revoked commitment of ours, and goes on from there as if it were the newest.
    async fn cheat(&self, order: Cheat) -> Answer<Cheating>;
}
