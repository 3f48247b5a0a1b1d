//! Messages between nodes that need no channel (BOLT 4 § Onion Messages).
//!
//! Not here: peeling them ([`crate::onion`]).

use secp256k1::PublicKey;

messages! {
    /// Carries an onion along a blinded path. BOLT 4 § The `onion_message` Message.
    513 "onion_message" => OnionMessage {
        path_key: PublicKey,
        /// Usually 1,366 or 32,834 bytes.
        onion_message_packet: Vec<u8>,
    }
}
