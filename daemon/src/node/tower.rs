//! What users ask about towers: a few words to their task.

use watchtower::message::{KIT_REPLICA, KIT_SEALED};
use wire::id::NodeId;

use super::Handle;
use super::handle::not_a_channel;
use super::updates::follow;
use crate::rpc::model::Updates;
use crate::rpc::model::channel::ChannelRef;
use crate::rpc::node_api::Answer;
use crate::tower::{self, Audit, Coverage, Drill, DrillTower, NoProof, Tower};

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

    pub(super) async fn drill(&self, order: DrillTower) -> Answer<Updates<Drill>> {
        let DrillTower { key, tower, amount } = order;
        let updates =
            Self::ask(&self.0.towers, |reply| tower::Ask::Drill { tower, amount, key, reply });
        Ok(follow(updates.await??, |drill: &Drill| drill.verdict.is_some()))
    }

    pub(super) async fn audit(&self, tower: NodeId, draws: usize) -> Answer<Vec<Audit>> {
        Self::ask(&self.0.towers, |reply| tower::Ask::Audit { tower, draws, reply }).await?
    }

    pub(super) async fn prove(
        &self,
        tower: NodeId,
        channel: ChannelRef,
    ) -> Answer<Result<Vec<u8>, NoProof>> {
        let channel = self.door(channel).ok_or_else(|| not_a_channel(channel))?.index;
        Self::ask(&self.0.towers, |reply| tower::Ask::Proof { tower, channel, reply }).await?
    }
}
