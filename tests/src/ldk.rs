//! An LDK node as a foreign peer: real TCP, real store, blocks and broadcast through our chain trait.
//!
//! It decides nothing by itself: it accepts channels, claims what is paid to it (or holds it when told to)
//! and takes what closed channels leave to its wallet. Everything else a test orders.
//! Not here: what a test expects of it.

#![allow(
    clippy::disallowed_types,
    reason = "LDK calls its parts from its own threads through shared references"
)]

mod blinded;
mod broadcast;
mod events;
mod follow;
mod gossip;
mod log;
mod log_store;
mod parts;
mod store;
mod wallet;

use crate::until::{PATIENCE, until};
use bitcoin::hashes::{Hash, sha256};
use bitcoin::secp256k1::rand::{RngCore, thread_rng};
use bitcoin::secp256k1::{PublicKey, Secp256k1, SecretKey};
use bitcoin::{Amount, OutPoint, ScriptBuf, Transaction};
use broadcast::Broadcaster;
use chain_backend::ChainBackend;
use events::{Memory, Seen};
use lightning::ln::channel_state::ChannelDetails;
use lightning::ln::channelmanager::{
    Bolt11InvoiceParameters, PaymentId, RecipientOnionFields, Retry,
};
use lightning::ln::types::ChannelId;
use lightning::routing::router::{
    Path as RoutePath, PaymentParameters, Route, RouteHop, RouteParameters, RouteParametersConfig,
};
use lightning::types::features::{ChannelFeatures, NodeFeatures};
use lightning::types::payment::{PaymentHash, PaymentPreimage, PaymentSecret};
use lightning_invoice::{Bolt11Invoice, Currency, InvoiceBuilder};
use log::Log;
use parts::Parts;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};
use store::Store;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

pub use broadcast::COMMITMENT_FEERATE;
pub use events::{Forwarded, Outcome, PathFailed};
pub use gossip::Known;
pub use store::{StoreCost, StoreKind};

/// The final CLTV delta that payments made by hand carry.
const FINAL_CLTV: u32 = 42;
/// What LDK asks for forwarding unless told otherwise, in msat and in blocks.
const FORWARD_FEE_MSAT: u64 = 1_000;
/// See above.
const FORWARD_CLTV: u32 = 72;

/// What a node in the middle gets of it.
const BEYOND_CLTV: u32 = 80;

/// What a node asks of its channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// HTLCs it lets the peer have in flight, at most 483.
    pub htlcs_max: u16,
    /// How much of a channel it lets the peer have in flight.
    pub in_flight_percent: u8,
    /// The most it has at stake in dust.
    pub dust_exposure_msat: u64,
    /// Confirmations before a channel is used.
    pub minimum_depth: u32,
    /// Whether it takes channels before they confirm, from anybody.
    pub zero_conf: bool,
    /// Whether its private channels are to be called by aliases alone.
    pub scid_privacy: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            htlcs_max: 483,
            in_flight_percent: 100,
            dust_exposure_msat: 50_000_000,
            minimum_depth: 3,
            zero_conf: false,
            scid_privacy: false,
        }
    }
}

/// How a node is made.
#[derive(Clone, Debug)]
pub struct Options {
    /// What it is called in its log.
    pub name: String,
    /// All its keys.
    pub seed: [u8; 32],
    /// Where its state lives.
    pub dir: PathBuf,
    /// In what kind of store.
    pub store: StoreKind,
    /// What it asks of channels.
    pub limits: Limits,
    /// Whether it logs errors alone.
    pub quiet: bool,
}

impl Options {
    /// A node with a seed made from its name, in a directory below `dir`, with LDK's own store.
    ///
    /// # Panics
    /// When the directory cannot be made.
    pub fn named(name: &str, dir: &Path) -> Self {
        let dir = dir.join(name);
        std::fs::create_dir_all(&dir).expect("a directory for the node");
        Self {
            name: name.to_owned(),
            seed: sha256::Hash::hash(name.as_bytes()).to_byte_array(),
            dir,
            store: StoreKind::Files,
            limits: Limits::default(),
            quiet: false,
        }
    }
}

