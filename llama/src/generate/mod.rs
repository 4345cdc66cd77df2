//! Answers, token by token: sampling, one request as an iterator, many at once by a scheduler.
//!
//! `Generate` and `Scheduler` both drive a continuation, which feeds the state of an answer with the model's logits.

pub(crate) mod adapter_choice;
mod adjustments;
mod answer_state;
mod continuation;
#[cfg(test)]
pub(crate) mod fake;
pub(crate) mod iterator;
pub(crate) mod language_model;
pub(crate) mod logprobs;
mod lookup;
pub(crate) mod request;
pub(crate) mod sampler;
pub(crate) mod sampling;
pub(crate) mod scheduler;
