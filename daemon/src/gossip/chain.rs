//! Layer 1 as gossip sees it: channels end when their funding output is spent.

use bitcoin::OutPoint;
use chain_backend::backend::{ChainEvent, ChainStream, Interest, Locator};
use futures_util::StreamExt as _;
use routing::graph::GraphUpdate;
use wire::id::ShortChannelId;
use wire::message::Message;
use wire::units::BlockHeight;

use crate::gossip::Gossip;
use crate::gossip::file::Entry;
use crate::gossip::shown::shown_channel;

impl Gossip {
    /// The chain from its end on: what was spent before is looked up.
    pub(super) async fn follow(&mut self) -> ChainStream {
        let from = match self.start.backend.tip().await {
            Ok(tip) => {
                self.tip = tip.height;
                self.spent_meanwhile().await;
                Locator::at(tip.id())
            }
            Err(_) => return futures_util::stream::empty().boxed(),
        };
        let events = self.start.backend.events(from, Interest::Everything).await;
        events.unwrap_or_else(|_| futures_util::stream::empty().boxed())
    }

    /// Funding outputs that were spent while nobody looked.
    pub(super) async fn spent_meanwhile(&mut self) {
        let fundings: Vec<_> = self.book.channels().map(|(_, channel)| channel.funding).collect();
        for funding in fundings {
            if let Ok(None) = self.start.backend.txout(funding).await {
                self.spend(&funding, self.tip);
            }
        }
    }

    pub(super) fn on_chain(&mut self, event: ChainEvent) {
        match event {
            ChainEvent::Connected { block, txs } => {
                self.tip = block.height;
                for (_, tx) in txs.iter() {
                    for input in &tx.input {
                        self.spend(&input.previous_output, block.height);
                    }
                }
                for scid in self.book.forget_spent(BlockHeight(block.height)) {
                    self.forget(scid);
                }
            }
            ChainEvent::Disconnected { fork, .. } => {
                self.tip = fork.height;
                self.fundings.forget();
                let (back, gone) = self.book.reorganised(BlockHeight(fork.height));
                gone.into_iter().for_each(|scid| self.forget(scid));
                back.into_iter().for_each(|scid| self.show_again(scid));
            }
            ChainEvent::Mempool(_) | ChainEvent::Synced { .. } | ChainEvent::Away { .. } => {}
        }
    }

    pub(super) fn spend(&mut self, outpoint: &OutPoint, height: u32) {
        if let Some(scid) = self.book.spend(outpoint, BlockHeight(height)) {
            self.ours.shown.announced.remove(&scid);
            self.change(&GraphUpdate::ChannelRemoved(scid));
        }
    }

    pub(super) fn forget(&mut self, scid: ShortChannelId) {
        self.ours.shown.announced.remove(&scid);
        self.change(&GraphUpdate::ChannelRemoved(scid));
        self.keep(&[Entry::Gone(scid)]);
    }

    /// A reorganisation took the spend of a channel back: it is in the graph again.
    pub(super) fn show_again(&mut self, scid: ShortChannelId) {
        let Some(channel) = self.book.channel(scid).cloned() else { return };
        let updates = channel.updates.iter().flatten().map(|update| update.place);
        for place in std::iter::once(channel.announcement).chain(updates) {
            match self.read(place) {
                Some(Message::ChannelAnnouncement(announcement)) => {
                    self.change(&shown_channel(&announcement, channel.capacity));
                }
                Some(Message::ChannelUpdate(update)) => self.change_policy(&update),
                Some(_) | None => {}
            }
        }
    }
}
