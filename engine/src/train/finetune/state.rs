//! The state of a run besides its adapter: with both, training goes on as if it had never stopped.

use std::collections::BTreeMap;

use burn::tensor::Tensor;

use super::Finetune;
use crate::error::EngineError;
use crate::quant::DynamicMap;
use crate::train::adamw::Moment;

/// PyTorch's names for AdamW's moments, and what each is kept in where that is 8 bits.
const MOMENTS: [(&str, DynamicMap); 2] =
    [(".exp_avg", DynamicMap::Signed), (".exp_avg_sq", DynamicMap::Unsigned)];

/// The optimizer's memory. Everything else that a step depends on is the adapter, or a pure function
/// of the seed and the step.
#[derive(Debug, Clone)]
pub struct FinetuneState {
    /// Steps that were made.
    pub steps: u64,
    /// The moments of every parameter that has had a gradient, by PEFT's name of the parameter without its
    /// prefix and PyTorch's name of the moment: `model.layers.0.self_attn.q_proj.lora_A.weight.exp_avg`. In 8
    /// bits there are two tensors, of codes and of scales.
    pub moments: BTreeMap<String, Tensor<2>>,
}

impl Finetune {
    /// The state to save for [`restore`](Self::restore), beside the adapter of [`model`](Self::model).
    pub fn state(&self) -> FinetuneState {
        let mut moments = BTreeMap::new();
        for ((parameter, _), found) in self.parameters().into_iter().zip(self.optimizer.moments()) {
            for ((name, _), moment) in MOMENTS.iter().zip(found.iter().flatten()) {
                let parts = moment.parts().into_iter();
                moments.extend(parts.map(|(ending, part)| (format!("{parameter}{name}{ending}"), part)));
            }
        }
        FinetuneState { steps: self.steps, moments }
    }

    /// Goes on from `state`: the model must carry the adapter as it was then. The next step is the one
    /// that would have come, bit for bit.
    ///
    /// # Errors
    /// [`EngineError::Adapter`] if the state is another adapter's; nothing is changed then.
    pub fn restore(&mut self, state: FinetuneState) -> Result<(), EngineError> {
        let FinetuneState { steps, mut moments } = state;
        let mut restored = Vec::new();
        for (parameter, shape) in self.parameters() {
            let is_kept = moments.keys().any(|name| name.starts_with(&format!("{parameter}.")));
            let [first, second] = MOMENTS.map(|(name, map)| {
                let take = |ending: &str| moments.remove(&format!("{parameter}{name}{ending}"));
                Moment::from_parts(shape, map, take)
            });
            let both = first.zip(second).map(|(first, second)| [first, second]);
            if is_kept && both.is_none() {
                let reason = format!("the optimizer's state of `{parameter}` {shape:?} does not fit it");
                return Err(EngineError::Adapter(reason));
            }
            restored.push(both);
        }
        if let Some(name) = moments.keys().next() {
            let reason =
                format!("the optimizer's state has `{name}`, which no parameter of the adapter needs");
            return Err(EngineError::Adapter(reason));
        }
        self.optimizer.restore(steps, restored);
        self.steps = steps;
        Ok(())
    }

