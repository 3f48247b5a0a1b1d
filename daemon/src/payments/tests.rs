//! The task in time: a clock that goes as it is told, a journal on paper, channels that are a queue each.

use std::collections::BTreeSet;
use std::sync::Arc;

use channel::{Command, CommandId, Origin, Outcome, Resolved};
use secp256k1::{PublicKey, SECP256K1, SecretKey};
use store::engine::{Engine, MemoryEngine};
use tokio::sync::oneshot;
use wire::id::{ChannelId, NodeId, PaymentSecret, Preimage, ShortChannelId};
use wire::onion::SharedSecret;
use wire::onion::failure::{Failure, Source, read};
use wire::onion::payload::{CustomRecords, Final, PaymentData};
use wire::units::Msat;

use super::*;
use crate::channels::directory::{Door, Glance};
use crate::clock::paused;
use crate::edge::{back, forward};
use crate::fact::{CancelReason, InvoiceMade, PaymentStarted};
use crate::journal::paper::{self, Paper};
use crate::payments::plan::{Manner, spontaneous};
use crate::payments::receive::{FAIL_BACK_BLOCKS, PARTS_PATIENCE_MS};
use crate::rpc::model::invoice::InvoiceState;
use crate::rpc::model::payment::{PaymentFailure, PaymentStatus};
use crate::rpc::refusal::Refusal;

const RECEIPT: Preimage = Preimage([1; 32]);
const CHANNELS: u64 = 3;

fn msat(raw: u64) -> Msat {
    Msat::new(raw).unwrap()
}

fn key(number: u8) -> PublicKey {
    PublicKey::from_secret_key(SECP256K1, &SecretKey::from_slice(&[number; 32]).unwrap())
}

struct Desk {
    payments: Payments,
    disk: watch::Receiver<Flushed>,
    tip: watch::Sender<Tip>,
    commands: Vec<Inbox<Vec<Command>>>,
    paper: Paper,
    _graph: watch::Sender<Snapshot>,
    _engine: Arc<dyn Engine>,
}

impl Desk {
    /// The task with channels 1, 2 and 3, all with the same peer.
    fn start() -> Self {
        paused::stand();
        let directory = Directory::default();
        let mut commands = Vec::new();
        for index in 1..=CHANNELS {
            let (give, take) = back(64);
            commands.push(take);
            let glance = Glance {
                usable: true,
                can_send: msat(1_000_000_000 - index),
                short_id: Some(ShortChannelId::from_u64(index << 40)),
                ..Glance::default()
            };
            directory.insert(Door {
                index: ChannelIndex(index),
                node: NodeId(key(2).serialize()),
                id: ChannelId([u8::try_from(index).unwrap(); 32]),
                messages: forward(1).0,
                commands: give,
                asks: forward(1).0,
                chain: forward(1).0,
                glance: watch::channel(glance).1,
            });
        }
        let (writer, disk, paper) = paper::writer();
        let tip = Tip { height: BlockHeight(100), synced: true, ..Tip::default() };
        let (tip, tip_seen) = watch::channel(tip);
        let (graph, graph_seen) = watch::channel(routing::graph::Graph::new().snapshot());
        let engine: Arc<dyn Engine> = Arc::new(MemoryEngine::new());
        let payments = Payments::new(Start {
            us: Arc::new(Identity::new(SecretKey::from_slice(&[50; 32]).unwrap(), [8; 32])),
            directory,
            tip: tip_seen,
            writer,
            sent: SentBook::default(),
            asked: AskedBook::default(),
            alive: BTreeSet::new(),
            reading: Reading::of(&engine),
            graph: graph_seen,
            chain: [9; 32],
            scores: PathBuf::from("no-such-directory/scores"),
            keysend: true,
        });
        let (_graph, _engine) = (graph, engine);
        let mut desk = Self { payments, disk, tip, commands, paper, _graph, _engine };
        desk.turn();
        desk
    }

    fn turn(&mut self) {
        self.payments.turn(&mut self.disk).unwrap();
    }

    /// Time passes, with a tick a second.
    fn pass(&mut self, mut ms: u64) {
        while ms > 0 {
            let step = ms.min(1_000);
            paused::pass(step);
            ms -= step;
            self.payments.tick();
            self.turn();
        }
    }

