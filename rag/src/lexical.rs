//! Lexical search: BM25 over passages and over whole documents.

mod bm25;
mod build;
mod content;
mod language;
mod lexicon;
mod varint;
mod words;

use std::collections::{BTreeSet, HashSet};

use crate::bits::Bits;
pub(crate) use bm25::Totals;
pub(crate) use build::{LexiconBuilder, Merged, merge};
pub(crate) use content::content_words;
pub(crate) use language::Language;
pub(crate) use lexicon::{Lexicon, Postings};
use words::{Word, possible_codes, without_codes, words};

/// Marks product codes and character pairs among the terms, where no word has it.
const CODE: char = '=';
const PAIR: char = '~';

/// A code that stands in more documents than this share tells none of them from the others.
const COMMON_CODE: f32 = 0.05;
/// Codes in this many documents are never common.
const FEW: u32 = 3;

/// The words of a knowledge base: those of its segments, with statistics over what is live in all of them,
/// so that scores do not depend on how documents are divided into segments.
#[derive(Debug)]
pub(crate) struct Words<'a> {
    /// The segments' words.
    pub shelves: Vec<Shelf<'a>>,
    /// The languages of the documents.
    pub languages: BTreeSet<Language>,
    /// Number of documents, copies included.
    pub documents: usize,
    /// What passages are compared with.
    pub passage_totals: Totals,
    /// What documents are compared with.
    pub document_totals: Totals,
}

/// The words of one segment.
#[derive(Debug)]
pub(crate) struct Shelf<'a> {
    pub lexicon: Lexicon<'a>,
    pub passages: Texts<'a>,
    pub documents: Texts<'a>,
}

/// Which texts of a segment count.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Texts<'a> {
    /// Number of the first in the knowledge base.
    pub first: usize,
    /// Those that are not deleted.
    pub live: &'a Bits,
    /// Those of them that are not copies of another text of the knowledge base.
    pub distinct: &'a Bits,
}

/// A term of a question that the knowledge base has.
#[derive(Debug, Clone, PartialEq)]
struct Term {
    text: String,
    /// Number of distinct passages with it.
    passages: u32,
    /// Number of distinct documents with it.
    documents: u32,
}

/// A question in the terms of a knowledge base.
#[derive(Debug, Default)]
pub(crate) struct LexicalQuery {
    /// Known words by their alternatives, one for each language of the knowledge base.
    known: Vec<Vec<Term>>,
    /// Product codes that some documents have and most have not.
    codes: Vec<Vec<Term>>,
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

impl<'a> Words<'a> {
    /// A question in these words. Its language need not be known: each word is looked up by its stem in
    /// every language that the knowledge base has.
    pub fn query(&self, question: &str) -> LexicalQuery {
        let mut query = LexicalQuery::default();
        let mut seen = HashSet::new();
        let mut all = 0.0;
        for word in words(question) {
            let stems: BTreeSet<String> =
                self.languages.iter().map(|language| term(&word, *language)).collect();
            if seen.contains(&stems) {
                continue;
            }
            let known: Vec<Term> = stems.iter().filter_map(|stem| self.find(stem)).collect();
            seen.insert(stems);
            let is_code = matches!(word, Word::Code(_));
            let weight = |term: &Term| self.passage_totals.weight(term.passages);
            let weight = known.iter().map(weight).reduce(f32::max);
            all += weight.unwrap_or_else(|| self.passage_totals.weight(0));
            if !known.is_empty() {
                if is_code && self.is_identifying(&known) {
                    query.codes.push(known.clone());
                }
                query.known.push(known);
            }
        }
        for code in possible_codes(question) {
            if let Some(term) = self.find(&format!("{CODE}{code}")) {
                let known = vec![term];
                if self.is_identifying(&known) && !query.codes.contains(&known) {
                    all += known.iter().map(|term| self.passage_totals.weight(term.passages)).sum::<f32>();
                    query.codes.push(known.clone());
                    query.known.push(known);
                }
            }
        }
        query.most = Totals::most(all);
        query
    }

    /// What of a question is compared by its meaning. A product code that stands nowhere, or an order's
    /// number, means nothing: to an embedder it is like any other, and one of those may be known.
    pub fn meaning(&self, question: &str) -> String {
        without_codes(question, |code| self.find(&format!("{CODE}{code}")).is_some())
    }

