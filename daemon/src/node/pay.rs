//! Paying an invoice and making one: what is read and drawn before the payments task is asked.

use routing::request::HintHop;
use secp256k1::PublicKey;
use tokio::sync::watch;
use wire::feature::Features;
use wire::id::{PaymentSecret, Preimage};
use wire::units::{CltvDelta, Msat};

use crate::channels::directory::Door;
use crate::clock::now_ms;
use crate::fact::{OrderKept, PaymentStarted};
use crate::node::blinded::random;
use crate::node::handle::Handle;
use crate::payments;
use crate::payments::blinded::is_bundle;
use crate::payments::invoice::{self, EXPIRY_S, HOLD_CLTV_DELTA, Name, Terms};
use crate::payments::plan::{self, Manner, usual_fee_limit};
use crate::payments::send::Via;
use crate::rpc::model::invoice::{CreateInvoice, Description, Invoice, InvoiceState, Receipt};
use crate::rpc::model::payment::{PayOrder, Payment, PaymentStatus, Spontaneous};
use crate::rpc::node_api::Answer;
use crate::rpc::refusal::Refusal;

/// Channels that an invoice names at most: each makes it longer.
const HINTS_MAX: usize = 3;

impl Handle {
    /// Pays an invoice along nodes that are given by hand.
    ///
    /// # Errors
    /// As [`crate::rpc::NodeApi::pay`].
    pub async fn pay_along(
        &self,
        order: PayOrder,
        via: Vec<Via>,
    ) -> Answer<(bool, watch::Receiver<Payment>)> {
        self.pay_invoice(order, via).await
    }

    pub(super) async fn pay_invoice(
        &self,
        order: PayOrder,
        via: Vec<Via>,
    ) -> Answer<(bool, watch::Receiver<Payment>)> {
        if is_bundle(&order.invoice) {
            return self.pay_bundle(order, &via).await;
        }
        let read = invoice::read(&order.invoice)?;
        let network = self.network();
        if !invoice::is_for(&read.invoice, network) {
            let name = invoice::network_name(&read.invoice);
            return Err(Refusal::InvoiceWrongNetwork { invoice: name, ours: network });
        }
        if read.payee == self.node_id() {
            return Err(Refusal::Ourselves { what: "the payee" });
        }
        let features = invoice::features(&read);
        if let Some(bit) = features.demands_beyond(&Features::payable()) {
            return Err(Refusal::InvoiceFeature { bit: u16::try_from(bit).unwrap_or(u16::MAX) });
        }
        let amount = match (read.amount, order.amount) {
            (None, None) => return Err(Refusal::AmountMissing),
            (Some(invoice), Some(given)) if invoice != given => {
                return Err(Refusal::AmountMismatch { invoice, given });
            }
            (Some(amount), _) | (None, Some(amount)) => amount,
        };
        let now = now_ms();
        if read.expires_ms <= now {
            // An invoice that was paid, or is being paid, says so, however old it is.
            if let Ok(paid) = self.find_payment(read.hash).await
                && !matches!(paid.status, PaymentStatus::Failed(_))
            {
                let hash = paid.hash;
                let asked = Self::ask(&self.0.payments, |reply| payments::Ask::WatchPayment {
                    hash,
                    reply,
                });
                let view = asked.await?.unwrap_or_else(|_| watch::channel(paid).1);
                return Ok((false, view));
            }
            let seconds_ago = now.saturating_sub(read.expires_ms) / 1_000;
            return Err(Refusal::InvoiceExpired { seconds_ago });
        }
        let description = match &read.description {
            Description::Text(text) => Some(text.as_str().into()),
            Description::Hash(_) => None,
        };
        let started = PaymentStarted {
            payment_hash: read.hash,
            payee: read.payee,
            amount,
            fee_limit: order.max_fee.unwrap_or_else(|| usual_fee_limit(amount)),
            invoice: order.invoice.trim().into(),
            description,
            expires_ms: read.expires_ms,
            created_ms: now,
        };
        let manner = Manner { patience_ms: u64::from(order.timeout_ms), ..Manner::default() };
        let plan = plan::of_invoice(&read, &features, &started, manner);
        let mut plan = plan.ok_or(Refusal::BadInvoice { why: "its payee is no public key" })?;
        plan.via = via;
        let order = Box::new(payments::Order { plan, started });
        Self::try_ask(&self.0.payments, "payments", payments::ASKS, |reply| payments::Ask::Pay {
            order,
            reply,
        })
        .await?
    }