    fn ask<T>(&mut self, ask: impl FnOnce(oneshot::Sender<T>) -> Ask) -> T {
        let (reply, mut answer) = oneshot::channel();
        self.payments.answer(ask(reply));
        self.turn();
        answer.try_recv().unwrap()
    }

    /// An invoice for 10 000 msat.
    fn invoice(&mut self, hold: bool) {
        let made = Box::new(InvoiceMade {
            payment_hash: RECEIPT.hash(),
            preimage: (!hold).then_some(RECEIPT),
            hold,
            payment_secret: PaymentSecret([2; 32]),
            metadata: None,
            amount: Some(msat(10_000)),
            bolt11: "lnbcrt1".into(),
            description: "".into(),
            description_hash: None,
            created_ms: now_ms(),
            expires_ms: now_ms() + 300_000,
            min_final_cltv_delta: 42,
        });
        self.ask(|reply| Ask::Make { made, kept: None, reply }).unwrap();
    }

    /// A part of it comes by a channel.
    fn part(&mut self, channel: u64, amount: u64) {
        let part = Part {
            channel: ChannelIndex(channel),
            htlc: 0,
            amount: msat(amount),
            hash: RECEIPT.hash(),
            cltv_expiry: BlockHeight(200),
            overexposed: false,
            secret: secret(channel),
            since_ms: now_ms(),
            blinded: None,
            payload: Final {
                amt_to_forward: msat(amount),
                outgoing_cltv_value: BlockHeight(200),
                payment_data: Some(PaymentData {
                    payment_secret: PaymentSecret([2; 32]),
                    total_msat: msat(10_000),
                }),
                payment_metadata: None,
                keysend_preimage: None,
                custom_records: CustomRecords::default(),
            },
        };
        self.tell(channel, |told| told.parts.push(part));
    }

    fn tell(&mut self, channel: u64, what: impl FnOnce(&mut FromChannel)) {
        let mut told = FromChannel {
            channel: ChannelIndex(channel),
            parts: Vec::new(),
            resolved: Vec::new(),
            offered: Vec::new(),
            refused: Vec::new(),
        };
        what(&mut told);
        self.payments.hear(told);
        self.turn();
    }

    /// What a channel was told so far.
    fn said(&mut self, channel: u64) -> Vec<Command> {
        let place = usize::try_from(channel - 1).unwrap();
        let mut all = Vec::new();
        while let Ok(commands) = self.commands[place].try_recv() {
            all.extend(commands);
        }
        all
    }

    fn state(&mut self) -> InvoiceState {
        let hash = RECEIPT.hash();
        self.ask(|reply| Ask::Invoice { hash, reply }).unwrap().state
    }

    /// Pays the peer, and answers what was offered over which channel.
    fn pay(&mut self, patience_ms: u64) -> (u64, CommandId) {
        let now = now_ms();
        let started = PaymentStarted {
            payment_hash: RECEIPT.hash(),
            payee: NodeId(key(2).serialize()),
            amount: msat(10_000),
            fee_limit: msat(5_000),
            invoice: "".into(),
            description: None,
            expires_ms: now + patience_ms,
            created_ms: now,
        };
        let manner = Manner { patience_ms, ..Manner::default() };
        let plan = spontaneous(key(2), RECEIPT, &started, manner);
        let order = Box::new(Order { plan, started });
        let (fresh, _) = self.ask(|reply| Ask::Pay { order, reply }).unwrap();
        assert!(fresh);
        self.offered().expect("an offer")
    }

    /// The offer that a channel was given, if any was.
    fn offered(&mut self) -> Option<(u64, CommandId)> {
        (1..=CHANNELS).find_map(|channel| {
            let offers = self.said(channel).into_iter().find_map(|command| match command {
                Command::OfferHtlc(offer) => Some(offer.command),
                _ => None,
            });
            offers.map(|command| (channel, command))
        })
    }

    /// A part of the payment has its outcome.
    fn ends(&mut self, channel: u64, part: u32, outcome: Outcome) {
        let origin = Origin::Payment { payment_id: RECEIPT.hash().0, part };
        self.tell(channel, |told| told.resolved.push(Resolved { htlc: 0, origin, outcome }));
    }

    fn status(&mut self) -> PaymentStatus {
        let hash = RECEIPT.hash();
        self.ask(|reply| Ask::Payment { hash, reply }).unwrap().status
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        paused::end();
    }
}

