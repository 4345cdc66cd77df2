//! Dates and times of day.

use std::sync::LazyLock;

use super::Figure;
use super::cursor::Cursor;
use crate::guard::table::Table;

/// Names of months in English, German, Spanish and French, with their abbreviations.
static MONTHS: LazyLock<Table<u8>> = LazyLock::new(|| {
    Table::new(&[
        (1, "january jan januar jänner enero janvier"),
        (2, "february feb februar febrero février"),
        (3, "march mar märz marzo mars"),
        (4, "april apr abril avril"),
        (5, "may mai mayo"),
        (6, "june jun juni junio juin"),
        (7, "july jul juli julio juillet"),
        (8, "august aug agosto août"),
        (9, "september sep sept septiembre septembre"),
        (10, "october oct oktober okt octubre octobre"),
        (11, "november nov noviembre novembre"),
        (12, "december dec dezember dez diciembre décembre"),
    ])
});

/// Words for a time of day, in minutes after midnight.
static NOONS: LazyLock<Table<u16>> = LazyLock::new(|| {
    Table::new(&[(720, "noon midday mittags mediodía midi"), (0, "midnight mitternacht medianoche minuit")])
});

/// Whether a date or time can begin with `word`.
pub(super) fn begins(word: &str) -> bool {
    MONTHS.has(word) || NOONS.has(word)
}

/// The date at `cursor`.
pub(super) fn date(cursor: Cursor) -> Option<(usize, Figure)> {
    if cursor.text[..cursor.at].ends_with(|c: char| c.is_alphanumeric()) {
        return None;
    }
    year_first(cursor)
        .or_else(|| numeric(cursor))
        .or_else(|| day_first(cursor))
        .or_else(|| month_first(cursor))
}

fn figure(year: Option<u16>, month: u8, day: Option<u8>, is_swappable: bool) -> Option<Figure> {
    let is_date = (1..=12).contains(&month) && day.is_none_or(|day| (1..=31).contains(&day));
    is_date.then_some(Figure::Date { year, month, day, is_swappable })
}

fn year_first(mut cursor: Cursor) -> Option<(usize, Figure)> {
    let year = cursor.digits();
    let separator = cursor.peek().filter(|c| matches!(c, '-' | '/' | '.') && year.len() == 4)?;
    cursor.eat(&[separator]);
    let month = cursor.digits().parse().ok()?;
    let day = (cursor.eat(&[separator])).then(|| cursor.digits())?.parse().ok()?;
    let figure = figure(year.parse().ok(), month, Some(day), false)?;
    cursor.is_end().then_some((cursor.at, figure))
}

fn numeric(mut cursor: Cursor) -> Option<(usize, Figure)> {
    let first = cursor.digits();
    let separator = cursor.peek().filter(|c| matches!(c, '-' | '/' | '.') && first.len() <= 2)?;
    cursor.eat(&[separator]);
    let second = cursor.digits();
    let year = (cursor.eat(&[separator]) && second.len() <= 2).then(|| cursor.digits())?;
    let year: u16 = match year.len() {
        2 => 2000 + year.parse::<u16>().ok()?,
        4 => year.parse().ok()?,
        _ => return None,
    };
    let (first, second): (u8, u8) = (first.parse().ok()?, second.parse().ok()?);
    let is_swappable = separator != '.' && first <= 12 && second <= 12 && first != second;
    let (day, month) = if second > 12 { (second, first) } else { (first, second) };
    let figure = figure(Some(year), month, Some(day), is_swappable)?;
    cursor.is_end().then_some((cursor.at, figure))
}

fn day_first(mut cursor: Cursor) -> Option<(usize, Figure)> {
    let day = cursor.digits();
    let day = day.parse().ok().filter(|_| day.len() <= 2)?;
    let _ = cursor.eat(&['.', 'º'])
        || cursor.word(|word| matches!(word, "st" | "nd" | "rd" | "th" | "er").then_some(())).is_some();
    cursor.space();
    if cursor.word(|word| matches!(word, "de" | "of").then_some(())).is_some() {
        cursor.space();
    }
    let month = month(&mut cursor)?;
    let figure = figure(year(&mut cursor), month, Some(day), false)?;
    Some((cursor.at, figure))
}

