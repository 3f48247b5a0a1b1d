//! The stack machine of all three script languages (`EvalScript`).

mod arithmetic;
mod check;
mod juggle;
mod lock;

use super::flags::Flags;
use super::item::{is_minimal_push, next_op, number, of_bool, of_small_op, truth};
use super::signature::{Signed, Version};
use crate::builtin::reject::ScriptFault;

/// More items than consensus allows.
const STACK_MAX: usize = 1_000;
/// A longer item than consensus allows, bytes.
const ITEM_MAX: usize = 520;
/// A longer script than consensus allows outside of tapscript, bytes.
const SCRIPT_MAX: usize = 10_000;
/// More operations than consensus allows outside of tapscript.
const OPS_MAX: usize = 201;
/// The longest number, bytes.
const NUMBER_MAX: usize = 4;

#[derive(Debug)]
pub(super) struct Machine<'a> {
    signed: Signed<'a>,
    version: Version<'a>,
    stack: Vec<Vec<u8>>,
    aside: Vec<Vec<u8>>,
    /// For each open condition, whether its branch runs.
    branches: Vec<bool>,
    ops: usize,
    /// Tapscript: what signatures may still be checked, in units of witness bytes.
    weight_left: u64,
    /// Tapscript: the place of the last separator that ran.
    separator: u32,
}

impl<'a> Machine<'a> {
    pub(super) const fn new(signed: Signed<'a>, version: Version<'a>, stack: Vec<Vec<u8>>) -> Self {
        Self {
            signed,
            version,
            stack,
            aside: Vec::new(),
            branches: Vec::new(),
            ops: 0,
            weight_left: 0,
            separator: u32::MAX,
        }
    }

    /// How many signatures a tapscript may check, in units of witness bytes.
    pub(super) const fn with_weight(mut self, weight: u64) -> Self {
        self.weight_left = weight;
        self
    }

    const fn is_tapscript(&self) -> bool {
        matches!(self.version, Version::Tapscript { .. })
    }

    fn has(&self, flag: Flags) -> bool {
        self.signed.flags.has(flag)
    }

    /// Runs a script; answers the stack it leaves.
    pub(super) fn run(mut self, script: &[u8]) -> Result<Vec<Vec<u8>>, ScriptFault> {
        if !self.is_tapscript() && script.len() > SCRIPT_MAX {
            return Err(ScriptFault::ScriptSize);
        }
        // What signatures commit to begins behind the last separator.
        let (mut code, mut rest, mut place) = (script, script, 0_u32);
        while let Some((op, data, next)) = next_op(rest)? {
            rest = next;
            let running = self.branches.iter().all(|branch| *branch);
            if data.len() > ITEM_MAX {
                return Err(ScriptFault::PushSize);
            }
            if op > 0x60 {
                self.count_ops(1)?;
            }
            match op {
                0x7e..=0x81 | 0x83..=0x86 | 0x8d | 0x8e | 0x95..=0x99 => {
                    return Err(ScriptFault::DisabledOpcode);
                }
                0xab if self.version == Version::Base && self.has(Flags::CONST_SCRIPT_CODE) => {
                    return Err(ScriptFault::CodeSeparator);
                }
                0x00..=0x4e if running => {
                    if self.has(Flags::MINIMAL_DATA) && !is_minimal_push(op, data) {
                        return Err(ScriptFault::MinimalData);
                    }
                    self.stack.push(data.to_vec());
                }
                0xab if running => {
                    code = rest;
                    self.separator = place;
                }
                0x63..=0x68 => self.branch(op, running)?,
                _ if running => self.step(op, code)?,
                _ => {}
            }
            if self.stack.len().saturating_add(self.aside.len()) > STACK_MAX {
                return Err(ScriptFault::StackSize);
            }
            place = place.saturating_add(1);
        }
        if self.branches.is_empty() {
            Ok(self.stack)
        } else {
            Err(ScriptFault::UnbalancedConditional)
        }
    }

