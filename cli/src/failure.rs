//! Everything that can go wrong in a command: what happened, whether money moved, what to do next.
//!
//! Exit codes: 0 done · 1 refused or failed, for good · 2 no daemon reached · 3 wrong usage · 4 outcome
//! unknown, do not repeat blindly · 5 not let in · 6 not confirmed · 130 interrupted.

use std::io;

use api::client::ConnectError;
use api::reason::{Money, Reason, Report};
use api::v1::Payment;
use serde_json::{Value, json};
use thiserror::Error;
use tonic::{Code, Status};

use crate::amount::{AmountError, msat};
use crate::connect::SetupError;
use crate::demo::DemoError;
use crate::render::Tone;
use crate::resolve::Unresolved;
use crate::sandbox::SandboxError;

/// How a command ended badly.
#[derive(Debug, Error)]
pub(crate) enum Failure {
    /// An amount that does not fit here.
    #[error(transparent)]
    Amount(#[from] AmountError),
    /// An argument that cannot be used.
    #[error("{0}")]
    Usage(&'static str),
    /// It is not clear which node is meant, or its files cannot be read.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// No connection.
    #[error("cannot reach the daemon at {address}: {error}{}", causes(error))]
    Connect {
        /// Where it was looked for.
        address: String,
        /// What happened.
        #[source]
        error: ConnectError,
    },
    /// The daemon said no.
    #[error("{}", .0.message)]
    Refused(Box<Report>),
    /// A payment came to its end without success.
    #[error("the payment failed: {}", failure_words(.0))]
    PaymentFailed(Box<Payment>),
    /// There was nothing to pay any more.
    #[error("already paid {ago} ago (proof {})", .payment.preimage())]
    AlreadyPaid {
        /// How long ago.
        ago: String,
        /// The payment that did it.
        payment: Box<Payment>,
    },
    /// A name or a piece of an id that stands for nothing, or for several things.
    #[error(transparent)]
    Unresolved(#[from] Unresolved),
    /// The answer was lost, so nobody here knows how it ended.
    #[error("{what} was sent, and then the answer was lost: {why}")]
    OutcomeUnknown {
        /// What was sent.
        what: &'static str,
        /// What broke.
        why: String,
        /// The command that shows how it ended.
        reattach: String,
    },
    /// Somebody pressed Ctrl-C; what was started goes on.
    #[error("detached; {what} goes on")]
    Detached {
        /// What goes on.
        what: &'static str,
        /// The command that shows how it goes on.
        reattach: String,
    },
    /// The answer to the question was no.
    #[error("not confirmed")]
    Declined,
    /// There was a question and nobody to ask.
    #[error("nobody is there to answer “{question}”")]
    NobodyToAsk {
        /// The question.
        question: String,
    },
    /// The node is not well (`status --check`).
    #[error("the node is not well")]
    Unhealthy,
    /// The sandbox could not be started, stopped or looked at.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// The demo came to no end.
    #[error(transparent)]
    Demo(#[from] DemoError),
    /// The demo's account does not add up, or payments failed.
    #[error("the demo did not end as it should")]
    DemoUnclean,
    /// A file that is said to prove a tower's fault does not.
    #[error("nothing is proved against the tower: {why}")]
    NotProved {
        /// Why not.
        why: String,
    },
    /// A tower was tried, and failed.
    #[error("the tower failed: {why}")]
    TowerFailed {
        /// How.
        why: String,
    },
    /// The account of a storm does not add up.
    #[error("the account of the storm does not add up")]
    StormUnclean,
    /// The terminal, or whatever reads us, went away.
    #[error("cannot write the answer: {0}")]
    Output(#[from] io::Error),
    /// A file that was named cannot be read or written.
    #[error("{path}: {error}")]
    File {
        /// The file.
        path: String,
        /// What the system says.
        error: io::Error,
    },
    /// The operating system gives no random numbers.
    #[error(transparent)]
    NoEntropy(#[from] api::auth::NoEntropy),
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        Self::Refused(Box::new(Report::read(&status)))
    }
}

impl From<Reason> for Failure {
    fn from(reason: Reason) -> Self {
        Status::from(reason).into()
    }
}

impl Failure {
    /// What a status means after something that moves money was sent: a clear refusal, or that nobody
    /// knows.
    pub(crate) fn after_sending(status: &Status, what: &'static str, reattach: String) -> Self {
        let report = Report::read(status);
        match report.money() {
            Money::Untouched => Self::Refused(Box::new(report)),
            Money::Unknown => {
                let why = match report.message.as_str() {
                    "" => report.code.description().to_owned(),
                    message => message.to_owned(),
                };
                Self::OutcomeUnknown { what, why, reattach }
            }
        }
    }

    /// The code that the process ends with.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Refused(report) => match (report.code, report.reason) {
                (Code::Unauthenticated | Code::PermissionDenied, _) => 5,
                (Code::Unavailable, None) => 2,
                _ if report.payment_started == Some(true) => 4,
                _ => 1,
            },
            Self::PaymentFailed(_)
            | Self::AlreadyPaid { .. }
            | Self::Unresolved(_)
            | Self::Unhealthy
            | Self::Sandbox(_)
            | Self::Demo(_)
            | Self::DemoUnclean
            | Self::StormUnclean
            | Self::NotProved { .. }
            | Self::TowerFailed { .. }
            | Self::Output(_)
            | Self::File { .. }
            | Self::NoEntropy(_) => 1,
            Self::Connect { .. } | Self::Setup(SetupError::NoDaemon { .. }) => 2,
            Self::Amount(_) | Self::Usage(_) | Self::Setup(_) => 3,
            Self::OutcomeUnknown { .. } => 4,
            Self::Declined | Self::NobodyToAsk { .. } => 6,
            Self::Detached { .. } => 130,
        }
    }

    /// A short name for programs.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Refused(report) => report.reason.map_or("REFUSED", Reason::name),
            Self::PaymentFailed(payment) => {
                failed_reason(payment).map_or("PAYMENT_FAILED", Reason::name)
            }
            Self::AlreadyPaid { .. } => "ALREADY_PAID",
            Self::Unresolved(_) => "NOT_RESOLVED",
            Self::Unhealthy => "UNHEALTHY",
            Self::Sandbox(_) => "SANDBOX",
            Self::StormUnclean => "STORM",
            Self::NotProved { .. } => "NOT_PROVED",
            Self::TowerFailed { .. } => "TOWER_FAILED",
            Self::Demo(_) | Self::DemoUnclean => "DEMO",
            Self::Output(_) => "OUTPUT",
            Self::File { .. } => "FILE",
            Self::NoEntropy(_) => "NO_ENTROPY",
            Self::Connect { .. } | Self::Setup(SetupError::NoDaemon { .. }) => "UNREACHABLE",
            Self::Amount(_) => "AMOUNT",
            Self::Usage(_) => "USAGE",
            Self::Setup(_) => "SETUP",
            Self::OutcomeUnknown { .. } => "OUTCOME_UNKNOWN",
            Self::Declined | Self::NobodyToAsk { .. } => "NOT_CONFIRMED",
            Self::Detached { .. } => "DETACHED",
        }
    }

