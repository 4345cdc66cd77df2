//! A forward pass that holds one layer at a time: for a look at a model that memory need not hold.

use burn::tensor::Device;

use crate::adapter::row_adapters::RowAdapters;
use crate::cache::batch::{Batch, Outputs};
use crate::cache::kv_cache::{CacheType, KvCache};
use crate::config::LlamaConfig;
use crate::linear::projection::Projection;
use crate::linear::weight::WeightSource;
use crate::model::forward_context::ForwardContext;
use crate::model::layer::DecoderLayer;
use crate::model::llama::{check_tokens, embed};
use crate::model::norm::RmsNorm;
use crate::model::paged_attention::PagedAttention;
use crate::model::rope::Rope;
use crate::ops::host_values::host_values;

/// The logits after each of `texts`, which hold a token at least, one row of `vocab_size` a text.
///
/// Memory holds the largest of: the embedding table, a layer, the head.
///
/// # Errors
/// Of the source, of a configuration that describes no model, or of a token outside the vocabulary.
pub fn streamed_logits<S: WeightSource>(
    config: &LlamaConfig,
    source: &mut S,
    texts: &[&[u32]],
    device: &Device,
) -> Result<Vec<Vec<f32>>, S::Error> {
    config.validate()?;
    let mut cache = KvCache::new(
        config,
        texts.iter().map(|text| text.len().next_multiple_of(64)).sum(),
        CacheType::F32,
        device,
    );
    let mut batch = Batch::new();
    for text in texts {
        batch.push(cache.open(None), text, Outputs::Last);
    }
    let table = [config.vocab_size, config.hidden_size];
    let name = "model.embed_tokens.weight";
    check_tokens(&batch.tokens, config.vocab_size)?;
    let mut x = embed(&source.table(name, table)?, &batch.tokens, device); // [tokens, hidden]
    let plan = cache.plan(&batch)?;
    let rotation = Rope::new(config).at(&plan.positions, device);
    for index in 0..config.num_hidden_layers {
        let layer = DecoderLayer::load(config, index, source)?;
        let adapters = RowAdapters::new(plan.adapters.iter().copied(), device);
        let mut attend = PagedAttention { cache: &mut cache, plan: &plan };
        let mut context = ForwardContext { rotation: &rotation, attend: &mut attend, adapters };
        x = match index + 1 == config.num_hidden_layers {
            true => layer.forward_rows(x, &mut context, &batch.outputs),
            false => layer.forward(x, &mut context),
        };
    }
    let norm =
        RmsNorm { weight: source.vector("model.norm.weight", config.hidden_size)?, eps: config.rms_norm_eps };
    let x = norm.forward(x); // [texts, hidden]
    let head = if config.tie_word_embeddings { name } else { "lm_head.weight" };
    let logits = host_values(Projection::new(source.matrix(head, table)?).forward(x)); // [texts, vocab]
    Ok(logits.chunks(config.vocab_size).map(<[f32]>::to_vec).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::EngineError;
    use crate::every_backend::{device, on_every_backend};
    use crate::model::laws::{RandomWeights, assert_close, config, logits, model, tokens};

    on_every_backend!(layer_by_layer_is_the_models_own_pass);

    fn layer_by_layer_is_the_models_own_pass() {
        for tie_word_embeddings in [true, false] {
            let config = LlamaConfig { tie_word_embeddings, ..config() };
            let texts = [tokens(9, 3), tokens(4, 5)];
            let views: Vec<&[u32]> = texts.iter().map(Vec::as_slice).collect();
            let streamed = streamed_logits(&config, &mut RandomWeights::dense(), &views, &device()).unwrap();
            let whole = model(config.clone(), None);
            for (text, streamed) in texts.iter().zip(streamed) {
                let expected = logits(&whole, text);
                assert_close(&streamed, &expected[expected.len() - config.vocab_size..]);
            }
            let beyond = [config.vocab_size as u32];
            let refused = streamed_logits(&config, &mut RandomWeights::dense(), &[&beyond], &device());
            assert!(matches!(refused, Err(EngineError::Token { .. })));
        }
    }
}
