//! Gates, pruning, queries and the asking of peers.

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::hashes::Hash as _;
use bitcoin::{OutPoint, Txid};
use proptest::prelude::*;
use secp256k1::{Message as Digest, PublicKey, SECP256K1, SecretKey};
use wire::codec::{BigSize, Rest};
use wire::feature::Features;
use wire::id::{NodeId, ShortChannelId, Signature};
use wire::message::{
    Addresses, ChannelAnnouncement, ChannelUpdate, Encoded, Message, NodeAnnouncement,
    QueryChannelRange, QueryShortChannelIds,
};
use wire::units::{BlockHeight, Sat};

use super::*;

const CHAIN: [u8; 32] = [6; 32];
const NOW: u32 = 1_790_000_000;
const CAPACITY: Sat = Sat::from_sat(1_000_000);

fn key(number: u8) -> SecretKey {
    SecretKey::from_slice(&[number; 32]).unwrap()
}

fn id(key: &SecretKey) -> NodeId {
    PublicKey::from_secret_key(SECP256K1, key).into()
}

fn sign(key: &SecretKey, digest: [u8; 32]) -> Signature {
    SECP256K1.sign_ecdsa(&Digest::from_digest(digest), key).into()
}

fn scid(block: u32, index: u32) -> ShortChannelId {
    ShortChannelId::from_parts(BlockHeight(block), index, 0).unwrap()
}

/// Both nodes, the lesser id first.
fn ends(one: u8, other: u8) -> [SecretKey; 2] {
    let mut ends = [key(one), key(other)];
    ends.sort_by_key(id);
    ends
}

fn announcement(one: u8, other: u8, scid: ShortChannelId) -> ChannelAnnouncement {
    let [first, second] = ends(one, other);
    let (key_1, key_2) = (key(one + 100), key(other + 100));
    let none = Signature([0; 64]);
    let mut all = ChannelAnnouncement {
        node_signature_1: none,
        node_signature_2: none,
        bitcoin_signature_1: none,
        bitcoin_signature_2: none,
        features: Features::empty(),
        chain_hash: CHAIN,
        short_channel_id: scid,
        node_id_1: id(&first),
        node_id_2: id(&second),
        bitcoin_key_1: id(&key_1),
        bitcoin_key_2: id(&key_2),
        extension: Rest(vec![1, 2, 3]),
    };
    let digest = all.digest();
    all.node_signature_1 = sign(&first, digest);
    all.node_signature_2 = sign(&second, digest);
    all.bitcoin_signature_1 = sign(&key_1, digest);
    all.bitcoin_signature_2 = sign(&key_2, digest);
    all
}

fn update(one: u8, other: u8, scid: ShortChannelId, side: u8, timestamp: u32) -> ChannelUpdate {
    let mut update = ChannelUpdate {
        signature: Signature([0; 64]),
        chain_hash: CHAIN,
        short_channel_id: scid,
        timestamp,
        message_flags: 1,
        channel_flags: side,
        cltv_expiry_delta: 80,
        htlc_minimum_msat: 1,
        fee_base_msat: 1_000,
        fee_proportional_millionths: 100,
        htlc_maximum_msat: 900_000_000,
        extension: Rest(Vec::new()),
    };
    resign(&mut update, one, other);
    update
}

fn resign(update: &mut ChannelUpdate, one: u8, other: u8) {
    let signer = ends(one, other)[usize::from(update.is_of_second_node())];
    update.signature = sign(&signer, update.digest());
}

fn node(number: u8, timestamp: u32) -> NodeAnnouncement {
    let mut node = NodeAnnouncement {
        signature: Signature([0; 64]),
        features: Features::empty(),
        timestamp,
        node_id: id(&key(number)),
        rgb_color: [1, 2, 3],
        alias: [0; 32],
        addresses: Addresses::default(),
        extension: Rest(Vec::new()),
    };
    node.signature = sign(&key(number), node.digest());
    node
}

fn funding(scid: ShortChannelId) -> (OutPoint, Sat) {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&scid.to_u64().to_be_bytes());
    (OutPoint { txid: Txid::from_byte_array(bytes), vout: 0 }, CAPACITY)
}

fn place(at: u64) -> Place {
    Place { at, len: 1 }
}

