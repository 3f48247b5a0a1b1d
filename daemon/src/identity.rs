//! The node's own key: what it proves, opens and signs with it.
//!
//! Not here: where the key comes from (`seed`), keys of channels (`channel::signer`).

use bitcoin::hashes::{Hash as _, HashEngine as _, Hmac, HmacEngine, sha256};
use secp256k1::ecdsa::RecoverableSignature;
use secp256k1::{Message, PublicKey, SECP256K1, SecretKey};
use wire::id::{NodeId, PaymentHash, Preimage, Signature};
use wire::message::OnionPacket;
use wire::onion::SharedSecret;
use wire::onion::blind::PathSecret;
use wire::onion::sphinx::{self, PeelFault, Peeled};

/// The node's identity. Cheap to share behind an `Arc`; never cloned, never printed.
pub struct Identity {
    secret: SecretKey,
    public: PublicKey,
    onion_seed: [u8; 32],
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Identity").field(&self.node_id()).finish()
    }
}

impl Drop for Identity {
    fn drop(&mut self) {
        self.secret.non_secure_erase();
        zeroize::Zeroize::zeroize(&mut self.onion_seed);
    }
}

impl Identity {
    /// From the node's secret key and the seed of its onions' session keys.
    pub fn new(secret: SecretKey, onion_seed: [u8; 32]) -> Self {
        Self { public: PublicKey::from_secret_key(SECP256K1, &secret), secret, onion_seed }
    }

    /// The public name.
    pub fn node_id(&self) -> NodeId {
        NodeId(self.public.serialize())
    }

    /// The public key.
    pub const fn public_key(&self) -> PublicKey {
        self.public
    }

    /// The static key for a BOLT 8 handshake, which consumes it.
    pub(crate) const fn noise_key(&self) -> SecretKey {
        self.secret
    }

    /// Peels an onion that was offered to us. BOLT 4 § Onion Decryption.
    ///
    /// # Errors
    /// [`PeelFault`], which says how to answer.
    pub fn peel(
        &self,
        onion: &OnionPacket,
        hash: PaymentHash,
        path_key: Option<&PublicKey>,
    ) -> Result<Peeled<OnionPacket>, PeelFault> {
        let path = path_key.map(|key| PathSecret::new(&self.secret, key));
        sphinx::peel_payment(onion, &hash, &self.secret, path.as_ref())
    }

    /// What we share with the maker of a blinded route that leads through us. BOLT 4 § Route Blinding.
    pub fn path_secret(&self, path_key: &PublicKey) -> PathSecret {
        PathSecret::new(&self.secret, path_key)
    }

    /// The session key of one attempt. Derived, so that a failure can be read after a restart; never
    /// the same for two attempts, because their `part` differs.
    pub fn session_key(&self, hash: PaymentHash, part: u32) -> SecretKey {
        let mut round = 0_u32;
        loop {
            let mut engine = HmacEngine::<sha256::Hash>::new(&self.onion_seed);
            engine.input(&hash.0);
            engine.input(&part.to_be_bytes());
            engine.input(&round.to_be_bytes());
            let bytes = Hmac::<sha256::Hash>::from_engine(engine).to_byte_array();
            if let Ok(key) = SecretKey::from_slice(&bytes) {
                return key;
            }
            // Chance 1 in 2^127.
            round = round.wrapping_add(1);
        }
    }

    /// The preimage of a payment without an invoice, from the word that names the request.
    pub fn keysend_preimage(&self, word: &str) -> Preimage {
        let mut engine = HmacEngine::<sha256::Hash>::new(&self.onion_seed);
        // Session keys take 40 bytes, so this can be none of theirs.
        engine.input(b"the preimage of a payment without an invoice, named by its order: ");
        engine.input(word.as_bytes());
        Preimage(Hmac::<sha256::Hash>::from_engine(engine).to_byte_array())
    }

    /// The secrets shared with each hop of one attempt.
    pub fn shared_secrets(
        &self,
        hash: PaymentHash,
        part: u32,
        hops: &[PublicKey],
    ) -> Option<Vec<SharedSecret>> {
        sphinx::shared_secrets(&self.session_key(hash, part), hops).ok()
    }

    /// Signs the digest of a message of gossip, which says that it is ours. BOLT 7.
    pub fn sign_gossip(&self, digest: [u8; 32]) -> Signature {
        SECP256K1.sign_ecdsa(&Message::from_digest(digest), &self.secret).into()
    }

    /// Signs an invoice's hash so that its reader can recover our key. BOLT 11.
    pub fn sign_invoice(&self, hash: &Message) -> RecoverableSignature {
        SECP256K1.sign_ecdsa_recoverable(hash, &self.secret)
    }
}
