//! What a channel asks of an HTLC that goes out over it, and whether one gives that. BOLT 7 § HTLC Fees, BOLT 4
//! § Failure Messages.
//!
//! Pure. Not here: which channel it goes out by (`choose`).

use std::collections::BTreeMap;

use wire::codec::{Decode, DecodeError, Encode, Reader};
use wire::onion::failure::{ChannelUpdateBytes, Failure};
use wire::units::{BlockHeight, Msat};

use crate::fact::{ChannelIndex, PolicySet};
use crate::switch::Forward;

/// Blocks before the expiry of the outgoing HTLC at which nothing goes on any more: nobody behind us would take
/// it, and our channel would be closed over it. Below the 18 that a payee asks for at least (BOLT 11).
pub const EXPIRY_TOO_SOON: u32 = 12;

/// How far ahead an HTLC may expire, in blocks. BOLT 4 § `max_htlc_cltv` Selection.
pub const CLTV_AHEAD_MAX: u32 = 2_016;

/// How long those who did not hear of a change may go by what was before, in milliseconds: BOLT 7 asks
/// for at least ten minutes.
pub const GRACE_MS: u64 = 600_000;

/// What forwarding over a channel costs, and whether it is done at all; the fields of a `channel_update`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ForwardPolicy {
    /// Whether anything goes out over it.
    pub enabled: bool,
    /// Flat fee, in msat.
    pub base_msat: u32,
    /// Fee per million forwarded.
    pub ppm: u32,
    /// Blocks between the expiries of the incoming and the outgoing HTLC.
    pub cltv_delta: u16,
    /// The least that goes out.
    pub htlc_min: Msat,
    /// The most that goes out in one HTLC.
    pub htlc_max: Msat,
}

impl Default for ForwardPolicy {
    fn default() -> Self {
        Self {
            enabled: true,
            base_msat: 1_000,
            ppm: 100,
            cltv_delta: 80,
            htlc_min: Msat::new(1).unwrap_or(Msat::ZERO),
            htlc_max: Msat::MAX,
        }
    }
}

impl Encode for ForwardPolicy {
    fn encode(&self, out: &mut Vec<u8>) {
        self.enabled.encode(out);
        self.base_msat.encode(out);
        self.ppm.encode(out);
        self.cltv_delta.encode(out);
        self.htlc_min.encode(out);
        self.htlc_max.encode(out);
    }
}

impl Decode for ForwardPolicy {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            enabled: Decode::decode(r)?,
            base_msat: Decode::decode(r)?,
            ppm: Decode::decode(r)?,
            cltv_delta: Decode::decode(r)?,
            htlc_min: Decode::decode(r)?,
            htlc_max: Decode::decode(r)?,
        })
    }
}

impl ForwardPolicy {
    /// The fee for forwarding so much, rounded down as BOLT 7 says.
    pub fn fee_msat(&self, forwarded: Msat) -> u128 {
        u128::from(forwarded.to_u64())
            .saturating_mul(u128::from(self.ppm))
            .div_euclid(1_000_000)
            .saturating_add(u128::from(self.base_msat))
    }

    /// Whether the sender gave what is asked for. `update` is the channel's own `channel_update`, or empty.
    ///
    /// # Errors
    /// The failure for the sender.
    pub fn check(
        &self,
        forward: &Forward,
        height: BlockHeight,
        update: &ChannelUpdateBytes,
    ) -> Result<(), Failure> {
        let channel_update = || update.clone();
        if !self.enabled {
            return Err(Failure::ChannelDisabled {
                disabled_flags: 0,
                channel_update: channel_update(),
            });
        }
        let out = forward.payload.amt_to_forward;
        if out < self.htlc_min {
            return Err(Failure::AmountBelowMinimum {
                htlc_msat: out.to_u64(),
                channel_update: channel_update(),
            });
        }
        if out > self.htlc_max {
            return Err(Failure::TemporaryChannelFailure { channel_update: channel_update() });
        }
        let left = forward.amount.checked_sub(out).map(|left| u128::from(left.to_u64()));
        // BOLT 4's formula for blinded routes rounds what goes on up, which can be one msat short of BOLT 7's fee.
        let rounding = u128::from(forward.blinded.is_some());
        if left.is_none_or(|left| left < self.fee_msat(out).saturating_sub(rounding)) {
            return Err(Failure::FeeInsufficient {
                htlc_msat: forward.amount.to_u64(),
                channel_update: channel_update(),
            });
        }
        let expiry = forward.payload.outgoing_cltv_value;
        // BOLT 4: "if the incoming `cltv_expiry` minus the `outgoing_cltv_value` is below the
        // `cltv_expiry_delta` for the outgoing channel"
        if forward.cltv_expiry < expiry.saturating_add(u32::from(self.cltv_delta)) {
            return Err(Failure::IncorrectCltvExpiry {
                cltv_expiry: expiry.0,
                channel_update: channel_update(),
            });
        }
        if expiry <= height.saturating_add(EXPIRY_TOO_SOON) {
            return Err(Failure::ExpiryTooSoon { channel_update: channel_update() });
        }
        // BOLT 4: "if the `cltv_expiry` is more than `max_htlc_cltv` in the future"
        if expiry > height.saturating_add(CLTV_AHEAD_MAX) {
            return Err(Failure::ExpiryTooFar);
        }
        Ok(())
    }
}

