//! What a [`Retriever`](crate::Retriever) ranks by, and what it keeps of the ranking.

use crate::RagError;

/// Weights of the rankings that are fused. Only their proportions matter; 0 leaves a ranking out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Weights {
    /// Documents by the cosine of their nearest passage.
    pub dense: f32,
    /// Documents by BM25 of their best passage.
    pub passages: f32,
    /// Documents by BM25 of all their text.
    pub documents: f32,
}

/// How a [`Retriever`](crate::Retriever) chooses.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Selection {
    /// Documents taken from each ranking.
    pub depth: usize,
    /// How the rankings count.
    pub weights: Weights,
    /// Share of the mean of a document's vectors in its dense score, in `[0, 1]`; the rest is that of its
    /// nearest passage.
    pub document_mean: f32,
    /// Weight of relevance against novelty among the documents found, in `[0, 1]`: 1 keeps the order of
    /// their scores, less prefers passages unlike those before them (maximal marginal relevance).
    pub lambda: f32,
    /// A passage is an answer from this dense score on, …
    pub min_score: f32,
    /// … or from this lexical score on, or if it has a product code of the question.
    pub min_lexical: f32,
}

impl Default for Selection {
    fn default() -> Self {
        let weights = Weights { dense: 1.0, passages: 0.5, documents: 0.5 };
        Selection { depth: 50, weights, document_mean: 0.0, lambda: 1.0, min_score: 0.3, min_lexical: 0.4 }
    }
}

impl Selection {
    /// The same without a least score: what is nearest, however far.
    pub fn without_threshold(self) -> Self {
        Selection { min_score: -1.0, min_lexical: 0.0, ..self }
    }

    /// Checks that every field is in its range.
    ///
    /// # Errors
    /// Names the first that is not.
    pub fn validate(&self) -> Result<(), RagError> {
        let Weights { dense, passages, documents } = self.weights;
        let check = |option, value: f32, good: bool, expected: &str| match good {
            true => Ok(()),
            false => Err(RagError::Option { option, value: value.to_string(), expected: expected.into() }),
        };
        let share =
            |option, value: f32| check(option, value, (0.0..=1.0).contains(&value), "between 0 and 1");
        for (option, weight) in
            [("weights.dense", dense), ("weights.passages", passages), ("weights.documents", documents)]
        {
            check(option, weight, weight.is_finite() && weight >= 0.0, "0 or more")?;
        }
        let all = dense + passages + documents;
        check("the sum of weights", all, all > 0.0 && all.is_finite(), "more than 0")?;
        check("depth", self.depth as f32, self.depth > 0, "1 or more")?;
        share("document_mean", self.document_mean)?;
        share("lambda", self.lambda)?;
        share("min_lexical", self.min_lexical)?;
        check("min_score", self.min_score, (-1.0..=1.0).contains(&self.min_score), "between -1 and 1")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_out_of_its_range_is_named() {
        let default = Selection::default();
        assert!(default.validate().is_ok() && default.without_threshold().validate().is_ok());
        let no_weights = Weights { dense: 0.0, passages: 0.0, documents: 0.0 };
        for (selection, message) in [
            (Selection { lambda: 1.5, ..default }, "lambda is 1.5; it must be between 0 and 1"),
            (Selection { min_score: f32::NAN, ..default }, "min_score is NaN; it must be between -1 and 1"),
            (
                Selection { document_mean: -0.1, ..default },
                "document_mean is -0.1; it must be between 0 and 1",
            ),
            (Selection { depth: 0, ..default }, "depth is 0; it must be 1 or more"),
            (Selection { weights: no_weights, ..default }, "the sum of weights is 0; it must be more than 0"),
            (
                Selection { weights: Weights { dense: f32::INFINITY, ..default.weights }, ..default },
                "weights.dense is inf; it must be 0 or more",
            ),
        ] {
            assert_eq!(selection.validate().unwrap_err().to_string(), message);
        }
    }
}
