//! The units of passages with their vectors, kept from question to question.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest, Sha256};

use super::offered::Offered;
use crate::{Embedder, Hit, RagError, Unit, UnitKind, units};

/// Passages whose units are kept, at most. With more, those that were asked for the longest ago go: they are made
/// again when a question needs them.
const MOST: usize = 50_000;

/// Share of the passages that goes at a time.
const EVICTED: usize = 16;

/// A unit of a passage, as it is compared with questions.
#[derive(Debug)]
pub(crate) struct StoredUnit {
    /// As it can be read alone.
    pub text: String,
    /// Where it lies in the passage, in bytes.
    pub range: std::ops::Range<usize>,
    /// The title and the headings that it stands under: `Delivery › Express`.
    pub path: String,
    pub kind: UnitKind,
    /// Vector of the text alone.
    pub bare: Vec<f32>,
    /// Vector of the text under its title and headings.
    pub titled: Vec<f32>,
    pub offered: Offered,
}

impl StoredUnit {
    /// The text under its title and headings, as it is embedded and read.
    pub fn titled_text(&self) -> String {
        under(&self.path, &self.text)
    }
}

/// Digest of all that a passage's units are made of: its title, headings and text.
type Key = [u8; 32];

/// Units by the passage they are of.
pub(super) struct UnitStore {
    memory: Mutex<Memory>,
    most: usize,
}

#[derive(Default)]
struct Memory {
    kept: HashMap<Key, Kept>,
    /// The passages of each document that has been prepared.
    documents: HashMap<String, Vec<Key>>,
    /// In how many documents a passage stands.
    owners: HashMap<Key, usize>,
    /// Counts the questions.
    now: u64,
}

struct Kept {
    units: Arc<[StoredUnit]>,
    /// The last question that asked for it.
    asked: u64,
}

impl Default for UnitStore {
    fn default() -> Self {
        UnitStore { memory: Mutex::default(), most: MOST }
    }
}

impl UnitStore {
    /// The units of each hit's passage.
    ///
    /// # Errors
    /// If one cannot be embedded.
    pub fn of(&self, hits: &[Hit], embedder: &dyn Embedder) -> Result<Vec<Arc<[StoredUnit]>>, RagError> {
        let keys: Vec<Key> = hits.iter().map(key).collect();
        let mut found = self.lock().find(&keys);
        let missing: Vec<usize> = (0..hits.len()).filter(|at| matches!(found.get(*at), Some(None))).collect();
        if !missing.is_empty() {
            let new: Vec<&Hit> = missing.iter().filter_map(|at| hits.get(*at)).collect();
            let made = make(&new, embedder)?;
            let mut memory = self.lock();
            for (at, units) in missing.into_iter().zip(made) {
                if let Some((found, key)) = found.get_mut(at).zip(keys.get(at)) {
                    memory.keep(*key, units.clone());
                    *found = Some(units);
                }
            }
            memory.evict(self.most);
        }
        Ok(found.into_iter().map(Option::unwrap_or_default).collect())
    }

    /// Makes the units of the passages of `document`, as far as there is room, and lets go of those that it had.
    ///
    /// # Errors
    /// If one cannot be embedded.
    pub fn prepare(&self, document: &str, hits: &[Hit], embedder: &dyn Embedder) -> Result<(), RagError> {
        let has_room = {
            let mut memory = self.lock();
            memory.own(document, hits.iter().map(key).collect());
            memory.kept.len() + hits.len() <= self.most
        };
        if has_room { self.of(hits, embedder).map(drop) } else { Ok(()) }
    }

    /// Lets go of the units that stand in no other document.
    pub fn forget(&self, document: &str) {
        self.lock().own(document, Vec::new());
    }

