//! Keeps a sentence that is being written from having a figure that no passage has.

use super::alignment::stands;
use super::evidence::Evidence;
use super::figure::{Figure, figures, measures, normal_name, open_name};

/// Says which text may follow in a sentence, so that its figures are those of the passages and the question,
/// as these write them or in the same normal form.
///
/// Contract: what is called `so_far` was itself allowed, piece by piece, since the sentence began; and the
/// sentence ends only where [`FigureFilter::may_end`] says so.
#[derive(Debug, Clone)]
pub struct FigureFilter {
    figures: Vec<Figure>,
    /// Figures as they are written, sorted: what begins with a text lies together.
    literals: Vec<String>,
    /// Words of the passages and the question, for names.
    words: Vec<String>,
}

impl FigureFilter {
    pub(super) fn new(evidence: &Evidence) -> Self {
        let mut figures: Vec<Figure> = evidence.asked.clone();
        for figure in evidence.units.iter().flat_map(|known| &known.figures) {
            if !figures.contains(figure) {
                figures.push(figure.clone());
            }
        }
        let mut literals: Vec<String> = Vec::new();
        for literal in &evidence.literals {
            let literal = spaced(literal);
            let bare = ["https://", "http://", "www."]
                .iter()
                .fold(literal.as_str(), |literal, prefix| literal.strip_prefix(prefix).unwrap_or(literal));
            literals.push(bare.to_string());
            literals.push(literal);
        }
        literals.sort_unstable();
        literals.dedup();
        let words = evidence.passages.iter().map(|passage| passage.words.clone());
        let words = words.chain([evidence.asked_words.clone()]).collect();
        FigureFilter { figures, literals, words }
    }

    /// Whether `piece` may follow `so_far`, the text of the sentence until here.
    pub fn allowed(&self, so_far: &str, piece: &str) -> bool {
        let text = spaced(&format!("{so_far}{piece}"));
        if !self.may_be_quoted(&text) || !self.may_be_address(&text) {
            return false;
        }
        if self.may_be_prefix(&text) {
            return true;
        }
        // "3 h" is of another measure than "3 hours", which it can become.
        let word = text.trim_end_matches(char::is_alphabetic).len();
        let (before, word) = text.split_at(word);
        let word = word.to_lowercase();
        !word.is_empty()
            && measures().chain(["am", "pm", "uhr"]).any(|measure| {
                measure.starts_with(&word)
                    && measure != word
                    && self.may_be_prefix(&format!("{before}{measure}"))
            })
    }

    /// Whether the sentence `so_far` may end: no figure in it is unfinished.
    pub fn may_end(&self, so_far: &str) -> bool {
        figures(so_far).iter().all(|(_, figure)| self.has(figure))
    }

    /// Whether every figure of `text` stands, but for one that is being written.
    fn may_be_prefix(&self, text: &str) -> bool {
        // The number of a list item, before its point.
        let marker = text.trim_start().trim_end_matches(['.', ')']);
        if (1..=2).contains(&marker.len()) && marker.bytes().all(|byte| byte.is_ascii_digit()) {
            return true;
        }
        let found = figures(text);
        let ends_with_sign = text.ends_with(['£', '€', '$', '¥', '+']);
        if ends_with_sign && !text.char_indices().next_back().is_some_and(|(at, _)| self.begins(&text[at..]))
        {
            // After a number it may be that number's.
            let is_after =
                found.last().is_some_and(|(range, figure)| range.end == text.len() && self.has(figure));
            if !is_after {
                return false;
            }
        }
        for (range, figure) in &found {
            if self.begins(&text[range.start..]) {
                return true;
            }
            if !self.has(figure) {
                return self.begins_before(text, range.start);
            }
        }
        true
    }

    /// Whether a figure of the passages begins with the end of `text` from one of the words right before byte
    /// `at`: "June 202" is no date yet, and its year stands nowhere alone.
    fn begins_before(&self, text: &str, at: usize) -> bool {
        const MOST_WORDS: usize = 3;
        let starts = text[..at].char_indices().rev().filter(|(_, c)| c.is_whitespace()).map(|(at, _)| at + 1);
        starts
            .chain([0])
            .take(MOST_WORDS + 1)
            .any(|start| text.get(start..).is_some_and(|tail| self.begins(tail)))
    }

    /// Whether a quotation that is open can become one of the passages' names.
    fn may_be_quoted(&self, text: &str) -> bool {
        let Some(inside) = open_name(text) else { return true };
        let part = inside.rsplit(['>', '→', '›']).next().unwrap_or_default();
        let name = normal_name(part);
        let ends_word = part.ends_with(|c: char| !c.is_alphanumeric());
        let wanted = format!(" {name}{}", if ends_word { " " } else { "" });
        name.is_empty() || !figures(part).is_empty() || self.words.iter().any(|words| words.contains(&wanted))
    }

    /// Whether an address that is being written can become one of the passages'.
    fn may_be_address(&self, text: &str) -> bool {
        let start = text.rfind([' ', '\n', '(', '<', '"', '*', '`', '[']).map_or(0, |at| at + 1);
        let run = &text[start..];
        let is_address = run.contains('@') || run.contains("://") || run.starts_with("www.");
        let whole = run.trim_end_matches(['.', ',', ';', ':', '!', '?', ')', '>', ']', '"', '*', '`']);
        !is_address
            || self.begins(run)
            || self.begins(whole) && figures(whole).iter().all(|(_, figure)| self.has(figure))
    }

