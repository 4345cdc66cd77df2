//! A small random BERT against the formulas, written out in plain loops.

use std::collections::HashMap;
use std::sync::Arc;

use burn::tensor::{Device, Tensor, TensorData};
use engine::{EngineError, Weight, WeightSource};

use super::{Bert, BertConfig, WordRows};

const TOLERANCE: f32 = 1e-5; // f32 rounding over two layers of width 8

fn config() -> BertConfig {
    BertConfig {
        vocab_size: 11,
        hidden_size: 8,
        intermediate_size: 12,
        num_hidden_layers: 2,
        num_attention_heads: 2,
        max_position_embeddings: 6,
        type_vocab_size: 2,
        layer_norm_eps: 1e-12,
        hidden_act: "gelu".into(),
        position_embedding_type: "absolute".into(),
        model_type: "bert".into(),
        pad_token_id: None,
    }
}

fn device() -> Device {
    engine::device::parse(engine::device::AVAILABLE[0]).unwrap()
}

/// Weights made up from their names, kept so that the reference can look them up again.
#[derive(Default)]
struct Random {
    prefix: &'static str,
    tensors: HashMap<String, Vec<f32>>,
}

impl Random {
    fn tensor(&mut self, name: &str, len: usize) -> Vec<f32> {
        let name = name.strip_prefix(self.prefix).expect("every name has the prefix");
        let mut state = name.bytes().fold(7u64, |hash, byte| hash.wrapping_mul(31) + u64::from(byte));
        let values = (0..len).map(|_| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
        });
        self.tensors.entry(name.into()).or_insert(values.collect()).clone()
    }
}

impl WeightSource for Random {
    type Error = EngineError;

    fn contains(&self, name: &str) -> bool {
        name.starts_with(self.prefix) && self.prefix == "bert."
    }

    fn matrix(&mut self, name: &str, shape: [usize; 2]) -> Result<Weight, EngineError> {
        let data = TensorData::new(self.tensor(name, shape[0] * shape[1]), shape);
        Ok(Weight::Dense(Tensor::from_data(data, &device())))
    }

    fn vector(&mut self, name: &str, len: usize) -> Result<Tensor<1>, EngineError> {
        Ok(Tensor::from_data(TensorData::new(self.tensor(name, len), [len]), &device()))
    }
}

/// The rows of a table in memory, eight numbers wide.
#[derive(Debug)]
struct Table(Vec<f32>);

impl WordRows for Table {
    fn rows(&self, tokens: &[u32]) -> Result<Vec<f32>, EngineError> {
        Ok(tokens.iter().flat_map(|&token| self.0[token as usize * 8..][..8].to_vec()).collect())
    }
}

fn load(config: BertConfig, source: &mut Random) -> Bert {
    let name = format!("{}embeddings.word_embeddings.weight", source.prefix);
    let words = Table(source.tensor(&name, config.vocab_size * 8));
    Bert::load(config, Arc::new(words), source, &device()).unwrap()
}

type Rows = Vec<Vec<f32>>;

/// The model of the paper, one text at a time.
struct Reference<'a>(&'a HashMap<String, Vec<f32>>);

