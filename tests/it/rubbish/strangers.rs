//! Strangers without a channel: noise that is no noise, messages that are none, floods, silence.

use std::time::Duration;

use bitcoin::Amount;
use daemon::rpc::node_api::NodeApi as _;
use secp256k1::{PublicKey, SECP256K1};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use viaduct_tests::until::until_async;
use wire::feature::Features;
use wire::id::{ChannelId, Signature};
use wire::message::{
    ChannelReestablish, CommitmentSigned, Error, FundingCreated, FundingSigned, Message,
    OpenChannel, Ping, RevokeAndAck, Shutdown,
};
use wire::units::{FeeratePerKw, Msat};

use super::stranger::{PATIENCE, Stranger, chain, init, key};
use crate::nodes::pair::{Pair, in_time, pay_some};

/// The node and its honest peer carry on: payments both ways over their channel, and strangers are heard.
async fn all_is_well(pair: &Pair) {
    pay_some(&pair.alice, &pair.bob, 30_000_000).await;
    pay_some(&pair.bob, &pair.alice, 1_000_000).await;
    let mut polite = Stranger::greeted(pair.alice.address(), pair.alice.id(), key(200)).await;
    assert!(polite.is_heard().await);
}

async fn stranger(pair: &Pair, byte: u8) -> Stranger {
    Stranger::greeted(pair.alice.address(), pair.alice.id(), key(byte)).await
}

