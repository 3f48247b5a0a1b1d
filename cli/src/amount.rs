//! Amounts as people type and read them: `50sat 50_000msat 0.001btc 1k 2.5M all`, `12 345 sat`.
//!
//! A bare number is satoshi, and the unit is always shown again before anything is spent. Nothing is
//! ever rounded: what does not fit its unit is an error.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// All bitcoin there will ever be, in millisatoshi.
const ALL_MSAT: u64 = 2_100_000_000_000_000_000;

/// An amount that somebody typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Amount {
    /// So many millisatoshi.
    Msat(u64),
    /// `all`: whatever is there.
    All,
}

/// Why a text is not an amount, or not one that fits.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AmountError {
    /// Nothing there.
    #[error("an amount is missing; write it as 50000, 50sat, 50_000msat, 0.001btc, 1k or 2.5M")]
    Empty,
    /// A minus sign.
    #[error("an amount cannot be negative")]
    Negative,
    /// Not digits with at most one point.
    #[error(
        "“{0}” is not a number; write an amount as 50000, 50sat, 50_000msat, 0.001btc, 1k or 2.5M"
    )]
    NotANumber(String),
    /// A unit that is none.
    #[error(
        "“{0}” is not a unit; units are sat, msat, btc, k (a thousand sat) and M (a million sat)"
    )]
    UnknownUnit(String),
    /// Thousandth or million?
    #[error("“m” could be a thousandth or a million; write M for a million sat")]
    SmallM,
    /// More digits after the point than the unit has parts.
    #[error("too many digits after the point: {unit} has at most {places}")]
    TooPrecise {
        /// The unit.
        unit: &'static str,
        /// How many digits it can have after the point.
        places: u32,
    },
    /// More than there is.
    #[error("more than all bitcoin there will ever be")]
    TooLarge,
    /// Thousandths of a satoshi where only whole ones go.
    #[error("only whole satoshi can be on the chain; {} has a part of one", msat(*.0))]
    PartOfSatoshi(u64),
    /// `all` where a number is needed.
    #[error("“all” cannot be used here; say how much")]
    AllNotHere,
}

impl Amount {
    /// In millisatoshi.
    ///
    /// # Errors
    ///
    /// [`AmountError::AllNotHere`].
    pub const fn msat(self) -> Result<u64, AmountError> {
        match self {
            Self::Msat(msat) => Ok(msat),
            Self::All => Err(AmountError::AllNotHere),
        }
    }

    /// In whole satoshi, or nothing for `all`.
    ///
    /// # Errors
    ///
    /// [`AmountError::PartOfSatoshi`].
    pub const fn whole_sat_or_all(self) -> Result<Option<u64>, AmountError> {
        match self {
            Self::All => Ok(None),
            Self::Msat(msat) if msat.is_multiple_of(1_000) => Ok(Some(msat / 1_000)),
            Self::Msat(msat) => Err(AmountError::PartOfSatoshi(msat)),
        }
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Msat(amount) => f.write_str(&msat(*amount)),
            Self::All => f.write_str("all"),
        }
    }
}

impl FromStr for Amount {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Self, AmountError> {
        let text = text.trim();
        if text.eq_ignore_ascii_case("all") {
            return Ok(Self::All);
        }
        if text.starts_with(['-', '−']) {
            return Err(AmountError::Negative);
        }
        let unit_at = text.find(|c: char| c.is_alphabetic()).unwrap_or(text.len());
        let (number, unit) = text.split_at_checked(unit_at).unwrap_or((text, ""));
        let unit = Unit::parse(unit)?;
        decimal(number.trim_end(), unit).map(Self::Msat)
    }
}

#[derive(Debug, Clone, Copy)]
enum Unit {
    Msat,
    Sat,
    Thousand,
    Million,
    Btc,
}

impl Unit {
    fn parse(text: &str) -> Result<Self, AmountError> {
        match text {
            "k" | "K" => Ok(Self::Thousand),
            "M" => Ok(Self::Million),
            "m" => Err(AmountError::SmallM),
            _ => match text.to_ascii_lowercase().as_str() {
                "" | "sat" | "sats" => Ok(Self::Sat),
                "msat" | "msats" => Ok(Self::Msat),
                "btc" => Ok(Self::Btc),
                _ => Err(AmountError::UnknownUnit(text.to_owned())),
            },
        }
    }

    /// How many decimal places of it make a millisatoshi.
    const fn places(self) -> u32 {
        match self {
            Self::Msat => 0,
            Self::Sat => 3,
            Self::Thousand => 6,
            Self::Million => 9,
            Self::Btc => 11,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Msat => "msat",
            Self::Sat => "sat",
            Self::Thousand => "k",
            Self::Million => "M",
            Self::Btc => "btc",
        }
    }
}

fn decimal(text: &str, unit: Unit) -> Result<u64, AmountError> {
    if text.is_empty() {
        return Err(AmountError::Empty);
    }
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let odd = |digits: &str| {
        !digits.starts_with(|c: char| c.is_ascii_digit())
            || !digits.ends_with(|c: char| c.is_ascii_digit())
            || !digits.chars().all(|c| c.is_ascii_digit() || c == '_')
    };
    if odd(whole) || odd(part) {
        return Err(AmountError::NotANumber(text.to_owned()));
    }
    let places = unit.places();
    let part: String = part.chars().filter(char::is_ascii_digit).collect();
    let part = part.trim_end_matches('0');
    let given = u32::try_from(part.len()).unwrap_or(u32::MAX);
    let missing = places
        .checked_sub(given)
        .ok_or_else(|| AmountError::TooPrecise { unit: unit.name(), places })?;
    let digits: String = whole.chars().filter(char::is_ascii_digit).chain(part.chars()).collect();
    let value = digits
        .parse::<u64>()
        .ok()
        .and_then(|value| value.checked_mul(10u64.checked_pow(missing)?))
        .filter(|msat| *msat <= ALL_MSAT);
    value.ok_or(AmountError::TooLarge)
}

