//! The sandbox: a chain and some nodes on this machine, with their state on disk, for trying things out.
//!
//! One process runs all of it (`viaduct sandbox up` leaves it in the background); everybody else speaks
//! to the nodes through their API, and finds them through one file. Not here: the nodes themselves; they
//! come in through [`network::Launch`].

pub mod dice;
pub mod network;
pub mod ports;
pub mod run;
pub mod state;
pub mod storm;
pub mod topology;
pub mod weave;

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use network::LaunchError;

/// Why the sandbox could not be started, stopped or looked at.
#[derive(Debug, Error)]
pub enum SandboxError {
    /// It runs already.
    #[error("the sandbox runs already")]
    Running,
    /// It does not run.
    #[error("the sandbox does not run")]
    NotRunning,
    /// A file cannot be read or written.
    #[error("{}: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        error: io::Error,
    },
    /// The file that says where the nodes are is not one of ours.
    #[error("{}: {error}", path.display())]
    State {
        /// The file.
        path: PathBuf,
        /// Where and why.
        #[source]
        error: serde_json::Error,
    },
    /// A node or the chain did not start.
    #[error(transparent)]
    Launch(#[from] LaunchError),
    /// No port is free.
    #[error("no port is free on this machine: {0}")]
    Ports(#[source] io::Error),
    /// The background process ended, or did not come up in time.
    #[error("the sandbox did not come up; its last words: {last_words}")]
    DidNotStart {
        /// The end of its log.
        last_words: String,
    },
    /// The background process did not end in time.
    #[error("the sandbox did not stop in time (process {pid})")]
    DidNotStop {
        /// Its process.
        pid: u32,
    },
}

impl SandboxError {
    /// What to do next.
    pub(crate) fn next(&self) -> Option<String> {
        match self {
            Self::Running => {
                Some("See it: viaduct sandbox status. Stop it: viaduct sandbox down".into())
            }
            Self::NotRunning => Some("Start it: viaduct sandbox up".into()),
            Self::DidNotStop { pid } => {
                Some(format!("Its state is safe on disk; end process {pid} by hand."))
            }
            Self::State { .. } => Some("Remove that file, then: viaduct sandbox up".into()),
            Self::File { .. } | Self::Launch(_) | Self::Ports(_) | Self::DidNotStart { .. } => None,
        }
    }
}