impl Reference<'_> {
    fn row(&self, name: &str, row: usize) -> &[f32] {
        &self.0[name][row * 8..(row + 1) * 8]
    }

    fn linear(&self, name: &str, x: &Rows) -> Rows {
        let (weight, bias) = (&self.0[&format!("{name}.weight")], &self.0[&format!("{name}.bias")]);
        let dot = |row: &[f32], out: usize| -> f32 {
            row.iter().zip(&weight[out * row.len()..]).map(|(x, w)| x * w).sum::<f32>() + bias[out]
        };
        x.iter().map(|row| (0..bias.len()).map(|out| dot(row, out)).collect()).collect()
    }

    fn add_and_norm(&self, name: &str, x: &Rows, y: &Rows) -> Rows {
        let (weight, bias) = (&self.0[&format!("{name}.weight")], &self.0[&format!("{name}.bias")]);
        let norm = |(x, y): (&Vec<f32>, &Vec<f32>)| {
            let sum: Vec<f32> = x.iter().zip(y).map(|(x, y)| x + y).collect();
            let mean = sum.iter().sum::<f32>() / 8.0;
            let variance = sum.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / 8.0;
            (0..8).map(|i| (sum[i] - mean) / variance.sqrt() * weight[i] + bias[i]).collect()
        };
        x.iter().zip(y).map(norm).collect()
    }

    fn attention(&self, name: &str, x: &Rows) -> Rows {
        let [q, k, v] = ["query", "key", "value"].map(|part| self.linear(&format!("{name}.self.{part}"), x));
        let mut y = vec![vec![0.0; 8]; x.len()];
        for head in [0..4, 4..8] {
            for (query, out) in q.iter().zip(&mut y) {
                let score = |key: &Vec<f32>| {
                    let dot: f32 = head.clone().map(|i| query[i] * key[i]).sum();
                    (dot / 4f32.sqrt()).exp()
                };
                let scores: Vec<f32> = k.iter().map(score).collect();
                let total: f32 = scores.iter().sum();
                for (score, value) in scores.iter().zip(&v) {
                    head.clone().for_each(|i| out[i] += score / total * value[i]);
                }
            }
        }
        y
    }

    fn forward(&self, tokens: &[u32]) -> Rows {
        self.forward_pair(tokens, tokens.len())
    }

    /// The tokens from `first` on are those of a second text.
    fn forward_pair(&self, tokens: &[u32], first: usize) -> Rows {
        let word = |(position, &token): (usize, &u32)| {
            let word = self.row("embeddings.word_embeddings.weight", token as usize).iter();
            let position = self.row("embeddings.position_embeddings.weight", position);
            word.zip(position).map(|(word, position)| word + position).collect()
        };
        let words: Rows = tokens.iter().enumerate().map(word).collect();
        let kind =
            |at| self.row("embeddings.token_type_embeddings.weight", usize::from(at >= first)).to_vec();
        let kinds = (0..tokens.len()).map(kind).collect();
        let mut x = self.add_and_norm("embeddings.LayerNorm", &words, &kinds);
        for layer in ["encoder.layer.0", "encoder.layer.1"] {
            let attended = self.attention(&format!("{layer}.attention"), &x);
            let attended = self.linear(&format!("{layer}.attention.output.dense"), &attended);
            x = self.add_and_norm(&format!("{layer}.attention.output.LayerNorm"), &x, &attended);
            let mut wide = self.linear(&format!("{layer}.intermediate.dense"), &x);
            wide.iter_mut().flatten().for_each(|x| *x = gelu(*x));
            let out = self.linear(&format!("{layer}.output.dense"), &wide);
            x = self.add_and_norm(&format!("{layer}.output.LayerNorm"), &x, &out);
        }
        x
    }
}

/// `x · Φ(x)` with `Φ` the normal distribution, integrated by Simpson's rule.
fn gelu(x: f32) -> f32 {
    let steps = 200;
    let width = f64::from(x) / f64::from(steps);
    let density = |i: i32| (-(f64::from(i) * width).powi(2) / 2.0).exp();
    let inner: f64 = (1..steps).map(|i| density(i) * if i % 2 == 1 { 4.0 } else { 2.0 }).sum();
    let integral = (density(0) + inner + density(steps)) * width / 3.0;
    (f64::from(x) * (0.5 + integral / std::f64::consts::TAU.sqrt())) as f32
}

fn states(bert: &Bert, tokens: &[u32], lengths: &[usize]) -> Vec<f32> {
    bert.forward(tokens, lengths).unwrap().try_into_vec_as().unwrap()
}

#[test]
fn agrees_with_the_formulas_whoever_shares_the_batch() {
    let mut source = Random::default();
    let bert = load(config(), &mut source);
    let texts: [&[u32]; 3] = [&[1, 2, 3, 10, 5], &[7], &[0, 4, 4, 9, 1, 6]];

    let reference = Reference(&source.tensors);
    let expected: Vec<f32> = texts.iter().flat_map(|text| reference.forward(text)).flatten().collect();
    let actual = states(&bert, &texts.concat(), &[5, 1, 6]);
    assert_eq!(actual.len(), expected.len());
    for (actual, expected) in actual.iter().zip(&expected) {
        assert!((actual - expected).abs() < TOLERANCE, "{actual} {expected}");
    }
    let alone = states(&bert, texts[0], &[5]);
    for (alone, together) in alone.iter().zip(&actual) {
        assert!((alone - together).abs() < TOLERANCE, "{alone} {together}");
    }
}

