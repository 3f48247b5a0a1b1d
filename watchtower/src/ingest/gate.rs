//! Who may come in, how often, and how much may be said. Pure: time is an argument, in milliseconds.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use super::frames::FRAME_PATIENCE;

/// Addresses that are remembered.
const ADDRESSES_MAX: usize = 4_096;

/// Bounds of the listener.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Bounds {
    /// Connections that stand. Each may hold some 300 kB.
    pub connections: usize,
    /// Connections whose handshake is not done.
    pub half_open: usize,
    /// Connections of one address.
    pub per_address: usize,
    /// New connections of one address a minute.
    pub calls_per_minute: u32,
    /// How long handshake and `Init` may take, and a frame from its first byte to its last.
    pub patience: Duration,
    /// Records a second of one connection; four times as many at once.
    pub records_per_second: u32,
    /// Only these keys may have sessions, if there are any.
    pub allow: BTreeSet<[u8; 33]>,
    /// These keys may have replica sessions.
    pub allow_replica: BTreeSet<[u8; 33]>,
    /// Callers from these addresses may have replica sessions under any key.
    pub allow_replica_from: BTreeSet<IpAddr>,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            connections: 512,
            half_open: 128,
            per_address: 64,
            calls_per_minute: 240,
            patience: FRAME_PATIENCE,
            records_per_second: 20_000,
            allow: BTreeSet::new(),
            allow_replica: BTreeSet::new(),
            allow_replica_from: BTreeSet::new(),
        }
    }
}

/// A bucket of tokens that fills at a steady rate.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Bucket {
    /// Thousandths of a token.
    milli: u64,
    /// Tokens it holds.
    room: u32,
    /// Tokens a second, in thousandths.
    rate_milli: u64,
    at_ms: u64,
}

impl Bucket {
    /// Full, holding `room` tokens, with `rate_milli` thousandths of a token a second.
    pub(crate) fn new(room: u32, rate_milli: u64, now_ms: u64) -> Self {
        Self { milli: u64::from(room).saturating_mul(1_000), room, rate_milli, at_ms: now_ms }
    }

    /// Takes tokens, or says after how many milliseconds there are enough. A wish for more than it ever holds
    /// counts as one for all.
    pub(crate) fn take(&mut self, tokens: u32, now_ms: u64) -> Result<(), u64> {
        let passed = now_ms.saturating_sub(self.at_ms);
        let more = passed.saturating_mul(self.rate_milli).div_euclid(1_000);
        if more > 0 {
            let full = u64::from(self.room).saturating_mul(1_000);
            self.milli = self.milli.saturating_add(more).min(full);
            self.at_ms = now_ms;
        }
        let wanted = u64::from(tokens.min(self.room)).saturating_mul(1_000);
        match self.milli.checked_sub(wanted) {
            Some(left) => {
                self.milli = left;
                Ok(())
            }
            None => {
                let missing = wanted.saturating_sub(self.milli);
                Err(missing.saturating_mul(1_000).div_ceil(self.rate_milli.max(1)))
            }
        }
    }
}

/// Who is connected from where.
#[derive(Debug)]
pub(crate) struct Gate {
    bounds: Bounds,
    addresses: BTreeMap<IpAddr, Visitor>,
    /// In the order of their first call, to forget the oldest.
    order: VecDeque<IpAddr>,
    keys: BTreeSet<[u8; 33]>,
}

#[derive(Debug)]
struct Visitor {
    bucket: Bucket,
    open: usize,
}

impl Gate {
    pub(crate) fn new(bounds: Bounds) -> Self {
        let (addresses, order, keys) = (BTreeMap::new(), VecDeque::new(), BTreeSet::new());
        Self { bounds, addresses, order, keys }
    }

