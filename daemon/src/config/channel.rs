//! What we ask of channels and accept in them, checked against BOLT 2 and BOLT 3.

use bitcoin::Amount;
use channel::Policy;
use wire::units::{FeeratePerKw, Msat};

use super::settings::RawChannel;
use super::{Check, ConfigError, Network};
use crate::policy::{self, ForceClosePolicy};

/// The settings of channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChannelConfig {
    /// What we tolerate.
    pub policy: Policy,
    /// What we ask for when a channel is opened, by us or by a peer.
    pub asks: Asks,
    /// Blocks that an invoice of ours leaves at the end.
    pub min_final_cltv: u16,
    /// When channels are closed alone, with peers that have no policy of their own.
    pub force_close: ForceClosePolicy,
}

/// What we put into `open_channel` and `accept_channel` (BOLT 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asks {
    /// Confirmations before the channel is used, when the peer funds it.
    pub minimum_depth: u32,
    /// How long the peer waits for its coins after it forced a close.
    pub to_self_delay: u16,
    /// What the peer keeps on its side, in parts per million of the channel.
    pub reserve_ppm: u32,
    /// The least that it keeps.
    pub reserve_min: Amount,
    /// HTLCs that the peer may have in flight.
    pub max_accepted_htlcs: u16,
    /// What the peer may have in flight, in percent of the channel.
    pub in_flight_percent: u8,
    /// The smallest HTLC we take.
    pub htlc_minimum: Msat,
    /// Outputs of our commitment below this are not made.
    pub dust_limit: Amount,
}

impl Asks {
    /// What the peer keeps on its side of a channel of `capacity`; never below either dust limit we know.
    #[must_use]
    pub fn reserve(&self, capacity: Amount) -> Amount {
        let share = u128::from(capacity.to_sat())
            .saturating_mul(u128::from(self.reserve_ppm))
            .div_euclid(1_000_000);
        let share = u64::try_from(share).map_or(Amount::MAX_MONEY, Amount::from_sat);
        share.max(self.reserve_min).max(self.dust_limit)
    }

    /// What the peer may have in flight in a channel of `capacity`, in msat (BOLT 2,
    /// `max_htlc_value_in_flight_msat`).
    #[must_use]
    pub fn in_flight_max_msat(&self, capacity: Amount) -> u64 {
        capacity.to_sat().saturating_mul(10).saturating_mul(u64::from(self.in_flight_percent))
    }
}

/// Checks the raw settings.
pub(super) fn check(
    check: &Check<'_>,
    raw: &RawChannel,
    network: Network,
) -> Result<ChannelConfig, ConfigError> {
    let money = Amount::MAX_MONEY.to_sat();
    let number = |name, value, min, max| check.number::<u64>("channel", name, value, min, max);
    let small = |name, value, min, max| check.number::<u16>("channel", name, value, min, max);
    let wide = |name, value, min, max| check.number::<u32>("channel", name, value, min, max);
    let sat = |name, value, min, max| number(name, value, min, max).map(Amount::from_sat);
    let msat = |name, value, min, max| {
        let value = number(name, value, min, max)?;
        Msat::new(value).ok_or_else(|| check.invalid("channel", name, "more bitcoin than exist"))
    };
    let usual = if network == Network::Sandbox { 1 } else { 3 };
    let depth = Some(raw.depth_min_blocks.unwrap_or(usual));
    let asks = Asks {
        minimum_depth: wide("depth_min_blocks", depth, 1, 144)?,
        to_self_delay: small("to_self_delay_blocks", raw.to_self_delay_blocks, 1, 2_016)?,
        reserve_ppm: wide("reserve_ppm", raw.reserve_ppm, 0, 200_000)?,
        reserve_min: sat("reserve_min_sat", raw.reserve_min_sat, 354, money)?,
        // BOLT 2: "max_accepted_htlcs is greater than 483" fails the channel.
        max_accepted_htlcs: small("accepted_htlcs_max", raw.accepted_htlcs_max, 1, 483)?,
        in_flight_percent: check.number(
            "channel",
            "in_flight_max_percent",
            raw.in_flight_max_percent,
            1,
            100,
        )?,
        htlc_minimum: msat("htlc_minimum_msat", raw.htlc_minimum_msat, 0, 100_000_000)?,
        // BOLT 2: "dust_limit_satoshis is smaller than 354 satoshis" fails the channel.
        dust_limit: sat("dust_limit_sat", raw.dust_limit_sat, 354, 5_000)?,
    };
    let exposure = raw.dust_exposure_max_sat.map(|sat| sat.saturating_mul(1_000));
    let tolerated = Policy {
        dust_exposure_max: msat("dust_exposure_max_sat", exposure, 0, Msat::MAX.to_u64())?,
        feerate_min: FeeratePerKw(wide(
            "feerate_min_sat_per_kw",
            raw.feerate_min_sat_per_kw,
            u64::from(FeeratePerKw::FLOOR.0),
            1_000_000,
        )?),
        feerate_max: FeeratePerKw(wide(
            "feerate_max_sat_per_kw",
            raw.feerate_max_sat_per_kw,
            u64::from(FeeratePerKw::FLOOR.0),
            1_000_000,
        )?),
        funding_min: sat("funding_min_sat", raw.funding_min_sat, 10_000, money)?,
        funding_max: sat("funding_max_sat", raw.funding_max_sat, 10_000, money)?,
        to_self_delay_max: small(
            "to_self_delay_max_blocks",
            raw.to_self_delay_max_blocks,
            144,
            10_000,
        )?,
        funding_depth: asks.minimum_depth,
        ..Policy::default()
    };
    let ordered = [
        ("funding_max_sat", tolerated.funding_min <= tolerated.funding_max, "funding_min_sat"),
        (
            "feerate_max_sat_per_kw",
            tolerated.feerate_min <= tolerated.feerate_max,
            "feerate_min_sat_per_kw",
        ),
    ];
    for (name, right, other) in ordered {
        if !right {
            return Err(check.invalid("channel", name, format!("smaller than {other}")));
        }
    }
    let min_final_cltv = small("min_final_cltv_blocks", raw.min_final_cltv_blocks, 18, 2_016)?;
    let word = raw.force_close.as_deref().unwrap_or("automatic");
    let force_close = policy::of_word(word).ok_or_else(|| {
        let why = format!("{word:?} is not automatic, when-money-at-risk or ask");
        check.invalid("channel", "force_close", why)
    })?;
    Ok(ChannelConfig { policy: tolerated, asks, min_final_cltv, force_close })
}
