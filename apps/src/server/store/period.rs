//! The figures of a period of time.

use rusqlite::{Connection, Row};
use serde::Serialize;

use super::error::StoreError;
use super::timestamp::Timestamp;

/// Figures of a period. Rates are from 0 to 1, and `None` where there is nothing to divide by.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Period {
    /// Conversations in which something was asked.
    pub conversations: u32,
    /// Questions and talk that got an outcome: the sum of the next four.
    pub asked: u32,
    /// Answered from the articles.
    pub answered: u32,
    /// Without an answer in the articles.
    pub no_answer: u32,
    /// With the wish for a person.
    pub handoff: u32,
    /// That were no question.
    pub talk: u32,
    /// Conversations that the assistant settled: no person took part or is wanted, and the last question was answered
    /// without a thumb down, or the conversation was said to be resolved.
    pub resolved: u32,
    /// Thumbs up.
    pub thumbs_up: u32,
    /// Thumbs down.
    pub thumbs_down: u32,
    /// `resolved` of the conversations that were more than talk.
    pub resolution_rate: Option<f64>,
    /// Conversations that a person was wanted in, of those that were more than talk.
    pub handoff_rate: Option<f64>,
    /// `answered` of `answered` and `no_answer`.
    pub coverage: Option<f64>,
    /// Thumbs up of all thumbs.
    pub csat: Option<f64>,
    /// The median time to answer in milliseconds.
    pub p50_ms: Option<f64>,
    /// The time within which 95 of 100 answers came.
    pub p95_ms: Option<f64>,
}

impl Period {
    /// The figures from `from` until before `to`.
    pub(super) fn of(connection: &Connection, from: Timestamp, to: Timestamp) -> Result<Self, StoreError> {
        let mut period = connection
            .prepare_cached(
                "SELECT count(DISTINCT t.session) AS conversations, count(*) AS asked,
                    count(*) FILTER (WHERE t.outcome = 'answered') AS answered,
                    count(*) FILTER (WHERE t.outcome = 'no_answer') AS no_answer,
                    count(*) FILTER (WHERE t.outcome = 'handoff') AS handoff,
                    count(*) FILTER (WHERE t.outcome = 'talk') AS talk,
                    count(*) FILTER (WHERE f.rating = 1) AS thumbs_up,
                    count(*) FILTER (WHERE f.rating = -1) AS thumbs_down
                 FROM turns t LEFT JOIN feedback f ON f.turn = t.id
                 WHERE t.created >= ?1 AND t.created < ?2 AND t.outcome IS NOT NULL",
            )?
            .query_row((from, to), |row| {
                Ok(Self {
                    conversations: row.get("conversations")?,
                    asked: row.get("asked")?,
                    answered: row.get("answered")?,
                    no_answer: row.get("no_answer")?,
                    handoff: row.get("handoff")?,
                    talk: row.get("talk")?,
                    thumbs_up: row.get("thumbs_up")?,
                    thumbs_down: row.get("thumbs_down")?,
                    ..Self::default()
                })
            })?;
        let (serious, resolved, with_person) = conversations(connection, from, to)?;
        period.resolved = resolved;
        period.resolution_rate = rate(resolved, serious);
        period.handoff_rate = rate(with_person, serious);
        period.coverage = rate(period.answered, period.answered + period.no_answer);
        period.csat = rate(period.thumbs_up, period.thumbs_up + period.thumbs_down);
        let mut times = connection
            .prepare_cached(
                "SELECT total_ms FROM turns
                 WHERE created >= ?1 AND created < ?2 AND outcome IS NOT NULL AND total_ms IS NOT NULL",
            )?
            .query_map((from, to), |row| row.get(0))?
            .collect::<Result<Vec<f64>, _>>()?;
        times.sort_unstable_by(f64::total_cmp);
        (period.p50_ms, period.p95_ms) = (percentile(&times, 50), percentile(&times, 95));
        Ok(period)
    }
}

/// Conversations of the period that were more than talk; of these the settled ones and those with a person.
fn conversations(
    connection: &Connection,
    from: Timestamp,
    to: Timestamp,
) -> Result<(u32, u32, u32), StoreError> {
    let mut statement = connection.prepare_cached(
        "WITH last AS (
            SELECT t.session, t.outcome, f.rating, max(t.id)
            FROM turns t LEFT JOIN feedback f ON f.turn = t.id
            WHERE t.created >= ?1 AND t.created < ?2 AND t.session IS NOT NULL
              AND t.outcome IS NOT NULL AND t.outcome <> 'talk'
            GROUP BY t.session
         )
         SELECT count(*),
            count(*) FILTER (WHERE s.person_since IS NULL
                AND (s.status = 'resolved' OR (last.outcome = 'answered' AND last.rating IS NOT -1))),
            count(*) FILTER (WHERE s.person_since IS NOT NULL)
         FROM last JOIN sessions s ON s.id = last.session",
    )?;
    let read = |row: &Row| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
    Ok(statement.query_row((from, to), read)?)
}

fn rate(part: u32, whole: u32) -> Option<f64> {
    (whole > 0).then(|| f64::from(part) / f64::from(whole))
}

/// The nearest-rank percentile of sorted values.
fn percentile(sorted: &[f64], percent: usize) -> Option<f64> {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let times: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!((percentile(&times, 50), percentile(&times, 95)), (Some(50.0), Some(95.0)));
        assert_eq!(percentile(&[7.0], 95), Some(7.0));
        assert_eq!(percentile(&[], 50), None);
    }

    #[test]
    fn of_nothing_there_is_no_rate() {
        assert_eq!((rate(0, 0), rate(1, 4)), (None, Some(0.25)));
    }
}
