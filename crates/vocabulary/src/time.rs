//! Points in time and durations as the policy, the service and the ledger use them.
//!
//! Reads no clock: callers pass in a [`Timestamp`] or a [`Clock`].

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Ticks of 100 ns in a second. The service writes up to seven fractional digits, and comparing times for the newest needs all of
/// them.
pub const TICKS_PER_SECOND: i64 = 10_000_000;

/// A point in time: ticks of 100 ns since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// The source of the current time. `cli` implements it with the system's clock, tests with one that they set.
pub trait Clock: Send + Sync {
    /// The present moment, in UTC.
    fn now(&self) -> Timestamp;
}

impl Timestamp {
    /// 1970-01-01T00:00:00Z.
    pub const EPOCH: Timestamp = Timestamp(0);

    /// From ticks of 100 ns since the epoch.
    pub const fn from_ticks(ticks: i64) -> Timestamp {
        Timestamp(ticks)
    }

    /// Ticks of 100 ns since the epoch.
    pub const fn ticks(self) -> i64 {
        self.0
    }

    /// From whole seconds since the epoch.
    pub const fn from_seconds(seconds: i64) -> Timestamp {
        Timestamp(seconds.saturating_mul(TICKS_PER_SECOND))
    }

    /// Whole seconds since the epoch, rounded down.
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(TICKS_PER_SECOND)
    }

    /// From milliseconds since the epoch.
    pub const fn from_millis(millis: i64) -> Timestamp {
        Timestamp(millis.saturating_mul(TICKS_PER_SECOND / 1000))
    }

    /// Milliseconds since the epoch, rounded down.
    pub const fn millis(self) -> i64 {
        self.0.div_euclid(TICKS_PER_SECOND / 1000)
    }

    /// RFC 3339 with an offset, or a bare date (`2026-11-22`: midnight UTC): the form of `--now` and of the policy.
    ///
    /// # Errors
    /// A sentence that says what is wrong with the text.
    pub fn parse(text: &str) -> Result<Timestamp, String> {
        if let Some(moment) = parse_rfc3339(text) {
            return Ok(moment);
        }
        if let Ok(date) = Date::parse(text) {
            return Ok(date.midnight());
        }
        Err(format!(
            "`{text}` is neither an RFC 3339 time with an offset (2026-11-22T03:00:00Z) nor a date (2026-11-22)"
        ))
    }

    /// Parses the time of an API field: RFC 3339 with an offset, from 1970 on. Anything else counts as missing, because the
    /// service writes year 1 for an unknown time.
    pub fn parse_field(text: &str) -> Option<Timestamp> {
        parse_rfc3339(text).filter(|moment| *moment >= Timestamp::EPOCH)
    }

    /// Whether a text is written like the time of a field: also a date alone, a time without an offset, or one before 1970.
    pub fn is_written(text: &str) -> bool {
        parse_rfc3339(text).or_else(|| parse_rfc3339(&format!("{text}Z"))).is_some()
            || Date::parse(text).is_ok()
    }

    /// This moment plus a duration; saturates.
    #[must_use]
    pub fn plus(self, span: Duration) -> Timestamp {
        Timestamp(self.0.saturating_add(ticks_of(span)))
    }

    /// The first whole second at or after this moment: for "come back at …".
    #[must_use]
    pub fn rounded_up(self) -> Timestamp {
        let into = self.0.rem_euclid(TICKS_PER_SECOND);
        if into == 0 { self } else { Timestamp(self.0.saturating_add(TICKS_PER_SECOND - into)) }
    }

    /// The last whole second that is not after this moment: as people read a time that has passed.
    #[must_use]
    pub fn rounded_down(self) -> Timestamp {
        Timestamp(self.0.saturating_sub(self.0.rem_euclid(TICKS_PER_SECOND)))
    }

    /// This moment minus a duration; saturates.
    #[must_use]
    pub fn minus(self, span: Duration) -> Timestamp {
        Timestamp(self.0.saturating_sub(ticks_of(span)))
    }

    /// How long after `earlier` this is; zero if it is not after it.
    pub fn since(self, earlier: Timestamp) -> Duration {
        let ticks = self.0.saturating_sub(earlier.0).max(0) as u64;
        Duration::new(ticks / TICKS_PER_SECOND as u64, (ticks % TICKS_PER_SECOND as u64) as u32 * 100)
    }

    /// The date in UTC, without the time of day.
    pub fn date(self) -> Date {
        Date { days: self.0.div_euclid(86_400 * TICKS_PER_SECOND) as i32 }
    }
}