/// A running LDK node.
pub struct LdkNode {
    options: Options,
    backend: Arc<dyn ChainBackend>,
    /// Outlives restarts, so that the address stays.
    listener: std::net::TcpListener,
    memory: Arc<Memory>,
    log: Arc<Log>,
    parts: Arc<Parts>,
    stop: Arc<Notify>,
    tasks: Vec<JoinHandle<()>>,
    next_open: AtomicU64,
}

impl std::fmt::Debug for LdkNode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LdkNode").field("name", &self.options.name).finish_non_exhaustive()
    }
}

impl LdkNode {
    /// Starts a node, fresh or on what its directory holds, and lets it catch up with the chain.
    ///
    /// # Panics
    /// When its directory or the loopback interface cannot be used.
    pub async fn start(options: Options, backend: Arc<dyn ChainBackend>) -> Self {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let log = Arc::new(Log::new(&options.name, options.quiet));
        Self::run(options, backend, listener, Memory::new(), log, AtomicU64::new(1)).await
    }

    async fn run(
        options: Options,
        backend: Arc<dyn ChainBackend>,
        listener: std::net::TcpListener,
        memory: Arc<Memory>,
        log: Arc<Log>,
        next_open: AtomicU64,
    ) -> Self {
        let store = Arc::new(Store::open(options.store, &options.dir));
        let (broadcaster, sent) = Broadcaster::new();
        let (parts, tip) = Parts::assemble(
            &options.seed,
            options.limits,
            store,
            Arc::new(broadcaster),
            &backend,
            log.clone(),
        )
        .await;
        let parts = Arc::new(parts);
        parts.persist_channels();
        let stop = Arc::new(Notify::new());
        let incoming = listener.try_clone().expect("a second handle to the port");
        incoming.set_nonblocking(true).expect("a socket that does not block");
        let mut stream = follow::stream_from(&backend, tip).await;
        let following = parts.clone();
        let tasks = vec![
            tokio::spawn(broadcast::submit_all(sent, backend.clone(), log.clone())),
            tokio::spawn(async move { follow::follow(&mut stream, &*following).await }),
            tokio::spawn(events::run(
                parts.clone(),
                memory.clone(),
                stop.clone(),
                options.limits.zero_conf,
            )),
            tokio::spawn(accept(incoming, parts.clone())),
        ];
        Self { options, backend, listener, memory, log, parts, stop, tasks, next_open }
    }

    /// Stops the node in order and starts it again from what its store holds, on the same address.
    /// Connections are gone.
    pub async fn restart(mut self) -> Self {
        self.halt().await;
        self.restart_halted().await
    }

    async fn restart_halted(self) -> Self {
        let (options, memory, log) = (self.options.clone(), self.memory.clone(), self.log.clone());
        let listener = self.listener.try_clone().expect("a second handle to the port");
        let (backend, next_open) = (self.backend.clone(), self.next_open.load(Ordering::SeqCst));
        drop(self);
        log.note("---- restarted".to_owned());
        Self::run(options, backend, listener, memory, log, AtomicU64::new(next_open)).await
    }

    /// Copies everything it has written to another directory.
    ///
    /// # Panics
    /// When that fails.
    pub fn copy_to(&self, to: &Path) {
        copy(&self.options.dir, to).expect("a copy");
    }

    /// Stops the node in order and starts it again from another directory, as [`Self::restart`].
    pub async fn restart_from(mut self, dir: PathBuf) -> Self {
        self.halt().await;
        self.options.dir = dir;
        self.restart_halted().await
    }

    /// Stops the node in order; its directory is free afterwards.
    pub async fn stop(mut self) {
        self.halt().await;
    }

