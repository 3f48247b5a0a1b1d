//! Who held an HTLC how long, proven hop by hop. BOLT 4 § Initialization of `attribution_data`.
//!
//! 20 hold times, then 210 truncated HMACs as a triangle: row `x` is the hop `x` steps downstream and has one HMAC for
//! each number of hops that may follow it, most first. All is obfuscated once by every hop.
//!
//! Not here: the failure that the HMACs also cover (`failure`).

#[cfg(test)]
mod tests;

use crate::message::AttributionData;
use crate::onion::keys::{KeyKind, SharedSecret};
use bitcoin::hashes::{Hash as _, HashEngine as _, Hmac, HmacEngine, sha256};

/// Most hops of a route whose hold times can be proven.
pub const HOPS_MAX: usize = 20;
/// Bytes of a hold time.
const HOLD_TIME_LEN: usize = 4;
/// Bytes of all hold times.
const HOLD_TIMES_LEN: usize = 80;
/// Bytes of a truncated HMAC.
const HMAC_LEN: usize = 4;
/// Bytes of all HMACs.
const HMACS_LEN: usize = 840;

/// How long a hop held an HTLC, in units of 100 ms; 0 also means that it does not say.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct HoldTime(pub u32);

impl HoldTime {
    /// Rounded down; at most 13 years.
    pub fn from_millis(millis: u64) -> Self {
        Self(u32::try_from(millis / 100).unwrap_or(u32::MAX))
    }

    /// In milliseconds.
    pub fn as_millis(self) -> u64 {
        u64::from(self.0).saturating_mul(100)
    }
}

/// For a fulfilled HTLC, by the recipient (no `downstream`) and by every hop before it: TLV 1 of
/// `update_fulfill_htlc`. The HMACs cover hold times only; the preimage needs no proof.
pub fn fulfil(
    downstream: Option<&AttributionData>,
    secret: &SharedSecret,
    hold_time: HoldTime,
) -> AttributionData {
    let mut block = Block::behind(downstream);
    block.add(secret, &[], hold_time);
    block.to_wire()
}

/// What the origin of a fulfilled HTLC learns: the hold times, first hop first, as far as they are proven. `secrets`
/// are those of the route, up to and with the introduction node if it ends blinded.
pub fn read_fulfilled(data: &AttributionData, secrets: &[SharedSecret]) -> Vec<HoldTime> {
    let mut block = Block::from_wire(data);
    let mut hold_times = Vec::with_capacity(secrets.len().min(HOPS_MAX));
    for (secret, left) in secrets.iter().zip((0..secrets.len()).rev()) {
        block.crypt(secret);
        let Some(hold_time) = block.verify(secret, &[], left) else { break };
        hold_times.push(hold_time);
        block.unshift();
    }
    hold_times
}

/// The two fields of `attribution_data`.
#[derive(Clone)]
pub(crate) struct Block {
    hold_times: [u8; HOLD_TIMES_LEN],
    hmacs: [u8; HMACS_LEN],
}

impl Block {
    /// From the wire. Anything is well-formed; only the origin can tell.
    pub(crate) fn from_wire(data: &AttributionData) -> Self {
        let mut block = Self::zero();
        let to = block.hold_times.iter_mut().chain(&mut block.hmacs);
        to.zip(data.as_bytes()).for_each(|(to, from)| *to = *from);
        block
    }

    /// For the wire.
    pub(crate) fn to_wire(&self) -> AttributionData {
        let mut bytes = Box::new([0; AttributionData::LEN]);
        let from = self.hold_times.iter().chain(&self.hmacs);
        bytes.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
        AttributionData(bytes)
    }

    /// What the hop behind sent, with room for us in front.
    // BOLT 4: "if `attribution_data` is received from downstream: MUST transform `attribution_data` as described above
    // - otherwise: MUST instantiate an all-zeroes `attribution_data` block"
    pub(crate) fn behind(downstream: Option<&AttributionData>) -> Self {
        let mut block = downstream.map_or_else(Self::zero, Self::from_wire);
        block.shift();
        block
    }

    pub(crate) const fn zero() -> Self {
        Self { hold_times: [0; HOLD_TIMES_LEN], hmacs: [0; HMACS_LEN] }
    }

