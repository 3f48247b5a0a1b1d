//! Formats alone: segments, ring, facts, snapshots.

use ::store::disk::{Entries, MemoryDisk};
use bitcoin::hashes::Hash as _;
use bitcoin::{BlockHash, OutPoint};
use chain_backend::BlockId;

use super::fact::{self, Fact, Kit, Opening, Part, Progress};
use super::ring::{self, Ring};
use super::segment::{self, Group, Head, Tail};
use super::state::State;
use crate::hint::Hint;
use crate::index::{Place, Prefix};
use crate::message::Sealed;
use crate::respond::fact::ClaimFact;

fn sealed(byte: u8, length: usize) -> Sealed {
    Sealed { hint: Hint([byte; 16]), ciphertext: vec![byte; length] }
}

fn head() -> Head {
    Head { number: 3, salt: 99 }
}

/// A file of two groups, and where the second begins and ends.
fn file() -> (Vec<u8>, u32, u32) {
    let mut bytes = head().encode();
    let mut ends = Vec::new();
    for byte in [1, 2] {
        let mut group = Group::default();
        group.push(7, u32::from(byte) * 2, &[sealed(byte, 10), sealed(byte, 300)]);
        let at = u32::try_from(bytes.len()).unwrap();
        ends.push(at);
        bytes.extend_from_slice(group.finish(at, head().salt));
    }
    let end = u32::try_from(bytes.len()).unwrap();
    bytes.resize(bytes.len() + 4_096, 0);
    (bytes, ends[1], end)
}

#[test]
fn a_segment_gives_back_every_record_by_walking_and_by_place() {
    let (bytes, second, end) = file();
    assert_eq!(Head::decode(&bytes), Some(head()));
    let (body, next) = segment::group_at(&bytes, 32, 99).unwrap();
    assert_eq!(next, second);
    let walked: Vec<_> = segment::records(body, 32).collect();
    assert_eq!(walked.len(), 2);
    for record in &walked {
        let at = record.offset;
        let stored = segment::read_one(at, |from, buffer| {
            let from = usize::try_from(from).unwrap();
            buffer.copy_from_slice(&bytes[from..from + buffer.len()]);
            Ok(buffer.len())
        });
        let stored = stored.unwrap().unwrap();
        assert_eq!((stored.session, stored.seq), (record.session, record.seq));
        assert_eq!(stored.sealed.ciphertext, record.bytes);
    }
    assert_eq!(segment::group_at(&bytes, second, 99).unwrap().1, end);
    assert_eq!(segment::tail_at(&bytes, end, 99), Tail::Clean);
    assert_eq!(segment::group_at(&bytes, second, 98), None, "another salt is another file");
}

#[test]
fn the_last_group_may_be_torn_and_one_before_it_is_damaged() {
    let (mut bytes, second, end) = file();
    let last = usize::try_from(end).unwrap() - 1;
    bytes[last] ^= 1;
    assert_eq!(segment::group_at(&bytes, second, 99), None);
    assert_eq!(segment::tail_at(&bytes, second, 99), Tail::Torn);
    bytes[last] ^= 1;
    bytes[100] ^= 1;
    assert_eq!(segment::group_at(&bytes, 32, 99), None);
    assert_eq!(segment::tail_at(&bytes, 32, 99), Tail::Damaged { next: second });
}

#[test]
fn long_records_are_reached_from_their_places_too() {
    let mut group = Group::default();
    let records = vec![sealed(1, 60_000), sealed(2, 60_000), sealed(3, 5)];
    let places = group.push(1, 0, &records);
    let bytes = group.finish(0, 1).to_vec();
    for (seq, place) in (0..).zip(places) {
        let stored = segment::read_one(place, |from, buffer| {
            let from = usize::try_from(from).unwrap();
            buffer.copy_from_slice(&bytes[from..from + buffer.len()]);
            Ok(buffer.len())
        });
        let stored = stored.unwrap().unwrap();
        assert_eq!((stored.seq, &stored.sealed), (seq, &records[usize::try_from(seq).unwrap()]));
    }
}

fn block(height: u32, branch: u8) -> BlockId {
    let mut hash = [branch; 32];
    hash[..4].copy_from_slice(&height.to_be_bytes());
    BlockId { height, hash: BlockHash::from_byte_array(hash) }
}

fn prefix(height: u32, branch: u8) -> Prefix {
    let mut hint = [branch; 16];
    hint[..4].copy_from_slice(&height.to_be_bytes());
    Prefix::of(&Hint(hint))
}

fn places(ring: &Ring, height: u32, branch: u8) -> Vec<Place> {
    ring.find(prefix(height, branch)).collect()
}