    fn count_ops(&mut self, more: usize) -> Result<(), ScriptFault> {
        self.ops = self.ops.saturating_add(more);
        if self.ops > OPS_MAX && !self.is_tapscript() {
            return Err(ScriptFault::OpCount);
        }
        Ok(())
    }

    fn step(&mut self, op: u8, code: &[u8]) -> Result<(), ScriptFault> {
        match op {
            0x4f | 0x51..=0x60 => {
                self.push(of_small_op(op).unwrap_or_default());
                Ok(())
            }
            0x61 => Ok(()),
            0xb1 => self.check_lock_time(),
            0xb2 => self.check_sequence(),
            0xb0 | 0xb3..=0xb9 if self.has(Flags::DISCOURAGE_NOPS) => {
                Err(ScriptFault::DiscourageNops)
            }
            0xb0 | 0xb3..=0xb9 => Ok(()),
            0x69 => self.verify(ScriptFault::Verify),
            0x6a => Err(ScriptFault::OpReturn),
            0x6b..=0x7d | 0x82 => self.juggle(op),
            0x87 | 0x88 => {
                self.need(2)?;
                let equal = self.pop()? == self.pop()?;
                self.push(of_bool(equal));
                if op == 0x88 { self.verify(ScriptFault::EqualVerify) } else { Ok(()) }
            }
            0x8b..=0xa5 => self.calculate(op),
            0xa6..=0xaa => self.hash(op),
            0xac..=0xaf => self.check_signatures(op, code),
            0xba if self.is_tapscript() => self.check_and_add(),
            _ => Err(ScriptFault::BadOpcode),
        }
    }

    /// `OP_IF` to `OP_ENDIF`, which count whether they run or not.
    fn branch(&mut self, op: u8, running: bool) -> Result<(), ScriptFault> {
        match op {
            0x63 | 0x64 => {
                let taken = running && self.condition(op == 0x64)?;
                self.branches.push(taken);
                Ok(())
            }
            0x67 => {
                let branch = self.branches.last_mut().ok_or(ScriptFault::UnbalancedConditional)?;
                *branch = !*branch;
                Ok(())
            }
            0x68 => self.branches.pop().ok_or(ScriptFault::UnbalancedConditional).map(drop),
            _ => Err(ScriptFault::BadOpcode),
        }
    }

    fn condition(&mut self, negated: bool) -> Result<bool, ScriptFault> {
        let condition = self.pop()?;
        if !matches!(condition.as_slice(), [] | [1]) {
            if self.is_tapscript() {
                return Err(ScriptFault::TapscriptMinimalIf);
            }
            if self.version == Version::Segwit && self.has(Flags::MINIMAL_IF) {
                return Err(ScriptFault::MinimalIf);
            }
        }
        Ok(truth(&condition) != negated)
    }

    fn verify(&mut self, otherwise: ScriptFault) -> Result<(), ScriptFault> {
        self.need(1)?;
        let Some(top) = self.stack.last() else { return Err(ScriptFault::InvalidStack) };
        if !truth(top) {
            return Err(otherwise);
        }
        self.pop().map(drop)
    }

    fn push(&mut self, item: Vec<u8>) {
        self.stack.push(item);
    }

    fn pop(&mut self) -> Result<Vec<u8>, ScriptFault> {
        self.stack.pop().ok_or(ScriptFault::InvalidStack)
    }

    fn pop_number(&mut self) -> Result<i64, ScriptFault> {
        number(&self.pop()?, NUMBER_MAX, self.has(Flags::MINIMAL_DATA))
    }

    /// Asks for so many items.
    fn need(&self, count: usize) -> Result<(), ScriptFault> {
        if self.stack.len() < count { Err(ScriptFault::InvalidStack) } else { Ok(()) }
    }

    /// Where the item `depth` below the top is.
    fn at(&self, depth: usize) -> Result<usize, ScriptFault> {
        self.stack.len().checked_sub(depth.saturating_add(1)).ok_or(ScriptFault::InvalidStack)
    }
}
