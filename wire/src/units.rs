//! Amounts, rates, heights and delays: numbers that know their unit (BOLT 1 § Fundamental Types).
//!
//! Money has no minus sign: [`Msat`] implements no `Sub`. Going below zero is a decision, so the
//! caller takes it.
//!
//! Not here: fees of transactions (`channel::tx`), fees of routes (`routing`).

use core::fmt;

pub use bitcoin::Amount as Sat;

/// Millisatoshi, the unit of every off-chain amount. At most 21 million bitcoin.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Msat(u64);

impl Msat {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// Every bitcoin there will ever be, in millisatoshi. Eight times this still fits a `u64`.
    pub const MAX: Self = Self(21_000_000 * 100_000_000 * 1_000);

    /// `None` above [`Self::MAX`]: such an amount cannot be owned, so it cannot be named.
    pub const fn new(msat: u64) -> Option<Self> {
        if msat <= Self::MAX.0 { Some(Self(msat)) } else { None }
    }

    /// Whole satoshis as millisatoshis; `None` above 21 million bitcoin.
    pub fn from_sat(sat: Sat) -> Option<Self> {
        match sat.to_sat().checked_mul(1_000) {
            Some(msat) => Self::new(msat),
            None => None,
        }
    }

    /// The raw count of millisatoshis.
    pub const fn to_u64(self) -> u64 {
        self.0
    }

    /// Whether this is nothing.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// The sum, unless it is more than there is.
    pub const fn checked_add(self, rhs: Self) -> Option<Self> {
        match self.0.checked_add(rhs.0) {
            Some(sum) => Self::new(sum),
            None => None,
        }
    }

    /// What is left after paying `rhs`, if it can be paid.
    pub const fn checked_sub(self, rhs: Self) -> Option<Self> {
        match self.0.checked_sub(rhs.0) {
            Some(left) => Some(Self(left)),
            None => None,
        }
    }

    /// The sum of all, unless it is more than there is.
    pub fn checked_sum(amounts: impl IntoIterator<Item = Self>) -> Option<Self> {
        amounts.into_iter().try_fold(Self::ZERO, Self::checked_add)
    }

    /// Whole satoshis, and the remainder (0 to 999 msat) that no transaction can carry.
    pub const fn split(self) -> (Sat, Self) {
        (self.floor_sat(), Self(self.0 % 1_000))
    }

    /// Rounded down to whole satoshis, as outputs of commitment transactions are (BOLT 3).
    pub const fn floor_sat(self) -> Sat {
        Sat::from_sat(self.0 / 1_000)
    }

    /// Rounded up to whole satoshis: the least that covers this amount.
    pub const fn ceil_sat(self) -> Sat {
        Sat::from_sat(self.0.div_ceil(1_000))
    }
}

impl fmt::Display for Msat {
    /// `1 234 567 msat`, with thin spaces between groups of three digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        group(self.0, f)?;
        f.write_str(" msat")
    }
}

/// Writes digits in groups of three with a thin space (U+2009) between them.
fn group(number: u64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let digits = number.to_string();
    for (place, digit) in (1..=digits.len()).rev().zip(digits.chars()) {
        write!(f, "{digit}")?;
        if place > 1 && place % 3 == 1 {
            f.write_str("\u{2009}")?;
        }
    }
    Ok(())
}

/// Satoshis for a thousand weight units, as in `update_fee` (BOLT 2).
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct FeeratePerKw(pub u32);

impl FeeratePerKw {
    /// The least rate that relays everywhere: 250 can fall below one satoshi a virtual byte after
    /// rounding to whole virtual bytes.
    pub const FLOOR: Self = Self(253);

    /// The raw rate, satoshis for a thousand weight units.
    pub const fn to_u32(self) -> u32 {
        self.0
    }

    /// The fee for `weight` units, rounded down as BOLT 3 § Fee Calculation asks; capped at `u64::MAX`.
    pub fn fee_floor(self, weight: u64) -> Sat {
        let sat = u128::from(self.0).saturating_mul(u128::from(weight)) / 1_000;
        Sat::from_sat(u64::try_from(sat).unwrap_or(u64::MAX))
    }

    /// The fee for `weight` units, rounded up as interactive transactions ask; capped at `u64::MAX`.
    pub fn fee_ceil(self, weight: u64) -> Sat {
        let sat = u128::from(self.0).saturating_mul(u128::from(weight)).div_ceil(1_000);
        Sat::from_sat(u64::try_from(sat).unwrap_or(u64::MAX))
    }
}

