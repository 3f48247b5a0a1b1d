//! What users ask about towers: a few words to their task.

use watchtower::message::{KIT_REPLICA, KIT_SEALED};
use wire::id::NodeId;

use super::Handle;
use crate::rpc::node_api::Answer;
use crate::tower::{self, Coverage, Tower};

impl Handle {
    pub(super) async fn hire(&self, tower: NodeId, address: String, trusted: bool) -> Answer<()> {
        let kit = if trusted { KIT_REPLICA } else { KIT_SEALED };
        Self::ask(&self.0.towers, |reply| tower::Ask::Add { tower, address, kit, reply }).await
    }

    pub(super) async fn dismiss(&self, tower: NodeId) -> Answer<bool> {
        Self::ask(&self.0.towers, |reply| tower::Ask::Remove { tower, reply }).await
    }

    pub(super) async fn hired(&self) -> Answer<Vec<Tower>> {
        Self::ask(&self.0.towers, |reply| tower::Ask::List { reply }).await
    }

    pub(super) async fn covered(&self) -> Answer<(Vec<Coverage>, usize)> {
        let coverage = Self::ask(&self.0.towers, |reply| tower::Ask::Coverage { reply }).await?;
        Ok((coverage, self.0.config.towers.copies))
    }
}
