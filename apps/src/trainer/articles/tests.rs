//! Rows of all shipped templates.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::cite::sentences;
use super::compose::{Composer, Shares};
use super::draw::Draw;
use super::figures::{figures, stands_in};
use super::library::{Library, TALK};
use super::parse::parse;
use super::plan::{Missing, Plan, PlannedTurn};
use super::row::{Kind, Row};
use super::scene::Scene;
use super::template::Template;

const ROWS: usize = 2000;

fn shipped() -> Library {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("assets/articles");
    let (library, errors) = Library::open(std::slice::from_ref(&folder), &folder.join(TALK)).unwrap();
    assert_eq!(errors, []);
    library
}

fn rows(library: &Library, count: usize, seed: u64) -> Vec<Row> {
    let all: Vec<usize> = (0..library.templates.len()).collect();
    let mut composer = Composer::new(library, all.clone(), &all, Shares::default(), seed);
    (0..count).map(|_| composer.next_row().unwrap()).collect()
}

/// The sentences of an answer with the numbers they cite; a citation stands after its sentence.
fn citations(answer: &str) -> Vec<(String, Option<usize>)> {
    let mut found: Vec<(String, Option<usize>)> = Vec::new();
    for part in answer.split_inclusive(']') {
        let cited = part.strip_suffix(']').and_then(|part| part.rsplit_once(" ["));
        match cited.and_then(|(said, number)| Some((said, number.parse().ok()?))) {
            Some((said, number)) => found.push((said.trim().into(), Some(number))),
            None => found.push((part.trim().into(), None)),
        }
    }
    found
}

#[test]
fn every_figure_of_an_answer_stands_in_the_passage_it_cites() {
    let library = shipped();
    let mut cited = 0;
    for row in rows(&library, ROWS, 1) {
        for turn in row.turns.iter().filter(|_| !row.kind.is_refusal()) {
            for (said, number) in citations(&turn.answer) {
                let Some(number) = number else {
                    assert!(
                        matches!(row.kind, Kind::Talk(_) | Kind::Partial),
                        "{} without citation: {said}",
                        row.kind
                    );
                    continue;
                };
                assert_eq!(sentences(&said).len(), 1, "{said}");
                let passage = &row.passages[number - 1];
                let text = format!("{}\n{}", passage.label(), passage.text());
                for figure in figures(&said) {
                    assert!(
                        stands_in(figure, &text),
                        "{}: {figure} of `{said}` is not in {text}",
                        row.article
                    );
                }
                cited += 1;
            }
        }
    }
    assert!(cited > ROWS / 2, "{cited}");
}

#[test]
#[ignore = "takes half a minute in a debug build"]
fn ten_thousand_rows_pass_the_check() {
    assert_eq!(rows(&shipped(), 10_000, 10).len(), 10_000);
}

#[test]
fn kinds_have_their_shares_and_evidence() {
    let library = shipped();
    let rows = rows(&library, ROWS, 2);
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for row in &rows {
        *counts.entry(row.kind.to_string()).or_default() += 1;
        let answers = !row.kind.is_refusal() && !matches!(row.kind, Kind::Talk(_));
        assert_eq!(answers, !row.evidence.is_empty(), "{}: {:?}", row.kind, row.turns);
        if answers {
            assert!((2..=5).contains(&row.passages.len()), "{}", row.passages.len());
            assert!(
                row.evidence.iter().all(|(passage, said)| row.passages[*passage].sentences().count() > *said)
            );
        }
    }
    for row in rows.iter().filter(|row| row.kind == Kind::OtherCompany) {
        let question = row.turns.last().map(|turn| turn.question.to_lowercase()).unwrap_or_default();
        let titles = row.passages.iter().filter_map(|passage| passage.title.rsplit_once(" ("));
        let companies: BTreeSet<String> =
            titles.map(|(_, company)| company.trim_end_matches(')').to_lowercase()).collect();
        let named = companies.iter().filter(|company| question.contains(company.as_str())).count();
        // A slip of the hand may change the name.
        assert!(companies.len() >= 2 && named <= 1, "{question}: {companies:?}");
    }
    let refused = rows.iter().filter(|row| row.kind.is_refusal()).count() as f64 / ROWS as f64;
    assert!((0.12..=0.15).contains(&refused), "{refused}");
    let kinds = [
        "fact",
        "two-facts",
        "follow-up",
        "language",
        "other-company",
        "partial",
        "injection",
        "near",
        "near-topic",
        "far",
        "talk-human",
    ];
    for kind in kinds {
        assert!(counts.get(kind).is_some_and(|count| *count > 5), "{kind}: {counts:?}");
    }
    let articles: BTreeSet<&str> = rows.iter().map(|row| row.article.as_str()).collect();
    assert!(articles.len() > library.templates.len() * 9 / 10, "{}", articles.len());
}

