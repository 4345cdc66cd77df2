//! Reads the documents of a knowledge base from its files.

mod decode;
mod files;
mod front_matter;
mod html;
mod records;

use std::fs;
use std::path::{Path, PathBuf};

use crate::chunk::{first_heading, readable_bytes};
use crate::document::{Document, Format, Metadata};
use crate::error::RagError;
use decode::Undecodable;

/// What is read, for messages.
pub(crate) const KINDS: &str = ".md, .markdown, .txt, .html, .htm, .jsonl, .ndjson, .json, .csv and .tsv";

/// Most bytes of text of one document, embedded images not counted. More is a dump, not an article, and
/// would take minutes to embed.
const MAX_DOCUMENT: usize = 8 << 20;

/// Most bytes of a file.
const MAX_FILE: u64 = 1 << 30;

/// Most lines of one file that are listed one by one.
const MAX_LISTED_LINES: usize = 10;

/// Kinds of documents that exist in such folders but that this build cannot read: each is named.
const UNREAD_DOCUMENTS: [&str; 13] =
    ["pdf", "xlsx", "xls", "docx", "doc", "pptx", "ppt", "odt", "ods", "rtf", "epub", "eml", "msg"];

/// The documents of a knowledge base, and what could not be read.
#[derive(Debug, Default)]
pub struct Knowledge {
    /// The documents, in the order of their files.
    pub documents: Vec<Document>,
    /// Files and lines that are left out, each as the error that says why.
    pub skipped: Vec<RagError>,
    /// Number of files that are not documents by their names, such as pictures.
    pub ignored: usize,
}

impl Knowledge {
    /// Reads every file under `path`, or the one file that `path` is: `.md`, `.markdown`, `.txt`, `.html`,
    /// `.htm`, `.jsonl`, `.ndjson`, `.json`, `.csv` and `.tsv`.
    ///
    /// A Markdown, text or HTML file is one document. Its title is `title:` of the front matter or
    /// `<title>`, else its first heading, else the file's name. In the others each record is one: the text
    /// under `text`, `content` or `body`, or a `question` and its `answer`; and optionally `id`, `title`,
    /// `source` or `url`, and the fields of [`Metadata`].
    ///
    /// Hidden files and folders are left out. Links are followed; what several links lead to is read once.
    /// Text is UTF-8, UTF-16, or Windows-1252 where that is certain. A file or record that cannot be read
    /// is listed in [`skipped`](Self::skipped).
    ///
    /// # Errors
    /// If `path` cannot be read, or holds no document at all.
    pub fn read(path: &Path) -> Result<Self, RagError> {
        let mut knowledge = Knowledge::default();
        let root = path;
        for path in files::list(root, &mut knowledge.skipped)? {
            knowledge.read_file(root, &path);
        }
        knowledge.make_ids_unique();
        if knowledge.documents.is_empty() {
            let skipped = knowledge.skipped.iter().map(RagError::to_string).collect();
            return Err(RagError::NoDocuments { path: root.to_path_buf(), skipped });
        }
        Ok(knowledge)
    }

    /// The same, but the first file or record that would be skipped is an error.
    ///
    /// # Errors
    /// Those of [`read`](Self::read), and what that would skip.
    pub fn read_strictly(path: &Path) -> Result<Self, RagError> {
        let mut knowledge = Self::read(path)?;
        if knowledge.skipped.is_empty() { Ok(knowledge) } else { Err(knowledge.skipped.swap_remove(0)) }
    }

    fn read_file(&mut self, root: &Path, path: &Path) {
        let extension = extension(path);
        let skip = |reason: String| RagError::file(path, reason);
        let file = File { path, name: files::relative_name(root, path), stem: stem(path) };
        let read: fn(&File, Vec<u8>) -> Result<Read, RagError> = match extension.as_str() {
            "md" | "markdown" => |file, bytes| file.markdown(bytes).map(Read::one),
            "txt" => |file, bytes| file.plain(bytes).map(Read::one),
            "html" | "htm" => |file, bytes| file.html(bytes).map(Read::one),
            "jsonl" | "ndjson" => |file, bytes| Ok(records::json_lines(file, &file.decode(bytes)?)),
            "json" => |file, bytes| records::json(file, &file.decode(bytes)?),
            "csv" | "tsv" => |file, bytes| records::csv(file, &file.decode(bytes)?),
            unread if UNREAD_DOCUMENTS.contains(&unread) || path == root => {
                let reason =
                    format!("files of this kind are not read by this build, only {KINDS}; convert it");
                self.skipped.push(skip(reason));
                return;
            }
            _ => {
                self.ignored += 1;
                return;
            }
        };
        match file.bytes().and_then(|bytes| read(&file, bytes)) {
            Ok(Read { documents, mut skipped }) => {
                self.documents.extend(documents);
                let more = skipped.len().saturating_sub(MAX_LISTED_LINES);
                skipped.truncate(MAX_LISTED_LINES);
                self.skipped.extend(skipped);
                if more > 0 {
                    self.skipped.push(skip(format!("{more} more of its lines are skipped")));
                }
            }
            Err(error) => self.skipped.push(error),
        }
    }

