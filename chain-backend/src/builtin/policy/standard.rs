//! Standardness: versions, sizes, kinds of scripts, dust.

use crate::builtin::policy::Policy;
use crate::builtin::policy::script::of_small_op;
use crate::builtin::reject::Reject;
use bitcoin::opcodes::all::OP_RETURN;
use bitcoin::script::Instruction;
use bitcoin::{Script, Transaction, TxIn, TxOut, Witness, WitnessVersion};

const WEIGHT_MAX: u64 = 400_000;
const BASE_SIZE_MIN: usize = 65;
const SCRIPT_SIG_MAX: usize = 1_650;
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
pub(crate) fn check_standard(tx: &Transaction, policy: &Policy) -> Result<(), Reject> {
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
    let (mut data_outputs, mut data_bytes) = (0_usize, 0_usize);
    // Up to Core 29 a data output that is too long is of no known kind.
    let too_long =
        if policy.data_outputs_max == 1 { Reject::ScriptPubKey } else { Reject::DataCarrier };
    for output in &tx.output {
        match Kind::of(&output.script_pubkey) {
            Kind::Nonstandard => return Err(Reject::ScriptPubKey),
            Kind::Data => {
                data_outputs = data_outputs.saturating_add(1);
                data_bytes = if policy.data_outputs_max == 1 {
                    output.script_pubkey.len()
                } else {
                    data_bytes.saturating_add(output.script_pubkey.len())
                };
                if data_bytes > policy.data_bytes_max {
                    return Err(too_long);
                }
            }
            Kind::Program | Kind::Anchor | Kind::UnknownProgram | Kind::ScriptHash | Kind::Keys => {
            }
        }
    }
    if dust_outputs(tx).nth(1).is_some() {
        return Err(Reject::Dust);
    }
    if data_outputs > policy.data_outputs_max {
        return Err(Reject::MultiOpReturn);
    }
    if tx.base_size() < BASE_SIZE_MIN {
        return Err(Reject::TxSizeSmall);
    }
    Ok(())
}

/// Rules on the coins that are spent and how. `spent` are the outputs of the inputs, in order.
pub(crate) fn check_standard_inputs(
    tx: &Transaction,
    spent: &[TxOut],
    policy: &Policy,
) -> Result<(), Reject> {
    let pairs = || tx.input.iter().zip(spent.iter().map(|output| &*output.script_pubkey));
    let sigops = pairs().map(|(input, script)| executed_sigops(input, script));
    if sigops.fold(0, usize::saturating_add) > policy.legacy_sigops_max {
        return Err(Reject::NonstandardInputs);
    }
    if !pairs().all(|(input, script)| standard_spend(input, script)) {
        return Err(Reject::NonstandardInputs);
    }
    if !pairs().all(|(input, script)| standard_witness(input, script)) {
        return Err(Reject::NonstandardWitness);
    }
    Ok(())
}

/// Signature operations outside of the witness that spending an output may execute (BIP 54).
fn executed_sigops(input: &TxIn, script: &Script) -> usize {
    let redeemed = if script.is_p2sh() {
        redeem_script(input).map_or(0, |redeem| Script::from_bytes(&redeem).count_sigops())
    } else {
        script.count_sigops()
    };
    input.script_sig.count_sigops().saturating_add(redeemed)
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
    /// A witness program that has rules.
    Program,
    /// Pay to anchor.
    Anchor,
    /// A witness program kept for later.
    UnknownProgram,
    ScriptHash,
    /// A key, its hash, or a few keys.
    Keys,
    Data,
    Nonstandard,
}

impl Kind {
    fn of(script: &Script) -> Self {
        let bytes = script.as_bytes();
        if script.is_p2sh() {
            Self::ScriptHash
        } else if is_p2a(script) {
            Self::Anchor
        } else if script.is_p2wpkh() || script.is_p2wsh() || script.is_p2tr() {
            Self::Program
        } else if let Some(version) = script.witness_version() {
            // Version 0 has all its lengths.
            if version == WitnessVersion::V0 { Self::Nonstandard } else { Self::UnknownProgram }
        } else if bytes.first() == Some(&OP_RETURN.to_u8()) {
            let pushes = Script::from_bytes(bytes.get(1..).unwrap_or_default());
            if pushes.is_push_only() { Self::Data } else { Self::Nonstandard }
        } else if script.is_p2pkh() || pays_key(bytes) || pays_keys(bytes) {
            Self::Keys
        } else {
            Self::Nonstandard
        }
    }
}

/// Whether a key has a form: 33 bytes behind 2 or 3, 65 behind 4, 6 or 7.
fn has_form(key: &[u8]) -> bool {
    matches!((key.first(), key.len()), (Some(2 | 3), 33) | (Some(4 | 6 | 7), 65))
}

/// A key and `OP_CHECKSIG`.
fn pays_key(script: &[u8]) -> bool {
    let Some((push, [key @ .., 0xac])) = script.split_first() else { return false };
    usize::from(*push) == key.len() && has_form(key)
}

/// Bare multisig of at most three keys.
fn pays_keys(script: &[u8]) -> bool {
    let [needed @ 0x51..=0x53, keys @ .., count @ 0x51..=0x53, 0xae] = script else {
        return false;
    };
    let keys: Vec<_> = Script::from_bytes(keys).instructions().collect();
    let key = |key: &Result<Instruction<'_>, _>| match key {
        Ok(Instruction::PushBytes(bytes)) => has_form(bytes.as_bytes()),
        Ok(Instruction::Op(_)) | Err(_) => false,
    };
    needed <= count && keys.len() == usize::from(count & 0x0f) && keys.iter().all(key)
}

fn standard_spend(input: &TxIn, script: &Script) -> bool {
    match Kind::of(script) {
        Kind::Program | Kind::Anchor | Kind::Keys => true,
        Kind::ScriptHash => redeem_script(input)
            .is_some_and(|redeem| Script::from_bytes(&redeem).count_sigops() <= P2SH_SIGOPS_MAX),
        Kind::Data | Kind::UnknownProgram | Kind::Nonstandard => false,
    }
}

/// Whether anybody may spend it.
pub(crate) fn is_p2a(script: &Script) -> bool {
    script.as_bytes() == P2A
}

/// What a script signature leaves on top of the stack.
pub(crate) fn redeem_script(input: &TxIn) -> Option<Vec<u8>> {
    match input.script_sig.instructions().last()?.ok()? {
        Instruction::PushBytes(bytes) => Some(bytes.as_bytes().to_vec()),
        Instruction::Op(op) => of_small_op(op.to_u8()),
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
    let redeem = if wrapped { redeem_script(input) } else { Some(script.to_bytes()) };
    let Some(redeem) = redeem else { return false };
    let program = Script::from_bytes(&redeem);
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
