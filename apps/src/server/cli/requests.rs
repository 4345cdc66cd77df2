//! Arguments of how requests are taken.

use clap::Args;

use super::positive;
use crate::openai::ApiSettings;

/// How requests are taken.
#[derive(Debug, Args)]
pub struct RequestArgs {
    /// Refuse requests with fields that this server does not know, instead of naming them in the response
    #[arg(long)]
    pub strict_requests: bool,
    /// Answer requests for any model with the one that runs, instead of 404
    #[arg(long)]
    pub any_model: bool,
    /// Most tokens of one answer of the OpenAI endpoints and /prod/predict [default: the context's]
    #[arg(long, value_name = "N", value_parser = positive)]
    pub max_tokens: Option<usize>,
    /// Most answers of one request [default: 32]
    #[arg(long, value_name = "N", value_parser = positive)]
    pub max_choices: Option<usize>,
}

impl RequestArgs {
    /// The settings that they make.
    pub fn settings(&self) -> ApiSettings {
        let default = ApiSettings::default();
        ApiSettings {
            strict: self.strict_requests,
            any_model: self.any_model,
            max_tokens: self.max_tokens,
            max_choices: self.max_choices.unwrap_or(default.max_choices),
        }
    }
}