/// Digits in groups of three: `1 234 567`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len().saturating_mul(2));
    for (index, digit) in digits.chars().enumerate() {
        let left = digits.len().saturating_sub(index);
        if index > 0 && left.is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// Satoshi with their unit: `12 345 sat`.
pub fn sat(amount: u64) -> String {
    format!("{} sat", grouped(amount))
}

/// Millisatoshi as satoshi, thousandths only if there are any: `12 345 sat`, `1.250 sat`.
pub fn msat(amount: u64) -> String {
    format!("{} sat", msat_bare(amount))
}

/// As [`msat`], without the unit.
pub fn msat_bare(amount: u64) -> String {
    match amount % 1_000 {
        0 => grouped(amount / 1_000),
        part => format!("{}.{part:03}", grouped(amount / 1_000)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<u64, AmountError> {
        text.parse::<Amount>()?.msat()
    }

    #[test]
    fn every_unit_is_read_to_the_millisatoshi() {
        for (text, msat) in [
            ("0", 0),
            ("50", 50_000),
            ("50sat", 50_000),
            ("50 sat", 50_000),
            ("50SATS", 50_000),
            ("1_000", 1_000_000),
            ("50_000msat", 50_000),
            ("1msat", 1),
            ("1.5sat", 1_500),
            ("1.250", 1_250),
            ("0.001btc", 100_000_000),
            ("0.00000000001btc", 1),
            ("21000000BTC", ALL_MSAT),
            ("1k", 1_000_000),
            ("25K", 25_000_000),
            ("2.5M", 2_500_000_000),
            ("2.500000000M", 2_500_000_000),
            ("0.000000001M", 1),
        ] {
            assert_eq!(read(text), Ok(msat), "{text}");
        }
        assert_eq!("all".parse(), Ok(Amount::All));
        assert_eq!(" ALL ".parse(), Ok(Amount::All));
    }

    #[test]
    fn wrong_units_are_named() {
        assert_eq!(read("5usd"), Err(AmountError::UnknownUnit("usd".into())));
        assert_eq!(read("5m"), Err(AmountError::SmallM));
        assert_eq!(read("5mbtc"), Err(AmountError::UnknownUnit("mbtc".into())));
        assert_eq!(read("5 sat please"), Err(AmountError::UnknownUnit("sat please".into())));
        assert_eq!(read("1e5"), Err(AmountError::UnknownUnit("e5".into())));
    }

    #[test]
    fn nothing_is_rounded() {
        let precise = |unit, places| Err(AmountError::TooPrecise { unit, places });
        assert_eq!(read("0.5msat"), precise("msat", 0));
        assert_eq!(read("1.2345sat"), precise("sat", 3));
        assert_eq!(read("0.000000000001btc"), precise("btc", 11));
        assert_eq!(read("0.0000001k"), precise("k", 6));
        assert_eq!(
            "1.5".parse::<Amount>().unwrap().whole_sat_or_all(),
            Err(AmountError::PartOfSatoshi(1_500))
        );
        assert_eq!("1.5k".parse::<Amount>().unwrap().whole_sat_or_all(), Ok(Some(1_500)));
        assert_eq!(Amount::All.whole_sat_or_all(), Ok(None));
        assert_eq!(Amount::All.msat(), Err(AmountError::AllNotHere));
    }

    #[test]
    fn more_than_there_is_cannot_be_typed() {
        for text in [
            "21000000.00000000001btc",
            "2100000000000001",
            "99999999999999999999999",
            "18446744073709551616msat",
        ] {
            assert_eq!(read(text), Err(AmountError::TooLarge), "{text}");
        }
    }

    #[test]
    fn what_is_no_number_is_refused() {
        assert_eq!(read(""), Err(AmountError::Empty));
        assert_eq!(read("sat"), Err(AmountError::Empty));
        assert_eq!(read("-5"), Err(AmountError::Negative));
        assert_eq!(read("−5sat"), Err(AmountError::Negative));
        for text in ["1,000", "+5", "1.2.3", ".5", "5.", "_5", "5_", "1 000", "0x10", "٣"] {
            assert!(
                matches!(read(text), Err(AmountError::NotANumber(_) | AmountError::UnknownUnit(_))),
                "{text}"
            );
        }
    }

    #[test]
    fn amounts_print_in_groups_of_three() {
        for (amount, text) in [
            (0, "0 sat"),
            (999, "999 sat"),
            (1_000, "1 000 sat"),
            (12_345, "12 345 sat"),
            (150_000_000, "150 000 000 sat"),
        ] {
            assert_eq!(sat(amount), text);
        }
        assert_eq!(msat(1_250), "1.250 sat");
        assert_eq!(msat(25_000_000), "25 000 sat");
        assert_eq!(msat(1), "0.001 sat");
    }

    #[test]
    fn whatever_is_printed_reads_back_once_the_groups_are_gone() {
        for amount in [0, 1, 999, 1_000, 1_250, 123_456_789, ALL_MSAT] {
            assert_eq!(read(&msat(amount).replace(' ', "")), Ok(amount));
        }
    }
}
