//! Pages of a listing, and values that the database holds as words.

use super::error::StoreError;
use super::timestamp::Timestamp;

/// Most rows of one page.
const MOST: u32 = 500;

/// A page of a listing, the newest first.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Page<T> {
    /// Its rows.
    pub data: Vec<T>,
    /// What to give as `before` for the next page; `None` on the last one.
    pub next: Option<String>,
}

impl<T> Page<T> {
    /// A page of `rows`, which were asked for with [`one_more`] than `limit`. `cursor` gives a row's place.
    pub(super) fn new(mut rows: Vec<T>, limit: u32, cursor: impl Fn(&T) -> (Timestamp, &str)) -> Self {
        let limit = limit.clamp(1, MOST) as usize;
        let has_more = rows.len() > limit;
        rows.truncate(limit);
        let next = rows.last().filter(|_| has_more).map(|row| {
            let (time, id) = cursor(row);
            format!("{}.{id}", time.millis())
        });
        Self { data: rows, next }
    }
}

/// How many rows to read for a page of `limit`: one more tells whether another page follows.
pub(super) fn one_more(limit: u32) -> u32 {
    limit.clamp(1, MOST) + 1
}

/// The place that a cursor stands for; the end of all if there is none.
pub(super) fn place(before: Option<&str>) -> Result<(Timestamp, String), StoreError> {
    let Some(before) = before else {
        return Ok((Timestamp::from_millis(i64::MAX), String::new()));
    };
    let parse = || {
        let (time, id) = before.split_once('.')?;
        Some((Timestamp::from_millis(time.parse().ok()?), id.to_string()))
    };
    parse().ok_or_else(|| StoreError::invalid("before", before, "is no cursor of this listing"))
}

/// Reads and writes an enum as the words that the database and the API have for it.
macro_rules! text_enum {
    ($name:ident, $field:literal, { $($variant:ident => $text:literal),+ $(,)? }) => {
        impl $name {
            /// The word for it.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                f.write_str(self.name())
            }
        }
        impl std::str::FromStr for $name {
            type Err = $crate::store::StoreError;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($text => Ok(Self::$variant),)+
                    _ => Err($crate::store::StoreError::Invalid {
                        field: $field,
                        value: text.to_string(),
                        reason: concat!("is none of" $(, " ", $text)+),
                    }),
                }
            }
        }
        impl rusqlite::ToSql for $name {
            fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
                Ok(self.name().into())
            }
        }
        impl rusqlite::types::FromSql for $name {
            fn column_result(
                value: rusqlite::types::ValueRef<'_>,
            ) -> rusqlite::types::FromSqlResult<Self> {
                let other = |error| rusqlite::types::FromSqlError::Other(Box::new(error));
                value.as_str()?.parse().map_err(other)
            }
        }
    };
}
pub(super) use text_enum;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_leads_to_where_the_page_ended() {
        let rows = vec![(3, "c"), (2, "b"), (1, "a")];
        fn cursor<'a>(row: &'a (i64, &'static str)) -> (Timestamp, &'a str) {
            (Timestamp::from_millis(row.0), row.1)
        }
        let page = Page::new(rows.clone(), 2, cursor);
        assert_eq!(page.data.len(), 2);
        let next = page.next.unwrap();
        assert_eq!(place(Some(&next)).unwrap(), (Timestamp::from_millis(2), "b".to_string()));
        assert_eq!(Page::new(rows, 3, cursor).next, None);
    }

    #[test]
    fn a_cursor_that_is_none_is_refused() {
        for text in ["", "1", "x.y", "1' OR '1'='1"] {
            assert!(place(Some(text)).is_err(), "{text}");
        }
    }
}
