//! Losses over fees, reserves and dust: whatever the peer says, there is a commitment that Layer 1 takes.

use wire::feature::Feature;
use wire::message::{OpenChannel, UpdateFee};

use super::*;
use crate::clock::Side;
use crate::effect::CloseReason;
use crate::limits::Sendable;
use crate::signer::Signer as _;
use crate::tx::fee::trimmed;

/// The commitment that this end would broadcast now; Bitcoin takes it. Nothing is closed by that.
fn would_broadcast(node: &Node, byte: u8) -> Transaction {
    let mut copy = Node::new("a copy", byte);
    copy.channel = Some(node.channel().clone());
    copy.look();
    let tx = commitment(&mut copy);
    let state = node.channel().state().unwrap();
    assert!(is_valid(&tx, &state.funding_output().unwrap().to_txout()), "{}", node.name);
    tx
}

fn both_would_broadcast(world: &World) -> [Transaction; 2] {
    [would_broadcast(&world.nodes[ALICE], 1), would_broadcast(&world.nodes[BOB], 2)]
}

fn change_fee(node: &mut Node, feerate: FeeratePerKw) -> Result<Answer, Refusal> {
    let command = node.command_id();
    node.step(Event::Command(Command::UpdateFee { command, feerate }));
    node.answer(command)
}

/// Alice, who pays the fees, offers all that she can at once.
fn at_the_limit() -> World {
    let mut world = World::open(&Setup::default());
    let alice = &mut world.nodes[ALICE];
    let Sendable { max, .. } = alice.channel().sendable(&alice.policy);
    alice.offer(max.to_u64(), 1);
    world.settle();
    assert_eq!(world.nodes[ALICE].channel().outgoing().count(), 1, "quoted and taken");
    world
}

#[test]
fn c13_a_feerate_ten_times_higher_at_the_reserve_leaves_a_valid_commitment() {
    // LDK 0.1.4: a reserve of nothing and a rise of the feerate left no commitment that anybody could broadcast.
    let mut world = at_the_limit();
    let before = both_would_broadcast(&world);
    for times in [10, 20, 100] {
        // Of itself the funder does not ask for it.
        let feerate = FeeratePerKw(times * FEERATE.0);
        let refused = change_fee(&mut world.nodes[ALICE], feerate);
        assert_eq!(refused, Err(Refusal::CannotAffordFee { feerate }));
    }
    assert_eq!(both_would_broadcast(&world), before);
    for times in 1..=100 {
        // A funder that asks all the same is heard as long as it can pay, and believed when it has signed.
        let mut world = at_the_limit();
        let bob = &mut world.nodes[BOB];
        let channel_id = bob.channel().id();
        let feerate_per_kw = FeeratePerKw(times * FEERATE.0);
        bob.step(Event::Peer(UpdateFee { channel_id, feerate_per_kw }.into()));
        let heard = bob.channel().stage();
        let faulty = Stage::Failing(CloseReason::Fault(PeerFault::CannotAffordFee));
        assert!(heard == Stage::Open || heard == faulty, "{times}: {heard:?}");
        assert_eq!(heard == Stage::Open, times <= 9, "{times}: what is left pays for nine times");
        let sent = bob.seen.iter().find_map(|effect| match effect {
            Effect::Broadcast { tx, .. } => Some(tx.clone()),
            _ => None,
        });
        let tx = sent.unwrap_or_else(|| would_broadcast(bob, 2));
        assert_eq!(tx, before[BOB], "{times}: the newest that both signed");
    }
}

#[test]
fn c20_a_funder_at_its_limit_pays_twice_the_feerate_and_one_htlc_more() {
    // The channel was stuck: no HTLC could be added and no fee be changed, because nobody could pay for it.
    let mut world = at_the_limit();
    let feerate = FeeratePerKw(2 * FEERATE.0);
    assert_eq!(change_fee(&mut world.nodes[ALICE], feerate), Ok(Answer::Done));
    world.settle();
    assert_eq!(world.nodes[BOB].channel().feerate(), Some(feerate));
    both_would_broadcast(&world);
    let bob = &mut world.nodes[BOB];
    bob.offer(100_000_000, 2);
    world.settle();
    assert_eq!(world.nodes[ALICE].channel().incoming().count(), 1);
    let htlcs = both_would_broadcast(&world).map(|tx| tx.output.len());
    assert_eq!(htlcs, [6, 6], "two balances, two anchors and two HTLCs");
    // And everything comes back again.
    let bob = &mut world.nodes[BOB];
    let (command, preimage) = (bob.command_id(), preimage(1));
    let fulfill = Command::FulfillHtlc { command, htlc: 0, preimage, attribution: None };
    bob.step(Event::Command(fulfill));
    world.settle();
    both_would_broadcast(&world);
}

