//! The laws of a bias on projections: it is added last and as it is, whatever form the weight has and
//! whatever adapter there is. PEFT's figures for it and training beside it are in `train`.

use burn::tensor::{Tensor, TensorData};

use crate::config::{AttentionBias, LlamaConfig};
use crate::every_backend::{device, on_every_backend};
use crate::linear::projection::Projection;
use crate::linear::weight::Weight;
use crate::model::laws::{
    RandomWeights, assert_close, biased, config, logits, lora_config, model, random_adapter, tokens,
};
use crate::ops::host_values::host_values;
use crate::quant::Format;

on_every_backend!(
    a_bias_is_added_to_what_the_weight_makes_in_every_form,
    biases_are_read_where_the_configuration_has_them,
    merging_and_quantizing_keep_biases,
);

fn random(name: &str, shape: [usize; 2]) -> Tensor<2> {
    let values = RandomWeights::values(name, shape[0] * shape[1]);
    Tensor::from_data(TensorData::new(values, shape), &device())
}

fn a_bias_is_added_to_what_the_weight_makes_in_every_form() {
    let (weight, x) = (random("w", [8, 64]), random("x", [3, 64]));
    let bias: Tensor<1> = random("b", [1, 8]).squeeze_dim(0);
    let mut plain = Projection::new(Weight::Dense(weight));
    let mut with_bias = plain.clone().with_bias(bias.clone());
    let check = |plain: &Projection, with_bias: &Projection| {
        let expected = plain.forward(x.clone()).add(bias.clone().unsqueeze());
        assert_eq!(host_values(with_bias.forward(x.clone())), host_values(expected));
    };
    check(&plain, &with_bias);
    for format in [Format::NF4, Format::Q8_0] {
        for projection in [&mut plain, &mut with_bias] {
            projection.quantize(format).unwrap();
        }
        check(&plain, &with_bias);
        for projection in [&mut plain, &mut with_bias] {
            projection.dequantize();
        }
        check(&plain, &with_bias);
    }
}

fn biases_are_read_where_the_configuration_has_them() {
    let qkv = LlamaConfig { attention_bias: AttentionBias::Qkv, ..config() };
    let count = |config: LlamaConfig| {
        let mut llama = model(config, None);
        let projections = llama.layers[1].projections_mut();
        projections.map(|(_, projection)| projection.bias().is_some())
    };
    assert_eq!(count(config()), [false; 7]);
    assert_eq!(count(qkv.clone()), [true, true, true, false, false, false, false]);
    assert_eq!(count(biased()), [true; 7]);
    let (with, without) = (model(qkv, None), model(config(), None));
    assert_ne!(logits(&with, &tokens(9, 7)), logits(&without, &tokens(9, 7)));
    let biases = 2 * (64 + 2 * 32);
    assert_eq!(with.footprint().parameters, without.footprint().parameters + biases);
    assert_eq!(with.footprint().bytes, without.footprint().bytes + 4 * biases);
}

fn merging_and_quantizing_keep_biases() {
    let wide = LlamaConfig { intermediate_size: 128, ..biased() };
    let mut llama = model(wide, None);
    llama.attach_lora(&lora_config(0.0), random_adapter(&llama)).unwrap();
    let adapted = logits(&llama, &tokens(9, 8));
    llama.merge_lora().unwrap();
    assert_close(&logits(&llama, &tokens(9, 8)), &adapted);
    llama.quantize_base(Format::NF4).unwrap();
    let quantized = logits(&llama, &tokens(9, 8));
    llama.dequantize();
    // Integer activations stand between the two.
    let near = |(a, b): (&f32, &f32)| (a - b).abs() < 0.05;
    assert!(logits(&llama, &tokens(9, 8)).iter().zip(&quantized).all(near));
}
