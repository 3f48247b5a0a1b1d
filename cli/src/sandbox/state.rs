//! The sandbox's directory: where everything is, whether it runs, and where its nodes listen.
//!
//! ```text
//! ~/.viaduct/sandbox/
//!   sandbox.json    where the nodes are; there while it runs
//!   sandbox.lock    locked by the process that runs it
//!   sandbox.stop    asks that process to stop
//!   sandbox.log     what that process said
//!   chain/          the chain
//!   nodes/NAME/     one node each
//! ```

use std::fs::{self, File, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::SandboxError;
use super::network::DoorState;

/// The longest state file that is read, in bytes.
const STATE_LEN_MAX: u64 = 1 << 20;

/// Where everything of a sandbox is.
#[derive(Debug, Clone)]
pub struct Layout {
    root: PathBuf,
}

impl Layout {
    /// A sandbox in this directory.
    pub const fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// The directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where the nodes are, as JSON.
    pub fn state(&self) -> PathBuf {
        self.root.join("sandbox.json")
    }

    /// What the background process said.
    pub fn log(&self) -> PathBuf {
        self.root.join("sandbox.log")
    }

    /// The chain's directory.
    pub fn chain(&self) -> PathBuf {
        self.root.join("chain")
    }

    /// A node's directory.
    pub fn node(&self, name: &str) -> PathBuf {
        self.root.join("nodes").join(name)
    }

    fn lock_file(&self) -> PathBuf {
        self.root.join("sandbox.lock")
    }

    fn stop_file(&self) -> PathBuf {
        self.root.join("sandbox.stop")
    }

    /// Makes the directories that a network of these nodes needs.
    ///
    /// # Errors
    ///
    /// [`SandboxError::File`].
    pub fn make(&self, names: &[String]) -> Result<(), SandboxError> {
        let nodes = names.iter().map(|name| self.node(name));
        for dir in [self.chain()].into_iter().chain(nodes) {
            let mut builder = fs::DirBuilder::new();
            builder.recursive(true);
            #[cfg(unix)]
            std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
            builder.create(&dir).map_err(file(&dir))?;
        }
        Ok(())
    }

    /// Takes the sandbox for this process. Given back when the lock is dropped, however that happens.
    ///
    /// # Errors
    ///
    /// [`SandboxError::Running`] when another process has it.
    pub fn lock(&self) -> Result<File, SandboxError> {
        fs::create_dir_all(&self.root).map_err(file(&self.root))?;
        let path = self.lock_file();
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(file(&path))?;
        match lock.try_lock() {
            Ok(()) => Ok(lock),
            Err(TryLockError::WouldBlock) => Err(SandboxError::Running),
            Err(TryLockError::Error(error)) => Err(SandboxError::File { path, error }),
        }
    }

    /// Whether a process runs it.
    ///
    /// # Errors
    ///
    /// [`SandboxError::File`].
    pub fn is_running(&self) -> Result<bool, SandboxError> {
        if !self.lock_file().exists() {
            return Ok(false);
        }
        match self.lock() {
            Ok(_free) => Ok(false),
            Err(SandboxError::Running) => Ok(true),
            Err(other) => Err(other),
        }
    }

    /// Asks the process that runs it to stop.
    ///
    /// # Errors
    ///
    /// [`SandboxError::File`].
    pub fn ask_to_stop(&self) -> Result<(), SandboxError> {
        let path = self.stop_file();
        fs::write(&path, "").map_err(file(&path))
    }

    /// Whether somebody asked this process to stop.
    pub fn is_asked_to_stop(&self) -> bool {
        self.stop_file().exists()
    }

    /// Forgets who ran, before a start and after a stop.
    ///
    /// # Errors
    ///
    /// [`SandboxError::File`].
    pub fn clear(&self) -> Result<(), SandboxError> {
        for path in [self.stop_file(), self.state()] {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(SandboxError::File { path, error });
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Removes chain and nodes, and nothing else that may be in the directory.
    ///
    /// # Errors
    ///
    /// [`SandboxError::Running`], [`SandboxError::File`].
    pub fn wipe(&self) -> Result<(), SandboxError> {
        let _lock = self.lock()?;
        for path in [self.chain(), self.root.join("nodes")] {
            match fs::remove_dir_all(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(SandboxError::File { path, error });
                }
                _ => {}
            }
        }
        self.clear()
    }

    /// The end of the log, for an error.
    pub fn last_words(&self) -> String {
        let log = fs::read(self.log()).unwrap_or_default();
        let text = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        let from = lines.len().saturating_sub(3);
        lines.get(from..).unwrap_or_default().join(" / ")
    }
}

/// A sandbox that runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The process that runs it.
    pub pid: u32,
    /// Its nodes.
    pub nodes: Vec<NodeState>,
    /// The ways to its chain that are open.
    #[serde(default)]
    pub doors: Vec<DoorState>,
}

/// A node that runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeState {
    /// Its name.
    pub name: String,
    /// Its public key, 33 bytes as hex.
    pub node_id: String,
    /// Where its API listens, as `host:port`.
    pub rpc: String,
    /// Where it listens for peers, as `host:port`.
    pub p2p: String,
    /// Its certificate.
    pub certificate: PathBuf,
    /// Its admin token.
    pub macaroon: PathBuf,
}

