//! The documents of a knowledge base, read from its files.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::RagError;

/// One article of the knowledge base.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// The record's own id, else its place: `refunds.md`, `faq.jsonl:12`.
    pub id: String,
    /// Its title, for people and for the prompt.
    pub title: String,
    /// Markdown or plain text, without front matter.
    pub text: String,
    /// What an answer cites: the record's own `source` or `url`, else the file, relative to the folder.
    pub source: String,
}

/// Reads every `.md`, `.markdown`, `.txt` and `.jsonl` file under `folder` (or the one file that
/// `folder` is), in the order of their paths.
///
/// A Markdown or text file is one document. Its title is `title:` of the front matter, else its first
/// heading, else the file's name. A `.jsonl` file holds one object a line: the text under `text`,
/// `content` or `body`, and optionally `id` (or BEIR's `_id`), `title`, and `source` or `url`.
///
/// Hidden files are skipped. Linked files are read, linked folders are not, so that a link cannot
/// lead round in a circle.
///
/// # Errors
/// If a file cannot be read, is not UTF-8, a line is not a document, or there is no document at all.
pub fn read_folder(folder: &Path) -> Result<Vec<Document>, RagError> {
    let mut files = Vec::new();
    if fs::metadata(folder).map_err(RagError::io(folder))?.is_dir() {
        collect_files(folder, &mut files)?;
    } else {
        files.push(folder.to_path_buf());
    }
    files.sort();

    let mut documents = Vec::new();
    for path in files {
        let name = relative_name(folder, &path);
        let bytes = fs::read(&path).map_err(RagError::io(&path))?;
        match extension(&path).as_str() {
            "md" | "markdown" => documents.push(markdown(&path, &name, &bytes)?),
            "txt" => documents.push(plain(&path, &name, &bytes)?),
            "jsonl" => json_lines(&path, &name, &bytes, &mut documents)?,
            _ => {}
        }
    }
    if documents.is_empty() {
        return Err(RagError::NoDocuments { path: folder.to_path_buf() });
    }
    Ok(documents)
}

fn collect_files(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), RagError> {
    for entry in fs::read_dir(folder).map_err(RagError::io(folder))? {
        let entry = entry.map_err(RagError::io(folder))?;
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        let path = entry.path();
        let kind = entry.file_type().map_err(RagError::io(&path))?;
        if kind.is_dir() {
            collect_files(&path, files)?;
        } else if matches!(extension(&path).as_str(), "md" | "markdown" | "txt" | "jsonl") && !path.is_dir() {
            files.push(path);
        }
    }
    Ok(())
}

fn extension(path: &Path) -> String {
    path.extension().map(|extension| extension.to_string_lossy().to_lowercase()).unwrap_or_default()
}

/// The path below `folder` with `/` between its parts, the same on every system.
fn relative_name(folder: &Path, path: &Path) -> String {
    let below = path.strip_prefix(folder).ok().filter(|below| below.components().next().is_some());
    let below = below.or_else(|| path.file_name().map(Path::new)).unwrap_or(path);
    let parts: Vec<_> = below.components().map(|part| part.as_os_str().to_string_lossy()).collect();
    parts.join("/")
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

fn utf8<'a>(path: &Path, bytes: &'a [u8]) -> Result<&'a str, RagError> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let at = bytes.get(..error.valid_up_to()).unwrap_or_default();
        let line = 1 + at.iter().filter(|byte| **byte == b'\n').count();
        RagError::Line { path: path.to_path_buf(), line, reason: "is not UTF-8".into() }
    })?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

fn plain(path: &Path, name: &str, bytes: &[u8]) -> Result<Document, RagError> {
    let text = utf8(path, bytes)?.to_string();
    Ok(Document { id: name.into(), title: stem(path), text, source: name.into() })
}

fn markdown(path: &Path, name: &str, bytes: &[u8]) -> Result<Document, RagError> {
    let (front_matter, text) = split_front_matter(utf8(path, bytes)?);
    let field = |key| front_matter_field(front_matter, key);
    let title = field("title").or_else(|| crate::chunk::first_heading(text)).unwrap_or_else(|| stem(path));
    let source = field("source").or_else(|| field("url")).unwrap_or_else(|| name.into());
    Ok(Document { id: name.into(), title, text: text.into(), source })
}

/// Front matter and what follows it: a block between `---` lines at the very top of the file.
fn split_front_matter(text: &str) -> (&str, &str) {
    let lines = text.split_inclusive('\n');
    let mut end = 0;
    for (number, line) in lines.enumerate() {
        let is_fence = line.trim_end() == "---";
        if number == 0 && !is_fence {
            break;
        }
        end += line.len();
        if number > 0 && is_fence {
            return text.split_at(end);
        }
    }
    ("", text)
}

/// The one-line value of a top-level `key:`, without its quotes. Front matter is YAML; of that, titles
/// and addresses need no more than this.
fn front_matter_field(front_matter: &str, key: &str) -> Option<String> {
    let line = front_matter.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    let value = line.trim();
    let unquoted = ['"', '\''].into_iter().find_map(|quote| value.strip_prefix(quote)?.strip_suffix(quote));
    Some(unquoted.unwrap_or(value).to_string()).filter(|value| !value.is_empty())
}

