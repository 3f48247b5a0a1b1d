//! Every message of the protocol, and the one enum over them (BOLT 1 § Lightning Message Format).
//!
//! A message is declared once, in the file of its subject; the table below lists which of them name a
//! channel, and how. Large ones are boxed, so that moving a [`Message`] copies little.
//!
//! Not here: frames on a socket ([`crate::frame`]), what to do with a message (`channel`, `daemon`).

mod address;
mod array;
mod close;
mod fund;
mod gossip;
mod htlc;
mod onion;
mod open;
mod packet;
mod setup;

pub use address::*;
pub use array::*;
pub use close::*;
pub use fund::*;
pub use gossip::*;
pub use htlc::*;
pub use onion::*;
pub use open::*;
pub use packet::*;
pub use setup::*;

use crate::codec::{Decode, DecodeError, Encode, Reader};
use crate::id::ChannelId;

/// What goes between the type number and the end of a message.
pub trait Body: Encode + Decode + Into<Message> {
    /// The type number, odd if an unknowing peer may ignore the message.
    const NUMBER: u16;

    /// The name in the BOLTs, such as `open_channel`.
    const KIND: &'static str;
}

macro_rules! table {
    (
        peer: $( $peer:ident $(($peer_box:ident))?, )*;
        channel_id: $( $channel:ident $(($channel_box:ident))?, )*;
        temporary_channel_id: $( $opening:ident $(($opening_box:ident))?, )*;
    ) => {
        table! { enum
            $( $peer $(($peer_box))?, )*
            $( $channel $(($channel_box))?, )*
            $( $opening $(($opening_box))?, )*
        }

        impl Message {
            /// The channel this is about: its id, or the temporary one while it is being opened.
            ///
            /// In `error` and `warning` it may be [`ChannelId::ALL`]. `None` is for the connection or
            /// for the network.
            pub fn channel_id(&self) -> Option<ChannelId> {
                match self {
                    $( Self::$peer(_) => None, )*
                    $( Self::$channel(message) => Some(message.channel_id), )*
                    $( Self::$opening(message) => Some(message.temporary_channel_id), )*
                }
            }
        }
    };
    (enum $( $name:ident $(($held:ident))?, )*) => {
        /// Any message that we know.
        #[derive(Clone, Debug, Eq, PartialEq)]
        #[allow(missing_docs, reason = "each variant is its struct")]
        pub enum Message { $( $name(table!(@hold $name $($held)?)), )* }

        impl Message {
            /// The type number that goes before the body.
            pub const fn number(&self) -> u16 {
                match self { $( Self::$name(_) => <$name as Body>::NUMBER, )* }
            }

            /// The name in the BOLTs, such as `open_channel`, for logs.
            pub const fn kind(&self) -> &'static str {
                match self { $( Self::$name(_) => <$name as Body>::KIND, )* }
            }

            fn encode_body(&self, out: &mut Vec<u8>) {
                match self { $( Self::$name(body) => body.encode(out), )* }
            }

            fn decode_body(number: u16, r: &mut Reader<'_>) -> Result<Option<Self>, DecodeError> {
                Ok(Some(match number {
                    $( <$name as Body>::NUMBER => <$name as Decode>::decode(r)?.into(), )*
                    // BOLT 1: "upon receiving a message of _odd_, unknown type: MUST ignore the
                    // received message."
                    odd if odd % 2 == 1 => return Ok(None),
                    // BOLT 1: "upon receiving a message of _even_, unknown type: MUST close the
                    // connection."
                    even => return Err(DecodeError::UnknownEvenType(even)),
                }))
            }
        }

        $( impl From<$name> for Message {
            fn from(body: $name) -> Self {
                Self::$name(body.into())
            }
        } )*

        /// One message of each kind.
        #[cfg(test)]
        pub(crate) fn samples(seed: &mut crate::sample::Seed) -> Vec<Message> {
            vec![ $( <$name as crate::sample::Sample>::sample(seed).into(), )* ]
        }
    };
    (@hold $name:ident) => { $name };
    (@hold $name:ident boxed) => { Box<$name> };
}

table! {
    peer:
        Init, Ping, Pong, PeerStorage, PeerStorageRetrieval, OnionMessage,
        ChannelAnnouncement(boxed), NodeAnnouncement(boxed), ChannelUpdate(boxed),
        QueryShortChannelIds, ReplyShortChannelIdsEnd,
        QueryChannelRange, ReplyChannelRange, GossipTimestampFilter,;
    channel_id:
        Error, Warning,
        FundingSigned, ChannelReady,
        TxAddInput, TxAddOutput, TxRemoveInput, TxRemoveOutput, TxComplete, TxSignatures,
        TxInitRbf, TxAckRbf, TxAbort,
        Stfu, SpliceInit, SpliceAck, SpliceLocked, StartBatch,
        Shutdown, ClosingSigned, ClosingComplete(boxed), ClosingSig(boxed),
        UpdateAddHtlc, UpdateFulfillHtlc, UpdateFailHtlc, UpdateFailMalformedHtlc,
        CommitmentSigned, RevokeAndAck, UpdateFee, ChannelReestablish(boxed),
        AnnouncementSignatures,;
    temporary_channel_id:
        OpenChannel(boxed), AcceptChannel(boxed), OpenChannel2(boxed), AcceptChannel2(boxed),
        FundingCreated,;
}

impl Message {
    /// The most bytes of type and body together, as the length prefix of a frame has 16 bits.
    pub const LEN_MAX: usize = 65_535;

    /// Type and body, ready for a frame. More than [`Self::LEN_MAX`] bytes only if a field was filled
    /// beyond what any message can carry; the frame refuses that.
    pub fn encode_frame(&self) -> Vec<u8> {
        // Room for the largest of the frequent ones, `update_add_htlc`.
        let mut out = Vec::with_capacity(1_536);
        self.encode_frame_into(&mut out);
        out
    }

    /// Appends type and body, for a writer that keeps its buffer.
    pub fn encode_frame_into(&self, out: &mut Vec<u8>) {
        self.number().encode(out);
        self.encode_body(out);
    }

    /// Reads type and body. `None` is an odd type that we do not know and may ignore.
    ///
    /// Every error means that the connection must be closed (BOLT 1).
    pub fn decode_frame(frame: &[u8]) -> Result<Option<Self>, DecodeError> {
        let mut r = Reader::new(frame);
        let number = u16::decode(&mut r)?;
        Self::decode_body(number, &mut r)
    }
}

#[cfg(test)]
mod ldk;
#[cfg(test)]
mod tests;
