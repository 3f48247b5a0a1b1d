//! Who may call: a user with a password, or whoever can read the cookie file. HTTP Basic, as Bitcoin Core.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// The user of the cookie file.
const COOKIE_USER: &str = "__cookie__";

/// The file's name below the directory of the network.
pub const COOKIE_FILE: &str = ".cookie";

/// Who may call.
#[derive(Clone)]
pub struct Access {
    /// `user:password` pairs.
    allowed: Vec<String>,
    cookie: Option<PathBuf>,
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Access").field("cookie", &self.cookie).finish_non_exhaustive()
    }
}

impl Access {
    /// One user with a password.
    pub fn user(user: &str, password: &str) -> Self {
        Self { allowed: vec![format!("{user}:{password}")], cookie: None }
    }

    /// Nobody but who can read `dir/.cookie`, which is written now, readable by its owner alone.
    ///
    /// # Errors
    /// When the file cannot be written, or the system gives no random bytes.
    pub fn cookie(dir: &Path) -> std::io::Result<Self> {
        let mut secret = [0_u8; 32];
        getrandom::fill(&mut secret).map_err(|_| std::io::Error::other("no random bytes"))?;
        let secret: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
        let line = format!("{COOKIE_USER}:{secret}");
        std::fs::create_dir_all(dir)?;
        let path = dir.join(COOKIE_FILE);
        let fresh = dir.join(".cookie.tmp");
        // A leftover may have any mode.
        let _ = std::fs::remove_file(&fresh);
        let mut file =
            std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
        file.write_all(line.as_bytes())?;
        std::fs::rename(&fresh, &path)?;
        Ok(Self { allowed: vec![line], cookie: Some(path) })
    }

    /// Lets another user in as well.
    #[must_use]
    pub fn and_user(mut self, user: &str, password: &str) -> Self {
        self.allowed.push(format!("{user}:{password}"));
        self
    }

    /// The cookie file, if there is one.
    pub fn cookie_file(&self) -> Option<&Path> {
        self.cookie.as_deref()
    }

    /// Takes the cookie away.
    pub fn withdraw(&self) {
        if let Some(path) = &self.cookie {
            // It is of no use once nobody listens.
            let _ = std::fs::remove_file(path);
        }
    }

    /// Whether an `Authorization` header lets its sender in.
    pub(super) fn allows(&self, header: Option<&[u8]>) -> bool {
        let Some(encoded) = header.and_then(|header| header.strip_prefix(b"Basic ")) else {
            return false;
        };
        let Ok(given) = STANDARD.decode(encoded.trim_ascii()) else { return false };
        // All of them, so that time tells nothing.
        let matches = self.allowed.iter().map(|line| same(line.as_bytes(), &given));
        matches.fold(false, |any, one| any | one)
    }
}

/// Compares in a time that does not tell where two texts differ.
fn same(one: &[u8], other: &[u8]) -> bool {
    let differences = one.iter().zip(other).fold(0_u8, |sum, (a, b)| sum | (a ^ b));
    one.len() == other.len() && differences == 0
}

/// The header's value for a user and a password.
pub(crate) fn basic(user_and_password: &str) -> String {
    format!("Basic {}", STANDARD.encode(user_and_password))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_knows_a_password_or_the_cookie_gets_in() {
        let dir = tempfile::tempdir().unwrap();
        let access = Access::cookie(dir.path()).unwrap().and_user("alice", "secret");
        let cookie = std::fs::read_to_string(dir.path().join(COOKIE_FILE)).unwrap();
        assert!(cookie.starts_with("__cookie__:") && cookie.len() == 75);
        let allows = |text: &str| access.allows(Some(basic(text).as_bytes()));
        assert!(allows(&cookie) && allows("alice:secret"));
        assert!(
            !allows("alice:") && !allows("alice:secreT") && !allows("") && !allows("__cookie__:")
        );
        assert!(
            !access.allows(None)
                && !access.allows(Some(b"Bearer x"))
                && !access.allows(Some(b"Basic !"))
        );
        access.withdraw();
        assert!(!dir.path().join(COOKIE_FILE).exists());
    }

    #[test]
    fn the_cookie_is_its_owners_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let access = Access::cookie(dir.path()).unwrap();
        let mode = std::fs::metadata(access.cookie_file().unwrap()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
