//! A wallet's file: its seed and how many addresses it gave out. All else is on the chain.

use bitcoin::hex::{DisplayHex as _, FromHex as _};
use std::io::{Error, ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// What is kept of a wallet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seed {
    pub(super) secret: [u8; 32],
    /// Addresses given out, for others and for change.
    pub(super) external: u32,
    pub(super) internal: u32,
}

impl Seed {
    pub(super) fn fresh() -> std::io::Result<Self> {
        let mut secret = [0_u8; 32];
        getrandom::fill(&mut secret).map_err(|_| Error::other("no random bytes"))?;
        Ok(Self { secret, external: 0, internal: 0 })
    }

    fn text(&self) -> String {
        format!("{} {} {}\n", self.secret.as_hex(), self.external, self.internal)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        let secret = <[u8; 32]>::from_hex(words.next()?).ok()?;
        let external = words.next()?.parse().ok()?;
        let internal = words.next()?.parse().ok()?;
        words.next().is_none().then_some(Self { secret, external, internal })
    }
}

fn path(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("{name}.wallet"))
}

pub(super) fn exists(dir: Option<&Path>, name: &str) -> bool {
    dir.is_some_and(|dir| path(dir, name).exists())
}

pub(super) fn read(dir: Option<&Path>, name: &str) -> std::io::Result<Seed> {
    let dir = dir.ok_or_else(|| Error::new(ErrorKind::NotFound, "Path does not exist."))?;
    let text = std::fs::read_to_string(path(dir, name)).map_err(|error| {
        if error.kind() == ErrorKind::NotFound {
            Error::new(ErrorKind::NotFound, "Path does not exist.")
        } else {
            error
        }
    })?;
    Seed::parse(&text)
        .ok_or_else(|| Error::new(ErrorKind::InvalidData, "Data is not in recognized format."))
}

pub(super) fn write(dir: Option<&Path>, name: &str, seed: &Seed) -> std::io::Result<()> {
    let Some(dir) = dir else { return Ok(()) };
    std::fs::create_dir_all(dir)?;
    let (path, fresh) = (path(dir, name), dir.join(format!("{name}.wallet.tmp")));
    let _leftover = std::fs::remove_file(&fresh);
    let mut file =
        std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
    file.write_all(seed.text().as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&fresh, &path)?;
    std::fs::File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wallet_is_read_as_it_was_written_and_rubbish_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = path(dir.path(), "w");
        let dir = Some(dir.path());
        let seed = Seed { secret: [7; 32], external: 3, internal: 1 };
        assert!(!exists(dir, "w") && read(dir, "w").is_err());
        write(dir, "w", &seed).unwrap();
        write(dir, "w", &seed).unwrap();
        assert_eq!(read(dir, "w").unwrap(), seed);
        std::fs::write(file, "00 1 2").unwrap();
        assert_eq!(read(dir, "w").unwrap_err().kind(), ErrorKind::InvalidData);
    }
}
