//! Seeds in and out of files, right and wrong passwords, loose permissions, damage.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use bitcoin::Network;
use tempfile::TempDir;

use super::file::{Effort, SeedFileError, create, open, private_directory};
use super::password::{Password, PasswordError, PasswordSource};
use super::*;

/// As little as Argon2 allows: the tests are about us, not about it.
const QUICK: Effort = Effort { memory_kib: 8, passes: 1 };

const ZOO: &str = "zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo vote";

fn place() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    private_directory(&dir.path().join("net")).unwrap();
    let path = dir.path().join("net/seed.enc");
    (dir, path)
}

fn same(a: &Seed, b: &Seed) {
    assert_eq!(a.words().unwrap().as_str(), b.words().unwrap().as_str());
    assert_eq!(a.passphrase(), b.passphrase());
}

#[test]
fn words_go_in_and_come_out() {
    // The last vector of the BIP 39 test set: entropy of 32 bytes 0xff.
    let seed = Seed::from_words(ZOO, "TREZOR").unwrap();
    assert_eq!(seed.words().unwrap().as_str(), ZOO);
    assert_eq!(seed.entropy(), &[0xff; 32]);
    let fresh = Seed::generate().unwrap();
    same(&Seed::from_words(&fresh.words().unwrap(), "").unwrap(), &fresh);
    assert_ne!(fresh.entropy(), Seed::generate().unwrap().entropy());
}

#[test]
fn the_stretched_seed_is_that_of_bip_39() {
    // Vector of the BIP 39 test set for the words above and the passphrase TREZOR.
    let stretched = Seed::from_words(ZOO, "TREZOR").unwrap().mnemonic().unwrap().to_seed("TREZOR");
    let hex = bitcoin::hex::DisplayHex::to_lower_hex_string(&stretched[..]);
    assert!(hex.starts_with("dd48c104698c30cfe2b6142103248622"), "{hex}");
}

#[test]
fn wrong_words_are_told_apart() {
    let fault = |words: &str| match Seed::from_words(words, "") {
        Err(SeedError::Words(fault)) => fault,
        other => panic!("{other:?}"),
    };
    assert_eq!(fault("zoo zoo"), WordFault::Count(2));
    let twelve = "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about";
    assert_eq!(fault(twelve), WordFault::Count(12));
    assert_eq!(fault(&ZOO.replacen("zoo", "zzz", 1)), WordFault::Unknown(1));
    assert_eq!(fault(&ZOO.replace("vote", "zoo")), WordFault::Checksum);
    let long = "x".repeat(257);
    assert!(matches!(Seed::from_words(ZOO, &long), Err(SeedError::PassphraseTooLong)));
}

#[test]
fn every_part_gets_its_own_secret_and_every_network_its_own_node() {
    let seed = Seed::from_words(ZOO, "").unwrap();
    let secrets = seed.secrets(Network::Regtest).unwrap();
    let again = seed.secrets(Network::Regtest).unwrap();
    let all = |secrets: &Secrets| {
        let of = |secret: &Secret32| *secret.expose();
        [
            secrets.node.expose().secret_bytes(),
            of(&secrets.onion),
            of(&secrets.channels),
            of(&secrets.tokens),
            of(&secrets.invoices),
            of(&secrets.backup),
        ]
    };
    assert_eq!(all(&secrets), all(&again));
    let mut different = all(&secrets).to_vec();
    different.extend(all(&seed.secrets(Network::Signet).unwrap()));
    different
        .extend(all(&Seed::from_words(ZOO, "other").unwrap().secrets(Network::Regtest).unwrap()));
    let count = different.len();
    different.sort_unstable();
    different.dedup();
    assert_eq!(different.len(), count);
}

#[test]
fn a_seed_file_opens_with_its_password_alone() {
    let (_dir, path) = place();
    let seed = Seed::from_words(ZOO, "my passphrase").unwrap();
    create(&path, &seed, &Password::new(b"correct horse"), QUICK).unwrap();
    same(&open(&path, &Password::new(b"correct horse")).unwrap(), &seed);
    let wrong = open(&path, &Password::new(b"correct horsf")).unwrap_err();
    assert!(matches!(wrong, SeedFileError::WrongPassword { .. }));
    assert!(wrong.to_string().starts_with("wrong password for "), "{wrong}");
    let none = open(&path, &Password::none()).unwrap_err();
    assert!(matches!(none, SeedFileError::NeedsPassword { .. }), "{none}");
    // Nothing of the seed can be read in the file.
    let bytes = fs::read(&path).unwrap();
    assert!(!bytes.windows(8).any(|part| part == [0xff; 8]));
    assert!(!bytes.windows(10).any(|part| part == b"passphrase"));
}

