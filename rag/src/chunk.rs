//! Chunks: passages of a document that fit an embedder.

mod blob;
mod block;
mod clean;
mod heading;
mod pack;
mod segment;

use std::collections::HashMap;
use std::ops::Range;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::document::{Document, Format, Metadata};
use crate::{Embedder, RagError};
pub(crate) use blob::without_data_uris;
use block::{Block, Kind};
use clean::Clean;
pub(crate) use heading::first_heading;
use pack::{Piece, Sizer, pack};
pub(crate) use segment::segments;

/// Longest chunk in tokens, whatever the embedder could take: longer passages dilute the vector.
const MAX_TOKENS: usize = 128;

/// A passage of a document, small enough to be embedded whole.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Chunk {
    /// Names it: the document's id, `#`, and a digest of its title, headings and text. It stays the same
    /// wherever the passage moves within its document.
    pub id: String,
    /// The document's id.
    pub document: String,
    /// The document's source, for citing.
    pub source: String,
    /// The document's title.
    pub title: String,
    /// The headings that its first line stands under, outermost first.
    pub headings: Vec<String>,
    /// Where it lies in the document's text, in bytes.
    pub range: Range<usize>,
    /// The passage: what lies there without embedded images and the like, and before it the head of its
    /// table or the introduction of its list, if they lie before.
    pub text: String,
    /// What the document's file says of it.
    pub metadata: Metadata,
}

impl Chunk {
    /// What is embedded: the passage under the document's title and the headings that the cut took
    /// away from it, as far as they fit the embedder.
    ///
    /// # Errors
    /// If the embedder cannot count tokens.
    pub fn passage(&self, embedder: &dyn Embedder) -> Result<String, RagError> {
        let lost = self.headings.iter().filter(|heading| !self.text.contains(heading.as_str()));
        let path: Vec<&str> = std::iter::once(&self.title).chain(lost).map(String::as_str).collect();
        for prefix in [path.join(" › "), self.title.clone()] {
            let passage = format!("{prefix}\n{}", self.text);
            if embedder.count_tokens(&passage)? <= embedder.max_tokens() {
                return Ok(passage);
            }
        }
        Ok(self.text.clone())
    }
}

/// Cuts a document into chunks of at most 128 tokens, or what `embedder` takes if that is less, at the
/// highest level of structure that fits: headings, paragraphs, list items and table rows, sentences, words
/// (by Unicode's rules and dictionaries, for text without spaces), letters. Neighbours that fit together
/// stay together, and a heading stays with what follows it: none is a chunk of its own.
///
/// # Errors
/// If the embedder cannot count tokens, or takes so few that no text fits.
pub fn chunk(document: &Document, embedder: &dyn Embedder) -> Result<Vec<Chunk>, RagError> {
    let limit = embedder.max_tokens().min(MAX_TOKENS);
    let added = embedder.count_tokens("")?;
    if limit <= added {
        let value = embedder.max_tokens().to_string();
        let expected = format!("at least {}", added + 1);
        return Err(RagError::Option { option: "the embedder's max_tokens", value, expected });
    }
    // The title is embedded with every chunk; a title that would take half the room is left out there.
    let title = embedder.count_tokens(&format!("{}\n", document.title))?;
    let capacity = if title <= limit / 2 { limit - title.max(added) } else { limit - added };
    let lead = if embedder.max_tokens() >= 2 * limit { capacity } else { capacity / 2 };
    let sizer = Sizer { embedder, added, capacity, lead };

    let clean = Clean::new(&document.text, document.format);
    let text = clean.text.as_ref();
    let blocks = blocks(text, document.format);
    let headings = match document.format {
        Format::Markdown => heading::headings(text),
        Format::Plain => Vec::new(),
    };
    let mut path = heading::Path::new(&headings);
    let mut seen = HashMap::new();
    let mut chunks = Vec::new();
    for Piece { range, lead } in pack(text, &blocks, &sizer)? {
        let passage = text[range.clone()].trim_end();
        if !passage.contains(char::is_alphanumeric) {
            continue;
        }
        let range = range.start..range.start + passage.len();
        let headings = path.at(range.start);
        let passage = match lead {
            Some(lead) => format!("{}\n{passage}", text[lead].trim_end()),
            None => passage.to_string(),
        };
        chunks.push(Chunk {
            id: id(document, &headings, &passage, &mut seen),
            document: document.id.clone(),
            source: document.source.clone(),
            title: document.title.clone(),
            headings,
            range: clean.original(range),
            text: passage,
            metadata: document.metadata.clone(),
        });
    }
    Ok(chunks)
}

fn blocks(text: &str, format: Format) -> Vec<Block> {
    match format {
        Format::Markdown => block::markdown(text),
        Format::Plain => block::plain(text),
    }
}

/// Bytes of `text` that chunks can be made of: neither blobs nor headings.
pub(crate) fn readable_bytes(text: &str, format: Format) -> usize {
    let clean = Clean::new(text, format);
    let text = clean.text.as_ref();
    let is_read = |block: &&Block| {
        !matches!(block.kind, Kind::Heading(_)) && text[block.range.clone()].contains(char::is_alphanumeric)
    };
    blocks(text, format).iter().filter(is_read).map(|block| block.range.len()).sum()
}

/// An id for a passage, with a number where the document has the same passage before.
fn id(document: &Document, headings: &[String], text: &str, seen: &mut HashMap<String, usize>) -> String {
    let mut digest = Sha256::new();
    for part in
        std::iter::once(document.title.as_str()).chain(headings.iter().map(String::as_str)).chain([text])
    {
        digest.update((part.len() as u64).to_le_bytes());
        digest.update(part);
    }
    let hex: String = digest.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let count = seen.entry(hex.clone()).or_insert(0);
    *count += 1;
    match count {
        1 => format!("{}#{hex}", document.id),
        count => format!("{}#{hex}-{count}", document.id),
    }
}

#[cfg(test)]
mod tests;
