//! As much of X.509 as tells when a certificate ends and which names it carries. RFC 5280 section 4.1.
//!
//! Not here: trust; nothing is verified, the file is our own.

use std::net::{Ipv4Addr, Ipv6Addr};

use thiserror::Error;

use crate::calendar::{Civil, UnixMs, digits};

const INTEGER: u8 = 0x02;
const OBJECT: u8 = 0x06;
const OCTETS: u8 = 0x04;
const BOOLEAN: u8 = 0x01;
const SEQUENCE: u8 = 0x30;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;
const DNS_NAME: u8 = 0x82;
const IP_ADDRESS: u8 = 0x87;
/// 2.5.29.17, subjectAltName.
const ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];

/// What we look for in a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFacts {
    /// From when on it is no good.
    pub not_after: UnixMs,
    /// Hosts and addresses it is for, as text.
    pub names: Vec<String>,
}

/// The bytes are not an X.509 certificate in DER.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not a certificate")]
pub struct NotACertificate;

impl CertificateFacts {
    /// Reads them out of DER.
    ///
    /// # Errors
    ///
    /// When it is not a certificate.
    pub fn read(der: &[u8]) -> Result<Self, NotACertificate> {
        read(der).ok_or(NotACertificate)
    }
}

fn read(der: &[u8]) -> Option<CertificateFacts> {
    let mut signed = Der(Der(der).take(SEQUENCE)?);
    let mut body = Der(signed.take(SEQUENCE)?);
    let _version = body.take(VERSION)?;
    let _serial = body.take(INTEGER)?;
    let _algorithm = body.take(SEQUENCE)?;
    let _issuer = body.take(SEQUENCE)?;
    let mut validity = Der(body.take(SEQUENCE)?);
    let _not_before = validity.next()?;
    let (tag, end) = validity.next()?;
    let not_after = time(tag, std::str::from_utf8(end).ok()?)?;
    let _subject = body.take(SEQUENCE)?;
    let _key = body.take(SEQUENCE)?;
    let names = match body.next() {
        None => Vec::new(),
        Some((EXTENSIONS, list)) => alt_names(Der(list).take(SEQUENCE)?)?,
        Some(_) => return None,
    };
    Some(CertificateFacts { not_after, names })
}

fn alt_names(extensions: &[u8]) -> Option<Vec<String>> {
    let mut extensions = Der(extensions);
    while !extensions.0.is_empty() {
        let mut extension = Der(extensions.take(SEQUENCE)?);
        let id = extension.take(OBJECT)?;
        let (mut tag, mut value) = extension.next()?;
        if tag == BOOLEAN {
            (tag, value) = extension.next()?;
        }
        if id == ALT_NAME && tag == OCTETS {
            return general_names(Der(value).take(SEQUENCE)?);
        }
    }
    Some(Vec::new())
}

fn general_names(list: &[u8]) -> Option<Vec<String>> {
    let mut list = Der(list);
    let mut names = Vec::new();
    while !list.0.is_empty() {
        match list.next()? {
            (DNS_NAME, host) => names.push(std::str::from_utf8(host).ok()?.to_owned()),
            (IP_ADDRESS, octets) => {
                let v4 =
                    <[u8; 4]>::try_from(octets).map(|octets| Ipv4Addr::from(octets).to_string());
                let v6 =
                    || <[u8; 16]>::try_from(octets).map(|bytes| Ipv6Addr::from(bytes).to_string());
                names.push(v4.or_else(|_| v6()).ok()?);
            }
            _ => {}
        }
    }
    Some(names)
}

/// `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ`.
fn time(tag: u8, text: &str) -> Option<UnixMs> {
    let (year, rest) = match tag {
        UTC_TIME => {
            let (year, rest) = text.split_at_checked(2)?;
            let year = digits(year, 2)?;
            // RFC 5280: 50 to 99 are years of the last century; none of ours.
            (if year < 50 { year.checked_add(2_000)? } else { return None }, rest)
        }
        GENERALIZED_TIME => {
            let (year, rest) = text.split_at_checked(4)?;
            (digits(year, 4)?, rest)
        }
        _ => return None,
    };
    let part = |from: usize| digits(rest.get(from..from.checked_add(2)?)?, 2);
    let (month, day, hour, minute, second) = (part(0)?, part(2)?, part(4)?, part(6)?, part(8)?);
    if rest.get(10..)? != "Z" {
        return None;
    }
    Civil { year, month, day, hour, minute, second, milli: 0 }.to_ms()
}

/// Elements of DER, one after the other.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// The next element's content, if it has this tag.
    fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        let (found, content) = self.next()?;
        if found == tag { Some(content) } else { None }
    }

    /// The next element: tag and content.
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, rest) = rest.split_first()?;
        let (length, rest) = if first < 0x80 {
            (usize::from(first), rest)
        } else {
            // Up to four bytes of length; more is no certificate.
            let count = usize::from(first & 0x7f);
            if !(1..=4).contains(&count) {
                return None;
            }
            let (bytes, rest) = rest.split_at_checked(count)?;
            let length = bytes.iter().fold(0u32, |length, byte| length << 8 | u32::from(*byte));
            (usize::try_from(length).ok()?, rest)
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, content))
    }
}
