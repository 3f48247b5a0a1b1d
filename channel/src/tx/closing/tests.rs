//! Legacy closes: who pays, what is left out, and that Bitcoin takes them.

use bitcoin::WPubkeyHash;
use bitcoin::hashes::Hash;
use wire::id::Signature;

use super::*;
use crate::signer::Signer;
use crate::tx::tests::{Pair, accepts};

const DUST: Sat = Sat::from_sat(354);

fn close(ours: u64, theirs: u64) -> (Pair, LegacyClose) {
    let pair = Pair::new();
    let payout = |byte: u8, msat: u64| Payout {
        script: ScriptBuf::new_p2wpkh(&WPubkeyHash::from_byte_array([byte; 20])),
        balance: Msat::new(msat).unwrap(),
    };
    let funding = pair.terms(Side::Us, Side::Us).funding;
    let (ours, theirs) = (payout(1, ours), payout(2, theirs));
    (pair, LegacyClose { funding, ours, theirs, funder: Side::Us })
}

fn values(close: &ClosingTx) -> Vec<u64> {
    close.tx().output.iter().map(|out| out.value.to_sat()).collect()
}

#[test]
fn the_funder_pays_the_fee_and_both_get_whole_satoshis() {
    let (_, close) = close(700_000_999, 299_999_001);
    let fee = Sat::from_sat(1_000);
    assert_eq!(values(&close.build(fee, DUST, None).unwrap()), [299_999, 699_000]);
    assert_eq!(values(&close.build(fee, DUST, Some(Side::Them)).unwrap()), [699_000]);
    let theirs = LegacyClose { funder: Side::Them, ..close };
    assert_eq!(values(&theirs.build(fee, DUST, None).unwrap()), [298_999, 700_000]);
}

#[test]
fn an_output_below_the_dust_limit_is_left_out() {
    let (_, close) = close(999_647_000, 353_000);
    assert_eq!(values(&close.build(Sat::ZERO, DUST, None).unwrap()), [999_647]);
    let low = Sat::from_sat(353);
    assert_eq!(values(&close.build(Sat::ZERO, low, None).unwrap()), [353, 999_647]);
    // Whatever either side thinks of dust, its signature is recognised.
    let candidates = close.candidates(Sat::ZERO, DUST, low);
    assert_eq!(
        candidates.iter().map(values).collect::<Vec<_>>(),
        [vec![353, 999_647], vec![999_647]]
    );
}

#[test]
fn a_close_that_cannot_be_is_refused() {
    let (_, poor) = close(1_000, 999_999_000);
    let fee = Sat::from_sat(2);
    let error = CloseError::FeeAboveBalance { fee, balance: Sat::from_sat(1) };
    assert_eq!(poor.build(fee, DUST, None), Err(error));
    let (_, odd) = close(700_000_000, 299_999_999);
    let error =
        CloseError::NotConserved { balances_msat: 999_999_999, funding_msat: 1_000_000_000 };
    assert_eq!(odd.build(fee, DUST, None), Err(error));
    assert!(odd.candidates(fee, DUST, DUST).is_empty());
    let all = Sat::from_sat(1_000_000);
    let (_, whole) = close(1_000_000_000, 0);
    assert_eq!(whole.build(all, DUST, None), Err(CloseError::NoOutput));
}

#[test]
fn both_sign_and_bitcoin_accepts() {
    let (pair, close) = close(700_000_000, 300_000_000);
    let unsigned = close.build(Sat::from_sat(500), DUST, None).unwrap();
    let keys = (pair.us.basepoints().funding, pair.them.basepoints().funding);
    let ours = pair.us.sign_close(&unsigned).unwrap();
    let theirs = pair.them.sign_close(&unsigned).unwrap();
    assert_eq!(unsigned.verify(&keys.1, &theirs), Ok(()));
    assert_eq!(unsigned.verify(&keys.1, &ours), Err(SignatureFault::Wrong));
    assert_eq!(unsigned.verify(&keys.1, &Signature([0; 64])), Err(SignatureFault::Wrong));
    let tx = unsigned.into_signed((&keys.1, &theirs), (&keys.0, &ours)).unwrap();
    assert!(accepts(&tx, 0, &close.funding.to_txout()));
    let slack = close.weight() - tx.weight().to_wu();
    assert!(slack <= 6, "{slack}");
}
