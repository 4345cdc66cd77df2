//! Reads the documents of a knowledge base from its files.

#[cfg(any(feature = "pdf", feature = "xlsx"))]
pub(crate) mod apart;
mod decode;
mod files;
mod front_matter;
mod html;
mod name;
#[cfg(feature = "pdf")]
mod pdf;
mod records;
#[cfg(feature = "xlsx")]
mod xlsx;

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::chunk::{first_heading, readable_bytes};
use crate::document::{Document, Format, Metadata};
use crate::error::RagError;
use decode::Undecodable;

/// What is read, for messages.
pub(crate) const KINDS: &str = match (cfg!(feature = "pdf"), cfg!(feature = "xlsx")) {
    (false, false) => ".md, .markdown, .txt, .html, .htm, .jsonl, .ndjson, .json, .csv and .tsv",
    (true, false) => ".md, .markdown, .txt, .html, .htm, .pdf, .jsonl, .ndjson, .json, .csv and .tsv",
    (false, true) => ".md, .markdown, .txt, .html, .htm, .xlsx, .jsonl, .ndjson, .json, .csv and .tsv",
    (true, true) => ".md, .markdown, .txt, .html, .htm, .pdf, .xlsx, .jsonl, .ndjson, .json, .csv and .tsv",
};

/// Most bytes of text of one document, embedded images not counted. More is a dump, not an article, and
/// would take minutes to embed.
const MAX_DOCUMENT: usize = 8 << 20;

/// Most bytes of a file.
const MAX_FILE: u64 = 1 << 30;

/// Most bytes of a document's id.
const MAX_ID: usize = 512;

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
    /// The file that each document stands in, by the document's id.
    pub files: HashMap<String, SourceFile>,
}

/// The file that a document stands in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    /// Its path below the folder.
    pub name: String,
    /// When it was last changed, if that is known.
    pub modified: Option<SystemTime>,
}

impl Knowledge {
    /// Reads every file under `path`, or the one file that `path` is: `.md`, `.markdown`, `.txt`, `.html`,
    /// `.htm`, `.jsonl`, `.ndjson`, `.json`, `.csv` and `.tsv`; with the features of their names `.pdf` and `.xlsx`.
    ///
    /// A Markdown, text, HTML, PDF or XLSX file is one document. Its title is `title:` of the front matter or
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

    /// Reads one file from its name and its bytes, as [`read`](Self::read) would in a folder. Of the name only what
    /// follows its last `/` or `\\` counts.
    ///
    /// # Errors
    /// If the name is no file's, or no document can be read.
    pub fn read_bytes(name: &str, bytes: Vec<u8>) -> Result<Self, RagError> {
        let name = name::of_file(name)?;
        let path = Path::new(&name);
        let mut knowledge = Knowledge::default();
        let file = File { path, name: name.clone(), stem: stem(path) };
        let Some(read) = reader(path, true) else { return Err(unread(path)) };
        knowledge.take(&file, None, check_size(path, bytes.len() as u64).and_then(|()| read(&file, bytes)));
        match (knowledge.documents.is_empty(), knowledge.skipped.len()) {
            (true, 1) => Err(knowledge.skipped.swap_remove(0)),
            (true, _) => {
                let skipped = knowledge.skipped.iter().map(RagError::to_string).collect();
                Err(RagError::NoDocuments { path: path.to_path_buf(), skipped })
            }
            _ => Ok(knowledge),
        }
    }

    fn read_file(&mut self, root: &Path, path: &Path) {
        let file = File { path, name: files::relative_name(root, path), stem: stem(path) };
        let Some(read) = reader(path, path == root) else {
            self.ignored += 1;
            return;
        };
        let modified = fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
        self.take(&file, modified, file.bytes().and_then(|bytes| read(&file, bytes)));
    }

