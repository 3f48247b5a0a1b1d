//! Feature bits (BOLT 9): the vector, and what we set where.
//!
//! Not here: the table of features itself ([`Feature`]), checking an invoice's bits
//! (`daemon::payments`).

mod table;

use core::fmt;

pub use table::{Context, Feature};

use crate::codec::{Decode, DecodeError, Encode, Reader};
use crate::tlv::Record;

/// A bit vector of features. Bit 0 is the lowest bit of the last byte.
///
/// The bytes are kept as they came, for signatures; two vectors are equal if they have the same bits,
/// however many zero bytes go before them.
#[derive(Clone, Default)]
pub struct Features(Vec<u8>);

impl Features {
    /// What we say in `init`, for what is implemented.
    ///
    /// Even are only the five that LDK and Eclair look for whatever BOLT 9 assumes (0, 8, 12, 14, 44);
    /// everything else is odd, because a peer hangs up on an even bit it does not know.
    /// Not set: `option_upfront_shutdown_script` (5), as no peer demands it.
    pub fn init() -> Self {
        Self::required(&[
            Feature::DataLossProtect,
            Feature::VarOnionOptin,
            Feature::StaticRemotekey,
            Feature::PaymentSecret,
            Feature::ChannelType,
        ])
        .and_optional(&[
            Feature::GossipQueries,
            Feature::GossipQueriesEx,
            Feature::BasicMpp,
            Feature::LargeChannels,
            Feature::Anchors,
            Feature::RouteBlinding,
            Feature::ShutdownAnysegwit,
            Feature::AttributionData,
            Feature::ProvideStorage,
            Feature::ScidAlias,
            Feature::Zeroconf,
        ])
    }

    /// What we say in a `node_announcement`: the same, as every feature of ours belongs there too, and whether
    /// payments without an invoice are taken.
    pub fn node(keysend: bool) -> Self {
        let node = Self::init();
        if keysend { node.and_optional(&[Feature::Keysend]) } else { node }
    }

    /// What we say in a BOLT 11 invoice: the two that a payer must know, and that it may pay in parts.
    pub fn invoice() -> Self {
        Self::required(&[Feature::VarOnionOptin, Feature::PaymentSecret])
            .and_optional(&[Feature::BasicMpp])
    }

    /// What an invoice that we pay may demand: the same, and that its metadata comes back.
    pub fn payable() -> Self {
        Self::invoice().and_optional(&[Feature::PaymentMetadata])
    }

    /// The channel type we propose: `option_static_remotekey` and `option_anchors` (12, 22), with
    /// `option_scid_alias` (46) and `option_zeroconf` (50) if they are wanted.
    pub fn channel_type(scid_alias: bool, zeroconf: bool) -> Self {
        let mut kind = Self::required(&[Feature::StaticRemotekey, Feature::Anchors]);
        if scid_alias {
            kind.set(Feature::ScidAlias.even());
        }
        if zeroconf {
            kind.set(Feature::Zeroconf.even());
        }
        kind
    }

    /// Whether this is a channel type that we speak: 12 and 22, maybe 46 and 50, and no other bit.
    pub fn is_our_channel_type(&self) -> bool {
        let (alias, zeroconf) = (Feature::ScidAlias.even(), Feature::Zeroconf.even());
        *self == Self::channel_type(self.has(alias), self.has(zeroconf))
    }

    /// No features.
    pub const fn empty() -> Self {
        Self(Vec::new())
    }

    /// These features, as even bits.
    pub fn required(features: &[Feature]) -> Self {
        let mut all = Self::empty();
        features.iter().for_each(|feature| all.set(feature.even()));
        all
    }

    /// The same and these features, as odd bits.
    pub fn and_optional(mut self, features: &[Feature]) -> Self {
        features.iter().for_each(|feature| self.set(feature.odd()));
        self
    }

    /// The vector with these bits; those above 524,287 do not fit a message and are left out.
    pub fn from_bits(bits: impl IntoIterator<Item = u32>) -> Self {
        let mut bytes = Vec::new();
        for bit in bits {
            let Some(byte) = usize::try_from(bit / 8).ok().filter(|byte| *byte < 65_536) else {
                continue;
            };
            if bytes.len() <= byte {
                bytes.resize(byte.saturating_add(1), 0);
            }
            if let Some(byte) = bytes.get_mut(byte) {
                *byte |= 1_u8 << (bit % 8);
            }
        }
        bytes.reverse();
        Self(bytes)
    }

