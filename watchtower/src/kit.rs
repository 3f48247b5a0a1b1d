//! What a client hands over for a channel, and what a tower makes of it when a breach is seen. Pure.
//!
//! Not here: keeping it (`store`), building transactions that get mined (`respond`).

pub mod claim;
pub mod replica;
pub mod sealed;
pub mod template;
#[cfg(test)]
mod tests;

use channel::keys::{ChannelBasepoints, CommitmentKeys, KeyError};
use secp256k1::PublicKey;

/// The keys of the cheater's commitment at `point`.
///
/// Only four basepoints matter to the scripts that a penalty opens. The others are the keys of anchors and
/// of our own balance, which nobody looks for here; any point stands in for them.
fn keys(
    ours: (&PublicKey, &PublicKey),
    theirs: (&PublicKey, &PublicKey),
    point: &PublicKey,
) -> Result<CommitmentKeys, KeyError> {
    let (revocation, our_htlc) = ours;
    let (delayed, their_htlc) = theirs;
    let side = |delayed_payment: &PublicKey, htlc: &PublicKey| ChannelBasepoints {
        funding: *revocation,
        revocation: *revocation,
        payment: *revocation,
        delayed_payment: *delayed_payment,
        htlc: *htlc,
    };
    CommitmentKeys::derive(&side(delayed, their_htlc), &side(revocation, our_htlc), point)
}
