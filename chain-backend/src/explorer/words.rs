//! Amounts, rates, times and hashes as people read them.

use api::calendar::to_rfc3339;
use std::fmt::{Display, Formatter};

/// Satoshi in a bitcoin.
const COIN: u64 = 100_000_000;

/// A number in groups of three digits.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        let left = digits.len().saturating_sub(place);
        if place > 0 && left.is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// An amount: small ones in satoshi, others in bitcoin without the zeros at the end.
pub(super) fn amount(sat: u64) -> String {
    if sat < COIN.div_euclid(100) {
        return format!("{} sat", grouped(sat));
    }
    let part = format!("{:08}", sat.rem_euclid(COIN));
    let part = part.trim_end_matches('0');
    let whole = grouped(sat.div_euclid(COIN));
    if part.is_empty() { format!("{whole} BTC") } else { format!("{whole}.{part} BTC") }
}

/// A feerate in satoshi per virtual byte, with a tenth.
pub(super) fn rate(sat_kvb: u64) -> String {
    let tenths = sat_kvb.saturating_add(50).div_euclid(100);
    format!("{}.{}", grouped(tenths.div_euclid(10)), tenths.rem_euclid(10))
}

/// What a transaction pays per 1000 virtual bytes, satoshi.
pub(super) fn sat_kvb(fee_sat: u64, weight_wu: u64) -> u64 {
    fee_sat.saturating_mul(4_000).checked_div(weight_wu).unwrap_or(0)
}

/// A date and time, to the second.
pub(super) fn time(unix_s: u32) -> String {
    let text = to_rfc3339(u64::from(unix_s).saturating_mul(1_000));
    text.replace('T', " ").replace('Z', " UTC")
}

/// How long ago.
pub(super) fn ago(then_s: u32, now_s: u32) -> String {
    match now_s.saturating_sub(then_s) {
        0..=4 => "just now".to_owned(),
        seconds @ 5..=119 => format!("{seconds} s ago"),
        seconds @ 120..=7_199 => format!("{} min ago", seconds.div_euclid(60)),
        seconds @ 7_200..=172_799 => format!("{} h ago", seconds.div_euclid(3_600)),
        seconds => format!("{} days ago", grouped(u64::from(seconds.div_euclid(86_400)))),
    }
}

/// One thing, or several.
pub(super) fn count(number: u64, one: &str, many: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{} {many}", grouped(number)) }
}

/// The beginning and the end of a hash or an address.
#[derive(Clone, Debug)]
pub(super) struct Short<T>(pub(super) T);

impl<T: Display> Display for Short<T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        let text = self.0.to_string();
        let letters: Vec<char> = text.chars().collect();
        let (Some(begin), Some(end)) =
            (letters.get(..8), letters.get(letters.len().saturating_sub(6)..))
        else {
            return f.write_str(&text);
        };
        if letters.len() < 18 {
            return f.write_str(&text);
        }
        write!(f, "{}…{}", begin.iter().collect::<String>(), end.iter().collect::<String>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_rates_times_and_hashes_are_short_and_exact() {
        assert_eq!(amount(0), "0 sat");
        assert_eq!(amount(12_345), "12\u{202f}345 sat");
        assert_eq!(amount(150_000_000), "1.5 BTC");
        assert_eq!(amount(5_000_000_000), "50 BTC");
        assert_eq!(amount(1_000_001), "0.01000001 BTC");
        assert_eq!(rate(1_049), "1.0");
        assert_eq!(rate(12_345_678), "12\u{202f}345.7");
        assert_eq!(sat_kvb(141, 564), 1_000);
        assert_eq!(sat_kvb(1, 0), 0);
        assert_eq!(time(1_700_000_000), "2023-11-14 22:13:20 UTC");
        assert_eq!(
            [ago(10, 10), ago(0, 90), ago(0, 7_000), ago(0, 90_000)],
            ["just now", "90 s ago", "116 min ago", "25 h ago"]
        );
        assert_eq!(ago(20, 10), "just now", "a block may be ahead of us");
        assert_eq!(Short("0123456789abcdef0123").to_string(), "01234567…ef0123");
        assert_eq!(Short("short").to_string(), "short");
        assert_eq!(count(1, "block", "blocks"), "1 block");
    }
}
