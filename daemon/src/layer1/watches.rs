//! Outputs that channels watch, and what each block means for them. Pure but for its own memory.

use std::collections::BTreeMap;

use bitcoin::{OutPoint, Script, Transaction, Txid};
use chain_backend::backend::{BlockRef, ChainEvent, Txs};
use channel::ChainFact;
use wire::units::BlockHeight;

use crate::fact::ChannelIndex;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Funding,
    Output,
}

#[derive(Clone, Copy, Debug)]
struct Watched {
    channel: ChannelIndex,
    kind: Kind,
    confirmed: Option<BlockHeight>,
    spent: Option<BlockHeight>,
}

/// What is watched, for whom.
#[derive(Debug, Default)]
pub(super) struct Watches {
    by_outpoint: BTreeMap<OutPoint, Watched>,
    fundings: BTreeMap<Txid, OutPoint>,
}

/// What a block means, by channel.
#[derive(Debug, Default)]
pub(super) struct News(BTreeMap<ChannelIndex, Vec<ChainFact>>);

impl News {
    fn add(&mut self, channel: ChannelIndex, fact: ChainFact) {
        self.0.entry(channel).or_default().push(fact);
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
        _script: &Script,
        confirmed: Option<BlockHeight>,
        spent: Option<BlockHeight>,
    ) {
        self.fundings.insert(outpoint.txid, outpoint);
        self.by_outpoint
            .insert(outpoint, Watched { channel, kind: Kind::Funding, confirmed, spent });
    }

    pub(super) fn add_output(
        &mut self,
        channel: ChannelIndex,
        outpoint: OutPoint,
        spent: Option<BlockHeight>,
    ) {
        let output = Watched { channel, kind: Kind::Output, confirmed: None, spent };
        self.by_outpoint.entry(outpoint).or_insert(output);
    }

    pub(super) fn forget(&mut self, channel: ChannelIndex) {
        self.by_outpoint.retain(|_, watched| watched.channel != channel);
        let kept = &self.by_outpoint;
        self.fundings.retain(|_, outpoint| kept.contains_key(outpoint));
    }

    pub(super) fn is_confirmed(&self, outpoint: OutPoint) -> bool {
        self.by_outpoint.get(&outpoint).is_some_and(|watched| watched.confirmed.is_some())
    }

    pub(super) fn is_spent(&self, outpoint: OutPoint) -> bool {
        self.by_outpoint.get(&outpoint).is_some_and(|watched| watched.spent.is_some())
    }

    /// Takes an event in and says what it means.
    pub(super) fn news(&mut self, event: &ChainEvent) -> News {
        let mut news = News::default();
        match event {
            ChainEvent::Connected { block, txs } => self.connect(block, txs, &mut news),
            ChainEvent::Disconnected { fork, .. } => {
                self.disconnect(BlockHeight(fork.height), &mut news);
            }
            ChainEvent::Mempool(_) | ChainEvent::Synced { .. } => {}
        }
        news
    }

    fn connect(&mut self, block: &BlockRef, txs: &Txs, news: &mut News) {
        let height = BlockHeight(block.height);
        for (index, tx) in txs.iter() {
            if let Some(outpoint) = self.fundings.get(&tx.compute_txid()).copied()
                && let Some((channel, fact)) = self.confirm(outpoint, tx, height, index)
            {
                news.add(channel, fact);
            }
            for input in &tx.input {
                if let Some((channel, fact)) = self.spend(input.previous_output, tx, height) {
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
    ) -> Option<(ChannelIndex, ChainFact)> {
        let watched = self.by_outpoint.get_mut(&outpoint)?;
        watched.confirmed = Some(height);
        let place = usize::try_from(outpoint.vout).ok()?;
        let found = tx.output.get(place).cloned();
        let fact = ChainFact::FundingConfirmed { height, tx_index, outpoint, found };
        Some((watched.channel, fact))
    }

    /// A watched output is spent in a block.
    pub(super) fn spend(
        &mut self,
        outpoint: OutPoint,
        tx: &Transaction,
        height: BlockHeight,
    ) -> Option<(ChannelIndex, ChainFact)> {
        let watched = self.by_outpoint.get_mut(&outpoint)?;
        watched.spent = Some(height);
        let tx = tx.clone();
        let fact = match watched.kind {
            Kind::Funding => ChainFact::FundingSpent { tx, height },
            Kind::Output => ChainFact::OutputSpent { outpoint, tx, height },
        };
        Some((watched.channel, fact))
    }

    /// Everything above the fork never happened: last things first.
    fn disconnect(&mut self, fork: BlockHeight, news: &mut News) {
        let above = |height: Option<BlockHeight>| height.is_some_and(|height| height > fork);
        for kind in [Kind::Output, Kind::Funding] {
            for (outpoint, watched) in &mut self.by_outpoint {
                if watched.kind == kind && above(watched.spent) {
                    watched.spent = None;
                    let fact = match kind {
                        Kind::Funding => ChainFact::FundingUnspent,
                        Kind::Output => ChainFact::OutputUnspent { outpoint: *outpoint },
                    };
                    news.add(watched.channel, fact);
                }
            }
        }
        for watched in self.by_outpoint.values_mut() {
            if watched.kind == Kind::Funding && above(watched.confirmed) {
                watched.confirmed = None;
                news.add(watched.channel, ChainFact::FundingUnconfirmed);
            }
        }
    }
}
