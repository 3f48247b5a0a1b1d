//! Paying by blinded routes and being paid by them: what is read and drawn before the payments task is asked.

use secp256k1::SecretKey;
use tokio::sync::watch;
use wire::feature::Features;
use wire::id::PaymentSecret;
use wire::units::CltvDelta;

use crate::channels::registry::chain_hash;
use crate::clock::now_ms;
use crate::fact::{InvoiceMade, OrderKept, PaymentStarted};
use crate::node::handle::Handle;
use crate::payments;
use crate::payments::blinded::{Bundle, Wish, gates, route};
use crate::payments::invoice::{DESCRIPTION_BYTES_MAX, EXPIRY_S};
use crate::payments::plan::{self, Manner, usual_fee_limit};
use crate::payments::send::Via;
use crate::rpc::model::UnixMillis;
use crate::rpc::model::invoice::{CreateInvoice, DecodedInvoice, Description, Invoice};
use crate::rpc::model::payment::{PayOrder, Payment, PaymentStatus};
use crate::rpc::node_api::Answer;
use crate::rpc::refusal::Refusal;

/// Blocks by which an expiry may be later than the time the invoice is good for says: payers add days at random, so that
/// the expiry does not tell how near they are.
const SLACK: u32 = 576;

impl Handle {
    /// Pays by a bundle of blinded routes.
    pub(super) async fn pay_bundle(
        &self,
        order: PayOrder,
        via: &[Via],
    ) -> Answer<(bool, watch::Receiver<Payment>)> {
        if !via.is_empty() {
            let why = "the way to a blinded route is not given by hand";
            return Err(Refusal::Malformed { field: "via", why });
        }
        let bundle = Bundle::read(&order.invoice)?;
        if bundle.chain != chain_hash(self.network()) {
            let (invoice, ours) = ("another chain", self.network());
            return Err(Refusal::InvoiceWrongNetwork { invoice, ours });
        }
        if self.find_invoice(bundle.hash).await.is_ok() {
            return Err(Refusal::Ourselves { what: "the payee" });
        }
        if let Some(bit) = bundle.features.demands_beyond(&Features::payable()) {
            return Err(Refusal::InvoiceFeature { bit: u16::try_from(bit).unwrap_or(u16::MAX) });
        }
        let amount = match (bundle.amount, order.amount) {
            (None, None) => return Err(Refusal::AmountMissing),
            (Some(invoice), Some(given)) if invoice != given => {
                return Err(Refusal::AmountMismatch { invoice, given });
            }
            (Some(amount), _) | (None, Some(amount)) => amount,
        };
        let (now, expires_ms) = (now_ms(), bundle.expires_ms());
        if expires_ms <= now {
            if let Ok(paid) = self.find_payment(bundle.hash).await
                && !matches!(paid.status, PaymentStatus::Failed(_))
            {
                return Ok((false, watch::channel(paid).1));
            }
            let seconds_ago = now.saturating_sub(expires_ms) / 1_000;
            return Err(Refusal::InvoiceExpired { seconds_ago });
        }
        let first = bundle.routes.first().map(|route| route.path.first_node_id);
        let first = first.ok_or(Refusal::BadInvoice { why: "it has no way to the payee" })?;
        let started = PaymentStarted {
            payment_hash: bundle.hash,
            payee: first.into(),
            amount,
            fee_limit: order.max_fee.unwrap_or_else(|| usual_fee_limit(amount)),
            invoice: order.invoice.trim().into(),
            description: Some(bundle.description.as_str().into()),
            expires_ms,
            created_ms: now,
        };
        let manner = Manner { patience_ms: u64::from(order.timeout_ms), ..Manner::default() };
        let plan = plan::of_bundle(bundle, &started, manner).ok_or(Refusal::NoAnswer)?;
        let order = Box::new(payments::Order { plan, started });
        Self::try_ask(&self.0.payments, "payments", payments::ASKS, |reply| payments::Ask::Pay {
            order,
            reply,
        })
        .await?
    }

