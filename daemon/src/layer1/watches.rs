//! Outputs that channels watch, and what each block means for them. Pure but for its own memory.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use bitcoin::{OutPoint, Transaction, Txid};
use chain_backend::backend::{BlockRef, ChainEvent, Txs};
use channel::ChainFact;
use wire::units::BlockHeight;

use crate::fact::ChannelIndex;
use crate::layer1::origins::Origins;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Funding,
    Output,
}

#[derive(Clone, Copy, Debug)]
struct Watched {
    kind: Kind,
    confirmed: Option<BlockHeight>,
    spent: Option<BlockHeight>,
}

/// What is watched, for whom. One output may be named by many channels: a peer names what it likes as the
/// funding of a new one, and must not take anybody's eyes off it by that.
#[derive(Debug, Default)]
pub(super) struct Watches {
    by_outpoint: BTreeMap<(OutPoint, ChannelIndex), Watched>,
    /// Funding outputs that are waited for, by their transaction: one may fund many channels.
    fundings: BTreeMap<Txid, BTreeSet<OutPoint>>,
    /// What fundings are made from.
    pub(super) origins: Origins,
}

/// What a block means, by channel.
#[derive(Debug, Default)]
pub(super) struct News(BTreeMap<ChannelIndex, Vec<ChainFact>>);

impl News {
    fn add(&mut self, channel: ChannelIndex, fact: ChainFact) {
        self.0.entry(channel).or_default().push(fact);
    }

    /// The channels whose funding output a block spends, and by which transaction.
    pub(super) fn closes(&self) -> Vec<(ChannelIndex, Txid)> {
        let of = |fact: &ChainFact| {
            let ChainFact::FundingSpent { tx, .. } = fact else { return None };
            Some(tx.compute_txid())
        };
        let all = self.0.iter();
        all.flat_map(|(channel, facts)| facts.iter().filter_map(of).map(|txid| (*channel, txid)))
            .collect()
    }

    /// What concerns one channel. The tip always does.
    pub(super) fn take(&mut self, channel: ChannelIndex) -> Vec<ChainFact> {
        let mut facts = self.0.remove(&channel).unwrap_or_default();
        facts.push(ChainFact::Tip);
        facts
    }
}

impl Watches {
    pub(super) fn add_funding(
        &mut self,
        channel: ChannelIndex,
        outpoint: OutPoint,
        confirmed: Option<BlockHeight>,
        spent: Option<BlockHeight>,
    ) {
        self.fundings.entry(outpoint.txid).or_default().insert(outpoint);
        let funding = Watched { kind: Kind::Funding, confirmed, spent };
        self.by_outpoint.insert((outpoint, channel), funding);
    }

    /// `true` if it was not watched before: blocks that are done already say nothing of it.
    pub(super) fn add_output(
        &mut self,
        channel: ChannelIndex,
        outpoint: OutPoint,
        spent: Option<BlockHeight>,
    ) -> bool {
        let output = Watched { kind: Kind::Output, confirmed: None, spent };
        let entry = self.by_outpoint.entry((outpoint, channel));
        let is_new = matches!(entry, Entry::Vacant(_));
        entry.or_insert(output);
        is_new
    }

    pub(super) fn forget(&mut self, channel: ChannelIndex) {
        self.origins.forget(channel);
        self.by_outpoint.retain(|(_, whose), _| *whose != channel);
        let kept = &self.by_outpoint;
        self.fundings.retain(|_, outpoints| {
            outpoints.retain(|outpoint| kept.range(all_of(*outpoint)).next().is_some());
            !outpoints.is_empty()
        });
    }

    /// Whether a channel watches an output.
    pub(super) fn has(&self, channel: ChannelIndex, outpoint: OutPoint) -> bool {
        self.by_outpoint.contains_key(&(outpoint, channel))
    }

    pub(super) fn is_confirmed(&self, channel: ChannelIndex, outpoint: OutPoint) -> bool {
        let watched = self.by_outpoint.get(&(outpoint, channel));
        watched.is_some_and(|watched| watched.confirmed.is_some())
    }

    pub(super) fn is_spent(&self, channel: ChannelIndex, outpoint: OutPoint) -> bool {
        let watched = self.by_outpoint.get(&(outpoint, channel));
        watched.is_some_and(|watched| watched.spent.is_some())
    }