#[test]
fn the_ring_on_disk_is_the_chain_that_ends_in_the_tip_and_no_other_branch() {
    let disk = MemoryDisk::new(Entries::Posix);
    let mut live = Ring::new(1_000);
    let mut write = |height: u32, branch: u8, before: u8| {
        let prefixes = [prefix(height, branch)];
        let below = block(height.saturating_sub(1), before).hash;
        ring::append(&disk, block(height, branch), below, &prefixes).unwrap();
        live.rewind(height.saturating_sub(1));
        live.push(block(height, branch), prefixes);
    };
    for height in 0..300 {
        write(height, 1, 1);
    }
    write(280, 2, 1);
    for height in 281..290 {
        write(height, 2, 2);
    }
    let ring = ring::load(&disk, 1_000, block(289, 2)).unwrap();
    assert_eq!(ring.tip(), Some(block(289, 2)));
    assert_eq!(places(&ring, 285, 2), [Place { part: 285, offset: 0 }]);
    assert!(places(&ring, 285, 1).is_empty());
    assert_eq!(places(&ring, 100, 1).len(), 1);
    assert!(ring::load(&disk, 1_000, block(299, 1)).unwrap().tip().is_none());
    ring::retire(&disk, 150).unwrap();
    let ring = ring::load(&disk, 1_000, block(289, 2)).unwrap();
    assert_eq!(ring.first(), Some(block(144, 1)));
}

#[test]
fn the_ring_keeps_so_many_blocks_and_fills_downwards() {
    let mut ring = Ring::new(200);
    for height in 500..800 {
        ring.push(block(height, 1), [prefix(height, 1)]);
    }
    assert_eq!((ring.first(), ring.has_room()), (Some(block(600, 1)), false));
    assert!(places(&ring, 599, 1).is_empty());
    ring.rewind(650);
    assert_eq!(ring.tip(), Some(block(650, 1)));
    assert!(places(&ring, 700, 1).is_empty());
    ring.push_front(block(599, 1), [prefix(599, 1)]);
    assert_eq!(places(&ring, 599, 1).len(), 1);
    ring.push_front(block(5, 1), [prefix(5, 1)]);
    assert_eq!(ring.first(), Some(block(599, 1)), "only the next one fits");
}

fn opening(session: u32, key: u8) -> Opening {
    Opening {
        session,
        key: [key; 33],
        kit: Kit::Sealed,
        template: vec![1, 2, 3],
        quota_bytes: 1_000,
        quota_records: 9,
        expiry_height: 5_000,
        opened_height: 100,
    }
}

#[test]
fn facts_and_snapshots_are_the_same_after_the_disk() {
    let part = Part { records: 3, bytes: 600, first_seq: 0, last_seq: 2 };
    let mut progress = Progress::default();
    progress.add(&Hint([4; 16]), &[1, 2, 3]);
    let hash = BlockHash::from_byte_array([5; 32]);
    let secret = channel::shachain::secret(&[6; 32], 0).unwrap();
    let facts = vec![
        Fact::Opened(opening(0, 2)),
        Fact::Opened(Opening { kit: Kit::Replica, ..opening(1, 3) }),
        Fact::Granted { session: 0, quota_bytes: 7, expiry_height: 8 },
        Fact::Closed {
            segment: 4,
            bytes: 1_234,
            parts: vec![(0, part)],
            progress: vec![(0, progress)],
        },
        Fact::Rewritten { segment: 4, bytes: 99, parts: vec![(0, part)] },
        Fact::BlockConnected { height: 50, hash },
        Fact::BlockConnected { height: 51, hash },
        Fact::BlocksDisconnected { height: 50, hash },
        Fact::Compared { place: Place { part: 4, offset: 80 } },
        Fact::Claim(ClaimFact::Rewound { height: 3 }),
        Fact::Replica {
            session: 1,
            first: 0,
            secrets: vec![secret],
            chain: Vec::new(),
            htlcs: 5,
            fundings: vec![OutPoint::null()],
        },
        Fact::Forgotten { session: 0, first_seq: 2, last_seq: 3 },
        Fact::Forgotten { session: 0, first_seq: 4, last_seq: 9 },
        Fact::Opened(opening(2, 4)),
        Fact::Dropped { session: 2 },
        Fact::Emptied { segment: 9 },
    ];
    assert_eq!(fact::decode(&fact::encode(&facts)).unwrap(), facts);
    let mut state = State::default();
    for fact in &facts {
        state.apply(fact);
        assert_eq!(State::decode(&state.encode()).unwrap(), state);
    }
    let (_, session) = state.session_of(&[2; 33]).unwrap();
    assert_eq!(session.forgotten, [(2, 9)]);
    assert_eq!((state.next_session(), state.sessions().count()), (3, 2));
    assert_eq!(state.session(1).unwrap().told.secrets.count(), 1);
    assert!(fact::decode(&[99, 1, 0, 0, 0, 0]).is_err());
    assert!(fact::decode(&[3, 9, 0, 0, 0, 0]).is_err());
}