    /// Passages whose units are kept.
    pub fn len(&self) -> usize {
        self.lock().kept.len()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Memory {
    fn find(&mut self, keys: &[Key]) -> Vec<Option<Arc<[StoredUnit]>>> {
        self.now += 1;
        let now = self.now;
        let mut find = |key: &Key| {
            let kept = self.kept.get_mut(key)?;
            kept.asked = now;
            Some(kept.units.clone())
        };
        keys.iter().map(&mut find).collect()
    }

    fn keep(&mut self, key: Key, units: Arc<[StoredUnit]>) {
        self.kept.insert(key, Kept { units, asked: self.now });
    }

    /// Makes `keys` the passages of `document`, in place of those that it had.
    fn own(&mut self, document: &str, mut keys: Vec<Key>) {
        keys.sort_unstable();
        keys.dedup();
        for key in &keys {
            *self.owners.entry(*key).or_default() += 1;
        }
        let before = match keys.is_empty() {
            true => self.documents.remove(document),
            false => self.documents.insert(document.to_string(), keys),
        };
        for key in before.unwrap_or_default() {
            let Some(owners) = self.owners.get_mut(&key) else { continue };
            *owners -= 1;
            if *owners == 0 {
                self.owners.remove(&key);
                self.kept.remove(&key);
            }
        }
    }

    /// Lets go of what was asked for the longest ago if there is more than `most`.
    fn evict(&mut self, most: usize) {
        if self.kept.len() <= most {
            return;
        }
        let mut ages: Vec<(u64, Key)> = self.kept.iter().map(|(key, kept)| (kept.asked, *key)).collect();
        let gone = self.kept.len() - most + most / EVICTED;
        if gone < ages.len() {
            ages.select_nth_unstable(gone);
        }
        for (_, key) in ages.iter().take(gone) {
            self.kept.remove(key);
        }
    }
}

fn key(hit: &Hit) -> [u8; 32] {
    let mut digest = Sha256::new();
    let headings = hit.headings.iter().map(String::as_str);
    for part in [hit.title.as_str(), hit.text.as_str()].into_iter().chain(headings) {
        digest.update((part.len() as u64).to_le_bytes());
        digest.update(part);
    }
    digest.finalize().into()
}

fn make(hits: &[&Hit], embedder: &dyn Embedder) -> Result<Vec<Arc<[StoredUnit]>>, RagError> {
    let mut found = Vec::new();
    let mut texts = Vec::new();
    for hit in hits {
        let units = units(&hit.text);
        for unit in &units {
            let unit_text = unit.standalone().into_owned();
            texts.push(under(&path(hit, unit), &unit_text));
            texts.push(unit_text);
        }
        found.push(units);
    }
    let borrowed: Vec<&str> = texts.iter().map(String::as_str).collect();
    let vectors = embedder.embed(&borrowed)?;
    let mut vectors = vectors.into_iter();
    let mut texts = texts.into_iter();
    let mut made = Vec::with_capacity(found.len());
    for (hit, units) in hits.iter().zip(found) {
        let mut stored = Vec::with_capacity(units.len());
        let is_old = units.iter().take(2).any(|unit| unit.text.len() < 60 && Offered::of(&unit.text).past);
        for unit in units {
            let (Some(titled), Some(bare)) = (vectors.next(), vectors.next()) else { break };
            let (Some(_), Some(text)) = (texts.next(), texts.next()) else { break };
            let path = path(hit, &unit);
            let mut offered = Offered::of(&text);
            // An article that no longer holds says so in its title or its first lines.
            offered.past |= is_old || Offered::of(&path).past;
            stored.push(StoredUnit { text, range: unit.range, path, kind: unit.kind, bare, titled, offered });
        }
        made.push(stored.into());
    }
    Ok(made)
}

/// The title and the headings that a unit of `hit` stands under; one that repeats the one above it is left out.
fn path(hit: &Hit, unit: &Unit) -> String {
    let mut path: Vec<&str> = vec![hit.title.as_str()];
    path.extend(hit.headings.iter().map(String::as_str));
    path.extend(unit.headings.iter().map(String::as_str));
    path.retain(|heading| !heading.is_empty());
    path.dedup();
    path.join(" › ")
}

/// A unit's text under its title and headings, as it is embedded and read.
fn under(path: &str, text: &str) -> String {
    format!("{path}\n{text}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bag_of_words::Counting;

    fn hit(document: &str, text: &str) -> Hit {
        Hit { document: document.into(), title: "Title".into(), text: text.into(), ..Hit::default() }
    }

    #[test]
    fn what_stands_in_no_document_any_more_is_forgotten() {
        let (store, embedder) = (UnitStore::default(), Counting::default());
        let shared = "Both say this.";
        store.prepare("a", &[hit("a", shared), hit("a", "Only a.")], &embedder).unwrap();
        store.prepare("b", &[hit("b", shared), hit("b", shared)], &embedder).unwrap();
        assert_eq!((store.len(), embedder.embedded().len()), (2, 4));
        store.prepare("a", &[hit("a", shared), hit("a", "Now this.")], &embedder).unwrap();
        assert_eq!((store.len(), embedder.embedded().len()), (2, 2));
        store.forget("b");
        assert_eq!(store.len(), 2);
        store.forget("a");
        store.forget("a");
        assert_eq!(store.len(), 0);
        assert!(store.lock().owners.is_empty() && store.lock().documents.is_empty());
    }

    #[test]
    fn what_is_asked_for_stays_and_the_rest_makes_room() {
        let (store, embedder) = (UnitStore { most: 32, ..UnitStore::default() }, Counting::default());
        let often = [hit("often", "Asked often.")];
        for n in 0..100 {
            let units = store.of(&[hit("x", &format!("Number {n}."))], &embedder).unwrap();
            assert_eq!(units[0][0].text, format!("Number {n}."));
            store.of(&often, &embedder).unwrap();
            assert!(store.len() <= 32);
        }
        let asked_often = embedder.embedded().iter().filter(|text| *text == "Asked often.").count();
        assert_eq!(asked_often, 1);
        // Where there is no room, nothing is prepared that would push out what is asked for.
        let many: Vec<Hit> = (0..40).map(|n| hit("many", &format!("Many {n}."))).collect();
        store.prepare("many", &many, &embedder).unwrap();
        assert!(embedder.embedded().is_empty());
        assert_eq!(store.of(&many, &embedder).unwrap().len(), 40);
        store.forget("many");
        assert!(store.len() <= 32);
    }
}
