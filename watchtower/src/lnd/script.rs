//! The outputs of LND's commitments that justice takes, and what to show for them.
//!
//! `to_local` of a taproot channel has two leaves under a key that nobody has: the cheater's, after a
//! delay, of which the blob has only the hash, and ours, which is one script for both kinds of taproot
//! channels. `to_remote` has one leaf, and there the kinds differ.

use bitcoin::hashes::Hash as _;
use bitcoin::opcodes::all::{OP_CHECKSIG, OP_CHECKSIGVERIFY, OP_CSV, OP_DROP};
use bitcoin::script::Builder;
use bitcoin::taproot::{ControlBlock, LeafVersion, TaprootMerkleBranch, TaprootSpendInfo};
use bitcoin::{ScriptBuf, TapNodeHash, WPubkeyHash};
use secp256k1::{PublicKey, SECP256K1, XOnlyPublicKey};

use super::blob::{BlobType, ToLocal};

/// The x-coordinate of the key under LND's taproot outputs: a point nobody knows the logarithm of
/// (`TaprootNUMSHex` in its `input/script_utils.go`).
const NOBODYS_KEY: [u8; 32] = [
    0xdc, 0xa0, 0x94, 0x75, 0x11, 0x09, 0xd0, 0xbd, 0x05, 0x5d, 0x03, 0x56, 0x58, 0x74, 0xe8, 0x27,
    0x6d, 0xd5, 0x3e, 0x92, 0x6b, 0x44, 0xe3, 0xbd, 0x1b, 0xb6, 0xbf, 0x4b, 0xc1, 0x30, 0xa2, 0x79,
];

/// An output, and what its input has to show besides a signature.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Lock {
    /// The output's script.
    pub script_pubkey: ScriptBuf,
    /// How it is opened.
    pub opening: Opening,
}

/// How an output is opened.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Opening {
    /// `<sig> 1 script`: the revocation branch of a P2WSH.
    Revoke(ScriptBuf),
    /// `<sig> script`: a P2WSH with one branch.
    Script(ScriptBuf),
    /// `<sig> key`: a P2WPKH.
    Key(PublicKey),
    /// `<sig> leaf control`: a leaf of a taproot output.
    Leaf {
        /// The leaf.
        script: ScriptBuf,
        /// Where it is in the tree.
        control: Vec<u8>,
    },
}

/// The cheater's output; `None` for keys that make no output, which nobody can find by chance.
pub fn to_local(keys: &ToLocal) -> Option<Lock> {
    match keys {
        ToLocal::Segwit { revocation, delayed, csv } => {
            let script = channel::tx::script::delayed(revocation, *csv, delayed);
            let script_pubkey = script.to_p2wsh();
            Some(Lock { script_pubkey, opening: Opening::Revoke(script) })
        }
        ToLocal::Taproot { revocation, delayed, delay_leaf } => {
            let script = Builder::new()
                .push_x_only_key(delayed)
                .push_opcode(OP_DROP)
                .push_x_only_key(revocation)
                .push_opcode(OP_CHECKSIG)
                .into_script();
            taproot(script, &[TapNodeHash::from_byte_array(*delay_leaf)])
        }
    }
}

/// The victim's output on a commitment of this kind.
pub fn to_remote(kind: BlobType, key: &PublicKey) -> Option<Lock> {
    match kind {
        BlobType::Legacy => {
            let hash = WPubkeyHash::hash(&key.serialize());
            let script_pubkey = ScriptBuf::new_p2wpkh(&hash);
            Some(Lock { script_pubkey, opening: Opening::Key(*key) })
        }
        BlobType::Anchor => {
            let script = channel::tx::script::to_remote(key);
            let script_pubkey = script.to_p2wsh();
            Some(Lock { script_pubkey, opening: Opening::Script(script) })
        }
        BlobType::Taproot => {
            let leaf = Builder::new()
                .push_x_only_key(&key.x_only_public_key().0)
                .push_opcode(OP_CHECKSIG)
                .push_int(1)
                .push_opcode(OP_CSV)
                .push_opcode(OP_DROP);
            taproot(leaf.into_script(), &[])
        }
        BlobType::TaprootFinal => {
            let leaf = Builder::new()
                .push_x_only_key(&key.x_only_public_key().0)
                .push_opcode(OP_CHECKSIGVERIFY)
                .push_int(1)
                .push_opcode(OP_CSV);
            taproot(leaf.into_script(), &[])
        }
    }
}

/// The output whose tree has `script` with these neighbours on its way up, under nobody's key.
fn taproot(script: ScriptBuf, neighbours: &[TapNodeHash]) -> Option<Lock> {
    let internal_key = XOnlyPublicKey::from_slice(&NOBODYS_KEY).ok()?;
    let leaf = TapNodeHash::from_script(&script, LeafVersion::TapScript);
    let root =
        neighbours.iter().fold(leaf, |below, beside| TapNodeHash::from_node_hashes(below, *beside));
    let spend = TaprootSpendInfo::new_key_spend(SECP256K1, internal_key, Some(root));
    let control = ControlBlock {
        leaf_version: LeafVersion::TapScript,
        output_key_parity: spend.output_key_parity(),
        internal_key,
        merkle_branch: TaprootMerkleBranch::try_from(neighbours).ok()?,
    };
    Some(Lock {
        script_pubkey: ScriptBuf::new_p2tr_tweaked(spend.output_key()),
        opening: Opening::Leaf { script, control: control.serialize() },
    })
}
