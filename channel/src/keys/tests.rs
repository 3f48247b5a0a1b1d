//! BOLT 3 Appendix E, the public half. The private half is in `signer`.

use super::*;

fn point(hex: &str) -> PublicKey {
    hex.parse().unwrap()
}

const BASE: &str = "036d6caac248af96f6afa7f904f550253a0f3ef3f5aa2fe6838a95b216691468e2";
const POINT: &str = "025f7117a78150fe2ef97db7cfc83bd57b2e2c0d0dd25eaf467a4a1c2a45ce1486";

#[test]
fn a_public_key_follows_from_basepoint_and_commitment_point() {
    assert_eq!(
        pubkey(&point(BASE), &point(POINT)).unwrap(),
        point("0235f2dbfaa89b57ec7b055afe29849ef7ddfeb1cefdb9ebdc43f5494984db29e5")
    );
}

#[test]
fn a_revocation_key_follows_from_basepoint_and_commitment_point() {
    assert_eq!(
        revocation_pubkey(&point(BASE), &point(POINT)).unwrap(),
        point("02916e326636d19c33f13e8c0c3a03dd157f332f3e99c317c141dd865eb01f8ff0")
    );
}

#[test]
fn a_commitment_takes_its_revocation_from_the_other_and_its_delay_from_the_owner() {
    let key = |byte: u8| SecretKey::from_slice(&[byte; 32]).unwrap().public_key(SECP256K1);
    let side = |byte: u8| ChannelBasepoints {
        funding: key(byte),
        revocation: key(byte + 1),
        payment: key(byte + 2),
        delayed_payment: key(byte + 3),
        htlc: key(byte + 4),
    };
    let (owner, other) = (side(10), side(20));
    let keys = CommitmentKeys::derive(&owner, &other, &point(POINT)).unwrap();
    assert_eq!(keys.revocation, revocation_pubkey(&other.revocation, &point(POINT)).unwrap());
    assert_eq!(keys.owner_delayed, pubkey(&owner.delayed_payment, &point(POINT)).unwrap());
    assert_eq!(keys.htlc().owner, pubkey(&owner.htlc, &point(POINT)).unwrap());
    assert_eq!(keys.htlc().other, pubkey(&other.htlc, &point(POINT)).unwrap());
    assert_eq!(keys.other_payment, other.payment);
    let untouched = CommitmentKeys::derive(&owner, &other, &point(POINT)).unwrap();
    assert_eq!(keys, untouched);
}
