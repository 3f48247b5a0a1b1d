//! By what a tower finds the record for a transaction without knowing the transaction before.

use bitcoin::Txid;
use bitcoin::hashes::{Hash, sha256};

/// The first half of `SHA256(txid)`, the id in its internal byte order: the same as LND's, so one index
/// serves both.
///
/// It says nothing about the transaction to whoever has not seen it.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Hint(pub [u8; 16]);

impl Hint {
    /// The hint of transaction `txid`.
    pub fn of(txid: &Txid) -> Self {
        let [first @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] =
            sha256::Hash::hash(&txid.to_byte_array()).to_byte_array();
        Self(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hint_is_the_first_half_of_the_hash_of_the_id_as_it_lies_in_memory() {
        let mut bytes = [0; 32];
        bytes[0] = 1;
        let hash = sha256::Hash::hash(&bytes).to_byte_array();
        assert_eq!(Hint::of(&Txid::from_byte_array(bytes)).0, hash[..16]);
    }
}