    fn take(&mut self, file: &File, modified: Option<SystemTime>, read: Result<Read, RagError>) {
        match read {
            Ok(Read { documents, mut skipped }) => {
                for mut document in documents {
                    // Records that name the same id are told apart.
                    while self.files.contains_key(&document.id) {
                        document.id = format!("{}, again", document.id);
                    }
                    let file = SourceFile { name: file.name.clone(), modified };
                    self.files.insert(document.id.clone(), file);
                    self.documents.push(document);
                }
                let more = skipped.len().saturating_sub(MAX_LISTED_LINES);
                skipped.truncate(MAX_LISTED_LINES);
                self.skipped.extend(skipped);
                if more > 0 {
                    let reason = format!("{more} more of its lines are skipped");
                    self.skipped.push(RagError::file(file.path, reason));
                }
            }
            Err(error) => self.skipped.push(error),
        }
    }
}

/// Reads the documents of a file.
type Reader = fn(&File, Vec<u8>) -> Result<Read, RagError>;

/// What reads a file of this name; `None` for what is no document unless it `must_be` one.
fn reader(path: &Path, must_be: bool) -> Option<Reader> {
    Some(match extension(path).as_str() {
        "md" | "markdown" => |file, bytes| file.markdown(bytes).map(Read::one),
        "txt" => |file, bytes| file.plain(bytes).map(Read::one),
        "html" | "htm" => |file, bytes| file.html(bytes).map(Read::one),
        "jsonl" | "ndjson" => |file, bytes| Ok(records::json_lines(file, &file.decode(bytes)?)),
        "json" => |file, bytes| records::json(file, &file.decode(bytes)?),
        "csv" | "tsv" => |file, bytes| records::csv(file, &file.decode(bytes)?),
        #[cfg(feature = "pdf")]
        "pdf" => |file, bytes| file.apart(apart::Kind::Pdf, Format::Plain, bytes).map(Read::one),
        #[cfg(feature = "xlsx")]
        "xlsx" => |file, bytes| file.apart(apart::Kind::Xlsx, Format::Markdown, bytes).map(Read::one),
        kind if must_be || UNREAD_DOCUMENTS.contains(&kind) => |file, _| Err(unread(file.path)),
        _ => return None,
    })
}

fn unread(path: &Path) -> RagError {
    RagError::file(path, format!("files of this kind are not read by this build, only {KINDS}; convert it"))
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
        check_size(self.path, metadata.len())?;
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

    /// Reads a file whose format needs a reader that may fail badly.
    #[cfg(any(feature = "pdf", feature = "xlsx"))]
    fn apart(&self, kind: apart::Kind, format: Format, bytes: Vec<u8>) -> Result<Document, RagError> {
        if bytes.is_empty() {
            return Err(RagError::file(self.path, "is empty"));
        }
        let text = apart::read(kind, bytes).map_err(|reason| RagError::file(self.path, reason))?;
        self.document(Document { title: self.stem.clone(), text, format, ..Document::default() })
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

fn check_size(path: &Path, bytes: u64) -> Result<(), RagError> {
    if bytes <= MAX_FILE {
        return Ok(());
    }
    let (has, may) = (megabytes(bytes), megabytes(MAX_FILE));
    Err(RagError::file(path, format!("has {has}; a file may have {may}: split it")))
}

/// Checks a document that comes from no file, and gives it the title and source that it lacks.
pub(crate) fn check_document(mut document: Document) -> Result<Document, RagError> {
    let refused = |reason: String| Err(RagError::Document { id: document.id.clone(), reason });
    if document.id.trim().is_empty() {
        return refused("has no id".into());
    }
    if document.id.len() > MAX_ID || document.id.contains(char::is_control) {
        return refused(format!("an id has at most {MAX_ID} bytes, and no control characters"));
    }
    if let Err(reason) = check_text(&document.text, document.format) {
        return refused(reason);
    }
    if document.title.trim().is_empty() {
        document.title = first_heading(&document.text).unwrap_or_else(|| document.id.clone());
    }
    if document.source.trim().is_empty() {
        document.source.clone_from(&document.id);
    }
    Ok(document)
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