    /// Tells apart records that name the same id.
    fn make_ids_unique(&mut self) {
        let mut seen = std::collections::HashSet::new();
        for document in &mut self.documents {
            while !seen.insert(document.id.clone()) {
                document.id = format!("{}, again", document.id);
            }
        }
    }
}

/// What one file holds.
#[derive(Default)]
struct Read {
    documents: Vec<Document>,
    skipped: Vec<RagError>,
}

impl Read {
    fn one(document: Document) -> Self {
        Read { documents: vec![document], skipped: Vec::new() }
    }
}

/// A file that is being read.
struct File<'a> {
    path: &'a Path,
    /// Its path below the folder.
    name: String,
    /// Its name without its extension.
    stem: String,
}

impl File<'_> {
    fn bytes(&self) -> Result<Vec<u8>, RagError> {
        let metadata = fs::metadata(self.path).map_err(RagError::io(self.path))?;
        if metadata.len() > MAX_FILE {
            let reason = format!(
                "has {}; a file may have {}: split it",
                megabytes(metadata.len()),
                megabytes(MAX_FILE)
            );
            return Err(RagError::file(self.path, reason));
        }
        fs::read(self.path).map_err(RagError::io(self.path))
    }

    fn decode(&self, bytes: Vec<u8>) -> Result<String, RagError> {
        self.decoded(decode::text(bytes, None))
    }

    fn decoded(&self, text: Result<String, Undecodable>) -> Result<String, RagError> {
        let path = PathBuf::from(self.path);
        match text {
            Ok(text) if text.trim().is_empty() => Err(RagError::file(self.path, "is empty")),
            Ok(text) => Ok(text),
            Err(Undecodable { line: Some(line), reason }) => Err(RagError::Line { path, line, reason }),
            Err(Undecodable { line: None, reason }) => Err(RagError::File { path, reason }),
        }
    }

    fn plain(&self, bytes: Vec<u8>) -> Result<Document, RagError> {
        let text = self.decode(bytes)?;
        self.document(Document {
            title: self.stem.clone(),
            text,
            format: Format::Plain,
            ..Document::default()
        })
    }

    fn markdown(&self, bytes: Vec<u8>) -> Result<Document, RagError> {
        let file = self.decode(bytes)?;
        let (front_matter, text) = front_matter::split(&file);
        let field = |key: &str| front_matter::field(front_matter, key);
        self.document(Document {
            title: field("title").or_else(|| first_heading(text)).unwrap_or_else(|| self.stem.clone()),
            source: field("source").or_else(|| field("url")).unwrap_or_default(),
            text: text.into(),
            metadata: Metadata::from_fields(field),
            ..Document::default()
        })
    }

    fn html(&self, bytes: Vec<u8>) -> Result<Document, RagError> {
        let declared = html::declared_encoding(&bytes);
        let source = self.decoded(decode::text(bytes, declared))?;
        let page = html::read(&source).map_err(|reason| RagError::file(self.path, reason))?;
        let title = page.title.or_else(|| first_heading(&page.markdown));
        self.document(Document {
            title: title.unwrap_or_else(|| self.stem.clone()),
            text: page.markdown,
            metadata: Metadata { language: page.language, ..Metadata::default() },
            ..Document::default()
        })
    }

    /// Checks the one document of a file, and gives it its place for id and source.
    fn document(&self, mut document: Document) -> Result<Document, RagError> {
        check_text(&document.text, document.format).map_err(|reason| RagError::file(self.path, reason))?;
        document.id.clone_from(&self.name);
        if document.source.is_empty() {
            document.source.clone_from(&self.name);
        }
        Ok(document)
    }
}

/// Refuses a text without words, and one that is too long.
fn check_text(text: &str, format: Format) -> Result<(), String> {
    match readable_bytes(text, format) {
        0 if text.trim().is_empty() => Err("has no text".into()),
        0 => Err("has no text but headings or embedded data".into()),
        length if length > MAX_DOCUMENT => {
            let (has, may) = (megabytes(length as u64), megabytes(MAX_DOCUMENT as u64));
            Err(format!("has {has} of text; one document may have {may}: split it"))
        }
        _ => Ok(()),
    }
}

fn megabytes(bytes: u64) -> String {
    format!("{:.0} MB", bytes as f64 / f64::from(1 << 20))
}

fn extension(path: &Path) -> String {
    path.extension().map(|extension| extension.to_string_lossy().to_lowercase()).unwrap_or_default()
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests;
