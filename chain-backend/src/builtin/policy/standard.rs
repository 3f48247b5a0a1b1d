//! Standardness: versions, sizes, kinds of scripts, dust.

use crate::builtin::reject::Reject;
use crate::builtin::utxo::Coin;
use bitcoin::opcodes::all::OP_RETURN;
use bitcoin::script::Instruction;
use bitcoin::{Script, Transaction, TxIn, TxOut, Witness, WitnessVersion};

const WEIGHT_MAX: u64 = 400_000;
const BASE_SIZE_MIN: usize = 65;
const SCRIPT_SIG_MAX: usize = 1_650;
/// The longest data output, script included.
const DATA_SCRIPT_MAX: usize = 83;
const P2SH_SIGOPS_MAX: usize = 15;
const SIGOP_COST_MAX: usize = 16_000;
/// A signature operation counts like this many bytes when there are more than its size pays for.
const BYTES_PER_SIGOP: u64 = 20;
const WITNESS_SCRIPT_MAX: usize = 3_600;
const WITNESS_ITEMS_MAX: usize = 100;
const WITNESS_ITEM_MAX: usize = 80;
const TAPSCRIPT_LEAF: u8 = 0xc0;
const ANNEX_TAG: u8 = 0x50;
/// The rate at which an output must be worth spending, satoshi per virtual byte.
const DUST_SAT_VB: u64 = 3;
/// Pay to anchor: anybody may spend it, with an empty witness.
const P2A: [u8; 4] = [0x51, 0x02, 0x4e, 0x73];

/// Rules that need no coins.
pub(crate) fn check_standard(tx: &Transaction) -> Result<(), Reject> {
    if !(1..=3).contains(&tx.version.0) {
        return Err(Reject::Version);
    }
    if tx.weight().to_wu() > WEIGHT_MAX {
        return Err(Reject::TxSize);
    }
    for input in &tx.input {
        if input.script_sig.len() > SCRIPT_SIG_MAX {
            return Err(Reject::ScriptSigSize);
        }
        if !input.script_sig.is_push_only() {
            return Err(Reject::ScriptSigNotPushOnly);
        }
    }
    let mut data_outputs: usize = 0;
    for output in &tx.output {
        match Kind::of(&output.script_pubkey) {
            Kind::Nonstandard => return Err(Reject::ScriptPubKey),
            Kind::Data => data_outputs = data_outputs.saturating_add(1),
            Kind::Witness | Kind::Other => {}
        }
    }
    if dust_outputs(tx).count() > 1 {
        return Err(Reject::Dust);
    }
    if data_outputs > 1 {
        return Err(Reject::MultiOpReturn);
    }
    if tx.base_size() < BASE_SIZE_MIN {
        return Err(Reject::TxSizeSmall);
    }
    Ok(())
}

/// Rules on the coins that are spent and how.
pub(crate) fn check_standard_inputs(tx: &Transaction, coins: &[Coin]) -> Result<(), Reject> {
    let pairs = || tx.input.iter().zip(coins.iter().map(|coin| &coin.output.script_pubkey));
    if !pairs().all(|(input, script)| standard_spend(input, script)) {
        return Err(Reject::NonstandardInputs);
    }
    if !pairs().all(|(input, script)| standard_witness(input, script)) {
        return Err(Reject::NonstandardWitness);
    }
    Ok(())
}

/// The most signature operations that are relayed.
pub(crate) fn check_sigops(cost: usize) -> Result<(), Reject> {
    if cost > SIGOP_COST_MAX { Err(Reject::TooManySigops) } else { Ok(()) }
}

/// Size for fees, virtual bytes.
pub(crate) fn vsize(weight_wu: u64, sigop_cost: usize) -> u64 {
    let by_sigops = u64::try_from(sigop_cost).unwrap_or(u64::MAX).saturating_mul(BYTES_PER_SIGOP);
    weight_wu.max(by_sigops).div_ceil(4)
}

/// Outputs worth less than spending them would cost.
pub(crate) fn dust_outputs(tx: &Transaction) -> impl Iterator<Item = u32> {
    let dusty = |output: &TxOut| output.value.to_sat() < dust_limit_sat(&output.script_pubkey);
    (0_u32..).zip(&tx.output).filter(move |(_, output)| dusty(output)).map(|(vout, _)| vout)
}

