//! How large a model is.

use crate::linear::weight::Weight;
use crate::model::llama::Llama;

/// Numbers and bytes of a model's weights.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Footprint {
    /// Numbers of the model itself, norms, biases and all; a tied head counts once.
    pub parameters: usize,
    /// Numbers of its adapter.
    pub trainable: usize,
    /// Bytes that all of them take in memory.
    pub bytes: usize,
}

impl Llama {
    /// The model's size as it is in memory.
    pub fn footprint(&self) -> Footprint {
        let mut footprint = Footprint::default();
        footprint.add(&self.embed_tokens);
        if !self.config().tie_word_embeddings {
            footprint.add(self.lm_head.weight());
        }
        let mut vectors = (2 * self.layers.len() + 1) * self.config().hidden_size; // norms and biases
        let mut layers = self.layers.clone(); // handles only; the weights are shared
        for (_, projection) in layers.iter_mut().flat_map(|layer| layer.projections_mut()) {
            if let Some(lora) = projection.lora_mut() {
                footprint.trainable +=
                    lora.parameters_mut().map(|tensor| tensor.shape().num_elements()).sum::<usize>();
            }
            footprint.add(projection.weight());
            vectors += projection.bias().map_or(0, |bias| bias.shape().num_elements());
        }
        footprint.parameters += vectors;
        footprint.bytes += (vectors + footprint.trainable) * size_of::<f32>();
        footprint
    }
}

impl Footprint {
    fn add(&mut self, weight: &Weight) {
        let parameters: usize = weight.shape().iter().product();
        self.parameters += parameters;
        self.bytes += match weight {
            Weight::Dense(tensor) => parameters * tensor.dtype().size(),
            Weight::Quantized(matrix) => matrix.bytes(),
        };
    }
}

#[cfg(test)]
mod tests {
    use crate::adapter::lora::LoraConfig;
    use crate::config::LlamaConfig;
    use crate::every_backend::on_every_backend;
    use crate::model::laws::{config, lora_config, model};
    use crate::quant::Format;

    on_every_backend!(every_number_counts_once,);

    fn every_number_counts_once() {
        let config = LlamaConfig { intermediate_size: 128, ..config() };
        let LlamaConfig { vocab_size, hidden_size, num_key_value_heads, head_dim, .. } = config;
        let keys = num_key_value_heads * head_dim;
        let layer = 2 * hidden_size * (hidden_size + keys) + 3 * hidden_size * 128 + 2 * hidden_size;
        let body = 2 * layer + hidden_size;
        let tied = model(LlamaConfig { tie_word_embeddings: true, ..config.clone() }, None).footprint();
        assert_eq!(tied.parameters, body + vocab_size * hidden_size);
        let mut llama = model(LlamaConfig { tie_word_embeddings: false, ..config }, None);
        let dense = llama.footprint();
        assert_eq!(dense.parameters, body + 2 * vocab_size * hidden_size);
        assert_eq!((dense.bytes, dense.trainable), (4 * dense.parameters, 0));

        let q_proj = LoraConfig { target_modules: vec!["q_proj".into()], ..lora_config(0.0) };
        llama.init_lora(&LoraConfig { use_dora: true, ..q_proj.clone() }, 1).unwrap();
        assert_eq!(llama.footprint().trainable, 2 * (2 * q_proj.r + 1) * hidden_size);
        llama.quantize_base(Format::NF4).unwrap();
        let quantized = llama.footprint();
        assert_eq!(quantized.parameters, dense.parameters);
        assert!(quantized.bytes < dense.bytes / 2, "{quantized:?} {dense:?}");
    }
}
