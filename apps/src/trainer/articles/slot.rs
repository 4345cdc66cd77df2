//! Slots: what a template leaves open, and how it is drawn.

use super::draw::Draw;
use super::names;
use super::world::World;

/// The kind of a slot, with its bounds.
#[derive(Debug, Clone, PartialEq)]
pub enum Slot {
    /// An amount of money in the row's currency.
    Money(f64, f64),
    /// A whole number.
    Int(i64, i64),
    /// A number with one decimal.
    Dec(f64, f64),
    /// A percentage.
    Percent(f64, f64),
    /// A count with its unit: "3 days".
    Count(Unit, i64, i64),
    /// A measure with its symbol: "20 GB".
    Measure(&'static str, f64, f64),
    /// A time of day, in quarters of an hour.
    Time(i64, i64),
    /// A calendar date.
    Date,
    /// A day of the week.
    Weekday,
    /// A telephone number.
    Phone,
    /// An address at the company's domain.
    Mail(Option<String>),
    /// A page of the company's site.
    Url(Option<String>),
    /// An identifier such as ERR-4011.
    Code(Option<String>),
    /// A person's name.
    Person,
    /// A town.
    Place,
    /// A street with a house number.
    Street,
    /// The company, the same in the whole row.
    Company,
    /// An invented product.
    Product,
    /// One of these, each of one or more parts.
    Pick(Vec<Vec<String>>),
}

/// What a [`Slot::Count`] counts: singular and plural.
pub type Unit = (&'static str, &'static str);

const UNITS: [(&str, Unit); 6] = [
    ("days", ("day", "days")),
    ("wdays", ("working day", "working days")),
    ("hours", ("hour", "hours")),
    ("weeks", ("week", "weeks")),
    ("months", ("month", "months")),
    ("mins", ("minute", "minutes")),
];
const MEASURES: [(&str, &str); 4] = [("gb", "GB"), ("kg", "kg"), ("cm", "cm"), ("km", "km")];
const KINDS: &str = "money, int, dec, pct, days, wdays, hours, weeks, months, mins, time, date, weekday, phone, mail, \
     url, code, person, place, street, company, product, pick, gb, kg, cm, km, age";

impl Slot {
    /// Parses a kind with its arguments: `money 3 12`, `pick yes;no`, `code ERR`.
    ///
    /// # Errors
    /// If there is no such kind, or its bounds are not two numbers in order.
    pub fn parse(source: &str) -> Result<Self, String> {
        let (kind, arguments) = source.split_once(' ').unwrap_or((source, ""));
        let arguments = arguments.trim();
        let whole = || bounds::<i64>(kind, arguments);
        let real = || bounds::<f64>(kind, arguments);
        let optional = || (!arguments.is_empty()).then(|| arguments.to_string());
        if let Some((_, unit)) = UNITS.iter().find(|(name, _)| *name == kind) {
            return whole().map(|(low, high)| Self::Count(*unit, low, high));
        }
        if let Some((_, symbol)) = MEASURES.iter().find(|(name, _)| *name == kind) {
            return real().map(|(low, high)| Self::Measure(symbol, low, high));
        }
        Ok(match kind {
            "money" => real().map(|(low, high)| Self::Money(low, high))?,
            "int" | "age" => whole().map(|(low, high)| Self::Int(low, high))?,
            "dec" => real().map(|(low, high)| Self::Dec(low, high))?,
            "pct" => real().map(|(low, high)| Self::Percent(low, high))?,
            "time" => match real()? {
                (low, high) if low >= 0.0 && high <= 24.0 => {
                    Self::Time((low * 4.0).ceil() as i64, (high * 4.0) as i64)
                }
                _ => return Err("the hours of `time` lie between 0 and 24".into()),
            },
            "date" => Self::Date,
            "weekday" => Self::Weekday,
            "phone" => Self::Phone,
            "mail" => Self::Mail(optional()),
            "url" => Self::Url(optional()),
            "code" => Self::Code(optional()),
            "person" => Self::Person,
            "place" => Self::Place,
            "street" => Self::Street,
            "company" => Self::Company,
            "product" => Self::Product,
            "pick" => Self::Pick(options(arguments)?),
            _ => return Err(format!("`{kind}` is no kind of slot ({KINDS})")),
        })
    }

    /// The kind that `name` alone stands for, as in `{company}`.
    pub fn bare(name: &str) -> Option<Self> {
        Some(match name {
            "date" => Self::Date,
            "weekday" => Self::Weekday,
            "phone" => Self::Phone,
            "mail" => Self::Mail(None),
            "url" => Self::Url(None),
            "code" => Self::Code(None),
            "person" => Self::Person,
            "place" => Self::Place,
            "street" => Self::Street,
            "company" => Self::Company,
            "product" => Self::Product,
            _ => return None,
        })
    }

    /// How many parts a value has.
    pub fn parts(&self) -> usize {
        match self {
            Self::Pick(options) => options.first().map_or(1, Vec::len),
            _ => 1,
        }
    }

    /// Whether two slots of an article should not get the same value. A choice of few is left to chance, so
    /// that two yes-or-no slots do not depend on each other.
    pub fn is_distinct(&self) -> bool {
        match self {
            Self::Pick(options) => options.len() > 3,
            Self::Company => false,
            _ => true,
        }
    }

