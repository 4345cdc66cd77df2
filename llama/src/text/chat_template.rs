//! Chat templates: a conversation as the text that a model was trained to continue.
//!
//! A checkpoint's own Jinja template is rendered in the environment that Hugging Face's
//! `apply_chat_template` gives it: `trim_blocks` and `lstrip_blocks`, loop controls, Python's methods, operators and
//! ways to print, JSON as Python writes it, `raise_exception`, `strftime_now` and `{% generation %}` blocks.

mod cycler;
mod fitting;
mod generation;
mod jinja2;
mod python_json;
mod python_letters;
mod python_methods;
mod python_operators;
mod python_values;
mod source;
mod strftime;
mod transcript;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, ErrorKind, Value};
use serde::{Deserialize, Serialize};

use crate::files::gguf::Gguf;

pub use transcript::{AnswerSpan, Transcriber, Transcript};

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Who speaks: `system`, `user` or `assistant`.
    pub role: String,
    /// What is said.
    pub content: String,
}

impl Message {
    /// A message.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        Self { role: role.into(), content: content.into() }
    }
}

/// Why a template cannot be used, or refuses a conversation.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TemplateError {
    /// The template itself refuses the conversation: the text of its `raise_exception`.
    #[error("{0}")]
    Refused(String),
    /// The template is no Jinja.
    #[error("the chat template is malformed: {0}")]
    Syntax(String),
    /// The template fails on this conversation.
    #[error("the chat template fails: {0}")]
    Render(String),
    /// There is no template where one is needed.
    #[error("the model has no chat template")]
    Missing,
    /// A file that holds a template cannot be read.
    #[error("{}: {reason}", path.display())]
    File {
        /// The file.
        path: std::path::PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// A chat template, compiled. Cloning is cheap.
#[derive(Clone)]
pub struct ChatTemplate {
    environment: Arc<Environment<'static>>,
    source: Arc<str>,
    bos: String,
    eos: String,
    /// The time that `strftime_now` sees, in seconds since 1970; `None` is the time of rendering.
    moment: Option<u64>,
    takes_system: bool,
}

/// The name of the environment's only template.
const NAME: &str = "chat template";

impl ChatTemplate {
    /// Compiles a template. It sees `bos` and `eos` as `bos_token` and `eos_token`.
    ///
    /// # Errors
    /// If `source` is no Jinja.
    pub fn new(source: &str, bos: &str, eos: &str) -> Result<Self, TemplateError> {
        let mut environment = Environment::new();
        environment.set_syntax(
            SyntaxConfig::builder()
                .trim_blocks(true)
                .lstrip_blocks(true)
                .build()
                .map_err(|error| TemplateError::Syntax(error.to_string()))?,
        );
        environment.set_unknown_method_callback(python_methods::call);
        jinja2::install(&mut environment);
        python_values::install(&mut environment);
        environment.add_filter(python_operators::REMAINDER, python_operators::remainder);
        environment.add_filter("format", python_operators::format_filter);
        environment.add_filter("tojson", python_json::tojson);
        environment.add_function("raise_exception", raise_exception);
        environment
            .add_template_owned(NAME, python_operators::as_filters(&generation::as_conditions(source)))
            .map_err(|error| TemplateError::Syntax(described(&error)))?;
        let mut template = Self {
            environment: Arc::new(environment),
            source: source.into(),
            bos: bos.into(),
            eos: eos.into(),
            moment: None,
            takes_system: true,
        };
        template.takes_system =
            template.prints_system(&[Message::new("system", ""), Message::new("user", "x")]);
        Ok(template)
    }

    /// Fixes the time that `strftime_now` sees, in seconds since 1970, so that the rendering depends on the conversation
    /// alone.
    #[must_use]
    pub fn at(self, moment: u64) -> Self {
        Self { moment: Some(moment), ..self }
    }

    /// The template of a model's folder: chat_template.jinja, or tokenizer_config.json's
    /// `chat_template` (of several named ones, the one called `default`).
    ///
    /// # Errors
    /// If one of the files cannot be read or the template is no Jinja.
    pub fn from_dir(folder: &Path, bos: &str, eos: &str) -> Result<Option<Self>, TemplateError> {
        source::in_folder(folder)?.map(|source| Self::new(&source, bos, eos)).transpose()
    }

    /// The template that a GGUF carries.
    ///
    /// # Errors
    /// If it is no Jinja.
    pub fn from_gguf(gguf: &Gguf, bos: &str, eos: &str) -> Result<Option<Self>, TemplateError> {
        let source = gguf.metadata("tokenizer.chat_template").and_then(|value| value.as_str());
        source.map(|source| Self::new(source, bos, eos)).transpose()
    }

    /// The template as it was written; who trains with it saves it beside the adapter.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The text of a conversation. With `add_generation_prompt` it ends where the assistant's answer
    /// begins.
    ///
    /// # Errors
    /// If the template refuses the conversation or fails on it.
    pub fn render(&self, messages: &[Message], add_generation_prompt: bool) -> Result<String, TemplateError> {
        self.render_with(messages, add_generation_prompt, BTreeMap::<&str, bool>::new())
    }

    /// Renders with more variables, a map such as `{"tools": […], "enable_thinking": false}`. They
    /// take precedence, `messages` included: messages with `tool_calls` can be given so.
    ///
    /// # Errors
    /// If the template refuses the conversation or fails on it.
    pub fn render_with(
        &self,
        messages: &[Message],
        add_generation_prompt: bool,
        variables: impl Serialize,
    ) -> Result<String, TemplateError> {
        let moment = self.moment.unwrap_or_else(now);
        let context = minijinja::context! {
            messages => Value::from(Serde(messages)),
            strftime_now => Value::from_function(move |format: &str| strftime::format(moment, format)),
            add_generation_prompt,
            bos_token => self.bos.as_str(),
            eos_token => self.eos.as_str(),
            tools => Value::from(()),
            documents => Value::from(()),
        };
        let context = minijinja::context! { ..Value::from(Serde(variables)), ..context };
        let template = self.environment.get_template(NAME).map_err(|error| failed(&error))?;
        template.render(context).map_err(|error| failed(&error))
    }
}

impl fmt::Debug for ChatTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChatTemplate").field("source", &self.source).finish_non_exhaustive()
    }
}

/// The error that `raise_exception` raises.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Raised(String);

fn raise_exception(message: String) -> Result<Value, minijinja::Error> {
    Err(minijinja::Error::new(ErrorKind::InvalidOperation, message.clone()).with_source(Raised(message)))
}

/// Seconds since 1970. Hugging Face's `strftime_now` gives the local time; here it is UTC, which is the same wherever
/// the server stands.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Tells a refusal by `raise_exception` from a failure of the template.
fn failed(error: &minijinja::Error) -> TemplateError {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        if let Some(Raised(message)) = error.downcast_ref() {
            return TemplateError::Refused(message.clone());
        }
        cause = error.source();
    }
    TemplateError::Render(described(error))
}

/// The error and its causes in one line.
fn described(error: &minijinja::Error) -> String {
    let mut line = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        line = format!("{line}: {error}");
        cause = error.source();
    }
    line.replace('\n', " ")
}

#[cfg(test)]
mod tests;
