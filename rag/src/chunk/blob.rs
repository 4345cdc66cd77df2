//! Blobs: what stands in a text but is not read, such as embedded images. A blob's letters are no words,
//! yet they would fill a prompt.

use std::borrow::Cow;
use std::ops::Range;

/// Fewest letters of a blob of one line. A SHA-512 in hexadecimal has 128, and may be looked for.
const MIN_RUN: usize = 160;

/// Fewest letters of each line, and fewest lines, of a blob over several: certificates, attachments.
const MIN_LINE: usize = 40;
const MIN_LINES: usize = 3;

/// Most bytes of a `data:` address before its content.
const MAX_HEAD: usize = 200;

/// The blobs of `text`, in order, none touching another: `data:` addresses, and long runs of letters and
/// figures as mixed as base64.
pub(super) fn find(text: &str) -> Vec<Range<usize>> {
    let mut blobs = data_uris(text);
    blobs.extend(runs(text));
    blobs.extend(blocks(text));
    union(blobs)
}

/// `text` without the content of its `data:` addresses.
pub(crate) fn without_data_uris(text: &str) -> Cow<'_, str> {
    without(text, &data_uris(text))
}

/// `text` without `ranges`, which are in order.
pub(super) fn without<'a>(text: &'a str, ranges: &[Range<usize>]) -> Cow<'a, str> {
    if ranges.is_empty() {
        return text.into();
    }
    let starts = std::iter::once(0).chain(ranges.iter().map(|range| range.end));
    let ends = ranges.iter().map(|range| range.start).chain([text.len()]);
    starts.zip(ends).filter_map(|(start, end)| text.get(start..end)).collect::<String>().into()
}

/// Sorts ranges and joins those that overlap or touch.
pub(super) fn union(mut ranges: Vec<Range<usize>>) -> Vec<Range<usize>> {
    ranges.sort_by_key(|range| range.start);
    let mut joined: Vec<Range<usize>> = Vec::new();
    for range in ranges {
        match joined.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => joined.push(range),
        }
    }
    joined
}

fn data_uris(text: &str) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    for (start, _) in text.match_indices("data:") {
        if found.last().is_some_and(|last| start < last.end) {
            continue;
        }
        let body = text.get(start..).unwrap_or_default();
        // `data:[type/subtype][;parameter…],`
        let in_head = |byte: u8| byte.is_ascii_alphanumeric() || b"/+.-_;=:".contains(&byte);
        let head_end = body.bytes().take(MAX_HEAD).position(|byte| !in_head(byte));
        let Some(head) = head_end.filter(|end| body[*end..].starts_with(',')) else { continue };
        if !body[..head].contains(['/', ';']) {
            continue; // "data:,": no address but words
        }
        let before = text[..start].chars().next_back();
        let closing = match before {
            Some(quote @ ('"' | '\'')) => body.find(quote),
            _ => None,
        };
        let end = closing.unwrap_or_else(|| {
            let mut open = 0usize;
            let ends = |c: char| match c {
                '(' => {
                    open += 1;
                    false
                }
                ')' if open > 0 => {
                    open -= 1;
                    false
                }
                ')' => true,
                _ => c.is_whitespace() || matches!(c, '"' | '>' | '`'),
            };
            body.find(ends).unwrap_or(body.len())
        });
        found.push(start..start + end);
    }
    found
}

/// Whether a byte may stand in base64, its variant for addresses, hexadecimal, or a token made of them.
fn is_code(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"+/=_-.%~".contains(&byte)
}

/// Whether capitals, small letters and figures follow each other as in random codes (in 3 of 5 places for
/// base64, in half for hexadecimal) and not as in words. Signs between words do not count.
fn is_mixed(code: &[u8]) -> bool {
    let class = |byte: &u8| match byte {
        b'a'..=b'z' => Some(0),
        b'A'..=b'Z' => Some(1),
        b'0'..=b'9' => Some(2),
        _ => None,
    };
    let changes = code.windows(2).filter(|pair| {
        let classes = pair.first().and_then(class).zip(pair.get(1).and_then(class));
        classes.is_some_and(|(before, after)| before != after)
    });
    let changes = changes.count();
    changes * 100 >= code.len() * 35
}

