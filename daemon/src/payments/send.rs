//! What can still be tried for each payment, and the onion of an attempt.
//!
//! A payment goes over a channel with the payee itself, one channel after the other. Paths through
//! others come with the router.
//!
//! Not here: facts of payments (`sent`), what the answers mean (`outgoing`).

use std::collections::{BTreeMap, VecDeque};

use channel::{CommandId, Offer, Origin};
use secp256k1::PublicKey;
use wire::id::{NodeId, PaymentHash, PaymentSecret, ShortChannelId};
use wire::onion::payload::{CustomRecords, Final, Forward, Payload, PaymentData};
use wire::onion::sphinx::{Hop, build_payment};
use wire::units::{BlockHeight, Msat};

use crate::channels::directory::Doors;
use crate::channels::task::Asker;
use crate::fact::ChannelIndex;
use crate::identity::Identity;

/// Blocks we add to the final expiry, so that a block that is found meanwhile does not make it too near.
const CLTV_GRACE: u32 = 3;

/// What one attempt needs to know.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Whom to pay.
    pub payee: PublicKey,
    /// The invoice's name.
    pub hash: PaymentHash,
    /// What proves that we have the invoice.
    pub secret: PaymentSecret,
    /// What the payee's metadata field said, to be given back. BOLT 11, field `m`.
    pub metadata: Option<Vec<u8>>,
    /// How much arrives.
    pub amount: Msat,
    /// Blocks the payee wants to be left.
    pub min_final_cltv_delta: u32,
    /// Who forwards it on the way, in order; nobody if there is a channel with the payee.
    pub via: Vec<Via>,
}

/// A node on the way, and what it asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Via {
    /// Which.
    pub node: PublicKey,
    /// Over which channel of its own it is to go on.
    pub next: ShortChannelId,
    /// What it keeps.
    pub fee: Msat,
    /// Blocks it wants between what it is given and what it gives.
    pub cltv_delta: u32,
}

impl Plan {
    /// Whom we hand the payment to.
    pub fn first(&self) -> PublicKey {
        self.via.first().map_or(self.payee, |via| via.node)
    }

    /// Everybody on the way, the payee at the end.
    pub fn nodes(&self) -> Vec<PublicKey> {
        self.via.iter().map(|via| via.node).chain([self.payee]).collect()
    }

    /// What we hand over, fees and all; `None` if that is more than there is.
    pub fn sum(&self) -> Option<Msat> {
        self.via.iter().try_fold(self.amount, |sum, via| sum.checked_add(via.fee))
    }
}

/// Payments under way that can be tried again.
#[derive(Debug, Default)]
pub struct Attempts {
    open: BTreeMap<PaymentHash, Open>,
    offers: BTreeMap<u64, (PaymentHash, u32)>,
    commands: u64,
    /// Who was on the way of an attempt.
    routes: BTreeMap<(PaymentHash, u32), Vec<PublicKey>>,
    /// Parts count on over restarts and attempts: a session key must never be used twice.
    parts: BTreeMap<PaymentHash, u32>,
}

#[derive(Debug)]
struct Open {
    plan: Plan,
    left: VecDeque<ChannelIndex>,
}

impl Attempts {
    /// Remembers a new payment and the channels to try, in order. `first_part` is above every part
    /// that an earlier payment of the same invoice used.
    pub fn open(&mut self, plan: Plan, channels: VecDeque<ChannelIndex>, first_part: u32) {
        self.parts.insert(plan.hash, first_part);
        self.open.insert(plan.hash, Open { plan, left: channels });
    }

    /// The next attempt: over which channel, and the offer.
    pub fn next(
        &mut self,
        hash: PaymentHash,
        us: &Identity,
        height: BlockHeight,
    ) -> Option<(ChannelIndex, Offer, u32)> {
        let open = self.open.get_mut(&hash)?;
        let channel = open.left.pop_front()?;
        let part = self.parts.entry(hash).or_default();
        let this = *part;
        *part = part.saturating_add(1);
        self.commands = self.commands.wrapping_add(1);
        let command = Asker::Payments.command(self.commands);
        let offer = offer(&open.plan, us, height, command, this)?;
        self.offers.insert(command.0, (hash, this));
        self.routes.insert((hash, this), open.plan.nodes());
        Some((channel, offer, this))
    }

