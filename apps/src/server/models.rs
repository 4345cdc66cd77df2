//! The models that this server answers as: the one that runs, and its adapters.

use std::borrow::Cow;

use llama::AdapterChoice;

use crate::error::ApiError;
use crate::prompt::PromptWriter;
use crate::state::AppState;

/// A name that always means the model that runs.
const DEFAULT: &str = "default";

/// A name under which answers are asked for.
#[derive(Debug, Clone)]
pub struct ServedModel {
    /// The name.
    pub name: String,
    /// The adapter that answers.
    pub adapter: AdapterChoice,
    /// Writes its prompts.
    pub prompts: PromptWriter,
}

impl AppState {
    /// The model that a request names; the one that runs where it names none, or `default`.
    ///
    /// # Errors
    /// If there is no such model.
    pub fn served(&self, name: Option<&str>) -> Result<Cow<'_, ServedModel>, ApiError> {
        let asked = name.filter(|name| *name != self.model && *name != DEFAULT);
        let adapter = asked.and_then(|asked| self.adapters.iter().find(|adapter| adapter.name == asked));
        match (asked, adapter) {
            (_, Some(adapter)) => Ok(Cow::Borrowed(adapter)),
            (Some(asked), None) if !self.settings.any_model => {
                Err(ApiError::model_not_found(asked, &self.model_names()))
            }
            _ => Ok(Cow::Owned(ServedModel {
                name: self.model.clone(),
                adapter: AdapterChoice::Default,
                prompts: self.prompts.clone(),
            })),
        }
    }

    /// The names of all models that answer.
    pub fn model_names(&self) -> Vec<&str> {
        let adapters = self.adapters.iter().map(|adapter| adapter.name.as_str());
        std::iter::once(self.model.as_str()).chain(adapters).collect()
    }
}
