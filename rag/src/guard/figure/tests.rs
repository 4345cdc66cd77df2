use proptest::prelude::*;

use super::*;

/// The figures of a text, in a short form.
fn said(text: &str) -> Vec<String> {
    let show = |(range, figure): (Range<usize>, Figure)| {
        assert!(text.get(range).is_some());
        match figure {
            Figure::Number { readings, measure: None } => readings.join("|"),
            Figure::Number { readings, measure: Some(Measure::Percent) } => {
                format!("{} %", readings.join("|"))
            }
            Figure::Number { readings, measure: Some(Measure::Currency(name) | Measure::Unit(name)) } => {
                format!("{} {name}", readings.join("|"))
            }
            Figure::Ordinal(value) => format!("{value}th"),
            Figure::Time { minute, is_clear } => {
                format!("{}:{:02}{}", minute / 60, minute % 60, if is_clear { "" } else { "?" })
            }
            Figure::Date { year, month, day, is_swappable } => {
                let mark = if is_swappable { "?" } else { "" };
                format!("{}-{month}-{}{mark}", year.unwrap_or(0), day.unwrap_or(0))
            }
            Figure::Digits(digits) => format!("#{digits}"),
            Figure::Code(code) => format!("={code}"),
            Figure::Url(url) | Figure::Email(url) => url,
            Figure::Name(name) => format!("“{name}”"),
        }
    };
    figures(text).into_iter().map(show).collect()
}

