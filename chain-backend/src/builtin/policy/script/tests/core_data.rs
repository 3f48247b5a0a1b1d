//! Bitcoin Core's own data against the interpreter and the consensus checks. It lies in the source of the
//! crate `libbitcoinkernel-sys`, which only `tests/kernel-oracle` depends on: these run where
//! `VIADUCT_CORE_DATA` is set (to anything), and nothing of the kernel is built for them.

use super::super::*;
use crate::builtin::tests::harness::{out, spend};
use crate::builtin::verify::script::{Job, verify_all};
use crate::builtin::verify::tx::check_transaction;
use bitcoin::bip158::{BlockFilter, FilterHeader};
use bitcoin::consensus::encode::deserialize_hex;
use bitcoin::hex::FromHex;
use bitcoin::key::{TapTweak, XOnlyPublicKey};
use bitcoin::opcodes::{Opcode, all};
use bitcoin::taproot::{LeafVersion, TaprootBuilder};
use bitcoin::transaction::Version as TxVersion;
use bitcoin::{Amount, Block, BlockHash, OutPoint, ScriptBuf, Txid};
use secp256k1::SECP256K1;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A file of Core's test data, where asked for.
fn rows(name: &str) -> Option<Vec<Vec<Value>>> {
    std::env::var_os("VIADUCT_CORE_DATA").map(|_| rows_of(name))
}