impl fmt::Display for FeeratePerKw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} sat/kw", self.0)
    }
}

/// The height of a block, 0 for the first block of the chain. An absolute expiry is one, too.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct BlockHeight(pub u32);

impl BlockHeight {
    /// The raw height.
    pub const fn to_u32(self) -> u32 {
        self.0
    }

    /// The height `delta` blocks later; stays at `u32::MAX`, which no chain reaches.
    pub const fn saturating_add(self, delta: u32) -> Self {
        Self(self.0.saturating_add(delta))
    }

    /// The height `delta` blocks earlier; stays at 0.
    pub const fn saturating_sub(self, delta: u32) -> Self {
        Self(self.0.saturating_sub(delta))
    }

    /// How many blocks after `earlier` this is; `None` if it is before.
    pub const fn blocks_since(self, earlier: Self) -> Option<u32> {
        self.0.checked_sub(earlier.0)
    }
}

impl fmt::Display for BlockHeight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// A number of blocks between two expiries (BOLT 2 § `cltv_expiry_delta` Selection).
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct CltvDelta(pub u16);

impl CltvDelta {
    /// The raw number of blocks.
    pub const fn to_u16(self) -> u16 {
        self.0
    }

    /// The expiry this many blocks after `height`; stays at `u32::MAX`.
    pub fn after(self, height: BlockHeight) -> BlockHeight {
        height.saturating_add(u32::from(self.0))
    }
}

impl fmt::Display for CltvDelta {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} blocks", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn msat(raw: u64) -> Msat {
        Msat::new(raw).unwrap()
    }

    #[test]
    fn there_is_no_amount_above_twenty_one_million() {
        // BOLT 1: "milli-satoshi amounts MUST be at most `0x1d24b2dfac520000`"
        assert_eq!(Msat::MAX.to_u64(), 0x1d24_b2df_ac52_0000);
        assert_eq!(Msat::new(Msat::MAX.to_u64() + 1), None);
        assert_eq!(Msat::MAX.checked_add(msat(1)), None);
        assert_eq!(Msat::from_sat(Sat::MAX), None);
        assert_eq!(Msat::from_sat(Sat::MAX_MONEY), Some(Msat::MAX));
    }

    #[test]
    fn going_below_zero_is_refused() {
        assert_eq!(msat(1).checked_sub(msat(2)), None);
        assert_eq!(msat(2).checked_sub(msat(2)), Some(Msat::ZERO));
    }

    #[test]
    fn a_split_loses_nothing() {
        assert_eq!(msat(1_999).split(), (Sat::from_sat(1), msat(999)));
        assert_eq!(msat(1_999).ceil_sat(), Sat::from_sat(2));
        assert_eq!(msat(2_000).ceil_sat(), Sat::from_sat(2));
    }

    #[test]
    fn sums_stop_at_the_ceiling() {
        assert_eq!(Msat::checked_sum([msat(1), msat(2), msat(3)]), Some(msat(6)));
        assert_eq!(Msat::checked_sum([Msat::MAX, msat(1)]), None);
    }

    #[test]
    fn display_groups_digits() {
        for (raw, shown) in [
            (0, "0 msat"),
            (999, "999 msat"),
            (1_000, "1\u{2009}000 msat"),
            (123_456, "123\u{2009}456 msat"),
            (1_234_567, "1\u{2009}234\u{2009}567 msat"),
        ] {
            assert_eq!(msat(raw).to_string(), shown);
        }
    }

    #[test]
    fn fees_round_the_way_their_names_say() {
        // BOLT 3 Appendix G rounds each side's share up: 609 weight at 253 is 155 sat.
        assert_eq!(FeeratePerKw(253).fee_ceil(609), Sat::from_sat(155));
        assert_eq!(FeeratePerKw(253).fee_floor(609), Sat::from_sat(154));
    }

    #[test]
    fn heights_do_not_wrap() {
        assert_eq!(BlockHeight(u32::MAX).saturating_add(1), BlockHeight(u32::MAX));
        assert_eq!(BlockHeight(1).saturating_sub(2), BlockHeight(0));
        assert_eq!(BlockHeight(1).blocks_since(BlockHeight(2)), None);
        assert_eq!(CltvDelta(80).after(BlockHeight(100)), BlockHeight(180));
    }
}