    async fn halt(&mut self) {
        self.parts.peers.disconnect_all_peers();
        self.stop.notify_one();
        let running = self.tasks.swap_remove(2);
        tokio::time::timeout(PATIENCE, running)
            .await
            .expect("the node's loop ends")
            .expect("the node's loop did not panic");
        self.abort();
        self.parts.persist_channels();
    }

    fn abort(&mut self) {
        for task in self.tasks.drain(..) {
            task.abort();
        }
    }

    /// Its public key.
    pub fn id(&self) -> PublicKey {
        self.parts.channels.get_our_node_id()
    }

    /// Where it listens.
    ///
    /// # Panics
    /// Never while the node is alive.
    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr().expect("a bound port")
    }

    /// Where its wallet wants to be paid.
    pub fn wallet_script(&self) -> ScriptBuf {
        self.parts.wallet.script().clone()
    }

    /// The coins of its wallet in blocks.
    pub fn wallet_balance(&self) -> Amount {
        self.parts.wallet.balance()
    }

    /// What its store did since it was started last.
    pub fn store_cost(&self) -> StoreCost {
        self.parts.store.cost()
    }

    /// Its log's newest lines.
    pub fn log_tail(&self) -> String {
        self.log.tail()
    }

    /// Connects and waits until `init` was exchanged.
    ///
    /// # Panics
    /// When that does not come about.
    pub async fn connect(&self, id: PublicKey, address: SocketAddr) {
        let stream = tokio::net::TcpStream::connect(address).await.expect("the peer listens");
        stream.set_nodelay(true).expect("a TCP socket");
        let stream = stream.into_std().expect("a socket");
        tokio::spawn(lightning_net_tokio::setup_outbound(self.parts.peers.clone(), id, stream));
        self.wait(&format!("the connection to {id}"), || self.is_connected(id).then_some(())).await;
    }

    /// Whether `init` was exchanged with this peer and the connection stands.
    pub fn is_connected(&self, id: PublicKey) -> bool {
        self.parts.peers.peer_by_node_id(&id).is_some()
    }

    /// Ends the connection to a peer.
    pub fn disconnect(&self, id: PublicKey) {
        self.parts.peers.disconnect_by_node_id(id);
    }

    /// Opens a channel and waits until its funding transaction is handed in.
    ///
    /// # Panics
    /// When the channel does not come about.
    pub async fn open_channel(&self, peer: PublicKey, sat: u64, push_msat: u64) -> ChannelId {
        self.open_any_channel(peer, sat, push_msat, false).await
    }

    /// The same, announced to the network once it is six blocks deep.
    ///
    /// # Panics
    /// When the channel does not come about.
    pub async fn open_public_channel(
        &self,
        peer: PublicKey,
        sat: u64,
        push_msat: u64,
    ) -> ChannelId {
        self.open_any_channel(peer, sat, push_msat, true).await
    }

    async fn open_any_channel(
        &self,
        peer: PublicKey,
        sat: u64,
        push_msat: u64,
        announce: bool,
    ) -> ChannelId {
        let mut config = parts::config(self.options.limits);
        config.channel_handshake_config.announce_for_forwarding = announce;
        let config = Some(config);
        let number = u128::from(self.next_open.fetch_add(1, Ordering::SeqCst));
        let begun = self.parts.channels.create_channel(peer, sat, push_msat, number, None, config);
        let temporary = begun.expect("LDK begins to open");
        self.wait("a funded channel", || {
            let seen = self.memory.seen.lock().unwrap();
            if let Some(why) = seen.closed.get(&temporary.0) {
                panic!("the channel did not open: {why}\n{}", self.log.tail());
            }
            seen.opened.get(&number).copied()
        })
        .await
    }

    /// The channel, while it is not closed.
    pub fn channel(&self, id: ChannelId) -> Option<ChannelDetails> {
        self.channels().into_iter().find(|channel| channel.channel_id == id)
    }

    /// All channels that are not closed.
    pub fn channels(&self) -> Vec<ChannelDetails> {
        self.parts.channels.list_channels()
    }

    /// Waits until the node has seen the block at `height` and has done what that makes it do.
    ///
    /// # Panics
    /// When it falls behind.
    pub async fn at_height(&self, height: u32) {
        let what = format!("block {height}");
        self.wait(&what, || {
            (self.parts.channels.current_best_block().height >= height).then_some(())
        })
        .await;
    }

    /// Waits until it has done all that the blocks it has seen make it do, and has handed in what that made it send.
    ///
    /// # Panics
    /// When it does not come to rest.
    pub async fn at_rest(&self) {
        // The round that runs now may have begun before the last block, and the next one may make work for another.
        for _ in 0..2 {
            let seen = self.memory.rounds.load(Ordering::SeqCst);
            self.memory.again.notify_one();
            let rounds = || self.memory.rounds.load(Ordering::SeqCst);
            self.wait("another round", || (rounds() > seen).then_some(())).await;
        }
        self.wait("its transactions", || self.parts.broadcaster.is_idle().then_some(())).await;
    }

    /// Waits until a channel can carry payments.
    ///
    /// # Panics
    /// When it never can.
    pub async fn usable(&self, id: ChannelId) -> ChannelDetails {
        self.wait("a usable channel", || self.channel(id).filter(|channel| channel.is_usable)).await
    }

    /// Waits until no HTLC is pending in a channel.
    ///
    /// # Panics
    /// When some stay.
    pub async fn quiet(&self, id: ChannelId) -> ChannelDetails {
        self.wait("a channel without HTLCs", || {
            self.channel(id).filter(|channel| {
                channel.pending_inbound_htlcs.is_empty()
                    && channel.pending_outbound_htlcs.is_empty()
            })
        })
        .await
    }

    /// Waits until a channel is closed; answers why.
    ///
    /// # Panics
    /// When it stays open.
    pub async fn closed(&self, id: ChannelId) -> String {
        self.wait("a closed channel", || self.seen(|seen| seen.closed.get(&id.0).cloned())).await
    }

    /// Makes an invoice.
    ///
    /// # Panics
    /// When LDK refuses.
    pub fn create_invoice(&self, msat: Option<u64>, expiry_s: u32) -> Bolt11Invoice {
        let params = Bolt11InvoiceParameters {
            amount_msats: msat,
            invoice_expiry_delta_secs: Some(expiry_s),
            ..Default::default()
        };
        self.parts.channels.create_bolt11_invoice(params).expect("LDK makes invoices")
    }

    /// An invoice in this node's name that the node knows nothing of.
    ///
    /// # Panics
    /// Never.
    pub fn create_unknown_invoice(&self, msat: u64) -> Bolt11Invoice {
        let mut random = [0_u8; 32];
        thread_rng().fill_bytes(&mut random);
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
        InvoiceBuilder::new(Currency::Regtest)
            .description("nobody knows this one".to_owned())
            .amount_milli_satoshis(msat)
            .payment_hash(sha256::Hash::hash(&random))
            .payment_secret(PaymentSecret(random))
            .duration_since_epoch(since)
            .min_final_cltv_expiry_delta(u64::from(FINAL_CLTV))
            .expiry_time(Duration::from_secs(3_600))
            .build_signed(|digest| {
                Secp256k1::new()
                    .sign_ecdsa_recoverable(digest, &self.parts.keys.get_node_secret_key())
            })
            .expect("a complete invoice")
    }

    /// An invoice that asks for its metadata back.
    ///
    /// # Panics
    /// When LDK refuses.
    pub fn create_invoice_with(&self, msat: u64, metadata: Vec<u8>) -> Bolt11Invoice {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
        let (hash, secret) = self.expect_payment(msat);
        InvoiceBuilder::new(Currency::Regtest)
            .description("with metadata".to_owned())
            .amount_milli_satoshis(msat)
            .payment_hash(sha256::Hash::from_byte_array(hash.0))
            .payment_secret(secret)
            .duration_since_epoch(since)
            .min_final_cltv_expiry_delta(u64::from(FINAL_CLTV))
            .expiry_time(Duration::from_secs(3_600))
            .basic_mpp()
            .payment_metadata(metadata)
            .require_payment_metadata()
            .build_signed(|digest| {
                Secp256k1::new()
                    .sign_ecdsa_recoverable(digest, &self.parts.keys.get_node_secret_key())
            })
            .expect("a complete invoice")
    }

    /// What of its invoice's metadata a payment to this node brought.
    pub fn metadata_of(&self, hash: PaymentHash) -> Option<Vec<u8>> {
        self.seen(|seen| seen.metadata.get(&hash.0).cloned())
    }

    /// Begins to pay a node that asked for nothing; answers the hash.
    ///
    /// # Panics
    /// When LDK does not even begin.
    pub fn send_spontaneously(&self, node: PublicKey, msat: u64) -> PaymentHash {
        let mut preimage = [0; 32];
        thread_rng().fill_bytes(&mut preimage);
        let hash = PaymentHash(sha256::Hash::hash(&preimage).to_byte_array());
        let payee = PaymentParameters::for_keysend(node, FINAL_CLTV, false);
        let begun = self.parts.channels.send_spontaneous_payment(
            Some(PaymentPreimage(preimage)),
            RecipientOnionFields::spontaneous_empty(),
            PaymentId(hash.0),
            RouteParameters::from_payment_params_and_value(payee, msat),
            Retry::Attempts(0),
        );
        assert_eq!(begun.expect("LDK begins to pay"), hash);
        hash
    }

    /// Hash and secret of a payment that this node will take.
    ///
    /// # Panics
    /// When LDK refuses.
    pub fn expect_payment(&self, msat: u64) -> (PaymentHash, PaymentSecret) {
        let expected = self.parts.channels.create_inbound_payment(Some(msat), 3_600, None);
        expected.expect("LDK makes payment hashes")
    }

    /// Begins to pay an invoice, once, without trying again; answers its hash.
    ///
    /// # Panics
    /// When LDK does not even begin.
    pub fn pay(&self, invoice: &Bolt11Invoice) -> PaymentHash {
        self.pay_trying(invoice, 0)
    }

    /// Begins to pay an invoice, with so many tries after the first; answers its hash.
    ///
    /// # Panics
    /// When LDK does not even begin.
    pub fn pay_trying(&self, invoice: &Bolt11Invoice, again: u32) -> PaymentHash {
        let hash = PaymentHash(invoice.payment_hash().to_byte_array());
        self.parts
            .channels
            .pay_for_bolt11_invoice(
                invoice,
                PaymentId(hash.0),
                None,
                RouteParametersConfig::default(),
                Retry::Attempts(again),
            )
            .expect("LDK begins to pay");
        hash
    }

    /// Begins to send `msat` over this channel with any hash and secret, right or wrong.
    ///
    /// # Panics
    /// When LDK does not even begin.
    pub fn send(
        &self,
        channel: &ChannelDetails,
        hash: PaymentHash,
        secret: PaymentSecret,
        msat: u64,
    ) {
        self.send_along(std::slice::from_ref(channel), hash, secret, msat);
    }

    /// [`Self::send`] over several channels, each as the node at its beginning sees it; what those on the
    /// way want is LDK's default.
    ///
    /// # Panics
    /// When LDK does not even begin.
    pub fn send_along(
        &self,
        way: &[ChannelDetails],
        hash: PaymentHash,
        secret: PaymentSecret,
        msat: u64,
    ) {
        let last = way.len() - 1;
        let hop = |(place, channel): (usize, &ChannelDetails)| RouteHop {
            pubkey: channel.counterparty.node_id,
            node_features: NodeFeatures::empty(),
            short_channel_id: channel.get_outbound_payment_scid().expect("a confirmed channel"),
            channel_features: ChannelFeatures::empty(),
            fee_msat: if place == last { msat } else { FORWARD_FEE_MSAT },
            cltv_expiry_delta: if place == last { FINAL_CLTV } else { FORWARD_CLTV },
            maybe_announced_channel: false,
        };
        let hops = way.iter().enumerate().map(hop).collect();
        let path = RoutePath { hops, blinded_tail: None };
        let route = Route { paths: vec![path], route_params: None };
        let onion = RecipientOnionFields::secret_only(secret);
        let begun =
            self.parts.channels.send_payment_with_route(route, hash, onion, PaymentId(hash.0));
        begun.expect("LDK begins to send");
    }

    /// Begins to send `msat` over this channel's other node to somebody whom nobody knows.
    ///
    /// # Panics
    /// When LDK does not even begin.
    pub fn send_beyond(&self, channel: &ChannelDetails, hash: PaymentHash, msat: u64) {
        let stranger = SecretKey::from_slice(&[0x5a; 32]).expect("a key");
        let hop = |pubkey, short_channel_id, fee_msat, cltv_expiry_delta| RouteHop {
            pubkey,
            node_features: NodeFeatures::empty(),
            short_channel_id,
            channel_features: ChannelFeatures::empty(),
            fee_msat,
            cltv_expiry_delta,
            maybe_announced_channel: false,
        };
        let scid = channel.get_outbound_payment_scid().expect("a confirmed channel");
        let hops = vec![
            hop(channel.counterparty.node_id, scid, 0, BEYOND_CLTV),
            hop(stranger.public_key(&Secp256k1::new()), 7 << 40, msat, FINAL_CLTV),
        ];
        let route =
            Route { paths: vec![RoutePath { hops, blinded_tail: None }], route_params: None };
        let onion = RecipientOnionFields::secret_only(PaymentSecret([7; 32]));
        let begun =
            self.parts.channels.send_payment_with_route(route, hash, onion, PaymentId(hash.0));
        begun.expect("LDK begins to send");
    }

    /// Waits for the end of a payment that this node sent.
    ///
    /// # Panics
    /// When it does not end.
    pub async fn outcome(&self, hash: PaymentHash) -> Outcome {
        self.wait("the end of a payment", || self.seen(|seen| seen.outcomes.get(&hash.0).cloned()))
            .await
    }

    /// Waits until this payment was received and claimed; answers how much it was, millisatoshi.
    ///
    /// # Panics
    /// When it does not come.
    pub async fn received(&self, hash: PaymentHash) -> u64 {
        self.wait("a payment to come in", || self.seen(|seen| seen.received.get(&hash.0).copied()))
            .await
    }

    /// What was received under this hash so far, millisatoshi.
    pub fn received_now(&self, hash: PaymentHash) -> Option<u64> {
        self.seen(|seen| seen.received.get(&hash.0).copied())
    }

    /// What it forwarded, and what it earned, oldest first.
    pub fn forwarded(&self) -> Vec<Forwarded> {
        self.seen(|seen| seen.forwarded.clone())
    }

    /// Why parts of payments that this node sent did not arrive, oldest first.
    pub fn failed_paths(&self, hash: PaymentHash) -> Vec<PathFailed> {
        self.seen(|seen| seen.failed_paths.get(&hash.0).cloned().unwrap_or_default())
    }

    /// HTLCs of which the received payment was made.
    pub fn received_parts(&self, hash: PaymentHash) -> usize {
        self.seen(|seen| seen.parts.get(&hash.0).copied().unwrap_or_default())
    }

    /// From now on payments that come in wait (`true`) or are claimed at once (`false`).
    pub fn hold_payments(&self, hold: bool) {
        self.memory.hold.store(hold, Ordering::SeqCst);
    }

    /// Waits until this many payments that came in wait.
    ///
    /// # Panics
    /// When they do not come.
    pub async fn holding(&self, count: usize) {
        let what = format!("{count} held payments");
        self.wait(&what, || self.seen(|seen| (seen.held.len() >= count).then_some(()))).await;
    }

    /// Claims one of the payments that wait.
    ///
    /// # Panics
    /// When it does not wait.
    pub fn claim_one(&self, hash: PaymentHash) {
        let held = self.seen(|seen| seen.held.remove(&hash.0));
        self.parts.channels.claim_funds(held.expect("it waits"));
    }

    /// Claims all payments that wait.
    pub fn claim_held(&self) {
        let held = self.seen(|seen| std::mem::take(&mut seen.held));
        for preimage in held.into_values() {
            self.parts.channels.claim_funds(preimage);
        }
    }

    /// Begins to close a channel together with the peer.
    ///
    /// # Panics
    /// When LDK refuses.
    pub fn close(&self, channel: &ChannelDetails) {
        let peer = channel.counterparty.node_id;
        self.parts.channels.close_channel(&channel.channel_id, &peer).expect("LDK begins to close");
    }

    /// Closes a channel alone, at once.
    ///
    /// # Panics
    /// When LDK refuses.
    pub fn force_close(&self, channel: &ChannelDetails) {
        let peer = channel.counterparty.node_id;
        let closed = self.parts.channels.force_close_broadcasting_latest_txn(
            &channel.channel_id,
            &peer,
            "the test wants it".to_owned(),
        );
        closed.expect("LDK closes");
    }

    /// Transactions that took outputs of closed channels to the wallet, so far.
    pub fn sweeps(&self) -> Vec<Transaction> {
        self.seen(|seen| seen.sweeps.clone())
    }

    /// What LDK still expects to get from closed channels, satoshi.
    pub fn awaited_sat(&self) -> u64 {
        let open = self.channels();
        let balances = self.parts.monitors.get_claimable_balances(&open.iter().collect::<Vec<_>>());
        balances
            .iter()
            .map(lightning::chain::channelmonitor::Balance::claimable_amount_satoshis)
            .sum()
    }

    /// A number that changes whenever something was remembered; for those who wait for many payments.
    pub fn pulse(&self) -> tokio::sync::watch::Receiver<u64> {
        self.memory.pulse.subscribe()
    }

    /// Forgets the outcomes of payments so far; answers them.
    pub fn take_outcomes(&self) -> std::collections::BTreeMap<[u8; 32], Outcome> {
        self.seen(|seen| {
            seen.received.clear();
            std::mem::take(&mut seen.outcomes)
        })
    }

    /// Waits until `look` finds something; the message of failure has the log's newest lines.
    ///
    /// # Panics
    /// When it never does.
    pub async fn wait<T>(&self, what: &str, look: impl FnMut() -> Option<T>) -> T {
        let what = format!("{}: {what}", self.options.name);
        until(&what, || self.log.tail(), look).await
    }

    fn seen<T>(&self, look: impl FnOnce(&mut Seen) -> T) -> T {
        look(&mut self.memory.seen.lock().unwrap())
    }
}

impl Drop for LdkNode {
    fn drop(&mut self) {
        self.parts.peers.disconnect_all_peers();
        self.abort();
    }
}

/// The funding output of a channel.
///
/// # Panics
/// Before the channel is funded.
pub fn funding_of(channel: &ChannelDetails) -> OutPoint {
    channel.funding_txo.expect("a funded channel").into_bitcoin_outpoint()
}

/// A directory and all below it.
fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let (old, new) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            copy(&old, &new)?;
        } else {
            std::fs::copy(&old, &new)?;
        }
    }
    Ok(())
}

async fn accept(listener: std::net::TcpListener, parts: Arc<Parts>) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("a runtime");
    while let Ok((stream, _)) = listener.accept().await {
        stream.set_nodelay(true).expect("a TCP socket");
        let stream = stream.into_std().expect("a socket");
        tokio::spawn(lightning_net_tokio::setup_inbound(parts.peers.clone(), stream));
    }
}
