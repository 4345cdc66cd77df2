//! Sentence encoders: a BERT in sentence-transformers' layout as an [`Embedder`].

mod folder;
mod settings;
#[cfg(test)]
pub(crate) mod tests;
mod weights;

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::sync::Arc;

use burn::tensor::{Device, Tensor};
use engine::quant::Format;
use sha2::{Digest, Sha256};
use tokenizers::Tokenizer;

use crate::bert::Bert;
use crate::{Embedder, RagError};
pub(crate) use folder::EncoderFolder;
use settings::{Pooling, Settings};
pub(crate) use weights::SafetensorsWeights;

/// Tokens of one forward pass: enough to keep the matrix products busy, little enough that the
/// activations stay in megabytes.
const BATCH_TOKENS: usize = 2048;

/// Questions and passages of which no two are about the same, to learn how like an encoder finds such texts.
const UNRELATED: [(&str, &str); 6] = [
    ("How much is a ticket to the zoo?", "The pump is cleaned with warm water and a soft brush."),
    ("My parcel has not arrived.", "Members can borrow up to eight films for a week."),
    ("Which vaccinations does a kitten need?", "Press the green button to start the printer."),
    ("Can I pay my rent by card?", "The bakery opens at six and closes when the bread is sold."),
    ("How do I reset my password?", "Trains to the coast run every hour in summer."),
    ("Is the soup vegetarian?", "A cracked screen is repaired within three days."),
];
/// Likeness of unrelated texts from which on they are taken to be crowded; below, their cosine is near enough to 0.
const CROWDED: f32 = 0.3;

/// How the weights of an encoder are kept and multiplied. Word embeddings stay in their file in either case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// 32-bit floats.
    F32,
    /// Blocks of 8 bits (Q8_0), multiplied as integers.
    Q8,
}

/// all-MiniLM-L6-v2, multilingual-e5-small, or any other BERT or RoBERTa in the layout of sentence-transformers
/// (Reimers & Gurevych 2019, arXiv:1908.10084): `embed = normalize(pool(BERT(prompt + text)))`.
#[derive(Debug)]
pub struct SentenceEncoder {
    id: String,
    bert: Bert,
    tokenizer: Tokenizer,
    settings: Settings,
    unrelated: f32,
}

impl SentenceEncoder {
    /// Opens a folder with `config.json`, `tokenizer.json` and `model.safetensors`, and what sentence-transformers
    /// keeps beside them, as far as it is there: the longest text, the pooling and the prompts.
    ///
    /// # Errors
    /// If a file is missing, or is not that of a BERT with mean or CLS pooling.
    pub fn open(folder: &Path, precision: Precision, device: &Device) -> Result<Self, RagError> {
        let files = EncoderFolder::open(folder)?;
        let settings = Settings::read(folder, &files.config)?;
        let words = files.words()?;
        let format = match precision {
            Precision::F32 => None,
            Precision::Q8 => Some(Format::Q8_0),
        };
        let EncoderFolder { config, tokenizer, tokenizer_json, file } = files;
        let weights_path = file.path().to_path_buf();
        let mut weights = SafetensorsWeights { file, device: device.clone(), format };
        let bert = Bert::load(config, Arc::new(words), &mut weights, device)?;

        let id = model_id(&weights_path, &tokenizer_json, &settings, precision)?;
        let mut encoder = SentenceEncoder { id, bert, tokenizer, settings, unrelated: 0.0 };
        let likeness = encoder.likeness_of_unrelated()?;
        encoder.unrelated = if likeness < CROWDED { 0.0 } else { likeness };
        Ok(encoder)
    }

    /// Mean cosine of questions and passages that have nothing to do with each other.
    fn likeness_of_unrelated(&self) -> Result<f32, RagError> {
        let (questions, passages): (Vec<&str>, Vec<&str>) = UNRELATED.into_iter().unzip();
        let (questions, passages) = (self.embed_questions(&questions)?, self.embed(&passages)?);
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
        let pairs =
            questions.iter().flat_map(|question| passages.iter().map(|passage| dot(question, passage)));
        Ok(pairs.sum::<f32>() / (questions.len() * passages.len()) as f32)
    }

    /// The token ids of `prompt` and `text`, cut to `max_tokens` with the closing token kept.
    fn tokenize(&self, prompt: &str, text: &str) -> Result<Vec<u32>, RagError> {
        let encoding = match prompt {
            "" => self.tokenizer.encode_fast(text, true),
            _ => self.tokenizer.encode_fast(format!("{prompt}{text}"), true),
        };
        let mut ids = encoding.map_err(|error| self.error(error))?.get_ids().to_vec();
        let most = self.settings.max_tokens;
        if ids.len() > most {
            let last = ids.last().copied();
            ids.truncate(most - 1);
            ids.extend(last);
        }
        Ok(ids)
    }

