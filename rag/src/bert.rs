//! BERT: a transformer encoder (Devlin et al. 2018, arXiv:1810.04805), as MiniLM, E5 and XLM-RoBERTa use it.
//!
//! A batch is flat: the tokens of all texts one after another, `[tokens, hidden]`, with the length of
//! each text. There is no padding and no mask; only attention looks at the lengths, since a token sees
//! the tokens of its own text.

mod config;
mod layers;
mod words;

use std::sync::Arc;

use burn::tensor::activation::gelu;
use burn::tensor::module::attention;
use burn::tensor::ops::AttentionModuleOptions;
use burn::tensor::{Device, Int, Tensor, TensorData};
use engine::{EngineError, WeightSource};

pub use config::BertConfig;
pub(crate) use layers::name_of_words;
use layers::{BertWeights, LayerNorm, Linear};
pub use words::WordRows;

/// A BERT encoder.
#[derive(Debug, Clone)]
pub struct Bert {
    config: BertConfig,
    device: Device,
    embeddings: Embeddings,
    layers: Vec<Layer>,
}

/// The sum of the embeddings of a token, its position, and its text's number in a pair.
#[derive(Debug, Clone)]
struct Embeddings {
    word: Arc<dyn WordRows>,
    position: Tensor<2>,
    token_type: Tensor<2>,
    norm: LayerNorm,
}

#[derive(Debug, Clone)]
struct Layer {
    num_heads: usize,
    query: Linear,
    key: Linear,
    value: Linear,
    attention_output: Linear,
    attention_norm: LayerNorm,
    intermediate: Linear,
    output: Linear,
    output_norm: LayerNorm,
}

impl Bert {
    /// Builds the model from a checkpoint with Hugging Face's names, with or without a prefix such as `bert.`; its
    /// word embeddings are `words`.
    ///
    /// # Errors
    /// If a weight is missing or does not have the shape that `config` says.
    pub fn load<S: WeightSource>(
        config: BertConfig,
        words: Arc<dyn WordRows>,
        source: &mut S,
        device: &Device,
    ) -> Result<Self, S::Error> {
        let mut weights = BertWeights::new(source);
        let embeddings = Embeddings::load(&config, words, &mut weights)?;
        let layers: Result<_, S::Error> = (0..config.num_hidden_layers)
            .map(|layer| Layer::load(&config, &mut weights, &format!("encoder.layer.{layer}")))
            .collect();
        Ok(Bert { layers: layers?, config, device: device.clone(), embeddings })
    }

    /// The configuration.
    pub fn config(&self) -> &BertConfig {
        &self.config
    }

    /// The last layer's states of every token.
    ///
    /// # Shapes
    /// - `tokens`: `[tokens]`, the texts one after another
    /// - `lengths`: `[texts]`, their numbers of tokens, none of them 0
    /// - returns `[tokens, hidden]`
    ///
    /// # Errors
    /// If a token is outside the vocabulary, or the lengths do not describe the tokens.
    pub fn forward(&self, tokens: &[u32], lengths: &[usize]) -> Result<Tensor<2>, EngineError> {
        self.forward_pairs(tokens, lengths, lengths)
    }

    /// The same of pairs of texts, which see each other.
    ///
    /// # Shapes
    /// - `tokens`: `[tokens]`, the pairs one after another
    /// - `lengths`: `[pairs]`, their numbers of tokens, none of them 0
    /// - `firsts`: `[pairs]`, how many of these belong to the first text of each pair
    /// - returns `[tokens, hidden]`
    ///
    /// # Errors
    /// As of [`forward`](Self::forward); and if a first text is longer than its pair, or a model that knows one kind
    /// of text is given a second one.
    pub fn forward_pairs(
        &self,
        tokens: &[u32],
        lengths: &[usize],
        firsts: &[usize],
    ) -> Result<Tensor<2>, EngineError> {
        self.check(tokens, lengths)?;
        let kinds = self.config.type_vocab_size.min(2);
        let fits = |(&first, &length): (&usize, &usize)| first == length || first < length && kinds == 2;
        if firsts.len() != lengths.len() || !firsts.iter().zip(lengths).all(fits) {
            let reason =
                format!("first texts of {firsts:?} tokens in pairs of {lengths:?}, {kinds} kinds of text");
            return Err(EngineError::Shape { what: "BERT batch".into(), reason });
        }
        let position = self.config.first_position();
        let mut x = self.embeddings.forward(tokens, lengths, firsts, position, &self.device)?; // [tokens, hidden]
        for layer in &self.layers {
            x = layer.forward(x, lengths);
        }
        Ok(x)
    }

    fn check(&self, tokens: &[u32], lengths: &[usize]) -> Result<(), EngineError> {
        let (vocab_size, most) = (self.config.vocab_size, self.config.max_tokens());
        if let Some(&token) = tokens.iter().find(|&&token| token as usize >= vocab_size) {
            return Err(EngineError::Token { token, vocab_size });
        }
        let longest = lengths.iter().copied().max().unwrap_or(0);
        if longest > most || lengths.contains(&0) || tokens.is_empty() {
            let reason = format!("a text of {longest} tokens; expected 1 to {most}");
            return Err(EngineError::Shape { what: "BERT batch".into(), reason });
        }
        if lengths.iter().sum::<usize>() != tokens.len() {
            let reason = format!("lengths {lengths:?} do not add up to {} tokens", tokens.len());
            return Err(EngineError::Shape { what: "BERT batch".into(), reason });
        }
        Ok(())
    }
}

