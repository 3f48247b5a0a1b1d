//! Tests of `script`.

mod core_data;
mod differential;

use super::item::{number, of_number};
use super::*;
use crate::builtin::tests::harness::{key, out, pubkey, sign_wsh, spend};
use bitcoin::hashes::Hash;
use bitcoin::opcodes::all::*;
use bitcoin::script::Builder;
use bitcoin::{OutPoint, ScriptBuf, Txid};
use secp256k1::SECP256K1;

const VALUE: u64 = 10_000;

fn spending(script: &ScriptBuf) -> (Transaction, Vec<TxOut>) {
    let coin = OutPoint::new(Txid::from_byte_array([1; 32]), 0);
    let mut tx = spend(&[coin], vec![out(9_000, script.to_p2wsh())]);
    tx.input[0].sequence = bitcoin::Sequence::from_height(144);
    (tx, vec![out(VALUE, script.to_p2wsh())])
}

/// Runs a witness script with these arguments; the signature stands where `sig` is.
fn run(script: ScriptBuf, arguments: &[&[u8]]) -> Result<(), ScriptFault> {
    let (mut tx, spent) = spending(&script);
    let signature = sign_wsh(&tx, 0, &script, VALUE);
    for argument in arguments {
        tx.input[0].witness.push(if *argument == b"sig" { &signature[..] } else { argument });
    }
    tx.input[0].witness.push(script.as_bytes());
    check_scripts(&tx, &spent)
}

/// The commitment's delayed output: penalty or delay.
fn delayed() -> ScriptBuf {
    Builder::new()
        .push_opcode(OP_IF)
        .push_key(&pubkey())
        .push_opcode(OP_ELSE)
        .push_int(144)
        .push_opcode(OP_CSV)
        .push_opcode(OP_DROP)
        .push_key(&pubkey())
        .push_opcode(OP_ENDIF)
        .push_opcode(OP_CHECKSIG)
        .into_script()
}

#[test]
fn the_selector_of_the_delayed_output_is_exactly_one_or_empty() {
    assert_eq!(run(delayed(), &[b"sig", &[1]]), Ok(()));
    assert_eq!(run(delayed(), &[b"sig", &[]]), Ok(()));
    assert_eq!(run(delayed(), &[b"sig", &[2]]), Err(ScriptFault::MinimalIf));
    assert_eq!(run(delayed(), &[b"sig", &[0]]), Err(ScriptFault::MinimalIf));
    assert_eq!(run(delayed(), &[b"sig", &[1, 0]]), Err(ScriptFault::MinimalIf));
}

#[test]
fn a_failed_signature_is_empty() {
    let script = Builder::new()
        .push_key(&pubkey())
        .push_opcode(OP_CHECKSIG)
        .push_opcode(OP_NOT)
        .into_script();
    assert_eq!(run(script.clone(), &[&[]]), Ok(()));
    let (tx, _) = spending(&delayed());
    let foreign = sign_wsh(&tx, 0, &delayed(), VALUE);
    assert_eq!(run(script, &[&foreign]), Err(ScriptFault::NullFail));
}

#[test]
fn signatures_are_low_strict_and_of_a_known_kind() {
    let script = Builder::new().push_key(&pubkey()).push_opcode(OP_CHECKSIG).into_script();
    let (tx, _) = spending(&script);
    let good = sign_wsh(&tx, 0, &script, VALUE);
    assert_eq!(run(script.clone(), &[&good]), Ok(()));
    let mut kind = good.clone();
    *kind.last_mut().unwrap() = 4;
    assert_eq!(run(script.clone(), &[&kind]), Err(ScriptFault::SigHashType));
    let mut padded = good.clone();
    padded.insert(0, 0x30);
    assert_eq!(run(script.clone(), &[&padded]), Err(ScriptFault::SigDer));
    let compact = secp256k1::ecdsa::Signature::from_der(&good[..good.len() - 1]).unwrap();
    let compact = compact.serialize_compact();
    let s = secp256k1::SecretKey::from_slice(&compact[32..]).unwrap().negate();
    let mut high = [0; 64];
    high[..32].copy_from_slice(&compact[..32]);
    high[32..].copy_from_slice(&s.secret_bytes());
    let high = secp256k1::ecdsa::Signature::from_compact(&high).unwrap();
    let mut high = high.serialize_der().to_vec();
    high.push(1);
    assert_eq!(run(script, &[&high]), Err(ScriptFault::SigHighS));
}

#[test]
fn keys_in_witness_scripts_are_compressed() {
    let key = key().public_key(SECP256K1).serialize_uncompressed();
    let script = Builder::new().push_slice(key).push_opcode(OP_CHECKSIG).into_script();
    assert_eq!(run(script, &[b"sig"]), Err(ScriptFault::WitnessPubkeyType));
}

#[test]
fn pushes_and_numbers_are_as_short_as_can_be_and_the_stack_is_left_clean() {
    let long = ScriptBuf::from_bytes(vec![0x4c, 0x01, 0x20, 0x87]);
    assert_eq!(run(long, &[&[0x20]]), Err(ScriptFault::MinimalData));
    let add = Builder::new().push_opcode(OP_ADD).push_int(3).push_opcode(OP_EQUAL).into_script();
    assert_eq!(run(add.clone(), &[&[1], &[2]]), Ok(()));
    assert_eq!(run(add.clone(), &[&[1], &[2, 0]]), Err(ScriptFault::ScriptNum));
    assert_eq!(run(add, &[&[1], &[1], &[2]]), Err(ScriptFault::CleanStack));
    let nop = ScriptBuf::from_bytes(vec![0xb0, 0x51]);
    assert_eq!(run(nop, &[]), Err(ScriptFault::DiscourageNops));
}

#[test]
fn two_of_two_takes_its_signatures_in_order_and_empties_when_none_counts() {
    let script = Builder::new()
        .push_int(2)
        .push_key(&pubkey())
        .push_key(&pubkey())
        .push_int(2)
        .push_opcode(OP_CHECKMULTISIG)
        .into_script();
    assert_eq!(run(script.clone(), &[&[], b"sig", b"sig"]), Ok(()));
    let (tx, _) = spending(&delayed());
    let foreign = sign_wsh(&tx, 0, &delayed(), VALUE);
    assert_eq!(run(script, &[&[], b"sig", &foreign]), Err(ScriptFault::NullFail));
}

#[test]
fn numbers_survive_their_bytes() {
    for value in [0, 1, -1, 127, 128, -128, 255, 256, -32_768, 8_388_607, -2_147_483_647] {
        assert_eq!(number(&of_number(value), 4, true), Ok(value));
    }
    assert_eq!(number(&[0x80], 4, true), Err(ScriptFault::ScriptNum));
    assert_eq!(number(&[0x80], 4, false), Ok(0));
    assert_eq!(number(&[1, 2, 3, 4, 5], 4, true), Err(ScriptFault::ScriptNum));
    assert_eq!(number(&[1, 2, 3, 4, 5], 5, true), Ok(0x05_04_03_02_01));
}
