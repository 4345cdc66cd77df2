use proptest::prelude::*;

use super::*;

const ENGLISH: &[&str] = &[
    "Delivery\n\nStandard delivery costs £3.90 and takes 3 to 5 working days. Express delivery costs £8.90 and arrives \
     the next day if you order before 14:00. We deliver to the UK and Ireland. We do not deliver to islands.\n\n\
     | Size | Price | Weight |\n|---|---|---|\n| Small | £2 | 1 kg |\n| Large | £6.50 | 10 kg |\n",
    "# Returns\n\nYou can return unopened items within 30 days. Opened food cannot be returned.\n\nTo return an item:\n\n\
     1. Open **My orders** and tap **Return item**.\n2. Print the label.\n3. Take the parcel to a post office.\n\n\
     Refunds arrive within 14 days. Questions? Call 0800 123 4567 from 9 am to 5 pm or write to help@lumo.example.",
    "# Recall of lantern L-200\n\nThe lantern L-200 can get hot. Stop using it and unplug it. Error ERR-4011 means that \
     the battery is too hot. The warranty lasts two years.",
];

const GERMAN: &[&str] = &[
    "# Lieferung\n\nDer Standardversand kostet 3,90 € und dauert drei bis fünf Werktage. Der Expressversand kostet 8,90 €. \
     Wir liefern nicht auf Inseln. Der Mindestbestellwert beträgt 1.200 €.\n\n# Öffnungszeiten\n\nDer Laden ist am \
     Samstag von 9 bis 14 Uhr geöffnet. Rückgaben sind bis zum 3. Mai 2026 möglich.",
];

const SPANISH: &[&str] = &[
    "# Envíos\n\nEl envío normal cuesta 3,90 € y tarda de tres a cinco días laborables. El envío urgente cuesta 8,90 €. \
     No enviamos a las islas. Puede devolver los artículos sin abrir en un plazo de 30 días. La tienda abre a las 9:30.",
];

const FRENCH: &[&str] = &[
    "# Livraison\n\nLa livraison standard coûte 3,90 € et prend trois à cinq jours ouvrés. La livraison express coûte \
     8,90 €. Nous ne livrons pas sur les îles. Vous pouvez retourner les articles non ouverts sous 30 jours. Le magasin \
     ouvre à 9h30.",
];

/// What the guard makes of an answer, as one letter a sentence: Supported, Neutral, or why not: figure,
/// misplaced, name, contradiction, words.
fn verdicts(passages: &[&str], question: &str, answer: &str) -> String {
    let guard = Guard::new(question, passages);
    let letter = |checked: Checked| match checked.verdict {
        Verdict::Supported => 'S',
        Verdict::Neutral => 'N',
        Verdict::Unsupported(fault) if !fault.figures.is_empty() => 'f',
        Verdict::Unsupported(fault) if !fault.names.is_empty() => 'n',
        Verdict::Unsupported(fault) if !fault.misplaced.is_empty() => 'm',
        Verdict::Unsupported(fault) if fault.contradicts => 'c',
        Verdict::Unsupported(_) => 'w',
    };
    guard.check(answer).into_iter().map(letter).collect()
}

