//! Reading the log of events: from the index, then as they come.

use bitcoin::hashes::Hash as _;
use bitcoin::{BlockHash, Txid};
use store::engine::Order as Direction;
use tokio::sync::watch;
use wire::units::BlockHeight;

use crate::keeper::{EVENTS, EventRow, Subject};
use crate::layer1;
use crate::node::handle::Handle;
use crate::rpc::model::UnixMillis;
use crate::rpc::model::channel::ChannelFilter;
use crate::rpc::model::event::{Event, EventKind, Happened, Subscribe};
use crate::rpc::node_api::NodeApi as _;

/// Events read from the index in one go.
const EVENTS_AT_ONCE: usize = 256;

/// A place in the log of events.
pub(super) struct EventReader {
    pub(super) handle: Handle,
    pub(super) order: Subscribe,
    pub(super) after: u64,
    pub(super) rows: std::vec::IntoIter<(u64, EventRow)>,
    pub(super) reached: watch::Receiver<u64>,
}

impl EventReader {
    /// The next event that is wanted; waits for it.
    pub(super) async fn next(&mut self) -> Option<Event> {
        loop {
            for (seq, row) in self.rows.by_ref() {
                self.after = seq;
                if self.order.wants(kind(&row.subject))
                    && let Some(what) = look_up(&self.handle, &row.subject).await
                {
                    return Some(Event { seq, at: UnixMillis(row.at_ms), what });
                }
            }
            // Seen before reading, so that nothing that comes meanwhile is waited for.
            self.reached.borrow_and_update();
            let engine = self.handle.0.reading.engine()?;
            let rows =
                EVENTS.page(&*engine, Some(&self.after), Direction::Ascending, EVENTS_AT_ONCE);
            drop(engine);
            let rows = match rows {
                Ok(rows) => rows,
                Err(error) => {
                    tracing::error!(%error, "events cannot be read");
                    return None;
                }
            };
            if rows.is_empty() {
                self.reached.changed().await.ok()?;
            }
            self.rows = rows.into_iter();
        }
    }
}

const fn kind(subject: &Subject) -> EventKind {
    match subject {
        Subject::Peer(_) => EventKind::Peer,
        Subject::Channel(_) => EventKind::Channel,
        Subject::Payment(_) => EventKind::Payment,
        Subject::Invoice(_) => EventKind::Invoice,
        Subject::Wallet(_) => EventKind::Wallet,
        Subject::Block { .. } => EventKind::Block,
    }
}

/// What an event is about, as it is now; `None` if nothing is known of it any more.
async fn look_up(handle: &Handle, subject: &Subject) -> Option<Happened> {
    match subject {
        Subject::Peer(node) => {
            let peers = handle.list_peers().await.ok()?;
            let peer = peers.into_iter().find(|peer| peer.node == *node)?;
            Some(Happened::Peer(Box::new(peer)))
        }
        Subject::Channel(index) => {
            let filter = ChannelFilter { node: None, ended: true };
            let all = handle.list_channels(filter).await.ok()?;
            let channel = all.into_iter().find(|channel| channel.index == *index)?;
            Some(Happened::Channel(Box::new(channel)))
        }
        Subject::Payment(hash) => handle
            .find_payment(*hash)
            .await
            .ok()
            .map(|payment| Happened::Payment(Box::new(payment))),
        Subject::Invoice(hash) => handle
            .find_invoice(*hash)
            .await
            .ok()
            .map(|invoice| Happened::Invoice(Box::new(invoice))),
        Subject::Wallet(txid) => {
            let txid = Txid::from_byte_array(*txid);
            let wallet = &handle.0.wallet;
            let found = Handle::ask(wallet, |reply| layer1::Ask::Transaction { txid, reply })
                .await
                .ok()??;
            Some(Happened::Wallet {
                txid,
                received: found.received,
                sent: found.sent,
                height: found.height,
            })
        }
        Subject::Block { height, hash } => Some(Happened::BlockConnected {
            height: BlockHeight(*height),
            hash: BlockHash::from_byte_array(*hash),
        }),
    }
}
