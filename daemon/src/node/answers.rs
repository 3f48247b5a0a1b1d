//! The calls users make, each a few words to a task.

use std::time::Duration;

use async_trait::async_trait;
use bitcoin::hashes::Hash as _;
use bitcoin::{Address, Amount, BlockHash, ScriptBuf, Txid};
use chain_backend::sandbox::Stall;
use futures_util::stream;
use store::engine::Engine;
use wire::feature::Features;
use wire::id::{NodeId, PaymentHash};
use wire::units::BlockHeight;

use crate::backup::Status;
use crate::channels::task;
use crate::clock::{UnixTime, now_ms};
use crate::config;
use crate::keeper::history;
use crate::layer1;
use crate::node::chaos::said;
use crate::node::events::EventReader;
use crate::node::faucet;
use crate::node::handle::{Handle, not_a_channel};
use crate::node::lists::once;
use crate::node::open::is_over;
use crate::node::updates::follow;
use crate::payments;
use crate::payments::blinded::is_bundle;
use crate::payments::invoice::{self};
use crate::peers;
use crate::rpc::alias;
use crate::rpc::model::backup::{BackupContent, BackupRestored, BackupSource, RestoreBackup};
use crate::rpc::model::channel::{
    Channel, ChannelFilter, ChannelPhase, ChannelRef, CloseChannel, CloseHow, CloseKind,
    CloseStage, Closing, OpenChannel, OpenPlan,
};
use crate::rpc::model::event::{Event, Subscribe};
use crate::rpc::model::forward::{Forward, ForwardFilter, Interception, SetPolicy};
use crate::rpc::model::graph::{FindRoute, Probed, RouteFound};
use crate::rpc::model::invoice::{CreateInvoice, DecodedInvoice, Invoice, InvoiceFilter, Receipt};
use crate::rpc::model::node::{Health, HealthPart, NodeInfo, Tip};
use crate::rpc::model::page::{Listing, Page};
use crate::rpc::model::payment::{PayOrder, Payment, PaymentFilter, Spontaneous};
use crate::rpc::model::peer::{
    ConnectPeer, Connected, DisconnectPeer, Peer, PeerPolicy, PeerPolicyChange,
};
use crate::rpc::model::sandbox::{
    Cheat, Cheating, Faucet, FeerateVb, Mine, Mined, Pinned, Poured, Reorg, SandboxStatus,
};
use crate::rpc::model::wallet::{
    AddressKind, Bumped, RaiseFee, SendCoins, SentCoins, Utxo, WalletBalance, WalletTransaction,
};
use crate::rpc::model::why::{ChannelWhy, PaymentWhy};
use crate::rpc::model::{OrderKey, Started, UnixMillis, Updates};
use crate::rpc::node_api::{Answer, NodeApi};
use crate::rpc::refusal::{Refusal, Unreachable};
use crate::switch::policy::ForwardPolicy;
use crate::tower::{Audit, Coverage, Drill, DrillTower, NoProof, Tower};

#[async_trait]
impl NodeApi for Handle {
    async fn info(&self) -> Answer<NodeInfo> {
        let tip = *self.0.tip.borrow();
        let channels = self.running().await;
        let count = |is: &dyn Fn(&ChannelPhase) -> bool| {
            let found = channels.iter().filter(|channel| is(&channel.phase)).count();
            u32::try_from(found).unwrap_or(u32::MAX)
        };
        let peers = self.list_peers().await?;
        let connected = peers.iter().filter(|peer| peer.connected).count();
        Ok(NodeInfo {
            node: self.node_id(),
            alias: self.0.config.alias.clone(),
            network: self.network(),
            sandbox: self.0.config.network == config::Network::Sandbox,
            version: env!("CARGO_PKG_VERSION"),
            features: Features::node(self.0.config.keysend),
            addresses: self.0.listening.iter().map(ToString::to_string).collect(),
            tip: Tip {
                height: tip.height,
                hash: BlockHash::from_byte_array(tip.hash),
                header_time: tip.time,
            },
            synced: tip.synced,
            peers: u32::try_from(connected).unwrap_or(u32::MAX),
            channels_open: count(&|phase| matches!(phase, ChannelPhase::Open)),
            channels_quarantined: quarantined(&channels),
            channels_opening: count(&|phase| {
                matches!(
                    phase,
                    ChannelPhase::Negotiating
                        | ChannelPhase::Negotiated
                        | ChannelPhase::AwaitingDepth
                        | ChannelPhase::AwaitingPeer
                )
            }),
            channels_closing: count(&|phase| {
                matches!(phase, ChannelPhase::ShuttingDown | ChannelPhase::Closing)
            }),
            started: UnixMillis(self.0.started_ms),
            last_event: self.last_event(),
            forwarded: self.forwarded(),
        })
    }