#[test]
fn c21_a_feerate_that_nobody_relays_or_that_burns_money_is_not_taken_with_htlcs_in_flight() {
    let bounds = Policy::default();
    let (least, most) = (bounds.feerate_min.0, bounds.feerate_max.0);
    for feerate in [0, 1, least - 1, least, least + 1, most, most + 1, u32::MAX] {
        for from in [ALICE, BOB] {
            let mut world = busy();
            let before = both_would_broadcast(&world);
            let hearer = &mut world.nodes[1 - from];
            let channel_id = hearer.channel().id();
            let feerate_per_kw = FeeratePerKw(feerate);
            hearer.step(Event::Peer(UpdateFee { channel_id, feerate_per_kw }.into()));
            let stage = hearer.channel().stage();
            let hung_up = hearer.seen.iter().any(|effect| matches!(effect, Effect::Disconnect));
            let failing = |fault| Stage::Failing(CloseReason::Fault(fault));
            if from == BOB {
                assert_eq!(stage, failing(PeerFault::FeeFromNonFunder), "{feerate}");
            } else if feerate < least || feerate > most {
                assert!(stage == Stage::Open && hung_up, "{feerate}: {stage:?}");
                // What was only said is forgotten with the connection.
                world.reconnect();
                world.settle();
                assert!(world.nodes.iter().all(|node| node.channel().feerate() == Some(FEERATE)));
                assert_eq!(both_would_broadcast(&world), before);
                continue;
            } else {
                assert!(stage == Stage::Open && !hung_up, "{feerate}: Alice can pay that");
            }
            let sent = world.nodes[1 - from].seen.iter().find_map(|effect| match effect {
                Effect::Broadcast { tx, .. } => Some(tx.clone()),
                _ => None,
            });
            assert!(sent.is_none_or(|tx| tx == before[1 - from]), "{feerate}: what both signed");
        }
    }
}

#[test]
fn c16_a_signature_that_nobody_relays_revokes_nothing() {
    // CVE-2020-26895: high-S signatures were taken, and the close could not be broadcast.
    for which in [None, Some(0), Some(1)] {
        let mut world = World::open(&Setup::default());
        for payment in 1..3 {
            world.nodes[ALICE].offer(20_000_000, payment);
        }
        world.nodes[ALICE].step(Event::Commit);
        let mut said: Vec<Message> = world.nodes[ALICE].outbox.drain(..).collect();
        let Some(Message::CommitmentSigned(mut signed)) = said.pop() else { panic!("she signs") };
        assert_eq!(signed.htlc_signature.len(), 2);
        let signature =
            which.map_or(&mut signed.signature, |at: usize| &mut signed.htlc_signature[at]);
        *signature = high_s(*signature);
        let bob = &mut world.nodes[BOB];
        let before = would_broadcast(bob, 2);
        for message in said {
            bob.step(Event::Peer(message));
        }
        bob.step(Event::Peer(signed.into()));
        let fault = match which {
            None => PeerFault::BadCommitmentSignature,
            Some(_) => PeerFault::BadHtlcSignature,
        };
        assert_eq!(bob.channel().stage(), Stage::Failing(CloseReason::Fault(fault)));
        let revoked = |message: &Message| matches!(message, Message::RevokeAndAck(_));
        assert!(!bob.outbox.iter().any(revoked));
        let sent = bob.seen.iter().find_map(|effect| match effect {
            Effect::Broadcast { tx, .. } => Some(tx.clone()),
            _ => None,
        });
        assert_eq!(sent, Some(before), "the one before it, which everybody relays");
    }
}

#[test]
fn c17_dust_that_a_close_would_burn_stays_below_the_cap_whatever_the_peer_adds() {
    // CVE-2021-41591: HTLCs without outputs added up to most of the channel, and a close gave them to miners.
    let cap = msat(1_000_000);
    let mut world = World::open(&Setup::default());
    world.nodes[BOB].policy.dust_exposure_max = cap;
    for payment in 1..=20 {
        world.nodes[ALICE].offer(300_000, payment);
    }
    world.settle();
    let bob = &mut world.nodes[BOB];
    let passed_on = bob.look().into_iter().filter_map(|effect| match effect {
        Effect::Incoming(htlc) => Some(htlc),
        _ => None,
    });
    let (good, bad): (Vec<_>, Vec<_>) = passed_on.partition(|htlc| !htlc.overexposed);
    assert_eq!((good.len(), bad.len()), (3, 17), "what is good may be paid for");
    let paid: u64 = good.iter().map(|htlc| htlc.amount_msat.to_u64()).sum();
    assert!(paid <= cap.to_u64());
    // And of ours no more than that goes out.
    let (mut flying, limit_msat) = (6_000_000, cap.to_u64());
    let command = bob.offer(100_000, 30);
    bob.flush();
    assert_eq!(bob.answer(command), Err(Refusal::DustExposure { limit_msat }));
    for htlc in &bad {
        let (command, htlc) = (bob.command_id(), htlc.id);
        let fail = Command::FailHtlc { command, htlc, reason: vec![], attribution: None };
        bob.step(Event::Command(fail));
        flying -= 300_000;
    }
    world.settle();
    let totals = world.nodes[BOB].channel().totals().unwrap();
    assert_eq!((totals.on_ours.dust_msat, totals.on_theirs.dust_msat), (flying, flying));
    assert!(flying <= cap.to_u64());
}

