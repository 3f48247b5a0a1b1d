//! BOLT 3 Appendix D.

use super::*;

fn bytes(hex: &str) -> [u8; 32] {
    let pair = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    std::array::from_fn(|at| pair(2 * at))
}

/// Generates the secret at a tree index, as the vectors name them.
fn generated(seed: [u8; 32], index: u64) -> [u8; 32] {
    secret(&seed, COMMITMENT_NUMBER_MAX - index).unwrap()
}

#[test]
fn secrets_grow_from_a_seed() {
    for (seed, index, expected) in [
        (0x00, 281474976710655, "02a40c85b6f28da08dfdbe0926c53fab2de6d28c10301f8f7c4073d5e42e3148"),
        (0xff, 281474976710655, "7cc854b54e3e0dcdb010d7a3fee464a9687be6e8db3be6854c475621e007a5dc"),
        (0xff, 0xaaaaaaaaaaa, "56f4008fb007ca9acf0e15b054d5c9fd12ee06cea347914ddbaed70d1c13a528"),
        (0xff, 0x555555555555, "9015daaeb06dba4ccc05b91b2f73bd54405f2be9f217fbacd3c5ac2e62327d31"),
        (0x01, 1, "915c75942a26bb3a433a8ce2cb0427c29ec6c1775cfc78328b57f6ba7bfeaa9c"),
    ] {
        assert_eq!(generated([seed; 32], index), bytes(expected));
    }
}

/// The secrets of the correct sequence, index 2^48 - 1 downwards.
const CORRECT: [&str; 8] = [
    "7cc854b54e3e0dcdb010d7a3fee464a9687be6e8db3be6854c475621e007a5dc",
    "c7518c8ae4660ed02894df8976fa1a3659c1a8b4b5bec0c4b872abeba4cb8964",
    "2273e227a5b7449b6e70f1fb4652864038b1cbf9cd7c043a7d6456b7fc275ad8",
    "27cddaa5624534cb6cb9d7da077cf2b22ab21e9b506fd4998a51d54502e99116",
    "c65716add7aa98ba7acb236352d665cab17345fe45b55fb879ff80e6bd0c41dd",
    "969660042a28f32d9be17344e09374b379962d03db1574df5a8a5a47e19ce3f2",
    "a5a64476122ca0925fb344bdc1854c1c0a59fc614298e50a33e331980a220f32",
    "05cde6323d949933f7f7b78776bcc1ea6d9b31447732e3802e1f7ac44b650e17",
];

/// Inserts the correct sequence up to `last` with some secrets replaced; all but the last must be taken.
fn insert(replaced: &[(usize, &str)], last: usize) -> Result<(), ShachainError> {
    let mut secrets = RevealedSecrets::new();
    let mut outcome = Ok(());
    for (at, correct) in CORRECT.iter().enumerate().take(last) {
        assert_eq!(outcome, Ok(()), "secret {at} was refused early");
        let hex =
            replaced.iter().find(|(place, _)| *place == at + 1).map_or(*correct, |(_, hex)| hex);
        outcome = secrets.insert(at as u64, bytes(hex));
    }
    outcome
}

#[test]
fn a_correct_sequence_is_taken_and_every_secret_found_again() {
    assert_eq!(insert(&[], 8), Ok(()));
    let mut secrets = RevealedSecrets::new();
    for number in 0..1_000 {
        let next = secret(&[7; 32], number).unwrap();
        secrets.insert(number, next).unwrap();
        assert_eq!(secrets.secret(number + 1), None);
        let again = RevealedSecrets::from_bytes(&secrets.to_bytes()).unwrap();
        assert_eq!(again, secrets);
    }
    for number in 0..1_000 {
        assert_eq!(secrets.secret(number), secret(&[7; 32], number));
    }
    assert!(secrets.to_bytes().len() <= 8 + 49 * 40);
}

