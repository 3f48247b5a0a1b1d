//! Towers that answered an audit, and files about them.

use bitcoin::BlockHash;
use bitcoin::hashes::Hash as _;
use secp256k1::{Keypair, PublicKey, SECP256K1, SecretKey};

use super::{LostRecords, NoLoss};
use crate::hint::Hint;
use crate::message::{KIT_SEALED, Sealed};
use crate::proof::audit::{Answer, Challenge, Record, digest};
use crate::proof::check::{Evidence, Fault};
use crate::proof::fraud::{Exhibit, FileError, FraudProof};
use crate::proof::mmr::{self, Mmr, Node};
use crate::proof::receipt::{Ack, Receipt, Session};
use crate::proof::tombstone::{Scope, Tombstone};

fn key(byte: u8) -> Keypair {
    Keypair::from_secret_key(SECP256K1, &SecretKey::from_slice(&[byte; 32]).unwrap())
}

fn session() -> PublicKey {
    key(2).public_key()
}

fn record(seq: u32) -> Sealed {
    Sealed { hint: Hint([seq as u8; 16]), ciphertext: seq.to_be_bytes().repeat(40) }
}

fn leaves() -> Vec<Node> {
    let leaf = |seq| {
        let record = record(seq);
        mmr::leaf(seq, &record.hint.0, &record.ciphertext)
    };
    (0..50).map(leaf).collect()
}

fn receipt() -> Receipt {
    let range: Mmr = leaves().into_iter().collect();
    let ack = Ack {
        durable_seq: 50,
        root: range.root(),
        height: 800,
        tip: BlockHash::all_zeros(),
        expiry: 5_000,
    };
    ack.sign(Session::new(session(), KIT_SEALED, b"terms"), &key(1))
}

/// A tower that signed for fifty records answers, and lost that one.
fn case(lost: Option<u32>) -> LostRecords {
    let challenge = Challenge::draw(&[7; 32], 0..50, 20);
    let lost = lost.map(|nth| challenge.seqs[nth as usize]);
    let records: Vec<_> = (challenge.seqs.iter())
        .map(|seq| (record(*seq), mmr::path(*seq, leaves()).unwrap()))
        .collect();
    let kept = challenge.seqs.iter().zip(&records).map(|(seq, (record, _))| Record {
        seq: *seq,
        hint: &record.hint.0,
        ciphertext: if lost == Some(*seq) { &[0] } else { &record.ciphertext },
    });
    let digest = digest(&challenge.nonce, kept);
    let answer = Answer::new(&session(), &challenge, digest, &key(1));
    let tower = key(1).public_key();
    LostRecords { tower, receipt: receipt(), challenge, answer, records }
}

#[test]
fn s23_a_wrong_answer_convicts_in_anybodys_eyes_and_a_right_one_does_not() {
    let lost = case(Some(3));
    let loss = lost.verify(&[]).unwrap();
    assert_eq!((loss.signed, loss.asked, loss.receipt_height, loss.until), (50, 20, 800, 5_000));
    assert_eq!(case(None).verify(&[]), Err(NoLoss::Has));
    let file = Exhibit::Lost(Box::new(lost.clone())).to_bytes();
    assert_eq!(Exhibit::from_bytes(&file), Ok(Exhibit::Lost(Box::new(lost))));
    assert_eq!(FraudProof::from_bytes(&file), Err(FileError::Version(2)));
    for place in (33..file.len()).step_by(11) {
        let mut changed = file.clone();
        changed[place] ^= 0x40;
        assert_eq!(Exhibit::from_bytes(&changed), Err(FileError::Checksum), "byte {place}");
    }
}

#[test]
fn s23_no_file_convicts_a_tower_of_what_it_did_not_sign_for() {
    let good = case(Some(3));
    let forged = |change: &dyn Fn(&mut LostRecords)| {
        let mut lost = good.clone();
        change(&mut lost);
        lost.verify(&[]).unwrap_err()
    };
    assert_eq!(forged(&|lost| lost.tower = key(9).public_key()), NoLoss::NotSigned);
    assert_eq!(forged(&|lost| lost.receipt.ack.durable_seq = 60), NoLoss::NotSigned);
    assert_eq!(forged(&|lost| lost.challenge.seqs.clear()), NoLoss::Unfair);
    assert_eq!(forged(&|lost| lost.challenge.seqs.push(50)), NoLoss::Unfair);
    assert_eq!(forged(&|lost| drop(lost.records.pop())), NoLoss::OtherRecords);
    assert_eq!(forged(&|lost| lost.records.swap(0, 1)), NoLoss::OtherRecords);
    let seq = good.challenge.seqs[0];
    let other = |lost: &mut LostRecords| lost.records[0].0.ciphertext.push(1);
    assert_eq!(forged(&other), NoLoss::NotInRange { seq });
    assert_eq!(forged(&|lost| lost.challenge.nonce = [1; 32]), NoLoss::NotAnswered);
    assert_eq!(forged(&|lost| lost.answer.digest = [1; 32]), NoLoss::NotAnswered);
    assert_eq!(forged(&|lost| lost.receipt.session.key = key(3).public_key()), NoLoss::NotSigned);
    // Of another session of the same client with the same tower.
    let stone = Tombstone::sign(&key(3), Scope::Session);
    assert!(good.verify(&[stone]).is_ok());
    let stone = Tombstone::sign(&key(2), Scope::Session);
    assert_eq!(good.verify(&[stone]), Err(NoLoss::Deleted { seq }));
}

#[test]
fn receipts_that_contradict_are_a_file_and_do_not_when_the_session_could_have_ended_between() {
    let before = receipt();
    let went_back = |height| {
        let ack = Ack { durable_seq: 10, height, ..before.ack };
        Evidence {
            fault: Fault::WentBack { before: 50, now: 10 },
            tower: key(1).public_key(),
            receipt: ack.sign(before.session, &key(1)),
            before: Some(before),
            expected_root: None,
        }
    };
    let evidence = went_back(900);
    assert!(evidence.convicts());
    assert!(!went_back(5_001).convicts(), "it may have begun anew");
    let file = Exhibit::Receipts(Box::new(evidence.clone())).to_bytes();
    assert_eq!(Exhibit::from_bytes(&file), Ok(Exhibit::Receipts(Box::new(evidence))));
}
