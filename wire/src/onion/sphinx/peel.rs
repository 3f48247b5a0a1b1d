//! Unwraps one layer. BOLT 4 § Onion Decryption.

use super::{ENVELOPE_LEN, HMAC_LEN, PAYMENT_PAYLOADS_LEN};
use crate::id::PaymentHash;
use crate::message::OnionPacket;
use crate::noise::symmetric::hmac;
use crate::onion::blind::PathSecret;
use crate::onion::keys::{KeyKind, SharedSecret};
use bitcoin::hashes::{Hash as _, sha256};
use secp256k1::{PublicKey, SECP256K1, SecretKey};

/// What one hop finds in a packet. `P` is the next packet's type: [`OnionPacket`] for payments, `Vec<u8>` for messages.
#[derive(Clone, Debug)]
pub struct Peeled<P> {
    /// What encrypts a failure on its way back. A payment that shows one seen before is a replay.
    pub shared_secret: SharedSecret,
    /// The payload without its length prefix.
    pub payload: Vec<u8>,
    /// The packet for the next hop; `None` at the final node.
    pub next: Option<P>,
}

/// Why a packet cannot be peeled, by the answer that it gets.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PeelFault {
    /// No secret is shared, or the packet is in a blinded route: answer `update_fail_malformed_htlc`.
    #[error(transparent)]
    Malformed(#[from] BadOnion),
    /// The packet is authentic but its payload has no valid length: answer `update_fail_htlc` with
    /// `invalid_onion_payload` (type 0, offset 0), encrypted with this secret.
    #[error("payload length is invalid")]
    Payload(SharedSecret),
}

/// The fields of `update_fail_malformed_htlc`. BOLT 2 § Removing an HTLC.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("onion cannot be read: {kind:?}")]
pub struct BadOnion {
    /// What is wrong.
    pub kind: BadOnionKind,
    /// SHA-256 of the packet as received, all 1366 bytes.
    pub sha256_of_onion: [u8; 32],
}

impl BadOnion {
    /// The `failure_code`, always with the BADONION bit.
    pub const fn failure_code(&self) -> u16 {
        self.kind.failure_code()
    }
}

/// Which part of the packet is wrong. BOLT 4 § Failure Messages.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum BadOnionKind {
    /// BADONION|PERM|4.
    InvalidOnionVersion,
    /// BADONION|PERM|5.
    InvalidOnionHmac,
    /// BADONION|PERM|6.
    InvalidOnionKey,
    /// BADONION|PERM|24: any fault inside a blinded route.
    InvalidOnionBlinding,
}

impl BadOnionKind {
    /// The code on the wire.
    pub const fn failure_code(self) -> u16 {
        match self {
            Self::InvalidOnionVersion => 0xc004,
            Self::InvalidOnionHmac => 0xc005,
            Self::InvalidOnionKey => 0xc006,
            Self::InvalidOnionBlinding => 0xc018,
        }
    }
}

/// Peels the packet of a payment. `path` is there iff `update_add_htlc` carried a `path_key`.
///
/// Costs one ECDH at the final node, and one point multiplication more at a forwarding one.
///
/// # Errors
/// [`PeelFault`], which says how to answer.
pub fn peel_payment(
    packet: &OnionPacket,
    payment_hash: &PaymentHash,
    node_secret: &SecretKey,
    path: Option<&PathSecret>,
) -> Result<Peeled<OnionPacket>, PeelFault> {
    let mut room = [0; PAYMENT_PAYLOADS_LEN.wrapping_mul(2)];
    let packet = packet.as_bytes();
    let layer = Layer::open(packet, &mut room, payment_hash.as_bytes(), node_secret, path)
        .map_err(|fault| fault.answer(packet, path))?;
    let next = layer.next.map(|next| {
        let mut packet = Box::new([0; OnionPacket::LEN]);
        next.write(packet.as_mut_slice());
        OnionPacket(packet)
    });
    Ok(Peeled { shared_secret: layer.shared_secret, payload: layer.payload.to_vec(), next })
}

/// Peels the packet of an onion message, of any size. `path` comes from the message's `path_key`.
///
/// # Errors
/// [`PeelFault`]: ignore the message, nothing is answered.
pub fn peel_message(
    packet: &[u8],
    node_secret: &SecretKey,
    path: Option<&PathSecret>,
) -> Result<Peeled<Vec<u8>>, PeelFault> {
    let mut room = vec![0; packet.len().saturating_sub(ENVELOPE_LEN).saturating_mul(2)];
    let layer = Layer::open(packet, &mut room, &[], node_secret, path)
        .map_err(|fault| fault.answer(packet, path))?;
    let next = layer.next.map(|next| {
        let mut next_packet = vec![0; packet.len()];
        next.write(&mut next_packet);
        next_packet
    });
    Ok(Peeled { shared_secret: layer.shared_secret, payload: layer.payload.to_vec(), next })
}

/// A fault before it is known whether a blinded route hides it.
enum Fault {
    Packet(BadOnionKind),
    Payload(SharedSecret),
}

impl Fault {
    // BOLT 4: "if `path_key` is set in the incoming `update_add_htlc`:
    // MUST return an `invalid_onion_blinding` error."
    fn answer(self, packet: &[u8], path: Option<&PathSecret>) -> PeelFault {
        let kind = match (self, path) {
            (_, Some(_)) => BadOnionKind::InvalidOnionBlinding,
            (Self::Packet(kind), None) => kind,
            (Self::Payload(secret), None) => return PeelFault::Payload(secret),
        };
        let sha256_of_onion = sha256::Hash::hash(packet).to_byte_array();
        PeelFault::Malformed(BadOnion { kind, sha256_of_onion })
    }
}

