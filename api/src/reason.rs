//! Why a call was refused: a closed list, each with its cause, its remedy and what became of the money.
//!
//! On the wire a refusal is a canonical status code with `google.rpc.ErrorInfo`: domain `viaduct`, the
//! reason's name, and numbers as metadata. The daemon builds it with [`Refused`]; clients read it back
//! with [`Report`]. A payment that failed carries the same names in `PaymentFailure.reason`.
//! Not here: why the daemon says no; each of its own refusals maps to one of these.

mod list;

pub use list::{Reason, UnknownReason};

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use tonic::metadata::MetadataValue;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// The `domain` of every `ErrorInfo` of ours.
pub const DOMAIN: &str = "viaduct";

/// Metadata of a failed `Payments.Pay`: whether a payment with that hash was ever started.
pub const PAYMENT_STARTED: &str = "payment-started";

/// What a refusal means for the user's coins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Money {
    /// Nothing moved, and nothing will because of this call.
    Untouched,
    /// It cannot be said from the answer alone: look before trying again.
    Unknown,
}

/// A refusal being put together by the daemon; becomes a [`Status`].
#[derive(Debug, Clone)]
pub struct Refused {
    reason: Reason,
    message: Option<String>,
    metadata: BTreeMap<&'static str, String>,
    retry_after: Option<Duration>,
    payment_started: Option<bool>,
}

impl Refused {
    /// A refusal for this reason, in the reason's own words.
    pub const fn new(reason: Reason) -> Self {
        Self {
            reason,
            message: None,
            metadata: BTreeMap::new(),
            retry_after: None,
            payment_started: None,
        }
    }

    /// Says what happened in words of this very case, with its numbers.
    #[must_use]
    pub fn because(mut self, message: impl Into<String>) -> Self {
        self.message = Some(message.into());
        self
    }

    /// Adds a number or an id for programs to read.
    #[must_use]
    pub fn with(mut self, key: &'static str, value: impl ToString) -> Self {
        self.metadata.insert(key, value.to_string());
        self
    }

    /// Says that the same call can succeed after a while.
    #[must_use]
    pub const fn retry_after(mut self, delay: Duration) -> Self {
        self.retry_after = Some(delay);
        self
    }

    /// Says whether a payment was ever started; for `Payments.Pay` alone.
    #[must_use]
    pub const fn payment_started(mut self, started: bool) -> Self {
        self.payment_started = Some(started);
        self
    }
}

impl From<Refused> for Status {
    fn from(refused: Refused) -> Self {
        let Refused { reason, message, metadata, retry_after, payment_started } = refused;
        let metadata: HashMap<String, String> =
            metadata.into_iter().map(|(key, value)| (key.into(), value)).collect();
        let mut details = ErrorDetails::with_error_info(reason.name(), DOMAIN, metadata);
        if let Some(delay) = retry_after {
            details.set_retry_info(Some(delay));
        }
        let message = message.unwrap_or_else(|| reason.cause().into());
        let mut status = Self::with_error_details(reason.code(), message, details);
        if let Some(started) = payment_started {
            let text = if started { "true" } else { "false" };
            status.metadata_mut().insert(PAYMENT_STARTED, MetadataValue::from_static(text));
        }
        status
    }
}

impl From<Reason> for Status {
    fn from(reason: Reason) -> Self {
        Refused::new(reason).into()
    }
}

/// A refusal as a client reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The canonical code.
    pub code: Code,
    /// The reason, when the server gave one of ours.
    pub reason: Option<Reason>,
    /// What happened, in the server's words.
    pub message: String,
    /// Numbers and ids of this case.
    pub metadata: BTreeMap<String, String>,
    /// How long to wait before the same call can succeed.
    pub retry_after: Option<Duration>,
    /// Whether a payment was ever started, when the call was `Payments.Pay`.
    pub payment_started: Option<bool>,
}

impl Report {
    /// Reads a status, one of ours or of anything between us and the server.
    pub fn read(status: &Status) -> Self {
        let details = status.get_error_details();
        let info = details.error_info().filter(|info| info.domain == DOMAIN);
        let started = status.metadata().get(PAYMENT_STARTED);
        Self {
            code: status.code(),
            reason: info.and_then(|info| info.reason.parse().ok()),
            message: status.message().into(),
            metadata: info
                .map(|info| info.metadata.clone().into_iter().collect())
                .unwrap_or_default(),
            retry_after: details.retry_info().and_then(|info| info.retry_delay),
            payment_started: started.map(|value| value == "true"),
        }
    }

    /// What this means for the user's coins, on the careful side.
    pub fn money(&self) -> Money {
        match (self.payment_started, self.reason) {
            (Some(true), _) => Money::Unknown,
            (Some(false), _) => Money::Untouched,
            (None, Some(reason)) => reason.money(),
            (None, None) => match self.code {
                Code::Unauthenticated
                | Code::PermissionDenied
                | Code::InvalidArgument
                | Code::NotFound
                | Code::Unimplemented => Money::Untouched,
                Code::Ok
                | Code::Cancelled
                | Code::Unknown
                | Code::DeadlineExceeded
                | Code::AlreadyExists
                | Code::ResourceExhausted
                | Code::FailedPrecondition
                | Code::Aborted
                | Code::OutOfRange
                | Code::Internal
                | Code::Unavailable
                | Code::DataLoss => Money::Unknown,
            },
        }
    }
}

#[cfg(test)]
mod tests;
