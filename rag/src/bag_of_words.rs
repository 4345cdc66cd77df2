//! An embedder for tests: each word is hashed to a direction, a text is the sum of its words.

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::{Embedder, RagError};

pub(crate) struct BagOfWords {
    pub id: String,
    pub dim: usize,
    pub max_tokens: usize,
}

impl Default for BagOfWords {
    fn default() -> Self {
        BagOfWords { id: "bag-of-words".into(), dim: 512, max_tokens: 256 }
    }
}

fn words(text: &str) -> impl Iterator<Item = String> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_lowercase)
}

impl Embedder for BagOfWords {
    fn id(&self) -> &str {
        &self.id
    }

    fn dim(&self) -> usize {
        self.dim
    }

    fn max_tokens(&self) -> usize {
        self.max_tokens
    }

    fn count_tokens(&self, text: &str) -> Result<usize, RagError> {
        Ok(words(text).count())
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, RagError> {
        let embed = |text: &&str| {
            let mut vector = vec![0.0f32; self.dim];
            for word in words(text) {
                let mut hasher = DefaultHasher::new();
                word.hash(&mut hasher);
                vector[hasher.finish() as usize % self.dim] += 1.0;
            }
            let norm = vector.iter().map(|x| x * x).sum::<f32>().sqrt().max(1e-12);
            vector.iter().map(|x| x / norm).collect()
        };
        Ok(texts.iter().map(embed).collect())
    }
}
