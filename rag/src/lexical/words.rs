//! Words of a text as the lexical search compares them.
//!
//! - words by Unicode's rules (UAX 29), in lower case; these have stems
//! - a product code (`ERR-4011`, `X200-B`) as one word without its hyphens, beside its parts
//! - scripts without spaces (Han, kana, Thai) as pairs of neighbouring characters

use unicode_segmentation::UnicodeSegmentation;

/// A word before stemming.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Word {
    /// A word or number, in lower case.
    Plain(String),
    /// A product code, in lower case and without separators: `err4011`.
    Code(String),
    /// Two neighbouring characters of a script without spaces, or a lone one.
    Pair(String),
}

/// Longest product code in characters; a longer run is a key or a blob.
const LONGEST_CODE: usize = 40;

/// The words of `text`, in its order, with repetitions; its product codes come last.
pub(super) fn words(text: &str) -> Vec<Word> {
    let mut words = Vec::new();
    let mut pending: Option<(usize, &str)> = None; // a character that waits for its neighbour
    let mut paired = false;
    let flush = |pending: &mut Option<(usize, &str)>, paired: bool, words: &mut Vec<Word>| {
        if let (Some((_, lone)), false) = (pending.take(), paired) {
            words.push(Word::Pair(lone.into()));
        }
    };
    for (at, word) in text.unicode_word_indices() {
        if !word.chars().next().is_some_and(has_no_spaces) {
            flush(&mut pending, paired, &mut words);
            paired = false;
            plain(word, &mut words);
            continue;
        }
        // A run of katakana is one word by UAX 29; elsewhere each character is.
        for (offset, character) in word.grapheme_indices(true) {
            let at = at + offset;
            match pending {
                Some((start, before)) if start + before.len() == at => {
                    words.push(Word::Pair(format!("{before}{character}")));
                    paired = true;
                }
                _ => {
                    flush(&mut pending, paired, &mut words);
                    paired = false;
                }
            }
            pending = Some((at, character));
        }
    }
    flush(&mut pending, paired, &mut words);
    words.extend(runs(text).into_iter().filter(|run| is_code(run)).map(|run| Word::Code(squeeze(run))));
    words
}

/// Codes that a question may mean where it does not write them as documents do: a word and the number
/// after it (`err 4011`), and a number and letters (`3310-xl`).
pub(super) fn possible_codes(text: &str) -> Vec<String> {
    let runs = runs(text);
    let mixed = |run: &str| has_digit(run) && run.chars().any(char::is_alphabetic);
    let single = runs.iter().filter(|run| mixed(run) && !is_code(run)).map(|run| squeeze(run));
    let pairs = runs.windows(2).filter_map(|pair| {
        let joined = format!("{}{}", squeeze(pair[0]), squeeze(pair[1]));
        (mixed(&joined) && joined.chars().count() <= LONGEST_CODE).then_some(joined)
    });
    single.chain(pairs).collect()
}

/// `text` without those of its product codes that `is_known` does not know.
pub(super) fn without_codes(text: &str, is_known: impl Fn(&str) -> bool) -> String {
    let mut kept = String::new();
    let mut rest = text;
    for run in runs(text) {
        let Some((before, after)) = rest.split_once(run) else { continue };
        let is_unknown = is_code(run) && !is_known(&squeeze(run));
        kept.push_str(before);
        kept.push_str(if is_unknown { " " } else { run });
        rest = after;
    }
    kept + rest
}

/// One word by UAX 29 as the words that are compared.
fn plain(word: &str, words: &mut Vec<Word>) {
    for part in word.split('_').filter(|part| !part.is_empty()) {
        let lower = part.to_lowercase().replace('’', "'");
        // l'abonnement, dell'ordine: the article says nothing.
        let lower = match lower.split_once('\'') {
            Some((article, rest)) if article.chars().count() <= 4 && rest.chars().count() >= 3 => rest.into(),
            _ => lower,
        };
        let pieces = letters_and_digits(&lower);
        if pieces.len() > 1 && has_digit(&lower) && lower.chars().any(char::is_alphabetic) {
            let longer = pieces.into_iter().filter(|piece| piece.chars().count() > 1);
            words.extend(longer.map(|piece| Word::Plain(piece.into())));
        }
        words.push(Word::Plain(lower));
    }
}

/// `x200b` as `x`, `200`, `b`.
fn letters_and_digits(word: &str) -> Vec<&str> {
    let kind = |character: char| (character.is_alphabetic(), character.is_numeric());
    let mut pieces = Vec::new();
    let mut start = 0;
    let mut last = None;
    for (at, character) in word.char_indices() {
        if last.is_some_and(|last| last != kind(character)) {
            pieces.extend(word.get(start..at));
            start = at;
        }
        last = Some(kind(character));
    }
    pieces.extend(word.get(start..));
    pieces.retain(|piece| piece.chars().any(char::is_alphanumeric));
    pieces
}

