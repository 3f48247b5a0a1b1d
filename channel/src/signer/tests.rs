//! BOLT 3 Appendix E (private half) and F, and what the signer refuses.

mod refusals;
mod vectors;

use super::*;

pub(super) fn bytes<const N: usize>(hex: &str) -> [u8; N] {
    bitcoin::hex::FromHex::from_hex(hex).unwrap()
}

const POINT: &str = "025f7117a78150fe2ef97db7cfc83bd57b2e2c0d0dd25eaf467a4a1c2a45ce1486";
const BASE: &str = "036d6caac248af96f6afa7f904f550253a0f3ef3f5aa2fe6838a95b216691468e2";
const BASE_SECRET: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const COMMITMENT_SECRET: &str = "1f1e1d1c1b1a191817161514131211100f0e0d0c0b0a09080706050403020100";

#[test]
fn private_keys_follow_from_basepoint_secrets() {
    let base = derive::Key::new(&bytes(BASE_SECRET)).unwrap();
    let (basepoint, point) = (BASE.parse().unwrap(), POINT.parse().unwrap());
    let key = base.tweaked(&basepoint, &point).unwrap();
    assert_eq!(
        key.as_secret().secret_bytes(),
        bytes("cbced912d3b21bf196a766651e436aff192362621ce317704ea2f75d87e7be0f")
    );
    let revocation = base.with_revoked(&basepoint, &bytes(COMMITMENT_SECRET)).unwrap();
    assert_eq!(
        revocation.as_secret().secret_bytes(),
        bytes("d09ffff62ddb2297ab000cc85bcb4283fdeb6aa052affbc9dddcf33b61078110")
    );
    let public = crate::keys::revocation_pubkey(&basepoint, &point).unwrap();
    assert_eq!(revocation.public(), public);
}

#[test]
fn each_channel_of_a_seed_has_its_own_keys_for_ever() {
    let signer = |index| InMemorySigner::new(&[7; 64], index, Memory::default()).unwrap();
    let (one, again, two) = (signer(1), signer(1), signer(2));
    assert_eq!(one.basepoints(), again.basepoints());
    assert_eq!(one.point(5).unwrap(), again.point(5).unwrap());
    let all = |signer: &InMemorySigner| {
        let keys = *signer.basepoints();
        let points = [signer.point(0).unwrap(), signer.point(1).unwrap()];
        [keys.funding, keys.revocation, keys.payment, keys.delayed_payment, keys.htlc]
            .into_iter()
            .chain(points)
            .collect::<Vec<_>>()
    };
    let mut keys = [all(&one), all(&two)].concat();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), 14);
    // These must never change: a released node finds its money with them.
    assert_eq!(
        one.basepoints().payment.to_string(),
        "03b377be66304c723ac7cae68f4deb69ad6074c918c88836f015cd6af838636751"
    );
    assert_eq!(
        InMemorySigner::new(&[7; 64], 1 << 31, Memory::default()).unwrap_err(),
        SignRefusal::NoKey
    );
}

#[test]
fn nothing_secret_is_printed() {
    let signer = InMemorySigner::new(&[7; 64], 1, Memory::default()).unwrap();
    let shown = format!("{signer:?}");
    for secret in [signer.reveal(0).unwrap(), *signer.secrets.shachain_seed()] {
        let hex = bitcoin::hex::DisplayHex::to_lower_hex_string(&secret[..]);
        assert!(!shown.contains(&hex));
    }
}
