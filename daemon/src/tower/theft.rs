//! Was a channel robbed although a tower had signed for the state that was shown? Looked at for every close
//! alone, block by block, until the output in question is taken.
//!
//! Not here: what makes up the file (`proof`).

use std::sync::Arc;

use secp256k1::PublicKey;
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
                let signed = kept.at.as_ref().is_some_and(|at| !at.receipt.is_empty());
                broken && signed && !self.thefts.contains(&(*tower, index))
            })
            .map(|((tower, channel), kept)| (*tower, ChannelIndex(*channel), kept.clone()))
            .collect();
        for (tower, channel, session) in new {
            self.thefts.insert((tower, channel));
            let Ok(key) = PublicKey::from_slice(&tower.0) else { continue };
            let shared = Arc::clone(&self.shared);
            let stop = self.tasks.token();
            self.tasks.detach("theft", async move {
                tokio::select! {
                    biased;
                    () = stop.cancelled() => {}
                    () = look(shared, tower, key, session) => {}
                }
            });
        }
    }
}

async fn look(shared: Arc<Shared>, tower: NodeId, key: PublicKey, session: Kept) {
    let mut height = shared.height.clone();
    let channel = ChannelIndex(session.opened.channel);
    let promise = loop {
        height.mark_unchanged();
        match promised(&shared, key, &session).await {
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
    proof: &watchtower::proof::fraud::FraudProof,
) -> Option<std::path::PathBuf> {
    let (dir, written) = (shared.proofs.clone(), proof.clone());
    let written = tokio::task::spawn_blocking(move || proof::write(&dir, &written)).await;
    let (path, place) = match written {
        Ok(Ok(path)) => (Some(path.clone()), format!("the proof is {}", path.display())),
        Ok(Err(error)) => (None, format!("the proof cannot be written: {error}")),
        Err(_) => (None, "the proof could not be written".to_owned()),
    };
    let breach = proof.breach.tx.compute_txid();
    let why = format!(
        "it had signed for the record of breach {breach} and let the cheater take everything; {place}"
    );
    tracing::error!(%tower, channel = channel.0, why, "ALARM: a tower broke its word");
    let news = News { tower, channel, what: What::Faulted { evidence: None, why } };
    let _stopped = shared.news.send(news).await;
    path
}
