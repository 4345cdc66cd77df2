mod changes;
mod killed;

use std::fs;
use std::path::Path;

use super::*;
use crate::bag_of_words::{BagOfWords, Counting};

fn document(id: impl ToString, text: &str) -> Document {
    let id = id.to_string();
    Document {
        title: format!("t{id}"),
        text: text.into(),
        source: format!("{id}.md"),
        id,
        ..Document::default()
    }
}

fn documents(texts: &[&str]) -> Vec<Document> {
    texts.iter().enumerate().map(|(n, text)| document(n, text)).collect()
}

fn open_or_build(
    documents: &[Document],
    embedder: &dyn Embedder,
    cache: &Path,
) -> Result<(Index, IndexOrigin), RagError> {
    Index::open_or_build(documents, embedder, IndexOptions::default(), Some(cache))
}

fn query(text: &str) -> UnitVector {
    UnitVector::embed(&BagOfWords::default(), &[text]).unwrap().remove(0)
}

/// The ids of the documents of the `k` nearest chunks.
fn nearest(index: &Index, text: &str, k: usize) -> Vec<String> {
    let snapshot = index.snapshot();
    let found = snapshot.search(&query(text), k, None);
    found.iter().map(|found| snapshot.chunk(found.chunk).unwrap().document).collect()
}

fn best(index: &Index, text: &str) -> String {
    nearest(index, text, 1).remove(0)
}

#[test]
fn finds_the_chunk_that_shares_most_words_best_first() {
    let documents = documents(&["cancel an order", "track a parcel", "refund an order quickly"]);
    let index = Index::build(&documents, &BagOfWords::default(), IndexOptions::default()).unwrap();
    assert_eq!(best(&index, "track my parcel"), "1");
    let found = index.search(&query("refund an order"), 10, None);
    assert_eq!(found.iter().map(|found| found.chunk).collect::<Vec<_>>(), [2, 0, 1]);
    assert!(found.windows(2).all(|pair| pair[0].score >= pair[1].score));
    assert!(found.iter().all(|found| (-1.0..=1.0001).contains(&found.score)));
    assert_eq!(index.search(&query("refund an order"), 0, None), []);
}

#[test]
fn is_read_back_from_its_folder_and_only_what_changed_is_embedded() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("new/folder/index");
    let embedder = Counting::default();
    let open = |documents: &[Document]| {
        let (index, origin) = open_or_build(documents, &embedder, &cache).unwrap();
        assert_eq!(index.snapshot().documents().count(), documents.len());
        assert_eq!(best(&index, "track my parcel"), "1");
        (origin.to_string(), embedder.embedded())
    };
    let mut all = documents(&["cancel an order", "track a parcel"]);
    let (origin, embedded) = open(&all);
    assert_eq!((origin.as_str(), embedded.len()), ("index built: for the first time", 2));
    let (origin, embedded) = open(&all);
    assert_eq!((origin.as_str(), embedded.len()), ("index read from its cache", 0));

    // One that changes, one that comes; a text that only moves to another id with the same title is known.
    all[0].text = "cancel an order soon".into();
    all.push(Document { title: "t1".into(), ..document(2, "track a parcel") });
    let (origin, embedded) = open(&all);
    assert_eq!(origin, "index brought up to date: 2 documents new or changed, 0 gone");
    assert_eq!(embedded, ["t0\ncancel an order soon"]);
    all.remove(0);
    let (origin, embedded) = open(&all);
    assert_eq!(origin, "index brought up to date: 0 documents new or changed, 1 gone");
    assert_eq!(embedded.len(), 0);
    // What is said of a document changes what is cited, but nothing that is embedded.
    all[0].source = "elsewhere".into();
    let (origin, embedded) = open(&all);
    assert_eq!(origin, "index brought up to date: 1 documents new or changed, 0 gone");
    assert_eq!(embedded.len(), 0);
}

#[test]
fn progress_counts_what_is_embedded() {
    let texts: Vec<String> = (0..600).map(|n| format!("text {n}")).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let mut seen = Vec::new();
    let index = Index::in_memory(&BagOfWords::default(), IndexOptions::default()).unwrap();
    let counts =
        index.update(&documents(&texts), &BagOfWords::default(), &mut |done, total| seen.push((done, total)));
    assert_eq!(counts.unwrap(), (600, 0));
    assert_eq!(seen, [(0, 600), (256, 600), (512, 600), (600, 600)]);
}

