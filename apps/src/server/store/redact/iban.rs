//! International bank account numbers, by the length of their country and their check digits (ISO 13616).

use super::Found;

/// Countries and the lengths of their numbers.
const LENGTHS: &[(&str, usize)] = &[
    ("AD", 24),
    ("AE", 23),
    ("AL", 28),
    ("AT", 20),
    ("AZ", 28),
    ("BA", 20),
    ("BE", 16),
    ("BG", 22),
    ("BH", 22),
    ("BR", 29),
    ("BY", 28),
    ("CH", 21),
    ("CR", 22),
    ("CY", 28),
    ("CZ", 24),
    ("DE", 22),
    ("DK", 18),
    ("DO", 28),
    ("EE", 20),
    ("EG", 29),
    ("ES", 24),
    ("FI", 18),
    ("FO", 18),
    ("FR", 27),
    ("GB", 22),
    ("GE", 22),
    ("GI", 23),
    ("GL", 18),
    ("GR", 27),
    ("GT", 28),
    ("HR", 21),
    ("HU", 28),
    ("IE", 22),
    ("IL", 23),
    ("IQ", 23),
    ("IS", 26),
    ("IT", 27),
    ("JO", 30),
    ("KW", 30),
    ("KZ", 20),
    ("LB", 28),
    ("LC", 32),
    ("LI", 21),
    ("LT", 20),
    ("LU", 20),
    ("LV", 21),
    ("LY", 25),
    ("MC", 27),
    ("MD", 24),
    ("ME", 22),
    ("MK", 19),
    ("MR", 27),
    ("MT", 31),
    ("MU", 30),
    ("NL", 18),
    ("NO", 15),
    ("PK", 24),
    ("PL", 28),
    ("PS", 29),
    ("PT", 25),
    ("QA", 29),
    ("RO", 24),
    ("RS", 22),
    ("SA", 24),
    ("SC", 31),
    ("SE", 24),
    ("SI", 19),
    ("SK", 24),
    ("SM", 27),
    ("ST", 25),
    ("SV", 28),
    ("TL", 23),
    ("TN", 24),
    ("TR", 26),
    ("UA", 29),
    ("VA", 22),
    ("VG", 24),
    ("XK", 20),
];

/// The numbers in a text.
pub(super) fn find(text: &str) -> Vec<Found> {
    let mut found: Vec<Found> = Vec::new();
    let mut before = None;
    for (start, c) in text.char_indices() {
        let is_begin = before.is_none_or(|before: char| !before.is_alphanumeric());
        let is_free = found.last().is_none_or(|last| last.range.end <= start);
        if is_begin
            && is_free
            && c.is_ascii_alphabetic()
            && let Some(end) = end(text, start)
        {
            found.push(Found { range: start..end, label: "[account]" });
        }
        before = Some(c);
    }
    found
}

/// Where the number that begins at `start` ends, if one does.
fn end(text: &str, start: usize) -> Option<usize> {
    let rest = &text[start..];
    let country = rest.get(..2)?.to_ascii_uppercase();
    let length = LENGTHS.iter().find(|(name, _)| *name == country)?.1;
    let (mut number, mut separators) = (Vec::with_capacity(length), 0);
    for (at, c) in rest.char_indices() {
        if c.is_ascii_alphanumeric() {
            number.push(c.to_ascii_uppercase());
            separators = 0;
        } else if matches!(c, ' ' | '-' | '\u{a0}') && separators == 0 && number.len() >= 4 {
            separators = 1;
        } else {
            return None;
        }
        if number.len() == length {
            let end = at + 1;
            let is_whole = rest[end..].chars().next().is_none_or(|next| !next.is_alphanumeric());
            return (is_whole && is_valid(&number)).then_some(start + end);
        }
    }
    None
}

/// Whether the number, its first four characters moved to the end and letters read as 10 to 35, is 1 modulo 97.
fn is_valid(number: &[char]) -> bool {
    let (head, body) = number.split_at(4);
    if !head[2..].iter().all(char::is_ascii_digit) {
        return false;
    }
    let rest = body.iter().chain(head).try_fold(0, |rest, c| {
        let value = c.to_digit(36)?;
        Some((rest * if value < 10 { 10 } else { 100 } + value) % 97)
    });
    rest == Some(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_examples_are_found_however_they_are_grouped() {
        for iban in [
            "DE89370400440532013000",
            "DE89 3704 0044 0532 0130 00",
            "gb29 nwbk 6016 1331 9268 19",
            "FR14-2004-1010-0505-0001-3M02-606",
            "NO9386011117947",
        ] {
            let found = find(&format!("IBAN:{iban}, please"));
            assert_eq!(found.len(), 1, "{iban}");
            assert_eq!(found[0].range, 5..5 + iban.len());
        }
    }

    #[test]
    fn a_wrong_check_digit_or_length_is_none() {
        for text in
            ["DE88370400440532013000", "DE8937040044053201300", "DE893704004405320130001", "DE", "é DE89"]
        {
            assert!(find(text).is_empty(), "{text}");
        }
    }
}
