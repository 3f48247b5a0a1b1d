//! `OP_CHECKSIG` and `OP_CHECKMULTISIG`.

use super::{Machine, Stop};
use crate::builtin::policy::script::item::{number, of_bool};
use crate::builtin::policy::script::signature::{check_encoding, holds};
use crate::builtin::reject::ScriptFault;
use bitcoin::Script;

/// More keys than consensus allows.
const KEYS_MAX: usize = 20;

impl Machine<'_> {
    pub(super) fn check_signatures(&mut self, op: u8, code: &[u8]) -> Result<(), Stop> {
        let code = Script::from_bytes(code);
        let good = if op <= 0xad { self.check_one(code)? } else { self.check_many(code)? };
        self.push(of_bool(good))?;
        if matches!(op, 0xad | 0xaf) { self.verify() } else { Ok(()) }
    }

    fn check_one(&mut self, code: &Script) -> Result<bool, Stop> {
        let (key, signature) = (self.pop()?, self.pop()?);
        check_encoding(&signature, &key, self.signed.segwit)?;
        let good = holds(self.signed, &signature, &key, code);
        if !good && !signature.is_empty() {
            return Err(Stop::Policy(ScriptFault::NullFail));
        }
        Ok(good)
    }

    fn check_many(&mut self, code: &Script) -> Result<bool, Stop> {
        let keys = self.pop_counted()?;
        let signatures = self.pop_counted()?;
        // The extra item that the first implementation took by mistake.
        self.pop()?;
        if signatures.len() > keys.len() {
            return Err(Stop::Consensus);
        }
        // Both come last first, as they are compared.
        let (mut left_keys, mut left) = (keys.as_slice(), signatures.as_slice());
        while let ([signature, more @ ..], [key, more_keys @ ..]) = (left, left_keys) {
            if left.len() > left_keys.len() {
                break;
            }
            check_encoding(signature, key, self.signed.segwit)?;
            if holds(self.signed, signature, key, code) {
                left = more;
            }
            left_keys = more_keys;
        }
        let good = left.is_empty();
        if !good && signatures.iter().any(|signature| !signature.is_empty()) {
            return Err(Stop::Policy(ScriptFault::NullFail));
        }
        Ok(good)
    }

    /// A count and that many items below it, top first.
    fn pop_counted(&mut self) -> Result<Vec<Vec<u8>>, Stop> {
        let count = usize::try_from(number(&self.pop()?)?).map_err(|_| Stop::Consensus)?;
        if count > KEYS_MAX {
            return Err(Stop::Consensus);
        }
        (0..count).map(|_| self.pop()).collect()
    }
}
