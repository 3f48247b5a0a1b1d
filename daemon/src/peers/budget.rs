//! How much a peer may say that concerns none of its channels.

use crate::peers::handshake::ConnectionFault;

/// Bytes a peer may say at once.
const BURST: u64 = 4 << 20;

/// Bytes a second it may say for ever.
const PER_SECOND: u64 = 256 << 10;

/// Every message costs as if it had at least so many bytes, so small ones are bounded too.
const LEAST: u64 = 64;

/// A bucket that fills with time.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    left: u64,
    at_ms: Option<u64>,
}

impl Default for Budget {
    fn default() -> Self {
        Self { left: BURST, at_ms: None }
    }
}

impl Budget {
    /// Takes the cost of a message of `bytes` at `now_ms`.
    ///
    /// # Errors
    /// [`ConnectionFault::Limit`] when the bucket is empty: the connection is to be closed.
    pub fn spend(&mut self, bytes: usize, now_ms: u64) -> Result<(), ConnectionFault> {
        let since = now_ms.saturating_sub(self.at_ms.unwrap_or(now_ms));
        self.at_ms = Some(now_ms);
        let earned = since.saturating_mul(PER_SECOND) / 1_000;
        self.left = self.left.saturating_add(earned).min(BURST);
        let cost = u64::try_from(bytes).unwrap_or(u64::MAX).max(LEAST);
        self.left = self.left.checked_sub(cost).ok_or(ConnectionFault::Limit("too much talk"))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_ends_the_connection_and_a_steady_stream_does_not() {
        let mut budget = Budget::default();
        let flood = (0..100).try_for_each(|_| budget.spend(65_535, 1));
        assert!(flood.is_err());
        let mut budget = Budget::default();
        for second in 0..1_000 {
            budget.spend(200 << 10, second * 1_000).unwrap();
        }
    }

    #[test]
    fn many_small_messages_are_bounded_too() {
        let mut budget = Budget::default();
        let sent = (0..1_000_000).take_while(|_| budget.spend(0, 5).is_ok()).count();
        assert_eq!(sent, (4 << 20) / 64);
    }

    #[test]
    fn a_clock_that_goes_back_earns_nothing_and_breaks_nothing() {
        let mut budget = Budget::default();
        budget.spend(100, 1_000).unwrap();
        budget.spend(100, 10).unwrap();
    }
}