/// Whether a socket is closed by the other end without another byte.
async fn closes_silently(socket: &mut TcpStream) -> bool {
    let mut byte = [0; 1];
    let read = tokio::time::timeout(PATIENCE, socket.read(&mut byte)).await;
    matches!(read, Ok(Ok(0) | Err(_)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_handshake_is_closed_without_an_answer() {
    in_time(async {
        let (pair, _id) = Pair::with_channel().await;
        let good = {
            let them = PublicKey::from_slice(&pair.alice.id().0).unwrap();
            wire::noise::Initiator::start(key(1), key(2), &them).0
        };
        let mut wrong_version = good;
        wrong_version[0] = 1;
        let mut wrong_key = good;
        wrong_key[1] = 5;
        let mut wrong_tag = good;
        wrong_tag[49] ^= 1;
        let other = PublicKey::from_secret_key(SECP256K1, &key(77));
        let (for_another, _) = wire::noise::Initiator::start(key(1), key(2), &other);
        for bytes in [wrong_version, wrong_key, wrong_tag, for_another, [0; 50], [255; 50]] {
            let mut socket = TcpStream::connect(pair.alice.address()).await.unwrap();
            socket.write_all(&bytes).await.unwrap();
            assert!(closes_silently(&mut socket).await);
        }
        // Somebody who takes us for a web server.
        let mut socket = TcpStream::connect(pair.alice.address()).await.unwrap();
        socket
            .write_all(b"GET / HTTP/1.1\r\nHost: example.org\r\nAccept: */*\r\n\r\n")
            .await
            .unwrap();
        assert!(closes_silently(&mut socket).await);
        // Act three that was tampered with, one byte at a time.
        for place in 0..66 {
            let mut socket = TcpStream::connect(pair.alice.address()).await.unwrap();
            let them = PublicKey::from_slice(&pair.alice.id().0).unwrap();
            let (act, expect) = wire::noise::Initiator::start(key(1), key(2), &them);
            socket.write_all(&act).await.unwrap();
            let mut act = [0; 50];
            socket.read_exact(&mut act).await.unwrap();
            let (mut act, _keys) = expect.act_two(&act).unwrap();
            act[place] ^= 0x40;
            socket.write_all(&act).await.unwrap();
            assert!(closes_silently(&mut socket).await, "byte {place}");
        }
        all_is_well(&pair).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_does_not_begin_with_a_fitting_init_is_dropped() {
    in_time(async {
        let (pair, _id) = Pair::with_channel().await;
        let odd_one = Features::from_bits([1_001]);
        let good = Features::init();
        let unknown_even = good.union(&Features::from_bits([1_000]));
        // BOLT 9: basic_mpp needs payment_secret.
        let lacking = Features::from_bits([16]);
        let ping: Message = Ping { num_pong_bytes: 1, ignored: Vec::new() }.into();
        let wrong = [
            ("an unknown even feature", init(unknown_even, vec![chain()]).encode_frame()),
            ("a feature without what it needs", init(lacking, vec![chain()]).encode_frame()),
            ("another chain", init(good.clone(), vec![[9; 32]]).encode_frame()),
            ("a ping first", ping.encode_frame()),
            ("an unknown odd message first", vec![0xff, 0xff, 1, 2, 3]),
            ("an empty message", vec![]),
            ("half a type", vec![0]),
            ("half an init", vec![0, 16, 0, 0, 0]),
        ];
        for (what, bytes) in wrong {
            let dialled = Stranger::dial(pair.alice.address(), pair.alice.id(), key(3)).await;
            let mut stranger = dialled.expect("a handshake");
            stranger.say_frame(&bytes).await;
            let said = tokio::time::timeout(Duration::from_secs(15), stranger.last_words()).await;
            let said = said.unwrap_or_else(|_| panic!("{what}: not hung up"));
            assert!(matches!(said[..], [Message::Init(_)]), "{what}: {said:?}");
        }
        // What we do not know and need not know does no harm.
        let dialled = Stranger::dial(pair.alice.address(), pair.alice.id(), key(3)).await;
        let mut stranger = dialled.expect("a handshake");
        stranger.say(&init(good.union(&odd_one), vec![[9; 32], chain()])).await;
        assert!(stranger.is_heard().await);
        all_is_well(&pair).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_that_are_tampered_with_or_cut_end_the_connection() {
    in_time(async {
        let (pair, _id) = Pair::with_channel().await;
        let mut noise = stranger(&pair, 4).await;
        noise.say_bytes(&[0x5a; 200]).await;
        noise.last_words().await;
        for length in [0, 1] {
            let mut short = stranger(&pair, 4).await;
            short.say_frame(&vec![0xff; length]).await;
            short.last_words().await;
        }
        // The longest frame there is, of a type that may be ignored, is no fault.
        let mut long = stranger(&pair, 4).await;
        assert!(long.say_frame(&vec![0xff; 65_535]).await);
        assert!(long.is_heard().await);
        // A frame that never ends: the header of a long one, and silence; the next one does not wait.
        let mut half = stranger(&pair, 5).await;
        half.say_bytes(&[1; 10]).await;
        all_is_well(&pair).await;
        drop(half);
        all_is_well(&pair).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_odd_messages_are_ignored_and_unknown_even_ones_end_the_connection() {
    in_time(async {
        let (pair, _id) = Pair::with_channel().await;
        let mut talker = stranger(&pair, 6).await;
        for number in [61_u16, 9_999, 44_001, 65_535] {
            let mut frame = number.to_be_bytes().to_vec();
            frame.extend_from_slice(b"experimental");
            talker.say_frame(&frame).await;
            assert!(talker.is_heard().await, "{number}");
        }
        for number in [60_u16, 9_998, 44_000, 65_534] {
            let mut talker = stranger(&pair, 6).await;
            let mut frame = number.to_be_bytes().to_vec();
            frame.extend_from_slice(b"experimental");
            talker.say_frame(&frame).await;
            talker.last_words().await;
        }
        all_is_well(&pair).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_that_are_random_cut_or_endless_never_bring_the_node_down() {
    in_time(async {
        let (pair, _id) = Pair::with_channel().await;
        let mut random = vec![0; 65_533];
        getrandom::fill(&mut random).unwrap();
        let known = (1..=136).chain(256..=270).chain([511, 513]);
        let mut line = stranger(&pair, 7).await;
        for number in known {
            let number: u16 = number;
            for body in [&[][..], &[0xff][..], &random[..97], &random[..1_500], &[0; 65_533][..]] {
                let mut frame = number.to_be_bytes().to_vec();
                frame.extend_from_slice(body);
                let written = line.say_frame(&frame).await;
                if !written || !line.is_heard().await {
                    line = stranger(&pair, 7).await;
                }
            }
        }
        all_is_well(&pair).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_for_channels_that_do_not_exist_change_nothing() {
    in_time(async {
        let (pair, id) = Pair::with_channel().await;
        let mut line = stranger(&pair, 8).await;
        let point = PublicKey::from_secret_key(SECP256K1, &key(8));
        let reestablish = |channel_id| -> Message {
            ChannelReestablish {
                channel_id,
                next_commitment_number: 1,
                next_revocation_number: 0,
                your_last_per_commitment_secret: [0; 32],
                my_current_per_commitment_point: point,
                next_funding: None,
                my_current_funding_locked: None,
            }
            .into()
        };
        line.say(&reestablish(ChannelId([5; 32]))).await;
        let Some(Message::Error(error)) = line.hear().await else { panic!("an error is due") };
        assert_eq!(error.channel_id, ChannelId([5; 32]));
        // The channel of somebody else is as unknown as any.
        line.say(&reestablish(id)).await;
        let Some(Message::Error(error)) = line.hear().await else { panic!("an error is due") };
        assert_eq!(error.channel_id, id);
        for channel_id in [id, ChannelId([6; 32]), ChannelId::ALL] {
            let rest: [Message; 6] = [
                Error { channel_id, data: b"you are all wrong".to_vec() }.into(),
                CommitmentSigned {
                    channel_id,
                    signature: Signature([1; 64]),
                    htlc_signature: Vec::new(),
                    funding_txid: None,
                }
                .into(),
                RevokeAndAck {
                    channel_id,
                    per_commitment_secret: [1; 32],
                    next_per_commitment_point: point,
                }
                .into(),
                Shutdown { channel_id, scriptpubkey: bitcoin::ScriptBuf::new() }.into(),
                FundingSigned { channel_id, signature: Signature([1; 64]) }.into(),
                FundingCreated {
                    temporary_channel_id: channel_id,
                    funding_txid: bitcoin::hashes::Hash::all_zeros(),
                    funding_output_index: 0,
                    signature: Signature([1; 64]),
                }
                .into(),
            ];
            for message in rest {
                line.say(&message).await;
            }
        }
        assert!(line.is_heard().await);
        let view = pair.agree(id).await;
        assert_eq!(view.phase, daemon::rpc::model::channel::ChannelPhase::Open);
        all_is_well(&pair).await;
    })
    .await;
}

/// What makes terms bad.
type Spoil = Box<dyn Fn(&mut OpenChannel)>;

/// An `open_channel` that a node takes.
fn open(number: u8) -> OpenChannel {
    let point = |byte| PublicKey::from_secret_key(SECP256K1, &key(byte));
    OpenChannel {
        chain_hash: chain(),
        temporary_channel_id: ChannelId([number; 32]),
        funding_satoshis: Amount::from_sat(1_000_000),
        push_msat: Msat::ZERO,
        dust_limit_satoshis: Amount::from_sat(354),
        max_htlc_value_in_flight_msat: 1_000_000_000,
        channel_reserve_satoshis: Amount::from_sat(10_000),
        htlc_minimum_msat: Msat::new(1).unwrap(),
        feerate_per_kw: FeeratePerKw(1_000),
        to_self_delay: 144,
        max_accepted_htlcs: 483,
        funding_pubkey: point(10),
        revocation_basepoint: point(11),
        payment_basepoint: point(12),
        delayed_payment_basepoint: point(13),
        htlc_basepoint: point(14),
        first_per_commitment_point: point(15),
        channel_flags: 0,
        upfront_shutdown_script: None,
        channel_type: Some(Features::channel_type(false, false)),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn opens_that_never_end_are_few_and_those_with_bad_terms_are_refused() {
    in_time(async {
        let (pair, _id) = Pair::with_channel().await;
        let mut line = stranger(&pair, 9).await;
        for number in 1..=100 {
            line.say(&open(number).into()).await;
        }
        let (mut taken, mut refused) = (0, 0);
        for _ in 0..100 {
            match line.hear().await {
                Some(Message::AcceptChannel(_)) => taken += 1,
                Some(Message::Error(_)) => refused += 1,
                other => panic!("{other:?}"),
            }
        }
        assert!((1..=8).contains(&taken), "{taken} taken, {refused} refused");
        // A signature that signs nothing ends one of them.
        line.say(
            &FundingCreated {
                temporary_channel_id: ChannelId([1; 32]),
                funding_txid: bitcoin::hashes::Hash::all_zeros(),
                funding_output_index: 0,
                signature: Signature([7; 64]),
            }
            .into(),
        )
        .await;
        let answer = line.hear().await;
        assert!(matches!(answer, Some(Message::Error(_)) | None), "{answer:?}");
        drop(line);
        until_async("opens to be forgotten with their connection", String::new, || async {
            (pair.alice.channels().await.len() == 1).then_some(())
        })
        .await;

        let wrong: Vec<(&str, Spoil)> = vec![
            ("another chain", Box::new(|open| open.chain_hash = [1; 32])),
            ("too small", Box::new(|open| open.funding_satoshis = Amount::from_sat(999))),
            ("no money", Box::new(|open| open.funding_satoshis = Amount::ZERO)),
            (
                "a gift too large",
                Box::new(|open| open.push_msat = Msat::new(1_000_000_001).unwrap()),
            ),
            ("no HTLCs", Box::new(|open| open.max_accepted_htlcs = 0)),
            ("too many HTLCs", Box::new(|open| open.max_accepted_htlcs = 484)),
            ("a delay for ever", Box::new(|open| open.to_self_delay = u16::MAX)),
            ("dust", Box::new(|open| open.dust_limit_satoshis = Amount::from_sat(1))),
            (
                "a reserve of all",
                Box::new(|open| {
                    open.channel_reserve_satoshis = Amount::from_sat(1_000_000);
                }),
            ),
            ("no fee", Box::new(|open| open.feerate_per_kw = FeeratePerKw(1))),
            ("all as fee", Box::new(|open| open.feerate_per_kw = FeeratePerKw(u32::MAX))),
            ("no type", Box::new(|open| open.channel_type = None)),
            ("another type", Box::new(|open| open.channel_type = Some(Features::empty()))),
        ];
        let mut line = stranger(&pair, 10).await;
        for (what, spoil) in wrong {
            let mut open = open(50);
            spoil(&mut open);
            line.say(&open.into()).await;
            let answer = line.hear().await;
            assert!(matches!(answer, Some(Message::Error(_))), "{what}: {answer:?}");
        }
        line.say(&open(51).into()).await;
        assert!(matches!(line.hear().await, Some(Message::AcceptChannel(_))));
        all_is_well(&pair).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_ends_the_connection_of_who_floods_and_nobody_elses() {
    in_time(async {
        let (pair, _id) = Pair::with_channel().await;
        // It asks for the largest answers and reads none of them.
        let mut greedy = stranger(&pair, 11).await;
        let ping: Message = Ping { num_pong_bytes: 65_531, ignored: vec![0; 1_000] }.into();
        let mut said = 0_u32;
        while said < 200_000 && greedy.say_frame(&ping.encode_frame()).await {
            said += 1;
        }
        assert!(said < 200_000, "it was dropped after {said} pings");
        // It talks of nothing, fast.
        let mut loud = stranger(&pair, 12).await;
        let mut gossip = 44_001_u16.to_be_bytes().to_vec();
        gossip.resize(60_000, 1);
        let mut said = 0_u32;
        while said < 5_000 && loud.say_frame(&gossip).await {
            said += 1;
        }
        assert!(said < 5_000, "it was dropped after {said} messages");
        all_is_well(&pair).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_half_open_handshakes_block_new_strangers_for_a_while_and_nothing_else() {
    in_time(async {
        let (pair, _id) = Pair::with_channel().await;
        let mut half_open = Vec::new();
        for _ in 0..100 {
            let mut socket = TcpStream::connect(pair.alice.address()).await.unwrap();
            socket.write_all(&[0; 20]).await.unwrap();
            half_open.push(socket);
        }
        let mut one_more = TcpStream::connect(pair.alice.address()).await.unwrap();
        let mut byte = [0; 1];
        let dropped = tokio::time::timeout(Duration::from_secs(5), one_more.read(&mut byte)).await;
        assert!(matches!(dropped, Ok(Ok(0) | Err(_))), "the 101st is dropped at once");
        pay_some(&pair.alice, &pair.bob, 30_000_000).await;
        pay_some(&pair.bob, &pair.alice, 1_000_000).await;
        // Those who do not finish are dropped, and there is room again.
        until_async("room for a stranger", String::new, || async {
            Stranger::dial(pair.alice.address(), pair.alice.id(), key(13)).await
        })
        .await;
        for socket in &mut half_open {
            assert!(closes_silently(socket).await);
        }
        let info = pair.alice.handle().info().await.unwrap();
        assert_eq!(info.channels_open, 1);
        all_is_well(&pair).await;
    })
    .await;
}
