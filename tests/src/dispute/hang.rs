//! HTLCs that hang: paid to somebody nobody knows, over a node that holds them until it hears a word.

use super::{Scene, Who};
use crate::until::{PATIENCE, until_async};
use bitcoin::hashes::{Hash as _, sha256};
use daemon::payments::send::Via;
use daemon::rpc::model::forward::ForwardFilter;
use daemon::rpc::model::page::Page;
use daemon::rpc::model::payment::{PayOrder, PaymentStatus};
use daemon::rpc::node_api::NodeApi as _;
use daemon::switch::hold::{Ask, Verdict};
use lightning::types::payment::PaymentSecret;
use lightning_invoice::{Currency, InvoiceBuilder};
use secp256k1::{PublicKey, Secp256k1, SecretKey};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::oneshot;
use wire::id::{PaymentHash, Preimage, ShortChannelId};
use wire::onion::failure::code;
use wire::units::{BlockHeight, Msat};

/// Blocks that a hung HTLC has beyond what its payee asks for.
const CLTV_DELTA: u32 = 80;
/// Blocks that its payee asks for.
const FINAL_CLTV: u64 = 18;
/// Below this an HTLC has no output of its own, satoshi. BOLT 3 § Dust Limits.
const DUST: u64 = 354;
/// How long whoever holds one may take to offer it to a new listener.
const OFFER: Duration = Duration::from_millis(40);

/// An HTLC that hangs.
#[derive(Clone, Copy, Debug)]
pub struct Hung {
    /// Who offered it.
    pub from: Who,
    /// How much, satoshi.
    pub sat: u64,
    /// Whether its taker learns the preimage; else it goes back.
    pub known: bool,
    /// Its lock.
    pub hash: PaymentHash,
    preimage: Preimage,
}

impl Hung {
    /// Who was offered it.
    #[must_use]
    pub const fn to(&self) -> Who {
        self.from.other()
    }

    /// Whether it is too small for an output.
    #[must_use]
    pub const fn is_dust(&self) -> bool {
        self.sat < DUST
    }
}

impl Scene {
    /// Hangs an HTLC into the channel and waits until its taker holds it.
    ///
    /// # Panics
    /// When it does not come about.
    pub async fn hang(&mut self, from: Who, sat: u64, known: bool) {
        let number = self.hung.len() as u8;
        let preimage = Preimage([number + 1; 32]);
        self.hang_one(Hung { from, sat, known, hash: preimage.hash(), preimage }).await;
    }

    /// Hangs an HTLC under a hash whose preimage nobody tells.
    ///
    /// # Panics
    /// When it does not come about.
    pub async fn hang_hash(&mut self, from: Who, sat: u64, hash: PaymentHash) {
        self.hang_one(Hung { from, sat, known: false, hash, preimage: Preimage([0; 32]) }).await;
    }

    /// Hangs many HTLCs of the same size at once, every other one with a preimage that its taker will learn.
    ///
    /// # Panics
    /// When it does not come about.
    pub async fn hang_many(&mut self, from: Who, count: u32, sat: u64) {
        for _ in 0..count {
            let number = self.hung.len() as u32;
            let mut bytes = [0xab; 32];
            bytes[..4].copy_from_slice(&number.to_be_bytes());
            let preimage = Preimage(bytes);
            let known = number.is_multiple_of(2);
            let hung = Hung { from, sat, known, hash: preimage.hash(), preimage };
            self.offer(hung).await;
            self.hung.push(hung);
        }
        self.all_hang(from).await;
    }

    async fn hang_one(&mut self, hung: Hung) {
        self.offer(hung).await;
        self.hung.push(hung);
        self.all_hang(hung.from).await;
    }

    async fn offer(&self, hung: Hung) {
        let Hung { from, sat, .. } = hung;
        let taker = self.node(hung.to()).id();
        let via = Via {
            node: PublicKey::from_slice(&taker.0).expect("a key"),
            next: ShortChannelId::from_parts(BlockHeight(77), 7, 7).expect("a place"),
            fee: Msat::ZERO,
            cltv_delta: CLTV_DELTA,
        };
        let order = PayOrder {
            key: None,
            invoice: strangers_invoice(sat, hung.hash),
            amount: None,
            max_fee: None,
            timeout_ms: 60_000,
        };
        self.node(from).handle().pay_along(order, vec![via]).await.expect("not refused");
    }