fn month_first(mut cursor: Cursor) -> Option<(usize, Figure)> {
    let month = month(&mut cursor)?;
    if let Some(year) = year(&mut cursor) {
        return Some((cursor.at, figure(Some(year), month, None, false)?));
    }
    if !cursor.space() {
        return None;
    }
    let digits = cursor.digits();
    let day = digits.parse().ok().filter(|_| digits.len() <= 2)?;
    let _ = cursor.word(|word| matches!(word, "st" | "nd" | "rd" | "th").then_some(()));
    let continues = cursor.rest().starts_with(['.', ':', '%'])
        && cursor.rest().chars().nth(1).is_some_and(|c| c.is_ascii_digit());
    if continues || !cursor.is_end() {
        return None;
    }
    let year = year(&mut cursor);
    Some((cursor.at, figure(year, month, Some(day), false)?))
}

/// Takes the name of a month. "may", "march" and "mar" are other words unless they have a capital.
fn month(cursor: &mut Cursor) -> Option<u8> {
    let mut ahead = *cursor;
    let word = ahead.letters();
    let lower = word.to_lowercase();
    if word.is_empty() || !ahead.is_end() || matches!(word, "may" | "march" | "mar" | "mars") {
        return None;
    }
    let number = MONTHS.get(&lower)?;
    if word.len() <= 4 && ahead.rest().starts_with(". ") {
        ahead.eat(&['.']);
    }
    *cursor = ahead;
    Some(number)
}

/// Takes the year after a day or month.
fn year(cursor: &mut Cursor) -> Option<u16> {
    let mut ahead = *cursor;
    ahead.eat(&[',']);
    if !ahead.space() {
        return None;
    }
    if ahead.word(|word| matches!(word, "de" | "del" | "of").then_some(())).is_some() {
        ahead.space();
    }
    let digits = ahead.digits();
    let year = digits.parse().ok().filter(|year| digits.len() == 4 && (1900..2200).contains(year))?;
    if !ahead.is_end() {
        return None;
    }
    *cursor = ahead;
    Some(year)
}

/// The time of day at `cursor`.
pub(super) fn time(mut cursor: Cursor) -> Option<(usize, Figure)> {
    if cursor.text[..cursor.at].ends_with(|c: char| c.is_alphanumeric()) {
        return None;
    }
    if let Some(minute) = noon(&mut cursor) {
        return Some((cursor.at, Figure::Time { minute, is_clear: true }));
    }
    let start = cursor;
    let digits = cursor.digits();
    let hour: u16 = digits.parse().ok().filter(|hour| digits.len() <= 2 && *hour <= 24)?;
    let mut ahead = cursor;
    let is_spaced = ahead.space();
    let mark = ahead.peek();
    let is_mark = ahead.eat(&['h', 'H']) || !is_spaced && ahead.eat(&[':', '.']);
    if mark.is_some_and(|mark| matches!(mark, 'h' | 'H')) {
        ahead.space();
    }
    let minutes = ahead.digits();
    let minute: Option<u16> =
        minutes.parse().ok().filter(|minute| is_mark && minutes.len() == 2 && *minute < 60);
    if let Some(minute) = minute.filter(|_| ahead.is_end() || meridiem(&mut { ahead }).is_some()) {
        cursor = ahead;
        if mark == Some(':') && cursor.eat(&[':']) {
            cursor.digits();
        }
        let half = meridiem(&mut cursor);
        let says_clock = clock(&mut cursor).is_some();
        if half.is_some() || says_clock || mark != Some('.') {
            let is_clear = half.is_some() || digits.len() > 1 || mark != Some(':') || says_clock;
            return Some((cursor.at, Figure::Time { minute: at(hour, minute, half), is_clear }));
        }
        cursor = start;
        cursor.digits();
    }
    if let Some(half) = meridiem(&mut cursor) {
        return Some((cursor.at, Figure::Time { minute: at(hour, 0, Some(half)), is_clear: true }));
    }
    let mut noon_ahead = cursor;
    if noon_ahead.space()
        && let Some(minute) = noon(&mut noon_ahead)
        && hour == 12
    {
        return Some((noon_ahead.at, Figure::Time { minute, is_clear: true }));
    }
    if let Some(is_clear) = clock(&mut cursor) {
        let mut ahead = cursor;
        ahead.space();
        let digits = ahead.digits();
        let minute: Option<u16> =
            digits.parse().ok().filter(|_| is_clear && digits.len() == 2 && ahead.is_end());
        if minute.is_some() {
            cursor = ahead;
        }
        let minute = minute.filter(|minute| *minute < 60).unwrap_or(0);
        return Some((cursor.at, Figure::Time { minute: at(hour, minute, None), is_clear }));
    }
    let says_time = matches!(start.previous_word().as_str(), "à" | "dès" | "vers" | "las");
    if says_time && cursor.word(|word| (word == "h").then_some(())).is_some() {
        return Some((cursor.at, Figure::Time { minute: at(hour, 0, None), is_clear: true }));
    }
    // 2–3 pm: both are in the afternoon; 9–5 pm: only the second is.
    let mut ahead = cursor;
    if !ahead.range_sign() {
        return None;
    }
    let digits = ahead.digits();
    let until: u16 = digits.parse().ok().filter(|hour| digits.len() <= 2 && *hour <= 12)?;
    if ahead.eat(&[':', '.']) {
        ahead.digits();
    }
    let half = meridiem(&mut ahead)?;
    let half = if hour % 12 < until % 12 || until == 12 { half } else { !half };
    Some((cursor.at, Figure::Time { minute: at(hour, 0, Some(half)), is_clear: true }))
}

