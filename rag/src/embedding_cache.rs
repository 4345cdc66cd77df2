//! A cache of embeddings on disk: a text is embedded once by a model, however often it is indexed.
//!
//! The file only grows: a header that names the model, then records of a text's digest, its vector and their
//! checksum. A record that was cut off by a crash is found by its checksum and written over; what stands before
//! it is whole.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File, OpenOptions};
use std::io::{BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest, Sha256};

use crate::{Embedder, RagError};

/// First bytes of the file; the last one is the version of its form.
const MAGIC: &[u8; 8] = b"hrthemb1";
/// Bytes of a digest that stand for a text: two of a billion texts share them with a chance of 1e-21.
const KEY: usize = 16;
/// Bytes of a record's checksum.
const SUM: usize = 4;
/// Texts that are embedded before their vectors are written.
const BATCH: usize = 64;

/// Vectors by their texts' digests.
type Vectors = HashMap<[u8; KEY], Arc<[f32]>>;

/// An [`Embedder`] that remembers: the vectors are bit for bit those of the embedder inside.
pub struct CachedEmbedder {
    inner: Box<dyn Embedder>,
    memory: Mutex<Memory>,
}

#[derive(Default)]
struct Memory {
    vectors: Vectors,
    file: Option<File>,
}

impl CachedEmbedder {
    /// Remembers in memory only.
    pub fn in_memory(inner: Box<dyn Embedder>) -> Self {
        CachedEmbedder { inner, memory: Mutex::default() }
    }

    /// Remembers in the file `path`, which is made if it is not there. One of another model, or one that is
    /// no such file, begins anew. Where another process writes the file, this one reads it and remembers the rest
    /// in memory; so it goes on after a write that failed.
    ///
    /// # Errors
    /// If the file cannot be read or written.
    pub fn open(inner: Box<dyn Embedder>, path: &Path) -> Result<Self, RagError> {
        let io = || RagError::io(path);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(RagError::io(folder))?;
        }
        let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        let mut file = options.map_err(io())?;
        let header = header(inner.as_ref());
        // One process writes; others read what is there and remember the rest in memory.
        let writes = file.try_lock().is_ok();
        let (vectors, end) = read(&mut file, &header, inner.dim()).map_err(io())?;
        if !writes {
            let memory = Mutex::new(Memory { vectors, file: None });
            return Ok(CachedEmbedder { inner, memory });
        }
        if end == 0 {
            file.set_len(0).map_err(io())?;
            file.seek(SeekFrom::Start(0)).map_err(io())?;
            file.write_all(&header).map_err(io())?;
        } else {
            file.set_len(end).map_err(io())?; // without the record that was cut off
            file.seek(SeekFrom::Start(end)).map_err(io())?;
        }
        let memory = Mutex::new(Memory { vectors, file: Some(file) });
        Ok(CachedEmbedder { inner, memory })
    }

    /// Texts that are remembered.
    pub fn len(&self) -> usize {
        self.lock().vectors.len()
    }

    /// Whether no text is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Memory> {
        // Every record is written whole before the next lock: what a panicking thread left is consistent.
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remember(&self, keys: &[[u8; KEY]], vectors: &[Vec<f32>]) {
        let mut memory = self.lock();
        let mut records = Vec::new();
        for (key, vector) in keys.iter().zip(vectors) {
            records.extend(record(key, vector));
            memory.vectors.insert(*key, vector.as_slice().into());
        }
        // After a record that was not written whole none must follow: it would be lost at the next opening.
        if memory.file.as_mut().is_some_and(|file| file.write_all(&records).is_err()) {
            memory.file = None;
        }
    }
}

impl Embedder for CachedEmbedder {
    fn id(&self) -> &str {
        self.inner.id()
    }

    fn dim(&self) -> usize {
        self.inner.dim()
    }

    fn max_tokens(&self) -> usize {
        self.inner.max_tokens()
    }

    fn count_tokens(&self, text: &str) -> Result<usize, RagError> {
        self.inner.count_tokens(text)
    }

