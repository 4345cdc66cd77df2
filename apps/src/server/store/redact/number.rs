//! Card, phone and account numbers among the numbers of a text.

use regex::Regex;

use super::Found;

/// Fewer digits than these are nobody's number.
pub(super) const FEWEST_DIGITS: usize = 6;

/// How many bytes before a number are searched for a word that tells what it is.
const CONTEXT: usize = 40;

/// Finds the numbers.
pub(super) struct Numbers {
    /// Digits, with a few separators between them.
    run: Regex,
    /// Words that tell what a number is; the name of the group that matches tells which.
    context: Regex,
    /// An extension after a phone number.
    extension: Regex,
}

/// What a word before a number says that it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Context {
    Phone,
    Account,
    /// Something that is nobody's secret: an order, a version.
    Other,
    None,
}

/// Digits without separators, and what stands before them in the run.
struct Group<'a> {
    start: usize,
    digits: &'a str,
    separator: &'a str,
}

impl Numbers {
    pub(super) fn new() -> Option<Self> {
        let run = r"(?:\+ ?)?\(?[0-9](?:[\x{20}\x{a0}\x{2009}\x{202f}./()\-\x{2010}-\x{2013}]{0,3}[0-9])*";
        let context = r"(?x)
            (?P<phone>\b(?:phone|tel|telephone|telefon\w*|mobile|mobil\w*|handy\w*|cell|call|calling|ring|whatsapp
                |sms|text\ me|fax|rufnummer|anrufen|tel[eé]fono|m[oó]vil|celular|t[eé]l[eé]phone|portable|cellulare
                |appel\w*|ll[aá]m\w*|reach\ me|my\ number\ is|meine\ nummer)\b)
            |(?P<account>\b(?:account|acct|konto\w*|kto|blz|bankleitzahl|routing|sort\ code|compte|cuenta|conto
                |rekening\w*|iban)\b|a/c)
            |(?P<other>\b(?:order\w*|invoice|ticket|ref|reference|tracking|shipment|parcel|case|serial|sku|isbn|ean|gtin
                |model|version|build|article|item|part|bestell\w*|auftrag\w*|rechnung\w*|sendung\w*|artikel\w*
                |pedido|factura|commande|facture|ordine|fattura|product|firmware|paid|cost|costs|price|total)\b)";
        let extension = r"^[ ,]{0,2}(?i:ext\.?|extension|x|durchwahl|dw)[ .:]{0,2}[0-9]{1,6}";
        Some(Self {
            run: Regex::new(run).ok()?,
            context: Regex::new(context).ok()?,
            extension: Regex::new(extension).ok()?,
        })
    }

    /// The numbers in a text.
    pub(super) fn find(&self, text: &str) -> Vec<Found> {
        let mut found = Vec::new();
        for run in self.run.find_iter(text) {
            let digits = run.as_str().bytes().filter(u8::is_ascii_digit).count();
            if digits >= FEWEST_DIGITS && !is_part_of_more(text, run.start(), run.end()) {
                let context = self.context(&text[..run.start()]);
                self.find_in_run(text, run.start(), run.as_str(), context, &mut found);
            }
        }
        found
    }

    /// What the last telling word before a number says.
    fn context(&self, before: &str) -> Context {
        let mut start = before.len().saturating_sub(CONTEXT);
        while !before.is_char_boundary(start) {
            start += 1;
        }
        let near = before[start..].to_lowercase();
        let Some(last) = self.context.captures_iter(&near).last() else { return Context::None };
        match (last.name("phone"), last.name("account")) {
            (Some(_), _) => Context::Phone,
            (_, Some(_)) => Context::Account,
            _ => Context::Other,
        }
    }

