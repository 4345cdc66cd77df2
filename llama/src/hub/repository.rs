//! A model repository of the hub: which of its files are needed, and fetching them.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::Hub;
use super::cache::Lock;
use super::catalog;
use super::download::Expected;
use super::reference::{RepositoryName, is_name};
use crate::error::LlamaError;
use crate::files::safetensors::{INDEX, read_index};

/// Small files beside the weights that loading a model may read.
const COMPANIONS: [&str; 11] = [
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "generation_config.json",
    "chat_template.jinja",
    "modules.json",
    "sentence_bert_config.json",
    PROMPTS,
    "1_Pooling/config.json",
    "vocab.txt",
];

/// Where sentence-transformers keeps what a model wants before a question and before a passage.
const PROMPTS: &str = "config_sentence_transformers.json";

/// The quantization that is chosen of several GGUF files: the usual balance of size and quality.
const PREFERRED: &str = "Q4_K_M";

/// A file that is written last, when all files are there. It holds the name of the model's file, or nothing if the
/// folder is the model.
const COMPLETE: &str = ".complete";

/// The hub's list of a revision's files.
#[derive(Debug, Deserialize)]
struct Listing {
    /// The commit, so that all files are of one commit even if the revision moves meanwhile.
    sha: Option<String>,
    siblings: Vec<Sibling>,
}

#[derive(Debug, Clone, Deserialize)]
struct Sibling {
    rfilename: String,
    size: Option<u64>,
    lfs: Option<Lfs>,
}

#[derive(Debug, Clone, Deserialize)]
struct Lfs {
    sha256: Option<String>,
}

