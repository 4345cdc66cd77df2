//! Turns in a listing, across conversations.

use rusqlite::{Row, named_params};
use serde::Serialize;

use super::Store;
use super::error::StoreError;
use super::feedback::Rating;
use super::page::{Page, one_more, place};
use super::timestamp::Timestamp;
use super::turn::Outcome;

/// A turn in a listing.
#[derive(Debug, Clone, Serialize)]
pub struct TurnRow {
    /// Its identifier.
    pub id: String,
    /// Its conversation.
    pub session: Option<String>,
    /// When it was asked.
    pub created: Timestamp,
    /// The question.
    pub question: String,
    /// The answer's text.
    pub answer: Option<String>,
    /// The outcome.
    pub outcome: Option<Outcome>,
    /// What the customer thought of it.
    pub rating: Option<Rating>,
    /// How long it took.
    pub total_ms: Option<f64>,
}

/// Which turns to list.
#[derive(Debug, Clone, Default)]
pub struct TurnFilter {
    /// With this outcome.
    pub outcome: Option<Outcome>,
    /// With this rating.
    pub rating: Option<Rating>,
    /// With this text in the question or the answer, whatever its case.
    pub query: Option<String>,
    /// How many, at most 500; 0 for 50.
    pub limit: u32,
    /// The end of the page before.
    pub before: Option<String>,
}

impl Store {
    /// Lists turns, the newest first.
    ///
    /// # Errors
    /// If the cursor is none, or the disk fails.
    pub async fn turns(&self, filter: TurnFilter) -> Result<Page<TurnRow>, StoreError> {
        let limit = if filter.limit == 0 { 50 } else { filter.limit };
        let (time, id) = place(filter.before.as_deref())?;
        let query = filter.query.map(|query| query.to_lowercase()).filter(|query| !query.trim().is_empty());
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT t.id, t.session, t.created, t.question, t.answer_text, t.outcome, f.rating, t.total_ms
                 FROM turns t LEFT JOIN feedback f ON f.turn = t.id
                 WHERE (t.created, t.id) < (:time, :id)
                   AND (:outcome IS NULL OR t.outcome = :outcome)
                   AND (:rating IS NULL OR f.rating = :rating)
                   AND (:query IS NULL OR holds(t.question, :query) OR holds(t.answer_text, :query))
                 ORDER BY t.created DESC, t.id DESC LIMIT :limit",
            )?;
            let parameters = named_params! {
                ":time": time, ":id": id, ":outcome": filter.outcome, ":rating": filter.rating, ":query": query,
                ":limit": one_more(limit),
            };
            let read = |row: &Row| {
                Ok(TurnRow {
                    id: row.get("id")?,
                    session: row.get("session")?,
                    created: row.get("created")?,
                    question: row.get("question")?,
                    answer: row.get("answer_text")?,
                    outcome: row.get("outcome")?,
                    rating: row.get("rating")?,
                    total_ms: row.get("total_ms")?,
                })
            };
            let rows = statement.query_map(parameters, read)?.collect::<Result<_, _>>()?;
            Ok(Page::new(rows, limit, |row: &TurnRow| (row.created, &row.id)))
        })
        .await
    }
}
