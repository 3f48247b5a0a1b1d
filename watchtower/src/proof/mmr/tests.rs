//! The range against a naive tree that keeps every leaf.

use proptest::prelude::*;
use wire::codec::{Decode, Encode};

use super::super::tagged::tagged;
use super::{Mmr, Node, Path, PathError, leaf, path};

fn leaves(count: u32) -> Vec<Node> {
    (0..count).map(|seq| leaf(seq, &[7; 16], &seq.to_le_bytes())).collect()
}

/// The top of a perfect tree, by halves.
fn naive_top(leaves: &[Node]) -> Node {
    match leaves {
        [only] => *only,
        all => {
            let (left, right) = all.split_at(all.len() / 2);
            tagged("wt2/node", &[&naive_top(left), &naive_top(right)])
        }
    }
}

/// The root by the definition: the largest tree first, each top by halves.
fn naive_root(leaves: &[Node]) -> Node {
    if leaves.is_empty() {
        return [0; 32];
    }
    let mut peaks = Vec::new();
    let mut rest = leaves;
    while !rest.is_empty() {
        let (tree, after) = rest.split_at(1 << rest.len().ilog2());
        peaks.push(naive_top(tree));
        rest = after;
    }
    let peaks: Vec<&[u8]> = peaks.iter().map(|peak| &peak[..]).collect();
    let bagged = tagged("wt2/peaks", &peaks);
    let count = u32::try_from(leaves.len()).unwrap();
    tagged("wt2/root", &[&count.to_be_bytes(), &bagged])
}

#[test]
fn the_root_is_that_of_the_naive_tree_for_every_size_up_to_130() {
    let all = leaves(130);
    let mut range = Mmr::new();
    for size in 0..all.len() {
        assert_eq!(range.root(), naive_root(&all[..size]), "{size}");
        assert_eq!(range.peaks().len() as u32, (size as u32).count_ones());
        range.append(all[size]);
    }
}

#[test]
fn every_leaf_of_every_small_range_has_a_path_to_its_root_and_no_other_leaf_does() {
    for size in 1..40 {
        let all = leaves(size);
        let root = naive_root(&all);
        for (index, leaf) in (0..).zip(&all) {
            let path = path(index, all.iter().copied()).unwrap();
            assert_eq!(path.root(leaf), Ok(root), "{index} of {size}");
            let other = (index + 1) % size;
            if other != index {
                assert_ne!(path.root(&all[other as usize]), Ok(root));
            }
        }
    }
}

#[test]
fn a_leaf_that_is_not_there_has_no_path() {
    assert_eq!(path(5, leaves(5)), Err(PathError::NoSuchLeaf { index: 5, count: 5 }));
    assert_eq!(path(0, []), Err(PathError::NoSuchLeaf { index: 0, count: 0 }));
}

#[test]
fn a_path_of_another_shape_is_refused() {
    let all = leaves(11);
    let good = path(4, all.iter().copied()).unwrap();
    let shorter = Path { siblings: good.siblings[1..].to_vec(), ..good.clone() };
    assert_eq!(shorter.root(&all[4]), Err(PathError::Shape));
    let longer = Path { others: [good.others.clone(), vec![[0; 32]]].concat(), ..good.clone() };
    assert_eq!(longer.root(&all[4]), Err(PathError::Shape));
    let elsewhere = Path { index: 11, ..good };
    assert_eq!(elsewhere.root(&all[4]), Err(PathError::NoSuchLeaf { index: 11, count: 11 }));
}

#[test]
fn an_inner_node_is_no_leaf() {
    // Without tags of their own, the top of a tree of two could be passed off as a record.
    let all = leaves(2);
    let top = Mmr::from_iter(all).peaks()[0];
    let forged = Path { index: 0, count: 1, siblings: vec![], others: vec![] };
    assert_ne!(forged.root(&top).unwrap(), naive_root(&leaves(2)));
}

#[test]
fn peaks_that_do_not_fit_the_count_are_no_range() {
    assert!(Mmr::resume(3, vec![[1; 32]]).is_err());
    assert!(Mmr::resume(0, vec![[1; 32]]).is_err());
    assert!(Mmr::resume(3, vec![[1; 32], [2; 32]]).is_ok());
}

#[test]
fn the_state_of_a_million_records_is_a_few_hundred_bytes() {
    let range = Mmr::from_iter((0..1_000_000_u32).map(|seq| {
        let mut node = [0; 32];
        node[..4].copy_from_slice(&seq.to_be_bytes());
        node
    }));
    assert_eq!(range.encoded().len(), 4 + 32 * 1_000_000_u32.count_ones() as usize);
}

proptest! {
    #[test]
    fn a_range_goes_on_from_its_peaks(first in 0_u32..300, second in 0_u32..300) {
        let all = leaves(first + second);
        let mut range = Mmr::from_iter(all.iter().take(first as usize).copied());
        range = Mmr::decode_exact(&range.encoded()).unwrap();
        range.extend(all.iter().skip(first as usize).copied());
        prop_assert_eq!(range.root(), naive_root(&all));
    }

    #[test]
    fn a_path_survives_its_encoding_and_any_changed_bit_breaks_it(
        size in 1_u32..200, at in any::<prop::sample::Index>(), bit in any::<prop::sample::Index>(),
    ) {
        let all = leaves(size);
        let index = at.index(all.len());
        let good = path(index as u32, all.iter().copied()).unwrap();
        let root = naive_root(&all);
        let mut bytes = good.encoded();
        prop_assert_eq!(&Path::decode_exact(&bytes).unwrap(), &good);
        let bit = bit.index(bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        let still = Path::decode_exact(&bytes).is_ok_and(|p| p.root(&all[index]) == Ok(root));
        prop_assert!(!still);
    }

    #[test]
    fn any_bytes_are_a_path_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(path) = Path::decode_exact(&bytes) {
            prop_assert!(path.root(&[0; 32]).is_ok());
            prop_assert_eq!(path.encoded(), bytes);
        }
    }
}
