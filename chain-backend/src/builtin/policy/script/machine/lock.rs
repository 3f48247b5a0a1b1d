//! `OP_CHECKLOCKTIMEVERIFY` and `OP_CHECKSEQUENCEVERIFY` (BIP 65, BIP 112).

use super::Machine;
use crate::builtin::policy::script::flags::Flags;
use crate::builtin::policy::script::item::number;
use crate::builtin::reject::ScriptFault;

/// Locks may be longer than other numbers, bytes.
const LOCK_MAX: usize = 5;
/// Below this nLockTime is a height, from it on a time.
const LOCK_TIME_THRESHOLD: i64 = 500_000_000;
const SEQUENCE_FINAL: u32 = 0xffff_ffff;
const SEQUENCE_DISABLE: u32 = 1 << 31;
const SEQUENCE_TYPE: u32 = 1 << 22;
const SEQUENCE_MASK: u32 = SEQUENCE_TYPE | 0xffff;

impl Machine<'_> {
    fn lock(&self) -> Result<i64, ScriptFault> {
        let top = self.stack.last().ok_or(ScriptFault::InvalidStack)?;
        let lock = number(top, LOCK_MAX, self.has(Flags::MINIMAL_DATA))?;
        if lock < 0 { Err(ScriptFault::NegativeLocktime) } else { Ok(lock) }
    }

    pub(super) fn check_lock_time(&self) -> Result<(), ScriptFault> {
        if !self.has(Flags::CLTV) {
            return Ok(());
        }
        let lock = self.lock()?;
        let own = i64::from(self.signed.tx.lock_time.to_consensus_u32());
        let same_kind = (lock < LOCK_TIME_THRESHOLD) == (own < LOCK_TIME_THRESHOLD);
        let final_input = self.sequence() == SEQUENCE_FINAL;
        if same_kind && lock <= own && !final_input {
            Ok(())
        } else {
            Err(ScriptFault::UnsatisfiedLocktime)
        }
    }

    pub(super) fn check_sequence(&self) -> Result<(), ScriptFault> {
        if !self.has(Flags::CSV) {
            return Ok(());
        }
        let lock = self.lock()?;
        if lock & i64::from(SEQUENCE_DISABLE) != 0 {
            return Ok(());
        }
        let own = self.sequence();
        // The field is unsigned for this rule: negative versions count as large.
        let version = self.signed.tx.version.0;
        let locks = !(0..2).contains(&version) && own & SEQUENCE_DISABLE == 0;
        let (lock, own) = (lock & i64::from(SEQUENCE_MASK), i64::from(own & SEQUENCE_MASK));
        let kind = i64::from(SEQUENCE_TYPE);
        if locks && (lock < kind) == (own < kind) && lock <= own {
            Ok(())
        } else {
            Err(ScriptFault::UnsatisfiedLocktime)
        }
    }

    fn sequence(&self) -> u32 {
        let input = self.signed.tx.input.get(self.signed.index);
        input.map_or(SEQUENCE_FINAL, |input| input.sequence.0)
    }
}