impl Embeddings {
    fn load<S: WeightSource>(
        config: &BertConfig,
        word: Arc<dyn WordRows>,
        weights: &mut BertWeights<S>,
    ) -> Result<Self, S::Error> {
        let hidden = config.hidden_size;
        Ok(Embeddings {
            word,
            position: weights
                .table("embeddings.position_embeddings.weight", [config.max_position_embeddings, hidden])?,
            token_type: weights
                .table("embeddings.token_type_embeddings.weight", [config.type_vocab_size, hidden])?,
            norm: weights.layer_norm("embeddings.LayerNorm", hidden, config.layer_norm_eps)?,
        })
    }

    /// `first` is the position of a text's first token.
    fn forward(
        &self,
        tokens: &[u32],
        lengths: &[usize],
        firsts: &[usize],
        first: usize,
        device: &Device,
    ) -> Result<Tensor<2>, EngineError> {
        let [_, hidden] = self.position.dims();
        let count = tokens.len();
        let rows = self.word.rows(tokens)?;
        if rows.len() != count * hidden {
            let reason = format!("{} values for {count} tokens of {hidden}", rows.len());
            return Err(EngineError::Shape { what: "word embeddings".into(), reason });
        }
        let word = Tensor::from_data(TensorData::new(rows, [count, hidden]), device); // [tokens, hidden]
        let positions = lengths.iter().flat_map(|&length| first as i64..(first + length) as i64);
        let positions = TensorData::new(positions.collect::<Vec<i64>>(), [count]);
        let positions = Tensor::<1, Int>::from_data(positions, device); // [tokens]
        let position = self.position.clone().select(0, positions); // [tokens, hidden]
        let token_type = match lengths == firsts {
            true => self.token_type.clone().narrow(0, 0, 1), // [1, hidden]: all are the first text
            false => {
                let kinds = lengths.iter().zip(firsts);
                let kinds =
                    kinds.flat_map(|(&length, &first)| (0..length).map(move |at| i64::from(at >= first)));
                let kinds = TensorData::new(kinds.collect::<Vec<i64>>(), [count]);
                self.token_type.clone().select(0, Tensor::from_data(kinds, device)) // [tokens, hidden]
            }
        };
        Ok(self.norm.forward(word + position + token_type))
    }
}

impl Layer {
    fn load<S: WeightSource>(
        config: &BertConfig,
        weights: &mut BertWeights<S>,
        name: &str,
    ) -> Result<Self, S::Error> {
        let BertConfig { hidden_size: hidden, intermediate_size: wide, layer_norm_eps: eps, .. } = *config;
        let name = |part: &str| format!("{name}.{part}");
        Ok(Layer {
            num_heads: config.num_attention_heads,
            query: weights.linear(&name("attention.self.query"), [hidden, hidden])?,
            key: weights.linear(&name("attention.self.key"), [hidden, hidden])?,
            value: weights.linear(&name("attention.self.value"), [hidden, hidden])?,
            attention_output: weights.linear(&name("attention.output.dense"), [hidden, hidden])?,
            attention_norm: weights.layer_norm(&name("attention.output.LayerNorm"), hidden, eps)?,
            intermediate: weights.linear(&name("intermediate.dense"), [wide, hidden])?,
            output: weights.linear(&name("output.dense"), [hidden, wide])?,
            output_norm: weights.layer_norm(&name("output.LayerNorm"), hidden, eps)?,
        })
    }

    /// Attention, then the feed-forward network, each added to its input and normalized *after* that.
    fn forward(&self, x: Tensor<2>, lengths: &[usize]) -> Tensor<2> {
        let attended = self.self_attention(x.clone(), lengths); // [tokens, hidden]
        let x = self.attention_norm.forward(x + self.attention_output.forward(attended));
        let wide = gelu(self.intermediate.forward(x.clone())); // [tokens, intermediate]
        self.output_norm.forward(x + self.output.forward(wide)) // [tokens, hidden]
    }

    fn self_attention(&self, x: Tensor<2>, lengths: &[usize]) -> Tensor<2> {
        let [_, hidden] = x.dims();
        let [query, key, value] = Linear::forward_each([&self.query, &self.key, &self.value], x); // [tokens, heads * head_dim]

        let mut start = 0;
        let mut attended = Vec::with_capacity(lengths.len());
        for &length in lengths {
            let heads = |x: &Tensor<2>| {
                x.clone()
                    .narrow(0, start, length) // [length, heads * head_dim]
                    .reshape([1, length, self.num_heads, hidden / self.num_heads])
                    .swap_dims(1, 2) // [1, heads, length, head_dim]
            };
            let options = AttentionModuleOptions::default(); // scaled by 1 / sqrt(head_dim)
            let y = attention(heads(&query), heads(&key), heads(&value), None, None, options);
            attended.push(y.swap_dims(1, 2).reshape([length, hidden])); // [length, heads * head_dim]
            start += length;
        }
        Tensor::cat(attended, 0) // [tokens, heads * head_dim]
    }
}

#[cfg(test)]
mod tests;
