//! A channel shows itself: `announcement_signatures`, and what gossip needs to know of it. BOLT 7.
//!
//! No money hangs on any of this, so nothing of it is recorded: what a restart forgets, the peers say
//! again.
//!
//! Not here: updates and their signatures (`gossip::ours`).

use bitcoin::OutPoint;
use channel::clock::Side;
use channel::signer::Signer as _;
use channel::state::State;
use routing::gossip::{ANNOUNCE_DEPTH, Proof};
use wire::codec::Rest;
use wire::feature::Features;
use wire::id::{NodeId, ShortChannelId, Signature};
use wire::message::{AnnouncementSignatures, ChannelAnnouncement};

use crate::channels::perform::bound;
use crate::channels::task::ChannelTask;
use crate::gossip::{FromChannel, Standing};
use crate::tasks::Fatal;

/// How far the announcement is.
#[derive(Debug, Default)]
pub(super) struct Announcing {
    /// On which connection ours was said.
    said: Option<u64>,
    /// On which connection theirs was answered.
    answered: Option<u64>,
    /// Theirs came before we could use it, or could.
    theirs: Option<AnnouncementSignatures>,
    /// The announcement was handed on.
    done: Option<ShortChannelId>,
    /// What gossip heard last.
    told: Option<(Standing, Option<u64>)>,
}

impl ChannelTask {
    /// Says what is due. Cheap when nothing is.
    pub(super) fn announce(&mut self) -> Result<(), Fatal> {
        let Some(standing) = self.standing() else { return Ok(()) };
        let up = self.channel().is_some_and(channel::Channel::is_connected);
        let link = self.link.clone().filter(|_| up);
        let (short_id, generation) = (standing.short_id, link.as_ref().map(|link| link.generation));
        let told = (standing, generation);
        if self.announcing.told.as_ref() != Some(&told) {
            let standing = Box::new(told.0.clone());
            self.announcing.told = Some(told);
            let stands = FromChannel::Stands { standing, link: link.clone() };
            bound(self.common.gossip.send(stands), GOSSIP)?;
        }
        if !self.may_announce() {
            return Ok(());
        }
        let (Some(scid), Some(link)) = (short_id, link) else { return Ok(()) };
        let known = self.announcing.done == Some(scid)
            || self.common.own_gossip.borrow().announced.contains(&scid);
        let said = self.announcing.said == Some(link.generation);
        let heard = self.announcing.theirs.as_ref().is_some_and(|t| t.short_channel_id == scid);
        // By BOLT 7 a node that has not received the peer's says its own again on each connection; who hears
        // it again answers, once a connection, or both would go on for ever.
        let answer = heard && self.announcing.answered != Some(link.generation);
        if (!known || answer)
            && !said
            && let Some((_, ours)) = self.ours(scid)
        {
            self.announcing.said = Some(link.generation);
            link.say(&ours.into());
        }
        if heard {
            self.announcing.answered = Some(link.generation);
        }
        if heard && !known { self.complete(scid) } else { Ok(()) }
    }

    /// The peer's half came.
    pub(super) fn hear_announcement(&mut self, theirs: AnnouncementSignatures) {
        // It may come before our end is ready for it, so it is kept until it can be used. BOLT 7.
        self.announcing.theirs = Some(theirs);
    }

    fn complete(&mut self, scid: ShortChannelId) -> Result<(), Fatal> {
        let Some(theirs) = self.announcing.theirs.clone() else { return Ok(()) };
        let Some((mut announcement, ours)) = self.ours(scid) else { return Ok(()) };
        let we_first = announcement.node_id_1 == self.common.us.node_id();
        let (node_ours, bitcoin_ours) = (ours.node_signature, ours.bitcoin_signature);
        let (node_theirs, bitcoin_theirs) = (theirs.node_signature, theirs.bitcoin_signature);
        let (one, two) = if we_first {
            ((node_ours, bitcoin_ours), (node_theirs, bitcoin_theirs))
        } else {
            ((node_theirs, bitcoin_theirs), (node_ours, bitcoin_ours))
        };
        (announcement.node_signature_1, announcement.bitcoin_signature_1) = one;
        (announcement.node_signature_2, announcement.bitcoin_signature_2) = two;
        let (node, key) = if we_first {
            (announcement.node_id_2, announcement.bitcoin_key_2)
        } else {
            (announcement.node_id_1, announcement.bitcoin_key_1)
        };
        let digest = announcement.digest();
        let holds = |signature, key| Proof { digest, signature, key }.holds();
        if !holds(node_theirs, node) || !holds(bitcoin_theirs, key) {
            // BOLT 7: "if the `node_signature` OR the `bitcoin_signature` is NOT correct: MAY send a
            // `warning` and close the connection, or send an `error` and fail the channel." Money does
            // not depend on it, so nothing is failed.
            self.announcing.theirs = None;
            if let Some(link) = &self.link {
                link.warn_and_close(theirs.channel_id, "announcement_signatures do not hold");
            }
            return Ok(());
        }
        let (Some(funding), Some(capacity)) = (self.funding(), self.capacity()) else {
            return Ok(());
        };
        self.announcing.done = Some(scid);
        let announced =
            FromChannel::Announced { announcement: Box::new(announcement), funding, capacity };
        bound(self.common.gossip.send(announced), GOSSIP)
    }