    /// The vector with these bytes, the most significant first.
    pub const fn from_wire(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The bytes as they came or as few as the bits need, the most significant first.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Sets a bit.
    pub fn set(&mut self, bit: u16) {
        let (byte, mask) = place(bit);
        let missing = byte.saturating_add(1).saturating_sub(self.0.len());
        self.0.splice(..0, core::iter::repeat_n(0, missing));
        if let Some(byte) = self.0.iter_mut().rev().nth(byte) {
            *byte |= mask;
        }
    }

    /// Whether a bit is set.
    pub fn has(&self, bit: u16) -> bool {
        let (byte, mask) = place(bit);
        self.0.iter().rev().nth(byte).is_some_and(|byte| byte & mask != 0)
    }

    /// Whether a feature is set, as even or as odd.
    pub fn offers(&self, feature: Feature) -> bool {
        self.has(feature.even()) || self.has(feature.odd())
    }

    /// Whether a feature is demanded.
    pub fn requires(&self, feature: Feature) -> bool {
        // BOLT 9: "if both the optional and the mandatory feature bits in a pair are set, the feature
        // should be treated as mandatory."
        self.has(feature.even())
    }

    /// Every bit that is set, rising. A vector from a peer may have half a million.
    pub fn bits(&self) -> impl Iterator<Item = u32> {
        self.0.iter().rev().zip((0_u32..).step_by(8)).flat_map(|(byte, base)| {
            (0_u32..8).filter(move |shift| byte >> shift & 1 == 1).map(move |shift| base | shift)
        })
    }

    /// The bits of both.
    pub fn union(&self, other: &Self) -> Self {
        let (mut long, short) = if self.0.len() >= other.0.len() {
            (self.clone(), other)
        } else {
            (other.clone(), self)
        };
        for (to, from) in long.0.iter_mut().rev().zip(short.0.iter().rev()) {
            *to |= from;
        }
        long
    }

    /// The lowest even bit that demands what `ours` does not offer: BOLT 1 asks to close then.
    ///
    /// A feature we know by name and do not offer counts as unknown, for the peer demands it in vain.
    /// The gossip query messages are understood by everyone, so that bit demands nothing.
    pub fn demands_beyond(&self, ours: &Self) -> Option<u32> {
        self.bits().find(|bit| {
            bit % 2 == 0
                && *bit != u32::from(Feature::GossipQueries.even())
                && !u16::try_from(*bit).is_ok_and(|even| ours.has(even) || ours.has(even | 1))
        })
    }

    /// The lowest even bit that is in no table of ours.
    pub fn unknown_even(&self) -> Option<u32> {
        self.bits().find(|bit| bit % 2 == 0 && Feature::of_bit(*bit).is_none())
    }

    /// A feature that is offered and the first of its dependencies that is not.
    pub fn missing_dependency(&self) -> Option<(Feature, Feature)> {
        // BOLT 1: "if the feature vector does not set all known, transitive dependencies: MUST close
        // the connection."
        Feature::ALL.iter().filter(|feature| self.offers(**feature)).find_map(|feature| {
            let missing = feature.dependencies().iter().find(|needed| !self.offers(**needed));
            missing.map(|needed| (*feature, *needed))
        })
    }

    /// The lowest bit that BOLT 9 does not allow in this context, among those it names.
    pub fn misplaced(&self, context: Context) -> Option<u32> {
        self.bits().find(|bit| {
            Feature::of_bit(*bit).is_some_and(|feature| !feature.contexts().contains(&context))
        })
    }

    /// Whether both sides of a connection can use a feature.
    pub fn negotiated(ours: &Self, theirs: &Self, feature: Feature) -> bool {
        // BOLT 1: "A feature is *negotiated* if either both peers offered it, or the local node
        // offered it as even"
        ours.requires(feature) || (ours.offers(feature) && theirs.offers(feature))
    }

    fn significant(&self) -> &[u8] {
        let zeros = self.0.iter().take_while(|byte| **byte == 0).count();
        self.0.get(zeros..).unwrap_or_default()
    }
}

/// Which byte from the end, and which bit in it.
fn place(bit: u16) -> (usize, u8) {
    (usize::from(bit / 8), 1 << (bit % 8))
}

impl PartialEq for Features {
    fn eq(&self, other: &Self) -> bool {
        self.significant() == other.significant()
    }
}

impl Eq for Features {}

impl fmt::Display for Features {
    /// Names of known features, numbers of others: `option_anchors, 1001`; required ones with `!`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN_MAX: usize = 64;
        for (place, bit) in self.bits().take(SHOWN_MAX).enumerate() {
            let comma = if place > 0 { ", " } else { "" };
            let mark = if bit % 2 == 0 { "!" } else { "" };
            match Feature::of_bit(bit) {
                Some(feature) => write!(f, "{comma}{}{mark}", feature.name())?,
                None => write!(f, "{comma}{bit}{mark}")?,
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Features {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Features({self})")
    }
}

/// A `u16` length and the bytes.
impl Encode for Features {
    fn encode(&self, out: &mut Vec<u8>) {
        self.0.encode(out);
    }
}

impl Decode for Features {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Vec::decode(r).map(Self)
    }
}

impl Record for Features {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }

    fn take(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self(r.rest().to_vec()))
    }
}

#[cfg(test)]
mod tests;
