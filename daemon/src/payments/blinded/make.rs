//! Blinded routes to us: through a peer, and over hops that only pretend.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use secp256k1::{PublicKey, SecretKey};
use wire::id::{PaymentSecret, ShortChannelId};
use wire::onion::blind::{BlindedPath, PathCost, PaymentConstraints, PaymentRelay, RecipientData};
use wire::units::{BlockHeight, CltvDelta, Msat};

use super::BlindedRoute;
use crate::channels::directory::Doors;
use crate::gossip::OwnGossip;

/// Hops behind the peer that lead from us to us, so that the length of the route does not say who we are.
const PRETENDED: usize = 2;

/// The most routes that are handed out at once.
const ROUTES_MAX: usize = 3;

/// A peer through which we can be reached, and what it asks for: the way in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Gate {
    /// The peer.
    pub node: PublicKey,
    /// Our channel with it.
    pub scid: ShortChannelId,
    /// What it takes for forwarding to us.
    pub relay: PaymentRelay,
    /// The least it forwards to us.
    pub htlc_minimum: Msat,
    /// The most it forwards to us in one HTLC.
    pub htlc_maximum: Msat,
}

/// What a route is for.
#[derive(Clone, Copy, Debug)]
pub struct Wish {
    /// The `path_id`: what only the maker of the route could have said, and only for this payment.
    pub secret: PaymentSecret,
    /// Blocks the last HTLC must leave us.
    pub min_final: CltvDelta,
    /// The last expiry that an HTLC may have when it reaches us; after that the route is dead.
    pub last_expiry: BlockHeight,
}

/// The ways in: one channel of each peer that is in touch and has told what it asks for, those that are announced first,
/// then those that let most through.
pub fn gates(doors: &Doors, gossip: &OwnGossip) -> Vec<Gate> {
    let mut found = Vec::new();
    for door in doors.iter() {
        let glance = *door.glance.borrow();
        let Some(update) = gossip.theirs.get(&door.index) else { continue };
        // Our own update names the channel as its peer wants it to be called.
        let scid = gossip.ours.get(&door.index).map(|ours| ours.short_channel_id);
        let scid = scid.or_else(|| glance.short_id.filter(|_| !glance.alias_only));
        let (Some(scid), Ok(node)) = (scid, PublicKey::from_slice(&door.node.0)) else {
            continue;
        };
        if !glance.usable || update.is_disabled() {
            continue;
        }
        let relay = PaymentRelay {
            cltv_expiry_delta: CltvDelta(update.cltv_expiry_delta),
            fee_proportional_millionths: update.fee_proportional_millionths,
            fee_base_msat: update.fee_base_msat,
        };
        let least = Msat::new(update.htlc_minimum_msat);
        let (Some(htlc_minimum), Some(htlc_maximum)) = (least, Msat::new(update.htlc_maximum_msat))
        else {
            continue;
        };
        let hidden = !gossip.announced.contains(&scid);
        found.push((hidden, Gate { node, scid, relay, htlc_minimum, htlc_maximum }));
    }
    found.sort_by_key(|(hidden, gate)| (*hidden, Reverse(gate.htlc_maximum)));
    let mut seen = BTreeSet::new();
    found.retain(|(_, gate)| seen.insert(gate.node));
    found.into_iter().map(|(_, gate)| gate).take(ROUTES_MAX).collect()
}

/// A route through `gate` to `us`. `entropy` must be fresh and unpredictable. `None` if sums leave their fields.
pub fn route(us: PublicKey, gate: &Gate, wish: &Wish, entropy: &SecretKey) -> Option<BlindedRoute> {
    let nothing = PaymentRelay {
        cltv_expiry_delta: CltvDelta(0),
        fee_proportional_millionths: 0,
        fee_base_msat: 0,
    };
    // BOLT 4: "It should set `payment_constraints.max_cltv_expiry` to restrict the lifetime of a blinded route".
    let constraints = |max_cltv_expiry| {
        Some(PaymentConstraints { max_cltv_expiry, htlc_minimum_msat: gate.htlc_minimum })
    };
    let at_gate = gate.relay.cltv_expiry_delta.after(wish.last_expiry);
    let mut all = vec![(
        gate.node,
        RecipientData {
            short_channel_id: Some(gate.scid),
            payment_relay: Some(gate.relay),
            payment_constraints: constraints(at_gate),
            ..RecipientData::default()
        },
    )];
    let pretended = RecipientData {
        next_node_id: Some(us),
        payment_relay: Some(nothing),
        payment_constraints: constraints(wish.last_expiry),
        ..RecipientData::default()
    };
    all.extend(std::iter::repeat_n((us, pretended), PRETENDED));
    let end = RecipientData {
        path_id: Some(wish.secret.0.to_vec()),
        payment_constraints: constraints(wish.last_expiry),
        ..RecipientData::default()
    };
    all.push((us, end));
    let hops = padded(all);
    let hops: Vec<(PublicKey, &[u8])> =
        hops.iter().map(|(node, data)| (*node, data.as_slice())).collect();
    let path = BlindedPath::build(entropy, &hops).ok()?;
    let relays: Vec<_> = std::iter::once(gate.relay).collect();
    Some(BlindedRoute {
        path,
        cost: PathCost::of(&relays, wish.min_final)?,
        htlc_minimum: gate.htlc_minimum,
        htlc_maximum: gate.htlc_maximum,
    })
}

/// BOLT 4: "SHOULD add padding data to ensure all `encrypted_data_tlv[i]` have the same length". None has more than 252
/// bytes, so the padding's own type and length take two.
fn padded(all: Vec<(PublicKey, RecipientData)>) -> Vec<(PublicKey, Vec<u8>)> {
    let longest = all.iter().map(|(_, data)| data.encode().len()).max().unwrap_or(0);
    let pad = |mut data: RecipientData| {
        let missing = longest.saturating_sub(data.encode().len());
        data.padding = Some(vec![0; missing]);
        data.encode()
    };
    all.into_iter().map(|(node, data)| (node, pad(data))).collect()
}
