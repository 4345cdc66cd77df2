//! Training examples, packed into one flat batch without padding.

use std::ops::Range;

use burn::tensor::{Device, Tensor};

use crate::model::forward_context::Attend;
use crate::ops::causal;
use crate::ops::paged::{Pages, StepPages};

/// One sequence with the tokens to learn marked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    /// Token ids.
    pub tokens: Vec<u32>,
    /// `learned[i]`: token `i` is a target, predicted from the tokens before it. The first is never
    /// one, whatever it says here.
    pub learned: Vec<bool>,
}

/// Examples end to end.
pub(crate) struct Packed {
    pub tokens: Vec<u32>,
    pub positions: Vec<usize>,
    pub spans: Vec<Range<usize>>,
    /// Rows whose next token is learned, and that token.
    pub predictors: Vec<usize>,
    pub targets: Vec<u32>,
    /// The number of targets of each example.
    pub learned: Vec<usize>,
}

impl Example {
    /// Number of targets.
    pub fn learned_tokens(&self) -> usize {
        self.targets().count()
    }

    fn targets(&self) -> impl Iterator<Item = usize> {
        let len = self.tokens.len().min(self.learned.len());
        (1..len).filter(|i| self.learned[*i])
    }
}

impl Packed {
    pub fn new(examples: &[Example]) -> Self {
        let mut packed = Self {
            tokens: vec![],
            positions: vec![],
            spans: vec![],
            predictors: vec![],
            targets: vec![],
            learned: examples.iter().map(Example::learned_tokens).collect(),
        };
        for example in examples.iter().filter(|example| !example.tokens.is_empty()) {
            let start = packed.tokens.len();
            packed.tokens.extend(&example.tokens);
            packed.positions.extend(0..example.tokens.len());
            packed.spans.push(start..packed.tokens.len());
            for target in example.targets() {
                packed.predictors.push(start + target - 1);
                packed.targets.push(example.tokens[target]);
            }
        }
        packed
    }

    /// Splits values of which there is one a target by example.
    pub fn by_example<'a, T>(&self, mut of_targets: &'a [T]) -> Vec<&'a [T]> {
        let part = |len: &usize| of_targets.split_off(..*len).expect("one for each target");
        self.learned.iter().map(part).collect()
    }
}

/// Attention within each sequence of a packed batch, without a cache.
pub(crate) struct CausalAttention {
    pages: StepPages,
}

impl CausalAttention {
    pub fn new(spans: &[Range<usize>], window: Option<usize>, device: &Device) -> Self {
        let lens: Vec<usize> = spans.iter().map(ExactSizeIterator::len).collect();
        Self { pages: StepPages::new(Pages::of_whole(&lens, window), device) }
    }
}

impl Attend for CausalAttention {
    fn attend(&mut self, _layer: usize, q: Tensor<3>, k: Tensor<3>, v: Tensor<3>) -> Tensor<3> {
        causal::attention(q, k, v, &self.pages) // [tokens, heads, head_dim]
    }
}
