//! Reads formats whose readers may fail badly in a process of its own, with an end to its time and memory.
//!
//! A PDF is a program for a small machine, a workbook a zip archive: files of a few kilobytes can make their readers
//! loop, overflow their stack or fill the memory, and none of these can be caught within a process. So the program
//! starts itself once more, has the file read there, and takes back a text or a reason. A program does so if it calls
//! [`serve_reader`] first thing; in others a thread reads, of which only a panic and the time are limited.

use std::env;
use std::fs;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// Name of the variable that tells a process what to read.
const KIND: &str = "HEARTH_READER";
/// Name of the variable that tells it the file to write to.
const OUTPUT: &str = "HEARTH_READER_OUTPUT";

/// Longest that a file is read for. A PDF of 1,000 pages takes a few seconds.
const TIME: Duration = Duration::from_secs(60);

/// Most memory of a reading process, in bytes.
const MEMORY: u64 = 2 << 30;

/// Stack of the thread that reads: both readers call themselves for what is nested.
const STACK: usize = 64 << 20;

/// Whether this program calls [`serve_reader`].
static SERVES: AtomicBool = AtomicBool::new(false);

/// What is read apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Pdf,
    Xlsx,
}

impl Kind {
    const ALL: [Kind; 2] = [Kind::Pdf, Kind::Xlsx];

    fn name(self) -> &'static str {
        match self {
            Kind::Pdf => "PDF",
            Kind::Xlsx => "XLSX",
        }
    }

    fn read(self, bytes: &[u8]) -> Result<String, String> {
        match self {
            #[cfg(feature = "pdf")]
            Kind::Pdf => super::pdf::text(bytes),
            #[cfg(feature = "xlsx")]
            Kind::Xlsx => super::xlsx::markdown(bytes),
            #[allow(unreachable_patterns)]
            _ => Err("is of a kind that this build does not read".into()),
        }
    }
}

/// To be called first thing in `main`, so that files of risky formats are read in a process of their own: where this
/// process was started to read one, it does so and ends.
///
/// ```no_run
/// rag::serve_reader();
/// // … what the program does
/// ```
pub fn serve_reader() {
    let wanted = env::var(KIND).ok();
    let Some(kind) = wanted.and_then(|wanted| Kind::ALL.into_iter().find(|kind| kind.name() == wanted))
    else {
        SERVES.store(true, Ordering::Relaxed);
        return;
    };
    limit_memory();
    let mut bytes = Vec::new();
    let read = match std::io::stdin().read_to_end(&mut bytes) {
        Ok(_) => on_a_thread(kind, bytes, TIME),
        Err(error) => Err(format!("cannot be read: {error}")),
    };
    let output = env::var_os(OUTPUT).unwrap_or_default();
    let written = serde_json::to_vec(&read).map(|read| fs::write(output, read));
    std::process::exit(i32::from(!matches!(written, Ok(Ok(())))));
}

#[cfg(unix)]
fn limit_memory() {
    use rustix::process::{Resource, Rlimit, setrlimit};
    // Where there is no such limit, the one of time is left.
    let _ = setrlimit(Resource::As, Rlimit { current: Some(MEMORY), maximum: Some(MEMORY) });
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
}

#[cfg(not(unix))]
fn limit_memory() {}

/// The text of a file, or why there is none.
pub(super) fn read(kind: Kind, bytes: Vec<u8>) -> Result<String, String> {
    match env::current_exe() {
        Ok(program) if SERVES.load(Ordering::Relaxed) => {
            in_a_process(Command::new(program), kind, &bytes, TIME)
        }
        _ => on_a_thread(kind, bytes, TIME),
    }
}