    /// Name and shape of everything that learns, in the order of the optimizer.
    fn parameters(&self) -> Vec<(String, [usize; 2])> {
        let weights = self.llama.lora().map(|(_, weights)| weights).unwrap_or_default();
        let named = weights.into_iter().flat_map(|weights| {
            let matrices = [("lora_A.weight", weights.a), ("lora_B.weight", weights.b)];
            let magnitude = weights.magnitude.map(|magnitude| ("lora_magnitude_vector", magnitude));
            let all = matrices.into_iter().chain(magnitude);
            all.map(move |(name, tensor)| (format!("{}.{name}", weights.module), tensor.dims()))
        });
        named.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapter::lora::LoraConfig;
    use crate::every_backend::on_every_backend;
    use crate::model::laws::{config, lora_config, model};
    use crate::model::llama::Llama;
    use crate::ops::host_values::host_values;
    use crate::train::adamw::AdamWConfig;
    use crate::train::laws::examples;

    on_every_backend!(
        a_restored_run_goes_on_as_if_it_had_never_stopped,
        a_step_that_is_not_finite_is_not_taken,
        the_state_of_another_adapter_is_refused,
    );

    fn adapter(llama: &Llama) -> Vec<Vec<f32>> {
        let (_, weights) = llama.lora().unwrap();
        let all = weights.into_iter().flat_map(|w| [Some(w.a), Some(w.b), w.magnitude]);
        all.flatten().map(host_values).collect()
    }

    /// A run's beginning: dropout, and moments of as many numbers as are kept in 8 bits.
    fn begin(use_dora: bool, eight_bit: bool) -> Finetune {
        let mut llama = model(config(), None);
        llama.init_lora(&LoraConfig { r: 64, use_dora, ..lora_config(0.5) }, 3).unwrap();
        Finetune::new(llama, AdamWConfig { eight_bit, ..AdamWConfig::default() }, 1).unwrap()
    }

    fn a_restored_run_goes_on_as_if_it_had_never_stopped() {
        for (use_dora, eight_bit) in [(false, false), (true, false), (false, true), (true, true)] {
            let step = |run: &mut Finetune, seed| run.step(&[examples(seed)], 1e-2).unwrap();
            let mut whole = begin(use_dora, eight_bit);
            let reports = [1, 2, 3, 4].map(|seed| step(&mut whole, seed));

            let mut first = begin(use_dora, eight_bit);
            for seed in [1, 2] {
                step(&mut first, seed);
            }
            let state = first.state();
            assert_eq!(state.steps, 2);
            let codes = state.moments.keys().filter(|name| name.ends_with("exp_avg.codes")).count();
            assert_eq!(codes > 0, eight_bit, "{:?}", state.moments.keys());

            let (config, weights) = first.model().lora().unwrap();
            let mut second = begin(use_dora, eight_bit);
            second.llama.attach_lora(config, weights).unwrap();
            second.restore(state).unwrap();
            assert_eq!([3, 4].map(|seed| step(&mut second, seed)), reports[2..]);
            assert!(adapter(second.model()) == adapter(whole.model()), "dora {use_dora}, 8 bits {eight_bit}");
        }
    }

    fn a_step_that_is_not_finite_is_not_taken() {
        let mut run = begin(false, false);
        run.step(&[examples(1)], 1e-2).unwrap();
        let (config, mut weights) = run.model().lora().map(|(config, w)| (config.clone(), w)).unwrap();
        let broken = weights.last_mut().unwrap();
        broken.a = broken.a.clone().mul_scalar(f32::INFINITY);
        run.llama.attach_lora(&config, weights).unwrap();
        let bits =
            |values: &[Vec<f32>]| -> Vec<u32> { values.iter().flatten().map(|v| v.to_bits()).collect() };
        let moments = |run: &Finetune| -> Vec<Vec<f32>> {
            run.state().moments.into_values().map(host_values).collect()
        };
        let before = (bits(&adapter(run.model())), bits(&moments(&run)), run.state().steps);
        for _ in 0..2 {
            let error = run.step(&[examples(2)], 1e-2).unwrap_err();
            assert!(matches!(error, crate::error::EngineError::NotFinite { what: "loss" }), "{error}");
            assert!((bits(&adapter(run.model())), bits(&moments(&run)), run.state().steps) == before);
        }
    }

    fn the_state_of_another_adapter_is_refused() {
        let mut run = begin(false, false);
        run.step(&[examples(1)], 1e-2).unwrap();
        let refused = |change: &dyn Fn(&mut FinetuneState)| {
            let mut state = run.state();
            change(&mut state);
            begin(false, false).restore(state).unwrap_err().to_string()
        };
        const A: &str = "model.layers.0.self_attn.q_proj.lora_A.weight.exp_avg";
        let missing = refused(&|state| drop(state.moments.remove(A)));
        assert!(missing.contains("q_proj.lora_A.weight` [64, 64] does not fit"), "{missing}");
        let shape = refused(&|state| {
            let v_proj = "model.layers.0.self_attn.v_proj.lora_B.weight.exp_avg";
            let turned = state.moments[v_proj].clone().transpose();
            state.moments.insert(v_proj.into(), turned);
        });
        assert!(shape.contains("v_proj.lora_B.weight` [32, 64] does not fit"), "{shape}");
        let unknown = refused(&|state| {
            let moment = state.moments[A].clone();
            state.moments.insert("model.layers.9.exp_avg".into(), moment);
        });
        assert!(unknown.contains("`model.layers.9.exp_avg`"), "{unknown}");
    }
}