#[test]
fn figures_have_a_normal_form() {
    let mut wrong = Vec::new();
    for (text, expected) in [
        // Numbers and their separators.
        ("1,200 or 1.200 or 1 200 or 1'200 items", &["1200|1.2", "1200|1.2", "1200", "1200"][..]),
        ("1.234,50 and 1,234.50 and 3,5 and 0.250", &["1234.5", "1234.5", "3.5", "0.25"]),
        ("2½ cups, 007", &["2.5", "007"]),
        ("a freezer at -18 °C", &["-18 degree"]),
        // Money and shares.
        ("£3.50, 3,50 €, $3, EUR 3.50, 350p, 50 ct", &["3.5 £", "3.5 €", "3 $", "3.5 €", "3.5 £", "0.5 ¢"]),
        ("£1,200 and €1.200", &["1200 £", "1200 €"]),
        ("20% or 20 % or 20 percent", &["20 %", "20 %", "20 %"]),
        ("three pounds, 5 euros", &["3 £", "5 €"]),
        // Times.
        (
            "14:00, 2 pm, 2.30pm, 2:30 p.m., 14 Uhr, 14h30",
            &["14:00", "14:00", "14:30", "14:30", "14:00", "14:30"],
        ),
        ("12 am, noon, 12 noon, 9:00, 09:00", &["0:00", "12:00", "12:00", "9:00?", "9:00"]),
        ("9–5pm, 2-3 pm, um 14.30 Uhr, 14 Uhr 15", &["9:00", "17:00", "14:00", "15:00", "14:30", "14:15"]),
        ("a las 9 a. m., a las 2 de la tarde, à 14 h, 5 o'clock", &["9:00", "14:00", "14:00", "5:00?"]),
        // Dates.
        ("3 May 2026, 03.05.2026, 2026-05-03, May 3", &["2026-5-3", "2026-5-3", "2026-5-3", "0-5-3"]),
        ("03/05/2026, 3. Mai, el 3 de mayo de 2026", &["2026-5-3?", "0-5-3", "2026-5-3"]),
        ("le 1er mai, the 3rd of May, May 2026", &["0-5-1", "0-5-3", "2026-5-0"]),
        ("you may 3 times", &["3"]),
        // Durations and counts.
        (
            "3 days, 5 working days, 30-day, 24 h, 5kg",
            &["3 day", "5 working day", "30 day", "24 hour", "5 kg"],
        ),
        (
            "14 Tage, 5 Werktage, tres días, 5 jours ouvrés",
            &["14 day", "5 working day", "3 day", "5 working day"],
        ),
        ("3–5 days or 3 to 5 full hours", &["3 day", "5 day", "3 hour", "5 hour"]),
        ("10 GB of 3 large boxes", &["10 gb", "3"]),
        // Words.
        ("two days, twenty-four hours, two hundred", &["2 day", "24 hour", "200"]),
        ("vierundzwanzig Stunden, treinta y cinco, quatre-vingts", &["24 hour", "35", "80"]),
        ("one of us, one day, elf Tage, once días, once", &["1 day", "11 day", "11 day"]),
        ("the first month, the 2nd floor, the third time", &["1th", "2th", "3th"]),
        ("First, open it; the first step, 20 seconds", &["20 second"]),
        // Codes, addresses, numbers.
        (
            "ERR-4011 X200 err4011 v2.1.3 2.1.3 A4",
            &["=err4011", "=x200", "=err4011", "=2.1.3", "=2.1.3", "=a4"],
        ),
        (
            "https://www.A.example/b/, a.example/b. x@A.example!",
            &["a.example/b", "a.example/b", "x@a.example"],
        ),
        ("+44 20 7946 0018 or 020-7946-0018", &["#+442079460018", "#02079460018"]),
        ("0800 123 4567 24 hours, (555) 123-4567", &["#08001234567", "24 hour", "#5551234567"]),
        ("4242 4242 4242 4242, 1 200 000", &["#4242424242424242", "1200000"]),
        // Names.
        (
            "“Cancel order”, **My Account > Plan**, „Ja“",
            &["“cancel order”", "“my account”", "“plan”", "“ja”"],
        ),
        ("**Note:** ask. **£8**", &["8 £"]),
        // What is none.
        ("[1] [2, 3]\n1. open\n2) it", &[]),
        ("24/7 in 16:9", &["24", "7", "=16:9"]),
        ("", &[]),
    ] {
        if said(text) != expected {
            wrong.push(format!("{text}: {:?}", said(text)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_figure_stands_for_another_only_if_it_says_no_more() {
    let stands = |answer: &str, source: &str| {
        let (answer, source) = (figures(answer), figures(source));
        answer.iter().all(|(_, figure)| source.iter().any(|(_, known)| figure.stands_for(known)))
    };
    for (answer, source) in [
        ("£3.50", "350p"),
        ("3.50", "£3.50"),
        ("2 pm", "14:00"),
        ("two days", "2 days"),
        ("2 Tage", "2 days"),
        ("May 3", "3 May 2026"),
        ("3/5/2026", "May 3, 2026"),
        ("a.example", "https://a.example/help"),
        ("€0.50", "50 ct"),
        ("9 to 17", "9:00 to 17:00"),
    ] {
        assert!(stands(answer, source), "{answer:?} in {source:?}");
    }
    for (answer, source) in [
        ("3 days", "3 hours"),
        ("5 working days", "5 days"),
        ("£3.50", "€3.50"),
        ("2 pm", "2 am"),
        ("3 May 2027", "3 May"),
        ("20 %", "20 days"),
        ("ERR-4011", "ERR-4012"),
        ("a.example/x", "a.example"),
        ("£8", "£8.90"),
        ("120", "1,200"),
    ] {
        assert!(!stands(answer, source), "{answer:?} in {source:?}");
    }
}

#[test]
fn the_decimal_mark_of_a_text_decides() {
    let reading = |marks| match read("1.200 km", marks).pop() {
        Some((_, Figure::Number { readings, .. })) => readings,
        other => panic!("{other:?}"),
    };
    assert_eq!(reading(Marks::Comma), ["1200"]);
    assert_eq!(reading(Marks::Point), ["1.2"]);
}

#[test]
fn a_letter_that_grows_in_lower_case_is_read() {
    assert!(figures("0Ⱥ.eS").iter().all(|(range, _)| range.end <= "0Ⱥ.eS".len()));
}

#[test]
fn digits_right_after_a_figure_are_one_too() {
    let codes: Vec<Figure> = figures("x 0$0A0").into_iter().map(|(_, figure)| figure).collect();
    assert_eq!(codes.last(), Some(&Figure::Code("a0".into())));
}

proptest! {
    #[test]
    fn any_text_has_figures_within_it(text in "([0-9]|[.,:/@ \n-]|[£€%°½('\"“„*]|am|pm|th|May|h|EUR|two|\\PC){0,40}") {
        for (range, _) in figures(&text) {
            prop_assert!(text.get(range.clone()).is_some_and(|written| !written.is_empty()), "{range:?}");
        }
    }

    #[test]
    fn every_digit_of_a_text_belongs_to_a_figure(text in "([0-9]{1,4}[.,:/ -]?|[a-z£€%°]{1,3}| )(\\PC|[0-9 ]){0,20}") {
        let text = format!("x {text}");
        let found = figures(&text);
        for (at, digit) in text.char_indices().filter(|(_, c)| c.is_ascii_digit()) {
            let is_citation = text.contains('[');
            prop_assert!(is_citation || found.iter().any(|(range, _)| range.contains(&at)), "{digit} {at} {found:?}");
        }
    }
}
