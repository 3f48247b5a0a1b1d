//! Was a channel robbed although a tower had signed for the state that was shown? Looked at for every close
//! alone, block by block, until the output in question is taken.
//!
//! Not here: what makes up the file (`proof`).

use std::sync::Arc;

use secp256k1::PublicKey;
use watchtower::proof::fraud::{Exhibit, FraudProof};
use wire::id::NodeId;

use super::book::Kept;
use super::proof::{self, NoProof, promised};
use super::task::Towers;
use super::upload::{News, Shared, What};
use crate::fact::ChannelIndex;

impl Towers {
    /// Begins to look at closes that are not looked at yet.
    pub(super) fn look_for_thefts(&mut self) {
        let doors = self.shared.directory.doors();
        let new: Vec<_> = (self.book.sessions.iter())
            .filter(|((tower, channel), kept)| {
                let index = ChannelIndex(*channel);
                let broken = doors.get(index).is_some_and(|door| door.glance.borrow().broken);
                let signed = kept.is_signed() || self.book.past.contains_key(&(*tower, *channel));
                broken && signed && !self.thefts.contains(&(*tower, index))
            })
            .map(|((tower, channel), _)| (*tower, ChannelIndex(*channel)))
            .collect();
        for (tower, channel) in new {
            let sessions = self.book.signed(tower, channel.0);
            self.thefts.insert((tower, channel));
            let Ok(key) = PublicKey::from_slice(&tower.0) else { continue };
            let shared = Arc::clone(&self.shared);
            let stop = self.tasks.token();
            self.tasks.detach("theft", async move {
                tokio::select! {
                    biased;
                    () = stop.cancelled() => {}
                    () = look(shared, tower, channel, key, sessions) => {}
                }
            });
        }
    }
}

async fn look(
    shared: Arc<Shared>,
    tower: NodeId,
    channel: ChannelIndex,
    key: PublicKey,
    sessions: Vec<Kept>,
) {
    let mut height = shared.height.clone();
    let promise = loop {
        height.mark_unchanged();
        match promised(&shared, key, &sessions).await {
            Ok(promise) => break promise,
            Err(why) if why.may_change() => {}
            Err(why) => {
                return tracing::debug!(%tower, channel = channel.0, %why, "no theft");
            }
        }
        if height.changed().await.is_err() {
            return;
        }
    };
    let proof = loop {
        height.mark_unchanged();
        match promise.broken(shared.backend.as_ref(), shared.chain).await {
            Ok(proof) => break proof,
            Err(why) if why.may_change() => {}
            Err(NoProof::Innocent(why)) => {
                return tracing::info!(%tower, channel = channel.0, %why, "a breach was answered");
            }
            Err(why) => {
                return tracing::warn!(%tower, channel = channel.0, %why, "a breach cannot be judged");
            }
        }
        if height.changed().await.is_err() {
            return;
        }
    };
    accuse(&shared, tower, channel, &proof).await;
}

/// Writes the proof down and tells of it. The path of the file, if there is one.
pub(super) async fn accuse(
    shared: &Shared,
    tower: NodeId,
    channel: ChannelIndex,
    proof: &FraudProof,
) -> Option<std::path::PathBuf> {
    let exhibit = Exhibit::Theft(Box::new(proof.clone()));
    let (path, place) = proof::put(&shared.proofs, exhibit).await;
    let breach = proof.breach.tx.compute_txid();
    let why = format!(
        "it had signed for the record of breach {breach} and let the cheater take everything; {place}"
    );
    tracing::error!(%tower, channel = channel.0, why, "ALARM: a tower broke its word");
    let news = News { tower, channel, what: What::Faulted { evidence: None, why } };
    let _stopped = shared.news.send(news).await;
    path
}
