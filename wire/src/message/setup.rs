//! Before and beside all channels: `init`, `error`, `ping`, peer storage (BOLT 1).
//!
//! Not here: when to close a connection over them (`daemon::peers`).

use core::fmt;

use crate::codec::Decode;
use crate::feature::Features;
use crate::id::ChannelId;
use crate::message::address::Address;

messages! {
    /// The first message on any connection. BOLT 1 § The `init` Message.
    16 "init" => Init {
        /// Features below 14, for old readers; [`Init::all_features`] combines both.
        globalfeatures: Features,
        features: Features,
    } + tlvs {
        /// The genesis hashes of the chains the sender is interested in.
        1 => networks: Vec<[u8; 32]>,
        /// An address descriptor (BOLT 7): where the sender sees us.
        3 => remote_addr: Vec<u8>,
    }

    /// A channel, or all of them ([`ChannelId::ALL`]), cannot go on. BOLT 1 § The `error` and `warning` Messages.
    17 "error" => Error {
        channel_id: ChannelId,
        data: Vec<u8>,
    }

    /// Something is wrong that may still be mended. BOLT 1 § The `error` and `warning` Messages.
    1 "warning" => Warning {
        channel_id: ChannelId,
        data: Vec<u8>,
    }

    /// Asks for a `pong`, to see that the peer lives. BOLT 1 § The `ping` and `pong` Messages.
    18 "ping" => Ping {
        num_pong_bytes: u16,
        ignored: Vec<u8>,
    }

    /// The answer to a `ping`. BOLT 1 § The `ping` and `pong` Messages.
    19 "pong" => Pong {
        ignored: Vec<u8>,
    }

    /// Asks the peer to keep a sealed blob of at most 65,531 bytes. BOLT 1 § Peer Storage.
    7 "peer_storage" => PeerStorage {
        blob: Vec<u8>,
    }

    /// Gives the blob back, after `init` and before any `channel_reestablish`. BOLT 1 § Peer Storage.
    9 "peer_storage_retrieval" => PeerStorageRetrieval {
        blob: Vec<u8>,
    }
}

impl Init {
    /// Both bitmaps as one.
    pub fn all_features(&self) -> Features {
        // BOLT 1: "MUST combine (bitwise OR) the two feature bitmaps into one logical `features` map."
        self.globalfeatures.union(&self.features)
    }

    /// Whether the sender says which chains it follows and `chain_hash` is not among them.
    pub fn lacks_chain(&self, chain_hash: &[u8; 32]) -> bool {
        self.networks.as_ref().is_some_and(|chains| !chains.contains(chain_hash))
    }

    /// Where the sender sees us, if it says so in a form that we know.
    pub fn remote_address(&self) -> Option<Address> {
        self.remote_addr.as_ref().and_then(|bytes| Address::decode_exact(bytes).ok())
    }
}

impl Ping {
    /// The `pong` that answers, or `None` where the sender wants none.
    pub fn pong(&self) -> Option<Pong> {
        // BOLT 1: "if `num_pong_bytes` is less than 65532"
        (self.num_pong_bytes < 65_532)
            .then(|| Pong { ignored: vec![0; usize::from(self.num_pong_bytes)] })
    }
}

/// The text of an `error` or `warning`, safe to print.
#[derive(Clone, Copy, Debug)]
pub struct Printable<'a>(&'a [u8]);

impl Error {
    /// The text, with everything unprintable replaced.
    pub fn text(&self) -> Printable<'_> {
        Printable(&self.data)
    }
}

impl Warning {
    /// The text, with everything unprintable replaced.
    pub fn text(&self) -> Printable<'_> {
        Printable(&self.data)
    }
}

impl fmt::Display for Printable<'_> {
    // BOLT 1: "if `data` is not composed solely of printable ASCII characters (For reference: the
    // printable character set includes byte values 32 through 126, inclusive): SHOULD NOT print out
    // `data` verbatim."
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN_MAX: usize = 512;
        for byte in self.0.iter().take(SHOWN_MAX) {
            let shown = if (32..=126).contains(byte) { char::from(*byte) } else { '?' };
            write!(f, "{shown}")?;
        }
        if self.0.len() > SHOWN_MAX { f.write_str("...") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests;
