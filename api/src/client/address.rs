//! Where a node listens: TLS anywhere, plain text on this machine only, or a Unix socket.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use thiserror::Error;

/// Where a node listens for calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// `host:port` or `https://host:port`.
    Tls {
        /// A name, or an address (IPv6 in brackets).
        host: String,
        /// The port.
        port: u16,
    },
    /// `http://127.0.0.1:port`: plain text, on a loopback address alone.
    Plain(SocketAddr),
    /// `unix:/path/to/socket`.
    Unix(PathBuf),
}

/// Why a text is not an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BadAddress {
    /// None of the three forms.
    #[error("not an address; it looks like 127.0.0.1:10009, https://host:10009 or unix:/path")]
    Malformed,
    /// `http://` to another machine: token and amounts would be readable on the way.
    #[error("plain http is for loopback addresses only; use https")]
    PlainBeyondLoopback,
}

impl Address {
    /// As tonic wants it.
    pub(super) fn uri(&self) -> String {
        match self {
            Self::Tls { host, port } => format!("https://{host}:{port}"),
            Self::Plain(socket) => format!("http://{socket}"),
            Self::Unix(path) => format!("unix:{}", path.display()),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tls { host, port } => write!(f, "{host}:{port}"),
            Self::Plain(_) | Self::Unix(_) => f.write_str(&self.uri()),
        }
    }
}

impl FromStr for Address {
    type Err = BadAddress;

    fn from_str(text: &str) -> Result<Self, BadAddress> {
        if let Some(path) = text.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return match path.starts_with('/') {
                true => Ok(Self::Unix(path.into())),
                false => Err(BadAddress::Malformed),
            };
        }
        if let Some(rest) = text.strip_prefix("http://") {
            let rest = rest.strip_suffix('/').unwrap_or(rest);
            let rest = rest.replacen("localhost:", "127.0.0.1:", 1);
            return match rest.parse::<SocketAddr>() {
                Ok(socket) if socket.ip().is_loopback() => Ok(Self::Plain(socket)),
                Ok(_) => Err(BadAddress::PlainBeyondLoopback),
                Err(_) if split_host(&rest).is_some() => Err(BadAddress::PlainBeyondLoopback),
                Err(_) => Err(BadAddress::Malformed),
            };
        }
        let rest = text.strip_prefix("https://").unwrap_or(text);
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = split_host(rest).ok_or(BadAddress::Malformed)?;
        Ok(Self::Tls { host: host.to_owned(), port })
    }
}

fn split_host(text: &str) -> Option<(&str, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let port = port.parse().ok().filter(|port| *port != 0)?;
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let fits = match bare {
        Some(v6) => v6.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            let named = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.' || c == '_';
            !host.is_empty() && host.chars().all(named)
        }
    };
    fits.then_some((host, port))
}
