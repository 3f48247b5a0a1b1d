//! What users ask of payments and invoices. Parsing and signatures were done before, where the user
//! waits.

use routing::find::NoRoute;
use tokio::sync::{oneshot, watch};
use wire::id::{NodeId, PaymentHash, Preimage};
use wire::units::Msat;

use crate::clock::now_ms;
use crate::fact::{CancelReason, Fact, InvoiceMade, OrderKept, PaymentStarted};
use crate::keeper::history;
use crate::payments::router::Missed;
use crate::payments::send::{Direct, Plan};
use crate::payments::sent::Sent;
use crate::payments::{Payments, Then};
use crate::rpc::model::graph::{Probed, RouteFound};
use crate::rpc::model::invoice::{Invoice, InvoiceState};
use crate::rpc::model::payment::{Payment, PaymentFailure, PaymentStatus};
use crate::rpc::refusal::{Noun, Refusal, Unready};
use crate::why;

/// An answer that may come later.
pub type Reply<T> = oneshot::Sender<Result<T, Refusal>>;

/// A payment to be made: checked, and with everything an attempt needs.
#[derive(Clone, Debug)]
pub struct Order {
    /// What an attempt needs.
    pub plan: Plan,
    /// What is written down.
    pub started: PaymentStarted,
}

/// One wish.
#[derive(Debug)]
pub enum Ask {
    /// Pay. Answers whether it is a new payment, and how to follow it.
    Pay {
        /// The payment.
        order: Box<Order>,
        /// Answered when the payment is durable.
        reply: Reply<(bool, watch::Receiver<Payment>)>,
    },
    /// Look for a way; nothing is sent.
    Route {
        /// For what.
        plan: Box<Plan>,
        /// Answered when the search has ended.
        reply: Reply<RouteFound>,
    },
    /// Look for a way by sending what nobody can settle.
    Probe {
        /// For what: its hash is one that nobody knows the preimage of.
        plan: Box<Plan>,
        /// Answered when it reached the payee, or gave up.
        reply: Reply<Probed>,
    },
    /// What attempts taught, as bytes, and of how many channels.
    Scores {
        /// Answered at once.
        reply: oneshot::Sender<(Vec<u8>, u64)>,
    },
    /// Take over what another has learnt.
    LearnScores {
        /// As bytes.
        scores: Vec<u8>,
        /// Of how many channels something is known then.
        reply: Reply<u64>,
    },
    /// One payment.
    Payment {
        /// Which.
        hash: PaymentHash,
        /// Answered when what it shows is durable.
        reply: Reply<Payment>,
    },
    /// One payment with its whole story.
    Sent {
        /// Which.
        hash: PaymentHash,
        /// Answered when what it shows is durable.
        reply: Reply<Box<Sent>>,
    },
    /// Follow a payment.
    WatchPayment {
        /// Which.
        hash: PaymentHash,
        /// Answered when what it shows is durable.
        reply: Reply<watch::Receiver<Payment>>,
    },
    /// All payments that are remembered here, oldest first.
    Payments {
        /// Answered when what it shows is durable.
        reply: oneshot::Sender<Vec<Payment>>,
    },
    /// Keep a new invoice.
    Make {
        /// The invoice.
        made: Box<InvoiceMade>,
        /// Its idempotency key.
        kept: Option<OrderKept>,
        /// Answered when it is durable: nobody sees an invoice that could be forgotten.
        reply: Reply<Invoice>,
    },
    /// One invoice.
    Invoice {
        /// Which.
        hash: PaymentHash,
        /// Answered when what it shows is durable.
        reply: Reply<Invoice>,
    },
    /// Follow an invoice.
    WatchInvoice {
        /// Which.
        hash: PaymentHash,
        /// Answered when what it shows is durable.
        reply: Reply<watch::Receiver<Invoice>>,
    },
    /// All invoices that are remembered here, oldest first.
    Invoices {
        /// Answered when what it shows is durable.
        reply: oneshot::Sender<Vec<Invoice>>,
    },
    /// Settle an invoice that is held.
    Settle {
        /// Which.
        hash: PaymentHash,
        /// What proves it, unless we made it ourselves.
        preimage: Option<Preimage>,
        /// Answered when it is durable.
        reply: Reply<Invoice>,
    },
    /// Take an invoice back.
    Cancel {
        /// Which.
        hash: PaymentHash,
        /// Answered when it is durable.
        reply: Reply<Invoice>,
    },
}

