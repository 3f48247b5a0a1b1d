//! Gossip on disk: one file that only grows, and is written anew when half of it is out of date.
//!
//! Nothing in it is worth a sync: what a power cut takes, peers tell again. A record that cannot be read
//! ends the file; so a torn or damaged one costs what comes after it, and never a start.
//!
//! Not here: what the messages mean (`routing::gossip`).

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use bitcoin::hashes::Hash as _;
use bitcoin::{Amount, OutPoint, Txid};
use routing::gossip::Place;
use wire::id::ShortChannelId;

/// First bytes of the file; the last one is the layout's version.
const MAGIC: [u8; 8] = *b"VIAGSP\0\x01";

/// The magic and the genesis hash.
const HEAD: u64 = 40;

/// Length and checksum before each record.
const RECORD_HEAD: u64 = 8;

/// A record: a message of at most 65,535 bytes and what we know besides.
const RECORD_MAX: u32 = 70_000;

/// What is known of a channel besides its announcement.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Found {
    /// Its funding output.
    pub(super) funding: OutPoint,
    /// What that holds.
    pub(super) capacity: Amount,
}

/// One record.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Entry {
    /// A `channel_announcement` whose funding output was found.
    Channel(Found, Vec<u8>),
    /// A `channel_update` or a `node_announcement`.
    Word(Vec<u8>),
    /// A channel is forgotten.
    Gone(ShortChannelId),
}

impl Entry {
    fn body(&self) -> Vec<u8> {
        let mut body = Vec::new();
        match self {
            Self::Channel(found, frame) => {
                body.push(1);
                body.extend(found.funding.txid.to_byte_array());
                body.extend(found.funding.vout.to_be_bytes());
                body.extend(found.capacity.to_sat().to_be_bytes());
                body.extend(frame);
            }
            Self::Word(frame) => {
                body.push(2);
                body.extend(frame);
            }
            Self::Gone(scid) => {
                body.push(3);
                body.extend(scid.to_u64().to_be_bytes());
            }
        }
        body
    }

    fn read(body: &[u8]) -> Option<Self> {
        let (kind, rest) = body.split_first()?;
        match kind {
            1 => {
                let (txid, rest) = rest.split_first_chunk::<32>()?;
                let (vout, rest) = rest.split_first_chunk::<4>()?;
                let (capacity, frame) = rest.split_first_chunk::<8>()?;
                let txid = Txid::from_byte_array(*txid);
                let funding = OutPoint { txid, vout: u32::from_be_bytes(*vout) };
                let capacity = Amount::from_sat(u64::from_be_bytes(*capacity));
                Some(Self::Channel(Found { funding, capacity }, frame.to_vec()))
            }
            2 => Some(Self::Word(rest.to_vec())),
            3 => {
                let scid = u64::from_be_bytes(*rest.first_chunk()?);
                Some(Self::Gone(ShortChannelId::from_u64(scid)))
            }
            _ => None,
        }
    }

    /// Where the message lies in a record that begins at `at`.
    fn place(&self, at: u64) -> Place {
        let (before, frame): (u64, &[u8]) = match self {
            Self::Channel(_, frame) => (45, frame),
            Self::Word(frame) => (1, frame),
            Self::Gone(_) => (1, &[]),
        };
        let at = at.saturating_add(RECORD_HEAD).saturating_add(before);
        Place { at, len: u32::try_from(frame.len()).unwrap_or(0) }
    }
}

/// The file, open for appending and for reading anywhere.
#[derive(Debug)]
pub(super) struct GossipFile {
    path: PathBuf,
    chain: [u8; 32],
    file: File,
    len: u64,
}

impl GossipFile {
    /// Opens it, or makes it, and tells every entry in order.
    pub(super) fn open(
        path: &Path,
        chain: [u8; 32],
        mut each: impl FnMut(Entry, Place),
    ) -> io::Result<Self> {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let mut reader = BufReader::with_capacity(1 << 20, &mut file);
        let mut head = [0; 40];
        let ours = reader.read_exact(&mut head).is_ok()
            && head.starts_with(&MAGIC)
            && head.ends_with(&chain);
        let mut len = HEAD;
        if ours {
            while let Some((entry, length)) = next(&mut reader) {
                let place = entry.place(len);
                each(entry, place);
                len = len.saturating_add(length);
            }
        }
        drop(reader);
        if ours {
            file.set_len(len)?;
        } else {
            file.set_len(0)?;
            file.rewind()?;
            file.write_all(&MAGIC)?;
            file.write_all(&chain)?;
        }
        Ok(Self { path: path.to_owned(), chain, file, len })
    }

    /// How many bytes it has.
    pub(super) const fn len(&self) -> u64 {
        self.len
    }

    /// Appends entries and says where each message lies.
    pub(super) fn append(&mut self, entries: &[Entry]) -> io::Result<Vec<Place>> {
        let mut bytes = Vec::new();
        let mut places = Vec::with_capacity(entries.len());
        for entry in entries {
            let at = u64::try_from(bytes.len()).unwrap_or(0).saturating_add(self.len);
            places.push(entry.place(at));
            put(&entry.body(), &mut bytes);
        }
        self.file.seek(SeekFrom::Start(self.len))?;
        self.file.write_all(&bytes)?;
        self.len = self.len.saturating_add(u64::try_from(bytes.len()).unwrap_or(0));
        Ok(places)
    }

