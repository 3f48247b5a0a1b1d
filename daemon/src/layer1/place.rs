//! Tells the chain how far this node has come for good, so that one that drops old blocks keeps those it still needs.

use std::sync::Arc;

use chain_backend::backend::ChainBackend;
use tokio::sync::watch;
use wire::id::NodeId;

use crate::tasks::{Fatal, Tasks};

/// The name under which a chain knows this node.
pub fn name_of(node: NodeId) -> String {
    let mut name = node.to_string();
    name.truncate(16);
    format!("viaductd {name}")
}

/// Says it at the start and whenever it changes; what is missed is said with the next block.
pub(super) async fn tell(
    backend: Arc<dyn ChainBackend>,
    name: String,
    mut place: watch::Receiver<u32>,
    tasks: Tasks,
) -> Result<(), Fatal> {
    let telling = async {
        loop {
            let height = *place.borrow_and_update();
            if let Err(error) = backend.reached(&name, height).await {
                tracing::debug!(%error, height, "the chain does not know how far this node is");
            }
            if place.changed().await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        biased;
        () = tasks.stopping() => {}
        () = telling => {}
    }
    Ok(())
}
