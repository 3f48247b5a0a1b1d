//! Why: stories from the index, beside how things stand now.

use wire::id::PaymentHash;

use crate::keeper::history;
use crate::node::handle::{Handle, not_a_channel};
use crate::payments;
use crate::policy::ForceClosePolicy;
use crate::rpc::model::channel::{Channel, ChannelFilter, ChannelRef};
use crate::rpc::model::why::{ChannelWhy, PaymentWhy};
use crate::rpc::node_api::{Answer, NodeApi as _};
use crate::rpc::refusal::Refusal;
use crate::why;

impl Handle {
    pub(super) async fn tell_channel(&self, which: ChannelRef) -> Answer<ChannelWhy> {
        let channel = self.find(which).await?;
        self.indexed().await;
        let engine = self.0.reading.engine().ok_or(Refusal::NoAnswer)?;
        let story = why::rows::story(&*engine, channel.index).map_err(|_| Refusal::StoreFailed)?;
        let story = story.ok_or_else(|| not_a_channel(which))?;
        let tip = self.0.tip.borrow().height;
        let policy = self.force_close_of(channel.node);
        Ok(why::tell::account(&story, Some(channel), policy, tip))
    }

    pub(super) async fn tell_payment(&self, hash: PaymentHash) -> Answer<PaymentWhy> {
        let filter = ChannelFilter { node: None, ended: true };
        let channels = self.list_channels(filter).await?;
        let find = |index: u64| channels.iter().find(|channel: &&Channel| channel.index == index);
        let asked = |reply| payments::Ask::Sent { hash, reply };
        let found = Self::ask(&self.0.payments, asked).await?;
        if let Ok(sent) = found {
            return Ok(why::payment::account(&sent, find));
        }
        let engine = self.0.reading.engine().ok_or(Refusal::NoAnswer)?;
        let row = history::payment(&*engine, hash).map_err(|_| Refusal::StoreFailed)?;
        match row {
            Some(sent) => Ok(why::payment::account(&sent, find)),
            None => Err(found.err().unwrap_or(Refusal::NoAnswer)),
        }
    }

    /// The force-close policy that holds for channels with a peer.
    pub(super) fn force_close_of(&self, node: wire::id::NodeId) -> ForceClosePolicy {
        self.0.force_close.borrow().with(node)
    }

    /// Waits a little until the index has what is durable, so that an account goes up to now.
    async fn indexed(&self) {
        let durable = self.0.disk.borrow().upto().0;
        let mut reached = self.0.reading.reached.clone();
        let caught_up = reached.wait_for(|reached| *reached >= durable);
        let _late = tokio::time::timeout(PATIENCE, caught_up).await;
    }
}

/// How long an account waits for the index.
const PATIENCE: std::time::Duration = std::time::Duration::from_millis(500);
