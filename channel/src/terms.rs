//! What two sides agree on when they open a channel, and never change. BOLT 2 § Channel Establishment v1.
//!
//! Not here: whether the terms are acceptable (`phase::opening`), what can change (`ledger`).

use bitcoin::ScriptBuf;
use wire::feature::{Feature, Features};
use wire::id::{ChannelId, ShortChannelId};
use wire::units::{FeeratePerKw, Msat, Sat};

use crate::clock::Side;
use crate::event::CommandId;
use crate::keys::ChannelBasepoints;

/// What one side demands of the other, as in `open_channel` and `accept_channel`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Params {
    /// `dust_limit_satoshis`: outputs of this side's commitment below it are not made.
    pub dust_limit: Sat,
    /// `max_htlc_value_in_flight_msat`: how much the other side may have in flight. A limit, not an
    /// amount: it may exceed all bitcoin.
    pub in_flight_max_msat: u64,
    /// `channel_reserve_satoshis`: what the *other* side must keep.
    pub channel_reserve: Sat,
    /// `htlc_minimum_msat`: the smallest HTLC the other side may offer.
    pub htlc_minimum: Msat,
    /// `to_self_delay`: how many blocks the *other* side waits for its own money.
    pub to_self_delay: u16,
    /// `max_accepted_htlcs`: how many HTLCs the other side may have in flight, at most 483.
    pub accepted_htlcs_max: u16,
}

impl Params {
    /// What every implementation on the public network accepts for a channel of this size.
    pub fn for_capacity(capacity: Sat) -> Self {
        let percent = Sat::from_sat(capacity.to_sat() / 100);
        Self {
            dust_limit: Sat::from_sat(354),
            in_flight_max_msat: capacity.to_sat().saturating_mul(1_000),
            channel_reserve: percent.max(Sat::from_sat(1_000)),
            htlc_minimum: Msat::new(1).unwrap_or(Msat::ZERO),
            to_self_delay: 144,
            accepted_htlcs_max: 483,
        }
    }
}

/// What a `channel_type` says beside `option_static_remotekey` and `option_anchors`, which ours all have.
/// BOLT 2 § Definition of `channel_type`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Kind {
    /// `option_scid_alias`: payers name the channel by its aliases alone, its place in the chain is told to
    /// nobody.
    pub scid_alias: bool,
    /// `option_zeroconf`: it is used before its funding is in a block.
    pub zero_conf: bool,
}

impl Kind {
    /// The `channel_type` that says so.
    pub fn channel_type(self) -> Features {
        Features::channel_type(self.scid_alias, self.zero_conf)
    }

    /// Reads a `channel_type`; `None` for one that we do not do.
    pub fn of(channel_type: &Features) -> Option<Self> {
        channel_type.is_our_channel_type().then(|| Self {
            scid_alias: channel_type.has(Feature::ScidAlias.even()),
            zero_conf: channel_type.has(Feature::Zeroconf.even()),
        })
    }

    /// Whether both sides of a connection can do what it asks for.
    pub fn is_negotiated(self, features: &Features) -> bool {
        (!self.scid_alias || features.offers(Feature::ScidAlias))
            && (!self.zero_conf || features.offers(Feature::Zeroconf))
    }
}

/// What it takes to open a channel. BOLT 2 § The `open_channel` Message.
#[derive(Clone, Debug)]
pub struct OpenTerms {
    /// Whom to answer, when the channel is funded or given up.
    pub command: CommandId,
    /// The genesis block's hash.
    pub chain_hash: [u8; 32],
    /// Random, and unlike any other channel id in use with the peer.
    pub temporary_channel_id: ChannelId,
    /// `funding_satoshis`.
    pub capacity: Sat,
    /// `push_msat`: what is given to the peer.
    pub push: Msat,
    /// `feerate_per_kw` of the first commitments.
    pub feerate: FeeratePerKw,
    /// What the funding transaction should pay.
    pub funding_feerate: FeeratePerKw,
    /// Whether the channel is to be announced.
    pub announce: bool,
    /// Which kind of channel we ask for.
    pub kind: Kind,
    /// What we demand.
    pub params: Params,
    /// Where our part must go at a cooperative close; `None` leaves it open.
    pub upfront_shutdown: Option<ScriptBuf>,
    /// Where our part goes at a cooperative close if nobody says otherwise: an address of the wallet.
    pub shutdown_script: ScriptBuf,
    /// An alias for `channel_ready`, unlike any other of this node.
    pub alias: Option<ShortChannelId>,
    /// What both sides can.
    pub features: Features,
}

/// How we accept a channel. BOLT 2 § The `accept_channel` Message.
#[derive(Clone, Debug)]
pub struct AcceptTerms {
    /// The genesis block's hash.
    pub chain_hash: [u8; 32],
    /// What we demand.
    pub params: Params,
    /// `minimum_depth`: confirmations before `channel_ready`. 0 if whoever opens it is trusted not to spend
    /// its coins elsewhere, and only then.
    pub minimum_depth: u32,
    /// Where our part must go at a cooperative close; `None` leaves it open.
    pub upfront_shutdown: Option<ScriptBuf>,
    /// Where our part goes at a cooperative close if nobody says otherwise: an address of the wallet.
    pub shutdown_script: ScriptBuf,
    /// An alias for `channel_ready`, unlike any other of this node.
    pub alias: Option<ShortChannelId>,
    /// What both sides can.
    pub features: Features,
}

/// The terms of a channel that exists.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Terms {
    /// Who pays the fees.
    pub funder: Side,
    /// Whether the channel is to be announced.
    pub announce: bool,
    /// What its type says.
    pub kind: Kind,
    /// What both own together at first.
    pub capacity: Sat,
    /// What the fundee owned at first.
    pub push: Msat,
    /// The feerate of the first commitments.
    pub first_feerate: FeeratePerKw,
    /// Confirmations before `channel_ready`; 0: it is used before its funding is in a block.
    pub minimum_depth: u32,
    /// What we demand of the peer.
    pub us: Params,
    /// What the peer demands of us.
    pub them: Params,
    /// Our public keys.
    pub our_keys: ChannelBasepoints,
    /// The peer's.
    pub their_keys: ChannelBasepoints,
    /// Where our part must go at a cooperative close.
    pub our_upfront_shutdown: Option<ScriptBuf>,
    /// Where the peer's part must go.
    pub their_upfront_shutdown: Option<ScriptBuf>,
    /// Where our part goes at a cooperative close if nobody says otherwise.
    pub shutdown_script: ScriptBuf,
    /// The alias of our `channel_ready`.
    pub alias: Option<ShortChannelId>,
}

impl Terms {
    /// Whether the channel is used before its funding is in a block.
    pub const fn is_zero_conf(&self) -> bool {
        self.minimum_depth == 0
    }

    /// What `side` demands of the other.
    pub const fn params(&self, side: Side) -> &Params {
        match side {
            Side::Us => &self.us,
            Side::Them => &self.them,
        }
    }

    /// The public keys of `side`.
    pub const fn keys(&self, side: Side) -> &ChannelBasepoints {
        match side {
            Side::Us => &self.our_keys,
            Side::Them => &self.their_keys,
        }
    }
}
