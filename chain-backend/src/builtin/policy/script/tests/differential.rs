//! Spends of a channel's outputs, damaged at random: the interpreter and the verifying library say the same of
//! all of them. `VIADUCT_SEEDS` says how many are tried.

use super::super::*;
use crate::builtin::tests::harness::{Luck, key, out, pubkey, seeds, spend};
use crate::builtin::tests::outputs::{PREIMAGE, anchor, delayed, offered, received, two_of_two};
use crate::builtin::verify::script::{Job, verify_all};
use bitcoin::absolute::LockTime;
use bitcoin::hashes::Hash;
use bitcoin::key::{Keypair, TapTweak, XOnlyPublicKey};
use bitcoin::opcodes::all::*;
use bitcoin::script::Builder;
use bitcoin::sighash::{Prevouts, SighashCache};
use bitcoin::taproot::{LeafVersion, TaprootBuilder};
use bitcoin::{
    Amount, EcdsaSighashType, OutPoint, ScriptBuf, Sequence, TapLeafHash, TapSighashType, Txid,
};
use secp256k1::{Message, SECP256K1};

const VALUE: u64 = 100_000;

/// What stands in a witness before its script.
#[derive(Clone)]
enum Item {
    Signature,
    Bytes(Vec<u8>),
}
use Item::{Bytes, Signature};

/// Every way in which an output of a channel is spent: its script, its witness, sequence and lock time.
fn corpus() -> Vec<(ScriptBuf, Vec<Item>, u32, u32)> {
    let (empty, one) = (Bytes(vec![]), Bytes(vec![1]));
    let key = Bytes(pubkey().to_bytes());
    let preimage = Bytes(PREIMAGE.to_vec());
    let sig = || Signature;
    vec![
        (two_of_two(), vec![empty.clone(), sig(), sig()], u32::MAX, 0),
        (delayed(144), vec![sig(), empty.clone()], 144, 0),
        (delayed(144), vec![sig(), one], 0, 0),
        (anchor(), vec![sig()], 0, 0),
        (anchor(), vec![empty.clone()], 16, 0),
        (offered(), vec![sig(), preimage.clone()], 1, 0),
        (offered(), vec![empty.clone(), sig(), sig(), empty.clone()], 1, 0),
        (offered(), vec![sig(), key.clone()], 1, 0),
        (received(500), vec![empty.clone(), sig(), sig(), preimage], 1, 0),
        (received(500), vec![sig(), empty], 1, 500),
        (received(500), vec![sig(), key], 1, 500),
    ]
}

fn ecdsa(tx: &Transaction, script: &ScriptBuf, kind: EcdsaSighashType) -> Vec<u8> {
    let value = Amount::from_sat(VALUE);
    let hash = SighashCache::new(tx).p2wsh_signature_hash(0, script, value, kind).unwrap();
    let message = Message::from_digest(hash.to_byte_array());
    let mut bytes = SECP256K1.sign_ecdsa(&message, &key()).serialize_der().to_vec();
    bytes.push(kind.to_u32() as u8);
    bytes
}

fn blank(script: ScriptBuf, sequence: u32, lock: u32) -> (Transaction, Vec<TxOut>) {
    let coins = [1, 2].map(|byte| OutPoint::new(Txid::from_byte_array([byte; 32]), 0));
    let mut tx = spend(&coins, vec![out(90_000, script.clone()), out(1_000, script.clone())]);
    tx.input[0].sequence = Sequence(sequence);
    tx.input[1].sequence = Sequence::ZERO;
    tx.lock_time = LockTime::from_consensus(lock);
    let other = ScriptBuf::from_bytes(vec![0x51]);
    (tx, vec![out(VALUE, script), out(500, other)])
}

