//! Fields of a chat that this server refuses, and the values of them that ask for nothing.

use serde_json::{Value, json};

use super::Fields;
use crate::error::ApiError;

const NO_TOOLS: &str = "tools are not supported: this server's models are not asked to call functions";

/// Reads tools, output formats, modalities and the like.
///
/// # Errors
/// If one asks for what this server does not do.
pub fn refuse_chat_extras(fields: &mut Fields) -> Result<(), ApiError> {
    refuse_tools(fields, ["tools", "tool_choice"])?;
    refuse_tools(fields, ["functions", "function_call"])?;
    fields.take::<bool>("parallel_tool_calls")?; // of no tools
    refuse_formats(fields)?;
    fields.refuse("modalities", |value| *value == json!(["text"]), "this server answers in text only")?;
    fields.refuse("audio", |_| false, "this server answers in text only")?;
    fields.refuse("prediction", |_| false, "predicted outputs are not supported")?;
    fields.refuse("reasoning_effort", |value| value == "none", "this server's models do not reason apart")?;
    fields.refuse("verbosity", |value| value == "medium", "this server's models have no such setting")?;
    fields.refuse("web_search_options", |_| false, "this server does not search the web")
}

/// Refuses tools, unless there are none, or none is to be called.
fn refuse_tools(fields: &mut Fields, [tools, choice]: [&str; 2]) -> Result<(), ApiError> {
    let choice_value: Option<Value> = fields.take(choice)?;
    let is_none = choice_value.as_ref().is_some_and(|choice| choice == "none");
    if choice_value.is_some_and(|choice| choice != "none" && choice != "auto") {
        return Err(fields.refused(choice, NO_TOOLS));
    }
    fields.refuse(tools, |value| is_none || value.as_array().is_some_and(Vec::is_empty), NO_TOOLS)
}

/// Refuses `response_format`, unless it asks for text.
fn refuse_formats(fields: &mut Fields) -> Result<(), ApiError> {
    let Some(mut format) = fields.nested("response_format")? else { return Ok(()) };
    match format.require::<String>("type")?.as_str() {
        "text" => Ok(()),
        kind => {
            let why = format!("the type `{kind}` is not supported: this server answers in text only");
            Err(fields.refused("response_format", why))
        }
    }
}