    fn embed_questions(&self, questions: &[&str]) -> Result<Vec<Vec<f32>>, RagError> {
        self.inner.embed_questions(questions)
    }

    fn embed_question(&self, question: &str) -> Result<Vec<f32>, RagError> {
        // What is remembered are passages.
        if !self.tells_questions_apart()
            && let Some(vector) = self.lock().vectors.get(&key(question))
        {
            return Ok(vector.to_vec());
        }
        self.inner.embed_question(question)
    }

    fn tells_questions_apart(&self) -> bool {
        self.inner.tells_questions_apart()
    }

    fn unrelated_cosine(&self) -> f32 {
        self.inner.unrelated_cosine()
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, RagError> {
        let keys: Vec<[u8; KEY]> = texts.iter().map(|text| key(text)).collect();
        let mut unknown: Vec<usize> = {
            let memory = self.lock();
            let mut asked = HashSet::new();
            let is_new =
                |index: &usize| !memory.vectors.contains_key(&keys[*index]) && asked.insert(keys[*index]);
            (0..texts.len()).filter(is_new).collect()
        };
        unknown.sort_by_key(|index| texts[*index].len()); // texts of like length share a batch
        for batch in unknown.chunks(BATCH) {
            let texts: Vec<&str> = batch.iter().map(|index| texts[*index]).collect();
            let keys: Vec<[u8; KEY]> = batch.iter().map(|index| keys[*index]).collect();
            let vectors = self.inner.embed(&texts)?;
            if vectors.len() != texts.len() || vectors.iter().any(|vector| vector.len() != self.dim()) {
                let reason = format!("gave {} vectors for {} texts", vectors.len(), texts.len());
                return Err(RagError::Embedding { embedder: self.id().to_string(), reason });
            }
            self.remember(&keys, &vectors);
        }
        let memory = self.lock();
        Ok(keys.iter().filter_map(|key| memory.vectors.get(key)).map(|vector| vector.to_vec()).collect())
    }
}

fn key(text: &str) -> [u8; KEY] {
    let digest = Sha256::digest(text.as_bytes());
    std::array::from_fn(|index| digest[index])
}

/// What a file of this embedder begins with.
fn header(embedder: &dyn Embedder) -> Vec<u8> {
    let mut header = MAGIC.to_vec();
    header.extend(Sha256::digest(embedder.id().as_bytes()));
    header.extend((embedder.dim() as u64).to_le_bytes());
    header
}

fn record(key: &[u8; KEY], vector: &[f32]) -> Vec<u8> {
    let mut record = key.to_vec();
    record.extend(vector.iter().flat_map(|x| x.to_le_bytes()));
    let sum = Sha256::digest(&record);
    record.extend(&sum[..SUM]);
    record
}

/// The records of a file and where the last whole one ends; 0 if the file is not one of this embedder.
fn read(file: &mut File, header: &[u8], dim: usize) -> std::io::Result<(Vectors, u64)> {
    let mut file = BufReader::new(file);
    let mut start = Vec::new();
    (&mut file).take(header.len() as u64).read_to_end(&mut start)?;
    let mut vectors = HashMap::new();
    if start != header {
        return Ok((vectors, 0));
    }
    let mut end = header.len() as u64;
    let mut record = vec![0; KEY + 4 * dim + SUM];
    loop {
        match file.read_exact(&mut record) {
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok((vectors, end)),
            read => read?,
        }
        let (body, sum) = record.split_at(record.len() - SUM);
        if sum != &Sha256::digest(body)[..SUM] {
            return Ok((vectors, end));
        }
        let (key, numbers) = body.split_at(KEY);
        let vector = numbers.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        vectors.insert(std::array::from_fn(|index| key[index]), vector);
        end += record.len() as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bag_of_words::{BagOfWords, Counting};

    /// A cache, and the embedder that it asks for what it does not know.
    fn open(path: &Path, id: &str) -> (CachedEmbedder, Arc<Counting>) {
        let inner = BagOfWords { id: id.into(), ..BagOfWords::default() };
        let counting = Arc::new(Counting { inner, ..Counting::default() });
        (CachedEmbedder::open(Box::new(counting.clone()), path).unwrap(), counting)
    }

    #[test]
    fn a_text_is_embedded_once_also_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deeper/embeddings");
        let texts = ["one", "two words", "one", "three more words"];
        let plain = BagOfWords::default().embed(&texts).unwrap();
        let (cache, asked) = open(&path, "a");
        assert_eq!(cache.embed(&texts).unwrap(), plain);
        assert_eq!(cache.len(), 3);
        drop(cache);
        let (cache, again) = open(&path, "a");
        assert_eq!(cache.embed(&texts).unwrap(), plain);
        assert_eq!((asked.embedded().len(), again.embedded().len()), (3, 0));
        cache.embed_question("a question").unwrap();
        assert_eq!(cache.len(), 3, "a question is not kept");
    }

    /// Gives questions another vector than passages.
    struct Apart(BagOfWords);

    impl Embedder for Apart {
        fn id(&self) -> &str {
            self.0.id()
        }
        fn dim(&self) -> usize {
            self.0.dim()
        }
        fn max_tokens(&self) -> usize {
            self.0.max_tokens()
        }
        fn count_tokens(&self, text: &str) -> Result<usize, RagError> {
            self.0.count_tokens(text)
        }
        fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, RagError> {
            self.0.embed(texts)
        }
        fn embed_questions(&self, questions: &[&str]) -> Result<Vec<Vec<f32>>, RagError> {
            let asked: Vec<String> = questions.iter().map(|question| format!("asked {question}")).collect();
            self.0.embed(&asked.iter().map(String::as_str).collect::<Vec<_>>())
        }
        fn tells_questions_apart(&self) -> bool {
            true
        }
    }

    #[test]
    fn a_passage_is_not_taken_for_the_question_of_the_same_words() {
        let cache = CachedEmbedder::in_memory(Box::new(Arc::new(Apart(BagOfWords::default()))));
        let passage = cache.embed(&["one"]).unwrap().remove(0);
        let question = cache.embed_question("one").unwrap();
        assert_ne!(question, passage);
        assert_eq!(question, BagOfWords::default().embed(&["asked one"]).unwrap().remove(0));
        assert_eq!(cache.embed(&["one"]).unwrap(), [passage]);
    }

    #[test]
    fn a_second_process_reads_and_does_not_write() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("embeddings");
        let (first, _) = open(&path, "a");
        first.embed(&["one"]).unwrap();
        let before = fs::read(&path).unwrap();
        let (second, asked) = open(&path, "a");
        second.embed(&["one", "two"]).unwrap();
        assert_eq!((second.len(), asked.embedded().len()), (2, 1));
        assert_eq!(fs::read(&path).unwrap(), before);
    }

    #[test]
    fn what_another_model_wrote_and_what_was_cut_off_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("embeddings");
        let (cache, _) = open(&path, "a");
        cache.embed(&["one"]).unwrap();
        cache.embed(&["two"]).unwrap();
        drop(cache);
        let whole = fs::read(&path).unwrap();
        for cut in [1, 100, KEY + SUM + 4 * 512] {
            fs::write(&path, &whole[..whole.len() - cut]).unwrap();
            let (cache, asked) = open(&path, "a");
            cache.embed(&["one", "two"]).unwrap();
            assert_eq!(asked.embedded().len(), 1, "only the second");
            drop(cache);
            assert_eq!(fs::read(&path).unwrap(), whole);
        }
        let mut damaged = whole.clone();
        damaged[60 + KEY] ^= 1;
        fs::write(&path, &damaged).unwrap();
        assert_eq!(open(&path, "a").0.len(), 0);
        fs::write(&path, &whole).unwrap();
        assert_eq!(open(&path, "b").0.len(), 0);
        fs::write(&path, b"something else").unwrap();
        assert_eq!(open(&path, "a").0.len(), 0);
    }
}
