//! An embedder without a model: each word is hashed to a direction, a text is the sum of its words.

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::{Embedder, RagError};

/// Knows words and nothing of their meaning: for tests, where a model would be slow and would have to be there.
#[derive(Debug, Clone)]
pub struct BagOfWords {
    /// Its name.
    pub id: String,
    /// Length of its vectors.
    pub dim: usize,
    /// Words that it looks at.
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

#[cfg(test)]
pub(crate) use counting::Counting;

#[cfg(test)]
mod counting {
    use std::sync::Mutex;

    use super::BagOfWords;
    use crate::{Embedder, RagError};

    /// Counts what it embeds.
    #[derive(Default)]
    pub(crate) struct Counting {
        pub inner: BagOfWords,
        pub texts: Mutex<Vec<String>>,
    }

    impl Counting {
        /// What was embedded since the last call.
        pub fn embedded(&self) -> Vec<String> {
            std::mem::take(&mut self.texts.lock().unwrap())
        }
    }

    impl Embedder for Counting {
        fn id(&self) -> &str {
            self.inner.id()
        }

        fn dim(&self) -> usize {
            self.inner.dim()
        }

        fn max_tokens(&self) -> usize {
            self.inner.max_tokens()
        }

        fn count_tokens(&self, text: &str) -> Result<usize, RagError> {
            self.inner.count_tokens(text)
        }

        fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, RagError> {
            self.texts.lock().unwrap().extend(texts.iter().map(|text| text.to_string()));
            self.inner.embed(texts)
        }
    }
}