    async fn health(&self) -> Answer<Vec<HealthPart>> {
        let tip = *self.0.tip.borrow();
        let stopping = self.0.tasks.is_stopping();
        let part = |name, state, detail: String, remedy| HealthPart { name, state, detail, remedy };
        let peers = self.list_peers().await?;
        let backup = self.status_of_backup().await?;
        let away = peers.iter().filter(|peer| !peer.connected && peer.channels > 0).count();
        let doubted = quarantined(&self.running().await);
        Ok(vec![
            part(
                "node",
                if stopping { Health::Failed } else { Health::Ok },
                if stopping { "stopping" } else { "running" }.to_owned(),
                "start it again",
            ),
            health_of_chain(&tip, self.0.config.network),
            part(
                "peers",
                if away == 0 { Health::Ok } else { Health::Degraded },
                format!("{away} peers with channels are away"),
                "they are called again by themselves; a close without them is always possible",
            ),
            health_of_backup(&backup),
            part(
                "data",
                if doubted == 0 { Health::Ok } else { Health::Degraded },
                format!("{doubted} channels in quarantine: their data may be an older copy"),
                "connect to their peers, whose numbers settle it; broadcast nothing meanwhile",
            ),
        ])
    }

    async fn stop(&self) -> Answer<()> {
        self.0.tasks.stop();
        Ok(())
    }

    async fn connect_peer(&self, order: ConnectPeer) -> Answer<Connected> {
        let ConnectPeer { node, address, timeout_ms } = order;
        let patience = Duration::from_millis(u64::from(timeout_ms.max(1)));
        let known = address.clone().unwrap_or_default();
        let asked = Self::ask(&self.0.peers, |reply| peers::Ask::Connect { node, address, reply });
        let before = tokio::time::timeout(patience, asked).await.unwrap_or_else(|_| {
            let why = Unreachable::TimedOut;
            Ok(Err(Refusal::PeerUnreachable { node, address: known, why }))
        })??;
        let peers = self.list_peers().await?;
        let peer = peers.into_iter().find(|peer| peer.node == node);
        let peer = peer.ok_or(Refusal::PeerWentAway { node })?;
        Ok(Connected { peer, before })
    }

    async fn disconnect_peer(&self, order: DisconnectPeer) -> Answer<()> {
        let DisconnectPeer { node, force } = order;
        Self::ask(&self.0.peers, |reply| peers::Ask::Disconnect { node, force, reply }).await?
    }

    async fn set_peer_policy(&self, node: NodeId, change: PeerPolicyChange) -> Answer<PeerPolicy> {
        let ask = |reply| peers::Ask::Policy { node, change, reply };
        Self::ask(&self.0.peers, ask).await??;
        let all = self.0.force_close.borrow();
        Ok(PeerPolicy {
            force_close: all.with(node),
            own: all.peers.contains_key(&node),
            trust_funding: all.trusts(node),
        })
    }

    async fn list_peers(&self) -> Answer<Vec<Peer>> {
        let mut all = Self::ask(&self.0.peers, |reply| peers::Ask::List { reply }).await?;
        let graph = self.graph();
        for peer in &mut all {
            peer.alias = alias(&graph, peer.node);
        }
        Ok(all)
    }

