//! Layout and encryption. Scenario 18, first half.

use bitcoin::hashes::{Hash as _, sha256};
use bitcoin::hex::FromHex;
use bitcoin::{ScriptBuf, Txid};
use proptest::prelude::*;
use secp256k1::{PublicKey, XOnlyPublicKey};

use super::super::blob::{BlobError, BlobType, Kit, ToLocal, ToRemote};
use super::super::sample::{sweep_scripts, usual_breach, usual_kit};
use crate::hint::Hint;

/// `derived_revocation_pubkey` of LND's `lnwallet/test_vectors_taproot.json`.
const REVOCATION: &str = "03d4c77088d346bce67c13bbbf82ca112588f4b1c9595a1f8af3be9b2f95a109a0";
/// `derived_local_delayed_pubkey` there.
const DELAYED: &str = "0315ec0138eb42f1ab4603042123988d53c854e89d1d87aa4dbb97a57482029c05";
/// `derived_remote_payment_pubkey` there.
const TO_REMOTE: &str = "03595f2ef2a51d2250a21077dbea4a7fc3ce550f10676996bf63719e2a71d1f4c9";
/// The hash of the leaf `settle` of `to_local` there.
const DELAY_LEAF: &str = "dbf0400e9c7c57f30b6ad0b0677e396b5a002cbf050d873c8925b966048e6a62";

fn point(hex: &str) -> PublicKey {
    hex.parse().unwrap()
}

fn x_only(hex: &str) -> XOnlyPublicKey {
    point(hex).x_only_public_key().0
}

fn ordinary_kit(kind: BlobType, sweep_script: &ScriptBuf, with_to_remote: bool) -> Kit {
    let to_local = if kind.is_taproot() {
        let delay_leaf = FromHex::from_hex(DELAY_LEAF).unwrap();
        ToLocal::Taproot { revocation: x_only(REVOCATION), delayed: x_only(DELAYED), delay_leaf }
    } else {
        ToLocal::Segwit { revocation: point(REVOCATION), delayed: point(DELAYED), csv: 144 }
    };
    let to_remote = ToRemote { key: point(TO_REMOTE), signature: [0x66; 64] };
    Kit {
        sweep_script: sweep_script.clone(),
        to_local,
        to_local_signature: [0x55; 64],
        to_remote: with_to_remote.then_some(to_remote),
    }
}

fn counted(from: u8) -> [u8; 32] {
    std::array::from_fn(|place| from + place as u8)
}

#[test]
fn scenario_18_blobs_of_all_four_types_are_byte_for_byte_what_another_library_seals() {
    // Sealed by libsodium (crypto_aead_xchacha20poly1305_ietf) from the layouts in the comments of LND's
    // watchtower/blob/justice_kit_packet.go at 90ea05d5a; the hash of nonce, ciphertext and tag.
    let vectors = [
        (2, 0, true, 314, "a1a20404ae59784a1aaf7811a34b744f7b80f45a1935fa3cf78f6a9e9a2092a4"),
        (6, 1, false, 314, "bc58590d2ded150a2d678a8436880a575934c78cac360414c828bb4474d7ef63"),
        (10, 1, true, 340, "ab9fd0f1a2d9f9c814902153164376cc8a5fd7c798a5fb8658f16d19f369b880"),
        (26, 0, false, 340, "7ff28a8813a85fca11e1b78dc53e0a156a2e1cf90b05af6540a44b284fd728c6"),
    ];
    let txid = Txid::from_byte_array(counted(0));
    let nonce: [u8; 24] = counted(0x40)[..24].try_into().unwrap();
    for (number, sweep, with_to_remote, length, hash) in vectors {
        let kind = BlobType::of(number).unwrap();
        let kit = ordinary_kit(kind, &sweep_scripts()[sweep], with_to_remote);
        let blob = kit.seal(kind, &txid, nonce).unwrap();
        assert_eq!(blob.len(), length);
        assert_eq!(sha256::Hash::hash(&blob).to_string(), hash, "type {number}");
        assert_eq!(Kit::open(kind, &txid, &blob), Ok(kit));
    }
    assert_eq!(
        Hint::of(&txid).0,
        <[u8; 16]>::from_hex("630dcd2966c4336691125448bbb25b4f").unwrap()
    );
}

