//! Every message in every state: nothing panics, and no state is lost. So do stored bytes of any kind.

use proptest::prelude::*;
use wire::id::Signature;
use wire::message::*;
use wire::units::BlockHeight;

use super::*;
use crate::signer::Signer as _;

/// One of each message a peer can send about a channel, with numbers that fit and numbers that do not.
fn messages(id: ChannelId, world: &World) -> Vec<Message> {
    let point = world.nodes[ALICE].signer.basepoints().funding;
    let signature = Signature([1; 64]);
    let mut all: Vec<Message> = vec![
        Error { channel_id: id, data: b"x".to_vec() }.into(),
        Warning { channel_id: id, data: vec![0xff; 4_000] }.into(),
        FundingCreated {
            temporary_channel_id: id,
            funding_txid: funding_tx(script(1), Sat::ZERO).compute_txid(),
            funding_output_index: u16::MAX,
            signature,
        }
        .into(),
        FundingSigned { channel_id: id, signature }.into(),
        ChannelReady { channel_id: id, second_per_commitment_point: point, short_channel_id: None }
            .into(),
        Shutdown { channel_id: id, scriptpubkey: script(6) }.into(),
        Shutdown { channel_id: id, scriptpubkey: ScriptBuf::new() }.into(),
        UpdateFee { channel_id: id, feerate_per_kw: FeeratePerKw(0) }.into(),
        UpdateFee { channel_id: id, feerate_per_kw: FeeratePerKw(1_500) }.into(),
        UpdateFee { channel_id: id, feerate_per_kw: FeeratePerKw(u32::MAX) }.into(),
        CommitmentSigned {
            channel_id: id,
            signature,
            htlc_signature: vec![signature; 483],
            funding_txid: None,
        }
        .into(),
        CommitmentSigned {
            channel_id: id,
            signature,
            htlc_signature: vec![],
            funding_txid: Some(funding_tx(script(1), Sat::ZERO).compute_txid()),
        }
        .into(),
        RevokeAndAck {
            channel_id: id,
            per_commitment_secret: [0; 32],
            next_per_commitment_point: point,
        }
        .into(),
        RevokeAndAck {
            channel_id: id,
            per_commitment_secret: [1; 32],
            next_per_commitment_point: point,
        }
        .into(),
        Stfu { channel_id: id, initiator: 1 }.into(),
        TxAbort { channel_id: id, data: vec![] }.into(),
        TxComplete { channel_id: id }.into(),
        AnnouncementSignatures {
            channel_id: id,
            short_channel_id: ShortChannelId::from_u64(1),
            node_signature: signature,
            bitcoin_signature: signature,
        }
        .into(),
    ];
    for number in [0, 1, 2, 1 << 47, u64::MAX] {
        all.push(
            UpdateFulfillHtlc {
                channel_id: id,
                id: number,
                payment_preimage: preimage(1),
                attribution_data: None,
            }
            .into(),
        );
        all.push(
            UpdateFailHtlc {
                channel_id: id,
                id: number,
                reason: vec![0; 65_000],
                attribution_data: None,
            }
            .into(),
        );
        for failure_code in [0, 0x8005] {
            let sha256_of_onion = [0; 32];
            all.push(
                UpdateFailMalformedHtlc {
                    channel_id: id,
                    id: number,
                    sha256_of_onion,
                    failure_code,
                }
                .into(),
            );
        }
        all.push(
            ChannelReestablish {
                channel_id: id,
                next_commitment_number: number,
                next_revocation_number: number,
                your_last_per_commitment_secret: [0; 32],
                my_current_per_commitment_point: point,
                next_funding: None,
                my_current_funding_locked: None,
            }
            .into(),
        );
        all.push(
            ClosingSigned {
                channel_id: id,
                fee_satoshis: Sat::from_sat(number.min(Sat::MAX_MONEY.to_sat())),
                signature,
                fee_range: Some(FeeRange { min_fee_satoshis: number, max_fee_satoshis: 0 }),
            }
            .into(),
        );
        for (amount, expiry) in
            [(0, 600), (1_000, 0), (1_000_000, 600), (u64::MAX >> 14, 500_000_000)]
        {
            all.push(
                UpdateAddHtlc {
                    channel_id: id,
                    id: number,
                    amount_msat: msat(amount.min(Msat::MAX.to_u64())),
                    payment_hash: preimage(9).hash(),
                    cltv_expiry: BlockHeight(expiry),
                    onion_routing_packet: onion(9),
                    path_key: Some(point),
                    accountable: Some(vec![7]),
                }
                .into(),
            );
        }
    }
    all
}