    fn embed_all(&self, prompt: &str, texts: &[&str]) -> Result<Vec<Vec<f32>>, RagError> {
        let mut vectors = Vec::with_capacity(texts.len());
        let (mut tokens, mut lengths) = (Vec::new(), Vec::new());
        for (index, text) in texts.iter().enumerate() {
            let ids = self.tokenize(prompt, text)?;
            lengths.push(ids.len());
            tokens.extend(ids);
            if tokens.len() >= BATCH_TOKENS || index + 1 == texts.len() {
                vectors.extend(self.embed_batch(&tokens, &lengths)?);
                tokens.clear();
                lengths.clear();
            }
        }
        Ok(vectors)
    }

    /// What stands for each text of its token states, scaled to unit length.
    fn embed_batch(&self, tokens: &[u32], lengths: &[usize]) -> Result<Vec<Vec<f32>>, RagError> {
        let states = self.bert.forward(tokens, lengths)?; // [tokens, hidden]
        let mut start = 0;
        let mut pooled = Vec::with_capacity(lengths.len());
        for &length in lengths {
            pooled.push(match self.settings.pooling {
                Pooling::Mean => states.clone().narrow(0, start, length).mean_dim(0), // [1, hidden]
                Pooling::First => states.clone().narrow(0, start, 1),
            });
            start += length;
        }
        let pooled = Tensor::cat(pooled, 0); // [texts, hidden]
        let norms = pooled.clone().square().sum_dim(1).sqrt().clamp_min(1e-12); // [texts, 1]
        let flat: Vec<f32> = pooled.div(norms).try_into_vec_as().map_err(|error| self.error(error))?;
        Ok(flat.chunks(self.dim()).map(<[f32]>::to_vec).collect())
    }

    fn error(&self, reason: impl ToString) -> RagError {
        RagError::Embedding { embedder: self.id.clone(), reason: reason.to_string() }
    }
}

impl Embedder for SentenceEncoder {
    fn id(&self) -> &str {
        &self.id
    }

    fn dim(&self) -> usize {
        self.bert.config().hidden_size
    }

    fn max_tokens(&self) -> usize {
        self.settings.max_tokens
    }

    fn count_tokens(&self, text: &str) -> Result<usize, RagError> {
        let prompt = &self.settings.passage_prompt;
        let encoding = match prompt.as_str() {
            "" => self.tokenizer.encode_fast(text, true),
            _ => self.tokenizer.encode_fast(format!("{prompt}{text}"), true),
        };
        Ok(encoding.map_err(|error| self.error(error))?.len())
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, RagError> {
        self.embed_all(&self.settings.passage_prompt, texts)
    }

    fn embed_questions(&self, questions: &[&str]) -> Result<Vec<Vec<f32>>, RagError> {
        self.embed_all(&self.settings.question_prompt, questions)
    }

    fn tells_questions_apart(&self) -> bool {
        self.settings.question_prompt != self.settings.passage_prompt
    }

    fn unrelated_cosine(&self) -> f32 {
        self.unrelated
    }
}

/// A digest of everything that decides the vectors.
fn model_id(
    weights: &Path,
    tokenizer_json: &[u8],
    settings: &Settings,
    precision: Precision,
) -> Result<String, RagError> {
    let mut digest = Sha256::new();
    let mut file = BufReader::with_capacity(1 << 20, File::open(weights).map_err(RagError::io(weights))?);
    loop {
        let bytes = file.fill_buf().map_err(RagError::io(weights))?;
        if bytes.is_empty() {
            break;
        }
        digest.update(bytes);
        let read = bytes.len();
        file.consume(read);
    }
    digest.update(tokenizer_json);
    digest.update(settings.max_tokens.to_le_bytes());
    // What is not the plain case is added, so that the ids of plain models stay what they were.
    if settings.pooling == Pooling::First {
        digest.update(b"first");
    }
    for (kind, prompt) in [(b"q", &settings.question_prompt), (b"p", &settings.passage_prompt)] {
        if !prompt.is_empty() {
            digest.update(kind);
            digest.update(prompt.len().to_le_bytes());
            digest.update(prompt);
        }
    }
    let hex: String = digest.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    Ok(match precision {
        Precision::F32 => format!("bert-{hex}"),
        Precision::Q8 => format!("bert-{hex}-q8"),
    })
}
