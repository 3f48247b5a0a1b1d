//! Who may be in the middle of a handshake with us: so many in all, so many of one place.
//!
//! Not here: who stays once the handshake is over (`peers`).

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

/// Handshakes that one place may have under way. An honest caller needs one, for less than a second.
const PER_PLACE: u32 = 10;

/// Callers whose handshakes are under way.
#[derive(Debug)]
pub(super) struct Strangers {
    most: u32,
    all: u32,
    by_place: BTreeMap<IpAddr, u32>,
}

impl Strangers {
    /// Nobody yet, and never more than `most`.
    pub(super) const fn new(most: u32) -> Self {
        Self { most, all: 0, by_place: BTreeMap::new() }
    }

    /// Lets one more begin, if there is room for it. Whoever is let in must [`Self::leave`].
    pub(super) fn enter(&mut self, ip: IpAddr) -> bool {
        let place = place(ip);
        let there = self.by_place.get(&place).copied().unwrap_or(0);
        // Behind our own address is a proxy, and behind that may be anybody.
        let full = there >= PER_PLACE && !place.is_loopback();
        if self.all >= self.most || full {
            return false;
        }
        self.all = self.all.saturating_add(1);
        self.by_place.insert(place, there.saturating_add(1));
        true
    }

    /// One is through, or gave up.
    pub(super) fn leave(&mut self, ip: IpAddr) {
        let place = place(ip);
        let Some(there) = self.by_place.get_mut(&place) else { return };
        self.all = self.all.saturating_sub(1);
        *there = there.saturating_sub(1);
        if *there == 0 {
            self.by_place.remove(&place);
        }
    }
}

/// What one caller is given as a whole: an address, or a network of 2^64 addresses of IPv6.
fn place(ip: IpAddr) -> IpAddr {
    let ip = ip.to_canonical();
    if let IpAddr::V6(wide) = ip
        && !wide.is_loopback()
    {
        let [a, b, c, d, ..] = wide.segments();
        return IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0));
    }
    ip
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn one_place_cannot_take_every_handshake() {
        let mut strangers = Strangers::new(100);
        let entered = (0..100).filter(|_| strangers.enter(ip("192.0.2.1"))).count();
        assert_eq!(entered, 10);
        assert!(strangers.enter(ip("192.0.2.2")));
        strangers.leave(ip("192.0.2.1"));
        assert!(strangers.enter(ip("::ffff:192.0.2.1")), "the same place, said otherwise");
        assert!(!strangers.enter(ip("192.0.2.1")));
    }

    #[test]
    fn all_addresses_of_one_network_of_ipv6_are_one_place() {
        let mut strangers = Strangers::new(100);
        let addresses = (0..100).map(|host| ip(&format!("2001:db8::{host}")));
        assert_eq!(addresses.filter(|address| strangers.enter(*address)).count(), 10);
        assert!(strangers.enter(ip("2001:db8:0:1::1")));
    }

    #[test]
    fn all_places_together_are_bounded_and_nothing_of_them_stays() {
        let mut strangers = Strangers::new(20);
        for _ in 0..20 {
            assert!(strangers.enter(ip("127.0.0.1")), "a proxy of our own may bring many");
        }
        assert!(!strangers.enter(ip("192.0.2.1")));
        for _ in 0..20 {
            strangers.leave(ip("127.0.0.1"));
        }
        assert!(strangers.enter(ip("192.0.2.1")));
        assert_eq!(strangers.by_place.len(), 1);
    }
}
