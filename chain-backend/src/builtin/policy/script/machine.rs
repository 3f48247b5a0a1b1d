//! The stack machine of legacy and version 0 scripts, as relay runs it. Locks (`OP_CLTV`, `OP_CSV`) are
//! left to consensus.

mod arithmetic;
mod check;
mod juggle;

use super::item::{is_minimal_push, of_bool, of_small_op, truth};
use super::signature::Signed;
use crate::builtin::reject::ScriptFault;
use bitcoin::Transaction;

/// More items than consensus allows.
const STACK_MAX: usize = 1_000;
/// A longer item than consensus allows, bytes.
const ITEM_MAX: usize = 520;
/// A longer script than consensus allows, bytes.
const SCRIPT_MAX: usize = 10_000;

/// Why a script stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// A rule of relay is broken.
    Policy(ScriptFault),
    /// Consensus refuses it, or is not looked at here.
    Consensus,
}

#[derive(Debug)]
pub(super) struct Machine<'a> {
    signed: Signed<'a>,
    stack: Vec<Vec<u8>>,
    aside: Vec<Vec<u8>>,
    /// For each open condition, whether its branch runs.
    branches: Vec<bool>,
}

impl<'a> Machine<'a> {
    pub(super) const fn new(
        tx: &'a Transaction,
        index: usize,
        value_sat: u64,
        segwit: bool,
        stack: Vec<Vec<u8>>,
    ) -> Self {
        let signed = Signed { tx, index, value_sat, segwit };
        Self { signed, stack, aside: Vec::new(), branches: Vec::new() }
    }

    /// Runs a script; answers the stack it leaves.
    pub(super) fn run(mut self, script: &[u8]) -> Result<Vec<Vec<u8>>, Stop> {
        if script.len() > SCRIPT_MAX {
            return Err(Stop::Consensus);
        }
        // What signatures commit to begins behind the last separator.
        let mut code = script;
        let mut rest = script;
        while let Some((op, data, next)) = next_op(rest)? {
            rest = next;
            let running = self.branches.iter().all(|branch| *branch);
            match op {
                0x00..=0x4e if running => {
                    if !is_minimal_push(op, data) {
                        return Err(Stop::Policy(ScriptFault::MinimalData));
                    }
                    self.push(data.to_vec())?;
                }
                0x63 | 0x64 => self.branch(op == 0x64, running)?,
                0x67 => {
                    let branch = self.branches.last_mut().ok_or(Stop::Consensus)?;
                    *branch = !*branch;
                }
                0x68 => {
                    self.branches.pop().ok_or(Stop::Consensus)?;
                }
                0xab if !self.signed.segwit => {
                    return Err(Stop::Policy(ScriptFault::CodeSeparator));
                }
                0xab if running => code = rest,
                _ if running => self.step(op, code)?,
                _ => {}
            }
        }
        if self.branches.is_empty() { Ok(self.stack) } else { Err(Stop::Consensus) }
    }

    fn step(&mut self, op: u8, code: &[u8]) -> Result<(), Stop> {
        match op {
            0x4f | 0x51..=0x60 => self.push(of_small_op(op).unwrap_or_default()),
            // A plain no-op, and the two locks.
            0x61 | 0xb1 | 0xb2 => Ok(()),
            0xb0 | 0xb3..=0xb9 => Err(Stop::Policy(ScriptFault::DiscourageNops)),
            0x69 => self.verify(),
            0x6b..=0x7d | 0x82 => self.juggle(op),
            0x87 | 0x88 => {
                let equal = self.pop()? == self.pop()?;
                self.push(of_bool(equal))?;
                if op == 0x88 { self.verify() } else { Ok(()) }
            }
            0x8b..=0xa5 => self.calculate(op),
            0xa6..=0xaa => self.hash(op),
            0xac..=0xaf => self.check_signatures(op, code),
            _ => Err(Stop::Consensus),
        }
    }

    /// `OP_IF` and `OP_NOTIF`.
    fn branch(&mut self, negated: bool, running: bool) -> Result<(), Stop> {
        if self.branches.len() >= STACK_MAX {
            return Err(Stop::Consensus);
        }
        if !running {
            self.branches.push(false);
            return Ok(());
        }
        let condition = self.pop()?;
        if self.signed.segwit && !matches!(condition.as_slice(), [] | [1]) {
            return Err(Stop::Policy(ScriptFault::MinimalIf));
        }
        self.branches.push(truth(&condition) != negated);
        Ok(())
    }

    fn verify(&mut self) -> Result<(), Stop> {
        if truth(&self.pop()?) { Ok(()) } else { Err(Stop::Consensus) }
    }

    fn push(&mut self, item: Vec<u8>) -> Result<(), Stop> {
        if item.len() > ITEM_MAX || self.stack.len() >= STACK_MAX {
            return Err(Stop::Consensus);
        }
        self.stack.push(item);
        Ok(())
    }

    fn pop(&mut self) -> Result<Vec<u8>, Stop> {
        self.stack.pop().ok_or(Stop::Consensus)
    }

    /// Where the item `depth` below the top is.
    fn at(&self, depth: usize) -> Result<usize, Stop> {
        self.stack.len().checked_sub(depth.saturating_add(1)).ok_or(Stop::Consensus)
    }
}

/// The next opcode, what it pushes, and what follows.
type Op<'a> = (u8, &'a [u8], &'a [u8]);

fn next_op(script: &[u8]) -> Result<Option<Op<'_>>, Stop> {
    let Some((op, rest)) = script.split_first() else { return Ok(None) };
    let (length, rest) = match op {
        0x00..=0x4b => (usize::from(*op), rest),
        0x4c => {
            let (length, rest) = rest.split_first().ok_or(Stop::Consensus)?;
            (usize::from(*length), rest)
        }
        0x4d => {
            let (length, rest) = rest.split_first_chunk::<2>().ok_or(Stop::Consensus)?;
            (usize::from(u16::from_le_bytes(*length)), rest)
        }
        0x4e => {
            let (length, rest) = rest.split_first_chunk::<4>().ok_or(Stop::Consensus)?;
            let length = usize::try_from(u32::from_le_bytes(*length));
            (length.map_err(|_| Stop::Consensus)?, rest)
        }
        _ => (0, rest),
    };
    let (data, rest) = rest.split_at_checked(length).ok_or(Stop::Consensus)?;
    Ok(Some((*op, data, rest)))
}
