//! Numbers in digits, with their separators, currencies and measures.

use super::cursor::Cursor;
use super::measure::{self, Measure};
use super::{Figure, Marks};

/// Characters that set thousands apart.
const SEPARATORS: [char; 8] = [',', '.', ' ', '\u{a0}', '\u{202f}', '\u{2009}', '\'', '’'];

/// The number at `cursor`, which may begin with its currency.
pub(super) fn number(mut cursor: Cursor, marks: Marks) -> Option<(usize, Figure)> {
    let before = cursor.text[..cursor.at].chars().next_back();
    let mut currency = measure::currency_before(&mut cursor);
    if currency.is_none() && before.is_some_and(char::is_alphanumeric) {
        return None;
    }
    let is_apart = |c: char| c.is_whitespace() || matches!(c, '(' | ':' | '|');
    let is_negative = before.is_none_or(is_apart) && cursor.eat(&['-', '−']);
    let (mut readings, value) = value(cursor, marks)?;
    cursor.at = value;
    if is_negative {
        readings = readings.into_iter().map(|reading| format!("-{reading}")).collect();
    }
    let mut scale = 0;
    if currency.is_none()
        && let Some((end, measure, shift)) = measure::currency_after(cursor)
    {
        currency = Some(measure);
        scale = shift;
        cursor.at = end;
    }
    if scale > 0 {
        readings = readings.iter().map(|reading| hundredth(reading)).collect();
    }
    if currency.is_some() && readings.len() > 1 {
        // A price has no three decimals.
        readings.retain(|reading| !reading.contains('.'));
    }
    let measure = currency.or_else(|| measure::after(&mut cursor)).or_else(|| range_measure(cursor));
    Some((cursor.at, Figure::Number { readings, measure }))
}

/// What the digits at `cursor` can mean, and where they end.
fn value(mut cursor: Cursor, marks: Marks) -> Option<(Vec<String>, usize)> {
    let first = cursor.digits();
    if first.is_empty() {
        return fraction(&mut cursor).map(|part| (vec![format!("0.{part}")], cursor.at));
    }
    let mut whole = first.to_string();
    let mut separator = None;
    let mut groups = 0;
    while first.len() <= 3 {
        let mut ahead = cursor;
        let next =
            ahead.peek().filter(|next| SEPARATORS.contains(next) && separator.is_none_or(|s| s == *next));
        let Some(next) = next else { break };
        ahead.eat(&[next]);
        let group = ahead.digits();
        if group.len() != 3 || next.is_whitespace() && first.starts_with('0') {
            break;
        }
        whole.push_str(group);
        separator = Some(next);
        groups += 1;
        cursor = ahead;
    }
    let mark = separator.filter(|separator| matches!(separator, '.' | ','));
    let mut ahead = cursor;
    if ahead.peek() != separator && ahead.eat(&['.', ',']) {
        let decimals = ahead.digits();
        if !decimals.is_empty() {
            return Some((vec![normal(&whole, decimals)], ahead.at));
        }
    }
    if let Some(part) = fraction(&mut cursor) {
        return Some((vec![normal(&whole, part)], cursor.at));
    }
    let readings = match (mark, groups) {
        (Some(mark), 1) => {
            let decimal = normal(first, &whole[first.len()..]);
            let is_decimal = match marks {
                _ if first.starts_with('0') => Some(true),
                Marks::Unknown => None,
                Marks::Point => Some(mark == '.'),
                Marks::Comma => Some(mark == ','),
            };
            match is_decimal {
                Some(true) => vec![decimal],
                Some(false) => vec![whole],
                None => vec![whole, decimal],
            }
        }
        _ => vec![whole],
    };
    Some((readings, cursor.at))
}

fn fraction(cursor: &mut Cursor) -> Option<&'static str> {
    let part = match cursor.peek()? {
        '½' => "5",
        '¼' => "25",
        '¾' => "75",
        _ => return None,
    };
    cursor.eat(&['½', '¼', '¾']);
    Some(part)
}

/// A decimal number without needless zeros. Those before a whole number belong to it: `007` is a code.
fn normal(whole: &str, decimals: &str) -> String {
    let decimals = decimals.trim_end_matches('0');
    if decimals.is_empty() {
        return whole.to_string();
    }
    let whole = whole.trim_start_matches('0');
    format!("{}.{decimals}", if whole.is_empty() { "0" } else { whole })
}

/// A hundredth of a decimal number: `350` pence are `3.5`.
fn hundredth(reading: &str) -> String {
    let (whole, decimals) = reading.split_once('.').unwrap_or((reading, ""));
    let padded = format!("{whole:0>3}");
    let (whole, cents) = padded.split_at(padded.len() - 2);
    normal(whole, &format!("{cents}{decimals}"))
}

/// The measure of a range's first number, which stands after its second: `3–5 days`.
fn range_measure(mut cursor: Cursor) -> Option<Measure> {
    if !cursor.range_sign() {
        return None;
    }
    let prefixed = measure::currency_before(&mut cursor);
    cursor.at = value(cursor, Marks::Unknown)?.1;
    prefixed
        .or_else(|| {
            measure::currency_after(cursor).filter(|(_, _, scale)| *scale == 0).map(|(_, measure, _)| measure)
        })
        .or_else(|| measure::after(&mut cursor))
}
