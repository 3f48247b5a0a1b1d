//! Connections that stand: who hears of one before its first message is read, which of two stays, who makes room,
//! and what their end means.

use std::collections::BTreeSet;

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use wire::id::NodeId;

use super::handshake::{ConnectionFault, Greeted};
use super::inbox::FromConnection;
use super::link::{Link, OUTBOUND};
use super::{Known, Peers, Standing, Then, connection, dice};
use crate::backup;
use crate::channels::registry;
use crate::clock::now_ms;
use crate::edge::{EdgeError, back};
use crate::fact::{Fact, PeerKept};
use crate::gossip;

/// Two connections with one peer that came within this time, in milliseconds, were made at the same
/// moment from both ends: both ends keep the one that the lower node id began.
const CROSSED_MS: u64 = 5_000;

impl Peers {
    /// A connection stands: channels hear of it before its first message is read.
    pub(super) async fn stand(&mut self, greeted: Greeted, address: String, inbound: bool) {
        let Greeted { node, features: theirs, reader, writer } = greeted;
        let us = self.us.node_id();
        self.generation = self.generation.saturating_add(1);
        let generation = self.generation;
        let now = now_ms();
        let known = self.known(node);
        if !inbound {
            known.calling = false;
        }
        if node == us {
            return self.forget_idle(node);
        }
        if let Some(old) = &known.standing {
            let crossed = now.saturating_sub(old.since_ms) < CROSSED_MS && old.inbound != inbound;
            let ours_counts = us < node;
            if crossed && (ours_counts == inbound) {
                // Both called: the other one stays.
                for reply in std::mem::take(&mut known.waiting) {
                    let _gone = reply.send(Ok(true));
                }
                return;
            }
            old.link.cut();
        }
        if inbound {
            self.make_room(node);
        }
        let known = self.known(node);
        let (out, outbox) = back(OUTBOUND);
        let broken = CancellationToken::new();
        let link = Link::new(node, generation, theirs.clone(), out, broken.clone());
        known.standing = Some(Standing {
            link: link.clone(),
            address: address.clone(),
            inbound,
            since_ms: now,
            their_features: theirs,
        });
        known.backoff.reset();
        known.last_error.clear();
        let waiting = std::mem::take(&mut known.waiting);
        if !inbound && (!waiting.is_empty() || known.kept.is_some()) {
            let kept = PeerKept { node, address: address.as_str().into() };
            if known.kept.as_ref() == Some(&kept) {
                waiting.into_iter().for_each(|reply| drop(reply.send(Ok(false))));
            } else {
                known.kept = Some(kept.clone());
                let then: Vec<Then> = waiting
                    .into_iter()
                    .map(|reply| -> Then { Box::new(move || drop(reply.send(Ok(false)))) })
                    .collect();
                self.commit(&Fact::PeerKept(kept), then);
            }
        } else {
            waiting.into_iter().for_each(|reply| drop(reply.send(Ok(true))));
        }
        tracing::info!(%node, address, inbound, "connected");
        // BOLT 1: "MUST send `peer_storage_retrieval` again after reconnection", and before any channel
        // says `channel_reestablish`.
        let (done, told) = oneshot::channel();
        let reached = (!inbound).then_some(address);
        let met = backup::Ask::Up { link: link.clone(), address: reached, done };
        if self.readers.backup.send(met).await.is_err() || told.await.is_err() {
            return;
        }
        let (done, told) = oneshot::channel();
        let order = registry::Order::Up { link: link.clone(), done };
        if self.readers.registry.send(order).await.is_err() || told.await.is_err() {
            return;
        }
        self.tell_gossip(gossip::FromPeers::Up(link.clone()));
        let to = self.to_self.clone();
        let readers = self.readers.clone();
        let writing = connection::write(writer, outbox, link.waiting(), broken.clone());
        let reading = connection::read(reader, link, readers, broken.clone());
        self.tasks.spawn("peer", async move {
            let fault = tokio::select! {
                fault = reading => fault,
                written = writing => match written {
                    Ok(()) => ConnectionFault::Closed,
                    Err(fault) => fault,
                },
            };
            broken.cancel();
            let _stopping = to.send(FromConnection::Ended { node, generation, fault });
            Ok(())
        });
    }

    /// Hangs up on callers that nobody needs, the oldest connection first, until one more has room. A peer
    /// with a channel, or one that a user asked for, needs no room.
    fn make_room(&self, newcomer: NodeId) {
        let doors = self.readers.directory.doors();
        let channels: BTreeSet<_> = doors.iter().map(|door| door.node).collect();
        let needed = |node: &NodeId, known: &Known| known.kept.is_some() || channels.contains(node);
        if self.known.get(&newcomer).is_some_and(|known| needed(&newcomer, known)) {
            return;
        }
        let mut callers: Vec<_> = self
            .known
            .iter()
            .filter(|(node, known)| **node != newcomer && !needed(node, known))
            .filter_map(|(_, known)| known.standing.as_ref())
            .filter(|standing| standing.inbound)
            .map(|standing| &standing.link)
            .collect();
        callers.sort_by_key(|link| link.generation);
        let most = usize::try_from(self.inbound_max).unwrap_or(usize::MAX);
        let surplus = callers.len().saturating_add(1).saturating_sub(most);
        for link in callers.into_iter().take(surplus) {
            tracing::debug!(node = %link.node, "makes room for another caller");
            link.cut();
        }
    }

    /// Gossip hears of connections; a queue that is full costs a peer its gossip and nothing else.
    fn tell_gossip(&self, told: gossip::FromPeers) {
        if self.readers.gossip_peers.send(told) == Err(EdgeError::Full) {
            tracing::warn!("the gossip task does not hear of connections");
        }
    }

    pub(super) async fn fall(&mut self, node: NodeId, generation: u64, fault: &ConnectionFault) {
        let parted = backup::Ask::Down { node, generation };
        let _stopping = self.readers.backup.send(parted).await;
        let order = registry::Order::Down { node, generation };
        let _stopping = self.readers.registry.send(order).await;
        self.tell_gossip(gossip::FromPeers::Down { node, generation });
        let Some(known) = self.known.get_mut(&node) else { return };
        let ours = known.standing.as_ref().is_some_and(|s| s.link.generation == generation);
        if !ours {
            return;
        }
        tracing::info!(%node, %fault, "disconnected");
        known.standing = None;
        known.last_error = fault.to_string();
        known.due_ms = now_ms().saturating_add(known.backoff.next_ms(dice()));
        self.forget_idle(node);
    }
}
