//! Likeness of texts by their letters: near copies of an example in any language, whatever the embedder knows.

use std::collections::{HashMap, HashSet};

/// Texts by their letter trigrams and words, weighted by how rare these are.
#[derive(Debug, Clone, Default)]
pub(super) struct NGrams {
    /// Each n-gram's weight, and the texts that have it.
    postings: HashMap<String, (f32, Vec<u32>)>,
    norms: Vec<f32>,
    unknown: f32,
}

impl NGrams {
    /// Of texts in the form of [`words`](super::message::words), joined by spaces.
    pub fn of<'a>(texts: impl Iterator<Item = &'a str>) -> Self {
        let mut postings: HashMap<String, (f32, Vec<u32>)> = HashMap::new();
        let mut grams_of = Vec::new();
        for (number, text) in texts.enumerate() {
            let grams = grams(text);
            for gram in &grams {
                postings.entry(gram.clone()).or_default().1.push(number as u32);
            }
            grams_of.push(grams);
        }
        let count = grams_of.len() as f32;
        let unknown = (count + 1.0).ln();
        for (weight, texts) in postings.values_mut() {
            *weight = ((count + 1.0) / (texts.len() as f32 + 0.5)).ln();
        }
        let weight = |gram: &String| postings.get(gram).map_or(0.0, |(weight, _)| weight * weight);
        let norms = grams_of.iter().map(|grams| grams.iter().map(weight).sum::<f32>().sqrt()).collect();
        NGrams { postings, norms, unknown }
    }

    /// The cosine of `text` and each text that shares an n-gram with it, as (text, cosine), in no order.
    pub fn likeness(&self, text: &str) -> Vec<(usize, f32)> {
        let mut dots: HashMap<u32, f32> = HashMap::new();
        let mut square = 0.0;
        for gram in grams(text) {
            match self.postings.get(&gram) {
                Some((weight, texts)) => {
                    square += weight * weight;
                    for number in texts {
                        *dots.entry(*number).or_default() += weight * weight;
                    }
                }
                None => square += self.unknown * self.unknown,
            }
        }
        let norm = square.sqrt().max(1e-6);
        let cosine = |(number, dot): (u32, f32)| {
            let other = self.norms.get(number as usize).copied().unwrap_or(1.0).max(1e-6);
            (number as usize, dot / (norm * other))
        };
        dots.into_iter().map(cosine).collect()
    }
}

/// The trigrams of `text`, its ends and spaces being letters, and its words.
fn grams(text: &str) -> HashSet<String> {
    let characters: Vec<char> = format!(" {text} ").chars().collect();
    let trigrams = characters.windows(3).map(|gram| gram.iter().collect());
    trigrams.chain(text.split(' ').map(|word| format!("={word}"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_copy_is_nearest() {
        let texts = ["cuentame un chiste", "donde esta mi pedido", "quiero hablar con una persona"];
        let ngrams = NGrams::of(texts.into_iter());
        let nearest = |text| {
            let best = ngrams.likeness(text).into_iter().max_by(|a, b| a.1.total_cmp(&b.1));
            best.map(|(number, cosine)| (number, (cosine * 100.0).round()))
        };
        assert_eq!(nearest("donde esta mi pedido"), Some((1, 100.0)));
        let (number, cosine) = nearest("quisiera hablar con una persona").unwrap();
        assert!(number == 2 && cosine > 50.0 && cosine < 100.0, "{cosine}");
        assert_eq!(nearest("xyz"), None);
        assert_eq!(nearest(""), None);
    }
}