impl Payments {
    pub(super) fn answer(&mut self, ask: Ask) {
        match ask {
            Ask::Pay { order, reply } => self.pay(*order, reply),
            Ask::Route { plan, reply } => self.look_for(plan, reply),
            Ask::Probe { plan, reply } => self.probe(*plan, reply),
            Ask::Scores { reply } => {
                self.learn_arrived();
                let _gone = reply.send((self.scorer.encode(), self.known()));
            }
            Ask::LearnScores { scores, reply } => drop(reply.send(self.take_scores(&scores))),
            Ask::Payment { hash, reply } => {
                let found = self.show_payment(hash).ok_or_else(|| missing(Noun::Payment, hash));
                self.after_all(Box::new(move || drop(reply.send(found))));
            }
            Ask::Sent { hash, reply } => {
                let found = self.sent.get(hash).map(|sent| Box::new(sent.clone()));
                let found = found.ok_or_else(|| missing(Noun::Payment, hash));
                self.after_all(Box::new(move || drop(reply.send(found))));
            }
            Ask::WatchPayment { hash, reply } => {
                let followed = self.follow_payment(hash);
                self.after_all(Box::new(move || drop(reply.send(followed))));
            }
            Ask::Payments { reply } => {
                let mut all: Vec<_> = self
                    .sent
                    .iter()
                    .filter_map(|sent| self.show_payment(sent.started.payment_hash))
                    .collect();
                all.sort_by_key(|payment| payment.index);
                self.after_all(Box::new(move || drop(reply.send(all))));
            }
            Ask::Make { made, kept, reply } => self.make(*made, kept, reply),
            Ask::Invoice { hash, reply } => {
                let found = self.show_invoice(hash).ok_or_else(|| missing(Noun::Invoice, hash));
                self.after_all(Box::new(move || drop(reply.send(found))));
            }
            Ask::WatchInvoice { hash, reply } => {
                let followed = self.follow_invoice(hash);
                self.after_all(Box::new(move || drop(reply.send(followed))));
            }
            Ask::Invoices { reply } => {
                let mut all: Vec<_> = self
                    .asked
                    .iter()
                    .map(|asked| asked.show(now_ms(), self.held.contains_key(&asked.hash())))
                    .collect();
                all.sort_by_key(|invoice| invoice.index);
                self.after_all(Box::new(move || drop(reply.send(all))));
            }
            Ask::Settle { hash, preimage, reply } => self.settle_held(hash, preimage, reply),
            Ask::Cancel { hash, reply } => self.cancel(hash, reply),
        }
    }

    /// The same invoice again attaches to what is under way or has arrived; only a payment that failed
    /// for good is tried anew. So nothing is ever paid twice.
    fn pay(&mut self, order: Order, reply: Reply<(bool, watch::Receiver<Payment>)>) {
        let hash = order.plan.hash;
        let Some(reply) = self.attach(hash, reply) else { return };
        if let Some(sent) = self.sent.get(hash) {
            match sent.status() {
                PaymentStatus::InFlight | PaymentStatus::Succeeded { .. } => {
                    let followed = self.follow_payment(hash).map(|watch| (false, watch));
                    // What is shown may not be durable yet.
                    return self.after_all(Box::new(move || drop(reply.send(followed))));
                }
                PaymentStatus::Failed(_) => {}
            }
        }
        // A payment that arrived long ago is not made again either.
        match self.arrived_before(hash) {
            Ok(None) => {}
            Ok(Some(paid)) => {
                let _gone = reply.send(Ok((false, watch::channel(paid).1)));
                return;
            }
            Err(refusal) => {
                let _gone = reply.send(Err(refusal));
                return;
            }
        }
        // At a height of before, the offer would expire before it arrives.
        if !self.synced {
            let _gone = reply.send(Err(Refusal::NotReady { state: Unready::Syncing }));
            return;
        }
        let first_part = self.sent.get(hash).map_or(0, Sent::next_part);
        self.prepare(order, first_part, reply);
    }

