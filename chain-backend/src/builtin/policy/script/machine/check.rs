//! `OP_CHECKSIG`, `OP_CHECKMULTISIG` and `OP_CHECKSIGADD`.

use super::Machine;
use crate::builtin::policy::script::flags::Flags;
use crate::builtin::policy::script::item::{of_bool, of_number};
use crate::builtin::policy::script::signature::Version;
use crate::builtin::reject::ScriptFault;

/// More keys than consensus allows.
const KEYS_MAX: usize = 20;
/// What a tapscript pays for a signature that is checked, in units of witness bytes.
const SIGNATURE_WEIGHT: u64 = 50;

impl Machine<'_> {
    pub(super) fn check_signatures(&mut self, op: u8, code: &[u8]) -> Result<(), ScriptFault> {
        let (good, word) = if op <= 0xad {
            (self.check_one(code)?, ScriptFault::CheckSigVerify)
        } else {
            (self.check_many(code)?, ScriptFault::CheckMultisigVerify)
        };
        self.push(of_bool(good));
        if matches!(op, 0xad | 0xaf) { self.verify(word) } else { Ok(()) }
    }

    fn check_one(&mut self, code: &[u8]) -> Result<bool, ScriptFault> {
        self.need(2)?;
        let (key, signature) = (self.pop()?, self.pop()?);
        if let Version::Tapscript { .. } = self.version {
            return self.check_tapscript(&signature, &key);
        }
        let code = self.signed_code(code, &[&signature])?;
        self.signed.check_encoding(&signature, &key, self.version)?;
        let good = self.signed.holds(&signature, &key, &code, self.version);
        if !good && !signature.is_empty() && self.has(Flags::NULL_FAIL) {
            return Err(ScriptFault::NullFail);
        }
        Ok(good)
    }

    /// BIP 342: a signature is empty, or it holds.
    fn check_tapscript(&mut self, signature: &[u8], key: &[u8]) -> Result<bool, ScriptFault> {
        let Version::Tapscript { leaf, annex } = self.version else {
            return Err(ScriptFault::BadOpcode);
        };
        let given = !signature.is_empty();
        if given {
            let left = self.weight_left.checked_sub(SIGNATURE_WEIGHT);
            self.weight_left = left.ok_or(ScriptFault::TapscriptWeight)?;
        }
        match key.len() {
            0 => return Err(ScriptFault::TapscriptEmptyPubkey),
            32 if given => {
                let leaf = Some((leaf, self.separator));
                self.signed.check_schnorr(signature, key, annex, leaf)?;
            }
            32 => {}
            _ if self.has(Flags::DISCOURAGE_PUBKEY_TYPE) => {
                return Err(ScriptFault::DiscouragePubkeyType);
            }
            _ => {}
        }
        Ok(given)
    }

    /// `OP_CHECKSIGADD`.
    pub(super) fn check_and_add(&mut self) -> Result<(), ScriptFault> {
        self.need(3)?;
        let (key, count) = (self.pop()?, self.pop_number()?);
        let signature = self.pop()?;
        let good = self.check_tapscript(&signature, &key)?;
        self.push(of_number(count.saturating_add(i64::from(good))));
        Ok(())
    }

    fn check_many(&mut self, code: &[u8]) -> Result<bool, ScriptFault> {
        if self.is_tapscript() {
            return Err(ScriptFault::TapscriptCheckMultisig);
        }
        self.need(1)?;
        let count = usize::try_from(self.pop_number()?).ok().filter(|count| *count <= KEYS_MAX);
        let count = count.ok_or(ScriptFault::PubkeyCount)?;
        self.count_ops(count)?;
        self.need(count.saturating_add(1))?;
        let keys = self.pop_many(count)?;
        let needed = usize::try_from(self.pop_number()?).ok().filter(|needed| *needed <= count);
        let needed = needed.ok_or(ScriptFault::SigCount)?;
        self.need(needed.saturating_add(1))?;
        let signatures = self.pop_many(needed)?;
        let all: Vec<&[u8]> = signatures.iter().map(Vec::as_slice).collect();
        let code = self.signed_code(code, &all)?;
        // Both come last first, as they are compared.
        let (mut left_keys, mut left) = (keys.as_slice(), signatures.as_slice());
        while let ([signature, more @ ..], [key, more_keys @ ..]) = (left, left_keys) {
            if left.len() > left_keys.len() {
                break;
            }
            self.signed.check_encoding(signature, key, self.version)?;
            if self.signed.holds(signature, key, &code, self.version) {
                left = more;
            }
            left_keys = more_keys;
        }
        let good = left.is_empty();
        let given = signatures.iter().any(|signature| !signature.is_empty());
        if !good && given && self.has(Flags::NULL_FAIL) {
            return Err(ScriptFault::NullFail);
        }
        // The extra item that the first implementation took by mistake.
        let dummy = self.pop()?;
        if !dummy.is_empty() && self.has(Flags::NULL_DUMMY) {
            return Err(ScriptFault::NullDummy);
        }
        Ok(good)
    }

    /// What signatures sign of the script.
    fn signed_code(&self, code: &[u8], signatures: &[&[u8]]) -> Result<Vec<u8>, ScriptFault> {
        let mut code = code.to_vec();
        if self.version == Version::Base {
            for signature in signatures {
                code = self.signed.without(&code, signature)?;
            }
        }
        Ok(code)
    }

    /// So many items, top first.
    fn pop_many(&mut self, count: usize) -> Result<Vec<Vec<u8>>, ScriptFault> {
        (0..count).map(|_| self.pop()).collect()
    }
}
