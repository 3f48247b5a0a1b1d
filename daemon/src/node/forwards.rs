//! The calls about payments of others.

use store::engine::Engine;

use crate::channels::directory::Doors;
use crate::clock::now_ms;
use crate::edge::back;
use crate::fact::{ChannelIndex, ForwardEnd};
use crate::keeper::history;
use crate::node::handle::{Handle, not_a_channel};
use crate::rpc::model::UnixMillis;
use crate::rpc::model::channel::ChannelRef;
use crate::rpc::model::forward::{
    Forward, ForwardFailure, ForwardFilter, ForwardState, Interception, SetPolicy, Side,
};
use crate::rpc::model::page::{Listing, Page};
use crate::rpc::node_api::Answer;
use crate::switch::book::{Forwarded, Sums};
use crate::switch::hold::{Ask, HELD_MAX};
use crate::switch::policy::ForwardPolicy;

impl Handle {
    /// What all forwards so far add up to, as far as it is durable.
    pub fn forwarded(&self) -> Sums {
        *self.0.reading.forwarded.borrow()
    }

    pub(super) fn find_forwards(
        &self,
        filter: ForwardFilter,
        page: Page,
    ) -> Answer<Listing<Forward>> {
        let doors = self.0.directory.doors();
        let read = |engine: &dyn Engine, after, order, limit| {
            let rows = history::forwards(engine, after, order, limit)?;
            Ok(rows.iter().map(|forward| show(forward, &doors)).collect())
        };
        self.listing(
            Vec::new(),
            page,
            read,
            |forward: &Forward| forward.index,
            |forward| filter.passes(&forward.state),
        )
    }

    pub(super) fn find_policy(&self, which: ChannelRef) -> Answer<ForwardPolicy> {
        let index = self.door(which).ok_or_else(|| not_a_channel(which))?.index;
        Ok(self.0.forward_policies.borrow().of(index))
    }

    pub(super) async fn change_policy(&self, order: SetPolicy) -> Answer<ForwardPolicy> {
        let SetPolicy { channel, change } = order;
        let channel = self.door(channel).ok_or_else(|| not_a_channel(channel))?.index;
        Self::ask(&self.0.switch, |reply| Ask::SetPolicy { channel, change, reply }).await?
    }

    pub(super) async fn hold_forwards(&self) -> Answer<Interception> {
        // Twice what can be held: words may be under way about as many.
        let (to, held) = back(HELD_MAX.saturating_mul(2));
        let listener = Self::ask(&self.0.switch, |reply| Ask::Intercept { to, reply }).await?;
        Ok(Interception { listener, held, answers: self.0.switch.clone() })
    }
}

fn side(doors: &Doors, index: u64) -> Side {
    let Some(door) = doors.get(ChannelIndex(index)) else { return Side::default() };
    Side { id: Some(door.id), short_id: door.glance.borrow().short_id, node: Some(door.node) }
}

fn show(forward: &Forwarded, doors: &Doors) -> Forward {
    let taken = &forward.taken;
    let state = match forward.ended.as_ref().map(|ended| ended.end) {
        None if taken.held && taken.out.is_none() => ForwardState::Held,
        None => ForwardState::InFlight,
        Some(ForwardEnd::Settled) => ForwardState::Settled,
        Some(ForwardEnd::SettledHere) => ForwardState::Taken,
        Some(ForwardEnd::Refused(code)) => ForwardState::Failed(ForwardFailure::Refused(code)),
        Some(ForwardEnd::FailedBeyond) => ForwardState::Failed(ForwardFailure::Beyond),
        Some(ForwardEnd::Malformed(code)) => ForwardState::Failed(ForwardFailure::Malformed(code)),
        Some(ForwardEnd::TimedOut) => ForwardState::Failed(ForwardFailure::OnChain),
    };
    Forward {
        index: forward.index,
        state,
        hash: taken.payment_hash,
        incoming: side(doors, taken.channel),
        htlc: taken.htlc,
        outgoing: taken.out.map(|out| side(doors, out)),
        asked: taken.next,
        amount_in: taken.amount,
        amount_out: taken.forwarded,
        expiry_in: taken.cltv_expiry,
        expiry_out: taken.outgoing_expiry,
        created: UnixMillis(taken.at_ms),
        created_height: taken.height,
        ended: forward.ended.as_ref().map(|ended| UnixMillis(ended.at_ms)),
    }
}

/// How long a forward was held, in milliseconds.
pub fn held_ms(forward: &Forward) -> u64 {
    let until = forward.ended.map_or_else(now_ms, |ended| ended.0);
    until.saturating_sub(forward.created.0)
}
