//! Whom to ask for what, and when again.

use tokio_util::sync::CancellationToken;
use wire::feature::Features;
use wire::message::{Encoded, Message, ReplyChannelRange};

use super::*;
use crate::edge::{Inbox, back};
use crate::peers::link::{OUTBOUND, Out};

const CHAIN: [u8; 32] = [6; 32];
const NOW: u32 = 1_790_000_000;

fn peer(number: u8, features: Features) -> (Link, Inbox<Out>) {
    let (out, outbox) = back(OUTBOUND);
    (Link::new(NodeId([number; 33]), 1, features, out, CancellationToken::new()), outbox)
}

fn said(outbox: &mut Inbox<Out>) -> Vec<Message> {
    let mut all = Vec::new();
    while let Ok(Out::Frame(frame)) = outbox.try_recv() {
        all.extend(Message::decode_frame(&frame).unwrap());
    }
    all
}

fn is_range(said: &[Message]) -> bool {
    matches!(said, [Message::QueryChannelRange(_)])
}

/// Answers a range question with nothing: the peer knows no channel.
fn answer(peers: &mut Peers, link: &Link, book: &Book) {
    let reply = ReplyChannelRange {
        chain_hash: CHAIN,
        first_blocknum: BlockHeight(0),
        number_of_blocks: u32::MAX,
        sync_complete: 1,
        encoded_short_ids: Encoded(Vec::new()),
        timestamps_tlv: None,
        checksums_tlv: None,
    };
    let peer = peers.get(link).unwrap();
    let last = peer.sync.on_range(book, &reply, NOW).unwrap().unwrap();
    assert!(matches!(last, Message::GossipTimestampFilter(_)));
}

fn extended() -> Features {
    Features::empty().and_optional(&[Feature::GossipQueries, Feature::GossipQueriesEx])
}

#[test]
fn what_was_dropped_is_asked_for_again_once_there_is_calm() {
    let book = Book::new(CHAIN);
    let mut peers = Peers::default();
    let (link, mut outbox) = peer(2, extended());
    peers.up(link.clone());
    let mut now_ms = 1_000_000;
    peers.ask(&book, NOW, now_ms);
    assert!(is_range(&said(&mut outbox)));
    answer(&mut peers, &link, &book);
    for _ in 0..100 {
        now_ms += 1_000;
        peers.ask(&book, NOW, now_ms);
    }
    assert_eq!(said(&mut outbox), [], "it told all that it has");

    link.lose();
    peers.ask(&book, NOW, now_ms);
    peers.ask(&book, NOW, now_ms + CALM_MS - 1);
    assert_eq!(said(&mut outbox), [], "while there is too much, no more is asked for");
    // More is dropped: the calm begins anew.
    link.lose();
    peers.ask(&book, NOW, now_ms + CALM_MS - 1);
    peers.ask(&book, NOW, now_ms + CALM_MS);
    assert_eq!(said(&mut outbox), []);
    now_ms += 2 * CALM_MS;
    peers.ask(&book, NOW, now_ms);
    assert!(is_range(&said(&mut outbox)), "what is missing is found by asking which there are");
    answer(&mut peers, &link, &book);
    peers.ask(&book, NOW, now_ms + CALM_MS);
    assert_eq!(said(&mut outbox), [], "once");
}

#[test]
fn what_a_peer_without_questions_told_in_vain_the_next_peer_is_asked_for() {
    let book = Book::new(CHAIN);
    let mut peers = Peers::default();
    let plain = Features::empty().and_optional(&[Feature::GossipQueries]);
    let (link, mut outbox) = peer(2, plain);
    peers.up(link.clone());
    peers.ask(&book, NOW, 1_000_000);
    assert!(matches!(said(&mut outbox)[..], [Message::GossipTimestampFilter(_)]));
    link.lose();
    peers.ask(&book, NOW, 1_000_001);
    peers.ask(&book, NOW, 1_000_001 + CALM_MS);
    assert_eq!(said(&mut outbox), [], "it would not tell a second time");
    let (other, mut others) = peer(3, extended());
    peers.up(other);
    peers.ask(&book, NOW, 1_000_002 + CALM_MS);
    assert!(is_range(&said(&mut others)));
}
