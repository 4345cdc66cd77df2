use proptest::prelude::*;

use super::*;

/// Each unit in words, with its headings and its source.
fn said(passage: &str) -> Vec<(String, String, &str)> {
    let say = |unit: Unit| {
        (unit.standalone().into_owned(), unit.headings.join(" > "), &passage[unit.range.clone()])
    };
    units(passage).into_iter().map(say).collect()
}

fn texts(passage: &str) -> Vec<String> {
    units(passage).into_iter().map(|unit| unit.standalone().into_owned()).collect()
}

#[test]
fn sentences_know_their_headings_and_their_source() {
    let passage =
        "# Orders\n\nCancel **within 24\nhours**. It is *free.* Ask!\n\n## Late &amp; lost\n\nWait.";
    assert_eq!(
        said(passage),
        [
            ("Cancel within 24 hours.".into(), "Orders".into(), "Cancel **within 24\nhours**."),
            ("It is free.".into(), "Orders".into(), "It is *free.*"),
            ("Ask!".into(), "Orders".into(), "Ask!"),
            ("Wait.".into(), "Orders > Late & lost".into(), "Wait."),
        ]
    );
}

#[test]
fn items_have_their_introduction() {
    let passage = "Two ways. You need:\n\n- a **card**\n- a pen. Blue.\n  1. ink\n\nThe end.";
    let found = units(passage);
    let kinds: Vec<_> = found.iter().map(|unit| (unit.kind, unit.text.as_str())).collect();
    assert_eq!(
        kinds,
        [
            (UnitKind::Sentence, "Two ways."),
            (UnitKind::Lead, "You need:"),
            (UnitKind::Item, "a card"),
            (UnitKind::Item, "a pen. Blue."),
            (UnitKind::Item, "ink"),
            (UnitKind::Sentence, "The end."),
        ]
    );
    assert_eq!(found[2].standalone(), "You need: a card");
    assert_eq!(&passage[found[2].range.clone()], "a **card**");
    assert_eq!(found[4].standalone(), "You need: a pen. Blue. ink");
    assert_eq!(found[5].lead, None);
}

#[test]
fn long_items_are_cut_into_sentences() {
    let item = format!("- {}End of it.", "A sentence of the item goes on and on here. ".repeat(8));
    assert_eq!(texts(&item).len(), 9);
}

#[test]
fn rows_are_read_with_their_columns() {
    let passage =
        "Prices:\n\n| Plan | Price | Data |\n|---|---|---|\n| **Basic** | £5 | 2 GB |\n| Free | | |\n";
    assert_eq!(texts(passage), ["Prices:", "Prices: Basic: Price: £5; Data: 2 GB", "Prices: Free"]);
    assert_eq!(said(passage)[1].2.trim(), "| **Basic** | £5 | 2 GB |");
    assert_eq!(texts("Code\tMeaning\nE1\tHot\nE2\tCold"), ["E1: Meaning: Hot", "E2: Meaning: Cold"]);
    let html = "<table>\n<tr><th>a</th><th>b</th></tr>\n<tr><td>1</td><td>2</td></tr>\n</table>";
    assert_eq!(texts(html), ["a b", "1 2"]);
}

#[test]
fn one_column_of_amounts_needs_no_name() {
    let table = |names: &str| format!("| Service | {names} |\n|---|---|\n| Lost key | €180 |\n");
    assert_eq!(texts(&table("Amount")), ["Lost key: €180"]);
    assert_eq!(texts(&table("Gebühr")), ["Lost key: €180"]);
    assert_eq!(texts(&table("Deposit")), ["Lost key: Deposit: €180"]);
    let two = "| Service | Price | Fee |\n|---|---|---|\n| Lost key | €180 | €5 |\n";
    assert_eq!(texts(two), ["Lost key: Price: €180; Fee: €5"]);
}

#[test]
fn a_table_right_after_a_list_is_a_table() {
    let passage = "- one\n- two\n| Plan | Price | Data |\n|---|---|---|\n| Basic | £5 | 2 GB |\n";
    assert_eq!(texts(passage), ["one", "two", "Basic: Price: £5; Data: 2 GB"]);
    assert_eq!(said(passage)[2].2.trim(), "| Basic | £5 | 2 GB |");
}

#[test]
fn images_are_not_read_and_figures_above_the_line_stay_there() {
    assert_eq!(
        texts("Press the knob. ![A photo of **the** knob](knob.png) Wait."),
        ["Press the knob.", "Wait."]
    );
    assert_eq!(texts("![Logo](logo.png)"), [""; 0]);
    assert_eq!(
        texts("Up to 10<sup>6</sup> m<sup>2</sup>, the 1<sup>st</sup> CO<sub>2</sub> limit."),
        ["Up to 10⁶ m², the 1st CO₂ limit."]
    );
    assert_eq!(texts("A <kbd>key</kbd> and <span class=\"x\">words</span>."), ["A key and words."]);
}

#[test]
fn what_reads_as_a_heading_heads() {
    assert_eq!(said("Orders\nCancel within 24 hours.")[0].1, "Orders");
    assert_eq!(said("**Fees**\n\nNone.\n\n**Refunds**\n\nSome.")[1].1, "Refunds");
    assert_eq!(said("How long does it take?\n\nFive days.")[0].1, "How long does it take?");
    // Nothing follows: it says something itself.
    assert_eq!(texts("**Delivery costs £4**"), ["Delivery costs £4"]);
    assert_eq!(texts("Delivery costs £4"), ["Delivery costs £4"]);
    assert_eq!(texts("We deliver to all of\nthe islands."), ["We deliver to all of the islands."]);
}

#[test]
fn code_links_and_breaks_are_read() {
    assert_eq!(texts("```\nrun a\n\nrun b\n```"), ["run a", "run b"]);
    assert_eq!(texts("See [our page](https://a.example/b)."), ["See our page (https://a.example/b)."]);
    assert_eq!(texts("Mail [x@a.example](mailto:x@a.example)."), ["Mail x@a.example."]);
    assert_eq!(texts("> Quoted. Twice."), ["Quoted.", "Twice."]);
    assert_eq!(texts(" \n***\n"), [""; 0]);
}

proptest! {
    #[test]
    fn any_text_has_units_within_it(text in "([#*|>`\\-_ \n\t.:?<a1é。&]|[a-zA-Z]{3,8}|\\PC){0,60}") {
        for unit in units(&text) {
            prop_assert!(text.get(unit.range.clone()).is_some(), "{:?}", unit);
            prop_assert!(!unit.text.trim().is_empty());
        }
    }
}
