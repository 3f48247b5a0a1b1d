//! The password that opens the seed file, and the places it can come from.
//!
//! Never the command line (other users see it). Never a prompt: a daemon that asks hangs at boot.

use core::fmt;
use std::io::Read as _;
use std::path::PathBuf;
use std::{env, fs, io};

use zeroize::{Zeroize as _, Zeroizing};

/// The longest password, in bytes.
const LEN_MAX: u64 = 1_024;

/// The environment variable of [`PasswordSource::Environment`].
pub const VARIABLE: &str = "VIADUCT_PASSWORD";

/// Where the password comes from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum PasswordSource {
    /// Nowhere was said.
    #[default]
    Unset,
    /// There is none: the seed lies in the open, protected by file permissions alone. For the sandbox.
    NoPassword,
    /// A file, its last line break not counted. A systemd credential is such a file.
    File(PathBuf),
    /// The environment variable `VIADUCT_PASSWORD`.
    Environment,
    /// An open file descriptor, read to its end.
    Descriptor(u32),
}

/// Why there is no password.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// Nobody said where it comes from.
    #[error(
        "no password was given for the seed: use --password-file FILE, --password-fd N or the \
         variable VIADUCT_PASSWORD, or --no-password to leave the seed unencrypted (sandbox)"
    )]
    Unset,
    /// It cannot be read.
    #[error("the password cannot be read from {from}: {source}")]
    Unreadable {
        /// Where from.
        from: String,
        /// What the system says.
        source: io::Error,
    },
    /// It is empty.
    #[error("the password from {from} is empty; to have none on purpose, use --no-password")]
    Empty {
        /// Where from.
        from: String,
    },
    /// It is too long to be one.
    #[error("the password from {from} is longer than {LEN_MAX} bytes")]
    TooLong {
        /// Where from.
        from: String,
    },
}

/// A password. No `Debug` that shows it; wiped on drop.
pub struct Password(Option<Zeroizing<Vec<u8>>>);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password")
    }
}

impl Password {
    /// On purpose none.
    #[must_use]
    pub const fn none() -> Self {
        Self(None)
    }

    /// These bytes.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        Self(Some(Zeroizing::new(bytes.to_vec())))
    }

    /// The bytes, if there is one.
    pub(crate) fn expose(&self) -> Option<&[u8]> {
        self.0.as_ref().map(|bytes| bytes.as_slice())
    }

    /// Fetches it from its source.
    ///
    /// # Errors
    /// [`PasswordError`].
    pub fn fetch(source: &PasswordSource) -> Result<Self, PasswordError> {
        match source {
            PasswordSource::Unset => Err(PasswordError::Unset),
            PasswordSource::NoPassword => Ok(Self::none()),
            PasswordSource::File(path) => {
                let from = path.display().to_string();
                Self::read(fs::File::open(path), from)
            }
            PasswordSource::Descriptor(number) => {
                let from = format!("file descriptor {number}");
                Self::read(fs::File::open(format!("/dev/fd/{number}")), from)
            }
            PasswordSource::Environment => {
                let from = format!("variable {VARIABLE}");
                let value = env::var_os(VARIABLE).map(std::os::unix::ffi::OsStringExt::into_vec);
                Self::check(Zeroizing::new(value.unwrap_or_default()), from)
            }
        }
    }

    fn read(file: io::Result<fs::File>, from: String) -> Result<Self, PasswordError> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(2_048));
        let limit = LEN_MAX.saturating_add(3);
        match file.and_then(|file| file.take(limit).read_to_end(&mut bytes)) {
            Ok(_) => Self::check(bytes, from),
            Err(source) => Err(PasswordError::Unreadable { from, source }),
        }
    }

    fn check(mut bytes: Zeroizing<Vec<u8>>, from: String) -> Result<Self, PasswordError> {
        for ending in [b'\n', b'\r'] {
            if bytes.last() == Some(&ending) {
                bytes.pop();
            }
        }
        if bytes.is_empty() {
            return Err(PasswordError::Empty { from });
        }
        if u64::try_from(bytes.len()).is_ok_and(|len| len > LEN_MAX) {
            bytes.zeroize();
            return Err(PasswordError::TooLong { from });
        }
        Ok(Self(Some(bytes)))
    }
}
