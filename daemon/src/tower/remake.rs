//! The records of a session once more, byte for byte, from the channel's rows.
//!
//! Nothing of what was sent is kept: whoever audits a tower or accuses it makes the records again, and the
//! root that the tower signed says whether they are the same.
//!
//! Not here: making one record (`sealed`).

use std::sync::Arc;
use std::time::Duration;

use channel::signer::{InMemorySigner, Memory};
use secp256k1::{PublicKey, SECP256K1};
use watchtower::kit::template::Template;
use watchtower::message::Sealed;
use watchtower::proof::mmr::{self, Mmr, Node};
use wire::codec::Decode as _;

use super::rows::{Cursor, NoRows};
use super::sealed::make_one;
use super::upload::{Shared, session_key};
use crate::fact::{ChannelIndex, TowerSession};

/// Rows are read so many times as fast as when a tower catches up: nothing is sent.
const FASTER: u64 = 10;

/// Why records cannot be made again.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NoRemake {
    /// The channel is over, or its session cannot be read.
    #[error("the channel is over")]
    Over,
    /// Old states that the archive should have are lost.
    #[error("old states of the channel are lost here")]
    Lost,
    /// The rows do not make as many.
    #[error("our own old states make {made} records, and {wanted} are asked for")]
    TooFew {
        /// Those that could be made.
        made: u32,
        /// Those that were signed for.
        wanted: u32,
    },
}

/// Shows the first `count` records of a session to `look`, each with its number and leaf, and answers the range over them.
///
/// # Errors
/// [`NoRemake`].
pub(super) async fn remake(
    shared: &Shared,
    tower: &PublicKey,
    session: &TowerSession,
    (count, htlcs): (u32, usize),
    mut look: impl FnMut(u32, &Sealed, Node) + Send,
) -> Result<Mmr, NoRemake> {
    let _turn = shared.audits.acquire().await.map_err(|_| NoRemake::Over)?;
    let channel = ChannelIndex(session.channel);
    let template = Template::decode_exact(&session.template).map_err(|_| NoRemake::Over)?;
    let template = Arc::new(template);
    let key = session_key(&shared.keys, tower, channel, session.number).ok_or(NoRemake::Over)?;
    let public = key.public_key(SECP256K1);
    let (directory, archives) = (shared.directory.clone(), shared.archives.clone());
    let mut cursor = Cursor::new(channel, directory, archives, session.row);
    let mut range = Mmr::new();
    while range.count() < count {
        let rows = cursor.read().await.map_err(|no| match no {
            NoRows::Over => NoRemake::Over,
            NoRows::Lost => NoRemake::Lost,
        })?;
        if rows.is_empty() {
            return Err(NoRemake::TooFew { made: range.count(), wanted: count });
        }
        let told = cursor.told.clone().ok_or(NoRemake::Over)?;
        let index = u32::try_from(channel.0).map_err(|_| NoRemake::Over)?;
        let signer = InMemorySigner::new(shared.seed.expose(), index, Memory::default());
        let signer = signer.map_err(|_| NoRemake::Over)?;
        let (template, mut seq, many) = (Arc::clone(&template), range.count(), rows.len());
        let work = move || {
            let mut all = Vec::with_capacity(rows.len());
            for row in rows {
                let made = make_one(&told, &row, &template, &public, &signer, (seq, htlcs));
                seq = seq.saturating_add(u32::try_from(made.records.len()).unwrap_or(u32::MAX));
                all.extend(made.records);
            }
            all
        };
        let making = shared.makers.acquire().await.map_err(|_| NoRemake::Over)?;
        let made = tokio::task::spawn_blocking(work).await.map_err(|_| NoRemake::Over)?;
        drop(making);
        for record in made {
            if range.count() >= count {
                break;
            }
            let seq = range.count();
            let leaf = mmr::leaf(seq, &record.hint.0, &record.ciphertext);
            look(seq, &record, leaf);
            range.append(leaf);
        }
        if many >= 64 {
            let states = u64::try_from(many).unwrap_or(0).saturating_mul(1_000_000);
            let rate = u64::from(shared.states_per_second.max(1)).saturating_mul(FASTER);
            tokio::time::sleep(Duration::from_micros(states.checked_div(rate).unwrap_or(0))).await;
        }
    }
    Ok(range)
}
