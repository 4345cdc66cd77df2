use std::time::{Duration, Instant};

use super::*;
use crate::bag_of_words::{BagOfWords, Counting};
use crate::{
    AnswerOptions, DocumentStore, Embedder, EvidenceFinder, EvidenceWeights, Examples, IndexOptions, Intents,
    Metadata, Origin, Outcome, Replies, Retriever,
};

fn document(id: &str, text: &str) -> Document {
    Document {
        id: id.into(),
        title: id.into(),
        text: text.into(),
        source: format!("{id}.md"),
        ..Document::default()
    }
}

fn of(store: DocumentStore, embedder: Box<dyn Embedder>, cache: Option<&std::path::Path>) -> Answerer {
    let retriever = Retriever::with_store(store, embedder, IndexOptions::default(), cache).unwrap();
    let intents = Intents::new(Examples::shipped().unwrap(), retriever.embedder(), None).unwrap();
    let finder = EvidenceFinder::new(EvidenceWeights::plain());
    let replies = Replies::shipped().unwrap();
    let answerer = Answerer::new(retriever, finder, intents, replies, AnswerOptions::default());
    answerer.prepare(|_, _| ()).unwrap();
    answerer
}

fn shop() -> [Document; 2] {
    [
        document("express", "Express delivery costs £8.90 per order. It arrives on the next day."),
        document("returns", "You can return an item within 30 days. The return label is free."),
    ]
}

fn answerer(documents: &[Document]) -> Answerer {
    of(documents.into(), Box::new(BagOfWords::default()), None)
}

const COST: &str = "What does express delivery cost per order?";

#[test]
fn the_next_answer_is_made_from_what_was_stored_last() {
    let answerer = answerer(&shop());
    assert_eq!(answerer.answer(COST, &[]).unwrap().text, "Express delivery costs £8.90 per order. [1]");
    let stored = answerer.upsert(document("express", "Express delivery costs £9.50 per order.")).unwrap();
    assert_eq!((stored.origin, stored.passages, stored.updated.is_empty()), (Origin::Api, 1, false));
    assert_eq!(answerer.answer(COST, &[]).unwrap().text, "Express delivery costs £9.50 per order. [1]");
    assert!(answerer.delete("express").unwrap());
    assert!(!answerer.delete("express").unwrap());
    assert_eq!(answerer.answer(COST, &[]).unwrap().outcome, Outcome::NoAnswer);
    let ids: Vec<_> =
        answerer.documents("", 0, 9).documents.into_iter().map(|a| a.document.id.clone()).collect();
    assert_eq!(ids, ["returns"]);
    assert_eq!(answerer.finder.prepared(), 1, "units of what is gone are let go");
}

#[test]
fn a_document_that_is_as_it_was_is_not_embedded_again() {
    let embedder = Arc::new(Counting::default());
    let answerer = of((&shop()[..]).into(), Box::new(embedder.clone()), None);
    embedder.embedded();
    let document = answerer.document("express").unwrap();
    assert_eq!(answerer.upsert(document.document.as_ref().clone()).unwrap(), document);
    assert_eq!(embedder.embedded(), [""; 0]);
    let mut edited = document.document.as_ref().clone();
    edited.text.push_str("\n\n# Islands\n\nAdd two days.");
    edited.metadata.topic = Some("delivery".into());
    assert_eq!(answerer.upsert(edited).unwrap().document.metadata.topic.as_deref(), Some("delivery"));
    assert!(!embedder.embedded().is_empty());
}