#[test]
fn c18_what_counts_as_dust_is_what_has_no_output() {
    // LDK 0.1.5: it was computed in one way when an HTLC was taken and in another when it was built.
    for feerate in [253, 1_000, 5_000] {
        let setup = Setup { feerate: FeeratePerKw(feerate), ..Setup::default() };
        let mut world = World::open(&setup);
        let amounts = [353_000, 353_999, 354_000, 354_001, 545_999, 546_000, 546_001, 900_000];
        for (payment, amount) in (1..).zip(amounts) {
            world.nodes[ALICE].offer(amount, payment);
            world.nodes[BOB].offer(amount, 10 + payment);
        }
        world.settle();
        for (node, byte) in world.nodes.iter().zip([1, 2]) {
            let totals = node.channel().totals().unwrap();
            let limit = node.channel().terms().unwrap().us.dust_limit;
            let outputs = would_broadcast(node, byte).output.len() - 4;
            assert_eq!(outputs, totals.on_ours.untrimmed, "{feerate}: {}", node.name);
            let (dust, shown): (Vec<u64>, Vec<u64>) =
                amounts.iter().partition(|amount| trimmed(msat(**amount), limit));
            assert_eq!(outputs, 2 * shown.len());
            assert_eq!(totals.on_ours.dust_msat, 2 * dust.iter().sum::<u64>());
        }
    }
}

#[test]
fn c58_only_channels_whose_htlc_transactions_pay_nothing_are_opened() {
    // Anchors of the first kind: whoever broadcast an HTLC transaction could take its fee for himself.
    let setup = Setup::default();
    let world = World::asking(&setup);
    let Some(Message::OpenChannel(asked)) = world.nodes[ALICE].outbox.front().cloned() else {
        panic!("alice asks")
    };
    let offered = asked.channel_type.clone().expect("a type");
    assert!(offered.is_our_channel_type());
    // `option_anchor_outputs` is bit 20.
    for bits in [&[][..], &[12], &[20], &[12, 20], &[12, 20, 22], &[22], &[12, 22, 24]] {
        let mut kind = Features::empty();
        for bit in bits {
            kind.set(*bit);
        }
        let asked = OpenChannel { channel_type: Some(kind), ..*asked.clone() };
        let bob = &world.nodes[BOB];
        let refused = Channel::accept(&asked, setup.accept_terms(), &bob.env());
        assert_eq!(refused.err(), Some(PeerFault::BadChannelType), "{bits:?}");
    }
    assert_eq!(offered, Features::required(&[Feature::StaticRemotekey, Feature::Anchors]));
    // So what the peer signed of ours gives nothing away, and what we sign nobody can add to.
    let mut world = busy();
    let tx = commitment(&mut world.nodes[BOB]);
    let bob = &mut world.nodes[BOB];
    bob.height = EXPIRY;
    bob.step(Event::Chain(ChainFact::FundingSpent { tx, height: BlockHeight(EXPIRY) }));
    let own = |claim: &Claim| claim.htlc == Some((Side::Us, 0));
    let claim = claims(bob).unwrap().into_iter().find(own).expect("his HTLC");
    let paired = claim.spend.paired_output().expect("an HTLC transaction").clone();
    assert_eq!(paired.value, claim.spend.value, "all of it");
    let mut tx = funding_tx(script(7), Sat::from_sat(700));
    tx.input[0].previous_output = claim.spend.outpoint;
    tx.input[0].sequence = Sequence(1);
    tx.lock_time = claim.spend.lock_time();
    tx.output = vec![paired];
    bob.signer.sign_spends(&mut tx, &[&claim.spend]).unwrap();
    let witness: Vec<&[u8]> = tx.input[0].witness.iter().collect();
    let (theirs, ours) = (witness[1].last(), witness[2].last());
    assert_eq!((theirs, ours), (Some(&0x83), Some(&0x01)), "SINGLE|ANYONECANPAY, and ALL");
}
