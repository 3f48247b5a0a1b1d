//! The outputs of a channel (BOLT 3), all keys the miner's, and what opens them.

use super::harness::{key, pubkey};
use bitcoin::hashes::{Hash, ripemd160, sha256};
use bitcoin::opcodes::all::*;
use bitcoin::script::Builder;
use bitcoin::sighash::SighashCache;
use bitcoin::{Amount, EcdsaSighashType, ScriptBuf, Transaction};
use secp256k1::{Message, SECP256K1};

pub(crate) const PREIMAGE: [u8; 32] = [9; 32];

/// Anybody may spend it, with an empty witness.
pub(crate) fn p2a() -> ScriptBuf {
    ScriptBuf::from_bytes(vec![0x51, 0x02, 0x4e, 0x73])
}

/// An HTLC that the commitment's owner offered.
pub(crate) fn offered() -> ScriptBuf {
    htlc(None)
}

/// An HTLC that the commitment's owner received.
pub(crate) fn received(expiry: i64) -> ScriptBuf {
    htlc(Some(expiry))
}

/// Signatures for inputs that spend witness scripts of `value` each; one hash of the whole serves all.
pub(crate) fn signatures(
    tx: &Transaction,
    inputs: &[(usize, &ScriptBuf, u64)],
    kind: EcdsaSighashType,
) -> Vec<Vec<u8>> {
    let mut cache = SighashCache::new(tx);
    let sign = |(index, script, value): &(usize, &ScriptBuf, u64)| {
        let value = Amount::from_sat(*value);
        let hash = cache.p2wsh_signature_hash(*index, script, value, kind).unwrap();
        let message = Message::from_digest(hash.to_byte_array());
        let mut bytes = SECP256K1.sign_ecdsa(&message, &key()).serialize_der().to_vec();
        bytes.push(kind.to_u32() as u8);
        bytes
    };
    inputs.iter().map(sign).collect()
}

/// The delayed output: penalty, or its owner after so many blocks.
pub(crate) fn delayed(delay: i64) -> ScriptBuf {
    Builder::new()
        .push_opcode(OP_IF)
        .push_key(&pubkey())
        .push_opcode(OP_ELSE)
        .push_int(delay)
        .push_opcode(OP_CSV)
        .push_opcode(OP_DROP)
        .push_key(&pubkey())
        .push_opcode(OP_ENDIF)
        .push_opcode(OP_CHECKSIG)
        .into_script()
}

/// An HTLC output of a channel with anchors; `expiry` is that of a received one.
fn htlc(expiry: Option<i64>) -> ScriptBuf {
    let lock = ripemd160::Hash::hash(&sha256::Hash::hash(&PREIMAGE).to_byte_array());
    let head = Builder::new()
        .push_opcode(OP_DUP)
        .push_opcode(OP_HASH160)
        .push_slice(pubkey().pubkey_hash().to_byte_array())
        .push_opcode(OP_EQUAL)
        .push_opcode(OP_IF)
        .push_opcode(OP_CHECKSIG)
        .push_opcode(OP_ELSE)
        .push_key(&pubkey())
        .push_opcode(OP_SWAP)
        .push_opcode(OP_SIZE)
        .push_int(32)
        .push_opcode(OP_EQUAL);
    let two = |builder: Builder| {
        let builder = builder.push_int(2).push_opcode(OP_SWAP).push_key(&pubkey());
        builder.push_int(2).push_opcode(OP_CHECKMULTISIG)
    };
    let hashed = |builder: Builder| {
        let builder = builder.push_opcode(OP_HASH160).push_slice(lock.to_byte_array());
        builder.push_opcode(OP_EQUALVERIFY)
    };
    let body = match expiry {
        Some(expiry) => two(hashed(head.push_opcode(OP_IF)))
            .push_opcode(OP_ELSE)
            .push_opcode(OP_DROP)
            .push_int(expiry)
            .push_opcode(OP_CLTV)
            .push_opcode(OP_DROP)
            .push_opcode(OP_CHECKSIG)
            .push_opcode(OP_ENDIF),
        None => hashed(two(head.push_opcode(OP_NOTIF).push_opcode(OP_DROP)).push_opcode(OP_ELSE))
            .push_opcode(OP_CHECKSIG)
            .push_opcode(OP_ENDIF),
    };
    let tail = body.push_int(1).push_opcode(OP_CSV).push_opcode(OP_DROP);
    tail.push_opcode(OP_ENDIF).into_script()
}

/// The funding output.
pub(crate) fn two_of_two() -> ScriptBuf {
    let builder = Builder::new().push_int(2).push_key(&pubkey()).push_key(&pubkey());
    builder.push_int(2).push_opcode(OP_CHECKMULTISIG).into_script()
}

/// The anchor: its owner at once, anybody after sixteen blocks.
pub(crate) fn anchor() -> ScriptBuf {
    let builder = Builder::new().push_key(&pubkey()).push_opcode(OP_CHECKSIG);
    let builder = builder.push_opcode(OP_IFDUP).push_opcode(OP_NOTIF).push_int(16);
    builder.push_opcode(OP_CSV).push_opcode(OP_ENDIF).into_script()
}
