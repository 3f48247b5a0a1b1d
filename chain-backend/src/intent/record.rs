//! The bytes of all intents.

use super::{Intent, IntentId, Intents};
use crate::backend::BlockId;
use bitcoin::consensus::encode::{Decodable, Encodable};
use bitcoin::{Amount, Transaction};
use std::collections::BTreeMap;

/// First byte of the encoding.
const VERSION: u8 = 1;

/// Bytes that are no intents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("stored broadcasts cannot be read")]
pub struct IntentRecordError;

impl Intents {
    /// Bytes to store.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        put(&mut bytes, &self.next);
        put(&mut bytes, &self.tip_height);
        put(&mut bytes, &count(self.open.len()));
        for (id, intent) in &self.open {
            put(&mut bytes, &id.0);
            put(&mut bytes, &count(intent.package.len()));
            intent.package.iter().for_each(|tx| put(&mut bytes, tx));
            put(&mut bytes, &intent.goal);
            put(&mut bytes, &intent.deadline_height);
            put(&mut bytes, &intent.fee.to_sat());
            put(&mut bytes, &intent.vsize);
            put(&mut bytes, &intent.fee_max.to_sat());
            put(&mut bytes, &intent.attempts);
            put(&mut bytes, &count(intent.spent.len()));
            for (outpoint, (by, block)) in &intent.spent {
                put(&mut bytes, outpoint);
                put(&mut bytes, by);
                put(&mut bytes, &block.height);
                put(&mut bytes, &block.hash);
            }
        }
        bytes
    }

    /// Reads [`Intents::encode`].
    ///
    /// # Errors
    /// [`IntentRecordError`] when the bytes are anything else.
    pub fn decode(bytes: &[u8]) -> Result<Self, IntentRecordError> {
        let (version, mut rest) = bytes.split_first().ok_or(IntentRecordError)?;
        if *version != VERSION {
            return Err(IntentRecordError);
        }
        let (next, tip_height) = (take(&mut rest)?, take(&mut rest)?);
        let mut open = BTreeMap::new();
        for _ in 0..take::<u32>(&mut rest)? {
            open.insert(IntentId(take(&mut rest)?), take_intent(&mut rest)?);
        }
        if rest.is_empty() { Ok(Self { next, open, tip_height }) } else { Err(IntentRecordError) }
    }
}

fn take_intent(rest: &mut &[u8]) -> Result<Intent, IntentRecordError> {
    let count: u32 = take(rest)?;
    let package = (0..count).map(|_| take::<Transaction>(rest)).collect::<Result<_, _>>()?;
    let mut intent = Intent {
        package,
        goal: take(rest)?,
        deadline_height: take(rest)?,
        fee: Amount::from_sat(take(rest)?),
        vsize: take(rest)?,
        fee_max: Amount::from_sat(take(rest)?),
        attempts: take(rest)?,
        spent: BTreeMap::new(),
    };
    for _ in 0..take::<u32>(rest)? {
        let (outpoint, by) = (take(rest)?, take(rest)?);
        let block = BlockId { height: take(rest)?, hash: take(rest)? };
        intent.spent.insert(outpoint, (by, block));
    }
    Ok(intent)
}

fn put<T: Encodable + ?Sized>(bytes: &mut Vec<u8>, value: &T) {
    // Writing to memory cannot fail.
    let _ = value.consensus_encode(bytes);
}

fn take<T: Decodable>(rest: &mut &[u8]) -> Result<T, IntentRecordError> {
    T::consensus_decode(rest).map_err(|_| IntentRecordError)
}

fn count(items: usize) -> u32 {
    u32::try_from(items).unwrap_or(u32::MAX)
}
