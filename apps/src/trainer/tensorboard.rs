//! TensorBoard's event files: records of TFRecord framing that hold `Event` messages of Protocol
//! Buffers.
//!
//! The messages are four small ones of tensorflow/core/util/event.proto and framework/summary.proto;
//! no maintained crate writes them.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use crc32c::crc32c;

/// The folder of event files in the run's folder; transformers' name.
const FOLDER: &str = "runs";
/// What TensorBoard looks for in a file's name.
const PREFIX: &str = "events.out.tfevents.";

/// An event file, open for appending.
pub struct EventFile {
    path: PathBuf,
    file: File,
}

impl EventFile {
    /// Makes a file in place of an earlier run's.
    pub fn create(output: &Path) -> Result<Self> {
        let folder = output.join(FOLDER);
        let context = || folder.display().to_string();
        fs::create_dir_all(&folder).with_context(context)?;
        for entry in fs::read_dir(&folder).with_context(context)? {
            let entry = entry.with_context(context)?;
            if entry.file_name().to_string_lossy().starts_with(PREFIX) {
                fs::remove_file(entry.path()).with_context(context)?;
            }
        }
        Self::open(&folder)
    }

    /// Makes a file beside those of a run that goes on after step `step`; TensorBoard then forgets what it
    /// had of later steps.
    pub fn resume(output: &Path, step: u64) -> Result<Self> {
        let folder = output.join(FOLDER);
        fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        let mut events = Self::open(&folder)?;
        const START: u64 = 1;
        events.write(&event(step + 1, 7, &field_varint(1, START)))?; // session_log { status }
        Ok(events)
    }

    fn open(folder: &Path) -> Result<Self> {
        let seconds = since_epoch().as_secs();
        let path = folder.join(format!("{PREFIX}{seconds}.{}", process::id()));
        let file = File::create(&path).with_context(|| path.display().to_string())?;
        let mut events = Self { path, file };
        events.write(&event(0, 3, b"brain.Event:2"))?; // file_version
        Ok(events)
    }

    /// Adds the value of `tag` at a step.
    pub fn scalar(&mut self, step: u64, tag: &str, value: f64) -> Result<()> {
        let mut summary = field_bytes(1, tag.as_bytes()); // Value { tag, simple_value }
        summary.push(2 << 3 | 5);
        summary.extend((value as f32).to_le_bytes());
        self.write(&event(step, 5, &field_bytes(1, &summary))) // Summary { value }
    }

    fn write(&mut self, event: &[u8]) -> Result<()> {
        self.file.write_all(&record(event)).with_context(|| self.path.display().to_string())
    }
}

/// `Event { wall_time, step, what }` with the field `what` as it is numbered.
fn event(step: u64, what: u8, message: &[u8]) -> Vec<u8> {
    let mut event = vec![1 << 3 | 1];
    event.extend(since_epoch().as_secs_f64().to_le_bytes());
    event.extend(field_varint(2, step));
    event.extend(field_bytes(what, message));
    event
}

fn field_varint(number: u8, value: u64) -> Vec<u8> {
    let mut field = vec![number << 3];
    varint(value, &mut field);
    field
}

fn field_bytes(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut field = vec![number << 3 | 2];
    varint(bytes.len() as u64, &mut field);
    field.extend(bytes);
    field
}

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Length, its checksum, data, their checksum.
fn record(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    [&length[..], &checksum(&length), data, &checksum(data)].concat()
}

/// TFRecord's masked CRC-32C.
fn checksum(bytes: &[u8]) -> [u8; 4] {
    crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

fn since_epoch() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first record of a file that TensorFlow wrote: `Event { wall_time: 0, file_version }`, with the
    /// step left out.
    #[test]
    fn records_are_tensorflows() {
        let mut event = vec![1 << 3 | 1];
        event.extend([0; 8]);
        event.extend(field_bytes(3, b"brain.Event:2"));
        let record = record(&event);
        assert_eq!(record.len(), 8 + 4 + 24 + 4);
        assert_eq!(record[..8], 24u64.to_le_bytes());
        assert_eq!(record[8..12], [0xa3, 0x7f, 0x4b, 0x22], "the checksum in every such file");
        assert_eq!(record[12..21], [9, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(&record[21..36], b"\x1a\x0dbrain.Event:2");
    }

    #[test]
    fn long_lengths_take_more_bytes() {
        let mut bytes = Vec::new();
        varint(300, &mut bytes);
        varint(127, &mut bytes);
        assert_eq!(bytes, [0xac, 0x02, 0x7f]);
    }

    #[test]
    fn a_resumed_run_has_a_file_more_and_a_new_one_takes_their_place() {
        let dir = tempfile::tempdir().unwrap();
        let count = || fs::read_dir(dir.path().join(FOLDER)).unwrap().count();
        let mut first = EventFile::create(dir.path()).unwrap();
        first.scalar(1, "train/loss", 2.5).unwrap();
        fs::rename(&first.path, first.path.with_extension("1")).unwrap(); // another process's number
        EventFile::resume(dir.path(), 1).unwrap();
        assert_eq!(count(), 2);
        EventFile::create(dir.path()).unwrap();
        assert_eq!(count(), 1);
    }
}