/// The weights to fetch.
#[derive(Debug, PartialEq)]
enum WeightFiles<'a> {
    /// `model.safetensors`, or the index of several files.
    Safetensors(&'a str),
    Gguf(&'a str),
}

impl Hub {
    /// The files of a repository, fetched unless they are in the cache.
    pub(super) fn repository(&self, name: &RepositoryName) -> Result<PathBuf, LlamaError> {
        let repository = format!("{}--{}", name.owner, name.name);
        let dir = self.cache.join("hub").join(repository).join(name.revision.replace('/', "--"));
        if let Some(found) = cached(&dir, name.file.as_deref()) {
            return Ok(found);
        }
        let _lock = Lock::acquire(&dir)?;
        // Another process may have fetched it while this one waited for the lock.
        if let Some(found) = cached(&dir, name.file.as_deref()) {
            return Ok(found);
        }
        let base = format!("{}/{}/{}", self.endpoint, name.owner, name.name);
        let listing_url = format!(
            "{}/api/models/{}/{}/revision/{}?blobs=true",
            self.endpoint,
            name.owner,
            name.name,
            name.revision.replace('/', "%2F")
        );
        let listing: Listing = self.downloader.json(&listing_url)?;
        let commit = listing.sha.as_deref().filter(|sha| is_name(sha)).unwrap_or(&name.revision);
        let base = format!("{base}/resolve/{}", commit.replace('/', "%2F"));
        let weights = listing
            .weights(name.file.as_deref())
            .map_err(|reason| LlamaError::Download { url: listing_url.clone(), reason })?;
        let fetch = |file: &str| {
            self.downloader.fetch(&format!("{base}/{file}"), &dir.join(file), &listing.expected(file))
        };
        let stands_for_it = match weights {
            WeightFiles::Gguf(file) => {
                fetch(file)?;
                file
            }
            WeightFiles::Safetensors(file) => {
                // The large files come last, so that errors show before the long wait.
                for file in ["config.json"].into_iter().chain(COMPANIONS).filter(|file| listing.has(file)) {
                    fetch(file)?;
                }
                fetch(file)?;
                if file == INDEX {
                    let shards = read_index(&dir.join(INDEX))?;
                    let mut files: Vec<&String> = shards.values().collect();
                    files.sort();
                    files.dedup();
                    files.into_iter().try_for_each(|file| fetch(file))?;
                }
                ""
            }
        };
        let prompts = catalog::prompts(&name.owner, &name.name).filter(|_| !dir.join(PROMPTS).exists());
        if let Some([query, document]) = prompts {
            let prompts = serde_json::json!({ "prompts": { "query": query, "document": document } });
            let path = dir.join(PROMPTS);
            fs::write(&path, prompts.to_string()).map_err(LlamaError::io(&path))?;
        }
        if name.file.is_none() {
            let marker = dir.join(COMPLETE);
            fs::write(&marker, stands_for_it).map_err(LlamaError::io(&marker))?;
        }
        Ok(dir.join(stands_for_it))
    }
}

/// The path in the cache if all files are there. A single file needs no marker: it is renamed into place when complete.
fn cached(dir: &Path, file: Option<&str>) -> Option<PathBuf> {
    let path = match file {
        Some(file) => dir.join(file),
        None => match fs::read_to_string(dir.join(COMPLETE)).ok()?.as_str() {
            "" => dir.to_path_buf(),
            file => dir.join(Some(file).filter(|file| is_name(file))?),
        },
    };
    path.exists().then_some(path)
}

impl Listing {
    fn has(&self, file: &str) -> bool {
        self.siblings.iter().any(|sibling| sibling.rfilename == file)
    }

    fn expected(&self, file: &str) -> Expected {
        let sibling = self.siblings.iter().find(|sibling| sibling.rfilename == file);
        sibling.map_or_else(Expected::default, |sibling| Expected {
            bytes: sibling.size,
            sha256: sibling.lfs.as_ref().and_then(|lfs| lfs.sha256.clone()),
        })
    }

    /// Which weights to take: safetensors where there are any, else a GGUF.
    fn weights<'a>(&'a self, wanted: Option<&'a str>) -> Result<WeightFiles<'a>, String> {
        if let Some(file) = wanted {
            return if self.has(file) {
                Ok(WeightFiles::Gguf(file))
            } else {
                Err(format!("has no file {file}"))
            };
        }
        if self.has("config.json") {
            for file in ["model.safetensors", INDEX] {
                if self.has(file) {
                    return Ok(WeightFiles::Safetensors(file));
                }
            }
        }
        let ggufs: Vec<&str> = self
            .siblings
            .iter()
            .map(|sibling| sibling.rfilename.as_str())
            .filter(|file| is_name(file) && file.ends_with(".gguf") && !file.contains("-of-0"))
            .collect();
        match ggufs.as_slice() {
            [only] => Ok(WeightFiles::Gguf(only)),
            [] => Err("has neither model.safetensors with config.json nor a .gguf file".into()),
            several => several
                .iter()
                .find(|file| file.to_uppercase().contains(PREFERRED))
                .map(|file| WeightFiles::Gguf(file))
                .ok_or_else(|| {
                    format!("has several files; name one as owner/name/FILE: {}", several.join(", "))
                }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::download::{Downloader, sha256};
    use super::super::test_server::{Reply, Server};
    use super::*;

    fn hub(server: &Server, cache: &Path) -> Hub {
        Hub { endpoint: server.url(), downloader: Downloader::new(None), cache: cache.into(), pip: &[] }
    }

    fn listing(files: &[(&str, &str)]) -> String {
        let siblings: Vec<_> = files
            .iter()
            .map(|(name, text)| {
                let digest = sha256(&mut text.as_bytes()).unwrap();
                serde_json::json!({ "rfilename": name, "size": text.len(), "lfs": { "sha256": digest } })
            })
            .collect();
        serde_json::json!({ "sha": "c0ffee", "siblings": siblings }).to_string()
    }

    /// A hub with one repository, `owner/name` at `main`.
    fn serve(files: &'static [(&'static str, &'static str)]) -> Server {
        Server::start(move |request| {
            if request.path == "/api/models/owner/name/revision/main?blobs=true" {
                return Reply::ok(&listing(files));
            }
            let found = request.path.strip_prefix("/owner/name/resolve/c0ffee/");
            match files.iter().find(|(name, _)| Some(*name) == found) {
                Some((_, text)) => Reply::ok(text),
                None => Reply::status(404),
            }
        })
    }

    fn listed(root: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(root)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_sharded_model_comes_with_its_companions_and_only_once() {
        let server = serve(&[
            ("README.md", "#"),
            ("config.json", "{}"),
            ("tokenizer.json", "{}"),
            (
                INDEX,
                r#"{"weight_map": {"a": "m-1.safetensors", "b": "m-2.safetensors", "c": "m-1.safetensors"}}"#,
            ),
            ("m-1.safetensors", "1"),
            ("m-2.safetensors", "2"),
            ("pytorch_model.bin", "?"),
        ]);
        let cache = tempfile::tempdir().unwrap();
        let hub = hub(&server, cache.path());
        let dir = hub.resolve("owner/name").unwrap();
        let expected =
            [COMPLETE, "config.json", "m-1.safetensors", "m-2.safetensors", INDEX, "tokenizer.json"];
        assert_eq!(listed(&dir), expected);
        drop(server);
        assert_eq!(hub.resolve("owner/name").unwrap(), dir);
    }

    #[test]
    fn one_gguf_is_chosen_or_named() {
        let server = serve(&[("m.Q4_K_M.gguf", "4"), ("m.Q8_0.gguf", "8"), ("m.Q4_0.gguf", "0")]);
        let cache = tempfile::tempdir().unwrap();
        let hub = hub(&server, cache.path());
        let preferred = hub.resolve("owner/name").unwrap();
        assert_eq!(fs::read_to_string(&preferred).unwrap(), "4");
        let named = hub.resolve("owner/name/m.Q8_0.gguf").unwrap();
        assert_eq!(fs::read_to_string(&named).unwrap(), "8");
        let error = hub.resolve("owner/name/other.gguf").unwrap_err().to_string();
        assert!(error.contains("has no file other.gguf"), "{error}");
        drop(server);
        assert_eq!(hub.resolve("owner/name").unwrap(), preferred);
        assert_eq!(hub.resolve("owner/name/m.Q8_0.gguf").unwrap(), named);
    }

    #[test]
    fn what_cannot_be_chosen_is_an_error() {
        for (files, reason) in [
            (&[("README.md", "#")][..], "has neither model.safetensors"),
            (
                &[("a.gguf", "a"), ("b.gguf", "b")],
                "several files; name one as owner/name/FILE: a.gguf, b.gguf",
            ),
            (&[("../../x.gguf", "a")], "has neither"),
        ] {
            let server = serve(files);
            let cache = tempfile::tempdir().unwrap();
            let error = hub(&server, cache.path()).resolve("owner/name").unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn an_interrupted_fetch_is_not_taken_for_a_model() {
        let server = serve(&[("config.json", "{}"), ("model.safetensors", "1")]);
        let cache = tempfile::tempdir().unwrap();
        let hub = hub(&server, cache.path());
        let dir = cache.path().join("hub/owner--name/main");
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("config.json"), "{}").unwrap();
        assert_eq!(hub.resolve("owner/name").unwrap(), dir);
        assert!(dir.join("model.safetensors").exists());
    }
}