    /// Whether money moved, in words; nothing where the question does not come up.
    pub(crate) fn money(&self) -> Option<&'static str> {
        const NOTHING: Option<&str> = Some("Nothing was sent; no money moved.");
        match self {
            Self::Refused(report) => match report.money() {
                Money::Untouched => NOTHING,
                Money::Unknown => Some("Whether money moved is not known."),
            },
            Self::PaymentFailed(_) => Some("Nothing was paid; the amount is yours again."),
            Self::AlreadyPaid { .. } => Some("Nothing was sent."),
            Self::OutcomeUnknown { .. } => {
                Some("Whether money moved is not known yet; do not repeat it blindly.")
            }
            Self::Detached { .. } => Some("Ctrl-C ends the watching, never what was started."),
            Self::Connect { .. }
            | Self::Declined
            | Self::NobodyToAsk { .. }
            | Self::Unresolved(_)
            | Self::Amount(_) => NOTHING,
            Self::Usage(_)
            | Self::Setup(_)
            | Self::Unhealthy
            | Self::Sandbox(_)
            | Self::Demo(_)
            | Self::DemoUnclean
            | Self::StormUnclean
            | Self::NotProved { .. }
            | Self::TowerFailed { .. }
            | Self::Output(_)
            | Self::File { .. }
            | Self::NoEntropy(_) => None,
        }
    }

    /// What to do next.
    pub(crate) fn next(&self) -> Option<String> {
        match self {
            Self::Refused(report) => Some(refused_next(report)),
            Self::PaymentFailed(payment) => {
                failed_reason(payment).map(|reason| reason.remedy().into())
            }
            Self::AlreadyPaid { payment, .. } => {
                Some(format!("See it with: viaduct payments show {}", payment.payment_hash))
            }
            Self::Unresolved(unresolved) => Some(unresolved.next()),
            Self::Setup(setup) => setup.next(),
            Self::Sandbox(sandbox) => sandbox.next(),
            Self::Connect { error, .. } => Some(connect_next(error).into()),
            Self::OutcomeUnknown { reattach, .. } => Some(format!("See how it ended: {reattach}")),
            Self::Detached { reattach, .. } => Some(format!("Watch it again: {reattach}")),
            Self::NobodyToAsk { .. } => Some("Add --yes if that is what you want.".into()),
            Self::Unhealthy => Some("See the parts above.".into()),
            Self::Amount(_)
            | Self::Usage(_)
            | Self::Declined
            | Self::Demo(_)
            | Self::DemoUnclean
            | Self::StormUnclean
            | Self::NotProved { .. }
            | Self::TowerFailed { .. }
            | Self::Output(_)
            | Self::File { .. }
            | Self::NoEntropy(_) => None,
        }
    }

    /// For people: three lines at most.
    pub(crate) fn to_text(&self, paint: impl Fn(Tone, &str) -> String) -> String {
        let open = matches!(self, Self::Detached { .. } | Self::OutcomeUnknown { .. });
        let (mark, tone) = if open { ("!", Tone::Warn) } else { ("✗", Tone::Bad) };
        let mut text = format!("{} {self}", paint(tone, mark));
        for line in [self.money().map(str::to_owned), self.next()].into_iter().flatten() {
            text.push_str("\n  ");
            text.push_str(&line);
        }
        text
    }

    /// For programs.
    pub(crate) fn to_json(&self) -> Value {
        let known = if let Self::Refused(report) = self {
            report.money() == Money::Untouched
        } else {
            !matches!(self, Self::OutcomeUnknown { .. } | Self::Detached { .. })
        };
        let money = if known { "untouched" } else { "unknown" };
        let mut error = json!({
            "reason": self.name(),
            "message": self.to_string(),
            "money": money,
            "next": self.next(),
            "exit_code": self.exit_code(),
        });
        let more = if let Self::Refused(report) = self {
            Some(("metadata", json!(report.metadata)))
        } else if let Self::PaymentFailed(payment) | Self::AlreadyPaid { payment, .. } = self {
            Some(("payment", json!(payment)))
        } else {
            None
        };
        if let (Some((key, value)), Some(fields)) = (more, error.as_object_mut()) {
            fields.insert(key.into(), value);
        }
        json!({ "error": error })
    }
}

