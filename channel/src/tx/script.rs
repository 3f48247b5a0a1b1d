//! Witness scripts, all in their anchors form. BOLT 3 § Funding Transaction Output, § Commitment
//! Transaction Outputs.
//!
//! Numbers are pushed in their shortest form: 1 to 16 have an opcode, and a number whose top bit is set
//! gets a zero byte in front.

use bitcoin::PubkeyHash;
use bitcoin::ScriptBuf;
use bitcoin::hashes::{Hash, hash160, ripemd160};
use bitcoin::opcodes::all::{
    OP_CHECKMULTISIG, OP_CHECKSIG, OP_CHECKSIGVERIFY, OP_CLTV, OP_CSV, OP_DROP, OP_DUP, OP_ELSE,
    OP_ENDIF, OP_EQUAL, OP_EQUALVERIFY, OP_HASH160, OP_IF, OP_IFDUP, OP_NOTIF, OP_SIZE, OP_SWAP,
};
use bitcoin::script::Builder;
use secp256k1::PublicKey;
use wire::id::PaymentHash;
use wire::units::BlockHeight;

use crate::keys::CommitmentKeys;

/// Blocks after which anybody may take an anchor.
const ANCHOR_DELAY_BLOCKS: i64 = 16;

/// The 2-of-2 of the funding output: the lexicographically lesser key first.
pub fn funding(one: &PublicKey, two: &PublicKey) -> ScriptBuf {
    let (one, two) = (one.serialize(), two.serialize());
    let (lesser, greater) = if one <= two { (one, two) } else { (two, one) };
    Builder::new()
        .push_int(2)
        .push_slice(lesser)
        .push_slice(greater)
        .push_int(2)
        .push_opcode(OP_CHECKMULTISIG)
        .into_script()
}

/// `to_local`, and the one output of each second-level HTLC transaction: the owner's after a delay of
/// `to_self_delay` blocks, the other's at once if the commitment was revoked.
pub fn delayed(revocation: &PublicKey, to_self_delay: u16, owner_delayed: &PublicKey) -> ScriptBuf {
    Builder::new()
        .push_opcode(OP_IF)
        .push_slice(revocation.serialize())
        .push_opcode(OP_ELSE)
        .push_int(i64::from(to_self_delay))
        .push_opcode(OP_CSV)
        .push_opcode(OP_DROP)
        .push_slice(owner_delayed.serialize())
        .push_opcode(OP_ENDIF)
        .push_opcode(OP_CHECKSIG)
        .into_script()
}

/// `to_remote`: the other's, one block after the commitment.
pub fn to_remote(other_payment: &PublicKey) -> ScriptBuf {
    Builder::new()
        .push_slice(other_payment.serialize())
        .push_opcode(OP_CHECKSIGVERIFY)
        .push_int(1)
        .push_opcode(OP_CSV)
        .into_script()
}

/// An anchor: its side's at any time, anybody's after 16 blocks.
pub fn anchor(funding: &PublicKey) -> ScriptBuf {
    Builder::new()
        .push_slice(funding.serialize())
        .push_opcode(OP_CHECKSIG)
        .push_opcode(OP_IFDUP)
        .push_opcode(OP_NOTIF)
        .push_int(ANCHOR_DELAY_BLOCKS)
        .push_opcode(OP_CSV)
        .push_opcode(OP_ENDIF)
        .into_script()
}

/// An HTLC the owner offered: the other's with the preimage, the owner's through HTLC-timeout.
pub fn offered_htlc(keys: &CommitmentKeys, hash: &PaymentHash) -> ScriptBuf {
    offered_htlc_hashed(keys, ripemd160::Hash::hash(&hash.0).to_byte_array())
}

/// The same, from the `RIPEMD160` of the payment hash.
pub fn offered_htlc_hashed(keys: &CommitmentKeys, hash: [u8; 20]) -> ScriptBuf {
    htlc_start(keys, 136)
        .push_opcode(OP_NOTIF)
        .push_opcode(OP_DROP)
        .push_int(2)
        .push_opcode(OP_SWAP)
        .push_slice(keys.htlc().owner.serialize())
        .push_int(2)
        .push_opcode(OP_CHECKMULTISIG)
        .push_opcode(OP_ELSE)
        .push_opcode(OP_HASH160)
        .push_slice(hash)
        .push_opcode(OP_EQUALVERIFY)
        .push_opcode(OP_CHECKSIG)
        .push_opcode(OP_ENDIF)
        .push_int(1)
        .push_opcode(OP_CSV)
        .push_opcode(OP_DROP)
        .push_opcode(OP_ENDIF)
        .into_script()
}

/// An HTLC the owner received: the owner's through HTLC-success, the other's after `cltv_expiry`.
pub fn received_htlc(
    keys: &CommitmentKeys,
    hash: &PaymentHash,
    cltv_expiry: BlockHeight,
) -> ScriptBuf {
    let hash = ripemd160::Hash::hash(&hash.0).to_byte_array();
    received_htlc_hashed(keys, hash, cltv_expiry)
}

/// The same, from the `RIPEMD160` of the payment hash.
pub fn received_htlc_hashed(
    keys: &CommitmentKeys,
    hash: [u8; 20],
    cltv_expiry: BlockHeight,
) -> ScriptBuf {
    htlc_start(keys, 143)
        .push_opcode(OP_IF)
        .push_opcode(OP_HASH160)
        .push_slice(hash)
        .push_opcode(OP_EQUALVERIFY)
        .push_int(2)
        .push_opcode(OP_SWAP)
        .push_slice(keys.htlc().owner.serialize())
        .push_int(2)
        .push_opcode(OP_CHECKMULTISIG)
        .push_opcode(OP_ELSE)
        .push_opcode(OP_DROP)
        .push_int(i64::from(cltv_expiry.0))
        .push_opcode(OP_CLTV)
        .push_opcode(OP_DROP)
        .push_opcode(OP_CHECKSIG)
        .push_opcode(OP_ENDIF)
        .push_int(1)
        .push_opcode(OP_CSV)
        .push_opcode(OP_DROP)
        .push_opcode(OP_ENDIF)
        .into_script()
}

/// What both HTLC scripts begin with: the revocation branch, then "is the top element 32 bytes long?".
fn htlc_start(keys: &CommitmentKeys, bytes: usize) -> Builder {
    let revocation = PubkeyHash::from(hash160::Hash::hash(&keys.revocation.serialize()));
    Builder::from(Vec::with_capacity(bytes))
        .push_opcode(OP_DUP)
        .push_opcode(OP_HASH160)
        .push_slice(revocation)
        .push_opcode(OP_EQUAL)
        .push_opcode(OP_IF)
        .push_opcode(OP_CHECKSIG)
        .push_opcode(OP_ELSE)
        .push_slice(keys.htlc().other.serialize())
        .push_opcode(OP_SWAP)
        .push_opcode(OP_SIZE)
        .push_int(32)
        .push_opcode(OP_EQUAL)
}
