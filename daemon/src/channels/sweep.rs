//! What a channel tells the sweeper: its claims, and its commitment that waits for a block.
//!
//! Not here: what is ours to claim (`channel::onchain`), what becomes of it (`crate::sweeper`).

use std::collections::BTreeMap;

use bitcoin::{Amount, Transaction, Txid};
use wire::units::BlockHeight;

use crate::channels::task::ChannelTask;
use crate::layer1;
use crate::sweeper::{Parent, Stuck};
use crate::tasks::Fatal;

/// Blocks that a commitment of ours with HTLCs may wait before its anchor pays for it.
const WAIT_WITH_HTLCS: u32 = 2;

/// The same without HTLCs.
const WAIT: u32 = 12;

/// Our commitment on its way to a block.
#[derive(Debug, Default)]
pub(super) struct Closing {
    /// The transaction, and since when it waits.
    close: Option<(Transaction, BlockHeight)>,
    /// The commitment that waits for a block, and since when it was seen to.
    waits: Option<(Txid, BlockHeight)>,
    /// Whether the sweeper knows of it.
    told: bool,
    /// Whether the sweeps that a restart found are noted.
    noted: bool,
}

impl Closing {
    /// Our commitment goes to the miners.
    pub(super) fn begin(&mut self, tx: Transaction, now: BlockHeight) {
        let known = self.close.as_ref().is_some_and(|(old, _)| *old == tx);
        if !known {
            self.close = Some((tx, now));
        }
    }
}

impl ChannelTask {
    /// Tells the sweeper of a commitment that waits, or that none does any more.
    pub(super) fn tell_stuck(&mut self) -> Result<(), Fatal> {
        let stuck = self.stuck();
        if stuck.is_none() && !self.closing.told {
            return Ok(());
        }
        self.closing.told = stuck.is_some();
        let channel = self.index;
        self.layer1(layer1::FromChannel::Closing { channel, stuck: stuck.map(Box::new) })
    }

    /// Our commitment, or the peer's if that is what the mempool has, while no block has it. BOLT 5 §
    /// Failing a Channel.
    fn stuck(&mut self) -> Option<Stuck> {
        let now = *self.common.height.borrow();
        let channel = self.channel()?;
        if channel.state()?.chain.spent.is_some() {
            return None;
        }
        let env = self.env();
        let theirs = channel.bump_seen(&env).zip(channel.seen(&env).map(|(tx, _)| tx.clone()));
        let (mut anchor, close, since) = match (theirs, &self.closing.close) {
            (Some((anchor, close)), _) => (anchor, close, now),
            (None, Some((close, since))) => (channel.bump(&env)?, close.clone(), *since),
            (None, None) => return None,
        };
        // What has passed already decides nothing about this transaction.
        anchor.deadline = anchor.deadline.filter(|deadline| *deadline > now);
        let txid = close.compute_txid();
        let since = match self.closing.waits {
            Some((waits, earlier)) if waits == txid => earlier,
            _ => since,
        };
        self.closing.waits = Some((txid, since));
        let channel = self.channel()?;
        if anchor.spend.outpoint.txid != txid {
            return None;
        }
        let weight = close.weight().to_wu();
        let out = close.output.iter().map(|txout| txout.value.to_sat());
        let out = Amount::from_sat(out.fold(0, u64::saturating_add));
        let fee = channel.capacity()?.checked_sub(out).unwrap_or(Amount::ZERO);
        let (ours, _) = channel.balances()?;
        let htlcs =
            channel.state()?.ledger.htlcs().map(|(_, htlc)| htlc.add.amount_msat.floor_sat());
        let htlcs = Amount::from_sat(htlcs.map(Amount::to_sat).fold(0, u64::saturating_add));
        let with_htlcs = htlcs > Amount::ZERO;
        Some(Stuck {
            anchor,
            parent: Parent { txid, weight, fee },
            stake: if with_htlcs { htlcs } else { ours.floor_sat() },
            since,
            urgent: with_htlcs,
            patience: if with_htlcs { WAIT_WITH_HTLCS } else { WAIT },
        })
    }

    /// The sweeps of this channel as users see them: those on their way, and those that came in.
    pub(super) fn note_sweeps(&mut self) {
        // The sweeper forgets a channel as soon as that is over, maybe sooner than it is shown for the last time.
        let news = !self.over && self.common.sweeps.has_changed().unwrap_or(false);
        if self.closing.noted && !news {
            return;
        }
        self.closing.noted = true;
        let book = self.common.sweeps.borrow_and_update();
        let mut all: BTreeMap<Txid, (u64, u64, Amount)> = BTreeMap::new();
        for progress in book.values() {
            if let Some(txid) = progress.txid {
                let share = all.entry(txid).or_insert((0, 0, progress.fee));
                share.1 = share.1.saturating_add(1);
                if progress.channel == self.index {
                    share.0 = share.0.saturating_add(1);
                }
            }
        }
        drop(book);
        let of_channel = all.into_iter().filter(|(_, (ours, ..))| *ours > 0);
        self.meta.sweeps = of_channel
            .map(|(txid, (ours, every, fee))| {
                let part = fee.to_sat().saturating_mul(ours).checked_div(every).unwrap_or(0);
                (txid, Amount::from_sat(part))
            })
            .collect();
    }
}
