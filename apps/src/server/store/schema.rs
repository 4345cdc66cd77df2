//! The tables, and how a file of an earlier version is brought up to date.

use std::path::Path;
use std::time::Duration;

use rusqlite::functions::FunctionFlags;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::Durability;
use super::error::StoreError;

/// Marks the file as ours: "Hrth".
const APPLICATION: i64 = 0x4872_7468;

/// How long a connection waits for another one's lock.
const BUSY: Duration = Duration::from_secs(10);

/// Files up to this size are read whole and checked when they are opened, at about 50 MB/s on a busy machine. Damage
/// in larger ones is an error where it is read.
const CHECKED_BYTES: u64 = 32 << 20;

/// `MIGRATIONS[n]` leads from version n to n + 1. A released one is never changed.
const MIGRATIONS: &[&str] = &[include_str!("schema/1.sql")];

/// Opens a database for writing, creates what is missing, and brings it up to date.
pub(super) fn open(path: &Path, durability: Durability) -> Result<Connection, StoreError> {
    let damaged = |error| explain(error, path);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_URI
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(damaged)?;
    prepare(&connection).map_err(damaged)?;
    let version = identify(&connection, path)?;
    let synchronous = if durability == Durability::PowerLoss { "FULL" } else { "NORMAL" };
    // `secure_delete` overwrites what is deleted with zeros: a customer's texts must not stay in free pages.
    let settings = format!(
        "PRAGMA journal_mode = WAL;
         PRAGMA synchronous = {synchronous};
         PRAGMA foreign_keys = ON;
         PRAGMA secure_delete = ON;
         PRAGMA journal_size_limit = 67108864;"
    );
    connection.execute_batch(&settings).map_err(damaged)?;
    if std::fs::metadata(path).is_ok_and(|file| (1..=CHECKED_BYTES).contains(&file.len())) {
        check(&connection, path)?;
    }
    for (number, migration) in (1_i64..).zip(MIGRATIONS) {
        if number > version {
            let script = format!(
                "BEGIN IMMEDIATE; {migration}
                 PRAGMA user_version = {number}; PRAGMA application_id = {APPLICATION}; COMMIT;"
            );
            connection.execute_batch(&script).map_err(damaged)?;
        }
    }
    Ok(connection)
}

/// Opens a database that [`open`] has prepared, for reading only.
pub(super) fn open_to_read(path: &Path) -> Result<Connection, StoreError> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(|error| explain(error, path))?;
    prepare(&connection)?;
    connection.execute_batch("PRAGMA query_only = ON; PRAGMA mmap_size = 268435456;")?;
    Ok(connection)
}

/// What every connection has.
fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(128);
    // SQLite's own `LIKE` folds the case of ASCII letters only, and gives `%` and `_` a meaning.
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    connection.create_scalar_function("holds", 2, flags, |context| {
        let text = context.get::<Option<String>>(0)?.unwrap_or_default();
        Ok(text.to_lowercase().contains(&context.get::<String>(1)?))
    })
}

/// The version of the database; 0 if it is empty.
fn identify(connection: &Connection, path: &Path) -> Result<i64, StoreError> {
    let number = |sql| connection.query_row(sql, (), |row| row.get::<_, i64>(0));
    let number = |sql| number(sql).map_err(|error| explain(error, path));
    let version = number("PRAGMA user_version")?;
    let is_ours = number("PRAGMA application_id")? == APPLICATION;
    let is_empty = number("SELECT count(*) FROM sqlite_schema")? == 0;
    let known = MIGRATIONS.len() as i64;
    match (is_ours, is_empty) {
        (false, false) => Err(StoreError::Foreign { path: path.to_path_buf() }),
        (true, _) if version > known => {
            Err(StoreError::Newer { path: path.to_path_buf(), found: version, known })
        }
        (true, _) => Ok(version),
        (false, true) => Ok(0),
    }
}

/// Reads the whole file and checks its structure.
fn check(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let found: String = connection
        .query_row("PRAGMA quick_check(1)", (), |row| row.get(0))
        .map_err(|error| explain(error, path))?;
    match found.as_str() {
        "ok" => Ok(()),
        _ => Err(StoreError::Damaged { path: path.to_path_buf(), reason: found.replace('\n', " ") }),
    }
}

/// Says which file an error of SQLite is about.
fn explain(error: rusqlite::Error, path: &Path) -> StoreError {
    let path = path.to_path_buf();
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            StoreError::Damaged { path, reason: error.to_string() }
        }
        Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
            StoreError::Open { path, source: std::io::Error::other(error) }
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::InUse { path },
        _ => StoreError::Sqlite(error),
    }
}
