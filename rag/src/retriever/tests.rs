use std::fs;

use super::*;
use crate::bag_of_words::BagOfWords;

fn retriever(articles: &[(&str, &str)], selection: Selection) -> Retriever {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in articles {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let embedder = Box::new(BagOfWords::default());
    let retriever = Retriever::open(folder.path(), embedder, IndexOptions::default(), None).unwrap();
    retriever.with_selection(selection).unwrap()
}

const SHOP: [(&str, &str); 4] = [
    ("a.md", "# Cancel\n\nYou can cancel your order within one day."),
    ("b.md", "# Cancel\n\nYou can cancel your order within one day!"),
    ("c.md", "# Refund\n\nCancel late and the order becomes a refund."),
    ("d.md", "# Parcels\n\nTrack parcels with the number in our message."),
];

fn sources(hits: &[Hit]) -> Vec<&str> {
    hits.iter().map(|hit| hit.source.as_str()).collect()
}

#[test]
fn a_hit_carries_what_a_citation_needs_and_the_score_of_every_stage() {
    let hits = retriever(&SHOP, Selection::default()).search("track parcels", 1).unwrap();
    let hit = &hits[0];
    assert_eq!((hit.title.as_str(), hit.source.as_str(), hit.document.as_str()), ("Parcels", "d.md", "d.md"));
    assert_eq!((hit.chunk, hit.headings.as_slice()), (3, ["Parcels".to_string()].as_slice()));
    assert_eq!(SHOP[3].1[hit.range.clone()], hit.text);
    let Scores { dense, lexical, fused } = hit.scores;
    assert!(dense > 0.3 && dense <= 1.0, "{dense}");
    assert!(lexical > 0.3 && lexical <= 1.0, "{lexical}");
    assert!((fused - 1.0).abs() < 1e-6, "first in every ranking: {fused}");
}

#[test]
fn hits_are_in_the_order_of_scores_unless_novelty_is_asked_for() {
    let question = "cancel your order";
    let selection = Selection { min_score: 0.1, ..Selection::default() };
    let hits = retriever(&SHOP, selection).search(question, 3).unwrap();
    assert_eq!(sources(&hits), ["a.md", "b.md", "c.md"]);
    assert!(hits.windows(2).all(|pair| pair[0].scores.fused >= pair[1].scores.fused));
    let varied = retriever(&SHOP, Selection { lambda: 0.5, ..selection });
    assert_eq!(sources(&varied.search(question, 2).unwrap()), ["a.md", "c.md"]);
}

#[test]
fn the_same_text_comes_once() {
    let same = "# Refund\n\nA refund takes five days.";
    let articles = [("a.md", same), ("b.md", same), ("c.md", same), ("d.md", "# Refund form\n\nFill it in.")];
    let hits = retriever(&articles, Selection::default()).search("refund", 4).unwrap();
    assert_eq!(sources(&hits), ["a.md", "d.md"]);
}

#[test]
fn each_document_gives_its_best_passage_before_any_gives_a_second() {
    let filler = "order ".repeat(100);
    let long = format!(
        "# Orders\n\n{filler}\n\n## Refund\n\nrefund refund {filler}\n\n## Refunds\n\nrefund {filler}"
    );
    let articles = [("long.md", long.as_str()), ("short.md", "# Money\n\nA refund is money back.")];
    let selection = Selection::default().without_threshold();
    let hits = retriever(&articles, selection).search("refund", 9).unwrap();
    assert!(hits.len() > 2);
    let mut firsts = sources(&hits)[..2].to_vec();
    firsts.sort();
    assert_eq!(firsts, ["long.md", "short.md"]);
    let first = hits.iter().find(|hit| hit.source == "long.md").unwrap();
    assert!(first.text.contains("refund refund"), "{}", first.text);
}

#[test]
fn nothing_near_enough_is_no_answer() {
    let retriever = retriever(&SHOP, Selection::default());
    assert_eq!(retriever.search("quantum chromodynamics", 3).unwrap(), []);
    assert_eq!(retriever.search("", 3).unwrap(), []);
    assert_eq!(retriever.search("track parcels", 0).unwrap(), []);
}

/// The knowledge base of the report "A code that stands in a document word for word is not found".
const CODES: [(&str, &str); 4] = [
    ("err4012.md", "# ERR-4012\n\nERR-4012 means that the paper tray is jammed. Open the rear lid."),
    ("err4021.md", "# ERR-4021\n\nERR-4021 means that the toner cartridge is empty. Order cartridge TN-77."),
    ("err5012.md", "# ERR-5012\n\nERR-5012 means that the print head is too hot. Wait ten minutes."),
    (
        "errors.md",
        "# Error codes\n\n| Code | Meaning |\n|---|---|\n| ERR-4010 | The scanner is not paired |\n\
         | ERR-4011 | The battery is below 5 % |\n| ERR-4013 | The firmware is out of date |\n",
    ),
];

#[test]
fn a_product_code_is_found_where_it_stands() {
    let retriever = retriever(&CODES, Selection::default());
    for (question, source) in [
        ("ERR-4011", "errors.md"),
        ("ERR-4013", "errors.md"),
        ("what does err 4011 mean", "errors.md"),
        ("my printer shows ERR4011 since the update, what does that mean?", "errors.md"),
        ("Err_4013!", "errors.md"),
        ("ERR‑4011", "errors.md"),
        ("错误ERR-4011怎么办", "errors.md"),
        ("ERR-4012", "err4012.md"),
        ("error 4021", "err4021.md"),
        ("tn77", "err4021.md"),
        ("ERR-5012 or not", "err5012.md"),
    ] {
        let hits = retriever.search(question, 3).unwrap();
        assert_eq!(sources(&hits).first(), Some(&source), "{question}");
    }
}

#[test]
fn a_product_code_that_stands_nowhere_has_no_answer() {
    let retriever = retriever(&CODES, Selection::default());
    for question in ["ERR-9999", "what does ERR-4111 mean?", "TN-78"] {
        assert_eq!(sources(&retriever.search(question, 3).unwrap()), [""; 0], "{question}");
    }
}

#[test]
fn an_order_number_beside_a_question_does_not_matter() {
    let retriever = retriever(&SHOP, Selection::default());
    for question in ["track parcels", "track parcels ORD-20391", "track parcels (1Z999AA10123456784)"] {
        assert_eq!(sources(&retriever.search(question, 1).unwrap()), ["d.md"], "{question}");
    }
}

#[test]
fn refuses_a_selection_out_of_range() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.md"), "text").unwrap();
    let embedder = Box::new(BagOfWords::default());
    let retriever = Retriever::open(folder.path(), embedder, IndexOptions::default(), None).unwrap();
    let error = retriever.with_selection(Selection { lambda: 1.5, ..Selection::default() }).err().unwrap();
    assert_eq!(error.to_string(), "lambda is 1.5; it must be between 0 and 1");
}
