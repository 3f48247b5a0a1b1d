//! Blinded routes by LDK: to it, and paid by it.

use super::LdkNode;
use bitcoin::secp256k1::{PublicKey, Secp256k1};
use daemon::payments::blinded::BlindedRoute;
use lightning::blinded_path::BlindedHop;
use lightning::blinded_path::payment::{
    BlindedPayInfo, BlindedPaymentPath, Bolt12RefundContext, ForwardTlvs, PaymentConstraints,
    PaymentContext, PaymentForwardNode, PaymentRelay, UnauthenticatedReceiveTlvs,
};
use lightning::ln::channel_state::ChannelDetails;
use lightning::ln::channelmanager::{PaymentId, RecipientOnionFields, Retry};
use lightning::offers::nonce::Nonce;
use lightning::routing::router::{PaymentParameters, RouteParameters};
use lightning::sign::NodeSigner as _;
use lightning::types::features::BlindedHopFeatures;
use lightning::types::payment::PaymentHash;
use wire::onion::blind::{BlindedHop as OurHop, BlindedPath, PathCost};
use wire::units::{CltvDelta, Msat};

/// Blocks from now until a route of LDK's is dead.
const LIFETIME: u32 = 1_008;

impl LdkNode {
    /// A blinded route to this node for a payment that it will take, through the peer of `over` if there is one.
    ///
    /// # Panics
    /// When LDK refuses, or the peer has not told what it asks for.
    pub fn blinded_route(
        &self,
        msat: u64,
        over: Option<&ChannelDetails>,
    ) -> (BlindedRoute, PaymentHash) {
        let (hash, payment_secret) = self.expect_payment(msat);
        let max_cltv_expiry = self.parts.channels.current_best_block().height + LIFETIME;
        let constraints =
            |max_cltv_expiry| PaymentConstraints { max_cltv_expiry, htlc_minimum_msat: 1 };
        let tlvs = UnauthenticatedReceiveTlvs {
            payment_secret,
            payment_constraints: constraints(max_cltv_expiry),
            payment_context: PaymentContext::Bolt12Refund(Bolt12RefundContext {}),
        };
        let nonce = Nonce::from_entropy_source(&*self.parts.keys);
        let tlvs = tlvs.authenticate(nonce, &self.parts.keys.get_expanded_key());
        let through = over.map(|channel| {
            let asks = channel.counterparty.forwarding_info.clone().expect("a channel_update");
            let relay = PaymentRelay {
                cltv_expiry_delta: asks.cltv_expiry_delta,
                fee_proportional_millionths: asks.fee_proportional_millionths,
                fee_base_msat: asks.fee_base_msat,
            };
            PaymentForwardNode {
                tlvs: ForwardTlvs {
                    short_channel_id: channel.short_channel_id.expect("a confirmed channel"),
                    payment_constraints: constraints(
                        max_cltv_expiry + u32::from(asks.cltv_expiry_delta),
                    ),
                    payment_relay: relay,
                    features: BlindedHopFeatures::empty(),
                    next_blinding_override: None,
                },
                node_id: channel.counterparty.node_id,
                htlc_maximum_msat: channel.inbound_htlc_maximum_msat.unwrap_or(u64::MAX),
            }
        });
        let first = over.map_or_else(|| self.id(), |channel| channel.counterparty.node_id);
        let path = BlindedPaymentPath::new(
            through.as_slice(),
            self.id(),
            tlvs,
            1_000_000_000,
            42,
            &*self.parts.keys,
            &Secp256k1::new(),
        )
        .expect("LDK makes routes");
        (ours(first, &path), hash)
    }

    /// Begins to pay by a blinded route, once; one that begins with this node is entered at its second hop.
    ///
    /// # Panics
    /// When LDK does not even begin.
    pub fn pay_blinded(&self, hash: PaymentHash, msat: u64, route: &BlindedRoute) {
        let mut path = theirs(route);
        if route.path.first_node_id == self.id() {
            path.advance_path_by_one(&self.parts.keys, &self.parts.channels, &Secp256k1::new())
                .expect("LDK reads its own hop");
        }
        let params = PaymentParameters::blinded(vec![path]);
        let params = RouteParameters::from_payment_params_and_value(params, msat);
        let onion = RecipientOnionFields::spontaneous_empty();
        let (id, retry) = (PaymentId(hash.0), Retry::Attempts(0));
        self.parts.channels.send_payment(hash, onion, id, params, retry).unwrap_or_else(|why| {
            panic!("LDK does not begin to pay: {why:?}\n{}", self.log_tail())
        });
    }
}

fn ours(first: PublicKey, path: &BlindedPaymentPath) -> BlindedRoute {
    let hops = path.blinded_hops().iter().map(|hop| OurHop {
        blinded_node_id: hop.blinded_node_id,
        encrypted_recipient_data: hop.encrypted_payload.clone(),
    });
    let info = &path.payinfo;
    BlindedRoute {
        path: BlindedPath {
            first_node_id: first,
            first_path_key: path.blinding_point(),
            path: hops.collect(),
        },
        cost: PathCost {
            fee_base_msat: info.fee_base_msat,
            fee_proportional_millionths: info.fee_proportional_millionths,
            cltv_expiry_delta: CltvDelta(info.cltv_expiry_delta),
        },
        htlc_minimum: Msat::new(info.htlc_minimum_msat).expect("an amount"),
        htlc_maximum: Msat::new(info.htlc_maximum_msat).unwrap_or(Msat::MAX),
    }
}

fn theirs(route: &BlindedRoute) -> BlindedPaymentPath {
    let hops = route.path.path.iter().map(|hop| BlindedHop {
        blinded_node_id: hop.blinded_node_id,
        encrypted_payload: hop.encrypted_recipient_data.clone(),
    });
    let info = BlindedPayInfo {
        fee_base_msat: route.cost.fee_base_msat,
        fee_proportional_millionths: route.cost.fee_proportional_millionths,
        cltv_expiry_delta: route.cost.cltv_expiry_delta.to_u16(),
        htlc_minimum_msat: route.htlc_minimum.to_u64(),
        htlc_maximum_msat: route.htlc_maximum.to_u64(),
        features: BlindedHopFeatures::empty(),
    };
    BlindedPaymentPath::from_blinded_path_and_payinfo(
        route.path.first_node_id,
        route.path.first_path_key,
        hops.collect(),
        info,
    )
}