    /// Pays a node that asked for nothing.
    pub(super) async fn pay_spontaneously(
        &self,
        order: Spontaneous,
    ) -> Answer<(bool, watch::Receiver<Payment>)> {
        if order.payee == self.node_id() {
            return Err(Refusal::Ourselves { what: "the payee" });
        }
        let payee = PublicKey::from_slice(&order.payee.0)
            .map_err(|_| Refusal::Malformed { field: "destination", why: "no public key" })?;
        // The same word gives the same preimage, and the same hash is paid once.
        let preimage = match &order.key {
            Some(key) => self.0.us.keysend_preimage(&key.word),
            None => Preimage(random()?),
        };
        if let Some(key) = order.key
            && let Ok(paid) = self.find_payment(preimage.hash()).await
            && (paid.payee, paid.amount) != (order.payee, order.amount)
        {
            return Err(Refusal::KeyReused { key: key.word });
        }
        let now = now_ms();
        let started = PaymentStarted {
            payment_hash: preimage.hash(),
            payee: order.payee,
            amount: order.amount,
            fee_limit: order.max_fee.unwrap_or_else(|| usual_fee_limit(order.amount)),
            invoice: "".into(),
            description: None,
            expires_ms: now.saturating_add(u64::from(order.timeout_ms)),
            created_ms: now,
        };
        let manner = Manner { patience_ms: u64::from(order.timeout_ms), ..Manner::default() };
        let plan = plan::spontaneous(payee, preimage, &started, manner);
        let order = Box::new(payments::Order { plan, started });
        let ask = |reply| payments::Ask::Pay { order, reply };
        Self::try_ask(&self.0.payments, "payments", payments::ASKS, ask).await?
    }

    /// How payers reach us over channels that gossip does not know, if it knows none.
    fn private_ways(&self) -> Vec<HintHop> {
        let own = self.own_gossip();
        if !own.announced.is_empty() {
            return Vec::new();
        }
        let doors = self.0.directory.doors();
        let hint = |door: &Door| {
            // Ours names the channel as its peer wants it to be called; the peer's says what it asks for.
            let (ours, theirs) = (own.ours.get(&door.index)?, own.theirs.get(&door.index)?);
            door.glance.borrow().usable.then_some(HintHop {
                node: door.node,
                scid: ours.short_channel_id,
                fee_base_msat: theirs.fee_base_msat,
                fee_proportional_millionths: theirs.fee_proportional_millionths,
                cltv_expiry_delta: CltvDelta(theirs.cltv_expiry_delta),
                htlc_minimum: Msat::ZERO,
                htlc_maximum: Msat::MAX,
            })
        };
        doors.iter().filter_map(hint).take(HINTS_MAX).collect()
    }

    /// What an invoice is to be known by: a hash that somebody gave, if there was none like it, or a preimage of our own.
    pub(super) async fn name_of(&self, order: &CreateInvoice) -> Answer<Name> {
        let Some(hash) = order.hash else { return Ok(Name::Preimage(Preimage(random()?))) };
        match self.find_invoice(hash).await {
            Ok(_) => Err(Refusal::InvoiceExists { hash }),
            Err(Refusal::NotFound { .. }) => Ok(Name::Hash(hash)),
            Err(refusal) => Err(refusal),
        }
    }

    /// Blocks that the last HTLC has to leave us.
    pub(super) fn last_delta(&self, order: &CreateInvoice) -> u16 {
        let usual = self.0.config.channel.min_final_cltv;
        let usual = if order.hold { usual.max(HOLD_CLTV_DELTA) } else { usual };
        order.min_final_cltv_delta.unwrap_or(usual)
    }

    pub(super) async fn settle_held(&self, receipt: Receipt) -> Answer<Invoice> {
        let (hash, preimage) = match receipt {
            Receipt::Preimage(preimage) => (preimage.hash(), Some(preimage)),
            Receipt::Ours(hash) => (hash, None),
        };
        let ask = |reply| payments::Ask::Settle { hash, preimage, reply };
        let answer = Self::ask(&self.0.payments, ask).await?;
        if let Err(Refusal::NotFound { .. }) = &answer {
            // It ended long ago.
            let found = self.find_invoice(hash).await?;
            return match found.state {
                InvoiceState::Settled { .. } => Ok(found),
                state @ (InvoiceState::Open
                | InvoiceState::Accepted
                | InvoiceState::Held { .. }
                | InvoiceState::Expired
                | InvoiceState::Cancelled { .. }) => {
                    Err(Refusal::InvoiceNotHeld { hash, state: state.word() })
                }
            };
        }
        answer
    }

    pub(super) async fn make_invoice(
        &self,
        order: CreateInvoice,
        kept: Option<OrderKept>,
    ) -> Answer<Invoice> {
        if order.blinded {
            return self.make_bundle(order, kept).await;
        }
        let (name, secret) = (self.name_of(&order).await?, random()?);
        let min_final_cltv_delta = self.last_delta(&order);
        let terms = Terms {
            name,
            hold: order.hold,
            payment_secret: PaymentSecret(secret),
            metadata: order.metadata,
            amount: order.amount,
            description: order.description,
            created_ms: now_ms(),
            expiry_s: order.expiry_s.unwrap_or(EXPIRY_S),
            min_final_cltv_delta,
            hints: self.private_ways(),
        };
        let made = Box::new(invoice::make(&terms, self.network(), &self.0.us)?);
        let kept = kept.map(|mut kept| {
            kept.made = made.payment_hash.to_string().as_str().into();
            kept
        });
        Self::ask(&self.0.payments, |reply| payments::Ask::Make { made, kept, reply }).await?
    }
}
