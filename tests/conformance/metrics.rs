//! BLEU and chrF against sacrebleu, ROUGE against rouge-score: see `metrics/SOURCE.txt` in the
//! reference data.

use llama::metrics::{Comparison, Rouge, RougeScore, sentence_bleu, sentence_chrf};
use serde::Deserialize;

use super::{Tally, json, reference};

/// The bar; their own sums run in other orders and differ by 1e-13.
const TOLERANCE: f64 = 1e-6;

#[derive(Deserialize)]
struct Pairs {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    reference: String,
    prediction: String,
    nostem: Expected,
    stem: Expected,
    bleu_sacre_sentence: f64,
    chrf2: f64,
}

/// Precision, recall and F.
#[derive(Deserialize)]
struct Expected {
    rouge1: [f64; 3],
    rouge2: [f64; 3],
    #[serde(rename = "rougeL")]
    rouge_l: [f64; 3],
}

#[test]
fn metrics_are_those_of_the_references() {
    let Some(path) = reference("metrics/pairs.json") else { return };
    let Pairs { cases } = json(&path);
    let (mut bleu, mut chrf, mut rouge) =
        (Tally::new("sacrebleu BLEU"), Tally::new("sacrebleu chrF"), Tally::new("rouge-score"));
    for (number, case) in cases.iter().enumerate() {
        let pair = Comparison { prediction: &case.prediction, reference: &case.reference };
        bleu.count(number, close(sentence_bleu(pair), case.bleu_sacre_sentence));
        chrf.count(number, close(sentence_chrf(pair), case.chrf2));
        for (use_stemmer, expected) in [(false, &case.nostem), (true, &case.stem)] {
            let scores = Rouge { use_stemmer }.score(pair);
            for (name, score, expected) in [
                ("ROUGE-1", scores.rouge1, expected.rouge1),
                ("ROUGE-2", scores.rouge2, expected.rouge2),
                ("ROUGE-L", scores.rouge_l, expected.rouge_l),
            ] {
                let RougeScore { precision, recall, fmeasure } = score;
                for (actual, expected) in [precision, recall, fmeasure].into_iter().zip(expected) {
                    rouge.count(format!("{number} {name}"), close(actual, expected));
                }
            }
        }
    }
    bleu.finish(&[]);
    chrf.finish(&[]);
    rouge.finish(&[]);
}

fn close(actual: f64, expected: f64) -> Result<(), String> {
    match (actual - expected).abs() <= TOLERANCE {
        true => Ok(()),
        false => Err(format!("{actual} instead of {expected}")),
    }
}
