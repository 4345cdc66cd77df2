//! Likeness of messages by their vectors, and the cache of the examples' vectors.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::embedder::likeness;
use crate::{Embedder, RagError};

/// How far from 1 a cached vector's length may be: rounding, not damage.
const UNIT: f32 = 1e-3;

/// The vectors of some texts, one after the other.
#[derive(Debug, Clone)]
pub(super) struct Vectors {
    dim: usize,
    values: Vec<f32>, // [texts, dim]
    /// The embedder's cosine of unrelated texts.
    unrelated: f32,
}

impl Vectors {
    /// Embeds `texts` as questions, or reads their vectors from `cache`: a folder in which a file is kept for each embedder
    /// and list of texts.
    ///
    /// # Errors
    /// If a text cannot be embedded, or the cache not written. A cached file that is damaged is made anew.
    pub fn of(texts: &[&str], embedder: &dyn Embedder, cache: Option<&Path>) -> Result<Self, RagError> {
        let (dim, unrelated) = (embedder.dim(), embedder.unrelated_cosine());
        let path = cache.map(|folder| folder.join(file_name(texts, embedder)));
        if let Some(values) = path.as_ref().and_then(|path| read(path, texts.len(), dim)) {
            return Ok(Vectors { dim, values, unrelated });
        }
        let values = embedder.embed_questions(texts)?.concat();
        if values.len() != texts.len() * dim {
            let reason = format!("{} numbers for {} texts of {dim}", values.len(), texts.len());
            return Err(RagError::Embedding { embedder: embedder.id().into(), reason });
        }
        if let Some(path) = path {
            write(&path, &values)?;
        }
        Ok(Vectors { dim, values, unrelated })
    }

    /// The likeness of a question's `vector` and each text, in their order: the cosine, or where unrelated texts
    /// have one, what is above it. None if its length is another.
    pub fn likeness<'a>(&'a self, vector: &'a [f32]) -> impl Iterator<Item = f32> + 'a {
        let comparable = self.dim > 0 && vector.len() == self.dim;
        let values = if comparable { self.values.as_slice() } else { &[] };
        let cosine = move |text: &[f32]| text.iter().zip(vector).map(|(a, b)| a * b).sum();
        values.chunks_exact(self.dim.max(1)).map(move |text| likeness(cosine(text), self.unrelated))
    }
}

/// Names the embedder and the texts by their hash.
fn file_name(texts: &[&str], embedder: &dyn Embedder) -> PathBuf {
    let mut hash = Sha256::new();
    for part in std::iter::once(embedder.id()).chain(texts.iter().copied()) {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let hex: String = hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("intents-{hex}.f32").into()
}

/// The vectors of a file; `None` if it is not there or not what [`write`] wrote.
fn read(path: &Path, texts: usize, dim: usize) -> Option<Vec<f32>> {
    let bytes = fs::read(path).ok()?;
    let (numbers, rest) = bytes.as_chunks::<4>();
    let values: Vec<f32> = numbers.iter().map(|number| f32::from_le_bytes(*number)).collect();
    let is_unit = |vector: &[f32]| (vector.iter().map(|x| x * x).sum::<f32>().sqrt() - 1.0).abs() < UNIT;
    let whole = rest.is_empty() && values.len() == texts * dim;
    (whole && values.chunks(dim.max(1)).all(is_unit)).then_some(values)
}

/// Writes beside `path` and renames, so that a reader never sees half a file.
fn write(path: &Path, values: &[f32]) -> Result<(), RagError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(RagError::io(folder))?;
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(RagError::io(folder))?;
    file.write_all(&bytes).map_err(RagError::io(path))?;
    file.persist(path).map_err(|error| RagError::io(path)(error.error))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::bag_of_words::BagOfWords;

    /// Counts the texts that it embeds.
    #[derive(Default)]
    struct Counting {
        words: BagOfWords,
        embedded: AtomicUsize,
    }

    impl Embedder for Counting {
        fn id(&self) -> &str {
            self.words.id()
        }
        fn dim(&self) -> usize {
            self.words.dim()
        }
        fn max_tokens(&self) -> usize {
            self.words.max_tokens()
        }
        fn count_tokens(&self, text: &str) -> Result<usize, RagError> {
            self.words.count_tokens(text)
        }
        fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, RagError> {
            self.embedded.fetch_add(texts.len(), Ordering::Relaxed);
            self.words.embed(texts)
        }
    }

    #[test]
    fn texts_are_embedded_once_for_each_embedder_and_list() {
        let folder = tempfile::tempdir().unwrap();
        let cache = folder.path().join("cache");
        let mut embedder = Counting::default();
        let texts = ["hi there", "bye"];
        let fresh = Vectors::of(&texts, &embedder, Some(&cache)).unwrap();
        let cached = Vectors::of(&texts, &embedder, Some(&cache)).unwrap();
        assert_eq!(embedder.embedded.load(Ordering::Relaxed), 2);
        assert_eq!(fresh.values, cached.values);

        Vectors::of(&texts[..1], &embedder, Some(&cache)).unwrap();
        embedder.words.id = "another".into();
        Vectors::of(&texts, &embedder, Some(&cache)).unwrap();
        assert_eq!(embedder.embedded.load(Ordering::Relaxed), 5);
    }

    #[test]
    fn a_damaged_cache_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let embedder = Counting::default();
        let texts = ["hi there", "bye"];
        let path = folder.path().join(file_name(&texts, &embedder));
        let good = Vectors::of(&texts, &embedder, Some(folder.path())).unwrap().values;
        let bytes = fs::read(&path).unwrap();
        let zeros = vec![0; bytes.len()];
        for damaged in [&bytes[..bytes.len() - 4], &bytes[..bytes.len() - 1], &zeros[..], &[]] {
            fs::write(&path, damaged).unwrap();
            assert_eq!(Vectors::of(&texts, &embedder, Some(folder.path())).unwrap().values, good);
            assert_eq!(fs::read(&path).unwrap(), bytes);
        }
    }

    #[test]
    fn likeness_is_the_cosine() {
        let embedder = BagOfWords::default();
        let vectors = Vectors::of(&["hi there", "bye"], &embedder, None).unwrap();
        let question = embedder.embed(&["bye"]).unwrap().remove(0);
        let likeness: Vec<f32> = vectors.likeness(&question).collect();
        assert!(likeness[0] < 0.1 && likeness[1] > 0.999, "{likeness:?}");
        assert_eq!(vectors.likeness(&question[1..]).count(), 0);
    }
}
