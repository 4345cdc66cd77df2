//! The retriever: finds the passages that may answer a question.

use std::path::Path;

use crate::index::UnitVector;
use crate::{Embedder, Index, IndexOrigin, Match, RagError, read_folder};

/// A passage that may answer the question.
#[derive(Debug, Clone, PartialEq)]
pub struct Hit {
    /// The passage.
    pub text: String,
    /// Its document's title.
    pub title: String,
    /// Its document's source, to cite.
    pub source: String,
    /// Cosine of the question and the passage, in `[-1, 1]`: higher is better.
    pub score: f32,
}

/// How a [`Retriever`] chooses.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Selection {
    /// Nearest passages among which to choose.
    pub fetch_k: usize,
    /// Weight of relevance against novelty, in `[0, 1]`: 1 takes the nearest passages even if they all
    /// say the same.
    pub lambda: f32,
    /// Score below which a passage is no answer.
    pub min_score: f32,
}

impl Default for Selection {
    fn default() -> Self {
        Selection { fetch_k: 20, lambda: 0.5, min_score: 0.3 }
    }
}

/// A knowledge base that can be searched.
pub struct Retriever {
    embedder: Box<dyn Embedder>,
    index: Index,
    origin: IndexOrigin,
    selection: Selection,
}

impl Retriever {
    /// Reads the documents of `folder` and opens their index, which is kept in the file `cache` if one
    /// is given.
    ///
    /// # Errors
    /// If a document cannot be read or embedded, or `cache` cannot be written.
    pub fn open(folder: &Path, embedder: Box<dyn Embedder>, cache: Option<&Path>) -> Result<Self, RagError> {
        let documents = read_folder(folder)?;
        let (index, origin) = Index::open_or_build(&documents, embedder.as_ref(), cache)?;
        Ok(Retriever { embedder, index, origin, selection: Selection::default() })
    }

    /// The same, choosing by `selection`.
    ///
    /// # Errors
    /// If a field of it is out of range.
    pub fn with_selection(mut self, selection: Selection) -> Result<Self, RagError> {
        let bad = |option, value: f32, expected: &str| {
            Err(RagError::Option { option, value: value.to_string(), expected: expected.into() })
        };
        if !(0.0..=1.0).contains(&selection.lambda) {
            return bad("lambda", selection.lambda, "between 0 and 1");
        }
        if !(-1.0..=1.0).contains(&selection.min_score) {
            return bad("min_score", selection.min_score, "between -1 and 1");
        }
        self.selection = selection;
        Ok(self)
    }

    /// At most `k` passages for `question`, the first of them the nearest and each further one near
    /// and unlike those before it; none if nothing in the knowledge base is near enough.
    ///
    /// # Errors
    /// If the question cannot be embedded.
    pub fn search(&self, question: &str, k: usize) -> Result<Vec<Hit>, RagError> {
        let Selection { fetch_k, lambda, min_score } = self.selection;
        let queries = UnitVector::embed(self.embedder.as_ref(), &[question])?;
        let Some(query) = queries.first() else { return Ok(Vec::new()) };
        let mut near = self.index.search(query, fetch_k.max(k));
        near.retain(|candidate| candidate.score >= min_score);
        let chosen = self.maximal_marginal_relevance(near, k, lambda);
        let hit = |chosen: Match| {
            let chunk = self.index.chunk(chosen.chunk)?;
            let (text, title) = (chunk.text.clone(), chunk.title.clone());
            Some(Hit { text, title, source: chunk.source.clone(), score: chosen.score })
        };
        Ok(chosen.into_iter().filter_map(hit).collect())
    }

    /// Where the index came from: its cache, or built anew and why.
    pub fn origin(&self) -> &IndexOrigin {
        &self.origin
    }