/// Ticks of 100 ns in a duration; saturates, truncates below 100 ns.
fn ticks_of(span: Duration) -> i64 {
    i64::try_from(span.as_nanos() / 100).unwrap_or(i64::MAX)
}

/// A run of ASCII digits as a number.
fn digits(bytes: &[u8]) -> Option<i64> {
    if bytes.is_empty() || bytes.len() > 9 {
        return None;
    }
    bytes.iter().try_fold(0i64, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + i64::from(byte - b'0')))
}

/// A hand-written RFC 3339 parser: a million devices have two million times, and a general parser takes ten times as long.
/// Requires an offset. Cuts digits beyond 100 ns.
fn parse_rfc3339(text: &str) -> Option<Timestamp> {
    let bytes = text.as_bytes();
    if bytes.len() < 20 || !matches!(bytes[10], b'T' | b't' | b' ') || bytes[13] != b':' || bytes[16] != b':'
    {
        return None;
    }
    let date = Date::parse(text.get(..10)?).ok()?;
    let (hour, minute, second) = (digits(&bytes[11..13])?, digits(&bytes[14..16])?, digits(&bytes[17..19])?);
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let mut rest = &bytes[19..];
    let mut fraction = 0i64;
    if rest[0] == b'.' {
        let length = rest[1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        if length == 0 {
            return None;
        }
        for place in 0..7 {
            fraction = fraction * 10 + if place < length { i64::from(rest[1 + place] - b'0') } else { 0 };
        }
        rest = &rest[1 + length..];
    }
    let offset = match rest {
        [b'Z' | b'z'] => 0,
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let (hours, minutes) = (digits(&[*h1, *h2])?, digits(&[*m1, *m2])?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            (hours * 3600 + minutes * 60) * if *sign == b'-' { -1 } else { 1 }
        }
        _ => return None,
    };
    // A leap second counts as the start of the next minute: 23:59:60 is 00:00:00.
    let seconds = i64::from(date.days) * 86_400 + hour * 3600 + minute * 60 + second - offset;
    Some(Timestamp(seconds * TICKS_PER_SECOND + fraction))
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.seconds();
        let (date, second) = (Date { days: seconds.div_euclid(86_400) as i32 }, seconds.rem_euclid(86_400));
        write!(f, "{date}T{:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60)?;
        let fraction = self.0.rem_euclid(TICKS_PER_SECOND);
        if fraction != 0 {
            let text = format!("{fraction:07}");
            write!(f, ".{}", text.trim_end_matches('0'))?;
        }
        f.write_str("Z")
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Timestamp::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// A calendar date in UTC, as days since 1970-01-01.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date {
    days: i32,
}

impl Date {
    /// `2026-11-22`.
    ///
    /// # Errors
    /// A sentence that says what is wrong with the text.
    pub fn parse(text: &str) -> Result<Date, String> {
        let bytes = text.as_bytes();
        let wrong = || format!("`{text}` is not a date (2026-11-22)");
        if bytes.len() != 10 || bytes[4] != b'-' || bytes[7] != b'-' {
            return Err(wrong());
        }
        let parts = (digits(&bytes[..4]), digits(&bytes[5..7]), digits(&bytes[8..]));
        let (Some(year), Some(month), Some(day)) = parts else { return Err(wrong()) };
        let days = days_from_civil(year, month, day);
        // Every month has 28 days. Later days are valid if they convert back to themselves.
        let is_day = (1..=28).contains(&day) || (day > 28 && civil_from_days(days) == (year, month, day));
        if !(1..=12).contains(&month) || !is_day {
            return Err(format!("`{text}` is not a day of the calendar"));
        }
        Ok(Date { days: days as i32 })
    }

    /// The first moment of the day.
    pub fn midnight(self) -> Timestamp {
        Timestamp::from_seconds(i64::from(self.days) * 86_400)
    }

    /// The first moment after the day: for ends that are inclusive.
    pub fn end(self) -> Timestamp {
        self.plus_days(1).midnight()
    }

    /// This date plus a number of days.
    #[must_use]
    pub fn plus_days(self, days: i32) -> Date {
        Date { days: self.days.saturating_add(days) }
    }

    /// Days from `earlier` to this date (negative if it is before it).
    pub fn days_since(self, earlier: Date) -> i32 {
        self.days.saturating_sub(earlier.days)
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil_from_days(i64::from(self.days));
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

impl fmt::Debug for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Days since the epoch of a proleptic Gregorian date; months count from March so that the leap day comes last.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The inverse of [`days_from_civil`].
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// A policy duration: one number and one unit of `s`, `m`, `h`, `d`, `w` (`90m`, `48h`, `30d`).
///
/// # Errors
/// A sentence that says what is wrong with the text.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || {
        format!(
            "`{text}` is not a duration: write one number and one unit of s, m, h, d or w (90m, 48h, 30d)"
        )
    };
    let unit = match text.as_bytes().last() {
        Some(b's') => 1,
        Some(b'm') => 60,
        Some(b'h') => 3600,
        Some(b'd') => 86_400,
        Some(b'w') => 604_800,
        _ => return Err(wrong()),
    };
    let number = &text[..text.len() - 1];
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong());
    }
    let count: u64 = number.parse().map_err(|_| format!("`{text}` is longer than any device has lived"))?;
    let seconds = count.checked_mul(unit).filter(|seconds| *seconds <= 1_000_000_000_000);
    seconds.map(Duration::from_secs).ok_or_else(|| format!("`{text}` is longer than any device has lived"))
}

