//! A plan from an invoice, and the same again after a restart.

use secp256k1::PublicKey;
use wire::feature::{Feature, Features};
use wire::units::Msat;

use crate::fact::{PaymentMeans, PaymentStarted};
use crate::payments::blinded::{Bundle, Tail, is_bundle};
use crate::payments::invoice::{self, Read};
use crate::payments::router;
use crate::payments::send::{PARTS_MAX, PATIENCE_MS, Plan};
use crate::payments::sent::Sent;

/// What a payment may do beside what its invoice says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Manner {
    /// For how long new ways are tried, in milliseconds.
    pub patience_ms: u64,
    /// The most parts at a time.
    pub max_parts: u16,
    /// The most blocks that its HTLCs may be locked.
    pub cltv_limit: u32,
}

impl Default for Manner {
    fn default() -> Self {
        Self {
            patience_ms: PATIENCE_MS,
            max_parts: PARTS_MAX,
            cltv_limit: routing::request::CLTV_LIMIT,
        }
    }
}

/// How an invoice is paid. `None` if its payee is no public key.
pub fn of_invoice(
    read: &Read,
    features: &Features,
    started: &PaymentStarted,
    manner: Manner,
) -> Option<Plan> {
    // BOLT 4: a payment is split only if the payee said that it can put it together.
    let splits = features.offers(Feature::BasicMpp);
    Some(Plan {
        payee: PublicKey::from_slice(&read.payee.0).ok()?,
        hash: read.hash,
        secret: Some(read.payment_secret),
        metadata: read.invoice.payment_metadata().cloned(),
        keysend: None,
        amount: started.amount,
        fee_limit: started.fee_limit,
        min_final_cltv_delta: read.min_final_cltv_delta,
        cltv_limit: manner.cltv_limit,
        max_parts: if splits { manner.max_parts.max(1) } else { 1 },
        deadline_ms: started.created_ms.saturating_add(manner.patience_ms),
        hints: router::hints(&read.invoice),
        via: Vec::new(),
        tails: Vec::new(),
    })
}

/// How a bundle of blinded routes is paid. `None` if it has none.
pub fn of_bundle(bundle: Bundle, started: &PaymentStarted, manner: Manner) -> Option<Plan> {
    let splits = bundle.features.offers(Feature::BasicMpp);
    Some(Plan {
        payee: bundle.routes.first()?.path.first_node_id,
        hash: bundle.hash,
        secret: None,
        metadata: None,
        keysend: None,
        amount: started.amount,
        fee_limit: started.fee_limit,
        min_final_cltv_delta: 0,
        cltv_limit: manner.cltv_limit,
        max_parts: if splits { manner.max_parts.max(1) } else { 1 },
        deadline_ms: started.created_ms.saturating_add(manner.patience_ms),
        hints: Vec::new(),
        via: Vec::new(),
        tails: bundle.routes.into_iter().map(Tail::new).collect(),
    })
}

/// What has to be written down of a plan, if it is not the usual.
pub fn means(plan: &Plan, started: &PaymentStarted) -> Option<PaymentMeans> {
    let usual = plan.deadline_ms == started.created_ms.saturating_add(PATIENCE_MS)
        && (plan.max_parts == PARTS_MAX || plan.max_parts == 1)
        && plan.cltv_limit == routing::request::CLTV_LIMIT
        && plan.keysend.is_none();
    (!usual).then_some(PaymentMeans {
        payment_hash: plan.hash,
        deadline_ms: plan.deadline_ms,
        max_parts: plan.max_parts,
        cltv_limit: plan.cltv_limit,
        keysend: plan.keysend,
    })
}

/// The plan of a payment that was under way when the node stopped.
pub fn again(sent: &Sent) -> Option<Plan> {
    let started = &sent.started;
    let mut plan = if let Some(preimage) = sent.means.as_ref().and_then(|means| means.keysend) {
        let payee = PublicKey::from_slice(&started.payee.0).ok()?;
        spontaneous(payee, preimage, started, Manner::default())
    } else if is_bundle(&started.invoice.0) {
        of_bundle(Bundle::read(&started.invoice.0).ok()?, started, Manner::default())?
    } else {
        let read = invoice::read(&started.invoice.0).ok()?;
        let features = invoice::features(&read);
        of_invoice(&read, &features, started, Manner::default())?
    };
    if let Some(means) = &sent.means {
        plan.deadline_ms = means.deadline_ms;
        plan.max_parts = means.max_parts;
        plan.cltv_limit = means.cltv_limit;
    }
    Some(plan)
}

/// Blocks that the last HTLC of a payment without an invoice leaves its payee: enough for everybody.
const SPONTANEOUS_DELTA: u32 = 144;

/// A payment without an invoice: the preimage travels with it, in one part.
pub fn spontaneous(
    payee: PublicKey,
    preimage: wire::id::Preimage,
    started: &PaymentStarted,
    manner: Manner,
) -> Plan {
    Plan {
        payee,
        hash: preimage.hash(),
        secret: None,
        metadata: None,
        keysend: Some(preimage),
        amount: started.amount,
        fee_limit: started.fee_limit,
        min_final_cltv_delta: SPONTANEOUS_DELTA,
        cltv_limit: manner.cltv_limit,
        max_parts: 1,
        deadline_ms: started.created_ms.saturating_add(manner.patience_ms),
        hints: Vec::new(),
        via: Vec::new(),
        tails: Vec::new(),
    }
}

/// What a payment costs at most unless the order says otherwise: half a percent, or 5 sat.
pub fn usual_fee_limit(amount: Msat) -> Msat {
    let share = amount.to_u64() / 200;
    Msat::new(share.max(5_000)).unwrap_or(Msat::MAX)
}
