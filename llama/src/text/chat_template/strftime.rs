//! Dates as C's `strftime` writes them, in English and UTC: what templates ask of `strftime_now`.

use minijinja::{Error, ErrorKind};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// Date and time of day.
struct CalendarTime {
    year: u64,
    /// From 1.
    month: u64,
    /// From 1.
    day: u64,
    /// From 1.
    day_of_year: u64,
    /// From Sunday, 0.
    weekday: u64,
    hour: u64,
    minute: u64,
    second: u64,
}

impl CalendarTime {
    /// The moment that many seconds after 1970 began.
    fn new(unix: u64) -> Self {
        let (days, second) = (unix / 86_400, unix % 86_400);
        // Years counted from March, so that the leap day is the last: Howard Hinnant's civil_from_days.
        let shifted = days + 719_468;
        let (era, of_era) = (shifted / 146_097, shifted % 146_097);
        let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let since_march = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * since_march + 2) / 153;
        let day = since_march - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        let year = era * 400 + year_of_era + u64::from(month <= 2);
        let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
        // 1 March is day 60 of the year, or 61 in a leap year.
        let day_of_year = if month <= 2 { since_march - 306 + 1 } else { since_march + 60 + u64::from(leap) };
        Self {
            year,
            month,
            day,
            day_of_year,
            weekday: (days + 4) % 7,
            hour: second / 3_600,
            minute: second / 60 % 60,
            second: second % 60,
        }
    }

    fn month_name(&self) -> &'static str {
        MONTHS.get(self.month.saturating_sub(1) as usize).copied().unwrap_or_default()
    }

    fn day_name(&self) -> &'static str {
        DAYS.get(self.weekday as usize).copied().unwrap_or_default()
    }
}

/// The moment `unix` seconds after 1970 began, in `format`. A directive that C does not know stays as it is written.
///
/// # Errors
/// For a flag or modifier that C knows and this does not.
pub(super) fn format(unix: u64, format: &str) -> Result<String, Error> {
    let moment = CalendarTime::new(unix);
    let mut out = String::with_capacity(format.len());
    let mut letters = format.chars();
    while let Some(letter) = letters.next() {
        if letter != '%' {
            out.push(letter);
            continue;
        }
        let mut directive = letters.next();
        let padded = directive != Some('-');
        if !padded {
            directive = letters.next();
        }
        if let Some(flag @ ('_' | '^' | '#' | 'E' | 'O' | '0'..='9' | 'f' | 's')) = directive {
            let message = format!("strftime_now: `%{flag}` of `{format}` is not supported");
            return Err(Error::new(ErrorKind::InvalidOperation, message));
        }
        match directive.and_then(|directive| expand(&moment, directive)) {
            Some(text) if padded => out.push_str(&text),
            Some(text) => {
                let unpadded = text.trim_start_matches(['0', ' ']);
                out.push_str(if unpadded.is_empty() { "0" } else { unpadded });
            }
            None => {
                out.push_str(if padded { "%" } else { "%-" });
                out.extend(directive);
            }
        }
    }
    Ok(out)
}

/// The year and the week of ISO 8601, in which weeks begin on Mondays and belong to the year of their Thursday.
fn iso_week(moment: &CalendarTime) -> (u64, u64) {
    let monday_based = |weekday: u64| (weekday + 6) % 7;
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    // The day of the year of this week's Thursday, from 1; before 1 it is last year's.
    let thursday = moment.day_of_year + 3;
    let offset = monday_based(moment.weekday);
    let days = |year: u64| if leap(year) { 366 } else { 365 };
    match thursday.checked_sub(offset).filter(|day| *day > 0) {
        Some(day) if day > days(moment.year) => (moment.year + 1, 1),
        Some(day) => (moment.year, day.div_ceil(7)),
        None => (moment.year - 1, (days(moment.year - 1) + thursday - offset).div_ceil(7)),
    }
}

