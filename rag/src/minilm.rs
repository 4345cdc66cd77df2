//! MiniLM: a sentence-transformers BERT as an [`Embedder`].

mod weights;

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::Path;

use burn::tensor::{Device, Tensor};
use llama::files::safetensors::Safetensors;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokenizers::Tokenizer;

use crate::bert::{Bert, BertConfig};
use crate::{Embedder, RagError};
use weights::SafetensorsWeights;

/// Tokens of one forward pass: enough to keep the matrix products busy, little enough that the
/// activations stay in megabytes.
const BATCH_TOKENS: usize = 2048;

/// all-MiniLM-L6-v2, or any other BERT with mean pooling in the layout of sentence-transformers
/// (Reimers & Gurevych 2019, arXiv:1908.10084): `embed = normalize(mean(BERT(tokens)))`.
#[derive(Debug)]
pub struct MiniLm {
    id: String,
    bert: Bert,
    tokenizer: Tokenizer,
    max_tokens: usize,
}

impl MiniLm {
    /// Opens a folder with `config.json`, `tokenizer.json` and `model.safetensors`, and, if they are
    /// there, `sentence_bert_config.json` (for `max_seq_length`) and `1_Pooling/config.json`.
    ///
    /// # Errors
    /// If a file is missing, or is not that of a BERT with mean pooling.
    pub fn open(folder: &Path, device: &Device) -> Result<Self, RagError> {
        let config_path = folder.join("config.json");
        let config: BertConfig = read_json(&config_path)?;
        config.validate().map_err(|error| RagError::file(&config_path, error))?;
        check_pooling(&folder.join("1_Pooling/config.json"))?;
        let max_tokens = max_tokens(folder, &config)?;

        let tokenizer_path = folder.join("tokenizer.json");
        let tokenizer_json = fs::read(&tokenizer_path).map_err(RagError::io(&tokenizer_path))?;
        let tokenizer = open_tokenizer(&tokenizer_json).map_err(|e| RagError::file(&tokenizer_path, e))?;

        let weights_path = folder.join("model.safetensors");
        let file = Safetensors::open(&weights_path)?;
        let bert = Bert::load(config, &mut SafetensorsWeights { file, device: device.clone() }, device)?;

        let id = model_id(&weights_path, &tokenizer_json, max_tokens)?;
        Ok(MiniLm { id, bert, tokenizer, max_tokens })
    }

    /// The token ids of `text`, cut to `max_tokens` with the closing `[SEP]` kept.
    fn tokenize(&self, text: &str) -> Result<Vec<u32>, RagError> {
        let encoding = self.tokenizer.encode_fast(text, true).map_err(|error| self.error(error))?;
        let mut ids = encoding.get_ids().to_vec();
        if ids.len() > self.max_tokens {
            let last = ids.last().copied();
            ids.truncate(self.max_tokens - 1);
            ids.extend(last);
        }
        Ok(ids)
    }

    /// Mean of each text's token states, scaled to unit length.
    fn embed_batch(&self, tokens: &[u32], lengths: &[usize]) -> Result<Vec<Vec<f32>>, RagError> {
        let states = self.bert.forward(tokens, lengths)?; // [tokens, hidden]
        let mut start = 0;
        let mut means = Vec::with_capacity(lengths.len());
        for &length in lengths {
            means.push(states.clone().narrow(0, start, length).mean_dim(0)); // [1, hidden]
            start += length;
        }
        let means = Tensor::cat(means, 0); // [texts, hidden]
        let norms = means.clone().square().sum_dim(1).sqrt().clamp_min(1e-12); // [texts, 1]
        let flat: Vec<f32> = means.div(norms).try_into_vec_as().map_err(|error| self.error(error))?;
        Ok(flat.chunks(self.dim()).map(<[f32]>::to_vec).collect())
    }

    fn error(&self, reason: impl ToString) -> RagError {
        RagError::Embedding { embedder: self.id.clone(), reason: reason.to_string() }
    }
}

impl Embedder for MiniLm {
    fn id(&self) -> &str {
        &self.id
    }

    fn dim(&self) -> usize {
        self.bert.config().hidden_size
    }

    fn max_tokens(&self) -> usize {
        self.max_tokens
    }

    fn count_tokens(&self, text: &str) -> Result<usize, RagError> {
        let encoding = self.tokenizer.encode_fast(text, true).map_err(|error| self.error(error))?;
        Ok(encoding.len())
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, RagError> {
        let mut vectors = Vec::with_capacity(texts.len());
        let (mut tokens, mut lengths) = (Vec::new(), Vec::new());
        for (index, text) in texts.iter().enumerate() {
            let ids = self.tokenize(text)?;
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
}

fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, RagError> {
    let bytes = fs::read(path).map_err(RagError::io(path))?;
    serde_json::from_slice(&bytes).map_err(|error| RagError::file(path, error))
}

/// Refuses models that do not pool by the mean, which is the default of a folder that does not say.
fn check_pooling(path: &Path) -> Result<(), RagError> {
    if !path.exists() {
        return Ok(());
    }
    let pooling: Value = read_json(path)?;
    let on = |mode: &&str| pooling.get(*mode).and_then(Value::as_bool) == Some(true);
    let others = ["pooling_mode_cls_token", "pooling_mode_max_tokens", "pooling_mode_mean_sqrt_len_tokens"];
    match others.iter().find(|mode| on(mode)) {
        Some(mode) => Err(RagError::file(path, format!("`{mode}` is not supported, only the mean"))),
        None => Ok(()),
    }
}

/// `max_seq_length` of sentence-transformers, else all the positions that the model has.
fn max_tokens(folder: &Path, config: &BertConfig) -> Result<usize, RagError> {
    let path = folder.join("sentence_bert_config.json");
    if !path.exists() {
        return Ok(config.max_position_embeddings);
    }
    let settings: Value = read_json(&path)?;
    let Some(length) = settings.get("max_seq_length").filter(|length| !length.is_null()) else {
        return Ok(config.max_position_embeddings);
    };
    // `[CLS]`, `[SEP]` and at least one token of text
    match length.as_u64().and_then(|length| usize::try_from(length).ok()) {
        Some(length) if (3..=config.max_position_embeddings).contains(&length) => Ok(length),
        _ => {
            let most = config.max_position_embeddings;
            Err(RagError::file(&path, format!("max_seq_length is {length}; expected 3 to {most}")))
        }
    }
}

/// The tokenizer without the truncation and padding that its file may carry, and with `[SEP]` and its
/// like in a text read as the words they are.
fn open_tokenizer(json: &[u8]) -> tokenizers::Result<Tokenizer> {
    let mut tokenizer = Tokenizer::from_bytes(json)?;
    tokenizer.with_truncation(None)?.with_padding(None);
    tokenizer.set_encode_special_tokens(true);
    Ok(tokenizer)
}

/// A digest of everything that decides the vectors.
fn model_id(weights: &Path, tokenizer_json: &[u8], max_tokens: usize) -> Result<String, RagError> {
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
    digest.update(max_tokens.to_le_bytes());
    let hex: String = digest.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("bert-{hex}"))
}
