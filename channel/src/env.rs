//! What a channel may know besides its own state: height, time, feerate, policy, keys, hands.
//!
//! It has no clock, no randomness and no network of its own: what it decides, it decides again from the
//! same arguments.
//!
//! Not here: secrets (behind `Signer`).

use wire::units::{BlockHeight, FeeratePerKw, Msat, Sat};

use crate::signer::Signer;
use crate::tx::Workers;

/// The world at one step.
#[derive(Clone, Copy)]
pub struct Env<'a> {
    /// The height of the best chain.
    pub height: BlockHeight,
    /// Seconds since 1970.
    pub now: u64,
    /// What a commitment should pay now.
    pub feerate: FeeratePerKw,
    /// What this node tolerates.
    pub policy: &'a Policy,
    /// This channel's keys.
    pub signer: &'a dyn Signer,
    /// Who makes and checks many signatures at once.
    pub workers: &'a dyn Workers,
}

impl std::fmt::Debug for Env<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Env")
            .field("height", &self.height)
            .field("now", &self.now)
            .field("feerate", &self.feerate)
            .finish_non_exhaustive()
    }
}

/// When we close alone without being asked. BOLT 5 § Failing a Channel.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum ForceClosePolicy {
    /// Whenever BOLT 2 demands it: over an `error`, a broken rule that leaves no other way, or an HTLC near
    /// its end that is worth more than its claim costs.
    #[default]
    Automatic,
    /// Only over an HTLC near its end, and only if what that saves is worth more than the whole close
    /// costs. Over all else the channel stops and says so.
    WhenMoneyAtRisk,
    /// Never: the channel stops where it must and says what a close would cost and save.
    Ask,
}

/// What this node tolerates, in all its channels.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Policy {
    /// The most value that a close may burn because it is trimmed, on either commitment.
    pub dust_exposure_max: Msat,
    /// The lowest feerate a funder may set.
    pub feerate_min: FeeratePerKw,
    /// The highest feerate a funder may set.
    pub feerate_max: FeeratePerKw,
    /// How far ahead an HTLC of ours may expire, in blocks.
    pub cltv_ahead_max: u32,
    /// Blocks before the expiry of an incoming HTLC whose preimage we showed at which we go to Layer 1.
    pub claim_buffer: u32,
    /// Blocks after the expiry of an outgoing HTLC at which we go to Layer 1.
    pub timeout_grace: u32,
    /// The smallest channel we take.
    pub funding_min: Sat,
    /// The largest channel we take.
    pub funding_max: Sat,
    /// The longest `to_self_delay` we take.
    pub to_self_delay_max: u16,
    /// The highest `dust_limit_satoshis` we take.
    pub dust_limit_max: Sat,
    /// The highest `htlc_minimum_msat` we take.
    pub htlc_minimum_max: Msat,
    /// The deepest `minimum_depth` we wait for.
    pub minimum_depth_max: u32,
    /// The fewest HTLCs a peer must let us offer.
    pub accepted_htlcs_min: u16,
    /// After so many blocks a fundee forgets a channel whose funding never confirmed.
    pub forget_after: u32,
    /// Confirmations after which a channel's funding counts as final, whatever the channel itself waits for:
    /// until then what is ours in one that a peer funded is at risk.
    pub funding_depth: u32,
    /// Confirmations after which an HTLC that came back on Layer 1 counts as failed.
    pub fail_depth: u32,
    /// As the funder we pay at most so many times the closing fee that we would like.
    pub closing_fee_factor_max: u32,
    /// When we close alone without being asked.
    pub force_close: ForceClosePolicy,
    /// Blocks before the expiry of the incoming HTLC of a forward at which it is failed although its
    /// outgoing HTLC is open: its offerer would close that channel, too.
    pub fail_back_buffer: u32,
}

impl Default for Policy {
    /// Bounds within which the nodes of the public network open channels with each other.
    fn default() -> Self {
        Self {
            dust_exposure_max: Msat::new(100_000_000).unwrap_or(Msat::MAX),
            feerate_min: FeeratePerKw(253),
            feerate_max: FeeratePerKw(100_000),
            cltv_ahead_max: 2_016,
            claim_buffer: 18,
            timeout_grace: 2,
            funding_min: Sat::from_sat(10_000),
            funding_max: Sat::MAX_MONEY,
            to_self_delay_max: 2_016,
            dust_limit_max: Sat::from_sat(5_000),
            htlc_minimum_max: Msat::new(100_000_000).unwrap_or(Msat::MAX),
            minimum_depth_max: 144,
            accepted_htlcs_min: 1,
            forget_after: 2_016,
            funding_depth: 3,
            fail_depth: 6,
            closing_fee_factor_max: 3,
            force_close: ForceClosePolicy::Automatic,
            fail_back_buffer: 3,
        }
    }
}