    async fn add_tower(&self, tower: NodeId, address: String, trusted: bool) -> Answer<()> {
        self.hire(tower, address, trusted).await
    }

    async fn remove_tower(&self, tower: NodeId) -> Answer<bool> {
        self.dismiss(tower).await
    }

    async fn list_towers(&self) -> Answer<Vec<Tower>> {
        self.hired().await
    }

    async fn drill_tower(&self, order: DrillTower) -> Answer<Updates<Drill>> {
        self.drill(order).await
    }

    async fn audit_tower(&self, tower: NodeId, draws: usize) -> Answer<Vec<Audit>> {
        self.audit(tower, draws).await
    }

    async fn prove_tower(
        &self,
        tower: NodeId,
        channel: ChannelRef,
    ) -> Answer<Result<Vec<u8>, NoProof>> {
        self.prove(tower, channel).await
    }

    async fn tower_coverage(&self) -> Answer<(Vec<Coverage>, usize)> {
        self.covered().await
    }

    async fn backup_status(&self) -> Answer<Status> {
        self.status_of_backup().await
    }

    async fn export_backup(&self) -> Answer<Vec<u8>> {
        self.newest_backup().await
    }

    async fn verify_backup(&self, source: BackupSource) -> Answer<BackupContent> {
        self.content_of_backup(source).await
    }

    async fn restore_backup(&self, order: RestoreBackup) -> Answer<BackupRestored> {
        let own = self.clone();
        self.to_the_end(async move { own.take_backup(order).await }).await
    }

    async fn new_address(&self, kind: AddressKind, key: Option<OrderKey>) -> Answer<Address> {
        let own = self.clone();
        self.to_the_end(async move { own.new_address_once(kind, key).await }).await
    }

    async fn wallet_balance(&self) -> Answer<WalletBalance> {
        Self::ask(&self.0.wallet, |reply| layer1::Ask::Balance { reply }).await
    }

    async fn plan_send(&self, order: SendCoins) -> Answer<SentCoins> {
        let spend = self.spend(order.address.script_pubkey(), order.coins, order.feerate, 0);
        let feerate = spend.feerate;
        let planned =
            Self::ask(&self.0.wallet, |reply| layer1::Ask::Plan { spend: Box::new(spend), reply })
                .await??;
        Ok(SentCoins { txid: None, amount: planned.amount, fee: planned.fee, feerate })
    }

    async fn send_coins(&self, order: SendCoins) -> Answer<SentCoins> {
        let own = self.clone();
        self.to_the_end(async move { own.send_coins_once(order).await }).await
    }

    async fn bump(&self, order: RaiseFee) -> Answer<Bumped> {
        let own = self.clone();
        self.to_the_end(async move { own.bump_once(order).await }).await
    }

    async fn list_transactions(&self, page: Page) -> Answer<Listing<WalletTransaction>> {
        Self::ask(&self.0.wallet, |reply| layer1::Ask::Transactions { page, reply }).await
    }

    async fn list_utxos(&self) -> Answer<Vec<Utxo>> {
        Self::ask(&self.0.wallet, |reply| layer1::Ask::Utxos { reply }).await
    }

    async fn plan_open(&self, order: OpenChannel) -> Answer<OpenPlan> {
        // Every funding output is a P2WSH, so any stands for the one to come.
        let script = ScriptBuf::new_p2wsh(&bitcoin::WScriptHash::all_zeros());
        let spend = self.spend(script, order.coins, order.feerate, 1);
        let planned =
            Self::ask(&self.0.wallet, |reply| layer1::Ask::Plan { spend: Box::new(spend), reply })
                .await??;
        let balance = self.wallet_balance().await?;
        let spent = planned.amount.checked_add(planned.fee).unwrap_or(Amount::MAX_MONEY);
        Ok(OpenPlan {
            capacity: planned.amount,
            funding_fee: planned.fee,
            spendable_after: balance.spendable.checked_sub(spent).unwrap_or(Amount::ZERO),
        })
    }

    async fn open_channel(&self, order: OpenChannel) -> Answer<Started<Channel>> {
        let own = self.clone();
        self.to_the_end(async move { own.open_channel_once(order).await }).await
    }