#[test]
fn a_wrong_secret_is_found_when_its_parent_comes() {
    const WRONG_1: (usize, &str) =
        (1, "02a40c85b6f28da08dfdbe0926c53fab2de6d28c10301f8f7c4073d5e42e3148");
    const WRONG_2: (usize, &str) =
        (2, "dddc3a8d14fddf2b68fa8c7fbad2748274937479dd0f8930d5ebb4ab6bd866a3");
    const WRONG_3: (usize, &str) =
        (3, "c51a18b13e8527e579ec56365482c62f180b7d5760b46e9477dae59e87ed423a");
    const WRONG_4: (usize, &str) =
        (4, "ba65d7b0ef55a3ba300d4e87af29868f394f8f138d78a7011669c79b37b936f4");
    const WRONG_5: (usize, &str) =
        (5, "631373ad5f9ef654bb3dade742d09504c567edd24320d2fcd68e3cc47e2ff6a6");
    const WRONG_6: (usize, &str) =
        (6, "b7e76a83668bde38b373970155c868a653304308f9896692f904a23731224bb1");
    const WRONG_7: (usize, &str) =
        (7, "e7971de736e01da8ed58b94c2fc216cb1dca9e326f3a96e7194fe8ea8af6c0a3");
    const WRONG_8: (usize, &str) =
        (8, "a7efbc61aac46d34f77778bac22c8a20c6a46ca460addc49009bda875ec88fa4");
    let refused = |last: usize| Err(ShachainError::Unrelated { number: last as u64 - 1 });
    for (replaced, last) in [
        (&[WRONG_1][..], 2),
        (&[WRONG_1, WRONG_2], 4),
        (&[WRONG_3], 4),
        (&[WRONG_1, WRONG_2, WRONG_3, WRONG_4], 8),
        (&[WRONG_5], 6),
        (&[WRONG_5, WRONG_6], 8),
        (&[WRONG_7], 8),
        (&[WRONG_8], 8),
    ] {
        assert_eq!(insert(replaced, last), refused(last), "{replaced:?}");
    }
}

#[test]
fn secrets_come_one_by_one() {
    let mut secrets = RevealedSecrets::new();
    let skipped = secrets.insert(1, secret(&[7; 32], 1).unwrap());
    assert_eq!(skipped, Err(ShachainError::OutOfOrder { number: 1, expected: 0 }));
    secrets.insert(0, secret(&[7; 32], 0).unwrap()).unwrap();
    let repeated = secrets.insert(0, secret(&[7; 32], 0).unwrap());
    assert_eq!(repeated, Err(ShachainError::OutOfOrder { number: 0, expected: 1 }));
    assert_eq!(secret(&[7; 32], COMMITMENT_NUMBER_MAX + 1), None);
    assert_eq!(secret(&[7; 32], COMMITMENT_NUMBER_MAX), Some([7; 32]));
}

#[test]
fn damaged_bytes_are_refused_and_never_read_as_something_else() {
    let mut secrets = RevealedSecrets::new();
    for number in 0..300 {
        secrets.insert(number, secret(&[9; 32], number).unwrap()).unwrap();
    }
    let good = secrets.to_bytes();
    for cut in 0..good.len() {
        assert_eq!(RevealedSecrets::from_bytes(&good[..cut]), Err(ShachainError::Damaged));
    }
    for at in 0..good.len() - 32 {
        let mut bad = good.clone();
        bad[at] ^= 1;
        // A flipped bit in a slot that no other slot is derived from cannot be seen.
        if let Ok(read) = RevealedSecrets::from_bytes(&bad) {
            assert_eq!(read.count(), 300);
            assert!(at >= 8);
        }
    }
    assert!(RevealedSecrets::from_bytes(&vec![0; 100_000]).is_err());
    assert_eq!(RevealedSecrets::from_bytes(&0_u64.to_be_bytes()).unwrap(), RevealedSecrets::new());
}
