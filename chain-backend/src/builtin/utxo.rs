//! The coin set, and what a block changed in it so that it can be taken back.

use bitcoin::consensus::encode::{Decodable, Encodable, VarInt};
use bitcoin::{OutPoint, TxOut};
use std::collections::{BTreeMap, HashMap};

/// Scripts longer than this can never run.
const SCRIPT_SIZE_MAX: usize = 10_000;

/// An output that nobody has spent yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Coin {
    pub(crate) output: TxOut,
    /// Height of its block.
    pub(crate) height: u32,
    /// Whether a coinbase made it.
    pub(crate) coinbase: bool,
}

/// Whether an output can ever be spent. Those that cannot are not kept.
pub(crate) fn spendable(output: &TxOut) -> bool {
    !output.script_pubkey.is_op_return() && output.script_pubkey.len() <= SCRIPT_SIZE_MAX
}

/// What a block changes.
#[derive(Debug, Default)]
pub(crate) struct Delta {
    /// Coins of the set that go.
    pub(crate) spent: Vec<OutPoint>,
    /// Coins that come.
    pub(crate) created: BTreeMap<OutPoint, Coin>,
    /// How to take it back.
    pub(crate) undo: Undo,
    /// What its transactions pay, satoshi.
    pub(crate) fees_sat: u64,
}

/// The coins a block spent: for each transaction but the coinbase, one per input.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Undo {
    pub(crate) txs: Vec<Vec<Coin>>,
}

/// All coins of the best chain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Coins {
    map: HashMap<OutPoint, Coin>,
    /// All of them together, satoshi.
    total_sat: u64,
}

impl Coins {
    pub(crate) fn get(&self, outpoint: &OutPoint) -> Option<&Coin> {
        self.map.get(outpoint)
    }

    pub(crate) fn len(&self) -> usize {
        self.map.len()
    }

    /// All of them together, satoshi.
    pub(crate) const fn total_sat(&self) -> u64 {
        self.total_sat
    }

    /// Shows every coin, in any order.
    pub(crate) fn visit(&self, visitor: &mut dyn FnMut(&OutPoint, &Coin)) {
        self.map.iter().for_each(|(outpoint, coin)| visitor(outpoint, coin));
    }

    /// Applies a checked change, forwards or backwards.
    pub(crate) fn apply(&mut self, spent: &[OutPoint], created: BTreeMap<OutPoint, Coin>) {
        for outpoint in spent {
            if let Some(coin) = self.map.remove(outpoint) {
                self.total_sat = self.total_sat.saturating_sub(coin.output.value.to_sat());
            }
        }
        for (outpoint, coin) in created {
            self.total_sat = self.total_sat.saturating_add(coin.output.value.to_sat());
            self.map.insert(outpoint, coin);
        }
    }
}

impl Undo {
    /// Bytes for the undo file.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        put_count(&mut bytes, self.txs.len());
        for coins in &self.txs {
            put_count(&mut bytes, coins.len());
            for coin in coins {
                let height = coin.height.saturating_mul(2) | u32::from(coin.coinbase);
                bytes.extend(height.to_le_bytes());
                // Writing to memory cannot fail.
                let _ = coin.output.consensus_encode(&mut bytes);
            }
        }
        bytes
    }

    /// Reads [`Undo::encode`]; `None` when the bytes are anything else.
    pub(crate) fn decode(mut bytes: &[u8]) -> Option<Self> {
        let mut txs = Vec::new();
        for _ in 0..take_count(&mut bytes)? {
            let mut coins = Vec::new();
            for _ in 0..take_count(&mut bytes)? {
                let (height, rest) = bytes.split_first_chunk::<4>()?;
                bytes = rest;
                let height = u32::from_le_bytes(*height);
                let output = TxOut::consensus_decode(&mut bytes).ok()?;
                coins.push(Coin { output, height: height >> 1, coinbase: height & 1 == 1 });
            }
            txs.push(coins);
        }
        bytes.is_empty().then_some(Self { txs })
    }
}

fn put_count(bytes: &mut Vec<u8>, count: usize) {
    // Writing to memory cannot fail.
    let _ = VarInt(u64::try_from(count).unwrap_or(u64::MAX)).consensus_encode(bytes);
}

/// A count; each item takes at least a byte, so more than the bytes left is nonsense.
fn take_count(bytes: &mut &[u8]) -> Option<usize> {
    let count = usize::try_from(VarInt::consensus_decode(bytes).ok()?.0).ok()?;
    (count <= bytes.len()).then_some(count)
}
