//! Over which channel an HTLC goes on. BOLT 4 § Non-strict Forwarding.
//!
//! Not here: what the sender must give (`policy`).

use std::collections::{BTreeMap, VecDeque};

use wire::id::NodeId;
use wire::units::Msat;

use crate::channels::directory::{Door, Doors};
use crate::fact::ChannelIndex;
use crate::switch::policy::ForwardPolicies;

/// What one peer may have under way over one outgoing channel, so that none of them can fill it alone.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Share {
    /// Of the HTLCs that the channel can carry, in percent.
    pub slots_percent: u8,
    /// Of the value that it can have in flight, in percent. One HTLC alone may be larger.
    pub in_flight_percent: u8,
}

impl Default for Share {
    fn default() -> Self {
        Self { slots_percent: 50, in_flight_percent: 50 }
    }
}

/// What is under way, by the peer it came from and the channel it went to.
#[derive(Debug, Default)]
pub(super) struct Load(BTreeMap<(NodeId, ChannelIndex), (u64, u64)>);

impl Load {
    pub(super) fn add(&mut self, from: NodeId, to: ChannelIndex, amount: Msat) {
        let (count, value) = self.0.entry((from, to)).or_default();
        *count = count.saturating_add(1);
        *value = value.saturating_add(amount.to_u64());
    }

    pub(super) fn remove(&mut self, from: NodeId, to: ChannelIndex, amount: Msat) {
        let Some((count, value)) = self.0.get_mut(&(from, to)) else { return };
        *count = count.saturating_sub(1);
        *value = value.saturating_sub(amount.to_u64());
        if *count == 0 {
            self.0.remove(&(from, to));
        }
    }

    /// Whether `from` may have one more under way over `to`.
    pub(super) fn fits(&self, from: NodeId, to: &Door, amount: Msat, share: Share) -> bool {
        let (count, value) = self.0.get(&(from, to.index)).copied().unwrap_or_default();
        if count == 0 {
            return true;
        }
        let glance = *to.glance.borrow();
        let part = |of: u64, percent: u8| {
            u128::from(of).saturating_mul(u128::from(percent)).div_euclid(100)
        };
        u128::from(count) < part(u64::from(glance.slots), share.slots_percent)
            && u128::from(value).saturating_add(u128::from(amount.to_u64()))
                <= part(glance.in_flight_max_msat, share.in_flight_percent)
    }
}

/// The channel to a node that could carry most now, whose policy is then the one that counts. Not the one it came in by.
pub(super) fn best_with(doors: &Doors, node: NodeId, from: ChannelIndex) -> Option<&Door> {
    let others = doors.of(node).filter(|door| door.index != from);
    others.max_by_key(|door| {
        let glance = *door.glance.borrow();
        (glance.usable, glance.can_send)
    })
}

/// All channels to the node that `named` leads to and that could take the amount now, the fullest first. Not the
/// one it came in by.
pub(super) fn candidates(
    doors: &Doors,
    policies: &ForwardPolicies,
    named: &Door,
    from: ChannelIndex,
    amount: Msat,
) -> VecDeque<ChannelIndex> {
    let mut able: Vec<(Msat, ChannelIndex)> = doors
        .of(named.node)
        .filter(|door| door.index != from)
        .filter_map(|door| {
            let policy = policies.of(door.index);
            let glance = *door.glance.borrow();
            let takes = policy.enabled && amount >= policy.htlc_min && amount <= policy.htlc_max;
            let can = glance.usable && glance.can_send >= amount;
            (takes && can).then_some((glance.can_send, door.index))
        })
        .collect();
    able.sort_by(|a, b| b.cmp(a));
    able.into_iter().map(|(_, index)| index).collect()
}