fn check_all(passages: &[&str], cases: &[(&str, &str, &str)]) {
    let wrong: Vec<String> = cases
        .iter()
        .map(|(question, answer, expected)| (answer, verdicts(passages, question, answer), expected))
        .filter(|(_, found, expected)| found != *expected)
        .map(|(answer, found, expected)| format!("{answer}: {found}, not {expected}"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn english_answers() {
    check_all(
        ENGLISH,
        &[
            ("What does express delivery cost?", "Express delivery costs £8.90. [1]", "S"),
            ("What does express delivery cost?", "It costs £8.90 and arrives the next day. [1]", "S"),
            ("What does express delivery cost?", "Express delivery costs £3.90. [1]", "m"),
            ("What does express delivery cost?", "Express delivery costs £9.90. [1]", "f"),
            ("What does express delivery cost?", "Express delivery costs €8.90. [1]", "f"),
            ("How long?", "Standard delivery takes three to five working days. [1]", "S"),
            ("How long?", "Standard delivery takes 3 to 5 hours. [1]", "f"),
            ("How long?", "Standard costs £3.90 and express costs £8.90. [1]", "S"),
            ("Until when?", "Order before 2 pm and express delivery arrives the next day.", "S"),
            ("Until when?", "Order after 2 pm and express delivery arrives the next day.", "c"),
            ("Islands?", "We do not deliver to islands.", "S"),
            ("Islands?", "We deliver to islands.", "c"),
            ("Do you ship to Mars?", "We deliver to Mars.", "w"),
            ("Do you ship to Mars?", "Yes.", "w"),
            ("Where do you deliver?", "Yes. We deliver to Ireland and the UK.", "NS"),
            ("Where do you deliver?", "We deliver to the UK and France.", "n"),
            ("What does a large parcel cost?", "A Large one costs £6.50.", "S"),
            ("What does a large parcel cost?", "A Large one costs £2.", "m"),
            ("How heavy?", "The large size weighs up to 10 kg.", "S"),
            ("How heavy?", "Large: weight 10 kg.", "S"),
            ("Returns?", "You can return unopened items within 30 days [2].", "S"),
            ("Returns?", "You can return opened food within 30 days [2].", "w"),
            ("Can I return it within 60 days?", "You can return unopened items within 60 days.", "m"),
            ("Returns?", "Open **My orders** and tap “Return item”. Then print the label.", "SS"),
            ("Returns?", "Open **My account** and tap “Return item”.", "f"),
            ("Phone?", "Call 0800-123-4567 from 9:00 to 17:00.", "S"),
            ("Phone?", "Call 0800 123 4568.", "f"),
            ("Mail?", "Write to help@lumo.example.", "S"),
            ("Mail?", "Write to help@acme.example.", "f"),
            ("hi", "Hello! How can I help you?", "NN"),
            ("Who is the president of France?", "I do not know who the president of France is.", "N"),
            ("Who is the president of France?", "The president of France is Emmanuel Macron.", "n"),
            ("hi", "Welcome to Acme!", "n"),
            ("my lantern gets hot", "Stop using it and unplug the lantern. [3]", "S"),
            ("my lantern gets hot", "Close the app and open it again.", "w"),
            ("my lantern gets hot", "ERR-4011 means that the battery is too hot.", "S"),
            ("my lantern gets hot", "ERR-4012 means that the battery is too hot.", "f"),
            ("warranty", "The warranty lasts 2 years.", "S"),
            ("warranty", "The warranty lasts 2 months.", "f"),
        ],
    );
}

#[test]
fn german_spanish_and_french_answers() {
    check_all(
        GERMAN,
        &[
            ("Was kostet Express?", "Der Expressversand kostet 8,90 €. [1]", "S"),
            ("Was kostet Express?", "Der Expressversand kostet 3,90 €. [1]", "m"),
            ("Wie lange?", "Der Standardversand dauert 3 bis 5 Werktage.", "S"),
            ("Wie lange?", "Der Standardversand dauert 3 bis 5 Wochen.", "f"),
            ("Inseln?", "Wir liefern auf Inseln.", "c"),
            ("Mindestbestellwert?", "Der Mindestbestellwert ist 1200 €.", "S"),
            ("Samstag?", "Am Samstag ist der Laden bis 14:00 Uhr geöffnet.", "S"),
            ("Rückgabe?", "Rückgaben sind bis zum 03.05.2026 möglich.", "S"),
            ("Rückgabe?", "Rückgaben sind bis zum 13.05.2026 möglich.", "f"),
            ("Mars?", "Das weiß ich leider nicht.", "N"),
        ],
    );
    check_all(
        SPANISH,
        &[
            ("¿Cuánto cuesta?", "El envío urgente cuesta 8,90 €.", "S"),
            ("¿Cuánto cuesta?", "El envío urgente cuesta 3,90 €.", "m"),
            ("¿Cuánto tarda?", "El envío normal tarda de 3 a 5 días laborables.", "S"),
            ("¿Islas?", "Enviamos a las islas.", "c"),
            ("¿Devoluciones?", "Puede devolver los artículos sin abrir en 30 días.", "S"),
            ("¿Cuándo?", "La tienda abre a las 10:30.", "f"),
        ],
    );
    check_all(
        FRENCH,
        &[
            ("Combien ?", "La livraison express coûte 8,90 €.", "S"),
            ("Combien ?", "La livraison express coûte 3,90 €.", "m"),
            ("Délai ?", "La livraison standard prend 3 à 5 jours ouvrés.", "S"),
            ("Îles ?", "Nous livrons sur les îles.", "c"),
            ("Horaires ?", "Le magasin ouvre à 9h30.", "S"),
            ("Horaires ?", "Le magasin ouvre à 8h30.", "f"),
        ],
    );
}

#[test]
fn the_best_place_and_the_citation_are_told() {
    let guard = Guard::new("What does express delivery cost?", ENGLISH);
    let answer =
        "Hello. Express delivery costs £8.90 [1]. Refunds arrive within 14 days. [1][2] Open it. [9]";
    let checked = guard.check(answer);
    let support = checked[1].support.as_ref().unwrap();
    assert_eq!(&answer[checked[1].range.clone()], "Express delivery costs £8.90 [1].");
    assert!(ENGLISH[support.passage][support.range.clone()].starts_with("Express delivery costs £8.90"));
    let citations: Vec<_> = checked.iter().map(|checked| checked.citation_holds).collect();
    assert_eq!(citations[..3], [None, Some(true), Some(true)]);
    assert_eq!(checked[2].cited, [1, 2]);
    assert_eq!(guard.check_sentence("Express delivery costs £8.90. [2]").citation_holds, Some(false));
    assert_eq!(guard.check_sentence("Express delivery costs £8.90. [1][7]").citation_holds, Some(false));
}

/// Passages made of parts that a support article could have.
fn passages() -> impl Strategy<Value = Vec<String>> {
    let subject = prop::sample::select(vec![
        "The basic plan",
        "Express delivery",
        "A late fee",
        "The blue lamp",
        "Repair",
    ]);
    let verb = prop::sample::select(vec!["costs", "lasts", "takes", "does not include", "weighs"]);
    let figure = prop::sample::select(vec![
        "£8.90",
        "14 days",
        "two hours",
        "20 %",
        "3 May 2026",
        "9:30 am",
        "ERR-4011",
        "0800 123 4567",
        "1,200 items",
        "10 kg",
        "a.example/help",
        "“Order now”",
    ]);
    let tail =
        prop::sample::select(vec!["", " in the UK", " per month", ", but not on Sundays", " if you ask"]);
    let sentence = (subject, verb, figure, tail).prop_map(|(a, b, c, d)| format!("{a} {b} {c}{d}."));
    let paragraph = prop::collection::vec(sentence, 1..4);
    let block = (paragraph, 0..4).prop_map(|(sentences, shape)| match shape {
        0 => format!("## Part\n\n{}", sentences.join(" ")),
        1 => format!("You need:\n\n- {}", sentences.join("\n- ")),
        2 => format!("| Name | Value |\n|---|---|\n| Row | {} |", sentences.join(" ")),
        _ => sentences.join(" "),
    });
    prop::collection::vec(prop::collection::vec(block, 1..4).prop_map(|blocks| blocks.join("\n\n")), 1..4)
}

proptest! {
    #[test]
    fn the_passages_own_units_pass(passages in passages()) {
        let passages: Vec<&str> = passages.iter().map(String::as_str).collect();
        let guard = Guard::new("What?", &passages);
        for passage in &passages {
            for unit in units(passage) {
                for checked in guard.check(&unit.text) {
                    prop_assert!(checked.passes(), "{:?} {:?}", unit.text, checked);
                }
            }
        }
    }

    #[test]
    fn another_digit_in_a_figure_fails(passages in passages(), at in 0usize..1000, digit in 0u8..10) {
        let passages: Vec<&str> = passages.iter().map(String::as_str).collect();
        let guard = Guard::new("What?", &passages);
        let all = passages.join("\n");
        let known: Vec<Figure> = figures(&all).into_iter().map(|(_, figure)| figure).collect();
        for unit in passages.iter().flat_map(|passage| units(passage)) {
            let digits: Vec<usize> = figures(&unit.text)
                .into_iter()
                .flat_map(|(range, _)| range)
                .filter(|at| unit.text.as_bytes()[*at].is_ascii_digit())
                .collect();
            let Some(at) = digits.get(at % digits.len().max(1)) else { continue };
            let mut changed = unit.text.clone();
            changed.replace_range(*at..at + 1, &digit.to_string());
            let is_name = |figure: &Figure| matches!(figure, Figure::Name(_));
            let is_known = figures(&changed).iter().all(|(_, new)| {
                is_name(new) || known.iter().any(|known| new.stands_for(known))
            });
            if !is_known {
                prop_assert!(guard.check(&changed).iter().any(|checked| !checked.passes()), "{changed}");
            }
        }
    }

    #[test]
    fn nothing_panics(
        question in "\\PC{0,40}",
        passage in "([#*|>`\\-_ \n.:?<\\[\\]1a]|[a-zA-Z0-9£]{1,8}|\\PC){0,60}",
        answer in "([#*|\\[\\]1-3.\n ?“”\"]|[a-zA-Z0-9£]{1,8}|\\PC){0,60}",
    ) {
        let guard = Guard::new(&question, &[&passage]);
        for checked in guard.check(&answer) {
            prop_assert!(answer.get(checked.range.clone()).is_some());
            if let Verdict::Unsupported(fault) = checked.verdict {
                for range in fault.figures.iter().chain(&fault.misplaced).chain(&fault.names) {
                    prop_assert!(answer.get(range.clone()).is_some());
                }
            }
        }
    }
}