fn noon(cursor: &mut Cursor) -> Option<u16> {
    let mut ahead = *cursor;
    let minute = NOONS.get(&ahead.letters().to_lowercase())?;
    *cursor = ahead;
    Some(minute)
}

/// Takes `am` (false) or `pm` (true).
fn meridiem(cursor: &mut Cursor) -> Option<bool> {
    let mut ahead = *cursor;
    ahead.space();
    let is_afternoon = match ahead.peek()? {
        'a' | 'A' => false,
        'p' | 'P' => true,
        _ => {
            let rest = ahead.rest();
            let (phrase, is_afternoon) = [
                ("de la mañana", false),
                ("de la tarde", true),
                ("de la noche", true),
                ("in the morning", false),
                ("in the afternoon", true),
                ("in the evening", true),
            ]
            .into_iter()
            .find(|(phrase, _)| rest.starts_with(phrase))?;
            ahead.at += phrase.len();
            *cursor = ahead;
            return Some(is_afternoon);
        }
    };
    ahead.take(char::is_alphabetic);
    let written = cursor.text[cursor.at..ahead.at].trim_start();
    if written.len() == 1 {
        let is_dotted = ahead.eat(&['.']);
        ahead.space();
        if !ahead.eat(&['m', 'M']) {
            return None;
        }
        if is_dotted {
            ahead.eat(&['.']);
        }
    } else if !matches!(written, "am" | "pm" | "AM" | "PM" | "Am" | "Pm") {
        return None;
    }
    if !ahead.is_end() {
        return None;
    }
    *cursor = ahead;
    Some(is_afternoon)
}

/// Takes the word after a time: whether it says which half of the day is meant.
fn clock(cursor: &mut Cursor) -> Option<bool> {
    let mut ahead = *cursor;
    ahead.space();
    let clear = if ahead.rest().starts_with("o'clock") || ahead.rest().starts_with("o’clock") {
        ahead.letters();
        ahead.eat(&['\'', '’']);
        ahead.letters();
        false
    } else {
        if !matches!(ahead.letters(), "Uhr" | "uhr") {
            return None;
        }
        true
    };
    *cursor = ahead;
    Some(clear)
}

fn at(hour: u16, minute: u16, is_afternoon: Option<bool>) -> u16 {
    let hour = match is_afternoon {
        Some(false) if hour == 12 => 0,
        Some(true) if hour < 12 => hour + 12,
        _ => hour % 24,
    };
    hour * 60 + minute
}