fn expand(moment: &CalendarTime, directive: char) -> Option<String> {
    let CalendarTime { year, month, day, day_of_year, weekday, hour, minute, second } = *moment;
    let short = |name: &str| name.chars().take(3).collect::<String>();
    let hour_of_half = if hour % 12 == 0 { 12 } else { hour % 12 };
    Some(match directive {
        'Y' => format!("{year:04}"),
        'y' => format!("{:02}", year % 100),
        'm' => format!("{month:02}"),
        'B' => moment.month_name().to_string(),
        'b' | 'h' => short(moment.month_name()),
        'd' => format!("{day:02}"),
        'e' => format!("{day:2}"),
        'j' => format!("{day_of_year:03}"),
        'A' => moment.day_name().to_string(),
        'a' => short(moment.day_name()),
        'w' => weekday.to_string(),
        'H' => format!("{hour:02}"),
        'I' => format!("{hour_of_half:02}"),
        'p' => if hour < 12 { "AM" } else { "PM" }.to_string(),
        'M' => format!("{minute:02}"),
        'S' => format!("{second:02}"),
        'C' => format!("{:02}", year / 100),
        'D' | 'x' => format!("{month:02}/{day:02}/{:02}", year % 100),
        'R' => format!("{hour:02}:{minute:02}"),
        'X' => format!("{hour:02}:{minute:02}:{second:02}"),
        'r' => format!("{hour_of_half:02}:{minute:02}:{second:02} {}", if hour < 12 { "AM" } else { "PM" }),
        'c' => format!(
            "{} {} {day:2} {hour:02}:{minute:02}:{second:02} {year}",
            short(moment.day_name()),
            short(moment.month_name())
        ),
        'k' => format!("{hour:2}"),
        'l' => format!("{hour_of_half:2}"),
        'P' => if hour < 12 { "am" } else { "pm" }.to_string(),
        'u' => if weekday == 0 { 7 } else { weekday }.to_string(),
        'U' => format!("{:02}", (day_of_year + 6 - weekday) / 7),
        'W' => format!("{:02}", (day_of_year + 6 - (weekday + 6) % 7) / 7),
        'V' => format!("{:02}", iso_week(moment).1),
        'G' => format!("{:04}", iso_week(moment).0),
        'g' => format!("{:02}", iso_week(moment).0 % 100),
        'n' => "\n".to_string(),
        't' => "\t".to_string(),
        'F' => format!("{year:04}-{month:02}-{day:02}"),
        'T' => format!("{hour:02}:{minute:02}:{second:02}"),
        // Hugging Face's now has no zone.
        'Z' | 'z' => String::new(),
        '%' => "%".to_string(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    fn format(unix: u64, format: &str) -> String {
        super::format(unix, format).unwrap()
    }

    /// Python: `datetime.fromtimestamp(unix, timezone.utc).strftime(...)`.
    #[test]
    fn dates_are_pythons() {
        let all = "%Y-%m-%d %H:%M:%S %j %A %b %-d %I %p %y %%";
        assert_eq!(format(0, all), "1970-01-01 00:00:00 001 Thursday Jan 1 12 AM 70 %");
        assert_eq!(format(951_782_399, all), "2000-02-28 23:59:59 059 Monday Feb 28 11 PM 00 %");
        assert_eq!(format(951_782_400, all), "2000-02-29 00:00:00 060 Tuesday Feb 29 12 AM 00 %");
        assert_eq!(format(1_735_689_599, all), "2024-12-31 23:59:59 366 Tuesday Dec 31 11 PM 24 %");
        assert_eq!(format(1_740_787_200, all), "2025-03-01 00:00:00 060 Saturday Mar 1 12 AM 25 %");
    }

    /// Python: `datetime.fromtimestamp(unix, timezone.utc).replace(tzinfo=None).strftime(...)` on Linux.
    #[test]
    fn weeks_and_wholes_are_cs() {
        let all = "%D|%R|%r|%c|%x|%X|%u|%w|%U|%W|%V|%G|%g|%C|%k|%l|%P|%h|%e|%Z";
        for (unix, expected) in [
            (
                0,
                "01/01/70|00:00|12:00:00 AM|Thu Jan  1 00:00:00 1970|01/01/70|00:00:00|4|4|00|00|01|1970|70|19| 0|12|am|Jan| 1|",
            ),
            (
                951_782_400,
                "02/29/00|00:00|12:00:00 AM|Tue Feb 29 00:00:00 2000|02/29/00|00:00:00|2|2|09|09|09|2000|00|20| 0|12|am|Feb|29|",
            ),
            (
                1_735_689_599,
                "12/31/24|23:59|11:59:59 PM|Tue Dec 31 23:59:59 2024|12/31/24|23:59:59|2|2|52|53|01|2025|25|20|23|11|pm|Dec|31|",
            ),
            (
                1_293_753_600,
                "12/31/10|00:00|12:00:00 AM|Fri Dec 31 00:00:00 2010|12/31/10|00:00:00|5|5|52|52|52|2010|10|20| 0|12|am|Dec|31|",
            ),
            (
                1_231_027_200,
                "01/04/09|00:00|12:00:00 AM|Sun Jan  4 00:00:00 2009|01/04/09|00:00:00|7|0|01|00|01|2009|09|20| 0|12|am|Jan| 4|",
            ),
            (
                1_609_459_200,
                "01/01/21|00:00|12:00:00 AM|Fri Jan  1 00:00:00 2021|01/01/21|00:00:00|5|5|00|00|53|2020|20|20| 0|12|am|Jan| 1|",
            ),
        ] {
            assert_eq!(format(unix, all), expected);
        }
    }

    #[test]
    fn what_is_not_supported_is_an_error() {
        for directive in ["%_d", "%^a", "%Ey", "%02d", "%f"] {
            assert!(super::format(0, directive).is_err(), "{directive}");
        }
    }

    #[test]
    fn unknown_directives_stay() {
        assert_eq!(format(0, "%Q %-Q 100%"), "%Q %-Q 100%");
    }
}
