//! Opens a knowledge base, and what answers from it.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use engine::device::Device;
use indicatif::{ProgressBar, ProgressStyle};
use llama::hub::{self, catalog};
use rag::{
    AnswerOptions, Answerer, CachedEmbedder, DocumentStore, Embedder, EvidenceFinder, EvidenceWeights,
    Examples, IndexOptions, Intents, Knowledge, Precision, RagError, Replies, Reranker, Retriever,
    SentenceEncoder,
};

use crate::assets;
use crate::cli::KnowledgeArgs;

/// What the command line says of answering, read and checked.
pub struct Settings {
    folder: PathBuf,
    strict: bool,
    embedder: String,
    examples: Examples,
    replies: Replies,
    weights: EvidenceWeights,
    reranker: Option<PathBuf>,
    options: AnswerOptions,
}

impl Settings {
    /// Reads the small files that the command line names, so that what is wrong with them is known before a model
    /// is loaded; `None` if there is to be no knowledge base.
    ///
    /// # Errors
    /// If a file cannot be read, or a flag is given that nothing would use.
    pub fn read(arguments: &KnowledgeArgs) -> anyhow::Result<Option<Self>> {
        let folder = match arguments.knowledge.as_deref() {
            Some("none") => None,
            Some(folder) => Some(folder.into()),
            None => assets::knowledge(),
        };
        let Some(folder) = folder else {
            let unused = [
                ("--embedder", arguments.embedder.is_some()),
                ("--strict", arguments.strict),
                ("--max-doubt", arguments.max_doubt.is_some()),
                ("--company", arguments.company.is_some()),
                ("--intents", arguments.intents.is_some()),
                ("--replies", arguments.replies.is_some()),
                ("--evidence", arguments.evidence.is_some()),
                ("--reranker", arguments.reranker.is_some()),
            ];
            if let Some((flag, _)) = unused.into_iter().find(|(_, is_set)| *is_set) {
                anyhow::bail!(
                    "{flag} says how questions are answered from a knowledge base, and there is none"
                );
            }
            return Ok(None);
        };
        let mut examples = Examples::shipped()?;
        if let Some(file) = &arguments.intents {
            examples = examples.with_file(file)?;
        }
        let mut replies = Replies::shipped()?;
        if let Some(file) = &arguments.replies {
            replies = replies.with_file(file)?;
        }
        if let Some(name) = &arguments.company {
            replies = replies.of_company(name);
        }
        let embedder = arguments.embedder.clone().unwrap_or_else(|| catalog::DEFAULT_EMBEDDER.into());
        let weights = match &arguments.evidence {
            Some(file) => weights(file)?,
            None => shipped_weights(&embedder),
        };
        let reranker = arguments.reranker.clone();
        let mut options = options(&embedder);
        if let Some(doubt) = arguments.max_doubt {
            options.choice.most_doubt = doubt;
        }
        let strict = arguments.strict;
        Ok(Some(Settings { folder, strict, embedder, examples, replies, weights, reranker, options }))
    }

    /// Opens the knowledge base, with what was changed over HTTP and lies beside the server's `store`, and reads its
    /// sentences.
    ///
    /// # Errors
    /// If the embedder or every document cannot be read; with `--strict`, if any document cannot.
    pub fn open(self, device: &Device, store: Option<&Path>) -> anyhow::Result<Answerer> {
        let (folder, strict) = (&self.folder, self.strict);
        let retriever = retriever(folder, strict, store, &self.embedder, device, IndexOptions::default())?;
        let cache = hub::cache_dir().join("indexes");
        let cache = cache.is_dir().then_some(cache.as_path());
        let intents = Intents::new(self.examples, retriever.embedder(), cache)?;
        let mut finder = EvidenceFinder::new(self.weights);
        if let Some(folder) = &self.reranker {
            finder = finder.with_reranker(reranker(folder, device)?);
        }
        let answerer = Answerer::new(retriever, finder, intents, self.replies, self.options);
        let count = answerer.retriever().index().snapshot().documents().count();
        let progress = progress("reading sentences", count);
        answerer.prepare(|done, _| progress.set_position(done as u64))?;
        progress.finish_and_clear();
        Ok(answerer)
    }
}

/// The shipped weights of an embedder; of one that has none, those of the default, which are wrong for it to some
/// degree.
pub fn shipped_weights(embedder: &str) -> EvidenceWeights {
    let shipped = |name| EvidenceWeights::shipped(name);
    catalog::name_of(embedder).and_then(shipped).unwrap_or_else(|| {
        eprintln!(
            "warning: no weights of evidence come with the embedder {embedder}; make some with `server calibrate \
             --embedder {embedder}`, and name them with --evidence"
        );
        shipped(catalog::DEFAULT_EMBEDDER).unwrap_or_else(EvidenceWeights::plain)
    })
}

/// How questions are answered with an embedder: of one that knows English only, a question in another language is
/// doubted more.
pub fn options(embedder: &str) -> AnswerOptions {
    match catalog::name_of(embedder) {
        Some(catalog::MULTILINGUAL_EMBEDDER) => AnswerOptions::multilingual(),
        _ => AnswerOptions::default(),
    }
}

/// Opens a cross-encoder on the default embedder.
///
/// # Errors
/// If its files cannot be obtained or read.
pub fn reranker(folder: &Path, device: &Device) -> anyhow::Result<Reranker> {
    eprintln!("loading reranker {}", folder.display());
    Ok(Reranker::open(&hub::resolve(catalog::DEFAULT_EMBEDDER)?, folder, device)?)
}