/// A book with one channel of nodes 1 and 2.
fn with_one() -> (Book, ShortChannelId) {
    let scid = scid(500, 1);
    let mut book = Book::new(CHAIN);
    book.admit_channel(&announcement(1, 2, scid), funding(scid), place(1), NOW);
    (book, scid)
}

fn all_hold(proofs: &[Proof]) -> bool {
    proofs.iter().all(Proof::holds)
}

#[test]
fn an_announcement_names_four_signatures_and_all_of_them_count() {
    let book = Book::new(CHAIN);
    let good = announcement(1, 2, scid(500, 1));
    let Weighed::News(proofs) = book.weigh_channel(&good) else { panic!() };
    assert!(all_hold(&*proofs));
    let spoil: [fn(&mut ChannelAnnouncement); 5] = [
        |all| all.node_signature_1 = all.node_signature_2,
        |all| all.node_signature_2 = all.node_signature_1,
        |all| all.bitcoin_signature_1 = all.bitcoin_signature_2,
        |all| all.bitcoin_signature_2 = all.bitcoin_signature_1,
        |all| all.extension = Rest(vec![1, 2]),
    ];
    for spoil in spoil {
        let mut bad = good.clone();
        spoil(&mut bad);
        let Weighed::News(proofs) = book.weigh_channel(&bad) else { panic!() };
        assert!(!all_hold(&*proofs));
    }
}

#[test]
fn announcements_of_other_chains_and_with_ends_out_of_order_are_rejected() {
    let book = Book::new(CHAIN);
    let mut other = announcement(1, 2, scid(500, 1));
    other.chain_hash = [7; 32];
    assert_eq!(book.weigh_channel(&other), Weighed::Rejected(Reject::WrongChain));
    let mut twisted = announcement(1, 2, scid(500, 1));
    std::mem::swap(&mut twisted.node_id_1, &mut twisted.node_id_2);
    assert_eq!(book.weigh_channel(&twisted), Weighed::Rejected(Reject::NodeOrder));
    twisted.node_id_2 = twisted.node_id_1;
    assert_eq!(book.weigh_channel(&twisted), Weighed::Rejected(Reject::NodeOrder));
}

#[test]
fn the_funding_script_is_the_two_of_two_of_both_keys_in_order() {
    let one = announcement(1, 2, scid(500, 1));
    let mut other = one.clone();
    std::mem::swap(&mut other.bitcoin_key_1, &mut other.bitcoin_key_2);
    let script = funding_script(&one).unwrap();
    assert!(script.is_p2wsh());
    assert_eq!(script, funding_script(&other).unwrap());
    let mut wrong = one;
    wrong.bitcoin_key_1 = NodeId([9; 33]);
    assert_eq!(funding_script(&wrong), Err(Reject::NoPoint));
}

#[test]
fn an_update_must_be_newer_signed_by_its_side_and_possible() {
    let (mut book, scid) = with_one();
    let good = update(1, 2, scid, 0, NOW);
    let Weighed::News(proof) = book.weigh_update(&good, NOW) else { panic!() };
    assert!(proof.holds());
    assert_eq!(book.admit_update(&good, place(2)), Admitted::New);
    assert_eq!(book.weigh_update(&good, NOW), Weighed::Known);
    assert_eq!(book.admit_update(&good, place(3)), Admitted::Late);
    let mut forged = update(1, 2, scid, 1, NOW);
    forged.signature = good.signature;
    let Weighed::News(proof) = book.weigh_update(&forged, NOW) else { panic!() };
    assert!(!proof.holds());
    let weigh = |change: &dyn Fn(&mut ChannelUpdate)| {
        let mut update = update(1, 2, scid, 0, NOW + 1);
        change(&mut update);
        book.weigh_update(&update, NOW)
    };
    assert_eq!(weigh(&|u| u.message_flags = 3), Weighed::Rejected(Reject::Private));
    assert_eq!(weigh(&|u| u.timestamp = NOW + 86_401), Weighed::Rejected(Reject::Future));
    assert_eq!(weigh(&|u| u.timestamp = NOW - 1), Weighed::Known);
    let over = CAPACITY.to_sat() * 1_000 + 1;
    assert_eq!(weigh(&|u| u.htlc_maximum_msat = over), Weighed::Rejected(Reject::Amounts));
    assert_eq!(weigh(&|u| u.htlc_minimum_msat = 900_000_001), Weighed::Rejected(Reject::Amounts));
    assert_eq!(weigh(&|u| u.chain_hash = [1; 32]), Weighed::Rejected(Reject::WrongChain));
    let elsewhere = ShortChannelId::from_u64(5);
    assert_eq!(weigh(&|u| u.short_channel_id = elsewhere), Weighed::Unknown);
    let mut old = update(1, 2, scid, 1, NOW - STALE_SECS - 1);
    resign(&mut old, 1, 2);
    assert_eq!(book.weigh_update(&old, NOW), Weighed::Rejected(Reject::Old));
}

