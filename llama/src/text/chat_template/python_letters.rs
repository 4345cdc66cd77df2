//! Letters as Python's `str` sees them.

use unicode_categories::UnicodeCategories;

/// Ideographs that stand for numbers: Unicode's numeric type of characters that are letters by category.
const NUMBER_LETTERS: &str = "\u{3405}\u{3483}\u{382a}\u{3b4d}\u{4e00}\u{4e03}\u{4e07}\u{4e09}\u{4e5d}\u{4e8c}\u{4e94}\u{4e96}\u{4ebf}\
    \u{4ec0}\u{4edf}\u{4ee8}\u{4f0d}\u{4f70}\u{5104}\u{5146}\u{5169}\u{516b}\u{516d}\u{5341}\u{5343}\u{5344}\
    \u{5345}\u{534c}\u{53c1}\u{53c2}\u{53c3}\u{53c4}\u{56db}\u{58f1}\u{58f9}\u{5e7a}\u{5efe}\u{5eff}\u{5f0c}\
    \u{5f0d}\u{5f0e}\u{5f10}\u{62fe}\u{634c}\u{67d2}\u{6f06}\u{7396}\u{767e}\u{8086}\u{842c}\u{8cae}\u{8cb3}\
    \u{8d30}\u{9621}\u{9646}\u{964c}\u{9678}\u{96f6}\u{f96b}\u{f973}\u{f978}\u{f9b2}\u{f9d1}\u{f9d3}\u{f9fd}\
    \u{20001}\u{20064}\u{200e2}\u{20121}\u{2092a}\u{20983}\u{2098c}\u{2099c}\u{20aea}\u{20afd}\u{20b19}\
    \u{22390}\u{22998}\u{23b1b}\u{2626d}\u{2f890}";

/// Digits that are no decimal ones: superscripts, circled digits and the like.
const OTHER_DIGITS: [(u32, u32); 20] = [
    (0xb2, 0xb3),
    (0xb9, 0xb9),
    (0x1369, 0x1371),
    (0x19da, 0x19da),
    (0x2070, 0x2070),
    (0x2074, 0x2079),
    (0x2080, 0x2089),
    (0x2460, 0x2468),
    (0x2474, 0x247c),
    (0x2488, 0x2490),
    (0x24ea, 0x24ea),
    (0x24f5, 0x24fd),
    (0x24ff, 0x24ff),
    (0x2776, 0x277e),
    (0x2780, 0x2788),
    (0x278a, 0x2792),
    (0x10a40, 0x10a43),
    (0x10e60, 0x10e68),
    (0x11052, 0x1105a),
    (0x1f100, 0x1f10a),
];

/// Python's whitespace: Unicode's, and the four separators of ASCII.
pub(super) fn is_space(letter: char) -> bool {
    letter.is_whitespace() || matches!(letter, '\u{1c}'..='\u{1f}')
}

pub(super) fn is_decimal(letter: char) -> bool {
    letter.is_number_decimal_digit()
}

pub(super) fn is_digit(letter: char) -> bool {
    is_decimal(letter)
        || OTHER_DIGITS.iter().any(|(first, last)| (*first..=*last).contains(&u32::from(letter)))
}

pub(super) fn is_numeric(letter: char) -> bool {
    letter.is_numeric() || NUMBER_LETTERS.contains(letter)
}

/// Python counts letters by category; Rust's `is_alphabetic` counts vowel signs, letter numbers and circled letters too.
pub(super) fn is_alpha(letter: char) -> bool {
    letter.is_alphabetic() && !letter.is_mark() && !letter.is_number_letter() && !letter.is_symbol_other()
}

pub(super) fn is_alphanumeric(letter: char) -> bool {
    is_alpha(letter) || is_numeric(letter) || is_digit(letter)
}

pub(super) fn is_printable(letter: char) -> bool {
    letter == ' ' || !(letter.is_other() || letter.is_separator())
}

/// A name of Python, keywords included. Letters beyond ASCII are told by category.
pub(super) fn is_identifier(text: &str) -> bool {
    let start = |letter: char| letter == '_' || is_alpha(letter) || letter.is_number_letter();
    let mut letters = text.chars();
    letters.next().is_some_and(start)
        && letters.all(|letter| start(letter) || is_decimal(letter) || letter.is_mark())
}

fn is_title_letter(letter: char) -> bool {
    letter.is_letter_titlecase()
}

