//! Every metric over a data set, as a whole and by category.

use std::collections::BTreeMap;

use engine::Nll;
use serde::Serialize;

use super::bleu::corpus_bleu;
use super::chrf::corpus_chrf;
use super::comparison::{Comparison, exact_match};
use super::rouge::Rouge;

/// One row of a data set with a model's answer to it.
#[derive(Debug, Clone, Copy)]
pub struct AnsweredRow<'a> {
    /// The answer beside the one wanted.
    pub pair: Comparison<'a>,
    /// How likely the model found the answer that was wanted.
    pub nll: Nll,
    /// What kind of question it was, where the data says.
    pub category: Option<&'a str>,
}

/// The figures of some answers: BLEU and chrF from 0 to 100, exact match and ROUGE from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Scores {
    /// Answers that were scored.
    pub rows: usize,
    /// `exp` of the mean negative log-likelihood of the wanted answers' tokens; NaN if there are none.
    pub perplexity: f64,
    /// Share of the answers that are the ones wanted ([`exact_match`]).
    pub exact_match: f64,
    /// [`corpus_bleu`].
    pub bleu: f64,
    /// [`corpus_chrf`].
    pub chrf: f64,
    /// Mean F-measure of ROUGE-1, without stemming.
    pub rouge1: f64,
    /// Mean F-measure of ROUGE-2, without stemming.
    pub rouge2: f64,
    /// Mean F-measure of ROUGE-L, without stemming.
    #[serde(rename = "rougeL")]
    pub rouge_l: f64,
}

/// A model's figures on a data set.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Evaluation {
    /// Over all rows.
    pub overall: Scores,
    /// By category; rows without one are under the empty name, and there is nothing here where none
    /// has one.
    pub categories: BTreeMap<String, Scores>,
}

impl Evaluation {
    /// Scores all answers.
    pub fn of(answers: &[AnsweredRow<'_>]) -> Self {
        let mut groups: BTreeMap<&str, Vec<AnsweredRow<'_>>> = BTreeMap::new();
        if answers.iter().any(|answer| answer.category.is_some()) {
            for &answer in answers {
                groups.entry(answer.category.unwrap_or_default()).or_default().push(answer);
            }
        }
        let categories = groups.into_iter().map(|(name, answers)| (name.to_owned(), Scores::of(&answers)));
        Self { overall: Scores::of(answers), categories: categories.collect() }
    }
}

impl Scores {
    /// Scores some answers.
    pub fn of(answers: &[AnsweredRow<'_>]) -> Self {
        let pairs = || answers.iter().map(|answer| answer.pair);
        let mean = |sum: f64| sum / answers.len().max(1) as f64;
        let (mut nll, mut rouge1, mut rouge2, mut rouge_l) = (Nll::default(), 0.0, 0.0, 0.0);
        for answer in answers {
            nll.sum += answer.nll.sum;
            nll.tokens += answer.nll.tokens;
            let scores = Rouge::default().score(answer.pair);
            rouge1 += scores.rouge1.fmeasure;
            rouge2 += scores.rouge2.fmeasure;
            rouge_l += scores.rouge_l.fmeasure;
        }
        Self {
            rows: answers.len(),
            perplexity: nll.perplexity(),
            exact_match: mean(pairs().filter(|&pair| exact_match(pair)).count() as f64),
            bleu: corpus_bleu(pairs()),
            chrf: corpus_chrf(pairs()),
            rouge1: mean(rouge1),
            rouge2: mean(rouge2),
            rouge_l: mean(rouge_l),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer<'a>(
        prediction: &'a str,
        reference: &'a str,
        category: Option<&'a str>,
        tokens: usize,
    ) -> AnsweredRow<'a> {
        let nll = Nll { sum: 2.0, tokens };
        AnsweredRow { pair: Comparison { prediction, reference }, nll, category }
    }

    #[test]
    fn categories_are_scored_apart() {
        let answers = [
            answer("yes it is", "yes it is", Some("b"), 1),
            answer("no", "yes", None, 2),
            answer("yes", "yes it is", Some("b"), 3),
        ];
        let Evaluation { overall, categories } = Evaluation::of(&answers);
        assert_eq!(categories.keys().collect::<Vec<_>>(), ["", "b"]);
        assert_eq!(categories["b"], Scores::of(&[answers[0], answers[2]]));
        assert_eq!((overall.rows, categories["b"].rows), (3, 2));
        assert_eq!(categories["b"].exact_match, 0.5);
        assert_eq!(categories["b"].rouge1, 0.75);
        // By tokens, not by rows.
        assert_eq!(overall.perplexity, f64::exp(6.0 / 6.0));
        assert_eq!(categories["b"].perplexity, f64::exp(4.0 / 4.0));
    }

    #[test]
    fn without_categories_there_are_none() {
        assert!(Evaluation::of(&[answer("a", "b", None, 1)]).categories.is_empty());
        let nothing = Scores::of(&[]);
        assert!(nothing.perplexity.is_nan());
        assert_eq!((nothing.rows, nothing.exact_match, nothing.rouge_l), (0, 0.0, 0.0));
    }
}
