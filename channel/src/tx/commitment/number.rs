//! Commitment numbers, hidden in lock time and sequence. BOLT 3 § Commitment Transaction.

use bitcoin::Sequence;
use bitcoin::Transaction;
use bitcoin::absolute::LockTime;
use bitcoin::hashes::{Hash, HashEngine, sha256};
use secp256k1::PublicKey;

/// Lower 24 bits of a word that carries half a number.
const HALF: u64 = 0xff_ffff;

/// A mask of 48 bits that only the two sides know.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ObscuringFactor(u64);

impl ObscuringFactor {
    /// The mask of the channel whose sides said these `payment_basepoint`s.
    pub fn new(opener_payment: &PublicKey, accepter_payment: &PublicKey) -> Self {
        // BOLT 3: "SHA256(payment_basepoint from open_channel || payment_basepoint from accept_channel)"
        let mut engine = sha256::Hash::engine();
        engine.input(&opener_payment.serialize());
        engine.input(&accepter_payment.serialize());
        let hash = sha256::Hash::from_engine(engine).to_byte_array();
        let [.., a, b, c, d, e, f] = hash;
        Self(u64::from_be_bytes([0, 0, a, b, c, d, e, f]))
    }

    /// Where a commitment with this number (below 2^48) shows it.
    pub(super) fn hide(self, number: u64) -> (LockTime, Sequence) {
        let obscured = number ^ self.0;
        let half = |bits: u64| u32::try_from(bits & HALF).unwrap_or_default();
        // BOLT 3: "locktime: upper 8 bits are 0x20"; as a time it lies in the past, so it holds back nothing.
        let lock_time = LockTime::from_consensus(0x2000_0000 | half(obscured));
        (lock_time, Sequence(0x8000_0000 | half(obscured >> 24)))
    }

    /// The number that a spend of the funding output would have if it is a commitment; `None` if it
    /// cannot be one.
    pub fn reveal(self, tx: &Transaction) -> Option<u64> {
        let [input] = tx.input.as_slice() else { return None };
        let (high, low) = (input.sequence.0, tx.lock_time.to_consensus_u32());
        if high >> 24 != 0x80 || low >> 24 != 0x20 {
            return None;
        }
        Some((((u64::from(high) & HALF) << 24) | (u64::from(low) & HALF)) ^ self.0)
    }
}
