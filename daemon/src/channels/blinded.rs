//! What the maker of a blinded route tells us of an HTLC in it. BOLT 4 § Route Blinding.
//!
//! Not here: how such an HTLC fails (`switch::blinded`), making a route of our own (`payments::blinded`).

use channel::HtlcIn;
use secp256k1::PublicKey;
use wire::id::{PaymentSecret, ShortChannelId};
use wire::message::OnionPacket;
use wire::onion::blind::NextHop;
use wire::onion::payload::{
    BlindedFinal, BlindedForward, CustomRecords, Final, Forward, Payload, PaymentData, Place,
};
use wire::onion::sphinx::Peeled;
use wire::units::{BlockHeight, Msat};

use crate::identity::Identity;

/// What is to be done with it.
#[derive(Clone, Debug)]
pub(super) enum Told {
    /// It goes on.
    Onward {
        /// What the sender would have said, had it known the way. Of a next node it names no channel: zero.
        payload: Forward,
        /// To whom, or over which channel.
        next: NextHop,
        /// The next hop's path key.
        path_key: PublicKey,
        /// The next hop's onion.
        onion: OnionPacket,
    },
    /// It ends here. The `path_id` stands in the place of the payment secret.
    Here(Final),
}

/// Follows a route to its end with us or to the next node. Hops that only pretend lead from us to us; there are no more
/// of them than an onion has room for. `None` is a fault, whose answer is `invalid_onion_blinding`.
pub(super) fn follow(
    us: &Identity,
    htlc: &HtlcIn,
    payload: Payload,
    onion: Option<OnionPacket>,
) -> Option<Told> {
    let (mut amount, mut expiry) = (htlc.amount_msat, htlc.cltv_expiry);
    let (mut payload, mut onion, mut beside) = (payload, onion, htlc.path_key);
    loop {
        match payload {
            Payload::BlindedForward(hop) => {
                let leg = Leg::of(us, &hop, beside, amount, expiry)?;
                let next = onion?;
                if leg.next != NextHop::Node(us.public_key()) {
                    return Some(leg.onward(next));
                }
                let peeled = us.peel(&next, htlc.payment_hash, Some(&leg.path_key)).ok()?;
                let Peeled { payload: bytes, next, .. } = peeled;
                let place = if next.is_some() { Place::Forward } else { Place::Final };
                payload = Payload::decode(&bytes, place, true).ok()?;
                (amount, expiry) = (leg.amount, leg.expiry);
                (onion, beside) = (next, Some(leg.path_key));
            }
            Payload::BlindedFinal(hop) => return finish(us, hop, beside, amount, expiry),
            Payload::Forward(_) | Payload::Final(_) => return None,
        }
    }
}

/// What one hop is told.
struct Leg {
    next: NextHop,
    amount: Msat,
    expiry: BlockHeight,
    path_key: PublicKey,
}

impl Leg {
    fn of(
        us: &Identity,
        hop: &BlindedForward,
        beside: Option<PublicKey>,
        amount: Msat,
        expiry: BlockHeight,
    ) -> Option<Self> {
        let secret = us.path_secret(&beside.or(hop.current_path_key)?);
        let data = secret.unblind(&hop.encrypted_recipient_data).ok()?;
        let (next, amount, expiry) = data.forward(amount, expiry)?;
        Some(Self { next, amount, expiry, path_key: secret.next_path_key(&data).ok()? })
    }

    fn onward(self, onion: OnionPacket) -> Told {
        let short_channel_id = match self.next {
            NextHop::Channel(scid) => scid,
            NextHop::Node(_) => ShortChannelId::from_u64(0),
        };
        let payload = Forward {
            amt_to_forward: self.amount,
            outgoing_cltv_value: self.expiry,
            short_channel_id,
        };
        Told::Onward { payload, next: self.next, path_key: self.path_key, onion }
    }
}

fn finish(
    us: &Identity,
    hop: BlindedFinal,
    beside: Option<PublicKey>,
    amount: Msat,
    expiry: BlockHeight,
) -> Option<Told> {
    let secret = us.path_secret(&beside.or(hop.current_path_key)?);
    let data = secret.unblind(&hop.encrypted_recipient_data).ok()?;
    if !data.allows(amount, expiry) {
        return None;
    }
    let path_id: Option<[u8; 32]> = data.path_id.and_then(|id| id.try_into().ok());
    let total_msat = hop.total_amount_msat;
    Some(Told::Here(Final {
        amt_to_forward: hop.amt_to_forward,
        outgoing_cltv_value: hop.outgoing_cltv_value,
        payment_data: path_id
            .map(|id| PaymentData { payment_secret: PaymentSecret(id), total_msat }),
        payment_metadata: None,
        keysend_preimage: None,
        custom_records: CustomRecords::default(),
    }))
}

#[cfg(test)]
mod tests;