fn runs(text: &str) -> Vec<Range<usize>> {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    let mut start = 0;
    for run in bytes.split(|byte| !is_code(*byte)) {
        if run.len() >= MIN_RUN && is_mixed(run) {
            found.push(start..start + run.len());
        }
        start += run.len() + 1;
    }
    found
}

fn blocks(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut block: Option<(Range<usize>, usize)> = None;
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let code = line.trim().trim_start_matches("> ");
        let is_all_code = !code.is_empty() && code.bytes().all(is_code);
        let end = start + line.trim_end().len();
        block = match block {
            Some((range, lines)) if is_all_code && code.len() >= MIN_LINE && is_mixed(code.as_bytes()) => {
                Some((range.start..end, lines + 1))
            }
            None if is_all_code && code.len() >= MIN_LINE && is_mixed(code.as_bytes()) => {
                Some((start..end, 1))
            }
            Some((range, lines)) => {
                // The last line of a block is shorter than the others.
                let last = is_all_code && code.len() < MIN_LINE && lines >= MIN_LINES;
                if lines >= MIN_LINES {
                    found.push(range.start..if last { end } else { range.end });
                }
                None
            }
            None => None,
        };
        start += line.len();
    }
    found.extend(block.filter(|(_, lines)| *lines >= MIN_LINES).map(|(range, _)| range));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Letters as a random base64 text has them.
    fn base64(length: usize) -> String {
        const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut state = 7u64;
        let letters = (0..length).map(|_| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            char::from(ALPHABET[(state >> 58) as usize])
        });
        letters.collect()
    }

    fn clean(text: &str) -> String {
        without(text, &find(text)).into_owned()
    }

    #[test]
    fn blobs_are_taken_out_and_the_words_around_them_stay() {
        let long = base64(3000);
        let lines = long.as_bytes().chunks(76).map(|line| std::str::from_utf8(line).unwrap());
        let lines: String = lines.map(|line| format!("{line}\n")).collect();
        let hex: String = long.bytes().map(|byte| format!("{:02x}", byte.wrapping_mul(167))).collect();
        for (text, expected) in [
            (format!("![x](data:image/png;base64,{long})\nThree years."), "![x]()\nThree years."),
            (format!("<img src=\"data:image/png;base64,{long}\"> Three."), "<img src=\"\"> Three."),
            (format!("[x]: data:image/png;base64,{long}\nThree."), "[x]: \nThree."),
            ("<img src='data:image/svg+xml;utf8,<svg a=\"1\"></svg>'> b".into(), "<img src=''> b"),
            ("![x](data:image/svg+xml,%3Csvg%20t='r(45)'%3E) b".into(), "![x]() b"),
            (format!("key {long} end"), "key  end"),
            (format!("{{\"icon\":\"{long}\"}}"), "{\"icon\":\"\"}"),
            (format!("hash {} end", &hex[..400]), "hash  end"),
            (format!("https://x.org/a?token={long}&lang=de"), "https://x.org/a?&lang=de"),
            (format!("-----BEGIN-----\n{lines}-----END-----\n"), "-----BEGIN-----\n\n-----END-----\n"),
        ] {
            assert_eq!(clean(&text), expected);
        }
    }

    #[test]
    fn words_and_short_codes_stay() {
        let sha512 = "cf83e1357eefb8bdf1542850d66d8007".repeat(4);
        let sums = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  a.bin\n".repeat(5);
        for text in [
            "Our data: a, b, and data:c. See data:, too.",
            "data/processing/and/a/very/long/path/with/many/parts/that/goes/on/and/on/until/it/has/more/than/one/hundred/and/sixty/letters/which/is/long/for/a/path/but/not/for/people.html",
            "ERR-4011, SKU AB-12-CD-34, +49 30 1234567",
            &sha512,
            &sums,
            &"a".repeat(5000),
            &"Donaudampfschifffahrtsgesellschaft".repeat(20),
            &"ยินดีต้อนรับ".repeat(200),
        ] {
            assert_eq!(clean(text), text);
        }
    }
}
