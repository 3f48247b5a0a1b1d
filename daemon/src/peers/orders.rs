//! What users want of peers: connect, hang up, what holds for them, who is there.

use wire::id::NodeId;

use super::inbox::Ask;
use super::{Peers, Then};
use crate::fact::{Fact, ForceCloseSet, FundingTrusted, PeerKept};
use crate::payments::Reply;
use crate::policy;
use crate::rpc::model::UnixMillis;
use crate::rpc::model::peer::{Peer, PeerPolicyChange};
use crate::rpc::refusal::{Noun, Refusal, Unreachable};

impl Peers {
    pub(super) fn answer(&mut self, ask: Ask) {
        match ask {
            Ask::Connect { node, address, reply } => self.connect(node, address, reply),
            Ask::Keep { node, address, reply } => self.keep(node, &address, reply),
            Ask::Disconnect { node, force, reply } => self.disconnect(node, force, reply),
            Ask::Policy { node, change, reply } => self.set_policy(node, change, reply),
            Ask::List { reply } => {
                let _gone = reply.send(self.list());
            }
        }
    }

    fn set_policy(&mut self, node: NodeId, change: PeerPolicyChange, reply: Reply<()>) {
        let policies = self.force_close.clone();
        let then: Then = Box::new(move || {
            policies.send_modify(|all| {
                match change.force_close {
                    Some(Some(policy)) => drop(all.peers.insert(node, policy)),
                    Some(None) => drop(all.peers.remove(&node)),
                    None => {}
                }
                match change.trust_funding {
                    Some(true) => drop(all.trusted.insert(node)),
                    Some(false) => drop(all.trusted.remove(&node)),
                    None => {}
                }
            });
            let _gone = reply.send(Ok(()));
        });
        let force_close = change.force_close.map(|policy| {
            Fact::ForceCloseSet(ForceCloseSet { node, policy: policy.map(policy::number) })
        });
        let trusted = change
            .trust_funding
            .map(|trusted| Fact::FundingTrusted(FundingTrusted { node, trusted }));
        let facts: Vec<Fact> = force_close.into_iter().chain(trusted).collect();
        self.commit_all(&facts, vec![then]);
    }

    pub(super) fn connect(&mut self, node: NodeId, address: Option<String>, reply: Reply<bool>) {
        if node == self.us.node_id() {
            let _gone = reply.send(Err(Refusal::Ourselves { what: "the peer" }));
            return;
        }
        let known = self.known(node);
        let last = known.kept.as_ref().map(|kept| kept.address.0.clone());
        let place = address.or(last).filter(|address| !address.is_empty());
        if known.standing.is_some() {
            // It is kept up from now on, wherever the user says it is.
            let address = place.unwrap_or_default();
            let kept = PeerKept { node, address: address.as_str().into() };
            known.kept = Some(kept.clone());
            let then = Box::new(move || drop(reply.send(Ok(true))));
            return self.commit(&Fact::PeerKept(kept), vec![then]);
        }
        let Some(address) = place else {
            let why = Unreachable::NoAddress;
            let refusal = Refusal::PeerUnreachable { node, address: String::new(), why };
            let _gone = reply.send(Err(refusal));
            return self.forget_idle(node);
        };
        known.waiting.push(reply);
        if !known.calling {
            self.call(node, address);
        }
    }

    /// An address that a user gave goes before this one.
    fn keep(&mut self, node: NodeId, address: &str, reply: Reply<()>) {
        let known = self.known(node);
        let kept = PeerKept { node, address: address.into() };
        let kept = known.kept.get_or_insert(kept).clone();
        known.due_ms = 0;
        let then = Box::new(move || drop(reply.send(Ok(()))));
        self.commit(&Fact::PeerKept(kept), vec![then]);
    }

    pub(super) fn disconnect(&mut self, node: NodeId, force: bool, reply: Reply<()>) {
        let channels = self.channels_with(node);
        if channels > 0 && !force {
            let _gone = reply.send(Err(Refusal::PeerHasChannels { node, channels }));
            return;
        }
        let Some(known) = self.known.get_mut(&node) else {
            let id = node.to_string();
            let _gone = reply.send(Err(Refusal::NotFound { kind: Noun::Peer, id }));
            return;
        };
        if let Some(standing) = &known.standing {
            standing.link.close();
        }
        known.kept = None;
        let then = Box::new(move || drop(reply.send(Ok(()))));
        self.commit(&Fact::PeerDropped(node), vec![then]);
        self.forget_idle(node);
    }

    pub(super) fn channels_with(&self, node: NodeId) -> u32 {
        u32::try_from(self.readers.directory.doors().of(node).count()).unwrap_or(u32::MAX)
    }

    fn list(&self) -> Vec<Peer> {
        let mut all: Vec<_> = self
            .known
            .iter()
            .filter(|(_, known)| known.standing.is_some() || known.kept.is_some())
            .map(|(node, known)| {
                let standing = known.standing.as_ref();
                let kept = known.kept.as_ref().map(|kept| kept.address.0.clone());
                Peer {
                    index: known.place,
                    node: *node,
                    alias: String::new(),
                    address: standing
                        .map(|standing| standing.address.clone())
                        .or(kept)
                        .unwrap_or_default(),
                    connected: standing.is_some(),
                    inbound: standing.is_some_and(|standing| standing.inbound),
                    features: standing.map(|standing| standing.their_features.clone()),
                    channels: self.channels_with(*node),
                    ping_ms: None,
                    connected_at: standing.map(|standing| UnixMillis(standing.since_ms)),
                    last_error: known.last_error.clone(),
                    force_close: self.force_close.borrow().peers.get(node).copied(),
                    trust_funding: self.force_close.borrow().trusts(*node),
                }
            })
            .collect();
        all.sort_by_key(|peer| peer.index);
        all
    }
}
