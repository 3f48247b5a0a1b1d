//! The one place that reads the clock.
//!
//! Safety hangs on block heights; the clock decides expiry of invoices, time-outs and what people see.

use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds since 1970, UTC.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct UnixTime(pub u64);

impl UnixTime {
    /// Now, by the machine's clock. A clock before 1970 reads as 1970.
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    pub fn now() -> Self {
        Self(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
    }

    /// This moment and `seconds` more; stops at the end of time.
    #[must_use]
    pub const fn plus(self, seconds: u64) -> Self {
        Self(self.0.saturating_add(seconds))
    }
}

/// Milliseconds since 1970, UTC, by the machine's clock.
#[expect(clippy::disallowed_methods, reason = "this is the clock")]
pub fn now_ms() -> u64 {
    #[cfg(test)]
    if let Some(now_ms) = paused::now_ms() {
        return now_ms;
    }
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// For tests that let time pass: on a thread where it stands, the clock goes only as it is told.
#[cfg(test)]
pub(crate) mod paused {
    use std::cell::Cell;

    thread_local! {
        static NOW: Cell<Option<u64>> = const { Cell::new(None) };
    }

    /// From now on.
    pub(crate) fn stand() {
        NOW.set(Some(1_700_000_000_000));
    }

    /// So many milliseconds pass.
    pub(crate) fn pass(ms: u64) {
        NOW.set(NOW.get().map(|now| now + ms));
    }

    /// The machine's clock again.
    pub(crate) fn end() {
        NOW.set(None);
    }

    pub(super) fn now_ms() -> Option<u64> {
        NOW.get()
    }
}
