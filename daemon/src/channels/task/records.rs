//! A channel's way into the journal.

use channel::seal::{Journal as Records, Lsn};
use tokio::sync::watch;
use wire::id::NodeId;
use wire::units::BlockHeight;

use crate::clock::now_ms;
use crate::fact::{
    ChannelBorn, ChannelIndex, Fact, Moment, MomentKind, OrderKept, channel_record, record,
};
use crate::journal::Writer;
use crate::policy::{self, Policies};

/// Its records carry its index, and its birth, and the key of the request that made it, go with the first. Where
/// they tell of more than the dance, they say when that was decided and under which policy.
pub(super) struct ChannelWriter {
    pub(super) index: ChannelIndex,
    pub(super) node: NodeId,
    pub(super) born: Option<ChannelBorn>,
    pub(super) kept: Option<OrderKept>,
    pub(super) writer: Writer,
    pub(super) height: watch::Receiver<BlockHeight>,
    pub(super) force_close: watch::Receiver<Policies>,
}

impl ChannelWriter {
    pub(super) fn moment(&self, kind: MomentKind) -> Fact {
        let policy = policy::number(self.force_close.borrow().with(self.node));
        let height = self.height.borrow().0;
        Fact::Moment(Moment { channel: self.index.0, at_ms: now_ms(), height, policy, kind })
    }
}

impl Records for ChannelWriter {
    fn append(&mut self, bytes: Vec<u8>) -> Lsn {
        let bytes = if bytes.is_empty() {
            bytes
        } else if let Some(born) = self.born.take() {
            let first = Fact::Channel { index: self.index, record: bytes };
            let mut facts = vec![Fact::ChannelBorn(born), first];
            facts.extend(self.kept.take().map(Fact::OrderKept));
            facts.push(self.moment(MomentKind::Beside));
            record(&facts)
        } else if channel::record::tells(&bytes) {
            let beside = self.moment(MomentKind::Beside);
            record(&[Fact::Channel { index: self.index, record: bytes }, beside])
        } else {
            channel_record(self.index, &bytes)
        };
        self.writer.append(bytes)
    }
}