impl State {
    /// The running sandbox; nothing when none runs.
    ///
    /// # Errors
    ///
    /// When the file is there and cannot be read.
    pub fn read(layout: &Layout) -> Result<Option<Self>, SandboxError> {
        let path = layout.state();
        let facts = match fs::metadata(&path) {
            Ok(facts) => facts,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(SandboxError::File { path, error }),
        };
        if facts.len() > STATE_LEN_MAX {
            let error = io::ErrorKind::FileTooLarge.into();
            return Err(SandboxError::File { path, error });
        }
        // A process that was killed leaves its file behind.
        if !layout.is_running()? {
            return Ok(None);
        }
        let text = fs::read_to_string(&path).map_err(file(&path))?;
        serde_json::from_str(&text).map(Some).map_err(|error| SandboxError::State { path, error })
    }

    /// Writes it down, whole or not at all.
    ///
    /// # Errors
    ///
    /// [`SandboxError::File`].
    pub fn write(&self, layout: &Layout) -> Result<(), SandboxError> {
        let path = layout.state();
        let aside = path.with_extension("new");
        let written = || -> io::Result<()> {
            let mut to = File::create(&aside)?;
            to.write_all(serde_json::to_string_pretty(self)?.as_bytes())?;
            to.sync_all()?;
            fs::rename(&aside, &path)
        };
        written().map_err(file(&path))
    }
}

fn file(path: &Path) -> impl Fn(io::Error) -> SandboxError + use<> {
    let path = path.to_path_buf();
    move |error| SandboxError::File { path: path.clone(), error }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> State {
        State {
            pid: 7,
            doors: Vec::new(),
            nodes: vec![NodeState {
                name: "alice".into(),
                node_id: "02ab".into(),
                rpc: "127.0.0.1:10009".into(),
                p2p: "127.0.0.1:9735".into(),
                certificate: "/a/tls.cert".into(),
                macaroon: "/a/admin.macaroon".into(),
            }],
        }
    }

    #[test]
    fn a_running_sandbox_is_found_and_a_dead_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path().join("sandbox"));
        assert!(State::read(&layout).unwrap().is_none());
        let lock = layout.lock().unwrap();
        state().write(&layout).unwrap();
        assert_eq!(State::read(&layout).unwrap(), Some(state()));
        assert!(layout.is_running().unwrap());
        assert!(matches!(layout.lock(), Err(SandboxError::Running)));
        drop(lock);
        assert!(State::read(&layout).unwrap().is_none(), "its file is still there");
        assert!(!layout.is_running().unwrap());
    }

    #[test]
    fn a_request_to_stop_is_seen_and_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path().into());
        assert!(!layout.is_asked_to_stop());
        layout.ask_to_stop().unwrap();
        assert!(layout.is_asked_to_stop());
        layout.clear().unwrap();
        layout.clear().unwrap();
        assert!(!layout.is_asked_to_stop());
    }

    #[test]
    fn a_state_file_that_is_none_is_an_error_and_not_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path().into());
        let _lock = layout.lock().unwrap();
        fs::write(layout.state(), "{").unwrap();
        assert!(matches!(State::read(&layout), Err(SandboxError::State { .. })));
    }

    #[test]
    fn the_end_of_the_log_is_shown() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path().into());
        assert_eq!(layout.last_words(), "");
        fs::write(layout.log(), "one\ntwo\n\nthree\nfour\n").unwrap();
        assert_eq!(layout.last_words(), "two / three / four");
    }

    #[test]
    fn a_wipe_takes_chain_and_nodes_and_leaves_the_rest() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path().into());
        layout.make(&["alice".into()]).unwrap();
        fs::write(dir.path().join("admin.macaroon"), "of a daemon beside us").unwrap();
        let lock = layout.lock().unwrap();
        assert!(matches!(layout.wipe(), Err(SandboxError::Running)));
        drop(lock);
        layout.wipe().unwrap();
        assert!(!layout.chain().exists() && !layout.node("alice").exists());
        assert!(dir.path().join("admin.macaroon").exists());
    }

    #[cfg(unix)]
    #[test]
    fn nobody_else_may_look_into_the_nodes() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path().join("sandbox"));
        layout.make(&["alice".into()]).unwrap();
        let mode = fs::metadata(layout.node("alice")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }
}
