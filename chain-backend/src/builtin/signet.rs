//! A signet of one's own: whoever has the key makes blocks, everybody else can only follow (BIP 325).
//!
//! All signets share their genesis block, so a chain's hash does not tell them apart; the magic does.

use crate::builtin::verify::signet::{SIGNET_HEADER, commitment_place, opens, solution, spending};
use bitcoin::consensus::encode::serialize;
use bitcoin::hashes::{Hash, sha256d};
use bitcoin::script::{Builder, PushBytesBuf};
use bitcoin::sighash::SighashCache;
use bitcoin::{
    Amount, Block, CompactTarget, EcdsaSighashType, PrivateKey, ScriptBuf, Transaction, Witness,
};
use secp256k1::{Message, SECP256K1};

/// The longest challenge that can be pushed, bytes.
const CHALLENGE_MAX: usize = 10_000;

/// Whose rules and genesis block a built-in chain has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Rules {
    /// Bitcoin's regtest: anybody makes blocks, at no cost.
    #[default]
    Regtest,
    /// A signet: blocks take the work of signet, and must open its challenge.
    Signet(Signet),
}

/// A signet: its challenge, and what opens it where we may make blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signet {
    pub(crate) challenge: ScriptBuf,
    key: Option<PrivateKey>,
    pub(crate) easier: Option<CompactTarget>,
}

/// Why a signet cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignetError {
    /// An empty script, or a longer one than can run.
    #[error("the challenge is empty or longer than 10000 bytes")]
    Challenge,
    /// A signature by the key does not open the challenge.
    #[error(
        "the key does not open the challenge (P2WPKH, P2PKH, P2PK and 1-of-n multisig can be signed)"
    )]
    Key,
}

impl Signet {
    /// A signet with this challenge; with a key we make its blocks.
    ///
    /// # Errors
    /// [`SignetError::Challenge`].
    pub fn new(challenge: ScriptBuf, key: Option<PrivateKey>) -> Result<Self, SignetError> {
        if challenge.is_empty() || challenge.len() > CHALLENGE_MAX {
            return Err(SignetError::Challenge);
        }
        Ok(Self { challenge, key, easier: None })
    }

    /// The same with another least work a block, for ever: for tests, which have no minute to spare. Whoever follows
    /// must be told the same.
    #[must_use]
    pub const fn easier(mut self, bits: CompactTarget) -> Self {
        self.easier = Some(bits);
        self
    }

    /// Whether blocks can be made here.
    pub(crate) fn can_sign(&self) -> bool {
        self.key.is_some() || self.challenge.as_bytes() == [bitcoin::opcodes::OP_TRUE.to_u8()]
    }

    /// What marks messages and stored blocks of this signet: the hash of its challenge begins with it.
    pub(crate) fn magic(&self) -> [u8; 4] {
        let hash = sha256d::Hash::hash(&serialize(&self.challenge)).to_byte_array();
        hash.first_chunk().copied().unwrap_or_default()
    }

    /// Puts the solution into a block whose coinbase commits to its witnesses. `None` when the key is none for it.
    pub(crate) fn sign(&self, mut block: Block) -> Option<Block> {
        let bare = block.txdata.first()?;
        let place = commitment_place(bare)?;
        let bare = bare.output.get(place)?.script_pubkey.clone();
        put(&mut block, place, &bare, &[])?;
        let mut spending = spending(&block, &self.challenge)?;
        let (script_sig, witness) = self.open(&spending)?;
        let bytes = solution(&script_sig, &witness);
        let input = spending.input.first_mut()?;
        (input.script_sig, input.witness) = (script_sig, witness);
        if !opens(&spending, &self.challenge) {
            return None;
        }
        put(&mut block, place, &bare, &bytes)?;
        block.header.merkle_root = block.compute_merkle_root()?;
        Some(block)
    }

    /// The script and witness that spend the challenge, as far as the key can.
    fn open(&self, spending: &Transaction) -> Option<(ScriptBuf, Witness)> {
        let Some(key) = self.key else { return Some((ScriptBuf::new(), Witness::new())) };
        let public = key.public_key(SECP256K1);
        let signature = |digest: [u8; 32]| {
            let signature = SECP256K1.sign_ecdsa(&Message::from_digest(digest), &key.inner);
            bitcoin::ecdsa::Signature::sighash_all(signature)
        };
        let challenge = &self.challenge;
        let cache = &mut SighashCache::new(spending);
        if challenge.is_p2wpkh() {
            let all = EcdsaSighashType::All;
            let hash = cache.p2wpkh_signature_hash(0, challenge, Amount::ZERO, all).ok()?;
            let signature = signature(hash.to_byte_array());
            return Some((ScriptBuf::new(), Witness::p2wpkh(&signature, &public.inner)));
        }
        let all = EcdsaSighashType::All.to_u32();
        let hash = cache.legacy_signature_hash(0, challenge, all).ok()?;
        let signature = signature(hash.to_byte_array()).serialize();
        let script = Builder::new();
        // A bare multisig takes one item more than it has signatures.
        let script = if challenge.is_multisig() { script.push_int(0) } else { script };
        let script = script.push_slice(signature);
        let script = if challenge.is_p2pkh() { script.push_key(&public) } else { script };
        Some((script.into_script(), Witness::new()))
    }
}

/// Puts the header and a solution behind the commitment.
fn put(block: &mut Block, place: usize, bare: &bitcoin::Script, solution: &[u8]) -> Option<()> {
    let mut bytes = SIGNET_HEADER.to_vec();
    bytes.extend(solution);
    let mut script = bare.to_owned();
    script.push_slice(PushBytesBuf::try_from(bytes).ok()?);
    block.txdata.first_mut()?.output.get_mut(place)?.script_pubkey = script;
    Some(())
}
