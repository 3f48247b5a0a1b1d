//! Wraps payloads for a route. BOLT 4 § Packet Construction, § Filler Generation.

use super::{ENVELOPE_LEN, HMAC_LEN};
use crate::id::PaymentHash;
use crate::message::OnionPacket;
use crate::noise::symmetric::{self, hmac};
use crate::onion::keys::{KeyKind, SharedSecret};
use secp256k1::{PublicKey, SECP256K1, SecretKey};

/// One hop of a route, first hop first.
#[derive(Clone, Copy, Debug)]
pub struct Hop<'a> {
    /// Its node id, or its blinded node id.
    pub node: PublicKey,
    /// Its payload without the length prefix; at least 2 bytes.
    pub payload: &'a [u8],
}

/// Why no packet can be made; nothing was sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BuildFault {
    /// A route needs a hop.
    #[error("route without hops")]
    Empty,
    /// Payloads, lengths and HMACs exceed the packet.
    #[error("payloads do not fit the packet")]
    TooLong,
    /// Lengths 0 and 1 are reserved.
    #[error("payload shorter than 2 bytes")]
    Reserved,
    /// The session key leads to a key that does not exist (chance 1 in 2^128): take another.
    #[error("session key cannot be used")]
    SessionKey,
}

/// How many bytes of payloads an onion message has. BOLT 4 § Onion Messages.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum MessageSize {
    /// 1300 bytes of payloads: looks like a payment.
    Small,
    /// 32768 bytes of payloads.
    Large,
}

impl MessageSize {
    /// Bytes of the whole packet: 1366 or 32834.
    pub const fn packet_len(self) -> usize {
        match self {
            Self::Small => OnionPacket::LEN,
            Self::Large => 32_834,
        }
    }
}

/// The packet of a payment; all its hops check that it belongs to `payment_hash`.
///
/// `session_key` must be fresh and unpredictable. For one hop this costs one public key and one ECDH.
///
/// # Errors
/// [`BuildFault`]: the payloads do not fit, or the session key is unusable.
pub fn build_payment(
    session_key: &SecretKey,
    hops: &[Hop<'_>],
    payment_hash: &PaymentHash,
) -> Result<(OnionPacket, Vec<SharedSecret>), BuildFault> {
    let mut packet = Box::new([0; OnionPacket::LEN]);
    let secrets = build(packet.as_mut_slice(), session_key, hops, payment_hash.as_bytes())?;
    Ok((OnionPacket(packet), secrets))
}

/// The packet of an onion message; `hops` carry blinded node ids.
///
/// # Errors
/// [`BuildFault`]: the payloads do not fit, or the session key is unusable.
pub fn build_message(
    session_key: &SecretKey,
    hops: &[Hop<'_>],
    size: MessageSize,
) -> Result<Vec<u8>, BuildFault> {
    let mut packet = vec![0; size.packet_len()];
    build(&mut packet, session_key, hops, &[])?;
    Ok(packet)
}

/// The secrets of a route again, from the session key that built its packet: what is needed to read a failure.
///
/// # Errors
/// [`BuildFault::SessionKey`].
pub fn shared_secrets<'a>(
    session_key: &SecretKey,
    nodes: impl IntoIterator<Item = &'a PublicKey>,
) -> Result<Vec<SharedSecret>, BuildFault> {
    derive(session_key, nodes).map(|(_, secrets)| secrets)
}

/// The first ephemeral public key, and the secret of each hop.
fn derive<'a>(
    session_key: &SecretKey,
    nodes: impl IntoIterator<Item = &'a PublicKey>,
) -> Result<(PublicKey, Vec<SharedSecret>), BuildFault> {
    let first = PublicKey::from_secret_key(SECP256K1, session_key);
    let mut ephemeral = symmetric::Scalar(*session_key);
    let mut public = first;
    let mut nodes = nodes.into_iter().peekable();
    let mut secrets = Vec::with_capacity(nodes.size_hint().0);
    while let Some(node) = nodes.next() {
        let secret = SharedSecret::ecdh(&ephemeral.0, node);
        if nodes.peek().is_some() {
            let factor = secret.blinding_factor(&public).ok_or(BuildFault::SessionKey)?;
            let next = ephemeral.0.mul_tweak(&factor).map_err(|_| BuildFault::SessionKey)?;
            ephemeral = symmetric::Scalar(next);
            public = PublicKey::from_secret_key(SECP256K1, &ephemeral.0);
        }
        secrets.push(secret);
    }
    Ok((first, secrets))
}

