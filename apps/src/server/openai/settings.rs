//! What the operator sets about requests.

/// How requests are taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiSettings {
    /// Refuses fields that nobody knows, which are else left out and named in the response.
    pub strict: bool,
    /// Answers requests for any model with the one that runs, as llama.cpp's server does.
    pub any_model: bool,
    /// The most tokens of one answer; `None` leaves it to the model's context.
    pub max_tokens: Option<usize>,
    /// The most answers of one request.
    pub max_choices: usize,
}

impl Default for ApiSettings {
    fn default() -> Self {
        Self { strict: false, any_model: false, max_tokens: None, max_choices: 32 }
    }
}
