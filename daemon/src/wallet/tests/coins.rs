//! Coins that pay for transactions which others sign, too.

use channel::onchain::sweep::{Sweep, build};
use channel::tx::{Recipe, Spend as Claim};

use super::*;

const NAME: PromiseId = PromiseId([3; 32]);
const PURPOSE: SetAside = SetAside::Channel(ChannelId([8; 32]));

/// An output as of a channel, but one that anybody can spend, and the transaction it is in.
fn claim(bench: &mut Bench) -> (Claim, Transaction) {
    let witness_script = ScriptBuf::from(vec![0x51]);
    bench.salt += 1;
    let from = OutPoint::new(Txid::from_byte_array([7; 32]), bench.salt);
    let tx = paying(from, witness_script.to_p2wsh(), 10_000);
    let outpoint = OutPoint::new(tx.compute_txid(), 0);
    let value = Amount::from_sat(10_000);
    (Claim { outpoint, value, witness_script, recipe: Recipe::Anchor }, tx)
}

fn hold(bench: &mut Bench, sat: u64) -> Option<Picked> {
    let (picked, fact) = bench.wallet.hold(NAME, PURPOSE, Amount::from_sat(sat), RATE, false, NOW);
    bench.keep(fact);
    picked
}

/// A transaction that takes the claim and the coins, signed by both.
fn signed(bench: &Bench, claim: &Claim, picked: &Picked, rate: u32) -> (Transaction, Sweep) {
    let sweep = build(&[claim], &picked.coins, &picked.change, FeeratePerKw(rate)).unwrap();
    let mut tx = sweep.tx.clone();
    tx.input[0].witness = Witness::from_slice(&[claim.witness_script.as_bytes()]);
    let prevout = TxOut { value: claim.value, script_pubkey: claim.witness_script.to_p2wsh() };
    let tx = bench.wallet.sign_held(NAME, tx, &[(claim.outpoint, prevout)]).unwrap();
    (tx, sweep)
}

fn promise(bench: &mut Bench, tx: &Transaction) {
    let label = Label { text: "sweep".into(), channel: None };
    let fact = bench.wallet.promise_held(NAME, PURPOSE, tx.clone(), label, NOW);
    bench.keep(fact);
}

#[test]
fn held_coins_of_both_kinds_are_signed_for_beside_anothers_input_and_consensus_agrees() {
    let mut bench = Bench::new();
    let taproot = bench.receive(20_000);
    let to = bench.address(AddressKind::WitnessKey);
    let witness =
        paying(OutPoint::new(Txid::from_byte_array([5; 32]), 1), to.script_pubkey(), 9_000);
    bench.mine(vec![witness.clone()]);
    let (claim, parent) = claim(&mut bench);
    let picked = hold(&mut bench, 25_000).unwrap();
    assert_eq!(picked.coins.len(), 2);
    let (tx, sweep) = signed(&bench, &claim, &picked, 1_000);
    verify(&tx, &[taproot, witness, parent]);
    assert!(tx.weight().to_wu() <= sweep.weight, "never heavier than it was paid for");
    assert!(tx.weight().to_wu() + 120 >= sweep.weight);
}

#[test]
fn held_and_promised_coins_are_nobody_elses_until_the_transaction_is_settled() {
    let mut bench = Bench::new();
    let coin = bench.receive(50_000);
    let (claim, _) = claim(&mut bench);
    let picked = hold(&mut bench, 5_000).unwrap();
    assert!(bench.promise(1, &spend(1_000)).is_err(), "held");
    bench.wallet.unhold(NAME);
    assert!(bench.wallet.plan(&spend(1_000)).is_ok(), "let go");

    let picked_again = hold(&mut bench, 5_000).unwrap();
    assert_eq!(picked_again.coins, picked.coins);
    let (tx, _) = signed(&bench, &claim, &picked_again, 1_000);
    promise(&mut bench, &tx);
    bench.check_restart();
    assert!(bench.promise(1, &spend(1_000)).is_err(), "promised");
    assert_eq!(bench.wallet.balance(0).promised, coin.output[0].value);
    bench.wallet = bench.restarted();
    assert!(bench.promise(1, &spend(1_000)).is_err(), "promised after a restart, too");

    // The mempool has it, then somebody else takes the claim.
    bench.apply(&ChainEvent::Mempool(MempoolDelta::Added {
        tx: Arc::new(tx.clone()),
        fee: Amount::ZERO,
    }));
    let txid = tx.compute_txid();
    let fact = bench.wallet.settle(&[txid], &[txid], UnixMillis(NOW.0 + 1));
    bench.keep(fact);
    assert_eq!(bench.wallet.balance(0).confirmed, coin.output[0].value);
    assert_eq!(bench.wallet.promises().count(), 0);
    assert!(bench.wallet.pending().is_empty());
    assert!(bench.wallet.plan(&spend(1_000)).is_ok(), "free again");
    bench.check_restart();
}

#[test]
fn a_replacement_keeps_its_coins_and_its_change_and_adds_what_is_missing() {
    let mut bench = Bench::new();
    let coins = [bench.receive(3_000), bench.receive(40_000)];
    let (claim, parent) = claim(&mut bench);
    let small = hold(&mut bench, 1_500).unwrap();
    assert_eq!(small.coins.len(), 1, "the smallest that is enough");
    let (tx, _) = signed(&bench, &claim, &small, 1_000);
    promise(&mut bench, &tx);
    let more = hold(&mut bench, 20_000).unwrap();
    assert_eq!((more.coins.len(), &more.change), (2, &small.change));
    let (bumped, _) = signed(&bench, &claim, &more, 10_000);
    verify(&bumped, &[coins[0].clone(), coins[1].clone(), parent]);
    promise(&mut bench, &bumped);
    assert_eq!(bench.wallet.promises().count(), 1);
    bench.check_restart();
}

#[test]
fn too_few_coins_and_strangers_inputs_are_refused_and_change_nothing() {
    let mut bench = Bench::new();
    bench.receive(3_000);
    let incoming = bench.incoming(90_000);
    bench.apply(&ChainEvent::Mempool(MempoolDelta::Added {
        tx: Arc::new(incoming),
        fee: Amount::ZERO,
    }));
    assert_eq!(hold(&mut bench, 5_000), None, "what is in no block does not count");
    assert!(bench.wallet.plan(&spend(1_000)).is_ok());
    // Ours, but not held under this name.
    let coin = bench.wallet.utxos()[0].outpoint;
    let tx = paying(coin, stranger(), 1_000);
    let refused = bench.wallet.sign_held(NAME, tx, &[]);
    assert_eq!(refused, Err(WalletRefusal::CannotSign));
}
