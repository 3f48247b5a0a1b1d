//! Feerates and attempts, without a channel.

use bitcoin::hashes::Hash as _;
use bitcoin::{Amount, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, Txid, Witness};
use channel::onchain::Claim;
use channel::tx::{Recipe, Spend};
use proptest::prelude::*;
use wire::units::{BlockHeight, FeeratePerKw};

use super::attempts::{Attempts, Job, Plan};
use super::rate::{Hurry, is_better, rate};
use crate::layer1::Feerates;

const TIP: BlockHeight = BlockHeight(1_000);

fn feerates(normal: u32) -> Feerates {
    let relaxed = FeeratePerKw(normal / 2).max(FeeratePerKw::FLOOR);
    Feerates { normal: FeeratePerKw(normal), commitment: FeeratePerKw::FLOOR, relaxed }
}

fn claim(number: u8, sat: u64, deadline: Option<u32>) -> Claim {
    let spend = Spend {
        outpoint: OutPoint { txid: Txid::from_byte_array([number; 32]), vout: 0 },
        value: Amount::from_sat(sat),
        witness_script: ScriptBuf::from(vec![0; 37]),
        recipe: Recipe::ToRemote,
    };
    let (deadline, contested) = (deadline.map(BlockHeight), deadline.is_some());
    Claim { spend, htlc: None, mature: TIP, deadline, contested }
}

fn plan(attempts: &mut Attempts, claims: &[Claim], tip: u32) -> Plan {
    attempts.plan(claims, None, BlockHeight(tip), &feerates(1_000))
}

fn home() -> ScriptBuf {
    ScriptBuf::new_p2wpkh(&bitcoin::WPubkeyHash::from_byte_array([1; 20]))
}

fn done(attempts: &mut Attempts, job: &Job) {
    attempts.made(job.name, Txid::from_byte_array([9; 32]), job.feerate);
}

#[test]
fn a_claim_is_tried_once_and_again_when_it_should_pay_more() {
    let mut attempts = Attempts::default();
    let claims = [claim(1, 50_000, Some(1_030))];
    let first = plan(&mut attempts, &claims, 1_000).jobs.remove(0);
    assert_eq!(first.feerate, FeeratePerKw(1_000));
    // Nothing was made of it: it is tried at every block.
    assert_eq!(plan(&mut attempts, &claims, 1_001).jobs.len(), 1);
    done(&mut attempts, &first);
    assert!(plan(&mut attempts, &claims, 1_002).jobs.is_empty());
    let nearer = plan(&mut attempts, &claims, 1_012).jobs.remove(0);
    assert_eq!((nearer.name, nearer.feerate), (first.name, FeeratePerKw(4_000)));
    done(&mut attempts, &nearer);
    assert!(plan(&mut attempts, &claims, 1_013).jobs.is_empty());
    let last = plan(&mut attempts, &claims, 1_029).jobs.remove(0);
    assert_eq!(last.feerate, FeeratePerKw(32_000));
    let gone = plan(&mut attempts, &[], 1_030);
    assert_eq!((gone.jobs.len(), gone.free), (0, vec![first.name]));
}

#[test]
fn when_one_of_a_group_is_taken_the_rest_goes_again_at_once() {
    let mut attempts = Attempts::default();
    let claims = [claim(1, 50_000, None), claim(2, 60_000, None)];
    let first = plan(&mut attempts, &claims, 1_000).jobs.remove(0);
    assert_eq!(first.spends.len(), 2);
    done(&mut attempts, &first);
    assert!(plan(&mut attempts, &claims, 1_001).jobs.is_empty());
    let rest = plan(&mut attempts, &claims[1..], 1_001).jobs.remove(0);
    assert_eq!((rest.name, rest.spends.len(), rest.replaces), (first.name, 1, None));
}

#[test]
fn a_restart_finds_what_is_under_way_and_tells_coins_from_claims() {
    let claims = [claim(1, 50_000, None), claim(2, 60_000, None)];
    let mut attempts = Attempts::default();
    let before = plan(&mut attempts, &claims, 1_000).jobs.remove(0);
    let input = |previous_output, witness: &[Vec<u8>]| TxIn {
        previous_output,
        script_sig: ScriptBuf::new(),
        sequence: Sequence::MAX,
        witness: Witness::from_slice(witness),
    };
    let coin = |vout| OutPoint { txid: Txid::from_byte_array([7; 32]), vout };
    let ours = &[vec![1; 71], vec![0; 37]][..];
    let tx = Transaction {
        version: bitcoin::transaction::Version::TWO,
        lock_time: bitcoin::absolute::LockTime::ZERO,
        input: vec![
            input(claims[0].spend.outpoint, ours),
            input(claims[1].spend.outpoint, ours),
            input(coin(0), &[vec![1; 71], vec![2; 33]]),
            input(coin(1), &[vec![1; 64]]),
        ],
        output: Vec::new(),
    };
    let mut restored = Attempts::restore(&[tx], TIP);
    // At the least feerate nothing has to be done.
    let low = feerates(FeeratePerKw::FLOOR.0);
    assert!(restored.plan(&claims, None, TIP, &low).jobs.is_empty());
    let again = plan(&mut restored, &claims[1..], 1_001).jobs.remove(0);
    assert_eq!((again.name, again.spends.len()), (before.name, 1));
}

proptest! {
    #[test]
    fn a_feerate_never_falls_while_time_runs(
        normal in 253_u32..50_000, contested: bool, remaining in proptest::option::of(1_u32..100),
        waited in 0_u32..200,
    ) {
        let feerates = feerates(normal);
        let now = Hurry { contested, remaining, waited };
        let later = Hurry {
            remaining: remaining.map(|blocks| blocks - 1),
            waited: waited + 1,
            ..now
        };
        let (now, later) = (rate(&feerates, &now), rate(&feerates, &later));
        prop_assert!(later >= now);
        prop_assert!(now >= FeeratePerKw::FLOOR && later <= FeeratePerKw(250_000));
        prop_assert!(!is_better(now, now));
        prop_assert!(is_better(FeeratePerKw(now.0 * 2), now));
    }

    #[test]
    fn no_claim_costs_more_than_it_is_worth(sat in 330_u64..100_000, normal in 253_u32..100_000) {
        let mut attempts = Attempts::default();
        let claims = [claim(1, sat, Some(1_002))];
        let plan = attempts.plan(&claims, None, TIP, &feerates(normal));
        for job in plan.jobs {
            if let Some((sweep, feerate)) = job.build(&[], &home()) {
                prop_assert!(sweep.fee <= Amount::from_sat(sat));
                prop_assert!(feerate <= job.feerate);
                let out: Amount = sweep.tx.output.iter().map(|txout| txout.value).sum();
                prop_assert_eq!(out + sweep.fee, Amount::from_sat(sat));
            } else {
                // Not even at the least feerate.
                prop_assert!(sat < 294 + 253 * 600 / 1_000);
            }
        }
    }
}
