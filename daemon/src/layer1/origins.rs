//! The coins that fundings are made from: whoever spends one of them otherwise takes a channel away before it
//! is there. Pure but for its own memory.
//!
//! Not here: the funding outputs themselves (`watches`), what a channel makes of it.

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::{OutPoint, Transaction, Txid};
use channel::ChainFact;
use wire::units::BlockHeight;

use crate::fact::ChannelIndex;

/// What a channel's funding transaction spends.
#[derive(Clone, Debug, Default)]
struct Origin {
    coins: Vec<OutPoint>,
    /// What else spent one of them in a block, and where.
    conflict: Option<(Txid, BlockHeight)>,
}

/// All that is watched, for whom.
#[derive(Debug, Default)]
pub(super) struct Origins {
    /// Fundings that wait for a block, and for whom.
    fundings: BTreeMap<Txid, BTreeSet<ChannelIndex>>,
    by_channel: BTreeMap<(ChannelIndex, Txid), Origin>,
    by_coin: BTreeMap<OutPoint, BTreeSet<(ChannelIndex, Txid)>>,
    /// Transactions in the mempool that would replace a funding.
    rivals: BTreeMap<Txid, BTreeSet<ChannelIndex>>,
}

impl Origins {
    /// Watches the coins of a funding, as far as they are known.
    pub(super) fn watch(
        &mut self,
        channel: ChannelIndex,
        funding: Txid,
        coins: &[OutPoint],
        conflict: Option<(Txid, BlockHeight)>,
    ) {
        self.fundings.entry(funding).or_default().insert(channel);
        let key = (channel, funding);
        for coin in coins {
            self.by_coin.entry(*coin).or_default().insert(key);
        }
        self.by_channel.insert(key, Origin { coins: coins.to_vec(), conflict });
    }

    pub(super) fn forget(&mut self, channel: ChannelIndex) {
        let is_its = |(of, _): &(ChannelIndex, Txid), _: &mut Origin| *of == channel;
        let gone: Vec<_> = self.by_channel.extract_if(.., is_its).collect();
        for (key, origin) in gone {
            for coin in origin.coins {
                if let Some(named) = self.by_coin.get_mut(&coin) {
                    named.remove(&key);
                }
            }
        }
        self.by_coin.retain(|_, named| !named.is_empty());
        for all in [&mut self.fundings, &mut self.rivals] {
            all.retain(|_, channels| {
                channels.remove(&channel);
                !channels.is_empty()
            });
        }
    }

    /// A transaction is in a block.
    pub(super) fn connect(
        &mut self,
        tx: &Transaction,
        height: BlockHeight,
    ) -> Vec<(ChannelIndex, ChainFact)> {
        let others = self.others(tx);
        let mut told = Vec::new();
        for (channel, funding, by) in others {
            if let Some(origin) = self.by_channel.get_mut(&(channel, funding))
                && origin.conflict != Some((by, height))
            {
                origin.conflict = Some((by, height));
                told.push((channel, ChainFact::FundingConflict { by, height }));
            }
        }
        told
    }

    /// Everything above the fork never happened.
    pub(super) fn disconnect(&mut self, fork: BlockHeight) -> Vec<(ChannelIndex, ChainFact)> {
        let mut told = Vec::new();
        for ((channel, _), origin) in &mut self.by_channel {
            if origin.conflict.take_if(|(_, height)| *height > fork).is_some() {
                told.push((*channel, ChainFact::FundingConflictGone));
            }
        }
        told
    }

    /// A transaction is in the mempool.
    pub(super) fn seen(&mut self, tx: &Transaction) -> Vec<(ChannelIndex, ChainFact)> {
        let mut told = Vec::new();
        let txid = || tx.compute_txid();
        for (channel, _, by) in self.others(tx) {
            self.rivals.entry(by).or_default().insert(channel);
            told.push((channel, ChainFact::FundingContested { by }));
        }
        if !self.fundings.is_empty()
            && let Some(channels) = self.fundings.get(&txid())
        {
            let inputs: Vec<_> = tx.input.iter().map(|input| input.previous_output).collect();
            let fact = |channel: &ChannelIndex| {
                (*channel, ChainFact::FundingSeen { inputs: inputs.clone() })
            };
            told.extend(channels.iter().map(fact));
        }
        told
    }

