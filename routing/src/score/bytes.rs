//! What was learnt, as bytes: to be stored, and to be given to another node.
//!
//! Layout 1, numbers big-endian: version (1 byte), count, then by rising channel its id and, for each direction,
//! both bounds with the seconds they were learnt at. What things are worth is configuration and not in it.

use wire::codec::{Decode as _, DecodeError, Encode as _, Reader};
use wire::id::ShortChannelId;

use super::belief::{Belief, Learnt, Side};
use super::{BELIEFS_MAX, ScoreConfig, Scorer};
use crate::graph::{at, small};

const VERSION: u8 = 1;

/// Why bytes hold nothing that was learnt.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ScoreError {
    /// Written by another version.
    #[error("version {0} of the layout is not known")]
    Version(u8),
    /// Damaged.
    #[error("not what a scorer writes: {0}")]
    Bytes(#[from] DecodeError),
    /// More than is remembered, or channels that do not rise.
    #[error("not what a scorer writes: too many channels, or not in order")]
    Parts,
}

impl Scorer {
    /// Everything that was learnt.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        small(self.places.len()).encode(&mut out);
        for (scid, place) in &self.places {
            let Some((_, belief)) = self.beliefs.get(at(*place)) else { continue };
            scid.encode(&mut out);
            for learnt in belief.sides.iter().flat_map(|side| [side.least, side.below]) {
                learnt.amount.encode(&mut out);
                learnt.at_secs.encode(&mut out);
            }
        }
        out
    }

    /// What [`Self::encode`] wrote, under other or the same worths.
    ///
    /// # Errors
    /// [`ScoreError`]: start with nothing learnt.
    pub fn decode(encoded: &[u8], config: ScoreConfig) -> Result<Self, ScoreError> {
        let mut r = Reader::new(encoded);
        let version = u8::decode(&mut r)?;
        if version != VERSION {
            return Err(ScoreError::Version(version));
        }
        let count = at(u32::decode(&mut r)?);
        if count > BELIEFS_MAX {
            return Err(ScoreError::Parts);
        }
        let mut scorer = Self::new(config);
        for place in 0..small(count) {
            let scid = ShortChannelId::decode(&mut r)?;
            if scorer.beliefs.last().is_some_and(|(last, _)| *last >= scid) {
                return Err(ScoreError::Parts);
            }
            let mut sides = [Side::default(); 2];
            for side in &mut sides {
                side.least = learnt(&mut r)?;
                side.below = learnt(&mut r)?;
            }
            scorer.beliefs.push((scid, Belief { sides }));
            scorer.places.insert(scid, place);
        }
        r.end()?;
        Ok(scorer)
    }
}

fn learnt(r: &mut Reader<'_>) -> Result<Learnt, ScoreError> {
    Ok(Learnt { amount: u64::decode(r)?, at_secs: u64::decode(r)? })
}