    async fn list_channels(&self, filter: ChannelFilter) -> Answer<Vec<Channel>> {
        let mut all = self.running().await;
        if filter.ended {
            all.extend(self.ended().await?);
        }
        all.retain(|channel| filter.node.is_none_or(|node| channel.node == node));
        all.sort_by_key(|channel| channel.index);
        all.dedup_by_key(|channel| channel.index);
        let mut dressed = Vec::with_capacity(all.len());
        for channel in all {
            dressed.push(self.dress(channel).await);
        }
        Ok(dressed)
    }

    async fn channel(&self, which: ChannelRef) -> Answer<Channel> {
        self.find(which).await
    }

    async fn watch_channel(&self, which: ChannelRef) -> Answer<Updates<Channel>> {
        let is_last = |channel: &Channel| is_over(&channel.phase);
        if let Some(door) = self.door(which)
            && let Ok(view) = Self::ask(&door.asks, |reply| task::Ask::Watch { reply }).await
        {
            return Ok(self.dress_all(follow(view, is_last)));
        }
        let shown = self.find(which).await?;
        Ok(Box::pin(stream::once(async move { Ok(shown) })))
    }

    async fn plan_close(&self, order: CloseChannel) -> Answer<Closing> {
        let channel = self.find(order.channel).await?;
        let rates = *self.0.feerates.borrow();
        let (kind, fee, locked) = match order.how {
            CloseHow::Cooperative { feerate, .. } => {
                let rate = feerate.unwrap_or(rates.normal);
                // BOLT 3: the base weight of a closing transaction with two P2WPKH outputs.
                (CloseKind::Cooperative, rate.fee_floor(672), 0)
            }
            CloseHow::Force => {
                let sweep = rates.relaxed.fee_floor(560);
                let fee = channel.commit_fee.checked_add(sweep).unwrap_or(Amount::MAX_MONEY);
                (CloseKind::ForcedByUs, fee, channel.our_delay)
            }
        };
        let mut planned = Closing {
            stage: CloseStage::Planned,
            kind: Some(kind),
            txid: None,
            fee,
            ours: channel.ours.floor_sat(),
            theirs: channel.theirs.floor_sat(),
            depth: 0,
            depth_needed: channel::onchain::IRREVOCABLE_DEPTH,
            locked_blocks: locked,
            spendable_at: None,
            sweeps: Vec::new(),
            sweep_fees: Amount::ZERO,
            height: None,
            closed: None,
            outputs: Vec::new(),
            forecast: None,
        };
        if kind == CloseKind::Cooperative {
            planned.depth_needed = channel.depth_needed.unwrap_or(1);
        } else if let Some(door) = self.door(order.channel)
            && let Some((forecast, outputs)) =
                Self::ask(&door.asks, |reply| task::Ask::Forecast { reply }).await?
        {
            (planned.fee, planned.ours) = (forecast.cost, forecast.home);
            planned.spendable_at = forecast.home_at;
            (planned.forecast, planned.outputs) = (Some(forecast), outputs);
        }
        Ok(planned)
    }

    async fn close_channel(&self, order: CloseChannel) -> Answer<Started<Channel>> {
        let channel = self.find(order.channel).await?;
        let ended = is_over(&channel.phase);
        let force = matches!(order.how, CloseHow::Force);
        let closing = matches!(channel.phase, ChannelPhase::ShuttingDown | ChannelPhase::Closing);
        let attach = ended || (closing && !force) || matches!(channel.phase, ChannelPhase::Closing);
        if !attach {
            let door = self.door(order.channel).ok_or_else(|| not_a_channel(order.channel))?;
            match order.how {
                CloseHow::Force => {
                    Self::ask(&door.asks, |reply| task::Ask::ForceClose { reply }).await??;
                }
                CloseHow::Cooperative { to, feerate } => {
                    let feerate = feerate.unwrap_or(self.0.feerates.borrow().normal);
                    let script = to;
                    Self::ask(&door.asks, |reply| task::Ask::Shutdown { script, feerate, reply })
                        .await??;
                }
            }
        }
        let updates = self.watch_channel(ChannelRef::Id(channel.id)).await?;
        Ok(Started { fresh: !attach, updates })
    }

