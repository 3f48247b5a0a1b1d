//! Three whole nodes, and what Layer 1 does to a forward: the channel behind is closed under it, with the preimage
//! shown there or never; onions that come twice; more trimmed value than a close may burn.

use std::str::FromStr as _;

use channel::{Command, Offer};
use wire::id::{PaymentHash, PaymentSecret, Preimage, ShortChannelId};
use wire::message::OnionPacket;
use wire::onion::failure::code;
use wire::onion::payload::{CustomRecords, Final, Forward, Payload, PaymentData};
use wire::onion::sphinx::{Hop, build_payment};

use super::*;
use crate::channels::directory::Door;
use crate::channels::task::Asker;
use crate::rpc::model::forward::{Forward as Seen, ForwardFailure, ForwardFilter, ForwardState};
use crate::rpc::model::page::Page;
use crate::rpc::model::peer::ConnectPeer;
use crate::switch::policy::EXPIRY_TOO_SOON;

/// Blocks our own outputs are locked for.
const DELAY: u16 = 10;

/// Blocks until carol's HTLCs can be taken back by bob.
const EXPIRY: u32 = 60;

/// Blocks between bob's two HTLCs.
const DELTA: u32 = 40;

/// What bob keeps.
const FEE: u64 = 2_000;

struct Line {
    world: World,
    nodes: Vec<Node>,
}

/// An HTLC that alice sent to carol over bob, of half of what carol waits for.
struct Sent {
    preimage: Preimage,
    offer: Offer,
}

impl Line {
    async fn start(change: impl Fn(&mut Config)) -> Self {
        let mut world = World::new(3);
        for config in &mut world.configs {
            config.channel.asks.to_self_delay = DELAY;
            config.forwarding.policy.enabled = true;
            config.forwarding.policy.cltv_delta = 40;
        }
        change(&mut world.configs[1]);
        let mut nodes = Vec::new();
        for node in 0..3 {
            nodes.push(world.start(node).await);
        }
        let line = Self { world, nodes };
        fill(&line.node(0), 3_000_000).await;
        for _ in 0..6 {
            fill(&line.node(1), 1_100_000).await;
        }
        fill(&line.node(2), 100_000).await;
        open(&line.node(0), &line.nodes[1], 1_000_000).await;
        let mut opening = opening(&line.nodes[2], 1_000_000);
        opening.key = None;
        open_as(&line.node(1), opening).await;
        for node in 0..3 {
            usable(&line.node(node)).await;
        }
        line
    }

    fn node(&self, number: usize) -> Handle {
        self.nodes[number].handle()
    }

    /// The channel of two nodes, as the first of them sees it.
    fn door(&self, ours: usize, theirs: usize) -> Door {
        let with = self.node(theirs).node_id();
        let doors = self.node(ours).0.directory.doors();
        doors.iter().find(|door| door.node == with).unwrap().clone()
    }

    fn tell(&self, ours: usize, theirs: usize, commands: Vec<Command>) {
        self.door(ours, theirs).commands.send(commands).unwrap();
    }

    async fn mine(&self, blocks: u32) {
        for _ in 0..blocks {
            self.node(0).mine(Mine { key: None, blocks: 1, to: None }).await.unwrap();
            tokio::time::sleep(Duration::from_millis(40)).await;
        }
    }

    /// Sends half of what carol waits for, so that she holds it.
    async fn send(&self, msat: u64) -> Sent {
        let sent = self.make(msat, EXPIRY, None).await;
        self.tell(0, 1, vec![Command::OfferHtlc(Box::new(sent.offer.clone()))]);
        sent
    }

    /// The HTLC alone; `onward` is where carol is told to send it on, if anywhere.
    async fn make(&self, msat: u64, blocks: u32, onward: Option<ShortChannelId>) -> Sent {
        let asked = CreateInvoice {
            key: None,
            amount: Msat::new(2 * msat),
            description: Description::Text("held".to_owned()),
            expiry_s: None,
            min_final_cltv_delta: None,
            blinded: false,
            ..CreateInvoice::default()
        };
        let invoice = self.node(2).create_invoice(asked).await.unwrap();
        let hash = invoice.hash;
        let parsed = lightning_invoice::Bolt11Invoice::from_str(&invoice.bolt11).unwrap();
        let secret = PaymentSecret(parsed.payment_secret().0);
        let expiry = BlockHeight(self.world.chain.totals().await.unwrap().height + blocks);
        let (amount, total_msat) = (Msat::new(msat).unwrap(), Msat::new(2 * msat).unwrap());
        let onward = onward.map(|short_channel_id| {
            let amt_to_forward = Msat::new(msat / 2).unwrap();
            let outgoing_cltv_value = expiry.saturating_sub(DELTA);
            Payload::Forward(Forward { amt_to_forward, outgoing_cltv_value, short_channel_id })
        });
        let last = Payload::Final(Final {
            amt_to_forward: amount,
            outgoing_cltv_value: expiry,
            payment_data: Some(PaymentData { payment_secret: secret, total_msat }),
            payment_metadata: None,
            keysend_preimage: None,
            custom_records: CustomRecords::default(),
        });
        let is_onward = onward.is_some();
        let last = onward.unwrap_or(last).encode();
        let first = Payload::Forward(Forward {
            amt_to_forward: amount,
            outgoing_cltv_value: expiry,
            short_channel_id: self.door(1, 2).glance.borrow().short_id.unwrap(),
        })
        .encode();
        let key =
            |node: usize| secp256k1::PublicKey::from_slice(&self.node(node).node_id().0).unwrap();
        let end = [0; 40];
        let mut hops =
            vec![Hop { node: key(1), payload: &first }, Hop { node: key(2), payload: &last }];
        if is_onward {
            hops.push(Hop { node: key(0), payload: &end });
        }
        let session = self.node(0).0.us.session_key(hash, 0);
        let (onion, _) = build_payment(&session, &hops, &hash).unwrap();
        let fee = FEE + msat / 10_000;
        let offer = offer(hash, msat + fee, expiry.saturating_add(DELTA), onion);
        Sent { preimage: invoice.preimage.unwrap(), offer }
    }

