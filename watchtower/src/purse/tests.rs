//! The wallet alone: what it pays, and what it refuses.

use bitcoin::hashes::Hash as _;
use bitcoin::{Amount, Network, OutPoint, ScriptBuf, Txid};

use super::spend::{SendRefusal, build};
use super::{Keys, Purse};
use crate::respond::topup::Coin;

fn coin(nth: u8, sat: u64) -> Coin {
    Coin {
        outpoint: OutPoint { txid: Txid::from_byte_array([nth; 32]), vout: 0 },
        value: Amount::from_sat(sat),
        script_pubkey: script(9),
    }
}

fn script(nth: u8) -> ScriptBuf {
    ScriptBuf::new_p2wpkh(&bitcoin::WPubkeyHash::from_byte_array([nth; 20]))
}

#[test]
fn a_payment_takes_the_largest_coins_and_gives_change_back() {
    let coins = vec![coin(1, 10_000), coin(2, 90_000), coin(3, 50_000)];
    let sat = Amount::from_sat;
    let (tx, spent) =
        build(coins.clone(), &script(1), Some(sat(100_000)), 1_000, &script(2)).unwrap();
    assert_eq!(spent, [coins[1].clone(), coins[2].clone()]);
    let out: u64 = tx.output.iter().map(|output| output.value.to_sat()).sum();
    let weight = 42 + 2 * 272 + 2 * 124;
    assert_eq!((tx.output.len(), 140_000 - out), (2, weight));
    let (all, spent) = build(coins, &script(1), None, 1_000, &script(2)).unwrap();
    assert_eq!((all.output.len(), spent.len()), (1, 3));
    assert_eq!(all.output[0].value.to_sat(), 150_000 - (42 + 3 * 272 + 124));
}

#[test]
fn what_cannot_be_paid_is_refused_with_its_numbers() {
    let pay = |coins, sat, per_kw| {
        build(coins, &script(1), Some(Amount::from_sat(sat)), per_kw, &script(2)).unwrap_err()
    };
    assert!(
        matches!(pay(vec![coin(1, 9_000)], 9_000, 1_000), SendRefusal::Short { there, .. } if there.to_sat() == 9_000)
    );
    assert!(matches!(pay(Vec::new(), 1_000, 1_000), SendRefusal::Short { .. }));
    assert!(matches!(pay(vec![coin(1, 9_000)], 100, 1_000), SendRefusal::Dust { .. }));
    assert!(matches!(pay(vec![coin(1, 9_000)], 1_000, 249), SendRefusal::Price { given: 249 }));
    assert!(matches!(pay(vec![coin(1, 9_000)], u64::MAX, 1_000), SendRefusal::Short { .. }));
}

#[test]
fn a_wallet_is_the_same_after_its_file_and_that_of_another_seed_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = Some(dir.path().join("wallet.json"));
    let open = |seed: u8| Purse::open(&[seed; 32], Network::Regtest, path.clone(), || 0);
    let mut purse = open(1).unwrap();
    assert!(!purse.is_used());
    let first = purse.address(None, "").unwrap();
    drop(purse);
    let mut purse = open(1).unwrap();
    assert!(purse.is_used());
    assert_ne!(purse.address(None, "").unwrap(), first);
    assert!(open(2).is_err());
    std::fs::write(dir.path().join("wallet.json"), "{").unwrap();
    assert!(open(1).is_err());
    assert_eq!(format!("{:?}", Keys::new(&[1; 32], Network::Regtest).unwrap()), "Keys");
}