    async fn why_channel(&self, which: ChannelRef) -> Answer<ChannelWhy> {
        self.tell_channel(which).await
    }

    async fn why_payment(&self, hash: PaymentHash) -> Answer<PaymentWhy> {
        self.tell_payment(hash).await
    }

    async fn lift_quarantine(&self, channel: ChannelRef) -> Answer<Channel> {
        let found = self.find(channel).await?;
        let door = self.door(channel).ok_or_else(|| not_a_channel(channel))?;
        Self::ask(&door.asks, |reply| task::Ask::LiftQuarantine { reply }).await??;
        self.find(ChannelRef::Id(found.id)).await
    }

    async fn decode_invoice(&self, invoice: String) -> Answer<DecodedInvoice> {
        if is_bundle(&invoice) {
            return self.decode_bundle(&invoice).await;
        }
        let read = invoice::read(&invoice)?;
        let features = invoice::features(&read);
        Ok(DecodedInvoice {
            hash: read.hash,
            payee: read.payee,
            network: read.invoice.network(),
            metadata: read.invoice.payment_metadata().cloned(),
            amount: read.amount,
            description: read.description,
            min_final_cltv_delta: read.min_final_cltv_delta,
            created: UnixMillis(read.created_ms),
            expires: UnixMillis(read.expires_ms),
            expired: read.expires_ms <= now_ms(),
            ours: read.payee == self.node_id(),
            payment: self.find_payment(read.hash).await.ok(),
            features,
        })
    }

    async fn pay(&self, order: PayOrder) -> Answer<Started<Payment>> {
        let own = self.clone();
        self.to_the_end(async move { own.pay_once(order).await }).await
    }

    async fn payment(&self, hash: PaymentHash) -> Answer<Payment> {
        self.find_payment(hash).await
    }

    async fn watch_payment(&self, hash: PaymentHash) -> Answer<Updates<Payment>> {
        let view = Self::ask(&self.0.payments, |reply| payments::Ask::WatchPayment { hash, reply });
        match view.await? {
            Ok(view) => Ok(follow(view, Payment::is_final)),
            Err(_) => Ok(once(self.find_payment(hash).await?)),
        }
    }

    fn graph(&self) -> routing::graph::Snapshot {
        Self::graph(self)
    }

    async fn find_route(&self, order: FindRoute) -> Answer<RouteFound> {
        self.route_for(order).await
    }

    async fn probe_route(&self, order: FindRoute, patience_s: u32) -> Answer<Probed> {
        self.probe_for(order, patience_s).await
    }

    async fn scores(&self) -> Answer<(Vec<u8>, u64)> {
        self.scores_learnt().await
    }

    async fn merge_scores(&self, scores: Vec<u8>) -> Answer<u64> {
        self.learn_scores(scores).await
    }

    async fn spend_spontaneously(&self, order: Spontaneous) -> Answer<Started<Payment>> {
        let own = self.clone();
        let (fresh, view) =
            self.to_the_end(async move { own.pay_spontaneously(order).await }).await?;
        Ok(Started { fresh, updates: follow(view, Payment::is_final) })
    }

    async fn list_payments(&self, filter: PaymentFilter, page: Page) -> Answer<Listing<Payment>> {
        let recent = Self::ask(&self.0.payments, |reply| payments::Ask::Payments { reply }).await?;
        let doors = self.0.directory.doors();
        // A payment that was tried again has a row for each time: only the newest is listed.
        let engine = self.0.reading.engine().ok_or(Refusal::NoAnswer)?;
        let remembered: std::collections::BTreeMap<_, _> =
            recent.iter().map(|payment| (payment.hash, payment.index)).collect();
        let is_newest = |payment: &Payment| match remembered.get(&payment.hash) {
            Some(index) => *index == payment.index,
            None => history::place(&*engine, payment.hash)
                .is_ok_and(|place| place.is_none_or(|place| place == payment.index)),
        };
        let read = |engine: &dyn Engine, after, order, limit| {
            let rows = history::payments(engine, after, order, limit)?;
            Ok(rows.iter().map(|sent| doors.show(sent)).collect())
        };
        self.listing(
            recent,
            page,
            read,
            |payment| payment.index,
            |payment| filter.passes(&payment.status) && is_newest(payment),
        )
    }

