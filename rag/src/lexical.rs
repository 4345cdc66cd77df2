//! Lexical search: BM25 over passages and over whole documents.

mod language;
mod postings;
mod words;

use std::collections::{BTreeSet, HashMap, HashSet};

use serde::{Deserialize, Serialize};

use language::Language;
use postings::Postings;
use words::{Word, possible_codes, without_codes, words};

/// Marks product codes and character pairs among the terms, where no word has it.
const CODE: char = '=';
const PAIR: char = '~';

/// A code that stands in more documents than this share tells none of them from the others.
const COMMON_CODE: f32 = 0.05;
/// Codes in this many documents are never common.
const FEW: u32 = 3;

/// The words of a knowledge base, and where they stand.
#[derive(Debug, Default)]
pub(crate) struct Lexicon {
    numbers: HashMap<String, u32>,
    languages: BTreeSet<Language>,
    passages: Postings,
    documents: Postings,
}

/// A [`Lexicon`] on disk.
#[derive(Serialize, Deserialize)]
struct Stored {
    terms: Vec<String>,
    languages: BTreeSet<Language>,
    passages: Postings,
    documents: Postings,
}

/// A question as a lexicon understands it.
#[derive(Debug, Default)]
pub(crate) struct LexicalQuery {
    /// Known words by their alternatives, one for each language of the knowledge base.
    known: Vec<Vec<u32>>,
    /// Product codes that some documents have and most have not.
    codes: Vec<Vec<u32>>,
    /// What a passage with all words would score at most.
    most: f32,
}

impl LexicalQuery {
    /// Whether the question names a product code by which documents are told apart.
    pub fn has_code(&self) -> bool {
        !self.codes.is_empty()
    }

    /// What share of its product codes so many are.
    pub fn share_of_codes(&self, count: u32) -> f32 {
        count as f32 / self.codes.len().max(1) as f32
    }
}

impl Lexicon {
    /// Adds a document with its title, and the passages that it is cut into. Its language is the one that it
    /// names, or what its text seems to be in.
    pub fn add<'a>(
        &mut self,
        (title, text): (&str, &str),
        language: Option<&str>,
        passages: impl Iterator<Item = (&'a str, String)>,
        seen: &mut HashSet<String>,
    ) {
        let language = language.and_then(Language::named).unwrap_or_else(|| Language::of(text));
        self.languages.insert(language);
        let mut stems = HashMap::new();
        let mut terms = |lexicon: &mut Self, text: &str| -> Vec<u32> {
            let words = words(text);
            words.into_iter().map(|word| lexicon.number(word, language, &mut stems)).collect()
        };
        let whole = terms(self, &format!("{title}\n{text}"));
        let is_copy = !seen.insert(format!("d{text}"));
        self.documents.add(&whole, is_copy);
        for (passage, with_headings) in passages {
            let found = terms(self, &with_headings);
            let is_copy = !seen.insert(format!("p{passage}"));
            self.passages.add(&found, is_copy);
        }
    }

    fn number(&mut self, word: Word, language: Language, stems: &mut HashMap<Word, u32>) -> u32 {
        if let Some(number) = stems.get(&word) {
            return *number;
        }
        let next = self.numbers.len() as u32;
        let number = *self.numbers.entry(term(&word, language)).or_insert(next);
        stems.insert(word, number);
        number
    }

    /// A question in this lexicon's terms. Its language need not be known: each word is looked up by
    /// its stem in every language that the knowledge base has.
    pub fn query(&self, question: &str) -> LexicalQuery {
        let mut query = LexicalQuery::default();
        let mut seen = HashSet::new();
        let mut all = 0.0;
        for word in words(question) {
            let stems: BTreeSet<String> =
                self.languages.iter().map(|language| term(&word, *language)).collect();
            let known: Vec<u32> = stems.iter().filter_map(|stem| self.numbers.get(stem)).copied().collect();
            if !seen.insert(stems) {
                continue;
            }
            let is_code = matches!(word, Word::Code(_));
            let weight = known.iter().map(|term| self.passages.weight(Some(*term))).reduce(f32::max);
            let weight = weight.unwrap_or_else(|| self.passages.weight(None));
            all += weight;
            if !known.is_empty() {
                if is_code && self.is_identifying(&known) {
                    query.codes.push(known.clone());
                }
                query.known.push(known);
            }
        }
        for code in possible_codes(question) {
            if let Some(number) = self.numbers.get(&format!("{CODE}{code}")) {
                let known = vec![*number];
                if self.is_identifying(&known) && !query.codes.contains(&known) {
                    all += self.passages.weight(Some(*number));
                    query.codes.push(known.clone());
                    query.known.push(known);
                }
            }
        }
        query.most = Postings::most(all);
        query
    }

    /// What of a question is compared by its meaning. A product code that stands nowhere, or an order's
    /// number, means nothing: to an embedder it is like any other, and one of those may be known.
    pub fn meaning(&self, question: &str) -> String {
        without_codes(question, |code| self.numbers.contains_key(&format!("{CODE}{code}")))
    }

    fn is_identifying(&self, code: &[u32]) -> bool {
        let common = (self.documents.len() as f32 * COMMON_CODE) as u32;
        code.iter().all(|term| self.documents.frequency(*term) <= common.max(FEW))
    }

    /// The score of each passage, in `[0, 1]`: BM25 as a share of what a passage could have at most.
    pub fn passages(&self, query: &LexicalQuery) -> Vec<f32> {
        share(self.passages.score(&query.known), query.most)
    }

    /// The score of each document, in `[0, 1]`.
    pub fn documents(&self, query: &LexicalQuery) -> Vec<f32> {
        share(self.documents.score(&query.known), query.most)
    }