    /// Makes an invoice that does not name us.
    pub(super) async fn make_bundle(
        &self,
        order: CreateInvoice,
        kept: Option<OrderKept>,
    ) -> Answer<Invoice> {
        let Description::Text(description) = order.description.clone() else {
            let why = "a bundle of blinded routes carries words, not their hash";
            return Err(Refusal::Malformed { field: "description_hash", why });
        };
        if description.len() > DESCRIPTION_BYTES_MAX {
            return Err(Refusal::Malformed { field: "description", why: "longer than 639 bytes" });
        }
        let expiry_s = order.expiry_s.unwrap_or(EXPIRY_S);
        let min_final = self.last_delta(&order);
        let (name, secret) = (self.name_of(&order).await?, PaymentSecret(random()?));
        // Blocks may come twice as fast as they should.
        let lifetime = expiry_s.div_ceil(300).saturating_add(SLACK);
        let height = self.0.tip.borrow().height;
        let last_expiry = CltvDelta(min_final).after(height).saturating_add(lifetime);
        let wish = Wish { secret, min_final: CltvDelta(min_final), last_expiry };
        let mut routes = Vec::new();
        for gate in gates(&self.0.directory.doors(), &self.own_gossip()) {
            let entropy = SecretKey::from_slice(&random()?).map_err(|_| Refusal::NoAnswer)?;
            routes.extend(route(self.0.us.public_key(), &gate, &wish, &entropy));
        }
        if routes.is_empty() {
            let why = "no connected peer has told yet what it asks for forwarding to us";
            return Err(Refusal::Malformed { field: "blinded", why });
        }
        let created_ms = now_ms();
        let bundle = Bundle {
            chain: chain_hash(self.network()),
            description: description.clone(),
            routes,
            created_s: created_ms / 1_000,
            expiry_s,
            hash: name.hash(),
            amount: order.amount,
            features: Bundle::our_features(),
        };
        let made = Box::new(InvoiceMade {
            payment_hash: name.hash(),
            preimage: name.preimage(),
            hold: order.hold,
            payment_secret: secret,
            metadata: None,
            amount: order.amount,
            bolt11: bundle.to_text().as_str().into(),
            description: description.as_str().into(),
            description_hash: None,
            created_ms,
            expires_ms: bundle.expires_ms(),
            min_final_cltv_delta: min_final,
        });
        let kept = kept.map(|mut kept| {
            kept.made = made.payment_hash.to_string().as_str().into();
            kept
        });
        Self::ask(&self.0.payments, |reply| payments::Ask::Make { made, kept, reply }).await?
    }

    /// What a bundle says. In the payee's place stands the node at which the first of its routes begins.
    pub(super) async fn decode_bundle(&self, text: &str) -> Answer<DecodedInvoice> {
        let bundle = Bundle::read(text)?;
        let ours = self.find_invoice(bundle.hash).await.is_ok();
        let (hash, expires_ms) = (bundle.hash, bundle.expires_ms());
        let first = bundle.routes.first().ok_or(Refusal::NoAnswer)?;
        let network = self.network();
        if bundle.chain != chain_hash(network) {
            return Err(Refusal::InvoiceWrongNetwork { invoice: "another chain", ours: network });
        }
        Ok(DecodedInvoice {
            hash,
            payee: first.path.first_node_id.into(),
            network,
            amount: bundle.amount,
            description: Description::Text(bundle.description),
            min_final_cltv_delta: u32::from(first.cost.cltv_expiry_delta.to_u16()),
            created: UnixMillis(bundle.created_s.saturating_mul(1_000)),
            expires: UnixMillis(expires_ms),
            expired: expires_ms <= now_ms(),
            ours,
            payment: self.find_payment(hash).await.ok(),
            features: bundle.features,
            metadata: None,
        })
    }
}

/// 32 bytes nobody can guess.
pub(super) fn random() -> Result<[u8; 32], Refusal> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|_| Refusal::NoAnswer)?;
    Ok(bytes)
}
