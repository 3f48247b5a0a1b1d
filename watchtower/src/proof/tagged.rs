//! Tagged hashes (BIP 340): what is hashed for one purpose can never be taken for another.

use bitcoin::hashes::{Hash as _, HashEngine as _, sha256};

/// `SHA256(SHA256(tag) ‖ SHA256(tag) ‖ parts)`, the parts one after the other.
///
/// Every part but the last has a length that does not depend on its content, so no two lists of parts
/// give the same bytes.
pub fn tagged(tag: &str, parts: &[&[u8]]) -> [u8; 32] {
    let name = sha256::Hash::hash(tag.as_bytes());
    let mut engine = sha256::Hash::engine();
    engine.input(name.as_byte_array());
    engine.input(name.as_byte_array());
    for part in parts {
        engine.input(part);
    }
    sha256::Hash::from_engine(engine).to_byte_array()
}