#[test]
fn who_speaks_without_end_is_not_listened_to_until_time_passes() {
    let (mut book, scid) = with_one();
    let mut heard = 0;
    for second in 0..100 {
        let update = update(1, 2, scid, 0, NOW + second);
        if let Weighed::News(_) = book.weigh_update(&update, NOW) {
            book.admit_update(&update, place(2));
            heard += 1;
        }
    }
    assert!((10..20).contains(&heard), "{heard}");
    let later = update(1, 2, scid, 0, NOW + 3_600);
    assert!(matches!(book.weigh_update(&later, NOW), Weighed::News(_)));
}

#[test]
fn a_node_is_believed_only_while_it_has_a_channel() {
    let (mut book, scid) = with_one();
    assert_eq!(book.weigh_node(&node(3, NOW), NOW), Weighed::Unknown);
    let first = node(1, NOW);
    let Weighed::News(proof) = book.weigh_node(&first, NOW) else { panic!() };
    assert!(proof.holds());
    assert_eq!(book.admit_node(&first, place(2)), Admitted::New);
    assert_eq!(book.weigh_node(&node(1, NOW), NOW), Weighed::Known);
    assert_eq!(book.weigh_node(&node(1, NOW + 100_000), NOW), Weighed::Rejected(Reject::Future));
    book.remove(scid);
    assert_eq!(book.len(), (0, 0));
    assert_eq!(book.weigh_node(&node(1, NOW + 1), NOW), Weighed::Unknown);
}

#[test]
fn a_spent_channel_is_forgotten_after_72_blocks_and_a_reorganisation_brings_it_back() {
    let (mut book, scid) = with_one();
    let output = funding(scid).0;
    assert_eq!(book.spend(&output, BlockHeight(700)), Some(scid));
    assert_eq!(book.channels().count(), 0);
    assert_eq!(book.reorganised(BlockHeight(699)), (vec![scid], vec![]));
    assert_eq!(book.channels().count(), 1);
    book.spend(&output, BlockHeight(702));
    assert_eq!(book.forget_spent(BlockHeight(773)), []);
    assert_eq!(book.forget_spent(BlockHeight(774)), [scid]);
    assert!(book.is_empty());
    // It is not looked up again, whoever tells of it.
    assert_eq!(book.weigh_channel(&announcement(1, 2, scid)), Weighed::Unknown);
}

#[test]
fn a_channel_whose_funding_is_reorganised_out_is_gone() {
    let (mut book, scid) = with_one();
    assert_eq!(book.reorganised(BlockHeight(499)), (vec![], vec![scid]));
    assert!(book.is_empty());
}

#[test]
fn a_channel_is_pruned_when_its_older_side_was_silent_for_two_weeks() {
    let (mut book, scid) = with_one();
    book.admit_update(&update(1, 2, scid, 0, NOW), place(2));
    let later = NOW + STALE_SECS;
    assert_eq!(book.prune(later, &BTreeSet::new()), []);
    book.admit_update(&update(1, 2, scid, 1, later), place(3));
    assert_eq!(book.prune(later + 1, &BTreeSet::from([scid])), []);
    assert_eq!(book.prune(later + 1, &BTreeSet::new()), [scid]);
    assert_eq!(book.len(), (0, 0));
}

fn range(first: u32, blocks: u32, flags: u64) -> QueryChannelRange {
    QueryChannelRange {
        chain_hash: CHAIN,
        first_blocknum: BlockHeight(first),
        number_of_blocks: blocks,
        query_option_flags: Some(BigSize(flags)),
    }
}

