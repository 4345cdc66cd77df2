//! The words of one segment and where they stand, as bytes that are searched where they lie (in memory or
//! in a mapped file).
//!
//! ```text
//! header    5 × u64: terms, bytes of the terms, bytes of the postings, passages, documents
//! lengths   u32 each: terms of each passage, then of each document, with repetitions
//! ends      u32 each: where each term ends;  then u64 each: where its postings end
//! terms     in ascending order, one after the other
//! postings  of each term: bytes of its passages; (step, count) each; then of its documents the same
//! ```
//!
//! Numbers of postings are [`varint`]s; a step is the difference to the text before.

use super::varint;

const HEADER: usize = 5 * 8;

/// A segment's words.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lexicon<'a> {
    passage_lengths: &'a [[u8; 4]],
    document_lengths: &'a [[u8; 4]],
    term_ends: &'a [[u8; 4]],
    posting_ends: &'a [[u8; 8]],
    terms: &'a [u8],
    postings: &'a [u8],
}

/// The texts that a term stands in, ascending, and how often.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Postings<'a> {
    bytes: &'a [u8],
    next: u32,
}

impl Iterator for Postings<'_> {
    type Item = (u32, u32);

    fn next(&mut self) -> Option<(u32, u32)> {
        let step = varint::read(&mut self.bytes)?;
        let count = varint::read(&mut self.bytes)?;
        let text = self.next.checked_add(step)?;
        self.next = text;
        Some((text, count))
    }
}

impl<'a> Lexicon<'a> {
    /// The lexicon in `bytes`, or what is wrong with them.
    pub fn new(bytes: &'a [u8]) -> Result<Self, String> {
        let parse = || {
            let (header, mut rest) = bytes.split_at_checked(HEADER)?;
            let (header, _) = header.as_chunks::<8>();
            let sizes: Vec<usize> = header.iter().map(|bytes| u64::from_le_bytes(*bytes) as usize).collect();
            let [terms, term_bytes, posting_bytes, passages, documents] = sizes.try_into().ok()?;
            let mut take = |count: usize, size: usize| {
                let (taken, left) = rest.split_at_checked(count.checked_mul(size)?)?;
                rest = left;
                Some(taken)
            };
            let lexicon = Lexicon {
                passage_lengths: take(passages, 4)?.as_chunks().0,
                document_lengths: take(documents, 4)?.as_chunks().0,
                term_ends: take(terms, 4)?.as_chunks().0,
                posting_ends: take(terms, 8)?.as_chunks().0,
                terms: take(term_bytes, 1)?,
                postings: take(posting_bytes, 1)?,
            };
            rest.is_empty().then_some(lexicon)
        };
        parse().ok_or_else(|| format!("words: {} bytes do not agree with their header", bytes.len()))
    }

    /// Number of terms.
    pub fn terms(&self) -> usize {
        self.term_ends.len()
    }

    /// Numbers of passages and of documents.
    pub fn texts(&self) -> (usize, usize) {
        (self.passage_lengths.len(), self.document_lengths.len())
    }

    /// Terms of a passage, with repetitions.
    pub fn passage_length(&self, passage: u32) -> u32 {
        self.passage_lengths.get(passage as usize).map_or(0, |bytes| u32::from_le_bytes(*bytes))
    }

    /// Terms of a document, with repetitions.
    pub fn document_length(&self, document: u32) -> u32 {
        self.document_lengths.get(document as usize).map_or(0, |bytes| u32::from_le_bytes(*bytes))
    }

    /// The term of that number; none beyond the last.
    pub fn term(&self, number: usize) -> &'a [u8] {
        let end = |number: usize| self.term_ends.get(number).map(|bytes| u32::from_le_bytes(*bytes) as usize);
        let start = if number == 0 { Some(0) } else { end(number - 1) };
        let range = start.zip(end(number)).and_then(|(start, end)| self.terms.get(start..end));
        range.unwrap_or_default()
    }

    /// The number of a term.
    pub fn find(&self, term: &str) -> Option<usize> {
        let (mut low, mut high) = (0, self.terms());
        while low < high {
            let middle = low + (high - low) / 2;
            match self.term(middle).cmp(term.as_bytes()) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Equal => return Some(middle),
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        None
    }

    /// The passages and the documents that have a term.
    pub fn postings(&self, number: usize) -> (Postings<'a>, Postings<'a>) {
        let end =
            |number: usize| self.posting_ends.get(number).map(|bytes| u64::from_le_bytes(*bytes) as usize);
        let start = if number == 0 { Some(0) } else { end(number - 1) };
        let range = start.zip(end(number)).and_then(|(start, end)| self.postings.get(start..end));
        let mut bytes = range.unwrap_or_default();
        let passages = varint::read(&mut bytes).unwrap_or_default() as usize;
        let (passages, documents) = bytes.split_at_checked(passages).unwrap_or_default();
        (Postings { bytes: passages, next: 0 }, Postings { bytes: documents, next: 0 })
    }
}

