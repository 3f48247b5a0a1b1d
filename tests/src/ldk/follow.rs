//! Blocks for an LDK node: the backend's stream turned into calls of LDK's `Listen`.

use bitcoin::BlockHash;
use chain_backend::{BlockId, BlockRef, ChainBackend, ChainEvent, ChainStream, Interest, Locator};
use futures_util::StreamExt;
use lightning::chain::{BestBlock, Listen};
use std::sync::Arc;

/// Whoever wants to know of blocks.
pub(super) trait Follower {
    /// The chain grew.
    fn connected(&self, block: &bitcoin::Block, height: u32);
    /// Everything above `fork` is gone.
    fn disconnected(&self, fork: BestBlock);
    /// Everything there is was told.
    fn caught_up(&self, tip: BlockRef);
}

/// Any of LDK's listeners, alone.
pub(super) struct Alone<'a, L>(pub(super) &'a L);

impl<L: Listen> Follower for Alone<'_, L> {
    fn connected(&self, block: &bitcoin::Block, height: u32) {
        self.0.block_connected(block, height);
    }

    fn disconnected(&self, fork: BestBlock) {
        self.0.blocks_disconnected(fork);
    }

    fn caught_up(&self, _: BlockRef) {}
}

/// Tells `follower` everything after `from` that has happened so far; answers the tip.
pub(super) async fn catch_up(
    backend: &Arc<dyn ChainBackend>,
    from: BestBlock,
    follower: &impl Follower,
) -> BestBlock {
    let mut stream = stream_from(backend, from).await;
    loop {
        let event = stream.next().await.expect("the stream goes on").expect("the chain is there");
        if let ChainEvent::Synced { tip } = event {
            return best(tip);
        }
        tell(&event, follower);
    }
}

/// Tells `follower` everything after `from`, for as long as the chain is there.
pub(super) async fn follow(stream: &mut ChainStream, follower: &impl Follower) {
    while let Some(Ok(event)) = stream.next().await {
        tell(&event, follower);
        if let ChainEvent::Synced { tip } | ChainEvent::Connected { block: tip, .. } = event {
            follower.caught_up(tip);
        }
    }
}

/// The backend's stream after `from`.
pub(super) async fn stream_from(backend: &Arc<dyn ChainBackend>, from: BestBlock) -> ChainStream {
    let at = Locator::at(BlockId { height: from.height, hash: from.block_hash });
    backend.events(at, Interest::Everything).await.expect("the chain knows our blocks")
}

fn tell(event: &ChainEvent, follower: &impl Follower) {
    match event {
        ChainEvent::Connected { block, txs } => {
            let whole = txs.block().expect("the built-in chain sends whole blocks");
            follower.connected(whole, block.height);
        }
        ChainEvent::Disconnected { fork, .. } => follower.disconnected(best(*fork)),
        ChainEvent::Mempool(_) | ChainEvent::Synced { .. } | ChainEvent::Away { .. } => {}
    }
}

fn best(block: BlockRef) -> BestBlock {
    let hash: BlockHash = block.hash;
    BestBlock::new(hash, block.height)
}
