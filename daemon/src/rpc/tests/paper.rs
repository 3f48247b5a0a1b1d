//! A node made of paper: it keeps what was asked and answers from a sheet.

use std::str::FromStr as _;
use std::sync::Arc;

use async_trait::async_trait;
use bitcoin::hashes::Hash as _;
use bitcoin::{Amount, BlockHash, OutPoint, Txid};
use futures_util::{StreamExt as _, stream};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::WatchStream;
use wire::feature::Features;
use wire::id::{ChannelId, NodeId, PaymentHash, Preimage};
use wire::units::{BlockHeight, FeeratePerKw, Msat};

use crate::backup::Status;
use crate::rpc::model::backup::*;
use crate::rpc::model::channel::*;
use crate::rpc::model::event::*;
use crate::rpc::model::forward::{Forward, ForwardFilter, Interception, SetPolicy};
use crate::rpc::model::graph::*;
use crate::rpc::model::invoice::*;
use crate::rpc::model::node::*;
use crate::rpc::model::page::{Listing, Page};
use crate::rpc::model::payment::*;
use crate::rpc::model::peer::*;
use crate::rpc::model::sandbox::*;
use crate::rpc::model::wallet::*;
use crate::rpc::model::why::*;
use crate::rpc::model::{OrderKey, Started, UnixMillis, Updates};
use crate::rpc::node_api::{Answer, NodeApi};
use crate::rpc::refusal::{Noun, Refusal, Shortage};
use crate::switch::policy::ForwardPolicy;
use crate::tower::{Audit, Coverage, Drill, DrillTower, NoProof, Tower};

pub(super) const PREIMAGE: Preimage = Preimage([5; 32]);

pub(super) fn peer_id(n: u8) -> NodeId {
    let secret = secp256k1::SecretKey::from_slice(&[n; 32]).unwrap();
    NodeId(secret.public_key(secp256k1::SECP256K1).serialize())
}

pub(super) fn msat(raw: u64) -> Msat {
    Msat::new(raw).unwrap()
}

/// What the node was asked, for tests to look at.
#[derive(Debug)]
pub(super) enum Asked {
    Pay(PayOrder),
    Send(SendCoins),
    Open(OpenChannel),
    Close(CloseChannel),
    Create(CreateInvoice),
    Connect(ConnectPeer),
}

#[derive(Clone)]
pub(super) struct PaperNode {
    pub(super) asked: mpsc::Sender<Asked>,
    pub(super) payment: watch::Receiver<Payment>,
    pub(super) channel: watch::Receiver<Channel>,
    pub(super) events: Arc<Vec<Event>>,
    pub(super) graph: routing::graph::Snapshot,
}

/// The strings by which a test pulls at the node.
pub(super) struct Strings {
    pub(super) asked: mpsc::Receiver<Asked>,
    pub(super) payment: watch::Sender<Payment>,
    pub(super) channel: watch::Sender<Channel>,
}

/// A part over two hops.
fn a_part(delivered: Msat) -> PartFound {
    let hop = |node, fee, cltv_delta, probability| HopFound {
        node: peer_id(node),
        channel: wire::id::ShortChannelId::from_u64(u64::from(node) << 40),
        amount: delivered.checked_add(msat(1_500 - fee)).unwrap(),
        fee: msat(fee),
        cltv_delta,
        probability,
    };
    let hops = vec![hop(2, 0, 0, 1.0), hop(3, 1_500, 40, 0.25)];
    PartFound { delivered, probability: 0.25, hops, cltv_delta: 61 }
}

impl PaperNode {
    pub(super) fn new() -> (Self, Strings) {
        let (asked, asked_out) = mpsc::channel(64);
        let (payment_in, payment) = watch::channel(a_payment(0));
        let (channel_in, channel) = watch::channel(a_channel(0));
        let events = (1..=5_u32)
            .map(|n| Event {
                seq: u64::from(n) * 10,
                at: UnixMillis(u64::from(n)),
                what: Happened::BlockConnected {
                    height: BlockHeight(n),
                    hash: BlockHash::all_zeros(),
                },
            })
            .collect();
        let node =
            Self { asked, payment, channel, events: Arc::new(events), graph: Default::default() };
        (node, Strings { asked: asked_out, payment: payment_in, channel: channel_in })
    }

    fn note(&self, asked: Asked) {
        // Tests that do not look have dropped the other end.
        let _unseen = self.asked.try_send(asked);
    }
}

