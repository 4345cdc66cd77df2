//! A fingerprint of a checkpoint that does not take reading all of it.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use sha2::{Digest, Sha256};

use super::Checkpoint;
use crate::error::LlamaError;
use crate::files::safetensors::read_index;

/// Number of places in a file that are read.
const SAMPLES: u64 = 256;
/// Bytes at each place.
const SAMPLE: u64 = 4096;

impl Checkpoint {
    /// A digest of the lengths of its files and of 256 places in each, the first and the last among them.
    /// Models that differ in a part of their weights only, and there between those places, have the same.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub fn fingerprint(&self) -> Result<String, LlamaError> {
        let path = self.path();
        let is_index = path.extension() == Some(OsStr::new("json"));
        let mut digest = Sha256::new();
        match is_index {
            false => sample(path, &mut digest).map_err(LlamaError::io(path))?,
            true => {
                for name in read_index(path)?.into_values().collect::<BTreeSet<_>>() {
                    let path = path.with_file_name(name);
                    sample(&path, &mut digest).map_err(LlamaError::io(&path))?;
                }
            }
        }
        Ok(digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

fn sample(path: &Path, digest: &mut Sha256) -> io::Result<()> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    digest.update(length.to_le_bytes());
    let last = length.saturating_sub(SAMPLE);
    let mut bytes = Vec::new();
    for place in 0..SAMPLES {
        bytes.clear();
        file.seek(SeekFrom::Start((u128::from(last) * u128::from(place) / u128::from(SAMPLES - 1)) as u64))?;
        file.by_ref().take(SAMPLE).read_to_end(&mut bytes)?;
        digest.update(&bytes);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn length_and_contents_tell_files_apart() {
        let dir = tempfile::tempdir().unwrap();
        let digest = |bytes: &[u8]| {
            let path = dir.path().join("file");
            fs::write(&path, bytes).unwrap();
            let mut digest = Sha256::new();
            sample(&path, &mut digest).unwrap();
            digest.finalize()
        };
        let mut bytes = vec![7; 3_000_000];
        let whole = digest(&bytes);
        assert_eq!(whole, digest(&bytes));
        assert_ne!(whole, digest(&bytes[1..]));
        for place in [0, 4095, 2_999_999] {
            bytes[place] = 8;
            assert_ne!(whole, digest(&bytes), "{place}");
            bytes[place] = 7;
        }
        assert_ne!(digest(&[]), digest(&[1]));
    }
}
