//! Chunks: passages of a document that fit an embedder.

use std::ops::Range;

use pulldown_cmark::{Event, Parser, Tag, TagEnd};
use serde::{Deserialize, Serialize};
use text_splitter::{ChunkConfig, MarkdownSplitter, TryChunkSizer};

use crate::{Document, Embedder, RagError};

/// Tokens that a chunk repeats of the one before it, so that what the cut divides is complete in one of
/// them. Only whole sentences or paragraphs are repeated.
const OVERLAP: usize = 32;

/// Longest chunk in tokens, whatever the embedder could take: longer passages dilute the vector.
const MAX_TOKENS: usize = 128;

/// A passage of a document, small enough to be embedded whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunk {
    /// The document's source, for citing.
    pub source: String,
    /// The document's title.
    pub title: String,
    /// The headings that its first line stands under, outermost first.
    pub headings: Vec<String>,
    /// Where it lies in the document's text, in bytes.
    pub range: Range<usize>,
    /// The passage.
    pub text: String,
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
/// highest level of structure that fits: headings, paragraphs and list items, sentences, words.
/// Neighbours that fit together stay together.
///
/// # Errors
/// If the embedder cannot count tokens, or takes so few that no text fits.
pub fn chunk(document: &Document, embedder: &dyn Embedder) -> Result<Vec<Chunk>, RagError> {
    let limit = embedder.max_tokens().min(MAX_TOKENS);
    // The title is embedded with every chunk; a title that would take half the room is left out there.
    let title = embedder.count_tokens(&format!("{}\n", document.title))?;
    let capacity = if title <= limit / 2 { limit - title } else { limit };
    let config = ChunkConfig::new(capacity).with_sizer(Tokens(embedder));
    let config = config.with_overlap(OVERLAP.min(capacity / 4)).map_err(|_| RagError::Option {
        option: "the embedder's max_tokens",
        value: embedder.max_tokens().to_string(),
        expected: "at least 1".into(),
    })?;

    let headings = headings(&document.text);
    let splitter = MarkdownSplitter::new(config);
    let mut chunks = Vec::new();
    for piece in splitter.try_chunk_indices(&document.text) {
        let (start, text) = piece?;
        chunks.push(Chunk {
            source: document.source.clone(),
            title: document.title.clone(),
            headings: heading_path(&headings, start),
            range: start..start + text.len(),
            text: text.to_string(),
        });
    }
    Ok(chunks)
}

/// Counts tokens with the embedder's own tokenizer.
struct Tokens<'a>(&'a dyn Embedder);

impl TryChunkSizer for Tokens<'_> {
    type Error = RagError;

    fn try_size(&self, chunk: &str) -> Result<usize, RagError> {
        self.0.count_tokens(chunk)
    }
}

struct Heading {
    start: usize,
    level: usize,
    text: String,
}

fn headings(markdown: &str) -> Vec<Heading> {
    let mut found = Vec::new();
    let mut open: Option<Heading> = None;
    for (event, range) in Parser::new(markdown).into_offset_iter() {
        match (event, &mut open) {
            (Event::Start(Tag::Heading { level, .. }), _) => {
                open = Some(Heading { start: range.start, level: level as usize, text: String::new() });
            }
            (Event::End(TagEnd::Heading(_)), _) => found.extend(open.take()),
            (Event::Text(text) | Event::Code(text), Some(heading)) => heading.text.push_str(&text),
            (Event::SoftBreak | Event::HardBreak, Some(heading)) => heading.text.push(' '),
            _ => {}
        }
    }
    found.retain(|heading| !heading.text.trim().is_empty());
    found
}

/// The headings open at byte `at`: each is closed by the next of its level or above.
fn heading_path(headings: &[Heading], at: usize) -> Vec<String> {
    let mut path: Vec<&Heading> = Vec::new();
    for heading in headings.iter().take_while(|heading| heading.start <= at) {
        path.retain(|above| above.level < heading.level);
        path.push(heading);
    }
    path.into_iter().map(|heading| heading.text.clone()).collect()
}

/// The text of the first heading, which serves as the title of a document that has none.
pub(crate) fn first_heading(markdown: &str) -> Option<String> {
    headings(markdown).into_iter().next().map(|heading| heading.text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bag_of_words::BagOfWords;

    fn document(text: &str) -> Document {
        Document { id: "d".into(), title: "Orders".into(), text: text.into(), source: "orders.md".into() }
    }

    fn words(count: usize, word: &str) -> String {
        vec![word; count].join(" ")
    }

    #[test]
    fn a_short_document_is_one_chunk() {
        let text = "# Orders\n\nHow to order.\n\n## Cancel\n\nWithin 24 hours.";
        let chunks = chunk(&document(text), &BagOfWords::default()).unwrap();
        assert_eq!(chunks.len(), 1);
        assert_eq!((chunks[0].text.as_str(), chunks[0].range.clone()), (text, 0..text.len()));
        assert_eq!(chunks[0].headings, ["Orders"]);
    }

    #[test]
    fn sections_are_cut_at_headings_and_remember_where_they_stood() {
        let text = format!(
            "# Orders\n\n{}\n\n## Cancel\n\n{}\n\n### Late\n\n{}\n\n## `Return`\n\n{}",
            words(14, "order"),
            words(14, "cancel"),
            words(14, "late"),
            words(14, "return"),
        );
        let document = document(&text);
        let chunks = chunk(&document, &BagOfWords { max_tokens: 20, ..BagOfWords::default() }).unwrap();
        let paths: Vec<_> = chunks.iter().map(|chunk| chunk.headings.join(" > ")).collect();
        assert_eq!(paths, ["Orders", "Orders > Cancel", "Orders > Cancel > Late", "Orders > Return"]);
        for chunk in &chunks {
            assert_eq!(chunk.text, text[chunk.range.clone()]);
        }
    }

    #[test]
    fn no_chunk_is_longer_than_the_embedder_takes_and_nothing_is_lost() {
        let sentences: Vec<_> = (0..200).map(|n| format!("Sentence number {n} says something.")).collect();
        let text = sentences.join(" ");
        let embedder = BagOfWords { max_tokens: 40, ..BagOfWords::default() };
        let chunks = chunk(&document(&text), &embedder).unwrap();
        for chunk in &chunks {
            assert!(embedder.count_tokens(&chunk.passage(&embedder).unwrap()).unwrap() <= 40);
        }
        for sentence in &sentences {
            assert!(chunks.iter().any(|chunk| chunk.text.contains(sentence)), "{sentence}");
        }
        let repeated = chunks.windows(2).filter(|pair| pair[1].range.start < pair[0].range.end).count();
        assert!(repeated > 0, "neighbours overlap");
    }

    #[test]
    fn a_passage_carries_the_title_and_the_headings_that_the_cut_took() {
        let embedder = BagOfWords::default();
        let mut chunk = Chunk {
            source: "s".into(),
            title: "Orders".into(),
            headings: vec!["Cancel".into(), "Late".into()],
            range: 0..0,
            text: "# Late\n\nAsk us.".into(),
        };
        assert_eq!(chunk.passage(&embedder).unwrap(), "Orders › Cancel\n# Late\n\nAsk us.");
        chunk.text = words(embedder.max_tokens(), "word");
        assert_eq!(chunk.passage(&embedder).unwrap(), chunk.text);
    }

    #[test]
    fn empty_text_has_no_chunks() {
        assert_eq!(chunk(&document(" \n\n"), &BagOfWords::default()).unwrap(), []);
    }
}