    /// Whether a call from there is taken; then [`Self::leaves`] is due.
    pub(crate) fn comes(&mut self, from: IpAddr, now_ms: u64) -> bool {
        let calls = self.bounds.calls_per_minute;
        if !self.addresses.contains_key(&from) {
            self.make_room();
            let rate = u64::from(calls).saturating_mul(1_000).div_euclid(60);
            let bucket = Bucket::new(calls.div_ceil(4).max(1), rate, now_ms);
            self.addresses.insert(from, Visitor { bucket, open: 0 });
            self.order.push_back(from);
        }
        let Some(visitor) = self.addresses.get_mut(&from) else { return false };
        if visitor.open >= self.bounds.per_address || visitor.bucket.take(1, now_ms).is_err() {
            return false;
        }
        visitor.open = visitor.open.saturating_add(1);
        true
    }

    /// A connection from there is gone.
    pub(crate) fn leaves(&mut self, from: IpAddr) {
        if let Some(visitor) = self.addresses.get_mut(&from) {
            visitor.open = visitor.open.saturating_sub(1);
        }
    }

    /// Whether a key may speak: it is allowed and has no other connection. Then [`Self::hangs_up`] is due.
    pub(crate) fn speaks(&mut self, key: [u8; 33]) -> bool {
        (self.bounds.allow.is_empty() || self.bounds.allow.contains(&key)) && self.keys.insert(key)
    }

    /// The connection of a key is gone.
    pub(crate) fn hangs_up(&mut self, key: &[u8; 33]) {
        self.keys.remove(key);
    }

    /// Whether a key from there may have replica sessions.
    pub(crate) fn trusts(&self, key: &[u8; 33], from: IpAddr) -> bool {
        self.bounds.allow_replica.contains(key) || self.bounds.allow_replica_from.contains(&from)
    }

    /// Forgets addresses from which nobody is connected.
    fn make_room(&mut self) {
        let mut looked_at = 0;
        while self.addresses.len() >= ADDRESSES_MAX && looked_at < ADDRESSES_MAX {
            looked_at = looked_at.saturating_add(1);
            let Some(oldest) = self.order.pop_front() else { break };
            match self.addresses.get(&oldest) {
                Some(visitor) if visitor.open > 0 => self.order.push_back(oldest),
                Some(_) | None => {
                    self.addresses.remove(&oldest);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_its_rate_and_says_when_there_is_more() {
        let mut bucket = Bucket::new(10, 1_000, 0);
        assert_eq!(bucket.take(10, 0), Ok(()));
        assert_eq!(bucket.take(1, 0), Err(1_000));
        assert_eq!(bucket.take(3, 1_000), Err(2_000));
        assert_eq!(bucket.take(3, 3_000), Ok(()));
        assert_eq!(bucket.take(99, 3_000), Err(10_000), "no more than it ever holds");
    }

    #[test]
    fn an_address_gets_so_many_connections_and_no_more() {
        let bounds = Bounds { per_address: 2, calls_per_minute: 12, ..Bounds::default() };
        let mut gate = Gate::new(bounds);
        let (here, there) = (IpAddr::from([1, 2, 3, 4]), IpAddr::from([1, 2, 3, 5]));
        assert!(gate.comes(here, 0) && gate.comes(here, 0) && !gate.comes(here, 0));
        assert!(gate.comes(there, 0));
        gate.leaves(here);
        assert!(gate.comes(here, 0));
        gate.leaves(here);
        assert!(!gate.comes(here, 0), "three calls at once are what is in the bucket");
        assert!(gate.comes(here, 5_000));
    }

    #[test]
    fn a_million_addresses_take_no_more_memory_than_some_thousand() {
        let mut gate = Gate::new(Bounds::default());
        for number in 0..20_000_u32 {
            let from = IpAddr::from(number.to_be_bytes());
            assert!(gate.comes(from, 0));
            gate.leaves(from);
        }
        assert!(gate.addresses.len() <= ADDRESSES_MAX && gate.order.len() <= ADDRESSES_MAX);
    }

    #[test]
    fn a_key_has_one_connection() {
        let mut gate = Gate::new(Bounds::default());
        assert!(gate.speaks([2; 33]) && !gate.speaks([2; 33]));
        gate.hangs_up(&[2; 33]);
        assert!(gate.speaks([2; 33]));
        let allow = BTreeSet::from([[3; 33]]);
        let mut gate = Gate::new(Bounds { allow, ..Bounds::default() });
        assert!(!gate.speaks([2; 33]) && gate.speaks([3; 33]));
    }
}