    /// The announcement without signatures, and ours on it.
    fn ours(&self, scid: ShortChannelId) -> Option<(ChannelAnnouncement, AnnouncementSignatures)> {
        let channel = self.channel()?;
        let terms = channel.terms()?;
        let (us, them) = (self.common.us.node_id(), self.meta.node);
        let key = |side| NodeId::from(terms.keys(side).funding);
        let ours = (us, key(Side::Us));
        let theirs = (them, key(Side::Them));
        let ((node_id_1, bitcoin_key_1), (node_id_2, bitcoin_key_2)) =
            if us < them { (ours, theirs) } else { (theirs, ours) };
        let none = Signature([0; 64]);
        let announcement = ChannelAnnouncement {
            node_signature_1: none,
            node_signature_2: none,
            bitcoin_signature_1: none,
            bitcoin_signature_2: none,
            features: Features::empty(),
            chain_hash: self.common.chain,
            short_channel_id: scid,
            node_id_1,
            node_id_2,
            bitcoin_key_1,
            bitcoin_key_2,
            extension: Rest::default(),
        };
        let bitcoin_signature = self.signer().sign_announcement(&announcement).ok()?;
        let signatures = AnnouncementSignatures {
            channel_id: channel.id(),
            short_channel_id: scid,
            node_signature: self.common.us.sign_gossip(announcement.digest()),
            bitcoin_signature,
        };
        Some((announcement, signatures))
    }

    /// Whether both wanted it announced, it is deep enough and is not closing.
    fn may_announce(&self) -> bool {
        let Some(state) = self.channel().and_then(channel::Channel::state) else { return false };
        let Some((height, _)) = state.fundings.first().and_then(|funding| funding.confirmed) else {
            return false;
        };
        let depth = (self.common.height.borrow().0).saturating_sub(height.0).saturating_add(1);
        state.terms.announce
            && state.we_ready
            && state.they_ready
            && !is_over(state)
            && depth >= ANNOUNCE_DEPTH
            && self.channel().is_some_and(channel::Channel::is_connected)
    }

    fn funding(&self) -> Option<OutPoint> {
        self.channel()?.funding()
    }

    fn capacity(&self) -> Option<bitcoin::Amount> {
        self.channel()?.capacity()
    }

    /// What gossip has to know of the channel; `None` before it is ready.
    fn standing(&self) -> Option<Standing> {
        let channel = self.channel()?;
        let state = channel.state()?;
        if !state.we_ready || !state.they_ready {
            return None;
        }
        Some(Standing {
            index: self.index,
            id: channel.id(),
            node: self.meta.node,
            short_id: channel.short_channel_id(),
            our_alias: state.terms.alias,
            their_alias: state.their_alias,
            announce: state.terms.announce,
            alias_only: state.terms.kind.scid_alias,
            over: is_over(state),
            htlc_minimum: state.terms.them.htlc_minimum,
            htlc_maximum_msat: self.htlc_maximum_msat()?,
        })
    }

    /// The most that one HTLC of ours may be worth: below the peer's limit, the capacity and its reserve.
    fn htlc_maximum_msat(&self) -> Option<u64> {
        let terms = self.channel()?.terms()?;
        let capacity_msat = terms.capacity.to_sat().saturating_mul(1_000);
        let reserve_msat = terms.them.channel_reserve.to_sat().saturating_mul(1_000);
        let free = capacity_msat.saturating_sub(reserve_msat);
        Some(free.min(terms.them.in_flight_max_msat))
    }
}

/// Whether it ends or has ended: others must not count on it any more.
const fn is_over(state: &State) -> bool {
    state.end.is_some()
        || state.chain.spent.is_some()
        || state.our_shutdown.is_some()
        || state.their_shutdown.is_some()
}

/// The edge's name in an overflow.
const GOSSIP: &str = "channel to gossip";