pub(super) fn a_payment(index: u64) -> Payment {
    Payment {
        index,
        hash: PREIMAGE.hash(),
        status: PaymentStatus::InFlight,
        payee: peer_id(3),
        amount: msat(10_000 + index),
        fee: msat(7),
        fee_limit: msat(5_000),
        invoice: "lnbcrt1".into(),
        description: Some("coffee".into()),
        attempts: vec![Attempt {
            part: 0,
            state: AttemptState::InFlight,
            amount: msat(10_000),
            fee: msat(7),
            hops: vec![Hop {
                node: peer_id(3),
                channel: Some(ChannelId([8; 32])),
                short_id: None,
                amount: msat(10_000),
                fee: Msat::ZERO,
                held_ms: Some(300),
            }],
            sent: UnixMillis(5),
            ended: None,
        }],
        created: UnixMillis(4),
        ended: None,
        reason: None,
    }
}

pub(super) fn a_channel(index: u64) -> Channel {
    Channel {
        index,
        id: ChannelId([8; 32]),
        temporary_id: ChannelId([9; 32]),
        node: peer_id(2),
        node_alias: "bob".into(),
        phase: ChannelPhase::Open,
        link: Link::Up,
        funder: Side::Us,
        funding: Some(OutPoint::new(Txid::from_byte_array([1; 32]), 1)),
        short_id: Some("101x1x0".parse().unwrap()),
        announced: false,
        capacity: Amount::from_sat(1_000_000),
        ours: msat(600_000_000),
        theirs: msat(399_000_000),
        can_send: msat(580_000_000),
        can_receive: msat(389_000_000),
        our_reserve: Amount::from_sat(10_000),
        their_reserve: Amount::from_sat(10_000),
        commit_fee: Amount::from_sat(284),
        anchors: Amount::from_sat(660),
        feerate: FeeratePerKw(253),
        our_delay: 144,
        their_delay: 144,
        commitment_number: 12,
        quarantined: false,
        htlcs: vec![Htlc {
            id: 3,
            offered_by: Side::Us,
            amount: msat(1_000_000),
            hash: PaymentHash([6; 32]),
            cltv_expiry: BlockHeight(200),
        }],
        depth: 6,
        depth_needed: Some(1),
        zero_conf: false,
        at_risk: Msat::ZERO,
        scid_alias: false,
        alias: None,
        peer_alias: None,
        funding_fee: Some(Amount::from_sat(154)),
        closing: None,
        why: None,
        created: UnixMillis(9),
    }
}

fn a_step() -> Step {
    Step {
        seq: 12,
        at: Some(UnixMillis(34)),
        height: Some(BlockHeight(150)),
        code: "force-close-asked",
        text: "we decided to close alone".into(),
        txid: Some(Txid::from_byte_array([1; 32])),
        amount: None,
        fee: Some(Amount::from_sat(3)),
    }
}

pub(super) fn an_invoice(state: InvoiceState) -> Invoice {
    Invoice {
        index: 1,
        hash: PREIMAGE.hash(),
        bolt11: "lnbcrt1".into(),
        amount: Some(msat(1_000)),
        description: Description::Text("tea".into()),
        state,
        hold: false,
        preimage: Some(PREIMAGE),
        created: UnixMillis(1),
        expires: UnixMillis(3_600_001),
    }
}

pub(super) fn shortage() -> Shortage {
    Shortage {
        need: Amount::from_sat(112_340),
        spendable: Amount::from_sat(100_000),
        reserved_for_anchors: Amount::from_sat(30_000),
        promised: Amount::ZERO,
        unconfirmed: Amount::ZERO,
        immature: Amount::ZERO,
    }
}

fn follow<T: Clone + Send + Sync + 'static>(from: &watch::Receiver<T>) -> Updates<T> {
    Box::pin(WatchStream::new(from.clone()).map(Ok))
}

#[async_trait]
impl NodeApi for PaperNode {
    async fn info(&self) -> Answer<NodeInfo> {
        Ok(NodeInfo {
            node: peer_id(1),
            alias: "alice".into(),
            network: bitcoin::Network::Regtest,
            sandbox: true,
            version: "0.1.0",
            features: Features::from_bits([9, 14]),
            addresses: vec!["127.0.0.1:9735".into()],
            tip: Tip { height: BlockHeight(101), hash: BlockHash::all_zeros(), header_time: 1 },
            synced: true,
            peers: 1,
            channels_open: 1,
            channels_opening: 0,
            channels_quarantined: 0,
            channels_closing: 0,
            started: UnixMillis(1),
            last_event: 50,
            forwarded: Default::default(),
        })
    }

