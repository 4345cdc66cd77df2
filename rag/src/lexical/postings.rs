//! Postings: for each term the texts that it stands in, scored by BM25.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

/// How soon a term's repetitions stop counting.
const K1: f32 = 1.2;
/// How much longer texts are held back, in `[0, 1]`.
const B: f32 = 0.75;

/// An inverted index of texts, which are numbered as they were added.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Postings {
    /// For each term, by its number.
    terms: Vec<Term>,
    /// Terms of each text, with repetitions.
    lengths: Vec<u32>,
    /// Texts and their terms, copies left out.
    distinct: u32,
    distinct_length: u64,
}

#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
struct Term {
    /// Texts with the term and how often it stands there, in the order of the texts.
    texts: Vec<(u32, u32)>,
    /// Number of those texts, copies left out.
    distinct: u32,
}

impl Postings {
    /// Adds a text by the numbers of its terms. A copy of an earlier text is found like that one, but
    /// its terms are no commoner for it.
    pub fn add(&mut self, terms: &[u32], is_copy: bool) {
        let text = self.lengths.len() as u32;
        self.lengths.push(terms.len() as u32);
        if !is_copy {
            self.distinct += 1;
            self.distinct_length += terms.len() as u64;
        }
        let mut counts: HashMap<u32, u32> = HashMap::new();
        for term in terms {
            *counts.entry(*term).or_default() += 1;
        }
        for (term, count) in counts {
            let term = term as usize;
            if term >= self.terms.len() {
                self.terms.resize(term + 1, Term::default());
            }
            if let Some(term) = self.terms.get_mut(term) {
                term.texts.push((text, count));
                term.distinct += u32::from(!is_copy);
            }
        }
    }

    /// Number of texts.
    pub fn len(&self) -> usize {
        self.lengths.len()
    }

    /// Number of distinct texts with a term.
    pub fn frequency(&self, term: u32) -> u32 {
        self.terms.get(term as usize).map_or(0, |term| term.distinct)
    }

    /// How much a term says: `ln(1 + (N - n + 0.5) / (n + 0.5))`, with `n` of `N` texts having it.
    pub fn weight(&self, term: Option<u32>) -> f32 {
        let n = term.map_or(0, |term| self.frequency(term)) as f32;
        (((self.distinct as f32 - n).max(0.0) + 0.5) / (n + 0.5)).ln_1p()
    }

    /// BM25 of every text, by its number; 0 for a text without any of the terms.
    ///
    /// `sum over words of weight · tf · (k1 + 1) / (tf + k1 · (1 - b + b · length / mean length))`
    ///
    /// Each element of `question` is one word by its alternatives, of which a text's best counts.
    ///
    /// Source: Robertson & Zaragoza 2009, "The Probabilistic Relevance Framework", eq. 3.15.
    pub fn score(&self, question: &[Vec<u32>]) -> Vec<f32> {
        let mut scores = vec![0.0; self.lengths.len()];
        let mut best: Vec<(u32, f32)> = Vec::new(); // of one word: its texts, with repetitions
        for alternatives in question {
            best.clear();
            alternatives.iter().for_each(|&term| self.score_term(term, &mut best));
            if alternatives.len() > 1 {
                best.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(b.1.total_cmp(&a.1)));
                best.dedup_by_key(|(text, _)| *text);
            }
            for &(text, score) in &best {
                if let Some(sum) = scores.get_mut(text as usize) {
                    *sum += score;
                }
            }
        }
        scores
    }

    fn score_term(&self, number: u32, scores: &mut Vec<(u32, f32)>) {
        let Some(term) = self.terms.get(number as usize) else { return };
        let mean = (self.distinct_length as f32 / self.distinct.max(1) as f32).max(1.0);
        let weight = self.weight(Some(number));
        scores.extend(term.texts.iter().map(|&(text, count)| {
            let length = self.lengths.get(text as usize).copied().unwrap_or_default() as f32;
            let count = count as f32;
            let saturated = count * (K1 + 1.0) / (count + K1 * (1.0 - B + B * length / mean));
            (text, weight * saturated)
        }));
    }

    /// A bound of what a word of that weight adds to a score.
    pub fn most(weight: f32) -> f32 {
        weight * (K1 + 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn best(postings: &Postings, question: &[Vec<u32>]) -> Vec<u32> {
        let mut scores: Vec<_> = (0..).zip(postings.score(question)).filter(|text| text.1 > 0.0).collect();
        scores.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        scores.into_iter().map(|(text, _)| text).collect()
    }

    #[test]
    fn rare_terms_repetitions_and_short_texts_count_more() {
        let mut postings = Postings::default();
        for terms in [vec![0, 1], vec![0, 2], vec![0, 2, 2], vec![0, 1, 3, 3, 3, 3]] {
            postings.add(&terms, false);
        }
        assert_eq!(best(&postings, &[vec![0], vec![1]])[..2], [0, 3]);
        assert_eq!(best(&postings, &[vec![2]]), [2, 1]);
        assert_eq!(best(&postings, &[vec![9]]), [0u32; 0]);
        assert!(postings.weight(None) > postings.weight(Some(1)));
        assert!(postings.weight(Some(1)) > postings.weight(Some(0)));
    }

    #[test]
    fn copies_do_not_make_a_term_common() {
        let (mut once, mut often) = (Postings::default(), Postings::default());
        for postings in [&mut once, &mut often] {
            postings.add(&[0, 1], false);
            postings.add(&[2], false);
        }
        (0..100).for_each(|_| often.add(&[2], true));
        assert_eq!(once.weight(Some(2)), often.weight(Some(2)));
        assert_eq!(once.score(&[vec![2]])[1], often.score(&[vec![2]])[57]);
    }

    #[test]
    fn of_a_words_alternatives_the_best_counts_once() {
        let mut postings = Postings::default();
        postings.add(&[0, 1], false);
        postings.add(&[2], false);
        let both = postings.score(&[vec![0, 1]])[0];
        assert_eq!(both, postings.score(&[vec![0]])[0]);
        assert!(both <= Postings::most(postings.weight(Some(0))));
    }
}
