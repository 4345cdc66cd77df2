//! Dates as articles write them, and moments as programs do.

use std::fmt;
use std::time::SystemTime;

use jiff::{Timestamp, civil};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A day of the Gregorian calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date(civil::Date);

impl Date {
    /// The day that `text` begins with or is: `2024-05-01`, `2024-05-01T12:00:00Z`, `2024/5/1`, `20240501`,
    /// `01.05.2024`; of `2024-05` and `2024` the first day. `None` for what is in no such form: `05/01/2024`
    /// may be in May or in January.
    pub fn parse(text: &str) -> Option<Date> {
        let text = text.trim();
        let end = text.find(|c: char| !c.is_ascii_digit() && !"-/.".contains(c)).unwrap_or(text.len());
        let (written, rest) = text.split_at(end);
        if !(rest.is_empty() || rest.starts_with(['T', 't', ' '])) {
            return None;
        }
        if written.len() == 8 && written.bytes().all(|byte| byte.is_ascii_digit()) {
            let number = |range: std::ops::Range<usize>| written.get(range)?.parse().ok();
            return Date::new(number(0..4)?, number(4..6)?, number(6..8)?);
        }
        let separator = ['-', '/', '.'].into_iter().find(|separator| written.contains(*separator));
        let parts: Vec<&str> = match separator {
            Some(separator) => written.trim_end_matches(separator).split(separator).collect(),
            None => vec![written],
        };
        let numbers: Vec<u32> = parts.iter().map(|part| part.parse().ok()).collect::<Option<_>>()?;
        let begins_with_year = parts.first()?.len() == 4;
        match (numbers.as_slice(), separator) {
            ([year, month, day], _) if begins_with_year => Date::new(*year, *month, *day),
            ([year, month], Some('-' | '/')) if begins_with_year => Date::new(*year, *month, 1),
            ([year], None) if begins_with_year => Date::new(*year, 1, 1),
            ([day, month, year], Some('.')) if *year >= 1000 => Date::new(*year, *month, *day),
            _ => None,
        }
    }

    fn new(year: u32, month: u32, day: u32) -> Option<Date> {
        let date = civil::Date::new(year.try_into().ok()?, month.try_into().ok()?, day.try_into().ok()?);
        date.ok().map(Date)
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Date {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Date {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let wrong = || serde::de::Error::custom(format!("`{text}` is no date; write it as 2024-05-01"));
        Date::parse(&text).ok_or_else(wrong)
    }
}

/// A moment in UTC as RFC 3339 with milliseconds: `2024-05-01T09:30:00.000Z`.
pub(crate) fn rfc3339(moment: SystemTime) -> String {
    // Beyond the years that a file's time can be trusted in, the first moment of 1970.
    format!("{:.3}", Timestamp::try_from(moment).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn dates_are_read_as_people_write_them() {
        for (text, date) in [
            ("2024-05-01", "2024-05-01"),
            (" 2024-05-01T12:00:00Z", "2024-05-01"),
            ("2024/5/1 noon", "2024-05-01"),
            ("20240501", "2024-05-01"),
            ("01.05.2024", "2024-05-01"),
            ("2024-05", "2024-05-01"),
            ("2024", "2024-01-01"),
            ("2024-02-29", "2024-02-29"),
        ] {
            assert_eq!(Date::parse(text).map(|date| date.to_string()).as_deref(), Some(date), "{text}");
        }
        for text in ["", "05/01/2024", "2023-02-29", "2024-13-01", "May 2024", "2024-05-01x", "1.5.24", "7"] {
            assert_eq!(Date::parse(text), None, "{text}");
        }
        assert!(Date::parse("2024-05-01") < Date::parse("2024-05-02"));
    }

    #[test]
    fn moments_are_written_in_utc() {
        for (seconds, written) in [
            (0, "1970-01-01T00:00:00.007Z"),
            (951_782_400, "2000-02-29T00:00:00.007Z"),
            (1_709_251_199, "2024-02-29T23:59:59.007Z"),
            (1_735_689_600, "2025-01-01T00:00:00.007Z"),
        ] {
            assert_eq!(rfc3339(UNIX_EPOCH + Duration::from_millis(seconds * 1000 + 7)), written);
        }
    }
}