/// Writes a [`Lexicon`], term by term in ascending order.
#[derive(Debug, Default)]
pub(crate) struct LexiconWriter {
    term_ends: Vec<u8>,
    posting_ends: Vec<u8>,
    terms: Vec<u8>,
    postings: Vec<u8>,
    one: Vec<u8>, // the passages of the term being written
}

impl LexiconWriter {
    /// Adds a term that follows those before it, with its texts ascending. A term of no text is left out.
    pub fn add(&mut self, term: &[u8], passages: &[(u32, u32)], documents: &[(u32, u32)]) {
        if passages.is_empty() && documents.is_empty() {
            return;
        }
        self.terms.extend_from_slice(term);
        self.term_ends.extend_from_slice(&(self.terms.len() as u32).to_le_bytes());
        self.one.clear();
        steps(passages, &mut self.one);
        varint::write(self.one.len() as u32, &mut self.postings);
        self.postings.append(&mut self.one);
        steps(documents, &mut self.postings);
        self.posting_ends.extend_from_slice(&(self.postings.len() as u64).to_le_bytes());
    }

    /// The lexicon of texts that have so many terms each.
    pub fn finish(self, passage_lengths: &[u32], document_lengths: &[u32]) -> Vec<u8> {
        let sizes = [
            self.term_ends.len() / 4,
            self.terms.len(),
            self.postings.len(),
            passage_lengths.len(),
            document_lengths.len(),
        ];
        let mut bytes: Vec<u8> = sizes.iter().flat_map(|size| (*size as u64).to_le_bytes()).collect();
        let lengths = passage_lengths.iter().chain(document_lengths);
        bytes.extend(lengths.flat_map(|length| length.to_le_bytes()));
        for part in [self.term_ends, self.posting_ends, self.terms, self.postings] {
            bytes.extend(part);
        }
        bytes
    }
}

fn steps(texts: &[(u32, u32)], out: &mut Vec<u8>) {
    let mut last = 0;
    for (text, count) in texts {
        varint::write(text.saturating_sub(last), out);
        varint::write(*count, out);
        last = *text;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    type Texts = BTreeMap<u32, u32>;

    fn write(terms: &BTreeMap<String, (Texts, Texts)>) -> Vec<u8> {
        let mut writer = LexiconWriter::default();
        for (term, (passages, documents)) in terms {
            let list = |texts: &Texts| texts.iter().map(|(text, count)| (*text, *count)).collect::<Vec<_>>();
            writer.add(term.as_bytes(), &list(passages), &list(documents));
        }
        writer.finish(&[7, 8], &[15])
    }

    proptest! {
        #[test]
        fn terms_are_found_with_their_texts(
            terms in prop::collection::btree_map(
                "[a-cäß=~]{0,3}",
                (prop::collection::btree_map(any::<u32>(), any::<u32>(), 1..9),
                 prop::collection::btree_map(any::<u32>(), any::<u32>(), 0..9)),
                0..40,
            ),
            unknown in "[a-cäß=~]{0,3}",
        ) {
            let bytes = write(&terms);
            let lexicon = Lexicon::new(&bytes).unwrap();
            prop_assert_eq!((lexicon.terms(), lexicon.texts()), (terms.len(), (2, 1)));
            prop_assert_eq!((lexicon.passage_length(1), lexicon.document_length(0)), (8, 15));
            for (number, (term, (passages, documents))) in terms.iter().enumerate() {
                prop_assert_eq!(lexicon.find(term), Some(number));
                let (found, in_documents) = lexicon.postings(number);
                prop_assert!(found.eq(passages.iter().map(|(text, count)| (*text, *count))));
                prop_assert!(in_documents.eq(documents.iter().map(|(text, count)| (*text, *count))));
            }
            prop_assert_eq!(lexicon.find(&unknown).is_some(), terms.contains_key(&unknown));
        }

        /// A digest stands before these bytes; should it ever agree by chance, nothing may panic.
        #[test]
        fn damaged_bytes_give_errors_or_wrong_words(at in 0usize..1000, value: u8, cut in 0usize..1000) {
            let texts = Texts::from([(1, 2), (300, 4)]);
            let terms = ["a", "bc", "d"].map(|term| (term.to_string(), (texts.clone(), texts.clone())));
            let mut bytes = write(&terms.into_iter().collect());
            let length = bytes.len();
            bytes[at % length] = value;
            bytes.truncate(length.saturating_sub(cut % 3));
            if let Ok(lexicon) = Lexicon::new(&bytes) {
                for number in 0..4 {
                    let (passages, documents) = lexicon.postings(number);
                    prop_assert!(passages.chain(documents).count() < 100);
                    let _ = (lexicon.term(number), lexicon.find("bc"));
                }
            }
        }
    }
}
