//! Checkpoints: what is said comes back, nobody else reads or moves it, and an older journal is told.

use bitcoin::hashes::Hash as _;
use bitcoin::{Amount, OutPoint, Txid};
use channel::signer::{InMemorySigner, Memory, Signer as _};
use zeroize::Zeroizing;

use super::seal::CheckpointFault;
use super::*;
use crate::backup::Entry;
use crate::seed::Secret32;

fn entry(index: u64) -> Entry {
    let signer = InMemorySigner::new(&[3; 32], 1, Memory::default()).unwrap();
    Entry {
        index,
        node: NodeId([2; 33]),
        address: "alice:9735".into(),
        funding: OutPoint { txid: Txid::from_byte_array([7; 32]), vout: 1 },
        capacity: Amount::from_sat(1_000_000 + index),
        created: BlockHeight(100),
        created_ms: 5,
        funder: true,
        announce: false,
        our_delay: 144,
        their_delay: 144,
        their_keys: *signer.basepoints(),
    }
}

fn checkpoint(channels: u64) -> Checkpoint {
    let tower = NodeId([9; 33]);
    let all = u32::try_from(channels).unwrap();
    Checkpoint {
        made_ms: 77,
        height: BlockHeight(200),
        positions: (0..channels).map(|n| (n, Position { ours: n + 1, revoked: n })).collect(),
        towers: vec![Whereabouts { tower, address: "there:9911".into(), kit: 1 }],
        sessions: (0..channels).map(|channel| Known { tower: 0, channel, number: 3 }).collect(),
        backup: Backup {
            counter: 4,
            made_ms: 6,
            node: NodeId([1; 33]),
            all,
            channels: (0..channels).map(entry).collect(),
        },
    }
}

fn keys(byte: u8) -> Secret32 {
    Secret32::new(Zeroizing::new([byte; 32]))
}

#[test]
fn a_checkpoint_comes_back_from_the_tower_and_the_version_it_was_made_for_alone() {
    let (one, two) = (NodeId([9; 33]), NodeId([8; 33]));
    let said = checkpoint(3);
    let bytes = seal(&keys(1), &one, 5, &said).unwrap();
    assert_eq!(bytes.len(), 2_048, "how much is said shows in steps only");
    assert_eq!(open(&keys(1), &one, 5, &bytes), Ok(said.clone()));
    let other = Err(CheckpointFault::NotOurs);
    assert_eq!(open(&keys(2), &one, 5, &bytes), other);
    assert_eq!(open(&keys(1), &two, 5, &bytes), other, "a tower cannot show another one's");
    assert_eq!(open(&keys(1), &one, 6, &bytes), other, "nor make it look newer");
    let mut bent = bytes;
    *bent.last_mut().unwrap() ^= 1;
    assert_eq!(open(&keys(1), &one, 5, &bent), other);
    assert_eq!(open(&keys(1), &one, 5, &[]), Err(CheckpointFault::Length(0)));
    assert_eq!(open(&keys(1), &one, 5, &[2; 60]), Err(CheckpointFault::Newer(2)));
    assert_eq!(said.sessions_with(one).collect::<Vec<_>>(), [(0, 3), (1, 3), (2, 3)]);
    assert_eq!(said.sessions_with(two).count(), 0);
}

#[test]
fn ten_thousand_channels_fit_and_those_with_the_most_at_stake_are_among_them() {
    let stake = |channel: u64| channel;
    let fitting = checkpoint(10_000).fitting(CONTENT_MAX, stake);
    let bytes = seal(&keys(1), &NodeId([9; 33]), 1, &fitting).unwrap();
    assert!(bytes.len() <= 60_000, "{}", bytes.len());
    assert_eq!(fitting.positions.len(), POSITIONS_MAX);
    assert!(fitting.positions.keys().all(|channel| *channel >= 9_000));
    assert!(fitting.sessions.iter().all(|known| known.channel >= 9_000));
    assert!(fitting.backup.channels.len() > 60, "{}", fitting.backup.channels.len());
    assert!(fitting.backup.channels.iter().all(|entry| entry.index >= 9_000));
    let few = checkpoint(3);
    assert_eq!(few.clone().fitting(CONTENT_MAX, stake), few);
}

#[test]
fn a_journal_that_was_further_once_is_told_so_and_one_that_is_further_now_is_not() {
    let kept = checkpoint(3);
    let journal = |ours, revoked| {
        let mut positions = kept.positions.clone();
        positions.insert(2, Position { ours, revoked });
        positions
    };
    assert_eq!(kept.doubt(5, 5, &journal(3, 2)), None);
    assert_eq!(kept.doubt(5, 9, &journal(30, 20)), None);
    let older = kept.doubt(5, 9, &journal(2, 2)).unwrap();
    assert!(matches!(older, Older::Channel { channel: 2, .. }), "{older}");
    assert!(matches!(kept.doubt(5, 5, &journal(3, 1)), Some(Older::Channel { .. })));
    let unheard = Older::Version { theirs: 5, ours: 4 };
    assert_eq!(kept.doubt(5, 4, &journal(3, 2)), Some(unheard));
    // A channel that is over is in doubt no more.
    assert_eq!(kept.doubt(5, 5, &BTreeMap::new()), None);
}
