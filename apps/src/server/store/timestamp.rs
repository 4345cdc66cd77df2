//! Moments in time: milliseconds since 1970 in the database, RFC 3339 in UTC outside.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use rusqlite::ToSql;
use rusqlite::types::{FromSql, FromSqlResult, ToSqlOutput, ValueRef};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::error::StoreError;

/// Milliseconds of a day.
pub(super) const DAY_MS: i64 = 86_400_000;

/// The first and the last moment that RFC 3339 has a year for, less one year at the end for time zones.
const FIRST: i64 = -62_167_219_200_000;
const LAST: i64 = 253_370_764_799_999;

/// A moment, to the millisecond.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// Now.
    pub fn now() -> Self {
        Self(jiff::Timestamp::now().as_millisecond())
    }

    /// The moment so many milliseconds after 1970 began.
    pub fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since 1970 began.
    pub fn millis(self) -> i64 {
        self.0
    }

    /// The moment `span` before this one.
    pub fn before(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
    }

    /// The moment `span` after this one.
    #[cfg(test)]
    pub fn after(self, span: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
    }

    /// The day as `2026-12-01`.
    pub fn day(self) -> String {
        self.to_string().chars().take_while(|c| *c != 'T').collect()
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let moment = jiff::Timestamp::from_millisecond(self.0.clamp(FIRST, LAST)).unwrap_or_default();
        write!(f, "{moment:.3}")
    }
}

impl FromStr for Timestamp {
    type Err = StoreError;

    /// Reads RFC 3339, or a date alone for its first moment in UTC.
    fn from_str(text: &str) -> Result<Self, StoreError> {
        let error = || StoreError::invalid("time", text, "is neither an RFC 3339 time nor a date");
        let whole = if text.len() == 10 { format!("{text}T00:00:00Z") } else { text.to_string() };
        let moment: jiff::Timestamp = whole.parse().map_err(|_| error())?;
        Ok(Self(moment.as_millisecond()))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl ToSql for Timestamp {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        self.0.to_sql()
    }
}

impl FromSql for Timestamp {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        i64::column_result(value).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_in_utc_with_milliseconds() {
        let time: Timestamp = "2026-12-01T04:05:06.7+01:00".parse().unwrap();
        assert_eq!(time.to_string(), "2026-12-01T03:05:06.700Z");
        assert_eq!(time.day(), "2026-12-01");
        assert_eq!("2026-12-01".parse::<Timestamp>().unwrap().to_string(), "2026-12-01T00:00:00.000Z");
        assert_eq!(serde_json::to_string(&time).unwrap(), "\"2026-12-01T03:05:06.700Z\"");
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in ["", "yesterday", "2026-13-01", "2026-12-01T00:00:00", "'; DROP TABLE turns"] {
            assert!(text.parse::<Timestamp>().is_err(), "{text}");
        }
    }

    #[test]
    fn absurd_values_neither_panic_nor_wrap() {
        assert!(Timestamp::from_millis(i64::MAX).to_string().starts_with("9998-12-31"));
        assert!(Timestamp::from_millis(i64::MIN).to_string().starts_with("0000-01-01"));
        assert_eq!(Timestamp::from_millis(i64::MIN).before(Duration::MAX).millis(), i64::MIN);
    }
}
