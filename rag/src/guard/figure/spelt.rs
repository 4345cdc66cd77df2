//! Numbers and ordinals in words.

use std::sync::LazyLock;

use super::Figure;
use super::cursor::Cursor;
use super::measure;
use crate::guard::table::Table;

/// Words of one number in English, German, Spanish and French, apart from those in [`AMBIGUOUS`].
static NUMBERS: LazyLock<Table<u32>> = LazyLock::new(|| {
    Table::new(&[
        (2, "two zwei dos deux"),
        (3, "three drei tres trois"),
        (4, "four vier cuatro quatre"),
        (5, "five fünf cinco cinq"),
        (6, "six sechs seis"),
        (7, "seven sieben siete"),
        (8, "eight acht ocho huit"),
        (9, "nine neun nueve"),
        (10, "ten zehn diez dix"),
        (11, "eleven onze"),
        (12, "twelve zwölf doce douze"),
        (13, "thirteen dreizehn trece treize"),
        (14, "fourteen vierzehn catorce quatorze"),
        (15, "fifteen fünfzehn quince quinze"),
        (16, "sixteen sechzehn dieciséis seize"),
        (17, "seventeen siebzehn diecisiete"),
        (18, "eighteen achtzehn dieciocho"),
        (19, "nineteen neunzehn diecinueve"),
        (20, "twenty zwanzig veinte vingt vingts"),
        (21, "veintiuno veintiún"),
        (22, "veintidós"),
        (24, "veinticuatro"),
        (25, "veinticinco"),
        (30, "thirty dreißig dreissig treinta trente"),
        (40, "forty vierzig cuarenta quarante"),
        (50, "fifty fünfzig cincuenta cinquante"),
        (60, "sixty sechzig sesenta soixante"),
        (70, "seventy siebzig setenta"),
        (80, "eighty achtzig ochenta"),
        (90, "ninety neunzig noventa"),
        (100, "hundred hundert einhundert cien ciento"),
        (1000, "thousand tausend eintausend"),
    ])
});

/// Words that are numbers only before a unit of time: articles, and those that mean something else in
/// another language ("once", "cent", "elf").
static AMBIGUOUS: LazyLock<Table<u32>> = LazyLock::new(|| {
    Table::new(&[
        (1, "one a an ein eine einen einem einer un una une"),
        (7, "sept"),
        (9, "neuf"),
        (11, "elf once"),
        (100, "cent"),
        (1000, "mil mille"),
    ])
});

static ORDINALS: LazyLock<Table<u32>> = LazyLock::new(|| {
    Table::new(&[
        (1, "first"),
        (2, "second"),
        (3, "third"),
        (4, "fourth"),
        (5, "fifth"),
        (6, "sixth"),
        (7, "seventh"),
        (8, "eighth"),
        (9, "ninth"),
        (10, "tenth"),
        (11, "eleventh"),
        (12, "twelfth"),
    ])
});

/// Words after "first" and "second" that make no claim with them.
const STEPS: &[&str] = &["step", "steps", "thing", "of", "place", "and", "or", "then", "to", "you", "hand"];

/// Whether a number or ordinal in words can begin with `word`.
pub(super) fn begins(word: &str) -> bool {
    NUMBERS.has(word)
        || AMBIGUOUS.has(word)
        || ORDINALS.has(word)
        || word.contains("und")
        || word.ends_with("hundert")
}

/// One word as a number: also `vierundzwanzig` and `zweihundert`.
fn word_value(word: &str) -> Option<u32> {
    let compound = || {
        let (ones, tens) = word.split_once("und")?;
        let ones = if ones == "ein" { 1 } else { NUMBERS.get(ones).filter(|ones| *ones < 10)? };
        Some(ones + NUMBERS.get(tens).filter(|tens| (20..100).contains(tens))?)
    };
    let hundreds = || Some(100 * NUMBERS.get(word.strip_suffix("hundert")?).filter(|ones| *ones < 10)?);
    NUMBERS.get(word).or_else(compound).or_else(hundreds)
}