fn secret(channel: u64) -> SharedSecret {
    SharedSecret::new([u8::try_from(channel).unwrap(); 32])
}

/// With which words an HTLC that came by a channel is given back.
#[track_caller]
fn given_back(commands: &[Command], channel: u64) -> Failure {
    let [Command::FailHtlc { reason, attribution, .. }] = commands else { panic!("{commands:?}") };
    match read(&[secret(channel)], reason, attribution.as_ref()).source {
        Source::Hop { index: 0, failure: Some(failure) } => failure,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn is_shown(commands: &[Command]) {
    let [Command::FulfillHtlc { preimage, .. }] = commands else { panic!("{commands:?}") };
    assert_eq!(*preimage, RECEIPT);
}

#[test]
fn parts_wait_a_minute_for_the_rest_and_are_given_back_with_mpp_timeout() {
    let mut desk = Desk::start();
    desk.invoice(false);
    desk.part(1, 4_000);
    desk.pass(PARTS_PATIENCE_MS - 100);
    assert!(desk.said(1).is_empty(), "not before a minute is over");
    assert_eq!(desk.state(), InvoiceState::Accepted);
    // The minute begins with the first part; who comes late waits less.
    desk.part(2, 4_000);
    desk.pass(1_200);
    assert_eq!(given_back(&desk.said(1), 1), Failure::MppTimeout);
    assert_eq!(given_back(&desk.said(2), 2), Failure::MppTimeout);
    assert_eq!(desk.state(), InvoiceState::Open);
    // The payer may try again: a new minute, and this time all of it comes.
    desk.part(1, 4_000);
    desk.pass(PARTS_PATIENCE_MS / 2);
    desk.part(2, 6_000);
    desk.pass(10);
    is_shown(&desk.said(1));
    is_shown(&desk.said(2));
    assert!(matches!(desk.state(), InvoiceState::Settled { .. }));
}

#[test]
fn what_is_held_knows_no_minute_and_its_preimage_is_shown_when_somebody_brings_it() {
    let mut desk = Desk::start();
    desk.invoice(true);
    desk.part(1, 4_000);
    desk.pass(PARTS_PATIENCE_MS + 1_100);
    assert_eq!(given_back(&desk.said(1), 1), Failure::MppTimeout, "incomplete is not held");
    desk.part(1, 4_000);
    desk.part(2, 6_000);
    // Far beyond the minute, and beyond the time that the invoice was good for.
    desk.pass(3_600_000);
    assert!(desk.said(1).is_empty() && desk.said(2).is_empty());
    assert!(matches!(desk.state(), InvoiceState::Held { .. }));
    // One that comes too late is another payment.
    desk.part(3, 10_000);
    desk.pass(10);
    let late = given_back(&desk.said(3), 3);
    assert!(matches!(late, Failure::IncorrectOrUnknownPaymentDetails { htlc_msat: 10_000, .. }));

    let hash = RECEIPT.hash();
    let settle = |preimage| move |reply| Ask::Settle { hash, preimage, reply };
    let nothing = desk.ask(settle(None));
    assert!(matches!(nothing, Err(Refusal::Missing { .. })), "{nothing:?}");
    let wrong = desk.ask(settle(Some(Preimage([9; 32]))));
    assert!(matches!(wrong, Err(Refusal::Malformed { .. })), "{wrong:?}");
    desk.paper.facts();
    let settled = desk.ask(settle(Some(RECEIPT))).unwrap();
    assert!(matches!(settled.state, InvoiceState::Settled { .. }));
    is_shown(&desk.said(1));
    is_shown(&desk.said(2));
    let records = desk.paper.facts();
    let [record] = records.as_slice() else { panic!("{records:?}") };
    assert!(
        matches!(record.as_slice(), [Fact::PreimageGiven(_), Fact::InvoiceSettled(_)]),
        "one record, so that no crash comes between: {record:?}"
    );
    // Again it is no other fact.
    desk.ask(settle(Some(RECEIPT))).unwrap();
    assert!(desk.paper.facts().is_empty() && desk.said(1).is_empty());
    // Told again after a restart, the parts get the preimage again.
    desk.part(1, 4_000);
    desk.pass(10);
    is_shown(&desk.said(1));
}

#[test]
fn what_is_held_is_given_back_before_its_htlcs_come_too_near_to_their_expiry() {
    let mut desk = Desk::start();
    desk.invoice(true);
    desk.part(1, 10_000);
    desk.pass(10);
    let at = |height| Tip { height: BlockHeight(height), synced: true, ..Tip::default() };
    desk.tip.send_replace(at(200 - FAIL_BACK_BLOCKS - 1));
    desk.pass(1_100);
    assert!(desk.said(1).is_empty());
    desk.tip.send_replace(at(200 - FAIL_BACK_BLOCKS));
    // Not even in the moment before that is noticed.
    let hash = RECEIPT.hash();
    let late = desk.ask(|reply| Ask::Settle { hash, preimage: Some(RECEIPT), reply });
    assert!(matches!(late, Err(Refusal::InvoiceNotHeld { .. })), "{late:?}");
    let failure = given_back(&desk.said(1), 1);
    assert!(matches!(failure, Failure::IncorrectOrUnknownPaymentDetails { .. }), "{failure:?}");
    let height = BlockHeight(200 - FAIL_BACK_BLOCKS);
    let why = CancelReason::NearExpiry { height };
    assert_eq!(desk.state(), InvoiceState::Cancelled { why });
}

#[test]
fn a_part_that_comes_back_in_time_is_tried_another_way_and_later_the_payment_has_failed() {
    let mut desk = Desk::start();
    let (first, _) = desk.pay(60_000);
    desk.pass(30_000);
    desk.ends(first, 0, Outcome::Unsent);
    desk.pass(10);
    let (second, _) = desk.offered().expect("another channel");
    assert_ne!(first, second);
    assert_eq!(desk.status(), PaymentStatus::InFlight);
    desk.pass(30_000);
    desk.ends(second, 1, Outcome::Unsent);
    desk.pass(10);
    assert_eq!(desk.offered(), None, "the time for trying is over");
    assert_eq!(desk.status(), PaymentStatus::Failed(PaymentFailure::TimedOut));
}

#[test]
fn what_flies_when_the_time_is_over_is_unknown_until_it_lands() {
    let mut desk = Desk::start();
    let (channel, _) = desk.pay(5_000);
    desk.pass(86_400_000);
    assert_eq!(desk.status(), PaymentStatus::InFlight, "nobody knows yet");
    let hash = RECEIPT.hash();
    let watch = desk.ask(|reply| Ask::WatchPayment { hash, reply }).unwrap();
    desk.ends(channel, 0, Outcome::Fulfilled { preimage: RECEIPT, attribution: None });
    assert!(watch.has_changed().unwrap_or(true));
    let status = watch.borrow().status;
    assert_eq!(status, PaymentStatus::Succeeded { preimage: RECEIPT });
    // The same again is answered and not sent.
    let again = desk.ask(|reply| Ask::WatchPayment { hash, reply }).unwrap();
    assert_eq!(again.borrow().status, status);

    let mut desk = Desk::start();
    let (channel, _) = desk.pay(5_000);
    desk.pass(600_000);
    desk.ends(channel, 0, Outcome::TimedOut);
    desk.pass(10);
    assert_eq!(desk.status(), PaymentStatus::Failed(PaymentFailure::ExpiredOnChain));
    assert_eq!(desk.offered(), None);
}

#[test]
fn a_payment_that_nobody_asked_for_is_taken_once() {
    let mut desk = Desk::start();
    let gift = |desk: &mut Desk, htlc: u64| {
        let payload = Final {
            amt_to_forward: msat(3_000),
            outgoing_cltv_value: BlockHeight(200),
            payment_data: None,
            payment_metadata: None,
            keysend_preimage: Some(RECEIPT),
            custom_records: CustomRecords::default(),
        };
        let part = Part {
            channel: ChannelIndex(1),
            htlc,
            amount: msat(3_000),
            hash: RECEIPT.hash(),
            cltv_expiry: BlockHeight(200),
            overexposed: false,
            secret: secret(1),
            since_ms: now_ms(),
            blinded: None,
            payload,
        };
        desk.tell(1, |told| told.parts.push(part));
    };
    gift(&mut desk, 0);
    gift(&mut desk, 1);
    desk.pass(10);
    let said = desk.said(1);
    let [taken, refused] = said.as_slice() else { panic!("{said:?}") };
    is_shown(std::slice::from_ref(taken));
    assert!(matches!(refused, Command::FailHtlc { htlc: 1, .. }), "{refused:?}");
}
