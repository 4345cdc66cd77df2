//! Against sacrebleu, rouge-score and NLTK: see `tests/fixtures/text_metrics.py`.

use serde::Deserialize;

use super::*;
use crate::metrics::comparison::is_python_space;

/// Their sums run in other orders.
const TOLERANCE: f64 = 1e-9;

#[derive(Deserialize)]
struct Fixture {
    lines: Vec<(String, String)>,
    stems: Vec<(String, String)>,
    pairs: Vec<Case>,
    corpus: Corpora,
}

#[derive(Deserialize)]
struct Case {
    prediction: String,
    reference: String,
    bleu: f64,
    chrf: f64,
    rouge: Expected,
    rouge_stemmed: Expected,
}

#[derive(Deserialize)]
struct Expected {
    rouge1: [f64; 3],
    rouge2: [f64; 3],
    #[serde(rename = "rougeL")]
    rouge_l: [f64; 3],
}

#[derive(Deserialize)]
struct Corpora {
    all: Corpus,
    first: Corpus,
}

#[derive(Deserialize)]
struct Corpus {
    bleu: f64,
    chrf: f64,
}

fn fixture() -> Fixture {
    serde_json::from_str(include_str!("../../../tests/fixtures/text_metrics.json")).unwrap()
}

impl Case {
    fn pair(&self) -> Comparison<'_> {
        Comparison { prediction: &self.prediction, reference: &self.reference }
    }
}

fn assert_close(actual: f64, expected: f64, case: &str) {
    assert!((actual - expected).abs() < TOLERANCE, "{case}: {actual} instead of {expected}");
}

#[test]
fn marks_stand_alone_and_numbers_stay_whole() {
    for (line, expected) in fixture().lines {
        let tokens = tokenizer_13a::tokenize(&line);
        let words: Vec<_> = tokens.split(is_python_space).filter(|word| !word.is_empty()).collect();
        assert_eq!(words.join(" "), expected, "{line:?}");
    }
}

#[test]
fn stems_are_nltks() {
    for (word, expected) in fixture().stems {
        assert_eq!(porter::stem(&word), expected, "{word}");
    }
}

#[test]
fn pairs_score_as_in_python() {
    for case in fixture().pairs {
        let pair = case.pair();
        assert_close(sentence_bleu(pair), case.bleu, &format!("BLEU {pair:?}"));
        assert_close(sentence_chrf(pair), case.chrf, &format!("chrF {pair:?}"));
        for (use_stemmer, expected) in [(false, &case.rouge), (true, &case.rouge_stemmed)] {
            let scores = Rouge { use_stemmer }.score(pair);
            for (score, expected) in [
                (scores.rouge1, expected.rouge1),
                (scores.rouge2, expected.rouge2),
                (scores.rouge_l, expected.rouge_l),
            ] {
                let actual = [score.precision, score.recall, score.fmeasure];
                for (actual, expected) in actual.into_iter().zip(expected) {
                    assert_close(actual, expected, &format!("ROUGE {pair:?}, stemmed: {use_stemmer}"));
                }
            }
        }
    }
}

#[test]
fn a_corpus_is_scored_as_one() {
    let Fixture { pairs, corpus, .. } = fixture();
    for (cases, expected) in [(&pairs[..], corpus.all), (&pairs[..1], corpus.first)] {
        assert_close(corpus_bleu(cases.iter().map(Case::pair)), expected.bleu, "BLEU");
        assert_close(corpus_chrf(cases.iter().map(Case::pair)), expected.chrf, "chrF");
    }
    assert_eq!((corpus_bleu([]), corpus_chrf([])), (0.0, 0.0));
}

#[test]
fn only_white_space_around_an_answer_may_differ() {
    let matches = |prediction, reference| exact_match(Comparison { prediction, reference });
    assert!(matches(" Yes.\n", "Yes."));
    assert!(!matches("yes.", "Yes."));
    assert!(!matches("Yes .", "Yes."));
}
