//! The bytes of a watch. What only waited in the mempool is not kept: the stream tells it again.

use super::{Mined, Registration, Subject, Watch};
use crate::backend::{BlockId, Locator};
use bitcoin::consensus::encode::{Decodable, Encodable};
use bitcoin::{BlockHash, OutPoint, ScriptBuf, Transaction, Txid};
use std::sync::Arc;

/// First byte of the encoding.
const VERSION: u8 = 1;

/// Bytes that are no watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a stored chain watch cannot be read")]
pub struct RecordError;

impl Watch {
    /// Bytes to store.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        put(&mut bytes, &self.cursor.encode());
        put(&mut bytes, &count(self.subjects.len()));
        for (subject, watched) in &self.subjects {
            put_subject(&mut bytes, subject);
            put(&mut bytes, &watched.birth_height);
            put(&mut bytes, &count(watched.inputs.len()));
            watched.inputs.iter().for_each(|input| put(&mut bytes, input));
            put(&mut bytes, &count(watched.mined.len()));
            for mined in watched.mined.values() {
                put(&mut bytes, mined.tx.as_ref());
                put_block(&mut bytes, mined.block);
                put(&mut bytes, &mined.index);
            }
            put(&mut bytes, &watched.rival.is_some());
            if let Some((by, block)) = watched.rival {
                put(&mut bytes, &by);
                put_block(&mut bytes, block);
            }
        }
        bytes
    }

    /// Reads [`Watch::encode`].
    ///
    /// # Errors
    /// [`RecordError`] when the bytes are anything else.
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let (version, mut rest) = bytes.split_first().ok_or(RecordError)?;
        if *version != VERSION {
            return Err(RecordError);
        }
        let cursor: Vec<u8> = take(&mut rest)?;
        let mut watch = Self::new(Locator::decode(&cursor).map_err(|_| RecordError)?);
        for _ in 0..take::<u32>(&mut rest)? {
            watch.take_subject(&mut rest)?;
        }
        if rest.is_empty() { Ok(watch) } else { Err(RecordError) }
    }

    fn take_subject(&mut self, rest: &mut &[u8]) -> Result<(), RecordError> {
        let subject = match take::<u8>(rest)? {
            0 => Subject::Tx(take(rest)?),
            1 => Subject::Spend(take(rest)?),
            2 => Subject::Script(take::<ScriptBuf>(rest)?),
            _ => return Err(RecordError),
        };
        let birth_height = take(rest)?;
        let inputs =
            (0..take::<u32>(rest)?).map(|_| take::<OutPoint>(rest)).collect::<Result<_, _>>()?;
        self.register(Registration { subject: subject.clone(), birth_height, inputs });
        let watched = self.subjects.get_mut(&subject).ok_or(RecordError)?;
        for _ in 0..take::<u32>(rest)? {
            let tx: Transaction = take(rest)?;
            let (block, index) = (take_block(rest)?, take(rest)?);
            watched.mined.insert(tx.compute_txid(), Mined { tx: Arc::new(tx), block, index });
        }
        if take::<bool>(rest)? {
            watched.rival = Some((take::<Txid>(rest)?, take_block(rest)?));
        }
        Ok(())
    }
}

fn put_subject(bytes: &mut Vec<u8>, subject: &Subject) {
    match subject {
        Subject::Tx(txid) => {
            bytes.push(0);
            put(bytes, txid);
        }
        Subject::Spend(outpoint) => {
            bytes.push(1);
            put(bytes, outpoint);
        }
        Subject::Script(script) => {
            bytes.push(2);
            put(bytes, script);
        }
    }
}

fn put_block(bytes: &mut Vec<u8>, block: BlockId) {
    put(bytes, &block.height);
    put(bytes, &block.hash);
}

fn take_block(rest: &mut &[u8]) -> Result<BlockId, RecordError> {
    let height = take(rest)?;
    Ok(BlockId { height, hash: take::<BlockHash>(rest)? })
}

fn put<T: Encodable + ?Sized>(bytes: &mut Vec<u8>, value: &T) {
    // Writing to memory cannot fail.
    let _ = value.consensus_encode(bytes);
}

fn take<T: Decodable>(rest: &mut &[u8]) -> Result<T, RecordError> {
    T::consensus_decode(rest).map_err(|_| RecordError)
}

fn count(items: usize) -> u32 {
    u32::try_from(items).unwrap_or(u32::MAX)
}