    /// Whether a figure of the passages begins with `text`, as it is written.
    fn begins(&self, text: &str) -> bool {
        let at = self.literals.partition_point(|literal| literal.as_str() < text);
        self.literals.get(at).is_some_and(|literal| literal.starts_with(text))
    }

    fn has(&self, figure: &Figure) -> bool {
        match figure {
            Figure::Name(name) => self.words.iter().any(|words| words.contains(&format!(" {name} "))),
            figure => stands(figure, &self.figures),
        }
    }
}

/// `text` with plain spaces.
fn spaced(text: &str) -> String {
    text.replace(['\u{a0}', '\u{202f}', '\u{2009}'], " ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::guard::{Guard, units};

    const PASSAGE: &str = "Express delivery costs £8.90 (€10.50) and takes two days, or 3 hours in town. Order before \
        14:00 on 3 May 2026, call 020 7946 0018, or write to help@lumo.example. Tap “Order now”; see \
        https://lumo.example/help. ERR-4011 costs 1,200 points, seventeen stars until June 2026.";

    fn filter() -> FigureFilter {
        Guard::new("Is it more than 5 kg?", &[PASSAGE]).filter()
    }

    /// How much of `text` can be written letter by letter.
    fn written<'a>(filter: &FigureFilter, text: &'a str) -> &'a str {
        let stop = text.char_indices().find(|(at, c)| !filter.allowed(&text[..*at], &c.to_string()));
        &text[..stop.map_or(text.len(), |(at, _)| at)]
    }

    #[test]
    fn figures_are_written_as_the_passages_have_them() {
        let filter = filter();
        let mut wrong = Vec::new();
        for (text, until) in [
            ("It costs £8.90.", "It costs £8.90."),
            ("It costs £8.40.", "It costs £8."),
            ("It costs £9.", "It costs £"),
            ("It costs $8.", "It costs "),
            ("It takes 2 days.", "It takes 2 days."),
            ("It takes 3 days.", "It takes 3 da"),
            ("It takes 3 hours.", "It takes 3 hours."),
            ("It takes seventeen", "It takes seventeen"),
            ("It takes seven of", "It takes seven"),
            ("It takes five", "It takes five"),
            ("It takes four", "It takes fou"),
            ("By 2 pm or 14:00", "By 2 pm or 14:00"),
            ("By 2 am", "By 2 a"),
            ("By 14:30", "By 14:"),
            ("On 3 May 2027", "On 3 May 202"),
            ("On 3 June", "On 3 Ju"),
            ("Call 020 7946 0018.", "Call 020 7946 0018."),
            ("Call 020 7947", "Call 020 794"),
            ("Mail help@lumo.example!", "Mail help@lumo.example!"),
            ("Mail me@lumo.example", "Mail me"),
            ("See lumo.example/help now", "See lumo.example/help now"),
            ("See lumo.example/hot", "See lumo.example/h"),
            ("Tap “Order now” twice", "Tap “Order now” twice"),
            ("Tap “Order later”", "Tap “Order "),
            ("ERR-4012", "ERR-401"),
            ("Up to 5 kg [1].", "Up to 5 kg [1]."),
            ("1. It costs", "1. It costs"),
            ("By June 2027 or June 2026", "By June 202"),
        ] {
            if written(&filter, text) != until {
                wrong.push(format!("{text}: {}", written(&filter, text)));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        assert!(filter.may_end("It costs £8.90."));
        assert!(!filter.may_end("It costs £8."));
    }

    proptest! {
        #[test]
        fn what_is_allowed_has_no_other_figure(pieces in prop::collection::vec(prop::sample::select(vec![
            "1", "2", "3", "4", "8", "9", "0", "20", "00", "7946", "14", " ", ".", ",", ":", "-", "/", "@", "£", "€", "$",
            "%", "+", "(", "“", "”", "\"", "**", "h", "d", "a", "pm", " days", " hours", "ERR", " May", " two", "seven",
            "teen", " Order", " now", "help", "lumo", "example", "https://", "kg", " costs", "th", "½", "°", "٣",
        ]), 0..60)) {
            let filter = filter();
            let mut text = String::new();
            let mut end = 0;
            for piece in pieces {
                if filter.allowed(&text, piece) {
                    text.push_str(piece);
                    if filter.may_end(&text) {
                        end = text.len();
                    }
                }
            }
            let mut known = figures(PASSAGE);
            known.extend(figures("Is it more than 5 kg?"));
            let said = normal_name(&format!("{PASSAGE} Is it more than 5 kg?"));
            for (range, figure) in figures(&text[..end]) {
                let is_name = matches!(&figure, Figure::Name(name) if said.contains(name));
                prop_assert!(
                    is_name || known.iter().any(|(_, known)| figure.stands_for(known)),
                    "{:?} {:?} in {text:?}", &text[range], figure
                );
            }
        }
    }

    #[test]
    fn every_sentence_of_the_passages_can_be_written() {
        let filter = filter();
        for unit in units(PASSAGE) {
            assert_eq!(written(&filter, &unit.text), unit.text);
            assert!(filter.may_end(&unit.text));
        }
    }
}