fn build(
    packet: &mut [u8],
    session_key: &SecretKey,
    hops: &[Hop<'_>],
    associated: &[u8],
) -> Result<Vec<SharedSecret>, BuildFault> {
    let room = packet.len().checked_sub(ENVELOPE_LEN).ok_or(BuildFault::TooLong)?;
    check(hops, room)?;
    let (public, secrets) = derive(session_key, hops.iter().map(|hop| &hop.node))?;
    let (head, rest) = packet.split_at_mut_checked(34).ok_or(BuildFault::TooLong)?;
    let (payloads, packet_hmac) = rest.split_at_mut_checked(room).ok_or(BuildFault::TooLong)?;

    let mut session = SharedSecret::new(session_key.secret_bytes()).stream(KeyKind::Pad);
    session.xor(payloads);
    let filler = filler(hops, &secrets, room);
    let mut next_hmac = [0; HMAC_LEN];
    for (index, (hop, secret)) in hops.iter().zip(&secrets).enumerate().rev() {
        push(payloads, hop.payload, &next_hmac);
        secret.stream(KeyKind::Rho).xor(payloads);
        if index.checked_add(1) == Some(hops.len()) {
            overwrite_tail(payloads, &filler);
        }
        next_hmac = hmac(secret.key(KeyKind::Mu).expose(), &[payloads, associated]);
    }

    if let Some((version, key)) = head.split_first_mut() {
        *version = 0;
        key.copy_from_slice(&public.serialize());
    }
    packet_hmac.copy_from_slice(&next_hmac);
    Ok(secrets)
}

fn check(hops: &[Hop<'_>], room: usize) -> Result<(), BuildFault> {
    if hops.is_empty() {
        return Err(BuildFault::Empty);
    }
    // BOLT 4: "`length` values of 0 and 1 are reserved"
    if hops.iter().any(|hop| hop.payload.len() < 2) {
        return Err(BuildFault::Reserved);
    }
    let mut used: usize = 0;
    for hop in hops {
        if hop.payload.len() > room {
            return Err(BuildFault::TooLong);
        }
        used = used.saturating_add(shift(hop.payload));
    }
    if used > room { Err(BuildFault::TooLong) } else { Ok(()) }
}

/// Bytes a payload takes with its length and HMAC. `check` has bounded it.
fn shift(payload: &[u8]) -> usize {
    prefix(payload.len()).1.saturating_add(payload.len()).saturating_add(HMAC_LEN)
}

/// A payload's BigSize length: the bytes, and how many of them count. Packets are below 64 KiB.
fn prefix(length: usize) -> ([u8; 3], usize) {
    match u8::try_from(length) {
        Ok(short @ 0..=0xfc) => ([short, 0, 0], 1),
        Ok(_) | Err(_) => {
            let [high, low] = u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes();
            ([0xfd, high, low], 3)
        }
    }
}

/// Moves everything right and puts one hop's payload in front.
fn push(payloads: &mut [u8], payload: &[u8], next_hmac: &[u8; HMAC_LEN]) {
    let (prefix, prefix_len) = prefix(payload.len());
    let moved = payloads.len().saturating_sub(shift(payload));
    payloads.copy_within(..moved, shift(payload));
    let parts = prefix.iter().take(prefix_len).chain(payload).chain(next_hmac);
    for (to, from) in payloads.iter_mut().zip(parts) {
        *to = *from;
    }
}

/// The bytes that all hops but the last will have appended and obfuscated before the last one reads them.
fn filler(hops: &[Hop<'_>], secrets: &[SharedSecret], room: usize) -> Vec<u8> {
    let Some((_, forwarding)) = hops.split_last() else { return Vec::new() };
    let mut filler = Vec::with_capacity(forwarding.iter().map(|hop| shift(hop.payload)).sum());
    for (hop, secret) in forwarding.iter().zip(secrets) {
        let mut stream = secret.stream(KeyKind::Rho);
        stream.seek(room.saturating_sub(filler.len()));
        filler.resize(filler.len().saturating_add(shift(hop.payload)), 0);
        stream.xor(&mut filler);
    }
    filler
}

fn overwrite_tail(payloads: &mut [u8], filler: &[u8]) {
    let start = payloads.len().saturating_sub(filler.len());
    if let Some(tail) = payloads.get_mut(start..) {
        tail.copy_from_slice(filler);
    }
}
