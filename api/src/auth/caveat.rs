//! What a token is limited to, and how that is written inside it.
//!
//! `role readonly` · `methods /viaduct.v1.Payments/Pay /viaduct.v1.Invoices/*` ·
//! `time-before 2026-11-22T10:00:00Z` · `ipaddr 10.0.0.4`. The last two are written as LND's tools write
//! them, so that `lncli`, which adds an end to every call, is understood.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use thiserror::Error;

use super::{AuthError, Role};
use crate::calendar::{UnixMs, from_rfc3339, to_rfc3339};

/// One limit of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caveat {
    /// Only the calls of a role.
    Role(Role),
    /// Only these calls.
    Methods(MethodSet),
    /// Only before this time, to the second.
    TimeBefore(UnixMs),
    /// Only from this address.
    Ip(IpAddr),
}

/// The caveat is none that this version knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not a caveat that this version knows")]
pub struct UnknownCaveat;

impl Caveat {
    /// Reads a predicate.
    ///
    /// # Errors
    ///
    /// When it is not one of ours, to the letter.
    pub fn parse(predicate: &[u8]) -> Result<Self, UnknownCaveat> {
        let text = std::str::from_utf8(predicate).map_err(|_| UnknownCaveat)?;
        let (kind, rest) = text.split_once(' ').ok_or(UnknownCaveat)?;
        match kind {
            "role" => Role::parse(rest).map(Self::Role),
            "methods" => MethodSet::new(rest.split(' ')).map(Self::Methods),
            "time-before" => from_rfc3339(rest).map(Self::TimeBefore),
            "ipaddr" => rest.parse().ok().map(Self::Ip),
            _ => None,
        }
        .ok_or(UnknownCaveat)
    }

    /// Whether a call keeps within this limit.
    ///
    /// # Errors
    ///
    /// What stands against it.
    pub fn check(&self, method: &str, now: UnixMs, ip: Option<IpAddr>) -> Result<(), AuthError> {
        match self {
            Self::Role(role) if !role.allows(method) => Err(AuthError::Forbids),
            Self::Methods(set) if !set.contains(method) => Err(AuthError::Forbids),
            Self::TimeBefore(end) if now >= *end => Err(AuthError::Expired),
            Self::Ip(bound) if ip.map(|ip| ip.to_canonical()) != Some(bound.to_canonical()) => {
                Err(AuthError::Elsewhere)
            }
            Self::Role(_) | Self::Methods(_) | Self::TimeBefore(_) | Self::Ip(_) => Ok(()),
        }
    }
}

impl fmt::Display for Caveat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Role(role) => write!(f, "role {}", role.name()),
            Self::Methods(set) => write!(f, "methods {set}"),
            Self::TimeBefore(end) => write!(f, "time-before {}", to_rfc3339(*end)),
            Self::Ip(ip) => write!(f, "ipaddr {ip}"),
        }
    }
}

/// Some gRPC methods: paths, or all of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MethodSet(BTreeSet<String>);

impl MethodSet {
    /// Out of `/package.Service/Method` and `/package.Service/*`; nothing if one is neither, or if there
    /// is none.
    pub fn new<'a>(patterns: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let mut set = BTreeSet::new();
        for pattern in patterns {
            let (service, method) = pattern.strip_prefix('/')?.split_once('/')?;
            let plain = |text: &str, more: char| {
                !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == more)
            };
            if !plain(service, '.') || !(method == "*" || plain(method, '_')) {
                return None;
            }
            set.insert(pattern.to_owned());
        }
        if set.is_empty() { None } else { Some(Self(set)) }
    }

    /// Whether a method is one of them.
    pub fn contains(&self, method: &str) -> bool {
        let service = method.rsplit_once('/').map(|(service, _)| format!("{service}/*"));
        self.0.contains(method) || service.is_some_and(|service| self.0.contains(&service))
    }
}

impl fmt::Display for MethodSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, pattern) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(" ")?;
            }
            f.write_str(pattern)?;
        }
        Ok(())
    }
}