/// The least an output to `script` must be worth, satoshi: 240 for pay to anchor, 294 for a key hash,
/// 330 for a script hash or taproot.
pub fn dust_limit_sat(script: &Script) -> u64 {
    if script.is_op_return() {
        return 0;
    }
    // Eight bytes of amount and the script's length.
    let around: u64 = if script.len() < 0xfd { 9 } else { 11 };
    let output = u64::try_from(script.len()).unwrap_or(u64::MAX).saturating_add(around);
    let spending: u64 = if script.is_witness_program() { 67 } else { 148 };
    output.saturating_add(spending).saturating_mul(DUST_SAT_VB)
}

/// Kinds of output scripts, as far as policy tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Witness,
    Data,
    Other,
    Nonstandard,
}

impl Kind {
    fn of(script: &Script) -> Self {
        if script.is_witness_program() {
            Self::Witness
        } else if script.as_bytes().first() == Some(&OP_RETURN.to_u8()) {
            let pushes = Script::from_bytes(script.as_bytes().get(1..).unwrap_or_default());
            let data = script.len() <= DATA_SCRIPT_MAX && pushes.is_push_only();
            if data { Self::Data } else { Self::Nonstandard }
        } else if script.is_p2sh()
            || script.is_p2pkh()
            || script.is_p2pk()
            || small_multisig(script)
        {
            Self::Other
        } else {
            Self::Nonstandard
        }
    }
}

/// Bare multisig of at most three keys.
fn small_multisig(script: &Script) -> bool {
    script.is_multisig() && script.as_bytes().iter().rev().nth(1).is_some_and(|n| *n <= 0x53)
}

fn standard_spend(input: &TxIn, script: &Script) -> bool {
    match Kind::of(script) {
        Kind::Witness => known_program(script) || is_p2a(script),
        Kind::Other if script.is_p2sh() => redeem_script(input)
            .is_some_and(|redeem| Script::from_bytes(redeem).count_sigops() <= P2SH_SIGOPS_MAX),
        Kind::Other => true,
        Kind::Data | Kind::Nonstandard => false,
    }
}

fn known_program(script: &Script) -> bool {
    script.is_p2wpkh() || script.is_p2wsh() || script.is_p2tr()
}

/// Whether anybody may spend it.
pub(crate) fn is_p2a(script: &Script) -> bool {
    script.as_bytes() == P2A
}

/// The last push of a script signature.
pub(crate) fn redeem_script(input: &TxIn) -> Option<&[u8]> {
    match input.script_sig.instructions().last()?.ok()? {
        Instruction::PushBytes(bytes) => Some(bytes.as_bytes()),
        Instruction::Op(_) => None,
    }
}

fn standard_witness(input: &TxIn, script: &Script) -> bool {
    if input.witness.is_empty() {
        return true;
    }
    if is_p2a(script) {
        return false;
    }
    let wrapped = script.is_p2sh();
    let program = if wrapped {
        let Some(redeem) = redeem_script(input) else { return false };
        Script::from_bytes(redeem)
    } else {
        script
    };
    match program.witness_version() {
        None => false,
        Some(WitnessVersion::V0) if program.is_p2wsh() => standard_p2wsh(&input.witness),
        Some(WitnessVersion::V1) if program.is_p2tr() && !wrapped => {
            standard_taproot(&input.witness)
        }
        Some(_) => true,
    }
}

fn standard_p2wsh(witness: &Witness) -> bool {
    let script_length = witness.last().map_or(0, <[u8]>::len);
    let items = witness.len().saturating_sub(1);
    script_length <= WITNESS_SCRIPT_MAX
        && items <= WITNESS_ITEMS_MAX
        && witness.iter().take(items).all(|item| item.len() <= WITNESS_ITEM_MAX)
}

fn standard_taproot(witness: &Witness) -> bool {
    let last = witness.last().unwrap_or_default();
    if witness.len() >= 2 && last.first() == Some(&ANNEX_TAG) {
        return false;
    }
    if witness.len() < 2 {
        return true;
    }
    let Some(control) = last.first() else { return false };
    let arguments = witness.len().saturating_sub(2);
    control & 0xfe != TAPSCRIPT_LEAF
        || witness.iter().take(arguments).all(|item| item.len() <= WITNESS_ITEM_MAX)
}
