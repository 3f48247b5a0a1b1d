//! Times and states in words.

use api::calendar::UnixMs;
use api::v1::{ChannelState, CloseKind, HealthState, InvoiceStatus, PaymentStatus};

/// How long: `38 ms`, `1.2 s`, `5 min`, `3 h`, `2 days`.
pub(crate) fn span(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{}.{} s", ms / 1_000, ms / 100 % 10),
        60_000..3_600_000 => format!("{} min", ms / 60_000),
        3_600_000..172_800_000 => format!("{} h", ms / 3_600_000),
        _ => format!("{} days", ms / 86_400_000),
    }
}

/// How long ago: as [`span`], in whole seconds.
pub(crate) fn age(now: UnixMs, then: UnixMs) -> String {
    match now.saturating_sub(then) {
        0..1_000 => "a moment".to_owned(),
        ms @ 1_000..60_000 => format!("{} s", ms / 1_000),
        ms => span(ms),
    }
}

/// How a payment stands.
pub(crate) const fn payment(status: PaymentStatus) -> &'static str {
    match status {
        PaymentStatus::Unspecified => "unknown",
        PaymentStatus::InFlight => "in flight",
        PaymentStatus::Succeeded => "paid",
        PaymentStatus::Failed => "failed",
    }
}

/// How an invoice stands.
pub(crate) const fn invoice(status: InvoiceStatus) -> &'static str {
    match status {
        InvoiceStatus::Unspecified => "unknown",
        InvoiceStatus::Open => "open",
        InvoiceStatus::Accepted => "arriving",
        InvoiceStatus::Held => "held",
        InvoiceStatus::Settled => "paid",
        InvoiceStatus::Canceled => "canceled",
        InvoiceStatus::Expired => "expired",
    }
}

/// What a channel is doing.
pub(crate) const fn channel(state: ChannelState) -> &'static str {
    match state {
        ChannelState::Unspecified => "unknown",
        ChannelState::Opening => "opening",
        ChannelState::Confirming => "confirming",
        ChannelState::Open => "open",
        ChannelState::ShuttingDown => "shutting down",
        ChannelState::Closing => "closing",
        ChannelState::ForceClosing => "force closing",
        ChannelState::Closed => "closed",
    }
}

/// How a channel was closed.
pub(crate) const fn close(kind: CloseKind) -> &'static str {
    match kind {
        CloseKind::Unspecified => "close",
        CloseKind::Cooperative => "cooperative close",
        CloseKind::ForcedByUs => "force close by us",
        CloseKind::ForcedByThem => "force close by them",
        CloseKind::Breach => "breach by them",
        CloseKind::FundingAbandoned => "opening given up",
    }
}

/// How well something is.
pub(crate) const fn health(state: HealthState) -> &'static str {
    match state {
        HealthState::Unspecified => "unknown",
        HealthState::Ok => "ok",
        HealthState::Degraded => "degraded",
        HealthState::Failed => "failed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_short_and_have_units() {
        for (ms, text) in [
            (0, "0 ms"),
            (38, "38 ms"),
            (1_250, "1.2 s"),
            (59_999, "59.9 s"),
            (300_000, "5 min"),
            (7_200_000, "2 h"),
            (172_800_000, "2 days"),
        ] {
            assert_eq!(span(ms), text);
        }
        assert_eq!(age(20_000, 8_000), "12 s");
        assert_eq!(age(8_000, 20_000), "a moment", "a clock that went back");
    }
}