#[test]
fn what_cannot_be_found_is_refused_and_changes_nothing() {
    let answerer = answerer(&shop());
    let before = answerer.documents("", 0, 9);
    for (refused, reason) in [
        (document("", "text"), "document ``: has no id"),
        (document("a\nb", "text"), "an id has at most 512 bytes, and no control characters"),
        (document("a", " \n"), "document `a`: has no text"),
        (document("a", "# Only\n\n## Headings"), "document `a`: has no text but headings or embedded data"),
        (document("express", "***"), "document `express`: has no text"),
        (
            document("a", &"word ".repeat(2 << 20)),
            "document `a`: has 10 MB of text; one document may have 8 MB",
        ),
    ] {
        let error = answerer.upsert(refused).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
    assert_eq!(answerer.documents("", 0, 9), before);
    assert_eq!(answerer.answer(COST, &[]).unwrap().outcome, Outcome::Answered);
}

#[test]
fn changes_survive_a_restart_over_what_the_folder_has() {
    let folder = tempfile::tempdir().unwrap();
    let open = || {
        let knowledge = Knowledge { documents: shop().to_vec(), ..Knowledge::default() };
        let (store, damage) = DocumentStore::open(knowledge, &folder.path().join("journal")).unwrap();
        assert!(damage.is_empty());
        of(store, Box::new(BagOfWords::default()), Some(&folder.path().join("index")))
    };
    let first = open();
    first.upsert(document("express", "Express delivery costs £9.50 per order.")).unwrap();
    first.upsert(document("gifts", "We wrap gifts for two pounds each.")).unwrap();
    first.delete("returns").unwrap();
    let before = first.documents("", 0, 9);
    drop(first);
    let again = open();
    assert_eq!(again.documents("", 0, 9), before);
    assert_eq!(again.retriever.index().snapshot().documents().count(), 2);
    assert_eq!(again.answer(COST, &[]).unwrap().text, "Express delivery costs £9.50 per order. [1]");
}

#[test]
fn a_file_takes_the_place_of_what_it_held_before() {
    let answerer = answerer(&shop());
    let upload = |lines: &str| answerer.upsert_file("../faq.csv", lines.as_bytes().to_vec());
    let ids = || {
        let documents = answerer.documents("faq.csv", 0, 9).documents;
        documents.iter().map(|document| document.document.id.clone()).collect::<Vec<_>>()
    };
    let first = upload("question,answer\nOpen?,At nine\nClosed?,At six\nWhere?\n").unwrap();
    assert_eq!((first.documents.len(), first.skipped.len()), (2, 1));
    assert_eq!(first.documents[0].file.as_deref(), Some("faq.csv"));
    assert_eq!(ids(), ["faq.csv:2", "faq.csv:3"]);
    upload("question,answer\nOpen?,At ten\n").unwrap();
    assert_eq!(ids(), ["faq.csv:2"]);
    assert!(upload("sku,price\n1,2\n").unwrap_err().to_string().contains("has no column `text`"));
    assert!(answerer.upsert_file("a.exe", b"MZ".to_vec()).unwrap_err().to_string().contains("are not read"));
    assert_eq!(ids(), ["faq.csv:2"]);
}

#[test]
fn a_search_shows_every_stage_and_how_likely_there_is_no_answer() {
    let answerer = answerer(&shop());
    let found = answerer.search(COST, 10, &MetadataFilter::default()).unwrap();
    assert_eq!(found.hits.len(), 2, "however far");
    assert_eq!(found.hits[0].document, "express");
    let scores = found.hits[0].scores;
    assert!(scores.dense > 0.3 && scores.lexical > 0.2 && scores.fused > 0.9, "{scores:?}");
    let lost = answerer.search("Who won the match yesterday night?", 10, &MetadataFilter::default()).unwrap();
    assert!(lost.no_answer > found.no_answer, "{} {}", lost.no_answer, found.no_answer);
}

#[test]
fn only_what_the_filter_lets_through_is_read_and_k_results_come_where_k_exist() {
    let with = |id: String, language: &str, topic: &str| Document {
        metadata: Metadata {
            language: Some(language.into()),
            topic: Some(topic.into()),
            updated: Some(if id.ends_with('7') { "2026-05-01" } else { "2024-05-01" }.into()),
            ..Metadata::default()
        },
        source: format!("{topic}/{id}.md"),
        text: format!("Express delivery costs £8.90 per order, says {language} {id}."),
        title: id.clone(),
        ..document(&id, "")
    };
    let documents: Vec<Document> = (0..300)
        .map(|n| {
            let language = if n % 30 == 7 { "de" } else { "en" };
            with(format!("{n:03}"), language, if n % 2 == 0 { "prices" } else { "orders" })
        })
        .collect();
    let answerer = answerer(&documents);
    for (json, all) in [
        (r#"{"language": "de"}"#, 10),
        (r#"{"language": "de", "topic": "prices"}"#, 0),
        (r#"{"language": ["de", "en"], "source": "prices/"}"#, 150),
        (r#"{"topic": "orders", "updated_since": "2025-01-01"}"#, 30),
        (r#"{"audience": "staff"}"#, 300),
    ] {
        let filter: MetadataFilter = serde_json::from_str(json).unwrap();
        for limit in [1, 10, 100] {
            let found = answerer.search(COST, limit, &filter).unwrap().hits;
            assert_eq!(found.len(), limit.min(all), "{json} {limit}");
        }
        let options = AnswerOptions { filter, ..AnswerOptions::default() };
        let answer = answerer.answer_with(COST, &[], &options).unwrap();
        assert_eq!(answer.outcome == Outcome::Answered, all > 0, "{json}");
        if json.contains("\"de\"}") {
            assert_eq!(answer.passages[0].metadata.language.as_deref(), Some("de"));
        }
    }
}

#[test]
fn answers_go_on_while_documents_change() {
    let answerer = answerer(&shop());
    std::thread::scope(|scope| {
        for writer in 0..2 {
            let answerer = &answerer;
            scope.spawn(move || {
                for n in 0..40 {
                    // Both write `both`; each change of it is whole.
                    for id in [format!("own {writer} {}", n % 5), "both".into()] {
                        answerer
                            .upsert(document(&id, &format!("Parcel {writer} number {n} is green.")))
                            .unwrap();
                    }
                    answerer.delete(&format!("own {writer} {}", (n + 2) % 5)).unwrap();
                }
            });
        }
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..40 {
                    assert_eq!(answerer.answer(COST, &[]).unwrap().outcome, Outcome::Answered);
                }
            });
        }
    });
    let documents = answerer.documents("", 0, 99);
    let snapshot = answerer.retriever.index().snapshot();
    assert_eq!(documents.total, snapshot.documents().count());
    for document in documents.documents {
        let chunk = snapshot.chunk(snapshot.find(&document.document.id).unwrap().chunks.start).unwrap();
        assert_eq!(chunk.text, document.document.text, "store and index hold the same");
    }
}

/// Once a day: `cargo test --release -- --ignored fifty_megabytes --nocapture`.
#[test]
#[ignore = "takes minutes"]
fn fifty_megabytes() {
    let answerer = answerer(&shop());
    let timed = |what: &str, start: Instant| eprintln!("{what}: {:.2} s", start.elapsed().as_secs_f32());
    let start = Instant::now();
    let error = answerer.upsert(document("huge", &"Fifty megabytes of words. ".repeat(2 << 20))).unwrap_err();
    assert!(error.to_string().contains("has 52 MB of text"), "{error}");
    timed("one document of 52 MB refused", start);

    let start = Instant::now();
    let line =
        |n: usize| format!("Topic {n},\"{}\"\n", format!("StoredDocument {n} says this. ").repeat(240));
    let csv = format!("question,answer\n{}", (0..9_000).map(line).collect::<String>());
    let upload = answerer.upsert_file("huge.csv", csv.clone().into_bytes()).unwrap();
    let passages: usize = upload.documents.iter().map(|document| document.passages).sum();
    timed(
        &format!("{} MB of CSV, {} documents, {passages} passages", csv.len() >> 20, upload.documents.len()),
        start,
    );
    let start = Instant::now();
    assert_eq!(answerer.answer(COST, &[]).unwrap().outcome, Outcome::Answered);
    assert!(start.elapsed() < Duration::from_secs(5));
    timed("an answer after that", start);
    let start = Instant::now();
    assert!(
        answerer.upsert_file("huge.csv", b"question,answer\nA?,B\n".to_vec()).unwrap().documents.len() == 1
    );
    timed("all of it replaced by one", start);
}