#[test]
fn a_refused_question_is_answered_in_the_next_row() {
    let library = shipped();
    let rows = rows(&library, 500, 3);
    let mut pairs = 0;
    for pair in rows.windows(2).filter(|pair| pair[0].kind.is_refusal()) {
        assert!(!pair[1].kind.is_refusal() && pair[0].article == pair[1].article);
        let last = |row: &Row| row.turns.last().map(|turn| turn.answer.clone()).unwrap_or_default();
        assert!(!last(&pair[0]).contains(" [") && last(&pair[1]).ends_with(']'), "{}", last(&pair[0]));
        pairs += 1;
    }
    assert!(pairs > 30, "{pairs}");
}

#[test]
fn what_is_missing_is_in_no_passage() {
    let zoo = "= animals | Animals\n*a A zebra is striped.\nThe zoo is big.\n## More\n*b A lion roars.\n! a Striped.\n! b It roars.\n";
    let parsed = |(file, source): (&str, &str)| parse(file, source).0;
    let others =
        [("zoo.txt", "= tickets | Tickets\nThey are cheap.\n"), ("spa.txt", "= sauna | Sauna\nIt is hot.\n")];
    let templates: Vec<Template> = [("zoo.txt", zoo)].into_iter().chain(others).flat_map(parsed).collect();
    let talk = shipped().talk;
    let scene = Scene { talk: &talk, others: templates.iter().collect() };
    let turn = PlannedTurn { asked: Vec::new(), facts: Vec::new(), unanswered: true };
    for (missing, gone, kept) in [
        (Missing::Facts(vec!['a']), "zebra", "Animals"),
        (Missing::Article, "Animals", "Tickets"),
        (Missing::Business, "Animals", "Sauna"),
    ] {
        let plan = Plan {
            kind: Kind::Near,
            template: &templates[0],
            turns: vec![turn.clone()],
            language: "en",
            missing,
        };
        let mut draw = Draw::new(1);
        let contexts: Vec<String> = (0..50).map(|_| scene.row(&plan, &mut draw).unwrap().context()).collect();
        assert!(!contexts.iter().any(|context| context.contains(gone)), "{gone}");
        assert!(contexts.iter().any(|context| context.contains(kept)), "{kept}");
    }
}

#[test]
fn a_seed_gives_the_same_rows() {
    let library = shipped();
    let lines = |seed| {
        rows(&library, 60, seed)
            .iter()
            .map(|row| row.to_conversation() + &row.to_evidence())
            .collect::<Vec<_>>()
    };
    assert_eq!(lines(5), lines(5));
    assert_ne!(lines(5), lines(6));
}

#[test]
fn facts_are_drawn_anew() {
    let library = shipped();
    let rows = rows(&library, ROWS, 7);
    let mut answers: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let (mut with_figures, mut distinct) = (0, 0);
    for row in rows.iter().filter(|row| row.kind == Kind::Fact) {
        let Some(turn) = row.turns.last().filter(|turn| figures(&turn.answer).count() > 1) else { continue };
        with_figures += 1;
        distinct += usize::from(answers.entry(&row.article).or_default().insert(&turn.answer));
    }
    assert!(
        with_figures > 200 && distinct as f64 > 0.97 * with_figures as f64,
        "{distinct} of {with_figures}"
    );
}