/// Worlds in every state there is, by name.
fn worlds() -> Vec<(&'static str, World)> {
    let setup = Setup::default();
    let mut all = vec![("asked", World::asking(&setup))];
    let mut accepted = World::asking(&setup);
    accepted.accept(&setup);
    accepted.settle_wire();
    all.push(("accepted", accepted));
    let mut named = World::asking(&setup);
    named.accept(&setup);
    named.settle_wire();
    named.fund();
    all.push(("named", named));
    all.push(("funded", World::funded(&setup).0));
    let (mut half, tx) = World::funded(&setup);
    half.nodes[ALICE].step(confirmed(&tx, HEIGHT));
    half.nodes[ALICE].height += 2;
    half.nodes[ALICE].step(Event::Chain(ChainFact::Tip));
    half.settle_wire();
    all.push(("one end is ready", half));
    all.push(("open", World::open(&setup)));
    let busy = || {
        let mut world = World::open(&setup);
        world.nodes[ALICE].offer(20_000_000, 1);
        world.nodes[BOB].offer(100_000, 2);
        world.settle();
        world.nodes[ALICE].offer(20_000_000, 3);
        world.nodes[ALICE].step(Event::Commit);
        world.nodes[BOB].offer(30_000_000, 4);
        world.nodes.iter_mut().for_each(Node::flush);
        world
    };
    all.push(("busy", busy()));
    let mut down = busy();
    down.nodes.iter_mut().for_each(Node::disconnect);
    all.push(("down", down));
    let mut syncing = busy();
    for node in &mut syncing.nodes {
        node.disconnect();
        node.connect();
    }
    all.push(("syncing", syncing));
    let shut = |mut world: World| {
        let command = world.nodes[ALICE].command_id();
        let shutdown = Command::Shutdown { command, script: None, feerate: FEERATE };
        world.nodes[ALICE].step(Event::Command(shutdown));
        world.settle();
        world
    };
    all.push(("shutting down", shut(busy())));
    all.push(("closed", shut(World::open(&setup))));
    let mut failing = busy();
    for node in &mut failing.nodes {
        let command = node.command_id();
        node.step(Event::Command(Command::ForceClose { command }));
    }
    all.push(("failing", failing));
    let mut spent = busy();
    let tx = funding_tx(script(5), Sat::from_sat(10));
    for node in &mut spent.nodes {
        let height = BlockHeight(HEIGHT + 2);
        node.step(Event::Chain(ChainFact::FundingSpent { tx: tx.clone(), height }));
    }
    all.push(("spent by a stranger", spent));
    all
}

#[test]
fn no_message_panics_or_loses_state_in_any_phase() {
    let mut heard = 0;
    for (name, world) in &worlds() {
        for who in 0..2 {
            let Some(before) = world.nodes[who].channel.clone() else { continue };
            for message in messages(before.id(), world) {
                let env = world.nodes[who].env();
                let kind = message.kind();
                let step = before.clone().step(Event::Peer(message), &env);
                let mut disk = Disk::default();
                let (after, _) = step.stage(&mut disk);
                heard += 1;
                let Some(state) = before.state() else { continue };
                assert!(after.state().is_some(), "{name}: {kind} loses the channel");
                // What the records make of it is what it is.
                let mut rebuilt = Channel::decode_snapshot(&before.encode_snapshot()).unwrap();
                for record in &disk.records {
                    rebuilt.replay(record).unwrap();
                }
                let (gone, _) =
                    after.step(Event::Link(Link::Down), &env).stage(&mut Disk::default());
                assert!(rebuilt.state() == gone.state(), "{name}: {kind}");
                assert_eq!(rebuilt.state().unwrap().terms, state.terms);
            }
        }
    }
    println!("{heard} messages heard");
}

