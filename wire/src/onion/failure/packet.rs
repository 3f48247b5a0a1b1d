//! A failure on its way back, one layer a hop. BOLT 4 § Returning Errors.

use super::Failure;
use crate::message::AttributionData;
use crate::noise::symmetric::hmac;
use crate::onion::attribution::{Block, HoldTime};
use crate::onion::keys::{KeyKind, SharedSecret};

/// What failure message and padding have together, so that lengths say nothing.
const PADDED_LEN: usize = 256;

/// Longest `reason` that leaves room for TLV 1 in `update_fail_htlc`: 65535 bytes less type, channel id, id, length and
/// the record of 920 bytes with its own type and length.
const REASON_LEN_MAX: usize = 64_567;

/// The fields that `update_fail_htlc` carries back.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ReturnPacket {
    /// The encrypted failure; 292 bytes unless somebody deviates.
    pub reason: Vec<u8>,
    /// TLV 1, if `option_attribution_data` is spoken and the HTLC is not blinded.
    pub attribution_data: Option<AttributionData>,
}

impl ReturnPacket {
    /// By the node that fails the HTLC. `hold_time` is there iff attribution data shall be made.
    pub fn create(secret: &SharedSecret, failure: &Failure, hold_time: Option<HoldTime>) -> Self {
        Self::create_padded(secret, &failure.encode(), PADDED_LEN, hold_time)
    }

    /// By a node that passes a failure on, whatever it is. `hold_time` is there iff attribution data shall be made;
    /// it starts from nothing if the hop behind sent none.
    ///
    /// A failure so long that attribution data would burst its message goes on without.
    #[must_use]
    pub fn relay(self, secret: &SharedSecret, hold_time: Option<HoldTime>) -> Self {
        let Self { mut reason, attribution_data } = self;
        let hold_time = hold_time.filter(|_| reason.len() <= REASON_LEN_MAX);
        let attribution_data = hold_time.map(|hold_time| {
            let mut block = Block::behind(attribution_data.as_ref());
            block.add(secret, &reason, hold_time);
            block.to_wire()
        });
        secret.stream(KeyKind::Ammag).xor(&mut reason);
        Self { reason, attribution_data }
    }

    pub(super) fn create_padded(
        secret: &SharedSecret,
        message: &[u8],
        padded_len: usize,
        hold_time: Option<HoldTime>,
    ) -> Self {
        // BOLT 4: "MUST set `pad` such that the `failure_len` plus `pad_len` is at least 256."
        let pad_len = padded_len.saturating_sub(message.len());
        let length = |len: usize| u16::try_from(len).unwrap_or(u16::MAX).to_be_bytes();
        let mut clear = Vec::with_capacity(message.len().saturating_add(pad_len).saturating_add(4));
        clear.extend_from_slice(&length(message.len()));
        clear.extend_from_slice(message);
        clear.extend_from_slice(&length(pad_len));
        clear.resize(clear.len().saturating_add(pad_len), 0);
        let mut reason = Vec::with_capacity(clear.len().saturating_add(32));
        reason.extend_from_slice(&hmac(secret.key(KeyKind::Um).expose(), &[&clear]));
        reason.extend_from_slice(&clear);
        // The first layer is put on like every other.
        Self { reason, attribution_data: None }.relay(secret, hold_time)
    }
}
