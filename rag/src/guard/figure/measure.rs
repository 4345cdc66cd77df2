//! What a number counts: money, shares, and units of time, length, mass and the like.

use std::sync::LazyLock;

use super::cursor::Cursor;
use crate::guard::table::Table;

/// What a number counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Measure {
    /// Money, by its sign or code: `£`, `€`, `$`, `CHF`; `¢` is a hundredth of any.
    Currency(&'static str),
    /// A hundredth.
    Percent,
    /// A unit by its English name: `day`, `working day`, `kg`.
    Unit(&'static str),
}

impl Measure {
    /// Whether two measures can be of the same thing.
    pub(super) fn agrees(self, other: Measure) -> bool {
        match (self, other) {
            (Measure::Currency("¢"), Measure::Currency(sign))
            | (Measure::Currency(sign), Measure::Currency("¢")) => sign != "£",
            _ => self == other,
        }
    }

    /// Whether both measure the same dimension.
    pub(super) fn is_like(self, other: Measure) -> bool {
        let is_time = |unit: &str| TIMES.contains(&unit);
        match (self, other) {
            (Measure::Currency(_), Measure::Currency(_)) => true,
            (Measure::Unit(unit), Measure::Unit(other)) => unit == other || is_time(unit) && is_time(other),
            _ => self == other,
        }
    }
}

const TIMES: &[&str] = &["second", "minute", "hour", "day", "working day", "week", "month", "year", "night"];

/// Units with their words, in English, German, Spanish, French, Italian, Portuguese and Dutch.
static UNITS: LazyLock<Table<&'static str>> = LazyLock::new(|| {
    Table::new(&[
        ("second", "second seconds sec secs sekunde sekunden sek segundo segundos seconde secondes secondi"),
        ("minute", "minute minutes min mins minuten minuto minutos minuti"),
        ("hour", "hour hours hr hrs h stunde stunden std hora horas heure heures ora ore uur"),
        ("day", "day days tag tage tagen tages día días dia dias jour jours giorno giorni dag dagen"),
        (
            "working day",
            "werktag werktage werktagen arbeitstag arbeitstage arbeitstagen werkdag werkdagen workday workdays",
        ),
        ("week", "week weeks wk wks woche wochen semana semanas semaine semaines settimana settimane weken"),
        ("month", "month months monat monate monaten monats mes meses mois mese mesi maand maanden mês"),
        (
            "year",
            "year years yr yrs jahr jahre jahren jahres año años ans année années anno anni ano anos jaar",
        ),
        ("night", "night nights nacht nächte nächten noche noches nuit nuits"),
        ("person", "person persons people personen personas personnes guest guests gäste huéspedes"),
        ("mm", "mm millimetre millimetres millimeter millimeters"),
        ("cm", "cm centimetre centimetres centimeter centimeters zentimeter centímetros centimètres"),
        ("m", "m metre metres meter meters metern metro metros mètre mètres"),
        ("km", "km kilometre kilometres kilometer kilometers kilometern kilómetros kilomètres"),
        ("mile", "mile miles meile meilen milla millas"),
        ("inch", "inch inches zoll pulgadas pouces"),
        ("foot", "ft foot feet"),
        ("g", "g gram grams gramm gramos grammes"),
        ("kg", "kg kilo kilos kilogram kilograms kilogramm kilogramos kilogrammes"),
        ("lb", "lb lbs"),
        ("oz", "oz ounce ounces"),
        ("ml", "ml millilitre millilitres milliliter milliliters"),
        ("l", "l litre litres liter liters litern litro litros"),
        ("kb", "kb"),
        ("mb", "mb megabyte megabytes"),
        ("gb", "gb gigabyte gigabytes"),
        ("tb", "tb terabyte terabytes"),
        ("mbit", "mbps mbit"),
        ("gbit", "gbps gbit"),
        ("w", "w watt watts"),
        ("kw", "kw kilowatt kilowatts"),
        ("kwh", "kwh"),
        ("v", "v volt volts"),
        ("a", "amp amps ampere"),
        ("mah", "mah"),
        ("hz", "hz hertz"),
        ("mhz", "mhz"),
        ("ghz", "ghz"),
        ("lm", "lm lumen lumens"),
        ("degree", "degrees degree grad grados degrés"),
    ])
});

/// Currencies with their words after a number.
static CURRENCIES: LazyLock<Table<&'static str>> = LazyLock::new(|| {
    Table::new(&[
        ("£", "£ gbp pound pounds pfund libra libras livre livres"),
        ("€", "€ eur euro euros"),
        ("$", "$ usd dollar dollars dólar dólares"),
        ("¥", "¥ jpy yen"),
        ("CHF", "chf franken francs"),
    ])
});

/// Hundredths of a currency.
static HUNDREDTHS: LazyLock<Table<&'static str>> = LazyLock::new(|| {
    Table::new(&[("£", "p pence penny"), ("¢", "cent cents ct cts ¢ céntimo céntimos centime centimes")])
});

/// Words that may stand between a number and its unit.
const MOST_WORDS_BETWEEN: usize = 2;