    /// A term with its frequencies; `None` if no live text has it.
    fn find(&self, term: &str) -> Option<Term> {
        let mut found = false;
        let (mut in_passages, mut in_documents) = (0, 0);
        for shelf in &self.shelves {
            let Some(number) = shelf.lexicon.find(term) else { continue };
            let (passages, documents) = shelf.lexicon.postings(number);
            for (texts, postings, count) in [
                (shelf.passages, passages, &mut in_passages),
                (shelf.documents, documents, &mut in_documents),
            ] {
                for (text, _) in postings {
                    found |= texts.live.has(text as usize);
                    *count += u32::from(texts.distinct.has(text as usize));
                }
            }
        }
        found.then(|| Term { text: term.to_string(), passages: in_passages, documents: in_documents })
    }

    fn is_identifying(&self, code: &[Term]) -> bool {
        let common = (self.documents as f32 * COMMON_CODE) as u32;
        code.iter().all(|term| term.documents <= common.max(FEW))
    }

    /// The score of each passage, in `[0, 1]`: BM25 as a share of what a passage could have at most.
    pub fn passages(&self, query: &LexicalQuery, passages: usize) -> Vec<f32> {
        let mut scores = vec![0.0; passages];
        for word in &query.known {
            self.score_passages(word, &mut scores);
        }
        share(scores, query.most)
    }

    fn score_passages(&self, word: &[Term], scores: &mut [f32]) {
        let totals = self.passage_totals;
        for shelf in &self.shelves {
            score(shelf.passages, word, scores, |term| {
                let weight = totals.weight(term.passages);
                let (postings, _) = shelf.lexicon.postings(shelf.lexicon.find(&term.text)?);
                let score =
                    move |text, count| totals.score(weight, count, shelf.lexicon.passage_length(text));
                Some((postings, score))
            });
        }
    }

    /// The score of each document, in `[0, 1]`.
    pub fn documents(&self, query: &LexicalQuery, documents: usize) -> Vec<f32> {
        let mut scores = vec![0.0; documents];
        let totals = self.document_totals;
        for (word, shelf) in query.known.iter().flat_map(|word| self.shelves.iter().map(move |s| (word, s))) {
            score(shelf.documents, word, &mut scores, |term| {
                let weight = totals.weight(term.documents);
                let (_, postings) = shelf.lexicon.postings(shelf.lexicon.find(&term.text)?);
                let score =
                    move |text, count| totals.score(weight, count, shelf.lexicon.document_length(text));
                Some((postings, score))
            });
        }
        share(scores, query.most)
    }

    /// For each passage, how many of the question's product codes it has.
    pub fn codes(&self, query: &LexicalQuery, passages: usize) -> Vec<u32> {
        let mut counts = vec![0; passages];
        let mut scores = vec![0.0; if query.has_code() { passages } else { 0 }];
        for code in &query.codes {
            scores.fill(0.0);
            self.score_passages(code, &mut scores);
            counts.iter_mut().zip(&scores).for_each(|(count, score)| *count += u32::from(*score > 0.0));
        }
        counts
    }
}

/// Adds to the scores of a segment's texts what one word gives them. Of a word's alternatives a text's best
/// counts.
fn score<'a, S: Fn(u32, u32) -> f32>(
    texts: Texts,
    word: &[Term],
    scores: &mut [f32],
    postings: impl Fn(&Term) -> Option<(Postings<'a>, S)>,
) {
    let mut best: Vec<(u32, f32)> = Vec::new(); // texts, with repetitions
    for term in word {
        let Some((postings, score)) = postings(term) else { continue };
        let live = postings.filter(|(text, _)| texts.live.has(*text as usize));
        best.extend(live.map(|(text, count)| (text, score(text, count))));
    }
    if word.len() > 1 {
        best.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(b.1.total_cmp(&a.1)));
        best.dedup_by_key(|(text, _)| *text);
    }
    for (text, score) in best {
        if let Some(sum) = scores.get_mut(texts.first + text as usize) {
            *sum += score;
        }
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

    /// A knowledge base in one segment, every text a document and its only passage.
    struct Base {
        bytes: Vec<u8>,
        all: Bits,
        distinct: Bits,
        languages: BTreeSet<Language>,
    }

    impl Base {
        fn new(texts: &[&str]) -> Base {
            Base::of(texts.iter().map(|text| (*text, Language::of(text))))
        }

        fn of<'a>(texts: impl Iterator<Item = (&'a str, Language)> + Clone) -> Base {
            let mut builder = LexiconBuilder::default();
            texts.clone().for_each(|(text, language)| {
                builder.add(text, language, std::iter::once(text.to_string()));
            });
            let count = texts.clone().count();
            let mut seen = HashSet::new();
            let mut distinct = Bits::new(count, false);
            texts.clone().enumerate().for_each(|(number, (text, _))| {
                distinct.set(number, seen.insert(text.to_string()));
            });
            let languages = texts.map(|(_, language)| language).collect();
            Base { bytes: builder.finish(), all: Bits::new(count, true), distinct, languages }
        }