    async fn create_invoice(&self, order: CreateInvoice) -> Answer<Invoice> {
        let own = self.clone();
        self.to_the_end(async move { own.create_invoice_once(order).await }).await
    }

    async fn invoice(&self, hash: PaymentHash) -> Answer<Invoice> {
        self.find_invoice(hash).await
    }

    async fn watch_invoice(&self, hash: PaymentHash) -> Answer<Updates<Invoice>> {
        let view = Self::ask(&self.0.payments, |reply| payments::Ask::WatchInvoice { hash, reply });
        match view.await? {
            Ok(view) => Ok(follow(view, Invoice::is_final)),
            Err(_) => Ok(once(self.find_invoice(hash).await?)),
        }
    }

    async fn list_invoices(&self, filter: InvoiceFilter, page: Page) -> Answer<Listing<Invoice>> {
        let recent = Self::ask(&self.0.payments, |reply| payments::Ask::Invoices { reply }).await?;
        let now = now_ms();
        let read = |engine: &dyn Engine, after, order, limit| {
            let rows = history::invoices(engine, after, order, limit)?;
            Ok(rows.iter().map(|asked| asked.show(now, false)).collect())
        };
        self.listing(
            recent,
            page,
            read,
            |invoice| invoice.index,
            |invoice| filter.passes(&invoice.state),
        )
    }

    async fn settle_invoice(&self, receipt: Receipt) -> Answer<Invoice> {
        self.settle_held(receipt).await
    }

    async fn cancel_invoice(&self, hash: PaymentHash) -> Answer<Invoice> {
        Self::ask(&self.0.payments, |reply| payments::Ask::Cancel { hash, reply }).await?
    }

    async fn list_forwards(&self, filter: ForwardFilter, page: Page) -> Answer<Listing<Forward>> {
        self.find_forwards(filter, page)
    }

    async fn policy(&self, which: ChannelRef) -> Answer<ForwardPolicy> {
        self.find_policy(which)
    }

    async fn set_policy(&self, order: SetPolicy) -> Answer<ForwardPolicy> {
        self.change_policy(order).await
    }

    async fn intercept(&self) -> Answer<Interception> {
        self.hold_forwards().await
    }

    async fn events(&self, order: Subscribe) -> Answer<Updates<Event>> {
        let last = self.last_event();
        let after = order.after_seq.unwrap_or(last);
        if after > last {
            return Err(Refusal::EventsAhead { asked: after, last });
        }
        let reader = EventReader {
            handle: self.clone(),
            order,
            after,
            rows: Vec::new().into_iter(),
            reached: self.0.reading.reached.clone(),
        };
        Ok(Box::pin(stream::unfold(reader, |mut reader| async move {
            let event = reader.next().await?;
            Some((Ok(event), reader))
        })))
    }

    async fn mine(&self, order: Mine) -> Answer<Mined> {
        let sandbox = self.sandbox()?;
        let to = order.to.map(|to| to.script_pubkey());
        let (height, hashes) = faucet::mine(&**sandbox, order.blocks, to).await?;
        self.caught_up(height).await;
        Ok(Mined { height: BlockHeight(height), hashes })
    }

    async fn sandbox_status(&self) -> Answer<SandboxStatus> {
        let sandbox = self.sandbox()?;
        let away = |_| Refusal::ChainUnavailable { height: self.0.tip.borrow().height };
        let totals = sandbox.totals().await.map_err(away)?;
        let tip = sandbox
            .tip()
            .await
            .map_err(|_| Refusal::ChainUnavailable { height: self.0.tip.borrow().height })?;
        Ok(SandboxStatus {
            height: BlockHeight(tip.height),
            hash: tip.hash,
            mempool: u32::try_from(totals.mempool_transactions).unwrap_or(u32::MAX),
            transactions: totals.transactions,
            fees: Amount::from_sat(totals.fees_sat),
            supply: Amount::from_sat(totals.supply_sat),
        })
    }

