//! A blinded route at the end of a payment of ours.

use routing::request::BlindedTail;
use secp256k1::PublicKey;
use wire::onion::blind::{NextHop, RecipientData};
use wire::onion::payload::{BlindedFinal, BlindedForward, Payload};
use wire::units::{BlockHeight, Msat};

use super::BlindedRoute;
use crate::identity::Identity;

/// Bytes of a payload beside itself: its length, of up to three bytes, and its HMAC.
const FRAME_LEN: usize = 35;

/// A payment's blinded end.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Tail {
    /// The route, as its maker gave it.
    pub route: BlindedRoute,
    begins: Begins,
}

/// Where a route begins.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Begins {
    /// Elsewhere, or it was not looked at yet.
    There,
    /// With us: we are what the payee took for somebody on the way, and do what that one would do.
    Here(Box<Ahead>),
    /// With us, and our own hop cannot be read.
    Nowhere,
}

/// What we are told in a route that begins with us.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Ahead {
    data: RecipientData,
    next: NextHop,
    path_key: PublicKey,
}

/// What a blinded end comes to for one HTLC.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Ending {
    /// Onion node and payload of each hop but us, the first first.
    pub hops: Vec<(PublicKey, Vec<u8>)>,
    /// What the first of them must be given.
    pub amount: Msat,
    /// With this expiry.
    pub expiry: BlockHeight,
    /// The `path_key` for our own HTLC, if the route begins with us.
    pub path_key: Option<PublicKey>,
}

impl Tail {
    /// A route that may begin with us: see [`Self::look`].
    pub const fn new(route: BlindedRoute) -> Self {
        Self { route, begins: Begins::There }
    }

    /// Looks whether it begins with `us`, and what we are told then.
    pub fn look(&mut self, us: &Identity) {
        if self.begins == Begins::There && self.introduction() == us.public_key() {
            let ahead = self.ahead(us);
            self.begins = ahead.map_or(Begins::Nowhere, |ahead| Begins::Here(Box::new(ahead)));
        }
    }

    fn ahead(&self, us: &Identity) -> Option<Ahead> {
        let path = &self.route.path;
        let secret = us.path_secret(&path.first_path_key);
        let data = secret.unblind(&path.path.first()?.encrypted_recipient_data).ok()?;
        let next = data.next_hop()?;
        let path_key = secret.next_path_key(&data).ok()?;
        let goes_on = path.path.len() > 1 && next != NextHop::Node(us.public_key());
        goes_on.then_some(Ahead { data, next, path_key })
    }

    /// The node it begins with.
    pub const fn introduction(&self) -> PublicKey {
        self.route.path.first_node_id
    }

    /// Whom the first HTLC goes to that others see.
    pub fn first(&self) -> Option<NextHop> {
        match &self.begins {
            Begins::There => Some(NextHop::Node(self.introduction())),
            Begins::Here(ahead) => Some(ahead.next),
            Begins::Nowhere => None,
        }
    }

    /// As the router wants it; `None` if it begins with us, or has more hops or bytes than an onion.
    pub fn for_router(&self) -> Option<BlindedTail> {
        if self.begins != Begins::There {
            return None;
        }
        let route = &self.route;
        let lens = self.payloads(route.htlc_maximum, route.htlc_maximum, BlockHeight(u32::MAX));
        let lens = lens.iter().map(|(_, payload)| payload.len().saturating_add(FRAME_LEN));
        Some(BlindedTail {
            introduction: self.introduction().into(),
            fee_base_msat: route.cost.fee_base_msat,
            fee_proportional_millionths: route.cost.fee_proportional_millionths,
            cltv_expiry_delta: route.cost.cltv_expiry_delta,
            htlc_minimum: route.htlc_minimum,
            htlc_maximum: route.htlc_maximum,
            hops: u8::try_from(route.path.path.len().saturating_sub(1)).ok()?,
            payloads_len: u16::try_from(lens.sum::<usize>()).ok()?,
        })
    }

    /// Everything one HTLC needs from the first hop on. `expiry` is the height now, with any grace; `total` is what all
    /// parts bring. `None` if the amount does not pass.
    pub fn end(&self, amount: Msat, total: Msat, expiry: BlockHeight) -> Option<Ending> {
        if amount < self.route.htlc_minimum || amount > self.route.htlc_maximum {
            return None;
        }
        let cost = self.route.cost;
        let entering = (cost.incoming(amount)?, cost.cltv_expiry_delta.after(expiry));
        let mut hops = self.payloads(amount, total, expiry);
        match &self.begins {
            Begins::Nowhere => None,
            Begins::There => {
                let (amount, expiry) = entering;
                Some(Ending { hops, amount, expiry, path_key: None })
            }
            Begins::Here(ahead) => {
                let (_, amount, expiry) = ahead.data.forward(entering.0, entering.1)?;
                hops.remove(0);
                Some(Ending { hops, amount, expiry, path_key: Some(ahead.path_key) })
            }
        }
    }

    /// What the payee is told of the expiry, by that of the first HTLC.
    pub fn last_expiry(&self, first: BlockHeight) -> BlockHeight {
        let all = u32::from(self.route.cost.cltv_expiry_delta.to_u16());
        let ours = match &self.begins {
            Begins::Here(ahead) => ahead
                .data
                .payment_relay
                .map_or(0, |relay| u32::from(relay.cltv_expiry_delta.to_u16())),
            Begins::There | Begins::Nowhere => 0,
        };
        first.saturating_add(ours).saturating_sub(all)
    }

    // BOLT 4: "For every node inside a blinded route: - MUST include the `encrypted_recipient_data` provided by the
    // recipient", "For the first node in the blinded route: - MUST include the `path_key` provided by the recipient in
    // `current_path_key`", "If it is the final node: - MUST include `amt_to_forward`, `outgoing_cltv_value` and
    // `total_amount_msat`."
    fn payloads(
        &self,
        amount: Msat,
        total: Msat,
        expiry: BlockHeight,
    ) -> Vec<(PublicKey, Vec<u8>)> {
        let path = &self.route.path;
        let last = path.path.len().saturating_sub(1);
        let hops = path.path.iter().enumerate().map(|(place, hop)| {
            let encrypted_recipient_data = hop.encrypted_recipient_data.clone();
            let current_path_key = (place == 0).then_some(path.first_path_key);
            let node = if place == 0 { path.first_node_id } else { hop.blinded_node_id };
            let payload = if place == last {
                Payload::BlindedFinal(BlindedFinal {
                    amt_to_forward: amount,
                    outgoing_cltv_value: expiry,
                    total_amount_msat: total,
                    encrypted_recipient_data,
                    current_path_key,
                })
            } else {
                Payload::BlindedForward(BlindedForward {
                    encrypted_recipient_data,
                    current_path_key,
                })
            };
            (node, payload.encode())
        });
        hops.collect()
    }
}