    /// A transaction left the mempool for no block.
    pub(super) fn vanished(&mut self, by: Txid) -> Vec<(ChannelIndex, ChainFact)> {
        let channels = self.rivals.remove(&by).unwrap_or_default();
        channels
            .into_iter()
            .map(|channel| (channel, ChainFact::FundingUncontested { by }))
            .collect()
    }

    /// Rivals that were there and are not in what the mempool has now.
    pub(super) fn missing(&self, there: &BTreeSet<Txid>) -> Vec<Txid> {
        self.rivals.keys().filter(|txid| !there.contains(*txid)).copied().collect()
    }

    /// Whose funding a transaction replaces, if it is not that itself.
    fn others(&self, tx: &Transaction) -> Vec<(ChannelIndex, Txid, Txid)> {
        if self.by_coin.is_empty() {
            return Vec::new();
        }
        let named = tx.input.iter().filter_map(|input| self.by_coin.get(&input.previous_output));
        let all: BTreeSet<_> = named.flatten().copied().collect();
        if all.is_empty() {
            return Vec::new();
        }
        let by = tx.compute_txid();
        let other = |(_, funding): &(ChannelIndex, Txid)| *funding != by;
        all.into_iter().filter(other).map(|(channel, funding)| (channel, funding, by)).collect()
    }
}

#[cfg(test)]
mod tests {
    use bitcoin::hashes::Hash as _;
    use bitcoin::{Amount, ScriptBuf, TxIn, TxOut, absolute, transaction};

    use super::*;

    const CHANNEL: ChannelIndex = ChannelIndex(7);

    fn coin(byte: u8) -> OutPoint {
        OutPoint { txid: Txid::from_byte_array([byte; 32]), vout: 0 }
    }

    fn spending(coins: &[OutPoint], value: u64) -> Transaction {
        let input = |coin: &OutPoint| TxIn { previous_output: *coin, ..TxIn::default() };
        Transaction {
            version: transaction::Version::TWO,
            lock_time: absolute::LockTime::ZERO,
            input: coins.iter().map(input).collect(),
            output: vec![TxOut { value: Amount::from_sat(value), script_pubkey: ScriptBuf::new() }],
        }
    }

    fn watched() -> (Origins, Transaction, Transaction) {
        let funding = spending(&[coin(1), coin(2)], 5);
        let rival = spending(&[coin(2)], 6);
        let mut origins = Origins::default();
        origins.watch(CHANNEL, funding.compute_txid(), &[coin(1), coin(2)], None);
        (origins, funding, rival)
    }

    #[test]
    fn a_funding_is_seen_and_is_no_rival_of_itself() {
        let (mut origins, funding, _) = watched();
        let told = origins.seen(&funding);
        let [(CHANNEL, ChainFact::FundingSeen { inputs })] = told.as_slice() else {
            panic!("{told:?}")
        };
        assert_eq!(*inputs, [coin(1), coin(2)]);
        assert!(origins.connect(&funding, BlockHeight(9)).is_empty());
    }

    #[test]
    fn a_rival_is_told_when_it_is_seen_when_it_goes_and_when_it_is_mined() {
        let (mut origins, _, rival) = watched();
        let by = rival.compute_txid();
        let told = origins.seen(&rival);
        assert!(matches!(told.as_slice(), [(CHANNEL, ChainFact::FundingContested { .. })]));
        assert_eq!(origins.missing(&BTreeSet::new()), [by]);
        assert!(origins.missing(&BTreeSet::from([by])).is_empty());
        assert_eq!(origins.vanished(by).len(), 1);
        assert!(origins.vanished(by).is_empty());
        let told = origins.connect(&rival, BlockHeight(9));
        assert!(matches!(
            told.as_slice(),
            [(CHANNEL, ChainFact::FundingConflict { height: BlockHeight(9), .. })]
        ));
        assert!(origins.connect(&rival, BlockHeight(9)).is_empty(), "said once");
        assert!(origins.disconnect(BlockHeight(9)).is_empty());
        assert_eq!(origins.disconnect(BlockHeight(8)).len(), 1);
    }

    #[test]
    fn what_is_forgotten_is_told_to_nobody() {
        let (mut origins, funding, rival) = watched();
        origins.seen(&rival);
        origins.forget(CHANNEL);
        assert!(origins.seen(&rival).is_empty() && origins.seen(&funding).is_empty());
        assert!(origins.connect(&rival, BlockHeight(9)).is_empty());
        assert!(origins.vanished(rival.compute_txid()).is_empty());
    }
}
