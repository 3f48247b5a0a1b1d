//! The onion of a part: what each hop of its way is told. BOLT 4 § `payload` format.
//!
//! Not here: which way it takes (`router`).

use channel::{CommandId, Offer, Origin};
use secp256k1::PublicKey;
use wire::id::NodeId;
use wire::onion::payload::{CustomRecords, Final, Forward, Payload, PaymentData};
use wire::onion::sphinx::{Hop, build_payment};
use wire::units::Msat;

use crate::fact::HopTaken;
use crate::identity::Identity;
use crate::payments::send::Plan;

/// The key of a node on a way; `None` if its id is no point on the curve.
pub fn key(node: NodeId) -> Option<PublicKey> {
    PublicKey::from_slice(&node.0).ok()
}

/// The keys of all nodes on a way; those whose failures are read.
pub fn keys(hops: &[HopTaken]) -> Option<Vec<PublicKey>> {
    hops.iter().map(|hop| key(hop.node)).collect()
}

/// What is to be offered to the first hop so that `delivered` arrives behind the last. `None` if the onion cannot
/// be made: it is too long, or a node's id is no key.
pub(super) fn offer(
    plan: &Plan,
    us: &Identity,
    part: u32,
    command: CommandId,
    delivered: Msat,
    hops: &[HopTaken],
) -> Option<Offer> {
    let first = hops.first()?;
    let mut payloads = Vec::with_capacity(hops.len());
    for (place, hop) in hops.iter().enumerate() {
        let next = hops.get(place.saturating_add(1));
        let payload = next.map_or_else(
            || final_payload(plan, delivered, hop),
            |next| {
                Payload::Forward(Forward {
                    amt_to_forward: next.amount,
                    outgoing_cltv_value: next.cltv_expiry,
                    short_channel_id: next.channel,
                })
            },
        );
        payloads.push((key(hop.node)?, payload.encode()));
    }
    let told: Vec<Hop<'_>> =
        payloads.iter().map(|(node, payload)| Hop { node: *node, payload }).collect();
    let session = us.session_key(plan.hash, part);
    let (onion, _) = build_payment(&session, &told, &plan.hash).ok()?;
    Some(Offer {
        command,
        amount_msat: first.amount,
        payment_hash: plan.hash,
        cltv_expiry: first.cltv_expiry,
        onion,
        origin: Origin::Payment { payment_id: plan.hash.0, part },
        path_key: None,
        accountable: false,
    })
}

fn final_payload(plan: &Plan, delivered: Msat, hop: &HopTaken) -> Payload {
    let payment_data = plan.secret.map(|payment_secret| {
        // BOLT 4: "MUST set `total_msat` to the ... amount" of all parts together.
        PaymentData { payment_secret, total_msat: plan.amount }
    });
    Payload::Final(Final {
        amt_to_forward: delivered,
        outgoing_cltv_value: hop.cltv_expiry,
        payment_data,
        payment_metadata: plan.metadata.clone(),
        keysend_preimage: plan.keysend,
        custom_records: CustomRecords::default(),
    })
}
