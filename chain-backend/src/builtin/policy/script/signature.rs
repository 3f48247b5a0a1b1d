//! Signatures and keys, and what signatures sign.

use super::flags::Flags;
use super::item::{find_and_delete, push_of};
use crate::builtin::reject::ScriptFault;
use bitcoin::consensus::Encodable;
use bitcoin::hashes::{Hash, HashEngine, sha256d};
use bitcoin::key::XOnlyPublicKey;
use bitcoin::sighash::{Annex, Prevouts, SighashCache, TapSighashType};
use bitcoin::{Amount, Script, TapLeafHash, Transaction, TxOut};
use secp256k1::{Message, PublicKey, SECP256K1, ecdsa, schnorr};

/// What a signature signs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Signed<'a> {
    pub(super) tx: &'a Transaction,
    pub(super) index: usize,
    /// The outputs that the transaction spends.
    pub(super) spent: &'a [TxOut],
    /// What the input is worth.
    pub(super) value: Amount,
    pub(super) flags: Flags,
}

/// Which of the script languages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version<'a> {
    Base,
    Segwit,
    Tapscript { leaf: TapLeafHash, annex: Option<&'a [u8]> },
}

/// Whether a signature has the one encoding that there is for it (BIP 66).
pub(super) fn is_strict_der(signature: &[u8]) -> bool {
    fn integer(bytes: &[u8]) -> Option<&[u8]> {
        let [0x02, length, rest @ ..] = bytes else { return None };
        let (value, rest) = rest.split_at_checked(usize::from(*length))?;
        let negative = value.first().is_some_and(|first| first & 0x80 != 0);
        let padded = matches!(value, [0, second, ..] if second & 0x80 == 0);
        (!value.is_empty() && !negative && !padded).then_some(rest)
    }
    let Some((_, der)) = signature.split_last() else { return false };
    let [0x30, length, body @ ..] = der else { return false };
    // Of at most 73 bytes, so that no length has a second byte.
    signature.len() <= 73
        && usize::from(*length) == body.len()
        && integer(body).and_then(integer).is_some_and(<[u8]>::is_empty)
}

