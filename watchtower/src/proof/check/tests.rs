//! Receipts that are wrong in one way each. Scenario 22, first half.

use bitcoin::BlockHash;
use bitcoin::hashes::Hash as _;
use secp256k1::{Keypair, SECP256K1, SecretKey};
use wire::codec::{Decode, Encode};

use crate::message::{Code, KIT_REPLICA, KIT_SEALED};

use super::super::mmr::{Mmr, leaf};
use super::super::receipt::{Ack, Receipt, ReplicaAck, Session};
use super::{Checker, Evidence, Fault, PENDING_MAX};

fn keypair(byte: u8) -> Keypair {
    Keypair::from_secret_key(SECP256K1, &SecretKey::from_slice(&[byte; 32]).unwrap())
}

fn tower() -> Keypair {
    keypair(1)
}

fn session() -> Session {
    Session::new(keypair(2).public_key(), KIT_SEALED, b"template")
}

fn node(seq: u32) -> [u8; 32] {
    leaf(seq, &[3; 16], &[4; 194])
}

/// What an honest tower signs for the first `count` records.
fn ack(count: u32) -> Ack {
    let root = Mmr::from_iter((0..count).map(node)).root();
    let tip = BlockHash::from_byte_array([5; 32]);
    Ack { durable_seq: count, root, height: 800, tip, expiry: 5_000 }
}

fn receipt(count: u32) -> Receipt {
    ack(count).sign(session(), &tower())
}

/// A session with records sent, of which some are acknowledged.
fn checker(sent: u32, acked: u32) -> Checker {
    let mut checker = Checker::new(tower().public_key(), session());
    assert!((0..sent).all(|seq| checker.send(node(seq))));
    let progress = checker.check(&receipt(acked), 800).unwrap();
    assert_eq!(progress.newly_acked, acked);
    checker
}

fn fault(checker: &mut Checker, receipt: &Receipt) -> Evidence {
    let before = checker.clone();
    let evidence = checker.check(receipt, 800).unwrap_err();
    assert_eq!(*checker, before, "a wrong receipt changes nothing");
    let bytes = evidence.encoded();
    assert_eq!(Evidence::decode_exact(&bytes).unwrap(), *evidence);
    *evidence
}

#[test]
fn receipts_acknowledge_what_was_sent_in_any_portions() {
    let mut checker = checker(100, 7);
    assert_eq!(checker.check(&receipt(7), 800).unwrap().newly_acked, 0);
    assert_eq!(checker.check(&receipt(64), 800).unwrap().newly_acked, 57);
    assert_eq!(checker.check(&receipt(100), 806).unwrap().durable_seq, 100);
    assert_eq!(checker.next_seq(), 100);
    assert_eq!(checker.acked().count(), 100);
}

#[test]
fn any_changed_bit_of_a_receipt_is_found() {
    let mut checker = checker(10, 4);
    let good = receipt(9).encoded();
    for bit in 0..good.len() * 8 {
        let mut bytes = good.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let Ok(bad) = Receipt::decode_exact(&bytes) else { continue };
        let evidence = fault(&mut checker, &bad);
        assert!(matches!(evidence.fault, Fault::WrongSignature | Fault::OtherSession), "{bit}");
        assert!(!evidence.convicts());
    }
    assert!(checker.check(&receipt(9), 800).is_ok());
}

#[test]
fn a_root_over_other_records_is_evidence_with_the_root_it_should_have_been() {
    let mut checker = checker(10, 4);
    let bad = Ack { root: [9; 32], ..ack(6) }.sign(session(), &tower());
    let evidence = fault(&mut checker, &bad);
    assert_eq!(evidence.fault, Fault::RootDiffers);
    assert_eq!(evidence.expected_root, Some(ack(6).root));
    assert!(!evidence.convicts(), "only the client knows what it sent");
}

#[test]
fn two_roots_for_the_same_records_convict_in_anybodys_eyes() {
    let mut checker = checker(10, 4);
    let bad = Ack { root: [9; 32], ..ack(4) }.sign(session(), &tower());
    assert!(fault(&mut checker, &bad).convicts());
}