    async fn health(&self) -> Answer<Vec<HealthPart>> {
        let part = |name, state| HealthPart { name, state, detail: String::new(), remedy: "" };
        Ok(vec![part("journal", Health::Ok), part("chain", Health::Degraded)])
    }

    async fn stop(&self) -> Answer<()> {
        Ok(())
    }

    async fn connect_peer(&self, order: ConnectPeer) -> Answer<Connected> {
        let peer = a_peer(1, order.node);
        self.note(Asked::Connect(order));
        Ok(Connected { peer, before: false })
    }

    async fn disconnect_peer(&self, order: DisconnectPeer) -> Answer<()> {
        let node = order.node;
        if order.force { Ok(()) } else { Err(Refusal::PeerHasChannels { node, channels: 2 }) }
    }

    async fn set_peer_policy(&self, _: NodeId, change: PeerPolicyChange) -> Answer<PeerPolicy> {
        let own = change.force_close.flatten();
        let trust_funding = change.trust_funding.unwrap_or(false);
        let force_close = own.unwrap_or_default();
        Ok(PeerPolicy { force_close, own: own.is_some(), trust_funding })
    }

    async fn list_peers(&self) -> Answer<Vec<Peer>> {
        Ok((1..=5).map(|n| a_peer(u64::from(n), peer_id(n))).collect())
    }

    async fn new_address(
        &self,
        kind: AddressKind,
        _: Option<OrderKey>,
    ) -> Answer<bitcoin::Address> {
        let text = match kind {
            AddressKind::Taproot => {
                "bcrt1p5cyxnuxmeuwuvkwfem96lqzszd02n6xdcjrs20cac6yqjjwudpxqvg32hk"
            }
            AddressKind::WitnessKey => "bcrt1qcr8te4kr609gcawutmrza0j4xv80jy8zeqchgx",
        };
        let address = bitcoin::Address::from_str(text).unwrap();
        Ok(address.require_network(bitcoin::Network::Regtest).unwrap())
    }

    async fn wallet_balance(&self) -> Answer<WalletBalance> {
        Ok(WalletBalance {
            confirmed: Amount::from_sat(100_000),
            reserved_for_anchors: Amount::from_sat(10_000),
            promised: Amount::from_sat(5_000),
            spendable: Amount::from_sat(85_000),
            ..WalletBalance::default()
        })
    }

    async fn plan_send(&self, order: SendCoins) -> Answer<SentCoins> {
        let _ = order;
        let feerate = FeeratePerKw(253);
        let (amount, fee) = (Amount::from_sat(1_000), Amount::from_sat(154));
        Ok(SentCoins { txid: None, amount, fee, feerate })
    }

    async fn send_coins(&self, order: SendCoins) -> Answer<SentCoins> {
        let short = order.coins == Coins::Exactly(Amount::from_sat(112_000));
        self.note(Asked::Send(order.clone()));
        if short {
            return Err(Refusal::ShortOfFunds(shortage()));
        }
        let plan = self.plan_send(order).await?;
        Ok(SentCoins { txid: Some(Txid::all_zeros()), ..plan })
    }

    async fn bump(&self, order: RaiseFee) -> Answer<Bumped> {
        let txid = order.txid.ok_or(Refusal::NoAnswer)?;
        let what = Bumping::Replacement;
        let fee = Amount::from_sat(500);
        Ok(Bumped { txid, fee, feerate: FeeratePerKw(1_000), what })
    }

    async fn list_transactions(&self, _: Page) -> Answer<Listing<WalletTransaction>> {
        Ok(Listing { entries: Vec::new(), next: None })
    }

    async fn list_utxos(&self) -> Answer<Vec<Utxo>> {
        Ok(Vec::new())
    }

    async fn plan_open(&self, _: OpenChannel) -> Answer<OpenPlan> {
        Ok(OpenPlan {
            capacity: Amount::from_sat(50_000),
            funding_fee: Amount::from_sat(154),
            spendable_after: Amount::from_sat(1),
        })
    }

    async fn open_channel(&self, order: OpenChannel) -> Answer<Started<Channel>> {
        self.note(Asked::Open(order));
        Ok(Started { fresh: true, updates: follow(&self.channel) })
    }