    /// Whether anybody watches an output.
    pub(super) fn watches(&self, outpoint: OutPoint) -> bool {
        self.by_outpoint.range(all_of(outpoint)).next().is_some()
    }

    /// What a transaction in the mempool means, by channel.
    pub(super) fn seen(&self, tx: &Transaction) -> Vec<(ChannelIndex, ChainFact)> {
        let spent = tx.input.iter().map(|input| input.previous_output);
        let watched = spent.flat_map(|outpoint| self.by_outpoint.range(all_of(outpoint)));
        watched
            .filter(|(_, watched)| watched.spent.is_none())
            .map(|((outpoint, channel), watched)| {
                let (outpoint, tx) = (*outpoint, tx.clone());
                let fact = match watched.kind {
                    Kind::Funding => ChainFact::FundingSpendSeen { tx },
                    Kind::Output => ChainFact::OutputSpendSeen { outpoint, tx },
                };
                (*channel, fact)
            })
            .collect()
    }

    /// What it means that such a transaction left the mempool for no block.
    pub(super) fn vanished(
        &self,
        txid: Txid,
        spent: &[OutPoint],
    ) -> Vec<(ChannelIndex, ChainFact)> {
        let watched = spent.iter().flat_map(|outpoint| self.by_outpoint.range(all_of(*outpoint)));
        watched
            .filter(|(_, watched)| watched.kind == Kind::Funding)
            .map(|((_, channel), _)| (*channel, ChainFact::FundingSpendVanished { txid }))
            .collect()
    }

    /// Takes an event in and says what it means.
    pub(super) fn news(&mut self, event: &ChainEvent) -> News {
        let mut news = News::default();
        match event {
            ChainEvent::Connected { block, txs } => self.connect(block, txs, &mut news),
            ChainEvent::Disconnected { fork, .. } => {
                self.disconnect(BlockHeight(fork.height), &mut news);
            }
            ChainEvent::Mempool(_) | ChainEvent::Synced { .. } | ChainEvent::Away { .. } => {}
        }
        news
    }

    fn connect(&mut self, block: &BlockRef, txs: &Txs, news: &mut News) {
        let height = BlockHeight(block.height);
        for (index, tx) in txs.iter() {
            let funded = self.fundings.get(&tx.compute_txid()).cloned().unwrap_or_default();
            for outpoint in funded {
                for (channel, fact) in self.confirm(outpoint, tx, height, index) {
                    news.add(channel, fact);
                }
            }
            for (channel, fact) in self.origins.connect(tx, height) {
                news.add(channel, fact);
            }
            for input in &tx.input {
                for (channel, fact) in self.spend(input.previous_output, tx, height) {
                    news.add(channel, fact);
                }
            }
        }
    }

    /// The transaction of a watched funding output is in a block.
    pub(super) fn confirm(
        &mut self,
        outpoint: OutPoint,
        tx: &Transaction,
        height: BlockHeight,
        tx_index: u32,
    ) -> Vec<(ChannelIndex, ChainFact)> {
        let place = usize::try_from(outpoint.vout).ok();
        let found = place.and_then(|place| tx.output.get(place)).cloned();
        self.by_outpoint
            .range_mut(all_of(outpoint))
            .filter(|(_, watched)| watched.kind == Kind::Funding)
            .map(|((_, channel), watched)| {
                watched.confirmed = Some(height);
                let found = found.clone();
                (*channel, ChainFact::FundingConfirmed { height, tx_index, outpoint, found })
            })
            .collect()
    }

    /// A watched output is spent in a block.
    pub(super) fn spend(
        &mut self,
        outpoint: OutPoint,
        tx: &Transaction,
        height: BlockHeight,
    ) -> Vec<(ChannelIndex, ChainFact)> {
        self.by_outpoint
            .range_mut(all_of(outpoint))
            .map(|((_, channel), watched)| {
                watched.spent = Some(height);
                let tx = tx.clone();
                let fact = match watched.kind {
                    Kind::Funding => ChainFact::FundingSpent { tx, height },
                    Kind::Output => ChainFact::OutputSpent { outpoint, tx, height },
                };
                (*channel, fact)
            })
            .collect()
    }

