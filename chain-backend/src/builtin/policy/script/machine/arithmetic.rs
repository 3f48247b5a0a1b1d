//! Numbers and hashes.

use super::Machine;
use crate::builtin::policy::script::item::{of_bool, of_number};
use crate::builtin::reject::ScriptFault;
use bitcoin::hashes::{Hash, hash160, ripemd160, sha1, sha256, sha256d};

impl Machine<'_> {
    pub(super) fn calculate(&mut self, op: u8) -> Result<(), ScriptFault> {
        match op {
            0x8b | 0x8c | 0x8f..=0x92 => {
                let value = self.pop_number()?;
                self.push(match op {
                    0x8b => of_number(value.saturating_add(1)),
                    0x8c => of_number(value.saturating_sub(1)),
                    0x8f => of_number(value.saturating_neg()),
                    0x90 => of_number(value.saturating_abs()),
                    0x91 => of_bool(value == 0),
                    _ => of_bool(value != 0),
                });
                Ok(())
            }
            0xa5 => {
                self.need(3)?;
                let (most, least) = (self.pop_number()?, self.pop_number()?);
                let value = self.pop_number()?;
                self.push(of_bool(least <= value && value < most));
                Ok(())
            }
            0x93 | 0x94 | 0x9a..=0xa4 => {
                self.need(2)?;
                let (right, left) = (self.pop_number()?, self.pop_number()?);
                self.push(match op {
                    0x93 => of_number(left.saturating_add(right)),
                    0x94 => of_number(left.saturating_sub(right)),
                    0x9a => of_bool(left != 0 && right != 0),
                    0x9b => of_bool(left != 0 || right != 0),
                    0x9c | 0x9d => of_bool(left == right),
                    0x9e => of_bool(left != right),
                    0x9f => of_bool(left < right),
                    0xa0 => of_bool(left > right),
                    0xa1 => of_bool(left <= right),
                    0xa2 => of_bool(left >= right),
                    0xa3 => of_number(left.min(right)),
                    _ => of_number(left.max(right)),
                });
                if op == 0x9d { self.verify(ScriptFault::NumEqualVerify) } else { Ok(()) }
            }
            _ => Err(ScriptFault::BadOpcode),
        }
    }

    pub(super) fn hash(&mut self, op: u8) -> Result<(), ScriptFault> {
        let item = self.pop()?;
        self.push(match op {
            0xa6 => ripemd160::Hash::hash(&item).to_byte_array().to_vec(),
            0xa7 => sha1::Hash::hash(&item).to_byte_array().to_vec(),
            0xa8 => sha256::Hash::hash(&item).to_byte_array().to_vec(),
            0xa9 => hash160::Hash::hash(&item).to_byte_array().to_vec(),
            _ => sha256d::Hash::hash(&item).to_byte_array().to_vec(),
        });
        Ok(())
    }
}
