//! The seed at rest: `seed.enc`, 0600, in a directory that only its owner can enter.
//!
//! Layout of version 1, frozen: `"VIADSEED" | 1 | kind | m_kib u32 | t u32 | p u32 | salt 16 |
//! nonce 24 | box`, little-endian. Kind 1: the box is XChaCha20-Poly1305 under Argon2id of the
//! password, everything before it authenticated with it. Kind 0 (no password): the same under a key
//! that everybody knows, so that damage is still seen. Inside: 32 bytes of entropy, then the
//! passphrase.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use argon2::{Algorithm, Argon2, Params, Version};
use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{Key, KeyInit as _, XChaCha20Poly1305, XNonce};
use zeroize::Zeroizing;

use super::password::Password;
use super::{Seed, SeedError};

const MAGIC: &[u8; 8] = b"VIADSEED";
const VERSION: u8 = 1;
const HEADER_LEN: usize = 62;
const FILE_LEN_MAX: u64 = 1_024;

/// The most memory that a seed file may ask for when it is opened: 1 GiB.
const MEMORY_KIB_MAX: u32 = 1 << 20;
/// The most passes that a seed file may ask for.
const PASSES_MAX: u32 = 64;
/// The most lanes that a seed file may ask for.
const LANES_MAX: u32 = 16;

/// How hard it is to try passwords.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Effort {
    /// Memory in KiB (Argon2's `m`).
    pub memory_kib: u32,
    /// Passes over it (Argon2's `t`).
    pub passes: u32,
}

impl Default for Effort {
    /// 256 MiB, one pass: some tenths of a second at start, and no cheap guessing.
    fn default() -> Self {
        Self { memory_kib: 1 << 18, passes: 1 }
    }
}

/// Why the seed file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SeedFileError {
    /// It cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It is there already, and nothing may overwrite a seed.
    #[error("{} exists already; a seed is never overwritten", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// Others can read it.
    #[error(
        "{} can be read by others (mode {mode:03o}): run chmod {} {}",
        path.display(),
        if *directory { "700" } else { "600" },
        path.display()
    )]
    Loose {
        /// The file or directory.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
        /// Which of the two.
        directory: bool,
    },
    /// Not a seed file, or damaged.
    #[error("{} is not a seed file, or it is damaged; restore it from the 24 words", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// Of a newer build.
    #[error("{} is of version {version}: it needs a newer viaductd", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: u8,
    },
    /// Not the right password, or the file was changed: one cannot tell which.
    #[error("wrong password for {}", path.display())]
    WrongPassword {
        /// The file.
        path: PathBuf,
    },
    /// It is encrypted, and no password was given.
    #[error("{} is encrypted and --no-password was given: give its password", path.display())]
    NeedsPassword {
        /// The file.
        path: PathBuf,
    },
    /// It is not encrypted, and a password was given: somebody thinks it is safe.
    #[error(
        "{} is not encrypted, though a password was given: use --no-password, or restore the seed \
         from its words with a password",
        path.display()
    )]
    NotEncrypted {
        /// The file.
        path: PathBuf,
    },
    /// The seed itself.
    #[error(transparent)]
    Seed(#[from] SeedError),
}

/// Makes a directory that only its owner can enter, or checks that it is one.
///
/// # Errors
/// [`SeedFileError::Loose`], [`SeedFileError::Io`].
pub fn private_directory(path: &Path) -> Result<(), SeedFileError> {
    match fs::DirBuilder::new().recursive(true).mode(0o700).create(path) {
        Ok(()) => check_mode(path, true),
        Err(source) => Err(SeedFileError::Io { path: path.into(), source }),
    }
}

fn check_mode(path: &Path, directory: bool) -> Result<(), SeedFileError> {
    let found =
        fs::metadata(path).map_err(|source| SeedFileError::Io { path: path.into(), source })?;
    let mode = found.mode() & 0o777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    Err(SeedFileError::Loose { path: path.into(), mode, directory })
}

/// Writes the seed to a file that must not exist yet. When this returns, it is on the disk.
///
/// # Errors
/// [`SeedFileError`].
pub fn create(
    path: &Path,
    seed: &Seed,
    password: &Password,
    effort: Effort,
) -> Result<(), SeedFileError> {
    let io = |source| SeedFileError::Io { path: path.into(), source };
    let directory = path.parent().unwrap_or_else(|| Path::new("."));
    check_mode(directory, true)?;
    let bytes = seal(seed, password, effort)?;
    // Written aside and linked into place: the name never stands for half a seed, and linking refuses
    // to overwrite.
    let aside = path.with_extension("new");
    match fs::remove_file(&aside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io(error)),
        _ => {}
    }
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&aside).map_err(io)?;
    file.write_all(&bytes).and_then(|()| file.sync_all()).map_err(io)?;
    let linked = fs::hard_link(&aside, path);
    let removed = fs::remove_file(&aside);
    match linked {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(SeedFileError::Exists { path: path.into() });
        }
        other => other.and(removed).map_err(io)?,
    }
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(io)
}

