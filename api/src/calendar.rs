//! Times as people and certificates write them, to and from milliseconds since 1970.
//!
//! UTC only, years 1970 to 9999. Not here: what time it is; that is an argument everywhere.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "every operand is a calendar field or a day number, bounded where it comes in"
)]

/// Milliseconds since 1970-01-01 UTC.
pub type UnixMs = u64;

/// The end of year 9999.
const LAST_MS: UnixMs = 253_402_300_799_999;
const DAY_MS: UnixMs = 86_400_000;

/// A moment in the Gregorian calendar, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Civil {
    /// 1970 to 9999.
    pub year: u64,
    /// 1 to 12.
    pub month: u64,
    /// 1 to 31.
    pub day: u64,
    /// 0 to 23.
    pub hour: u64,
    /// 0 to 59.
    pub minute: u64,
    /// 0 to 59.
    pub second: u64,
    /// 0 to 999.
    pub milli: u64,
}

impl Civil {
    /// The calendar's view of a time; times after 9999 are the end of 9999.
    pub fn from_ms(at: UnixMs) -> Self {
        let at = at.min(LAST_MS);
        let (days, rest) = (at / DAY_MS, at % DAY_MS);
        // The era is 400 years from a 1 March, so that the leap day comes last.
        let shifted = days + 719_468;
        let (era, of_era) = (shifted / 146_097, shifted % 146_097);
        let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let from_march = (5 * of_year + 2) / 153;
        let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
        Self {
            year: year_of_era + era * 400 + u64::from(month <= 2),
            month,
            day: of_year - (153 * from_march + 2) / 5 + 1,
            hour: rest / 3_600_000,
            minute: rest / 60_000 % 60,
            second: rest / 1_000 % 60,
            milli: rest % 1_000,
        }
    }

    /// The time, or nothing when a field is out of its range.
    pub fn to_ms(self) -> Option<UnixMs> {
        let fits = (1970..=9999).contains(&self.year)
            && (1..=12).contains(&self.month)
            && (1..=days_in(self.year, self.month)).contains(&self.day)
            && self.hour < 24
            && self.minute < 60
            && self.second < 60
            && self.milli < 1_000;
        if !fits {
            return None;
        }
        let year = self.year - u64::from(self.month <= 2);
        let (era, year_of_era) = (year / 400, year % 400);
        let from_march = if self.month > 2 { self.month - 3 } else { self.month + 9 };
        let of_year = (153 * from_march + 2) / 5 + self.day - 1;
        let of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year;
        let days = era * 146_097 + of_era - 719_468;
        let seconds = self.hour * 3_600 + self.minute * 60 + self.second;
        Some(days * DAY_MS + seconds * 1_000 + self.milli)
    }
}

fn days_in(year: u64, month: u64) -> u64 {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        4 | 6 | 9 | 11 => 30,
        2 => 28 + u64::from(leap),
        _ => 31,
    }
}

/// Writes a time as RFC 3339, to the second: `2026-11-22T10:00:00Z`.
pub fn to_rfc3339(at: UnixMs) -> String {
    let Civil { year, month, day, hour, minute, second, .. } = Civil::from_ms(at);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Reads a time in RFC 3339 with `Z`; parts of a millisecond are cut off.
pub fn from_rfc3339(text: &str) -> Option<UnixMs> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let mut date = date.split('-');
    let (year, month, day) = (date.next()?, date.next()?, date.next()?);
    let (time, fraction) = time.split_once('.').unwrap_or((time, ""));
    let mut time = time.split(':');
    let (hour, minute, second) = (time.next()?, time.next()?, time.next()?);
    if date.next().is_some() || time.next().is_some() || fraction.len() > 9 {
        return None;
    }
    let milli = if fraction.is_empty() {
        0
    } else {
        let all = digits(fraction, fraction.len())?;
        let padding = u32::try_from(9usize.checked_sub(fraction.len())?).ok()?;
        all.checked_mul(10u64.checked_pow(padding)?)? / 1_000_000
    };
    Civil {
        year: digits(year, 4)?,
        month: digits(month, 2)?,
        day: digits(day, 2)?,
        hour: digits(hour, 2)?,
        minute: digits(minute, 2)?,
        second: digits(second, 2)?,
        milli,
    }
    .to_ms()
}

/// A number of exactly `count` decimal digits.
pub(crate) fn digits(text: &str, count: usize) -> Option<u64> {
    let plain = text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    if plain { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments_come_out_right_both_ways() {
        for (text, ms) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T12:34:56Z", 951_827_696_000),
            ("2026-11-22T10:25:15Z", 1_795_343_115_000),
            ("9999-12-31T23:59:59Z", 253_402_300_799_000),
        ] {
            assert_eq!(from_rfc3339(text), Some(ms), "{text}");
            assert_eq!(to_rfc3339(ms), text);
        }
    }

    #[test]
    fn every_day_of_four_centuries_survives_the_round_trip() {
        for day in 0..146_097 {
            let at = day * DAY_MS + 1;
            assert_eq!(Civil::from_ms(at).to_ms(), Some(at));
        }
    }

    #[test]
    fn fractions_are_cut_to_milliseconds() {
        assert_eq!(from_rfc3339("1970-01-01T00:00:01.123456789Z"), Some(1_123));
        assert_eq!(from_rfc3339("1970-01-01T00:00:01.5Z"), Some(1_500));
    }

    #[test]
    fn what_is_not_a_time_is_refused() {
        for text in [
            "",
            "Z",
            "2026-11-22",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:00:00",
            "2026-01-01T00:00:00+01:00",
            "2026-01-01T00:00:00.1234567890Z",
            "+026-01-01T00:00:00Z",
            "1969-12-31T23:59:59Z",
            "2026-01-01T00:00:00.Z9Z",
        ] {
            assert_eq!(from_rfc3339(text), None, "{text}");
        }
    }
}
