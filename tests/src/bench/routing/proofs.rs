//! What believing gossip costs, beside what its signatures cost secp256k1 alone.

use super::{Figure, Stopwatch};
use routing::gossip::Proof;
use secp256k1::{Message, SECP256K1, SecretKey};
use std::hint::black_box;
use wire::codec::{Decode as _, Encode as _};
use wire::id::{NodeId, ShortChannelId, Signature};
use wire::message::ChannelAnnouncement;

/// Announcements in a run.
const COUNT: u32 = 256;
/// Runs.
const RUNS: usize = 5;

/// Announcements as they come from a peer, each read and its four signatures verified, beside the signatures alone.
pub(super) fn add(wall: bool, figures: &mut Vec<Figure>) {
    let messages: Vec<Vec<u8>> = (1..=COUNT).map(|number| signed(number).encoded()).collect();
    let raw: Vec<_> = (1..=COUNT).flat_map(|number| signatures(&signed(number))).collect();
    let (mut ours, mut alone) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let stopwatch = Stopwatch::start(wall);
        for message in &messages {
            let announcement = ChannelAnnouncement::decode_exact(message).expect("our own bytes");
            let digest = announcement.digest();
            let held = pairs(&announcement)
                .into_iter()
                .all(|(signature, key)| Proof { digest, signature, key }.holds());
            assert!(black_box(held), "our own signatures hold");
        }
        ours.push(f64::from(COUNT) / stopwatch.stop_ms() * 1e3);
        let stopwatch = Stopwatch::start(wall);
        for (message, signature, key) in &raw {
            black_box(SECP256K1.verify_ecdsa(message, signature, key)).expect("it holds");
        }
        alone.push(f64::from(COUNT) / stopwatch.stop_ms() * 1e3);
    }
    let mut figure = Figure::alone("routing.gossip.channels_verified".into(), "1/s", ours);
    figure.peer = Some(alone.clone());
    let ratio = figure.ratio().unwrap_or(f64::NAN);
    figures.push(figure);
    figures.push(Figure::alone("routing.gossip.secp256k1_alone".into(), "1/s", alone));
    figures.push(Figure::alone("routing.gossip.to_secp256k1".into(), "ratio", vec![ratio]));
}

fn secret(number: u32) -> SecretKey {
    let mut bytes = [7; 32];
    bytes[28..].copy_from_slice(&number.to_be_bytes());
    SecretKey::from_slice(&bytes).expect("in range")
}

/// A channel between two made-up nodes with all four signatures.
fn signed(number: u32) -> ChannelAnnouncement {
    let mut nodes = [secret(4 * number), secret(4 * number + 1)];
    nodes.sort_by_key(|secret| secret.public_key(SECP256K1).serialize());
    let funding = [secret(4 * number + 2), secret(4 * number + 3)];
    let id = |secret: &SecretKey| NodeId(secret.public_key(SECP256K1).serialize());
    let mut announcement = ChannelAnnouncement {
        node_signature_1: Signature([0; 64]),
        node_signature_2: Signature([0; 64]),
        bitcoin_signature_1: Signature([0; 64]),
        bitcoin_signature_2: Signature([0; 64]),
        features: wire::feature::Features::empty(),
        chain_hash: [6; 32],
        short_channel_id: ShortChannelId::from_u64(u64::from(number) << 40),
        node_id_1: id(&nodes[0]),
        node_id_2: id(&nodes[1]),
        bitcoin_key_1: id(&funding[0]),
        bitcoin_key_2: id(&funding[1]),
        extension: wire::codec::Rest(Vec::new()),
    };
    let digest = Message::from_digest(announcement.digest());
    let sign = |secret| Signature::from(SECP256K1.sign_ecdsa(&digest, secret));
    announcement.node_signature_1 = sign(&nodes[0]);
    announcement.node_signature_2 = sign(&nodes[1]);
    announcement.bitcoin_signature_1 = sign(&funding[0]);
    announcement.bitcoin_signature_2 = sign(&funding[1]);
    announcement
}

fn pairs(announcement: &ChannelAnnouncement) -> [(Signature, NodeId); 4] {
    [
        (announcement.node_signature_1, announcement.node_id_1),
        (announcement.node_signature_2, announcement.node_id_2),
        (announcement.bitcoin_signature_1, announcement.bitcoin_key_1),
        (announcement.bitcoin_signature_2, announcement.bitcoin_key_2),
    ]
}

/// The same for secp256k1: everything parsed.
fn signatures(
    announcement: &ChannelAnnouncement,
) -> Vec<(Message, secp256k1::ecdsa::Signature, secp256k1::PublicKey)> {
    let message = Message::from_digest(announcement.digest());
    let parse = |(signature, key): (Signature, NodeId)| {
        let signature = secp256k1::ecdsa::Signature::from_compact(&signature.0).expect("ours");
        (message, signature, secp256k1::PublicKey::from_slice(&key.0).expect("a key"))
    };
    pairs(announcement).into_iter().map(parse).collect()
}