/// The causes below an error, as `: a: b`.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = String::new();
    let mut below = error.source();
    while let Some(cause) = below {
        let words = cause.to_string();
        // Wrappers that say nothing of their own.
        if words != "transport error" && !text.ends_with(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        below = cause.source();
    }
    text
}

fn failed_reason(payment: &Payment) -> Option<Reason> {
    payment.failure.as_ref().and_then(|failure| failure.reason.parse().ok())
}

fn failure_words(payment: &Payment) -> String {
    let Some(failure) = &payment.failure else { return "no reason was given".into() };
    match (failure.detail.as_str(), failed_reason(payment)) {
        ("", Some(reason)) => reason.cause().trim_end_matches('.').into(),
        ("", None) => failure.reason.clone(),
        (detail, _) => detail.into(),
    }
}

fn refused_next(report: &Report) -> String {
    let missing = report.metadata.get("missing_sat").and_then(|text| text.parse::<u64>().ok());
    match (report.reason, missing) {
        (Some(reason), Some(sat)) => {
            format!("{} Missing: {}.", reason.remedy(), msat(sat.saturating_mul(1_000)))
        }
        (Some(reason), None) => reason.remedy().into(),
        (None, _) if report.code == Code::Unavailable => {
            "Check that viaductd runs: viaduct status".into()
        }
        (None, _) if report.code == Code::Unimplemented => {
            "The daemon is older than this command line; update it.".into()
        }
        (None, _) => "See the daemon's log.".into(),
    }
}

const fn connect_next(error: &ConnectError) -> &'static str {
    match error {
        ConnectError::CertificateMissing => {
            "Name the daemon's tls.cert with --tls, or connect through its Unix socket."
        }
        ConnectError::Malformed(_) => "Check the certificate file and the address.",
        ConnectError::Token(_) => "Check the macaroon file.",
        ConnectError::Unreachable(_) => {
            "Check that it runs (viaductd, or viaduct sandbox up), and that --url and --tls belong to it."
        }
    }
}