    /// Which payment an offer was for; asked once, when the offer was refused or came to its end.
    pub fn offered(&mut self, command: CommandId) -> Option<(PaymentHash, u32)> {
        self.offers.remove(&command.0)
    }

    /// Who was on the way of an attempt, if that was more than the payee.
    pub fn route(&self, hash: PaymentHash, part: u32) -> Option<&[PublicKey]> {
        self.routes.get(&(hash, part)).map(Vec::as_slice)
    }

    /// A payment ended: nothing more of it is tried.
    pub fn close(&mut self, hash: PaymentHash) {
        self.open.remove(&hash);
        self.parts.remove(&hash);
        self.routes.retain(|(of, _), _| *of != hash);
        // Offers are answered at once, so few are open.
        self.offers.retain(|_, (of, _)| *of != hash);
    }
}

fn offer(
    plan: &Plan,
    us: &Identity,
    height: BlockHeight,
    command: CommandId,
    part: u32,
) -> Option<Offer> {
    let expiry = height.saturating_add(plan.min_final_cltv_delta).saturating_add(CLTV_GRACE);
    let payload = Payload::Final(Final {
        amt_to_forward: plan.amount,
        outgoing_cltv_value: expiry,
        payment_data: Some(PaymentData { payment_secret: plan.secret, total_msat: plan.amount }),
        payment_metadata: plan.metadata.clone(),
        keysend_preimage: None,
        custom_records: CustomRecords::default(),
    })
    .encode();
    let session = us.session_key(plan.hash, part);
    // From the payee backwards: what each is told to pass on.
    let (mut amount, mut cltv_expiry) = (plan.amount, expiry);
    let mut payloads = vec![(plan.payee, payload)];
    for via in plan.via.iter().rev() {
        let forward = Payload::Forward(Forward {
            amt_to_forward: amount,
            outgoing_cltv_value: cltv_expiry,
            short_channel_id: via.next,
        });
        payloads.push((via.node, forward.encode()));
        amount = amount.checked_add(via.fee)?;
        cltv_expiry = cltv_expiry.saturating_add(via.cltv_delta);
    }
    let hops: Vec<Hop<'_>> =
        payloads.iter().rev().map(|(node, payload)| Hop { node: *node, payload }).collect();
    let (onion, _) = build_payment(&session, &hops, &plan.hash).ok()?;
    Some(Offer {
        command,
        amount_msat: amount,
        payment_hash: plan.hash,
        cltv_expiry,
        onion,
        origin: Origin::Payment { payment_id: plan.hash.0, part },
        path_key: None,
        accountable: false,
    })
}

/// The channels with the payee, the fullest first.
#[derive(Clone, Debug, Default)]
pub struct Direct {
    /// Those that can carry the amount now, the fullest first.
    pub able: VecDeque<ChannelIndex>,
    /// How many there are.
    pub channels: u32,
    /// How many of them are in touch with the payee.
    pub usable: u32,
    /// The most that one of them can send.
    pub can_send: Msat,
}

impl Direct {
    /// Looks at all channels with `payee`.
    pub fn find(doors: &Doors, payee: NodeId, amount: Msat) -> Self {
        let mut found = Self::default();
        let mut able = Vec::new();
        for door in doors.of(payee) {
            let glance = *door.glance.borrow();
            found.channels = found.channels.saturating_add(1);
            if glance.usable {
                found.usable = found.usable.saturating_add(1);
                found.can_send = found.can_send.max(glance.can_send);
                if glance.can_send >= amount {
                    able.push((glance.can_send, door.index));
                }
            }
        }
        able.sort_by(|a, b| b.cmp(a));
        found.able = able.into_iter().map(|(_, index)| index).collect();
        found
    }
}
