//! What a team lead looks at.

use std::collections::HashMap;

use rusqlite::Connection;
use serde::Serialize;

use super::Store;
use super::error::StoreError;
use super::period::Period;
use super::timestamp::{DAY_MS, Timestamp};

/// Longest time that is shown, in days: each is a row.
const MOST_DAYS: i64 = 1100;
/// Most rows of unanswered questions and of topics.
const MOST_ROWS: usize = 50;
/// Most conversations named for one unanswered question.
const MOST_SESSIONS: usize = 20;

/// The figures of some days, and of as many before.
#[derive(Debug, Clone, Serialize)]
pub struct Dashboard {
    /// The beginning.
    pub from: Timestamp,
    /// The end, which is not part of it.
    pub to: Timestamp,
    /// Its figures.
    pub now: Period,
    /// Those of the time before, of the same length.
    pub before: Period,
    /// Each day (in UTC), also those on which nothing was asked.
    pub days: Vec<Day>,
    /// Questions without an answer, the most frequent first.
    pub unanswered: Vec<Unanswered>,
    /// Documents by how many answers cite them.
    pub topics: Vec<Topic>,
}

/// One day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Day {
    /// The day, as `2026-12-01`.
    pub day: String,
    /// Questions and talk.
    pub asked: u32,
    /// Answered from the articles.
    pub answered: u32,
    /// Without an answer in the articles.
    pub no_answer: u32,
    /// With the wish for a person.
    pub handoff: u32,
    /// That were no question.
    pub talk: u32,
}

/// A question that the articles do not answer.
#[derive(Debug, Clone, Serialize)]
pub struct Unanswered {
    /// The question as it was asked last.
    pub question: String,
    /// How often it was asked.
    pub count: u32,
    /// When it was asked last.
    pub last: Timestamp,
    /// The conversations in which it was asked, the latest first.
    pub sessions: Vec<String>,
}

/// A document that answers cite.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Topic {
    /// The document.
    pub document: String,
    /// Its title.
    pub title: Option<String>,
    /// How many answers cite it.
    pub count: u32,
}

impl Store {
    /// The figures from `from` until before `to`.
    ///
    /// # Errors
    /// If the time is empty or longer than three years, or the disk fails.
    pub async fn dashboard(&self, from: Timestamp, to: Timestamp) -> Result<Dashboard, StoreError> {
        let length = to.millis().saturating_sub(from.millis());
        if length <= 0 {
            return Err(StoreError::invalid("to", to.to_string(), "is not after from"));
        }
        if length > MOST_DAYS * DAY_MS {
            return Err(StoreError::invalid("from", from.to_string(), "is more than 1100 days before to"));
        }
        self.read(move |connection| {
            let earlier = Timestamp::from_millis(from.millis().saturating_sub(length));
            Ok(Dashboard {
                from,
                to,
                now: Period::of(connection, from, to)?,
                before: Period::of(connection, earlier, from)?,
                days: days(connection, from, to)?,
                unanswered: unanswered(connection, from, to)?,
                topics: topics(connection, from, to)?,
            })
        })
        .await
    }
}

impl Dashboard {
    /// The days as CSV. None of its fields needs quotes.
    pub fn csv(&self) -> String {
        let mut csv = String::from("day,asked,answered,no_answer,handoff,talk\n");
        for Day { day, asked, answered, no_answer, handoff, talk } in &self.days {
            csv.push_str(&format!("{day},{asked},{answered},{no_answer},{handoff},{talk}\n"));
        }
        csv
    }
}

fn days(connection: &Connection, from: Timestamp, to: Timestamp) -> Result<Vec<Day>, StoreError> {
    let first = from.millis().div_euclid(DAY_MS);
    let last = (to.millis() - 1).div_euclid(DAY_MS);
    let mut days: Vec<Day> = (first..=last)
        .map(|day| Day {
            day: Timestamp::from_millis(day * DAY_MS).day(),
            asked: 0,
            answered: 0,
            no_answer: 0,
            handoff: 0,
            talk: 0,
        })
        .collect();
    let mut statement = connection.prepare_cached(
        "SELECT created, outcome FROM turns WHERE created >= ?1 AND created < ?2 AND outcome IS NOT NULL",
    )?;
    let mut rows = statement.query((from, to))?;
    while let Some(row) = rows.next()? {
        let created: Timestamp = row.get(0)?;
        let number = usize::try_from(created.millis().div_euclid(DAY_MS) - first).ok();
        let Some(day) = number.and_then(|number| days.get_mut(number)) else { continue };
        day.asked += 1;
        match row.get::<_, String>(1)?.as_str() {
            "answered" => day.answered += 1,
            "no_answer" => day.no_answer += 1,
            "handoff" => day.handoff += 1,
            _ => day.talk += 1,
        }
    }
    Ok(days)
}

fn unanswered(
    connection: &Connection,
    from: Timestamp,
    to: Timestamp,
) -> Result<Vec<Unanswered>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT question, created, session FROM turns
         WHERE created >= ?1 AND created < ?2 AND outcome = 'no_answer' ORDER BY created DESC, id DESC",
    )?;
    let mut rows = statement.query((from, to))?;
    let mut groups: HashMap<String, Unanswered> = HashMap::new();
    while let Some(row) = rows.next()? {
        let (question, last): (String, Timestamp) = (row.get(0)?, row.get(1)?);
        let group = groups.entry(normalised(&question)).or_insert_with(|| Unanswered {
            question,
            count: 0,
            last,
            sessions: Vec::new(),
        });
        group.count += 1;
        if let Some(session) = row.get::<_, Option<String>>(2)?
            && group.sessions.len() < MOST_SESSIONS
            && !group.sessions.contains(&session)
        {
            group.sessions.push(session);
        }
    }
    let mut groups: Vec<Unanswered> = groups.into_values().collect();
    groups.sort_by(|a, b| (b.count, b.last, &a.question).cmp(&(a.count, a.last, &b.question)));
    groups.truncate(MOST_ROWS);
    Ok(groups)
}

/// A question without what its typing may differ in: case, punctuation, spaces.
fn normalised(question: &str) -> String {
    let lower = question.to_lowercase();
    let words: Vec<&str> =
        lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    if words.is_empty() { lower } else { words.join(" ") }
}

fn topics(connection: &Connection, from: Timestamp, to: Timestamp) -> Result<Vec<Topic>, StoreError> {
    // With `max`, SQLite takes the title from the row of the latest turn.
    let mut statement = connection.prepare_cached(
        "SELECT c.document, c.title, count(*) AS count, max(t.id)
         FROM turns t JOIN citations c ON c.turn = t.id
         WHERE t.created >= ?1 AND t.created < ?2
         GROUP BY c.document ORDER BY count DESC, c.document LIMIT ?3",
    )?;
    let topics = statement.query_map((from, to, MOST_ROWS as i64), |row| {
        Ok(Topic { document: row.get(0)?, title: row.get(1)?, count: row.get(2)? })
    })?;
    Ok(topics.collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    #[test]
    fn questions_are_the_same_however_they_are_typed() {
        let same = super::normalised("How do I  reset my PIN?");
        assert_eq!(same, super::normalised("how do i reset my pin"));
        assert_ne!(same, super::normalised("how do i reset my pins"));
        assert_ne!(super::normalised("???"), super::normalised("!"));
    }
}
