//! Fine-tuning of an adapter: examples, loss, backward pass, optimizer.

pub(crate) mod adamw;
#[cfg(test)]
mod adapter_laws;
mod evaluate;
pub(crate) mod example;
pub(crate) mod finetune;
#[cfg(test)]
mod laws;
pub(crate) mod loss;
pub(crate) mod objective;
