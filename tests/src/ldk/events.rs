//! What an LDK node does by itself: its event loop, and what it remembers for those who wait.

use super::parts::Parts;
use super::wallet::short;
use bitcoin::absolute::LockTime;
use bitcoin::{Amount, Transaction, TxOut};
use lightning::events::{Event, EventsProvider, PaymentPurpose, ReplayEvent};
use lightning::ln::types::ChannelId;
use lightning::sign::{OutputSpender, SpendableOutputDescriptor};
use lightning::types::payment::{PaymentHash, PaymentPreimage};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{Notify, watch};

/// What sweeping transactions pay, satoshi per 1000 weight units.
const SWEEP_FEERATE: u32 = 500;
/// How often LDK is told that time passes.
const TICK: Duration = Duration::from_secs(10);

/// What became of a payment that the node sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It arrived.
    Sent(PaymentPreimage),
    /// It did not.
    Failed(String),
}

/// An HTLC that the node forwarded and that was paid for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forwarded {
    /// From this channel.
    pub from: Option<ChannelId>,
    /// To this one.
    pub to: Option<ChannelId>,
    /// What the node earned, millisatoshi.
    pub fee_msat: u64,
}

/// A part of a payment that did not arrive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathFailed {
    /// The channels of its way.
    pub scids: Vec<u64>,
    /// The channel that is blamed.
    pub blamed: Option<u64>,
    /// Whether the recipient refused it.
    pub by_recipient: bool,
}

/// What happened to a node since it was made; survives its restarts.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) outcomes: BTreeMap<[u8; 32], Outcome>,
    /// What came in: millisatoshi by payment hash.
    pub(super) received: BTreeMap<[u8; 32], u64>,
    /// Payments that came in and wait for the word of the test.
    pub(super) held: BTreeMap<[u8; 32], PaymentPreimage>,
    /// Why channels closed.
    pub(super) closed: BTreeMap<[u8; 32], String>,
    /// Opened channels by the number that `open` gave them.
    pub(super) opened: BTreeMap<u128, ChannelId>,
    /// What was forwarded.
    pub(super) forwarded: Vec<Forwarded>,
    /// Parts of sent payments that did not arrive.
    pub(super) failed_paths: BTreeMap<[u8; 32], Vec<PathFailed>>,
    /// What came in brought this of its invoice's metadata.
    pub(super) metadata: BTreeMap<[u8; 32], Vec<u8>>,
    /// Of how many HTLCs what came in was made.
    pub(super) parts: BTreeMap<[u8; 32], usize>,
    /// Transactions that took outputs of closed channels to the wallet.
    pub(super) sweeps: Vec<Transaction>,
    funding: BTreeMap<ChannelId, Transaction>,
}

/// What a node and those who wait for it share.
#[derive(Debug)]
pub(super) struct Memory {
    pub(super) seen: Mutex<Seen>,
    /// Counts up whenever something was added.
    pub(super) pulse: watch::Sender<u64>,
    /// Payments that come in wait.
    pub(super) hold: AtomicBool,
    /// How often the node looked at everything that there was to do.
    pub(super) rounds: AtomicU64,
    /// Makes it look again.
    pub(super) again: Notify,
}

impl Memory {
    pub(super) fn new() -> Arc<Self> {
        let pulse = watch::Sender::new(0);
        Arc::new(Self {
            seen: Mutex::default(),
            pulse,
            hold: AtomicBool::new(false),
            rounds: AtomicU64::new(0),
            again: Notify::new(),
        })
    }
}

/// Runs a node until `stop`: events, forwards, messages, and the manager to the store once a round.
pub(super) async fn run(
    parts: Arc<Parts>,
    memory: Arc<Memory>,
    stop: Arc<Notify>,
    zero_conf: bool,
) {
    let handler = Handler { parts: parts.clone(), memory: memory.clone(), zero_conf };
    let handle = |event: Event| handler.handle(event);
    let mut tick = tokio::time::interval(TICK);
    tick.tick().await;
    loop {
        parts.channels.process_pending_events(&handle);
        parts.monitors.process_pending_events(&handle);
        if parts.channels.needs_pending_htlc_processing() {
            parts.channels.process_pending_htlc_forwards();
            // Payments that can be claimed now are events again: in the same round.
            parts.channels.process_pending_events(&handle);
        }
        parts.peers.process_events();
        if parts.channels.get_and_clear_needs_persistence() {
            parts.persist_channels();
        }
        memory.rounds.fetch_add(1, Ordering::SeqCst);
        let ticked = tokio::select! {
            () = memory.again.notified() => false,
            () = parts.channels.get_event_or_persistence_needed_future() => false,
            () = parts.monitors.get_update_future() => false,
            _ = tick.tick() => true,
            () = stop.notified() => return,
        };
        if ticked {
            parts.channels.timer_tick_occurred();
            parts.peers.timer_tick_occurred();
        }
    }
}

struct Handler {
    parts: Arc<Parts>,
    memory: Arc<Memory>,
    zero_conf: bool,
}

