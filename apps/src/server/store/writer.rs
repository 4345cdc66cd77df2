//! The one thread that writes, and commits in groups all that waits.

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread::JoinHandle;

use rusqlite::Connection;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::error::StoreError;

/// Most jobs in one transaction: the first one waits for the last.
const GROUP: usize = 256;

/// Tells a caller how its job ended: with the reason if the commit failed.
type Settle = Box<dyn FnOnce(Option<String>) + Send>;

/// Runs a job on the connection, or tells it why there is none.
type Run = Box<dyn FnOnce(Result<&Connection, String>) -> (bool, Settle) + Send>;

/// A write. It returns whether its changes are to be kept.
struct Job {
    ///
    /// Given a reason in place of a connection, it only tells the caller.
    run: Run,
    /// Whether no copy of what the job deletes may stay in the write-ahead log.
    erases: bool,
    /// The job's place in the queue; a turn's last word needs none.
    _place: Option<OwnedSemaphorePermit>,
}

/// A handle on the writing thread, which ends when it is dropped and all jobs are done.
pub(super) struct Writer {
    /// `None` only while the writer is dropped.
    jobs: Option<UnboundedSender<Job>>,
    places: Arc<Semaphore>,
    thread: Option<JoinHandle<()>>,
}

/// A place in the queue. What is sent with it is sent at once, without waiting.
pub(super) struct Place(OwnedSemaphorePermit);

impl Writer {
    pub(super) fn start(connection: Connection, queue: usize) -> Result<Self, StoreError> {
        let (sender, receiver) = unbounded_channel();
        let thread = std::thread::Builder::new()
            .name("store".into())
            .spawn(move || run(&connection, receiver))
            .map_err(|source| StoreError::Open { path: "the store's thread".into(), source })?;
        let places = Arc::new(Semaphore::new(queue.max(1)));
        Ok(Self { jobs: Some(sender), places, thread: Some(thread) })
    }

    /// Waits for a place in the queue.
    pub(super) async fn place(&self) -> Result<Place, StoreError> {
        self.places.clone().acquire_owned().await.map(Place).map_err(|_| StoreError::Closed)
    }

    /// Runs `job`, commits, calls `committed` on the writer's thread, and returns.
    ///
    /// When the returned future is dropped, the job is done nevertheless.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
        committed: impl FnOnce(&T) + Send + 'static,
    ) -> Result<T, StoreError> {
        let place = self.place().await?;
        self.send(Some(place), false, job, committed).await.map_err(|_| StoreError::Closed)?
    }

    /// Like [`Writer::write`], for deletions that must leave no trace.
    pub(super) async fn erase<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let place = self.place().await?;
        self.send(Some(place), true, job, |_| {}).await.map_err(|_| StoreError::Closed)?
    }

    /// Queues a job at once. Without a place, whoever calls has to bound how many there are.
    pub(super) fn send<T: Send + 'static>(
        &self,
        place: Option<Place>,
        erases: bool,
        job: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
        committed: impl FnOnce(&T) + Send + 'static,
    ) -> oneshot::Receiver<Result<T, StoreError>> {
        let (sender, receiver) = oneshot::channel();
        let run = Box::new(move |connection: Result<&Connection, String>| {
            let result = connection.map_err(StoreError::Commit).and_then(job);
            let keep = result.is_ok();
            let settle: Settle = Box::new(move |failure| {
                let result = match (failure, result) {
                    (Some(reason), Ok(_)) => Err(StoreError::Commit(reason)),
                    (_, result) => result,
                };
                if let Ok(value) = &result {
                    committed(value);
                }
                sender.send(result).ok(); // the caller may have gone
            });
            (keep, settle)
        });
        let job = Job { run, erases, _place: place.map(|place| place.0) };
        if let Some(jobs) = &self.jobs {
            jobs.send(job).ok(); // a thread that is gone drops the answer's sender, which the caller sees
        }
        receiver
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != std::thread::current().id()
            && thread.join().is_err()
        {
            tracing::error!("the store's thread panicked");
        }
    }
}

fn run(connection: &Connection, mut jobs: UnboundedReceiver<Job>) {
    let mut received = Vec::with_capacity(GROUP);
    while jobs.blocking_recv_many(&mut received, GROUP) > 0 {
        let mut group: VecDeque<Job> = received.drain(..).collect();
        let mut settles = Vec::with_capacity(group.len());
        let failure = transaction(connection, &mut group, &mut settles).err().map(|error| error.to_string());
        for job in group.drain(..) {
            // The transaction failed before their turn.
            settles.push((job.erases, (job.run)(Err(failure.clone().unwrap_or_default())).1));
        }
        let erases = failure.is_none() && settles.iter().any(|(erases, _)| *erases);
        let left = erases.then(|| erase(connection).err()).flatten();
        for (erases, settle) in settles {
            settle(if erases { failure.clone().or_else(|| left.clone()) } else { failure.clone() });
        }
    }
    // The log is empty when the file is closed; a failure leaves it for the next start to read.
    connection.execute_batch("PRAGMA optimize; PRAGMA wal_checkpoint(TRUNCATE);").ok();
}

/// Runs all jobs of a group and commits. A job that fails is undone alone.
fn transaction(
    connection: &Connection,
    group: &mut VecDeque<Job>,
    settles: &mut Vec<(bool, Settle)>,
) -> rusqlite::Result<()> {
    let result = (|| {
        connection.execute_batch("BEGIN IMMEDIATE")?;
        while let Some(job) = group.pop_front() {
            connection.prepare_cached("SAVEPOINT job")?.execute(())?;
            let (keep, settle) = (job.run)(Ok(connection));
            settles.push((job.erases, settle));
            if !keep {
                connection.execute_batch("ROLLBACK TO job")?;
            }
            connection.prepare_cached("RELEASE job")?.execute(())?;
        }
        connection.execute_batch("COMMIT")
    })();
    if result.is_err() && !connection.is_autocommit() {
        connection.execute_batch("ROLLBACK").ok(); // the first error is the one to tell
    }
    result
}

/// Moves the write-ahead log into the file and empties it, so that no copy of what was deleted stays there.
fn erase(connection: &Connection) -> Result<(), String> {
    let busy: Result<bool, _> = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |row| row.get(0));
    match busy {
        Ok(false) => Ok(()),
        Ok(true) => Err("deleted, but a long read kept the log from being emptied; delete again".into()),
        Err(error) => Err(format!("deleted, but the log could not be emptied: {error}")),
    }
}
