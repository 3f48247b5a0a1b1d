//! Signatures and keys as relay wants them.

use super::machine::Stop;
use crate::builtin::reject::ScriptFault;
use bitcoin::hashes::Hash;
use bitcoin::sighash::{EcdsaSighashType, SighashCache};
use bitcoin::{Amount, Script, Transaction};
use secp256k1::{Message, PublicKey, SECP256K1, ecdsa};

/// What a signature signs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Signed<'a> {
    pub(super) tx: &'a Transaction,
    pub(super) index: usize,
    pub(super) value_sat: u64,
    pub(super) segwit: bool,
}

/// An empty signature is always well formed: it fails without being wrong.
pub(super) fn check_encoding(signature: &[u8], key: &[u8], segwit: bool) -> Result<(), Stop> {
    if let Some((kind, der)) = signature.split_last() {
        let parsed = ecdsa::Signature::from_der(der);
        let parsed = parsed.map_err(|_| Stop::Policy(ScriptFault::SigDer))?;
        let mut low = parsed;
        low.normalize_s();
        if low != parsed {
            return Err(Stop::Policy(ScriptFault::SigHighS));
        }
        if !matches!(kind & !0x80, 1..=3) {
            return Err(Stop::Policy(ScriptFault::SigHashType));
        }
    }
    match (key.first(), key.len()) {
        (Some(2 | 3), 33) => Ok(()),
        (Some(4), 65) if !segwit => Ok(()),
        (Some(4), 65) => Err(Stop::Policy(ScriptFault::WitnessPubkeyType)),
        _ => Err(Stop::Policy(ScriptFault::PubkeyType)),
    }
}

/// Whether a well-formed signature holds for a key over `code`.
pub(super) fn holds(signed: Signed<'_>, signature: &[u8], key: &[u8], code: &Script) -> bool {
    let Some((kind, der)) = signature.split_last() else { return false };
    let (Ok(signature), Ok(key)) = (ecdsa::Signature::from_der(der), PublicKey::from_slice(key))
    else {
        return false;
    };
    let Some(digest) = digest(signed, u32::from(*kind), code) else { return false };
    SECP256K1.verify_ecdsa(&Message::from_digest(digest), &signature, &key).is_ok()
}

fn digest(signed: Signed<'_>, kind: u32, code: &Script) -> Option<[u8; 32]> {
    let mut cache = SighashCache::new(signed.tx);
    if signed.segwit {
        let kind = EcdsaSighashType::from_standard(kind).ok()?;
        let value = Amount::from_sat(signed.value_sat);
        let hash = cache.p2wsh_signature_hash(signed.index, code, value, kind).ok()?;
        Some(hash.to_byte_array())
    } else {
        let hash = cache.legacy_signature_hash(signed.index, code, kind).ok()?;
        Some(hash.to_byte_array())
    }
}