    async fn list_channels(&self, filter: ChannelFilter) -> Answer<Vec<Channel>> {
        let closed = Channel { phase: ChannelPhase::Closed, ..a_channel(3) };
        let all = [a_channel(1), a_channel(2), closed];
        let wanted = |channel: &Channel| filter.node.is_none_or(|node| node == channel.node);
        let ended = |channel: &Channel| channel.phase == ChannelPhase::Closed;
        Ok(all.into_iter().filter(wanted).filter(|c| filter.ended || !ended(c)).collect())
    }

    async fn channel(&self, which: ChannelRef) -> Answer<Channel> {
        match which {
            ChannelRef::Id(id) if id == ChannelId([8; 32]) => Ok(a_channel(1)),
            ChannelRef::Short(id) if id.to_string() == "101x1x0" => Ok(a_channel(1)),
            ChannelRef::Id(id) => {
                Err(Refusal::NotFound { kind: Noun::Channel, id: id.to_string() })
            }
            ChannelRef::Short(id) => {
                Err(Refusal::NotFound { kind: Noun::Channel, id: id.to_string() })
            }
        }
    }

    async fn watch_channel(&self, _: ChannelRef) -> Answer<Updates<Channel>> {
        Ok(follow(&self.channel))
    }

    async fn plan_close(&self, _: CloseChannel) -> Answer<Closing> {
        Ok(a_closing(CloseStage::Negotiating))
    }

    async fn lift_quarantine(&self, channel: ChannelRef) -> Answer<Channel> {
        self.channel(channel).await
    }

    async fn close_channel(&self, order: CloseChannel) -> Answer<Started<Channel>> {
        self.note(Asked::Close(order));
        Ok(Started { fresh: true, updates: follow(&self.channel) })
    }

    async fn decode_invoice(&self, _: String) -> Answer<DecodedInvoice> {
        Err(Refusal::BadInvoice { why: "its checksum does not fit" })
    }

    async fn pay(&self, order: PayOrder) -> Answer<Started<Payment>> {
        let invoice = order.invoice.clone();
        self.note(Asked::Pay(order));
        match invoice.as_str() {
            "expired" => Err(Refusal::InvoiceExpired { seconds_ago: 12 }),
            "crash" => Err(Refusal::StoreFailed),
            _ => Ok(Started { fresh: true, updates: follow(&self.payment) }),
        }
    }

    async fn payment(&self, hash: PaymentHash) -> Answer<Payment> {
        if hash == PREIMAGE.hash() {
            return Ok(self.payment.borrow().clone());
        }
        Err(Refusal::NotFound { kind: Noun::Payment, id: hash.to_string() })
    }

    async fn watch_payment(&self, hash: PaymentHash) -> Answer<Updates<Payment>> {
        self.payment(hash).await?;
        Ok(follow(&self.payment))
    }

    async fn why_channel(&self, _: ChannelRef) -> Answer<ChannelWhy> {
        let channel = self.channel.borrow().clone();
        Ok(ChannelWhy {
            id: channel.id,
            node: channel.node,
            summary: "we closed alone: we were asked to close without the peer".into(),
            policy: "automatic",
            steps: vec![a_step()],
            left_out: 2,
            waiting: vec![Wait {
                text: "our balance is locked".into(),
                until: Some(BlockHeight(260)),
                amount: Some(Amount::from_sat(5)),
                outpoint: channel.funding,
            }],
            cost: Amount::from_sat(7),
            home: Amount::from_sat(9),
            channel: Some(channel),
        })
    }

    async fn why_payment(&self, hash: PaymentHash) -> Answer<PaymentWhy> {
        if hash != PREIMAGE.hash() {
            return Err(Refusal::NotFound { kind: Noun::Payment, id: hash.to_string() });
        }
        let (status, summary) = ("failed", "no way to the payee was left to try".to_owned());
        Ok(PaymentWhy { hash, status, summary, steps: vec![a_step()], waiting: Vec::new() })
    }

    fn graph(&self) -> routing::graph::Snapshot {
        self.graph.clone()
    }

    async fn find_route(&self, order: FindRoute) -> Answer<RouteFound> {
        let parts = vec![a_part(order.amount.unwrap_or_else(|| msat(1_000_000)))];
        Ok(RouteFound { parts, fee: msat(1_500), probability: 0.5 })
    }