/// Reads weights that `server calibrate` wrote.
pub fn weights(file: &Path) -> anyhow::Result<EvidenceWeights> {
    let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let weights: EvidenceWeights = serde_json::from_str(&text)
        .with_context(|| format!("{}: not what `server calibrate` writes", file.display()))?;
    let unknown = weights.unknown();
    anyhow::ensure!(weights.is_finite(), "{}: a weight is no finite number", file.display());
    anyhow::ensure!(
        unknown.is_empty(),
        "{}: this build has no {}; make the file anew with `server calibrate`",
        file.display(),
        unknown.join(", ")
    );
    Ok(weights)
}

/// Opens a knowledge base; with the changes that were made to it over HTTP, which lie beside the server's `store`, or
/// as its folder is.
///
/// # Errors
/// If there is no document, with `strict` if one cannot be read, or if the embedder cannot.
pub fn retriever(
    folder: &Path,
    strict: bool,
    store: Option<&Path>,
    reference: &str,
    device: &Device,
    options: IndexOptions,
) -> anyhow::Result<Retriever> {
    // Documents first: what is wrong with them is known at once.
    eprintln!("loading knowledge {}", folder.display());
    let knowledge = read(folder, strict, store.is_some())?;
    let store = match store.and_then(|store| changes_file(folder, store)) {
        Some(file) => {
            let (store, damage) = DocumentStore::open(knowledge, &file)?;
            damage.iter().for_each(|damage| eprintln!("skipped {damage}"));
            store
        }
        None => DocumentStore::in_memory(knowledge),
    };
    let embedder = embedder(reference, device, "passages")?;
    let cache = index_file(folder, reference, options);
    let retriever = Retriever::with_store(store, embedder, options, cache.as_deref())?;
    eprintln!("{}", retriever.origin());
    Ok(retriever)
}

/// Opens the embedder. It remembers what it has embedded, in a file of its own for each `purpose`; where there is
/// no place for that, in memory.
///
/// # Errors
/// If its files cannot be obtained or read.
pub fn embedder(reference: &str, device: &Device, purpose: &str) -> anyhow::Result<Box<dyn Embedder>> {
    eprintln!("loading embedder {reference}");
    // The default's weights are few, and its figures were measured in 32 bits.
    let precision = match catalog::name_of(reference) {
        Some(catalog::DEFAULT_EMBEDDER) => Precision::F32,
        _ => Precision::Q8,
    };
    let embedder = Arc::new(SentenceEncoder::open(&hub::resolve(reference)?, precision, device)?);
    let file = hub::cache_dir().join("embeddings").join(format!("{}.{purpose}", embedder.id()));
    Ok(Box::new(CachedEmbedder::open(Box::new(embedder.clone()), &file).unwrap_or_else(|error| {
        eprintln!("warning: embeddings are not kept: {error}");
        CachedEmbedder::in_memory(Box::new(embedder))
    })))
}

/// A bar of `total` steps; nothing where nobody sees it.
pub fn progress(what: &'static str, total: usize) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {eta}");
    let bar = ProgressBar::new(total as u64).with_message(what);
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// Reads the documents, and says which are left out and why. Where they can be added over HTTP, a folder without any
/// is a beginning.
fn read(folder: &Path, strict: bool, may_be_empty: bool) -> anyhow::Result<Knowledge> {
    if strict {
        return Knowledge::read_strictly(folder).context("--strict");
    }
    let knowledge = match Knowledge::read(folder) {
        Err(RagError::NoDocuments { skipped, .. }) if may_be_empty && folder.is_dir() => {
            skipped.iter().for_each(|skipped| eprintln!("skipped {skipped}"));
            eprintln!("{} has no documents yet: add some on the page, at /knowledge", folder.display());
            Knowledge::default()
        }
        read => read?,
    };
    let Knowledge { documents, skipped, ignored, .. } = &knowledge;
    for error in skipped {
        eprintln!("skipped {error}");
    }
    eprintln!("{} documents; {} skipped, {ignored} other files ignored", documents.len(), skipped.len());
    Ok(knowledge)
}

/// Where the changes of a knowledge base are kept: beside the server's store, apart for each folder, so that one
/// company's articles are never another's.
fn changes_file(folder: &Path, store: &Path) -> Option<PathBuf> {
    let mut hasher = DefaultHasher::new();
    folder.canonicalize().ok()?.hash(&mut hasher);
    Some(store.with_extension(format!("{:016x}.documents", hasher.finish())))
}

/// Where the index of a knowledge base is kept between starts; nowhere if there is no place for it.
fn index_file(folder: &Path, embedder: &str, options: IndexOptions) -> Option<PathBuf> {
    let mut hasher = DefaultHasher::new();
    folder.canonicalize().ok()?.hash(&mut hasher);
    if options != IndexOptions::default() {
        options.embed_titles.hash(&mut hasher); // beside the index that is served
    }
    if embedder != catalog::DEFAULT_EMBEDDER {
        embedder.hash(&mut hasher); // so that going from one to the other and back builds none anew
    }
    let indexes = hub::cache_dir().join("indexes");
    fs::create_dir_all(&indexes).ok()?;
    Some(indexes.join(format!("{:016x}.index", hasher.finish())))
}