/// A duration for people: `6 h 9 min`, `42 s`, `2 d 3 h`: the two largest units, rounded down.
pub fn spoken(span: Duration) -> String {
    let seconds = span.as_secs();
    let parts = [
        (seconds / 86_400, "d"),
        (seconds / 3600 % 24, "h"),
        (seconds / 60 % 60, "min"),
        (seconds % 60, "s"),
    ];
    let first = parts.iter().position(|(count, _)| *count > 0).unwrap_or(3);
    let shown =
        parts[first..].iter().take(2).enumerate().filter(|(index, (count, _))| *index == 0 || *count > 0);
    shown.map(|(_, (count, unit))| format!("{count} {unit}")).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn field_times_keep_seven_digits_and_year_one_is_missing() {
        let moment = Timestamp::parse_field("2025-02-11T08:14:52.1830412Z").unwrap();
        assert_eq!(moment.to_string(), "2025-02-11T08:14:52.1830412Z");
        assert_eq!(Timestamp::parse_field("0001-01-01T00:00:00Z"), None);
        assert_eq!(Timestamp::parse_field("2025-02-11T08:14:52"), None);
        assert_eq!(Timestamp::parse_field("1970-01-01T00:00:00Z"), Some(Timestamp::EPOCH));
    }

    #[test]
    fn a_time_to_come_back_at_is_a_whole_second_and_never_too_early() {
        let rounded = |text: &str| Timestamp::parse(text).unwrap().rounded_up().to_string();
        assert_eq!(rounded("2026-11-27T06:00:00.0000001Z"), "2026-11-27T06:00:01Z");
        assert_eq!(rounded("2026-11-27T06:00:00Z"), "2026-11-27T06:00:00Z");
    }

    #[test]
    fn offsets_are_applied_and_impossible_dates_refused() {
        let moment = Timestamp::parse("2026-11-22T03:00:00+02:00").unwrap();
        assert_eq!(moment.to_string(), "2026-11-22T01:00:00Z");
        assert!(Timestamp::parse("2026-02-29").is_err());
        assert_eq!(Timestamp::parse("2024-02-29").unwrap().to_string(), "2024-02-29T00:00:00Z");
        assert!(Timestamp::parse("2026-11-22T03:00:00").is_err());
    }

    #[test]
    fn durations_take_one_number_and_one_unit() {
        assert_eq!(parse_duration("90m").unwrap(), Duration::from_secs(5400));
        assert_eq!(parse_duration("2w").unwrap(), Duration::from_secs(1_209_600));
        for wrong in ["", "d", "1.5h", "1h30m", "-3d", "30", "30 d", "99999999999999999999d"] {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn spoken_durations_show_the_two_largest_units() {
        assert_eq!(spoken(Duration::from_secs(22_140)), "6 h 9 min");
        assert_eq!(spoken(Duration::from_secs(0)), "0 s");
        assert_eq!(spoken(Duration::from_secs(3605)), "1 h");
    }
}
