//! A live connection as the rest of the node sees it: somebody to say things to.
//!
//! Not here: what is read from it (`peers::connection`).

use tokio_util::sync::CancellationToken;
use wire::feature::Features;
use wire::id::{ChannelId, NodeId};
use wire::message::{Error, Message, Warning};

use crate::edge::{Back, EdgeError};

/// What waits to be written. The protocol bounds it: two commitments' worth of HTLC updates of each
/// channel, and answers to pings.
pub const OUTBOUND: usize = 16_384;

/// One thing for the writer.
#[derive(Debug)]
pub enum Out {
    /// A message: type and body.
    Frame(Vec<u8>),
    /// Hang up once everything before is written.
    Close,
}

/// A connection on which `init` was exchanged.
#[derive(Clone, Debug)]
pub struct Link {
    /// With whom.
    pub node: NodeId,
    /// Rises with every connection: messages of an older one are not heard any more.
    pub generation: u64,
    /// What both sides can.
    pub features: Features,
    out: Back<Out>,
    broken: CancellationToken,
}

impl Link {
    /// A link whose writer reads the other end of `out`; `broken` ends reader and writer.
    pub fn new(
        node: NodeId,
        generation: u64,
        features: Features,
        out: Back<Out>,
        broken: CancellationToken,
    ) -> Self {
        Self { node, generation, features, out, broken }
    }

    /// Says something. A peer that does not read until the queue is full is dropped.
    pub fn say(&self, message: &Message) {
        tracing::debug!(node = %self.node, message = message.kind(), "said");
        self.put(Out::Frame(message.encode_frame()));
    }

    /// Says what is wrong and hangs up; channels live on.
    pub fn warn_and_close(&self, channel_id: ChannelId, text: &str) {
        self.say(&Warning { channel_id, data: text.as_bytes().to_vec() }.into());
        self.close();
    }

    /// Tells the peer that we know nothing of a channel, so that it can get its money.
    pub fn say_error(&self, channel_id: ChannelId, text: &str) {
        self.say(&Error { channel_id, data: text.as_bytes().to_vec() }.into());
    }

    /// Hangs up once everything said before is written.
    pub fn close(&self) {
        self.put(Out::Close);
    }

    /// Hangs up at once.
    pub fn cut(&self) {
        self.broken.cancel();
    }

    fn put(&self, out: Out) {
        match self.out.send(out) {
            Ok(()) | Err(EdgeError::Closed) => {}
            Err(EdgeError::Full) => {
                tracing::warn!(node = %self.node, "does not read; connection dropped");
                self.broken.cancel();
            }
        }
    }
}