    /// Looks at the stretches of a run between spaces, the longest first: two numbers may stand side by side.
    fn find_in_run(&self, text: &str, offset: usize, run: &str, context: Context, found: &mut Vec<Found>) {
        let groups = groups(run);
        let is_edge = |group: Option<&Group>| {
            group.is_none_or(|group| group.separator.contains([' ', '\u{a0}', '\u{2009}', '\u{202f}']))
        };
        let mut first = 0;
        while first < groups.len() {
            if first > 0 && !is_edge(groups.get(first)) {
                first += 1;
                continue;
            }
            // No number has more than ten groups, so a long run takes time in proportion to its length.
            let most = groups.len().min(first + 10);
            let ends = (first + 1..=most).rev().filter(|end| is_edge(groups.get(*end)));
            let label_of = |end: usize| label(&groups[first..end], context);
            let Some((end, label)) = ends.into_iter().find_map(|end| Some((end, label_of(end)?))) else {
                first += 1;
                continue;
            };
            let start = groups[first].start - lead(&groups[first]);
            let mut stop = groups[end - 1].start + groups[end - 1].digits.len();
            if label == "[phone]" && end == groups.len() {
                stop += self.extension.find(&text[offset + stop..]).map_or(0, |extension| extension.end());
            }
            found.push(Found { range: offset + start..offset + stop, label });
            first = end;
        }
    }
}

/// Whether a number is only a piece of a code, a decimal fraction or an amount of money.
fn is_part_of_more(text: &str, start: usize, end: usize) -> bool {
    let mut before = text[..start].chars().rev();
    let mut after = text[end..].chars();
    let is_digit = |c: Option<char>| c.is_some_and(|c| c.is_ascii_digit());
    let glued_before = match before.next() {
        Some('#' | '_' | '-' | '/' | '€' | '$' | '£' | '¥') => true,
        Some(',' | '.' | ':') => is_digit(before.next()),
        Some(' ' | '\u{a0}') => matches!(before.next(), Some('€' | '$' | '£' | '¥' | '#')),
        Some(c) => c.is_alphanumeric(),
        None => false,
    };
    let glued_after = match after.next() {
        Some('_' | '%' | '€' | '$' | '£' | '¥') => true,
        Some(',' | '.' | ':') => is_digit(after.next()),
        Some('-') => after.next().is_some_and(char::is_alphanumeric),
        Some(' ' | '\u{a0}') => {
            let word: String = after.take_while(|c| c.is_alphabetic() || "€$£¥%".contains(*c)).collect();
            [
                "€", "$", "£", "¥", "%", "eur", "usd", "gbp", "chf", "euro", "euros", "dollars", "pounds",
                "bytes",
            ]
            .contains(&word.to_lowercase().as_str())
        }
        // An extension may follow at once: 555-0123x45.
        Some('x') => !is_digit(after.next()),
        Some(c) => c.is_alphanumeric(),
        None => false,
    };
    glued_before || glued_after
}

fn groups(run: &str) -> Vec<Group<'_>> {
    let mut groups = Vec::new();
    let mut rest = 0;
    while let Some(start) = run[rest..].find(|c: char| c.is_ascii_digit()).map(|at| rest + at) {
        let end = run[start..].find(|c: char| !c.is_ascii_digit()).map_or(run.len(), |at| start + at);
        groups.push(Group { start, digits: &run[start..end], separator: &run[rest..start] });
        rest = end;
    }
    groups
}

/// How much of the separator before a number belongs to it: its plus sign and parenthesis.
fn lead(first: &Group) -> usize {
    let separator = first.separator;
    separator.find(['+', '(']).map_or(0, |at| separator.len() - at)
}

fn label(groups: &[Group], context: Context) -> Option<&'static str> {
    let digits: String = groups.iter().map(|group| group.digits).collect();
    let lengths: Vec<usize> = groups.iter().map(|group| group.digits.len()).collect();
    let dots = groups[1..].iter().any(|group| group.separator.contains('.'));
    if !dots && is_card(&digits, &lengths) {
        return Some("[card]");
    }
    let date = is_date(groups);
    if context == Context::Account && !date && !dots && (6..=17).contains(&digits.len()) {
        return Some("[account]");
    }
    (!date && is_phone(groups, &digits, &lengths, context)).then_some("[phone]")
}

