//! LDK's graph and router with the same channels.

use super::Found;
use super::network::Network;
use crate::bench::figure::Figure;
use bitcoin::Network as Chain;
use bitcoin::constants::ChainHash;
use lightning::ln::msgs::UnsignedChannelUpdate;
use lightning::routing::gossip::{NetworkGraph, NodeId};
use lightning::routing::router::{PaymentParameters, RouteParameters, find_route};
use lightning::routing::scoring::{
    ProbabilisticScorer, ProbabilisticScoringDecayParameters, ProbabilisticScoringFeeParameters,
};
use lightning::types::features::{Bolt11InvoiceFeatures, ChannelFeatures};
use lightning::util::logger::{Logger, Record};
use secp256k1::PublicKey;
use std::sync::Arc;

/// Says nothing.
#[derive(Debug)]
pub(super) struct Quiet;

impl Logger for Quiet {
    fn log(&self, _: Record<'_>) {}
}

type Graph = Arc<NetworkGraph<Arc<Quiet>>>;

/// LDK's side.
pub(super) struct Peer {
    graph: Graph,
    scorer: ProbabilisticScorer<Graph, Arc<Quiet>>,
    worth: ProbabilisticScoringFeeParameters,
    keys: Vec<PublicKey>,
}

impl Peer {
    /// Builds LDK's graph, and measures what it holds of memory.
    pub(super) fn build(network: &Network, figures: &mut Vec<Figure>) -> Self {
        let before = super::resident_mib();
        let graph = Arc::new(NetworkGraph::new(Chain::Bitcoin, Arc::new(Quiet)));
        for way in &network.ways {
            let ends = [way.src, way.dst].map(|node| network.keys[node as usize]);
            let [src, dst] = ends.map(|key| NodeId::from_pubkey(&key));
            let bit = u8::from(src.as_slice() > dst.as_slice());
            let (one, two) = if bit == 0 { (src, dst) } else { (dst, src) };
            // The second direction of a channel finds it there.
            let _ = graph.add_channel_from_partial_announcement(
                way.scid().to_u64(),
                Some(way.capacity_sat),
                u64::from(network.now_secs),
                ChannelFeatures::empty(),
                one,
                two,
            );
            let Some(policy) = way.policy else { continue };
            graph
                .update_channel_unsigned(&UnsignedChannelUpdate {
                    chain_hash: ChainHash::using_genesis_block(Chain::Bitcoin),
                    short_channel_id: way.scid().to_u64(),
                    timestamp: network.now_secs,
                    message_flags: 1,
                    channel_flags: bit,
                    cltv_expiry_delta: policy.cltv_expiry_delta.to_u16(),
                    htlc_minimum_msat: policy.htlc_minimum.to_u64(),
                    htlc_maximum_msat: policy.htlc_maximum.to_u64(),
                    fee_base_msat: policy.fee_base_msat,
                    fee_proportional_millionths: policy.fee_proportional_millionths,
                    excess_data: Vec::new(),
                })
                .expect("LDK takes the update");
        }
        figures.push(Figure::alone(
            "routing.graph.ldk_resident".into(),
            "MiB",
            vec![super::resident_mib() - before],
        ));
        let scorer = ProbabilisticScorer::new(
            ProbabilisticScoringDecayParameters::default(),
            Arc::clone(&graph),
            Arc::new(Quiet),
        );
        let worth = ProbabilisticScoringFeeParameters::default();
        Self { graph, scorer, worth, keys: network.keys.clone() }
    }

    /// `find_route` without first hops, to a payee that takes several parts.
    pub(super) fn find(&self, payer: u32, payee: u32, sat: u64, paths: u8) -> Option<Found> {
        let (payer, payee) = (self.keys[payer as usize], self.keys[payee as usize]);
        let mut features = Bolt11InvoiceFeatures::empty();
        features.set_variable_length_onion_required();
        features.set_payment_secret_required();
        features.set_basic_mpp_optional();
        let mut payment = PaymentParameters::from_node_id(payee, 18)
            .with_bolt11_features(features)
            .expect("features of an invoice");
        payment.max_path_count = paths;
        let route = RouteParameters::from_payment_params_and_value(payment, sat * 1_000);
        let found = find_route(
            &payer,
            &route,
            &self.graph,
            None,
            Arc::new(Quiet),
            &self.scorer,
            &self.worth,
            &[42; 32],
        );
        found.ok().map(|route| Found { fee_msat: route.get_total_fees(), parts: route.paths.len() })
    }
}
