//! When to call a peer again: soon at first, then ever later, never not at all.

/// Waits in milliseconds, doubling from a quarter of a second to a minute.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    const FIRST_MS: u64 = 250;
    const LAST_MS: u64 = 60_000;

    /// Before any failure.
    pub const fn fresh() -> Self {
        Self { failures: 0 }
    }

    /// The wait after one more failure. `dice` spreads it by up to a quarter, so that two nodes that
    /// lost each other do not call at the same moment for ever.
    pub fn next_ms(&mut self, dice: u64) -> u64 {
        let base = Self::FIRST_MS
            .checked_shl(self.failures.min(20))
            .unwrap_or(Self::LAST_MS)
            .min(Self::LAST_MS);
        self.failures = self.failures.saturating_add(1);
        let quarter = base / 4;
        base.saturating_add(dice.checked_rem(quarter.saturating_add(1)).unwrap_or(0))
    }

    /// After a connection that stood.
    pub const fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_minute_and_begin_again_after_success() {
        let mut backoff = Backoff::default();
        let waits: Vec<_> = (0..12).map(|_| backoff.next_ms(0)).collect();
        assert_eq!(waits[..4], [250, 500, 1_000, 2_000]);
        assert_eq!(waits[8..], [60_000, 60_000, 60_000, 60_000]);
        backoff.reset();
        assert_eq!(backoff.next_ms(0), 250);
    }

    #[test]
    fn dice_never_add_more_than_a_quarter() {
        for dice in [0, 1, 62, 63, u64::MAX] {
            assert!((250..=312).contains(&Backoff::default().next_ms(dice)));
        }
    }
}