    /// A message: number and body.
    pub(super) fn read(&mut self, place: Place) -> io::Result<Vec<u8>> {
        let mut frame = vec![0; usize::try_from(place.len).unwrap_or(0)];
        self.file.seek(SeekFrom::Start(place.at))?;
        self.file.read_exact(&mut frame)?;
        Ok(frame)
    }

    /// Writes it anew with these entries alone, and says where each lies now.
    pub(super) fn rewrite(
        &mut self,
        entries: impl Iterator<Item = (Place, Option<Found>)>,
    ) -> io::Result<Vec<(Place, Place)>> {
        let aside = self.path.with_extension("new");
        let mut moved = Vec::new();
        let mut out = BufWriter::with_capacity(1 << 20, File::create(&aside)?);
        out.write_all(&MAGIC)?;
        out.write_all(&self.chain)?;
        let mut len = HEAD;
        for (place, found) in entries {
            let frame = self.read(place)?;
            let entry = found.map_or_else(
                || Entry::Word(frame.clone()),
                |found| Entry::Channel(found, frame.clone()),
            );
            moved.push((place, entry.place(len)));
            let mut bytes = Vec::new();
            put(&entry.body(), &mut bytes);
            out.write_all(&bytes)?;
            len = len.saturating_add(u64::try_from(bytes.len()).unwrap_or(0));
        }
        let file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
        drop(file);
        fs::rename(&aside, &self.path)?;
        self.file = OpenOptions::new().read(true).write(true).open(&self.path)?;
        self.len = len;
        Ok(moved)
    }
}

fn put(body: &[u8], out: &mut Vec<u8>) {
    out.extend(u32::try_from(body.len()).unwrap_or(0).to_le_bytes());
    out.extend(crc32c::crc32c(body).to_le_bytes());
    out.extend(body);
}

/// The next entry and how many bytes it takes; `None` at the end, or where the file is no use any more.
fn next(reader: &mut impl Read) -> Option<(Entry, u64)> {
    let mut head = [0; 8];
    reader.read_exact(&mut head).ok()?;
    let (len, crc) = head.split_first_chunk::<4>()?;
    let len = u32::from_le_bytes(*len);
    if len > RECORD_MAX {
        return None;
    }
    let mut body = vec![0; usize::try_from(len).ok()?];
    reader.read_exact(&mut body).ok()?;
    if crc32c::crc32c(&body) != u32::from_le_bytes(*crc.first_chunk()?) {
        return None;
    }
    Some((Entry::read(&body)?, RECORD_HEAD.saturating_add(len.into())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(byte: u8) -> Entry {
        Entry::Word(vec![byte; 40])
    }

    fn all(path: &Path) -> (GossipFile, Vec<(Entry, Place)>) {
        let mut seen = Vec::new();
        let file = GossipFile::open(path, [7; 32], |entry, place| seen.push((entry, place)));
        (file.unwrap(), seen)
    }

    fn channel() -> Entry {
        let funding = OutPoint { txid: Txid::from_byte_array([9; 32]), vout: 3 };
        Entry::Channel(Found { funding, capacity: Amount::from_sat(77) }, vec![5; 430])
    }

    #[test]
    fn what_was_appended_is_told_again_and_can_be_read_where_it_lies() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("gossip");
        let entries = [channel(), word(1), Entry::Gone(ShortChannelId::from_u64(4)), word(2)];
        let places = all(&path).0.append(&entries).unwrap();
        let (mut file, seen) = all(&path);
        let told: Vec<_> = entries.iter().cloned().zip(places).collect();
        assert_eq!(seen, told);
        assert_eq!(file.read(seen[0].1).unwrap(), vec![5; 430]);
        assert_eq!(file.read(seen[3].1).unwrap(), vec![2; 40]);
    }

    #[test]
    fn a_torn_or_damaged_record_ends_the_file_and_what_follows_is_written_behind_the_rest() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("gossip");
        all(&path).0.append(&[word(1), word(2)]).unwrap();
        for damage in [fs::read(&path).unwrap().len() - 1, 100] {
            let mut bytes = fs::read(&path).unwrap();
            bytes[damage] ^= 1;
            fs::write(&path, &bytes).unwrap();
            let (mut file, seen) = all(&path);
            assert_eq!(seen.len(), 1);
            file.append(&[word(3)]).unwrap();
            let (_, seen) = all(&path);
            assert_eq!(
                seen.iter().map(|(entry, _)| entry.clone()).collect::<Vec<_>>(),
                [word(1), word(3)]
            );
        }
    }

    #[test]
    fn the_file_of_another_chain_is_begun_anew() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("gossip");
        all(&path).0.append(&[word(1)]).unwrap();
        let mut seen = 0;
        GossipFile::open(&path, [8; 32], |_, _| seen += 1).unwrap();
        assert_eq!(seen, 0);
        assert_eq!(all(&path).1, []);
    }

    #[test]
    fn writing_anew_keeps_what_is_wanted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("gossip");
        let mut file = all(&path).0;
        let places = file.append(&[word(1), channel(), word(2)]).unwrap();
        let Entry::Channel(found, _) = channel() else { unreachable!() };
        let moved = file.rewrite([(places[1], Some(found)), (places[2], None)].into_iter());
        let moved = moved.unwrap();
        assert_eq!(file.read(moved[1].1).unwrap(), vec![2; 40]);
        file.append(&[word(4)]).unwrap();
        let entries: Vec<_> = all(&path).1.into_iter().map(|(entry, _)| entry).collect();
        assert_eq!(entries, [channel(), word(2), word(4)]);
    }
}
