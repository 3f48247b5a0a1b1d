//! What users ask of the network: ways through it, and what was learnt of it.

use secp256k1::PublicKey;
use wire::feature::Features;
use wire::id::{PaymentHash, PaymentSecret};

use crate::clock::now_ms;
use crate::fact::PaymentStarted;
use crate::node::handle::Handle;
use crate::payments::Ask;
use crate::payments::invoice;
use crate::payments::plan::{self, Manner, usual_fee_limit};
use crate::payments::send::Plan;
use crate::rpc::model::graph::{FindRoute, Probed, RouteFound, Target};
use crate::rpc::node_api::Answer;
use crate::rpc::refusal::Refusal;

impl Handle {
    pub(super) async fn route_for(&self, order: FindRoute) -> Answer<RouteFound> {
        let plan = Box::new(self.plan_of(&order)?);
        Self::ask(&self.0.payments, |reply| Ask::Route { plan, reply }).await?
    }

    /// Tries ways with HTLCs of which nobody knows the preimage, nor this node.
    pub(super) async fn probe_for(&self, order: FindRoute, patience_s: u32) -> Answer<Probed> {
        let mut plan = self.plan_of(&order)?;
        getrandom::fill(&mut plan.hash.0).map_err(|_| Refusal::NoAnswer)?;
        let mut secret = PaymentSecret([0; 32]);
        getrandom::fill(&mut secret.0).map_err(|_| Refusal::NoAnswer)?;
        // The payee's own secret is not for probes: who asks with it could be taken for the payer.
        plan.secret = Some(secret);
        plan.metadata = None;
        plan.deadline_ms = now_ms().saturating_add(u64::from(patience_s).saturating_mul(1_000));
        let plan = Box::new(plan);
        Self::ask(&self.0.payments, |reply| Ask::Probe { plan, reply }).await?
    }

    fn plan_of(&self, order: &FindRoute) -> Result<Plan, Refusal> {
        let patience = Manner::default();
        let manner =
            Manner { max_parts: order.max_parts.unwrap_or(patience.max_parts), ..patience };
        let mut started = PaymentStarted {
            payment_hash: PaymentHash([0; 32]),
            payee: self.node_id(),
            amount: order.amount.unwrap_or_default(),
            fee_limit: order.max_fee.unwrap_or_default(),
            invoice: "".into(),
            description: None,
            expires_ms: 0,
            created_ms: now_ms(),
        };
        let plan = match &order.target {
            Target::Invoice(text) => {
                let read = invoice::read(text)?;
                let features = invoice::features(&read);
                if let Some(bit) = features.demands_beyond(&Features::invoice()) {
                    let bit = u16::try_from(bit).unwrap_or(u16::MAX);
                    return Err(Refusal::InvoiceFeature { bit });
                }
                started.amount = match (read.amount, order.amount) {
                    (None, None) => return Err(Refusal::AmountMissing),
                    (Some(invoice), Some(given)) if invoice != given => {
                        return Err(Refusal::AmountMismatch { invoice, given });
                    }
                    (Some(amount), _) | (None, Some(amount)) => amount,
                };
                plan::of_invoice(&read, &features, &started, manner)
            }
            Target::Node(node) => {
                order.amount.ok_or(Refusal::AmountMissing)?;
                PublicKey::from_slice(&node.0).ok().map(|payee| Plan {
                    payee,
                    hash: PaymentHash([0; 32]),
                    secret: Some(PaymentSecret([0; 32])),
                    metadata: None,
                    keysend: None,
                    amount: started.amount,
                    fee_limit: started.fee_limit,
                    min_final_cltv_delta: invoice::MIN_FINAL_CLTV_DELTA.into(),
                    cltv_limit: manner.cltv_limit,
                    max_parts: manner.max_parts,
                    deadline_ms: u64::MAX,
                    hints: Vec::new(),
                    tails: Vec::new(),
                    via: Vec::new(),
                })
            }
        };
        let mut plan =
            plan.ok_or(Refusal::Malformed { field: "destination", why: "no public key" })?;
        if plan.payee.serialize() == self.node_id().0 {
            return Err(Refusal::Ourselves { what: "the payee" });
        }
        if order.max_fee.is_none() {
            plan.fee_limit = usual_fee_limit(plan.amount);
        }
        Ok(plan)
    }

    pub(super) async fn scores_learnt(&self) -> Answer<(Vec<u8>, u64)> {
        Self::ask(&self.0.payments, |reply| Ask::Scores { reply }).await
    }

    pub(super) async fn learn_scores(&self, scores: Vec<u8>) -> Answer<u64> {
        Self::ask(&self.0.payments, |reply| Ask::LearnScores { scores, reply }).await?
    }
}