fn rows_of(name: &str) -> Vec<Vec<Value>> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/kernel-oracle/Cargo.toml");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["metadata", "--locked", "--format-version", "1", "--manifest-path"]);
    let metadata = command.arg(manifest).output().unwrap();
    let metadata: Value = serde_json::from_slice(&metadata.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let kernel = packages.iter().find(|one| one["name"] == "libbitcoinkernel-sys").unwrap();
    let manifest = PathBuf::from(kernel["manifest_path"].as_str().unwrap());
    let path = manifest.with_file_name("bitcoin/src/test/data").join(name);
    let text = std::fs::read_to_string(path).unwrap();
    // A row of one text is a remark.
    let rows: Vec<Vec<Value>> = serde_json::from_str(&text).unwrap();
    rows.into_iter().filter(|row| row.len() > 1).collect()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn bytes(hex: &str) -> Vec<u8> {
    Vec::from_hex(hex).unwrap()
}

fn opcodes() -> HashMap<String, u8> {
    let mut names = HashMap::new();
    // `OP_RESERVED` is the lowest that has a name here.
    for op in 0x50..=u8::MAX {
        let name = Opcode::from(op).to_string();
        let name = match op {
            0x50 => "OP_RESERVED".to_owned(),
            0x51..=0x60 => continue,
            0x61 => "OP_NOP".to_owned(),
            0xb1 => "OP_CHECKLOCKTIMEVERIFY".to_owned(),
            0xb2 => "OP_CHECKSEQUENCEVERIFY".to_owned(),
            0xba => "OP_CHECKSIGADD".to_owned(),
            0xbb.. => continue,
            _ => name,
        };
        names.insert(name.trim_start_matches("OP_").to_owned(), op);
        names.insert(name, op);
    }
    names.insert("1NEGATE".to_owned(), all::OP_PUSHNUM_NEG1.to_u8());
    names
}

/// Core's way of writing scripts.
fn assemble(source: &str, names: &HashMap<String, u8>) -> Vec<u8> {
    let mut script = Vec::new();
    for word in source.split_whitespace() {
        if let Ok(value) = word.parse::<i64>() {
            match value {
                0 => script.push(0),
                -1 | 1..=16 => script.push((0x50 + value) as u8),
                _ => script.extend(item::push_of(&item::of_number(value))),
            }
        } else if let Some(hex) = word.strip_prefix("0x") {
            script.extend(bytes(hex));
        } else if let Some(quoted) = word.strip_prefix('\'') {
            script.extend(item::push_of(quoted.trim_end_matches('\'').as_bytes()));
        } else {
            script.push(*names.get(word).unwrap_or_else(|| panic!("opcode {word}")));
        }
    }
    script
}

fn flag(name: &str) -> Flags {
    match name {
        "NONE" | "" => Flags::NONE,
        "P2SH" => Flags::P2SH,
        "STRICTENC" => Flags::STRICT_ENC,
        "DERSIG" => Flags::DER_SIG,
        "LOW_S" => Flags::LOW_S,
        "NULLDUMMY" => Flags::NULL_DUMMY,
        "SIGPUSHONLY" => Flags::SIG_PUSH_ONLY,
        "MINIMALDATA" => Flags::MINIMAL_DATA,
        "DISCOURAGE_UPGRADABLE_NOPS" => Flags::DISCOURAGE_NOPS,
        "CLEANSTACK" => Flags::CLEAN_STACK,
        "CHECKLOCKTIMEVERIFY" => Flags::CLTV,
        "CHECKSEQUENCEVERIFY" => Flags::CSV,
        "WITNESS" => Flags::WITNESS,
        "DISCOURAGE_UPGRADABLE_WITNESS_PROGRAM" => Flags::DISCOURAGE_PROGRAM,
        "MINIMALIF" => Flags::MINIMAL_IF,
        "NULLFAIL" => Flags::NULL_FAIL,
        "WITNESS_PUBKEYTYPE" => Flags::WITNESS_PUBKEY_TYPE,
        "CONST_SCRIPTCODE" => Flags::CONST_SCRIPT_CODE,
        "TAPROOT" => Flags::TAPROOT,
        "DISCOURAGE_UPGRADABLE_TAPROOT_VERSION" => Flags::DISCOURAGE_TAPROOT_VERSION,
        "DISCOURAGE_OP_SUCCESS" => Flags::DISCOURAGE_OP_SUCCESS,
        "DISCOURAGE_UPGRADABLE_PUBKEYTYPE" => Flags::DISCOURAGE_PUBKEY_TYPE,
        other => panic!("flag {other}"),
    }
}

fn flags(names: &str) -> Flags {
    names.split(',').map(flag).fold(Flags::NONE, Flags::and)
}

/// Core's name for what a script ends with.
fn name_of(result: Result<(), ScriptFault>) -> &'static str {
    use ScriptFault as F;
    let Err(fault) = result else { return "OK" };
    match fault {
        F::Consensus => "UNKNOWN_ERROR",
        F::EvalFalse => "EVAL_FALSE",
        F::Verify => "VERIFY",
        F::EqualVerify => "EQUALVERIFY",
        F::CheckMultisigVerify => "CHECKMULTISIGVERIFY",
        F::CheckSigVerify => "CHECKSIGVERIFY",
        F::NumEqualVerify => "NUMEQUALVERIFY",
        F::ScriptSize => "SCRIPT_SIZE",
        F::PushSize => "PUSH_SIZE",
        F::OpCount => "OP_COUNT",
        F::StackSize => "STACK_SIZE",
        F::SigCount => "SIG_COUNT",
        F::PubkeyCount => "PUBKEY_COUNT",
        F::BadOpcode => "BAD_OPCODE",
        F::DisabledOpcode => "DISABLED_OPCODE",
        F::InvalidStack => "INVALID_STACK_OPERATION",
        F::InvalidAltstack => "INVALID_ALTSTACK_OPERATION",
        F::OpReturn => "OP_RETURN",
        F::UnbalancedConditional => "UNBALANCED_CONDITIONAL",
        F::NegativeLocktime => "NEGATIVE_LOCKTIME",
        F::UnsatisfiedLocktime => "UNSATISFIED_LOCKTIME",
        F::SigPushOnly => "SIG_PUSHONLY",
        F::NullDummy => "SIG_NULLDUMMY",
        F::ScriptNum => "SCRIPTNUM",
        F::WitnessProgramLength => "WITNESS_PROGRAM_WRONG_LENGTH",
        F::WitnessProgramEmpty => "WITNESS_PROGRAM_WITNESS_EMPTY",
        F::WitnessProgramMismatch => "WITNESS_PROGRAM_MISMATCH",
        F::WitnessMalleated => "WITNESS_MALLEATED",
        F::WitnessMalleatedP2sh => "WITNESS_MALLEATED_P2SH",
        F::WitnessUnexpected => "WITNESS_UNEXPECTED",
        F::SchnorrSigSize => "SCHNORR_SIG_SIZE",
        F::SchnorrSigHashType => "SCHNORR_SIG_HASHTYPE",
        F::SchnorrSig => "SCHNORR_SIG",
        F::TaprootControlSize => "TAPROOT_WRONG_CONTROL_SIZE",
        F::TapscriptWeight => "TAPSCRIPT_VALIDATION_WEIGHT",
        F::TapscriptCheckMultisig => "TAPSCRIPT_CHECKMULTISIG",
        F::TapscriptMinimalIf => "TAPSCRIPT_MINIMALIF",
        F::TapscriptEmptyPubkey => "TAPSCRIPT_EMPTY_PUBKEY",
        F::SigDer => "SIG_DER",
        F::SigHighS => "SIG_HIGH_S",
        F::SigHashType => "SIG_HASHTYPE",
        F::NullFail => "NULLFAIL",
        F::MinimalIf => "MINIMALIF",
        F::MinimalData => "MINIMALDATA",
        F::CleanStack => "CLEANSTACK",
        F::WitnessPubkeyType => "WITNESS_PUBKEYTYPE",
        F::PubkeyType => "PUBKEYTYPE",
        F::DiscourageNops => "DISCOURAGE_UPGRADABLE_NOPS",
        F::DiscourageWitnessProgram => "DISCOURAGE_UPGRADABLE_WITNESS_PROGRAM",
        F::DiscourageTaprootVersion => "DISCOURAGE_UPGRADABLE_TAPROOT_VERSION",
        F::DiscourageOpSuccess => "DISCOURAGE_OP_SUCCESS",
        F::DiscouragePubkeyType => "DISCOURAGE_UPGRADABLE_PUBKEYTYPE",
        F::CodeSeparator => "OP_CODESEPARATOR",
        F::SigFindAndDelete => "SIG_FINDANDDELETE",
    }
}

