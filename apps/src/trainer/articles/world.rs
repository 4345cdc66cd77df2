//! The world of a row: what stays the same in all its articles.

use super::draw::Draw;
use super::names;
use super::slot::Unit;

/// The company of a row and how it writes numbers, money, times and dates.
#[derive(Debug, Clone, PartialEq)]
pub struct World {
    /// The company's name.
    pub company: String,
    /// Its domain.
    pub domain: String,
    currency: &'static str,
    decimal_comma: bool,
    /// What stands between thousands.
    thousands: &'static str,
    clock: Clock,
    date: DateForm,
    percent: &'static str,
    page_prefix: &'static str,
    phone: usize,
    /// Whether small counts are written as words.
    spelt: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Clock {
    Hours24,
    AmPm { space: &'static str, colon: char },
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum DateForm {
    DayMonthYear,
    MonthDayYear,
    Slashes,
    Dots,
    Iso,
}

const SPELT: [&str; 11] =
    ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"];

impl World {
    /// Draws a world.
    pub fn draw(draw: &mut Draw) -> Self {
        let company = names::company(draw);
        // `@` stands for the amount. What goes before and after it decides the decimal sign.
        let (currency, decimal_comma) = [
            ("£@", false),
            ("£@", false),
            ("$@", false),
            ("$@", false),
            ("€@", false),
            ("@ €", true),
            ("@ €", false),
            ("EUR @", false),
            ("@ EUR", true),
            ("USD @", false),
            ("GBP @", false),
            ("CHF @", false),
        ][draw.below(12)];
        let thousands = match decimal_comma {
            true => draw.word(&[".", " ", ""]),
            false => draw.word(&[",", ",", ",", ""]),
        };
        let clock = match draw.chance(0.55) {
            true => Clock::Hours24,
            false => Clock::AmPm {
                space: draw.word(&[" ", "", " "]),
                colon: if draw.chance(0.2) { '.' } else { ':' },
            },
        };
        let date = [
            DateForm::DayMonthYear,
            DateForm::DayMonthYear,
            DateForm::DayMonthYear,
            DateForm::MonthDayYear,
            DateForm::MonthDayYear,
            DateForm::Slashes,
            DateForm::Dots,
            DateForm::Iso,
        ][draw.below(8)];
        let ending = draw.word(&[".example", ".example", ".example.com", "-support.example"]);
        Self {
            domain: format!("{}{ending}", company.to_lowercase()),
            company,
            currency,
            decimal_comma,
            thousands,
            clock,
            date,
            percent: draw.word(&["%", "%", "%", " %", " percent"]),
            page_prefix: draw.word(&["", "", "www.", "https://", "https://www."]),
            phone: draw.below(5),
            spelt: draw.chance(0.15),
        }
    }

    /// A whole number; years stay as they are, large ranges give round numbers.
    pub fn whole(&self, low: i64, high: i64, draw: &mut Draw) -> String {
        let step = match high.saturating_sub(low) {
            0..=400 => 1,
            401..=2000 => 10,
            2001..=20_000 => 50,
            _ => 500,
        };
        let number = match step {
            1 => draw.between(low, high),
            _ => (draw.between(low, high) / step * step).max(low),
        };
        let years = 1900..=2100;
        match years.contains(&low) && years.contains(&high) {
            true => number.to_string(),
            false => self.grouped(number),
        }
    }

    fn grouped(&self, number: i64) -> String {
        let digits = number.unsigned_abs().to_string();
        let mut text = String::new();
        for (index, digit) in digits.chars().enumerate() {
            if index > 0 && (digits.len() - index).is_multiple_of(3) {
                text.push_str(self.thousands);
            }
            text.push(digit);
        }
        if number < 0 { format!("-{text}") } else { text }
    }

    /// A number with one decimal.
    pub fn decimal(&self, low: f64, high: f64, draw: &mut Draw) -> String {
        self.point(format!("{:.1}", draw.between(tenths(low), tenths(high)) as f64 / 10.0))
    }

    fn point(&self, number: String) -> String {
        if self.decimal_comma { number.replace('.', ",") } else { number }
    }

    /// An amount of money: whole, or ending as prices do.
    pub fn money(&self, low: f64, high: f64, draw: &mut Draw) -> String {
        let amount = if high <= 3.0 {
            let cents = draw.between((low * 100.0).round() as i64, (high * 100.0).round() as i64).max(1);
            self.point(format!("{}.{:02}", cents / 100, cents % 100))
        } else {
            let last = if high <= 200.0 && high - low >= 1.0 { high.ceil() as i64 - 1 } else { high as i64 };
            let whole = self.whole(low.ceil() as i64, last.max(low.ceil() as i64), draw);
            match high <= 200.0 && high - low >= 1.0 && draw.chance(0.5) {
                true => {
                    let cents = draw.word(&["50", "50", "90", "99", "95", "20", "75", "40", "49", "80"]);
                    self.point(format!("{whole}.{cents}"))
                }
                false => whole,
            }
        };
        self.currency.replace('@', &amount)
    }

    /// A percentage; narrow ranges get a decimal.
    pub fn percent(&self, low: f64, high: f64, draw: &mut Draw) -> String {
        let number = match high - low < 3.0 || low.fract() != 0.0 {
            true => self.decimal(low, high, draw),
            false => draw.between(low as i64, high as i64).to_string(),
        };
        format!("{number}{}", self.percent)
    }

    /// A count with its unit.
    pub fn count(&self, (one, many): Unit, count: i64) -> String {
        let spelt = usize::try_from(count).ok().and_then(|index| SPELT.get(index)).filter(|_| self.spelt);
        let number = spelt.map_or_else(|| self.grouped(count), ToString::to_string);
        format!("{number} {}", if count == 1 { one } else { many })
    }

    /// A time of day from `low` to `high` quarters of an hour; most are full or half hours.
    pub fn time(&self, low: i64, high: i64, draw: &mut Draw) -> String {
        let step = [4, 4, 4, 4, 2, 2, 1][draw.below(7)];
        let (first, last) = ((low + step - 1) / step, high / step);
        let quarters = if first <= last { draw.between(first, last) * step } else { draw.between(low, high) };
        let minutes = (quarters * 15).min(24 * 60 - 1);
        let (hour, minute) = (minutes / 60, minutes % 60);
        match self.clock {
            Clock::Hours24 => format!("{hour}:{minute:02}"),
            Clock::AmPm { space, colon } => {
                let half = if hour < 12 { "am" } else { "pm" };
                let twelve = (hour + 11) % 12 + 1;
                match minute {
                    0 => format!("{twelve}{space}{half}"),
                    _ => format!("{twelve}{colon}{minute:02}{space}{half}"),
                }
            }
        }
    }

    /// A calendar date.
    pub fn date(&self, draw: &mut Draw) -> String {
        let (day, month, year) = (draw.between(1, 28), draw.below(12), draw.between(2024, 2027));
        let name = names::MONTHS[month];
        let number = month + 1;
        match self.date {
            DateForm::DayMonthYear => format!("{day} {name} {year}"),
            DateForm::MonthDayYear => format!("{name} {day}, {year}"),
            DateForm::Slashes => format!("{day:02}/{number:02}/{year}"),
            DateForm::Dots => format!("{day:02}.{number:02}.{year}"),
            DateForm::Iso => format!("{year}-{number:02}-{day:02}"),
        }
    }

    /// A telephone number.
    pub fn phone(&self, draw: &mut Draw) -> String {
        let form =
            ["0### ### ###", "0## #### ####", "+## ### ####", "0800-######", "(###) ###-####"][self.phone];
        digits(form, draw)
    }

    /// A page of the company's site.
    pub fn page(&self, path: &str) -> String {
        format!("{}{}/{path}", self.page_prefix, self.domain)
    }

    /// An identifier with digits.
    pub fn code(&self, prefix: Option<&str>, draw: &mut Draw) -> String {
        let form = draw.word(&["##", "###", "###", "####", "####"]);
        let number = digits(form, draw);
        match prefix {
            Some(prefix) if prefix.ends_with(['-', '_', '#', '/']) => format!("{prefix}{number}"),
            Some(prefix) => format!("{prefix}-{number}"),
            None => format!(
                "{}{number}",
                draw.word(&["E", "E-", "ERR-", "F", "H", "KX-", "T-", "W", "C-", "R", "P-"])
            ),
        }
    }
}

fn tenths(number: f64) -> i64 {
    (number * 10.0).round() as i64
}

/// Puts a digit from 1 to 9 for every `#`.
fn digits(form: &str, draw: &mut Draw) -> String {
    let digit = |c| match c {
        '#' => char::from(b'1' + draw.below(9) as u8),
        other => other,
    };
    form.chars().map(digit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_world_writes_in_one_way() {
        let mut draw = Draw::new(7);
        for _ in 0..200 {
            let world = World::draw(&mut draw);
            let sign = world.currency.replace('@', "");
            let prices: Vec<String> = (0..20).map(|_| world.money(4.0, 90.0, &mut draw)).collect();
            assert!(prices.iter().all(|price| price.contains(sign.trim())), "{prices:?}");
            let comma = prices.iter().any(|price| price.contains(','));
            assert_eq!(comma, world.decimal_comma, "{prices:?}");
            let times: Vec<String> = (0..20).map(|_| world.time(52, 72, &mut draw)).collect();
            let halves = times.iter().filter(|time| time.ends_with("pm")).count();
            assert!([0, 20].contains(&halves), "{times:?}");
        }
    }

    #[test]
    fn ranges_hold_at_their_ends() {
        let mut draw = Draw::new(2);
        let world = World { decimal_comma: false, thousands: ",", ..World::draw(&mut draw) };
        for _ in 0..200 {
            let amount =
                world.money(3.0, 12.0, &mut draw).replace(|c: char| !c.is_ascii_digit() && c != '.', "");
            let amount: f64 = amount.parse().unwrap();
            assert!((3.0..=12.0).contains(&amount), "{amount}");
            let number: i64 = world.whole(1200, 9000, &mut draw).replace(',', "").parse().unwrap();
            assert!((1200..=9000).contains(&number), "{number}");
        }
        assert_eq!(world.grouped(1_234_567), "1,234,567");
        let world = World { clock: Clock::Hours24, ..world };
        let times: Vec<String> = (0..50).map(|_| world.time(26, 28, &mut draw)).collect();
        assert!(times.iter().all(|time| ["6:30", "6:45", "7:00"].contains(&time.as_str())), "{times:?}");
        assert_eq!(world.time(96, 96, &mut draw), "23:59");
    }
}
