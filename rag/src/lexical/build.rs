//! Makes the [`Lexicon`] of a segment: from texts, or from those of other segments.

use std::collections::{BTreeMap, HashMap};

use super::language::Language;
use super::lexicon::{Lexicon, LexiconWriter};
use super::term;
use super::words::{Word, words};

/// The words of texts as they are added.
#[derive(Debug, Default)]
pub(crate) struct LexiconBuilder {
    terms: BTreeMap<String, Texts>,
    passage_lengths: Vec<u32>,
    document_lengths: Vec<u32>,
}

/// Where a term stands.
#[derive(Debug, Default)]
struct Texts {
    passages: Vec<(u32, u32)>,
    documents: Vec<(u32, u32)>,
}

impl LexiconBuilder {
    /// Adds a document by its title and text, and the passages that it is cut into.
    pub fn add(&mut self, whole: &str, language: Language, passages: impl Iterator<Item = String>) {
        let mut stems = HashMap::new();
        let number = self.document_lengths.len() as u32;
        let (length, counts) = count(whole, language, &mut stems);
        self.document_lengths.push(length);
        for (term, count) in counts {
            self.terms.entry(term).or_default().documents.push((number, count));
        }
        for passage in passages {
            let number = self.passage_lengths.len() as u32;
            let (length, counts) = count(&passage, language, &mut stems);
            self.passage_lengths.push(length);
            for (term, count) in counts {
                self.terms.entry(term).or_default().passages.push((number, count));
            }
        }
    }

    /// The lexicon's bytes.
    pub fn finish(self) -> Vec<u8> {
        let mut writer = LexiconWriter::default();
        for (term, Texts { passages, documents }) in &self.terms {
            writer.add(term.as_bytes(), passages, documents);
        }
        writer.finish(&self.passage_lengths, &self.document_lengths)
    }
}

/// The number of terms of a text, and each with how often it stands there.
fn count(text: &str, language: Language, stems: &mut HashMap<Word, String>) -> (u32, HashMap<String, u32>) {
    let words = words(text);
    let length = words.len() as u32;
    let mut counts = HashMap::new();
    for word in words {
        let stem = match stems.get(&word) {
            Some(stem) => stem.clone(),
            None => {
                let stem = term(&word, language);
                stems.insert(word, stem.clone());
                stem
            }
        };
        *counts.entry(stem).or_default() += 1;
    }
    (length, counts)
}

/// A lexicon that goes into a merged one, and where its texts go.
pub(crate) struct Merged<'a> {
    /// The lexicon.
    pub lexicon: Lexicon<'a>,
    /// For each passage, its number among the merged ones; `None` if it is left out.
    pub passages: Vec<Option<u32>>,
    /// For each document, the same.
    pub documents: Vec<Option<u32>>,
}

/// One lexicon of several, with `passages` and `documents` texts.
pub(crate) fn merge(inputs: &[Merged], passages: usize, documents: usize) -> Vec<u8> {
    let (mut passage_lengths, mut document_lengths) = (vec![0; passages], vec![0; documents]);
    let mut terms: BTreeMap<&[u8], Vec<(usize, usize)>> = BTreeMap::new();
    for (number, input) in inputs.iter().enumerate() {
        for term in 0..input.lexicon.terms() {
            terms.entry(input.lexicon.term(term)).or_default().push((number, term));
        }
        let places = |new: &[Option<u32>]| -> Vec<(u32, usize)> {
            (0..).zip(new).filter_map(|(old, new)| new.map(|new| (old, new as usize))).collect()
        };
        for (old, new) in places(&input.passages) {
            if let Some(length) = passage_lengths.get_mut(new) {
                *length = input.lexicon.passage_length(old);
            }
        }
        for (old, new) in places(&input.documents) {
            if let Some(length) = document_lengths.get_mut(new) {
                *length = input.lexicon.document_length(old);
            }
        }
    }
    let mut writer = LexiconWriter::default();
    let (mut in_passages, mut in_documents) = (Vec::new(), Vec::new());
    for (term, places) in terms {
        in_passages.clear();
        in_documents.clear();
        for (number, old) in places {
            let Some(input) = inputs.get(number) else { continue };
            let moved = |new: &[Option<u32>], (text, count): (u32, u32)| {
                new.get(text as usize).copied().flatten().map(|new| (new, count))
            };
            let (passages, documents) = input.lexicon.postings(old);
            in_passages.extend(passages.filter_map(|posting| moved(&input.passages, posting)));
            in_documents.extend(documents.filter_map(|posting| moved(&input.documents, posting)));
        }
        in_passages.sort_unstable();
        in_documents.sort_unstable();
        writer.add(term, &in_passages, &in_documents);
    }
    writer.finish(&passage_lengths, &document_lengths)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(texts: &[&str]) -> Vec<u8> {
        let mut builder = LexiconBuilder::default();
        for text in texts {
            builder.add(text, Language::English, text.split('.').map(str::to_string));
        }
        builder.finish()
    }

    #[test]
    fn merged_without_some_documents_it_is_as_if_built_without_them() {
        let (a, b) =
            (build(&["cancel orders. pay", "gone for ever"]), build(&["parcels", "ERR-4011. orders"]));
        let inputs = [
            Merged {
                lexicon: Lexicon::new(&a).unwrap(),
                passages: vec![Some(1), Some(2), None],
                documents: vec![Some(1), None],
            },
            Merged {
                lexicon: Lexicon::new(&b).unwrap(),
                passages: vec![Some(0), Some(3), Some(4)],
                documents: vec![Some(0), Some(2)],
            },
        ];
        assert_eq!(merge(&inputs, 5, 3), build(&["parcels", "cancel orders. pay", "ERR-4011. orders"]));
    }
}