/// Words that end the search for a unit.
const STOPS: &[&str] = &[
    "of", "and", "or", "to", "per", "for", "in", "at", "on", "the", "a", "an", "by", "with", "from", "after",
    "before", "within", "is", "are", "und", "oder", "bis", "pro", "für", "im", "am", "die", "der", "das",
    "von", "mit", "nach", "vor", "ist", "sind", "y", "o", "de", "por", "para", "en", "el", "la", "los", "et",
    "ou", "pour", "par", "dans", "le", "les", "à", "du", "des", "if", "when", "wenn", "si",
];

/// Whether `word`, in lower case, is a unit of time.
pub(super) fn time_unit(word: &str) -> Option<&'static str> {
    UNITS.get(word).filter(|unit| TIMES.contains(unit))
}

/// The words of all measures.
pub(in crate::guard) fn measures() -> impl Iterator<Item = &'static str> {
    let words = UNITS.words().chain(CURRENCIES.words()).chain(HUNDREDTHS.words());
    words.chain(["working", "business", "percent", "prozent"])
}

/// The sign of a currency by its code.
fn of_code(code: &str) -> Option<&'static str> {
    Some(match code {
        "EUR" => "€",
        "GBP" => "£",
        "USD" => "$",
        "CHF" => "CHF",
        "JPY" => "¥",
        _ => return None,
    })
}

/// Whether `word` is the code of a currency.
pub(super) fn is_code(word: &str) -> bool {
    of_code(word).is_some()
}

/// Takes the currency at `cursor` if a number follows.
pub(super) fn currency_before(cursor: &mut Cursor) -> Option<Measure> {
    let mut ahead = *cursor;
    let sign = match ahead.peek()? {
        '£' => "£",
        '€' => "€",
        '$' => "$",
        '¥' => "¥",
        letter if letter.is_ascii_uppercase() => of_code(ahead.letters())?,
        _ => return None,
    };
    ahead.eat(&['£', '€', '$', '¥']);
    ahead.space();
    if !ahead.peek().is_some_and(|next| next.is_ascii_digit()) {
        return None;
    }
    *cursor = ahead;
    Some(Measure::Currency(sign))
}

/// The currency after a number, with where it ends and by how many digits it shifts the number.
pub(super) fn currency_after(mut cursor: Cursor) -> Option<(usize, Measure, usize)> {
    cursor.space();
    let rest = cursor.rest();
    let word = match cursor.peek()? {
        sign @ ('£' | '€' | '$' | '¥' | '¢') => &rest[..sign.len_utf8()],
        _ => cursor.letters(),
    };
    let end = cursor.rest().len();
    let end = cursor.text.len() - end + if cursor.rest() == rest { word.len() } else { 0 };
    let word = word.to_lowercase();
    if let Some(sign) = CURRENCIES.get(&word) {
        // "£5 20 £": a sign before the next number is that number's.
        let next = cursor.text[end..].chars().next();
        let is_next = !word.starts_with(char::is_alphabetic) && next.is_some_and(|c| c.is_ascii_digit());
        return (!is_next).then_some((end, Measure::Currency(sign), 0));
    }
    HUNDREDTHS.get(&word).map(|sign| (end, Measure::Currency(sign), 2))
}

/// The measure after a number: directly, with a hyphen, or after a word or two. Moves `cursor` past what is
/// attached to the number.
pub(super) fn after(cursor: &mut Cursor) -> Option<Measure> {
    let mut ahead = *cursor;
    ahead.space();
    if ahead.eat(&['%', '％']) {
        *cursor = ahead;
        return Some(Measure::Percent);
    }
    if ahead.eat(&['°', 'º']) {
        ahead.eat(&['C', 'F']);
        return Some(Measure::Unit("degree"));
    }
    let mut ahead = *cursor;
    let mut words = 0;
    loop {
        if !ahead.space() {
            ahead.eat(&['-', '\u{2010}', '\u{2011}']);
        }
        let start = ahead.at;
        let word = ahead.letters().to_lowercase();
        if word.is_empty() {
            return None;
        }
        if matches!(word.as_str(), "percent" | "prozent")
            || word == "por" && ahead.rest().starts_with(" ciento")
        {
            return Some(Measure::Percent);
        }
        if word == "pour" && ahead.rest().starts_with(" cent") {
            return Some(Measure::Percent);
        }
        if matches!(word.as_str(), "working" | "business" | "bank" | "werk") {
            let mut noun = ahead;
            noun.eat(&[' ', '-']);
            if UNITS.get(&noun.letters().to_lowercase()) == Some("day") {
                return Some(Measure::Unit("working day"));
            }
        }
        if let Some(unit) = UNITS.get(&word).filter(|_| ahead.is_end()) {
            if start == cursor.at {
                cursor.at = ahead.at;
            }
            // A single letter is a unit only right after its number.
            if word.len() == 1 && words > 0 {
                return None;
            }
            let mut adjective = ahead;
            let of_work = adjective.word(|word| {
                let stems = ["laborab", "hábil", "habil", "ouvr"];
                stems.iter().any(|stem| word.starts_with(stem)).then_some(())
            });
            let is_working = unit == "day" && of_work.is_some();
            return Some(Measure::Unit(if is_working { "working day" } else { unit }));
        }
        words += 1;
        let goes_on = matches!(ahead.peek(), Some(' ' | '-' | '\u{a0}'));
        if words > MOST_WORDS_BETWEEN || !goes_on || STOPS.contains(&word.as_str()) {
            return None;
        }
    }
}