    async fn probe_route(&self, order: FindRoute, patience_s: u32) -> Answer<Probed> {
        let whole = order.amount.unwrap_or_else(|| msat(1_000_000));
        let ended = |outcome| ProbedPart { part: a_part(whole), outcome, took_ms: 40 };
        let words = format!("no liquidity, after {patience_s} s at most");
        Ok(Probed {
            parts: vec![
                ended(Some(ProbeOutcome::Failed { hops: 1, words })),
                ended(Some(ProbeOutcome::Unreadable { words: "garbled".into() })),
                ended(None),
                ended(Some(ProbeOutcome::Reached)),
            ],
            reached: whole,
            fee: msat(1_500),
            missed: None,
        })
    }

    async fn scores(&self) -> Answer<(Vec<u8>, u64)> {
        Ok((vec![1, 2, 3], 7))
    }

    async fn merge_scores(&self, scores: Vec<u8>) -> Answer<u64> {
        Ok(scores.len().try_into().unwrap())
    }

    async fn spend_spontaneously(&self, _: Spontaneous) -> Answer<Started<Payment>> {
        Err(Refusal::NoAnswer)
    }

    async fn list_payments(&self, filter: PaymentFilter, page: Page) -> Answer<Listing<Payment>> {
        let rows = (0..25).map(a_payment).filter(|payment| filter.passes(&payment.status));
        let rows: Vec<(u64, Payment)> = rows.map(|payment| (payment.index, payment)).collect();
        Ok(Listing::cut(rows.into_iter(), page))
    }

    async fn list_forwards(&self, _: ForwardFilter, page: Page) -> Answer<Listing<Forward>> {
        Ok(Listing::cut(std::iter::empty(), page))
    }

    async fn policy(&self, _: ChannelRef) -> Answer<ForwardPolicy> {
        Ok(ForwardPolicy::default())
    }

    async fn set_policy(&self, order: SetPolicy) -> Answer<ForwardPolicy> {
        Ok(order.change.of(ForwardPolicy::default()))
    }

    async fn intercept(&self) -> Answer<Interception> {
        Err(Refusal::NoAnswer)
    }

    async fn create_invoice(&self, order: CreateInvoice) -> Answer<Invoice> {
        self.note(Asked::Create(order));
        Ok(an_invoice(InvoiceState::Open))
    }

    async fn invoice(&self, hash: PaymentHash) -> Answer<Invoice> {
        if hash == PREIMAGE.hash() {
            let at = UnixMillis(77);
            return Ok(an_invoice(InvoiceState::Settled { received: msat(1_001), at }));
        }
        Err(Refusal::NotFound { kind: Noun::Invoice, id: hash.to_string() })
    }

    async fn watch_invoice(&self, hash: PaymentHash) -> Answer<Updates<Invoice>> {
        let settled = self.invoice(hash).await?;
        let open = an_invoice(InvoiceState::Open);
        // One more than the final one: nobody may see it.
        let late = an_invoice(InvoiceState::Expired);
        Ok(Box::pin(stream::iter([Ok(open), Ok(settled), Ok(late)])))
    }

    async fn list_invoices(&self, _: InvoiceFilter, _: Page) -> Answer<Listing<Invoice>> {
        Ok(Listing { entries: Vec::new(), next: None })
    }

    async fn settle_invoice(&self, receipt: Receipt) -> Answer<Invoice> {
        match receipt {
            Receipt::Preimage(preimage) => self.invoice(preimage.hash()).await,
            Receipt::Ours(hash) => Err(Refusal::InvoiceNotHeld { hash, state: "open" }),
        }
    }

    async fn cancel_invoice(&self, hash: PaymentHash) -> Answer<Invoice> {
        Err(Refusal::InvoiceState { hash, state: "settled" })
    }

    async fn events(&self, order: Subscribe) -> Answer<Updates<Event>> {
        let after = order.after_seq.unwrap_or(50);
        if after > 50 {
            return Err(Refusal::EventsAhead { asked: after, last: 50 });
        }
        let all = Arc::clone(&self.events);
        let kept: Vec<Event> = all
            .iter()
            .filter(|event| event.seq > after && order.wants(event.what.kind()))
            .cloned()
            .collect();
        let slow = Refusal::TooSlow { last_sent: 50 };
        Ok(Box::pin(stream::iter(kept).map(Ok).chain(stream::iter([Err(slow)]))))
    }

    async fn mine(&self, order: Mine) -> Answer<Mined> {
        let hashes = (0..order.blocks).map(|_| BlockHash::all_zeros()).collect();
        Ok(Mined { height: BlockHeight(101 + order.blocks), hashes })
    }