fn is_cased(letter: char) -> bool {
    letter.is_lowercase() || letter.is_uppercase() || is_title_letter(letter)
}

/// Words begin after every letter that has no case: `don't` becomes `Don'T`.
pub(super) fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut inside = false;
    // Lower case depends on the word around a capital sigma alone, which Rust minds in whole strings only.
    let lower = text.to_lowercase();
    let same_length = lower.chars().count() == text.chars().count();
    let mut lowered = lower.chars();
    for letter in text.chars() {
        let small = lowered.next().filter(|_| same_length);
        match (inside, small) {
            (true, Some(small)) => out.push(small),
            (true, None) => out.extend(letter.to_lowercase()),
            (false, _) => out.push_str(&title_form(letter)),
        }
        inside = is_cased(letter);
    }
    out
}

/// The form in which a letter begins a word: `ß` as `Ss`, a digraph as `ǅ`.
fn title_form(letter: char) -> String {
    minijinja::filters::title(letter.to_string().into())
        .chars()
        .enumerate()
        .flat_map(|(at, upper)| if at == 0 { vec![upper] } else { upper.to_lowercase().collect() })
        .collect()
}

pub(super) fn is_title(text: &str) -> bool {
    let (mut inside, mut any) = (false, false);
    for letter in text.chars() {
        let starts = letter.is_uppercase() || is_title_letter(letter);
        if (starts && inside) || (letter.is_lowercase() && !inside) {
            return false;
        }
        inside = is_cased(letter);
        any |= inside;
    }
    any
}

pub(super) fn swapped_case(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter.is_uppercase() {
            out.extend(letter.to_lowercase());
        } else {
            out.extend(letter.to_uppercase());
        }
    }
    out
}

/// Python's `casefold`; none if a letter folds to something else than its lower case, for which a table would be needed.
pub(super) fn folded(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            'ß' | 'ẞ' => out.push_str("ss"),
            'µ' => out.push('μ'),
            // Cherokee folds to its capitals.
            '\u{13a0}'..='\u{13fd}' | '\u{ab70}'..='\u{abbf}' => return None,
            letter => {
                let lower: String = letter.to_lowercase().collect();
                if !letter.is_ascii() && lower.to_uppercase().to_lowercase() != lower {
                    return None;
                }
                out.push_str(&lower);
            }
        }
    }
    Some(out)
}

/// The words of `text`, at most `most`, the last with all that is left; `from_right`, the last come first.
pub(super) fn words(text: &str, most: usize, from_right: bool) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest =
        if from_right { text.trim_end_matches(is_space) } else { text.trim_start_matches(is_space) };
    while !rest.is_empty() {
        let cut = if from_right { rest.rfind(is_space) } else { rest.find(is_space) };
        let Some(cut) = cut.filter(|_| words.len() + 1 < most) else {
            words.push(rest);
            break;
        };
        if from_right {
            let space = rest[cut..].chars().next().map_or(0, char::len_utf8);
            words.push(&rest[cut + space..]);
            rest = rest[..cut].trim_end_matches(is_space);
        } else {
            words.push(&rest[..cut]);
            rest = rest[cut..].trim_start_matches(is_space);
        }
    }
    words
}

/// The lines of `text` at every end of a line that Python knows.
pub(super) fn lines(text: &str, keep_ends: bool) -> Vec<&str> {
    let ends = |letter: char| {
        matches!(
            letter,
            '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{1c}'..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}'
        )
    };
    let mut lines = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(ends) {
        let end = rest[at..].chars().next().map_or(0, char::len_utf8);
        let end = at + if rest[at..].starts_with("\r\n") { 2 } else { end };
        lines.push(&rest[..if keep_ends { end } else { at }]);
        rest = &rest[end..];
    }
    if !rest.is_empty() {
        lines.push(rest);
    }
    lines
}

pub(super) fn tabs_expanded(text: &str, size: usize) -> String {
    let mut out = String::with_capacity(text.len());
    let mut column = 0;
    for letter in text.chars() {
        match letter {
            '\t' if size > 0 => {
                let spaces = size - column % size;
                out.push_str(&" ".repeat(spaces));
                column += spaces;
            }
            '\t' => {}
            letter => {
                column = if matches!(letter, '\n' | '\r') { 0 } else { column + 1 };
                out.push(letter);
            }
        }
    }
    out
}