/// A book with `count` channels, `per_block` in each block from 100 on.
fn with_many(count: u32, per_block: u32) -> Book {
    let mut book = Book::new(CHAIN);
    let mut shape = announcement(1, 2, scid(100, 0));
    for number in 0..count {
        shape.short_channel_id = scid(100 + number / per_block, number % per_block);
        let funding = funding(shape.short_channel_id);
        book.admit_channel(&shape, funding, place(number.into()), NOW);
    }
    book
}

#[test]
fn replies_cover_the_range_in_order_and_the_last_says_so() {
    for (count, per_block) in [(0, 1), (10, 3), (7_000, 100), (6_000, 4_000)] {
        let book = with_many(count, per_block);
        let replies = range_replies(&book, &range(50, 1_000, 3));
        let scids: Vec<_> =
            replies.iter().flat_map(|reply| reply.encoded_short_ids.0.clone()).collect();
        assert_eq!(scids.len(), usize::try_from(count).unwrap());
        assert!(scids.is_sorted());
        assert_eq!(replies[0].first_blocknum.0, 50);
        let last = replies.last().unwrap();
        assert_eq!(last.first_blocknum.0 + last.number_of_blocks, 1_050);
        let (end, before) = replies.split_last().unwrap();
        assert_eq!(end.sync_complete, 1);
        assert!(before.iter().all(|reply| reply.sync_complete == 0));
        for pair in replies.windows(2) {
            let ends = pair[0].first_blocknum.0 + pair[0].number_of_blocks;
            let next = pair[1].first_blocknum.0;
            assert!(next == ends || next + 1 == ends, "no block is left out");
        }
        for reply in &replies {
            assert!(Message::from(reply.clone()).encode_frame().len() <= 65_535);
            let count = reply.encoded_short_ids.0.len();
            if count > 0 {
                assert_eq!(reply.timestamps_tlv.as_ref().unwrap().0.len(), count);
                assert_eq!(reply.checksums_tlv.as_ref().unwrap().len(), count);
            }
        }
    }
}

#[test]
fn a_range_that_ends_beyond_all_blocks_or_of_another_chain_is_answered() {
    let book = with_many(10, 1);
    let replies = range_replies(&book, &range(105, u32::MAX, 0));
    assert_eq!(replies[0].encoded_short_ids.0.len(), 5);
    assert_eq!(replies[0].timestamps_tlv, None);
    let mut other = range(0, u32::MAX, 0);
    other.chain_hash = [1; 32];
    let replies = range_replies(&book, &other);
    assert_eq!((replies.len(), replies[0].encoded_short_ids.0.len()), (1, 0));
    assert_eq!(replies[0].chain_hash, [1; 32]);
}

#[test]
fn a_query_gets_what_its_flags_ask_for_and_each_node_once() {
    let (one, two) = (scid(500, 1), scid(500, 2));
    let mut book = Book::new(CHAIN);
    book.admit_channel(&announcement(1, 2, one), funding(one), place(10), NOW);
    book.admit_channel(&announcement(1, 3, two), funding(two), place(20), NOW);
    book.admit_update(&update(1, 2, one, 0, NOW), place(11));
    book.admit_update(&update(1, 2, one, 1, NOW), place(12));
    book.admit_node(&node(1, NOW), place(1));
    let ask = |scids: &[ShortChannelId], flags: Option<&[u64]>| {
        let query = QueryShortChannelIds {
            chain_hash: CHAIN,
            encoded_short_ids: Encoded(scids.to_vec()),
            query_flags: flags
                .map(|flags| Encoded(flags.iter().map(|flag| BigSize(*flag)).collect())),
        };
        wanted(&book, &query).into_iter().map(|place| place.at).collect::<Vec<_>>()
    };
    assert_eq!(ask(&[one, two], None), [10, 11, 12, 20, 1]);
    assert_eq!(ask(&[one], Some(&[0b100])), [12]);
    assert_eq!(ask(&[one, two], Some(&[0b10, 0b1])), [11, 20]);
    assert_eq!(ask(&[scid(9, 9)], None), []);
}