    /// The index.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// Takes `k` of `candidates` one by one, each time the one with the largest
    ///
    /// `lambda · cos(candidate, query) - (1 - lambda) · max over the chosen of cos(candidate, chosen)`
    ///
    /// Source: Carbonell & Goldstein 1998, "The use of MMR", eq. 1.
    fn maximal_marginal_relevance(&self, mut candidates: Vec<Match>, k: usize, lambda: f32) -> Vec<Match> {
        let likeness = |a: &Match, b: &Match| {
            let pair = self.index.vector(a.chunk).zip(self.index.vector(b.chunk));
            pair.map_or(0.0, |(a, b)| a.cosine(b))
        };
        let mut chosen: Vec<Match> = Vec::new();
        while chosen.len() < k {
            let marginal = |candidate: &Match| {
                let known = chosen.iter().map(|chosen| likeness(candidate, chosen)).reduce(f32::max);
                lambda * candidate.score - (1.0 - lambda) * known.unwrap_or(0.0)
            };
            // `max_by` keeps the last of equals; reversed, that is the nearest one.
            let gains = candidates.iter().map(marginal).enumerate().rev();
            let Some((best, _)) = gains.max_by(|a, b| a.1.total_cmp(&b.1)) else { break };
            chosen.push(candidates.remove(best));
        }
        chosen
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::bag_of_words::BagOfWords;

    fn retriever(articles: &[(&str, &str)], selection: Selection) -> Retriever {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in articles {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let retriever = Retriever::open(folder.path(), Box::new(BagOfWords::default()), None).unwrap();
        retriever.with_selection(selection).unwrap()
    }

    const SHOP: [(&str, &str); 4] = [
        ("a.md", "# Cancel\n\nYou can cancel your order within one day."),
        ("b.md", "# Cancel\n\nYou can cancel your order within one day!"),
        ("c.md", "# Refund\n\nCancel late and the order becomes a refund."),
        ("d.md", "# Parcels\n\nTrack parcels with the number in our message."),
    ];

    fn sources(hits: &[Hit]) -> Vec<&str> {
        hits.iter().map(|hit| hit.source.as_str()).collect()
    }

    #[test]
    fn a_hit_carries_what_a_citation_needs() {
        let retriever = retriever(&SHOP, Selection { min_score: 0.1, ..Selection::default() });
        let hits = retriever.search("track parcels", 1).unwrap();
        assert_eq!((hits[0].title.as_str(), hits[0].source.as_str()), ("Parcels", "d.md"));
        assert!(hits[0].text.contains("number in our message"));
        assert!(hits[0].score > 0.3 && hits[0].score <= 1.0);
    }

    #[test]
    fn relevance_alone_repeats_itself_and_marginal_relevance_does_not() {
        let selection = Selection { min_score: 0.1, ..Selection::default() };
        let question = "cancel your order";
        let nearest = retriever(&SHOP, Selection { lambda: 1.0, ..selection });
        assert_eq!(sources(&nearest.search(question, 2).unwrap()), ["a.md", "b.md"]);
        let varied = retriever(&SHOP, selection);
        assert_eq!(sources(&varied.search(question, 2).unwrap()), ["a.md", "c.md"]);
    }

    #[test]
    fn nothing_near_enough_is_no_answer() {
        let retriever = retriever(&SHOP, Selection::default());
        assert_eq!(retriever.search("quantum chromodynamics", 3).unwrap(), []);
        assert_eq!(retriever.search("", 3).unwrap(), []);
        assert_eq!(retriever.search("track parcels", 0).unwrap(), []);
    }

    #[test]
    fn refuses_a_selection_out_of_range() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.md"), "text").unwrap();
        let open = || Retriever::open(folder.path(), Box::new(BagOfWords::default()), None).unwrap();
        let error = open().with_selection(Selection { lambda: 1.5, ..Selection::default() }).err().unwrap();
        assert_eq!(error.to_string(), "lambda is 1.5; it must be between 0 and 1");
        let error = open().with_selection(Selection { min_score: f32::NAN, ..Selection::default() });
        assert!(error.err().unwrap().to_string().starts_with("min_score is NaN"));
    }
}
