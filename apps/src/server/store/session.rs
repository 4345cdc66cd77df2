//! A session: one conversation of one customer, and who has it.

use rusqlite::{Connection, OptionalExtension, Row, named_params};
use serde::{Deserialize, Serialize};

use super::Store;
use super::error::StoreError;
use super::page::{Page, one_more, place, text_enum};
use super::timestamp::Timestamp;

/// Who has a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// The assistant.
    Open,
    /// Nobody yet: the customer wants a person.
    Waiting,
    /// A person.
    Taken,
    /// Nobody: it is settled.
    Resolved,
}

text_enum!(Status, "status", { Open => "open", Waiting => "waiting", Taken => "taken", Resolved => "resolved" });

/// Who changes a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Actor {
    /// The customer's side: may ask for a person and may say that all is settled.
    Customer,
    /// An agent.
    Agent,
}

impl Status {
    /// Whether `actor` may change this status to `next`. To what it is already, everybody may.
    pub fn may_become(self, next: Self, actor: Actor) -> bool {
        match actor {
            Actor::Agent => true,
            // A conversation that an agent has stays with the agent until it is settled.
            Actor::Customer => match next {
                Self::Waiting => self != Self::Taken,
                Self::Resolved => true,
                Self::Open | Self::Taken => self == next,
            },
        }
    }
}

/// A conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Session {
    /// Its identifier.
    pub id: String,
    /// When it began.
    pub created: Timestamp,
    /// When something last happened in it.
    pub updated: Timestamp,
    /// Who has it.
    pub status: Status,
    /// The customer, by the name that the integrator gives.
    pub customer: Option<String>,
    /// The language.
    pub language: Option<String>,
    /// The agent who has it or had it last.
    pub agent: Option<String>,
    /// Since when it waits for a person.
    pub waiting_since: Option<Timestamp>,
}

/// A conversation in a listing.
#[derive(Debug, Clone, Serialize)]
pub struct SessionRow {
    /// The conversation.
    #[serde(flatten)]
    pub session: Session,
    /// How many questions it has.
    pub turns: u32,
    /// What the customer said last.
    pub last: Option<String>,
}

/// Which conversations to list.
#[derive(Debug, Clone, Default)]
pub struct SessionFilter {
    /// Of this status.
    pub status: Option<Status>,
    /// Of this customer.
    pub customer: Option<String>,
    /// With this text in a question, an answer, a message or the customer's name, whatever its case.
    pub query: Option<String>,
    /// How many, at most 500; 0 for 50.
    pub limit: u32,
    /// The end of the page before.
    pub before: Option<String>,
}

pub(super) const COLUMNS: &str =
    "s.id, s.created, s.updated, s.status, s.customer, s.language, s.agent, s.waiting_since";

impl Session {
    pub(super) fn read(row: &Row) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get("id")?,
            created: row.get("created")?,
            updated: row.get("updated")?,
            status: row.get("status")?,
            customer: row.get("customer")?,
            language: row.get("language")?,
            agent: row.get("agent")?,
            waiting_since: row.get("waiting_since")?,
        })
    }

    pub(super) fn find(connection: &Connection, id: &str) -> Result<Self, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM sessions s WHERE s.id = ?1");
        let session = connection.prepare_cached(&sql)?.query_row([id], Self::read).optional()?;
        session.ok_or_else(|| StoreError::not_found("session", id))
    }
}

impl Store {
    /// Lists conversations, the one with the newest event first.
    ///
    /// # Errors
    /// If the cursor is none, or the disk fails.
    pub async fn sessions(&self, filter: SessionFilter) -> Result<Page<SessionRow>, StoreError> {
        let limit = if filter.limit == 0 { 50 } else { filter.limit };
        let (time, id) = place(filter.before.as_deref())?;
        let query = filter.query.map(|query| query.to_lowercase()).filter(|query| !query.trim().is_empty());
        self.read(move |connection| {
            let sql = format!(
                "SELECT {COLUMNS},
                    (SELECT count(*) FROM turns t WHERE t.session = s.id) AS turns,
                    (SELECT text FROM (
                        SELECT created, question AS text FROM turns WHERE session = s.id
                        UNION ALL
                        SELECT created, text FROM messages WHERE session = s.id AND role = 'customer'
                     ) ORDER BY created DESC LIMIT 1) AS last
                 FROM sessions s
                 WHERE (s.updated, s.id) < (:time, :id)
                   AND (:status IS NULL OR s.status = :status)
                   AND (:customer IS NULL OR s.customer = :customer)
                   AND (:query IS NULL OR holds(s.customer, :query)
                     OR EXISTS (SELECT 1 FROM turns t WHERE t.session = s.id
                        AND (holds(t.question, :query) OR holds(t.answer_text, :query)))
                     OR EXISTS (SELECT 1 FROM messages m WHERE m.session = s.id AND holds(m.text, :query)))
                 ORDER BY s.updated DESC, s.id DESC LIMIT :limit"
            );
            let parameters = named_params! {
                ":time": time, ":id": id, ":status": filter.status, ":customer": filter.customer,
                ":query": query, ":limit": one_more(limit),
            };
            let read = |row: &Row| {
                Ok(SessionRow {
                    session: Session::read(row)?,
                    turns: row.get("turns")?,
                    last: row.get("last")?,
                })
            };
            let rows =
                connection.prepare_cached(&sql)?.query_map(parameters, read)?.collect::<Result<_, _>>()?;
            Ok(Page::new(rows, limit, |row: &SessionRow| (row.session.updated, &row.session.id)))
        })
        .await
    }