#[test]
fn a_seed_without_password_opens_without_one_and_never_with_one() {
    let (_dir, path) = place();
    let seed = Seed::generate().unwrap();
    create(&path, &seed, &Password::none(), Effort::default()).unwrap();
    same(&open(&path, &Password::none()).unwrap(), &seed);
    let given = open(&path, &Password::new(b"x")).unwrap_err();
    assert!(matches!(given, SeedFileError::NotEncrypted { .. }), "{given}");
}

#[test]
fn a_seed_is_never_overwritten() {
    let (_dir, path) = place();
    let seed = Seed::generate().unwrap();
    create(&path, &seed, &Password::none(), QUICK).unwrap();
    let other = Seed::generate().unwrap();
    let refused = create(&path, &other, &Password::none(), QUICK).unwrap_err();
    assert!(matches!(refused, SeedFileError::Exists { .. }), "{refused}");
    same(&open(&path, &Password::none()).unwrap(), &seed);
    assert!(!path.with_extension("new").exists());
}

#[test]
fn what_others_can_read_is_refused_with_the_command_that_helps() {
    let (_dir, path) = place();
    create(&path, &Seed::generate().unwrap(), &Password::none(), QUICK).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let said = open(&path, &Password::none()).unwrap_err().to_string();
    assert!(said.contains("mode 640") && said.contains("chmod 600"), "{said}");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let directory = path.parent().unwrap();
    fs::set_permissions(directory, fs::Permissions::from_mode(0o755)).unwrap();
    let said = open(&path, &Password::none()).unwrap_err().to_string();
    assert!(said.contains("mode 755") && said.contains("chmod 700"), "{said}");
    assert!(private_directory(directory).is_err());
}

#[test]
fn every_changed_or_missing_byte_is_noticed() {
    let (_dir, path) = place();
    for password in [Password::none(), Password::new(b"pw")] {
        let _ = fs::remove_file(&path);
        create(&path, &Seed::generate().unwrap(), &password, QUICK).unwrap();
        let good = fs::read(&path).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            fs::write(&path, &bad).unwrap();
            assert!(open(&path, &password).is_err(), "byte {at}");
            fs::write(&path, &good[..at]).unwrap();
            assert!(open(&path, &password).is_err(), "cut at {at}");
        }
    }
}

#[test]
fn a_file_cannot_ask_for_all_the_memory() {
    let (_dir, path) = place();
    create(&path, &Seed::generate().unwrap(), &Password::new(b"pw"), QUICK).unwrap();
    let mut bytes = fs::read(&path).unwrap();
    bytes[10..14].copy_from_slice(&u32::MAX.to_le_bytes());
    fs::write(&path, bytes).unwrap();
    let fault = open(&path, &Password::new(b"pw")).unwrap_err();
    assert!(matches!(fault, SeedFileError::Damaged { .. }), "{fault}");
}

#[test]
fn passwords_come_from_files_without_their_line_break() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pw");
    let fetch = || Password::fetch(&PasswordSource::File(path.clone()));
    fs::write(&path, "secret\r\n").unwrap();
    // Two endings are one line break; more belongs to the password.
    assert_eq!(fetch().unwrap().expose(), Some(&b"secret"[..]));
    fs::write(&path, "\n").unwrap();
    assert!(matches!(fetch(), Err(PasswordError::Empty { .. })));
    fs::write(&path, "x".repeat(1_025)).unwrap();
    assert!(matches!(fetch(), Err(PasswordError::TooLong { .. })));
    fs::remove_file(&path).unwrap();
    assert!(matches!(fetch(), Err(PasswordError::Unreadable { .. })));
    let unset = Password::fetch(&PasswordSource::Unset).unwrap_err().to_string();
    assert!(unset.contains("--password-file") && unset.contains("--no-password"));
}

#[test]
fn no_secret_shows_in_debug() {
    let seed = Seed::from_words(ZOO, "").unwrap();
    let secrets = seed.secrets(Network::Regtest).unwrap();
    let shown = format!(
        "{seed:?} {secrets:?} {:?} {:?} {:?} {:?}",
        secrets.onion,
        secrets.node,
        secrets.wallet,
        Password::new(b"hunter2")
    );
    assert_eq!(shown, "Seed Secrets Secret32 NodeSecret WalletKeys(secret) Password");
}