fn damage(bytes: &mut Vec<u8>, luck: &mut Luck) {
    let end = bytes.len();
    match luck.below(4) {
        0 if end > 0 => bytes[luck.below(end)] ^= 1 << luck.below(8),
        1 if end > 0 => drop(bytes.remove(luck.below(end))),
        2 => bytes.insert(luck.below(end + 1), luck.below(256) as u8),
        _ if end > 0 => bytes[luck.below(end)] = luck.below(256) as u8,
        _ => bytes.push(luck.below(256) as u8),
    }
}

/// Damages the transaction around an input.
fn damage_tx(tx: &mut Transaction, luck: &mut Luck) {
    match luck.below(6) {
        0 => tx.input[0].sequence.0 ^= 1 << luck.below(32),
        1 => tx.lock_time = LockTime::from_consensus(luck.below(1_000) as u32),
        2 => tx.version.0 = luck.below(5) as i32 - 1,
        3 => tx.output[0].value = Amount::from_sat(luck.below(80_000) as u64),
        4 => drop(tx.output.pop()),
        _ => tx.input[0].script_sig = ScriptBuf::from_bytes(vec![luck.below(256) as u8]),
    }
}

/// Both verdicts of the first input.
fn verdicts(tx: &Transaction, spent: Vec<TxOut>) -> (bool, bool) {
    let ours = check_script(tx, 0, &spent, Flags::CONSENSUS);
    if check_script(tx, 0, &spent, Flags::STANDARD).is_ok() {
        assert_eq!(ours, Ok(()), "what is relayed can be mined");
    }
    // The library looks at all inputs; the second one holds whatever happens.
    let theirs = verify_all(&[Job { tx, spent }]).is_ok();
    (ours.is_ok(), theirs)
}

#[test]
fn undamaged_spends_of_a_channel_pass_under_every_rule_of_relay() {
    for (script, items, sequence, lock) in corpus() {
        let (mut tx, mut spent) = blank(script.to_p2wsh(), sequence, lock);
        spent[0].script_pubkey = script.to_p2wsh();
        for item in items {
            let bytes = match item {
                Signature => ecdsa(&tx, &script, EcdsaSighashType::All),
                Bytes(bytes) => bytes,
            };
            tx.input[0].witness.push(bytes);
        }
        tx.input[0].witness.push(script.as_bytes());
        assert_eq!(check_script(&tx, 0, &spent, Flags::STANDARD), Ok(()), "{script}");
        assert_eq!(verdicts(&tx, spent), (true, true));
    }
}

#[test]
fn both_verifiers_say_the_same_of_damaged_spends() {
    let (mut good, mut bad) = (0, 0);
    for seed in 0..seeds() {
        let mut luck = Luck::new(seed ^ 0x5eed);
        let corpus = corpus();
        let (mut script, items, sequence, lock) = corpus[luck.below(corpus.len())].clone();
        if luck.one_in(3) {
            let mut bytes = script.into_bytes();
            damage(&mut bytes, &mut luck);
            script = ScriptBuf::from_bytes(bytes);
        }
        let wrapped = luck.one_in(6);
        let program = script.to_p2wsh();
        let locked = if wrapped { program.to_p2sh() } else { program.clone() };
        let (mut tx, spent) = blank(locked, sequence, lock);
        if wrapped {
            tx.input[0].script_sig = ScriptBuf::from_bytes(item::push_of(program.as_bytes()));
        }
        let kind = EcdsaSighashType::from_consensus([1, 1, 2, 3, 0x81, 0x82, 0x83][luck.below(7)]);
        let mut witness: Vec<Vec<u8>> = (items.iter())
            .map(|item| match item {
                Signature => ecdsa(&tx, &script, kind),
                Bytes(bytes) => bytes.clone(),
            })
            .collect();
        match luck.below(5) {
            0 => {
                let place = luck.below(witness.len());
                damage(&mut witness[place], &mut luck);
            }
            1 => drop(witness.remove(luck.below(witness.len()))),
            2 => witness.insert(luck.below(witness.len() + 1), vec![luck.below(3) as u8]),
            _ => {}
        }
        witness.push(script.to_bytes());
        tx.input[0].witness = Witness::from_slice(&witness);
        if luck.one_in(3) {
            damage_tx(&mut tx, &mut luck);
        }
        let (ours, theirs) = verdicts(&tx, spent);
        assert_eq!(ours, theirs, "seed {seed}: {tx:?}");
        if ours { good += 1 } else { bad += 1 }
    }
    println!("{good} hold, {bad} do not");
    assert!(good > 0 && bad > 0);
}

