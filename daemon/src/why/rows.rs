//! Stories in the index: a row a channel, written whenever its story goes on.

use store::engine::{Batch, Engine, MAX_VALUE_BYTES};
use store::table::{Table, TableError, Value};
use wire::codec::{Decode, Encode, Reader};

use crate::why::Story;

/// Stories, by the channel's lasting number.
const STORIES: Table<u64, Story> = Table::new(32);

impl Value for Story {
    const KIND: u16 = 0x5354;
    const VERSION: u16 = 1;

    fn encode(&self, out: &mut Vec<u8>) {
        Encode::encode(self, out);
    }

    fn decode(_version: u16, bytes: &[u8]) -> Option<Self> {
        let mut r = Reader::new(bytes);
        let story = <Self as Decode>::decode(&mut r).ok()?;
        r.end().ok()?;
        Some(story)
    }
}

/// Bytes that a row's envelope may take.
const ENVELOPE: usize = 64;

/// Writes a story with the batch, as far as it fits: a commitment of 966 HTLCs must not stop the index.
pub(crate) fn put(batch: &mut Batch, story: &Story) -> Result<(), TableError> {
    let row = story.row(MAX_VALUE_BYTES.saturating_sub(ENVELOPE));
    STORIES.put(batch, &story.channel, &row)
}

/// The story of a channel.
///
/// # Errors
/// If the index fails: that is never "not there".
pub fn story(engine: &dyn Engine, channel: u64) -> Result<Option<Story>, TableError> {
    STORIES.get(engine, &channel)
}
