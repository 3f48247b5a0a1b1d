//! Audits against towers that lost records. Scenario 23.

use secp256k1::{Keypair, PublicKey, SECP256K1, SecretKey};

use super::{Answer, AuditFault, Challenge, Record, detection_ppm, digest, draws_for};

fn tower() -> Keypair {
    Keypair::from_secret_key(SECP256K1, &SecretKey::from_slice(&[1; 32]).unwrap())
}

fn session() -> PublicKey {
    SecretKey::from_slice(&[2; 32]).unwrap().public_key(SECP256K1)
}

fn entropy(seed: u32) -> [u8; 32] {
    let mut entropy = [0; 32];
    entropy[..4].copy_from_slice(&seed.to_be_bytes());
    entropy
}

/// A session's records, as both sides know them.
struct Records(Vec<([u8; 16], Vec<u8>)>);

impl Records {
    fn of(count: u32) -> Self {
        Self((0..count).map(|seq| ([seq as u8; 16], seq.to_be_bytes().repeat(48))).collect())
    }

    fn asked<'a>(&'a self, challenge: &'a Challenge) -> impl Iterator<Item = Record<'a>> {
        challenge.seqs.iter().map(|seq| {
            let (hint, ciphertext) = &self.0[*seq as usize];
            Record { seq: *seq, hint, ciphertext }
        })
    }

    /// What the tower says, that lost the records for which `lost` is true and fills in zeros.
    fn answer(&self, challenge: &Challenge, lost: impl Fn(u32) -> bool) -> Answer {
        let zeros = vec![0; 192];
        let kept = self.asked(challenge).map(|record| {
            if lost(record.seq) { Record { ciphertext: &zeros, ..record } } else { record }
        });
        Answer::new(&session(), challenge, digest(&challenge.nonce, kept), &tower())
    }

    fn check(&self, challenge: &Challenge, answer: &Answer) -> Result<(), AuditFault> {
        let tower = tower().public_key();
        answer.check(&tower, &session(), challenge, self.asked(challenge))
    }
}

#[test]
fn a_challenge_draws_different_numbers_from_the_whole_range() {
    let challenge = Challenge::draw(&entropy(1), 100..10_100, 300);
    assert_eq!(challenge.seqs.len(), 300);
    assert!(challenge.is_fair(10_100));
    assert!(!challenge.is_fair(5_000));
    assert!(challenge.seqs.iter().all(|seq| (100..10_100).contains(seq)));
    let upper = challenge.seqs.iter().filter(|seq| **seq >= 5_100).count();
    assert!((100..200).contains(&upper), "{upper} of 300 in the upper half");
    assert_ne!(Challenge::draw(&entropy(2), 100..10_100, 300), challenge);
}

#[test]
fn a_challenge_for_more_than_there_is_asks_for_all() {
    assert_eq!(Challenge::draw(&entropy(1), 5..9, 300).seqs, [5, 6, 7, 8]);
    assert!(Challenge::draw(&entropy(1), 5..5, 300).seqs.is_empty());
    assert_eq!(Challenge::draw(&entropy(1), 0..u32::MAX, usize::MAX).seqs.len(), 1_024);
}

#[test]
fn scenario_23_three_hundred_draws_find_one_percent_of_loss_with_95_in_100() {
    let records = Records::of(20_000);
    let rounds = 200;
    let mut found = 0;
    for seed in 0..rounds {
        let challenge = Challenge::draw(&entropy(seed), 0..20_000, 300);
        let answer = records.answer(&challenge, |seq| seq % 100 == 37);
        found += u32::from(records.check(&challenge, &answer) == Err(AuditFault::Lost));
        let honest = records.answer(&challenge, |_| false);
        assert_eq!(records.check(&challenge, &honest), Ok(()), "an intact tower always passes");
    }
    let expected = detection_ppm(20_000, 200, 300);
    assert!((950_000..956_000).contains(&expected), "{expected}");
    // 190.6 expected, deviation 3.0; the seeds are fixed.
    assert!((181..=199).contains(&found), "{found} of {rounds}");
}

#[test]
fn an_answer_is_good_for_one_challenge_one_session_and_one_tower() {
    let records = Records::of(50);
    let challenge = Challenge::draw(&entropy(1), 0..50, 10);
    let answer = records.answer(&challenge, |_| false);
    let again = Challenge::draw(&entropy(2), 0..50, 10);
    assert_eq!(records.check(&again, &answer), Err(AuditFault::WrongSignature));
    let others = answer.check(&session(), &session(), &challenge, records.asked(&challenge));
    assert_eq!(others, Err(AuditFault::WrongSignature));
    let mut forged = answer;
    forged.digest[0] ^= 1;
    assert_eq!(records.check(&challenge, &forged), Err(AuditFault::WrongSignature));
}

#[test]
fn where_one_record_ends_and_the_next_begins_is_part_of_the_answer() {
    let hint = [0; 16];
    let split = |at: usize| {
        let bytes = [7_u8; 64];
        let first = Record { seq: 0, hint: &hint, ciphertext: &bytes[..at] };
        let second = Record { seq: 1, hint: &hint, ciphertext: &bytes[at..] };
        digest(&[1; 32], [first, second])
    };
    assert_ne!(split(20), split(40));
}

#[test]
fn detection_is_what_combinatorics_say() {
    assert_eq!(detection_ppm(100, 0, 100), 0);
    assert_eq!(detection_ppm(100, 1, 100), 1_000_000);
    assert_eq!(detection_ppm(100, 1, 50), 500_000);
    assert_eq!(detection_ppm(4, 2, 2), 833_333);
    assert_eq!(detection_ppm(0, 0, 5), 0);
    let large = f64::from(detection_ppm(u32::MAX, u32::MAX / 100, 300)) / 1e6;
    assert!((large - (1.0 - 0.99_f64.powi(300))).abs() < 1e-5, "{large}");
}

#[test]
fn the_number_of_draws_is_the_least_that_suffices() {
    for (total, missing, wanted) in [(20_000, 200, 950_000), (1_000, 1, 500_000), (10, 10, 1)] {
        let draws = draws_for(total, missing, wanted);
        assert!(detection_ppm(total, missing, draws) >= wanted);
        assert!(draws == 0 || detection_ppm(total, missing, draws - 1) < wanted);
    }
    assert_eq!(draws_for(100, 0, 1), 100);
}