    /// What channels believe to have happened above `tip` is not followed yet, or was reorganised away
    /// while we were down: it counts from when a block says it again.
    pub(super) fn rewind(&mut self, tip: BlockHeight) -> News {
        let mut news = News::default();
        self.disconnect(tip, &mut news);
        news
    }

    /// Everything above the fork never happened: last things first.
    fn disconnect(&mut self, fork: BlockHeight, news: &mut News) {
        for (channel, fact) in self.origins.disconnect(fork) {
            news.add(channel, fact);
        }
        let above = |height: Option<BlockHeight>| height.is_some_and(|height| height > fork);
        for kind in [Kind::Output, Kind::Funding] {
            for ((outpoint, channel), watched) in &mut self.by_outpoint {
                if watched.kind == kind && above(watched.spent) {
                    watched.spent = None;
                    let fact = match kind {
                        Kind::Funding => ChainFact::FundingUnspent,
                        Kind::Output => ChainFact::OutputUnspent { outpoint: *outpoint },
                    };
                    news.add(*channel, fact);
                }
            }
        }
        for ((_, channel), watched) in &mut self.by_outpoint {
            if watched.kind == Kind::Funding && above(watched.confirmed) {
                watched.confirmed = None;
                news.add(*channel, ChainFact::FundingUnconfirmed);
            }
        }
    }
}

/// The keys of everybody who watches an output.
const fn all_of(outpoint: OutPoint) -> std::ops::RangeInclusive<(OutPoint, ChannelIndex)> {
    (outpoint, ChannelIndex(0))..=(outpoint, ChannelIndex(u64::MAX))
}

#[cfg(test)]
mod tests {
    use bitcoin::hashes::Hash as _;
    use bitcoin::{Amount, TxIn, TxOut, absolute, transaction};

    use super::*;

    fn outpoint(vout: u32) -> OutPoint {
        OutPoint { txid: Txid::from_byte_array([7; 32]), vout }
    }

    fn spender(outpoint: OutPoint) -> Transaction {
        Transaction {
            version: transaction::Version::TWO,
            lock_time: absolute::LockTime::ZERO,
            input: vec![TxIn { previous_output: outpoint, ..TxIn::default() }],
            output: vec![TxOut {
                value: Amount::ONE_SAT,
                script_pubkey: bitcoin::ScriptBuf::new(),
            }],
        }
    }

    #[test]
    fn a_channel_that_names_the_funding_of_another_takes_nobodys_eyes_off_it() {
        let (victim, stranger) = (ChannelIndex(1), ChannelIndex(2));
        let mut watches = Watches::default();
        watches.add_funding(victim, outpoint(0), Some(BlockHeight(5)), None);
        watches.add_funding(stranger, outpoint(0), None, None);
        watches.forget(stranger);
        let told = watches.spend(outpoint(0), &spender(outpoint(0)), BlockHeight(9));
        assert!(matches!(told.as_slice(), [(ChannelIndex(1), ChainFact::FundingSpent { .. })]));
    }

    #[test]
    fn every_channel_that_one_transaction_funds_hears_of_it() {
        let mut watches = Watches::default();
        watches.add_funding(ChannelIndex(1), outpoint(0), None, None);
        watches.add_funding(ChannelIndex(2), outpoint(1), None, None);
        let funding = watches.fundings.get(&outpoint(0).txid).expect("waited for");
        assert_eq!(funding.len(), 2);
        watches.forget(ChannelIndex(1));
        assert_eq!(watches.fundings.get(&outpoint(0).txid).map(BTreeSet::len), Some(1));
    }

    #[test]
    fn what_was_seen_above_the_followed_tip_is_taken_back_until_a_block_says_it_again() {
        let mut watches = Watches::default();
        let (channel, at) = (ChannelIndex(1), BlockHeight(11));
        watches.add_funding(channel, outpoint(0), Some(BlockHeight(5)), Some(at));
        let facts = watches.rewind(BlockHeight(10)).take(channel);
        assert!(matches!(facts.as_slice(), [ChainFact::FundingUnspent, ChainFact::Tip]));
        assert!(!watches.is_spent(channel, outpoint(0)));
        assert!(watches.is_confirmed(channel, outpoint(0)));
    }
}