    /// Changes who has a conversation. `agent` is needed where a person takes it.
    ///
    /// # Errors
    /// If there is no such conversation, `actor` may not do that, or the disk fails.
    pub async fn set_status(
        &self,
        id: &str,
        status: Status,
        agent: Option<String>,
        actor: Actor,
    ) -> Result<Session, StoreError> {
        let id = id.to_string();
        self.write(move |connection| {
            let session = Session::find(connection, &id)?;
            if !session.status.may_become(status, actor) {
                return Err(StoreError::Transition { from: session.status, to: status });
            }
            let agent = match status {
                Status::Taken => {
                    let agent = agent.or(session.agent).filter(|agent| !agent.trim().is_empty());
                    Some(agent.ok_or_else(|| StoreError::invalid("agent", "", "must name who takes it"))?)
                }
                Status::Resolved => session.agent,
                Status::Open | Status::Waiting => None,
            };
            change(connection, &id, status, agent.as_deref(), Timestamp::now())?;
            Session::find(connection, &id)
        })
        .await
    }
}

/// Begins a conversation.
pub(super) fn insert(connection: &Connection, id: &str, now: Timestamp) -> Result<(), StoreError> {
    connection
        .prepare_cached("INSERT INTO sessions (id, created, updated, status) VALUES (?1, ?2, ?2, 'open')")?
        .execute((id, now))?;
    Ok(())
}

/// Notes that something happened in a conversation, and whose it is where that was not known.
pub(super) fn touch(
    connection: &Connection,
    id: &str,
    now: Timestamp,
    customer: Option<&str>,
    language: Option<&str>,
) -> Result<(), StoreError> {
    let session = Session::find(connection, id)?;
    if let (Some(asking), Some(owner)) = (customer, &session.customer)
        && asking != owner
    {
        return Err(StoreError::invalid("customer", asking, "is not the customer of this session"));
    }
    connection
        .prepare_cached(
            "UPDATE sessions SET updated = max(updated, ?2), customer = coalesce(customer, ?3),
                language = coalesce(?4, language) WHERE id = ?1",
        )?
        .execute((id, now, customer, language))?;
    Ok(())
}

/// Opens a resolved conversation in which something is asked again.
pub(super) fn reopen(connection: &Connection, id: &str, now: Timestamp) -> Result<(), StoreError> {
    match Session::find(connection, id)?.status {
        Status::Resolved => change(connection, id, Status::Open, None, now),
        Status::Open | Status::Waiting | Status::Taken => Ok(()),
    }
}

/// Lets a conversation wait for a person, unless one has it already.
pub(super) fn ask_for_a_person(connection: &Connection, id: &str, now: Timestamp) -> Result<(), StoreError> {
    match Session::find(connection, id)?.status {
        Status::Open | Status::Resolved => change(connection, id, Status::Waiting, None, now),
        Status::Waiting | Status::Taken => Ok(()),
    }
}

/// Sets status and agent, and the times that follow from them.
pub(super) fn change(
    connection: &Connection,
    id: &str,
    status: Status,
    agent: Option<&str>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let (is_waiting, has_person) =
        (status == Status::Waiting, matches!(status, Status::Waiting | Status::Taken));
    connection
        .prepare_cached(
            "UPDATE sessions SET status = :status, agent = :agent, updated = max(updated, :now),
                waiting_since = CASE WHEN :waiting THEN coalesce(waiting_since, :now) END,
                person_since = CASE WHEN :person THEN coalesce(person_since, :now) ELSE person_since END
             WHERE id = :id",
        )?
        .execute(named_params! {
            ":status": status, ":agent": agent, ":now": now, ":waiting": is_waiting, ":person": has_person,
            ":id": id,
        })?;
    Ok(())
}
