//! Keys and values of the index: one tree, one byte in front of each table's keys. Numbers in keys are big-endian, so
//! that rows lie in their order.

use super::scripts::{ScriptHash, ScriptSums};
use crate::backend::BlockRef;
use crate::builtin::storage::Place;
use crate::builtin::utxo::Coin;
use bitcoin::block::Header;
use bitcoin::consensus::encode::{Decodable, Encodable, VarInt, deserialize, serialize};
use bitcoin::hashes::Hash;
use bitcoin::{Amount, BlockHash, OutPoint, ScriptBuf, TxOut, Txid};

/// Bytes in front of the tables' keys. 0 belongs to the engine.
const REACHED: u8 = b'm';
pub(super) const HEADER: u8 = b'h';
pub(super) const COIN: u8 = b'u';
const TX: u8 = b't';
const SPEND: u8 = b's';
const HISTORY: u8 = b'a';
const SCRIPT_COIN: u8 = b'c';

/// A transaction's place on the best chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mined {
    pub(crate) height: u32,
    /// Its index in the block.
    pub(crate) index: u32,
}

/// A block that was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) header: Header,
    /// Where its bytes are: of two blocks the earlier one was seen first.
    pub(crate) place: Place,
    /// Where its undo data is, if it was ever connected.
    pub(crate) undo: Option<Place>,
}

/// Where the index says how far it has come.
pub(super) fn reached() -> Vec<u8> {
    vec![REACHED]
}

pub(super) fn header(hash: &BlockHash) -> Vec<u8> {
    key(HEADER, &hash.to_byte_array(), &[])
}

pub(super) fn coin(outpoint: &OutPoint) -> Vec<u8> {
    key(COIN, &outpoint.txid.to_byte_array(), &outpoint.vout.to_be_bytes())
}

/// Reads [`coin`].
pub(super) fn outpoint(key: &[u8]) -> Option<OutPoint> {
    let (txid, vout) = key.split_first()?.1.split_first_chunk::<32>()?;
    let vout = vout.try_into().ok().map(u32::from_be_bytes)?;
    Some(OutPoint { txid: Txid::from_byte_array(*txid), vout })
}

pub(super) fn tx(txid: &Txid) -> Vec<u8> {
    key(TX, &txid.to_byte_array(), &[])
}

pub(super) fn spend(outpoint: &OutPoint) -> Vec<u8> {
    key(SPEND, &outpoint.txid.to_byte_array(), &outpoint.vout.to_be_bytes())
}

/// What every key of [`history`] of a script begins with.
pub(super) fn history_of(script: &ScriptHash) -> Vec<u8> {
    key(HISTORY, script.as_byte_array(), &[])
}

/// A transaction touches a script.
pub(super) fn history(script: &ScriptHash, at: Mined) -> Vec<u8> {
    key(HISTORY, script.as_byte_array(), &at.encode())
}

/// Where the transaction of a [`history`] is.
pub(super) fn place(key: &[u8]) -> Option<Mined> {
    Mined::decode(key.get(33..)?)
}

/// What every key of [`script_coin`] of a script begins with.
pub(super) fn script_coins_of(script: &ScriptHash) -> Vec<u8> {
    key(SCRIPT_COIN, script.as_byte_array(), &[])
}

/// An output of a script that no block spends.
pub(super) fn script_coin(script: &ScriptHash, outpoint: &OutPoint) -> Vec<u8> {
    let mut key = script_coins_of(script);
    key.extend(outpoint.txid.to_byte_array());
    key.extend(outpoint.vout.to_be_bytes());
    key
}

/// Reads [`script_coin`].
pub(super) fn script_outpoint(key: &[u8]) -> Option<OutPoint> {
    let (txid, vout) = key.get(33..)?.split_first_chunk::<32>()?;
    let vout = vout.try_into().ok().map(u32::from_be_bytes)?;
    Some(OutPoint { txid: Txid::from_byte_array(*txid), vout })
}

/// Height of its block, and satoshi.
pub(super) fn unspent(height: u32, sat: u64) -> Vec<u8> {
    numbers([height.into(), sat])
}

/// Reads [`unspent`].
pub(super) fn read_unspent(bytes: &[u8]) -> Option<(u32, u64)> {
    let [height, sat] = read_numbers(bytes)?;
    Some((u32::try_from(height).ok()?, sat))
}

/// What a script got and gave until then.
pub(super) fn sums(sums: &ScriptSums) -> Vec<u8> {
    let ScriptSums { txs, funded, funded_sat, spent, spent_sat } = *sums;
    numbers([txs, funded, funded_sat, spent, spent_sat])
}

