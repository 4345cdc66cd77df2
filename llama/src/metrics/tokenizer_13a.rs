//! The words that BLEU counts: sacrebleu's tokenizer `13a`, which is that of WMT's `mteval-v13a.pl`.

use super::comparison::is_python_space;

/// The words and punctuation marks of `text`, as one text in which white space separates them.
pub fn tokenize(text: &str) -> String {
    let text = text.trim_end_matches(is_python_space);
    let mut text = text.replace("<skipped>", "").replace("-\n", "").replace('\n', " ");
    for (entity, character) in [("&quot;", "\""), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">")] {
        text = text.replace(entity, character);
    }
    let mut line: Vec<char> = Vec::with_capacity(text.len() + 2);
    for character in format!(" {text} ").chars() {
        match is_symbol(character) {
            true => line.extend([' ', character, ' ']),
            false => line.push(character),
        }
    }
    let (is_digit, is_point) = (|c: char| c.is_ascii_digit(), |c: char| matches!(c, '.' | ','));
    // A point or comma stands alone unless it is between digits; a dash does after a digit.
    let line = space_pairs(&line, |a, b| !is_digit(a) && is_point(b), |a, b| [a, ' ', b, ' ']);
    let line = space_pairs(&line, |a, b| is_point(a) && !is_digit(b), |a, b| [' ', a, ' ', b]);
    let line = space_pairs(&line, |a, b| is_digit(a) && b == '-', |a, b| [a, ' ', b, ' ']);
    line.into_iter().collect()
}

/// ASCII's punctuation without `'`, `,`, `-` and `.`
fn is_symbol(character: char) -> bool {
    character.is_ascii_punctuation() && !matches!(character, '\'' | ',' | '-' | '.')
}

/// Replaces pairs of characters from left to right, none of which overlap.
fn space_pairs(
    line: &[char],
    is_pair: impl Fn(char, char) -> bool,
    spaced: impl Fn(char, char) -> [char; 4],
) -> Vec<char> {
    let mut result = Vec::with_capacity(line.len());
    let mut rest = line;
    loop {
        match *rest {
            [a, b, ..] if is_pair(a, b) => {
                result.extend(spaced(a, b));
                rest = &rest[2..];
            }
            [a, ..] => {
                result.push(a);
                rest = &rest[1..];
            }
            [] => return result,
        }
    }
}
