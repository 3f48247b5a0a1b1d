//! The parts of an LDK node and how they are put together, fresh or from what the store holds.

use super::Limits;
use super::broadcast::{Broadcaster, FixedFees};
use super::follow::{Alone, Follower, catch_up};
use super::log::Log;
use super::store::Store;
use super::wallet::Wallet;
use bitcoin::Network;
use bitcoin::secp256k1::rand::{RngCore, thread_rng};
use chain_backend::{BlockRef, ChainBackend};
use lightning::chain::chainmonitor::ChainMonitor;
use lightning::chain::{BestBlock, Filter, Listen};
use lightning::events::bump_transaction::sync::{BumpTransactionEventHandlerSync, WalletSync};
use lightning::ln::channelmanager::{
    ChainParameters, ChannelManagerReadArgs, SimpleArcChannelManager,
};
use lightning::ln::peer_handler::{IgnoringMessageHandler, MessageHandler, PeerManager};
use lightning::onion_message::messenger::DefaultMessageRouter;
use lightning::routing::gossip::{NetworkGraph, P2PGossipSync};
use lightning::routing::router::DefaultRouter;
use lightning::routing::scoring::{
    ProbabilisticScorer, ProbabilisticScoringDecayParameters, ProbabilisticScoringFeeParameters,
};
use lightning::routing::utxo::UtxoLookup;
use lightning::sign::{InMemorySigner, KeysManager, NodeSigner};
use lightning::util::config::{MaxDustHTLCExposure, UserConfig};
use lightning::util::persist::{
    CHANNEL_MANAGER_PERSISTENCE_KEY, KVStoreSync, MonitorUpdatingPersister,
};
use lightning::util::ser::{ReadableArgs, Writeable};
use lightning_net_tokio::SocketDescriptor;
use std::sync::{Arc, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};

/// How many monitor updates are kept beside a whole monitor.
const MONITOR_UPDATES_MAX: u64 = 100;

pub(super) type Persister = MonitorUpdatingPersister<
    Arc<Store>,
    Arc<Log>,
    Arc<KeysManager>,
    Arc<KeysManager>,
    Arc<Broadcaster>,
    Arc<FixedFees>,
>;
pub(super) type Monitors = ChainMonitor<
    InMemorySigner,
    Arc<dyn Filter + Send + Sync>,
    Arc<Broadcaster>,
    Arc<FixedFees>,
    Arc<Log>,
    Arc<Persister>,
    Arc<KeysManager>,
>;
pub(super) type Channels = SimpleArcChannelManager<Monitors, Broadcaster, FixedFees, Log>;
pub(super) type Graph = NetworkGraph<Arc<Log>>;
type Gossip = P2PGossipSync<Arc<Graph>, Arc<dyn UtxoLookup + Send + Sync>, Arc<Log>>;
pub(super) type Peers = PeerManager<
    SocketDescriptor,
    Arc<Channels>,
    Arc<Gossip>,
    IgnoringMessageHandler,
    Arc<Log>,
    IgnoringMessageHandler,
    Arc<KeysManager>,
    Arc<Monitors>,
>;
pub(super) type Bumper = BumpTransactionEventHandlerSync<
    Arc<Broadcaster>,
    Arc<WalletSync<Arc<Wallet>, Arc<Log>>>,
    Arc<KeysManager>,
    Arc<Log>,
>;

/// Everything that one running node is made of.
pub(super) struct Parts {
    pub(super) keys: Arc<KeysManager>,
    pub(super) wallet: Arc<Wallet>,
    pub(super) broadcaster: Arc<Broadcaster>,
    pub(super) store: Arc<Store>,
    pub(super) monitors: Arc<Monitors>,
    pub(super) channels: Arc<Channels>,
    pub(super) peers: Arc<Peers>,
    pub(super) bumper: Bumper,
    pub(super) graph: Arc<Graph>,
    pub(super) log: Arc<Log>,
}

impl Parts {
    /// Puts a node together. What the store holds is read and brought up to the chain's tip; answers the
    /// node and that tip.
    pub(super) async fn assemble(
        seed: &[u8; 32],
        limits: Limits,
        store: Arc<Store>,
        broadcaster: Arc<Broadcaster>,
        backend: &Arc<dyn ChainBackend>,
        log: Arc<Log>,
    ) -> (Self, BestBlock) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
        let mut entropy = [0_u8; 32];
        thread_rng().fill_bytes(&mut entropy);
        let keys = Arc::new(KeysManager::new(seed, now.as_secs(), now.subsec_nanos(), true));
        let fees = Arc::new(FixedFees);
        let wallet = Arc::new(Wallet::new(seed));
        let persister = Arc::new(MonitorUpdatingPersister::new(
            store.clone(),
            log.clone(),
            MONITOR_UPDATES_MAX,
            keys.clone(),
            keys.clone(),
            broadcaster.clone(),
            fees.clone(),
        ));
        let monitors: Arc<Monitors> = Arc::new(ChainMonitor::new(
            None,
            broadcaster.clone(),
            log.clone(),
            fees.clone(),
            persister.clone(),
            keys.clone(),
            keys.get_peer_storage_key(),
        ));
        let graph = Arc::new(NetworkGraph::new(Network::Regtest, log.clone()));
        let scorer = Arc::new(RwLock::new(ProbabilisticScorer::new(
            ProbabilisticScoringDecayParameters::default(),
            graph.clone(),
            log.clone(),
        )));
        let router = Arc::new(DefaultRouter::new(
            graph.clone(),
            log.clone(),
            keys.clone(),
            scorer,
            ProbabilisticScoringFeeParameters::default(),
        ));
        let message_router = Arc::new(DefaultMessageRouter::new(graph.clone(), keys.clone()));

