//! OpenAI's interface: its requests read field by field, and the form of its answers and streams.
//!
//! Every field is honoured, or refused by its name with a reason. Fields that only describe a request are kept as
//! [`Described`]; fields that nobody knows are [`Ignored`], which the response and the log name.

mod choice;
mod conversation;
mod described;
mod envelope;
mod fields;
mod generation;
mod ignored;
mod logprobs;
mod recording;
mod reply;
mod settings;
mod streaming;
mod unsupported;

pub use conversation::Conversation;
pub use described::Described;
pub use fields::Fields;
pub use generation::{Generation, random_seed, seed, stop_strings};
pub use ignored::Ignored;
pub use logprobs::{MOST_ALTERNATIVES, chat_alternatives};
pub use recording::{Asked, Recording};
pub use reply::{Endpoint, Reply};
pub use settings::ApiSettings;
pub use streaming::Streaming;
pub use unsupported::refuse_chat_extras;

#[cfg(test)]
mod tests;
