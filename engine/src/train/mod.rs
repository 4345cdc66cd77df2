//! Fine-tuning of an adapter: examples, loss, backward pass, optimizer.

pub(crate) mod adamw;
#[cfg(all(test, feature = "flex"))]
mod adapter_laws;
mod evaluate;
pub(crate) mod example;
pub(crate) mod finetune;
#[cfg(all(test, feature = "flex"))]
mod laws;
pub(crate) mod loss;
