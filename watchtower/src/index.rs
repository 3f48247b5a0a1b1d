//! Which records a transaction may concern: forty bits of a hint, and where the record lies.
//!
//! Twelve bytes a record in buckets by the first bits of the hint. A bucket is read from end to end, so an
//! insertion never sorts and ten million records are looked at in the time of a few cache lines a
//! transaction. Forty bits are enough to make a wrong answer rare (one in twenty blocks of 5,000
//! transactions at ten million records), and the record itself has the whole hint.
//!
//! Memory: 12 bytes a record, at most an eighth more as room, and 24 bytes a bucket of about 64 records:
//! 140 MB for ten million. [`Index::bytes`] says how much it is.
//!
//! Not here: the records (`store::shelf`), the same for transactions of recent blocks (`store::ring`).

use crate::hint::Hint;

/// Bits of a hint that choose the bucket at first.
const BITS_START: u32 = 16;
/// The most bits that choose a bucket. The first eight are not in an entry.
const BITS_MAX: u32 = 24;
/// Records a bucket may have on average before there are four times as many buckets.
const CROWDED: usize = 64;

/// Where something lies: for records the segment and the byte in it, for transactions the block's height
/// and their number in the block.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Place {
    /// Segment, or height.
    pub part: u32,
    /// Byte of it, or number in it.
    pub offset: u32,
}

/// The first forty bits of a hint, in the low bits of a number.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Prefix(u64);

impl Prefix {
    /// Bytes of its stored form.
    pub const BYTES: usize = 5;

    /// Of a hint.
    pub fn of(hint: &Hint) -> Self {
        let [a, b, c, d, e, ..] = hint.0;
        Self::from_bytes([a, b, c, d, e])
    }

    /// From its stored form.
    pub const fn from_bytes([a, b, c, d, e]: [u8; Self::BYTES]) -> Self {
        Self(u64::from_be_bytes([0, 0, 0, a, b, c, d, e]))
    }

    /// Its stored form.
    pub const fn to_bytes(self) -> [u8; Self::BYTES] {
        let [_, _, _, a, b, c, d, e] = self.0.to_be_bytes();
        [a, b, c, d, e]
    }

    /// The bucket it belongs to, of two to the power of `bits`.
    fn bucket(self, bits: u32) -> usize {
        let shift = 40_u32.saturating_sub(bits);
        usize::try_from(self.0.checked_shr(shift).unwrap_or(0)).unwrap_or(0)
    }

    /// The last 32 of its bits.
    const fn tag(self) -> [u8; 4] {
        let [_, _, _, _, b, c, d, e] = self.0.to_be_bytes();
        [b, c, d, e]
    }
}

/// Twelve bytes.
#[derive(Clone, Copy, Debug)]
struct Entry {
    tag: [u8; 4],
    place: Place,
}

/// All hints that are watched for.
#[derive(Debug)]
pub struct Index {
    bits: u32,
    buckets: Vec<Vec<Entry>>,
    len: usize,
}

impl Default for Index {
    fn default() -> Self {
        Self::with_room(0)
    }
}

impl Index {
    /// Empty, with as many buckets as `expected` records need.
    pub fn with_room(expected: usize) -> Self {
        let mut bits = BITS_START;
        while bits < BITS_MAX && expected > crowd(bits) {
            bits = bits.saturating_add(2);
        }
        Self { bits, buckets: empty(bits), len: 0 }
    }

    /// How many entries there are, those of deleted records too until their segment is written anew.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds one.
    pub fn insert(&mut self, prefix: Prefix, place: Place) {
        if self.len >= crowd(self.bits) && self.bits < BITS_MAX {
            self.spread();
        }
        put(&mut self.buckets, self.bits, prefix, place);
        self.len = self.len.saturating_add(1);
    }

    /// All places that may have this hint, in the order of their insertion.
    pub fn find(&self, prefix: Prefix) -> impl Iterator<Item = Place> + '_ {
        let tag = prefix.tag();
        let bucket = self.buckets.get(prefix.bucket(self.bits)).map_or(&[][..], Vec::as_slice);
        bucket.iter().filter(move |entry| entry.tag == tag).map(|entry| entry.place)
    }

    /// Takes one out; whether it was there.
    pub fn remove(&mut self, prefix: Prefix, place: Place) -> bool {
        let Some(bucket) = self.buckets.get_mut(prefix.bucket(self.bits)) else { return false };
        let tag = prefix.tag();
        let at = bucket.iter().position(|entry| entry.place == place && entry.tag == tag);
        let Some(at) = at else { return false };
        bucket.remove(at);
        self.len = self.len.saturating_sub(1);
        true
    }

    /// Keeps only those at places that `keep` wants. Looks at every entry.
    pub fn retain(&mut self, mut keep: impl FnMut(Place) -> bool) {
        let mut len = 0_usize;
        for bucket in &mut self.buckets {
            bucket.retain(|entry| keep(entry.place));
            if bucket.capacity() > bucket.len().saturating_mul(2) {
                bucket.shrink_to_fit();
            }
            len = len.saturating_add(bucket.len());
        }
        self.len = len;
    }

    /// The memory it holds, in bytes. Looks at every bucket.
    pub fn bytes(&self) -> usize {
        let entries = self.buckets.iter().fold(0_usize, |sum, b| sum.saturating_add(b.capacity()));
        let heads = self.buckets.len().saturating_mul(size_of::<Vec<Entry>>());
        entries.saturating_mul(size_of::<Entry>()).saturating_add(heads)
    }

    /// Four times as many buckets.
    fn spread(&mut self) {
        let bits = self.bits.saturating_add(2).min(BITS_MAX);
        let mut buckets = empty(bits);
        for (number, bucket) in std::mem::take(&mut self.buckets).into_iter().enumerate() {
            for entry in bucket {
                put(&mut buckets, bits, whole(number, self.bits, entry.tag), entry.place);
            }
        }
        (self.bits, self.buckets) = (bits, buckets);
    }
}

/// The forty bits again, from a bucket's number and the tag of an entry in it.
fn whole(bucket: usize, bits: u32, tag: [u8; 4]) -> Prefix {
    let first = u64::try_from(bucket).unwrap_or(0).checked_shr(bits.saturating_sub(8)).unwrap_or(0);
    Prefix(first.checked_shl(32).unwrap_or(0) | u64::from(u32::from_be_bytes(tag)))
}

fn put(buckets: &mut [Vec<Entry>], bits: u32, prefix: Prefix, place: Place) {
    if let Some(bucket) = buckets.get_mut(prefix.bucket(bits)) {
        if bucket.len() == bucket.capacity() {
            // An eighth at a time: doubling would leave a third of the memory unused.
            bucket.reserve_exact((bucket.len() / 8).max(4));
        }
        bucket.push(Entry { tag: prefix.tag(), place });
    }
}

fn empty(bits: u32) -> Vec<Vec<Entry>> {
    let count = 1_usize.checked_shl(bits).unwrap_or(1);
    std::iter::repeat_with(Vec::new).take(count).collect()
}

/// How many records make that many buckets crowded.
fn crowd(bits: u32) -> usize {
    1_usize.checked_shl(bits).unwrap_or(usize::MAX).saturating_mul(CROWDED)
}

#[cfg(test)]
mod tests;
