//! What every command that speaks to a node has at hand.

use std::sync::Arc;

use api::calendar::UnixMs;
use api::client::{Client, fresh_key};
use tokio::sync::Notify;
use tonic::{Status, Streaming};

use crate::failure::Failure;
use crate::render::Screen;
use crate::sandbox::state::NodeState;

/// A node, a terminal, and the time.
#[derive(Debug)]
pub(crate) struct Context<'a> {
    /// The node.
    pub(crate) client: Client,
    /// The terminal.
    pub(crate) screen: &'a mut Screen,
    /// When the command was started.
    pub(crate) now: UnixMs,
    /// The node's name, if it was named.
    pub(crate) node: Option<String>,
    /// The idempotency key, if one was given.
    pub(crate) key: Option<String>,
    /// Nodes of the running sandbox: names for those that have announced none.
    pub(crate) neighbours: Vec<NodeState>,
    /// Who stops the watching.
    pub(crate) interrupt: Interrupt,
}

/// Who stops the watching of long work.
#[derive(Debug, Clone)]
pub(crate) enum Interrupt {
    /// Ctrl-C.
    Keyboard,
    /// Whoever holds the other end.
    #[cfg_attr(not(test), expect(dead_code, reason = "tests press Ctrl-C with it"))]
    Bell(Arc<Notify>),
}

/// What a stream said.
#[derive(Debug)]
pub(crate) enum Heard<T> {
    /// The next message.
    Message(T),
    /// It is over.
    End,
    /// It broke, or the server ended it with a refusal.
    Broken(Status),
    /// Somebody pressed Ctrl-C.
    Interrupted,
}

impl Context<'_> {
    /// A command line that reaches the same node: for hints.
    pub(crate) fn again(&self, command: &str) -> String {
        match &self.node {
            Some(node) => format!("viaduct -n {node} {command}"),
            None => format!("viaduct {command}"),
        }
    }

    /// Gives a node that has announced no name the one it has in the sandbox.
    pub(crate) fn name(&self, alias: &mut String, node_id: &str) {
        if alias.is_empty()
            && let Some(known) = self.neighbours.iter().find(|node| node.node_id == node_id)
        {
            alias.clone_from(&known.name);
        }
    }

    /// What a node of the sandbox is called; nothing for others.
    pub(crate) fn neighbour(&self, node_id: &str) -> String {
        let known = self.neighbours.iter().find(|node| node.node_id == node_id);
        known.map_or_else(String::new, |node| node.name.clone())
    }

    /// The idempotency key for a request: the one that was given, or a fresh one.
    pub(crate) fn key(&self) -> Result<String, Failure> {
        match &self.key {
            Some(key) => Ok(key.clone()),
            None => Ok(fresh_key()?),
        }
    }

    /// The next message of a stream, or why there is none.
    pub(crate) async fn hear<T>(&self, stream: &mut Streaming<T>) -> Heard<T> {
        tokio::select! {
            biased;
            () = self.interrupt.pressed() => Heard::Interrupted,
            message = stream.message() => match message {
                Ok(Some(message)) => Heard::Message(message),
                Ok(None) => Heard::End,
                Err(status) => Heard::Broken(status),
            },
        }
    }
}

impl Interrupt {
    /// Waits until somebody presses Ctrl-C.
    pub(crate) async fn pressed(&self) {
        match self {
            Self::Keyboard => {
                // Without a signal to wait for, the system's own way of ending us stays.
                if tokio::signal::ctrl_c().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
            Self::Bell(bell) => bell.notified().await,
        }
    }
}
