//! Scripts, run for real, under the rules of relay: consensus and what goes beyond it (low S, strict
//! encodings, empty failed signatures, minimal pushes and conditions, clean stacks, compressed keys, nothing
//! kept for later).
//!
//! The verdict of consensus is `verify::script`'s. This says which rule of relay is broken, and the word for
//! what consensus refuses.

mod flags;
mod item;
mod machine;
mod program;
mod signature;

use crate::builtin::reject::ScriptFault;
use bitcoin::{Script, Transaction, TxOut, Witness};
use item::truth;
use machine::Machine;
use signature::{Signed, Version};

pub(crate) use flags::Flags;
pub(crate) use item::of_small_op;

/// Checks every input of `tx` as relay does; `spent` are the outputs it spends, in order.
pub(crate) fn check_scripts(tx: &Transaction, spent: &[TxOut]) -> Result<(), ScriptFault> {
    (0..tx.input.len()).try_for_each(|index| check_script(tx, index, spent, Flags::STANDARD))
}

/// Checks one input under some rules (`VerifyScript`).
pub(crate) fn check_script(
    tx: &Transaction,
    index: usize,
    spent: &[TxOut],
    flags: Flags,
) -> Result<(), ScriptFault> {
    let input = tx.input.get(index).ok_or(ScriptFault::Consensus)?;
    let output = spent.get(index).ok_or(ScriptFault::Consensus)?;
    let signed = Signed { tx, index, spent, value: output.value, flags };
    signed.check(&input.script_sig, &output.script_pubkey, &input.witness)
}

/// What its stack ends with.
fn check_true(stack: &[Vec<u8>]) -> Result<(), ScriptFault> {
    if stack.last().is_some_and(|top| truth(top)) { Ok(()) } else { Err(ScriptFault::EvalFalse) }
}

impl<'a> Signed<'a> {
    fn run(self, script: &[u8], stack: Vec<Vec<u8>>) -> Result<Vec<Vec<u8>>, ScriptFault> {
        Machine::new(self, Version::Base, stack).run(script)
    }

    fn check(
        self,
        script_sig: &Script,
        script: &Script,
        witness: &'a Witness,
    ) -> Result<(), ScriptFault> {
        let flags = self.flags;
        if flags.has(Flags::SIG_PUSH_ONLY) && !script_sig.is_push_only() {
            return Err(ScriptFault::SigPushOnly);
        }
        let pushed = self.run(script_sig.as_bytes(), Vec::new())?;
        let mut stack = self.run(script.as_bytes(), pushed.clone())?;
        check_true(&stack)?;
        let mut has_program = false;
        if flags.has(Flags::WITNESS) && script.is_witness_program() {
            has_program = true;
            if !script_sig.is_empty() {
                return Err(ScriptFault::WitnessMalleated);
            }
            self.check_program(script, witness, false)?;
            stack.truncate(1);
        }
        if flags.has(Flags::P2SH) && script.is_p2sh() {
            if !script_sig.is_push_only() {
                return Err(ScriptFault::SigPushOnly);
            }
            stack = pushed;
            let redeem = stack.pop().ok_or(ScriptFault::InvalidStack)?;
            stack = self.run(&redeem, stack)?;
            check_true(&stack)?;
            let program = Script::from_bytes(&redeem);
            if flags.has(Flags::WITNESS) && program.is_witness_program() {
                has_program = true;
                if script_sig.as_bytes() != item::push_of(&redeem) {
                    return Err(ScriptFault::WitnessMalleatedP2sh);
                }
                self.check_program(program, witness, true)?;
                stack.truncate(1);
            }
        }
        if flags.has(Flags::CLEAN_STACK) && stack.len() != 1 {
            return Err(ScriptFault::CleanStack);
        }
        if flags.has(Flags::WITNESS) && !has_program && !witness.is_empty() {
            return Err(ScriptFault::WitnessUnexpected);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
