//! What a tower has of a channel that is over is deleted, with a signature that protects the tower.

use std::sync::Arc;
use std::time::Duration;

use secp256k1::{PublicKey, SECP256K1};
use watchtower::client::{ClientError, Link};
use watchtower::message::{Code, Delete, Message};
use watchtower::proof::tombstone::{Scope, Tombstone};
use wire::id::Signature;

use super::upload::{News, Shared, What, session_key};
use crate::fact::{ChannelIndex, TowerKept, TowerSession};

/// How often it is tried.
const AGAIN: Duration = Duration::from_secs(300);

/// Scope of a deletion: the whole session.
const WHOLE: u8 = 0;

/// Deletes a channel's session at its tower, and those that were full before it, however often that takes.
pub(super) async fn delete(
    shared: Arc<Shared>,
    tower: TowerKept,
    key: PublicKey,
    session: TowerSession,
) {
    let channel = ChannelIndex(session.channel);
    loop {
        match all(&shared, &tower, &key, &session).await {
            Ok(Code::OK) => break,
            Ok(code) => tracing::warn!(tower = %tower.tower, %code, "a tower deletes nothing"),
            Err(error) => {
                tracing::debug!(tower = %tower.tower, %error, "a session is not deleted yet");
            }
        }
        tokio::time::sleep(AGAIN).await;
    }
    let news = News { tower: tower.tower, channel, what: What::Deleted };
    let _stopped = shared.news.send(news).await;
}

async fn all(
    shared: &Shared,
    tower: &TowerKept,
    key: &PublicKey,
    session: &TowerSession,
) -> Result<Code, ClientError> {
    let channel = ChannelIndex(session.channel);
    for number in 0..=session.number {
        match once(shared, tower, key, (channel, number)).await? {
            Code::OK | Code::NO_SESSION => {}
            refused => return Ok(refused),
        }
    }
    Ok(Code::OK)
}

async fn once(
    shared: &Shared,
    tower: &TowerKept,
    key: &PublicKey,
    (channel, number): (ChannelIndex, u32),
) -> Result<Code, ClientError> {
    let secret = session_key(&shared.keys, key, channel, number).ok_or(ClientError::Random)?;
    let tombstone = Tombstone::sign(&secret.keypair(SECP256K1), Scope::Session);
    let mut link = Link::call(&tower.address.0, key, secret, shared.chain).await?;
    let delete = Delete {
        scope: WHOLE,
        first_seq: 0,
        last_seq: 0,
        signature: Signature(tombstone.signature),
    };
    link.say(&delete.into()).await?;
    loop {
        #[expect(clippy::wildcard_enum_match_arm, reason = "all others make no sense here")]
        match link.hear().await? {
            Message::DeleteAck(ack) => return Ok(ack.code),
            Message::Event(_) => {}
            other => return Err(ClientError::Unexpected(other.kind())),
        }
    }
}
