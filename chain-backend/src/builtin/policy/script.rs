//! The script rules of relay that consensus does not have: low S, strict encodings, empty failed
//! signatures, minimal pushes and conditions, clean stacks, compressed keys, nothing kept for later.
//!
//! Scripts are run for real here, because which item is a signature or a condition only shows when they
//! run. Where consensus itself would fail, this says nothing: `verify::script` decides that.

mod item;
mod machine;
mod signature;

use crate::builtin::policy::standard::redeem_script;
use crate::builtin::reject::ScriptFault;
use bitcoin::script::Instruction;
use bitcoin::{Script, ScriptBuf, Transaction, TxIn, TxOut, Witness, WitnessVersion};
use machine::{Machine, Stop};

/// Leaf version of the only tapscript there is.
const TAPSCRIPT_LEAF: u8 = 0xc0;

/// Checks every input of `tx`, whose outputs spent are `spent`, in order.
pub(crate) fn check_scripts(tx: &Transaction, spent: &[TxOut]) -> Result<(), ScriptFault> {
    for (index, (input, output)) in tx.input.iter().zip(spent).enumerate() {
        let spend = Spend { tx, index, input, value_sat: output.value.to_sat() };
        match spend.check(&output.script_pubkey) {
            Ok(()) | Err(Stop::Consensus) => {}
            Err(Stop::Policy(fault)) => return Err(fault),
        }
    }
    Ok(())
}

#[derive(Clone, Copy)]
struct Spend<'a> {
    tx: &'a Transaction,
    index: usize,
    input: &'a TxIn,
    value_sat: u64,
}

impl Spend<'_> {
    fn check(self, script: &Script) -> Result<(), Stop> {
        if let Some(version) = script.witness_version() {
            return self.check_program(version, script);
        }
        let mut stack = pushes(&self.input.script_sig)?;
        let wrapped = redeem_script(self.input).filter(|_| script.is_p2sh());
        if let Some(version) =
            wrapped.and_then(|redeem| Script::from_bytes(redeem).witness_version())
        {
            let redeem = wrapped.unwrap_or_default();
            return self.check_program(version, Script::from_bytes(redeem));
        }
        let redeem =
            if script.is_p2sh() { stack.pop().ok_or(Stop::Consensus)? } else { Vec::new() };
        let code = if script.is_p2sh() { Script::from_bytes(&redeem) } else { script };
        self.run(code, stack, false)
    }

    fn check_program(self, version: WitnessVersion, program: &Script) -> Result<(), Stop> {
        let witness = &self.input.witness;
        if program.is_p2tr() {
            return check_taproot(witness);
        }
        // Standardness lets nothing else of later versions through but pay to anchor.
        if version != WitnessVersion::V0 {
            return Ok(());
        }
        if program.is_p2wpkh() {
            let mut code = vec![0x76, 0xa9, 0x14];
            code.extend(program.as_bytes().get(2..).unwrap_or_default());
            code.extend([0x88, 0xac]);
            return self.run(&ScriptBuf::from_bytes(code), items(witness, witness.len()), true);
        }
        let code = witness.last().ok_or(Stop::Consensus)?;
        let arguments = items(witness, witness.len().saturating_sub(1));
        self.run(Script::from_bytes(code), arguments, true)
    }

    fn run(self, code: &Script, stack: Vec<Vec<u8>>, segwit: bool) -> Result<(), Stop> {
        let Spend { tx, index, value_sat, .. } = self;
        let stack = Machine::new(tx, index, value_sat, segwit, stack).run(code.as_bytes())?;
        match stack.as_slice() {
            [] => Err(Stop::Consensus),
            [_] => Ok(()),
            _ => Err(Stop::Policy(ScriptFault::CleanStack)),
        }
    }
}

/// The first items of a witness.
fn items(witness: &Witness, count: usize) -> Vec<Vec<u8>> {
    witness.iter().take(count).map(<[u8]>::to_vec).collect()
}

/// What a script signature pushes. It is known to do nothing else.
fn pushes(script: &Script) -> Result<Vec<Vec<u8>>, Stop> {
    let minimal = script.instructions_minimal().all(|instruction| instruction.is_ok());
    if !minimal && script.instructions().all(|instruction| instruction.is_ok()) {
        return Err(Stop::Policy(ScriptFault::MinimalData));
    }
    let mut stack = Vec::new();
    for instruction in script.instructions() {
        match instruction.map_err(|_| Stop::Consensus)? {
            Instruction::PushBytes(bytes) => stack.push(bytes.as_bytes().to_vec()),
            Instruction::Op(op) => {
                stack.push(item::of_small_op(op.to_u8()).ok_or(Stop::Consensus)?)
            }
        }
    }
    Ok(stack)
}

/// A key path needs no rule beyond consensus; a script path must not use what is kept for later.
fn check_taproot(witness: &Witness) -> Result<(), Stop> {
    if witness.len() < 2 {
        return Ok(());
    }
    let control = witness.last().and_then(|control| control.first()).ok_or(Stop::Consensus)?;
    if control & 0xfe != TAPSCRIPT_LEAF {
        return Err(Stop::Policy(ScriptFault::DiscourageTaprootVersion));
    }
    let code = witness.nth(witness.len().saturating_sub(2)).unwrap_or_default();
    for instruction in Script::from_bytes(code).instructions() {
        if let Ok(Instruction::Op(op)) = instruction
            && is_success(op.to_u8())
        {
            return Err(Stop::Policy(ScriptFault::DiscourageOpSuccess));
        }
    }
    Ok(())
}

/// BIP 342: opcodes that make any tapscript succeed.
const fn is_success(op: u8) -> bool {
    matches!(
        op,
        80 | 98 | 126..=129 | 131..=134 | 137 | 138 | 141 | 142 | 149..=153 | 187..=254
    )
}

#[cfg(test)]
mod tests;