    async fn faucet(&self, order: Faucet) -> Answer<Poured> {
        let own = self.clone();
        self.to_the_end(async move { own.faucet_once(order).await }).await
    }

    async fn reorg(&self, order: Reorg) -> Answer<Mined> {
        self.reorganise(order).await
    }

    async fn evict(&self, txid: Txid) -> Answer<Vec<Txid>> {
        self.evict_one(txid).await
    }

    async fn set_floor(&self, floor: Option<FeerateVb>) -> Answer<Vec<Txid>> {
        self.raise_floor(floor).await
    }

    async fn stall(&self, stall: Stall, time: Option<Duration>) -> Answer<()> {
        self.sandbox()?.stall(stall, time).await.map_err(said)
    }

    async fn pin(&self, txid: Txid) -> Answer<Pinned> {
        let own = self.clone();
        self.to_the_end(async move { own.pin_one(txid).await }).await
    }

    async fn cheat(&self, order: Cheat) -> Answer<Cheating> {
        let own = self.clone();
        self.to_the_end(async move { own.cheat_with(order).await }).await
    }
}

pub(super) fn parse_address(text: &str) -> Answer<Address> {
    let parsed = text.parse::<Address<bitcoin::address::NetworkUnchecked>>();
    parsed.map(Address::assume_checked).map_err(|_| Refusal::NoAnswer)
}

/// The newest block may be this old, in minutes: one in 8 000 takes longer.
const TIP_AGE_MAX_MIN: u64 = 90;

/// How the chain is. Mined by whoever asks for a block, these two have none for as long as nobody does.
fn health_of_chain(tip: &layer1::Tip, network: config::Network) -> HealthPart {
    let age_min = UnixTime::now().0.saturating_sub(u64::from(tip.time)).div_euclid(60);
    let on_demand = matches!(network, config::Network::Sandbox | config::Network::Regtest);
    let old = !on_demand && age_min > TIP_AGE_MAX_MIN;
    let (detail, remedy) = match (tip.synced, old) {
        (true, true) => (
            format!("block {} is {age_min} minutes old: no news since", tip.height.0),
            "compare with another source: the chain backend may be stuck, and deadlines with it",
        ),
        (true, false) => (format!("block {}", tip.height.0), ""),
        (false, _) => (
            format!("block {}, and behind: the chain backend is away or catching up", tip.height.0),
            "see whether the chain backend is running and reachable",
        ),
    };
    let state = if tip.synced && !old { Health::Ok } else { Health::Degraded };
    HealthPart { name: "chain", state, detail, remedy }
}

/// Whether everything that must be known to get the coins in channels home lies where it should.
fn health_of_backup(status: &Status) -> HealthPart {
    let (state, detail, remedy) = if let Some(ahead) = &status.ahead {
        let detail = format!("backup {} is newer than this node's data", ahead.counter);
        (Health::Failed, detail, "viaduct backup restore brings back what is missing")
    } else if let Some(problem) = &status.problem {
        (Health::Failed, format!("not written: {problem}"), "make room on the disk")
    } else if let Some(problem) = &status.second_problem {
        (Health::Degraded, format!("second file: {problem}"), "see whether backup_path is there")
    } else {
        let detail = format!("number {}, {} channels", status.counter, status.channels);
        (Health::Ok, detail, "copy it elsewhere from time to time: viaduct backup export")
    };
    HealthPart { name: "backup", state, detail, remedy }
}

/// Channels whose data may be stale.
fn quarantined(channels: &[Channel]) -> u32 {
    let found = channels.iter().filter(|channel| channel.quarantined).count();
    u32::try_from(found).unwrap_or(u32::MAX)
}
