//! What an LDK node knows of the network, and how it shows itself.

use super::LdkNode;
use bitcoin::secp256k1::PublicKey;
use lightning::ln::msgs::SocketAddress;
use lightning::routing::gossip::NodeId;
use std::net::SocketAddr;

/// How much of the network a node knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// Announced channels.
    pub channels: usize,
    /// Those of them with the policies of both sides.
    pub whole: usize,
    /// Nodes with channels.
    pub nodes: usize,
    /// Those of them that announced themselves.
    pub named: usize,
}

impl LdkNode {
    /// What its graph holds.
    pub fn known(&self) -> Known {
        let graph = self.parts.graph.read_only();
        let mut known = Known::default();
        for (_, channel) in graph.channels().unordered_iter() {
            known.channels += 1;
            let whole = channel.one_to_two.is_some() && channel.two_to_one.is_some();
            known.whole += usize::from(whole);
        }
        for (_, node) in graph.nodes().unordered_iter() {
            known.nodes += 1;
            known.named += usize::from(node.announcement_info.is_some());
        }
        known
    }

    /// What it knows of each channel and node, in words, for a test that fails.
    pub fn graph_told(&self) -> String {
        let graph = self.parts.graph.read_only();
        let mut lines = Vec::new();
        for (scid, channel) in graph.channels().unordered_iter() {
            let dates = [&channel.one_to_two, &channel.two_to_one]
                .map(|policy| policy.as_ref().map(|policy| policy.last_update));
            lines.push(format!("{scid}: {} {} {dates:?}", channel.node_one, channel.node_two));
        }
        for (id, node) in graph.nodes().unordered_iter() {
            lines.push(format!("{id}: named {}", node.announcement_info.is_some()));
        }
        lines.join("\n")
    }

    /// What it knows another node's name to be.
    pub fn alias_of(&self, node: PublicKey) -> Option<String> {
        let graph = self.parts.graph.read_only();
        let info = graph.node(&NodeId::from_pubkey(&node))?.announcement_info.as_ref()?;
        Some(info.alias().to_string())
    }

    /// The base fee that one side asks for a channel, millisatoshi, as it knows it.
    pub fn base_fee_of(&self, scid: u64, side: PublicKey) -> Option<u32> {
        let graph = self.parts.graph.read_only();
        let channel = graph.channel(scid)?;
        let first = channel.node_one == NodeId::from_pubkey(&side);
        let policy = if first { channel.one_to_two.as_ref() } else { channel.two_to_one.as_ref() };
        Some(policy?.fees.base_msat)
    }

    /// Announces itself to the network.
    ///
    /// # Panics
    /// Never with an IPv4 address.
    pub fn announce(&self, alias: &str) {
        let mut name = [0; 32];
        for (to, from) in name.iter_mut().zip(alias.bytes()) {
            *to = from;
        }
        let SocketAddr::V4(at) = self.address() else { panic!("an IPv4 address") };
        let addr = at.ip().octets();
        let address = SocketAddress::TcpIpV4 { addr, port: at.port() };
        self.parts.peers.broadcast_node_announcement([1, 2, 3], name, vec![address]);
    }
}