#[test]
fn another_embedder_or_other_options_build_anew() {
    let folder = tempfile::tempdir().unwrap();
    let documents = documents(&["cancel an order", "track a parcel"]);
    let open = |embedder: &BagOfWords, options| {
        Index::open_or_build(&documents, embedder, options, Some(folder.path())).unwrap().1.to_string()
    };
    let default = IndexOptions::default();
    let other = BagOfWords { id: "other".into(), ..BagOfWords::default() };
    open(&BagOfWords::default(), default);
    assert_eq!(open(&other, default), "index built: the embedder has changed from `bag-of-words` to `other`");
    assert_eq!(open(&other, default), "index read from its cache");
    assert_eq!(
        open(&other, IndexOptions { embed_titles: false }),
        "index built: what is embedded has changed from `titles and text` to `text`"
    );
}

#[test]
fn where_no_documents_are_at_hand_another_embedder_is_an_error_that_names_both() {
    let folder = tempfile::tempdir().unwrap();
    let options = IndexOptions::default();
    let (index, damage) = Index::open(folder.path(), &BagOfWords::default(), options).unwrap();
    assert!(damage.is_empty() && index.snapshot().is_empty());
    let other = BagOfWords { id: "other".into(), ..BagOfWords::default() };
    let error = index.upsert(&document(1, "text"), &other).unwrap_err().to_string();
    assert_eq!(error, "embedder other: the embedder has changed from `bag-of-words` to `other`");

    let error = Index::open(folder.path(), &BagOfWords::default(), options).unwrap_err().to_string();
    assert_eq!(error, format!("{}: is open elsewhere", folder.path().display()));
    drop(index);
    let error = Index::open(folder.path(), &other, options).unwrap_err().to_string();
    assert!(error.ends_with(": the embedder has changed from `bag-of-words` to `other`"), "{error}");
}

#[test]
fn a_folder_that_is_open_elsewhere_is_read_but_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let (owner, _) = open_or_build(&documents(&["a parcel"]), &BagOfWords::default(), folder.path()).unwrap();
    let embedder = Counting::default();
    let (guest, origin) =
        open_or_build(&documents(&["a parcel", "an order"]), &embedder, folder.path()).unwrap();
    assert_eq!(origin.to_string(), "index brought up to date: 1 documents new or changed, 0 gone");
    assert_eq!((embedder.embedded().len(), guest.snapshot().len()), (1, 2));
    drop((owner, guest));
    let (index, _) = Index::open(folder.path(), &embedder, IndexOptions::default()).unwrap();
    assert_eq!(index.snapshot().len(), 1);
}

/// An index of two segments in files and one document in the log.
fn stored(folder: &Path) -> Vec<Document> {
    let (index, _) = Index::open(folder, &BagOfWords::default(), IndexOptions::default()).unwrap();
    let all = documents(&["cancel an order", "track a parcel", "refund an order"]);
    for document in &all {
        let flush_at = if document.id == "2" { 1000 } else { 1 };
        index
            .shared
            .change(|state| {
                state.flush_at = flush_at;
                Ok(())
            })
            .unwrap();
        index.upsert(document, &BagOfWords::default()).unwrap();
        index.settle().unwrap();
    }
    let snapshot = index.snapshot();
    assert_eq!((snapshot.segments(), snapshot.len()), (3, 3));
    all
}

fn files(folder: &Path, prefix: &str) -> Vec<std::path::PathBuf> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let is_wanted =
        |path: &std::path::PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with(prefix);
    let mut files: Vec<_> = names.filter(is_wanted).collect();
    files.sort();
    files
}

#[test]
fn of_a_damaged_index_what_is_whole_is_searched_and_the_rest_is_indexed_again() {
    for (prefix, lost) in [("segment-", 1), ("log-", 0)] {
        let folder = tempfile::tempdir().unwrap();
        let all = stored(folder.path());
        let path = files(folder.path(), prefix).remove(0);
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&path, &bytes).unwrap();

        let (index, damage) =
            Index::open(folder.path(), &BagOfWords::default(), IndexOptions::default()).unwrap();
        // Of a log, the last record may have been cut by the end of the program.
        assert_eq!(damage.len(), lost, "{damage:?}");
        assert!(damage.iter().all(|error| error.to_string().starts_with(path.to_str().unwrap())));
        assert_eq!(index.snapshot().len(), 2);
        assert_eq!(best(&index, "track a parcel"), "1");
        drop(index);

        let embedder = Counting::default();
        let (index, origin) = open_or_build(&all, &embedder, folder.path()).unwrap();
        assert_eq!((index.snapshot().len(), embedder.embedded().len()), (3, 1), "{origin}");
        drop(index);
        let (_, origin) = open_or_build(&all, &embedder, folder.path()).unwrap();
        assert_eq!(origin, IndexOrigin::Cache);
    }
}