/// One opened layer, in the room it was opened in.
struct Layer<'a> {
    shared_secret: SharedSecret,
    payload: &'a [u8],
    next: Option<Next<'a>>,
}

impl<'a> Layer<'a> {
    /// `room` is twice the payloads, all zero.
    fn open(
        packet: &[u8],
        room: &'a mut [u8],
        associated: &[u8],
        node_secret: &SecretKey,
        path: Option<&PathSecret>,
    ) -> Result<Self, Fault> {
        use BadOnionKind::{InvalidOnionBlinding, InvalidOnionHmac, InvalidOnionKey};
        let (public, payloads, packet_hmac) = split(packet)?;
        let public = PublicKey::from_slice(public).map_err(|_| Fault::Packet(InvalidOnionKey))?;
        let shared_secret = match path {
            None => SharedSecret::ecdh(node_secret, &public),
            Some(path) => {
                let blinded = path.blinded_secret(node_secret);
                let blinded = blinded.ok_or(Fault::Packet(InvalidOnionBlinding))?;
                SharedSecret::ecdh(&blinded.0, &public)
            }
        };
        let expected = hmac(shared_secret.key(KeyKind::Mu).expose(), &[payloads, associated]);
        // BOLT 4: "MUST use a constant time comparison of the computed HMAC and `hmac`."
        if !equal_in_constant_time(&expected, packet_hmac) {
            return Err(Fault::Packet(InvalidOnionHmac));
        }
        let mut stream = shared_secret.stream(KeyKind::Rho);
        let Some((front, back)) = room.split_at_mut_checked(payloads.len()) else {
            return Err(Fault::Payload(shared_secret));
        };
        front.copy_from_slice(payloads);
        stream.xor(front);
        let Some((start, end, next_hmac)) = frame(front) else {
            return Err(Fault::Payload(shared_secret));
        };
        let last = next_hmac == [0; HMAC_LEN];
        if !last && let Some(appended) = back.get_mut(..end) {
            stream.xor(appended);
        }
        let next_key = if last { None } else { Some(next_key(&public, &shared_secret)?) };
        let room: &'a [u8] = room;
        let payload = room.get(start..end.saturating_sub(HMAC_LEN)).unwrap_or_default();
        let payloads = room.get(end..end.saturating_add(payloads.len())).unwrap_or_default();
        let next = next_key.map(|public| Next { public, payloads, hmac: next_hmac });
        Ok(Self { shared_secret, payload, next })
    }
}

/// The parts of the packet for the next hop.
struct Next<'a> {
    public: PublicKey,
    payloads: &'a [u8],
    hmac: [u8; HMAC_LEN],
}

impl Next<'_> {
    fn write(&self, packet: &mut [u8]) {
        let public = self.public.serialize();
        let parts: [&[u8]; 4] = [&[0], &public, self.payloads, &self.hmac];
        let mut rest = packet;
        for part in parts {
            let Some((here, after)) = rest.split_at_mut_checked(part.len()) else { return };
            here.copy_from_slice(part);
            rest = after;
        }
    }
}

/// Key, payloads and HMAC.
type Parts<'a> = (&'a [u8; 33], &'a [u8], &'a [u8; HMAC_LEN]);

/// The parts of a packet of our version.
fn split(packet: &[u8]) -> Result<Parts<'_>, Fault> {
    let too_short = || Fault::Packet(BadOnionKind::InvalidOnionHmac);
    let ([version], rest) = packet.split_first_chunk().ok_or_else(too_short)?;
    // BOLT 4: "if `version` is not 0: MUST abort processing the packet and fail."
    if *version != 0 {
        return Err(Fault::Packet(BadOnionKind::InvalidOnionVersion));
    }
    let (public, rest) = rest.split_first_chunk().ok_or_else(too_short)?;
    let (payloads, hmac) = rest.split_last_chunk().ok_or_else(too_short)?;
    Ok((public, payloads, hmac))
}

/// Where the payload starts, where its HMAC ends, and that HMAC.
fn frame(payloads: &[u8]) -> Option<(usize, usize, [u8; HMAC_LEN])> {
    let (length, start) = match payloads.split_first()? {
        (0xfd, rest) => {
            let length = u16::from_be_bytes(*rest.first_chunk()?);
            // A longer form than needed is malformed.
            if length < 0xfd {
                return None;
            }
            (usize::from(length), 3_usize)
        }
        // No packet has room for 64 KiB and more.
        (0xfe | 0xff, _) => return None,
        // BOLT 4: "If the `payload_length` is less than two: MUST abort processing the packet and fail."
        (0 | 1, _) => return None,
        (short, _) => (usize::from(*short), 1),
    };
    let payload_end = start.checked_add(length)?;
    let next_hmac = *payloads.get(payload_end..)?.first_chunk()?;
    Some((start, payload_end.checked_add(HMAC_LEN)?, next_hmac))
}

fn next_key(public: &PublicKey, secret: &SharedSecret) -> Result<PublicKey, Fault> {
    secret
        .blinding_factor(public)
        .and_then(|factor| public.mul_tweak(SECP256K1, &factor).ok())
        .ok_or(Fault::Packet(BadOnionKind::InvalidOnionKey))
}

/// Looks at every byte, wherever the first difference is.
fn equal_in_constant_time(a: &[u8; HMAC_LEN], b: &[u8; HMAC_LEN]) -> bool {
    bitcoin::hashes::cmp::fixed_time_eq(a, b)
}