/// Reads [`sums`].
pub(super) fn read_sums(bytes: &[u8]) -> Option<ScriptSums> {
    let [txs, funded, funded_sat, spent, spent_sat] = read_numbers(bytes)?;
    Some(ScriptSums { txs, funded, funded_sat, spent, spent_sat })
}

fn numbers<const COUNT: usize>(numbers: [u64; COUNT]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for number in numbers {
        // Writing to memory cannot fail.
        let _ = VarInt(number).consensus_encode(&mut bytes);
    }
    bytes
}

fn read_numbers<const COUNT: usize>(mut bytes: &[u8]) -> Option<[u64; COUNT]> {
    let mut numbers = [0; COUNT];
    for number in &mut numbers {
        *number = VarInt::consensus_decode(&mut bytes).ok()?.0;
    }
    bytes.is_empty().then_some(numbers)
}

fn key(table: u8, hash: &[u8; 32], rest: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(rest.len().saturating_add(33));
    key.push(table);
    key.extend(hash);
    key.extend(rest);
    key
}

impl Mined {
    /// Behind every place.
    pub(crate) const LAST: Self = Self { height: u32::MAX, index: u32::MAX };

    pub(super) fn encode(self) -> Vec<u8> {
        [self.height.to_be_bytes(), self.index.to_be_bytes()].concat()
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (height, index) = bytes.split_first_chunk::<4>()?;
        let index = index.try_into().ok().map(u32::from_be_bytes)?;
        Some(Self { height: u32::from_be_bytes(*height), index })
    }
}

/// Who spends an output, and at which height.
pub(super) fn spent_by(txid: &Txid, height: u32) -> Vec<u8> {
    let mut bytes = txid.to_byte_array().to_vec();
    bytes.extend(height.to_be_bytes());
    bytes
}

/// Reads [`spent_by`].
pub(super) fn spender(bytes: &[u8]) -> Option<(Txid, u32)> {
    let (txid, height) = bytes.split_first_chunk::<32>()?;
    let height = height.try_into().ok().map(u32::from_be_bytes)?;
    Some((Txid::from_byte_array(*txid), height))
}

impl Coin {
    /// Height and whether a coinbase made it, value, script.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.output.script_pubkey.len().saturating_add(14));
        let height = u64::from(self.height).saturating_mul(2) | u64::from(self.coinbase);
        for number in [height, self.output.value.to_sat()] {
            // Writing to memory cannot fail.
            let _ = VarInt(number).consensus_encode(&mut bytes);
        }
        bytes.extend(self.output.script_pubkey.as_bytes());
        bytes
    }

    pub(super) fn decode(mut bytes: &[u8]) -> Option<Self> {
        let height = VarInt::consensus_decode(&mut bytes).ok()?.0;
        let value = Amount::from_sat(VarInt::consensus_decode(&mut bytes).ok()?.0);
        let output = TxOut { value, script_pubkey: ScriptBuf::from(bytes.to_vec()) };
        let coinbase = height & 1 == 1;
        Some(Self { output, height: u32::try_from(height >> 1).ok()?, coinbase })
    }
}

impl Seen {
    pub(super) fn encode(&self, at: &BlockRef) -> Vec<u8> {
        let mut bytes = serialize(&self.header);
        bytes.extend(at.height.to_be_bytes());
        put_place(&mut bytes, self.place);
        if let Some(undo) = self.undo {
            put_place(&mut bytes, undo);
        }
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (header, rest) = bytes.split_first_chunk::<80>()?;
        let (_height, rest) = rest.split_first_chunk::<4>()?;
        let (place, rest) = rest.split_first_chunk::<16>()?;
        let undo = match rest {
            [] => None,
            rest => Some(take_place(rest.try_into().ok()?)?),
        };
        Some(Self { header: deserialize(header).ok()?, place: take_place(place)?, undo })
    }
}

fn put_place(bytes: &mut Vec<u8>, place: Place) {
    bytes.extend(place.file.to_be_bytes());
    bytes.extend(place.offset.to_be_bytes());
    bytes.extend(place.length.to_be_bytes());
}

fn take_place(bytes: &[u8; 16]) -> Option<Place> {
    let (file, rest) = bytes.split_first_chunk::<4>()?;
    let (offset, length) = rest.split_first_chunk::<8>()?;
    Some(Place {
        file: u32::from_be_bytes(*file),
        offset: u64::from_be_bytes(*offset),
        length: length.try_into().ok().map(u32::from_be_bytes)?,
    })
}
