//! Per-commitment secrets: 2^48 of them from one seed, kept by the receiver in 49 slots.
//! BOLT 3 § Per-commitment Secret Requirements, § Efficient Per-commitment Secret Storage.
//!
//! The tree walks from `index` 2^48 - 1 downwards; commitment numbers walk upwards from 0. Outside this
//! file only commitment numbers are used.
//!
//! Not here: who may see our own seed (`signer`).

#[cfg(test)]
mod tests;

use bitcoin::hashes::{Hash, sha256};
use thiserror::Error;

/// The number of the last commitment a channel can have, and the index of the first secret.
pub const COMMITMENT_NUMBER_MAX: u64 = (1 << 48) - 1;

/// One slot for each number of trailing zero bits an index can have, 0 to 48.
const SLOTS: usize = 49;

/// Bytes of one encoded slot: index, secret.
const SLOT_BYTES: usize = 8 + 32;

/// Why a revealed secret is not taken.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum ShachainError {
    /// Earlier secrets do not follow from this one: they are not from the same seed.
    #[error("the secret of commitment {number} does not derive the earlier ones")]
    Unrelated {
        /// The commitment whose secret it was said to be.
        number: u64,
    },
    /// Secrets come one by one, without gaps.
    #[error("expected the secret of commitment {expected}, got that of {number}")]
    OutOfOrder {
        /// The commitment whose secret it was said to be.
        number: u64,
        /// The one whose turn it is.
        expected: u64,
    },
    /// A channel ends after 2^48 commitments.
    #[error("no commitment has the number {number}")]
    NoSuchCommitment {
        /// The number asked for.
        number: u64,
    },
    /// Stored bytes that this module never wrote.
    #[error("stored secrets are damaged")]
    Damaged,
}

/// The secret of commitment `number` (0 to 2^48 - 1) in the tree that grows from `seed`; `None` above.
pub fn secret(seed: &[u8; 32], number: u64) -> Option<[u8; 32]> {
    Some(derive(seed, 48, index_of(number)?))
}

/// All secrets the peer has revealed, in at most 49 slots (under 2 kB).
#[derive(Clone, Default, Eq, PartialEq)]
pub struct RevealedSecrets {
    /// The slot at position `b` holds the lowest index so far with exactly `b` trailing zero bits.
    slots: Vec<Slot>,
    /// How many secrets were revealed, which is also the number of the next.
    count: u64,
}

#[derive(Clone, Copy, Eq, PartialEq)]
struct Slot {
    index: u64,
    secret: [u8; 32],
}

impl std::fmt::Debug for RevealedSecrets {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("RevealedSecrets").field("count", &self.count).finish_non_exhaustive()
    }
}

impl RevealedSecrets {
    /// Nothing revealed yet.
    pub const fn new() -> Self {
        Self { slots: Vec::new(), count: 0 }
    }

    /// How many secrets were revealed: commitments `0..count` are revoked, and commitment `count` is
    /// the one whose secret comes next.
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Whether `insert` would take the secret, without taking it.
    pub fn check(&self, number: u64, secret: &[u8; 32]) -> Result<(), ShachainError> {
        if number != self.count {
            return Err(ShachainError::OutOfOrder { number, expected: self.count });
        }
        let index = index_of(number).ok_or(ShachainError::NoSuchCommitment { number })?;
        let bucket = bucket(index);
        let related = (self.slots.iter().take(bucket))
            .all(|slot| derive(secret, bucket, slot.index) == slot.secret);
        if related { Ok(()) } else { Err(ShachainError::Unrelated { number }) }
    }

    /// Takes the secret of commitment `number`, if all earlier ones follow from the same seed.
    ///
    /// Refused secrets change nothing. BOLT 2 § `revoke_and_ack`: a refusal fails the channel.
    pub fn insert(&mut self, number: u64, secret: [u8; 32]) -> Result<(), ShachainError> {
        self.check(number, &secret)?;
        let index = index_of(number).ok_or(ShachainError::NoSuchCommitment { number })?;
        let slot = Slot { index, secret };
        match self.slots.get_mut(bucket(index)) {
            Some(known) => *known = slot,
            None => self.slots.push(slot),
        }
        self.count = number.saturating_add(1);
        Ok(())
    }