/// Lets one book ask another until it has everything, and says what was asked for.
fn sync(asking: &Book, asked: &Book) -> Vec<(ShortChannelId, u64)> {
    let mut sync = Sync::default();
    let Some(Message::QueryChannelRange(query)) = sync.begin(CHAIN, BlockHeight(0)) else {
        panic!()
    };
    let mut next = None;
    for reply in range_replies(asked, &query) {
        next = sync.on_range(asking, &reply, NOW).unwrap();
    }
    let mut all = Vec::new();
    loop {
        match next.take().expect("the last reply is followed by a word") {
            Message::QueryShortChannelIds(query) => {
                assert!(query.encoded_short_ids.0.len() <= SCIDS_A_QUERY);
                let flags = query.query_flags.unwrap().0.into_iter().map(|flag| flag.0);
                all.extend(query.encoded_short_ids.0.into_iter().zip(flags));
                let end = wire::message::ReplyShortChannelIdsEnd {
                    chain_hash: CHAIN,
                    full_information: 1,
                };
                next = Some(sync.on_end(asking, &end, NOW).unwrap());
            }
            Message::GossipTimestampFilter(filter) => {
                assert!(sync.is_done());
                assert!(Filter::of(&filter).lets(NOW));
                return all;
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn an_empty_book_asks_for_everything_and_a_full_one_for_nothing() {
    let book = with_many(2_500, 10);
    let empty = Book::new(CHAIN);
    let asked = sync(&empty, &book);
    assert_eq!(asked.len(), 2_500);
    assert!(asked.iter().all(|(_, flags)| *flags == 0b11111));
    assert_eq!(sync(&book, &book), []);
}

#[test]
fn only_the_side_that_says_something_else_is_asked_for() {
    let (mut book, one) = with_one();
    let mut newer = book.clone();
    book.admit_update(&update(1, 2, one, 0, NOW - 10), place(2));
    book.admit_update(&update(1, 2, one, 1, NOW - 10), place(3));
    // The same again, later: not worth a question.
    newer.admit_update(&update(1, 2, one, 0, NOW), place(2));
    let mut other = update(1, 2, one, 1, NOW);
    other.fee_base_msat = 7;
    newer.admit_update(&other, place(3));
    assert_eq!(sync(&book, &newer), [(one, 0b100)]);
}

#[test]
fn of_a_peer_that_does_not_date_its_word_only_what_we_lack_is_asked_for() {
    let (mut book, one) = with_one();
    let reply = range_replies(&book, &range(0, u32::MAX, 0)).remove(0);
    assert_eq!(reply.timestamps_tlv, None);
    let asked = |book: &Book| {
        let mut sync = Sync::default();
        sync.begin(CHAIN, BlockHeight(0)).unwrap();
        match sync.on_range(book, &reply, NOW).unwrap().unwrap() {
            Message::QueryShortChannelIds(query) => {
                (query.encoded_short_ids.0, query.query_flags.unwrap().0[0].0)
            }
            Message::GossipTimestampFilter(_) => (Vec::new(), 0),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(asked(&book), (vec![one], 0b110));
    book.admit_update(&update(1, 2, one, 0, NOW), place(2));
    assert_eq!(asked(&book), (vec![one], 0b100));
    book.admit_update(&update(1, 2, one, 1, NOW), place(3));
    assert_eq!(asked(&book), (vec![], 0));
}

#[test]
fn the_past_is_asked_for_by_a_filter_that_begins_before_all_that_counts() {
    let mut sync = Sync::default();
    let Message::GossipTimestampFilter(filter) = sync.by_filter(CHAIN, NOW) else { panic!() };
    assert_eq!(filter.first_timestamp, NOW - STALE_SECS);
    assert!(Filter::of(&filter).lets(NOW - STALE_SECS) && Filter::of(&filter).lets(NOW + 1));
    assert!(sync.is_done() && !sync.is_asking());
}

#[test]
fn answers_to_no_question_and_ids_that_go_back_are_faults() {
    let book = with_many(10, 1);
    let reply = range_replies(&book, &range(0, u32::MAX, 3)).remove(0);
    let mut sync = Sync::default();
    assert_eq!(sync.on_range(&book, &reply, NOW), Err(SyncFault::Unasked));
    sync.begin(CHAIN, BlockHeight(0)).unwrap();
    assert_eq!(sync.begin(CHAIN, BlockHeight(0)), None, "one question at a time");
    let mut twisted = reply.clone();
    twisted.encoded_short_ids.0.swap(0, 1);
    assert_eq!(sync.clone().on_range(&book, &twisted, NOW), Err(SyncFault::Order));
    let mut short = reply;
    short.timestamps_tlv.as_mut().unwrap().0.pop();
    assert_eq!(sync.on_range(&book, &short, NOW), Err(SyncFault::Count));
}

#[test]
fn a_filter_lets_its_span_through_and_the_default_nothing() {
    let filter = |first, range| {
        Filter::of(&wire::message::GossipTimestampFilter {
            chain_hash: CHAIN,
            first_timestamp: first,
            timestamp_range: range,
        })
    };
    let span = filter(10, 5);
    assert_eq!([9, 10, 14, 15].map(|at| span.lets(at)), [false, true, true, false]);
    assert!(filter(10, u32::MAX).lets(u32::MAX));
    assert!(!filter(u32::MAX, 0).lets(u32::MAX));
    assert!(!Filter::default().lets(0) && !Filter::default().has_past(u32::MAX));
    assert!(!filter(NOW + 1, 100).has_past(NOW));
}

#[derive(Clone, Debug)]
enum Act {
    Channel(u8, u8, u8),
    Update { channel: u8, side: bool, at: u32, forged: bool },
    Node { node: u8, at: u32, forged: bool },
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        (0..6_u8, 1..5_u8, 1..5_u8).prop_map(|(channel, a, b)| Act::Channel(channel, a, b)),
        (0..6_u8, any::<bool>(), 0..20_u32, any::<bool>())
            .prop_map(|(channel, side, at, forged)| Act::Update { channel, side, at, forged }),
        (1..5_u8, 0..20_u32, any::<bool>()).prop_map(|(node, at, forged)| Act::Node {
            node,
            at,
            forged
        }),
    ];
    proptest::collection::vec(act, 0..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever comes in whatever order, forged or replayed: what the book holds is what a list of
    /// rules says, computed another way.
    #[test]
    fn the_book_is_what_the_rules_say_in_every_order(acts in acts()) {
        let mut book = Book::new(CHAIN);
        let mut channels: BTreeMap<ShortChannelId, (u8, u8, [u32; 2])> = BTreeMap::new();
        let mut nodes: BTreeMap<NodeId, u32> = BTreeMap::new();
        for act in acts {
            match act {
                Act::Channel(channel, a, b) => {
                    let scid = scid(500, channel.into());
                    let message = announcement(a, b, scid);
                    if let Weighed::News(proofs) = book.weigh_channel(&message)
                        && all_hold(&*proofs)
                    {
                        book.admit_channel(&message, funding(scid), place(0), NOW);
                    }
                    if a != b {
                        channels.entry(scid).or_insert((a, b, [0; 2]));
                    }
                }
                Act::Update { channel, side, at, forged } => {
                    let scid = scid(500, channel.into());
                    let (a, b) = channels.get(&scid).map_or((1, 2), |(a, b, _)| (*a, *b));
                    let mut message = update(a, b, scid, u8::from(side), NOW + at);
                    if forged {
                        message.fee_base_msat += 1;
                    }
                    if let Weighed::News(proof) = book.weigh_update(&message, NOW)
                        && proof.holds()
                    {
                        book.admit_update(&message, place(0));
                    }
                    if !forged && let Some((.., last)) = channels.get_mut(&scid) {
                        let last = &mut last[usize::from(side)];
                        *last = (*last).max(NOW + at);
                    }
                }
                Act::Node { node: number, at, forged } => {
                    let mut message = node(number, NOW + at);
                    if forged {
                        message.rgb_color = [9; 3];
                    }
                    if let Weighed::News(proof) = book.weigh_node(&message, NOW)
                        && proof.holds()
                    {
                        book.admit_node(&message, place(0));
                    }
                    let has = channels.values().any(|(a, b, _)| [*a, *b].contains(&number));
                    if !forged && has {
                        let last = nodes.entry(id(&key(number))).or_default();
                        *last = (*last).max(NOW + at);
                    }
                }
            }
        }
        let held: BTreeMap<_, _> = book
            .channels()
            .map(|(scid, channel)| {
                (scid, channel.updates.map(|update| update.map_or(0, |update| update.timestamp)))
            })
            .collect();
        let wanted: BTreeMap<_, _> =
            channels.iter().map(|(scid, (_, _, last))| (*scid, *last)).collect();
        prop_assert_eq!(held, wanted);
        let held: BTreeMap<_, _> = book
            .nodes_after(None)
            .filter_map(|(id, node)| Some((id, node.announcement?.0)))
            .collect();
        prop_assert_eq!(held, nodes);
    }
}
