//! Tests of `submit`.

use super::*;
use bitcoin::absolute::LockTime;
use bitcoin::hashes::Hash;
use bitcoin::transaction::Version;
use bitcoin::{OutPoint, ScriptBuf, Sequence, TxIn, TxOut, Witness};

fn spending(parents: &[OutPoint], value: u64) -> Transaction {
    let input = |previous_output| TxIn {
        previous_output,
        script_sig: ScriptBuf::new(),
        sequence: Sequence::MAX,
        witness: Witness::new(),
    };
    Transaction {
        version: Version::TWO,
        lock_time: LockTime::ZERO,
        input: parents.iter().copied().map(input).collect(),
        output: vec![TxOut { value: Amount::from_sat(value), script_pubkey: ScriptBuf::new() }],
    }
}

fn coin(number: u8) -> OutPoint {
    OutPoint::new(Txid::from_byte_array([number; 32]), 0)
}

#[test]
fn a_package_is_a_child_behind_its_parents() {
    let parent = spending(&[coin(1)], 5);
    let child = spending(&[OutPoint::new(parent.compute_txid(), 0)], 4);
    assert!(Package::new(vec![parent.clone(), child.clone()]).is_ok());
    assert_eq!(Package::new(vec![child, parent.clone()]), Err(PackageError::NotSorted));
    assert_eq!(Package::new(vec![parent.clone(), parent.clone()]), Err(PackageError::Duplicates));
    assert_eq!(Package::new(vec![]), Err(PackageError::TooMany));
    let stranger = spending(&[coin(2)], 5);
    assert_eq!(
        Package::new(vec![parent.clone(), stranger]),
        Err(PackageError::NotChildWithParents)
    );
    let rival = spending(&[coin(1)], 6);
    let of_both = spending(
        &[OutPoint::new(parent.compute_txid(), 0), OutPoint::new(rival.compute_txid(), 0)],
        4,
    );
    assert_eq!(Package::new(vec![parent, rival, of_both]), Err(PackageError::Conflict));
}

#[test]
fn an_unknown_estimate_is_not_zero() {
    let rate = |rate| Some(FeeRate::from_sat_per_kwu(rate));
    let table = FeeTable {
        targets: BTreeMap::from([(2, rate(900)), (6, rate(500)), (144, None)]),
        mempool_min: FeeRate::from_sat_per_kwu(250),
        relay_min: FeeRate::from_sat_per_kwu(250),
        incremental: FeeRate::from_sat_per_kwu(250),
    };
    assert_eq!(table.estimate(1), rate(900));
    assert_eq!(table.estimate(5), rate(900));
    assert_eq!(table.estimate(6), rate(500));
    assert_eq!(table.estimate(1000), None);
}
