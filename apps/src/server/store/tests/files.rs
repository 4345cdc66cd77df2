//! Files that cannot be opened, and disks that fail.

use std::fs;

use super::ask;
use crate::store::*;

fn folder() -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    (folder, path)
}

fn refused(path: &std::path::Path) -> StoreError {
    Store::open(path).err().expect("the file cannot be opened")
}

#[tokio::test]
async fn what_was_stored_is_there_after_a_restart() {
    let (_folder, path) = folder();
    let store = Store::open(&path).unwrap();
    let (turn, _) = ask(&store, SessionOf::New, "x", "answered").await;
    let open = store.begin(NewTurn::default()).await.unwrap();
    let id = open.id().to_string();
    std::mem::forget(open); // as if the process had ended; the store is never dropped, so take its lock away
    fs::remove_file(path.with_file_name("store.db.lock")).unwrap();
    let again = Store::open(&path).unwrap();
    assert_eq!(again.turn(&turn).await.unwrap().state, TurnState::Done);
    assert_eq!(again.turn(&id).await.unwrap().state, TurnState::Abandoned);
}

#[test]
fn a_second_opening_is_refused() {
    let (_folder, path) = folder();
    let store = Store::open(&path).unwrap();
    assert!(matches!(refused(&path), StoreError::InUse { .. }));
    assert!(refused(&path).to_string().contains("another process"));
    drop(store);
    assert!(Store::open(&path).is_ok());
}

#[tokio::test]
async fn a_damaged_file_says_so() {
    let (_folder, path) = folder();
    fs::write(
        &path,
        b"this is no database, but a text that is long enough for a header of one....... ".repeat(9),
    )
    .unwrap();
    let error = refused(&path);
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    assert!(error.to_string().contains("store.db is damaged"), "{error}");
    fs::remove_file(&path).unwrap();
    let store = Store::open(&path).unwrap();
    for number in 0..200 {
        ask(&store, SessionOf::New, &format!("{number} {}", "x".repeat(500)), "answered").await;
    }
    drop(store);
    let whole = fs::read(&path).unwrap();
    let mut torn = whole.clone();
    for page in torn.chunks_mut(4096).skip(3).step_by(2) {
        page.fill(0xA5);
    }
    fs::write(&path, torn).unwrap();
    let error = refused(&path);
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    assert!(matches!(refused(&path), StoreError::Damaged { .. }));
}

#[test]
fn files_of_newer_versions_and_other_programs_are_left_alone() {
    let (_folder, path) = folder();
    drop(Store::open(&path).unwrap());
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.execute_batch("PRAGMA user_version = 99").unwrap();
    drop(connection);
    let error = refused(&path);
    assert!(error.to_string().contains("schema version 99"), "{error}");
    fs::remove_file(&path).unwrap();
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.execute_batch("CREATE TABLE theirs (x)").unwrap();
    drop(connection);
    assert!(matches!(refused(&path), StoreError::Foreign { .. }));
}

#[test]
fn a_path_that_cannot_be_is_an_error() {
    let (folder, _) = folder();
    let error = refused(&folder.path().join("no/such/folder/store.db"));
    assert!(matches!(error, StoreError::Open { .. }), "{error}");
    fs::create_dir(folder.path().join("folder.db")).unwrap();
    assert!(matches!(refused(&folder.path().join("folder.db")), StoreError::Open { .. }));
}

#[tokio::test]
async fn a_full_disk_is_an_error_to_the_caller_and_what_was_there_stays() {
    let (_folder, path) = folder();
    let store = Store::open(&path).unwrap();
    let (turn, session) = ask(&store, SessionOf::New, "x", "answered").await;
    let limit = |connection: &rusqlite::Connection, pages: &str| {
        Ok(connection.execute_batch(&format!("PRAGMA max_page_count = {pages}"))?)
    };
    store.write(move |connection| limit(connection, "1")).await.unwrap(); // SQLite takes the present size for less
    let open = store.begin(NewTurn { question: "q".repeat(1 << 20), ..NewTurn::default() }).await;
    assert!(open.is_err());
    let remark = Feedback { rating: Rating::Up, correction: None, remark: Some("r".repeat(1 << 20)) };
    let error = store.rate(&turn, remark.clone()).await.unwrap_err();
    assert!(error.to_string().contains("full"), "{error}");
    store.write(move |connection| limit(connection, "1000000")).await.unwrap();
    store.rate(&turn, remark).await.unwrap();
    assert_eq!(store.turn(&turn).await.unwrap().state, TurnState::Done);
    assert_eq!(store.conversation(&session).await.unwrap().messages.len(), 2);
}

#[tokio::test]
async fn one_write_that_fails_does_not_undo_its_neighbours() {
    let store = Store::in_memory().unwrap();
    let ask = |session| store.begin(NewTurn { session, ..NewTurn::default() });
    let results = futures_util::future::join_all((0..64).map(|number| {
        ask(if number % 2 == 0 { SessionOf::New } else { SessionOf::Existing("none".into()) })
    }))
    .await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 32);
}