/// What of a policy is to be another.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct PolicyChange {
    /// [`ForwardPolicy::enabled`].
    pub enabled: Option<bool>,
    /// [`ForwardPolicy::base_msat`].
    pub base_msat: Option<u32>,
    /// [`ForwardPolicy::ppm`].
    pub ppm: Option<u32>,
    /// [`ForwardPolicy::cltv_delta`].
    pub cltv_delta: Option<u16>,
    /// [`ForwardPolicy::htlc_min`].
    pub htlc_min: Option<Msat>,
    /// [`ForwardPolicy::htlc_max`].
    pub htlc_max: Option<Msat>,
}

impl PolicyChange {
    /// The policy after it.
    pub fn of(self, before: ForwardPolicy) -> ForwardPolicy {
        ForwardPolicy {
            enabled: self.enabled.unwrap_or(before.enabled),
            base_msat: self.base_msat.unwrap_or(before.base_msat),
            ppm: self.ppm.unwrap_or(before.ppm),
            cltv_delta: self.cltv_delta.unwrap_or(before.cltv_delta),
            htlc_min: self.htlc_min.unwrap_or(before.htlc_min),
            htlc_max: self.htlc_max.unwrap_or(before.htlc_max),
        }
    }
}

/// What each channel asks for: its own policy, or the node's.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ForwardPolicies {
    /// What channels without a policy of their own ask for.
    pub default: ForwardPolicy,
    own: BTreeMap<ChannelIndex, PolicySet>,
}

impl ForwardPolicies {
    /// What a channel asks for now.
    pub fn of(&self, channel: ChannelIndex) -> ForwardPolicy {
        self.own.get(&channel).map_or(self.default, |set| set.policy)
    }

    /// What it asked for until lately, if some may not know better yet.
    pub fn before(&self, channel: ChannelIndex, now_ms: u64) -> Option<ForwardPolicy> {
        let set = self.own.get(&channel)?;
        (now_ms < set.at_ms.saturating_add(GRACE_MS)).then_some(set.before)
    }

    /// Takes a change in.
    pub fn set(&mut self, set: PolicySet) {
        self.own.insert(ChannelIndex(set.channel), set);
    }

    /// Drops a channel that is over.
    pub fn remove(&mut self, channel: ChannelIndex) {
        self.own.remove(&channel);
    }

    /// The channels with a policy of their own.
    pub fn iter(&self) -> impl Iterator<Item = &PolicySet> {
        self.own.values()
    }

    /// Whether the sender gave what the channel asks for, or asked for until lately.
    ///
    /// # Errors
    /// The failure for the sender, by what is in force.
    pub fn check(
        &self,
        channel: ChannelIndex,
        forward: &Forward,
        height: BlockHeight,
        now_ms: u64,
        update: &ChannelUpdateBytes,
    ) -> Result<(), Failure> {
        let now = self.of(channel);
        let Err(failure) = now.check(forward, height, update) else { return Ok(()) };
        // Whoever closes a channel to forwards means it.
        let before = self.before(channel, now_ms).filter(|_| now.enabled);
        let old = before.map(|before| before.check(forward, height, update));
        if old == Some(Ok(())) { Ok(()) } else { Err(failure) }
    }
}

#[cfg(test)]
mod tests;
