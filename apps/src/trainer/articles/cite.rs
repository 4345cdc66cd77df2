//! Answers with their citations.

use super::figures::{figures, stands_in};

const ABBREVIATIONS: [&str; 16] = [
    "a.m.", "p.m.", "e.g.", "i.e.", "approx.", "no.", "nos.", "mr.", "mrs.", "ms.", "dr.", "st.", "etc.",
    "incl.", "max.", "min.",
];

/// The sentences of an answer.
pub fn sentences(answer: &str) -> Vec<&str> {
    let (mut start, mut found) = (0, Vec::new());
    for (at, _) in answer.match_indices(' ') {
        let (before, after) = (&answer[start..at], &answer[at + 1..]);
        let last = before.rsplit(' ').next().unwrap_or_default().to_lowercase();
        let begins = after.chars().next().is_some_and(|c| !c.is_lowercase());
        let ends = before.ends_with(['.', '!', '?']) && !ABBREVIATIONS.contains(&last.as_str());
        if ends && begins {
            found.push(before.trim());
            start = at + 1;
        }
    }
    found.push(answer[start..].trim());
    found.retain(|sentence| !sentence.is_empty());
    found
}

/// The sentences of an answer, each with the number of the passage that it should cite: of `supports`, which
/// are passages' numbers and whole texts, the one with most of the sentence's figures and words.
pub fn cited<'a>(answer: &'a str, supports: &[(usize, &str)]) -> Vec<(&'a str, usize)> {
    let worth = |sentence: &str, text: &str| {
        let quotes = figures(sentence).filter(|figure| stands_in(figure, text)).count();
        let words = sentence.split(|c: char| !c.is_alphanumeric());
        (quotes, words.filter(|word| word.len() > 3 && text.contains(word)).count())
    };
    let with_number = |sentence: &'a str| {
        // The first of equals: `max_by_key` takes the last.
        let best = supports.iter().rev().max_by_key(|(_, text)| worth(sentence, text));
        best.map(|(number, _)| (sentence, *number))
    };
    sentences(answer).into_iter().filter_map(with_number).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sentence_cites_the_passage_with_its_figures() {
        let supports = [(2, "Open from 9 a.m. to 5 p.m. on Monday."), (3, "A ticket costs £4.")];
        let said = cited("Open from 9 a.m. Monday on. A ticket costs £4.", &supports);
        assert_eq!(said, [("Open from 9 a.m. Monday on.", 2), ("A ticket costs £4.", 3)]);
    }

    #[test]
    fn full_stops_inside_of_a_sentence_do_not_end_it() {
        assert_eq!(
            sentences("It is 2.5 kg, e.g. No. 4. Yes! It is."),
            ["It is 2.5 kg, e.g. No. 4.", "Yes!", "It is."]
        );
    }
}
