//! Witness programs: version 0, taproot, and what is kept for later.

use super::check_true;
use super::flags::Flags;
use super::item::next_op;
use super::machine::Machine;
use super::signature::{Signed, Version};
use crate::builtin::policy::standard::is_p2a;
use crate::builtin::reject::ScriptFault;
use bitcoin::consensus::Encodable;
use bitcoin::hashes::{Hash, HashEngine, sha256};
use bitcoin::key::XOnlyPublicKey;
use bitcoin::{Script, TapLeafHash, TapNodeHash, TapTweakHash, VarInt, Witness, WitnessVersion};
use secp256k1::{Parity, SECP256K1, Scalar};

/// Leaf version of the only tapscript there is.
const TAPSCRIPT_LEAF: u8 = 0xc0;
const ANNEX_TAG: u8 = 0x50;
/// More items than consensus allows.
const STACK_MAX: usize = 1_000;
/// A longer item than consensus allows, bytes.
const ITEM_MAX: usize = 520;
/// What a tapscript may check signatures for beside its witness's size, bytes.
const WEIGHT_OFFSET: u64 = 50;

impl<'a> Signed<'a> {
    /// `VerifyWitnessProgram`.
    pub(super) fn check_program(
        self,
        script: &Script,
        witness: &'a Witness,
        wrapped: bool,
    ) -> Result<(), ScriptFault> {
        let Some(version) = script.witness_version() else { return Err(ScriptFault::Consensus) };
        let program = script.as_bytes().get(2..).unwrap_or_default();
        if version == WitnessVersion::V0 {
            return self.check_version_0(program, witness);
        }
        if version == WitnessVersion::V1 && program.len() == 32 && !wrapped {
            return self.check_taproot(program, witness);
        }
        let anchor = !wrapped && is_p2a(script);
        if !anchor && self.flags.has(Flags::DISCOURAGE_PROGRAM) {
            return Err(ScriptFault::DiscourageWitnessProgram);
        }
        Ok(())
    }

    fn check_version_0(self, program: &[u8], witness: &Witness) -> Result<(), ScriptFault> {
        let mut stack = witness.to_vec();
        match program.len() {
            32 => {
                let code = stack.pop().ok_or(ScriptFault::WitnessProgramEmpty)?;
                if sha256::Hash::hash(&code).to_byte_array() != program {
                    return Err(ScriptFault::WitnessProgramMismatch);
                }
                self.execute(&code, stack, Version::Segwit, 0)
            }
            20 if stack.len() != 2 => Err(ScriptFault::WitnessProgramMismatch),
            20 => {
                let code = [&[0x76, 0xa9, 0x14][..], program, &[0x88, 0xac]].concat();
                self.execute(&code, stack, Version::Segwit, 0)
            }
            _ => Err(ScriptFault::WitnessProgramLength),
        }
    }

    fn check_taproot(self, program: &[u8], witness: &'a Witness) -> Result<(), ScriptFault> {
        if !self.flags.has(Flags::TAPROOT) {
            return Ok(());
        }
        let mut stack: Vec<&[u8]> = witness.iter().collect();
        let annexed =
            stack.len() >= 2 && stack.last().is_some_and(|last| last.first() == Some(&ANNEX_TAG));
        let annex = if annexed { stack.pop() } else { None };
        let last = stack.pop().ok_or(ScriptFault::WitnessProgramEmpty)?;
        let Some(code) = stack.pop() else {
            return self.check_schnorr(last, program, annex, None);
        };
        let control = last;
        let path = control.len().checked_sub(33);
        if path.is_none_or(|path| path > 32 * 128 || !path.is_multiple_of(32)) {
            return Err(ScriptFault::TaprootControlSize);
        }
        let version = control.first().copied().unwrap_or_default() & 0xfe;
        let leaf = leaf_of(version, code);
        if !commits(program, control, leaf) {
            return Err(ScriptFault::WitnessProgramMismatch);
        }
        if version == TAPSCRIPT_LEAF {
            let stack = stack.into_iter().map(<[u8]>::to_vec).collect();
            let size = u64::try_from(witness.size()).unwrap_or(u64::MAX);
            let version = Version::Tapscript { leaf, annex };
            return self.execute(code, stack, version, size.saturating_add(WEIGHT_OFFSET));
        }
        if self.flags.has(Flags::DISCOURAGE_TAPROOT_VERSION) {
            return Err(ScriptFault::DiscourageTaprootVersion);
        }
        Ok(())
    }

    /// `ExecuteWitnessScript`.
    fn execute(
        self,
        code: &[u8],
        stack: Vec<Vec<u8>>,
        version: Version<'a>,
        weight: u64,
    ) -> Result<(), ScriptFault> {
        if matches!(version, Version::Tapscript { .. }) {
            let mut rest = code;
            while let Some((op, _, next)) = next_op(rest)? {
                rest = next;
                if is_success(op) {
                    let discouraged = self.flags.has(Flags::DISCOURAGE_OP_SUCCESS);
                    let word = ScriptFault::DiscourageOpSuccess;
                    return if discouraged { Err(word) } else { Ok(()) };
                }
            }
            if stack.len() > STACK_MAX {
                return Err(ScriptFault::StackSize);
            }
        }
        if stack.iter().any(|item| item.len() > ITEM_MAX) {
            return Err(ScriptFault::PushSize);
        }
        let stack = Machine::new(self, version, stack).with_weight(weight).run(code)?;
        if stack.len() != 1 {
            return Err(ScriptFault::CleanStack);
        }
        check_true(&stack)
    }
}

fn leaf_of(version: u8, code: &[u8]) -> TapLeafHash {
    let mut engine = TapLeafHash::engine();
    engine.input(&[version]);
    let mut length = Vec::new();
    // Writing to memory cannot fail.
    let _ = VarInt(u64::try_from(code.len()).unwrap_or(u64::MAX)).consensus_encode(&mut length);
    engine.input(&length);
    engine.input(code);
    TapLeafHash::from_engine(engine)
}

/// Whether a taproot output is its internal key with a tree that has this leaf (BIP 341).
fn commits(program: &[u8], control: &[u8], leaf: TapLeafHash) -> bool {
    let Some((head, path)) = control.split_first_chunk::<33>() else { return false };
    let [first, internal @ ..] = head;
    let branch = |node: [u8; 32], beside: &[u8]| {
        let mut engine = TapNodeHash::engine();
        let (low, high) =
            if node.as_slice() < beside { (&node[..], beside) } else { (beside, &node[..]) };
        engine.input(low);
        engine.input(high);
        TapNodeHash::from_engine(engine).to_byte_array()
    };
    let root = path.chunks_exact(32).fold(leaf.to_byte_array(), branch);
    let mut engine = TapTweakHash::engine();
    engine.input(internal);
    engine.input(&root);
    let tweak = TapTweakHash::from_engine(engine).to_byte_array();
    let parity = if first & 1 == 0 { Parity::Even } else { Parity::Odd };
    let internal = XOnlyPublicKey::from_slice(internal);
    let output = XOnlyPublicKey::from_slice(program);
    match (internal, output, Scalar::from_be_bytes(tweak)) {
        (Ok(internal), Ok(output), Ok(tweak)) => {
            internal.tweak_add_check(SECP256K1, &output, parity, tweak)
        }
        _ => false,
    }
}

/// BIP 342: opcodes that make any tapscript succeed.
const fn is_success(op: u8) -> bool {
    matches!(
        op,
        80 | 98 | 126..=129 | 131..=134 | 137 | 138 | 141 | 142 | 149..=153 | 187..=254
    )
}
