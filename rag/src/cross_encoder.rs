//! Cross-encoders: a BERT that reads a question and a text together and says how well the text answers.

#[cfg(test)]
mod tests;
mod weights;

use std::path::Path;
use std::sync::Arc;

use burn::tensor::{Device, Tensor, TensorData};
use engine::quant::Format;
use tokenizers::{Tokenizer, TruncationDirection, TruncationParams, TruncationStrategy};

use crate::RagError;
use crate::bert::Bert;
use crate::sentence_encoder::{EncoderFolder, SafetensorsWeights};
use weights::{Adapter, Merged};

/// Tokens of a question and a text together that are read; the longer of both is cut. What it was trained with.
const MOST_TOKENS: usize = 112;

/// A LoRA adapter on a sentence encoder, with a head: `score = head · mean(BERT([CLS] question [SEP] text [SEP]))`
/// (Nogueira & Cho 2019, arXiv:1901.04085, with the mean in place of the first token's state, as the sentence encoder
/// was trained). A score of 0 is as good as no answer.
#[derive(Debug)]
pub struct CrossEncoder {
    bert: Bert,
    tokenizer: Tokenizer,
    /// `[hidden, 1]`
    head: Tensor<2>,
    bias: f32,
    path: String,
}

impl CrossEncoder {
    /// Opens the adapter in the folder `adapter` on the sentence encoder in the folder `encoder`.
    ///
    /// # Errors
    /// If a file is missing, or the adapter is none of this encoder.
    pub fn open(encoder: &Path, adapter: &Path, device: &Device) -> Result<Self, RagError> {
        let folder = EncoderFolder::open(encoder)?;
        let mut adapter = Adapter::open(adapter)?;
        let hidden = folder.config.hidden_size;
        let head = TensorData::new(adapter.read("head.weight", &[1, hidden])?, [hidden, 1]);
        let bias = adapter.read("head.bias", &[1])?.first().copied().unwrap_or_default();
        let path = adapter.file.path().display().to_string();
        let words = Arc::new(folder.words()?);
        let format = Some(Format::Q8_0);
        let encoder_weights = SafetensorsWeights { file: folder.file, device: device.clone(), format };
        let mut weights = Merged { encoder: encoder_weights, adapter };
        let config = folder.config;
        if config.type_vocab_size < 2 {
            let reason = "type_vocab_size is 1: the encoder cannot tell a question from a text";
            return Err(RagError::file(&encoder.join("config.json"), reason));
        }
        let most = MOST_TOKENS.min(config.max_tokens());
        let bert = Bert::load(config, words, &mut weights, device)?;
        weights.adapter.check_all_used()?;
        let mut tokenizer = folder.tokenizer;
        let truncation = TruncationParams {
            max_length: most,
            strategy: TruncationStrategy::LongestFirst,
            // What is asked and the sentence stand last, after the question before and the headings.
            direction: TruncationDirection::Left,
            ..TruncationParams::default()
        };
        tokenizer
            .with_truncation(Some(truncation))
            .map_err(|error| RagError::Embedding { embedder: path.clone(), reason: error.to_string() })?;
        Ok(CrossEncoder { bert, tokenizer, head: Tensor::from_data(head, device), bias, path })
    }

    /// How well each of `texts` answers `question`: the higher, the better.
    ///
    /// # Errors
    /// If a text cannot be tokenized.
    pub fn scores(&self, question: &str, texts: &[&str]) -> Result<Vec<f32>, RagError> {
        if texts.is_empty() {
            return Ok(Vec::new());
        }
        let (mut tokens, mut lengths, mut firsts) = (Vec::new(), Vec::new(), Vec::new());
        for text in texts {
            let encoding =
                self.tokenizer.encode_fast((question, *text), true).map_err(|error| self.error(error))?;
            lengths.push(encoding.len());
            firsts.push(encoding.get_type_ids().iter().filter(|kind| **kind == 0).count());
            tokens.extend_from_slice(encoding.get_ids());
        }
        let states =
            self.bert.forward_pairs(&tokens, &lengths, &firsts).map_err(|error| self.error(error))?; // [tokens, hidden]
        let mut start = 0;
        let mut means = Vec::with_capacity(lengths.len());
        for &length in &lengths {
            means.push(states.clone().narrow(0, start, length).mean_dim(0)); // [1, hidden]
            start += length;
        }
        let scores = Tensor::cat(means, 0).matmul(self.head.clone()) + self.bias; // [texts, 1]
        let scores: Vec<f32> = scores.try_into_vec_as().map_err(|error| self.error(error))?;
        match scores.iter().all(|score| score.is_finite()) {
            true => Ok(scores),
            false => Err(self.error("its weights make scores that are no finite numbers")),
        }
    }

    fn error(&self, reason: impl ToString) -> RagError {
        RagError::Embedding { embedder: self.path.clone(), reason: reason.to_string() }
    }
}