fn in_a_process(mut command: Command, kind: Kind, bytes: &[u8], time: Duration) -> Result<String, String> {
    let failed = |error: std::io::Error| format!("cannot be read: {error}");
    let mut input = tempfile::tempfile().map_err(failed)?;
    input.write_all(bytes).and_then(|()| input.seek(SeekFrom::Start(0))).map_err(failed)?;
    // Not its standard output, which a reader may print to.
    let output = tempfile::NamedTempFile::new().map_err(failed)?;
    command.env(KIND, kind.name()).env(OUTPUT, output.path());
    command.stdin(Stdio::from(input)).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(failed)?;
    let start = Instant::now();
    let mut pause = Duration::from_millis(1);
    let ended = loop {
        match child.try_wait() {
            Ok(Some(status)) => break Ok(status),
            Ok(None) if start.elapsed() < time => thread::sleep(pause),
            Ok(None) => break Err(too_long(kind, time)),
            Err(error) => break Err(failed(error)),
        }
        pause = (pause * 2).min(Duration::from_millis(50));
    };
    if ended.is_err() {
        let _ = child.kill();
        let _ = child.wait();
    }
    match ended? {
        status if status.success() => result(output.path()),
        _ => Err(format!(
            "cannot be read as {}: its reader failed, or needed more than {} GB",
            kind.name(),
            MEMORY >> 30
        )),
    }
}

fn result(output: &Path) -> Result<String, String> {
    let result = fs::read(output).map_err(|error| error.to_string());
    let result = result.and_then(|json| serde_json::from_slice(&json).map_err(|error| error.to_string()));
    result.unwrap_or_else(|error| Err(format!("cannot be read: its reader gave no text: {error}")))
}

fn on_a_thread(kind: Kind, bytes: Vec<u8>, time: Duration) -> Result<String, String> {
    let (sender, receiver) = mpsc::sync_channel(1);
    let read = move || {
        // The receiver may have stopped waiting.
        let _ = sender.send(kind.read(&bytes));
    };
    let thread = thread::Builder::new().name(kind.name().into()).stack_size(STACK).spawn(read);
    thread.map_err(|error| format!("has no thread to be read on: {error}"))?;
    match receiver.recv_timeout(time) {
        Ok(read) => read,
        Err(mpsc::RecvTimeoutError::Timeout) => Err(too_long(kind, time)),
        // It panicked, and dropped the sender.
        Err(mpsc::RecvTimeoutError::Disconnected) => {
            Err(format!("cannot be read as {}: its reader failed", kind.name()))
        }
    }
}

fn too_long(kind: Kind, time: Duration) -> String {
    format!("takes more than {time:?} to be read as {}", kind.name())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    /// Not a test of its own: the process that the others start.
    #[test]
    fn a_process_that_reads() {
        match env::var("HEARTH_TEST_READER").as_deref() {
            Ok("reads") => serve_reader(),
            Ok("loops") => thread::sleep(Duration::from_secs(600)),
            Ok("fills") => {
                limit_memory();
                let mut kept: Vec<Vec<u8>> = Vec::new();
                loop {
                    kept.push(vec![1; 64 << 20]);
                }
            }
            _ => {}
        }
    }

    fn read_by(what: &str, bytes: &[u8], time: Duration) -> Result<String, String> {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["--exact", "read::apart::tests::a_process_that_reads"]).env("HEARTH_TEST_READER", what);
        in_a_process(command, Kind::Pdf, bytes, time)
    }

    #[test]
    #[cfg(feature = "pdf")]
    fn a_process_gives_back_a_text_or_a_reason() {
        let pdf = super::super::pdf::tests::document(&["Returns take thirty days."]);
        assert_eq!(read_by("reads", &pdf, TIME).unwrap().trim(), "Returns take thirty days.");
        let error = read_by("reads", b"%PDF-1.4 broken", TIME).unwrap_err();
        assert!(error.contains("cannot be read as PDF"), "{error}");
    }

    #[test]
    fn a_process_that_loops_or_fills_the_memory_is_ended() {
        let start = Instant::now();
        let error = read_by("loops", b"", Duration::from_millis(300)).unwrap_err();
        assert_eq!(error, "takes more than 300ms to be read as PDF");
        let error = read_by("fills", b"", TIME).unwrap_err();
        assert!(error.contains("needed more than 2 GB"), "{error}");
        assert!(start.elapsed() < Duration::from_secs(40), "{:?}", start.elapsed());
    }
}
