//! What is sealed opens with the same seed and no other; a file is the old one or the new one; blobs of
//! peers are kept as long as they must.

use std::collections::BTreeSet;

use bitcoin::hashes::Hash as _;
use bitcoin::{Amount, OutPoint, Txid};
use channel::keys::ChannelBasepoints;
use secp256k1::{PublicKey, SECP256K1, SecretKey};
use store::disk::{Entries, Loss, MemoryDisk, Plan};
use store::envelope::EnvelopeError;
use wire::codec::Encode as _;
use wire::id::NodeId;
use wire::units::BlockHeight;
use zeroize::Zeroizing;

use super::content::{Backup, Entry};
use super::envelope::{BLOB_LEN_MAX, BackupFault, open, seal, seal_blob};
use super::shelf::Shelf;
use super::{files, shelf};
use crate::seed::Secret32;

fn key(byte: u8) -> Secret32 {
    Secret32::new(Zeroizing::new([byte; 32]))
}

fn point(byte: u8) -> PublicKey {
    SecretKey::from_slice(&[byte; 32]).unwrap().public_key(SECP256K1)
}

fn entry(index: u64) -> Entry {
    Entry {
        index,
        node: NodeId([2; 33]),
        address: "192.0.2.7:9735".into(),
        funding: OutPoint { txid: Txid::from_byte_array([index as u8; 32]), vout: 1 },
        capacity: Amount::from_sat(1_000_000 + index),
        created: BlockHeight(800_000),
        created_ms: 1_700_000_000_000,
        funder: true,
        announce: false,
        our_delay: 720,
        their_delay: 144,
        their_keys: ChannelBasepoints {
            funding: point(1),
            revocation: point(2),
            payment: point(3),
            delayed_payment: point(4),
            htlc: point(5),
        },
    }
}

fn backup(channels: u64) -> Backup {
    let channels: Vec<_> = (0..channels).map(entry).collect();
    let all = channels.len() as u32;
    Backup { counter: 9, made_ms: 1_700_000_000_001, node: NodeId([3; 33]), all, channels }
}

#[test]
fn what_is_sealed_opens_again_and_is_as_long_as_everybody_elses() {
    for (channels, length) in [(0, 1_024), (3, 1_024), (4, BLOB_LEN_MAX), (200, BLOB_LEN_MAX)] {
        let sealed = seal(&key(1), &backup(channels)).unwrap();
        assert_eq!(sealed.len(), length, "{channels} channels");
        assert_eq!(open(&key(1), &sealed), Ok(backup(channels)));
        assert_ne!(sealed, seal(&key(1), &backup(channels)).unwrap(), "no nonce comes twice");
    }
}

#[test]
fn with_more_channels_than_a_blob_holds_the_file_has_all_and_peers_those_that_hold_most() {
    let all = backup(1_000);
    let file = seal(&key(1), &all).unwrap();
    assert_eq!(open(&key(1), &file), Ok(all.clone()));
    let blob = seal_blob(&key(1), &all).unwrap();
    assert_eq!(blob.len(), BLOB_LEN_MAX);
    let some = open(&key(1), &blob).unwrap();
    assert_eq!((some.counter, some.all), (9, 1_000));
    assert!(some.channels.len() > 200, "{}", some.channels.len());
    let fewest = 1_000 - some.channels.len() as u64;
    assert_eq!(some.channels, (fewest..1_000).map(entry).collect::<Vec<_>>());
}

#[test]
fn another_seed_damage_and_a_newer_version_are_told_apart() {
    let sealed = seal(&key(1), &backup(2)).unwrap();
    assert_eq!(open(&key(2), &sealed), Err(BackupFault::WrongSeed));
    for at in 0..sealed.len() {
        let mut bad = sealed.clone();
        bad[at] ^= 1;
        assert!(matches!(open(&key(1), &bad), Err(BackupFault::Damaged(_))), "byte {at}");
        let torn = open(&key(1), &sealed[..at]);
        assert!(matches!(torn, Err(BackupFault::Damaged(_))), "cut at {at}");
    }
    let payload = &sealed[store::envelope::HEADER_BYTES..];
    let newer = store::envelope::seal(0x4b42, 2, payload).unwrap();
    assert_eq!(open(&key(1), &newer), Err(BackupFault::Newer(2)));
    let other = store::envelope::seal(0x4b43, 1, payload).unwrap();
    let kind = EnvelopeError::Kind { wanted: 0x4b42, found: 0x4b43 };
    assert_eq!(open(&key(1), &other), Err(BackupFault::Damaged(kind)));
}