#[test]
fn both_verifiers_say_the_same_of_damaged_taproot_spends() {
    let pair = Keypair::from_secret_key(SECP256K1, &key());
    let internal = XOnlyPublicKey::from_keypair(&pair).0;
    let (mut good, mut bad) = (0, 0);
    for seed in 0..seeds() {
        let mut luck = Luck::new(seed ^ 0x7a9);
        let leaf = Builder::new().push_x_only_key(&internal).push_opcode(OP_CHECKSIGVERIFY);
        let leaf = leaf.push_int(1).push_opcode(OP_CSV).push_opcode(OP_CODESEPARATOR);
        let leaf = leaf.push_opcode(OP_DROP).push_x_only_key(&internal).push_opcode(OP_CHECKSIG);
        let mut leaf = leaf.push_int(0).push_opcode(OP_ADD).into_script();
        if luck.one_in(4) {
            let mut bytes = leaf.into_bytes();
            damage(&mut bytes, &mut luck);
            leaf = ScriptBuf::from_bytes(bytes);
        }
        let tree = TaprootBuilder::new().add_leaf(1, leaf.clone()).unwrap();
        let tree = tree.add_leaf(1, two_of_two()).unwrap().finalize(SECP256K1, internal).unwrap();
        let (mut tx, spent) = blank(ScriptBuf::new_p2tr_tweaked(tree.output_key()), 1, 0);
        let kind =
            [TapSighashType::Default, TapSighashType::All, TapSighashType::SinglePlusAnyoneCanPay]
                [luck.below(3)];
        let sign = |place: Option<(TapLeafHash, u32)>| {
            let prevouts = Prevouts::All(&spent);
            let mut cache = SighashCache::new(&tx);
            let hash = cache.taproot_signature_hash(0, &prevouts, None, place, kind).unwrap();
            let message = Message::from_digest(hash.to_byte_array());
            let tweaked = pair.tap_tweak(SECP256K1, tree.merkle_root()).to_keypair();
            let signer = if place.is_some() { &pair } else { &tweaked };
            let mut bytes =
                SECP256K1.sign_schnorr_no_aux_rand(&message, signer).serialize().to_vec();
            if kind != TapSighashType::Default {
                bytes.push(kind as u8);
            }
            bytes
        };
        let mut witness = if luck.one_in(3) {
            vec![sign(None)]
        } else {
            let hash = TapLeafHash::from_script(&leaf, LeafVersion::TapScript);
            let control = tree.control_block(&(leaf.clone(), LeafVersion::TapScript)).unwrap();
            let second = sign(Some((hash, 4)));
            vec![second, sign(Some((hash, u32::MAX))), leaf.to_bytes(), control.serialize()]
        };
        match luck.below(4) {
            0 => {
                let place = luck.below(witness.len());
                damage(&mut witness[place], &mut luck);
            }
            1 => witness.push(vec![0x50, 1]),
            _ => {}
        }
        tx.input[0].witness = Witness::from_slice(&witness);
        if luck.one_in(4) {
            damage_tx(&mut tx, &mut luck);
        }
        let (ours, theirs) = verdicts(&tx, spent.clone());
        assert_eq!(ours, theirs, "seed {seed}: {tx:?}");
        if ours { good += 1 } else { bad += 1 }
    }
    println!("{good} hold, {bad} do not");
    assert!(good > 0 && bad > 0);
}
