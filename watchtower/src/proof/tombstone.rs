//! A client's word that records may be deleted, signed by the session's key: with it, a tower is not to
//! blame for not having them.
//!
//! Not here: deleting ([`crate::store`]), how it travels ([`crate::message`]).

use secp256k1::{Keypair, PublicKey};
use wire::codec::{Decode, DecodeError, Encode, Reader};

use super::receipt::{is_signed, sign};
use super::tagged::tagged;

/// Which records are meant.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Scope {
    /// All of the session, and the session itself.
    Session,
    /// Those with numbers from `first` to `last`, both included.
    Range {
        /// The first number.
        first: u32,
        /// The last number.
        last: u32,
    },
}

impl Scope {
    /// Whether the record with this number is meant.
    pub const fn covers(self, seq: u32) -> bool {
        match self {
            Self::Session => true,
            Self::Range { first, last } => first <= seq && seq <= last,
        }
    }
}

impl Encode for Scope {
    /// 0; or 1 and two `u32`.
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Session => 0_u8.encode(out),
            Self::Range { first, last } => {
                1_u8.encode(out);
                first.encode(out);
                last.encode(out);
            }
        }
    }
}

impl Decode for Scope {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match u8::decode(r)? {
            0 => Ok(Self::Session),
            1 => Ok(Self::Range { first: u32::decode(r)?, last: u32::decode(r)? }),
            _ => Err(DecodeError::Range),
        }
    }
}

/// The signed word.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Tombstone {
    /// The key that the client opened the session with.
    pub session: PublicKey,
    /// What may be deleted.
    pub scope: Scope,
    /// BIP 340, by the session's key.
    pub signature: [u8; 64],
}

impl Tombstone {
    /// What a deletion's signature is over.
    pub fn digest(session: &PublicKey, scope: Scope) -> [u8; 32] {
        tagged("wt2/delete", &[&session.serialize(), &scope.encoded()])
    }

    /// Signed with the session's own key.
    pub fn sign(session: &Keypair, scope: Scope) -> Self {
        let key = session.public_key();
        Self { session: key, scope, signature: sign(&Self::digest(&key, scope), session) }
    }

    /// All that are in a file, one behind the other.
    ///
    /// # Errors
    /// [`DecodeError`] if there is anything else in it.
    pub fn read_all(bytes: &[u8]) -> Result<Vec<Self>, DecodeError> {
        Self::decode_rest(&mut Reader::new(bytes))
    }

    /// Whether the session's key signed it.
    pub fn is_signed(&self) -> bool {
        is_signed(&Self::digest(&self.session, self.scope), &self.signature, &self.session)
    }

    /// The tower's word that they are gone: BIP 340 over the client's signature.
    pub fn acknowledge(&self, tower: &Keypair) -> [u8; 64] {
        sign(&tagged("wt2/delete-ack", &[&self.signature]), tower)
    }

    /// Whether `signature` is [`Tombstone::acknowledge`] of this tower.
    pub fn is_acknowledged(&self, signature: &[u8; 64], tower: &PublicKey) -> bool {
        is_signed(&tagged("wt2/delete-ack", &[&self.signature]), signature, tower)
    }

    /// Whether it lets the tower forget record `seq` of `session`.
    pub fn excuses(&self, session: &PublicKey, seq: u32) -> bool {
        self.session == *session && self.scope.covers(seq) && self.is_signed()
    }
}

impl Encode for Tombstone {
    fn encode(&self, out: &mut Vec<u8>) {
        self.session.encode(out);
        self.scope.encode(out);
        out.extend_from_slice(&self.signature);
    }
}

impl Decode for Tombstone {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (session, scope) = (PublicKey::decode(r)?, Scope::decode(r)?);
        Ok(Self { session, scope, signature: r.array()? })
    }
}

#[cfg(test)]
mod tests {
    use secp256k1::{SECP256K1, SecretKey};

    use super::*;

    fn keypair(byte: u8) -> Keypair {
        Keypair::from_secret_key(SECP256K1, &SecretKey::from_slice(&[byte; 32]).unwrap())
    }

    #[test]
    fn a_tombstone_excuses_only_the_records_it_names_of_its_own_session() {
        let (session, other) = (keypair(1), keypair(2).public_key());
        let stone = Tombstone::sign(&session, Scope::Range { first: 5, last: 6 });
        let excused: Vec<u32> =
            (0..10).filter(|seq| stone.excuses(&session.public_key(), *seq)).collect();
        assert_eq!(excused, [5, 6]);
        assert!(!stone.excuses(&other, 5));
        assert!(Tombstone::sign(&session, Scope::Session).excuses(&session.public_key(), 99));
    }

    #[test]
    fn a_tombstone_that_somebody_else_signed_or_widened_excuses_nothing() {
        let session = keypair(1).public_key();
        let forged = Tombstone { session, ..Tombstone::sign(&keypair(2), Scope::Session) };
        assert!(!forged.excuses(&session, 0));
        let narrow = Tombstone::sign(&keypair(1), Scope::Range { first: 5, last: 6 });
        let widened = Tombstone { scope: Scope::Range { first: 0, last: 6 }, ..narrow };
        assert!(!widened.excuses(&session, 0));
        assert_eq!(Tombstone::decode_exact(&narrow.encoded()).unwrap(), narrow);
    }

    #[test]
    fn a_tower_acknowledges_one_deletion_at_a_time() {
        let (one, two) = (Scope::Session, Scope::Range { first: 0, last: 0 });
        let (one, two) = (Tombstone::sign(&keypair(1), one), Tombstone::sign(&keypair(1), two));
        let signature = one.acknowledge(&keypair(9));
        assert!(one.is_acknowledged(&signature, &keypair(9).public_key()));
        assert!(!two.is_acknowledged(&signature, &keypair(9).public_key()));
        assert!(!one.is_acknowledged(&signature, &keypair(8).public_key()));
    }
}