    /// Waits until everything hangs for both, and is held.
    async fn all_hang(&mut self, from: Who) {
        let hanging = self.hung.len();
        let [ours, _] = self.agreed(hanging).await;
        let expiries = ours.htlcs.iter().map(|htlc| htlc.cltv_expiry.0);
        self.expiry = expiries.max().expect("one at least");
        // Only what is irrevocable on both sides is held.
        let taken = self.hung.iter().filter(|hung| hung.from == from).count();
        self.holds(from.other(), taken).await;
    }

    /// The takers of all that hangs say what becomes of it, and again when they died before that was durable.
    ///
    /// # Panics
    /// When one of them does not listen.
    pub async fn words(&mut self) {
        let start = Instant::now();
        self.told = true;
        loop {
            self.tend().await;
            let mut waiting = false;
            for who in Who::BOTH {
                waiting |= self.say(who).await != Some(0);
            }
            if !waiting {
                return;
            }
            assert!(start.elapsed() < PATIENCE, "somebody does not listen");
        }
    }

    /// Whoever died after the words may not have heard them, and holds again: it is told again.
    pub(super) async fn say_again(&self) {
        for who in Who::BOTH {
            if self.told && self.is_awake(who) && self.deaths[who as usize] > 0 {
                let _waiting = self.say(who).await;
            }
        }
    }

    /// Says a word about all that a node holds: how many those were, by its books; `None` when it is gone.
    async fn say(&self, who: Who) -> Option<usize> {
        let handle = self.node(who).handle();
        let held = ForwardFilter { held: true, ..ForwardFilter::default() };
        let all = Page { size: Page::SIZE_MAX, ..Page::default() };
        let waiting = handle.list_forwards(held, all).await.ok()?.entries.len();
        if waiting == 0 {
            return Some(0);
        }
        let mut desk = handle.intercept().await.ok()?;
        while let Ok(held) = tokio::time::timeout(OFFER, desk.held.recv()).await {
            let held = held?;
            let hung = self.hung.iter().find(|hung| hung.hash == held.hash);
            let known = hung.filter(|hung| hung.known);
            let verdict = known.map_or(Verdict::Fail(code::UNKNOWN_NEXT_PEER), |hung| {
                Verdict::Settle(hung.preimage)
            });
            let (reply, answer) = oneshot::channel();
            let (listener, channel, htlc) = (desk.listener, held.channel, held.htlc);
            let ask = Ask::Answer { listener, channel, htlc, verdict, reply };
            desk.answers.send(ask).await.ok()?;
            // An answer may come too late for one that was given back.
            let _late = answer.await.ok()?;
        }
        Some(waiting)
    }

    /// Waits until a node holds so many HTLCs, which are irrevocable on both sides then.
    async fn holds(&self, who: Who, count: usize) {
        let handle = self.node(who).handle();
        let last = std::cell::Cell::new(0);
        let account = || format!("{} of {count}", last.get());
        until_async("HTLCs to be held", account, || async {
            let held = ForwardFilter { held: true, ..ForwardFilter::default() };
            let all = Page { size: Page::SIZE_MAX, ..Page::default() };
            last.set(handle.list_forwards(held, all).await.ok()?.entries.len());
            (last.get() == count).then_some(())
        })
        .await;
    }

    /// Waits until whoever offered an HTLC knows what became of it: whether it was paid.
    ///
    /// # Panics
    /// When it never knows.
    pub async fn outcome(&mut self, hung: Hung) -> bool {
        let start = Instant::now();
        loop {
            self.tend().await;
            match self.node(hung.from).handle().payment(hung.hash).await.map(|paid| paid.status) {
                Ok(PaymentStatus::Succeeded { .. }) => return true,
                Ok(PaymentStatus::Failed(_)) => return false,
                Ok(PaymentStatus::InFlight) | Err(_) => {}
            }
            assert!(start.elapsed() < PATIENCE, "the end of {hung:?} is not known");
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
    }
}

/// An invoice of somebody who is not there.
fn strangers_invoice(sat: u64, hash: PaymentHash) -> String {
    let key = SecretKey::from_slice(&[0x5a; 32]).expect("a key");
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    let invoice = InvoiceBuilder::new(Currency::Regtest)
        .description("nobody is there".to_owned())
        .amount_milli_satoshis(sat * 1_000)
        .payment_hash(sha256::Hash::from_byte_array(hash.0))
        .payment_secret(PaymentSecret([7; 32]))
        .duration_since_epoch(since)
        .min_final_cltv_expiry_delta(FINAL_CLTV)
        .expiry_time(Duration::from_secs(3_600))
        .build_signed(|digest| Secp256k1::new().sign_ecdsa_recoverable(digest, &key));
    invoice.expect("a complete invoice").to_string()
}
