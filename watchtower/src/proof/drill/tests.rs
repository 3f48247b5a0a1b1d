//! Drills on paper: the breach and everything that can answer it, run by Core's script verifier; and whole
//! rehearsals on a chain.

mod rehearsal;

use bitcoin::consensus::encode::serialize;
use bitcoin::hashes::Hash as _;
use bitcoin::{OutPoint, ScriptBuf, Transaction, TxOut, Txid};
use secp256k1::{PublicKey, SECP256K1, SecretKey};
use wire::codec::Encode as _;
use wire::units::{BlockHeight, FeeratePerKw, Sat};

use super::{Drill, DrillError, Outcome, Shape, judge};
use crate::hint::Hint;
use crate::kit::claim::{ClaimKind, Way};
use crate::kit::sealed::{evaluate, open};
use crate::kit::template::{Covers, Step, Template};

fn sweep_script() -> ScriptBuf {
    ScriptBuf::from_bytes([vec![0x51, 0x20], vec![0x44; 32]].concat())
}

fn shape() -> Shape {
    let step = |feerate| Step { feerate: FeeratePerKw(feerate), covers: Covers::All };
    Shape {
        amount: Sat::from_sat(100_000),
        to_remote: Sat::from_sat(30_000),
        commitment_feerate: FeeratePerKw(1_000),
        to_self_delay: 144,
        ladder: vec![step(1_000), step(5_000)],
        sweep_script: sweep_script(),
    }
}

fn funding() -> OutPoint {
    OutPoint { txid: Txid::from_byte_array([9; 32]), vout: 1 }
}

fn session() -> PublicKey {
    SecretKey::from_slice(&[3; 32]).unwrap().public_key(SECP256K1)
}

fn verify(tx: &Transaction, spent: &[TxOut]) {
    let bytes = serialize(tx);
    for (place, output) in spent.iter().enumerate() {
        bitcoinconsensus::verify_with_flags(
            output.script_pubkey.as_bytes(),
            output.value.to_sat(),
            &bytes,
            None,
            place,
            bitcoinconsensus::VERIFY_ALL_PRE_TAPROOT,
        )
        .unwrap_or_else(|error| panic!("input {place}: {error:?}"));
    }
}

#[test]
fn the_breach_is_a_commitment_that_the_funding_output_pays_for() {
    let drill = Drill::new(&[1; 32], shape()).unwrap();
    let staged = drill.stage(funding()).unwrap();
    let funded = TxOut { value: shape().amount, script_pubkey: drill.funding_script() };
    assert!(funded.script_pubkey.is_p2wsh());
    verify(&staged.breach, &[funded]);
    let breach = &staged.breach;
    assert_eq!(breach.input[0].previous_output, funding());
    // As every commitment: the number hidden in both, two anchors, both balances.
    assert_eq!(breach.input[0].sequence.0 >> 24, 0x80);
    assert_eq!(breach.lock_time.to_consensus_u32() >> 24, 0x20);
    let values: Vec<u64> = breach.output.iter().map(|output| output.value.to_sat()).collect();
    let to_local = 100_000 - 30_000 - 660 - 1_124;
    assert_eq!(values, [330, 330, 30_000, to_local]);
    assert_eq!(staged.value.to_sat(), to_local);
}

#[test]
fn a_tower_makes_of_the_record_what_it_makes_of_any_other() {
    let drill = Drill::new(&[1; 32], shape()).unwrap();
    let staged = drill.stage(funding()).unwrap();
    let template = Template::from_bytes(&staged.template.encoded()).unwrap();
    let txid = staged.breach.compute_txid();
    let sealed = staged.sealed(&session(), 0);
    assert_eq!(sealed.hint, Hint::of(&txid));
    assert_eq!(sealed.ciphertext.len(), 33 + 1 + 2 * 64 + 16);
    let record = open(&sealed.ciphertext, &txid, &session(), 0).unwrap();
    let claims = evaluate(&template, &record, &staged.breach).unwrap();
    let [claim] = claims.as_slice() else { panic!("{claims:?}") };
    assert_eq!((claim.kind, claim.outpoint), (ClaimKind::ToLocal, staged.target));
    let Way::Ladder(rungs) = &claim.way else { panic!("{:?}", claim.way) };
    assert_eq!(rungs.len(), 2);
    for rung in rungs {
        verify(&rung.tx, &[claim.txout()]);
        assert_eq!(rung.tx.output[0].script_pubkey, sweep_script());
    }
}

#[test]
fn the_same_entropy_is_the_same_drill_and_another_is_another() {
    let stage = |byte| Drill::new(&[byte; 32], shape()).unwrap().stage(funding()).unwrap();
    assert_eq!(stage(1), stage(1));
    assert_ne!(stage(1).breach, stage(2).breach);
    assert_ne!(stage(1).template.revocation_basepoint, stage(2).template.revocation_basepoint);
}