#[test]
fn a_tower_that_lost_records_convicts_itself_once_its_chain_has_grown() {
    let mut checker = checker(10, 8);
    let went_back = Fault::WentBack { before: 8, now: 5 };
    let same_height = fault(&mut checker, &receipt(5));
    assert_eq!(same_height.fault, went_back);
    // An old receipt, seen late, is no proof: it may have been signed before the other.
    assert!(!same_height.convicts());
    let later = Ack { height: 801, ..ack(5) }.sign(session(), &tower());
    let later = fault(&mut checker, &later);
    assert_eq!(later.fault, went_back);
    assert!(later.convicts());
}

#[test]
fn a_receipt_for_more_than_was_sent_is_refused() {
    let mut checker = checker(10, 8);
    let fault = fault(&mut checker, &receipt(11)).fault;
    assert_eq!(fault, Fault::NeverSent { sent: 10, signed: 11 });
}

#[test]
fn a_tower_more_than_six_blocks_behind_is_stale() {
    let mut checker = checker(10, 8);
    assert!(checker.check(&receipt(9), 806).is_ok());
    let evidence = checker.check(&receipt(9), 807).unwrap_err();
    assert_eq!(evidence.fault, Fault::Stale { height: 800, ours: 807 });
}

#[test]
fn a_promise_is_not_taken_back() {
    let mut checker = checker(10, 8);
    let bad = Ack { expiry: 4_999, ..ack(9) }.sign(session(), &tower());
    let shortened = Fault::ExpiryShortened { before: 5_000, now: 4_999 };
    assert_eq!(fault(&mut checker, &bad).fault, shortened);
    let longer = Ack { expiry: 9_000, ..ack(9) }.sign(session(), &tower());
    assert!(checker.check(&longer, 800).is_ok());
}

#[test]
fn after_a_lost_connection_the_same_records_go_out_again() {
    let mut checker = checker(10, 4);
    checker.disconnected();
    assert_eq!(checker.next_seq(), 4);
    // The tower had stored six when the connection broke, and says so before they are sent again.
    assert!((4..10).all(|seq| checker.send(node(seq))));
    assert_eq!(checker.check(&receipt(6), 800).unwrap().newly_acked, 2);
}

#[test]
fn what_waits_for_a_receipt_is_bounded() {
    let mut checker = Checker::new(tower().public_key(), session());
    assert!((0..PENDING_MAX).all(|_| checker.send([0; 32])));
    assert!(!checker.send([0; 32]));
}

#[test]
fn a_receipt_is_about_the_terms_that_the_session_was_opened_with() {
    let other = Session::new(keypair(2).public_key(), KIT_SEALED, b"another template");
    assert_ne!(other, session());
    assert_ne!(other, Session::new(keypair(2).public_key(), KIT_REPLICA, b"another template"));
    let shown_under_others = Receipt { session: other, ..receipt(4) };
    assert!(receipt(4).is_signed_by(&tower().public_key()));
    assert!(!shown_under_others.is_signed_by(&tower().public_key()));
}

#[test]
fn receipts_travel_as_messages() {
    let message = receipt(9).to_message(Code::OK);
    assert_eq!(Receipt::from_message(session(), &message), receipt(9));
}

#[test]
fn what_is_signed_for_a_replica_is_signed_by_the_tower_for_that_session() {
    let tip = BlockHash::from_byte_array([5; 32]);
    let ack = ReplicaAck { revoked: 7, htlcs: 9, height: 800, tip, expiry: 5_000 };
    let signature = ack.sign(&session(), &tower());
    let key = tower().public_key();
    assert!(ack.is_signed_by(&session(), &signature, &key));
    assert!(!ReplicaAck { revoked: 8, ..ack }.is_signed_by(&session(), &signature, &key));
    assert!(!ack.is_signed_by(&session(), &signature, &keypair(3).public_key()));
}
