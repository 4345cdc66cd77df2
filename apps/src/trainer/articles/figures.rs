//! Figures: what an answer must take from its passage letter by letter.

/// Numbers, prices, times, dates, codes, addresses and telephone numbers of `text`, word by word.
pub fn figures(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|c: char| c.is_whitespace() || matches!(c, '–' | '—' | '|' | '*' | '…'));
    words
        .map(|word| {
            word.trim_matches(|c: char| !(c.is_alphanumeric() || matches!(c, '%' | '+' | '£' | '$' | '€')))
        })
        .filter(|word| {
            let is_address = word.contains('@') || word.contains("://") || word.contains(".example");
            is_address || word.contains(|c: char| c.is_ascii_digit())
        })
}

/// Whether `figure` stands in `text` as it is: not as a part of a longer number or word. A whole number may
/// stand there as an ordinal.
pub fn stands_in(figure: &str, text: &str) -> bool {
    let is_whole = figure.chars().all(|c| c.is_ascii_digit());
    let after_ordinal = |rest: &'_ str| {
        ["st", "nd", "rd", "th"].iter().find_map(|end| rest.strip_prefix(end)).map_or(rest.len(), str::len)
    };
    let continues = |rest: &mut dyn Iterator<Item = char>| match rest.next() {
        Some(c) if c.is_alphanumeric() => true,
        Some('.' | ',' | ':' | '/' | '@') => rest.next().is_some_and(|c| c.is_ascii_digit()),
        _ => false,
    };
    text.match_indices(figure).any(|(at, _)| {
        let (before, after) = (&text[..at], &text[at + figure.len()..]);
        let after = if is_whole { &after[after.len() - after_ordinal(after)..] } else { after };
        !continues(&mut before.chars().rev()) && !continues(&mut after.chars())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_found() {
        let text = "From 9:00–17:00 it costs £4.50 (or 20%), see www.a.example/x, code **ERR-40**, a@b.example. Not e.g. this.";
        assert_eq!(
            figures(text).collect::<Vec<_>>(),
            ["9:00", "17:00", "£4.50", "20%", "www.a.example/x", "ERR-40", "a@b.example"]
        );
    }

    #[test]
    fn a_part_of_a_number_is_no_quote() {
        let text = "It costs £4.50, from 14:00, at most 30 days (code ERR-401), on the 5th.";
        for found in ["5", "5th", "£4.50", "4.50", "14:00", "30", "ERR-401", "401", "30 days"] {
            assert!(stands_in(found, text), "{found}");
        }
        for missing in ["£4", "50", "14", "3", "0 days", "ERR-40", "£4.5"] {
            assert!(!stands_in(missing, text), "{missing}");
        }
    }
}