        fn words(&self) -> Words<'_> {
            let lexicon = Lexicon::new(&self.bytes).unwrap();
            let texts = Texts { first: 0, live: &self.all, distinct: &self.distinct };
            let length =
                self.distinct.iter().map(|text| u64::from(lexicon.passage_length(text as u32))).sum();
            let totals = Totals { texts: self.distinct.count() as u32, length };
            Words {
                shelves: vec![Shelf { lexicon, passages: texts, documents: texts }],
                languages: self.languages.clone(),
                documents: self.all.count(),
                passage_totals: totals,
                document_totals: totals,
            }
        }

        fn scores(&self, question: &str) -> Vec<f32> {
            let words = self.words();
            let query = words.query(question);
            let scores = words.passages(&query, self.all.count());
            assert!(scores.iter().all(|score| (0.0..=1.0).contains(score)));
            assert_eq!(words.documents(&query, scores.len()), scores);
            scores
        }

        fn best(&self, question: &str) -> Option<usize> {
            let (best, score) =
                self.scores(question).into_iter().enumerate().max_by(|a, b| a.1.total_cmp(&b.1))?;
            (score > 0.0).then_some(best)
        }
    }

    #[test]
    fn words_are_found_in_other_forms_in_each_language() {
        let base = Base::new(&[
            "You can cancel your order within one day of the purchase.",
            "Sie können Ihre Bestellungen innerhalb eines Tages stornieren, wenn Sie möchten.",
            "Puede cancelar sus pedidos dentro de un día después de la compra.",
            "您可以在一天内取消订单。",
            "คุณสามารถยกเลิกคำสั่งซื้อได้",
        ]);
        assert_eq!(base.best("cancelling orders"), Some(0));
        assert_eq!(base.best("Bestellung"), Some(1));
        assert_eq!(base.best("un pedido"), Some(2));
        assert_eq!(base.best("怎么取消"), Some(3));
        assert_eq!(base.best("ยกเลิก"), Some(4));
        assert_eq!(base.best("refund"), None);
        assert_eq!(base.best(""), None);
    }

    #[test]
    fn a_document_is_stemmed_in_its_language() {
        let found = |language| Base::of([("Storno Bestellungen", language)].into_iter()).best("bestellung");
        assert_eq!(found(Language::German), Some(0));
        assert_eq!(found(Language::French), None);
    }

    #[test]
    fn copies_do_not_make_a_term_common() {
        let mut texts = vec!["cancel an order", "a footer"];
        let once = Base::new(&texts).scores("footer");
        texts.extend(["a footer"; 100]);
        let often = Base::new(&texts).scores("footer");
        assert_eq!(once[..2], often[..2]);
        assert_eq!(often[1], often[57], "a copy is found like its original");
    }

    #[test]
    fn a_code_is_known_however_it_is_written() {
        let base = Base::new(&["ERR-4011 is the battery", "ERR-4012 is the tray", "X200-B is a printer"]);
        let words = base.words();
        for (question, code) in
            [("ERR-4011", 0), ("err 4012", 1), ("Err_4012?", 1), ("x200b", 2), ("X200‑B", 2)]
        {
            let query = words.query(question);
            assert!(query.has_code(), "{question}");
            let counts = words.codes(&query, 3);
            assert_eq!(counts.iter().position(|count| *count == 1), Some(code), "{question}");
        }
        assert!(
            !words.query("ERR-9999").has_code() && base.scores("ERR-9999").iter().all(|score| *score < 0.2)
        );
        assert_eq!(words.meaning("ERR-9999 or ERR-4011?"), "  or ERR-4011?");
    }

    #[test]
    fn a_code_that_stands_everywhere_tells_nothing() {
        let texts: Vec<String> = (0..50).map(|n| format!("Printer X200-B, chapter {n}")).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        assert!(!Base::new(&texts).words().query("X200-B").has_code());
    }
}
