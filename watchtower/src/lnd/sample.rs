//! Breaches of all kinds of channels that LND has, with the kits its clients would make (tests).

use bitcoin::absolute::LockTime;
use bitcoin::hashes::Hash as _;
use bitcoin::opcodes::all::{OP_CHECKSIG, OP_CHECKSIGVERIFY, OP_CSV, OP_DROP};
use bitcoin::script::Builder;
use bitcoin::taproot::LeafVersion;
use bitcoin::transaction::Version;
use bitcoin::{Amount, ScriptBuf, TapNodeHash, Transaction, TxOut};
use secp256k1::{Keypair, Message, SECP256K1, SecretKey};

use super::blob::{BlobType, Kit, ToLocal, ToRemote};
use super::justice;
use super::script;

/// `revPrivBytes` of LND's `watchtower/lookout/justice_descriptor_test.go` (commit 90ea05d5a).
pub(super) const REVOCATION: &str =
    "8f4b5183a934bd5f746c9d5cae882d310690dd8c9b31bcd17891882af974a0ef";
/// `toLocalPrivBytes` there.
pub(super) const DELAYED: &str = "de17c12fdc1bc0c6595df9c13e8819af0185457626ce9c553bc9ec3dd88baca8";
/// `toRemotePrivBytes` there.
pub(super) const TO_REMOTE: &str =
    "28596f36b89f195dcb07488ae5897174704cff1e9c0093bee22e68084cb40f4f";
/// `csvDelay` there.
pub(super) const CSV: u16 = 144;
/// `SweepFeeRate` of the policy there.
pub(super) const SWEEP_FEERATE: u64 = 2_000;

/// A private key from hex.
pub(super) fn secret(hex: &str) -> SecretKey {
    hex.replace(' ', "").parse().unwrap()
}

/// P2WPKH, P2TR.
pub(super) fn sweep_scripts() -> [ScriptBuf; 2] {
    let p2wpkh = [vec![0x00, 0x14], vec![0x33; 20]].concat();
    let p2tr = [vec![0x51, 0x20], vec![0x44; 32]].concat();
    [ScriptBuf::from_bytes(p2wpkh), ScriptBuf::from_bytes(p2tr)]
}

/// The leaf with which the cheater takes `to_local` of a taproot channel.
pub(super) fn delay_leaf(kind: BlobType, delayed: &SecretKey) -> ScriptBuf {
    let key = delayed.x_only_public_key(SECP256K1).0;
    let builder = Builder::new().push_x_only_key(&key);
    let csv = i64::from(CSV);
    match kind {
        BlobType::Taproot => {
            builder.push_opcode(OP_CHECKSIG).push_int(csv).push_opcode(OP_CSV).push_opcode(OP_DROP)
        }
        _ => builder.push_opcode(OP_CHECKSIGVERIFY).push_int(csv).push_opcode(OP_CSV),
    }
    .into_script()
}

/// Keys of `to_local` as a kit of this kind has them.
pub(super) fn to_local(kind: BlobType) -> ToLocal {
    let (revocation, delayed) = (secret(REVOCATION), secret(DELAYED));
    if kind.is_taproot() {
        let leaf = delay_leaf(kind, &delayed);
        ToLocal::Taproot {
            revocation: revocation.x_only_public_key(SECP256K1).0,
            delayed: delayed.x_only_public_key(SECP256K1).0,
            delay_leaf: TapNodeHash::from_script(&leaf, LeafVersion::TapScript).to_byte_array(),
        }
    } else {
        ToLocal::Segwit {
            revocation: revocation.public_key(SECP256K1),
            delayed: delayed.public_key(SECP256K1),
            csv: CSV,
        }
    }
}

/// A transaction with these outputs.
pub(super) fn breach(outputs: &[(ScriptBuf, u64)]) -> Transaction {
    let output = |(script_pubkey, value): &(ScriptBuf, u64)| TxOut {
        value: Amount::from_sat(*value),
        script_pubkey: script_pubkey.clone(),
    };
    Transaction {
        version: Version::TWO,
        lock_time: LockTime::ZERO,
        input: vec![],
        output: outputs.iter().map(output).collect(),
    }
}

/// A breach as in LND's own test: 100,000 satoshis `to_local`, then 200,000 `to_remote`.
pub(super) fn usual_breach(kind: BlobType) -> Transaction {
    let to_remote = secret(TO_REMOTE).public_key(SECP256K1);
    breach(&[
        (script::to_local(&to_local(kind)).unwrap().script_pubkey, 100_000),
        (script::to_remote(kind, &to_remote).unwrap().script_pubkey, 200_000),
    ])
}

/// The kit that a client makes for a breach: signs what [`justice::unsigned`] builds.
pub(super) fn kit(
    kind: BlobType,
    breach: &Transaction,
    sweep_script: &ScriptBuf,
    with_to_remote: bool,
    keys: (&SecretKey, &SecretKey),
    to_local: &ToLocal,
) -> Kit {
    let (revocation, to_remote) = keys;
    let key = to_remote.public_key(SECP256K1);
    let mut kit = Kit {
        sweep_script: sweep_script.clone(),
        to_local: to_local.clone(),
        to_local_signature: [0; 64],
        to_remote: with_to_remote.then_some(ToRemote { key, signature: [0; 64] }),
    };
    let (tx, prevouts) = justice::unsigned(kind, SWEEP_FEERATE, &kit, breach).unwrap();
    let sign = |lock: script::Lock, secret: &SecretKey| {
        let place =
            prevouts.iter().position(|out| out.script_pubkey == lock.script_pubkey).unwrap();
        let digest = justice::digest(&lock, &prevouts[place], &tx, place, &prevouts).unwrap();
        let digest = Message::from_digest(digest);
        if kind.is_taproot() {
            let pair = Keypair::from_secret_key(SECP256K1, secret);
            SECP256K1.sign_schnorr_no_aux_rand(&digest, &pair).serialize()
        } else {
            SECP256K1.sign_ecdsa(&digest, secret).serialize_compact()
        }
    };
    kit.to_local_signature = sign(script::to_local(to_local).unwrap(), revocation);
    if let Some(ours) = &mut kit.to_remote {
        ours.signature = sign(script::to_remote(kind, &key).unwrap(), to_remote);
    }
    kit
}

/// The kit for [`usual_breach`].
pub(super) fn usual_kit(kind: BlobType, sweep_script: &ScriptBuf, with_to_remote: bool) -> Kit {
    let keys = (secret(REVOCATION), secret(TO_REMOTE));
    let breach = usual_breach(kind);
    kit(kind, &breach, sweep_script, with_to_remote, (&keys.0, &keys.1), &to_local(kind))
}