    /// Whether the value is a fact that an answer must take from its passage as it stands.
    pub fn is_quoted(&self) -> bool {
        !matches!(self, Self::Pick(_) | Self::Company)
    }

    /// Draws a value: its parts, one of them for every kind but `pick`.
    pub fn draw(&self, world: &World, draw: &mut Draw) -> Vec<String> {
        let value = match self {
            Self::Money(low, high) => world.money(*low, *high, draw),
            Self::Int(low, high) => world.whole(*low, *high, draw),
            Self::Dec(low, high) => world.decimal(*low, *high, draw),
            Self::Percent(low, high) => world.percent(*low, *high, draw),
            Self::Count(unit, low, high) => world.count(*unit, draw.between(*low, *high)),
            Self::Measure(symbol, low, high) => {
                let number = match high - low {
                    span if span <= 3.0 => world.decimal(*low, *high, draw),
                    _ => world.whole(*low as i64, *high as i64, draw),
                };
                format!("{number} {symbol}")
            }
            Self::Time(low, high) => world.time(*low, *high, draw),
            Self::Date => world.date(draw),
            Self::Weekday => draw.word(&names::WEEKDAYS).into(),
            Self::Phone => world.phone(draw),
            Self::Mail(local) => {
                let local = local.as_deref().unwrap_or_else(|| draw.word(&names::MAILBOXES));
                format!("{local}@{}", world.domain)
            }
            Self::Url(path) => {
                let path = path.as_deref().unwrap_or_else(|| draw.word(&names::PAGES));
                world.page(path)
            }
            Self::Code(prefix) => world.code(prefix.as_deref(), draw),
            Self::Person => names::person(draw),
            Self::Place => draw.word(&names::PLACES).into(),
            Self::Street => names::street(draw),
            Self::Company => world.company.clone(),
            Self::Product => names::product(draw),
            Self::Pick(options) => return draw.pick(options).cloned().unwrap_or_default(),
        };
        vec![value]
    }
}

fn bounds<T: std::str::FromStr + PartialOrd>(kind: &str, arguments: &str) -> Result<(T, T), String> {
    let numbers: Option<Vec<T>> = arguments.split_whitespace().map(|word| word.parse().ok()).collect();
    match numbers.as_deref() {
        Some([low, high]) if low <= high => numbers
            .and_then(|numbers| <[T; 2]>::try_from(numbers).ok())
            .map(|[low, high]| (low, high))
            .ok_or_else(|| format!("`{kind}` takes two numbers")),
        _ => Err(format!("`{kind}` takes the lowest and the highest number, not `{arguments}`")),
    }
}

fn options(arguments: &str) -> Result<Vec<Vec<String>>, String> {
    let option = |option: &str| option.split('~').map(|part| part.trim().to_string()).collect::<Vec<_>>();
    let options: Vec<Vec<String>> = arguments.split(';').map(option).collect();
    let parts = options.first().map_or(0, Vec::len);
    if arguments.is_empty() {
        return Err("`pick` takes at least one alternative; `;` stands between them".into());
    }
    match options.iter().find(|option| option.len() != parts) {
        Some(odd) => {
            Err(format!("`{}` has {} parts, the first alternative {parts}", odd.join("~"), odd.len()))
        }
        None => Ok(options),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_have_their_bounds() {
        assert_eq!(Slot::parse("money 3 12"), Ok(Slot::Money(3.0, 12.0)));
        assert_eq!(Slot::parse("wdays 2 5"), Ok(Slot::Count(("working day", "working days"), 2, 5)));
        assert_eq!(Slot::parse("mail returns"), Ok(Slot::Mail(Some("returns".into()))));
        let options =
            vec![vec!["Yes".to_string(), "it is".into()], vec!["No".into(), "it is, alas, not".into()]];
        assert_eq!(Slot::parse("pick Yes~it is;No~it is, alas, not"), Ok(Slot::Pick(options)));
        for wrong in
            ["money", "int 5 3", "int 1.5 3", "time 0 25", "pick", "pick a~b;c", "euro 1 2", "days 3"]
        {
            assert!(Slot::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn values_lie_within_their_bounds() {
        let mut draw = Draw::new(1);
        for _ in 0..300 {
            let world = World::draw(&mut draw);
            let mut value = |kind: &str| Slot::parse(kind).unwrap().draw(&world, &mut draw).remove(0);
            let days = value("days 1 2");
            assert!(["1 day", "2 days", "one day", "two days"].contains(&days.as_str()), "{days}");
            assert!((5..=9).contains(&value("age 5 9").parse::<i64>().unwrap()));
            assert!(
                (2020..=2026).contains(&value("int 2020 2026").parse::<i64>().unwrap()),
                "years are not grouped"
            );
            let code = value("code ERR");
            assert!(
                code.starts_with("ERR") && code.chars().filter(char::is_ascii_digit).count() >= 2,
                "{code}"
            );
            assert!(
                value("mail returns").starts_with("returns@") && value("url refunds").ends_with("refunds")
            );
            let digits: String = value("money 10 99").chars().filter(|c| c.is_ascii_digit()).collect();
            assert!((1..=9).contains(&digits[..1].parse::<i64>().unwrap()) && [2, 4].contains(&digits.len()));
        }
    }
}
