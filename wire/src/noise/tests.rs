//! BOLT 8 § Appendix A, Initiator Tests and Responder Tests, and faults of our own.

use super::*;
use bitcoin::hex::FromHex;
use proptest::prelude::*;

const RS_PUB: &str = "028d7500dd4c12685d1f568b4c2b5048e8534b873319f3a8daa612b469132ec7f7";
const LS_PUB: &str = "034f355bdcb7cc0af728ef3cceb9615d90684bb5b2ca5f859ab0f0b704075871aa";
const ACT_ONE: &str = "00036360e856310ce5d294e8be33fc807077dc56ac80d95d9cd4ddbd21325eff73f70df6086551151f58b8afe6c195782c6a";
const ACT_TWO: &str = "0002466d7fcae563e5cb09a0d1870bb580344804617879a14949cf22285f1bae3f276e2470b93aac583c9ef6eafca3f730ae";
const ACT_THREE: &str = "00b9e3a702e93e3a9948c2ed6e5fd7590a6e1c3a0344cfc9d5b57357049aa22355361aa02e55a8fc28fef5bd6d71ad0c38228dc68b1c466263b47fdf31e560e139ba";
const SK: &str = "969ab31b4d288cedf6218839b27a3e2140827047f2c0f01bf5c04435d43511a9";
const RK: &str = "bb9020b8965f4df047e07f955f3c4b88418984aadc5cdb35096b9ea8fa5c3442";
const CK: &str = "919219dbb2920afa8db80f9a51787a840bcf111ed8d588caf9ab4be716e42b01";

fn hex(text: &str) -> Vec<u8> {
    Vec::from_hex(text).unwrap()
}

fn act<const N: usize>(text: &str) -> [u8; N] {
    hex(text).try_into().unwrap()
}

fn secret(byte: u8) -> SecretKey {
    SecretKey::from_slice(&[byte; 32]).unwrap()
}

fn point(text: &str) -> PublicKey {
    text.parse().unwrap()
}

fn initiator() -> ([u8; ACT_ONE_LEN], InitiatorExpectActTwo) {
    Initiator::start(secret(0x11), secret(0x12), &point(RS_PUB))
}

fn responder() -> ResponderExpectActOne {
    Responder::start(secret(0x21), secret(0x22))
}

fn responder_after_act_one() -> ResponderExpectActThree {
    responder().act_one(&act(ACT_ONE)).unwrap().1
}

/// Sending and receiving key and the chaining key of both directions.
fn keys(transport: &Transport) -> [Vec<u8>; 4] {
    let (sending, sending_ck) = transport.encryptor.keys();
    let (receiving, receiving_ck) = transport.decryptor.keys();
    [sending, receiving, sending_ck, receiving_ck]
}

#[test]
fn transport_initiator_successful_handshake() {
    let (one, expect) = initiator();
    assert_eq!(one, act(ACT_ONE));
    let (three, transport) = expect.act_two(&act(ACT_TWO)).unwrap();
    assert_eq!(three, act(ACT_THREE));
    assert_eq!(keys(&transport), [hex(SK), hex(RK), hex(CK), hex(CK)]);
}

#[test]
fn transport_responder_successful_handshake() {
    let (two, expect) = responder().act_one(&act(ACT_ONE)).unwrap();
    assert_eq!(two, act(ACT_TWO));
    let (their_static, transport) = expect.act_three(&act(ACT_THREE)).unwrap();
    assert_eq!(their_static, point(LS_PUB));
    assert_eq!(keys(&transport), [hex(RK), hex(SK), hex(CK), hex(CK)]);
}

#[test]
fn short_reads_are_not_acts() {
    // The vectors "act2 short read", "act1 short read", "act3 short read": the types take whole acts only.
    for (whole, short) in [(50, &ACT_TWO[..98]), (50, &ACT_ONE[..98]), (66, &ACT_THREE[..130])] {
        assert_eq!(hex(short).len(), whole - 1);
    }
    assert!(<[u8; ACT_TWO_LEN]>::try_from(hex(&ACT_TWO[..98])).is_err());
    assert!(<[u8; ACT_ONE_LEN]>::try_from(hex(&ACT_ONE[..98])).is_err());
    assert!(<[u8; ACT_THREE_LEN]>::try_from(hex(&ACT_THREE[..130])).is_err());
}

#[test]
fn transport_initiator_faults() {
    for (two, fault) in [
        (
            "0102466d7fcae563e5cb09a0d1870bb580344804617879a14949cf22285f1bae3f276e2470b93aac583c9ef6eafca3f730ae",
            HandshakeFault::Version { act: Act::Two, version: 1 },
        ),
        (
            "0004466d7fcae563e5cb09a0d1870bb580344804617879a14949cf22285f1bae3f276e2470b93aac583c9ef6eafca3f730ae",
            HandshakeFault::Key { act: Act::Two },
        ),
        (
            "0002466d7fcae563e5cb09a0d1870bb580344804617879a14949cf22285f1bae3f276e2470b93aac583c9ef6eafca3f730af",
            HandshakeFault::Mac { act: Act::Two },
        ),
    ] {
        assert_eq!(initiator().1.act_two(&act(two)).unwrap_err(), fault);
    }
}