/// Letters and digits joined by hyphens, underscores, or points between digits.
fn runs(text: &str) -> Vec<&str> {
    let inside = |character: char| character.is_alphanumeric() && !has_no_spaces(character);
    let mut found = Vec::new();
    let mut start = None;
    let mut characters = text.char_indices().peekable();
    let mut before = ' ';
    while let Some((at, character)) = characters.next() {
        let after = characters.peek().map_or(' ', |(_, after)| *after);
        let joins = match character {
            '-' | '_' | '\u{2010}'..='\u{2013}' => inside(before) && inside(after),
            '.' => before.is_ascii_digit() && after.is_ascii_digit(),
            other => inside(other),
        };
        match (joins, start) {
            (true, None) => start = Some(at),
            (false, Some(from)) => {
                found.extend(text.get(from..at));
                start = None;
            }
            _ => {}
        }
        before = character;
    }
    found.extend(start.and_then(|from| text.get(from..)));
    found
}

/// Whether a run is a product code: letters and digits, and neither a number with its unit (`20th`,
/// `5kg`, `30-day`) nor a blob.
fn is_code(run: &str) -> bool {
    let letters = || run.chars().filter(|character| character.is_alphabetic());
    let starts_with_digit = run.chars().next().is_some_and(|first| first.is_numeric());
    let unit = starts_with_digit && (letters().any(char::is_lowercase) || letters().count() < 2);
    let long = (3..=LONGEST_CODE).contains(&run.chars().count());
    has_digit(run) && letters().next().is_some() && !unit && long
}

fn has_digit(text: &str) -> bool {
    text.chars().any(|character| character.is_ascii_digit())
}

/// Letters and digits alone, in lower case: `ERR-4011` and `err4011` are one code.
fn squeeze(run: &str) -> String {
    run.chars().filter(|character| character.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// Whether a character's script does not put spaces between words.
fn has_no_spaces(character: char) -> bool {
    matches!(character,
        '\u{0E00}'..='\u{0EFF}'     // Thai, Lao
        | '\u{1000}'..='\u{109F}'   // Myanmar
        | '\u{1780}'..='\u{17FF}'   // Khmer
        | '\u{3040}'..='\u{30FF}'   // kana
        | '\u{3400}'..='\u{4DBF}' | '\u{4E00}'..='\u{9FFF}' | '\u{F900}'..='\u{FAFF}'
        | '\u{20000}'..='\u{3FFFF}' // Han
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> Vec<String> {
        let show = |word| match word {
            Word::Plain(word) => word,
            Word::Code(code) => format!("={code}"),
            Word::Pair(pair) => format!("~{pair}"),
        };
        words(text).into_iter().map(show).collect()
    }

    #[test]
    fn words_are_those_of_unicode_in_lower_case() {
        assert_eq!(said("Don’t pay £3,000 – ASK us!"), ["don't", "pay", "3,000", "ask", "us"]);
        assert_eq!(said("l'abonnement de l’équipe"), ["abonnement", "de", "équipe"]);
        assert_eq!(said(" \n…"), [""; 0]);
    }

    #[test]
    fn product_codes_are_whole_and_in_parts() {
        assert_eq!(said("ERR-4011?"), ["err", "4011", "=err4011"]);
        assert_eq!(said("(X200-B)"), ["200", "x200", "b", "=x200b"]);
        assert_eq!(said("err4012."), ["err", "4012", "err4012", "=err4012"]);
        assert_eq!(said("call get_card_7291"), ["call", "get", "card", "7291", "=getcard7291"]);
        assert_eq!(said("v2.1.3"), ["v2.1.3", "=v213"]);
        assert_eq!(said("ERR-4011/ERR-4012")[4..], ["=err4011", "=err4012"]);
        assert_eq!(said("ERR‑4011, TN–77")[4..], ["=err4011", "=tn77"]);
        assert_eq!(said("错误ERR-4011怎么办").last().unwrap(), "=err4011");
    }

    #[test]
    fn numbers_with_units_and_blobs_are_no_codes() {
        for text in ["20th", "5kg", "30-day", "1990s", "24/7", "2011-12", "A4", "4011", "one-two"] {
            assert!(!words(text).iter().any(|word| matches!(word, Word::Code(_))), "{text}");
        }
        assert!(!words(&"a1".repeat(99)).iter().any(|word| matches!(word, Word::Code(_))));
    }

    #[test]
    fn a_question_may_write_a_code_apart_or_in_lower_case() {
        assert_eq!(possible_codes("what is err 4012?"), ["err4012"]);
        assert_eq!(possible_codes("3310-xl"), ["3310xl"]);
        assert_eq!(possible_codes("cancel my order"), [""; 0]);
    }

    #[test]
    fn unknown_codes_are_taken_out() {
        let known = |code: &str| code == "err4011";
        let text = "ERR-4011 or ERR-4012: order A77-B is late";
        assert_eq!(without_codes(text, known), "ERR-4011 or  : order   is late");
    }

    #[test]
    fn scripts_without_spaces_are_pairs_of_characters() {
        assert_eq!(said("取消订单。退款"), ["~取消", "~消订", "~订单", "~退款"]);
        assert_eq!(said("我 a 你"), ["~我", "a", "~你"]);
        assert_eq!(said("คืนเงิน").len(), said("คืนเงิน").iter().filter(|word| word.starts_with('~')).count());
        assert_eq!(said("キャンセル")[0], "~キャ");
    }
}