/// Reads the seed.
///
/// # Errors
/// [`SeedFileError`]; a wrong password is [`SeedFileError::WrongPassword`].
pub fn open(path: &Path, password: &Password) -> Result<Seed, SeedFileError> {
    let io = |source| SeedFileError::Io { path: path.into(), source };
    let file = File::open(path).map_err(io)?;
    check_mode(path.parent().unwrap_or_else(|| Path::new(".")), true)?;
    check_mode(path, false)?;
    let mut bytes = Zeroizing::new(Vec::new());
    file.take(FILE_LEN_MAX).read_to_end(&mut bytes).map_err(io)?;
    unseal(&bytes, password).map_err(|fault| fault.at(path))
}

/// What is wrong with the bytes, before it is known which file they are of.
enum Fault {
    Damaged,
    Newer(u8),
    WrongPassword,
    NeedsPassword,
    NotEncrypted,
    Seed(SeedError),
}

impl Fault {
    fn at(self, path: &Path) -> SeedFileError {
        let path = path.to_path_buf();
        match self {
            Self::Damaged => SeedFileError::Damaged { path },
            Self::Newer(version) => SeedFileError::Newer { path, version },
            Self::WrongPassword => SeedFileError::WrongPassword { path },
            Self::NeedsPassword => SeedFileError::NeedsPassword { path },
            Self::NotEncrypted => SeedFileError::NotEncrypted { path },
            Self::Seed(error) => SeedFileError::Seed(error),
        }
    }
}

fn seal(seed: &Seed, password: &Password, effort: Effort) -> Result<Vec<u8>, SeedError> {
    let mut random = [0_u8; 40];
    getrandom::fill(&mut random).map_err(|_| SeedError::NoEntropy)?;
    let (salt, nonce) = random.split_at(16);
    let kind = u8::from(password.expose().is_some());
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&[VERSION, kind]);
    for number in [effort.memory_kib, effort.passes, 1] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    bytes.extend_from_slice(salt);
    bytes.extend_from_slice(nonce);

    let header = Header::read(&bytes).map_err(|_| SeedError::NoKey)?;
    let key = header.key(password).map_err(|_| SeedError::NoKey)?;
    let mut plain = Zeroizing::new(seed.entropy().to_vec());
    plain.extend_from_slice(seed.passphrase().as_bytes());
    let sealed = XChaCha20Poly1305::new(&Key::from(*key))
        .encrypt(&XNonce::from(header.nonce), Payload { msg: &plain, aad: &bytes })
        .map_err(|_| SeedError::NoKey)?;
    bytes.extend_from_slice(&sealed);
    Ok(bytes)
}

fn unseal(bytes: &[u8], password: &Password) -> Result<Seed, Fault> {
    let (head, sealed) = bytes.split_at_checked(HEADER_LEN).ok_or(Fault::Damaged)?;
    let header = Header::read(head)?;
    match (header.encrypted, password.expose()) {
        (true, None) => return Err(Fault::NeedsPassword),
        (false, Some(_)) => return Err(Fault::NotEncrypted),
        (true, Some(_)) | (false, None) => {}
    }
    let key = header.key(password)?;
    let plain = XChaCha20Poly1305::new(&Key::from(*key))
        .decrypt(&XNonce::from(header.nonce), Payload { msg: sealed, aad: head })
        .map(Zeroizing::new)
        .map_err(|_| if header.encrypted { Fault::WrongPassword } else { Fault::Damaged })?;
    let (entropy, passphrase) = plain.split_at_checked(32).ok_or(Fault::Damaged)?;
    let entropy = <[u8; 32]>::try_from(entropy).map_err(|_| Fault::Damaged)?;
    let passphrase = core::str::from_utf8(passphrase).map_err(|_| Fault::Damaged)?;
    Seed::from_parts(Zeroizing::new(entropy), passphrase).map_err(Fault::Seed)
}

/// What stands before the box.
struct Header {
    encrypted: bool,
    params: Params,
    salt: [u8; 16],
    nonce: [u8; 24],
}

impl Header {
    fn read(bytes: &[u8]) -> Result<Self, Fault> {
        let mut rest = bytes;
        if take::<8>(&mut rest)? != *MAGIC {
            return Err(Fault::Damaged);
        }
        let [version] = take::<1>(&mut rest)?;
        if version != VERSION {
            return Err(Fault::Newer(version));
        }
        let [kind] = take::<1>(&mut rest)?;
        let mut number = || Ok(u32::from_le_bytes(take::<4>(&mut rest)?));
        let (memory, passes, lanes) = (number()?, number()?, number()?);
        // The file says how much memory to take: a changed one must not take it all.
        if kind > 1 || memory > MEMORY_KIB_MAX || passes > PASSES_MAX || lanes > LANES_MAX {
            return Err(Fault::Damaged);
        }
        let params = Params::new(memory, passes, lanes, Some(32)).map_err(|_| Fault::Damaged)?;
        Ok(Self { encrypted: kind == 1, params, salt: take(&mut rest)?, nonce: take(&mut rest)? })
    }

    fn key(&self, password: &Password) -> Result<Zeroizing<[u8; 32]>, Fault> {
        let mut key = Zeroizing::new([0; 32]);
        if let Some(password) = password.expose() {
            Argon2::new(Algorithm::Argon2id, Version::V0x13, self.params.clone())
                .hash_password_into(password, &self.salt, key.as_mut())
                .map_err(|_| Fault::Damaged)?;
        }
        Ok(key)
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], Fault> {
    let (head, tail) = rest.split_first_chunk().ok_or(Fault::Damaged)?;
    *rest = tail;
    Ok(*head)
}