/// Whether the digits are those of a payment card: an issuer's first digits, its length, and Luhn's check digit.
fn is_card(digits: &str, lengths: &[usize]) -> bool {
    // In one piece, or in pieces of about four as printed on cards.
    let is_grouped =
        lengths.len() == 1 || (lengths[0] == 4 && lengths.len() <= 5 && lengths.iter().all(|n| *n <= 7));
    let head =
        |count: usize| digits.get(..count).and_then(|head| head.parse::<u32>().ok()).unwrap_or_default();
    let is_issued = match digits.len() {
        13 | 19 if head(1) == 4 => true,
        14 => matches!(head(2), 36 | 38 | 39) || (300..=305).contains(&head(3)),
        15 => matches!(head(2), 34 | 37) || head(1) == 1,
        16 => matches!(head(1), 3..=6) || (2221..=2720).contains(&head(4)),
        12..=19 => head(2) == 62 || head(1) == 5 && head(2) >= 50 || matches!(head(2), 60 | 63..=69),
        _ => false,
    };
    is_grouped && is_issued && luhn(digits)
}

fn luhn(digits: &str) -> bool {
    let sum: u32 = digits
        .bytes()
        .rev()
        .enumerate()
        .map(|(place, digit)| match (place % 2, u32::from(digit - b'0')) {
            (0, digit) => digit,
            (_, digit) if digit > 4 => 2 * digit - 9,
            (_, digit) => 2 * digit,
        })
        .sum();
    sum.is_multiple_of(10)
}

/// Whether a number begins like a date: 2026-12-01, 01.12.2026, 1/12/26.
fn is_date(groups: &[Group]) -> bool {
    let [a, b, c, ..] = groups else { return false };
    let is_mark = |group: &Group| matches!(group.separator, "-" | "." | "/" | ". ");
    let within = |group: &Group, most: u32| {
        group.digits.len() <= 2
            && group.digits.parse::<u32>().is_ok_and(|number| (1..=most).contains(&number))
    };
    let is_year = |group: &Group| {
        group.digits.len() == 4 && (group.digits.starts_with("19") || group.digits.starts_with("20"))
    };
    is_mark(b)
        && is_mark(c)
        && ((is_year(a) && within(b, 31) && within(c, 31)) || (within(a, 31) && within(b, 31) && is_year(c)))
}

fn is_phone(groups: &[Group], digits: &str, lengths: &[usize], context: Context) -> bool {
    let count = digits.len();
    let first = groups[0].digits;
    let lead = &groups[0].separator[groups[0].separator.len() - lead(&groups[0])..];
    if lead.starts_with('+') {
        return (8..=15).contains(&count);
    }
    if context == Context::Other {
        return false;
    }
    // Decimal fractions and addresses on the Internet have dots where few phone numbers do.
    let dots = groups[1..].iter().filter(|group| group.separator.contains('.')).count();
    if dots > 0 && (first.len() == 1 || lengths.iter().all(|length| *length <= 3)) {
        return false;
    }
    if context == Context::Phone && (7..=15).contains(&count) {
        return true;
    }
    if lead == "(" && groups.len() > 1 && groups[1].separator.starts_with(')') {
        return (2..=5).contains(&first.len()) && (8..=13).contains(&count);
    }
    if first.starts_with('0') {
        let is_written = if groups.len() == 1 { (10..=14).contains(&count) } else { first.len() >= 2 };
        return is_written && (9..=15).contains(&count);
    }
    let starts = |group: &Group, from: char| group.digits.starts_with(|c| c >= from);
    match lengths {
        // North America: no area and no exchange begins with 0 or 1.
        [3, 3, 4] => starts(&groups[0], '2') && starts(&groups[1], '2'),
        [1, 3, 3, 4] => first == "1" && starts(&groups[1], '2'),
        // India, Brazil, and service numbers.
        [5, 5] => starts(&groups[0], '6'),
        [2, 5, 4] => groups[1].digits.starts_with('9'),
        [4, 3, 3] => matches!(first, "1300" | "1800"),
        _ => false,
    }
}