    async fn add_tower(&self, _: NodeId, _: String, _: bool) -> Answer<()> {
        Ok(())
    }

    async fn remove_tower(&self, _: NodeId) -> Answer<bool> {
        Ok(false)
    }

    async fn list_towers(&self) -> Answer<Vec<Tower>> {
        Ok(vec![])
    }

    async fn drill_tower(&self, order: DrillTower) -> Answer<Updates<Drill>> {
        Err(Refusal::NotFound { kind: Noun::Tower, id: order.tower.to_string() })
    }

    async fn audit_tower(&self, _: NodeId, _: usize) -> Answer<Vec<Audit>> {
        Ok(vec![])
    }

    async fn prove_tower(&self, _: NodeId, _: ChannelRef) -> Answer<Result<Vec<u8>, NoProof>> {
        Ok(Err(NoProof::NothingSigned))
    }

    async fn tower_coverage(&self) -> Answer<(Vec<Coverage>, usize)> {
        Ok((vec![], 2))
    }

    async fn backup_status(&self) -> Answer<Status> {
        Err(Refusal::NotSupported { what: "a backup of paper" })
    }

    async fn export_backup(&self) -> Answer<Vec<u8>> {
        Err(Refusal::NotSupported { what: "a backup of paper" })
    }

    async fn verify_backup(&self, _: BackupSource) -> Answer<BackupContent> {
        Err(Refusal::NotSupported { what: "a backup of paper" })
    }

    async fn restore_backup(&self, order: RestoreBackup) -> Answer<BackupRestored> {
        match order.source {
            BackupSource::File(_) => {
                Err(Refusal::BadBackup { fault: crate::backup::BackupFault::WrongSeed })
            }
            BackupSource::Peers => Ok(BackupRestored { counter: 7, restored: vec![], known: 2 }),
        }
    }

    async fn sandbox_status(&self) -> Answer<SandboxStatus> {
        Err(Refusal::NotSandbox { network: bitcoin::Network::Signet })
    }

    async fn faucet(&self, _: Faucet) -> Answer<Poured> {
        Ok(Poured { txid: Txid::all_zeros(), height: BlockHeight(102) })
    }

    async fn reorg(&self, order: Reorg) -> Answer<Mined> {
        Err(Refusal::ReorgTooDeep { depth: order.depth, height: BlockHeight(5) })
    }

    async fn evict(&self, txid: Txid) -> Answer<Vec<Txid>> {
        Ok(vec![txid])
    }

    async fn set_floor(&self, floor: Option<FeerateVb>) -> Answer<Vec<Txid>> {
        Ok(floor.map(|_| Txid::all_zeros()).into_iter().collect())
    }

    async fn stall(
        &self,
        stall: chain_backend::Stall,
        time: Option<std::time::Duration>,
    ) -> Answer<()> {
        Err(Refusal::Sandbox { why: format!("{stall:?} for {time:?}") })
    }

    async fn pin(&self, txid: Txid) -> Answer<Pinned> {
        Ok(Pinned { txid, fee: Amount::from_sat(95_000), vsize: 95_000 })
    }

    async fn cheat(&self, order: Cheat) -> Answer<Cheating> {
        Err(Refusal::Sandbox { why: format!("no state {}", order.state) })
    }
}

fn a_peer(index: u64, node: NodeId) -> Peer {
    Peer {
        index,
        node,
        alias: String::new(),
        address: "127.0.0.1:9735".into(),
        connected: index % 2 == 1,
        inbound: false,
        features: Some(Features::from_bits([9, 4_000])),
        channels: 0,
        ping_ms: None,
        connected_at: None,
        last_error: String::new(),
        force_close: None,
        trust_funding: false,
    }
}

pub(super) fn a_closing(stage: CloseStage) -> Closing {
    Closing {
        stage,
        kind: Some(CloseKind::Cooperative),
        txid: Some(Txid::all_zeros()),
        fee: Amount::from_sat(180),
        ours: Amount::from_sat(600_000),
        theirs: Amount::from_sat(399_000),
        depth: 0,
        depth_needed: 1,
        locked_blocks: 0,
        spendable_at: None,
        sweeps: Vec::new(),
        sweep_fees: Amount::ZERO,
        height: None,
        closed: None,
        outputs: Vec::new(),
        forecast: None,
    }
}