    /// For each passage, how many of the question's product codes it has.
    pub fn codes(&self, query: &LexicalQuery) -> Vec<u32> {
        let mut counts = vec![0; self.passages.len()];
        for code in &query.codes {
            let scores = self.passages.score(std::slice::from_ref(code));
            counts.iter_mut().zip(scores).for_each(|(count, score)| *count += u32::from(score > 0.0));
        }
        counts
    }

    /// Numbers of documents and of passages.
    pub fn len(&self) -> (usize, usize) {
        (self.documents.len(), self.passages.len())
    }

    /// The lexicon as bytes.
    pub fn to_bytes(&self) -> Result<Vec<u8>, String> {
        let mut terms: Vec<(&String, &u32)> = self.numbers.iter().collect();
        terms.sort_unstable_by_key(|(_, number)| **number);
        let stored = Stored {
            terms: terms.into_iter().map(|(term, _)| term.clone()).collect(),
            languages: self.languages.clone(),
            passages: self.passages.clone(),
            documents: self.documents.clone(),
        };
        postcard::to_allocvec(&stored).map_err(|error| error.to_string())
    }

    /// The lexicon that [`to_bytes`](Self::to_bytes) stored.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        let stored: Stored = postcard::from_bytes(bytes).map_err(|error| format!("lexicon: {error}"))?;
        let Stored { terms, languages, passages, documents } = stored;
        Ok(Lexicon { numbers: terms.into_iter().zip(0..).collect(), languages, passages, documents })
    }
}

/// What a word is compared by.
fn term(word: &Word, language: Language) -> String {
    match word {
        Word::Plain(word) => language.stem(word),
        Word::Code(code) => format!("{CODE}{code}"),
        Word::Pair(pair) => format!("{PAIR}{pair}"),
    }
}

fn share(mut scores: Vec<f32>, most: f32) -> Vec<f32> {
    if most > 0.0 {
        scores.iter_mut().for_each(|score| *score = (*score / most).min(1.0));
    }
    scores
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lexicon(texts: &[&str]) -> Lexicon {
        let mut lexicon = Lexicon::default();
        let mut seen = HashSet::new();
        for text in texts {
            lexicon.add(("", text), None, std::iter::once((*text, text.to_string())), &mut seen);
        }
        lexicon
    }

    fn best(lexicon: &Lexicon, question: &str) -> Option<usize> {
        let scores = lexicon.passages(&lexicon.query(question));
        assert!(scores.iter().all(|score| (0.0..=1.0).contains(score)));
        assert_eq!(scores.len(), lexicon.len().1);
        let (best, score) = scores.into_iter().enumerate().max_by(|a, b| a.1.total_cmp(&b.1))?;
        (score > 0.0).then_some(best)
    }

    #[test]
    fn words_are_found_in_other_forms_in_each_language() {
        let lexicon = lexicon(&[
            "You can cancel your order within one day of the purchase.",
            "Sie können Ihre Bestellungen innerhalb eines Tages stornieren, wenn Sie möchten.",
            "Puede cancelar sus pedidos dentro de un día después de la compra.",
            "您可以在一天内取消订单。",
            "คุณสามารถยกเลิกคำสั่งซื้อได้",
        ]);
        assert_eq!(best(&lexicon, "cancelling orders"), Some(0));
        assert_eq!(best(&lexicon, "Bestellung"), Some(1));
        assert_eq!(best(&lexicon, "un pedido"), Some(2));
        assert_eq!(best(&lexicon, "怎么取消"), Some(3));
        assert_eq!(best(&lexicon, "ยกเลิก"), Some(4));
        assert_eq!(best(&lexicon, "refund"), None);
        assert_eq!(best(&lexicon, ""), None);
    }

    #[test]
    fn a_document_is_stemmed_in_the_language_that_it_names() {
        let text = "Storno Bestellungen"; // too short to tell
        let found = |language| {
            let mut lexicon = Lexicon::default();
            lexicon.add(("", text), language, std::iter::once((text, text.into())), &mut HashSet::new());
            best(&lexicon, "bestellung")
        };
        assert_eq!(found(Some("de-AT")), Some(0));
        assert_eq!(found(Some("fr")), None);
    }

    #[test]
    fn a_code_is_known_however_it_is_written() {
        let lexicon = lexicon(&["ERR-4011 is the battery", "ERR-4012 is the tray", "X200-B is a printer"]);
        for (question, code) in
            [("ERR-4011", 0), ("err 4012", 1), ("Err_4012?", 1), ("x200b", 2), ("X200‑B", 2)]
        {
            let query = lexicon.query(question);
            assert!(query.has_code(), "{question}");
            assert_eq!(lexicon.codes(&query).iter().position(|count| *count == 1), Some(code), "{question}");
        }
        let query = lexicon.query("ERR-9999");
        assert!(!query.has_code() && lexicon.passages(&query).iter().all(|score| *score < 0.2));
        assert_eq!(lexicon.meaning("ERR-9999 or ERR-4011?"), "  or ERR-4011?");
    }

    #[test]
    fn a_code_that_stands_everywhere_tells_nothing() {
        let texts: Vec<String> = (0..50).map(|n| format!("Printer X200-B, chapter {n}")).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        assert!(!lexicon(&texts).query("X200-B").has_code());
    }

    #[test]
    fn is_stored_and_read_back() {
        let lexicon = lexicon(&["cancel an order", "track a parcel"]);
        let bytes = lexicon.to_bytes().unwrap();
        let again = Lexicon::from_bytes(&bytes).unwrap();
        assert_eq!(best(&again, "parcels"), Some(1));
        assert_eq!(again.to_bytes().unwrap(), bytes);
        assert!(Lexicon::from_bytes(&bytes[..bytes.len() / 2]).is_err());
    }
}