fn json_lines(path: &Path, name: &str, bytes: &[u8], documents: &mut Vec<Document>) -> Result<(), RagError> {
    for (index, line) in utf8(path, bytes)?.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let line_number = index + 1;
        let bad = |reason: String| RagError::Line { path: path.to_path_buf(), line: line_number, reason };
        let record: Map<String, Value> =
            serde_json::from_str(line).map_err(|error| bad(format!("is not a JSON object: {error}")))?;
        let field = |keys: &[&str]| text_field(&record, keys).map_err(bad);
        let bad = |reason: &str| RagError::Line {
            path: path.to_path_buf(),
            line: line_number,
            reason: reason.into(),
        };

        let text =
            field(&["text", "content", "body"])?.ok_or_else(|| bad("has no `text`, `content` or `body`"))?;
        let id = field(&["id", "_id"])?.unwrap_or_else(|| format!("{name}:{line_number}"));
        let title =
            field(&["title"])?.or_else(|| crate::chunk::first_heading(&text)).unwrap_or_else(|| stem(path));
        let source = field(&["source", "url"])?.unwrap_or_else(|| name.into());
        documents.push(Document { id, title, text, source });
    }
    Ok(())
}

/// The first of `keys` that is there, as text. A number serves as an id; other types are an error.
fn text_field(record: &Map<String, Value>, keys: &[&str]) -> Result<Option<String>, String> {
    for key in keys {
        match record.get(*key) {
            None | Some(Value::Null) => {}
            Some(Value::String(text)) => return Ok(Some(text.clone())),
            Some(Value::Number(number)) => return Ok(Some(number.to_string())),
            Some(_) => return Err(format!("`{key}` is not text")),
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        folder
    }

    #[test]
    fn reads_every_kind_of_file_in_the_order_of_paths() {
        let folder = folder(&[
            ("z.txt", "Plain words."),
            ("a/deep/refund.md", "---\ntitle: 'Refund policy'\n---\n\n# A fair policy\n\nText."),
            (
                "b.jsonl",
                "{\"content\":\"one\"}\n\n{\"id\":7,\"title\":\"Two\",\"text\":\"two\",\"url\":\"https://x/2\"}\n",
            ),
            ("heading.md", "Intro\n\n## Opening *hours*\n"),
            (".git/config.md", "hidden"),
            ("logo.png", "not text"),
        ]);
        let documents = read_folder(folder.path()).unwrap();
        let seen: Vec<_> = documents.iter().map(|d| [d.id.as_str(), &d.title, &d.source, &d.text]).collect();
        assert_eq!(
            seen,
            [
                ["a/deep/refund.md", "Refund policy", "a/deep/refund.md", "\n# A fair policy\n\nText."],
                ["b.jsonl:1", "b", "b.jsonl", "one"],
                ["7", "Two", "https://x/2", "two"],
                ["heading.md", "Opening hours", "heading.md", "Intro\n\n## Opening *hours*\n"],
                ["z.txt", "z", "z.txt", "Plain words."],
            ]
        );
    }

    #[test]
    fn a_single_file_is_a_knowledge_base_too() {
        let folder = folder(&[("faq.jsonl", "{\"body\":\"b\"}")]);
        let documents = read_folder(&folder.path().join("faq.jsonl")).unwrap();
        assert_eq!(documents[0].id, "faq.jsonl:1");
    }

    #[test]
    fn errors_name_the_file_and_the_line() {
        let cases: [(&str, &[u8], &str); 5] = [
            (
                "a.jsonl",
                b"{\"text\":\"ok\"}\n{\"txet\":1}\n",
                "a.jsonl, line 2: has no `text`, `content` or `body`",
            ),
            ("a.jsonl", b"{\"text\":\"ok\"}\n[1]\n", "a.jsonl, line 2: is not a JSON object"),
            ("a.jsonl", b"{\"text\":[]}", "a.jsonl, line 1: `text` is not text"),
            ("a.md", b"fine\n\xff\xfe\n", "a.md, line 2: is not UTF-8"),
            ("a.png", b"", "no documents"),
        ];
        for (name, content, expected) in cases {
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join(name), content).unwrap();
            let message = read_folder(folder.path()).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
        let message = read_folder(Path::new("/no/such/folder")).unwrap_err().to_string();
        assert!(message.starts_with("/no/such/folder: "), "{message}");
    }

    #[test]
    fn an_unclosed_fence_is_no_front_matter() {
        assert_eq!(split_front_matter("---\ntitle: x\n"), ("", "---\ntitle: x\n"));
        assert_eq!(
            split_front_matter("---\r\ntitle: x\r\n---\r\nbody"),
            ("---\r\ntitle: x\r\n---\r\n", "body")
        );
        assert_eq!(
            front_matter_field("---\nsubtitle: no\ntitle: \"Q: why?\"\n", "title").unwrap(),
            "Q: why?"
        );
    }
}