    /// The secret of commitment `number`; `None` if it was not revealed.
    pub fn secret(&self, number: u64) -> Option<[u8; 32]> {
        if number >= self.count {
            return None;
        }
        let index = index_of(number)?;
        let (bits, slot) = (self.slots.iter().enumerate())
            .find(|(bits, slot)| prefix(index, *bits) == slot.index)?;
        Some(derive(&slot.secret, bits, index))
    }

    /// The bytes of a record: count, then index and secret of each slot, all big-endian.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.count.to_be_bytes().to_vec();
        for slot in &self.slots {
            bytes.extend_from_slice(&slot.index.to_be_bytes());
            bytes.extend_from_slice(&slot.secret);
        }
        bytes
    }

    /// Reads what [`Self::to_bytes`] wrote, and refuses everything else: slots of the wrong number, in
    /// the wrong place, or not from one seed.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ShachainError> {
        let (count, rest) = bytes.split_first_chunk::<8>().ok_or(ShachainError::Damaged)?;
        let count = u64::from_be_bytes(*count);
        if count > COMMITMENT_NUMBER_MAX.saturating_add(1) || rest.len() > SLOTS * SLOT_BYTES {
            return Err(ShachainError::Damaged);
        }
        let mut slots = Vec::with_capacity(rest.len() / SLOT_BYTES);
        let mut rest = rest;
        while !rest.is_empty() {
            let (index, after) = rest.split_first_chunk::<8>().ok_or(ShachainError::Damaged)?;
            let (secret, after) = after.split_first_chunk::<32>().ok_or(ShachainError::Damaged)?;
            slots.push(Slot { index: u64::from_be_bytes(*index), secret: *secret });
            rest = after;
        }
        let read = Self { slots, count };
        if read.is_sound() { Ok(read) } else { Err(ShachainError::Damaged) }
    }

    /// Whether each slot holds the index it must after `count` secrets, and all are of one seed.
    fn is_sound(&self) -> bool {
        let mut expected = 0;
        while lowest_in(expected, self.count).is_some() {
            expected = expected.saturating_add(1);
        }
        expected == self.slots.len()
            && self.slots.iter().enumerate().all(|(bits, slot)| {
                lowest_in(bits, self.count) == Some(slot.index)
                    && (self.slots.iter().take(bits))
                        .filter(|lower| prefix(lower.index, bits) == slot.index)
                        .all(|lower| derive(&slot.secret, bits, lower.index) == lower.secret)
            })
    }
}

/// The lowest index with exactly `bits` trailing zeros among the first `count` secrets.
fn lowest_in(bits: usize, count: u64) -> Option<u64> {
    let last = index_of(count.checked_sub(1)?)?;
    if bits >= 48 {
        return (last == 0).then_some(0);
    }
    let step = 1_u64.checked_shl(u32::try_from(bits).ok()?)?;
    // Indexes with exactly `bits` trailing zeros are the odd multiples of 2^bits.
    let multiple = last.div_ceil(step) | 1;
    multiple.checked_mul(step).filter(|index| *index <= COMMITMENT_NUMBER_MAX)
}

const fn index_of(number: u64) -> Option<u64> {
    COMMITMENT_NUMBER_MAX.checked_sub(number)
}

/// `where_to_put_secret`: the number of trailing zero bits, 48 for index 0.
fn bucket(index: u64) -> usize {
    usize::try_from(index.trailing_zeros()).unwrap_or(SLOTS).min(48)
}

/// The index with its lowest `bits` bits cleared.
fn prefix(index: u64, bits: usize) -> u64 {
    let shift = u32::try_from(bits).unwrap_or(u32::MAX);
    index.checked_shr(shift).and_then(|top| top.checked_shl(shift)).unwrap_or(0)
}

/// `derive_secret`: walks from a secret whose index ends in `bits` zeros down to `index`.
fn derive(base: &[u8; 32], bits: usize, index: u64) -> [u8; 32] {
    let mut secret = *base;
    for bit in (0..bits).rev() {
        let set = u32::try_from(bit).ok().and_then(|bit| index.checked_shr(bit));
        if set.is_some_and(|shifted| shifted & 1 == 1) {
            if let Some(byte) = secret.get_mut(bit / 8) {
                *byte ^= 1 << (bit % 8);
            }
            secret = sha256::Hash::hash(&secret).to_byte_array();
        }
    }
    secret
}
