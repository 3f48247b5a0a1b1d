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
use crate::payments::router::Part;
use crate::payments::send::{Plan, pairs};

/// The key of a node on a way; `None` if its id is no point on the curve.
pub fn key(node: NodeId) -> Option<PublicKey> {
    PublicKey::from_slice(&node.0).ok()
}

/// The keys of all nodes on a way; those whose failures are read.
pub fn keys(hops: &[HopTaken]) -> Option<Vec<PublicKey>> {
    hops.iter().map(|hop| key(hop.node)).collect()
}

/// What is to be offered to the first hop so that what a part brings arrives behind the last. `None` if the onion cannot
/// be made: it is too long, or a node's id is no key.
pub(super) fn offer(
    plan: &Plan,
    us: &Identity,
    part: u32,
    command: CommandId,
    taken: &Part,
) -> Option<Offer> {
    let (delivered, hops) = (taken.delivered, taken.hops.as_slice());
    let (first, last) = (hops.first()?, hops.last()?);
    let mut payloads = Vec::with_capacity(hops.len());
    for (hop, next) in pairs(hops) {
        let payload = Payload::Forward(Forward {
            amt_to_forward: next.amount,
            outgoing_cltv_value: next.cltv_expiry,
            short_channel_id: next.channel,
        });
        payloads.push((key(hop.node)?, payload.encode()));
    }
    let mut path_key = None;
    match taken.tail {
        None => payloads.push((key(last.node)?, final_payload(plan, delivered, last).encode())),
        Some(place) => {
            let tail = plan.tails.get(place)?;
            let end = tail.end(delivered, plan.amount, tail.last_expiry(last.cltv_expiry))?;
            path_key = end.path_key;
            payloads.extend(end.hops);
        }
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
        path_key,
        accountable: false,
    })
}

fn final_payload(plan: &Plan, delivered: Msat, hop: &HopTaken) -> Payload {
    let payment_data = plan.secret.map(|payment_secret| {
        // BOLT 4: "MUST set `total_msat` to the total amount it will send": all parts together.
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
