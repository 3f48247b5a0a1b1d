//! What we ask for letting the payments of others pass, checked against the fields of BOLT 7 `channel_update`.

use wire::units::Msat;

use super::settings::RawForwarding;
use super::{Check, ConfigError};
use crate::switch::Manner;
use crate::switch::choose::Share;
use crate::switch::policy::ForwardPolicy;

/// Checks the raw settings.
pub(super) fn check(check: &Check<'_>, raw: &RawForwarding) -> Result<Manner, ConfigError> {
    const SECTION: &str = "forwarding";
    let msat = |name, value, min| {
        let value = check.number::<u64>(SECTION, name, value, min, Msat::MAX.to_u64())?;
        Msat::new(value).ok_or_else(|| check.invalid(SECTION, name, "more bitcoin than exist"))
    };
    let percent = |name, value| check.number::<u8>(SECTION, name, value, 1, 100);
    let fee = |name, value| check.number::<u32>(SECTION, name, value, 0, u64::from(u32::MAX));
    let most = Some(raw.htlc_max_msat.unwrap_or(Msat::MAX.to_u64()));
    let policy = ForwardPolicy {
        enabled: raw.enabled.unwrap_or(true),
        base_msat: fee("base_msat", raw.base_msat)?,
        ppm: fee("ppm", raw.ppm)?,
        // BOLT 2: "3R+2G+2S" is 34 for the values it reckons with.
        cltv_delta: check.number(SECTION, "cltv_delta_blocks", raw.cltv_delta_blocks, 34, 1_008)?,
        htlc_min: msat("htlc_min_msat", raw.htlc_min_msat, 1)?,
        htlc_max: msat("htlc_max_msat", most, 1)?,
    };
    if policy.htlc_min > policy.htlc_max {
        return Err(check.invalid(SECTION, "htlc_max_msat", "smaller than htlc_min_msat"));
    }
    let share = Share {
        slots_percent: percent("peer_slots_percent", raw.peer_slots_percent)?,
        in_flight_percent: percent("peer_in_flight_percent", raw.peer_in_flight_percent)?,
    };
    Ok(Manner { policy, share, intercept: raw.intercept.unwrap_or(false) })
}
