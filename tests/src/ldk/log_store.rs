//! A key-value store for LDK in one file that only grows: what a careful user of LDK would write to be
//! fast. A write appends one record and calls `fdatasync` once; removals are appended and not waited for.
//!
//! Record: total length (u32), key length (u32), 1 for a value or 0 for a removal, key, value. Reading
//! stops at a record that is cut off.

use lightning::io;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::Mutex;

/// Bytes before a record's key.
const HEAD: usize = 9;

/// The file and what it says now.
#[derive(Debug)]
pub(super) struct LogStore {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    file: File,
    values: BTreeMap<String, Vec<u8>>,
}

impl LogStore {
    /// Opens the file at `path`, or begins one, and reads it.
    ///
    /// # Errors
    /// What the file system says.
    pub(super) fn open(path: &Path) -> std::io::Result<Self> {
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        let values = replay(&bytes);
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self { state: Mutex::new(State { file, values }) })
    }

    pub(super) fn read(&self, primary: &str, secondary: &str, key: &str) -> io::Result<Vec<u8>> {
        let state = self.state.lock().unwrap();
        let value = state.values.get(&join(primary, secondary, key)).cloned();
        value.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no such key"))
    }

    pub(super) fn write(
        &self,
        primary: &str,
        secondary: &str,
        key: &str,
        value: Vec<u8>,
    ) -> io::Result<()> {
        let key = join(primary, secondary, key);
        let mut state = self.state.lock().unwrap();
        state.file.write_all(&record(&key, Some(&value)))?;
        state.file.sync_data()?;
        state.values.insert(key, value);
        Ok(())
    }

    pub(super) fn remove(&self, primary: &str, secondary: &str, key: &str) -> io::Result<()> {
        let key = join(primary, secondary, key);
        let mut state = self.state.lock().unwrap();
        if state.values.remove(&key).is_some() {
            state.file.write_all(&record(&key, None))?;
        }
        Ok(())
    }

    pub(super) fn list(&self, primary: &str, secondary: &str) -> io::Result<Vec<String>> {
        let prefix = join(primary, secondary, "");
        let state = self.state.lock().unwrap();
        let keys = state.values.keys().filter_map(|key| key.strip_prefix(&prefix));
        Ok(keys.map(str::to_owned).collect())
    }
}

/// One name for the three parts; LDK's alphabet for keys has no slash.
fn join(primary: &str, secondary: &str, key: &str) -> String {
    format!("{primary}/{secondary}/{key}")
}

fn record(key: &str, value: Option<&[u8]>) -> Vec<u8> {
    let value_len = value.map_or(0, <[u8]>::len);
    let mut bytes = Vec::with_capacity(HEAD + key.len() + value_len);
    bytes.extend(((HEAD + key.len() + value_len) as u32).to_be_bytes());
    bytes.extend((key.len() as u32).to_be_bytes());
    bytes.push(u8::from(value.is_some()));
    bytes.extend(key.as_bytes());
    bytes.extend(value.unwrap_or_default());
    bytes
}

fn replay(mut bytes: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut values = BTreeMap::new();
    while let Some((head, _)) = bytes.split_first_chunk::<HEAD>() {
        let total = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let key_len = u32::from_be_bytes([head[4], head[5], head[6], head[7]]) as usize;
        if total < HEAD + key_len || bytes.len() < total {
            break;
        }
        let (record, rest) = bytes.split_at(total);
        let key = String::from_utf8_lossy(&record[HEAD..HEAD + key_len]).into_owned();
        if head[8] == 1 {
            values.insert(key, record[HEAD + key_len..].to_vec());
        } else {
            values.remove(&key);
        }
        bytes = rest;
    }
    values
}
