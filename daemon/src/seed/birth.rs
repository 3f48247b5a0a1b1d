//! How old a seed is: no coin of it is in an earlier block, so no earlier block is read.
//!
//! A file beside the seed, of one line: `tip` until the chain was reached for the first time, a height from then on. It
//! outlives the journal, so that a node that lost everything else begins where its seed did.

use std::io;
use std::path::Path;

/// Where the first block of a seed is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Birth {
    /// Where the chain's tip is at the first start: the seed was made and nobody was given an address.
    Tip,
    /// Behind the block of this height. 0: anywhere.
    Height(u32),
}

impl Birth {
    /// Reads it. A seed without the file may be of any age.
    ///
    /// # Errors
    /// Those of the file system, and what is not one line as said above.
    pub fn read(path: &Path) -> io::Result<Self> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::Height(0)),
            Err(error) => return Err(error),
        };
        match text.trim() {
            "tip" => Ok(Self::Tip),
            height => height.parse().map(Self::Height).map_err(|_| {
                let what = format!(
                    "{} does not say `tip` or a block's height; without the file every block is read",
                    path.display()
                );
                io::Error::new(io::ErrorKind::InvalidData, what)
            }),
        }
    }

    /// Writes it, durably.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn write(self, path: &Path) -> io::Result<()> {
        let text = match self {
            Self::Tip => "tip\n".to_owned(),
            Self::Height(height) => format!("{height}\n"),
        };
        store::disk::put_at(path, text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_birth_is_read_as_it_was_written_and_nonsense_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("birth");
        assert_eq!(Birth::read(&path).unwrap(), Birth::Height(0), "a seed of any age");
        for birth in [Birth::Tip, Birth::Height(812_345)] {
            birth.write(&path).unwrap();
            assert_eq!(Birth::read(&path).unwrap(), birth);
        }
        std::fs::write(&path, "yesterday").unwrap();
        let told = Birth::read(&path).unwrap_err().to_string();
        assert!(told.contains("every block is read"), "{told}");
    }
}