/// Key of the trees in Core's script tests: twice the generator's.
fn tree_key() -> XOnlyPublicKey {
    let key = "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798";
    key.parse().unwrap()
}

#[test]
fn script_tests_of_core_end_with_the_same_word() {
    let Some(rows) = rows("script_tests.json") else { return };
    let names = opcodes();
    let mut wrong = Vec::new();
    for row in &rows {
        let (witness, amount, rest) = match row[0].as_array() {
            Some(items) => {
                let (amount, items) = items.split_last().unwrap();
                (items.to_vec(), Amount::from_btc(amount.as_f64().unwrap()).unwrap(), &row[1..])
            }
            None => (Vec::new(), Amount::ZERO, &row[..]),
        };
        let mut program = text(&rest[1]).to_owned();
        let leaf = witness.iter().find_map(|item| text(item).strip_prefix("#SCRIPT#"));
        let leaf = leaf.map(|source| ScriptBuf::from_bytes(assemble(source, &names)));
        let tree = leaf.clone().map(|leaf| {
            let tree = TaprootBuilder::new().add_leaf(0, leaf).unwrap();
            tree.finalize(SECP256K1, tree_key()).unwrap()
        });
        if let Some(tree) = &tree {
            let key = tree_key().tap_tweak(SECP256K1, tree.merkle_root()).0.serialize();
            let key: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
            program = program.replace("#TAPROOTOUTPUT#", &format!("0x{key}"));
        }
        let item = |item: &Value| match text(item) {
            "#CONTROLBLOCK#" => {
                let place = (leaf.clone().unwrap(), LeafVersion::TapScript);
                tree.as_ref().unwrap().control_block(&place).unwrap().serialize()
            }
            item if item.starts_with("#SCRIPT#") => leaf.clone().unwrap().into_bytes(),
            item => bytes(item),
        };
        let witness: Vec<Vec<u8>> = witness.iter().map(item).collect();
        let script_sig = ScriptBuf::from_bytes(assemble(text(&rest[0]), &names));
        let script = ScriptBuf::from_bytes(assemble(&program, &names));
        let mut credit = spend(&[OutPoint::null()], vec![out(amount.to_sat(), script)]);
        credit.version = TxVersion::ONE;
        credit.input[0].script_sig = ScriptBuf::from_bytes(vec![0, 0]);
        let coin = OutPoint::new(credit.compute_txid(), 0);
        let mut tx = spend(&[coin], vec![out(amount.to_sat(), ScriptBuf::new())]);
        tx.version = TxVersion::ONE;
        tx.input[0].script_sig = script_sig;
        tx.input[0].witness = Witness::from_slice(&witness);
        let spent = credit.output;
        let mut rules = flags(text(&rest[2]));
        if rules.has(Flags::CLEAN_STACK) {
            rules = rules.and(Flags::P2SH).and(Flags::WITNESS);
        }
        let got = name_of(check_script(&tx, 0, &spent, rules));
        if got != text(&rest[3]) {
            wrong.push(format!("{got} {row:?}"));
        }
        // The verifying library agrees about the rules that are consensus.
        let ours = check_script(&tx, 0, &spent, Flags::CONSENSUS).is_ok();
        let theirs = verify_all(&[Job { tx: &tx, spent }]).is_ok();
        if ours != theirs {
            wrong.push(format!("consensus: {ours} {theirs} {row:?}"));
        }
    }
    println!("script_tests: {} rows, {} wrong", rows.len(), wrong.len());
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The outputs that a row of `tx_valid` or `tx_invalid` spends, by outpoint.
fn coins(row: &[Value], names: &HashMap<String, u8>) -> BTreeMap<OutPoint, TxOut> {
    let coin = |coin: &Value| {
        let vout = coin[1].as_i64().unwrap() as u32;
        let script = ScriptBuf::from_bytes(assemble(text(&coin[2]), names));
        let value = coin.get(3).map_or(0, |value| value.as_u64().unwrap());
        (OutPoint::new(text(&coin[0]).parse::<Txid>().unwrap(), vout), out(value, script))
    };
    row[0].as_array().unwrap().iter().map(coin).collect()
}

fn verdict(tx: &Transaction, coins: &BTreeMap<OutPoint, TxOut>, rules: Flags) -> bool {
    let spent: Option<Vec<TxOut>> =
        tx.input.iter().map(|input| coins.get(&input.previous_output).cloned()).collect();
    let spent = spent.expect("each input's coin");
    (0..tx.input.len()).all(|index| check_script(tx, index, &spent, rules).is_ok())
}

#[test]
fn transactions_of_core_are_valid_or_not_as_it_says() {
    let (Some(valid), Some(invalid)) = (rows("tx_valid.json"), rows("tx_invalid.json")) else {
        return;
    };
    let names = opcodes();
    let mut wrong = Vec::new();
    for row in &valid {
        let tx: Transaction = deserialize_hex(text(&row[1])).unwrap();
        // The flags of these rows are those that do not apply.
        let rules = Flags::STANDARD.and(Flags::SIG_PUSH_ONLY).without(flags(text(&row[2])));
        let good =
            check_transaction(&tx).is_ok() && verdict(&tx, &coins(row, &names), rules.whole());
        if !good {
            wrong.push(format!("valid {row:?}"));
        }
    }
    let mut unreadable = 0;
    for row in &invalid {
        // Some have no inputs: this crate does not read those, and says so.
        let Ok(tx) = deserialize_hex::<Transaction>(text(&row[1])) else {
            assert_eq!(text(&row[2]), "BADTX", "{row:?}");
            unreadable += 1;
            continue;
        };
        let broken = if text(&row[2]) == "BADTX" {
            check_transaction(&tx).is_err()
        } else {
            check_transaction(&tx).is_ok()
                && !verdict(&tx, &coins(row, &names), flags(text(&row[2])))
        };
        if !broken {
            wrong.push(format!("invalid {row:?}"));
        }
    }
    println!(
        "tx_valid: {} rows; tx_invalid: {} rows, of which {unreadable} cannot be read; {} wrong",
        valid.len(),
        invalid.len(),
        wrong.len()
    );
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn what_old_signatures_sign_is_what_core_says() {
    let Some(rows) = rows("sighash.json") else { return };
    let rows: Vec<_> = rows.into_iter().filter(|row| row[2].is_i64()).collect();
    for row in &rows {
        let tx: Transaction = deserialize_hex(text(&row[0])).unwrap();
        let code = bytes(text(&row[1]));
        let index = row[2].as_u64().unwrap() as usize;
        let kind = row[3].as_i64().unwrap() as i32 as u32;
        let signed = Signed { tx: &tx, index, spent: &[], value: Amount::ZERO, flags: Flags::NONE };
        let mut want = bytes(text(&row[4]));
        want.reverse();
        assert_eq!(signed.legacy_digest(&code, kind).unwrap().to_vec(), want, "{row:?}");
    }
    println!("sighash: {} rows", rows.len());
}

#[test]
fn filters_are_those_of_core() {
    let Some(rows) = rows("blockfilters.json") else { return };
    let rows: Vec<_> = rows.into_iter().filter(|row| row[0].is_u64()).collect();
    for row in &rows {
        let block: Block = deserialize_hex(text(&row[2])).unwrap();
        assert_eq!(block.block_hash(), text(&row[1]).parse::<BlockHash>().unwrap());
        let scripts = row[3].as_array().unwrap();
        let scripts = scripts.iter().map(|one| ScriptBuf::from_bytes(bytes(text(one))));
        let scripts = std::cell::RefCell::new(scripts);
        let next = |_: &OutPoint| Ok(scripts.borrow_mut().next().unwrap());
        let filter = BlockFilter::new_script_filter(&block, next).unwrap();
        assert_eq!(filter.content, bytes(text(&row[5])), "{}", row[7]);
        let previous: FilterHeader = text(&row[4]).parse().unwrap();
        assert_eq!(filter.filter_header(&previous).to_string(), text(&row[6]));
    }
    println!("blockfilters: {} rows", rows.len());
}
