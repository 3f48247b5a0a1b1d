//! Where a node can be reached (BOLT 7 § The `node_announcement` Message, address descriptors).
//!
//! Not here: connecting (`daemon::peers`).

use core::fmt;
use core::net::{Ipv4Addr, Ipv6Addr};

use crate::codec::{Decode, DecodeError, Encode, Reader};

/// One place to connect to.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Address {
    /// Type 1.
    Ipv4(Ipv4Addr, u16),
    /// Type 2.
    Ipv6(Ipv6Addr, u16),
    /// Type 3, gone from the network; kept so that what follows can be read.
    TorV2([u8; 12]),
    /// Type 4: key, checksum and version of the onion service.
    TorV3([u8; 35], u16),
    /// Type 5: ASCII, at most 255 bytes.
    Dns(Hostname, u16),
}

/// A name in ASCII letters, digits, dots, hyphens and underscores, 1 to 255 bytes.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Hostname(String);

impl Hostname {
    /// `None` if the name is empty, too long or not made of host name characters.
    pub fn new(name: &str) -> Option<Self> {
        let fits = (1..=255).contains(&name.len());
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        (fits && name.bytes().all(plain)).then(|| Self(name.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Address {
    /// The number that goes before it.
    pub const fn kind(&self) -> u8 {
        match self {
            Self::Ipv4(..) => 1,
            Self::Ipv6(..) => 2,
            Self::TorV2(..) => 3,
            Self::TorV3(..) => 4,
            Self::Dns(..) => 5,
        }
    }
}

impl Encode for Address {
    fn encode(&self, out: &mut Vec<u8>) {
        self.kind().encode(out);
        match self {
            Self::Ipv4(ip, port) => (ip.octets(), *port).encode(out),
            Self::Ipv6(ip, port) => (ip.octets(), *port).encode(out),
            Self::TorV2(bytes) => bytes.encode(out),
            Self::TorV3(onion, port) => (*onion, *port).encode(out),
            Self::Dns(Hostname(name), port) => {
                u8::try_from(name.len()).unwrap_or(u8::MAX).encode(out);
                out.extend(name.bytes().take(255));
                port.encode(out);
            }
        }
    }
}

impl Decode for Address {
    /// [`DecodeError::Range`] for a type that we do not know or a name that is not ASCII.
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match u8::decode(r)? {
            1 => Self::Ipv4(r.array::<4>()?.into(), u16::decode(r)?),
            2 => Self::Ipv6(r.array::<16>()?.into(), u16::decode(r)?),
            3 => Self::TorV2(r.array()?),
            4 => Self::TorV3(r.array()?, u16::decode(r)?),
            5 => {
                let length = u8::decode(r)?;
                let name = core::str::from_utf8(r.take(usize::from(length))?).ok();
                let name = name.and_then(Hostname::new).ok_or(DecodeError::Range)?;
                Self::Dns(name, u16::decode(r)?)
            }
            _ => return Err(DecodeError::Range),
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ipv4(ip, port) => write!(f, "{ip}:{port}"),
            Self::Ipv6(ip, port) => write!(f, "[{ip}]:{port}"),
            Self::TorV2(_) => f.write_str("(Tor v2)"),
            Self::TorV3(onion, port) => {
                base32(onion, f)?;
                write!(f, ".onion:{port}")
            }
            Self::Dns(Hostname(name), port) => write!(f, "{name}:{port}"),
        }
    }
}

/// Lower case base 32 without padding (RFC 4648), five bytes to eight letters.
fn base32(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for chunk in bytes.chunks(5) {
        let mut wide = [0; 8];
        for (to, from) in wide.iter_mut().skip(3).zip(chunk) {
            *to = *from;
        }
        let number = u64::from_be_bytes(wide);
        for shift in [35, 30, 25, 20, 15, 10, 5, 0] {
            let letter = match u8::try_from(number >> shift & 31).unwrap_or(0) {
                low @ 0..=25 => b'a'.saturating_add(low),
                high => b'2'.saturating_add(high.saturating_sub(26)),
            };
            write!(f, "{}", char::from(letter))?;
        }
    }
    Ok(())
}

/// The `addresses` of a `node_announcement`, as they came: the signature covers them.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Addresses(pub Vec<u8>);

impl Addresses {
    /// Writes addresses down in the order that is asked for.
    pub fn new(mut addresses: Vec<Address>) -> Self {
        // BOLT 7: "MUST place address descriptors in ascending order."
        addresses.sort_by_key(Address::kind);
        let mut bytes = Vec::new();
        Address::encode_each(&addresses, &mut bytes);
        Self(bytes)
    }

    /// The addresses up to the first type that we do not know, without those of port 0 and Tor v2.
    ///
    /// [`DecodeError::Short`] if they end inside one, [`DecodeError::Range`] if a name is not ASCII.
    pub fn known(&self) -> Result<Vec<Address>, DecodeError> {
        let mut r = Reader::new(&self.0);
        let mut known = Vec::new();
        // BOLT 7: "SHOULD ignore the first `address descriptor` that does NOT match the types defined
        // above."
        while matches!(r.peek().first(), Some(1..=5)) {
            let address = Address::decode(&mut r)?;
            // BOLT 7: "if `port` is equal to 0: SHOULD ignore"
            if !matches!(
                address,
                Address::TorV2(_)
                    | Address::Ipv4(_, 0)
                    | Address::Ipv6(_, 0)
                    | Address::TorV3(_, 0)
                    | Address::Dns(_, 0)
            ) {
                known.push(address);
            }
        }
        Ok(known)
    }
}

impl Encode for Addresses {
    fn encode(&self, out: &mut Vec<u8>) {
        self.0.encode(out);
    }
}

impl Decode for Addresses {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Vec::decode(r).map(Self)
    }
}

#[cfg(test)]
impl crate::sample::Sample for Addresses {
    fn sample(seed: &mut crate::sample::Seed) -> Self {
        Self(Vec::sample(seed))
    }
}

#[cfg(test)]
mod tests;
