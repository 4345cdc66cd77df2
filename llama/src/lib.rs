//! Files, text and tokens: everything between a model on disk and the `engine`'s tensors, and
//! everything between a person's text and its token ids.
//!
//! Imports go one way, from the last to the first:
//! `error ← files ← hub ← text ← dataset ← metrics ← model ← adapter ← generate ← export`.

pub mod adapter;
pub mod dataset;
mod error;
pub mod export;
pub mod files;
mod generate;
pub mod hub;
pub mod metrics;
pub mod model;
mod text;

pub use adapter::Adapter;
pub use dataset::Dataset;
pub use error::LlamaError;
pub use export::{Export, Recipe};
pub use files::float::Float;
pub use generate::adapter_choice::{AdapterChoice, LoadedAdapter};
pub use generate::iterator::{Generate, generate};
pub use generate::language_model::{CachedLlama, LanguageModel, SequencePart};
pub use generate::logprobs::TokenLogprobs;
pub use generate::request::{FinishReason, GenerateError, PREFILL_TOKENS, Request, SPECULATED_ROWS, Token};
pub use generate::sampler::Sampler;
pub use generate::sampling::{Sampling, SamplingError};
pub use generate::scheduler::{Limits, LoadAdapterError, Scheduler, Stats, SubmitError, Ticket, TokenStream};
pub use model::Model;
pub use model::checkpoint::Checkpoint;
pub use text::chat_template::{AnswerSpan, ChatTemplate, Message, TemplateError, Transcriber, Transcript};
pub use text::prompt::{GROUNDED_STOP, grounded_prompt, grounded_template};
pub use text::stop_strings::StopStrings;
pub use text::tokenizer::{DecodeStream, Tokenizer, TokenizerError};
