//! What miners earn at every block size, before and after a replacement: the feerate diagram, which from
//! Bitcoin Core 31 on a replacement must improve.

use super::{Candidate, Mempool, Rate};
use bitcoin::Txid;
use std::collections::{BTreeMap, BTreeSet};

/// Transactions with those among them that each stands on.
type Parts = BTreeMap<Txid, (Rate, BTreeSet<Txid>)>;

impl Mempool {
    /// Whether the part of the mempool that a replacement touches is worth more with it than without: at no
    /// size less, at some size more.
    pub(super) fn check_diagram(&self, candidates: &[&Candidate]) -> Result<(), ()> {
        let touched: Vec<Txid> = (candidates.iter())
            .flat_map(|one| one.conflicts.iter().chain(&one.parents).copied())
            .collect();
        let touched = self.cluster(&touched, None);
        let gone: BTreeSet<Txid> =
            candidates.iter().flat_map(|one| one.all_conflicts.iter().copied()).collect();
        let part = |txid: &Txid| {
            let entry = self.get(txid)?;
            Some((*txid, (self.counted_rate(txid, entry), entry.parents.clone())))
        };
        let before: Parts = touched.iter().filter_map(part).collect();
        let mut after: Parts = touched.difference(&gone).filter_map(part).collect();
        for one in candidates {
            let parents = one.tx.input.iter().map(|input| input.previous_output.txid).collect();
            after.insert(one.txid, (one.rate(), parents));
        }
        if improves(&chunks(after), &chunks(before)) { Ok(()) } else { Err(()) }
    }
}

/// The order in which miners take them, in pieces of falling feerate.
fn chunks(mut parts: Parts) -> Vec<Rate> {
    let mut pieces: Vec<Rate> = Vec::new();
    while let Some((rate, group)) = best(&parts) {
        for txid in &group {
            parts.remove(txid);
        }
        let mut piece = rate;
        // A piece that pays more than the one before it belongs to it.
        while let Some(last) = pieces.pop_if(|last| *last < piece) {
            piece = last.and(piece);
        }
        pieces.push(piece);
    }
    pieces
}

/// The transaction that pays most together with all it stands on.
fn best(parts: &Parts) -> Option<(Rate, BTreeSet<Txid>)> {
    let group = |txid: &Txid| {
        let (mut members, mut open) = (BTreeSet::new(), vec![*txid]);
        let mut rate = Rate { fee_sat: 0, vsize: 0 };
        while let Some(txid) = open.pop() {
            let Some((own, parents)) = parts.get(&txid) else { continue };
            if members.insert(txid) {
                rate = rate.and(*own);
                open.extend(parents);
            }
        }
        (rate, members)
    };
    parts.keys().map(group).max_by(|left, right| left.0.cmp(&right.0))
}

/// Whether `new` is nowhere below `old` and somewhere above it.
fn improves(new: &[Rate], old: &[Rate]) -> bool {
    let sizes = |chunks: &[Rate]| {
        let mut sum: u64 = 0;
        let sizes = chunks.iter().map(|chunk| {
            sum = sum.saturating_add(chunk.vsize);
            sum
        });
        sizes.collect::<BTreeSet<u64>>()
    };
    let mut above = false;
    for size in sizes(new).union(&sizes(old)) {
        let (ours, theirs) = (earned(new, *size), earned(old, *size));
        // Fractions, compared by cross multiplication.
        let (left, right) = (ours.0.saturating_mul(theirs.1), theirs.0.saturating_mul(ours.1));
        if left < right {
            return false;
        }
        above |= left > right;
    }
    above
}

/// What the first `size` virtual bytes pay, as a fraction of satoshi.
fn earned(chunks: &[Rate], size: u64) -> (u128, u128) {
    let (mut left, mut sum) = (size, 0_u64);
    for chunk in chunks {
        if left < chunk.vsize {
            let whole = u128::from(sum).saturating_mul(u128::from(chunk.vsize));
            let part = u128::from(chunk.fee_sat).saturating_mul(u128::from(left));
            return (whole.saturating_add(part), u128::from(chunk.vsize));
        }
        left = left.saturating_sub(chunk.vsize);
        sum = sum.saturating_add(chunk.fee_sat);
    }
    (u128::from(sum), 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(fee_sat: u64, vsize: u64) -> Rate {
        Rate { fee_sat, vsize }
    }

    #[test]
    fn a_diagram_improves_only_where_it_is_nowhere_worse() {
        let old = [rate(1_000, 100), rate(100, 100)];
        assert!(improves(&[rate(1_001, 100), rate(100, 100)], &old));
        assert!(!improves(&old, &old));
        assert!(!improves(&[rate(5_000, 1_000)], &old), "less in the first hundred bytes");
        assert!(improves(&[rate(1_100, 100)], &old), "the same money in less room");
        assert!(improves(&old, &[]));
        assert!(!improves(&[rate(999, 100), rate(9_000, 1_000)], &old));
    }

    #[test]
    fn a_child_that_pays_for_its_parent_makes_one_piece_with_it() {
        use bitcoin::hashes::Hash;
        let id = |n: u8| Txid::from_byte_array([n; 32]);
        let parts: Parts = [
            (id(1), (rate(0, 200), BTreeSet::new())),
            (id(2), (rate(4_000, 200), BTreeSet::from([id(1)]))),
            (id(3), (rate(5, 100), BTreeSet::from([id(2)]))),
        ]
        .into();
        let pieces = chunks(parts);
        assert_eq!(pieces.len(), 2);
        assert_eq!((pieces[0].fee_sat, pieces[0].vsize), (4_000, 400));
    }
}
