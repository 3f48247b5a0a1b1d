//! Nodes in this process, out of the daemon as a library.

use std::future::pending;

use cli::sandbox::network::{Launch, LaunchError, Network, Plan};
use cli::sandbox::state::NodeState;

/// Starts them.
pub(crate) struct Nodes;

/// The daemon is not linked into this build.
#[derive(Debug, thiserror::Error)]
#[error("this build has no daemon in it")]
struct NoDaemon;

/// There is none.
pub(crate) enum Never {}

impl Launch for Nodes {
    type Network = Never;

    async fn launch(&self, _plan: Plan) -> Result<Never, LaunchError> {
        Err(LaunchError { part: "nodes".to_owned(), cause: Box::new(NoDaemon) })
    }
}

impl Network for Never {
    fn nodes(&self) -> Vec<NodeState> {
        match *self {}
    }

    async fn kill(&mut self, _name: &str) -> Result<(), LaunchError> {
        pending().await
    }

    async fn restart(&mut self, _name: &str) -> Result<(), LaunchError> {
        pending().await
    }

    async fn stop(self) -> Result<(), LaunchError> {
        match self {}
    }
}