#[test]
fn what_peers_gave_back_is_put_together() {
    let old = Backup { counter: 4, ..backup(3) };
    let mut new = backup(5);
    new.channels.remove(1);
    let all = Backup::union([&old, &new]).unwrap();
    assert_eq!(all.counter, 9);
    assert_eq!(all.channels, backup(5).channels);
    assert_eq!(Backup::union([]), None);
    assert!(all.free_index() > 4 + 60_000);
}

#[test]
fn a_kill_at_any_moment_leaves_the_old_backup_or_the_new_one() {
    let (old, new) = (backup(1).encoded(), backup(2).encoded());
    for seed in 0..400 {
        let disk = MemoryDisk::new(Entries::Posix);
        files::write(&disk, files::NAME, &old).unwrap();
        disk.set_plan(Plan::default().kill_at(disk.operations() + 1 + seed % 12));
        let done = files::write(&disk, files::NAME, &new).is_ok();
        let next = disk.power_cut(seed, Loss::ALL[seed as usize % 4]);
        let found = files::read(&next, files::NAME).unwrap().expect("one of them");
        assert!(found == new || (found == old && !done), "seed {seed}");
        files::write(&next, files::NAME, &new).unwrap();
        assert_eq!(files::read(&next, files::NAME).unwrap(), Some(new.clone()));
    }
}

#[test]
fn a_second_file_needs_a_directory_that_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let second = dir.path().join("not-mounted").join("channels.vbk");
    let files = files::Files::open(&dir.path().join("own"), Some(second.clone())).unwrap();
    assert!(files.write(b"one").is_ok());
    assert!(files.write_second(b"one").is_err());
    std::fs::create_dir(second.parent().unwrap()).unwrap();
    files.write_second(b"two").unwrap();
    assert_eq!(std::fs::read(second).unwrap(), b"two");
    assert_eq!(files.read().unwrap().as_deref(), Some(b"one".as_slice()));
}

#[test]
fn a_peers_blob_is_there_after_a_restart_and_goes_2016_blocks_after_its_last_channel() {
    let dir = tempfile::tempdir().unwrap();
    let (peer, stranger) = (NodeId([2; 33]), NodeId([3; 33]));
    let mut shelf = Shelf::open(dir.path()).unwrap();
    assert!(shelf.put(peer, b"first").unwrap());
    assert!(shelf.put(peer, b"second").unwrap());
    assert!(!shelf.put(stranger, &vec![0; BLOB_LEN_MAX + 1]).unwrap());
    let with = BTreeSet::from([peer]);
    assert!(!shelf.is_untidy(&with, BlockHeight(100)));
    let mut shelf = Shelf::open(dir.path()).unwrap();
    assert_eq!(shelf.get(peer).unwrap().as_deref(), Some(b"second".as_slice()));
    assert_eq!(shelf.get(stranger).unwrap(), None);

    let nobody = BTreeSet::new();
    shelf.tidy(&nobody, BlockHeight(100)).unwrap();
    let mut shelf = Shelf::open(dir.path()).unwrap();
    assert!(!shelf.is_untidy(&nobody, BlockHeight(2_115)));
    shelf.tidy(&nobody, BlockHeight(2_115)).unwrap();
    assert!(shelf.get(peer).unwrap().is_some());
    shelf.tidy(&nobody, BlockHeight(2_116)).unwrap();
    assert_eq!(shelf.get(peer).unwrap(), None);
    assert_eq!(Shelf::open(dir.path()).unwrap().owners().count(), 0);
}

#[test]
fn a_damaged_blob_is_as_if_there_were_none() {
    let dir = tempfile::tempdir().unwrap();
    let peer = NodeId([2; 33]);
    let mut shelf = Shelf::open(dir.path()).unwrap();
    shelf.put(peer, b"blob").unwrap();
    let file = std::fs::read_dir(dir.path()).unwrap().next().unwrap().unwrap().path();
    std::fs::write(&file, b"rubbish").unwrap();
    assert_eq!(shelf.get(peer).unwrap(), None);
    assert_eq!(Shelf::open(dir.path()).unwrap().owners().count(), 0);
    const { assert!(shelf::PEERS_MAX >= 1_000) };
}