#[test]
fn the_texts_of_a_pair_are_told_apart() {
    let mut source = Random::default();
    let bert = load(config(), &mut source);
    let pairs: [(&[u32], usize); 3] = [(&[1, 2, 3, 10, 5], 2), (&[7, 4], 2), (&[0, 4, 4, 9], 1)];
    let tokens: Vec<u32> = pairs.iter().flat_map(|(tokens, _)| tokens.to_vec()).collect();
    let states = bert.forward_pairs(&tokens, &[5, 2, 4], &[2, 2, 1]).unwrap();
    let actual: Vec<f32> = states.try_into_vec_as().unwrap();
    let reference = Reference(&source.tensors);
    let expected = pairs.iter().flat_map(|(tokens, first)| reference.forward_pair(tokens, *first)).flatten();
    for (actual, expected) in actual.iter().zip(expected) {
        assert!((actual - expected).abs() < TOLERANCE, "{actual} {expected}");
    }
    for firsts in [&[5, 2][..], &[6, 2, 1]] {
        let error = bert.forward_pairs(&tokens, &[5, 2, 4], firsts).unwrap_err().to_string();
        assert!(error.starts_with("BERT batch: first texts of"), "{error}");
    }
}

#[test]
fn a_checkpoint_may_prefix_its_names() {
    let plain = load(config(), &mut Random::default());
    let mut prefixed = Random { prefix: "bert.", ..Random::default() };
    let prefixed = load(config(), &mut prefixed);
    assert_eq!(states(&plain, &[3, 1], &[2]), states(&prefixed, &[3, 1], &[2]));
}

/// The same model with its table of positions moved down by two, and RoBERTa's name.
#[test]
fn roberta_counts_positions_from_after_the_paddings() {
    let mut source = Random::default();
    let bert = load(config(), &mut source);
    let position = "embeddings.position_embeddings.weight";
    let moved = [vec![9.0; 16], source.tensors[position].clone()].concat();
    source.tensors.insert(position.into(), moved);
    let roberta = BertConfig {
        model_type: "xlm-roberta".into(),
        pad_token_id: Some(1),
        max_position_embeddings: 8,
        ..config()
    };
    assert_eq!((roberta.first_position(), roberta.max_tokens()), (2, 6));
    let roberta = load(roberta, &mut source);
    let (tokens, lengths) = ([1, 2, 3, 10, 5, 7, 0, 4], [6, 2]);
    assert_eq!(states(&roberta, &tokens, &lengths), states(&bert, &tokens, &lengths));
}

#[test]
fn refuses_what_it_cannot_compute() {
    let bert = load(config(), &mut Random::default());
    let cases: [(&[u32], &[usize], &str); 5] = [
        (&[11], &[1], "token id 11 is outside the vocabulary of 11"),
        (&[1; 7], &[7], "BERT batch: a text of 7 tokens; expected 1 to 6"),
        (&[1], &[1, 0], "BERT batch"),
        (&[], &[], "BERT batch"),
        (&[1, 2], &[1], "BERT batch: lengths [1] do not add up to 2 tokens"),
    ];
    for (tokens, lengths, expected) in cases {
        let message = bert.forward(tokens, lengths).unwrap_err().to_string();
        assert!(message.starts_with(expected), "{message}");
    }
    let odd = BertConfig { num_attention_heads: 3, ..config() };
    assert!(odd.validate().unwrap_err().to_string().contains("num_attention_heads"));
    let other = BertConfig { model_type: "deberta".into(), ..config() };
    assert!(other.validate().unwrap_err().to_string().contains("`deberta` is none of bert, roberta"));
    let short = BertConfig { model_type: "roberta".into(), max_position_embeddings: 2, ..config() };
    assert!(short.validate().unwrap_err().to_string().contains("max_position_embeddings"));
    let tanh = BertConfig { hidden_act: "gelu_new".into(), ..config() };
    assert!(tanh.validate().unwrap_err().to_string().contains("`gelu_new` is not `gelu`"));
}
