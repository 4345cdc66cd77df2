//! Documents to context: read, chunk, embed, index, search, and join what was found to a context for
//! the prompt.
//!
//! The walk through a question: [`Retriever::search`] → rankings of the [`Index`] by vectors
//! ([`Embedder::embed`]) and by words (BM25) → fused by reciprocal rank, one list of documents →
//! their best passages → [`join_hits`].
//!
//! Of every score, higher is better; [`Scores`] says what range each has.

mod answerer;
mod bag_of_words;
pub mod bert;
mod bits;
mod chunk;
mod conversation;
mod cross_encoder;
mod date;
mod document;
mod document_store;
mod embedder;
mod embedding_cache;
mod error;
mod evaluation;
pub mod evidence;
mod fusion;
pub mod guard;
mod index;
mod intent;
mod lexical;
mod metadata_filter;
mod phrases;
mod prompt;
mod read;
mod reading;
mod replies;
mod reservations;
mod retriever;
mod selection;
mod sentence_encoder;
mod stored_document;

pub use answerer::{Answer, AnswerOptions, Answerer, Cited, Outcome, SearchResults, Upload};
pub use bag_of_words::BagOfWords;
pub use chunk::{Chunk, chunk};
pub(crate) use conversation::goes_on;
pub use conversation::refers_to;
pub use cross_encoder::CrossEncoder;
pub use date::Date;
pub use document::{Document, Format, Metadata};
pub use document_store::{DocumentPage, DocumentStore};
pub use embedder::Embedder;
pub use embedding_cache::CachedEmbedder;
pub use error::RagError;
pub use evaluation::{Interval, Quality, interval};
pub use evidence::{Choice, Evidence, EvidenceFinder, EvidenceWeights, Findings, Reranker, Sought};
pub use fusion::fuse;
pub use guard::{Unit, UnitKind, sentences, units};
pub use index::{Filter, Index, IndexOptions, IndexOrigin, IndexedDocument, Match, Snapshot, UnitVector};
pub use intent::{Example, Examples, Intent, Intents, Recognised};
pub use metadata_filter::MetadataFilter;
pub use prompt::join_hits;
#[cfg(any(feature = "pdf", feature = "xlsx"))]
pub use read::apart::serve_reader;
pub use read::{Knowledge, SourceFile};
pub use reading::Reading;
pub use replies::Replies;
pub use retriever::{Hit, Question, Retriever, Scores};
pub use selection::{Selection, Weights};
pub use sentence_encoder::{Precision, SentenceEncoder};
pub use stored_document::{Origin, StoredDocument};
