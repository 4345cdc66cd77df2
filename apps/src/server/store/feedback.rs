//! What customers think of answers.

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSqlOutput, ValueRef};
use rusqlite::{OptionalExtension, Row, ToSql};
use serde::{Deserialize, Serialize};

use super::Store;
use super::error::StoreError;
use super::timestamp::Timestamp;

/// Thumb up or down: 1 or -1 in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub enum Rating {
    /// It helped.
    Up,
    /// It did not.
    Down,
}

impl From<Rating> for i64 {
    fn from(rating: Rating) -> Self {
        if rating == Rating::Up { 1 } else { -1 }
    }
}

impl TryFrom<i64> for Rating {
    type Error = StoreError;

    fn try_from(number: i64) -> Result<Self, StoreError> {
        match number {
            1 => Ok(Self::Up),
            -1 => Ok(Self::Down),
            other => Err(StoreError::invalid("rating", other.to_string(), "is neither 1 nor -1")),
        }
    }
}

impl ToSql for Rating {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(i64::from(*self).into())
    }
}

impl FromSql for Rating {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let number = i64::column_result(value)?;
        number.try_into().map_err(|_| FromSqlError::OutOfRange(number))
    }
}

/// What a customer thinks of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Feedback {
    /// Thumb up or down.
    pub rating: Rating,
    /// What would have been right.
    pub correction: Option<String>,
    /// A remark.
    pub remark: Option<String>,
}

impl Feedback {
    /// From the columns of a left join.
    pub(super) fn read(row: &Row) -> rusqlite::Result<Option<Self>> {
        let Some(rating) = row.get("rating")? else { return Ok(None) };
        Ok(Some(Self { rating, correction: row.get("correction")?, remark: row.get("remark")? }))
    }
}

impl Store {
    /// Records what a customer thinks of a turn, in place of what was thought before.
    ///
    /// # Errors
    /// If there is no such turn, or the disk fails.
    pub async fn rate(&self, turn: &str, feedback: Feedback) -> Result<(), StoreError> {
        let turn = turn.to_string();
        let rating = feedback.rating;
        let correction = feedback.correction.map(|text| self.redacted(&text));
        let remark = feedback.remark.map(|text| self.redacted(&text));
        self.write(move |connection| {
            let mut find = connection.prepare_cached("SELECT 1 FROM turns WHERE id = ?1")?;
            if find.query_row([&turn], |_| Ok(())).optional()?.is_none() {
                return Err(StoreError::not_found("turn", &turn));
            }
            connection
                .prepare_cached(
                    "INSERT INTO feedback (turn, rating, correction, remark, created) VALUES (?1, ?2, ?3, ?4, ?5)
                     ON CONFLICT (turn) DO UPDATE SET rating = excluded.rating, correction = excluded.correction,
                        remark = excluded.remark, created = excluded.created",
                )?
                .execute((turn, rating, correction, remark, Timestamp::now()))?;
            Ok(())
        })
        .await
    }
}