        let stored = persister.read_all_channel_monitors_with_updates().expect("a readable store");
        let manager = KVStoreSync::read(&*store, "", "", CHANNEL_MANAGER_PERSISTENCE_KEY).ok();
        let (channels, mut channels_at) = match manager {
            None => {
                let best_block = BestBlock::from_network(Network::Regtest);
                let params = ChainParameters { network: Network::Regtest, best_block };
                let channels = Channels::new(
                    fees.clone(),
                    monitors.clone(),
                    broadcaster.clone(),
                    router,
                    message_router,
                    log.clone(),
                    keys.clone(),
                    keys.clone(),
                    keys.clone(),
                    config(limits),
                    params,
                    now.as_secs() as u32,
                );
                (channels, best_block)
            }
            Some(bytes) => {
                let args = ChannelManagerReadArgs::new(
                    keys.clone(),
                    keys.clone(),
                    keys.clone(),
                    fees.clone(),
                    monitors.clone(),
                    broadcaster.clone(),
                    router,
                    message_router,
                    log.clone(),
                    config(limits),
                    stored.iter().map(|(_, monitor)| monitor).collect(),
                );
                let (_, channels) =
                    <(_, Channels)>::read(&mut bytes.as_slice(), args).expect("a readable manager");
                let at = channels.current_best_block();
                (channels, at)
            }
        };

        // Each listener stopped at a block of its own; blocks may come while they are brought together.
        let mut listeners: Vec<_> = stored
            .into_iter()
            .map(|(_, monitor)| {
                let at = monitor.current_best_block();
                (at, (monitor, broadcaster.clone(), fees.clone(), log.clone()))
            })
            .collect();
        let mut wallet_at = BestBlock::from_network(Network::Regtest);
        loop {
            wallet_at = catch_up(backend, wallet_at, &WalletAlone(&wallet)).await;
            channels_at = catch_up(backend, channels_at, &Alone(&channels)).await;
            for (at, listener) in &mut listeners {
                *at = catch_up(backend, *at, &Alone(listener)).await;
            }
            if channels_at == wallet_at && listeners.iter().all(|(at, _)| *at == wallet_at) {
                break;
            }
        }
        for (_, (monitor, ..)) in listeners {
            monitors.load_existing_monitor(monitor.channel_id(), monitor).expect("each only once");
        }

        let channels = Arc::new(channels);
        let handlers = MessageHandler {
            chan_handler: channels.clone(),
            route_handler: Arc::new(P2PGossipSync::new(graph.clone(), None, log.clone())),
            onion_message_handler: IgnoringMessageHandler {},
            custom_message_handler: IgnoringMessageHandler {},
            send_only_message_handler: monitors.clone(),
        };
        let peers = Arc::new(PeerManager::new(
            handlers,
            now.as_secs() as u32,
            &entropy,
            log.clone(),
            keys.clone(),
        ));
        let coins = Arc::new(WalletSync::new(wallet.clone(), log.clone()));
        let bumper = Bumper::new(broadcaster.clone(), coins, keys.clone(), log.clone());
        let parts = Self {
            keys,
            wallet,
            broadcaster,
            store,
            monitors,
            channels,
            peers,
            bumper,
            graph,
            log,
        };
        (parts, wallet_at)
    }

    /// Writes the channel manager.
    pub(super) fn persist_channels(&self) {
        let bytes = self.channels.encode();
        KVStoreSync::write(&*self.store, "", "", CHANNEL_MANAGER_PERSISTENCE_KEY, bytes)
            .expect("the store takes the manager");
    }
}

impl Follower for Parts {
    fn connected(&self, block: &bitcoin::Block, height: u32) {
        self.wallet.connect(height, block.txdata.iter());
        self.channels.block_connected(block, height);
        self.monitors.block_connected(block, height);
    }

    fn disconnected(&self, fork: BestBlock) {
        self.wallet.disconnect(fork.height);
        self.channels.blocks_disconnected(fork);
        self.monitors.blocks_disconnected(fork);
    }

    fn caught_up(&self, _: BlockRef) {
        self.monitors.rebroadcast_pending_claims();
    }
}

/// The wallet before the rest of the node stands.
struct WalletAlone<'a>(&'a Wallet);

impl Follower for WalletAlone<'_> {
    fn connected(&self, block: &bitcoin::Block, height: u32) {
        self.0.connect(height, block.txdata.iter());
    }

    fn disconnected(&self, fork: BestBlock) {
        self.0.disconnect(fork.height);
    }

    fn caught_up(&self, _: BlockRef) {}
}

/// Anchors on; every inbound channel is looked at by us, as anchors demand.
pub(super) fn config(limits: Limits) -> UserConfig {
    let mut config = UserConfig { manually_accept_inbound_channels: true, ..Default::default() };
    let handshake = &mut config.channel_handshake_config;
    handshake.negotiate_anchors_zero_fee_htlc_tx = true;
    handshake.minimum_depth = limits.minimum_depth;
    handshake.our_htlc_minimum_msat = 1;
    handshake.negotiate_scid_privacy = limits.scid_privacy;
    handshake.our_max_accepted_htlcs = limits.htlcs_max;
    handshake.max_inbound_htlc_value_in_flight_percent_of_channel = limits.in_flight_percent;
    config.accept_forwards_to_priv_channels = true;
    config.channel_handshake_limits.force_announced_channel_preference = false;
    config.channel_handshake_limits.max_funding_satoshis = u64::MAX;
    config.accept_forwards_to_priv_channels = true;
    config.channel_config.max_dust_htlc_exposure =
        MaxDustHTLCExposure::FixedLimitMsat(limits.dust_exposure_msat);
    config
}