impl Signed<'_> {
    /// An empty signature is always well formed: it fails without being wrong.
    pub(super) fn check_encoding(
        self,
        signature: &[u8],
        key: &[u8],
        version: Version<'_>,
    ) -> Result<(), ScriptFault> {
        if let Some((kind, der)) = signature.split_last() {
            let flags = self.flags;
            let strict = flags.has(Flags::DER_SIG.and(Flags::LOW_S).and(Flags::STRICT_ENC));
            if strict && !is_strict_der(signature) {
                return Err(ScriptFault::SigDer);
            }
            if flags.has(Flags::LOW_S)
                && let Ok(parsed) = ecdsa::Signature::from_der_lax(der)
            {
                let mut low = parsed;
                low.normalize_s();
                if low != parsed {
                    return Err(ScriptFault::SigHighS);
                }
            }
            if flags.has(Flags::STRICT_ENC) && !matches!(kind & !0x80, 1..=3) {
                return Err(ScriptFault::SigHashType);
            }
        }
        let compressed = matches!((key.first(), key.len()), (Some(2 | 3), 33));
        let uncompressed = matches!((key.first(), key.len()), (Some(4), 65));
        if self.flags.has(Flags::STRICT_ENC) && !compressed && !uncompressed {
            return Err(ScriptFault::PubkeyType);
        }
        let wants_short = self.flags.has(Flags::WITNESS_PUBKEY_TYPE) && version == Version::Segwit;
        if wants_short && !compressed {
            return Err(ScriptFault::WitnessPubkeyType);
        }
        Ok(())
    }

    /// Whether a signature holds for a key over `code`.
    pub(super) fn holds(
        self,
        signature: &[u8],
        key: &[u8],
        code: &[u8],
        version: Version<'_>,
    ) -> bool {
        let Some((kind, der)) = signature.split_last() else { return false };
        let Ok(key) = PublicKey::from_slice(key) else { return false };
        let Ok(mut signature) = ecdsa::Signature::from_der_lax(der) else { return false };
        signature.normalize_s();
        let digest = if version == Version::Segwit {
            self.segwit_digest(code, *kind)
        } else {
            self.legacy_digest(code, u32::from(*kind))
        };
        let holds = |digest| {
            SECP256K1.verify_ecdsa(&Message::from_digest(digest), &signature, &key).is_ok()
        };
        digest.is_some_and(holds)
    }

    /// What a signature of the first kind signs: separators count for nothing.
    pub(super) fn legacy_digest(self, code: &[u8], kind: u32) -> Option<[u8; 32]> {
        let (code, _) = find_and_delete(code, &[0xab]);
        let cache = SighashCache::new(self.tx);
        let hash = cache.legacy_signature_hash(self.index, Script::from_bytes(&code), kind).ok()?;
        Some(hash.to_byte_array())
    }

    /// BIP 143, for any kind: the kinds without a name are for consensus as good as the others.
    fn segwit_digest(self, code: &[u8], kind: u8) -> Option<[u8; 32]> {
        let tx = self.tx;
        let input = tx.input.get(self.index)?;
        let (any, base) = (kind & 0x80 != 0, kind & 0x1f);
        let (none, single) = (base == 2, base == 3);
        let hash_of = |write: &dyn Fn(&mut Vec<u8>)| {
            let mut bytes = Vec::new();
            write(&mut bytes);
            sha256d::Hash::hash(&bytes).to_byte_array()
        };
        // Writing to memory cannot fail.
        let prevouts = hash_of(&|bytes| {
            for input in &tx.input {
                let _ = input.previous_output.consensus_encode(bytes);
            }
        });
        let sequences = hash_of(&|bytes| {
            for input in &tx.input {
                let _ = input.sequence.consensus_encode(bytes);
            }
        });
        let outputs = match (single, tx.output.get(self.index)) {
            (true, None) => [0; 32],
            (true, Some(own)) => hash_of(&|bytes| drop(own.consensus_encode(bytes))),
            (false, _) if none => [0; 32],
            (false, _) => hash_of(&|bytes| {
                for output in &tx.output {
                    let _ = output.consensus_encode(bytes);
                }
            }),
        };
        let mut bytes = Vec::with_capacity(182_usize.saturating_add(code.len()));
        let _ = tx.version.consensus_encode(&mut bytes);
        bytes.extend(if any { [0; 32] } else { prevouts });
        bytes.extend(if any || none || single { [0; 32] } else { sequences });
        let _ = input.previous_output.consensus_encode(&mut bytes);
        let _ = Script::from_bytes(code).consensus_encode(&mut bytes);
        let _ = self.value.consensus_encode(&mut bytes);
        let _ = input.sequence.consensus_encode(&mut bytes);
        bytes.extend(outputs);
        let _ = tx.lock_time.consensus_encode(&mut bytes);
        bytes.extend(u32::from(kind).to_le_bytes());
        let mut engine = sha256d::Hash::engine();
        engine.input(&bytes);
        Some(sha256d::Hash::from_engine(engine).to_byte_array())
    }

    /// A signature of taproot (BIP 341): of a key path without a leaf, else of the leaf and the place of the
    /// last separator in it.
    pub(super) fn check_schnorr(
        self,
        signature: &[u8],
        key: &[u8],
        annex: Option<&[u8]>,
        leaf: Option<(TapLeafHash, u32)>,
    ) -> Result<(), ScriptFault> {
        let (bytes, kind) = match (signature.len(), signature.split_last()) {
            (64, _) => (signature, TapSighashType::Default),
            (65, Some((0, _))) => return Err(ScriptFault::SchnorrSigHashType),
            (65, Some((kind, bytes))) => {
                let kind = TapSighashType::from_consensus_u8(*kind);
                (bytes, kind.map_err(|_| ScriptFault::SchnorrSigHashType)?)
            }
            _ => return Err(ScriptFault::SchnorrSigSize),
        };
        let annex = annex.map(Annex::new).transpose().map_err(|_| ScriptFault::SchnorrSig)?;
        let digest = SighashCache::new(self.tx)
            .taproot_signature_hash(self.index, &Prevouts::All(self.spent), annex, leaf, kind)
            .map_err(|_| ScriptFault::SchnorrSigHashType)?;
        let message = Message::from_digest(digest.to_byte_array());
        let key = XOnlyPublicKey::from_slice(key).map_err(|_| ScriptFault::SchnorrSig)?;
        let signature =
            schnorr::Signature::from_slice(bytes).map_err(|_| ScriptFault::SchnorrSig)?;
        SECP256K1.verify_schnorr(&signature, &message, &key).map_err(|_| ScriptFault::SchnorrSig)
    }

    /// What is signed of a script of the first kind: it cannot sign its own signatures.
    pub(super) fn without(self, code: &[u8], signature: &[u8]) -> Result<Vec<u8>, ScriptFault> {
        let (code, found) = find_and_delete(code, &push_of(signature));
        if found > 0 && self.flags.has(Flags::CONST_SCRIPT_CODE) {
            return Err(ScriptFault::SigFindAndDelete);
        }
        Ok(code)
    }
}
