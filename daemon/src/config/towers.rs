//! How many towers watch each channel, and what follows when they lag.

use super::settings::RawTowers;
use super::{Check, ConfigError};
use crate::tower::{Manner, OnLag};

/// Checks the raw settings.
pub(super) fn check(check: &Check<'_>, raw: &RawTowers) -> Result<Manner, ConfigError> {
    const SECTION: &str = "towers";
    let rate = raw.catch_up_states_per_second;
    Ok(Manner {
        copies: usize::from(check.number::<u8>(SECTION, "copies", raw.copies, 1, 16)?),
        states_per_second: check.number(
            SECTION,
            "catch_up_states_per_second",
            rate,
            1,
            1_000_000,
        )?,
        on_lag: match raw.on_lag.as_deref().unwrap_or("warn") {
            "ignore" => OnLag::Ignore,
            "warn" => OnLag::Warn,
            "stop_forwarding" => OnLag::StopForwarding,
            _ => {
                let why = "neither ignore nor warn nor stop_forwarding";
                return Err(check.invalid(SECTION, "on_lag", why));
            }
        },
        lag_states: check.number(SECTION, "lag_states", raw.lag_states, 1, u64::MAX)?,
        checkpoint_every_ms: check
            .number::<u64>(
                SECTION,
                "checkpoint_every_seconds",
                raw.checkpoint_every_seconds,
                0,
                86_400,
            )?
            .saturating_mul(1_000),
        audit_every_ms: check
            .number::<u64>(SECTION, "audit_every_minutes", raw.audit_every_minutes, 0, 525_600)?
            .saturating_mul(60_000),
    })
}
