//! Where a model's folder keeps its chat template.

use std::io::ErrorKind;
use std::path::Path;

use serde::Deserialize;

use super::TemplateError;

#[derive(Deserialize)]
struct TokenizerConfig {
    chat_template: Option<Template>,
}

/// One template, or several by name.
#[derive(Deserialize)]
#[serde(untagged)]
enum Template {
    One(String),
    Named(Vec<Named>),
}

#[derive(Deserialize)]
struct Named {
    name: String,
    template: String,
}

/// The source of the folder's template, if it has one.
pub(super) fn in_folder(folder: &Path) -> Result<Option<String>, TemplateError> {
    if let Some(source) = read(&folder.join("chat_template.jinja"))? {
        return Ok(Some(source));
    }
    let path = folder.join("tokenizer_config.json");
    let Some(config) = read(&path)? else { return Ok(None) };
    let config: TokenizerConfig = serde_json::from_str(&config)
        .map_err(|error| TemplateError::File { path, reason: error.to_string() })?;
    Ok(config.chat_template.and_then(|template| match template {
        Template::One(source) => Some(source),
        Template::Named(named) => {
            let default = named.into_iter().find(|named| named.name == "default");
            default.map(|named| named.template)
        }
    }))
}

fn read(path: &Path) -> Result<Option<String>, TemplateError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(TemplateError::File { path: path.to_path_buf(), reason: error.to_string() }),
    }
}

#[cfg(test)]
mod tests {
    use super::in_folder;

    #[test]
    fn a_file_of_its_own_comes_before_the_configuration() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(in_folder(folder.path()).unwrap(), None);

        let config = folder.path().join("tokenizer_config.json");
        std::fs::write(&config, r#"{"bos_token": "<s>"}"#).unwrap();
        assert_eq!(in_folder(folder.path()).unwrap(), None);
        std::fs::write(&config, r#"{"chat_template": "one"}"#).unwrap();
        assert_eq!(in_folder(folder.path()).unwrap().as_deref(), Some("one"));
        let named = r#"{"chat_template": [{"name": "tool_use", "template": "t"}, {"name": "default", "template": "d"}]}"#;
        std::fs::write(&config, named).unwrap();
        assert_eq!(in_folder(folder.path()).unwrap().as_deref(), Some("d"));

        std::fs::write(folder.path().join("chat_template.jinja"), "file").unwrap();
        assert_eq!(in_folder(folder.path()).unwrap().as_deref(), Some("file"));
    }

    #[test]
    fn a_malformed_configuration_is_named() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("tokenizer_config.json"), "{").unwrap();
        let error = in_folder(folder.path()).unwrap_err().to_string();
        assert!(error.contains("tokenizer_config.json"), "{error}");
    }
}