/// The number in words at `cursor`: `two`, `twenty-four`, `two hundred`, `treinta y cinco`.
pub(super) fn number(mut cursor: Cursor) -> Option<(usize, Figure)> {
    let is_inside = cursor.text[..cursor.at].chars().next_back().is_some_and(char::is_alphanumeric);
    let word = cursor.letters().to_lowercase();
    if is_inside || word.is_empty() || !cursor.is_end() {
        return None;
    }
    let value = match word_value(&word) {
        Some(value) => tail(&mut cursor, value),
        None => {
            let value = AMBIGUOUS.get(&word)?;
            let mut ahead = cursor;
            if let Some(hundred @ (100 | 1000)) = ahead.word(|word| NUMBERS.get(word)) {
                cursor = ahead;
                tail(&mut cursor, hundred)
            } else {
                if !ahead.space() && !ahead.eat(&['-']) {
                    return None;
                }
                measure::time_unit(&ahead.letters().to_lowercase())?;
                value
            }
        }
    };
    let currency = measure::currency_after(cursor).filter(|(_, _, scale)| *scale == 0);
    if let Some((end, ..)) = currency {
        cursor.at = end;
    }
    let measure =
        currency.map(|(_, measure, _)| measure).or_else(|| measure::after(&mut cursor)).or_else(|| {
            let mut ahead = cursor;
            let second = ahead.range_sign().then(|| ahead.word(word_value)).flatten();
            second.and_then(|_| measure::after(&mut ahead))
        });
    Some((cursor.at, Figure::Number { readings: vec![value.to_string()], measure }))
}

/// Takes the words after a number that belong to it.
fn tail(cursor: &mut Cursor, mut value: u32) -> u32 {
    loop {
        let mut ahead = *cursor;
        if !ahead.eat(&['-']) && !ahead.space() {
            return value;
        }
        if value >= 30 || value == 20 {
            let _ = ahead.word(|word| matches!(word, "y" | "et" | "and").then_some(())).is_some()
                && ahead.space();
        }
        let word = ahead.letters().to_lowercase();
        let next = if word == "one" { Some(1) } else { word_value(&word) };
        value = match next {
            _ if !ahead.is_end() => return value,
            Some(ones) if (20..100).contains(&value) && value.is_multiple_of(10) && ones < 10 => value + ones,
            Some(scale @ (100 | 1000)) if value < scale && value < 100 => value * scale,
            Some(rest) if value >= 100 && value.is_multiple_of(100) && rest < 100 => value + rest,
            Some(20) if value == 4 => 80, // quatre-vingts
            _ => return value,
        };
        *cursor = ahead;
    }
}

/// The ordinal at `cursor`: `3rd`, `third`. German `3.` is a number, as is Spanish `3.º`.
pub(super) fn ordinal(mut cursor: Cursor) -> Option<(usize, Figure)> {
    let is_inside = cursor.text[..cursor.at].chars().next_back().is_some_and(char::is_alphanumeric);
    if is_inside {
        return None;
    }
    let before = cursor.text[..cursor.at].trim_end();
    let digits = cursor.digits();
    let word = cursor.letters().to_lowercase();
    if !digits.is_empty() {
        let is_suffix = matches!(word.as_str(), "st" | "nd" | "rd" | "th" | "er" | "ère" | "ème" | "ª");
        let value = digits.parse().ok().filter(|_| is_suffix && cursor.is_end())?;
        return Some((cursor.at, Figure::Ordinal(value)));
    }
    let value = ORDINALS.get(&word).filter(|_| cursor.is_end())?;
    let mut ahead = cursor;
    let is_followed = (ahead.space() || ahead.eat(&['-'])) && ahead.peek().is_some_and(char::is_lowercase);
    let starts = before.is_empty() || before.ends_with(['.', '!', '?', ':', '\n']);
    let is_claim = is_followed && !starts && !STEPS.contains(&ahead.letters());
    (is_claim || value > 2).then_some((cursor.at, Figure::Ordinal(value)))
}
