//! Moving items about.

use super::Machine;
use crate::builtin::policy::script::item::{of_number, truth};
use crate::builtin::reject::ScriptFault;

impl Machine<'_> {
    pub(super) fn juggle(&mut self, op: u8) -> Result<(), ScriptFault> {
        match op {
            0x6b => {
                let item = self.pop()?;
                self.aside.push(item);
                Ok(())
            }
            0x6c => {
                let item = self.aside.pop().ok_or(ScriptFault::InvalidAltstack)?;
                self.push(item);
                Ok(())
            }
            0x6d => {
                self.need(2)?;
                self.pop()?;
                self.pop().map(drop)
            }
            0x6e => self.copy(1, 2),
            0x6f => self.copy(2, 3),
            0x70 => self.copy(3, 2),
            0x71 => self.lift(5, 2),
            0x72 => self.lift(3, 2),
            0x73 => {
                let top = self.at(0)?;
                if self.stack.get(top).is_some_and(|item| truth(item)) {
                    self.copy(0, 1)
                } else {
                    Ok(())
                }
            }
            0x74 => {
                self.push(of_number(i64::try_from(self.stack.len()).unwrap_or(i64::MAX)));
                Ok(())
            }
            0x75 => self.pop().map(drop),
            0x76 => self.copy(0, 1),
            0x77 => {
                let below = self.at(1)?;
                self.stack.remove(below);
                Ok(())
            }
            0x78 => self.copy(1, 1),
            0x79 | 0x7a => {
                self.need(2)?;
                let depth =
                    usize::try_from(self.pop_number()?).map_err(|_| ScriptFault::InvalidStack)?;
                if op == 0x79 { self.copy(depth, 1) } else { self.lift(depth, 1) }
            }
            0x7b => self.lift(2, 1),
            0x7c => self.lift(1, 1),
            0x7d => {
                let below = self.at(1)?;
                let top = self.stack.last().cloned().ok_or(ScriptFault::InvalidStack)?;
                self.stack.insert(below, top);
                Ok(())
            }
            // OP_SIZE
            _ => {
                let size = self.stack.last().ok_or(ScriptFault::InvalidStack)?.len();
                self.push(of_number(i64::try_from(size).unwrap_or(i64::MAX)));
                Ok(())
            }
        }
    }

    /// Copies `count` items, the first `depth` below the top, to the top.
    fn copy(&mut self, depth: usize, count: usize) -> Result<(), ScriptFault> {
        for _ in 0..count {
            let at = self.at(depth)?;
            let item = self.stack.get(at).cloned().ok_or(ScriptFault::InvalidStack)?;
            self.push(item);
        }
        Ok(())
    }

    /// Moves `count` items, the first `depth` below the top, to the top.
    fn lift(&mut self, depth: usize, count: usize) -> Result<(), ScriptFault> {
        for _ in 0..count {
            let at = self.at(depth)?;
            let item = self.stack.remove(at);
            self.stack.push(item);
        }
        Ok(())
    }
}