#[test]
fn transport_responder_act_one_faults() {
    for (one, fault) in [
        (
            "01036360e856310ce5d294e8be33fc807077dc56ac80d95d9cd4ddbd21325eff73f70df6086551151f58b8afe6c195782c6a",
            HandshakeFault::Version { act: Act::One, version: 1 },
        ),
        (
            "00046360e856310ce5d294e8be33fc807077dc56ac80d95d9cd4ddbd21325eff73f70df6086551151f58b8afe6c195782c6a",
            HandshakeFault::Key { act: Act::One },
        ),
        (
            "00036360e856310ce5d294e8be33fc807077dc56ac80d95d9cd4ddbd21325eff73f70df6086551151f58b8afe6c195782c6b",
            HandshakeFault::Mac { act: Act::One },
        ),
    ] {
        assert_eq!(responder().act_one(&act(one)).unwrap_err(), fault);
    }
}

#[test]
fn transport_responder_act_three_faults() {
    for (three, fault) in [
        (
            "01b9e3a702e93e3a9948c2ed6e5fd7590a6e1c3a0344cfc9d5b57357049aa22355361aa02e55a8fc28fef5bd6d71ad0c38228dc68b1c466263b47fdf31e560e139ba",
            HandshakeFault::Version { act: Act::Three, version: 1 },
        ),
        (
            "00c9e3a702e93e3a9948c2ed6e5fd7590a6e1c3a0344cfc9d5b57357049aa22355361aa02e55a8fc28fef5bd6d71ad0c38228dc68b1c466263b47fdf31e560e139ba",
            HandshakeFault::Ciphertext,
        ),
        (
            "00bfe3a702e93e3a9948c2ed6e5fd7590a6e1c3a0344cfc9d5b57357049aa2235536ad09a8ee351870c2bb7f78b754a26c6cef79a98d25139c856d7efd252c2ae73c",
            HandshakeFault::Key { act: Act::Three },
        ),
        (
            "00b9e3a702e93e3a9948c2ed6e5fd7590a6e1c3a0344cfc9d5b57357049aa22355361aa02e55a8fc28fef5bd6d71ad0c38228dc68b1c466263b47fdf31e560e139bb",
            HandshakeFault::Mac { act: Act::Three },
        ),
    ] {
        assert_eq!(responder_after_act_one().act_three(&act(three)).unwrap_err(), fault);
    }
}

#[test]
fn who_wants_another_node_is_turned_away() {
    let (one, _) = Initiator::start(secret(0x11), secret(0x12), &point(LS_PUB));
    assert_eq!(responder().act_one(&one).unwrap_err(), HandshakeFault::Mac { act: Act::One });
}

#[test]
fn nothing_secret_is_printed() {
    let (_, expect) = initiator();
    assert_eq!(format!("{expect:?}"), "InitiatorExpectActTwo { .. }");
    let (_, transport) = expect.act_two(&act(ACT_TWO)).unwrap();
    assert!(!format!("{transport:?}").contains("150, 154"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn random_acts_are_refused(one: [u8; 32], two: [u8; 32], three: [u8; 32], at in 0..18_usize) {
        let widen = |bytes: &[u8; 32], good: &[u8]| {
            let mut wide = good.to_vec();
            wide[at..at + 32].copy_from_slice(bytes);
            wide
        };
        let one: [u8; 50] = widen(&one, &hex(ACT_ONE)).try_into().unwrap();
        let two: [u8; 50] = widen(&two, &hex(ACT_TWO)).try_into().unwrap();
        let three: [u8; 66] = widen(&three, &hex(ACT_THREE)).try_into().unwrap();
        prop_assert!(responder().act_one(&one).is_err());
        prop_assert!(initiator().1.act_two(&two).is_err());
        prop_assert!(responder_after_act_one().act_three(&three).is_err());
    }

    #[test]
    fn any_two_nodes_agree(ours in 1..255_u8, theirs in 1..255_u8, e in 1..255_u8, f in 1..255_u8) {
        let their_id = PublicKey::from_secret_key(SECP256K1, &secret(theirs));
        let (one, expect_two) = Initiator::start(secret(ours), secret(e), &their_id);
        let (two, expect_three) = Responder::start(secret(theirs), secret(f)).act_one(&one).unwrap();
        let (three, left) = expect_two.act_two(&two).unwrap();
        let (id, right) = expect_three.act_three(&three).unwrap();
        prop_assert_eq!(id, PublicKey::from_secret_key(SECP256K1, &secret(ours)));
        let ([ls, lr, ..], [rs, rr, ..]) = (keys(&left), keys(&right));
        prop_assert_eq!(ls, rr);
        prop_assert_eq!(lr, rs);
    }
}
