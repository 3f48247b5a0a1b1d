//! What must be true of every mempool on every chain (tests).

use super::{ChainView, Mempool, size_of};
use crate::builtin::policy::fee_at;
use std::collections::BTreeSet;

impl Mempool {
    /// Panics at the first thing that does not fit.
    pub(crate) fn check_whole(&self, view: &ChainView<'_>) {
        let mut spends = 0;
        for (txid, entry) in self.iter() {
            let (mut spent, mut parents) = (0, BTreeSet::new());
            for input in &entry.tx.input {
                let outpoint = input.previous_output;
                assert_eq!(self.spends.get(&outpoint), Some(txid), "a coin is spent once");
                spends += 1;
                if let Some(parent) = self.get(&outpoint.txid) {
                    parents.insert(outpoint.txid);
                    assert!(parent.children.contains(txid));
                    spent += parent.tx.output[outpoint.vout as usize].value.to_sat();
                } else {
                    spent += view.coins.get(&outpoint).expect("a coin").output.value.to_sat();
                }
            }
            assert_eq!(entry.parents, parents);
            assert!(entry.children.iter().all(|child| self.get(child).is_some()));
            let paid: u64 = entry.tx.output.iter().map(|output| output.value.to_sat()).sum();
            assert_eq!(spent, paid + entry.fee_sat, "no satoshi from nowhere");
            assert!(!(view.confirmed)(txid), "what is in a block does not wait");
            let family: Vec<_> = self.descendants(&[*txid]).into_iter().collect();
            let (fees, vsize) = (family.iter().filter_map(|txid| self.get(txid)))
                .fold((0, 0), |(fees, vsize), one| (fees + one.fee_sat, vsize + one.vsize));
            let owed = |vsize| fee_at(self.floor_sat_kvb, vsize);
            assert!(fees >= owed(vsize) || entry.fee_sat >= owed(entry.vsize), "above the floor");
        }
        assert_eq!(spends, self.spends.len());
        assert_eq!(self.wtxids.len(), self.entries.len());
        assert_eq!(self.size, self.entries.values().map(|entry| size_of(&entry.tx)).sum::<u64>());
    }
}