#[test]
fn what_no_tower_took_comes_back() {
    let drill = Drill::new(&[1; 32], shape()).unwrap();
    let staged = drill.stage(funding()).unwrap();
    let txid = staged.breach.compute_txid();
    let all: Vec<OutPoint> = (0..4).map(|vout| OutPoint { txid, vout }).collect();
    let home = ScriptBuf::from_bytes([vec![0x00, 0x14], vec![0x55; 20]].concat());
    let collect = |unspent: &[OutPoint]| {
        drill.collect(funding(), unspent, &home, FeeratePerKw(1_000)).unwrap()
    };
    let both = collect(&all).unwrap();
    let spent: Vec<TxOut> = both
        .input
        .iter()
        .map(|input| staged.breach.output[input.previous_output.vout as usize].clone())
        .collect();
    assert_eq!(both.input.len(), 2);
    verify(&both, &spent);
    let fee =
        spent.iter().map(|out| out.value.to_sat()).sum::<u64>() - both.output[0].value.to_sat();
    let weight = both.weight().to_wu();
    assert!((weight..weight + 12).contains(&fee), "{fee} for {weight}");
    // After the tower's justice only `to_remote` is there.
    let remote: Vec<OutPoint> = all.into_iter().filter(|place| *place != staged.target).collect();
    assert_eq!(collect(&remote).unwrap().input.len(), 1);
    assert_eq!(collect(&[]), None);
}

#[test]
fn after_its_delay_the_cheater_takes_its_output_as_every_cheater_does() {
    let drill = Drill::new(&[1; 32], shape()).unwrap();
    let staged = drill.stage(funding()).unwrap();
    let home = ScriptBuf::from_bytes([vec![0x00, 0x14], vec![0x55; 20]].concat());
    let theft = drill.take_as_cheater(funding(), &home, FeeratePerKw(1_000)).unwrap().unwrap();
    let [input] = theft.input.as_slice() else { panic!("{theft:?}") };
    assert_eq!((input.previous_output, input.sequence.0), (staged.target, 144));
    assert!(input.witness.nth(1).unwrap().is_empty(), "not by the revocation key");
    verify(&theft, &[staged.breach.output[staged.target.vout as usize].clone()]);
}

#[test]
fn a_record_that_counts_is_among_others_that_look_the_same() {
    let mut places = std::collections::BTreeSet::new();
    for byte in 1..40 {
        let drill = Drill::new(&[byte; 32], shape()).unwrap();
        let staged = drill.stage(funding()).unwrap();
        let (records, place) = drill.records(&staged, &session());
        assert_eq!(drill.records(&staged, &session()).0, records, "the same again");
        assert!((2..=21).contains(&records.len()), "{}", records.len());
        let real = staged.sealed(&session(), place);
        assert_eq!(records[place as usize], real);
        let length = real.ciphertext.len();
        assert!(records.iter().all(|record| record.ciphertext.len() == length));
        let hints: std::collections::BTreeSet<_> =
            records.iter().map(|record| record.hint.0).collect();
        assert_eq!(hints.len(), records.len());
        places.insert(place);
    }
    assert!(places.len() > 5, "{places:?}");
}

#[test]
fn a_drill_that_nobody_could_answer_is_not_started() {
    for amount in [0, 500, 30_000, 32_500] {
        let shape = Shape { amount: Sat::from_sat(amount), ..shape() };
        let refused = Drill::new(&[1; 32], shape).unwrap().stage(funding());
        assert_eq!(refused, Err(DrillError::TooLittle(Sat::from_sat(amount))), "{amount}");
    }
}

#[test]
fn the_judge_counts_from_the_block_of_the_breach() {
    let drill = Drill::new(&[1; 32], shape()).unwrap();
    let staged = drill.stage(funding()).unwrap();
    let target = staged.breach.output[staged.target.vout as usize].clone();
    let at = |breach: Option<u32>, spender: Option<(&Transaction, u32)>, tip| {
        let spender = spender.map(|(tx, height)| (tx, BlockHeight(height)));
        let breach = breach.map(BlockHeight);
        judge(&target, &sweep_script(), breach, spender, BlockHeight(tip), 12)
    };
    assert_eq!(at(None, None, 500), Outcome::Waiting { blocks_left: 12 });
    assert_eq!(at(Some(100), None, 100), Outcome::Waiting { blocks_left: 12 });
    assert_eq!(at(Some(100), None, 111), Outcome::Waiting { blocks_left: 1 });
    assert_eq!(at(Some(100), None, 112), Outcome::Failed { blocks: 12 });
    let record = &staged.record;
    let claims = evaluate(&staged.template, record, &staged.breach).unwrap();
    let Way::Ladder(rungs) = &claims[0].way else { panic!() };
    let (tx, fee) = (&rungs[1].tx, rungs[1].fee);
    let justice = tx.compute_txid();
    let passed = Outcome::Passed { justice, blocks: 3, fee };
    assert_eq!(at(Some(100), Some((tx, 103)), 150), passed);
    let elsewhere = drill
        .collect(
            funding(),
            &[staged.target],
            &ScriptBuf::from_bytes(vec![0x51; 34]),
            FeeratePerKw(253),
        )
        .unwrap()
        .unwrap();
    let stolen = Outcome::Stolen { by: elsewhere.compute_txid() };
    assert_eq!(at(Some(100), Some((&elsewhere, 103)), 150), stolen);
}