    /// Makes room for one hop more: the longest assumption of every row falls off.
    pub(crate) fn shift(&mut self) {
        self.hold_times.copy_within(..HOLD_TIMES_LEN.saturating_sub(HOLD_TIME_LEN), HOLD_TIME_LEN);
        for row in (1..HOPS_MAX).rev() {
            for left in 0..HOPS_MAX.saturating_sub(row) {
                let moved = self.hmac(row.saturating_sub(1), left);
                self.set_hmac(row, left, moved);
            }
        }
        self.hold_times.iter_mut().take(HOLD_TIME_LEN).for_each(|byte| *byte = 0);
        (0..HOPS_MAX).for_each(|left| self.set_hmac(0, left, [0; HMAC_LEN]));
    }

    /// Undoes [`Self::shift`]; what fell off is zero.
    pub(crate) fn unshift(&mut self) {
        self.hold_times.copy_within(HOLD_TIME_LEN.., 0);
        self.hold_times.iter_mut().rev().take(HOLD_TIME_LEN).for_each(|byte| *byte = 0);
        for row in 0..HOPS_MAX {
            for left in 0..HOPS_MAX.saturating_sub(row) {
                let moved = self.hmac(row.saturating_add(1), left);
                self.set_hmac(row, left, moved);
            }
        }
    }

    /// Our hold time and our row of HMACs, then our layer. Row 0 is free.
    pub(crate) fn add(&mut self, secret: &SharedSecret, reason: &[u8], hold_time: HoldTime) {
        if let Some(first) = self.hold_times.first_chunk_mut() {
            *first = hold_time.0.to_be_bytes();
        }
        let engine = start(secret, reason);
        for left in 0..HOPS_MAX {
            let own = self.expect(engine.clone(), left);
            self.set_hmac(0, left, own);
        }
        self.crypt(secret);
    }

    /// Puts a layer on or takes it off.
    pub(crate) fn crypt(&mut self, secret: &SharedSecret) {
        let mut stream = secret.stream(KeyKind::AmmagExt);
        stream.xor(&mut self.hold_times);
        stream.xor(&mut self.hmacs);
    }

    /// The hold time in front, if its hop vouches for it and for all behind it. `left` hops follow.
    pub(crate) fn verify(
        &self,
        secret: &SharedSecret,
        reason: &[u8],
        left: usize,
    ) -> Option<HoldTime> {
        if left >= HOPS_MAX {
            return None;
        }
        let expected = self.expect(start(secret, reason), left);
        bitcoin::hashes::cmp::fixed_time_eq(&expected, &self.hmac(0, left))
            .then(|| self.hold_times.first_chunk())?
            .map(|first| HoldTime(u32::from_be_bytes(*first)))
    }

    /// Row 0's HMAC if `left` hops follow: over the failure, their and our hold times, and their HMACs.
    fn expect(&self, mut engine: HmacEngine<sha256::Hash>, left: usize) -> [u8; HMAC_LEN] {
        let covered = left.saturating_add(1).saturating_mul(HOLD_TIME_LEN);
        engine.input(self.hold_times.get(..covered).unwrap_or(&self.hold_times));
        for row in 1..=left {
            engine.input(&self.hmac(row, left.saturating_sub(row)));
        }
        let [a, b, c, d, ..] = Hmac::from_engine(engine).to_byte_array();
        [a, b, c, d]
    }

    /// Zero outside the triangle.
    fn hmac(&self, row: usize, left: usize) -> [u8; HMAC_LEN] {
        let cells = self.hmacs.as_chunks().0;
        cell(row, left).and_then(|at| cells.get(at)).copied().unwrap_or_default()
    }

    fn set_hmac(&mut self, row: usize, left: usize, hmac: [u8; HMAC_LEN]) {
        let cells = self.hmacs.as_chunks_mut().0;
        if let Some(to) = cell(row, left).and_then(|at| cells.get_mut(at)) {
            *to = hmac;
        }
    }
}

/// What every HMAC of one hop begins with.
fn start(secret: &SharedSecret, reason: &[u8]) -> HmacEngine<sha256::Hash> {
    let mut engine = HmacEngine::new(secret.key(KeyKind::Um).expose());
    engine.input(reason);
    engine
}

/// Rows have 20, 19, … HMACs, for 19 - row hops left down to none.
fn cell(row: usize, left: usize) -> Option<usize> {
    let last = HOPS_MAX.checked_sub(row)?.checked_sub(1)?;
    let before: usize = (0..row).map(|row| HOPS_MAX.saturating_sub(row)).sum();
    before.checked_add(last.checked_sub(left)?)
}
