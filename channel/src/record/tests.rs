//! Facts and snapshots survive their bytes; foreign bytes are told apart.

use super::*;
use crate::world::{ALICE, BOB, Setup, World};
use crate::{Channel, Command, Event};

/// A history with most kinds of facts in it.
fn history() -> World {
    let mut world = World::open(&Setup::default());
    world.nodes[ALICE].offer(20_000_000, 1);
    world.nodes[BOB].offer(30_000_000, 2);
    world.settle();
    let command = world.nodes[BOB].command_id();
    let (htlc, reason) = (0, vec![1, 2, 3]);
    let fail = Command::FailHtlc { command, htlc, reason, attribution: None };
    world.nodes[BOB].step(Event::Command(fail));
    world.settle();
    let command = world.nodes[ALICE].command_id();
    world.nodes[ALICE].step(Event::Command(Command::ForceClose { command }));
    world
}

#[test]
fn every_fact_survives_its_bytes() {
    for node in &history().nodes {
        for record in &node.disk.records {
            let mut again = Vec::new();
            facts(record).unwrap().iter().for_each(|fact| put(fact, &mut again));
            assert_eq!(&again, record);
        }
    }
}

#[test]
fn a_record_cut_anywhere_is_an_error() {
    let world = history();
    for record in world.nodes[BOB].disk.records.iter().take(6) {
        for cut in (1..record.len()).step_by(7) {
            assert!(facts(&record[..cut]).is_err(), "{cut} of {}", record.len());
        }
    }
}

#[test]
fn facts_of_a_newer_build_are_skipped_if_odd_and_refused_if_even() {
    assert_eq!(facts(&[0xfd, 0x01, 0x01, 2, 9, 9]), Ok(vec![]));
    assert_eq!(facts(&[0xfc, 2, 9, 9]), Err(RecordError::Newer(0xfc)));
}

#[test]
fn a_channel_begins_with_its_creation_and_only_once() {
    let world = history();
    let records = &world.nodes[BOB].disk.records;
    assert_eq!(Channel::restore(&records[1]).err(), Some(RecordError::Beginning));
    assert_eq!(Channel::restore(&[]).err(), Some(RecordError::Beginning));
    let mut channel = Channel::restore(&records[0]).unwrap();
    assert_eq!(channel.replay(&records[0]), Err(RecordError::Beginning));
}

#[test]
fn a_snapshot_is_the_state() {
    for node in &history().nodes {
        for upto in 1..=node.disk.records.len() {
            let channel = node.rebuilt(upto).unwrap();
            let again = Channel::decode_snapshot(&channel.encode_snapshot()).unwrap();
            assert_eq!(again.state(), channel.state());
            assert_eq!(again.id(), channel.id());
        }
    }
}

#[test]
fn a_snapshot_of_a_newer_version_is_refused() {
    let mut bytes = history().nodes[ALICE].channel().encode_snapshot();
    bytes[0] = 2;
    assert_eq!(Channel::decode_snapshot(&bytes).err(), Some(RecordError::Newer(2)));
}

#[test]
fn state_does_not_grow_with_settled_payments() {
    let mut world = World::open(&Setup::default());
    let mut sizes = Vec::new();
    for payment in 0..24 {
        world.nodes[ALICE].offer(1_000_000, payment);
        world.settle();
        let command = world.nodes[BOB].command_id();
        let preimage = crate::world::preimage(payment);
        let htlc = payment;
        let fulfill = Command::FulfillHtlc { command, htlc, preimage, attribution: None };
        world.nodes[BOB].step(Event::Command(fulfill));
        world.settle();
        world.nodes[ALICE].step(Event::Command(Command::ForgetResolved { htlc }));
        for node in &mut world.nodes {
            // What is settled goes into the archive before each snapshot.
            assert_eq!(node.channel().state().unwrap().past.recent().len(), 1);
            node.step(Event::Command(Command::PastArchived { upto: payment + 1 }));
            // So are revoked states.
            let rows = node.channel().state().unwrap().revoked.rows();
            node.step(Event::Command(Command::RevokedArchived { rows, bytes: rows * 30 }));
        }
        sizes.push([0, 1].map(|who| world.nodes[who].channel().encode_snapshot().len()));
    }
    // The shachain grows by a slot when the count doubles, and by nothing else.
    let grown = |who: usize| sizes[23][who] - sizes[11][who];
    assert!(grown(0) <= 40 && grown(1) <= 40, "{sizes:?}");
    let bytes =
        |who: usize| world.nodes[who].disk.records.iter().map(Vec::len).sum::<usize>() as u64 / 24;
    println!("bytes on disk a payment: payer {}, payee {}", bytes(0), bytes(1));
}

#[test]
fn what_an_offerer_says_of_its_htlc_survives_its_bytes() {
    for (accountable, path_key) in
        [(false, None), (true, None), (false, Some(())), (true, Some(()))]
    {
        let path_key = path_key.map(|()| {
            let secret = secp256k1::SecretKey::from_slice(&[7; 32]).unwrap();
            secp256k1::PublicKey::from_secret_key(&secp256k1::Secp256k1::new(), &secret)
        });
        let add = crate::fact::Add {
            id: 1,
            amount_msat: wire::units::Msat::new(2).unwrap(),
            payment_hash: wire::id::PaymentHash([3; 32]),
            cltv_expiry: wire::units::BlockHeight(4),
            onion: wire::message::OnionPacket::from([5; 1366]),
            path_key,
            accountable,
        };
        let adds = vec![crate::fact::AddIn { add, overexposed: true }];
        let signed = Fact::TheySigned(crate::fact::TheySigned {
            adds,
            ..crate::fact::TheySigned::default()
        });
        let mut bytes = Vec::new();
        put(&signed, &mut bytes);
        assert_eq!(facts(&bytes), Ok(vec![signed]));
    }
}