#[test]
fn no_command_or_chain_fact_panics_in_any_phase() {
    for (name, world) in &worlds() {
        for who in 0..2 {
            let Some(before) = world.nodes[who].channel.clone() else { continue };
            let env = world.nodes[who].env();
            let command = CommandId(77);
            let commands = [
                Command::FulfillHtlc { command, htlc: 0, preimage: preimage(1), attribution: None },
                Command::FailHtlc { command, htlc: 9, reason: vec![], attribution: None },
                Command::FailHtlc { command, htlc: 0, reason: vec![0; 70_000], attribution: None },
                Command::FailMalformedHtlc {
                    command,
                    htlc: 0,
                    sha256_of_onion: [0; 32],
                    failure_code: 1,
                },
                Command::UpdateFee { command, feerate: FeeratePerKw(1) },
                Command::Shutdown { command, script: None, feerate: FEERATE },
                Command::ForceClose { command },
            ];
            for asked in commands {
                let shown = format!("{asked:?}");
                let (after, sealed) =
                    (before.clone().step(Event::Command(asked), &env)).stage(&mut Disk::default());
                let effects = sealed.open(Flushed::attest(Lsn(u64::MAX))).unwrap();
                let answers = effects
                    .iter()
                    .filter(|effect| matches!(effect, Effect::Answer(id, _) if *id == command));
                // A shutdown that waits for a signature is answered when it goes out.
                let waits =
                    after.is_usable() != before.is_usable() && shown.starts_with("Shutdown");
                assert!(answers.count() == 1 || waits, "{name}: {shown} {effects:?}");
            }
            for fact in [
                ChainFact::Tip,
                ChainFact::FundingUnconfirmed,
                ChainFact::FundingUnspent,
                ChainFact::OutputUnspent { outpoint: OutPoint::null() },
            ] {
                let step = before.clone().step(Event::Chain(fact), &env);
                let (_, _) = step.stage(&mut Disk::default());
            }
        }
    }
}

#[test]
fn no_peer_fails_htlcs_with_more_than_a_record_can_hold() {
    const JOURNAL_MAX: usize = 16 << 20;
    for (said, kept) in [(8_192, 8_192), (8_193, 0), (65_000, 0)] {
        let mut world = World::open(&Setup::default());
        world.nodes[ALICE].offer(20_000_000, 1);
        world.settle();
        world.nodes[ALICE].look();
        let command = world.nodes[BOB].command_id();
        let (reason, attribution) = (vec![7; said], Some(AttributionData::from([7; 920])));
        let fail = Command::FailHtlc { command, htlc: 0, reason, attribution };
        world.nodes[BOB].step(Event::Command(fail));
        world.settle();
        let alice = &world.nodes[ALICE];
        let resolved: Vec<_> = alice.channel().resolved().map(|ended| ended.outcome).collect();
        let [Outcome::Failed { reason, .. }] = &resolved[..] else { panic!("{resolved:?}") };
        assert_eq!(reason.len(), kept);
        let largest = alice.disk.records.iter().map(Vec::len).max().unwrap();
        assert!(largest * 483 < JOURNAL_MAX, "{said}: {largest}");
    }
}

proptest! {
    #[test]
    fn stored_bytes_of_any_kind_are_an_error_and_no_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..400),
        cut in 0_usize..4_000,
        flip in 0_usize..4_000,
    ) {
        let _ = Channel::restore(&bytes);
        let _ = Channel::decode_snapshot(&bytes);
        let _ = record::facts(&bytes);
        let mut stored = SNAPSHOT.with(Clone::clone);
        stored.truncate(cut.max(1));
        if let Some(byte) = stored.get_mut(flip) {
            *byte ^= 0x41;
        }
        let _ = Channel::decode_snapshot(&stored);
    }
}

thread_local! {
    static SNAPSHOT: Vec<u8> = {
        let mut world = World::open(&Setup::default());
        world.nodes[ALICE].offer(20_000_000, 1);
        world.settle();
        world.nodes[BOB].channel().encode_snapshot()
    };
}