#[test]
fn only_the_types_that_lnd_has_and_takes_are_known() {
    let known: Vec<u16> = (0..64).filter(|number| BlobType::of(*number).is_some()).collect();
    // 3 would pay the tower.
    assert_eq!(known, [2, 6, 10, 26]);
}

#[test]
fn a_blob_opens_only_whole_and_with_its_own_breach() {
    for kind in BlobType::ALL {
        let txid = usual_breach(kind).compute_txid();
        let kit = usual_kit(kind, &sweep_scripts()[0], true);
        let blob = kit.seal(kind, &txid, [7; 24]).unwrap();
        let other = Txid::from_byte_array([1; 32]);
        assert_eq!(Kit::open(kind, &other, &blob), Err(BlobError::Sealed));
        for place in [0, 23, 24, 150, blob.len() - 1] {
            let mut changed = blob.clone();
            changed[place] ^= 1;
            assert_eq!(Kit::open(kind, &txid, &changed), Err(BlobError::Sealed));
        }
        let short = Kit::open(kind, &txid, &blob[1..]);
        let expected = kind.blob_len();
        assert_eq!(short, Err(BlobError::Length { expected, got: expected - 1 }));
    }
}

#[test]
fn a_kit_of_the_other_version_or_with_too_long_a_script_is_not_sealed() {
    let txid = Txid::from_byte_array([1; 32]);
    let kit = usual_kit(BlobType::Anchor, &sweep_scripts()[0], true);
    assert_eq!(kit.seal(BlobType::Taproot, &txid, [7; 24]), Err(BlobError::Unfit));
    for (length, fits) in [(0, true), (42, true), (43, false), (300, false)] {
        let sweep_script = ScriptBuf::from_bytes(vec![0x51; length]);
        let kit = Kit { sweep_script, ..kit.clone() };
        assert_eq!(kit.seal(BlobType::Anchor, &txid, [7; 24]).is_ok(), fits, "{length}");
    }
}

#[test]
fn what_is_no_kit_inside_is_refused() {
    let txid = Txid::from_byte_array([1; 32]);
    let cipher = |plain: &[u8]| {
        use chacha20poly1305::aead::Aead as _;
        use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305, XNonce};
        let key = sha256::Hash::hash(&[[1; 32], [1; 32]].concat()).to_byte_array();
        let sealed = XChaCha20Poly1305::new(&key.into()).encrypt(&XNonce::from([7; 24]), plain);
        [vec![7; 24], sealed.unwrap()].concat()
    };
    let good = ordinary_kit(BlobType::Anchor, &sweep_scripts()[0], true);
    let plain = good.plaintext(BlobType::Anchor).unwrap();
    let open = |plain: &[u8]| Kit::open(BlobType::Anchor, &txid, &cipher(plain));
    assert_eq!(open(&plain), Ok(good.clone()));
    // Length of the script, first bytes of two keys, high byte of the delay.
    for (place, value) in [(0, 43), (43, 0x05), (76, 0x04), (109, 1)] {
        let mut changed = plain.clone();
        changed[place] = value;
        assert!(matches!(open(&changed), Err(BlobError::Inside(_))), "byte {place}");
    }
    // A key for `to_remote` that does not begin like a compressed one counts as blank, as LND has it.
    let mut blank = plain;
    blank[177] = 0x04;
    assert_eq!(open(&blank), Ok(Kit { to_remote: None, ..good }));
}

proptest! {
    #[test]
    fn any_bytes_inside_are_a_kit_or_an_error(bytes in prop::collection::vec(any::<u8>(), 340)) {
        for kind in BlobType::ALL {
            let txid = Txid::from_byte_array([1; 32]);
            let _ = Kit::open(kind, &txid, &bytes[..kind.blob_len()]);
        }
    }
}
