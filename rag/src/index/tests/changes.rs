//! An index that has been changed is like one that is built of what is left.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::Selection;
use crate::retriever::{Question, search};

/// Few words and few texts, so that many are equal.
const TEXTS: [&str; 9] = [
    "cancel an order",
    "# Refund\n\nA refund takes five days.\n\n## Late\n\nERR-4011 means late.",
    "track a parcel",
    "A refund takes five days.",
    "Sie können Ihre Bestellung innerhalb eines Tages stornieren.",
    "track a parcel with ERR-4011",
    "orders and parcels and refunds",
    "",
    "您可以在一天内取消订单。",
];

#[derive(Debug, Clone)]
enum Step {
    Upsert(Vec<(u8, u8)>),
    Delete(u8),
    Settle,
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let pair = || (0u8..25, 0u8..TEXTS.len() as u8);
    prop_oneof![
        8 => pair().prop_map(|pair| Step::Upsert(vec![pair])),
        1 => prop::collection::vec(pair(), 1..12).prop_map(Step::Upsert),
        3 => (0u8..25).prop_map(Step::Delete),
        1 => Just(Step::Settle),
        1 => Just(Step::Reopen),
    ]
}

/// All that a search says, without the numbers of chunks.
fn answers(index: &Index) -> Vec<Vec<(String, String, [u32; 3])>> {
    let snapshot = index.snapshot();
    let asked = ["refund", "track parcels", "ERR-4011", "Bestellung", "取消", "nothing of it", ""];
    let ask = |question: &&str| {
        let question = Question::new(&snapshot, &BagOfWords::default(), question).unwrap();
        let hits = search(&snapshot, &question, 40, &Selection::default().without_threshold(), None);
        let bits = |hit: &crate::Hit| {
            let crate::Scores { dense, lexical, fused } = hit.scores;
            [dense, lexical, fused].map(f32::to_bits)
        };
        hits.iter().map(|hit| (hit.document.clone(), hit.text.clone(), bits(hit))).collect()
    };
    asked.iter().map(ask).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn whatever_its_history_it_answers_like_a_fresh_one(
        steps in prop::collection::vec(step(), 1..60), flush_at in 2usize..60, graph_from in prop_oneof![Just(4usize), Just(usize::MAX)],
    ) {
        let folder = tempfile::tempdir().unwrap();
        let open = || {
            let (index, damage) =
                Index::open(folder.path(), &BagOfWords::default(), IndexOptions::default()).unwrap();
            assert_eq!(damage.len(), 0);
            index.shared.change(|state| {
                (state.flush_at, state.graph_from) = (flush_at, graph_from);
                Ok(())
            }).unwrap();
            index
        };
        let mut index = open();
        let mut model: BTreeMap<String, Document> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Upsert(pairs) => {
                    let all: Vec<Document> =
                        pairs.iter().map(|(id, text)| document(id, TEXTS[*text as usize])).collect();
                    index.upsert_all(&all, &BagOfWords::default()).unwrap();
                    model.extend(all.into_iter().map(|document| (document.id.clone(), document)));
                }
                Step::Delete(id) => {
                    let id = id.to_string();
                    prop_assert_eq!(index.delete(&id).unwrap(), model.remove(&id).is_some());
                }
                Step::Settle => index.settle().unwrap(),
                Step::Reopen => {
                    drop(index);
                    index = open();
                }
            }
            let snapshot = index.snapshot();
            let ids: Vec<&str> = snapshot.documents().map(|document| document.id).collect();
            prop_assert_eq!(ids.len(), model.len());
            prop_assert!(ids.iter().all(|id| model.contains_key(*id)));
        }
        let all: Vec<Document> = model.into_values().collect();
        let fresh = Index::build(&all, &BagOfWords::default(), IndexOptions::default()).unwrap();
        prop_assert_eq!(answers(&index), answers(&fresh));
        index.compact().unwrap();
        prop_assert!(index.snapshot().segments() <= 1);
        prop_assert_eq!(answers(&index), answers(&fresh));
    }
}

#[test]
fn searches_go_on_while_segments_are_merged() {
    let index = Index::in_memory(&BagOfWords::default(), IndexOptions::default()).unwrap();
    let first = document("first", "an anchor that stays");
    index.upsert(&first, &BagOfWords::default()).unwrap();
    std::thread::scope(|scope| {
        let searcher = || {
            for _ in 0..300 {
                assert_eq!(best(&index, "an anchor that stays"), "first");
            }
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(searcher)).collect();
        for n in 0..200 {
            index.upsert(&document(n % 70, &format!("parcel {n}")), &BagOfWords::default()).unwrap();
            assert_eq!(best(&index, &format!("t{} parcel {n}", n % 70)), (n % 70).to_string());
        }
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
    let snapshot = index.snapshot();
    assert_eq!(snapshot.documents().count(), 71);
    assert!(snapshot.segments() < 30, "{}", snapshot.segments());
}

#[test]
fn segments_are_few_after_every_change_and_when_a_log_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let open = || Index::open(folder.path(), &BagOfWords::default(), IndexOptions::default()).unwrap().0;
    let index = open();
    for n in 0..700 {
        index.upsert(&document(n, &format!("parcel {n}")), &BagOfWords::default()).unwrap();
        // At most seven of each size class up to those that are left to the thread.
        assert!(index.snapshot().segments() <= 7 * 3 + 2, "{} after {n}", index.snapshot().segments());
    }
    let before = index.snapshot().segments();
    drop(index);
    let index = open();
    assert_eq!((index.snapshot().segments(), index.snapshot().len()), (before, 700));
}
