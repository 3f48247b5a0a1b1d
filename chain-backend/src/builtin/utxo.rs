//! Coins, and those that a block spent, so that it can be taken back.

use bitcoin::consensus::encode::{Decodable, Encodable, VarInt};
use bitcoin::{Block, OutPoint, Transaction, TxOut};

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

/// The coins a block spent: for each transaction but the coinbase, one per input.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Undo {
    pub(crate) txs: Vec<Vec<Coin>>,
}

/// All coins of the best chain, as the rules ask for them.
pub(crate) trait Coins {
    /// The coin of an output that nobody has spent.
    fn get(&self, outpoint: &OutPoint) -> Option<Coin>;
}

impl Undo {
    /// Whether it can be that of this block: a coin for each input.
    pub(crate) fn fits(&self, block: &Block) -> bool {
        let payments = block.txdata.iter().skip(1);
        payments.len() == self.txs.len()
            && payments.zip(&self.txs).all(|(tx, coins)| tx.input.len() == coins.len())
    }

    /// The transactions of its block, each with the coins it spends and its index.
    pub(crate) fn with<'a>(
        &'a self,
        block: &'a Block,
    ) -> impl DoubleEndedIterator<Item = (u32, &'a Transaction, &'a [Coin])> {
        // The coinbase spends nothing.
        let coins = (0..block.txdata.len()).map(|index| {
            let payment = index.checked_sub(1).and_then(|payment| self.txs.get(payment));
            payment.map(Vec::as_slice).unwrap_or_default()
        });
        let txs = block.txdata.iter().zip(coins).enumerate();
        txs.map(|(index, (tx, coins))| (u32::try_from(index).unwrap_or(u32::MAX), tx, coins))
    }

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
