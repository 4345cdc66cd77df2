//! What a model says first, and whether its tensors are those that were written.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hasher};

use burn::tensor::{Device, Tensor, TensorData};
use engine::quant::Nf4;
use engine::{LlamaConfig, Weight, WeightSource, streamed_logits};

use super::source::{Encoded, Source};
use crate::error::LlamaError;
use crate::model::checkpoint::stored::Stored;
use crate::model::checkpoint::{Checkpoint, WeightForm, names};

/// Sums of the tensors that were written, by name.
#[derive(Debug, Default)]
pub(super) struct Sums {
    of: HashMap<String, u64>,
    /// Whether a number was not written as it was.
    rounded: bool,
}

impl Sums {
    /// Notes a tensor, its rows in Hugging Face's order.
    pub fn note(&mut self, name: &str, Encoded { bytes, rounded }: &Encoded) {
        self.of.insert(name.to_owned(), sum(bytes));
        self.rounded |= rounded;
    }

    /// Notes a matrix that is written in NF4.
    pub fn note_nf4(&mut self, name: &str, quantized: &Nf4) {
        self.of.insert(name.to_owned(), sum_nf4(quantized));
        self.rounded = true;
    }

    /// Checks that the tensors of `written` are these.
    pub fn check(&self, written: &Checkpoint) -> Result<(), LlamaError> {
        for (name, shape) in names::tensors(written.config()) {
            let found = match written.stored(&name, &shape)? {
                Stored::Plain(_, bytes) => sum(&bytes),
                Stored::Nf4(quantized) => sum_nf4(&quantized),
            };
            if self.of.get(&name) != Some(&found) {
                return Err(LlamaError::tensor(
                    written.path(),
                    &name,
                    "is read otherwise than it was written",
                ));
            }
        }
        Ok(())
    }

    /// Checks that `written` says after each of `prompts` what its source says, or where numbers were rounded, what
    /// these tensors say under the source's configuration.
    pub fn check_answers(
        &self,
        source: &Source,
        written: &Checkpoint,
        prompts: &[Vec<u32>],
    ) -> Result<(), String> {
        let device = &source.device;
        // Some forms are stored with rows that no kernel multiplies; their numbers are what counts here.
        let form = WeightForm::F32;
        let config = source.checkpoint.config();
        let theirs =
            first_tokens(written.config(), &mut written.weights(device).with_form(form), prompts, device)?;
        let ours = match self.rounded {
            true if config == written.config() => theirs.clone(), // one model, and its numbers are finite
            true => first_tokens(config, &mut written.weights(device).with_form(form), prompts, device)?,
            false => first_tokens(config, &mut Values { source, device }, prompts, device)?,
        };
        match ours.iter().zip(&theirs).find(|(ours, theirs)| ours != theirs) {
            Some((ours, theirs)) => Err(format!(
                "its answer to a probe would begin with the token {theirs}, not {ours}: the model is read otherwise than \
                 it was written"
            )),
            None => Ok(()),
        }
    }
}

fn sum(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    hasher.finish()
}

fn sum_nf4(quantized: &Nf4) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(quantized.codes());
    hasher.write(quantized.absmax());
    quantized.absmax2().iter().for_each(|scale| hasher.write_u32(scale.to_bits()));
    hasher.write_u32(quantized.offset().to_bits());
    hasher.finish()
}

/// The likeliest token after each prompt.
fn first_tokens<S: WeightSource<Error = LlamaError>>(
    config: &LlamaConfig,
    weights: &mut S,
    prompts: &[Vec<u32>],
    device: &Device,
) -> Result<Vec<u32>, String> {
    let prompts: Vec<&[u32]> = prompts.iter().map(Vec::as_slice).collect();
    let logits = streamed_logits(config, weights, &prompts, device).map_err(|error| error.to_string())?;
    let first = |logits: Vec<f32>| {
        if !logits.iter().all(|logit| logit.is_finite()) {
            return Err(
                "its answer to a probe is no finite number: its weights are damaged or too large".into()
            );
        }
        let largest = logits.iter().zip(0..).max_by(|a, b| a.0.total_cmp(b.0));
        Ok(largest.map_or(0, |(_, token)| token))
    };
    logits.into_iter().map(first).collect()
}

/// The numbers of a source in f32, its adapter's update in them.
struct Values<'a> {
    source: &'a Source,
    device: &'a Device,
}

impl WeightSource for Values<'_> {
    type Error = LlamaError;

    fn contains(&self, name: &str) -> bool {
        self.source.tensors().iter().any(|(known, _)| known == name)
    }

    fn matrix(&mut self, name: &str, shape: [usize; 2]) -> Result<Weight, LlamaError> {
        let values = self.source.values(name, &shape)?;
        Ok(Weight::Dense(Tensor::from_data(TensorData::new(values, shape), self.device)))
    }

    fn vector(&mut self, name: &str, len: usize) -> Result<Tensor<1>, LlamaError> {
        let values = self.source.values(name, &[len])?;
        Ok(Tensor::from_data(TensorData::new(values, [len]), self.device))
    }
}
