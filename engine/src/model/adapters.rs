//! The adapters of a model: made, loaded, unloaded, merged.

use std::collections::BTreeSet;

use burn::tensor::Tensor;

use crate::adapter::AdapterId;
use crate::adapter::dora::row_norms;
use crate::adapter::lora::Lora;
use crate::adapter::lora::{LoraConfig, LoraWeights};
use crate::error::EngineError;
use crate::linear::projection::Projection;
use crate::linear::weight::Weight;
use crate::model::llama::Llama;

impl Llama {
    /// Puts a fresh adapter on the projections that `config` names: `A` random by `seed`, `B` zero.
    ///
    /// # Errors
    /// [`EngineError::Adapter`] if the configuration names no projection of this model.
    pub fn init_lora(&mut self, config: &LoraConfig, seed: u64) -> Result<AdapterId, EngineError> {
        config.validate()?;
        let device = self.device().clone();
        let (mut weights, mut names) = (Vec::new(), BTreeSet::new());
        for (index, (module, projection)) in self.projections_mut().enumerate() {
            if config.targets(&module) {
                let [out, inputs] = projection.weight().shape();
                names.extend(module.rsplit('.').next().map(str::to_owned));
                weights.push(LoraWeights {
                    module,
                    a: Lora::initial_a(config.r, inputs, seed, index as u64, &device),
                    b: Tensor::zeros([out, config.r], &device),
                    magnitude: config.use_dora.then(|| row_norms(projection.weight().to_dense())),
                });
            }
        }
        let mut config = config.clone();
        if config.is_all_linear() {
            config.target_modules = names.into_iter().collect(); // as PEFT records them
        }
        self.attach_lora(&config, weights)
    }

    /// Puts an adapter on the projections it names; replaces all that are there.
    ///
    /// # Errors
    /// [`EngineError::Adapter`] if it was made for another model; the model is then as it was.
    pub fn attach_lora(
        &mut self,
        config: &LoraConfig,
        weights: Vec<LoraWeights>,
    ) -> Result<AdapterId, EngineError> {
        let before: Vec<AdapterId> = self.adapters.iter().map(|(id, _)| *id).collect();
        let id = self.load_adapter(config, weights)?;
        before.into_iter().for_each(|before| self.unload_adapter(before));
        Ok(id)
    }

    /// Loads an adapter beside those that are there: each sequence of a batch is computed under its own
    /// (see [`KvCache::open_with`](crate::cache::kv_cache::KvCache::open_with)).
    ///
    /// # Errors
    /// [`EngineError::Adapter`] if it was made for another model; the model is then as it was.
    pub fn load_adapter(
        &mut self,
        config: &LoraConfig,
        weights: Vec<LoraWeights>,
    ) -> Result<AdapterId, EngineError> {
        self.check_adapter(config, &weights)?;
        let id = AdapterId(self.next_adapter);
        self.next_adapter += 1;
        for (index, (name, projection)) in self.projections_mut().enumerate() {
            if let Some(weights) = weights.iter().find(|weights| weights.module == name) {
                projection.attach(id, weights, config, index as u64);
            }
        }
        self.adapters.push((id, config.clone()));
        Ok(id)
    }

    /// Removes a loaded adapter, which no open sequence may use any more; one that is not there stays away.
    pub fn unload_adapter(&mut self, id: AdapterId) {
        self.projections_mut().for_each(|(_, projection)| projection.detach(id));
        self.adapters.retain(|(other, _)| *other != id);
    }

    /// The adapter that was loaded first: after [`Llama::attach_lora`] the only one.
    pub fn adapter(&self) -> Option<AdapterId> {
        self.adapters.first().map(|(id, _)| *id)
    }

    fn check_adapter(&mut self, config: &LoraConfig, weights: &[LoraWeights]) -> Result<(), EngineError> {
        config.validate()?;
        let mut slots: Vec<(String, [usize; 2])> =
            self.projections_mut().map(|(name, projection)| (name, projection.weight().shape())).collect();
        if weights.is_empty() {
            let names = config.target_modules.join(", ");
            return Err(EngineError::Adapter(format!(
                "no projection of this model is named by target_modules {names}"
            )));
        }
        for LoraWeights { module, a, b, magnitude } in weights {
            let Some(at) = slots.iter().position(|(name, _)| name == module) else {
                return Err(EngineError::Adapter(format!(
                    "this model has no `{module}`, or the adapter names it twice"
                )));
            };
            let (_, [out, inputs]) = slots.swap_remove(at);
            let (found, wanted) = ((a.dims(), b.dims()), ([config.r, inputs], [out, config.r]));
            if found != wanted {
                return Err(EngineError::Adapter(format!(
                    "`{module}` has A {:?} and B {:?}, this model needs A {:?} and B {:?}",
                    found.0, found.1, wanted.0, wanted.1
                )));
            }
            let (found, wanted) = (magnitude.as_ref().map(Tensor::dims), config.use_dora.then_some([1, out]));
            if found != wanted {
                return Err(EngineError::Adapter(format!(
                    "`{module}` has magnitudes {found:?}; with use_dora {} they are {wanted:?}",
                    config.use_dora
                )));
            }
        }
        Ok(())
    }

    /// The parts of [`Llama::adapter`], in the model's order of modules.
    pub fn lora(&self) -> Option<(&LoraConfig, Vec<LoraWeights>)> {
        let (_, config) = self.adapters.first()?;
        let mut layers = self.layers.clone(); // handles only; the weights are shared
        let adapters = layers.iter_mut().flat_map(|layer| layer.projections_mut());
        let weights = adapters.filter_map(|(module, projection)| {
            let lora = projection.lora()?;
            let magnitude = lora.dora.as_ref().map(|dora| dora.magnitude.clone());
            Some(LoraWeights { module, a: lora.a.clone(), b: lora.b.clone(), magnitude })
        });
        Some((config, weights.collect()))
    }

    /// Adds the update of [`Llama::adapter`] to the dense weights it sits on and drops all adapters. Without an
    /// adapter this changes nothing.
    ///
    /// # Errors
    /// [`EngineError::Adapter`] if a weight is quantized; see [`Llama::dequantize`].
    pub fn merge_lora(&mut self) -> Result<(), EngineError> {
        let quantized = |projection: &Projection| matches!(projection.weight(), Weight::Quantized(_));
        if let Some((name, _)) = self.projections_mut().find(|(_, p)| p.lora().is_some() && quantized(p)) {
            return Err(EngineError::Adapter(format!(
                "`{name}` is quantized; merging needs 16- or 32-bit weights"
            )));
        }
        self.projections_mut().try_for_each(|(_, projection)| projection.merge())?;
        self.adapters.clear();
        Ok(())
    }
}
