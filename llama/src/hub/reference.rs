//! Model references, as a user writes them.

use std::path::{Path, PathBuf};

use crate::error::LlamaError;
use crate::hub::catalog::{self, CatalogEntry};

/// A parsed model reference.
#[derive(Debug)]
pub(super) enum Reference {
    /// A file or directory that exists.
    Path(PathBuf),
    /// A short name.
    Catalog(&'static CatalogEntry),
    /// A repository of the hub.
    Repository(RepositoryName),
}

/// `owner/name[/FILE.gguf][@revision]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RepositoryName {
    pub owner: String,
    pub name: String,
    /// The one file that is wanted.
    pub file: Option<String>,
    pub revision: String,
}

impl Reference {
    /// Parses `text`. A short name wins over a folder of the same name, which can be written `./name`.
    ///
    /// # Errors
    /// If it is none of the three.
    pub fn parse(text: &str) -> Result<Self, LlamaError> {
        if let Some(entry) = catalog::find(text) {
            return Ok(Self::Catalog(entry));
        }
        let path = Path::new(text);
        if !text.is_empty() && path.exists() {
            return Ok(Self::Path(path.into()));
        }
        RepositoryName::parse(text).map(Self::Repository).ok_or_else(|| LlamaError::Model {
            reference: text.into(),
            reason: format!(
                "there is no such file or directory, and it is neither a hub name (owner/name) nor one of {}",
                catalog::names().collect::<Vec<_>>().join(", ")
            ),
        })
    }
}

impl RepositoryName {
    /// The repository `owner/name` at `revision`; `None` if that is no hub name.
    pub fn of(repository: &str, revision: &str) -> Option<Self> {
        Self::parse(&format!("{repository}@{revision}"))
    }

    /// `None` if the text is no hub name. Its parts are put into paths and addresses, so only characters that the hub
    /// allows are accepted.
    fn parse(text: &str) -> Option<Self> {
        let (path, revision) = text.split_once('@').unwrap_or((text, "main"));
        let mut parts = path.split('/');
        let (owner, name, file) = (parts.next()?, parts.next()?, parts.next());
        let file_is_gguf = file.is_none_or(|file| is_name(file) && file.ends_with(".gguf"));
        let revision_is_plain = revision.split('/').all(is_name);
        // A mistyped path to a file must not be looked for on the hub.
        let name_is_file = [".gguf", ".safetensors"].iter().any(|suffix| name.ends_with(suffix));
        if parts.next().is_some() || !is_name(owner) || !is_name(name) || name_is_file {
            return None;
        }
        if !file_is_gguf || !revision_is_plain {
            return None;
        }
        Some(Self {
            owner: owner.into(),
            name: name.into(),
            file: file.map(Into::into),
            revision: revision.into(),
        })
    }
}

/// Whether the hub allows `part` as a name, which rules out `..`.
pub(super) fn is_name(part: &str) -> bool {
    !part.is_empty()
        && !part.starts_with('.')
        && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hub_names_have_two_parts_a_file_and_a_revision() {
        let name = |file: Option<&str>, revision: &str| {
            Some(RepositoryName {
                owner: "TinyLlama".into(),
                name: "TinyLlama-1.1B_v1.0".into(),
                file: file.map(Into::into),
                revision: revision.into(),
            })
        };
        let parse = RepositoryName::parse;
        assert_eq!(parse("TinyLlama/TinyLlama-1.1B_v1.0"), name(None, "main"));
        assert_eq!(parse("TinyLlama/TinyLlama-1.1B_v1.0@refs/pr/1"), name(None, "refs/pr/1"));
        assert_eq!(parse("TinyLlama/TinyLlama-1.1B_v1.0/x.Q4_0.gguf"), name(Some("x.Q4_0.gguf"), "main"));
        for text in [
            "",
            "a",
            "/a",
            "a/",
            "a//b",
            "../a",
            "a/..",
            "a/b/c",
            "a/b@",
            "a/b@../x",
            "a/b c",
            "./a/b",
            "a\\b/c",
            "models/x.gguf",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_reference_is_a_short_name_a_path_or_a_hub_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().to_str().unwrap();
        assert!(matches!(Reference::parse(path), Ok(Reference::Path(found)) if found == dir.path()));
        assert!(matches!(Reference::parse(catalog::DEFAULT_MODEL), Ok(Reference::Catalog(_))));
        assert!(matches!(Reference::parse("owner/name"), Ok(Reference::Repository(_))));
        for text in ["", "smollm", "./absent.gguf", "/no/such/file"] {
            let error = Reference::parse(text).unwrap_err().to_string();
            assert!(error.contains("no such file") && error.contains("smollm2-135m"), "{error}");
        }
    }
}