impl Handler {
    #[expect(clippy::wildcard_enum_match_arm, reason = "dozens of kinds, most of no interest here")]
    fn handle(&self, event: Event) -> Result<(), ReplayEvent> {
        let parts = &self.parts;
        match event {
            Event::OpenChannelRequest { temporary_channel_id, counterparty_node_id, .. } => {
                let (id, peer) = (&temporary_channel_id, &counterparty_node_id);
                let accepted = if self.zero_conf {
                    parts.channels.accept_inbound_channel_from_trusted_peer_0conf(id, peer, 0, None)
                } else {
                    parts.channels.accept_inbound_channel(id, peer, 0, None)
                };
                parts.log.note(format!("accepting a channel: {accepted:?}"));
            }
            Event::FundingGenerationReady {
                temporary_channel_id,
                counterparty_node_id,
                channel_value_satoshis,
                output_script,
                ..
            } => {
                let value = Amount::from_sat(channel_value_satoshis);
                let tx = parts.wallet.fund(TxOut { value, script_pubkey: output_script });
                self.note(|seen| {
                    seen.funding.insert(temporary_channel_id, tx.clone());
                });
                let given = parts.channels.funding_transaction_generated(
                    temporary_channel_id,
                    counterparty_node_id,
                    tx,
                );
                parts.log.note(format!("funding a channel: {given:?}"));
            }
            Event::ChannelPending { channel_id, user_channel_id, .. } => {
                self.note(|seen| {
                    seen.opened.insert(user_channel_id, channel_id);
                });
            }
            Event::DiscardFunding { channel_id, .. } => {
                self.note(|seen| {
                    if let Some(tx) = seen.funding.remove(&channel_id) {
                        parts.wallet.release(&tx);
                    }
                });
            }
            Event::PaymentClaimable { payment_hash, purpose, onion_fields, .. } => {
                if let Some(metadata) = onion_fields.and_then(|fields| fields.payment_metadata) {
                    self.note(|seen| {
                        seen.metadata.insert(payment_hash.0, metadata);
                    });
                }
                self.claimable(payment_hash, &purpose);
            }
            Event::PaymentClaimed { payment_hash, amount_msat, htlcs, .. } => {
                self.note(|seen| {
                    seen.parts.insert(payment_hash.0, htlcs.len());
                    seen.received.insert(payment_hash.0, amount_msat);
                });
            }
            Event::PaymentSent { payment_hash, payment_preimage, .. } => {
                self.note(|seen| {
                    seen.outcomes.insert(payment_hash.0, Outcome::Sent(payment_preimage));
                });
            }
            Event::PaymentFailed { payment_id, payment_hash, reason } => {
                let hash = payment_hash.map_or(payment_id.0, |hash| hash.0);
                self.note(|seen| {
                    seen.outcomes.insert(hash, Outcome::Failed(format!("{reason:?}")));
                });
            }
            Event::PaymentForwarded {
                prev_channel_id,
                next_channel_id,
                total_fee_earned_msat,
                ..
            } => {
                let (from, to) = (prev_channel_id, next_channel_id);
                let fee_msat = total_fee_earned_msat.unwrap_or_default();
                self.note(|seen| seen.forwarded.push(Forwarded { from, to, fee_msat }));
            }
            Event::PaymentPathFailed {
                payment_hash,
                payment_failed_permanently,
                path,
                short_channel_id,
                ..
            } => {
                let scids = path.hops.iter().map(|hop| hop.short_channel_id).collect();
                let by_recipient = payment_failed_permanently;
                let failed = PathFailed { scids, blamed: short_channel_id, by_recipient };
                self.note(|seen| {
                    seen.failed_paths.entry(payment_hash.0).or_default().push(failed);
                });
            }
            Event::SpendableOutputs { outputs, .. } => self.sweep(&outputs),
            Event::BumpTransaction(bump) => parts.bumper.handle_event(&bump),
            Event::ChannelClosed { channel_id, reason, .. } => {
                parts.log.note(format!("channel {channel_id} closed: {reason}"));
                self.note(|seen| {
                    seen.closed.insert(channel_id.0, reason.to_string());
                });
            }
            _ => {}
        }
        Ok(())
    }

    fn note(&self, add: impl FnOnce(&mut Seen)) {
        add(&mut self.memory.seen.lock().unwrap());
        self.memory.pulse.send_modify(|count| *count += 1);
    }

    fn claimable(&self, hash: PaymentHash, purpose: &PaymentPurpose) {
        match purpose.preimage() {
            Some(preimage) if self.memory.hold.load(Ordering::SeqCst) => {
                self.note(|seen| {
                    seen.held.insert(hash.0, preimage);
                });
            }
            Some(preimage) => self.parts.channels.claim_funds(preimage),
            None => self.parts.channels.fail_htlc_backwards(&hash),
        }
    }

    /// Takes outputs of closed channels to the wallet.
    fn sweep(&self, outputs: &[SpendableOutputDescriptor]) {
        let parts = &self.parts;
        let secp = secp256k1::Secp256k1::new();
        let to = parts.wallet.script().clone();
        let outputs: Vec<_> = outputs.iter().collect();
        let swept = parts.keys.spend_spendable_outputs(
            &outputs,
            Vec::new(),
            to,
            SWEEP_FEERATE,
            Some(LockTime::ZERO),
            &secp,
        );
        match swept {
            Ok(tx) => {
                let name = short(tx.compute_txid());
                parts.log.note(format!("sweeping {} outputs with {name}", outputs.len()));
                parts.broadcaster.send(tx.clone());
                self.note(|seen| seen.sweeps.push(tx));
            }
            Err(()) => parts.log.note(format!("{} outputs are not worth sweeping", outputs.len())),
        }
    }
}