    /// Waits until so many HTLCs are in a channel, and the dance of the last one is over.
    async fn htlcs(&self, ours: usize, theirs: usize, count: usize) {
        for _ in 0..600 {
            let which = ChannelRef::Id(self.door(ours, theirs).id);
            let shown = self.node(ours).channel(which).await.unwrap();
            if shown.htlcs.len() == count {
                tokio::time::sleep(Duration::from_millis(300)).await;
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("not {count} HTLCs between {ours} and {theirs}");
    }

    /// What bob forwarded last, once it is `right`.
    async fn newest(&self, right: impl Fn(&Seen) -> bool) -> Seen {
        for _ in 0..600 {
            let all = self.node(1).list_forwards(ForwardFilter::default(), Page::default()).await;
            if let Some(newest) = all.unwrap().entries.into_iter().next().filter(|one| right(one)) {
                return newest;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("bob's newest forward is another");
    }

    /// Bob listens elsewhere afterwards, so alice is told where.
    async fn restart_bob(&mut self) {
        self.nodes.remove(1).stop().await;
        self.nodes.insert(1, self.world.start(1).await);
        let (node, address) = (self.node(1).node_id(), self.nodes[1].listening()[0].to_string());
        let order = ConnectPeer { node, address: Some(address), timeout_ms: 10_000 };
        self.node(0).connect_peer(order).await.unwrap();
    }

    async fn bobs_part(&self) -> u64 {
        let which = ChannelRef::Id(self.door(1, 0).id);
        self.node(1).channel(which).await.unwrap().ours.to_u64()
    }

    async fn stop(self) {
        for node in self.nodes {
            node.stop().await;
        }
    }
}

fn offer(hash: PaymentHash, msat: u64, cltv_expiry: BlockHeight, onion: OnionPacket) -> Offer {
    Offer {
        command: Asker::Nobody.command(0),
        amount_msat: Msat::new(msat).unwrap(),
        payment_hash: hash,
        cltv_expiry,
        onion,
        origin: Origin::Payment { payment_id: hash.0, part: 0 },
        path_key: None,
        accountable: true,
    }
}

const fn force_close() -> Command {
    Command::ForceClose { command: Asker::Nobody.command(0) }
}

async fn in_time(story: impl Future<Output = ()>) {
    let _ = tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_test_writer()
        .try_init();
    tokio::time::timeout(Duration::from_secs(100), story).await.expect("in time");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_preimage_shown_on_layer_1_is_worth_its_fee_upstream_once() {
    in_time(async {
        let mut line = Line::start(|_| {}).await;
        let before = line.bobs_part().await;
        let sent = line.send(50_000_000).await;
        line.htlcs(2, 1, 1).await;
        line.tell(1, 2, vec![force_close()]);
        tokio::time::sleep(Duration::from_millis(300)).await;
        let htlc =
            line.node(2).channel(ChannelRef::Id(line.door(2, 1).id)).await.unwrap().htlcs[0].id;
        let command = Asker::Nobody.command(0);
        let preimage = sent.preimage;
        let show = Command::FulfillHtlc { command, htlc, preimage, attribution: None };
        line.tell(2, 1, vec![show]);
        line.mine(4).await;
        // Whatever bob has seen by now, a restart changes nothing.
        line.restart_bob().await;
        line.mine(2).await;
        line.htlcs(0, 1, 0).await;
        let fee = FEE + 5_000;
        assert_eq!(line.bobs_part().await, before + 50_000_000 + fee);
        line.newest(|forward| forward.state == ForwardState::Settled).await;
        line.mine(u32::from(DELAY) + 10).await;
        let sums = line.node(1).forwarded();
        assert_eq!((sums.settled, sums.failed, sums.fees_msat), (1, 0, fee));
        line.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_expires_on_layer_1_comes_back_upstream_in_time() {
    in_time(async {
        let line = Line::start(|_| {}).await;
        let before = line.bobs_part().await;
        line.send(50_000_000).await;
        line.htlcs(2, 1, 1).await;
        line.tell(1, 2, vec![force_close()]);
        line.mine(3).await;
        line.htlcs(0, 1, 1).await;
        line.mine(EXPIRY + 12).await;
        line.htlcs(0, 1, 0).await;
        assert_eq!(line.bobs_part().await, before);
        let on_chain = ForwardState::Failed(ForwardFailure::OnChain);
        line.newest(|forward| forward.state == on_chain).await;
        let first = line.node(1).channel(ChannelRef::Id(line.door(1, 0).id)).await.unwrap();
        assert_eq!(first.phase, ChannelPhase::Open, "the channel it came by stays");
        line.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c39_an_onion_that_went_on_once_does_not_go_on_again() {
    in_time(async {
        let mut line = Line::start(|_| {}).await;
        let sent = line.send(50_000_000).await;
        line.htlcs(2, 1, 1).await;
        // The very same once more, also after a restart.
        for _ in 0..2 {
            line.tell(0, 1, vec![Command::OfferHtlc(Box::new(sent.offer.clone()))]);
            let again = code::TEMPORARY_CHANNEL_FAILURE;
            let refused = ForwardState::Failed(ForwardFailure::Refused(again));
            line.newest(|forward| forward.state == refused).await;
            line.htlcs(0, 1, 1).await;
            line.restart_bob().await;
            for node in 0..3 {
                usable(&line.node(node)).await;
            }
        }
        line.htlcs(2, 1, 1).await;
        assert_eq!(line.node(1).forwarded().failed, 2);
        line.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_dust_than_a_close_may_burn_goes_no_further() {
    in_time(async {
        let line =
            Line::start(|bob| bob.channel.policy.dust_exposure_max = Msat::new(500_000).unwrap())
                .await;
        line.send(300_000).await;
        line.htlcs(2, 1, 1).await;
        line.send(300_000).await;
        let refused =
            ForwardState::Failed(ForwardFailure::Refused(code::TEMPORARY_CHANNEL_FAILURE));
        line.newest(|forward| forward.state == refused).await;
        line.htlcs(0, 1, 1).await;
        line.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_peer_fills_a_channel_alone() {
    in_time(async {
        let line = Line::start(|bob| bob.forwarding.share.in_flight_percent = 10).await;
        // One alone may be larger than the share; a second one finds no room.
        line.send(150_000_000).await;
        line.htlcs(2, 1, 1).await;
        line.send(1_000_000).await;
        let refused =
            ForwardState::Failed(ForwardFailure::Refused(code::TEMPORARY_CHANNEL_FAILURE));
        line.newest(|forward| forward.state == refused).await;
        line.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_answers_for_an_htlc_is_named_to_the_next_and_the_one_after() {
    in_time(async {
        let line = Line::start(|_| {}).await;
        let mut desk = line.node(2).intercept().await.unwrap();
        let nowhere = ShortChannelId::from_u64(77);
        for accountable in [true, false] {
            let mut sent = line.make(50_000_000, 2 * EXPIRY, Some(nowhere)).await;
            sent.offer.accountable = accountable;
            line.tell(0, 1, vec![Command::OfferHtlc(Box::new(sent.offer))]);
            let held = tokio::time::timeout(Duration::from_secs(20), desk.held.recv()).await;
            let held = held.unwrap().unwrap();
            assert_eq!((held.accountable, held.next), (accountable, nowhere));
        }
        line.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_too_late_and_what_the_next_node_cannot_read_comes_back() {
    in_time(async {
        let line = Line::start(|_| {}).await;
        let before = line.bobs_part().await;
        let late = line.make(50_000_000, EXPIRY_TOO_SOON, None).await;
        line.tell(0, 1, vec![Command::OfferHtlc(Box::new(late.offer))]);
        let refused = ForwardState::Failed(ForwardFailure::Refused(code::EXPIRY_TOO_SOON));
        line.newest(|forward| forward.state == refused).await;

        // Carol's layer is for somebody else: she cannot say so but by `update_fail_malformed_htlc`.
        let sent = line.make(50_000_000, EXPIRY, None).await;
        let first = Payload::Forward(Forward {
            amt_to_forward: Msat::new(50_000_000).unwrap(),
            outgoing_cltv_value: sent.offer.cltv_expiry.saturating_sub(DELTA),
            short_channel_id: line.door(1, 2).glance.borrow().short_id.unwrap(),
        })
        .encode();
        let key =
            |node: usize| secp256k1::PublicKey::from_slice(&line.node(node).node_id().0).unwrap();
        let last = [0; 40];
        let hops = [Hop { node: key(1), payload: &first }, Hop { node: key(0), payload: &last }];
        let session = line.node(0).0.us.session_key(sent.offer.payment_hash, 7);
        let (onion, _) = build_payment(&session, &hops, &sent.offer.payment_hash).unwrap();
        line.tell(0, 1, vec![Command::OfferHtlc(Box::new(Offer { onion, ..sent.offer }))]);
        let malformed = ForwardState::Failed(ForwardFailure::Malformed(code::INVALID_ONION_HMAC));
        line.newest(|forward| forward.state == malformed).await;
        line.htlcs(0, 1, 0).await;
        assert_eq!(line.bobs_part().await, before);
        line.stop().await;
    })
    .await;
}