#[test]
fn a_damaged_manifest_is_an_error_and_with_documents_at_hand_builds_anew() {
    let folder = tempfile::tempdir().unwrap();
    let all = stored(folder.path());
    for bytes in [b"".as_slice(), b"{}", b"HRTHIX\x00\x01 and more"] {
        fs::write(folder.path().join("manifest"), bytes).unwrap();
        let error = Index::open(folder.path(), &BagOfWords::default(), IndexOptions::default()).unwrap_err();
        assert!(error.to_string().contains("manifest: is "), "{error}");
        let (index, origin) = open_or_build(&all, &BagOfWords::default(), folder.path()).unwrap();
        assert!(origin.to_string().contains("index built: ") && origin.to_string().contains("manifest: is "));
        assert_eq!(index.snapshot().len(), 3);
    }
    assert_eq!(files(folder.path(), "segment-").len(), 0, "what is not needed is deleted");
}

#[test]
fn a_file_of_an_earlier_version_gives_way() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("index");
    fs::write(&cache, "{}").unwrap();
    let (_, origin) = open_or_build(&documents(&["a"]), &BagOfWords::default(), &cache).unwrap();
    assert!(origin.to_string().ends_with("is not a readable index: it was a file"), "{origin}");
}

#[test]
fn a_knowledge_base_without_words_finds_nothing() {
    let folder = tempfile::tempdir().unwrap();
    for expected in ["index built: for the first time", "index read from its cache"] {
        let (index, origin) =
            open_or_build(&documents(&[" "]), &BagOfWords::default(), folder.path()).unwrap();
        assert_eq!(origin.to_string(), expected);
        assert!(index.snapshot().is_empty() && index.search(&query("parcel"), 3, None).is_empty());
        index.settle().unwrap();
    }
}

#[test]
fn a_cache_that_cannot_be_written_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let error = open_or_build(&documents(&["a"]), &BagOfWords::default(), &file.join("index"));
    assert!(error.unwrap_err().to_string().starts_with(file.to_str().unwrap()));
}

#[test]
fn copies_are_embedded_and_stored_once() {
    let embedder = Counting::default();
    let copies: Vec<Document> = (0..1000)
        .map(|n| Document {
            id: format!("{n:04}"),
            title: "Footer".into(),
            ..document(n, "all rights reserved")
        })
        .collect();
    let index = Index::build(&copies, &embedder, IndexOptions::default()).unwrap();
    assert_eq!(embedder.embedded().len(), 1);
    let snapshot = index.snapshot();
    assert_eq!(snapshot.rows(), 1);
    assert_eq!(nearest(&index, "all rights", 3), ["0000", "0001", "0002"]);
    index.delete("0001").unwrap();
    index.upsert(&Document { id: "00005".into(), ..copies[0].clone() }, &embedder).unwrap();
    assert_eq!(nearest(&index, "all rights", 3), ["0000", "00005", "0002"]);
    assert_eq!(embedder.embedded().len(), 0);
}

#[test]
fn a_filter_gives_k_where_k_exist() {
    let all: Vec<Document> = (0..400)
        .map(|n| {
            let topic = Some(if n % 40 == 7 { "rare" } else { "common" }.to_string());
            let metadata = crate::Metadata { topic, ..crate::Metadata::default() };
            Document {
                metadata,
                ..document(format!("{n:03}"), &format!("order {} {n}", "parcel ".repeat(n % 5)))
            }
        })
        .collect();
    for graph_from in [usize::MAX, 1] {
        let index = Index::in_memory(&BagOfWords::default(), IndexOptions::default()).unwrap();
        index.set_graph_from(graph_from);
        index.update(&all, &BagOfWords::default(), &mut |_, _| ()).unwrap();
        index.delete("007").unwrap();
        let snapshot = index.snapshot();
        let rare: Filter = &|document| document.metadata.topic.as_deref() == Some("rare");
        for (k, expected) in [(5, 5), (9, 9), (20, 9), (usize::MAX, 9)] {
            let found = snapshot.search(&query("order parcel"), k, Some(rare));
            assert_eq!(found.len(), expected, "{k}");
            assert!(found.iter().all(|found| snapshot.chunk(found.chunk).unwrap().document != "007"));
        }
        assert_eq!(snapshot.search(&query("order"), usize::MAX, None).len(), 399);
        assert_eq!(snapshot.search(&query("order"), 3, Some(&|_| false)), []);
    }
}