    /// Why a payment is not begun.
    pub(super) fn refusal(
        &self,
        plan: &Plan,
        payee: NodeId,
        failure: PaymentFailure,
        missed: Option<&Missed>,
    ) -> Refusal {
        let doors = self.directory.doors();
        let first = plan.via.first().map_or(payee, |via| NodeId(via.node.serialize()));
        let direct = Direct::find(&doors, first, plan.amount);
        let usable = doors.iter().filter(|door| door.glance.borrow().usable).count();
        let away = doors.iter().find(|door| !door.glance.borrow().usable);
        if direct.channels > 0 && direct.usable == 0 {
            return Refusal::PeerNotConnected { node: first };
        }
        if let Some(away) = away.filter(|_| usable == 0) {
            return Refusal::PeerNotConnected { node: away.node };
        }
        // With the money of all channels together it is a matter of ways; with less it never is.
        let can: Vec<_> = doors.iter().map(|door| *door.glance.borrow()).collect();
        let can = can.iter().filter(|glance| glance.usable).map(|glance| glance.can_send);
        let can_send = if plan.max_parts > 1 { Msat::checked_sum(can) } else { can.max() };
        let can_send = can_send.unwrap_or(Msat::ZERO);
        if usable > 0 && can_send < plan.amount {
            return Refusal::ShortOfCapacity { payee, need: plan.amount, can_send };
        }
        if !plan.via.is_empty() && direct.channels > 0 {
            let (need, can_send) = (plan.amount, direct.can_send);
            return Refusal::ShortOfCapacity { payee, need, can_send };
        }
        if let Some(Missed::NoRoute(NoRoute::FeeLimit { cheapest, limit })) = missed {
            return Refusal::FeeOverLimit { fee: *cheapest, limit: *limit };
        }
        let why = missed.map_or_else(|| why::payment::failure(failure), ToString::to_string);
        Refusal::NoRoute { payee, channels: u32::try_from(usable).unwrap_or(u32::MAX), why }
    }

    fn arrived_before(&self, hash: PaymentHash) -> Result<Option<Payment>, Refusal> {
        if self.sent.get(hash).is_some() {
            return Ok(None);
        }
        let Some(engine) = self.reading.engine() else { return Err(Refusal::StoreFailed) };
        let found = history::payment(&*engine, hash).map_err(|_| Refusal::StoreFailed)?;
        let found = found.map(|sent| self.directory.doors().show(&sent));
        Ok(found.filter(|paid| matches!(paid.status, PaymentStatus::Succeeded { .. })))
    }

    pub(super) fn follow_payment(
        &mut self,
        hash: PaymentHash,
    ) -> Result<watch::Receiver<Payment>, Refusal> {
        if let Some(sender) = self.watched_payments.get(&hash) {
            return Ok(sender.subscribe());
        }
        let shown = self.show_payment(hash).ok_or_else(|| missing(Noun::Payment, hash))?;
        let is_final = shown.is_final();
        let (sender, receiver) = watch::channel(shown);
        if !is_final {
            self.watched_payments.insert(hash, sender);
        }
        Ok(receiver)
    }

    fn make(&mut self, made: InvoiceMade, kept: Option<OrderKept>, reply: Reply<Invoice>) {
        let hash = made.payment_hash;
        // Of a preimage that others know nobody can say whom it pays: no hash is asked for twice.
        if self.asked.get(hash).is_some() {
            let _gone = reply.send(Err(Refusal::InvoiceExists { hash }));
            return;
        }
        let mut facts = vec![Fact::InvoiceMade(made)];
        facts.extend(kept.map(Fact::OrderKept));
        self.commit(&facts, Vec::new());
        let shown = self.show_invoice(hash).ok_or_else(|| missing(Noun::Invoice, hash));
        self.after_all(Box::new(move || drop(reply.send(shown))));
    }

    fn follow_invoice(&mut self, hash: PaymentHash) -> Result<watch::Receiver<Invoice>, Refusal> {
        if let Some(sender) = self.watched_invoices.get(&hash) {
            return Ok(sender.subscribe());
        }
        let shown = self.show_invoice(hash).ok_or_else(|| missing(Noun::Invoice, hash))?;
        let is_final = shown.is_final();
        let (sender, receiver) = watch::channel(shown);
        if !is_final {
            self.watched_invoices.insert(hash, sender);
        }
        Ok(receiver)
    }

    fn cancel(&mut self, hash: PaymentHash, reply: Reply<Invoice>) {
        let state = self.show_invoice(hash).map(|invoice| invoice.state);
        let refusal = match state {
            None => Some(missing(Noun::Invoice, hash)),
            Some(InvoiceState::Settled { .. }) => {
                Some(Refusal::InvoiceState { hash, state: "settled" })
            }
            Some(
                InvoiceState::Open
                | InvoiceState::Accepted
                | InvoiceState::Held { .. }
                | InvoiceState::Expired
                | InvoiceState::Cancelled { .. },
            ) => None,
        };
        if let Some(refusal) = refusal {
            let _gone = reply.send(Err(refusal));
            return;
        }
        if !matches!(state, Some(InvoiceState::Cancelled { .. })) {
            self.take_back(hash, CancelReason::Asked);
        }
        let shown = self.show_invoice(hash).ok_or_else(|| missing(Noun::Invoice, hash));
        let then: Then = Box::new(move || drop(reply.send(shown)));
        self.after_all(then);
    }
}

pub(super) fn missing(kind: Noun, hash: PaymentHash) -> Refusal {
    Refusal::NotFound { kind, id: hash.to_string() }
}
