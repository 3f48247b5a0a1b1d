//! Amounts as Bitcoin Core writes them: bitcoin with exactly eight decimals, never an exponent. Some programs
//! read the text and not the number.

use super::error::{RpcError, TYPE};
use bitcoin::FeeRate;
use serde::ser::Error as _;
use serde::{Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;

/// Satoshi in a bitcoin.
const COIN: u64 = 100_000_000;

/// An amount in satoshi that is shown in bitcoin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Btc(pub(super) i64);

impl Btc {
    pub(super) fn sat(sat: u64) -> Self {
        Self(i64::try_from(sat).unwrap_or(i64::MAX))
    }

    /// Bitcoin per 1000 virtual bytes.
    pub(super) fn per_kvb(rate: FeeRate) -> Self {
        Self::sat(rate.to_sat_per_kwu().saturating_mul(4))
    }

    fn text(self) -> String {
        let sign = if self.0 < 0 { "-" } else { "" };
        let sat = self.0.unsigned_abs();
        format!("{sign}{}.{:08}", sat.div_euclid(COIN), sat.rem_euclid(COIN))
    }
}

impl Serialize for Btc {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        RawValue::from_string(self.text()).map_err(S::Error::custom)?.serialize(serializer)
    }
}

/// Reads an amount in bitcoin, a number or the same as text (Core Lightning sends text), as satoshi.
pub(super) fn read(value: &Value) -> Result<u64, RpcError> {
    let text = match value {
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
            return Err(RpcError::new(TYPE, "Amount is not a number or string"));
        }
    };
    decimal(&text).ok_or_else(|| RpcError::new(TYPE, "Invalid amount"))
}

/// As [`read`], of somebody else's answer.
pub(crate) fn read_amount(value: &Value) -> Option<u64> {
    read(value).ok()
}

/// A decimal number, with an exponent perhaps, times 10^8, if that is whole.
fn decimal(text: &str) -> Option<u64> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{part}");
    if digits.is_empty() || digits.len() > 32 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let mut value: u128 = digits.parse().ok()?;
    let mut shift = exponent.checked_add(8)?.checked_sub(i32::try_from(part.len()).ok()?)?;
    while shift > 0 && value > 0 {
        value = value.checked_mul(10)?;
        shift = shift.saturating_sub(1);
    }
    while shift < 0 && value > 0 {
        if value.rem_euclid(10) != 0 {
            return None;
        }
        value = value.div_euclid(10);
        shift = shift.saturating_add(1);
    }
    u64::try_from(value).ok().filter(|sat| *sat <= crate::builtin::MONEY_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_amount_has_eight_decimals_and_never_an_exponent() {
        let text = |sat| serde_json::to_string(&Btc(sat)).unwrap();
        assert_eq!(text(1_000), "0.00001000");
        assert_eq!(text(2_100_000_000_000_000), "21000000.00000000");
        assert_eq!(text(-150_000_001), "-1.50000001");
        assert_eq!(text(0), "0.00000000");
    }

    #[test]
    fn an_amount_is_read_from_a_number_and_from_text_to_the_last_satoshi() {
        for (value, sat) in [
            (json!(0.00001), 1_000),
            (json!(1e-5), 1_000),
            (json!("0.1"), 10_000_000),
            (json!(20_999_999.976_9), 2_099_999_997_690_000),
            (json!(3), 300_000_000),
            (json!("0"), 0),
        ] {
            assert_eq!(read(&value), Ok(sat), "{value}");
        }
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        for value in [
            json!("-1"),
            json!("0.000000001"),
            json!(21_000_001),
            json!("1e99999999999"),
            json!("1e2147483647"),
            json!("x"),
            json!(""),
            json!(null),
            json!([1]),
        ] {
            assert!(read(&value).is_err(), "{value}");
        }
    }
}
