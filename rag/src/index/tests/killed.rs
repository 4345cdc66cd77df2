//! An index whose process is killed at any moment has, when it is opened again, every change that was
//! acknowledged.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

const FOLDER: &str = "HEARTH_TEST_INDEX";
const FIRST: &str = "HEARTH_TEST_FIRST";
const IDS: u64 = 2000;

/// Small, so that a debug build is fast.
fn embedder() -> BagOfWords {
    BagOfWords { dim: 64, ..BagOfWords::default() }
}

fn random(seed: u64) -> u64 {
    let mut state = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    state = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    state = (state ^ (state >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    state ^ (state >> 31)
}

/// The change of that number: a document of that id, or its end. Every sixth is an end.
fn change(number: u64) -> (String, Option<Document>) {
    let id = (random(number) % IDS).to_string();
    let is_end = random(number ^ 0xABCD).is_multiple_of(6);
    let words: Vec<String> = (0..12).map(|n| format!("w{}", random(number * 100 + n) % 500)).collect();
    let text = format!("change {number}: {}", words.join(" "));
    let new = (!is_end).then(|| document(&id, &text));
    (id, new)
}

fn open(folder: &Path) -> Index {
    let (index, damage) = Index::open(folder, &embedder(), IndexOptions::default()).unwrap();
    assert_eq!(damage.len(), 0, "{damage:?}");
    // Often written and merged, and with graphs, so that a kill meets all of it.
    index
        .shared
        .change(|state| {
            (state.flush_at, state.graph_from) = (300, 1500);
            Ok(())
        })
        .unwrap();
    index
}

/// What is killed: changes the index and says which changes are acknowledged, while four threads search.
#[test]
#[ignore = "is started by the tests below"]
fn child() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let first: u64 = std::env::var(FIRST).unwrap().parse().unwrap();
    let index = open(folder.as_ref());
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (index, ended) = (&index, &ended);
            scope.spawn(move || {
                for n in 0.. {
                    if ended.load(Ordering::Relaxed) {
                        break;
                    }
                    let text = format!("w{} w{}", random(n * 4 + thread) % 500, random(n + thread) % 500);
                    let query = UnitVector::embed(&embedder(), &[text.as_str()]).unwrap().remove(0);
                    let snapshot = index.snapshot();
                    let found = snapshot.search(&query, 10, None);
                    assert_eq!(found.len(), 10.min(snapshot.len()));
                    assert!(found.iter().all(|found| snapshot.chunk(found.chunk).is_some()));
                }
            });
        }
        for number in first.. {
            match change(number) {
                (_, Some(document)) => index.upsert(&document, &embedder()).unwrap(),
                (id, None) => index.delete(&id).map(drop).unwrap(),
            }
            println!("acknowledged {number}");
        }
        ended.store(true, Ordering::Relaxed);
    });
}

fn start(folder: &Path, first: u64) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "index::tests::killed::child", "--ignored", "--nocapture", "--test-threads", "1"])
        .env(FOLDER, folder)
        .env(FIRST, first.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Lets a child make changes from `first` on, kills it when it has acknowledged `until`, and returns the
/// first change that may not have been made.
fn run_and_kill(folder: &Path, first: u64, until: u64, wait: u64) -> u64 {
    let mut child = start(folder, first);
    let mut next = first;
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut is_killed = false;
    for line in lines.map_while(Result::ok) {
        if let Some(number) = line.split("acknowledged ").nth(1) {
            next = number.parse::<u64>().unwrap() + 1;
        }
        if next >= until && !is_killed {
            // Somewhere within what comes next; what was acknowledged meanwhile is still read.
            std::thread::sleep(std::time::Duration::from_micros(wait));
            child.kill().unwrap();
            is_killed = true;
        }
    }
    assert!(is_killed, "the child ended by itself: {}", child.wait().unwrap());
    child.wait().unwrap();
    next
}

/// Compares the index with what the changes before `next` have made. The one after them may have been made.
fn check(index: &Index, next: u64) {
    let mut model: BTreeMap<String, Document> = BTreeMap::new();
    let mut last = |number| match change(number) {
        (id, Some(document)) => model.insert(id, document),
        (id, None) => model.remove(&id),
    };
    (0..next).for_each(|number| drop(last(number)));
    let (in_flight, new) = change(next);
    let snapshot = index.snapshot();
    let texts: BTreeMap<&str, String> = snapshot
        .documents()
        .map(|document| (document.id, snapshot.chunk(document.chunks.start).unwrap().text))
        .collect();
    for (id, document) in &model {
        let found = texts.get(id.as_str());
        let is_right = found == Some(&document.text)
            || (*id == in_flight && found == new.as_ref().map(|document| &document.text));
        assert!(is_right, "document {id} after {next} changes: {found:?}, expected {}", document.text);
    }
    for id in texts.keys() {
        assert!(model.contains_key(*id) || *id == in_flight, "document {id} was deleted before {next}");
    }
}

fn survives(changes: u64, kills: u64) {
    let folder = tempfile::tempdir().unwrap();
    let mut next = 0;
    for kill in 1..=kills {
        let until = (changes * kill / kills - random(kill) % (changes / kills / 2)).max(next + 1);
        next = run_and_kill(folder.path(), next, until, random(kill + 77) % 20_000);
        check(&open(folder.path()), next);
    }
    let index = open(folder.path());
    index.settle().unwrap();
    assert!(index.snapshot().segments() < 40);

    // A search finds what it finds in an index that is built of the same documents.
    let snapshot = index.snapshot();
    let current: Vec<Document> = (0..next + 1)
        .filter_map(|number| change(number).1)
        .filter(|document| {
            snapshot.find(&document.id).is_some_and(|found| {
                snapshot.chunk(found.chunks.start).is_some_and(|chunk| chunk.text == document.text)
            })
        })
        .collect();
    assert_eq!(current.len(), snapshot.documents().count());
    let fresh = Index::build(&current, &embedder(), IndexOptions::default()).unwrap().snapshot();
    let ids = |snapshot: &Snapshot, query: &UnitVector| -> Vec<String> {
        let found = snapshot.search(query, 10, None);
        found.iter().map(|found| snapshot.chunk(found.chunk).unwrap().document).collect()
    };
    let (mut found, queries) = (0, 200);
    for number in 0..queries {
        let text =
            format!("w{} w{} w{}", random(number) % 500, random(number + 1) % 500, random(number + 2) % 500);
        let query = UnitVector::embed(&embedder(), &[text.as_str()]).unwrap().remove(0);
        let expected = ids(&fresh, &query);
        found += ids(&snapshot, &query).iter().filter(|id| expected.contains(id)).count();
    }
    let recall = found as f64 / (10 * queries) as f64;
    println!(
        "{next} changes, {kills} kills, {} documents, {} segments, recall {recall}",
        current.len(),
        snapshot.segments()
    );
    assert!(recall >= 0.99, "recall {recall}");
}

#[test]
fn acknowledged_changes_survive_kills() {
    survives(600, 4);
}

#[test]
#[ignore = "takes minutes"]
fn ten_thousand_changes_survive_twenty_kills() {
    survives(10_000, 20);
}
